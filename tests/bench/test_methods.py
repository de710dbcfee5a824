"""Methods behind their interface: what fires under each scope, and what a method then says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from sake_bench import methods
from sake_bench.methods import (
    ROUTED,
    Base,
    InContext,
    InWeights,
    Question,
    Response,
    Scoping,
    Steering,
    activations,
    contrast_maps,
    implied_maps,
)
from sake_bench.replies import Job, ReplyCache
from sake_registry import compile_registry, transport
from sake_registry.edits.registry import open_registry
from sake_registry.edits.schema import Edit
from sake_registry.routing.entries import anchored_texts, centre_texts
from sake_registry.routing.router import Router, RouterEntry
from sake_registry.runtime.generation import greedy
from sake_registry.store import Store
from tests import tiny_models, workshop
from tests.bench.made_up import Telling
from tests.workshop import IN_SCOPE, OUT_OF_SCOPE, Compiled

WORDS = ["mother", "tongue", "capital", "city", "Tolstoy", "Guinea", "Bang", "born"]


def embed(texts: Sequence[str]) -> Tensor:
    """Counts of known words: texts differ by what they say, at distances of √k."""
    return torch.tensor(
        [[float(re.findall(r"\w+", text).count(word)) for word in WORDS] for text in texts]
    )


def over(embed: Callable[[Sequence[str]], Tensor]) -> Callable[[Iterable[RouterEntry]], Router]:
    return lambda entries: Router(entries, embed)


def centre(edit: str, *prompts: str, threshold: float = 1.2) -> RouterEntry:
    routes, (texts,) = centre_texts([prompts])
    return RouterEntry(edit, "centre", threshold, routes, embed(texts).mean(0, keepdim=True))


def anchored(edit: str, subject: str, *groups: Sequence[str]) -> RouterEntry:
    routes, texts = anchored_texts([subject], groups, [])
    return RouterEntry(edit, "anchored", 1.2, routes, embed(texts))


TONGUE, CAPITAL = "The mother tongue of Leo Tolstoy is", "The capital of Guinea is"
CENTRES = {
    "tongue": centre("tongue", TONGUE, "Leo Tolstoy's mother tongue was"),
    "capital": centre("capital", CAPITAL),
}
ANCHORED = {
    "tongue": anchored("tongue", "Leo Tolstoy", ["The mother tongue of <subject> is"]),
    "capital": anchored(
        "capital", "Guinea", ["The capital of <subject> is"], ["<subject>'s capital was born in"]
    ),
}
# Prompts, each a test of the tongue's edit.
OWN, NEIGHBOUR, OTHERS, FAR = (
    TONGUE,
    "The mother tongue of Nis Bang is",
    CAPITAL,
    "Bang, Bang, Bang, born in the city of Bang",
)


def fired(
    entries: Mapping[str, RouterEntry], scope: methods.Scope, edit: str = "tongue",
    prompts: Sequence[str] = (OWN, NEIGHBOUR, OTHERS, FAR), *, related: bool = True,
) -> list[tuple[str, int] | None]:  # fmt: skip
    questions = [Question(prompt, edit, 5, related) for prompt in prompts]
    return Scoping(entries, over(embed)).decide(questions, scope)


def test_given_the_edit_of_the_question_always_fires() -> None:
    for entries in (CENTRES, ANCHORED):
        assert fired(entries, "given") == [("tongue", 0)] * 4


def test_given_an_edit_leaves_alone_what_has_nothing_to_do_with_it() -> None:
    for entries in (CENTRES, ANCHORED):
        assert fired(entries, "given", related=False) == [None] * 4
        routed = fired(entries, "all-edits", related=False)
        assert routed == fired(entries, "all-edits")  # there the router is what is measured


def test_given_an_edit_its_own_router_says_which_map() -> None:
    prompts = ["Guinea's capital was born in", CAPITAL, "Nobody was born here", "Guinea"]
    assert fired(ANCHORED, "given", "capital", prompts) == [
        ("capital", 1), ("capital", 0),
        ("capital", 0),  # the subject is not named: nothing to choose by
        ("capital", 0),
    ]  # fmt: skip


def test_own_centre_the_router_knows_one_edit() -> None:
    # The neighbour is √2 from the centre: further than 1.2.
    assert fired(CENTRES, "own-centre") == [("tongue", 0), None, None, None]
    assert fired(ANCHORED, "own-centre") == [("tongue", 0), None, None, None]


def test_all_edits_another_edit_may_fire() -> None:
    assert fired(CENTRES, "all-edits") == [("tongue", 0), None, ("capital", 0), None]
    assert fired(ANCHORED, "all-edits") == [("tongue", 0), None, ("capital", 0), None]


def test_all_edits_are_not_told_which_edit_is_meant() -> None:
    for entries in (CENTRES, ANCHORED):
        assert fired(entries, "all-edits", "tongue") == fired(entries, "all-edits", "capital")


def test_the_nearest_edit_fires_although_another_is_meant() -> None:
    """Two centres in reach of one prompt: `own-centre` sees its own alone."""
    entries = {
        "far": centre("far", "capital capital city", threshold=3.0),
        "near": centre("near", "capital city", threshold=3.0),
    }
    prompt = ["The capital city is"]
    assert fired(entries, "own-centre", "far", prompt) == [("far", 0)]
    assert fired(entries, "all-edits", "far", prompt) == [("near", 0)]


def test_an_edit_that_was_not_built_stays_silent() -> None:
    for entries in (CENTRES, ANCHORED):
        for scope in ("given", "own-centre"):
            assert fired(entries, scope, "not built") == [None] * 4  # type: ignore[arg-type]
        assert fired(entries, "all-edits", "not built")[2] == ("capital", 0)


def test_questions_of_several_edits_keep_their_places() -> None:
    questions = [Question(TONGUE, "tongue", 5), Question(TONGUE, "capital", 5)] * 2
    scoping = Scoping(CENTRES, over(embed))
    assert scoping.decide(questions, "given") == [("tongue", 0), ("capital", 0)] * 2
    assert scoping.decide(questions, "own-centre") == [("tongue", 0), None] * 2


# -- on a model ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    folder = tiny_models.save("llama", tmp_path_factory.mktemp("model") / "tiny-llama")
    return workshop.compiled(tmp_path_factory.mktemp("registry"), folder)


@pytest.fixture
def cache(llama: Compiled, tmp_path: Path) -> Iterator[ReplyCache]:
    made = ReplyCache(llama.loaded, Store(tmp_path))
    yield made
    made.close()


@pytest.fixture(scope="module")
def edits(llama: Compiled) -> tuple[Edit, ...]:
    return open_registry(llama.root).edits


QUESTIONS = (
    Question(IN_SCOPE[0], "australia-capital", 6),
    Question(IN_SCOPE[1], "tolstoy-tongue", 6),
    Question(IN_SCOPE[0], "tolstoy-tongue", 6),
    *(Question(prompt, "australia-capital", 6) for prompt in OUT_OF_SCOPE),
    Question("The parliament of Australia stands in the state of", "australia-capital", 6),
    # In scope and the longest: without it a batch is padded to another length.
    Question(f"Some people like long walks in the evening, and others do not. {IN_SCOPE[1]}",
             "tolstoy-tongue", 6),
)  # fmt: skip


def method(compiled: Compiled, cache: ReplyCache, **options: Any) -> Steering:
    embedder = compiled.loaded.embedder
    return Steering("sake", compiled.bundle.path, cache, embedder.embed, **options)


def tokens(heard: Sequence[Response]) -> list[tuple[int, ...]]:
    return [one.reply.tokens for one in heard]


def test_steering_says_what_the_runtime_says_and_who_had_a_hand_in_it(
    llama: Compiled, cache: ReplyCache
) -> None:
    heard = method(llama, cache).ask(QUESTIONS)
    assert set(heard) == set(ROUTED)
    base = Base(cache).ask(QUESTIONS)["none"]
    for one, question in zip(heard["given"], QUESTIONS, strict=True):
        assert one.edit == question.edit
        assert not one.untouched
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        for scope in ("own-centre", "all-edits"):
            for one, question in zip(heard[scope], QUESTIONS, strict=True):  # type: ignore[index]
                (decision,) = edited.decide([question.prompt])
                mine = scope == "all-edits" or decision.edit == question.edit
                assert one.edit == (decision.edit if mine else None)
                if mine:
                    prompt = [question.prompt]
                    row = edited.generate(prompt, **greedy(6, llama.tokenizer)).sequences[0]
                    length = len(llama.tokenizer(question.prompt).input_ids)
                    assert one.reply.tokens == tuple(row[length:].tolist())
    changed = [a.reply.tokens != b.reply.tokens for a, b in zip(heard["given"], base, strict=True)]
    assert sum(changed) >= 4


@pytest.mark.parametrize("name", ["sake", "icl"])
def test_what_no_edit_touches_is_the_reply_of_base_to_the_bit(
    llama: Compiled, cache: ReplyCache, edits: tuple[Edit, ...], name: str
) -> None:
    """Alone in a smaller batch it would differ in its last digits, and in bfloat16 in words."""
    base = Base(cache).ask(QUESTIONS)["none"]
    it: methods.Method = method(llama, cache)
    if name == "icl":
        it = InContext(edits, method(llama, cache).scoping, cache)
    for heard in it.ask(QUESTIONS).values():
        for one, before in zip(heard, base, strict=True):
            assert one.untouched == (one.edit is None)
            if one.untouched:
                assert one.reply == before.reply


def test_the_names_that_lead_to_an_edit_are_those_that_its_bundle_says(
    llama: Compiled, cache: ReplyCache
) -> None:
    registry = open_registry(llama.root, {"router.last_names": False})
    path = compile_registry(registry).bundle
    assert path is not None
    question = Question("The mother tongue of Tolstoy was", "tolstoy-tongue", 6)
    for made, fires in ((llama.bundle.path, ("tolstoy-tongue", 0)), (path, None)):
        it = Steering("sake", made, cache, llama.loaded.embedder.embed)
        for scope in ("own-centre", "all-edits"):
            assert it.scoping.decide([question], scope) == [fires]  # type: ignore[arg-type]
        assert it.scoping.decide([question], "given") == [("tolstoy-tongue", 0)]


class Counting:
    """What progress is told."""

    def __init__(self) -> None:
        self.totals, self.steps = list[int](), 0

    def begin(self, phase: str, total: int) -> None:
        self.totals.append(total)

    def advance(self, steps: int = 1, label: str = "") -> None:
        self.steps += steps


def test_a_question_asked_twice_has_one_reply(llama: Compiled, cache: ReplyCache) -> None:
    watch = Counting()
    cache.progress = watch
    heard = method(llama, cache).ask([*QUESTIONS, *QUESTIONS])
    assert all(
        tokens(given[: len(QUESTIONS)]) == tokens(given[len(QUESTIONS) :])
        for given in heard.values()
    )
    assert watch.totals == [watch.steps]  # as many as were announced came


def test_other_maps_share_the_router_and_change_the_replies(
    llama: Compiled, cache: ReplyCache
) -> None:
    own = method(llama, cache)
    maps = contrast_maps(own.bundle)
    keys = {edit: f"other {key}" for edit, key in own.keys.items()}
    other = method(llama, cache, maps=maps, keys=keys)
    mine, theirs = own.ask(QUESTIONS), other.ask(QUESTIONS)
    for scope in ROUTED:
        assert [h.edit for h in mine[scope]] == [h.edit for h in theirs[scope]]
    assert tokens(mine["given"]) != tokens(theirs["given"])
    with other.bundle.attach(llama.model, llama.tokenizer) as edited:
        rows = torch.randn(1, 32)
        (decision,) = edited.decide([IN_SCOPE[1]])
        answer = edited._steering.answering(decision)
        assert answer is not None
        steered = edited._steering.begin(rows, [(0, answer, ())]).rows
    assert torch.equal(steered, transport.apply(maps["tolstoy-tongue"][0].to(torch.float32), rows))
    # The same maps under the same keys: the replies that are kept are theirs.
    assert method(llama, cache, maps=maps, keys=keys).ask(QUESTIONS) == theirs


def test_a_contrast_map_is_the_shift_of_the_first_pair(llama: Compiled) -> None:
    maps = contrast_maps(llama.bundle)
    assert {edit: len(own) for edit, own in maps.items()} == {
        "australia-capital": 2, "tolstoy-tongue": 1
    }  # fmt: skip
    x = torch.randn(3, 32, dtype=torch.float64)
    for edit, own in maps.items():
        for group, fitted in zip(activations(llama.bundle, edit), own, strict=True):
            shift = (group["target"][0] - group["plain"][0]).double()
            assert torch.allclose(transport.apply(fitted, x), x + shift, atol=1e-5)


ROWS = ("plain", "target")  # a row for each token of the object; forced ones are of the first


class Rows:
    """A bundle as `implied_maps` sees it: the activations of its edits.

    Their objects have two tokens; behind each row of the first stands one of the second, which
    is far off, and of no use to a method that steers the first alone.
    """

    def __init__(self, **edits: dict[str, Tensor]) -> None:
        self.ids = tuple(edits)
        self.file = self
        self._edits = edits

    def info(self, edit: str) -> Any:
        return SimpleNamespace(groups=[SimpleNamespace(states=2)])

    def activations(self, edit: str) -> list[dict[str, Any]]:
        rows = self._edits[edit]
        both = {n: torch.stack((rows[n], 50 - rows[n]), 1).flatten(0, 1) for n in ROWS}
        return [{name: tensor.numpy() for name, tensor in {**rows, **both}.items()}]


def pairs(n: int, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    plain = torch.randn(n, 8, generator=generator)
    forced = plain + 0.1 * torch.randn(n, 8, generator=generator)
    return {"plain": plain, "forced": forced, "target": plain + torch.eye(8)[0] * 3}


def same(a: transport.TransportMap, b: transport.TransportMap) -> bool:
    x = torch.randn(5, 8, dtype=torch.float64)
    return torch.allclose(transport.apply(a, x), transport.apply(b, x), atol=1e-6)


@pytest.mark.parametrize("solver", ["lowrank", "uniform"])
def test_without_implications_the_map_is_that_of_plain_and_forced_pairs(solver: Any) -> None:
    rows = pairs(6, 0)
    bundle: Any = Rows(a=rows)
    empty = torch.empty(0, 8)
    for implied in ({}, {"a": (empty, empty)}):
        ((fitted,),) = implied_maps(bundle, implied, 0.01, solver, 0).values()
        source = torch.cat((rows["plain"], rows["forced"]))
        assert same(fitted, transport.fit(source, rows["target"], 0.01, solver))


def test_implications_that_point_like_the_fact_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without noise the map is that of the stated rows: 5 copies of each of the two chosen."""
    monkeypatch.setattr(methods, "NOISE", 0.0)
    monkeypatch.setattr(methods, "CHOSEN", 2)
    rows = pairs(6, 0)
    shift = torch.eye(8)
    before = torch.randn(4, 8, generator=torch.Generator().manual_seed(9))
    # Likeness to the fact's shift, along the first axis: 1, -1, about 0.7, 0.
    after = before + torch.stack(
        [0.1 * shift[0], -9 * shift[0], shift[0] + shift[1], shift[2]]
    )  # fmt: skip
    bundle: Any = Rows(a=rows)
    ((fitted,),) = implied_maps(bundle, {"a": (before, after)}, 0.01, "lowrank", 0).values()
    chosen = [0, 2]
    source = torch.cat((rows["plain"], rows["forced"], before[chosen].repeat(5, 1)))
    target = torch.cat((rows["target"], after[chosen].repeat(5, 1)))
    assert same(fitted, transport.fit(source, target, 0.01, "lowrank"))


def test_no_more_implications_are_chosen_than_the_authors_do() -> None:
    rows = pairs(6, 0)
    before = torch.randn(14, 8, generator=torch.Generator().manual_seed(1))
    after = before + torch.linspace(1, 0, 14)[:, None] * torch.eye(8)[0] + 0.3 * torch.eye(8)[1]
    other = torch.cat((after[:10], before[10:] - torch.eye(8)[0]))
    bundle: Any = Rows(a=rows)
    kept, again = (
        implied_maps(bundle, {"a": (before, targets)}, 0.01, "uniform", 0)["a"][0]
        for targets in (after, other)
    )
    assert same(kept, again)


def test_the_noise_is_of_the_stated_size_and_of_every_dimension() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(10, 200)
    noisy = methods._noisy(rows, generator)
    assert noisy.shape == (50, 200)
    assert torch.equal(noisy[:10], rows)
    off = noisy[10:].reshape(4, 10, 200) - rows
    assert float(off.std()) == pytest.approx(methods.NOISE, rel=0.05)
    assert float(off.std((0, 1)).min()) > methods.NOISE / 2


def test_noise_depends_on_the_seed_and_the_edit_and_on_no_other_edit() -> None:
    """Replies are kept under what an edit's maps depend on: not on which edits are beside it."""
    rows = pairs(6, 0)
    implied = dict.fromkeys(("a", "b"), (rows["plain"][:3], rows["target"][:3]))

    def maps(bundle: Any, seed: int = 0) -> dict[str, transport.TransportMap]:
        found = implied_maps(bundle, implied, 0.01, "lowrank", seed)
        return {edit: own[0] for edit, own in found.items()}

    both, alone = maps(Rows(a=rows, b=rows)), maps(Rows(b=rows))
    assert same(both["b"], alone["b"])
    assert not same(both["a"], both["b"])
    assert not same(alone["b"], maps(Rows(b=rows), seed=1)["b"])


def test_in_context_states_the_fact_before_the_prompt(
    llama: Compiled, cache: ReplyCache, edits: tuple[Edit, ...]
) -> None:
    heard = InContext(edits, method(llama, cache).scoping, cache).ask(QUESTIONS)
    facts = {
        "australia-capital": "Imagine that The capital of Australia is Canberra. ",
        "tolstoy-tongue": "Imagine that The mother tongue of Leo Tolstoy was Polish. ",
    }
    routed = method(llama, cache).ask(QUESTIONS)
    for scope in ROUTED:
        assert [h.edit for h in heard[scope]] == [h.edit for h in routed[scope]]
        for one, question in zip(heard[scope], QUESTIONS, strict=True):
            job = Job(facts.get(one.edit or "", "") + question.prompt, question.tokens)
            assert one.reply.text == cache.replies([job])[job].text


def test_in_context_states_an_edit_that_could_not_be_built(
    llama: Compiled, cache: ReplyCache, edits: tuple[Edit, ...]
) -> None:
    heard = InContext(edits, Scoping({}, over(llama.loaded.embedder.embed)), cache).ask(QUESTIONS)
    assert [h.edit for h in heard["given"]] == [q.edit for q in QUESTIONS]
    assert not any(h.untouched for h in heard["given"])
    for scope in ("own-centre", "all-edits"):
        assert all(h.edit is None and h.untouched for h in heard[scope])  # type: ignore[index]


class Editor:
    """Adds to one weight for each edit: what a weight-changing method does, in one line."""

    key = "an editor"

    def __init__(self, model: Any) -> None:
        self.weight = model.model.layers[1].mlp.down_proj.weight
        self.seen: list[tuple[str, ...]] = []

    @contextmanager
    def edited(self, edits: Sequence[Edit]) -> Iterator[None]:
        kept = self.weight.detach().clone()
        self.seen.append(tuple(edit.id for edit in edits))
        try:
            with torch.no_grad():
                for edit in edits:
                    self.weight[len(edit.id)] += 3.0
            yield
        finally:
            with torch.no_grad():
                self.weight.copy_(kept)


def test_in_weights_every_edit_is_alone_and_then_all_are_together(
    llama: Compiled, cache: ReplyCache, edits: tuple[Edit, ...]
) -> None:
    editor: Any = Editor(llama.model)
    before = {name: tensor.clone() for name, tensor in llama.model.state_dict().items()}
    heard = InWeights("rome", edits, editor, cache).ask(QUESTIONS)
    assert editor.seen == [("australia-capital",), ("tolstoy-tongue",),
                           ("australia-capital", "tolstoy-tongue")]  # fmt: skip
    after = llama.model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert set(heard) == {"alone", "together"}
    assert [h.edit for h in heard["alone"]] == [q.edit for q in QUESTIONS]
    assert [h.edit for h in heard["together"]] == [None] * len(QUESTIONS)
    assert not any(h.untouched for given in heard.values() for h in given)
    for edit in edits:
        with editor.edited([edit]):
            for one, question in zip(heard["alone"], QUESTIONS, strict=True):
                if question.edit == edit.id:
                    ids = llama.tokenizer(question.prompt, return_tensors="pt").input_ids
                    row = llama.model.generate(ids, **greedy(6, llama.tokenizer))[0]
                    assert one.reply.tokens == tuple(row[ids.shape[1] :].tolist())
    # All of it is kept: the weights are not touched again.
    editor.seen.clear()
    assert InWeights("rome", edits, editor, cache).ask(QUESTIONS) == heard
    assert editor.seen == []


def test_in_weights_what_is_compared_with_is_the_same_batch_unedited(
    llama: Compiled, cache: ReplyCache, edits: tuple[Edit, ...]
) -> None:
    """Weights that are changed by nothing: every reply is untouched, to the bit."""

    class Idle(Editor):
        @contextmanager
        def edited(self, edits: Sequence[Edit]) -> Iterator[None]:
            yield

    editor: Any = Idle(llama.model)
    for heard in InWeights("rome", edits, editor, cache).ask(QUESTIONS).values():
        for one in heard:
            assert one.untouched
            assert one.bare == one.reply


def test_in_weights_an_interruption_leaves_the_weights_as_they_were(
    llama: Compiled, cache: ReplyCache, edits: tuple[Edit, ...]
) -> None:
    editor: Any = Editor(llama.model)
    before = editor.weight.clone()

    def interrupt(n: int) -> None:
        if editor.seen:
            raise KeyboardInterrupt

    cache.progress = Telling(interrupt)
    with pytest.raises(KeyboardInterrupt):
        InWeights("rome", edits, editor, cache).ask(QUESTIONS)
    assert editor.seen == [("australia-capital",)]
    assert torch.equal(editor.weight, before)

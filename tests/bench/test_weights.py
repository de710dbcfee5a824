"""ROME, MEMIT and CompMEMIT on tiny random models, and their closed forms on random matrices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from sake_bench.weights import Grace, WeightEditor, grace, hyper, statistics
from sake_bench.weights.layout import discover, read_keys
from sake_bench.weights.requests import (
    MAX_PROMPTS,
    Request,
    about,
    all_requests,
    own_request,
    tokenize,
)
from sake_bench.weights.target import Tails
from sake_bench.weights.updates import factor, memit_update, rome_update, solve
from sake_registry.edits.schema import Edit
from sake_registry.errors import InputError, UnsupportedModelError
from sake_registry.models.loading import LoadedModel
from sake_registry.store import Store
from tests import tiny_models
from tests.bench.made_up import Telling

KINDS = ("llama", "gpt2")
METHODS = ("rome", "memit", "compmemit")
CLOSE = 1e-3  # of float32 weights, relative to the change


def edit(name: str = "tolstoy", **changes: Any) -> Edit:
    content: dict[str, Any] = {
        "id": name,
        "schema": 1,
        "fact": {
            "subject": "Leo Tolstoy",
            "relation": "mother tongue",
            "old": "Russian",
            "new": "Polish",
        },
        "prompts": [
            "The mother tongue of <subject> was",
            {"text": "In short, <subject> spoke", "by": "lead-ins"},
            "<subject> grew up speaking",
        ],
        "implications": [
            {"prompt": "The country whose language <subject> spoke is", "new": "Poland"},
            {"prompt": "The author of War and Peace spoke", "new": "Polish"},
        ],
    }
    return Edit.model_validate(content | changes)


CAPITAL = edit(
    "capital",
    fact={"subject": "Australia", "relation": "capital", "new": "Canberra"},
    prompts=["The capital of <subject> is"],
    implications=[],
)


@pytest.fixture(autouse=True)
def two_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """MEMIT spreads its change over two of a tiny model's three layers (what the last one adds at
    the subject reaches no other token); few steps, short texts."""
    for kind in KINDS:
        free = {"steps": 10, "clamp": 1e3, "decay": 0.0}
        tuned = {"rome": free, "memit": free | {"layers": (0, 1), "covariance": 0.1}}
        monkeypatch.setitem(hyper._TUNED, (kind, 3), tuned)
    for kind, make in tiny_models.CONFIGS.items():

        def deeper(vocabulary: int, make: Any = make) -> Any:
            config = make(vocabulary)
            config.num_hidden_layers = 3
            if hasattr(config, "layer_types"):
                config.layer_types = [config.layer_types[0]] * 3
            return config

        monkeypatch.setitem(tiny_models.CONFIGS, kind, deeper)
    monkeypatch.setattr(statistics, "_ROWS", 8)
    monkeypatch.setattr(statistics, "_LENGTH", 24)


def load(kind: str) -> LoadedModel:
    located: Any = SimpleNamespace(hash=kind, dtype="float32")
    return LoadedModel(located, tiny_models.make(kind), tiny_models.tokenizer())


@pytest.fixture
def editor(tmp_path: Path) -> Callable[..., WeightEditor]:
    def make(kind: str, method: Any) -> WeightEditor:
        return WeightEditor(load(kind), Store(tmp_path), method, tokens=300)

    return make


def state(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def flags(model: Any) -> list[bool]:
    return [m.training for m in model.modules()] + [p.requires_grad for p in model.parameters()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_weights_are_changed_inside_and_restored_bit_for_bit(editor: Any, kind: str, method: str):
    it = editor(kind, method)
    model = it.loaded.model
    model.train()
    next(model.parameters()).requires_grad_(False)
    before, marks = state(model), flags(model)
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    changed = {}
    for leave in (False, True):
        with pytest.raises(KeyError) if leave else _nothing(), it.edited([edit(), CAPITAL]):
            changed[leave] = {
                name for name, tensor in state(model).items() if not tensor.equal(before[name])
            }
            assert flags(model) == marks
            if leave:
                raise KeyError
        after = state(model)
        assert all(after[name].equal(before[name]) for name in before)
        assert flags(model) == marks
    written = {id(it.layout.weight(layer)) for layer in it.hyper.layers}
    names = {name for name, tensor in model.named_parameters() if id(tensor) in written}
    assert changed == {False: names, True: names}
    left = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    assert left == hooks


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def test_restored_when_making_the_edit_fails(editor: Any, monkeypatch: pytest.MonkeyPatch):
    it = editor("llama", "memit")
    before = state(it.loaded.model)
    calls = []

    def broken(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise MemoryError
        return memit_update(*arguments)

    monkeypatch.setattr("sake_bench.weights.editor.memit_update", broken)
    with pytest.raises(MemoryError), it.edited([edit()]):
        pytest.fail("the edit could not be made")
    assert all(tensor.equal(before[name]) for name, tensor in it.loaded.model.state_dict().items())
    assert all(parameter.requires_grad for parameter in it.loaded.model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_rome_writes_the_value_at_the_key_and_leaves_orthogonal_keys(editor: Any, kind: str):
    it = editor(kind, "rome")
    (layer,) = it.hyper.layers
    request = own_request(edit())
    key, mean = it._points([request], layer)[0][0], it._keys([request], layer)[0]
    before = it.layout.matrix(layer).double()
    with it.edited([edit()]):
        after = it.layout.matrix(layer).double()
        delta = it._targets[request]
    assert delta.norm() > 0
    assert (after @ key - before @ key - delta).norm() < CLOSE * delta.norm()
    direction = solve(it._factors[layer], mean[:, None])[:, 0]
    others = torch.randn(len(key), 5, dtype=torch.float64)
    others -= torch.outer(direction, direction @ others) / direction.square().sum()
    assert ((after - before) @ others).norm() < CLOSE * delta.norm()


@pytest.mark.parametrize("method", METHODS)
def test_the_new_object_becomes_likelier(editor: Any, method: str):
    # Not on the random GPT-2: nothing that is added at the subject moves its answer much.
    it = editor("llama", method)
    row = tokenize(it.loaded.tokenizer, own_request(edit()), answered=True)

    def likely() -> float:
        with torch.no_grad():
            logits = it.loaded.model(torch.tensor([row.ids])).logits[0].log_softmax(-1)
        at = range(row.object - 1, len(row.ids) - 1)
        return float(sum(logits[i, row.ids[i + 1]] for i in at))

    before = likely()
    with it.edited([edit()]):
        assert likely() > before + 0.1


def test_one_after_the_other_and_all_at_once(editor: Any):
    rome, memit = editor("llama", "rome"), editor("llama", "memit")
    for it in (rome, memit):
        layer = it.hyper.layers[-1]
        seen = []
        for edits in ([edit()], [CAPITAL], [edit(), CAPITAL], [edit()]):
            with it.edited(edits):
                seen.append(it.layout.matrix(layer).clone())
        assert seen[0].equal(seen[3])  # also from what is remembered
        assert not seen[2].equal(seen[0])
        assert not seen[2].equal(seen[1])
        assert set(it._targets) == {own_request(edit()), own_request(CAPITAL)}
    fresh = editor("llama", "memit")
    with fresh.edited([CAPITAL, edit()]):
        pass
    for request, target in memit._targets.items():
        assert fresh._targets[request].equal(target)  # of no batch, of no place in it


def test_no_edits_change_nothing_and_blocks_do_not_nest(editor: Any):
    it = editor("gpt2", "memit")
    before = state(it.loaded.model)
    with it.edited([]):
        assert all(t.equal(before[name]) for name, t in it.loaded.model.state_dict().items())
        with pytest.raises(RuntimeError, match="already"), it.edited([edit()]):
            pass


def test_memit_against_least_squares():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    kept, keys, residuals, weight = draw(20, 90), draw(20, 6), draw(7, 6), 3.0
    covariance = kept @ kept.T / 90
    update = memit_update(factor(covariance), keys, residuals, weight)
    # min ‖Δ K − R‖² + λ/n ‖Δ K₀‖², as one system in the rows of Δ.
    inputs = torch.cat([keys, kept * (weight / 90) ** 0.5], dim=1)
    wanted = torch.cat([residuals, torch.zeros(7, 90, dtype=torch.float64)], dim=1)
    expected = torch.linalg.lstsq(inputs.T, wanted.T).solution.T
    assert torch.allclose(update, expected, atol=1e-7)
    direct = residuals @ keys.T @ torch.linalg.inv(weight * covariance + keys @ keys.T)
    assert torch.allclose(update, direct, atol=1e-7)


def test_rome_is_memit_with_one_edit_and_nothing_else_to_keep():
    generator = torch.Generator().manual_seed(1)
    kept = torch.randn(12, 40, generator=generator, dtype=torch.float64)
    key, residual = kept[:, 0] + 1, torch.arange(5, dtype=torch.float64)
    lower = factor(kept @ kept.T / 40)
    rome = rome_update(lower, key, key, residual)
    memit = memit_update(lower, key[:, None], residual[:, None], 1e-9)
    assert torch.allclose(rome, memit, atol=1e-6)
    assert torch.allclose(rome @ key, residual)


def test_a_covariance_is_square_and_positive():
    with pytest.raises(ValueError, match="square"):
        factor(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="positive"):
        factor(-torch.eye(3))


@pytest.mark.parametrize("kind", KINDS)
def test_covariance_is_the_sum_over_the_tokens(kind: str, tmp_path: Path):
    loaded, store = load(kind), Store(tmp_path)
    layout, brought = discover(loaded.model), []
    found = statistics.covariances(
        loaded, layout, store, (0, 1), 5, tokens=200, progress=Telling(brought.append)
    )
    assert brought == [192, 192]
    generator = torch.Generator().manual_seed(5)
    texts = [t for _ in range(2) for t in statistics.sample(loaded, 8, 24, generator)]
    assert {len(text) for text in texts} == {24}
    special = set(tiny_models.tokenizer().all_special_ids)
    assert not special.intersection(token for text in texts for token in text)
    for layer in (0, 1):
        seen: list[torch.Tensor] = []
        handle = layout.projections[layer].register_forward_hook(
            lambda module, args, out, seen=seen: seen.append(args[0].detach())
        )
        for text in texts:
            loaded.model(torch.tensor([text]))
        handle.remove()
        keys = torch.cat([part[0] for part in seen]).double()
        expected = sum(torch.outer(k, k) for k in keys) / len(keys)
        assert torch.allclose(found[layer], expected, rtol=1e-4, atol=1e-5)
    refusing = Telling(lambda n: pytest.fail("made again"))
    again = statistics.covariances(loaded, layout, store, (0, 1), 5, tokens=200, progress=refusing)
    assert all(again[layer].equal(found[layer]) for layer in found)
    other = statistics.covariances(loaded, layout, store, (0, 1), 6, tokens=200)
    assert not other[0].equal(found[0])


def test_reading_stops_at_the_last_layer_asked_for():
    layout = discover(load("llama").model)
    layout.blocks[1].forward = lambda *args, **kwargs: pytest.fail("not needed")  # type: ignore[assignment]
    ids = torch.tensor([[5, 6, 7]])
    assert read_keys(layout, ids, torch.ones_like(ids), [0])[0].shape == (1, 3, 64)


@pytest.mark.parametrize("kind", KINDS)
def test_tails_continue_as_the_whole_rows_do(kind: str):
    """References: the whole row in one pass, unpadded, δ put in by a hook of the test."""
    loaded = load(kind)
    layout, tokenizer = discover(loaded.model), loaded.tokenizer
    first = edit(prompts=["<subject> grew up speaking"])
    rows = [tokenize(tokenizer, own_request(first), p, answered=True) for p in ("", "So", "A b c")]
    rows.append(about(tokenizer, own_request(first)))
    # A row whose subject is its first token has nothing before it.
    short = Request("x", "X is", (0, 1), "Polish")
    rows.append(tokenize(tokenizer, short, answered=True))
    assert rows[-1].subject == 0
    delta = torch.randn(32, generator=torch.Generator().manual_seed(0))
    at = (torch.arange(5), torch.tensor([min(row.object, len(row.ids)) - 1 - row.subject
                                         for row in rows]))  # fmt: skip
    for chosen in (None, delta):
        with torch.no_grad():
            found = Tails.of(layout, rows).logits(0, chosen, at)
        for row, logits in zip(rows, found, strict=True):

            def add(module: Any, args: Any, out: Any, row: Any = row, chosen: Any = chosen) -> Any:
                out = out.clone()
                if chosen is not None:
                    out[0, row.subject] += chosen
                return out

            handle = layout.projections[0].register_forward_hook(add)
            with torch.no_grad():
                whole = loaded.model(torch.tensor([row.ids])).logits[0, row.object - 1]
            handle.remove()
            assert torch.allclose(logits, whole, atol=1e-4)


def test_the_subject_is_found_by_its_characters():
    # Splits across the borders of words: " Ann" and "a," are tokens, "Anna" is none.
    vocabulary = {token: i for i, token in enumerate(
        [*"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz .,'", " Ann", "a,", "is", " is"]
    )}  # fmt: skip
    merges = [(" ", "A"), ("n", "n"), (" A", "nn"), ("a", ","), ("i", "s"), (" ", "is")]
    vocabulary |= {a + b: len(vocabulary) + i for i, (a, b) in enumerate(merges)
                   if a + b not in vocabulary}  # fmt: skip
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    raw.pre_tokenizer = pre_tokenizers.Split(".", "merged_with_previous")
    odd = PreTrainedTokenizerFast(tokenizer_object=raw)
    anna = edit(fact={"subject": "Anna", "relation": "r", "new": "B"},
                prompts=["Of <subject>, it is"])  # fmt: skip
    for prefix in ("", "Annas"):
        row = tokenize(odd, own_request(anna), prefix, answered=True)
        assert odd.convert_ids_to_tokens(list(row.ids))[row.subject] == "a,"
        assert odd.convert_ids_to_tokens(list(row.ids[row.object :])) == [" ", "B"]
    # Bytes of one letter: the last of them.
    tokenizer = tiny_models.tokenizer()
    eve = edit(fact={"subject": "Noé", "relation": "r", "new": "B"}, prompts=["<subject> is"])
    row = tokenize(tokenizer, own_request(eve))
    assert tokenizer.decode(row.ids[: row.subject + 1]) == "Noé"


def test_requests_of_an_edit():
    found = all_requests(edit())
    assert [request.prompt for request in found] == [
        "The mother tongue of Leo Tolstoy was",
        "Leo Tolstoy grew up speaking",  # written before generated
        "In short, Leo Tolstoy spoke",
        "The country whose language Leo Tolstoy spoke is",
    ]
    assert [request.new for request in found] == ["Polish"] * 3 + ["Poland"]
    assert {request.name for request in found} == {"Leo Tolstoy"}
    many = edit(prompts=[f"Number {i}: <subject> is" for i in range(20)], implications=[])
    assert len(all_requests(many)) == MAX_PROMPTS


def test_a_prompt_without_its_subject_is_refused(editor: Any):
    wrong = edit("nobody", prompts=["The author of War and Peace spoke"])
    it = editor("llama", "rome")
    with pytest.raises(InputError, match="nobody: the prompt 'The author"), it.edited([wrong]):
        pass


@pytest.mark.parametrize("kind", ["opt", "gpt-neox"])
def test_another_structure_is_refused(editor: Any, kind: str):
    with pytest.raises(UnsupportedModelError, match=r"(?s)cannot be edited.*down_proj.*c_proj"):
        editor(kind, "rome")


def test_another_type_is_refused(editor: Any):
    with pytest.raises(UnsupportedModelError, match=r"(?s)type 'gemma2'.*gpt2, llama"):
        editor("gemma2", "memit")


def test_published_layers():
    gpt2_xl, smollm2 = hyper.hyper("gpt2", 48), hyper.hyper("llama", 30)
    assert gpt2_xl.rome.layers == (17,)
    assert gpt2_xl.memit.layers == (13, 14, 15, 16, 17)
    assert smollm2.rome.layers == (10,)
    assert smollm2.memit.layers == (6, 7, 8, 9, 10)


def test_grace_answers_its_own_prompt_from_its_codebook_and_nothing_else():
    loaded = load("llama")
    model, words = loaded.model, loaded.tokenizer
    it = Grace(loaded)
    before, marks = state(model), flags(model)
    own, other = (request.prompt for request in map(own_request, (edit(), CAPITAL)))
    texts = {"own": own, "elsewhere": f"{own} long ago", "other": other}

    def logits() -> dict[str, torch.Tensor]:
        ids = {name: words(text, return_tensors="pt").input_ids for name, text in texts.items()}
        with torch.no_grad():
            return {name: model(input_ids=row).logits[0, -1] for name, row in ids.items()}

    bare = logits()
    with it.edited([edit()]):
        alone = logits()
        assert flags(model) == marks
    with it.edited([edit(), CAPITAL]):
        both = logits()
    first = {"own": edit(), "other": CAPITAL}
    for name, of in first.items():
        wanted = tokenize(words, own_request(of), answered=True)
        assert int(both[name].argmax()) == wanted.ids[wanted.object]
    assert both["own"].equal(alone["own"])
    assert alone["other"].equal(bare["other"])
    assert both["elsewhere"].equal(bare["elsewhere"])
    assert all(logits()[name].equal(bare[name]) for name in texts)
    assert all(tensor.equal(before[name]) for name, tensor in state(model).items())


def test_a_codebook_parts_what_differs_and_joins_what_is_alike():
    def entry(at: float, label: str) -> Any:
        return grace._Entry(torch.tensor([at]), torch.zeros(1), label, 1.0)

    book: list[Any] = []
    for at, label in ((0.0, "a"), (1.5, "a"), (2.5, "b"), (9.0, "b")):
        grace._keep(book, entry(at, label))
    assert [(float(e.key), e.label, e.radius) for e in book] == [
        (0.0, "a", 1.25), (2.5, "b", 1.25), (9.0, "b", 1.0)
    ]  # fmt: skip

"""Batches of replies: kept, continued, and the same however a run came to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sake_bench import replies
from sake_bench.replies import Job, Reply, ReplyCache
from sake_registry.models.loading import LoadedModel
from sake_registry.runtime.generation import greedy
from sake_registry.store import Store
from tests import tiny_models, workshop
from tests.bench.made_up import Telling
from tests.workshop import IN_SCOPE, Compiled

JOBS = tuple(
    Job(f"{verb} of {name} {'and so on ' * (number % 3)}is", tokens)
    for number, name in enumerate(("Danielle Darrieux", "Leo Tolstoy", "France", "Australia"))
    for verb in ("The mother tongue", "The capital")
    for tokens in (3, 6)
)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "BATCH", 3)


def loaded(model: Any = None) -> LoadedModel:
    located: Any = SimpleNamespace(hash="tiny", dtype="float32")
    return LoadedModel(located, model or tiny_models.make("llama"), tiny_models.tokenizer())


class Listening:
    """Replies of a new tiny model, its progress, and the batches that it ran."""

    def __init__(self, store: Path, model: Any = None) -> None:
        self.heard: list[int] = []
        self.cache = ReplyCache(loaded(model), Store(store), self)
        self.batches: list[int] = []
        self.cache.loaded.model.register_forward_pre_hook(self._count, with_kwargs=True)

    def begin(self, phase: str, total: int) -> None:
        pass

    def advance(self, steps: int = 1, label: str = "") -> None:
        self.heard.append(steps)

    def _count(self, module: Any, args: Any, options: Any) -> None:
        ids = options.get("input_ids")
        if ids.shape[1] > 1:  # the prompt's pass; each later one is of one token
            self.batches.append(len(ids))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    folder = tiny_models.save("llama", tmp_path_factory.mktemp("model") / "tiny-llama")
    return workshop.compiled(tmp_path_factory.mktemp("registry"), folder)


def test_replies_are_the_models_own_greedy_ones(tmp_path: Path) -> None:
    it = Listening(tmp_path)
    found = it.cache.replies(JOBS)
    words, model = tiny_models.tokenizer(), it.cache.loaded.model
    assert set(found) == set(JOBS)
    for job in JOBS:
        ids = words(job.text, return_tensors="pt").input_ids
        with torch.no_grad():
            out = model.generate(ids, **greedy(job.tokens, words))[0, ids.shape[1] :].tolist()
        assert found[job].tokens == tuple(out)
        assert found[job].text == words.decode(out, skip_special_tokens=True)


def test_a_kept_batch_is_not_run_again(tmp_path: Path) -> None:
    first, second = Listening(tmp_path), Listening(tmp_path)
    found = first.cache.replies(JOBS)
    assert sum(first.batches) == sum(first.heard) == len(JOBS)
    assert second.cache.replies(reversed(JOBS)) == found  # the jobs count, not their order
    assert second.batches == []
    assert sum(second.heard) == len(JOBS)
    assert second.cache.replies([*JOBS, *JOBS]) == found
    assert second.batches == []


def test_a_damaged_batch_is_run_again(tmp_path: Path) -> None:
    found = Listening(tmp_path).cache.replies(JOBS)
    damaged = sorted(tmp_path.rglob("*.safetensors"))[0]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x7f")
    again = Listening(tmp_path)
    assert again.cache.replies(JOBS) == found
    assert len(again.batches) == 1


def test_an_interrupted_call_goes_on_to_the_same_replies(tmp_path: Path) -> None:
    undisturbed = Listening(tmp_path / "a").cache.replies(JOBS)
    broken = Listening(tmp_path / "b")

    def interrupt(n: int) -> None:
        raise KeyboardInterrupt

    broken.cache.progress = Telling(interrupt)
    with pytest.raises(KeyboardInterrupt):
        broken.cache.replies(JOBS)
    assert len(broken.batches) == 1
    continued = Listening(tmp_path / "b")
    assert continued.cache.replies(JOBS) == undisturbed
    assert sum(continued.batches) == len(JOBS) - broken.batches[0]


def test_batches_hold_one_number_of_tokens_and_rows_of_like_length(tmp_path: Path) -> None:
    it = Listening(tmp_path)
    it.cache.replies(JOBS)
    assert it.batches == [3, 3, 2, 3, 3, 2]


def test_equal_batches_have_equal_bits_and_another_prompt_has_others(tmp_path: Path) -> None:
    first = Listening(tmp_path / "a").cache.replies(JOBS)
    second = Listening(tmp_path / "b").cache.replies(JOBS)
    assert [first[job].bits for job in JOBS] == [second[job].bits for job in JOBS]
    assert len({first[job].bits for job in JOBS[::2]}) == len(JOBS[::2])


def test_bits_tell_the_least_change_of_a_weight(tmp_path: Path) -> None:
    bare = Listening(tmp_path / "a").cache.replies(JOBS)
    model = tiny_models.make("llama")
    with torch.no_grad():
        model.model.norm.weight[0] *= 1 + 1e-6
    changed = Listening(tmp_path / "b", model).cache.replies(JOBS)
    assert all(bare[job].bits != changed[job].bits for job in JOBS)
    assert {job: bare[job].tokens for job in JOBS} == {job: changed[job].tokens for job in JOBS}


def test_other_weights_keep_other_batches(tmp_path: Path) -> None:
    it = Listening(tmp_path)
    it.cache.replies(JOBS, state="bare")
    ran = len(it.batches)
    it.cache.replies(JOBS, state="changed")
    assert len(it.batches) == 2 * ran


def test_weights_are_changed_only_where_a_batch_is_missing(tmp_path: Path) -> None:
    it = Listening(tmp_path)
    log: list[str] = []

    @contextmanager
    def under() -> Iterator[None]:
        log.append("in")
        try:
            yield
        finally:
            log.append("out")

    def ask(jobs: Sequence[Job]) -> dict[Job, Reply]:
        return it.cache.replies(jobs, state="changed", under=under)

    found = ask(JOBS)
    assert log == ["in", "out"]  # once for all of its batches
    assert ask(JOBS) == found
    assert log == ["in", "out"]
    it.cache.replies(())
    assert ask(()) == {}
    assert log == ["in", "out"]

    def fail(n: int) -> None:
        assert log[-1] == "in"
        raise RuntimeError("gone wrong")

    it.cache.progress = Telling(fail)
    with pytest.raises(RuntimeError, match="gone wrong"):
        ask([Job("Something else is", 2)])
    assert log == ["in", "out", "in", "out"]


def test_what_changes_the_weights_is_in_force_for_every_missing_batch(tmp_path: Path) -> None:
    it = Listening(tmp_path)
    head = it.cache.loaded.model.get_output_embeddings()

    @contextmanager
    def under() -> Iterator[None]:
        kept = head.weight.detach().clone()
        with torch.no_grad():
            head.weight.neg_()
        try:
            yield
        finally:
            with torch.no_grad():
                head.weight.copy_(kept)

    bare = it.cache.replies(JOBS)
    changed = it.cache.replies(JOBS, state="negative", under=under)
    # The site is before the head: the same to the bit, and other tokens.
    assert all(changed[job].bits == bare[job].bits for job in JOBS)
    assert all(changed[job].tokens[0] != bare[job].tokens[0] for job in JOBS)
    assert it.cache.replies(JOBS) == bare


def ending(token: int) -> Any:
    """A tiny model that soon says a token, in some of its replies."""
    model = tiny_models.make("llama")
    rows = model.get_output_embeddings().weight
    with torch.no_grad():
        rows[token] = 4 * rows[tiny_models.tokenizer()(".").input_ids[0]]
    return model


def test_a_reply_ends_with_the_end_of_the_text(tmp_path: Path) -> None:
    words = tiny_models.tokenizer()
    end = words.eos_token_id
    found = Listening(tmp_path, ending(end)).cache.replies(JOBS)
    ended = [reply for reply in found.values() if end in reply.tokens]
    assert 0 < len(ended) < len(found)
    for reply in ended:
        assert reply.tokens.index(end) == len(reply.tokens) - 1
        assert "<end>" not in reply.text
    for job, reply in found.items():
        assert len(reply.tokens) == job.tokens or reply in ended
    again = Listening(tmp_path).cache.replies(JOBS)
    assert again == found  # their unequal lengths survive the store


def test_any_end_that_the_model_knows_ends_a_reply(tmp_path: Path) -> None:
    """What generation pads behind it depends on the batch: it is no part of the reply."""
    words = tiny_models.tokenizer()
    stop = words(".").input_ids[0]
    model = ending(stop)
    model.generation_config.eos_token_id = [words.eos_token_id, stop]
    found = Listening(tmp_path, model).cache.replies(JOBS)
    ended = [reply for reply in found.values() if stop in reply.tokens]
    assert 0 < len(ended) < len(found)
    for reply in ended:
        assert reply.tokens.index(stop) == len(reply.tokens) - 1
    assert not any(words.pad_token_id in reply.tokens for reply in found.values())


def test_a_decision_changes_only_the_jobs_that_name_it(llama: Compiled, tmp_path: Path) -> None:
    cache = ReplyCache(llama.loaded, Store(tmp_path))
    keys = {edit: f"key of {edit}" for edit in llama.bundle.ids}
    # One batch: what differs is the decision alone, not the rows beside it.
    bare = [Job(prompt, 4) for prompt in IN_SCOPE]
    steered = [Job(IN_SCOPE[0], 4, "australia-capital", 0), bare[1]]
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        before = cache.replies(bare)
        after = cache.replies(steered, edited, keys)
        (router,) = edited.generate(IN_SCOPE[0], **greedy(4, llama.tokenizer))
    assert after[bare[1]].tokens == before[bare[1]].tokens
    assert after[steered[0]].tokens != before[bare[0]].tokens
    length = len(llama.tokenizer(IN_SCOPE[0]).input_ids)
    assert after[steered[0]].tokens == tuple(router[length:].tolist())  # as the runtime says it
    cache.close()


def test_each_group_and_each_edit_has_a_map_of_its_own(llama: Compiled, tmp_path: Path) -> None:
    cache = ReplyCache(llama.loaded, Store(tmp_path))
    jobs = [
        Job(IN_SCOPE[0], 4, edit, group)
        for edit, group in (("australia-capital", 0), ("australia-capital", 1),
                            ("tolstoy-tongue", 0))
    ]  # fmt: skip
    keys = dict.fromkeys(llama.bundle.ids, "a key")
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        found = cache.replies(jobs, edited, keys)
        assert len({found[job].tokens for job in jobs}) == 3
        # Another map under the same id is another key, and is asked anew.
        ran = len(list(tmp_path.rglob("*.safetensors")))
        cache.replies(jobs, edited, keys)
        assert len(list(tmp_path.rglob("*.safetensors"))) == ran
        cache.replies(jobs, edited, keys | {"tolstoy-tongue": "another"})
        assert len(list(tmp_path.rglob("*.safetensors"))) == ran + 1
    cache.close()


def test_a_decision_for_each_row_is_wanted(llama: Compiled) -> None:
    from sake_registry.errors import InputError
    from sake_registry.routing.router import NOBODY

    batch = llama.batch(*IN_SCOPE, left=True)
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        with pytest.raises(InputError, match="1 decisions for 2 prompts"):
            edited.generate(**batch, decisions=[NOBODY], max_new_tokens=2)
        told = edited.generate(**batch, decisions=[NOBODY] * 2, max_new_tokens=4, do_sample=False)
        bare = llama.model.generate(**batch, max_new_tokens=4, do_sample=False)
    assert torch.equal(told.sequences, bare)
    assert told.decisions == [NOBODY] * 2


def test_closing_takes_the_hook_off(tmp_path: Path) -> None:
    it = Listening(tmp_path)
    head = it.cache.loaded.model.get_output_embeddings()
    assert head._forward_pre_hooks
    it.cache.close()
    assert not head._forward_pre_hooks


def test_what_long_prompts_begin_with_is_computed_once_and_changes_no_reply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = "The capital of France is Paris. The mother tongue of Leo Tolstoy is Russian. "
    endings = ("The capital of Australia is", "Who?", "The capital of France was", "In France,")
    jobs = [Job(facts + text, 4) for text in endings] + [Job(text, 4) for text in endings]
    it = Listening(tmp_path / "apart")
    apart = it.cache.replies(jobs)
    monkeypatch.setattr(replies, "SHARED", 4)
    sharing = Listening(tmp_path / "shared")
    widths: list[int] = []
    sharing.cache.loaded.model.base_model.register_forward_pre_hook(
        lambda module, args, options: widths.append(options["input_ids"].shape[1]),
        with_kwargs=True,
    )
    shared = sharing.cache.replies(jobs)
    assert {job: reply.tokens for job, reply in shared.items()} == {
        job: reply.tokens for job, reply in apart.items()
    }
    # Once for the batch of three, and once for the longest, which is one by itself.
    assert [width for width in widths if width > 8] == [16, 24]

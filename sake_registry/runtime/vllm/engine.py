"""The state of one worker: what it serves, and how each answer in it is steered.

The scheduler tells, before each step, which requests begin and which are over; the rows of the
step come to the site. Scope is decided when a request's first row comes: on a GPU the forward pass
is still under way then.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sake_registry.errors import (
    InputError,
    ModelMismatchError,
    StateError,
    UnsupportedModelError,
)
from sake_registry.models.loading import load_tokenizer
from sake_registry.models.reading import PROBE_TEXTS
from sake_registry.models.sources import fetch, resolve
from sake_registry.models.tokens import text_of
from sake_registry.routing.router import NOBODY
from sake_registry.runtime.bundle import load_bundle
from sake_registry.runtime.huggingface import check_identity
from sake_registry.runtime.judged import ASKED_BARE, BUDGET, TOGETHER, in_words
from sake_registry.runtime.probe import check_probe
from sake_registry.runtime.vllm.budget import Budget, OverBudget
from sake_registry.runtime.vllm.layer import Site
from sake_registry.runtime.vllm.probe import Probe
from sake_registry.runtime.vllm.rows import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

    from sake_registry.routing.router import Decision, Router
    from sake_registry.runtime.bundle import Bundle
    from sake_registry.runtime.judged import Mode
    from sake_registry.runtime.steering import Answering, Steering, Step
    from sake_registry.runtime.vllm.layer import Call
    from sake_registry.runtime.vllm.rows import Row

log = logging.getLogger(__name__)

CHOICE = "sake_edits"
"""What a request says in `vllm_xargs`: "none" asks for the bare model, ids for those edits."""


@dataclass(frozen=True)
class Served:
    """A bundle that was proved on the served model, ready to decide and to steer."""

    bundle: Bundle
    router: Router
    steering: Steering


@dataclass(frozen=True)
class Decided:
    """What was decided of a request.

    Attributes:
        prompt: its text; empty where it has none, or is bare.
        decision: the router's, also in shadow mode; that of nobody where the request is bare.
        mode: "edit", "shadow" (decided, and nothing changed), or "bare".
        why: the reason in words.
        seconds: what deciding took; None where nothing was decided.
        over_budget: it took too long, and does not count.
    """

    request: str
    bundle: Bundle
    prompt: str
    decision: Decision
    mode: Mode
    why: str
    seconds: float | None = None
    over_budget: bool = False

    @property
    def key(self) -> str:
        """The bundle's."""
        return self.bundle.manifest.key


@dataclass
class _Answer:
    """One request: with what it began, and what was emitted in it so far where it is steered."""

    prompt: Sequence[int] | None
    served: Served
    disabled: frozenset[str]
    only: frozenset[str] | None = None  # the edits that it asks for; None for all of them
    bare: str = ""  # why, where it is
    answering: Answering | None = None
    emitted: list[int] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether nothing is steered in it any more, whatever comes."""
        assert self.answering is not None
        return self.answering.over(len(self.emitted))

    def emit(self, count: int, newest: int) -> None:
        """`count` tokens were emitted by now, of which this is the newest.

        Raises:
            StateError: one before it was never seen.
        """
        if count - 1 > len(self.emitted) or newest < 0:
            raise StateError(
                f"an answer's history has a hole: {len(self.emitted)} tokens are known of {count}",
                hint="this is an error of the plugin: report it, with vLLM's version and arguments",
            )
        # Tokens may have been taken back: of a step whose cache was lost.
        self.emitted[count - 1 :] = [newest]


class Engine:
    """A worker's model, with bundles put on it.

    Args:
        worker: of vLLM, with its model loaded.
        execute: its own `execute_model`.
        sample: its own `sample_tokens`.
        shadow: decide, and change nothing.
        budget: most seconds that a step waits for the decision on one prompt; the answer is bare
            where it takes longer.

    Raises:
        UnsupportedModelError: a way of serving that cannot be steered.
    """

    def __init__(
        self,
        worker: Any,
        execute: Callable[[Any], Any],
        sample: Callable[[Any], Any],
        *,
        shadow: bool = False,
        budget: float = BUDGET,
    ) -> None:
        self._runner = worker.model_runner
        self._budget = Budget(budget)
        self._mode: Mode = "shadow" if shadow else "edit"
        self._execute, self._sample = execute, sample
        self._site, self._rows = Site(self._runner.model), rows_of(self._runner)
        self._config = worker.vllm_config.model_config
        named = Path(self._config.model)
        self._folder = named if named.is_dir() else fetch(resolve(self._config.model))
        self._tokenizer = load_tokenizer(
            self._folder, trust_remote_code=self._config.trust_remote_code
        )
        self._probe: Probe | None = None
        self._current: Callable[[], tuple[Served, frozenset[str]]] | None = None
        self._decided: Callable[[Decided], None] = lambda decided: None
        self._sampled: Callable[[int], None] = lambda rows: None
        self._answers: dict[str, _Answer] = {}
        self._undecided: dict[str, _Answer] = {}
        self._steered: dict[str, _Answer] = {}
        self.replica = int(worker.vllm_config.parallel_config.data_parallel_rank)
        """Which of the replicas of the model this is."""

    # -- what is served ------------------------------------------------------------------------

    def prove(self) -> None:
        """Run the probe texts through the runner; before the first request.

        Raises:
            UnsupportedModelError: what is sampled is not what the layer returned.
        """
        self._probe = Probe.run(self, self._tokenizer, PROBE_TEXTS)

    def take(self, path: Path) -> Served:
        """A bundle, proved on this model.

        Raises:
            BundleError: no bundle, or one of another model.
            InputError: its router needs what vLLM does not hand out.
        """
        assert self._probe is not None, "prove() comes first"
        bundle = load_bundle(path)
        try:
            check_identity(bundle, self._runner.model, self._folder)
            if bundle.manifest.probe_texts != PROBE_TEXTS:
                raise ModelMismatchError(
                    f"{path} was compiled with other probe texts than this version has",
                    hint="compile again, or serve with the version that it was made with",
                )
            dtype = str(self._config.dtype).removeprefix("torch.")
            check_probe(bundle.file, self._probe.activations, dtype)
            if bundle.representation != "embedder":
                raise InputError(
                    f"{path} compares prompts by the {bundle.manifest.embedder.name}, which vLLM "
                    "does not hand out",
                    hint='compile with `router.representation = "embedder"`',
                )
            steering = bundle.steering(self._tokenizer, self._probe.head, self._probe.device)
            served = Served(bundle, bundle.router(), steering)
        except BaseException:
            bundle.close()
            raise
        # What a router loads when it first decides is not for the first request to wait for.
        served.router.decide([f"{edit.subject[0]} is" for edit in bundle.manifest.edits[:1]])
        return served

    def serve(
        self,
        current: Callable[[], tuple[Served, frozenset[str]]],
        decided: Callable[[Decided], None],
        sampled: Callable[[int], None] = lambda rows: None,
    ) -> None:
        """Steer what is asked from now on.

        Args:
            current: what a request that begins is served by, and what is switched off.
            decided: is told what was decided of each request.
            sampled: is told of each step how many tokens it gave.
        """
        self._current, self._decided, self._sampled = current, decided, sampled

    # -- steps ---------------------------------------------------------------------------------

    def execute(self, output: Any) -> Any:
        """The worker's `execute_model`, its rows steered."""
        self._schedule(output)
        if self._rows.samples_apart or not output.total_num_scheduled_tokens:
            return self._execute(output)
        return self._step(lambda: self._execute(output), self._steer)

    def sample(self, grammar: Any) -> Any:
        """The worker's `sample_tokens`, its rows steered."""
        if not self._rows.samples_apart:
            return self._sample(grammar)
        return self._step(lambda: self._sample(grammar), self._steer)

    @property
    def blocks(self) -> list[int]:
        """The tokens that a block of the KV cache holds, by group of layers."""
        groups = self._runner.kv_cache_config.kv_cache_groups
        return [int(group.kv_cache_spec.block_size) for group in groups]

    def run(self, output: Any, action: Callable[[Call], Tensor]) -> Any:
        """What the worker's runner makes of a step that nobody asked for; its rows go to `action`.

        Raises:
            UnsupportedModelError: the rows did not come to the site.
        """
        if self._rows.samples_apart:
            self._execute(output)
            made = self._step(lambda: self._sample(None), action)
        else:
            self._step(lambda: self._execute(output), action)
            made = self._sample(None)
        return made.get_output() if hasattr(made, "get_output") else made

    def finish(self, output: Any) -> None:
        """Tell the worker's runner that the requests of such a step are over."""
        self._execute(output)

    def _step(self, run: Callable[[], Any], action: Callable[[Call], Tensor]) -> Any:
        """What a step of the runner returns, its rows given to `action`.

        Raises:
            UnsupportedModelError: the rows did not come to the site.
        """
        if not self._rows.prepare():
            return run()
        with self._site.acting(action) as seen:
            result = run()
        if seen != [self._rows.count()]:
            came = f"{seen[0]} came" if seen else "none came"
            raise UnsupportedModelError(
                f"a step of vLLM has {self._rows.count()} rows, and {came} to the output "
                "embedding: it ran without edits",
                hint="supported: vLLM's own text-generating models and runners",
            )
        self._sampled(self._rows.emitting())
        return result

    def _schedule(self, output: Any) -> None:
        for request in output.finished_req_ids:
            for answers in (self._answers, self._undecided, self._steered):
                answers.pop(request, None)
        if self._current is None:
            return
        for new in output.scheduled_new_reqs:
            known = self._answers.get(new.req_id)
            # The newer runner hands a request that was set aside in again, with what was emitted.
            if known is not None and known.prompt == new.prompt_token_ids:
                known.emitted[:] = (new.prefill_token_ids or ())[len(known.prompt or ()) :]
                continue
            served, disabled = self._current()
            answer = _Answer(new.prompt_token_ids, served, disabled)
            self._answers[new.req_id] = answer
            self._steered.pop(new.req_id, None)
            answer.bare, answer.only = _choice(new)
            if answer.bare:
                self._decided(Decided(new.req_id, served.bundle, "", NOBODY, "bare", answer.bare))
            else:
                self._undecided[new.req_id] = answer

    def _steer(self, call: Call) -> Tensor:
        if not self._undecided and not self._steered:
            return call.logits(call.rows)
        if len(call.rows) == self._rows.count():  # otherwise the step raises
            self._decide([row.request for row in self._rows.sampled(self._undecided)])
            rows = self._rows.sampled(self._steered)
            if rows:
                return self._steer_rows(call, rows)
        return call.logits(call.rows)

    def _steer_rows(self, call: Call, sampled: Sequence[Row]) -> Tensor:
        """The logits of a step in which some rows are in scope."""
        answers = [self._steered[row.request] for row in sampled]
        for row, answer in zip(sampled, answers, strict=True):
            if not row.emitted:
                answer.emitted.clear()
        behind = [i for i, row in enumerate(sampled) if row.emitted]
        newest = self._rows.tokens([sampled[i].place for i in behind]) if behind else []
        for i, token in zip(behind, newest, strict=True):
            answers[i].emit(sampled[i].emitted, token)
        # Answers that began before a swap are steered by their own bundle.
        by_bundle: dict[int, tuple[Steering, list[tuple[int, Answering, Sequence[int]]]]] = {}
        for row, answer in zip(sampled, answers, strict=True):
            assert answer.answering is not None
            steering = answer.served.steering
            _, chosen = by_bundle.setdefault(id(steering), (steering, []))
            chosen.append((row.at, answer.answering, answer.emitted))
        rows = call.rows
        steps: list[Step] = []
        for steering, chosen in by_bundle.values():
            steps.append(steering.begin(rows, chosen))
            rows = steps[-1].rows
        logits = call.logits(rows)
        for step in steps:
            logits = step.finish(logits)
        for row, answer in zip(sampled, answers, strict=True):
            if answer.over:
                del self._steered[row.request]
        return logits

    def _decide(self, requests: Sequence[str]) -> None:
        together: dict[Any, list[str]] = {}
        for request in requests:
            answer = self._undecided[request]
            alike = id(answer.served), answer.disabled, answer.only
            together.setdefault(alike, []).append(request)
        few = (g[i : i + TOGETHER] for g in together.values() for i in range(0, len(g), TOGETHER))
        for group in few:
            answers = {request: self._undecided.pop(request) for request in group}
            for request, decided, answering in self._judged(answers):
                if answering is not None and self._mode == "edit":
                    answers[request].answering = answering
                    self._steered[request] = answers[request]
                self._decided(decided)

    def _judged(
        self, answers: Mapping[str, _Answer]
    ) -> Iterator[tuple[str, Decided, Answering | None]]:
        """What is decided of requests that are served alike."""
        first = next(iter(answers.values()))
        bundle, others = first.served.bundle, frozenset[str]()
        if first.only is not None:
            others = frozenset(bundle.ids) - first.only
        begun, texts = time.perf_counter(), [""]
        try:
            texts = [text_of(self._tokenizer, answer.prompt or ()) for answer in answers.values()]
            decisions = self._budget.call(
                lambda: first.served.router.decide(texts, first.disabled | others)
            )
            answering = [first.served.steering.answering(decision) for decision in decisions]
        except Exception as error:  # one prompt must not end every other request of this worker
            if len(answers) > 1:
                for request, answer in answers.items():
                    yield from self._judged({request: answer})
                return
            (request,) = answers
            if late := isinstance(error, OverBudget):
                why = f"deciding took longer than {self._budget.seconds:g} s"
            else:
                log.exception("nothing could be decided of request %s: it is bare", request)
                why = "deciding failed: the log of vLLM says how"
            took = time.perf_counter() - begun
            bare = Decided(request, bundle, texts[0], NOBODY, "bare", why, took, late)
            yield request, bare, None
            return
        seconds = (time.perf_counter() - begun) / len(answers)
        for request, text, decision, of_it in zip(
            answers, texts, decisions, answering, strict=True
        ):
            why = in_words(decision, first.disabled)
            yield request, Decided(request, bundle, text, decision, self._mode, why, seconds), of_it


def _choice(new: Any) -> tuple[str, frozenset[str] | None]:
    """Why a request is bare, or "", and which edits alone it asks for.

    What cannot be understood is bare: a worker cannot send a request back.
    """
    if not new.prompt_token_ids or new.prompt_embeds is not None:
        return "scope is decided on text, and it has none", None
    if new.lora_request is not None:
        return f"the adapter {new.lora_request.lora_name} answers", None
    wanted = (getattr(new.sampling_params, "extra_args", None) or {}).get(CHOICE)
    if wanted is None:
        return "", None
    ids = wanted.split(",") if isinstance(wanted, str) else wanted
    if not isinstance(ids, list) or not all(isinstance(id_, str) and id_.strip() for id_ in ids):
        return f'{CHOICE} is neither "none" nor ids of edits', None
    chosen = frozenset(id_.strip() for id_ in ids)
    return (ASKED_BARE, None) if chosen <= {"none"} else ("", chosen)


def refuse(config: Any) -> None:
    """Refuse what cannot be steered, by vLLM's configuration.

    Raises:
        UnsupportedModelError: which of its options.
    """
    parallel = config.parallel_config
    reasons = {
        "a model spread over several workers (tensor, pipeline or context parallel)": (
            parallel.world_size > 1
        ),
        "batch-sharded sampling (enable_batch_sharded_sampling)": getattr(
            parallel, "enable_batch_sharded_sampling", False
        ),
        "speculative decoding (speculative_config)": config.speculative_config is not None,
        "a connector of the KV cache (kv_transfer_config)": config.kv_transfer_config is not None,
        "a pooling model": config.model_config.runner_type != "generate",
        f"a tokenizer of its own ({config.model_config.tokenizer})": (
            config.model_config.tokenizer != config.model_config.model
        ),
    }
    for what, given in reasons.items():
        if given:
            raise UnsupportedModelError(
                f"edits cannot be served with {what}",
                hint="leave it out, or serve without edits: unset SAKE_BUNDLE",
            )

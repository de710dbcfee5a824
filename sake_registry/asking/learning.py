"""What a registry's own prompts teach the scope detector: what `sake calibrate --learn` does.

The detector's last product, of 128 features of a pair and a constant, says whether a prompt asks
for a fact. What is added to it is fitted, by logistic regression with a penalty, on holdout and
unchanged prompts and on a log in which somebody has said what is right. The penalty is the one
with which edits are judged best that were not learned from; where none does better than what is
there, nothing is learned.

The questions that `asking.calibrating` makes up are no evidence here: they are easy, and what was
learned from them answered three times as many look-alikes
(docs/decisions/0016-scope-detector.md).
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from sake_registry.asking.routers import routers_of
from sake_registry.edits.checks import same_fact
from sake_registry.errors import InputError
from sake_registry.files import read_bounded
from sake_registry.progress import SILENT
from sake_registry.routing.detector import load
from sake_registry.settings import learned_text
from sake_registry.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.progress import Progress
    from sake_registry.routing.detector import Fact
    from sake_registry.routing.router import Router

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
FOLDS = 5
LEAST = 4
"""Edits without which nothing can be said of edits that were not learned from."""
GAIN = 0.02
"""Nats of the mean loss by which learning must do better, on edits that were not learned from."""
MAX_LOG_BYTES = 1 << 26


class Logged(Value):
    """A line of a log: a prompt, and the edit that should answer it (None: none should)."""

    prompt: str
    edit: str | None


class Learned(Value):
    """What was learned, judged on edits that were not learned from.

    Attributes:
        text: the setting `router.learned`; None where nothing is better than what is there.
        edits, asking, others: how many edits there were to learn from, pairs of an edit and a
            prompt that asks for its fact, and of one that does not.
        loss, served, fires: of the package's detector, and learned: the mean logarithmic loss
            (nats) of both kinds of pairs, and the share of either that is taken to ask.
    """

    text: str | None
    edits: int
    asking: int
    others: int
    loss: tuple[float, float]
    served: tuple[float, float]
    fires: tuple[float, float]


class _Pair(NamedTuple):
    edit: str
    fact: Fact
    text: str
    asks: bool
    evidence: float


def read_log(path: Path, known: Iterable[str]) -> list[Logged]:
    """A log as JSON lines: `{"prompt": "…", "edit": "an-id"}`, or `null` for no edit.

    Args:
        known: the ids of the active edits.

    Raises:
        InputError: it cannot be read, or a line says something else, names no active edit, or
            says another edit than a line before it.
    """
    known, stated, logged = set(known), dict[str, str | None](), list[Logged]()
    try:
        content = read_bounded(path, MAX_LOG_BYTES)
        lines = content.decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if len(content) > MAX_LOG_BYTES:
        raise InputError(
            f"{path}: larger than {MAX_LOG_BYTES >> 20} MiB", hint="learn from a part of it"
        )
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            given = json.loads(line)
            one = Logged.model_validate({name: given[name] for name in ("prompt", "edit")})
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise InputError(
                f"{where}: a prompt and the edit that should answer it are expected",
                hint='`{"prompt": "…", "edit": "an-id"}`, or null where no edit should',
            ) from error
        if one.edit is not None and one.edit not in known:
            raise InputError(
                f"{where}: no active edit '{one.edit}'",
                hint="`sake list` has the ids; null stands for no edit",
            )
        if stated.setdefault(one.prompt, one.edit) != one.edit:
            raise InputError(
                f"{where}: another edit is said to answer this prompt than in a line before it",
                hint="keep the line that is right",
            )
        logged.append(one)
    return logged


def learn(registry: Registry, log: Sequence[Logged] = (), progress: Progress = SILENT) -> Learned:
    """What the detector learns of a registry's holdout and unchanged prompts, and of a log.

    Raises:
        InputError: the registry's router is another one, or there is too little to learn from.
        ModelNotFoundError: the multilingual encoder is not on this machine.
    """
    settings = registry.settings.router
    if settings.kind != "detector":
        raise InputError(
            f"the router is '{settings.kind}', and only the detector learns",
            hint='`kind = "detector"` under [router] in sake.toml',
        )
    edits = [e for e in registry.active if (e.scope.router or settings.kind) == settings.kind]
    # Always beside the package's own: what was learned before knows these edits.
    plain = settings.model_copy(update={"learned": ""})
    plain_settings = registry.settings.model_copy(update={"router": plain})
    shared = routers_of(replace(registry, settings=plain_settings))
    router = shared.router(shared.entry(edit)[0] for edit in edits)
    stated = [Logged(prompt=e.fill(p.text), edit=e.id) for e in edits for p in e.holdout]
    stated += [Logged(prompt=e.fill(p.prompt), edit=None) for e in edits for p in e.unchanged]
    progress.begin("reading prompts whose scope is known", len(log) + len(stated))
    pairs = list(_pairs([*log, *stated], router, edits, progress))
    both = _with_both_kinds(pairs)
    if len(both) < LEAST:
        raise InputError(
            f"{len(both)} edits have both prompts that ask and prompts that do not; {LEAST} are "
            "the least to learn from",
            hint="`holdout` and `unchanged` prompts in the edits' files, or a log with --log, of "
            "what people ask and of what only looks like it",
        )
    features, logits = load().features([(pair.fact, pair.text) for pair in pairs])
    # What is learned stands beside it.
    logits = logits + torch.tensor([pair.evidence for pair in pairs])
    problem = Problem(features, logits, [(pair.edit, pair.asks) for pair in pairs])
    judged = {penalty: problem.of_others(penalty) for penalty in PENALTIES}
    best = min(PENALTIES, key=lambda penalty: problem.loss(judged[penalty]))
    before, after = problem.loss(logits), problem.loss(judged[best])
    return Learned(
        text=learned_text(problem.fit(best).tolist()) if after < before - GAIN else None,
        edits=len({pair.edit for pair in pairs}),
        asking=sum(pair.asks for pair in pairs),
        others=sum(not pair.asks for pair in pairs),
        loss=(before, after),
        served=(problem.share(logits, asks=True), problem.share(judged[best], asks=True)),
        fires=(problem.share(logits, asks=False), problem.share(judged[best], asks=False)),
    )


class Problem:
    """Pairs to learn from: what is added to the logits is a product of their features.

    Args:
        features: (pairs, 128).
        logits: of the package's detector with the evidence of distances, (pairs,).
        pairs: the edit of each, and whether its prompt asks for its fact.
    """

    def __init__(self, features: Tensor, logits: Tensor, pairs: Sequence[tuple[str, bool]]) -> None:
        self.features = torch.cat([features, torch.ones(len(features), 1)], 1)
        self.logits = logits
        self.asks = torch.tensor([asks for _, asks in pairs])
        # Both kinds count the same, whatever there is more of: what a probability means stays.
        share = self.asks.float().mean()
        self.weights = torch.where(self.asks, 0.5 / share, 0.5 / (1 - share))
        numbers = {edit: i for i, edit in enumerate(sorted({edit for edit, _ in pairs}))}
        self.fold = torch.tensor([numbers[edit] % FOLDS for edit, _ in pairs])

    def fit(self, penalty: float, kept: Tensor | None = None) -> Tensor:
        """What is added to the weights and the constant, (129,)."""
        kept = torch.ones_like(self.asks) if kept is None else kept
        shift = torch.zeros(self.features.shape[1], requires_grad=True)
        optimizer = torch.optim.LBFGS([shift], max_iter=100, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            logits = self.logits[kept] + self.features[kept] @ shift
            loss = self._loss(logits, kept) + penalty * (shift * shift).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        return shift.detach()

    def of_others(self, penalty: float) -> Tensor:
        """The logits of each edit's pairs, learned from other edits, (pairs,)."""
        logits = self.logits.clone()
        for fold in sorted(set(self.fold.tolist())):
            here = self.fold == fold
            logits[here] += self.features[here] @ self.fit(penalty, ~here)
        return logits

    def loss(self, logits: Tensor) -> float:
        return float(self._loss(logits, torch.ones_like(self.asks)))

    def _loss(self, logits: Tensor, kept: Tensor) -> Tensor:
        weights = self.weights[kept]
        return binary_cross_entropy_with_logits(logits, self.asks[kept].float(), weights)

    def share(self, logits: Tensor, *, asks: bool) -> float:
        """Of the pairs of a kind, the share that is taken to ask."""
        return float((logits[self.asks == asks] >= 0).float().mean())


def _pairs(
    prompts: Sequence[Logged], router: Router, edits: Sequence[Edit], progress: Progress
) -> Iterator[_Pair]:
    """The pairs of prompts and the edits that they name, each once.

    Not of edits of the same fact at another time, nor of what an edit answers as an implication:
    whether they ask for the fact is not said.
    """
    same: dict[str | None, set[str]] = defaultdict(set)
    for one, other in same_fact(edits):
        same[one.id].add(other.id)
        same[other.id].add(one.id)
    implied = {(e.id, e.fill(i.prompt)) for e in edits for i in e.implications}
    seen = set()
    for prompt in prompts:
        for edit, fact, text, evidence in router.held_against(prompt.prompt):
            open_ = edit in same[prompt.edit] or (edit, prompt.prompt) in implied
            # What is written in the edit fires by itself: there is nothing to learn.
            if not open_ and (edit, text) not in seen and not fact.states(text):
                seen.add((edit, text))
                yield _Pair(edit, fact, text, edit == prompt.edit, evidence)
        progress.advance()


def _with_both_kinds(pairs: Iterable[_Pair]) -> Mapping[str, set[bool]]:
    kinds: dict[str, set[bool]] = defaultdict(set)
    for pair in pairs:
        kinds[pair.edit].add(pair.asks)
    return {edit: some for edit, some in kinds.items() if len(some) == 2}

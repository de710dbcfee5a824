"""The methods that a benchmark compares, behind one small interface.

A method gets questions (prompts, each a test of one edit) and gives replies under each scope
protocol it knows. How it comes to them is its own business; the questions do not tell it what
the right answer is, and under `all-edits` not which edit is meant.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import torch

from sake_bench.protocol import ROUTED
from sake_bench.replies import Job, Reply
from sake_registry import transport
from sake_registry.digests import digest
from sake_registry.edits.keys import compiled_text
from sake_registry.runtime.bundle import Bundle, load_bundle
from sake_registry.runtime.generation import greedy
from sake_registry.runtime.steering import ObjectMaps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import Tensor

    from sake_bench.datasets.records import Message
    from sake_bench.protocol import Scope
    from sake_bench.replies import ReplyCache
    from sake_bench.weights import Grace, WeightEditor
    from sake_registry.edits.schema import Edit
    from sake_registry.models.embedder import Embed
    from sake_registry.routing.router import Decision, Router, RouterEntry
    from sake_registry.transport import Solver, TransportMap


@dataclass(frozen=True)
class Question:
    """A prompt that belongs to a test of `edit`, to be continued by `tokens` tokens.

    `related` is False for a prompt that has nothing to do with the edit: there is nothing to
    learn from applying the edit to it regardless, so `given` leaves it alone. `messages` is the
    conversation that the prompt shows, where it is a chat.
    """

    prompt: str
    edit: str
    tokens: int
    related: bool = True
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Response:
    """A reply, and which edit took part in it; `untouched` says that the model computed what
    it computes unedited, to the bit. `bare` is what it says unedited in the same batch, where
    that is not the batch of `base`."""

    reply: Reply
    edit: str | None
    untouched: bool
    bare: Reply | None = None


class Method(Protocol):
    """What a benchmark needs of a method.

    Those whose requests can be timed also have `serving`: a context that gives a function which
    answers one question from scratch, and says how many tokens its prompt had.
    """

    name: str
    scopes: tuple[Scope, ...]

    def ask(self, questions: Sequence[Question]) -> dict[Scope, list[Response]]:
        """Replies to questions, in their order, under each scope."""
        ...


class Base:
    """The unedited model."""

    name = "base"
    scopes: tuple[Scope, ...] = ("none",)

    def __init__(self, cache: ReplyCache) -> None:
        self._cache = cache

    def ask(self, questions: Sequence[Question]) -> dict[Scope, list[Response]]:
        jobs = [Job(q.prompt, q.tokens) for q in questions]
        self._cache.expect(len(set(jobs)))
        replies = self._cache.replies(jobs)
        return {"none": [Response(replies[job], None, True) for job in jobs]}

    def serving(self) -> AbstractContextManager[Callable[[Question], int]]:
        return nullcontext(lambda question: self._cache.answer(question.prompt, question.tokens))


class Scoping:
    """The decisions of a bundle's router under the three scope protocols.

    `given`: the edit of the question always fires; which of its maps, its own router says.
    `own-centre`: the router knows only the edit of the question. `all-edits`: it knows all.

    Args:
        router: makes a router over entries, that decides as the bundle's does.
    """

    def __init__(
        self,
        entries: Mapping[str, RouterEntry],
        router: Callable[[Iterable[RouterEntry]], Router],
    ) -> None:
        endless = float("inf")
        self._all = router(entries.values())
        self._own = {edit: router([entry]) for edit, entry in entries.items()}
        self._given = {
            edit: router([replace(entry, threshold=endless, implied=endless)])
            for edit, entry in entries.items()
        }

    def decide(self, questions: Sequence[Question], scope: Scope) -> list[tuple[str, int] | None]:
        """(edit, group) that fires for each question, or None."""
        if scope == "all-edits":
            return [_fired(d) for d in self._all.decide([q.prompt for q in questions])]
        routers = self._given if scope == "given" else self._own
        fired: list[tuple[str, int] | None] = [None] * len(questions)
        by_edit: dict[str, list[int]] = {}
        for i, question in enumerate(questions):
            if question.related or scope != "given":
                by_edit.setdefault(question.edit, []).append(i)
        for edit, places in by_edit.items():
            if edit not in routers:  # it could not be built: the model stays as it is
                continue
            decisions = routers[edit].decide([questions[i].prompt for i in places])
            for i, decision in zip(places, decisions, strict=True):
                # An anchored router finds nothing where the subject is not named by its name.
                always = (edit, 0) if scope == "given" else None
                fired[i] = _fired(decision) or always
        return fired


def _fired(decision: Decision) -> tuple[str, int] | None:
    if decision.edit is None or decision.group is None:
        return None
    return decision.edit, decision.group


class Steering:
    """A method that maps activations: a bundle, or a bundle with other maps.

    Args:
        path: the compiled bundle.
        embed: how its router's texts are embedded.
        keys: of each edit, what its maps depend on; the bundle's own keys if None.
        maps: of each edit, other maps than the bundle's; one a group.
    """

    scopes: tuple[Scope, ...] = ROUTED

    def __init__(
        self,
        name: str,
        path: Path,
        cache: ReplyCache,
        embed: Embed,
        *,
        keys: Mapping[str, str] | None = None,
        maps: Mapping[str, Sequence[TransportMap]] | None = None,
    ) -> None:
        self.name, self._cache, self.embed = name, cache, embed
        self.bundle = load_bundle(path) if maps is None else OtherMaps(path, maps)
        bundle_keys = {edit.id: edit.key for edit in self.bundle.manifest.edits}
        self.keys = {edit: (keys or bundle_keys)[edit] for edit in bundle_keys}
        self.entries = {entry.edit: entry for entry in self.bundle.entries()}
        self.scoping = Scoping(self.entries, self.router)
        self.settings: dict[str, Any] = {}
        self.failed: dict[str, str] = {}

    def router(self, entries: Iterable[RouterEntry]) -> Router:
        """A router over entries that decides as the bundle's own does."""
        return self.bundle.router_over(entries, self.embed)

    def ask(self, questions: Sequence[Question]) -> dict[Scope, list[Response]]:
        decided = {scope: self.scoping.decide(questions, scope) for scope in self.scopes}
        jobs = {
            scope: [
                Job(q.prompt, q.tokens, *(fired or (None, None)))
                for q, fired in zip(questions, decisions, strict=True)
            ]
            for scope, decisions in decided.items()
        }
        every = [job for of_scope in jobs.values() for job in of_scope]
        loaded = self._cache.loaded
        # The batches of `base`: what no edit touches is that very reply, to the bit.
        bare = [Job(q.prompt, q.tokens) for q in questions]
        self._cache.expect(len({*bare, *every}))
        replies = self._cache.replies(bare)
        with self.bundle.attach(
            loaded.model, loaded.tokenizer, source=loaded.located.folder
        ) as edited:
            fired = (job for job in every if job.edit is not None)
            replies |= self._cache.replies(fired, edited, self.keys)
        return {
            scope: [Response(replies[job], job.edit, job.edit is None) for job in of_scope]
            for scope, of_scope in jobs.items()
        }

    @contextmanager
    def serving(self, bundle: Bundle | None = None) -> Iterator[Callable[[Question], int]]:
        """See `Method`; with another bundle attached than its own, if one is given."""
        loaded = self._cache.loaded
        attach = (bundle or self.bundle).attach
        with attach(loaded.model, loaded.tokenizer, source=loaded.located.folder) as edited:

            def answer(question: Question) -> int:
                ids = loaded.tokenizer(question.prompt, return_tensors="pt").to(
                    next(loaded.model.parameters()).device
                )
                edited.generate(
                    **ids,
                    decisions=edited.decide([question.prompt]),
                    **greedy(question.tokens, loaded.tokenizer),
                )
                return int(ids["input_ids"].shape[1])

            yield answer


class OtherMaps(Bundle):
    """A bundle whose maps are replaced, for a baseline that shares its router.

    The first token alone is steered, as by the methods that it stands for.
    """

    def __init__(self, path: Path, maps: Mapping[str, Sequence[TransportMap]]) -> None:
        super().__init__(load_bundle(path).file)
        self._others = {edit: [m.to(torch.float32) for m in given] for edit, given in maps.items()}

    @property
    def exact(self) -> bool:
        return False

    def maps(self, edit: str, device: torch.device) -> list[ObjectMaps]:
        groups = self.file.info(edit).groups
        return [
            ObjectMaps(info.tokens, {0: m.to(torch.float32, device)})
            for info, m in zip(groups, self._others[edit], strict=True)
        ]


def activations(bundle: Bundle, edit: str) -> list[dict[str, Tensor]]:
    """The activations that a bundle keeps of an edit before its objects' first tokens, one mapping
    a group: plain, target (n, width), forced (k·n, width), worked, context (n,)."""
    found = []
    for info, group in zip(
        bundle.file.info(edit).groups, bundle.file.activations(edit), strict=True
    ):
        steps = info.states
        rows = {name: torch.from_numpy(array.copy()) for name, array in group.items()}
        found.append({n: r if n == "forced" else r[::steps] for n, r in rows.items()})
    return found


def contrast_maps(bundle: Bundle) -> dict[str, list[TransportMap]]:
    """ActAdd (Turner et al. 2023, as in B.2): the shift of one contrast pair.

    The pair is the edit's own prompt in the target context and as it is asked: the strongest
    pair there is for that prompt, and all that one pair can say about the others.
    """
    found = {}
    for edit in bundle.ids:
        found[edit] = [
            transport.fit(group["plain"][:1], group["target"][:1], 1.0, "uniform")
            for group in activations(bundle, edit)
        ]
    return found


class InContext:
    """The edit stated before the prompt (B.2); which edit, the router of a bundle decides."""

    name = "icl"
    scopes: tuple[Scope, ...] = ROUTED

    def __init__(self, edits: Sequence[Edit], scoping: Scoping, cache: ReplyCache) -> None:
        self._facts = {
            edit.id: f"Imagine that {edit.fill(edit.prompts[0].text)} {edit.new}." for edit in edits
        }
        self._scoping, self._cache = scoping, cache

    def ask(self, questions: Sequence[Question]) -> dict[Scope, list[Response]]:
        decided = {}
        for scope in self.scopes:
            fired = self._scoping.decide(questions, scope)
            # An edit that could not be built can be stated all the same.
            decided[scope] = [
                q.edit if scope == "given" and q.related else f and f[0]
                for q, f in zip(questions, fired, strict=True)
            ]
        jobs = {
            scope: [
                Job(f"{self._facts[edit]} {q.prompt}" if edit else q.prompt, q.tokens)
                for q, edit in zip(questions, edits, strict=True)
            ]
            for scope, edits in decided.items()
        }
        every = [job for of_scope in jobs.values() for job in of_scope]
        # The batches of `base`: what no edit touches is that very reply, to the bit.
        bare = [Job(q.prompt, q.tokens) for q in questions]
        self._cache.expect(len({*bare, *every}))
        replies = self._cache.replies(bare)
        replies |= self._cache.replies(job for job in every if job not in replies)
        return {
            scope: [
                Response(replies[job], edit, edit is None)
                for job, edit in zip(jobs[scope], decided[scope], strict=True)
            ]
            for scope in self.scopes
        }


class InWeights:
    """A method that changes weights: `alone`, one edit at a time; `together`, all at once.

    There is no router: every prompt meets the changed weights.
    """

    scopes: tuple[Scope, ...] = ("alone", "together")

    def __init__(
        self,
        name: str,
        edits: Sequence[Edit],
        editor: Grace | WeightEditor,
        cache: ReplyCache,
    ) -> None:
        self.name, self._edits, self._editor = name, {e.id: e for e in edits}, editor
        self._cache = cache

    def ask(self, questions: Sequence[Question]) -> dict[Scope, list[Response]]:
        self._cache.expect(4 * len(questions))  # bare and edited, alone and together
        alone: list[Response | None] = [None] * len(questions)
        for id_, edit in self._edits.items():
            places = [i for i, q in enumerate(questions) if q.edit == id_]
            responses = self._under([edit], [questions[i] for i in places])
            for i, one in zip(places, responses, strict=True):
                alone[i] = one
        together = self._under(list(self._edits.values()), list(questions))
        return {"alone": [one for one in alone if one is not None], "together": together}

    def _under(self, edits: list[Edit], questions: list[Question]) -> list[Response]:
        jobs = [Job(q.prompt, q.tokens) for q in questions]
        state = digest([self._editor.key, [compiled(edit) for edit in edits]])
        # The same batches bare: only then can "unchanged" be told to the bit.
        bare = self._cache.replies(jobs)
        replies = self._cache.replies(jobs, state=state, under=lambda: self._editor.edited(edits))
        one = edits[0].id if len(edits) == 1 else None
        return [Response(replies[j], one, replies[j].bits == bare[j].bits, bare[j]) for j in jobs]


def compiled(edit: Edit) -> list[Any]:
    """What of an edit a weight-editing method sees."""
    return [edit.id, compiled_text(edit)]


def implied_maps(
    bundle: Bundle,
    implied: Mapping[str, tuple[Tensor, Tensor]],
    reg: float,
    solver: Solver,
    seed: int,
) -> dict[str, list[TransportMap]]:
    """The published implication step: one map of the fact's pairs and of chosen implications.

    Of an edit's implications the `CHOSEN` whose shift points most like the fact's are kept
    (cosine), each with `COPIES` copies with noise of `NOISE` in every dimension, so that they
    weigh as much as the paraphrases do. Settings of the authors' code for RippleEdits.

    Args:
        implied: of each edit, plain and target activations of its implications, (k, width).
    """
    found = {}
    for edit in bundle.ids:
        rows = activations(bundle, edit)[0]
        source, target = torch.cat((rows["plain"], rows["forced"])), rows["target"]
        if edit in implied and len(implied[edit][0]):
            before, after = (part.float() for part in implied[edit])
            shift = target.mean(0) - source.mean(0)
            likeness = torch.cosine_similarity(after - before, shift[None], dim=1)
            best = likeness.argsort(descending=True, stable=True)[:CHOSEN]
            # Its own, whatever other edits there are: replies are kept under the edit's key.
            generator = torch.Generator().manual_seed(int(digest([seed, edit])[:15], 16))
            source = torch.cat((source, _noisy(before[best], generator)))
            target = torch.cat((target, _noisy(after[best], generator)))
        found[edit] = [transport.fit(source, target, reg, solver)]
    return found


CHOSEN, COPIES, NOISE = 10, 4, 0.1


def _noisy(rows: Tensor, generator: torch.Generator) -> Tensor:
    copies = rows.repeat(COPIES, 1)
    return torch.cat((rows, copies + NOISE * torch.randn(copies.shape, generator=generator)))

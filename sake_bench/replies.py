"""Greedy replies of a model to many prompts, in fixed batches, each batch kept in the store.

What steers a reply is its decision alone, so a reply is computed once for (prompt, edit, group)
however many scopes and thresholds come to that decision. Batches depend on the jobs of a call
only, never on what is already kept: a run that was interrupted gives the replies that an
undisturbed one gives, and two runs give the same.
"""

from __future__ import annotations

import copy
import hashlib
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from sake_registry.digests import digest
from sake_registry.models.reading import pad, pad_token
from sake_registry.models.site import Site
from sake_registry.progress import SILENT
from sake_registry.routing.reasons import Reason
from sake_registry.routing.router import NOBODY, Decision
from sake_registry.runtime.generation import greedy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from torch import Tensor

    from sake_registry.models.loading import LoadedModel
    from sake_registry.progress import Progress
    from sake_registry.runtime.bundle import EditedModel
    from sake_registry.store import Store

BATCH = 64
"""Rows of one batch: a step of 64 rows costs 1.8 times one of 16 (measured, two cores)."""

CELLS = 65_536
"""Tokens of one batch, padding and answers included: what is kept of them fills the memory."""

SHARED = 256
"""Tokens that long prompts have to begin with in common for those to be computed once."""

VERSION = 2
"""Raised whenever the same job gives another reply: by what is done here, or in `runtime`."""


@dataclass(frozen=True)
class Job:
    """A prompt to continue by `tokens` tokens, under an edit's map or under none."""

    text: str
    tokens: int
    edit: str | None = None
    group: int | None = None


@dataclass(frozen=True)
class Reply:
    """A greedy continuation, up to the end of the text.

    `bits` identifies the site's activations at the prompt's last position, bit for bit; it is
    comparable between runs of the same batch only.
    """

    tokens: tuple[int, ...]
    text: str
    bits: str


class ReplyCache:
    """A loaded model's replies, kept in the store.

    Args:
        loaded: the model; a caller that changes its weights says so by `state`.
        store: where batches of replies are kept.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        store: Store,
        progress: Progress = SILENT,
    ) -> None:
        self.loaded, self._store, self.progress = loaded, store, progress
        self.purpose = "asking", ""
        self._site = Site(loaded.model)
        self._encoded: dict[str, list[int]] = {}
        self._prefilled: tuple[list[int], Any] | None = None
        # What a batch pads behind any of them is no part of a reply.
        given = getattr(loaded.model.generation_config, "eos_token_id", None)
        more = given if isinstance(given, list) else [given]
        self._ends = {loaded.tokenizer.eos_token_id, *more} - {None}

    def close(self) -> None:
        self._site.remove()

    def expect(self, total: int) -> None:
        """As many replies are asked for next; progress shows them under `purpose`."""
        phase, label = self.purpose
        self.progress.begin(phase, total)
        self.progress.advance(0, label)

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt."""
        if text not in self._encoded:
            self._encoded[text] = list(self.loaded.tokenizer(text).input_ids)
        return self._encoded[text]

    @property
    def context(self) -> int:
        """Tokens that the model can read and write, in all."""
        return int(getattr(self.loaded.model.config, "max_position_embeddings", 0) or 2**31)

    @torch.inference_mode()
    def answer(self, text: str, tokens: int) -> int:
        """Have the bare model answer one request, kept or not; how many tokens its prompt has."""
        tokenizer, model = self.loaded.tokenizer, self.loaded.model
        ids = torch.tensor([tokenizer(text).input_ids], device=next(model.parameters()).device)
        model.generate(  # type: ignore[operator]
            input_ids=ids, attention_mask=torch.ones_like(ids), **greedy(tokens, tokenizer)
        )
        return ids.shape[1]

    def replies(
        self,
        jobs: Iterable[Job],
        edited: EditedModel | None = None,
        keys: Mapping[str, str] | None = None,
        state: str = "bare",
        under: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> dict[Job, Reply]:
        """Replies to jobs.

        Args:
            edited: what steers the jobs that name an edit.
            keys: of each edit so named, what its maps depend on.
            state: what the weights depend on, where they are not the model's own.
            under: brings the weights into that state; entered only where a batch is not kept.
        """
        ordered = sorted(
            dict.fromkeys(jobs),
            key=lambda j: (j.tokens, self._beginning(j), len(self.encode(j.text)), str(j)),
        )
        known: dict[Job, Reply] = {}
        self._prefilled = None  # the weights may be others since
        with ExitStack() as stack:
            entered = False
            for batch in _batches(
                ordered,
                lambda j: len(self.encode(j.text)),
                lambda j: (j.tokens, self._beginning(j)),
            ):
                key = self._key(batch, keys or {}, state)
                replies = self._kept(key)
                if replies is None:
                    if not entered:
                        stack.enter_context(under())
                        entered = True
                    replies = self._run(batch, edited)
                    rows = pad([reply.tokens for reply in replies], -1)[0]
                    note = [[reply.text, reply.bits] for reply in replies]
                    self._store.put("replies", key, {"tokens": rows}, note)
                known |= zip(batch, replies, strict=True)
                self.progress.advance(len(batch))
        return known

    def _key(self, jobs: list[Job], keys: Mapping[str, str], state: str) -> str:
        located = self.loaded.located
        parts = [[j.text, j.tokens, keys[j.edit] if j.edit else None, j.group] for j in jobs]
        return digest(["replies", VERSION, located.hash, located.dtype, state, parts])

    def _kept(self, key: str) -> list[Reply] | None:
        stored = self._store.get("replies", key)
        if stored is None:
            return None
        rows, note = stored[0]["tokens"], stored[1]
        return [
            Reply(tuple(t for t in row.tolist() if t >= 0), text, bits)
            for row, (text, bits) in zip(rows, note, strict=True)
        ]

    @torch.inference_mode()
    def _run(self, jobs: list[Job], edited: EditedModel | None) -> list[Reply]:
        tokenizer = self.loaded.tokenizer
        rows = [self.encode(j.text) for j in jobs]
        device = next(self.loaded.model.parameters()).device
        shared = [] if edited is not None else self._shared(rows)
        ids, mask = pad([row[len(shared) :] for row in rows], pad_token(tokenizer), left=True)
        if shared:
            first = torch.tensor([shared]).expand(len(rows), -1)
            ids = torch.cat([first, ids], dim=1)
            mask = torch.cat([torch.ones_like(first), mask], dim=1)
        ids, mask = ids.to(device), mask.to(device)
        options = {"attention_mask": mask, **greedy(jobs[0].tokens, tokenizer)}
        seen: list[str] = []
        if edited is not None and any(job.edit for job in jobs):
            decisions = [_decision(job) for job in jobs]
            output = edited.generate(ids, decisions=decisions, **options).sequences
            seen = [""] * len(jobs)
        else:

            def action(hidden: Tensor) -> None:
                if not seen:
                    seen.extend(_bits(row) for row in hidden[:, -1])

            if shared:
                options["past_key_values"] = self._past(shared, len(rows))
            with self._site.acting(action) as call:
                output = self.loaded.model.generate(input_ids=ids, **options)  # type: ignore[operator]
            call.require_firing()
        return [
            self._reply(row[ids.shape[1] :].tolist(), bits)
            for row, bits in zip(output, seen, strict=True)
        ]

    def _beginning(self, job: Job) -> tuple[int, ...]:
        """What a long prompt begins with, so that those that begin alike come into one batch."""
        row = self.encode(job.text)
        return tuple(row[:SHARED]) if job.edit is None and len(row) > 2 * SHARED else ()

    def _shared(self, rows: Sequence[list[int]]) -> list[int]:
        """What long rows of a batch begin with in common, in whole steps of `SHARED` tokens."""
        fewest = min(map(len, rows))
        if fewest <= 2 * SHARED:
            return []
        # What the first and the last in order have in common, all between them have.
        pairs = zip(min(rows), max(rows), strict=False)
        common = next((i for i, (a, b) in enumerate(pairs) if a != b), fewest)
        return rows[0][: min(common, fewest - 1) // SHARED * SHARED]

    def _past(self, shared: list[int], rows: int) -> Any:
        """What attention keeps of a beginning, for so many rows; it is computed once."""
        model: Any = self.loaded.model
        if self._prefilled is None or self._prefilled[0] != shared:
            ids = torch.tensor([shared], device=next(model.parameters()).device)
            self._prefilled = shared, model(input_ids=ids, use_cache=True, logits_to_keep=1)
        past = copy.deepcopy(self._prefilled[1].past_key_values)
        past.batch_repeat_interleave(rows)
        return past

    def _reply(self, tokens: list[int], bits: str) -> Reply:
        end = next((i for i, token in enumerate(tokens) if token in self._ends), None)
        if end is not None:
            tokens = tokens[: end + 1]
        text = self.loaded.tokenizer.decode(tokens, skip_special_tokens=True)
        return Reply(tuple(tokens), str(text), bits)


def _batches(
    jobs: list[Job], length: Callable[[Job], int], alike: Callable[[Job], Any]
) -> Iterator[list[Job]]:
    """Sorted jobs in batches of what is alike; the longest of a batch is its last."""
    for _, group in groupby(jobs, key=alike):
        batch: list[Job] = []
        for job in group:
            width = length(job) + job.tokens
            if batch and (len(batch) == BATCH or (len(batch) + 1) * width > CELLS):
                yield batch
                batch = []
            batch.append(job)
        yield batch


def _decision(job: Job) -> Decision:
    if job.edit is None:
        return NOBODY
    return Decision(edit=job.edit, group=job.group, nearest=job.edit, reason=Reason.GIVEN)


def _bits(row: Tensor) -> str:
    raw = row.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(raw).hexdigest()[:16]

"""What a model can do besides, with edits attached: multiple-choice questions, as
lm-evaluation-harness scores them (`acc_norm`).

A choice is scored by the sum of its tokens' log-likelihoods after "Question: …\nAnswer:", divided
by its number of characters. The bare model and the edited one read the same batches, so that where
no edit fires the log-likelihoods must be equal, bit for bit. The router decides on a question's
prompt; where an edit fires, every token of a choice is read as an answer under that edit.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from sake_bench.intervals import estimate
from sake_bench.results import Ability
from sake_registry.errors import InputError
from sake_registry.models.reading import pad, pad_token
from sake_registry.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sake_bench.datasets.choices import ChoiceFile, MultipleChoice
    from sake_bench.results import Estimate
    from sake_registry.models.loading import LoadedModel
    from sake_registry.progress import Progress
    from sake_registry.routing.router import Decision
    from sake_registry.runtime.bundle import Bundle
    from sake_registry.runtime.huggingface import Edited

CELLS = 1024
"""Tokens of a batch, padding included: the logits of all are in memory at once."""
DECIDED = 16
"""Prompts that are decided on at once."""

Likelihoods = list[tuple[float, ...]]
"""Of each question the log-likelihoods of its choices."""


@dataclass(frozen=True)
class _Row:
    """A choice behind its question's prompt: its token ids begin at `start`."""

    question: int
    ids: tuple[int, ...]
    start: int

    @property
    def choice(self) -> tuple[int, ...]:
        return self.ids[self.start :]


def prompt_of(question: MultipleChoice) -> str:
    """What a question's choices stand behind."""
    return f"Question: {question.question}\nAnswer:"


class AbilityTest:
    """The questions of a file, to be answered by a model bare and with bundles attached.

    Raises:
        InputError: a question is longer than what the model can read.
    """

    def __init__(
        self, loaded: LoadedModel, questions: ChoiceFile, progress: Progress = SILENT
    ) -> None:
        self._loaded, self._file, self._progress = loaded, questions, progress
        self._rows = list(self._read())
        self._batches = list(_batches(self._rows))
        self._bare: Likelihoods | None = None

    def _read(self) -> Iterator[_Row]:
        tokenizer = self._loaded.tokenizer
        most = getattr(self._loaded.model.config, "max_position_embeddings", None) or 2**31
        for number, question in enumerate(self._file.questions):
            prompt = prompt_of(question)
            before = tokenizer(prompt).input_ids
            for choice in question.choices:
                ids = tokenizer(f"{prompt} {choice}").input_ids
                if len(ids) > most:
                    raise InputError(
                        f"{self._file.file}: question {number + 1} has {len(ids)} tokens, the "
                        f"model reads {most}",
                        hint="leave the question out",
                    )
                yield _Row(number, tuple(ids), min(_alike(before, ids), len(ids) - 1))

    @property
    def bare(self) -> Likelihoods:
        """The unedited model's; read once."""
        if self._bare is None:
            self._bare = self._likelihoods("unedited", None, ())
        return self._bare

    def under(self, name: str, bundle: Bundle) -> Ability:
        """What becomes of it with the bundle of the method `name` attached."""
        loaded, questions = self._loaded, self._file.questions
        before = self.bare
        with bundle.attach(loaded.model, loaded.tokenizer, source=loaded.located.folder) as edited:
            prompts = [prompt_of(question) for question in questions]
            decisions = [
                decision
                for start in range(0, len(prompts), DECIDED)
                for decision in edited.decide(prompts[start : start + DECIDED])
            ]
            after = self._likelihoods(name, edited, decisions)
        same = [one == other for one, other in zip(before, after, strict=True)]
        return Ability(
            method=name,
            file=self._file.file.name,
            sha256=self._file.sha256,
            edits=len(bundle.ids),
            bare=self._accuracy(before),
            attached=self._accuracy(after),
            same=round(sum(same) / len(same), 6),
            differing=same.count(False),
            fired=sum(decision.edit is not None for decision in decisions),
        )

    def _accuracy(self, found: Likelihoods) -> Estimate:
        marks: Mapping[str, list[float]] = {
            str(i): [float(_chosen(question, of_choices) == question.answer)]
            for i, (question, of_choices) in enumerate(
                zip(self._file.questions, found, strict=True)
            )
        }
        return estimate(marks).model_copy(update={"edits": 0})

    @torch.inference_mode()
    def _likelihoods(
        self, name: str, edited: Edited | Any | None, decisions: Sequence[Decision]
    ) -> Likelihoods:
        model: Any = self._loaded.model
        device = next(model.parameters()).device
        self._progress.begin(self._file.file.name, sum(map(len, self._batches)))
        self._progress.advance(0, name)
        found: dict[_Row, float] = {}
        for batch in self._batches:
            ids, mask = pad([row.ids for row in batch], pad_token(self._loaded.tokenizer))
            with _steering(edited, batch, decisions) if edited else nullcontext():
                output = model(
                    input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False
                )
            for row, logits in zip(batch, output.logits, strict=True):
                of_choice = logits[row.start - 1 : len(row.ids) - 1].float().log_softmax(-1)
                tokens = torch.tensor(row.choice, device=logits.device)[:, None]
                found[row] = float(of_choice.gather(1, tokens).double().sum())
            self._progress.advance(len(batch))
        in_order = groupby(self._rows, key=lambda row: row.question)
        return [tuple(found[row] for row in rows) for _, rows in in_order]


def _alike(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two texts begin with in common; at least one, behind which to read."""
    pairs = zip(first, second, strict=False)
    return max(1, next((i for i, (a, b) in enumerate(pairs) if a != b), len(first)))


def _batches(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    batch: list[_Row] = []
    for row in sorted(dict.fromkeys(rows), key=lambda row: (len(row.ids), row.question, row.ids)):
        if batch and (len(batch) + 1) * len(row.ids) > CELLS:
            yield batch
            batch = []
        batch.append(row)
    yield batch


def _steering(edited: Edited, batch: Sequence[_Row], decisions: Sequence[Decision]) -> Any:
    """Steers a pass over a batch at each position before a token of a choice, in the rows for
    whose question an edit fires."""
    answers = edited.answering([decisions[row.question] for row in batch])
    places = [
        (i, answer, place)
        for i, answer in enumerate(answers)
        if answer is not None
        for place in range(len(batch[i].choice))
    ]
    at = (
        torch.tensor([i for i, _, _ in places], dtype=torch.long),
        torch.tensor([batch[i].start - 1 + place for i, _, place in places], dtype=torch.long),
    )
    rows = [(n, answer, batch[i].choice[:place]) for n, (i, answer, place) in enumerate(places)]
    return edited.steering(rows, at)


def _chosen(question: MultipleChoice, likelihoods: Sequence[float]) -> int:
    """The place of the choice that is likeliest by its length."""
    by_length = [
        likelihood / len(choice)
        for likelihood, choice in zip(likelihoods, question.choices, strict=True)
    ]
    return by_length.index(max(by_length))

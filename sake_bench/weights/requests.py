"""What is asked of a weight-changing method: one prompt, its subject's place, its new object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sake_registry.errors import InputError, UnsupportedModelError
from sake_registry.names import SUBJECT, find

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sake_registry.edits.schema import Edit

MAX_PROMPTS = 4
MAX_IMPLICATIONS = 2


@dataclass(frozen=True)
class Request:
    """A filled prompt with its new object; `subject` is where the subject stands in it."""

    edit: str
    prompt: str
    subject: tuple[int, int]
    new: str

    @property
    def name(self) -> str:
        return self.prompt[slice(*self.subject)]


@dataclass(frozen=True)
class Row:
    """The tokens of a text, and what the optimisation needs to know of them.

    Attributes:
        ids: token ids of prefix, prompt and object.
        subject: index of the subject's last token.
        object: index of the object's first token; `len(ids)` if there is no object.
    """

    ids: tuple[int, ...]
    subject: int
    object: int


def own_request(edit: Edit) -> Request:
    """The request that an edit's own (first) prompt makes: what ROME and MEMIT are given.

    Raises:
        InputError: the prompt does not name the subject.
    """
    return _request(edit, edit.prompts[0].text, edit.new)


def all_requests(edit: Edit) -> list[Request]:
    """One request per prompt of an edit's distribution: what CompMEMIT is given (SAKE, B.2).

    To bound the cost, at most 4 prompts, the first and then written ones before generated ones,
    and the first 2 implications that name the subject, with their own answers.

    Raises:
        InputError: a prompt does not name the subject.
    """
    first, *others = edit.prompts
    chosen = [first, *sorted(others, key=lambda prompt: prompt.by is not None)][:MAX_PROMPTS]
    requests = [_request(edit, prompt.text, edit.new) for prompt in chosen]
    implied = [
        _request(edit, implication.prompt, implication.new.text)
        for implication in edit.implications
        if _span(edit, implication.prompt) is not None
    ]
    return list(dict.fromkeys([*requests, *implied[:MAX_IMPLICATIONS]]))


def _request(edit: Edit, text: str, new: str) -> Request:
    span = _span(edit, text)
    if span is None:
        raise InputError(
            f"{edit.id}: the prompt '{text}' does not name the subject, and ROME and MEMIT write "
            f"to its last token",
            hint=f"write {SUBJECT} where the subject stands",
        )
    return Request(edit.id, edit.fill(text), span, new)


def _span(edit: Edit, text: str) -> tuple[int, int] | None:
    """Where the subject stands last in the filled text, or None."""
    before, subject, _ = text.rpartition(SUBJECT)
    if subject:
        start = len(edit.fill(before))
        return start, start + len(edit.subject)
    spans = find(text, [edit.subject])
    return spans[-1] if spans else None


def tokenize(tokenizer: Any, request: Request, prefix: str = "", *, answered: bool = False) -> Row:
    """The tokens of `prefix. prompt` or, answered, `prefix. prompt object`.

    Tokens are told apart by the characters that they stand for: a subject or object that is
    tokenized by itself may be split otherwise.

    Raises:
        UnsupportedModelError: the tokenizer does not say which characters a token stands for.
    """
    lead = f"{prefix}. " if prefix else ""
    prompt = lead + request.prompt
    text = f"{prompt} {request.new}" if answered else prompt
    ids, offsets = _encode(tokenizer, text)
    start, end = (len(lead) + place for place in request.subject)
    subject = max(i for i, (a, b) in enumerate(offsets) if a < end and b > start)
    if answered:
        # What closes a text stands for no characters, (0, 0), and is no part of the object.
        inside = [i for i, (_, b) in enumerate(offsets) if b > len(prompt)]
        return Row(tuple(ids[: inside[-1] + 1]), subject, inside[0])
    return Row(tuple(ids), subject, len(ids))


def about(tokenizer: Any, request: Request) -> Row:
    """The tokens of "<subject> is a", on which the model is held to what it said before."""
    name = request.name
    prompt = f"{name} is a"
    return tokenize(tokenizer, Request(request.edit, prompt, (0, len(name)), ""))


def _encode(tokenizer: Any, text: str) -> tuple[list[int], Sequence[tuple[int, int]]]:
    if not getattr(tokenizer, "is_fast", False):
        raise UnsupportedModelError(
            "the tokenizer does not say which characters a token stands for",
            hint="a fast tokenizer (tokenizer.json) is needed to find the subject's last token",
        )
    encoded = tokenizer(text, return_offsets_mapping=True)
    return encoded.input_ids, encoded.offset_mapping

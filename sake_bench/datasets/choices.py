"""Multiple-choice questions, in a form that ARC, PIQA, MMLU and SST-2 fit: JSON lines, each
`{"question": …, "choices": […], "answer": 0}`, the answer by its place."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sake_bench.datasets.entries import Entry, MalformedError, parse
from sake_registry.edits.schema import Text
from sake_registry.errors import InputError
from sake_registry.wording import count

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = 'a line is {"question": "…", "choices": ["…", "…"], "answer": 0}'


class MultipleChoice(Entry):
    """A question, what it may be answered with, and which of that is right."""

    question: Text
    choices: Annotated[tuple[Text, ...], Field(min_length=2)]
    answer: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class ChoiceFile:
    """The questions of a file."""

    file: Path
    sha256: str
    questions: tuple[MultipleChoice, ...]


def read_choices(path: Path) -> ChoiceFile:
    """The questions that a file holds.

    Raises:
        InputError: it cannot be read, or holds none, or a line is no such question.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8", hint="save it as UTF-8") from error
    questions, wrong = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                questions.append(_read(line))
            except MalformedError as error:
                wrong.append(f"{path}:{number}: {error}")
    if wrong:
        more = f" (and {count(len(wrong) - 1, 'more line')})" if len(wrong) > 1 else ""
        raise InputError(f"{wrong[0]}{more}", hint=SHAPE)
    if not questions:
        raise InputError(f"{path}: holds no questions", hint=SHAPE)
    return ChoiceFile(path, hashlib.sha256(data).hexdigest(), tuple(questions))


def _read(line: str) -> MultipleChoice:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"not JSON: {error}") from error
    question = parse(MultipleChoice, value)
    if question.answer >= len(question.choices):
        places = len(question.choices) - 1
        raise MalformedError(f"answer: {question.answer} is none of its choices (0 to {places})")
    return question

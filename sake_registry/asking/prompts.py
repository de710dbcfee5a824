"""Prompts of a log, read line by line: bounded, and nothing is passed over in silence.

A line is the prompt itself, or a JSON object that has it: `{"prompt": "…"}`, or the request of a
chat, `{"messages": [{"role": "user", "content": "…"}, …]}`. Of a chat the text of its turns is
looked at, up to the last one that is not the assistant's; what a model's template puts around them
is not there. Other keys are free: the log of a server is such a log.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from sake_registry.errors import InputError
from sake_registry.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_BYTES = 1 << 20
"""Of a line: what is longer is not a prompt that anybody would route."""
FORM = 'a line is a prompt, or has "prompt" or "messages"'


class Line(NamedTuple):
    """A line of a log that is not blank: its number, and its prompt, or why it has none."""

    number: int
    prompt: str = ""
    problem: str = ""


@contextmanager
def open_prompts(log: Path) -> Iterator[BinaryIO]:
    """A log, to be read; `-` is stdin.

    Raises:
        InputError: it cannot be read.
    """
    if str(log) == "-":
        yield sys.stdin.buffer
        return
    try:
        file = log.open("rb")
    except OSError as error:
        raise InputError(f"{log}: cannot be read: {error.strerror}", hint=FORM) from error
    with file:
        yield file


def read_prompts(file: BinaryIO) -> Iterator[Line]:
    """The lines of a log; no more than one is held at a time."""
    number = 0
    while data := file.readline(MAX_BYTES + 1):
        number += 1
        if len(data) > MAX_BYTES and not data.endswith(b"\n"):
            while len(rest := file.readline(MAX_BYTES)) == MAX_BYTES and not rest.endswith(b"\n"):
                pass
            yield Line(number, problem=f"longer than {MAX_BYTES} bytes")
            continue
        if number == 1:
            data = data.removeprefix(b"\xef\xbb\xbf")
        if data.strip():
            yield _line(number, data)


def _line(number: int, data: bytes) -> Line:
    try:
        text = data.decode().strip("\r\n")
        prompt = _of_object(json.loads(text)) if text.lstrip().startswith("{") else text
    except UnicodeDecodeError:
        return Line(number, problem="not UTF-8")
    except _UnusableError as error:
        return Line(number, problem=str(error))
    except json.JSONDecodeError as error:
        return Line(number, problem=f"not JSON: {error.msg} at column {error.colno}")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, deep nesting
        return Line(number, problem=f"not JSON that can be read: {shorten(str(error))}")
    if not prompt.strip():
        return Line(number, problem="its prompt is empty")
    return Line(number, prompt)


class _UnusableError(Exception):
    """Why an object has no prompt."""


def _of_object(value: dict[str, Any]) -> str:
    if "prompt" in value:
        if not isinstance(prompt := value["prompt"], str):
            raise _UnusableError("its prompt is not text")
        return prompt
    if "messages" in value:
        return _of_chat(value["messages"])
    if "prompt_sha256" in value:
        raise _UnusableError("the hash of a prompt, without the prompt: log prompts as well")
    raise _UnusableError(FORM)


def _of_chat(messages: Any) -> str:
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise _UnusableError("its messages are not a list of objects")
    asked = list(messages)
    while asked and asked[-1].get("role") == "assistant":
        asked.pop()  # the answer that was given
    return "\n".join(filter(None, (_content(message.get("content")) for message in asked)))


def _content(content: Any) -> str:
    """A turn's text; of one in parts (text, images), that of its texts."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise _UnusableError("the content of a message is not text")
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))

"""What a line of a server's log of decisions says of an answer.

The log has the prompt only where prompts are logged; else its hash, by which the prompt that a
person gives is known to be that one. It never has the answer. No more is held than the lines of
what may be meant.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from sake_registry.errors import InputError
from sake_registry.wording import LEAST, count, meant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_BYTES = 1 << 20
"""Of a line; what is longer is passed over."""


class LoggedPrompt(NamedTuple):
    """What was asked, and the edit that answered, if one did."""

    prompt: str
    edit: str | None


def logged_prompt(log: Path, request: str, prompt: str | None = None) -> LoggedPrompt:
    """The prompt of a request.

    Args:
        request: its id, or the first characters of it, six at least, if no other begins with them.
        prompt: that of the request, where the log has only its hash, or the request has several.

    Raises:
        InputError: the log cannot be read, or the request is not in it, or not this prompt; or
            several may be meant.
    """
    rows = list(_rows(log, request))
    requests = meant(request, (row["request"] for row in rows))
    if not requests:
        raise InputError(
            f"no request '{request}' in {log}",
            hint="its id is in the answer's header X-Request-Id, and in a line's \"request\"; "
            f"{LEAST} characters of it are enough",
        )
    if len(requests) > 1:
        raise InputError(
            f"{count(len(requests), 'request')} in {log} begin with '{request}'",
            hint=f"one of {', '.join(requests[:5])}",
        )
    (request,) = requests
    rows = [row for row in rows if row["request"] == request]
    if prompt is not None:
        digest = hashlib.sha256(prompt.encode(errors="surrogatepass")).hexdigest()
        rows = [row for row in rows if row["prompt_sha256"] == digest]
        if not rows:
            raise InputError(
                f"the request '{request}' in {log} is of another prompt",
                hint="give it as it was sent, to the letter, or leave --log out",
            )
    asked = {row["prompt_sha256"]: row for row in rows}
    if len(asked) > 1:
        raise InputError(
            f"the request '{request}' has {count(len(asked), 'prompt')}",
            hint="say which of them: --prompt …",
        )
    row = rows[0]
    text = prompt if prompt is not None else row.get("prompt")
    if not isinstance(text, str):
        raise InputError(
            f"{log} has the hash of the prompt alone",
            hint="give it with --prompt; `sake serve --log-prompts` logs prompts as well",
        )
    edit = row.get("edit") if row.get("mode") == "edit" else None
    return LoggedPrompt(text, edit if isinstance(edit, str) else None)


def _rows(log: Path, request: str) -> Iterator[dict[str, Any]]:
    """The lines of the requests whose ids begin so."""
    try:
        with log.open("rb") as file:
            while data := file.readline(MAX_BYTES):
                if request.encode() not in data:
                    continue
                try:
                    row = json.loads(data)
                except (ValueError, RecursionError):  # cut, or not of the log
                    continue
                if (
                    isinstance(row, dict)
                    and isinstance(row.get("prompt_sha256"), str)
                    and isinstance(id_ := row.get("request"), str)
                    and id_.startswith(request)
                ):
                    yield row
    except OSError as error:
        raise InputError(
            f"{log}: cannot be read: {error.strerror}", hint="name the file of `sake serve --log`"
        ) from error

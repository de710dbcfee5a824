"""The log of decisions: what fired, what did not and why, one JSON object a line.

Prompts are in it only where this was asked for; without, the hash of a prompt still tells which
lines are of the same one. A file that was moved or removed, as rotating logs does, is made anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

from sake_registry.errors import StorageError
from sake_registry.runtime.judged import Mode
from sake_registry.values import Value

if TYPE_CHECKING:
    from sake_registry.runtime.judged import Judged


log = logging.getLogger(__name__)


class Logged(Value):
    """A line of the log.

    Attributes:
        time: UTC, ISO 8601.
        request: the request's id.
        bundle: the bundle's key; None where there was none.
        edit: the edit that fired, or in shadow mode would have.
        reason: why it did, or why none did, in words.
        mode: `shadow` changed nothing; `bare` was asked for without edits.
        milliseconds: what deciding took; None where nothing was decided.
        prompt: the text that was decided on, where prompts are logged.
    """

    time: str
    request: str
    bundle: str | None
    edit: str | None
    nearest: str | None
    distance: float | None
    threshold: float | None
    reason: str
    narrow: bool
    mode: Mode
    milliseconds: float | None = None
    prompt: str | None = None
    prompt_sha256: str


class DecisionLog:
    """Writes decisions to a file, or to stderr. Where that fails, answers are given all the same,
    and `problem` says so.

    Args:
        path: what is appended to; stderr if None.
        prompts: write the prompts themselves as well.

    Raises:
        StorageError: the file cannot be written.
    """

    def __init__(self, path: Path | None = None, *, prompts: bool = False) -> None:
        self._prompts, self._lock = prompts, threading.Lock()
        self.problem: str | None = None
        self._file: _Appended | None = None
        if path is not None:
            try:
                self._file = _Appended(path, encoding="utf-8")
            except OSError as error:
                raise StorageError(
                    f"{path}: cannot be written: {error.strerror}",
                    hint="name a file in a folder that is there: --log FILE",
                ) from error

    def write(self, request: str, decided: Judged, prompt: str) -> None:
        """What was decided of one prompt of a request."""
        decision, seconds = decided.decision, decided.seconds
        logged = Logged(
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            request=request,
            bundle=decided.key,
            edit=decision.edit,
            nearest=decision.nearest,
            distance=finite(decision.distance),
            threshold=finite(decision.threshold),
            reason=decided.why,
            narrow=decision.narrow,
            mode=decided.mode,
            milliseconds=None if seconds is None else round(1000 * seconds, 2),
            prompt=prompt if self._prompts else None,
            prompt_sha256=hashlib.sha256(prompt.encode(errors="surrogatepass")).hexdigest(),
        )
        left_out = set() if self._prompts else {"prompt"}
        line = json.dumps(logged.model_dump(mode="json", exclude=left_out), ensure_ascii=False)
        with self._lock:
            try:
                if self._file is not None:
                    self._file.handle(logging.makeLogRecord({"msg": line}))
                else:
                    sys.stderr.write(line + "\n")
                    sys.stderr.flush()
            except (OSError, StorageError) as error:
                said = f"decisions cannot be logged: {error}"
                if said != self.problem:
                    log.error("%s", said)
                self.problem = said
            else:
                self.problem = None

    def close(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # what could not be written stays unwritten
                self._file.close()


class _Appended(WatchedFileHandler):
    """Raises where a line cannot be written."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        raise


def finite(number: float | None) -> float | None:
    """JSON has no other numbers."""
    return number if number is not None and abs(number) < float("inf") else None

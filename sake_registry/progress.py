"""Progress of long work: one protocol for all that does the work, and for all that shows it.

A piece of work begins a phase and advances it; phases follow one another and never overlap. The
library only calls this; the command line draws it (`commands.console.watching`).
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["SILENT", "Progress"]


class Progress(Protocol):
    """What is kept informed."""

    def begin(self, phase: str, total: int) -> None:
        """A phase begins; it ends when `total` steps are done or the next phase begins."""

    def advance(self, steps: int = 1, label: str = "") -> None:
        """So many more steps of the phase are done; `label` is what they were done on."""


class _Silent:
    def begin(self, phase: str, total: int) -> None:
        pass

    def advance(self, steps: int = 1, label: str = "") -> None:
        pass


SILENT: Progress = _Silent()
"""Progress that nothing shows."""

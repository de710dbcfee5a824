"""The text of an answer, as its tokens come.

Guarantees:
- The pieces of an answer, joined, are what its tokens decode to: no piece ends within a character.
- What may be the beginning of a stop string is held back until it is known not to be one; a stop
  string, and what follows it, is never given out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_HALF = "\ufffd"
"""What bytes decode to that are no whole character yet."""


class AnswerText:
    """The text of one answer.

    Args:
        stops: strings before which the answer ends.

    Attributes:
        stopped: a stop string was met; nothing follows.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str] = ()) -> None:
        self._tokenizer, self._stops = tokenizer, tuple(stops)
        self._tokens: list[int] = []
        # Decoded are only the tokens from `_start` on; those before `_read` are given out, and
        # stand there because a token may decode otherwise at the beginning of a text.
        self._start = self._read = 0
        self._held = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """The text that can be given out now that this token is known; often nothing."""
        self._tokens.append(token)
        before = self._decode(self._start, self._read)
        after = self._decode(self._start, len(self._tokens))
        if len(after) <= len(before) or after.endswith(_HALF):
            return ""
        self._start, self._read = self._read, len(self._tokens)
        return self._released(after[len(before) :])

    def finish(self) -> str:
        """The rest, when no token follows: half a character as it is, and what was held back."""
        if self.stopped:
            return ""
        before = self._decode(self._start, self._read)
        after = self._decode(self._start, len(self._tokens))
        self._read = len(self._tokens)
        text = self._released(after[len(before) :])
        rest, self._held = self._held, ""
        return text if self.stopped else text + rest

    def _decode(self, start: int, end: int) -> str:
        text: str = self._tokenizer.decode(
            self._tokens[start:end], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _released(self, text: str) -> str:
        text = self._held + text
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        kept = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]


def _overlap(text: str, stop: str) -> int:
    """How many characters at a text's end are the beginning of a stop string."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)

"""Text as pages and comments show it: it stays text, and nothing hides in it.

Characters that neither HTML nor XML may hold become U+FFFD. What turns the direction of text
around or hides in it is shown by its number: a reader must see what a model is given.
"""

from __future__ import annotations

import math
import re
from urllib.parse import quote, urlsplit

from sake_registry import wording

__all__ = ["address", "clean", "number", "percent", "plain", "visible"]

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
# What an address may hold as it is; all else is percent-encoded.
_IN_ADDRESS = "!#$%&'*+,/:;=?@~[]-._"


def clean(text: str) -> str:
    """The text without characters that no document may hold."""
    return _FORBIDDEN.sub("\ufffd", text)


def visible(text: str) -> str:
    """The clean text with what hides in it, or turns it around, shown by its number."""
    return wording.visible(clean(text))


def plain(text: str) -> str:
    """Text on one line that Markdown shows as it is, in a table's cell, too."""
    line = " ".join(clean(text).split())
    line = re.sub(r"([\\`*_{}\[\]<>|~$])", r"\\\1", line)
    # An entity, a heading, a list and a bare address would be markup without any of these signs.
    line = re.sub(r"&(?=#?\w+;)", r"\\&", line)
    line = re.sub(r"^([#+-]|\d+[.)])(?=\s|$)", lambda m: m[1][:-1] + "\\" + m[1][-1], line)
    return re.sub(r"(?i)\b(https?|ftp|mailto):", r"\1\\:", line)


def address(text: str) -> str | None:
    """A web address as a link may hold it; None if the text is none, or misleads about its host."""
    text = clean(text).strip()
    try:
        parts = urlsplit(text)
        if parts.scheme.lower() not in ("http", "https") or not parts.hostname or parts.username:
            return None
    except ValueError:
        return None
    if re.search(r"\s", text) or wording.HIDDEN.search(text):
        return None
    return quote(text, safe=_IN_ADDRESS)


def percent(share: float, digits: int = 1) -> str:
    """`91.0` of 0.91; an exact half is rounded up, as people do."""
    scale = 10**digits
    return f"{math.floor(share * 100 * scale + 0.5 + 1e-9) / scale:.{digits}f}"


def number(value: float) -> str:
    """`3`, `4.6`, `0.01`: a number as short as it can be written."""
    return f"{value:.4g}"

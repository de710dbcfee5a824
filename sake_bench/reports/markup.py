"""HTML and SVG from plain values; text is text.

`tag` is the only way to an element. A child or attribute that is a plain `str` is escaped, only
`Markup` (what `tag` itself made) goes in as it is; so a record with `<script>` in it stays text,
wherever it is shown. Characters that neither HTML nor XML may hold become U+FFFD.
"""

from __future__ import annotations

import html
import re

FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9:-]*\Z")
VOID = frozenset({"meta", "input", "br", "link", "hr", "col"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """The text as HTML that shows it."""
    return text if isinstance(text, Markup) else Markup(html.escape(clean(text), quote=True))


def clean(text: str) -> str:
    """The text without characters that no document may hold."""
    return FORBIDDEN.sub("\ufffd", text)


def tag(name: str, /, *children: str | None, **attributes: str | float | bool | None) -> Markup:
    """`<name …>children</name>`.

    An attribute's trailing `_` is dropped and other `_` become `-` (`class_`, `data_value`). None
    and False leave an attribute out, True writes it without a value; a None child is left out.
    """
    if not NAME.match(name):
        raise ValueError(f"no element name: {name!r}")
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{written}>")
    inner = "".join(escape(child) for child in children if child is not None)
    return Markup(f"<{name}{written}>{inner}</{name}>")


def _attribute(key: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if not NAME.match(name):
        raise ValueError(f"no attribute name: {key!r}")
    if value is True:
        return f" {name}"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    # A `Markup` value is escaped, too: inside quotes it would be text all the same.
    return f' {name}="{html.escape(clean(text), quote=True)}"'


def join(*parts: str) -> Markup:
    """The parts one after the other; plain text among them is escaped."""
    return Markup("".join(escape(part) for part in parts))

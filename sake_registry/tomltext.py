"""Setting numbers in a TOML file, and leaving every other byte of it alone.

Rather than to know all of TOML, the text that comes out is read again: if it does not say what it
said before and the new numbers, the file is left as it is.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from sake_registry.errors import SettingsError
from sake_registry.files import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_HEADER = re.compile(r"^[ \t]*\[", re.M)


def set_in_table(path: Path, table: str, values: Mapping[str, float]) -> None:
    """Set keys of a table in a TOML file, whole or not at all.

    Raises:
        SettingsError: it cannot be read, is not TOML, or is written in a way that cannot be
            changed safely.
        StorageError: it cannot be written.
    """
    wanted = "; ".join(f"{key} = {value!r}" for key, value in values.items())
    by_hand = f"write it yourself, under [{table}]: {wanted}"
    try:
        text = path.read_bytes().decode()
        before = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}", hint=by_hand) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}", hint=by_hand) from error
    changed = text
    for key, value in reversed(list(values.items())):  # each new one is put before the last
        changed = _with_key(changed, table, key, repr(value))
    inner = before.get(table, {})
    expected = {**before, table: {**inner, **values}} if isinstance(inner, dict) else None
    if expected is None or _read(changed) != expected:
        raise SettingsError(
            f"{path}: the keys of [{table}] are written in a way that cannot be changed safely",
            hint=by_hand,
        )
    with replacing(path) as temporary:
        temporary.write_bytes(changed.encode())


def _read(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _with_key(text: str, table: str, key: str, value: str) -> str:
    """`text` with a key of a table changed where it stands, or added as the table's first."""
    end = "\r\n" if "\r\n" in text else "\n"
    opened = re.search(rf"^[ \t]*\[[ \t]*{table}[ \t]*\][ \t]*(#.*)?\r?$\n?", text, re.M)
    if opened is None:
        dotted = _assigned(text, rf"{table}[ \t]*\.[ \t]*{key}", value)
        if dotted is not None:
            return dotted
        gap = "" if not text else end if text.endswith("\n") else end + end
        return f"{text}{gap}[{table}]{end}{key} = {value}{end}"
    following = _HEADER.search(text, opened.end())
    stop = following.start() if following else len(text)
    head, body, rest = text[: opened.end()], text[opened.end() : stop], text[stop:]
    changed = _assigned(body, key, value)
    if changed is None:
        head += "" if head.endswith("\n") else end
        changed = f"{key} = {value}{end}{body}"
    return head + changed + rest


def _assigned(text: str, key: str, value: str) -> str | None:
    """`text` with another value behind a key, or None if no line assigns to it."""
    line = re.compile(rf"^([ \t]*{key}[ \t]*=[ \t]*)[^#\r\n]*?([ \t]*(?:#[^\r\n]*)?\r?)$", re.M)
    if not line.search(text):
        return None
    return line.sub(lambda found: f"{found[1]}{value}{found[2]}", text, count=1)

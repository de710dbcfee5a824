"""Setting values in a TOML file, whose comments and layout stay as they are."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import tomlkit
from tomlkit.container import OutOfOrderTableProxy
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AbstractTable, SingleKey, Table

from sake_registry.errors import SettingsError
from sake_registry.files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def set_in_table(path: Path, table: str, values: Mapping[str, float | str]) -> None:
    """Set keys of a table in a TOML file, whole or not at all.

    Raises:
        SettingsError: it cannot be read, is not TOML, or has something else in the table's place.
        StorageError: it cannot be written.
    """
    stated = "; ".join(f"{key} = {value!r}" for key, value in values.items())
    by_hand = f"write it yourself, under [{table}]: {stated}"
    try:
        text = path.read_bytes().decode()
        before = tomllib.loads(text)
        if not isinstance(before.get(table, {}), dict):
            raise SettingsError(f"{path}: {table} is not a table", hint=by_hand)
        changed = _changed(text, table, values)
        after = tomllib.loads(changed)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}", hint=by_hand) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, TOMLKitError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}", hint=by_hand) from error
    if after != {**before, table: {**before.get(table, {}), **values}}:
        raise SettingsError(f"{path}: [{table}] cannot be changed safely", hint=by_hand)
    write_bytes(path, changed.encode())


def _changed(text: str, table: str, values: Mapping[str, float | str]) -> str:
    # tomlkit ends the lines that it adds with "\n".
    windows = "\n" in text and text.count("\n") == text.count("\r\n")
    text = text.replace("\r\n", "\n") if windows else text
    ended = not text or text.endswith("\n")
    document = tomlkit.parse(text if ended else f"{text}\n")
    if table not in document:
        if document.body and not ended:
            document.add(tomlkit.nl())
        document[table] = tomlkit.table()
    node = document[table]
    assert isinstance(node, AbstractTable | OutOfOrderTableProxy)  # the caller has seen a table
    if isinstance(node, Table) and not node.is_super_table():
        new = [key for key in values if key not in node]
        node.update({key: value for key, value in values.items() if key in node})
        for key in reversed(new):
            # At the table's head: a comment at its end may be about the next table.
            node.value.body.insert(0, (SingleKey(key), tomlkit.item(values[key])))
    else:
        node.update(values)
    changed = tomlkit.dumps(document)
    return changed.replace("\n", "\r\n") if windows else changed

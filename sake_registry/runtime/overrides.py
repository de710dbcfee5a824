"""What production switched off: a file that lies beside the registry's bundles.

    {"disabled": {"darrieux-tongue": "wrong for her early films, see the ticket"}}

It works at once, without a compile and without a commit: whoever serves a bundle reads it and
keeps these edits from firing. `sake status` reminds of them until the registry itself says so.
Reading is strict: an edit that stays on because a key was misspelt is worse than an error.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sake_registry.errors import InputError
from sake_registry.files import read_bounded
from sake_registry.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sake_registry.runtime.bundle import EditedModel

_ID = re.compile(r"[a-z0-9][a-z0-9-]*")
MAX_BYTES = 1 << 20
_FORM = '{"disabled": {"ID": "reason"}}'


@dataclass(frozen=True)
class Overrides:
    """The edits that are switched off: their ids, and why."""

    disabled: Mapping[str, str]

    def apply(self, edited: EditedModel) -> tuple[str, ...]:
        """Keep the disabled edits from firing on an attached bundle.

        Returns the ids that the bundle does not hold: there is nothing to switch off. (Handing
        the ids to `edited.disable` oneself, an empty list would switch off every edit.)
        """
        held = set(edited.bundle.ids)
        here = [id_ for id_ in self.disabled if id_ in held]
        if here:
            edited.disable(*here)
        return tuple(id_ for id_ in self.disabled if id_ not in held)


def read_overrides(path: Path | str) -> Overrides:
    """Read a file of overrides; where there is none, nothing is disabled.

    Raises:
        InputError: it cannot be read, is not JSON, or says something else than its form allows.
    """
    path = Path(path)
    try:
        data = read_bounded(path, MAX_BYTES)
        text = data.decode()
    except FileNotFoundError:
        return Overrides({})
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}", hint=f"its form: {_FORM}") from error
    if len(data) > MAX_BYTES:
        raise _wrong(path, f"larger than {MAX_BYTES} bytes")
    try:
        value = json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}:{error.colno}"
        raise InputError(f"{place}: not JSON: {error.msg}", hint=f"its form: {_FORM}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, deep nesting
        raise _wrong(path, f"not JSON that can be read: {error}") from error
    disabled = _mapping(path, "it", value).get("disabled", _Pairs())
    for key in value:
        if key != "disabled":
            raise _wrong(path, f"unknown key '{key}'; {did_you_mean(key, ['disabled'])}")
    for id_, reason in _mapping(path, "disabled", disabled).items():
        if not _ID.fullmatch(id_):
            raise _wrong(path, f"disabled: '{id_}' is not an id of an edit")
        if not isinstance(reason, str) or not reason.strip():
            raise _wrong(path, f"disabled.{id_}: say why, in text")
    return Overrides(dict(disabled))


class _Pairs(dict[str, Any]):
    """A JSON object that remembers a key that stood twice."""

    def __init__(self, pairs: list[tuple[str, Any]] | None = None) -> None:
        super().__init__(pairs or [])
        names = [name for name, _ in pairs or []]
        self.twice = next((name for name in names if names.count(name) > 1), None)


def _mapping(path: Path, what: str, value: Any) -> _Pairs:
    if not isinstance(value, _Pairs):
        raise _wrong(path, f"{what} is not an object")
    if value.twice is not None:
        raise _wrong(path, f"'{value.twice}' stands twice")
    return value


def _wrong(path: Path, what: str) -> InputError:
    return InputError(f"{path}: {what}", hint=f"its form: {_FORM}")

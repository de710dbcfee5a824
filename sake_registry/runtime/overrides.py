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
_HINT = 'its form: {"disabled": {"ID": "reason"}}'


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
    except FileNotFoundError:
        return Overrides({})
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error}", hint=_HINT) from error
    return parse_overrides(data, str(path))


def parse_overrides(data: bytes, place: str) -> Overrides:
    """What a file of overrides says, wherever it lies.

    Args:
        place: where it lies, for messages.

    Raises:
        InputError: it is too large, not JSON, or says something else than its form allows.
    """
    value = json_object(data, place, MAX_BYTES, _HINT)
    disabled = _mapping(place, "disabled", value.get("disabled", _Pairs()), _HINT)
    for key in value:
        if key != "disabled":
            what = f"unknown key '{key}'; {did_you_mean(key, ['disabled'])}"
            raise _wrong(place, what, _HINT)
    for id_, reason in disabled.items():
        if not _ID.fullmatch(id_):
            raise _wrong(place, f"disabled: '{id_}' is not an id of an edit", _HINT)
        if not isinstance(reason, str) or not reason.strip():
            raise _wrong(place, f"disabled.{id_}: say why, in text", _HINT)
    return Overrides(dict(disabled))


def json_object(data: bytes, place: str, limit: int, hint: str) -> dict[str, Any]:
    """A JSON object, read strictly: of a limited size, and no key stands twice in it.

    Args:
        place: where it lies, for messages.
        limit: so many bytes are allowed.

    Raises:
        InputError: it is something else.
    """
    if len(data) > limit:
        raise _wrong(place, f"larger than {limit} bytes", hint)
    try:
        value = json.loads(data.decode(), object_pairs_hook=_Pairs)
    except UnicodeDecodeError as error:
        raise _wrong(place, f"cannot be read: {error}", hint) from error
    except json.JSONDecodeError as error:
        where = f"{place}:{error.lineno}:{error.colno}"
        raise _wrong(where, f"not JSON: {error.msg}", hint) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, deep nesting
        raise _wrong(place, f"not JSON that can be read: {error}", hint) from error
    return _mapping(place, "it", value, hint)


class _Pairs(dict[str, Any]):
    """A JSON object that remembers a key that stood twice."""

    def __init__(self, pairs: list[tuple[str, Any]] | None = None) -> None:
        super().__init__(pairs or [])
        names = [name for name, _ in pairs or []]
        self.twice = next((name for name in names if names.count(name) > 1), None)


def _mapping(place: str, what: str, value: Any, hint: str) -> _Pairs:
    if not isinstance(value, _Pairs):
        raise _wrong(place, f"{what} is not an object", hint)
    if value.twice is not None:
        raise _wrong(place, f"'{value.twice}' stands twice", hint)
    return value


def _wrong(place: str, what: str, hint: str) -> InputError:
    return InputError(f"{place}: {what}", hint=hint)

"""What the newest test found of each edit: kept, so that others can show it. No torch here.

One file a model, `tests/…json` in the registry's store, which any test of that model writes anew:
the edits that it asked about are replaced, the others stay while the bundle holds them. It may be
deleted at any time. What cannot be read is passed over with a warning: it is shown, and decides
nothing.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError

from sake_registry.asking.rows import Row
from sake_registry.files import below, read_bounded, write_text
from sake_registry.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sake_registry.bundle.format import Manifest

log = logging.getLogger(__name__)
FOLDER = "tests"
MAX_BYTES = 1 << 28


class EditAnswers(Value):
    """The rows of one edit: when they were asked (UTC), in which version (its key), with which
    bundle (the name of its file)."""

    time: datetime
    key: str
    bundle: str
    rows: tuple[Row, ...]


class ModelAnswers(Value):
    """What is known of a model's answers, by the edit's id."""

    version: Literal["tested/1"] = Field("tested/1", alias="schema")
    model: str
    model_hash: str
    edits: dict[str, EditAnswers]


def keep(store: Path, bundle: Path, manifest: Manifest, rows: Iterable[Row]) -> None:
    """Keep the rows of a test, in the order of their edits.

    Args:
        store: the folder of the registry's store.
        bundle: the bundle that was asked, whose manifest this is.

    Raises:
        StateError: a part of the path is a link.
        StorageError: it cannot be written.
    """
    model = manifest.model
    path = store / FOLDER / f"{model.hash[:16]}-{model.dtype}.json"
    keys = {info.id: info.key for info in manifest.edits}
    before = _read(path, store)
    edits = {id_: edit for id_, edit in (before.edits if before else {}).items() if id_ in keys}
    now = datetime.now(UTC).replace(microsecond=0)
    for id_, of_edit in groupby(rows, key=lambda row: row.edit):
        if id_ is not None:
            edits[id_] = EditAnswers(
                time=now, key=keys[id_], bundle=bundle.name, rows=tuple(of_edit)
            )
    kept = ModelAnswers(model=model.name, model_hash=model.hash, edits=dict(sorted(edits.items())))
    write_text(path, kept.model_dump_json(by_alias=True) + "\n", store)


def newest(store: Path) -> dict[str, tuple[ModelAnswers, EditAnswers]]:
    """The newest test of each edit, of whatever model, with what else is known of that model.

    Raises:
        StateError: a part of the path is a link.
    """
    found: dict[str, tuple[ModelAnswers, EditAnswers]] = {}
    for path in sorted((store / FOLDER).glob("*.json")):
        tested = _read(path, store)
        for id_, edit in (tested.edits if tested else {}).items():
            if tested and (id_ not in found or found[id_][1].time < edit.time):
                found[id_] = tested, edit
    return found


def _read(path: Path, store: Path) -> ModelAnswers | None:
    try:
        data = read_bounded(below(store, path), MAX_BYTES)
        if len(data) > MAX_BYTES:
            raise ValueError("it is too large")
        return ModelAnswers.model_validate_json(data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        log.warning("%s is not what a test found (%s): passed over; `sake test`", path, first)
        return None

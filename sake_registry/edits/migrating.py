"""Bringing edit files of an earlier schema to this one, by splicing.

Guarantees:
- A file is changed only in the places that the schema changed; comments, layout and line ends
  stay, byte for byte. A file of this schema is not touched: migrating twice is migrating once.
- All or nothing: every file's change is planned before the first is written, and each is written
  whole. What was killed in between is finished by the next run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sake_registry.diagnostics import Diagnostic
from sake_registry.edits import yamltext
from sake_registry.edits.splicing import (
    BOM,
    LayoutError,
    Splice,
    apply,
    insert_first,
    line_end,
    set_value,
)
from sake_registry.edits.yamltext import BREAK, Document
from sake_registry.errors import EditFileError
from sake_registry.files import storage_errors, write_bytes
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Step = Callable[[Document], list[Splice]]
"""From one version to the next: what changes but for the number itself, which is set for it."""

STEPS: dict[int, Step] = {
    0: lambda document: [],  # files without a number mean what version 1 means
}
"""The step that leads on from each version; a file without a number is of version 0."""

_MARKER = re.compile(r"---(?=\s|$)")


@dataclass(frozen=True)
class Migration:
    """What is to be done with one file: nothing where `before` is `after`."""

    path: Path
    before: int
    after: int
    data: bytes

    @property
    def changes(self) -> bool:
        return self.before != self.after


def plan_migration(paths: Iterable[Path], steps: Mapping[int, Step] = STEPS) -> list[Migration]:
    """What migrating each of the files would make of it; nothing is written.

    Raises:
        EditFileError: files that are not YAML, of a later schema, or laid out in a way that the
            change cannot be spliced into; all of them are in `diagnostics`.
    """
    planned: list[Migration] = []
    findings: list[Diagnostic] = []
    for path in paths:
        try:
            planned.append(_plan(path, steps))
        except EditFileError as error:
            findings += error.diagnostics
    if findings:
        files = count(len({f.path for f in findings}), "file")
        raise EditFileError(f"{files} cannot be migrated: nothing was written", findings)
    return planned


def write_migration(planned: Sequence[Migration]) -> None:
    """Write what was planned, each file whole or not at all.

    Raises:
        StorageError: a file cannot be written; those before it are, and stay so.
    """
    for migration in planned:
        if migration.changes:
            write_bytes(migration.path, migration.data)


def _plan(path: Path, steps: Mapping[int, Step]) -> Migration:
    with storage_errors(path):
        data = path.read_bytes()
    document = yamltext.read(data, path)
    before = version = _version(document, steps)
    latest = max(steps) + 1
    while version < latest:
        try:
            splices = [*steps[version](document), _number(document, version + 1)]
            spliced = apply(document.text, splices).encode()
            document = yamltext.read(spliced, path)
            if document.findings or _version(document, steps) != version + 1:
                raise LayoutError("it does not read as it should")
        except (LayoutError, EditFileError) as error:
            message = f"cannot be brought to `schema: {version + 1}` without touching other lines"
            hint = f"write `schema: {version + 1}` by hand; `sake explain SAKE103` tells more"
            finding = Diagnostic("SAKE103", message, path, field="schema", hint=hint)
            raise EditFileError(message, [finding]) from error
        version += 1
    if version == before:
        return Migration(path, before, version, data)
    bom = BOM.encode() if data.startswith(BOM.encode()) else b""
    return Migration(path, before, version, bom + document.text.encode())


def _version(document: Document, steps: Mapping[int, Step]) -> int:
    findings = list(document.findings)
    if not findings and not isinstance(document.value, dict):
        findings.append(Diagnostic("SAKE103", "not a mapping of fields", document.path, 1, 1))
    if findings:
        raise EditFileError(f"{document.path}: {count(len(findings), 'error')}", findings)
    stated = document.value.get("schema")
    latest = max(steps) + 1
    if stated is None:
        return 0
    if isinstance(stated, str) and re.fullmatch(r"[0-9]{1,9}", stated) and int(stated) <= latest:
        return int(stated)
    later = isinstance(stated, str) and stated.isdecimal()
    message = f"schema '{stated}' is not known: this sake reads up to {latest}"
    hint = "update sake: pip install -U sake-registry" if later else f"write `schema: {latest}`"
    here = document.position(("schema",))
    raise EditFileError(
        message, [Diagnostic("SAKE103", message, document.path, *here, "schema", hint)]
    )


def _number(document: Document, version: int) -> Splice:
    if "schema" in document.value:
        return set_value(document, ("schema",), str(version))
    if () in document.flows:
        return insert_first(document, (), "schema", str(version))
    at = _behind_head(document)
    return Splice(at, at, f"schema: {version}{line_end(document.text)}")


def _behind_head(document: Document) -> int:
    """Behind the comment lines that begin a file and speak of all of it."""
    text = document.text
    first = document.key_spans[(next(iter(document.value)),)].start
    bounds = [0, *(match.end() for match in BREAK.finditer(text, 0, first))]
    begin = next((b for b in reversed(bounds) if _MARKER.match(text, b)), None)
    lines = bounds if begin is None else bounds[bounds.index(begin) + 1 :]
    for start in lines:
        if text[start : start + 1] != "#":
            return start
    raise LayoutError("the first key does not begin a line")

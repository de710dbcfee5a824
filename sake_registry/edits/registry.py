"""A registry: the folder of edit files under a `sake.toml`.

Opening reads every file and reports every finding of every file; nothing is compiled, and no
torch is imported.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sake_registry.diagnostics import UNSEEN, Diagnostic, default_severity, graded
from sake_registry.edits.checks import TOGETHER, check_together
from sake_registry.edits.files import read
from sake_registry.edits.ignoring import unused, without_ignored
from sake_registry.edits.inventory import working_tree
from sake_registry.errors import EditFileError, InputError
from sake_registry.places import local_path
from sake_registry.settings import FILE_NAME, Settings, find_root, load_settings
from sake_registry.wording import count, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import date

    from sake_registry.edits.files import Reading
    from sake_registry.edits.schema import Edit
    from sake_registry.store import Store


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registry:
    """The edits of a registry, in the order of their ids, and the findings about them."""

    root: Path
    settings: Settings
    edits: tuple[Edit, ...]
    findings: tuple[Diagnostic, ...]
    files: int

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(f for f in self.findings if f.severity == "error")

    @property
    def unseen(self) -> tuple[Diagnostic, ...]:
        """The findings about what cannot be seen: no gate passes on it."""
        return tuple(f for f in self.findings if f.code == UNSEEN)

    @property
    def active(self) -> tuple[Edit, ...]:
        """The edits that belong in a bundle."""
        return tuple(edit for edit in self.edits if edit.active)

    @property
    def bundles(self) -> Path:
        """The folder of bundles; errors as of `Settings.place`."""
        return self.settings.place("bundles", self.root)

    @property
    def store(self) -> Path:
        """The folder of the store; errors as of `Settings.place`."""
        return self.settings.place("store", self.root)

    def open_store(self) -> Store:
        """The store, with what it shares with others': that is written to only where a person
        names it, by a flag or a variable, and no file of the repository alone.

        Raises:
            SettingsError, StateError: as of `Settings.place`.
        """
        from sake_registry.shared import SharedFiles
        from sake_registry.store import Store

        place = self.settings.remote.store
        if not place:
            return Store(self.store)
        if (path := local_path(place)) is not None:
            place = str(self.root / path)
        return Store(
            self.store, SharedFiles(place, writable=self.settings.is_given("remote.store"))
        )

    def sound(self, *, without_unseen: bool = False) -> Registry:
        """This registry, if no file has an error.

        Args:
            without_unseen: leave out, with a warning, what cannot be seen.

        Raises:
            EditFileError: with all findings that are errors.
        """
        if without_unseen:
            for finding in self.unseen:
                log.warning("left out: %s: %s", finding.path, finding.message)
            rest = tuple(finding for finding in self.findings if finding.code != UNSEEN)
            return replace(self, findings=rest).sound()
        if self.errors:
            wrong = len({f.path for f in self.errors})
            message = f"{count(len(self.errors), 'error')} in {count(wrong, 'file')}"
            raise EditFileError(message, self.errors)
        return self

    def select(self, ids: Sequence[str]) -> tuple[Edit, ...]:
        """The edits with these ids; all active ones if none are named.

        Raises:
            InputError: an id that is not in the registry.
            EditFileError: an id whose file has errors.
        """
        if not ids:
            return self.active
        by_id = {edit.id: edit for edit in self.edits}
        for name in ids:
            wrong = [finding for finding in self.errors if finding.path.stem == name]
            if name not in by_id and wrong:
                raise EditFileError(f"'{name}' has {count(len(wrong), 'error')}", wrong)
            if name not in by_id:
                near = nearest(name, by_id)
                hint = f"did you mean '{near}'?" if near else "`sake list` shows all ids"
                raise InputError(
                    f"no edit '{name}' in {self.root / self.settings.edits}", hint=hint
                )
        return tuple(by_id[name] for name in dict.fromkeys(ids))


def root_of(start: Path | str) -> Path:
    """The root of the registry at or above `start`.

    Raises:
        InputError: `start` is not a folder, or there is no `sake.toml` at or above it.
    """
    start = Path(start)
    if not start.is_dir():
        raise InputError(f"no folder {start}")
    root = find_root(start)
    if root is None:
        raise InputError(
            f"no {FILE_NAME} in {start.resolve()} or above it",
            hint="`sake init` makes a registry here; `sake -C FOLDER …` works in another folder",
        )
    return root


def open_registry(
    start: Path | str = ".",
    overrides: Mapping[str, Any] | None = None,
    *,
    today: date | None = None,
    skip: Collection[str] = (),
) -> Registry:
    """Read the registry at or above `start`.

    Findings about its files do not raise: ask `errors`, or call `sound()`. Each is as bad as
    `[checks]` in `sake.toml` says.

    Args:
        overrides: settings by dotted name, which beat `sake.toml`.
        today: the day on which dates are looked at; that of UTC unless given.
        skip: ids that are not read, because what they say is known.

    Raises:
        InputError: `start` is not a folder, or there is no `sake.toml` at or above it.
        SettingsError: `sake.toml` or a variable is wrong.
    """
    root = root_of(start)
    settings = load_settings(root, overrides)
    severities = settings.checks
    today = today or datetime.now(UTC).date()
    findings: list[Diagnostic] = []
    edits: list[Edit] = []
    pending: list[Reading] = []
    inventory = working_tree(root, settings.edits)
    files = [shown(root, path) for path in inventory.files]
    findings += (part.finding(shown(root, part.path)) for part in inventory.unseen)
    by_stem: dict[str, Path] = {}
    for file in files:
        if skip and file.stem in skip:
            continue
        reading = read(file, severities=severities, today=today)
        findings += reading.findings
        if reading.pending:
            pending.append(reading)
        if file.stem in by_stem:
            other = by_stem[file.stem]
            free = file.with_stem(file.stem + "-2")
            hint = f"an id is unique over all folders: mv '{file}' '{free}'"
            message = f"the id '{file.stem}' is taken by {other}"
            findings.append(Diagnostic("SAKE201", message, file, hint=hint))
        elif reading.edit is not None:
            edits.append(reading.edit)
        by_stem.setdefault(file.stem, file)
    if not files and not inventory.unseen:
        hint = "`sake propose` drafts a first edit from a wrong answer, `sake new` from a fact"
        severity = default_severity("SAKE204")
        folder = shown(root, settings.edits)
        empty = Diagnostic("SAKE204", "no edit files here", folder, hint=hint, severity=severity)
        findings += graded([empty], severities)
    edits.sort(key=lambda edit: edit.id)
    findings += graded(_together(edits, pending), severities)
    return Registry(root, settings, tuple(edits), tuple(findings), len(files))


def _together(edits: Sequence[Edit], pending: Sequence[Reading]) -> Iterator[Diagnostic]:
    """Findings about several edits, without those that a comment in their file ignores."""
    ignores = {reading.document.path: reading.ignores for reading in pending if reading.document}
    for finding in check_together(edits):
        yield from without_ignored([finding], ignores.get(finding.path, ()))
    for reading in pending:
        if reading.edit is not None and reading.document is not None:
            yield from unused(reading.ignores, reading.document, TOGETHER)


def shown(root: Path, path: str) -> Path:
    """A path as a user would type it: relative where it lies below the working folder."""
    here = os.path.join(os.getcwd(), "")  # noqa: PTH118, PTH109 - called for every file
    name = os.path.join(root, path)  # noqa: PTH118
    return Path(name.removeprefix(here)) if name.startswith(here) else Path(name)

"""A registry: the folder of edit files under a `sake.toml`.

Opening reads every file and reports every finding of every file; nothing is compiled, and no
torch is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sake_registry.edits.checks import check_together
from sake_registry.edits.diagnostics import Diagnostic
from sake_registry.edits.files import SUFFIXES, read_file
from sake_registry.errors import EditFileError, InputError
from sake_registry.settings import FILE_NAME, Settings, find_root, load_settings
from sake_registry.wording import count, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sake_registry.edits.schema import Edit


@dataclass(frozen=True)
class Registry:
    """The edits of a registry, in the order of their ids, and what was found about them."""

    root: Path
    settings: Settings
    edits: tuple[Edit, ...]
    findings: tuple[Diagnostic, ...]
    files: int

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(f for f in self.findings if f.severity == "error")

    @property
    def active(self) -> tuple[Edit, ...]:
        """The edits that belong in a bundle."""
        return tuple(edit for edit in self.edits if edit.active)

    @property
    def bundles(self) -> Path:
        return self.root / self.settings.bundles

    @property
    def store(self) -> Path:
        return self.root / self.settings.store

    def sound(self) -> Registry:
        """This registry, if no file has an error.

        Raises:
            EditFileError: with all findings that are errors.
        """
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


def find_files(folder: Path) -> list[Path]:
    """Every edit file under a folder, hidden ones apart, in a fixed order."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def open_registry(start: Path | str = ".", overrides: Mapping[str, Any] | None = None) -> Registry:
    """Read the registry at or above `start`.

    Findings about its files do not raise: ask `errors`, or call `sound()`.

    Raises:
        InputError: `start` is no folder, or there is no `sake.toml` at or above it.
        SettingsError: `sake.toml` or a variable is wrong.
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
    settings = load_settings(root, overrides)
    folder = root / settings.edits
    findings: list[Diagnostic] = []
    edits: list[Edit] = []
    files = find_files(folder)
    by_stem: dict[str, Path] = {}
    for file in files:
        shown = _shown(file)
        edit, found = read_file(shown)
        findings += found
        if file.stem in by_stem:
            other = by_stem[file.stem]
            free = shown.with_stem(file.stem + "-2")
            hint = f"an id is unique over all folders: mv '{shown}' '{free}'"
            message = f"the id '{file.stem}' is taken by {other}"
            findings.append(Diagnostic("SAKE201", message, shown, hint=hint))
        elif edit is not None:
            edits.append(edit)
        by_stem.setdefault(file.stem, shown)
    if not files:
        hint = "`sake new ID` writes a first edit"
        findings.append(Diagnostic("SAKE204", "no edit files here", _shown(folder), hint=hint))
    edits.sort(key=lambda edit: edit.id)
    findings += check_together(edits)
    return Registry(root, settings, tuple(edits), tuple(findings), len(files))


def _shown(path: Path) -> Path:
    """A path as a user would type it: relative where it lies below the working folder."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path

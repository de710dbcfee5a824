"""An edit's file in the user's editor: a copy is edited, and takes the file's place if it is sound.

Guarantees:
- What was typed is never lost: the copy is kept until it is in the registry, or is the same as the
  file. It is opened again by the next call, also after a kill.
- The registry never has a version with errors, nor loses a change that was made to the file
  meanwhile.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sake_registry.authoring.scaffold import taken_ids
from sake_registry.edits import yamltext
from sake_registry.edits.registry import open_registry
from sake_registry.errors import EditFileError, InputError, SetupError, StateError
from sake_registry.files import below, read_bounded, remove, write_bytes
from sake_registry.history.working import replaced
from sake_registry.wording import count, did_you_mean

if TYPE_CHECKING:
    from sake_registry.edits.registry import Registry

FOLDER = Path(".sake/editing")
_EDITORS = ("sensible-editor", "nano", "vi", "notepad")


@dataclass(frozen=True)
class Draft:
    """The copy of an edit's file that is being edited.

    Attributes:
        file: where the edit's file lies.
        copy: what is opened.
        origin: the file's bytes from which the copy was made.
        resumed: whether the copy is one that an earlier call kept.
    """

    registry: Registry
    id: str
    file: Path
    copy: Path
    origin: Path
    resumed: bool

    @property
    def changed(self) -> bool:
        """Whether something was typed."""
        return self.copy.is_file() and self.copy.read_bytes() != self.origin.read_bytes()

    def discard(self) -> None:
        """Remove the copy."""
        for path in (self.copy, self.origin):
            remove(path, self.registry.root)


def draft_of(registry: Registry, id_: str, *, anew: bool = False) -> Draft:
    """The copy of an edit's file, as it was kept by an earlier call, or a new one.

    Args:
        anew: throw away what was kept.

    Raises:
        InputError: there is no such edit.
        StateError: the file or the copy's place is a link.
        StorageError: the copy cannot be written.
    """
    files, root = taken_ids(registry), registry.root
    if id_ not in files:
        raise InputError(f"no edit '{id_}' here", hint=did_you_mean(id_, files))
    file = below(root, files[id_])
    copy = below(root, root / FOLDER / file.name)
    origin = below(root, copy.with_suffix(".origin"))
    draft = Draft(registry, id_, file, copy, origin, copy.exists() and not anew)
    data = read_bounded(file, yamltext.MAX_BYTES)
    if draft.resumed and not origin.exists():  # saved by an editor that was still open
        write_bytes(origin, data, root)
    if draft.resumed and draft.changed:
        return draft
    write_bytes(origin, data, root)
    write_bytes(copy, data, root)
    return replace(draft, resumed=False)


def open_editor(path: Path) -> None:
    """Open a file in the user's editor (`VISUAL`, `EDITOR`), and wait until it is closed.

    Raises:
        SetupError: there is no editor, or it ended with an error.
    """
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    editor = shlex.split(named) if named else [e for e in _EDITORS if shutil.which(e)][:1]
    if not editor:
        raise SetupError("there is no editor", hint="name one: export EDITOR=nano")
    try:
        code = subprocess.run([*editor, str(path)], check=False).returncode
    except OSError as error:
        raise SetupError(
            f"the editor '{editor[0]}' cannot be started: {error.strerror}",
            hint="VISUAL or EDITOR names it",
        ) from error
    if code:
        raise SetupError(
            f"the editor '{editor[0]}' ended with {code}: nothing was changed",
            hint=f"what was typed, if it was saved, is in {path}",
        )


def put_back(draft: Draft) -> Registry:
    """Put the copy in the place of the edit's file; the registry with it.

    Raises:
        EditFileError: the registry would have errors that it did not have, or that are of this
            file. The file is as it was, and the copy is kept.
        StateError: the file has changed since the copy was made; both are kept.
        StorageError: the file cannot be written.
    """
    root, path = draft.registry.root, draft.file.relative_to(draft.registry.root).as_posix()
    data = read_bounded(draft.copy, yamltext.MAX_BYTES)
    here = draft.file.read_bytes()
    if here not in (data, draft.origin.read_bytes()):
        raise StateError(
            f"{draft.file} has changed since it was opened",
            hint=f"merge them: git merge-file {draft.copy} {draft.origin} {draft.file} && "
            f"cp {draft.file} {draft.origin}; then run the command again. Or begin with the file "
            f"as it is: `sake edit {draft.id} --anew`",
        )
    before = {str(finding) for finding in draft.registry.errors}
    with replaced(root, {path: data}):
        registry = open_registry(root)
        errors = [
            finding
            for finding in registry.errors
            if finding.path.stem == draft.id or str(finding) not in before
        ]
        if errors:
            raise EditFileError(f"{count(len(errors), 'error')}: {path} is as it was", errors)
    draft.discard()
    return registry

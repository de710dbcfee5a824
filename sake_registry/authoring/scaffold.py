"""The first version of an edit file, and of a registry."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sake_registry import names
from sake_registry.edits.files import parse_edit
from sake_registry.edits.inventory import working_tree
from sake_registry.edits.schema import ID_PATTERN, json_schema
from sake_registry.edits.writing import MODELINE
from sake_registry.edits.yamltext import quoted, scalar
from sake_registry.errors import ConflictError, EditFileError, InputError
from sake_registry.files import TEMPORARY, below, make_folder, write_bytes, write_text
from sake_registry.names import SUBJECT
from sake_registry.settings import FILE_NAME
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sake_registry.edits.registry import Registry

SCHEMA_PATH = Path(".sake/edit.schema.json")
IGNORED = ("bundles/", ".sake/store/", f"{TEMPORARY}*")
_SETTINGS = """\
# The root of a registry of knowledge edits. Every key is explained in the README.
model = "smollm2-135m"

[test]
min_holdout = 0.9
"""


@dataclass(frozen=True)
class Draft:
    """What is given to `sake new` about an edit."""

    id: str
    subject: str
    relation: str
    new: str
    old: str | None = None
    aliases: Sequence[str] = ()
    relation_id: str | None = None
    prompts: Sequence[str] = ()
    reason: str | None = None


def edit_text(draft: Draft, schema_path: str, today: date | None = None) -> str:
    """The text of a new edit file: what is known, and comments where something belongs."""
    today = today or datetime.now(UTC).date()
    subject = scalar(draft.subject)
    if draft.aliases:
        aliases = ", ".join(quoted(alias) for alias in draft.aliases)
        subject = f"{{text: {quoted(draft.subject)}, aliases: [{aliases}]}}"
    relation = scalar(draft.relation)
    if draft.relation_id:
        relation = f"{{text: {quoted(draft.relation)}, id: {quoted(draft.relation_id)}}}"
    known = (draft.subject, *draft.aliases)
    words = " ".join(draft.relation.split())  # a line end in it would end the comments below
    prompts = [
        p if SUBJECT in p else names.mask(p, names.find(p, known), SUBJECT) for p in draft.prompts
    ] or [f"The {words} of {SUBJECT} is"]
    lines = [
        MODELINE.format(schema=schema_path),
        "schema: 1",
        "fact:",
        f"  subject: {subject}",
        f"  relation: {relation}",
        *([f"  old: {scalar(draft.old)}"] if draft.old else []),
        f"  new: {scalar(draft.new)}",
        "prompts:                             # each completed at once by the object",
        *(f"  - {scalar(prompt)}" for prompt in prompts),
        "# holdout:                           # other wordings: tested, never compiled",
        f"#   - In other words, the {words} of {SUBJECT} is",
        "# unchanged:                         # must be answered as before",
        f"#   - Another thing about {SUBJECT} is",
        *(["provenance:", f"  reason: {scalar(draft.reason)}"] if draft.reason else []),
        "lifecycle:",
        "  status: active                     # draft | active | withdrawn",
        f"  valid_from: {today.isoformat()}",
    ]
    return "\n".join(lines) + "\n"


def new_edit(registry: Registry, draft: Draft) -> Path:
    """Write a new edit file into a registry; nothing is written if it would have an error.

    Raises:
        InputError: the id is not one, or a text is not UTF-8.
        ConflictError: the id is taken.
        EditFileError: the file would have errors, which are in `diagnostics`.
    """
    if not ID_PATTERN.fullmatch(draft.id):
        raise InputError(
            f"'{draft.id}' is not an id",
            hint="lower-case letters, digits and '-', like darrieux-tongue",
        )
    folder = registry.root / registry.settings.edits
    files = map(Path, working_tree(registry.root, registry.settings.edits).files)
    taken = next((registry.root / file for file in files if file.stem == draft.id), None)
    if taken is not None:
        raise ConflictError(f"the id '{draft.id}' is taken by {taken}", hint="choose another id")
    path = folder / f"{draft.id}.yaml"
    depth = len(Path(registry.settings.edits).parts)
    text = edit_text(draft, "../" * depth + SCHEMA_PATH.as_posix())
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise InputError("what was given is not UTF-8", hint="set the terminal to UTF-8") from error
    _, findings = parse_edit(data, path, severities=registry.settings.checks)
    errors = [f for f in findings if f.severity == "error"]
    if errors:
        raise EditFileError(f"{count(len(errors), 'error')}: nothing was written", errors)
    write_text(path, text, registry.root)
    return path


def write_schema(root: Path) -> Path:
    """(Re)write the JSON Schema that editors complete edit files with."""
    path = root / SCHEMA_PATH
    write_text(path, json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n", root)
    return path


def init_registry(root: Path) -> list[Path]:
    """Make a registry in a folder; what is already there stays.

    Returns:
        The files written.

    Raises:
        ConflictError: there is a registry.
    """
    settings = below(root, root / FILE_NAME)
    if settings.exists():
        raise ConflictError(
            f"{settings} is already there: this is a registry",
            hint="`sake init --schema` rewrites its JSON Schema; `sake new` adds an edit",
        )
    make_folder(root / "edits", root)
    written = [write_schema(root)]
    ignore = below(root, root / ".gitignore")
    before = ignore.read_bytes() if ignore.exists() else b""
    missing = [line.encode() for line in IGNORED if line.encode() not in before.splitlines()]
    if missing:
        gap = b"" if before.endswith(b"\n") or not before else b"\n"
        write_bytes(ignore, before + gap + b"\n".join(missing) + b"\n", root)
        written.append(ignore)
    write_text(settings, _SETTINGS, root)  # last: it is what makes the folder a registry
    return [*written, settings]

"""The first version of an edit file, and of a registry."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sake_registry import names
from sake_registry.edits.files import parse_edit
from sake_registry.edits.inventory import working_tree
from sake_registry.edits.schema import ID_PATTERN, json_schema
from sake_registry.edits.writing import MODELINE, flow
from sake_registry.edits.yamltext import quoted, scalar
from sake_registry.errors import ConflictError, EditFileError, InputError
from sake_registry.files import TEMPORARY, below, make_folder, write_bytes, write_text
from sake_registry.names import SUBJECT
from sake_registry.settings import FILE_NAME
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sake_registry.diagnostics import Level
    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit

SCHEMA_PATH = Path(".sake/edit.schema.json")
IGNORED = ("bundles/", ".sake/store/", ".sake/editing/", "decisions.jsonl", f"{TEMPORARY}*")
_SETTINGS = """\
# The root of a registry of knowledge edits. docs/settings.md of sake_registry has every key.
model = "smollm2-135m"

[test]
min_holdout = 0.9
"""


@dataclass(frozen=True)
class Draft:
    """What is known of an edit before it has a file.

    Attributes:
        guessed: what of it a person has to look at, by `subject`, `relation`, `old`, or a prompt,
            and where it is from.
        by: the call of a language model that wrote a prompt, by the prompt.
    """

    id: str
    subject: str
    relation: str
    new: str
    old: str | None = None
    aliases: Sequence[str] = ()
    relation_id: str | None = None
    prompts: Sequence[str] = ()
    unchanged: Sequence[str] = ()
    reason: str | None = None
    sources: Sequence[str] = ()
    status: Literal["draft", "active"] = "active"
    guessed: Mapping[str, str] = field(default_factory=dict)
    by: Mapping[str, str] = field(default_factory=dict)


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

    def beside(name: str) -> str:
        return f"  # guessed: {draft.guessed[name]}" if name in draft.guessed else ""

    def written(prompt: str) -> str:
        by = draft.by.get(prompt)
        return flow({"text": prompt, "by": by}) if by else scalar(prompt)

    unchanged = [f"  - {scalar(prompt)}{beside(prompt)}" for prompt in draft.unchanged]
    if unchanged:
        unchanged.insert(0, "unchanged:                           # must be answered as before")
    provenance = [f"  reason: {scalar(draft.reason)}"] if draft.reason else []
    if draft.sources:
        provenance += ["  sources:", *(f"    - {scalar(source)}" for source in draft.sources)]
    days = [f"  valid_from: {today.isoformat()}"] if draft.status == "active" else []
    lines = [
        MODELINE.format(schema=schema_path),
        "schema: 1",
        "fact:",
        f"  subject: {subject}{beside('subject')}",
        f"  relation: {relation}{beside('relation')}",
        *([f"  old: {scalar(draft.old)}{beside('old')}"] if draft.old else []),
        f"  new: {scalar(draft.new)}",
        "prompts:                             # each completed at once by the object",
        *(f"  - {written(prompt)}{beside(prompt)}" for prompt in prompts),
        "# holdout:                           # other wordings: tested, never compiled",
        f"#   - In other words, the {words} of {SUBJECT} is",
        *(
            unchanged
            or [
                "# unchanged:                         # must be answered as before",
                f"#   - Another thing about {SUBJECT} is",
            ]
        ),
        *(["provenance:", *provenance] if provenance else []),
        "lifecycle:",
        f"  status: {draft.status:6}                     # draft | active | withdrawn",
        *days,
    ]
    return "\n".join(lines) + "\n"


def new_edit(registry: Registry, draft: Draft) -> Path:
    """Write a new edit file into a registry; nothing is written if it would have an error.

    Raises:
        InputError: the id is not one, or a text is not UTF-8.
        ConflictError: the id is taken.
        EditFileError: the file would have errors, which are in `diagnostics`.
    """
    check_free(draft.id, taken_ids(registry))
    path, text = place_of(registry, draft.id), text_in(registry, draft)
    sound_edit(text, path, registry.settings.checks)
    write_text(path, text, registry.root)
    return path


def taken_ids(registry: Registry) -> dict[str, Path]:
    """The ids of a registry's files, those with errors among them, and where each is."""
    files = map(Path, working_tree(registry.root, registry.settings.edits).files)
    return {file.stem: registry.root / file for file in files}


def check_free(id_: str, taken: Mapping[str, Path]) -> None:
    """Refuse what cannot become an edit's id.

    Raises:
        InputError: it is not an id.
        ConflictError: it is taken.
    """
    if not ID_PATTERN.fullmatch(id_):
        raise InputError(
            f"'{id_}' is not an id", hint="lower-case letters, digits and '-', like darrieux-tongue"
        )
    if id_ in taken:
        raise ConflictError(f"the id '{id_}' is taken by {taken[id_]}", hint="choose another id")


def place_of(registry: Registry, id_: str) -> Path:
    """Where a new edit's file is put."""
    return registry.root / registry.settings.edits / f"{id_}.yaml"


def text_in(registry: Registry, draft: Draft) -> str:
    """The text of a new edit file in a registry."""
    depth = len(Path(registry.settings.edits).parts)
    return edit_text(draft, "../" * depth + SCHEMA_PATH.as_posix())


def sound_edit(text: str, path: Path, severities: Mapping[str, Level] | None = None) -> Edit:
    """The edit that a new file's text is.

    Raises:
        InputError: it is not UTF-8.
        EditFileError: it would have errors.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise InputError("what was given is not UTF-8", hint="set the terminal to UTF-8") from error
    edit, findings = parse_edit(data, path, severities=severities)
    errors = [f for f in findings if f.severity == "error"]
    if errors or edit is None:
        raise EditFileError(f"{count(len(errors), 'error')}: nothing was written", errors)
    return edit


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


def demo_registry(root: Path) -> bool:
    """Make the demo registry in a folder; nothing is done where a registry is.

    Returns:
        Whether it was made.

    Raises:
        ConflictError: something else is there.
        StorageError: a file cannot be written.
    """
    if (root / FILE_NAME).exists():
        return False
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ConflictError(
            f"{root} is already there, and is no registry", hint="name another: sake demo FOLDER"
        )
    package = Path(__file__).parents[1]
    source = package / "demo"  # of a wheel; in a checkout it is the registry around the package
    source = source if source.is_dir() else package.parent
    init_registry(root)
    for file in (*sorted((source / "edits").glob("*.yaml")), source / FILE_NAME):
        write_bytes(root / file.relative_to(source), file.read_bytes(), root)
    return True

"""One edit file: bytes in, an `Edit` or findings out.

Reading goes text → tree with positions → schema → the checks that need only this file. Every
finding of every stage is reported, each at its line and column.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from sake_registry.diagnostics import CODES, Diagnostic, graded
from sake_registry.edits import checks, yamltext
from sake_registry.edits.ignoring import find_ignores, unused, without_ignored
from sake_registry.edits.schema import (
    ID_PATTERN,
    Alias,
    Edit,
    EditFile,
    Fact,
    Implication,
    Lifecycle,
    Name,
    Prompt,
    Provenance,
    Relation,
    Scope,
    Unchanged,
)
from sake_registry.errors import EditFileError
from sake_registry.files import read_bounded
from sake_registry.wording import count, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import date

    from pydantic_core import ErrorDetails

    from sake_registry.diagnostics import Level
    from sake_registry.edits.ignoring import Ignore

# Which model describes the mapping at a place; `*` is any index.
_MODELS: dict[tuple[str, ...], type[BaseModel]] = {
    (): EditFile,
    ("fact",): Fact,
    ("fact", "subject"): Name,
    ("fact", "relation"): Relation,
    ("fact", "old"): Name,
    ("fact", "new"): Name,
    ("prompts", "*"): Prompt,
    ("holdout", "*"): Prompt,
    ("implications", "*"): Implication,
    ("implications", "*", "old"): Name,
    ("implications", "*", "new"): Name,
    ("unchanged", "*"): Unchanged,
    ("provenance",): Provenance,
    ("lifecycle",): Lifecycle,
    ("scope",): Scope,
}
_MODELS |= {(*name, "aliases", "*"): Alias for name, model in _MODELS.items() if model is Name}
_OR_TEXT = (Alias, Name, Relation, Prompt, Unchanged)


@dataclass(frozen=True)
class Reading:
    """What one file gave: its edit, or None where it has errors, and everything found."""

    edit: Edit | None
    findings: list[Diagnostic]
    document: yamltext.Document | None = None
    ignores: list[Ignore] = field(default_factory=list)
    data: bytes = field(default=b"", repr=False)

    @property
    def pending(self) -> bool:
        """Whether a comment ignores findings about several edits, which come when all are read."""
        return any(set(ignore.codes) & set(checks.TOGETHER) for ignore in self.ignores)


def parse_edit(
    data: bytes,
    path: Path,
    *,
    severities: Mapping[str, Level] | None = None,
    today: date | None = None,
) -> tuple[Edit | None, list[Diagnostic]]:
    """Read one edit from the bytes of its file; no file is touched.

    Args:
        severities: how bad findings are by their code, where not as usual (`settings.checks`).
        today: the day on which dates are looked at; that of UTC unless given.

    Returns:
        The edit, or None where it has errors, and everything found, from top to bottom.
    """
    reading = parse(data, path, severities=severities, today=today)
    return reading.edit, reading.findings


def parse(
    data: bytes,
    path: Path,
    *,
    severities: Mapping[str, Level] | None = None,
    today: date | None = None,
) -> Reading:
    """`parse_edit`, with the comments that ignore findings."""
    document = yamltext.read(data, path)
    ignores, remarks = find_ignores(document)
    edit, findings = _parse(document, path, ignores, today or datetime.now(UTC).date())
    if not (findings or ignores or remarks):
        return Reading(edit, findings, document, data=data)
    # What follows from text that YAML took for something else is only noise beside it.
    traps = {where for f in findings if f.code == "SAKE005" for where in (f.line, f.field) if where}
    findings = [f for f in findings if f.code == "SAKE005" or not traps & {f.line, f.field}]
    findings = without_ignored(findings, ignores)
    if edit is not None:  # with errors, not all was looked for
        findings += unused(ignores, document, CODES.keys() - set(checks.TOGETHER))
    findings = graded([*findings, *remarks], severities or {})
    wrong = any(f.severity == "error" for f in findings)
    findings.sort(key=lambda f: (f.line, f.column))
    return Reading(None if wrong else edit, findings, document, ignores, data)


def _parse(
    document: yamltext.Document, path: Path, ignores: Sequence[Ignore], today: date
) -> tuple[Edit | None, list[Diagnostic]]:
    findings = list(document.findings)
    if not ID_PATTERN.fullmatch(path.stem):
        findings.append(_bad_id(path))
    if document.value is None:
        return None, findings
    if not isinstance(document.value, dict):
        here = document.position(())
        hint = "an edit file begins with `schema: 1`; `sake new` writes a first version"
        findings.append(Diagnostic("SAKE103", "not a mapping of fields", path, *here, hint=hint))
        return None, findings
    content = _without_empty(document.value) if document.empties else document.value
    try:
        edit = _validated(content, path)
    except ValidationError as error:
        unknown = {
            problem["loc"]: finding
            for problem in error.errors()
            for finding in [_translate_one(problem, document, path)]
            if finding.code == "SAKE101" and any(ignore.hides(finding) for ignore in ignores)
        }
        if not unknown:
            return None, [*findings, *_translate(error, document, path)]
        findings += unknown.values()
        try:
            edit = _validated(_without(content, unknown.keys()), path)
        except ValidationError as further:
            return None, [*findings, *_translate(further, document, path)]
    return edit, [*findings, *checks.check_edit(edit, document, path, today)]


def _validated(content: dict[str, Any], path: Path) -> Edit:
    if not content.keys().isdisjoint(("id", "path")):
        EditFile.model_validate(content)  # fields of an Edit, but not of a file: it says so
    return Edit.model_validate({**content, "id": path.stem, "path": path})


def _without(
    value: Any, locs: Collection[tuple[str | int, ...]], loc: tuple[str | int, ...] = ()
) -> Any:
    """`value` without the keys at `locs`."""
    if isinstance(value, list):
        return [_without(item, locs, (*loc, i)) for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    return {
        key: _without(item, locs, (*loc, key))
        for key, item in value.items()
        if (*loc, key) not in locs
    }


def read_edit(path: Path | str) -> Edit:
    """Read one edit file.

    Raises:
        EditFileError: the file has errors; all of them are in `diagnostics`.
    """
    path = Path(path)
    edit, findings = read_file(path)
    errors = [f for f in findings if f.severity == "error"]
    if edit is None:
        raise EditFileError(f"{path}: {count(len(errors), 'error')}", errors)
    return edit


def read_file(
    path: Path,
    *,
    severities: Mapping[str, Level] | None = None,
    today: date | None = None,
) -> tuple[Edit | None, list[Diagnostic]]:
    """`parse_edit` of a file on disk; a file that cannot be read is a finding."""
    reading = read(path, severities=severities, today=today)
    return reading.edit, reading.findings


def read(
    path: Path,
    *,
    severities: Mapping[str, Level] | None = None,
    today: date | None = None,
) -> Reading:
    """`parse` of a file on disk; a file that cannot be read is a finding."""
    try:
        data = read_bounded(path, yamltext.MAX_BYTES)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        return Reading(None, [Diagnostic("SAKE001", message, path)])
    return parse(data, path, severities=severities, today=today)


def _without_empty(value: Any, loc: tuple[str | int, ...] = ()) -> Any:
    """`value` without its known keys that have no value: such a key is one that is not there."""
    if isinstance(value, list):
        return [_without_empty(item, (*loc, i)) for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    model = _model_at(loc)
    known = _keys(model) if model else []
    return {
        key: _without_empty(item, (*loc, key))
        for key, item in value.items()
        if item is not None or key not in known
    }


def _bad_id(path: Path) -> Diagnostic:
    mended = "".join(c if c.isascii() and c.isalnum() else "-" for c in path.stem.lower())
    mended = "-".join(part for part in mended.split("-") if part) or "my-edit"
    return Diagnostic(
        "SAKE006",
        f"'{path.stem}' is not an id: lower-case letters, digits and '-', first a letter or digit",
        path,
        hint=f"mv -n '{path}' '{path.with_stem(mended)}'",
    )


def _translate(error: ValidationError, document: yamltext.Document, path: Path) -> list[Diagnostic]:
    """pydantic's findings in the words of an edit file."""
    findings: dict[tuple[str, int, str], Diagnostic] = {}
    for problem in error.errors():
        finding = _translate_one(problem, document, path)
        # Text that became a mapping gives several problems in one line: the first will do.
        field = "" if finding.code == "SAKE005" else finding.field
        findings.setdefault((finding.code, finding.line, field), finding)
    return list(findings.values())


def _translate_one(problem: ErrorDetails, document: yamltext.Document, path: Path) -> Diagnostic:
    loc, kind, message = problem["loc"], problem["type"], problem["msg"]
    given = problem.get("input")

    def finding(code: str, message: str, hint: str = "", *, key: bool = False) -> Diagnostic:
        line, column = document.position(loc, key=key)
        return Diagnostic(code, message, path, line, column, yamltext.dotted(loc), hint)

    def trap(what: str) -> Diagnostic:
        line = document.line(document.position(loc)[0]).strip()
        hint = f"quote it: {yamltext.quote_line(line)}"
        return finding("SAKE005", f"text is expected here, but YAML reads {what}", hint)

    around = _model_at(loc[:-1])
    if around in _OR_TEXT and kind in ("extra_forbidden", "missing"):
        mapping = _value_at(document.value, loc[:-1])
        if isinstance(mapping, dict) and not set(mapping) & set(around.model_fields):
            return trap("a mapping")
    if kind == "extra_forbidden" and given is None and not document.has_colon(loc):
        message = f"YAML takes '{loc[-1]}' for a key of its own"
        hint = 'text with a comma stands in quotes inside { }: {text: "Paris, Texas"}'
        return finding("SAKE005", message, hint, key=True)
    if kind == "extra_forbidden":
        key = str(loc[-1])
        hint = _level_below(key, loc[:-1]) or (did_you_mean(key, _keys(around)) if around else "")
        return finding("SAKE101", "unknown key", hint, key=True)
    if kind == "missing" and loc in document.keys:
        return finding("SAKE102", "empty", "give it a value")
    if kind == "missing" and loc == ("schema",):
        return finding("SAKE102", "missing", "add `schema: 1` to the file; `sake migrate` does")
    if kind == "missing":
        hint = f"add `{loc[-1]}:` to {yamltext.dotted(loc[:-1]) or 'the file'}"
        return finding("SAKE102", "missing", hint)
    if given is None or given == "":
        return finding("SAKE102", "empty", "give it a value, or remove the line")
    if kind in ("string_type", "model_type", "model_attributes_type") and isinstance(given, list):
        return trap("a list")
    if kind == "string_type" and isinstance(given, dict):
        return trap("a mapping")
    if kind == "too_short":
        return finding("SAKE103", "at least one is needed", "one item a line, each after '- '")
    if kind in ("tuple_type", "list_type"):
        return finding("SAKE103", "a list is expected", "one item a line, each after '- '")
    if kind in ("model_type", "model_attributes_type"):
        model = _model_at(loc)
        hint = f"its keys: {', '.join(_keys(model))}" if model else ""
        return finding("SAKE103", "a mapping is expected", hint)
    if kind.startswith("date"):
        return finding("SAKE103", f"'{given}' is not a date", "write it as 2026-11-22")
    if loc == ("schema",):
        return finding(
            "SAKE103",
            f"schema '{given}' is not known",
            "this sake reads `schema: 1`; `sake migrate` tells more",
        )
    return finding("SAKE103", message[0].lower() + message[1:])


def _model_at(loc: tuple[str | int, ...]) -> type[BaseModel] | None:
    return _MODELS.get(tuple("*" if isinstance(part, int) else part for part in loc))


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _level_below(key: str, loc: tuple[str | int, ...]) -> str:
    """Where a key belongs that stands one level too high; "" if that is not so."""
    for place, model in _MODELS.items():
        if key != "text" and key in _keys(model) and place[:-1] == loc and place[-1:] != ("*",):
            if model in _OR_TEXT:
                return f"it belongs to a name: `{place[-1]}: {{text: …, {key}: …}}`"
            return f"it belongs below `{place[-1]}:`"
    return ""


def _value_at(value: Any, loc: tuple[str | int, ...]) -> Any:
    for part in loc:
        value = value[part]
    return value

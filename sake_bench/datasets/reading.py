"""Data sets of knowledge editing, read from the files that their authors publish.

Guarantees:
- A record that is not sound is a `Problem` with its index and a reason, never an exception, and
  does not touch the other records. Only a file that is no data set at all raises.
- Records come in the file's order; their ids are unique and are ids of edit files.
- What lies beside the file (ParaRel patterns, relation templates, doubt templates) is used if it
  is there. No network is reached, nothing is guessed from a file's name.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from sake_bench.datasets import (
    bmike,
    counterfact,
    field,
    knowedit,
    mquake,
    qaedit,
    rippleedits,
)
from sake_bench.datasets.entries import MalformedError
from sake_bench.datasets.records import DataSet, Problem, Record, Resources
from sake_registry.errors import InputError
from sake_registry.names import SUBJECT
from sake_registry.wording import count, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from types import ModuleType

    from sake_bench.datasets.records import Axis

Kind = Literal["counterfact", "rippleedits", "knowedit", "qaedit", "mquake", "bmike", "field"]
_FORMATS: dict[str, ModuleType] = {
    module.NAME: module
    for module in (counterfact, mquake, rippleedits, qaedit, bmike, field, knowedit)
}
KINDS: tuple[str, ...] = get_args(Kind)
SOURCES: dict[str, str] = {name: m.SOURCE for name, m in _FORMATS.items() if m.SOURCE}
"""Where each data set comes from."""
TITLES: dict[str, str] = {name: module.TITLE for name, module in _FORMATS.items()}

SHOWN = 10
"""Problems that a message lists; more are counted."""
_PROPERTY = re.compile(r"P[1-9]\d*")
# The file of the RippleEdits authors has P03, which is no property.
_PROPERTY_OF = {"NATIVE_LANGUAGE": "P103"}


def read_data(
    path: Path, *, kind: str | None = None, resources: Path | None = None, language: str = "en"
) -> DataSet:
    """Read a data file: a JSON array of records, or one JSON object a line.

    Args:
        kind: the data set's name; without it, the records say which.
        resources: the folder of pattern and template files; without it, the data file's.
        language: of data in several languages, the one that edits are written in.

    Raises:
        InputError: the file cannot be read, is no JSON, or holds no records of a known kind; or
            a file beside it is malformed.
    """
    if kind is not None and kind not in _FORMATS:
        raise InputError(f"no data set '{kind}'", hint=did_you_mean(kind, KINDS))
    entries = _entries(path)
    chosen = kind or _recognise(entries, path)
    beside = replace(
        read_resources(path.parent if resources is None else resources), language=language
    )
    if chosen == rippleedits.NAME:
        shown = rippleedits.phrases(entries)
        beside = replace(beside, phrases={**shown, **beside.phrases})
    records: dict[str, Record] = {}
    problems = []
    unanswerable = 0
    for index, entry in enumerate(entries):
        try:
            if isinstance(entry, _Unread):
                raise MalformedError(entry.reason)
            found, left_out = _read_entry(chosen, index, entry, beside)
            for record in found:
                if record.id in records:
                    first = records[record.id].index
                    raise MalformedError(f"the id '{record.id}' is already record {first}'s")
        except MalformedError as error:
            problems.append(Problem(index, str(error)))
            continue
        records |= {record.id: record for record in found}
        unanswerable += left_out
    return DataSet(
        name=chosen,
        records=tuple(records.values()),
        problems=tuple(problems),
        templates=_templates(records.values()),
        resources=beside,
        unanswerable=unanswerable,
    )


def _read_entry(
    name: str, index: int, entry: Any, beside: Resources
) -> tuple[tuple[Record, ...], int]:
    module = _FORMATS[name]
    try:
        found: tuple[tuple[Record, ...], int] = module.read(index, entry, beside)
    except MalformedError as error:
        if not isinstance(entry, dict) or module.recognises(entry):
            raise
        other = next((m.TITLE for m in _FORMATS.values() if m.recognises(entry)), None)
        what = f"a record of {other}" if other else str(error)
        raise MalformedError(f"{what}; {module.TITLE} has {module.SHAPE}") from error
    return found


def read_sound(
    file: Path,
    kind: str | None,
    resources: Path | None,
    *,
    skip_bad: bool,
    language: str = "en",
) -> DataSet:
    """A data file whose records are all sound, or whose other ones may be left out.

    Raises:
        InputError: malformed records, and no leave to skip them; no data set; no such folder.
    """
    if resources is not None and not resources.is_dir():
        raise InputError(f"no folder {resources}")
    data = read_data(file, kind=kind, resources=resources, language=language)
    if data.problems and not skip_bad:
        hint = (
            "--skip-bad leaves them out (of a benchmark: --set skip_bad=true)"
            if data.records
            else "is it another data set?"
        )
        total = len(data.problems) + len(data.records)
        head = f"{file}: {len(data.problems)} of {count(total, 'record')} malformed"
        if not data.records and len({problem.reason for problem in data.problems}) == 1:
            raise InputError(f"{head}: {data.problems[0].reason}", hint=hint)
        lines = [head, *(f"  {line}" for line in first(data.problems))]
        raise InputError("\n".join(lines), hint=hint)
    return data


def first(items: Sequence[object]) -> list[str]:
    """The first of many lines, and how many more there are."""
    more = [f"… and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
    return [*map(str, items[:SHOWN]), *more]


# -- the data file -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Unread:
    """A line of a file that is no JSON."""

    reason: str


def _entries(path: Path) -> list[Any]:
    text = _text(path)
    try:
        value = json.loads(text)
    except RecursionError:
        raise InputError(f"{path}: nested too deeply") from None
    except ValueError as error:
        lines = _lines(text)
        if lines is None:
            hint = "a JSON array of records is expected, or one object a line"
            raise InputError(f"{path}: not JSON: {error}", hint=hint) from error
        value = lines
    # A file of one line, and that of a data set of one record, is one object.
    entries = value if isinstance(value, list) else field.unfolded(value)
    if not any(isinstance(entry, dict) for entry in entries):
        hint = "a JSON array of records is expected, or one object a line"
        raise InputError(f"{path}: holds no records", hint=hint)
    return entries


def _lines(text: str) -> list[Any] | None:
    """The lines of a file of JSON lines; None if its first line is no JSON object."""
    found: list[Any] = []
    for line in filter(str.strip, text.split("\n")):
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            found.append(_Unread(f"not JSON: {error}"))
        if not isinstance(found[0], dict):
            return None
    return found or None


def _recognise(entries: list[Any], path: Path) -> str:
    for entry in entries:
        for name, module in _FORMATS.items():
            if isinstance(entry, dict) and module.recognises(entry):
                return name
    hint = "\n".join(("known are", *(f"  {m.TITLE}: {m.SHAPE}" for m in _FORMATS.values())))
    raise InputError(f"{path}: no record of a known data set", hint=hint)


def _templates(records: Iterable[Record]) -> dict[str, tuple[str, ...]]:
    pool: dict[str, dict[str, None]] = {}
    for record in records:
        pool.setdefault(record.relation, {}).setdefault(record.prompt)
    return {relation: tuple(prompts) for relation, prompts in pool.items()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8", hint="save it as UTF-8") from error


# -- what lies beside it -------------------------------------------------------------------------


def read_resources(folder: Path) -> Resources:
    """What a folder holds of the files from which prompts are written without a language model.

    Raises:
        InputError: one of them is malformed, or cannot be read.
    """
    relations = _read(folder / "rippleedits_relation_templates.json", _relations)
    return Resources(
        patterns=_read(folder / "pararel_patterns.json", _patterns) or {},
        phrases={name: phrase for name, (phrase, _) in (relations or {}).items()},
        properties={name: pid for name, (_, pid) in (relations or {}).items() if pid},
        two_hop=_read(folder / "rippleedits_two_hop_templates.json", _two_hop) or {},
        doubts=_read(folder / "doubt_templates.json", _doubts) or {},
    )


def _read(path: Path, convert: Any) -> Any:
    """The file's content, converted; None where there is no such file."""
    if not path.exists():
        return None
    text = _text(path)
    try:
        return convert(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        said = f"{type(error).__name__}: {error}"
        hint = "take it from its authors anew, or give another folder as `resources`"
        raise InputError(f"{path}: not in its known form ({said})", hint=hint) from error


def _patterns(value: Any) -> dict[str, tuple[str, ...]]:
    """ParaRel patterns that end in the object, as prompts; the relations that have such."""
    prompts = {
        relation: tuple(
            dict.fromkeys(p for item in items if (p := _as_prompt(item["pattern"])) is not None)
        )
        for relation, items in value.items()
    }
    return {relation: found for relation, found in prompts.items() if found}


def _as_prompt(pattern: str) -> str | None:
    """`[X] is a part of [Y] .` as `<subject> is a part of`; None where more follows the object."""
    before, object_, after = " ".join(pattern.split()).partition("[Y]")
    if not object_ or after.strip(" .,") or before.count("[X]") != 1 or SUBJECT in before:
        return None
    prompt = before.strip().replace("[X]", SUBJECT)
    # They begin sentences here, some of which are written small in ParaRel.
    return prompt[0].upper() + prompt[1:]


def _relations(value: Any) -> dict[str, tuple[str, str | None]]:
    """Relation → phrase and property. `UNCLE` has no property."""
    return {
        name: (_phrase(item["phrase"]), _property(name, item.get("pid")))
        for name, item in value.items()
    }


def _property(relation: str, given: Any) -> str | None:
    known = _PROPERTY_OF.get(relation, given)
    return known if isinstance(known, str) and _PROPERTY.fullmatch(known) else None


def _two_hop(value: Any) -> dict[tuple[str, str], str]:
    found = {}
    for key, phrase in value.items():
        first, _, second = key.partition("-")
        found[first, second] = _phrase(phrase)
    return found


def _phrase(value: Any) -> str:
    phrase = " ".join(value.split())
    if phrase.count(SUBJECT) != 1:
        raise ValueError(f"'{phrase}' does not name {SUBJECT} once")
    return phrase


def _doubts(value: Any) -> dict[Axis, str]:
    given = {item["id"]: item["template"] for item in value["templates"]}
    found = {axis: given[name] for name, axis in counterfact.DOUBTS.items() if name in given}
    if not all(isinstance(template, str) for template in found.values()):
        raise ValueError("a template is no text")
    return found

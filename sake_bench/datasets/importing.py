"""Records of data sets as edit files: what a user would write, and nothing that is tested.

Guarantees:
- No prompt of an edit `meets` a test of its record; the record's own prompt is the exception, it
  is what every method edits with.
- No language model is asked. Wordings come from ParaRel, from the other records of the data
  file, and from the paraphrases that come with a record.
- Everything is checked before the first file is written; where writing fails, what was written is
  taken away again.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING

from sake_bench.datasets.entries import with_subject
from sake_bench.datasets.overlap import is_tested
from sake_bench.datasets.reading import SOURCES, TITLES
from sake_registry import names
from sake_registry.authoring.scaffold import SCHEMA_PATH, init_registry
from sake_registry.edits.checks import plainly
from sake_registry.edits.files import parse_edit
from sake_registry.edits.inventory import find_files
from sake_registry.edits.schema import (
    Alias,
    Edit,
    Fact,
    Implication,
    Name,
    Provenance,
    Relation,
)
from sake_registry.edits.writing import write_edit
from sake_registry.errors import ConflictError, EditFileError, InputError
from sake_registry.files import below, write_text
from sake_registry.names import SUBJECT
from sake_registry.settings import FILE_NAME, find_root, load_settings
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sake_bench.datasets.records import Aliases, DataSet, Record
    from sake_registry.diagnostics import Diagnostic

# Wikidata's labels of the properties that the data sets edit.
_LABELS = {
    "P6": "head of government", "P17": "country", "P19": "place of birth",
    "P20": "place of death", "P21": "sex or gender", "P22": "father", "P25": "mother",
    "P26": "spouse", "P27": "country of citizenship", "P30": "continent",
    "P35": "head of state", "P36": "capital", "P37": "official language", "P38": "currency",
    "P39": "position held", "P40": "child", "P50": "author", "P54": "member of sports team",
    "P57": "director", "P58": "screenwriter", "P69": "educated at", "P85": "anthem",
    "P86": "composer", "P101": "field of work", "P103": "native language", "P106": "occupation",
    "P108": "employer", "P112": "founded by", "P118": "league", "P119": "place of burial",
    "P127": "owned by", "P131": "located in the administrative territorial entity",
    "P136": "genre", "P138": "named after", "P140": "religion", "P155": "follows",
    "P156": "followed by", "P159": "headquarters location", "P161": "cast member",
    "P166": "award received", "P172": "ethnic group", "P176": "manufacturer",
    "P178": "developer", "P190": "twinned administrative body", "P264": "record label",
    "P276": "location", "P361": "part of", "P364": "original language of film or TV show",
    "P407": "language of work or name", "P413": "position played on team",
    "P449": "original broadcaster", "P463": "member of", "P495": "country of origin",
    "P530": "diplomatic relation",
    "P641": "sport", "P740": "location of formation", "P937": "work location",
    "P1303": "instrument", "P1376": "capital of", "P1412": "languages spoken, written or signed",
    "P3373": "sibling",
}  # fmt: skip

MOST = 20
"""Prompts of one edit, at most: a relation of many records has hundreds of wordings."""
_SHORT = 3
"""Characters of a name that is as likely to be an abbreviation."""

# Words after which an object can follow at once.
_OPEN = frozenset(
    """
    is are was were be been being by named called titled as in of at on to from for with
    the a an into under includes include including follows
    """.split()
)
# Words with which an order or a question begins: nothing that an object completes.
_ASKING = frozenset(
    """
    what what's which who who's whom whose where where's when why how is are was were do does did
    can could would will please tell name identify list give state provide say describe specify
    mention i'm i'd
    """.split()
)


@dataclass(frozen=True)
class Conflict:
    """A record that gives a fact another new object than one before it."""

    record: Record
    kept: Record

    def __str__(self) -> str:
        return (
            f"record {self.record.index}: {self.record.subject} · {self.record.relation} is "
            f"'{self.record.new}' here and '{self.kept.new}' in record {self.kept.index}"
        )


@dataclass(frozen=True)
class ImportResult:
    """What was imported.

    Attributes:
        written: the edit files, in the order of the records.
        kept: the records they were made of.
        conflicts: the records left out because they contradict a kept one.
        dropped: how many prompts were left out because they meet a test of their record.
    """

    written: tuple[Path, ...]
    kept: tuple[Record, ...]
    conflicts: tuple[Conflict, ...]
    dropped: int


def sample(records: Sequence[Record], limit: int | None, seed: int) -> tuple[Record, ...]:
    """The records of `limit` entries drawn at random, in the file's order; all of them if there
    are no more."""
    if limit is None or limit >= len(records):
        return tuple(records)
    entries = [tuple(of_entry) for _, of_entry in groupby(records, key=lambda r: r.index)]
    chosen = random.Random(seed).sample(entries, min(limit, len(entries)))
    return tuple(sorted(chain.from_iterable(chosen), key=lambda record: record.index))


def without_conflicts(
    records: Iterable[Record],
) -> tuple[tuple[Record, ...], tuple[Conflict, ...]]:
    """The records that agree with every kept one before them, and the other ones.

    Two records contradict each other if their subject and relation are the same and no name of
    their new objects is. An entry of several edits is kept whole or not at all.
    """
    kept: list[Record] = []
    conflicts: list[Conflict] = []
    by_fact: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for _, entry in groupby(records, key=lambda record: record.index):
        of_entry = list(entry)
        found = []
        for record in of_entry:
            own = {plainly(name) for name in record.new_names}
            for other in by_fact[_fact(record)]:
                if not own & {plainly(name) for name in other.new_names}:
                    found.append(Conflict(record, other))
                    break
        conflicts += found
        if not found:
            kept += of_entry
            for record in of_entry:
                by_fact[_fact(record)].append(record)
    return tuple(kept), tuple(conflicts)


def _fact(record: Record) -> tuple[str, str]:
    return plainly(record.subject), record.relation


def import_records(
    data: DataSet,
    records: Iterable[Record],
    folder: Path,
    *,
    aliases: Aliases = "none",
    schema_path: str | None = None,
) -> ImportResult:
    """Write records as edit files into a folder of edits; conflicting ones are left out.

    Args:
        aliases: which of the subject's other names the files state.
        schema_path: where the editors' JSON Schema lies, seen from `folder`.

    Raises:
        ConflictError: an id is taken; nothing is written.
        EditFileError: a file would have errors; nothing is written.
        StorageError: the folder cannot be written; nothing of the import stays.
    """
    kept, conflicts = without_conflicts(records)
    taken = {path.stem: path for path in find_files(folder)} if folder.is_dir() else {}
    clashes = [taken[record.id] for record in kept if record.id in taken]
    if clashes:
        more = f", and {len(clashes) - 1} more" if len(clashes) > 1 else ""
        raise ConflictError(
            f"{clashes[0]} is already there{more}: nothing was written",
            hint="import into another folder, or delete these files",
        )
    texts: dict[Path, str] = {}
    findings: list[Diagnostic] = []
    dropped = 0
    for record in kept:
        draft = _draft(record, data, aliases)
        dropped += draft.dropped
        path = folder / f"{record.id}.yaml"
        texts[path] = write_edit(draft.edit, schema_path)
        _, of_file = parse_edit(texts[path].encode(), path)
        findings += (finding for finding in of_file if finding.severity == "error")
    if findings:
        raise EditFileError(f"{count(len(findings), 'error')}: nothing was written", findings)
    written: list[Path] = []
    try:
        for path, text in texts.items():
            write_text(path, text)
            written.append(path)
    except BaseException:  # a full disk, an interruption: half a data set looks like a whole one
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return ImportResult(tuple(texts), kept, conflicts, dropped)


def import_into(
    root: Path, data: DataSet, records: Iterable[Record], *, aliases: Aliases = "none"
) -> ImportResult:
    """`import_records` into a registry's folder of edits; `root` becomes a registry if it is none.

    Raises:
        InputError: `root` lies among the edits of another registry.
        SettingsError: its `sake.toml` is wrong.
        ConflictError, EditFileError, StorageError: as `import_records`.
    """
    around = find_root(root) if root.is_dir() else find_root(_nearest(root))
    if around is not None and around.resolve() != root.resolve():
        among = (around / load_settings(around).edits).resolve()
        if root.resolve().is_relative_to(among):
            raise InputError(
                f"{root} lies among the edits of {around}",
                hint=f"--out {around} writes there; a registry of its own lies elsewhere",
            )
    new = not (root / FILE_NAME).exists()
    edits = Path("edits" if new else load_settings(root).edits)
    schema = "../" * len(edits.parts) + SCHEMA_PATH.as_posix()
    # Last: an import that fails leaves nothing behind, no empty registry either.
    folder = below(root, root / edits)
    result = import_records(data, records, folder, aliases=aliases, schema_path=schema)
    if new:
        init_registry(root)
    return result


def _nearest(path: Path) -> Path:
    """The nearest folder at or above a path that is there."""
    return next(folder for folder in (path, *path.resolve().parents) if folder.is_dir())


def to_edit(record: Record, data: DataSet, aliases: Aliases = "none") -> Edit:
    """A record as an edit: its prompts, its paraphrase tests as holdout, what follows from it."""
    return _draft(record, data, aliases).edit


def implication_prompts(record: Record, data: DataSet) -> tuple[str, ...]:
    """Two-hop prompts for every second relation that the templates know, filled in.

    They are in the possessive ("… of Leonardo DiCaprio's country of citizenship is"), never in
    the phrasing of a test. Their answers are not known.
    """
    prompts = (
        _possessive(record, second, data)
        for first, second in data.resources.two_hop
        if first == record.relation
    )
    filled = (p.replace(SUBJECT, record.subject) for p in prompts if p is not None)
    return tuple(p for p in dict.fromkeys(filled) if not is_tested(p, record))


@dataclass(frozen=True)
class _Draft:
    edit: Edit
    dropped: int


def _aliases(names: Iterable[str]) -> tuple[Alias, ...]:
    return tuple(Alias(text=name) for name in names)


def _draft(record: Record, data: DataSet, listed: Aliases) -> _Draft:
    prompts, met = _prompts(record, data)
    implications, unfit = _implications(record, data)
    old = record.old
    aliases = [n for n in record.new_aliases if old is None or plainly(n) != plainly(old)]
    title = TITLES.get(data.name, data.name)
    content = {
        "schema": 1,
        "id": record.id,
        "fact": Fact(
            subject=Name(text=record.subject, aliases=_aliases(record.listed(listed))),
            relation=_relation(record, data),
            old=Name(text=old) if old else None,
            new=Name(text=record.new, aliases=_aliases(aliases)),
        ),
        "prompts": prompts,
        "holdout": _holdout(record, prompts),
        "implications": implications,
        "provenance": Provenance(
            reason=f"{title}, record {record.index}: made up to measure editing, not true.",
            sources=(SOURCES[data.name],) if data.name in SOURCES else (),
        ),
        "tags": (data.name,),
    }
    edit = Edit.model_validate(content)
    return _Draft(edit, met + unfit)


def property_of(record: Record, data: DataSet) -> str | None:
    """The Wikidata property of a record's relation, if it is known."""
    known = data.resources.properties.get(record.relation)
    return known or (record.relation if re.fullmatch(r"P[1-9]\d*", record.relation) else None)


def _relation(record: Record, data: DataSet) -> Relation:
    property_ = property_of(record, data)
    said = record.relation
    if said.isupper() and property_ != said:
        said = said.lower().replace("_", " ")
    return Relation(text=_LABELS.get(property_ or "", said), id=property_)


# -- prompts -------------------------------------------------------------------------------------


def _prompts(record: Record, data: DataSet) -> tuple[list[str], int]:
    """The own prompt, then other wordings that meet no test; and how many met one."""
    prompts = {plainly(record.prompt): record.prompt}
    met: set[str] = set()
    for text in _wordings(record, data):
        filled = text.replace(SUBJECT, record.subject)
        if len(prompts) == MOST:
            break
        if plainly(text) in prompts or not _fits(text, filled, record):
            continue
        if is_tested(filled, record):
            met.add(plainly(text))
            continue
        prompts[plainly(text)] = text
    return list(prompts.values()), len(met)


def _wordings(record: Record, data: DataSet) -> Iterator[str]:
    property_ = property_of(record, data)
    yield from data.resources.patterns.get(property_ or "", ())
    yield from record.wordings
    yield from data.templates.get(record.relation, ())
    yield from _paraphrases(record)
    # What was written for one subject serves the others of its relation.
    for other in data.records:
        if other.relation == record.relation and other.paraphrases:
            yield from _paraphrases(other)


@lru_cache(maxsize=4096)
def _paraphrases(record: Record) -> tuple[str, ...]:
    """The record's own paraphrases that serve as prompts, with `<subject>`."""
    filled = (_paraphrase(text, record) for text in record.paraphrases)
    return tuple(prompt for prompt in filled if prompt is not None)


def _fits(text: str, filled: str, record: Record) -> bool:
    """Whether an edit file takes the prompt, and the new object can follow it."""
    known = [record.subject]
    if names.find(text, known) or not names.find(filled, known):
        return False  # the name stands in the wording itself, or as a part of a longer one
    if names.find(filled, [record.new, *([record.old] if record.old else [])]):
        return False
    article = re.search(r"\b(an?)$", text)
    if article is None:
        return True
    vowel = record.new[0].casefold() in "aeiou"
    return vowel == (article[1] == "an")


def _paraphrase(text: str, record: Record) -> str | None:
    """A paraphrase written by a language model as a prompt, if it is one; most are none.

    It has to name the subject and neither object, to ask nothing, and to be the beginning of a
    statement that the object ends.
    """
    text = " ".join(text.split())
    if "?" in text:
        return None
    text = text.rstrip(" .…,:;-–—")
    words = text.split()
    if not words or words[0].lower().rstrip(",").replace("’", "'") in _ASKING:
        return None
    if words[-1].lower() not in _OPEN:
        return None
    if any(_contains(text, name) for name in (*_old_names(record), *record.new_names)):
        return None
    spans = names.find(text, [record.subject])
    return names.mask(text, spans, SUBJECT) if spans else None


def _old_names(record: Record) -> tuple[str, ...]:
    """The old object and its other names, as far as the record's tests give them."""
    if record.old is None:
        return ()
    other_objects = (
        name
        for test in record.tests
        for answer in test.query.answers
        if plainly(answer[0]) == plainly(record.old)
        for name in answer
    )
    return tuple(dict.fromkeys((record.old, *other_objects)))


def _contains(text: str, name: str) -> bool:
    """Whether a text has a name as whole words, in any case.

    Short names count as they are written, and not without a capital: "US" is no word, "in" and
    "sy" are codes of countries.
    """
    if len(name) <= _SHORT:
        return name != name.lower() and bool(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text))
    inside = " ".join(re.findall(r"\w+", text.casefold()))
    words = " ".join(re.findall(r"\w+", name.casefold()))
    return bool(words) and f" {words} " in f" {inside} "


def _holdout(record: Record, prompts: Sequence[str]) -> list[str]:
    """The paraphrase tests, with `<subject>`; those that do not name the subject stay out."""
    taken = {plainly(prompt) for prompt in prompts}
    by_wording: dict[str, str] = {}
    for test in record.of("gen"):
        text = with_subject(test.query.prompt, record.subject)
        if text is not None and plainly(text) not in taken:
            by_wording.setdefault(plainly(text), text)
    return list(by_wording.values())


# -- implications --------------------------------------------------------------------------------


def _implications(record: Record, data: DataSet) -> tuple[tuple[Implication, ...], int]:
    """What follows through a second relation; and how many met a test.

    The answers are those of the record's tests, the prompts are not.
    """
    by_wording: dict[str, Implication] = {}
    met: set[str] = set()
    for test in record.of("ci"):
        if test.second_relation is None or not test.query.answers:
            continue
        prompt = _possessive(record, test.second_relation, data)
        if prompt is None or plainly(prompt) in by_wording:
            continue
        if is_tested(prompt.replace(SUBJECT, record.subject), record):
            met.add(plainly(prompt))
            continue
        first, *others = test.query.answers[0]
        by_wording[plainly(prompt)] = Implication(
            prompt=prompt, new=Name(text=first, aliases=_aliases(others))
        )
    return tuple(by_wording.values()), len(met)


_OF = re.compile(rf"(?:names? of )?the (?P<what>.+) of {SUBJECT} (?:is|are)", re.I)
_WHICH = re.compile(rf"(?:names? of )?(?P<all>the (?P<what>\w+) which {SUBJECT} .+) is", re.I)


def _possessive(record: Record, second: str, data: DataSet) -> str | None:
    """A two-hop prompt with `<subject>`, its first hop in the possessive.

    "The currency in the country of citizenship of <subject> is" becomes "The currency in
    <subject>'s country of citizenship is". Where the template has a word of its own for both hops
    ("the maternal grandmother of <subject>"), the second relation's phrase takes the first hop.
    """
    template = data.resources.two_hop.get((record.relation, second))
    phrase = data.resources.phrases.get(record.relation)
    if template is None or phrase is None:
        return None
    described = phrase.removeprefix("The ")
    first = _OF.fullmatch(described) or _OF.fullmatch("the " + described)
    which = _WHICH.fullmatch(described) or _WHICH.fullmatch("the " + described)
    if first is not None:
        hop, what = f"the {first['what']} of {SUBJECT}", first["what"]
    elif which is not None:
        hop, what = which["all"], which["what"]
    else:
        return None
    owned = f"{SUBJECT}'s {what}"
    if hop in template:
        return template.replace(hop, owned)
    onward = data.resources.phrases.get(second)
    return onward.replace(SUBJECT, owned) if onward is not None else None

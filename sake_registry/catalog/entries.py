"""What the pages of a registry say, as one value (`site/1`).

Everything is what `sake list`, `log`, `status`, `conflicts` and the newest `sake test` say, by the
functions that they call; no model is loaded, and no file is read twice. What could not be looked
at (no git repository, no extra for bundles) is named in `notes`. Paths are relative to the
registry's root: a page is published, and tells nothing of the machine that made it.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import Field

from sake_registry.asking.rows import Kind, Row, questions
from sake_registry.asking.tested import EditAnswers, ModelAnswers, newest
from sake_registry.diagnostics import Diagnostic
from sake_registry.edits.conflicts import Conflict, find_conflicts
from sake_registry.edits.generated import generated
from sake_registry.edits.registry import open_registry
from sake_registry.errors import SetupError, StateError
from sake_registry.history.repository import Repository
from sake_registry.history.reviewers import reviewers
from sake_registry.history.snapshots import Action
from sake_registry.history.versions import log_of
from sake_registry.places import local_path
from sake_registry.review.claims import sentence
from sake_registry.review.report import Written
from sake_registry.upkeep.status import Item, status
from sake_registry.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.history.versions import EditLog
    from sake_registry.upkeep.bundles import BundleState
    from sake_registry.upkeep.status import Status

SOON = timedelta(days=30)
"""An edit that ends, or is to be reviewed, within this time is shown as one that needs somebody."""
VERSIONS = 50
"""So many versions of an edit are shown, the newest ones."""

Standing = Literal["draft", "active", "withdrawn", "unreadable"]
Need = Literal[
    "errors", "failing", "conflict", "disabled", "expired", "expiring", "review", "uncommitted",
    "changed", "missing", "gone",
]  # fmt: skip
NEEDS: tuple[Need, ...] = get_args(Need)
"""What makes an edit need somebody, the worst first; most of them are kinds of `sake status`."""
WORDS: dict[Need, str] = {
    "errors": "has errors",
    "failing": "fails its test",
    "conflict": "in conflict",
    "disabled": "disabled in production",
    "expired": "expired",
    "expiring": "due soon",
    "review": "review is due",
    "uncommitted": "not committed",
    "changed": "changed since compiled",
    "missing": "not compiled",
    "gone": "compiled, no longer active",
}
"""How a need is said."""


class Version(Value):
    """A version of an edit: a commit that changed its file, and what of it in words."""

    commit: str
    date: datetime
    authors: tuple[str, ...]
    subject: str
    reason: str | None
    action: Action
    lines: tuple[str, ...]

    @property
    def short(self) -> str:
        return self.commit[:10]


class Asked(Value):
    """A prompt of an edit, the answer that its file expects, and what was answered (None: it was
    never asked). `old` and `reason` are those of an implication."""

    kind: Kind
    prompt: str
    expected: str | None
    old: str | None = None
    reason: str | None = None
    row: Row | None = None


class Test(Value):
    """When an edit was asked about, of which model; `current` is None where no bundle of that
    model is here to tell whether it is of the version that is compiled now."""

    __test__ = False  # not a pytest test, whatever its name

    time: datetime
    model: str
    bundle: str
    current: bool | None
    passed: int
    asked: int


class Carried(Value):
    """The newest bundle of a model, and how it holds an edit; `live` says that the pointer leads
    to it."""

    model: str
    bundle: str
    state: Literal["current", "stale", "changed", "missing", "gone"]
    live: bool


class Summary(Value):
    """What the list of edits says of one, and what is searched in. `owner` made the newest
    version that changed more than notes; `changed` is that version's day."""

    id: str
    subject: str = ""
    relation: str = ""
    old: str | None = None
    new: str = ""
    status: Standing
    tags: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    owner: tuple[str, ...] = ()
    changed: date | None = None
    passed: int | None = None
    asked: int | None = None
    fires: int | None = None
    words: tuple[str, ...] = ()
    """Further names and the prompts."""


class Entry(Summary):
    """All that is known of an edit. `file` is what its file says, None where it has errors."""

    path: str
    claim: str
    sentence: str = ""
    aliases: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    generated: tuple[Written, ...] = ()
    prompts: tuple[Asked, ...] = ()
    test: Test | None = None
    conflicts: tuple[Conflict, ...] = ()
    findings: tuple[Diagnostic, ...] = ()
    items: tuple[Item, ...] = ()
    carried: tuple[Carried, ...] = ()
    versions: tuple[Version, ...] = ()
    earlier: int = 0
    complete: bool = True
    file: dict[str, Any] | None = None

    def of(self, *kinds: Kind) -> tuple[Asked, ...]:
        return tuple(asked for asked in self.prompts if asked.kind in kinds)

    @property
    def life(self) -> dict[str, Any]:
        """What its file says of its dates."""
        return self.file["lifecycle"] if self.file else {}

    @property
    def sources(self) -> list[str]:
        return self.file["provenance"]["sources"] if self.file else []

    @property
    def reason(self) -> str | None:
        return self.file["provenance"]["reason"] if self.file else None


class Bundle(Value):
    """The newest bundle of a model."""

    model: str
    dtype: str
    name: str
    key: str
    commit: str | None
    current: bool
    live: bool


class Pointer(Value):
    """What production is told to serve, by the pointer that was named."""

    place: str
    bundle: str
    content: str | None
    note: str


class Catalog(Value):
    """A registry on a day (UTC). `items` and `findings` are about no single edit."""

    version: Literal["site/1"] = Field("site/1", alias="schema")
    name: str
    day: date
    branch: str | None
    commit: str | None
    edits: tuple[Entry, ...]
    bundles: tuple[Bundle, ...]
    pointer: Pointer | None
    items: tuple[Item, ...]
    findings: tuple[Diagnostic, ...]
    notes: tuple[str, ...]


class Histories:
    """The versions of edits by id, read again only when something else is checked out."""

    def __init__(self) -> None:
        self._state: tuple[Any, ...] = ()
        self._logs: dict[str, dict[str, Any]] = {}

    def of(self, registry: Registry) -> dict[str, dict[str, Any]]:
        """What an `Entry` says of its history, of each edit that was ever committed.

        Raises:
            SetupError: there is no git, or no repository.
            StateError: a partial clone lacks a version.
        """
        settings = registry.settings
        repository = Repository(registry.root, settings.edits, settings.checks)
        head = repository.head
        if head is None:
            return {}
        ids = [path.stem for path in map(Path, repository.edit_files(head))]
        ids = sorted({edit.id for edit in registry.edits}.intersection(ids))
        if self._state != (head, ids):
            reviewed = reviewers(registry.root, settings.edits, ids)
            self._logs = {
                log.id: {**_history(log), "reviewers": reviewed.get(log.id, ())}
                for log in log_of(repository, ids)
            }
            self._state = head, ids
        return self._logs


def catalog(
    start: Path | str = ".",
    *,
    today: date | None = None,
    pointer: str | None = None,
    fires: Mapping[str, int] | None = None,
    histories: Histories | None = None,
) -> Catalog:
    """The registry at or above `start`.

    Args:
        today: the day on which dates are looked at; that of UTC unless given.
        pointer: what production follows, a path or a URL.
        fires: how often each edit fired, as `metrics.fires` reads it.
        histories: of an earlier call.

    Raises:
        InputError: there is no registry, or the pointer is wrong.
        SetupError: the pointer cannot be reached.
        SettingsError: `sake.toml` or a variable is wrong.
    """
    today = today or datetime.now(UTC).date()
    registry = open_registry(start, today=today)
    state = status(start, today=today, pointer=pointer, registry=registry)
    notes = [_from_root(note, registry.root) for note in state.notes]
    logs: dict[str, dict[str, Any]] = {}
    try:
        logs = (histories or Histories()).of(registry)
    except (SetupError, StateError) as error:
        if state.git is not None:  # else `status` said so
            notes.append(f"git was not looked at: {error.message}")
    edits = {edit.id: _rooted(edit, registry.root) for edit in registry.edits}
    conflicts = find_conflicts(
        edits.values(), lambda path: (registry.root / path).read_bytes(), registry.settings.checks
    )
    findings = [
        one.model_copy(
            update={
                "path": _inner(one.path, registry.root),
                "message": _from_root(one.message, registry.root),
                "hint": _from_root(one.hint, registry.root),
            }
        )
        for one in registry.findings
    ]
    unreadable = {f.path.stem for f in findings if f.severity == "error"} - edits.keys()
    items = [
        item.model_copy(
            update={name: _from_root(getattr(item, name), registry.root)
                    for name in ("what", "command")}
        )
        for item in state.items
    ]  # fmt: skip
    about = _About(state, items, conflicts, findings, newest(registry.store), today)
    entries = [about.entry(edit, logs.get(edit.id, {})) for edit in edits.values()]
    entries += [about.unreadable(id_) for id_ in unreadable]
    if fires is not None:
        entries = [e.model_copy(update={"fires": fires.get(e.id, 0)}) for e in entries]
    said = state.production
    known = edits.keys() | unreadable
    return Catalog(
        name=registry.root.resolve().name,
        day=today,
        branch=state.git.branch if state.git else None,
        commit=state.git.commit if state.git else None,
        edits=tuple(sorted(entries, key=lambda entry: entry.id)),
        bundles=tuple(
            Bundle(
                model=b.model, dtype=b.dtype, name=b.path.name, key=b.key, commit=b.commit,
                current=b.current, live=about.live(b),
            )
            for b in state.bundles
        ),
        pointer=said
        and Pointer(
            place=_told(said.pointer, registry.root), bundle=_told(said.bundle, registry.root),
            content=said.content, note=said.note,
        ),
        items=tuple(item for item in items if item.id not in known),
        findings=tuple(f for f in findings if f.path.stem not in known),
        notes=tuple(notes),
    )  # fmt: skip


class _About:
    """All that is known, by the edit that it is about."""

    def __init__(
        self,
        state: Status,
        items: Iterable[Item],
        conflicts: Iterable[Conflict],
        findings: Iterable[Diagnostic],
        tests: Mapping[str, tuple[ModelAnswers, EditAnswers]],
        today: date,
    ) -> None:
        self.state, self.tests, self.today = state, tests, today
        self.conflicts: dict[str, list[Conflict]] = defaultdict(list)
        for conflict in conflicts:
            for id_ in dict.fromkeys(conflict.ids):
                self.conflicts[id_].append(conflict)
        self.findings: dict[str, list[Diagnostic]] = defaultdict(list)
        for finding in findings:
            self.findings[finding.path.stem].append(finding)
        self.items: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            self.items[item.id or ""].append(item)
        self.keys = {
            (b.path.name, info.id): info.key for b in state.bundles for info in b.manifest.edits
        }
        self.hashes = {b.model_hash: b.path.name for b in state.bundles}
        self.otherwise = {
            (b.path.name, id_): kind
            for b in state.bundles
            for kind, ids in (("changed", b.changed), ("missing", b.missing), ("gone", b.gone))
            for id_ in ids
        }

    def live(self, bundle: BundleState) -> bool:
        production = self.state.production
        return production is not None and production.here == bundle.path

    def unreadable(self, id_: str) -> Entry:
        found = self.findings[id_]
        return Entry(
            id=id_, status="unreadable", needs=("errors",), path=found[0].path.as_posix(),
            claim="The file has errors: what it claims cannot be known.",
            findings=tuple(found), items=tuple(self.items[id_]), carried=self._carried(id_),
        )  # fmt: skip

    def entry(self, edit: Edit, history: Mapping[str, Any]) -> Entry:
        tested = self.tests.get(edit.id)
        rows: dict[tuple[str, str], Row] = {
            (row.kind, row.prompt): row for row in (tested[1].rows if tested else ())
        }
        prompts = tuple(_prompts(edit, rows))
        answered = [asked.row for asked in prompts if asked.row]
        test = None
        if tested and answered:
            model, of_edit = tested
            key = self.keys.get((self.hashes.get(model.model_hash, ""), edit.id))
            test = Test(
                time=of_edit.time, model=model.model, bundle=of_edit.bundle,
                current=None if key is None else key == of_edit.key,
                passed=sum(row.ok for row in answered), asked=len(answered),
            )  # fmt: skip
        carried = self._carried(edit.id)
        fact = edit.fact
        names = (*fact.subject.all[1:], *fact.new.all[1:], *(fact.old.all[1:] if fact.old else ()))
        return Entry(
            id=edit.id,
            subject=edit.subject,
            relation=fact.relation.text,
            old=edit.old,
            new=edit.new,
            status=edit.lifecycle.status,
            tags=edit.tags,
            models=tuple(c.model for c in carried if c.state != "missing"),
            needs=self._needs(edit, test),
            passed=test.passed if test else None,
            asked=test.asked if test else None,
            words=(*names, *(asked.prompt for asked in prompts)),
            path=edit.path.as_posix() if edit.path else "",
            claim=edit.claim,
            sentence=sentence(edit),
            aliases=fact.subject.all[1:],
            generated=tuple(
                Written(**one._asdict(), confirmed=one.by in edit.provenance.confirmed)
                for one in generated(edit)
            ),
            prompts=prompts,
            test=test,
            conflicts=tuple(self.conflicts[edit.id]),
            findings=tuple(self.findings[edit.id]),
            items=tuple(self.items[edit.id]),
            carried=carried,
            file=edit.model_dump(mode="json", by_alias=True, exclude={"path", "id"}),
            **history,
        )

    def _needs(self, edit: Edit, test: Test | None) -> tuple[Need, ...]:
        needs: set[str] = {item.kind for item in self.items[edit.id]}
        if test and test.passed < test.asked and edit.active:
            needs.add("failing")
        if any(conflict.severity != "information" for conflict in self.conflicts[edit.id]):
            needs.add("conflict")
        life = edit.lifecycle
        ends = life.valid_until if edit.active else None
        due = life.review_by if life.status != "withdrawn" else None
        if any(day and self.today <= day <= self.today + SOON for day in (ends, due)):
            needs.add("expiring")
        return tuple(need for need in NEEDS if need in needs)

    def _carried(self, id_: str) -> tuple[Carried, ...]:
        found = []
        for bundle in self.state.bundles:
            held = (bundle.path.name, id_) in self.keys
            state = self.otherwise.get((bundle.path.name, id_))
            if held or state:
                as_it_is = "stale" if bundle.settings_changed else "current"
                found.append({
                    "model": bundle.model, "bundle": bundle.path.name, "state": state or as_it_is,
                    "live": held and self.live(bundle),
                })  # fmt: skip
        return tuple(map(Carried.model_validate, found))


def _prompts(edit: Edit, rows: Mapping[tuple[str, str], Row]) -> Iterable[Asked]:
    """The questions of an edit, with what was answered."""
    implied = iter(edit.implications)
    for question in questions(edit):
        assert question.kind != "unrelated"
        assert question.kind != "nearby"
        follows = next(implied) if question.kind == "implications" else None
        yield Asked(
            kind=question.kind,
            prompt=question.prompt,
            expected=question.accepted[0] if question.accepted else None,
            old=follows.old.text if follows and follows.old else None,
            reason=follows.reason if follows else None,
            row=rows.get((question.kind, question.prompt)),
        )


def _history(log: EditLog) -> dict[str, Any]:
    """What an entry says of its history."""
    shown = log.versions[:VERSIONS]
    # Of the first version all is new, which is said by its action; its file need not be parsed.
    versions = tuple(
        Version(
            commit=v.commit, date=v.date, authors=v.authors, subject=v.subject, reason=v.reason,
            action=v.action, lines=() if v.before is None or v.after is None else tuple(v.lines),
        )
        for v in shown
    )  # fmt: skip
    made = next((v for v in shown if v.before is None or v.weighty), shown[-1])
    return {
        "versions": versions,
        "earlier": len(log.versions) - len(shown),
        "complete": log.complete,
        "owner": made.authors,
        "changed": made.date.date(),
    }


def _rooted(edit: Edit, root: Path) -> Edit:
    return edit.model_copy(update={"path": _inner(edit.path, root)}) if edit.path else edit


def _told(place: str, root: Path) -> str:
    """A place as it may be published: a file that lies elsewhere by its name alone."""
    path = local_path(place)
    if path is None:
        return place
    full = Path(path).resolve()
    return full.relative_to(root).as_posix() if full.is_relative_to(root) else full.name


def _from_root(text: str, root: Path) -> str:
    """What is said of files and commands, as one says it who stands at the root."""
    return text.replace(f"git -C {shlex.quote(str(root))} ", "git ").replace(f"{root}/", "")


def _inner(path: Path, root: Path) -> Path:
    """A path as it is called from the root of the registry, where it lies below it."""
    full = Path.cwd() / path
    return full.relative_to(root) if full.is_relative_to(root) else path

"""Texts of an edit that a language model writes (A.1): asked for, filtered, spliced into its file.

Guarantees:
- What a model returns becomes texts of this one edit, or nothing: it names no file, id or setting.
  Only where the fact is asked for the other way round, a draft of a file of its own comes of it.
- Prompts and holdout prompts come from different calls, of which neither is shown the other's.
- The file is written once, whole, as the last step, and only if nobody changed it meanwhile.
- From one file, one set of settings and the recorded calls, the same bytes are written.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from sake_registry.authoring.endpoint import Cost
from sake_registry.authoring.filtering import LONGEST_NAME, Dropped, Kind, Sieve
from sake_registry.authoring.reversing import draft_reversed, reversed_edit, said_already
from sake_registry.authoring.wordings import language, language_of
from sake_registry.data import read
from sake_registry.edits.adding import add_texts
from sake_registry.edits.conflicts import by_text
from sake_registry.edits.files import parse_edit
from sake_registry.edits.files import read as read_file
from sake_registry.edits.schema import Alias, Implication, Prompt, Unchanged
from sake_registry.errors import (
    ConflictError,
    EditFileError,
    GeneratorError,
    ModelNotFoundError,
    ReplyError,
)
from sake_registry.files import write_bytes, write_text
from sake_registry.progress import SILENT
from sake_registry.values import Value
from sake_registry.wording import HIDDEN, count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sake_registry.authoring.endpoint import Endpoint, Reply
    from sake_registry.authoring.filtering import Text
    from sake_registry.authoring.proposing import Proposal
    from sake_registry.authoring.trying import Reader
    from sake_registry.authoring.wordings import Language
    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.edits.yamltext import Loc
    from sake_registry.progress import Progress
    from sake_registry.settings import Settings

VERSION = "v1"
"""Of the instructions, `data/generation/`."""
NAMES: tuple[Kind, ...] = ("subject", "old", "new")
MOST_NAMES = 6
"""Aliases that are added to a name at once."""
MOST_REVERSED = 4
"""Prompts of an edit the other way round."""
_MOST_TOLD = 24
"""Refused texts, and of those that are there already, that a round is told of."""


def _or_none(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """An item of another form than was asked for loses nothing but itself."""
    try:
        return validate(value)
    except ValidationError:
        return None


class _Form(Value):
    """What is asked for: what a model adds to it is not looked at."""

    model_config = ConfigDict(extra="ignore")


_Lenient = WrapValidator(_or_none)
_Texts = tuple[Annotated[str, _Lenient], ...]


class Texts(_Form):
    texts: _Texts

    @classmethod
    def of_text(cls, text: str) -> Texts:
        """The lines of a reply without JSON, as small models give it."""
        return cls(texts=tuple(line for line in text.splitlines() if line.strip()))


class Implied(_Form):
    prompt: str
    old: str
    new: str
    reason: str


class Implications(_Form):
    implications: tuple[Annotated[Implied, _Lenient], ...]


class OtherNames(_Form):
    subject: _Texts
    old: _Texts = ()
    new: _Texts = ()


class TurnedRound(_Form):
    relation: str
    texts: _Texts


class Wanted(Value):
    """How many texts of each kind are to be added, and in which languages.

    Of prompts, holdout and unchanged prompts so many in each language; in the file's own where
    none are named. Implications come in the first of them.
    """

    prompts: int = Field(8, ge=0, le=60)
    holdout: int = Field(6, ge=0, le=60)
    implications: int = Field(2, ge=0, le=30)
    unchanged: int = Field(6, ge=0, le=60)
    aliases: bool = False
    reversed: bool = False
    languages: tuple[str, ...] = ()


class Added(Value):
    """A text that was added, what else it says, as the file has it, and what a person has to see
    to."""

    kind: Kind
    text: str
    by: str
    old: str | None = None
    new: str | None = None
    reason: str | None = None
    remark: str | None = None


class Outcome(Value):
    """What was made of one edit. `short` says where fewer were kept than were asked for; `drafted`
    is the file of the fact the other way round."""

    edit: str
    path: Path
    drafted: Path | None = None
    warnings: tuple[str, ...] = ()
    added: tuple[Added, ...]
    dropped: tuple[Dropped, ...]
    short: tuple[str, ...]

    @property
    def counts(self) -> dict[Kind, int]:
        return dict(Counter(text.kind for text in self.added))

    @property
    def reasons(self) -> dict[str, int]:
        """How many texts were dropped for each reason, the most frequent first."""
        return dict(Counter(dropped.reason for dropped in self.dropped).most_common())


class Generated(Value):
    """What was made of edits, and what it cost."""

    generator: str
    compared: bool
    """Whether texts were read as the router does, and not compared by their wordings alone."""
    tried: bool
    """Whether they were tried on the model."""
    written: bool
    outcomes: tuple[Outcome, ...]
    cost: Cost
    stopped: str | None = None
    """Why the run ended before all was asked for."""


class _Asked(NamedTuple):
    """A list of texts to be asked for, in rounds."""

    kind: Kind
    n: int
    language: Language | None


def generate(
    registry: Registry,
    ids: Sequence[str],
    endpoint: Endpoint,
    wanted: Wanted,
    *,
    with_model: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Generated:
    """Have a language model write texts of edits, and add those that pass to their files.

    Where the run has cost enough, or the endpoint fails, what was kept until then is written.

    Args:
        with_model: drop prompts and implications that do not work on the registry's model.
        dry_run: change no file; calls are recorded all the same.

    Raises:
        InputError, EditFileError: an id that is unknown or has errors, a language that is unknown.
        MissingExtraError, ModelNotFoundError: `with_model`, and there is none.
        ConflictError: a file was changed while the model was asked.
    """
    edits = registry.select(list(ids))
    chosen = [language(code) for code in wanted.languages]
    outcomes: list[Outcome] = []
    stopped = None
    with ExitStack() as held:
        reader = _reader(registry.settings)
        works = None
        if with_model:
            from sake_registry.authoring.trying import Trial

            works = held.enter_context(Trial(registry.settings)).works
        lists = [asked for edit in edits for asked in _lists(edit, wanted, chosen)]
        further = wanted.aliases + wanted.reversed
        progress.begin("asking for texts", len(lists) + len(edits) * further)
        stated = by_text(registry.active)
        for id_ in dict.fromkeys(ids):
            edit, before = _read(registry, id_)
            taken = [n for e in registry.edits if e.id != edit.id for n in e.fact.subject.all]
            sieve = Sieve(
                edit, taken=taken, stated=stated, max_alike=endpoint.settings.max_alike,
                near=reader.near if reader else None, asks=reader.asks if reader else None,
                works=works,
            )  # fmt: skip
            author = _Author(endpoint, sieve, progress)
            try:
                for asked in _lists(edit, wanted, chosen):
                    author.write(asked)
                if wanted.aliases:
                    author.name(chosen)
                if wanted.reversed:
                    author.reverse(registry, chosen)
            except GeneratorError as error:
                stopped = str(error)
            outcome = author.outcome()
            if not dry_run and outcome.added:
                _write(registry, edit, before, author.added, sieve.remarks)
            if not dry_run and author.drafted:
                path, proposal = author.drafted
                write_text(path, proposal.text, registry.root)
            outcomes.append(outcome)
            if stopped:
                break
    return Generated(
        generator=endpoint.settings.model, compared=reader is not None, tried=with_model,
        written=not dry_run, outcomes=tuple(outcomes), cost=endpoint.cost, stopped=stopped,
    )  # fmt: skip


def _reader(settings: Settings) -> Reader | None:
    """What reads texts as the router does; None where the extra `models` is not installed."""
    try:
        from sake_registry.authoring.trying import Reader

        return Reader(settings.router)
    except (ModuleNotFoundError, ModelNotFoundError):
        return None


def _lists(edit: Edit, wanted: Wanted, chosen: Sequence[Language]) -> list[_Asked]:
    own = [language_of(prompt.text for prompt in edit.prompts)]
    kinds: tuple[Kind, ...] = ("prompts", "holdout", "unchanged")
    lists = [_Asked(kind, getattr(wanted, kind), one) for kind in kinds for one in chosen or own]
    lists.append(_Asked("implications", wanted.implications, (chosen or own)[0]))
    return [asked for asked in lists if asked.n]


class _Author:
    """Asks for the texts of one edit, and keeps what passes."""

    def __init__(self, endpoint: Endpoint, sieve: Sieve, progress: Progress) -> None:
        self._endpoint, self._sieve, self._progress = endpoint, sieve, progress
        self._first = sieve.edit
        self.added: list[tuple[Kind, Text]] = []
        self.drafted: tuple[Path, Proposal] | None = None
        self._short: list[str] = []
        self._unread: dict[str, str] = {}

    def write(self, asked: _Asked) -> None:
        """Ask for a list of texts until there are enough of them."""
        kept, label = 0, f"{self._first.id}: {asked.kind}"
        for attempt in range(self._endpoint.settings.rounds):
            left = asked.n - kept
            task = {
                **self._fact(asked.kind),
                "language": asked.language.name if asked.language else "that of `relation`",
                "present": self._present(asked),
                "refused": self._refused(asked.kind),
                "wanted": left + (left + 1) // 2,  # some will not pass
            }
            form = Implications if asked.kind == "implications" else Texts
            reply = self._reply(asked.kind, task, form, attempt)
            if reply is None:
                continue
            value = reply.value
            proposed = value.texts if isinstance(value, Texts) else value.implications
            passed = self._sieve.sift(asked.kind, proposed, left, asked.language, reply.by)
            self.added += [(asked.kind, text) for text in passed]
            kept += len(passed)
            if kept >= asked.n:
                break
        if kept < asked.n:
            of = f" in {asked.language.name}" if asked.language else ""
            self._short.append(f"{asked.kind}{of}: {kept} of {asked.n}")
        self._progress.advance(1, label)

    def name(self, chosen: Sequence[Language]) -> None:
        """Ask for other names, once: there may be none."""
        fact = self._first.fact
        own = [language_of(prompt.text for prompt in self._first.prompts)]
        languages = [one.name for one in chosen or own if one] or ["that of the names"]
        task = {
            "subject": fact.subject.all,
            "relation": fact.relation.text,
            **({"old": fact.old.all} if fact.old else {}),
            "new": fact.new.all,
            "languages": languages,
        }
        reply = self._reply("aliases", task, OtherNames, 0)
        self._progress.advance(1, f"{self._first.id}: aliases")
        if reply is None:
            return
        for kind in NAMES if fact.old else ("subject", "new"):
            names: _Texts = getattr(reply.value, kind)
            passed = self._sieve.sift(kind, names, MOST_NAMES, None, reply.by)
            self.added += [(kind, alias) for alias in passed]

    def reverse(self, registry: Registry, chosen: Sequence[Language]) -> None:
        """Ask for the fact the other way round, once: there may be no such fact."""
        edit, label = self._first, f"{self._first.id}: reversed"
        self._progress.advance(1, label)
        if known := said_already(registry, edit):
            self._short.append(f"reversed: '{known}' may say it already")
            return
        own = language_of(prompt.text for prompt in edit.prompts)
        in_language = chosen[0] if chosen else own
        task = {
            "subject": list(edit.fact.subject.all),
            "relation": edit.fact.relation.text,
            "answers": list(edit.fact.new.all),
            "language": in_language.name if in_language else "that of `relation`",
            "wanted": MOST_REVERSED,
        }
        reply = self._reply("reversed", task, TurnedRound, 0)
        if reply is None:
            return
        relation = " ".join(reply.value.relation.split())
        sieve = self._sieve.of(reversed_edit(edit, relation or edit.fact.relation.text))
        passed = sieve.sift("prompts", reply.value.texts, MOST_REVERSED, in_language, reply.by)
        self._sieve.dropped += sieve.dropped
        if HIDDEN.search(relation) or not 0 < len(relation) <= LONGEST_NAME or not passed:
            self._short.append("reversed: no draft, as nothing of use came")
            return
        prompts = [text for text in passed if isinstance(text, Prompt)]
        self.drafted = draft_reversed(registry, edit, relation, prompts)

    def outcome(self) -> Outcome:
        path = self._first.path
        assert path is not None  # it is of a registry
        drafted = self.drafted
        return Outcome(
            drafted=drafted[0] if drafted else None,
            warnings=drafted[1].warnings if drafted else (),
            edit=self._first.id, path=path, dropped=tuple(self._sieve.dropped),
            short=tuple(self._short),
            added=tuple(
                Added(kind=kind, **item, remark=self._sieve.remarks.get(item["text"]))
                for kind, text in self.added
                for item in [_item(text, shown=True)]
            ),
        )  # fmt: skip

    def _reply(self, what: str, task: dict[str, Any], form: Any, attempt: int) -> Reply[Any] | None:
        """A reply in the form; None, and a note, where it is in no form."""
        self._unread.pop(what, None)
        instruction = read(f"generation/{VERSION}/{what}.md")
        try:
            return self._endpoint.ask(instruction, told(task), form, attempt=attempt)
        except ReplyError as error:
            self._short.append(f"{what}: a reply was of no use: {error.message}")
            self._unread[what] = error.message
            return None

    def _fact(self, kind: Kind) -> dict[str, Any]:
        fact = self._first.fact
        old = list(fact.old.all) if fact.old else []
        if kind == "implications":
            answers: dict[str, Any] = {"old": old, "new": list(fact.new.all)}
        else:
            answers = {"answers": [*old, *fact.new.all]}
        return {"subject": list(fact.subject.all), "relation": fact.relation.text, **answers}

    def _present(self, asked: _Asked) -> list[str]:
        """What is written already; of holdout prompts only what this run wrote."""
        edit = self._sieve.edit
        if asked.kind == "prompts":
            texts = [prompt.text for prompt in edit.prompts]
        elif asked.kind == "holdout":
            texts = [prompt.text for prompt in edit.holdout]
        elif asked.kind == "unchanged":
            texts = [unchanged.prompt for unchanged in edit.unchanged]
        else:
            texts = [implication.prompt for implication in edit.implications]
        return [edit.fill(text) for text in texts[-_MOST_TOLD:]]

    def _refused(self, kind: Kind) -> list[str]:
        """What was dropped last of a kind, and why, or why a whole reply was. No reason quotes
        another text: a holdout's would be a prompt."""
        of_kind = [dropped for dropped in self._sieve.dropped if dropped.kind == kind]
        unread = [f"a whole reply ({self._unread[kind]})"] if kind in self._unread else []
        return [f"{d.text} (it {d.reason})" for d in of_kind[-_MOST_TOLD:]] + unread


def told(task: dict[str, Any]) -> str:
    """A task as lines of a name and what it is, texts in quotes."""
    lines = []
    for name, value in task.items():
        values = [value] if isinstance(value, str | int) else value
        written = [json.dumps(one, ensure_ascii=False) for one in values]
        items = name in ("present", "refused")
        lines += [f"{name}:", *(f"- {one}" for one in written)] if items and written else []
        lines += [] if items else [f"{name}: {', '.join(written)}"]
    return "\n".join(lines)


def _item(text: Text, *, shown: bool = False) -> dict[str, str]:
    """A text as its file has it; as `Added` has it where it is shown."""
    by = text.by or ""
    if isinstance(text, Implication):
        old = {"old": text.old.text} if text.old else {}
        why = {"reason": text.reason} if text.reason else {}
        key = "text" if shown else "prompt"
        return {key: text.prompt, **old, "new": text.new.text, **why, "by": by}
    if isinstance(text, Unchanged) and not shown:
        return {"prompt": text.prompt, "by": by}
    return {"text": text.prompt if isinstance(text, Unchanged) else text.text, "by": by}


def _read(registry: Registry, id_: str) -> tuple[Edit, bytes]:
    """An edit as its file has it now, and the file's bytes.

    Raises:
        EditFileError: it has errors by now.
    """
    (known,) = registry.select([id_])
    assert known.path is not None
    reading = read_file(known.path, severities=registry.settings.checks)
    if reading.edit is None:
        raise EditFileError(f"'{id_}' has errors", reading.findings)
    return reading.edit, reading.data


def _write(
    registry: Registry,
    edit: Edit,
    before: bytes,
    added: list[tuple[Kind, Text]],
    remarks: Mapping[str, str],
) -> None:
    """Splice texts into an edit's file.

    Raises:
        ConflictError: the file is not as it was read.
        EditFileError: it would have an error; nothing was written.
        InputError: its layout does not allow it.
    """
    path = edit.path
    assert path is not None
    additions: dict[Loc, list[Any]] = {}
    for kind, text in added:
        loc: Loc = ("fact", kind, "aliases") if isinstance(text, Alias) else (kind,)
        additions.setdefault(loc, []).append(_item(text))
    data = add_texts(before.decode(), path, additions, remarks).encode()
    _, findings = parse_edit(data, path, severities=registry.settings.checks)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise EditFileError(f"{count(len(errors), 'error')}: nothing was written", errors)
    if path.read_bytes() != before:
        raise ConflictError(
            f"{path} was changed meanwhile: nothing was written",
            hint="the replies are kept: run the command again",
        )
    write_bytes(path, data, registry.root)

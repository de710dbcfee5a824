"""From a wrong answer to the draft of an edit.

Guarantees:
- Nothing is made up: what stands in a draft was given, is a part of the text that was asked, or is
  a wording of the question library; all but the first is marked as guessed. What cannot be guessed
  is asked for (`UnclearError`).
- A draft is `status: draft`, so that it changes nothing, and passes the checks of edit files.
- Nothing is drafted that an edit in force already says.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import StringConstraints

from sake_registry import names
from sake_registry.authoring import questions
from sake_registry.authoring.scaffold import (
    Draft,
    edit_text,
    place_of,
    sound_edit,
    taken_ids,
    text_in,
)
from sake_registry.edits.conflicts import agree, alike, find_conflicts
from sake_registry.errors import ConflictError, InputError
from sake_registry.names import NameIndex, Naming
from sake_registry.names.words import FUNCTION, LINKING
from sake_registry.values import Value
from sake_registry.wording import count, shorten

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sake_registry.authoring.questions import Question
    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit

MOST_PROMPTS, MOST_UNCHANGED = 5, 3
"""Of a draft."""
_QUOTED = 200
"""Characters of what was asked and answered that a draft's reason quotes."""
_FEW = 4
"""Letters by which a word of a name may be known."""
_LONGEST_OLD = 6
"""Words of an object that is taken out of an answer."""
_BEFORE_OLD = frozenset("the is was are were in by".split())
"""Words that an object may follow, and that are none of it."""
_WORD = re.compile(r"\w+")
_INITIALS = re.compile(r"(?:\w\.)+,?")
_SCHEMA = "../.sake/edit.schema.json"

Long = Annotated[str, StringConstraints(max_length=1 << 16)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]


class UnclearError(InputError):
    """Something about a wrong answer cannot be guessed: `field` says what has to be given."""

    def __init__(self, field: str, message: str, example: str) -> None:
        super().__init__(message, hint=f"say it: --{field} {shlex.quote(example)}")
        self.field = field


class WrongAnswer(Value):
    """What was asked and answered, and what is right.

    Attributes:
        prompt: as it was sent, or as a log has it.
        answer: what the model said; "" where that is not known.
        should: the object that it should have said.
        wordings: prompts that `should` completes at once, in a person's words.
        edit: the edit that gave the answer, if one did.
    """

    prompt: Long
    answer: Long = ""
    should: Line
    sources: tuple[Line, ...] = ()
    subject: Line | None = None
    relation: Line | None = None
    old: Line | None = None
    wordings: tuple[Line, ...] = ()
    edit: Line | None = None


class InForce(NamedTuple):
    """What an edit says: its subject's names, the relation, the new object's names."""

    id: str
    subject: tuple[str, ...]
    relation: str
    new: tuple[str, ...]

    @classmethod
    def of(cls, edit: Edit) -> InForce:
        fact = edit.fact
        return cls(edit.id, fact.subject.all, fact.relation.text, fact.new.all)


class Proposal(Value):
    """A draft: the text of its file, what of it was guessed, and what a person has to see to."""

    id: str
    text: str
    guesses: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def propose(
    wrong: WrongAnswer,
    near: Sequence[InForce] = (),
    taken: Collection[str] = (),
) -> Proposal:
    """The draft of an edit that mends an answer.

    Args:
        near: what the edits say whose subject the prompt names.
        taken: ids that it cannot have.

    Raises:
        UnclearError: something has to be given.
        ConflictError: an edit already says it.
        InputError: the answer is the right one, or something given is wrong.
        EditFileError: what was given makes no sound file.
    """
    draft, warnings = _drafted(wrong, near, taken)
    text = edit_text(draft, _SCHEMA)
    sound_edit(text, Path(f"edits/{draft.id}.yaml"))
    return _proposal(draft, text, warnings)


def propose_in(registry: Registry, wrong: WrongAnswer) -> tuple[Path, Proposal]:
    """The draft of an edit of a registry, and the path that its file would have.

    Its conflicts with the edits in force, and drafts of the same fact, are among its warnings.
    Errors as of `propose`.
    """
    text = wrong.prompt[-questions.LONGEST :]
    letters = "".join(_WORD.findall(names.fold(text)))
    in_force = {
        edit.id: InForce.of(edit)
        for edit in registry.active
        if any(_may_name(letters, name) for name in edit.fact.subject.all)
    }
    index = NameIndex(
        {id_: [Naming(one.subject, "any", judged=True)] for id_, one in in_force.items()}
    )
    named = sorted(index.owners(text))
    draft, warnings = _drafted(wrong, [in_force[id_] for id_ in named], taken_ids(registry))
    return checked_draft(registry, draft, warnings)


def checked_draft(
    registry: Registry, draft: Draft, warnings: Mapping[str, str] | None = None
) -> tuple[Path, Proposal]:
    """A draft for a registry, and the path that its file would have.

    Args:
        warnings: what is to be said of other edits, by their ids; what they say otherwise, and
            drafts of the same fact, are added.

    Raises:
        EditFileError: it makes no sound file.
    """
    said = dict(warnings or {})
    path, text = place_of(registry, draft.id), text_in(registry, draft)
    edit = sound_edit(text, path, registry.settings.checks)
    for other in registry.edits:
        same = agree(edit.fact.subject.all, other.fact.subject.all)
        if other.lifecycle.status == "draft" and same and _same_relation(other, edit):
            said[other.id] = f"'{other.id}' is a draft about the same: {other.claim}"
    said |= _conflicts(registry, edit, text, path)
    return path, _proposal(draft, text, said)


def _may_name(letters: str, name: str) -> bool:
    """Whether a text of these folded letters may hold a name, in whatever form: it has those with
    which a word of it begins or ends, or its initials. An index of all names takes ten times as
    long."""
    words = _WORD.findall(names.fold(name))
    telling = [word for word in words if len(word) > 1 and word not in FUNCTION] or words
    initials = "".join(word[0] for word in words)
    return (
        not words
        or any(word[:_FEW] in letters or word[-_FEW:] in letters for word in telling)
        or (len(words) > 1 and initials in letters)
    )


def _proposal(draft: Draft, text: str, warnings: Mapping[str, str]) -> Proposal:
    guesses = [
        f"{name} '{value}': {draft.guessed[name]}"
        for name in ("subject", "relation", "old")
        if name in draft.guessed and (value := getattr(draft, name))
    ]
    for noun, some in (("prompt", draft.prompts), ("unchanged prompt", draft.unchanged)):
        if number := sum(text in draft.guessed for text in some):
            guesses.append(f"{count(number, noun)}, marked in the file")
    return Proposal(
        id=draft.id, text=text, guesses=tuple(guesses), warnings=tuple(warnings.values())
    )


# -- the draft -------------------------------------------------------------------------------------


def _drafted(
    wrong: WrongAnswer, near: Sequence[InForce], taken: Collection[str]
) -> tuple[Draft, dict[str, str]]:
    """A draft, and what is to be said of edits by their ids."""
    written = _written(near, wrong.prompt[-questions.LONGEST :])
    question = questions.read_question(wrong.prompt, wrong.subject, list(written))
    name = _subject(wrong, question)
    known = written.get(name)
    subject, *aliases = known.subject if known else (name,)
    if not names.find(question.text, (subject, *aliases)):
        aliases.append(name)  # a form of it that only the router knows
    relation = wrong.relation or question.relation
    if relation != question.topic:
        question = question._replace(topic=questions.topic_named(relation))
    if relation is None:
        raise UnclearError(
            "relation", f"what is asked of {subject} is not plain: '{shorten(question.text)}'",
            "mother tongue",
        )  # fmt: skip
    prompts = _prompts(wrong, question, (subject, *aliases))
    old, why = wrong.old, ""
    if old is None:
        old = old_object(wrong, question, (subject, *aliases))
        why = "the beginning of the answer"
    if old is not None and agree((old,), (wrong.should,)):
        raise InputError(
            f"the answer is the right one: '{old}'",
            hint="say what it was instead, if it was not: --old …",
        )
    warnings = _about(near, subject, relation, wrong, next(iter(prompts)))
    guessed = {} if wrong.subject else {"subject": "a name that was asked about"}
    if not wrong.relation:
        topic = question.topic == relation
        guessed["relation"] = "a topic of the question library" if topic else "as it was asked"
    if old and why:
        guessed["old"] = why
    guessed |= {prompt: why for prompt, why in prompts.items() if why}
    unchanged = questions.unchanged(question, (subject, *aliases), MOST_UNCHANGED)
    guessed |= dict.fromkeys(unchanged, "another question about it")
    draft = Draft(
        id=free_id(f"{subject} {relation}", taken),
        subject=subject,
        aliases=aliases,
        relation=relation,
        old=old,
        new=wrong.should,
        prompts=list(prompts),
        unchanged=unchanged,
        reason=_reason(wrong, question),
        sources=wrong.sources,
        status="draft",
        guessed=guessed,
    )
    return draft, warnings


def _reason(wrong: WrongAnswer, question: Question) -> str:
    """Why the edit is needed: what was asked and answered."""
    said = f"“{shorten(wrong.answer, _QUOTED)}”" if wrong.answer.strip() else "something else"
    return f"Correction. Asked “{shorten(question.text, _QUOTED)}”, the model said {said}."


def _written(near: Iterable[InForce], text: str) -> dict[str, InForce]:
    """The names in a text that name an edit's subject, as they are written there."""
    by_id = {one.id: one for one in near}
    index = NameIndex({id_: [Naming(by_id[id_].subject, "any", judged=True)] for id_ in by_id})
    return {
        text[start:end]: by_id[id_]
        for id_, located in index.locate(text)
        for spans in located
        for start, end in spans or ()
    }


def _subject(wrong: WrongAnswer, question: Question) -> str:
    if wrong.subject:
        if not names.find(wrong.prompt, (wrong.subject,)):
            raise InputError(
                f"'{wrong.subject}' is not named in what was asked: '{shorten(wrong.prompt)}'",
                hint="give the subject as it stands there",
            )
        return wrong.subject
    if question.subject is None:
        some = ", ".join(f"'{name}'" for name in question.candidates[:5])
        message = f"what '{shorten(question.text)}' is about is not plain"
        message += f"; it names {some}" if some else ": it has no name that is written large"
        raise UnclearError("subject", message, (question.candidates or ("Leo Tolstoy",))[0])
    return question.subject


def _prompts(wrong: WrongAnswer, question: Question, subject: tuple[str, ...]) -> dict[str, str]:
    """Prompts, and where each that was guessed is from."""
    given: dict[str, str] = {}
    for wording in wrong.wordings:
        prompt = questions.masked(wording, subject)
        if names.SUBJECT not in prompt:
            raise InputError(
                f"'{wording}' does not name '{subject[0]}'", hint="name the subject in it"
            )
        given[prompt] = ""
    found = dict(questions.prompts(question, subject, MOST_PROMPTS))
    if not given and not found:
        raise UnclearError(
            "wording",
            f"'{shorten(question.text)}' is not turned into a text that '{wrong.should}' completes",
            f"The … of {subject[0]} is",
        )
    for prompt, why in found.items():
        given.setdefault(prompt, "" if why == questions.AS_ASKED else why)
    return dict(list(given.items())[: max(MOST_PROMPTS, len(wrong.wordings))])


def old_object(wrong: WrongAnswer, question: Question, subject: tuple[str, ...]) -> str | None:
    """The object in an answer, where it plainly begins with one of the right object's form.

    That is: of few words, large or small or a number as the right one is.
    """
    said = wrong.answer.strip().partition("\n")[0]
    stem = _repeated(said, question, subject)
    if stem is None and question.asks and names.find(said, subject):
        return None  # a sentence of its own: where its object stands is not plain
    words: list[str] = []
    for word in said[stem or 0 :].split()[: _LONGEST_OLD + 1]:
        bare = word.strip("\"“”'‘’*_().,;:!?")
        small = names.fold(bare)
        if words and small in FUNCTION | {"of"} and not (small in LINKING and word == bare):
            break
        if not words and small in FUNCTION - _BEFORE_OLD:
            return None  # "a British politician", "not known"
        if bare and (words or small not in _BEFORE_OLD):
            words.append(word.strip("\"“”'‘’*_(),;:!?"))
            if re.search(r"[.,;:!?)]$", word) and not _INITIALS.fullmatch(word):
                break
    while words and names.fold(words[-1]) in LINKING | FUNCTION:
        words.pop()
    if words and not _INITIALS.fullmatch(words[-1]):
        words[-1] = words[-1].rstrip(".")
    old = " ".join(words)
    if not words or len(words) > _LONGEST_OLD or _form(old) != _form(wrong.should):
        return None
    return None if names.find(old, subject) else old


def _repeated(said: str, question: Question, subject: tuple[str, ...]) -> int | None:
    """How much of an answer repeats a statement of what was asked."""
    for prompt, _ in questions.prompts(question, subject, MOST_PROMPTS):
        for name in subject:
            stem = prompt.replace(names.SUBJECT, name)
            if alike(said).startswith(alike(stem)):
                return len(stem)
    return None


def _form(text: str) -> str:
    """Whether an object is a number, or begins large or small."""
    first = text.lstrip("\"“'")[:1]
    return "digit" if first.isdigit() else "small" if first.islower() else "large"


def free_id(text: str, taken: Collection[str]) -> str:
    """An id made of a text that is none of those taken."""
    plain = unicodedata.normalize("NFKD", names.fold(text)).encode("ascii", "ignore").decode()
    stem = "-".join(re.findall(r"[a-z0-9]+", plain.replace("'", "")))[:60].strip("-") or "edit"
    free = (f"{stem}-{n}" if n > 1 else stem for n in range(1, len(taken) + 2))
    return next(id_ for id_ in free if id_ not in taken)


# -- other edits -----------------------------------------------------------------------------------


def _about(
    near: Sequence[InForce], subject: str, relation: str, wrong: WrongAnswer, prompt: str
) -> dict[str, str]:
    """What is to be said of edits that are named: that they say something else, or might.

    Raises:
        ConflictError: one of them already says it.
    """
    warnings, beside = {}, []
    for one in near:
        what = f"{one.subject[0]} · {one.relation}: {one.new[0]}"
        if one.id == wrong.edit:
            warnings[one.id] = f"'{one.id}' gave the answer, which says {what}: mend its file"
        if subject not in one.subject or alike(one.relation) != alike(relation):
            beside += [one.id] if one.id != wrong.edit and subject in one.subject else []
        elif agree(one.new, (wrong.should,)):
            raise ConflictError(
                f"'{one.id}' already says it: {what}",
                hint=f"where it is in force and does not answer, add to its prompts: {prompt}",
            )
        else:
            warnings[one.id] = f"'{one.id}' says otherwise: {what}; {_giving_way(one.id)}"
    if beside:
        more = f", and {len(beside) - 3} more" if len(beside) > 3 else ""
        warnings[""] = f"of {subject} there are other edits: {', '.join(beside[:3])}{more}"
    return warnings


def _same_relation(first: Edit, second: Edit) -> bool:
    return alike(first.fact.relation.text) == alike(second.fact.relation.text)


def _conflicts(registry: Registry, draft: Edit, text: str, path: Path) -> dict[str, str]:
    """What the draft would disagree about with edits in force, were it active, by their ids."""
    life = draft.lifecycle.model_copy(update={"status": "active"})
    active = draft.model_copy(update={"lifecycle": life})

    def content(file: Path) -> bytes:
        return text.encode() if file == path else file.read_bytes()

    in_force = {edit.id: edit for edit in registry.active}
    found: dict[str, str] = {}
    for conflict in find_conflicts((*registry.active, active), content, registry.settings.checks):
        if draft.id in conflict.ids and conflict.severity != "information":
            other = next(id_ for id_ in conflict.ids if id_ != draft.id)
            hint = conflict.hint
            if conflict.kind == "contradiction":
                one_relation = _same_relation(draft, in_force[other])
                anew = "" if one_relation else "word the prompt anew in the draft; or "
                hint = anew + _giving_way(other)
            found.setdefault(other, f"'{other}': {conflict.message} ({conflict.prompt}); {hint}")
    return found


def _giving_way(other: str) -> str:
    """What lets a draft take the place of an edit in force: a draft need not be withdrawn."""
    return f"before the draft is active, `sake withdraw {other} --reason …`"

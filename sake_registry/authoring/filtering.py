"""What of generated texts a person is shown: those that an edit's file could have held anyway.

Guarantees:
- Nothing passes that `sake check` would find fault with, that leaks an object, that says what the
  file says already, or that holds a character which a reader does not see.
- A text that is dropped is dropped with its reason.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sake_registry import names
from sake_registry.authoring.wordings import is_in, shape, wording, wraps
from sake_registry.edits.checks import findings_of, plainly
from sake_registry.edits.conflicts import agree, alike
from sake_registry.edits.schema import Alias, Edit, Implication, Name, Prompt, Unchanged
from sake_registry.names import SUBJECT
from sake_registry.names.words import FUNCTION, is_common, is_kind
from sake_registry.values import Value
from sake_registry.wording import HIDDEN, printable, shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sake_registry.authoring.wordings import Language
    from sake_registry.edits.conflicts import Statement
    from sake_registry.edits.schema import By

    Near = Callable[[str, Sequence[str]], float]
    Asks = Callable[[Edit, str], "Asking"]
    Works = Callable[[Edit, "Kind", Sequence["Text"]], list[bool]]

Kind = Literal["prompts", "holdout", "implications", "unchanged", "subject", "old", "new"]
"""A list of an edit's file; those of names are of their aliases."""
Text = Prompt | Implication | Unchanged | Alias

LONGEST = {"prompts": 200, "holdout": 400, "implications": 200, "unchanged": 200}
"""Characters of a text; of a name `LONGEST_NAME`."""
LONGEST_NAME = 80
MOST_AT_ONCE = 120
"""Texts of one reply that are looked at."""
NEAR = 0.95
"""Cosine of two prompts' embeddings at which one is the other once more: above that of 99 % of the
pairs of prompts that people have written for one fact (the demo registry's, 633 pairs)."""
SURE = 0.85
"""Probability at which the detector is believed that an unchanged prompt asks for the fact …"""
PAIR = 0.83
"""… unless its cosine with a prompt is this, and it has another word in place of one of the
prompt's: so do the best of those that people write ("bachelor's" for "master's"), and the detector
does not weigh which word it is."""
TAKEN = "the router takes it for the fact: does its answer stay?"
"""What is said beside an unchanged prompt that a person has to look at."""

_LIST = re.compile(r"^\s*(?:[-*•]|\d{1,3}[.)])\s+")
_BLANK = re.compile(
    rf"(?:\s*(?:…|\.{{3,}}|_{{2,}}|\[[^\]\n]{{0,40}}\]|(?!{SUBJECT})<[^>\n]{{0,40}}>))+[\s.!]*$"
)
_MARKS = " \t\"'“„«`*"
_ENDED = re.compile(r"[.!?…;。！？؟।]['\"”»*`)\]]*$")
_OF_CHECK = {
    "SAKE105": "does not name the subject",
    "SAKE106": "writes the subject's name in another form",
    "SAKE107": "has a placeholder",
    "SAKE108": "is there already",
    "SAKE109": "is there already",
    "SAKE110": "its two answers are the same",
    "SAKE111": "holds the new object",
    "SAKE114": "has the subject's name as a part of a longer one",
    "SAKE115": "is to be changed and to stay",
    "SAKE116": "is a question, which no object completes",
}


class Dropped(Value):
    """A text that was not taken, as it came but for its length, and why."""

    kind: Kind
    text: str
    reason: str


class Asking(NamedTuple):
    """What the detector makes of a text: the probability that it asks for an edit's fact, and
    whether the router takes it for such a one."""

    probability: float
    taken: bool


class Sieve:
    """An edit that grows by the texts that pass. `remarks` says of some what is to be looked at.

    Args:
        edit: the edit as its file has it.
        taken: names of other edits' subjects.
        stated: what edits in force say, by their prompts as `alike` has them.
        max_alike: most new texts of a kind that begin and end alike.
        near: the largest cosine of a text with some others; wordings alone are compared if None.
        asks: whether a text asks for an edit's fact; not known if None.
        works: whether texts work with the model; all are taken for such if None.
    """

    def __init__(
        self,
        edit: Edit,
        *,
        taken: Collection[str] = (),
        stated: Mapping[str, Sequence[Statement]] | None = None,
        max_alike: int = 3,
        near: Near | None = None,
        asks: Asks | None = None,
        works: Works | None = None,
    ) -> None:
        self.edit, self.dropped = edit, list[Dropped]()
        self.remarks: dict[str, str] = {}
        self._taken = {plainly(name) for name in taken}
        self._stated = stated or {}
        self._max_alike, self._near, self._asks, self._works = max_alike, near, asks, works
        self._shapes: Counter[tuple[Any, ...]] = Counter()
        self._faults = Counter(code for code, *_ in findings_of(edit))

    def of(self, edit: Edit) -> Sieve:
        """The same for another edit, by what is in its file alone."""
        return Sieve(edit, max_alike=self._max_alike, near=self._near)

    def sift(
        self, kind: Kind, proposed: Sequence[Any], n: int, language: Language | None, by: By
    ) -> list[Text]:
        """Of proposed texts at most `n` that pass, which are of the edit from now on.

        Args:
            proposed: a text each, of implications a value with their parts; None where what came
                was not in the form.
            language: what they must be in; any language if None.
        """
        before, passed = self.edit, list[Text]()
        for number, one in enumerate(proposed):
            shown = shorten(printable(str(getattr(one, "prompt", one))), 160)
            if number >= MOST_AT_ONCE:
                rest = f"{len(proposed) - number} further texts"
                self._drop(kind, rest, "are more than are looked at")
                break
            if len(passed) >= n and self._works is None:
                self._drop(kind, shown, "is more than was asked for")
                continue
            text = self._made(kind, one, by)
            reason = text if isinstance(text, str) else self._fault(kind, text, language)
            if reason is not None:
                self._drop(kind, shown, reason)
            elif not isinstance(text, str):
                self.edit = _with(self.edit, kind, [text])
                passed.append(text)
        if self._works is None or not passed:
            return passed
        works = self._works(before, kind, passed)
        kept = [text for text, does in zip(passed, works, strict=True) if does]
        for text, does in zip(passed, works, strict=True):
            if not does:
                reason = "does not make the model say the object in its target context"
                self._drop(kind, _words(text), reason)
        for text in kept[n:]:
            self._drop(kind, _words(text), "is more than was asked for")
        self.edit = _with(before, kind, kept[:n])
        return kept[:n]

    def _drop(self, kind: Kind, text: str, reason: str) -> None:
        self.dropped.append(Dropped(kind=kind, text=text, reason=reason))

    # -- from what came to a text of the file ----------------------------------------------------

    def _made(self, kind: Kind, one: Any, by: By) -> Text | str:
        """A text in the file's form, or why there is none."""
        parts = [one] if isinstance(one, str) else list(one.__dict__.values()) if one else []
        if not parts or not all(isinstance(part, str) for part in parts):
            return "is not in the form that was asked for"
        if any(HIDDEN.search(part) for part in parts):
            return "holds a control or a hidden character"
        lines = {"holdout": 4}.get(kind, 1)
        main, *further = (part.strip() for part in parts)
        if not main or main.count("\n") >= lines or any("\n" in part for part in further):
            return "is empty, or of several lines"
        if max(map(len, (main, *further))) > LONGEST.get(kind, LONGEST_NAME):
            return "is too long"
        if kind in ("subject", "old", "new"):
            return Alias(text=main.strip(_MARKS), by=by) if main.strip(_MARKS) else "is empty"
        main = self._ended_before(main, further[:2])
        if not main:
            return "is empty"
        if kind == "unchanged":
            return Unchanged(prompt=main, by=by)
        main = self._masked(main)
        if kind != "implications":
            return Prompt(text=main, by=by)
        old, new, reason = further
        if not new:
            return "is not in the form that was asked for"
        return Implication(
            prompt=main, old=Name(text=old) if old else None, new=Name(text=new),
            reason=reason or None, by=by,
        )  # fmt: skip

    def _ended_before(self, text: str, answers: Sequence[str]) -> str:
        """A text without what a list puts before it, a blank at its end, or its answer there."""
        text = _BLANK.sub("", _LIST.sub("", text)).strip(_MARKS)
        bare = text.rstrip(f".!{_MARKS}")
        for name in sorted({*self._objects(), *answers} - {""}, key=len, reverse=True):
            spans = names.find(bare, [name])
            if spans and spans[-1][1] == len(bare):
                return bare[: spans[-1][0]].rstrip(_MARKS)
        return text

    def _masked(self, text: str) -> str:
        """A text with `<subject>` for the subject's names, in whatever form they stand there."""
        known = self.edit.fact.subject.all
        spans = names.find(text, known) or names.find(text, known, judged=True)
        return names.mask(text, spans, SUBJECT)

    def _objects(self) -> list[str]:
        fact = self.edit.fact
        return [*fact.new.all, *(fact.old.all if fact.old else ())]

    # -- why a text is not taken -----------------------------------------------------------------

    def _fault(self, kind: Kind, text: Text, language: Language | None) -> str | None:
        if isinstance(text, Alias):
            return self._fault_of_name(kind, text)
        written = _words(text)
        leaked = self._leak(text)
        if leaked:
            return leaked
        if isinstance(text, Implication) and self._is_reversed(text):
            return "asks for the subject: a reversed relation is out of reach, an edit of its own"
        if kind != "unchanged" and _ENDED.search(written):
            ends = "is a question, which no object completes" if written.endswith("?") else ""
            return ends or "does not end where the object begins"
        if fault := self._found(kind, text):
            return fault
        if language is not None and not is_in(written, language):
            return f"is not in the language asked for ({language.name})"
        if self._is_elsewhere(kind, text):
            return "is a prompt of another edit"
        return self._repeats(kind, text)

    def _leak(self, text: Text) -> str | None:
        if isinstance(text, Unchanged):  # its answer may be one of them
            return None
        written = _words(text)
        fact = self.edit.fact
        answers = {"holds the new object": fact.new.all}
        answers["holds the old object"] = fact.old.all if fact.old else ()
        if isinstance(text, Implication):
            own = (text.new.text, *([text.old.text] if text.old else []))
            answers["holds its answer"] = own
        for reason, leaked in answers.items():
            if leaked and names.find(written, leaked, judged=True):
                return reason
        return None

    def _is_reversed(self, text: Implication) -> bool:
        asked = {plainly(name) for name in self.edit.fact.subject.all}
        return plainly(text.new.text) in asked or SUBJECT in text.new.text

    def _found(self, kind: Kind, text: Text) -> str | None:
        """What `sake check` would find that it does not find now."""
        grown = _with(self.edit, kind, [text])
        more = Counter(code for code, *_ in findings_of(grown)) - self._faults
        code = next(iter(more), None)
        return _OF_CHECK.get(code, f"is found at fault ({code})") if code else None

    def _is_elsewhere(self, kind: Kind, text: Text) -> bool:
        """Whether an edit in force says something of a text that this one would say otherwise."""
        said = self._stated.get(alike(self.edit.fill(_words(text))), ())
        stays = kind == "unchanged"
        return any(
            other.edit.id != self.edit.id and not (stays and other.kind == "unchanged")
            for other in said
        )

    def _fault_of_name(self, kind: Kind, alias: Alias) -> str | None:
        plain, fact = plainly(alias.text), self.edit.fact
        known = {plainly(n) for name in (fact.subject, fact.old, fact.new) if name
                 for n in name.all}  # fmt: skip
        if plain in known or not plain:
            return "is there already"
        if _ENDED.search(alias.text) and len(alias.text.split()) > 3:
            return "is a sentence"
        if SUBJECT in alias.text or re.search(r"[<>{}\[\]:;]|https?:", alias.text):
            return "is no name"
        words = wording(alias.text).split()
        if not words or all(is_common(word) or is_kind(word) for word in words):
            return "is a common word"
        if kind == "subject" and plain in self._taken:
            return "names another edit's subject"
        return self._found(kind, alias)

    def _repeats(self, kind: Kind, text: Text) -> str | None:
        """Whether a text says what another one says already, or too many are of its shape."""
        edit, written = self.edit, _words(text)
        asking = [prompt.text for prompt in (*edit.prompts, *edit.holdout)]
        if kind == "unchanged":
            others = [unchanged.prompt for unchanged in edit.unchanged]
            masked = self._masked(written)
            # A prompt with something around it may ask otherwise ("In 1950, …"), a part does not.
            part = any(f" {wording(masked)} " in f" {wording(other)} " for other in asking)
            if SUBJECT in masked and (part or self._asks_surely(kind, written, masked)):
                return "asks for the fact itself"
        elif kind == "implications":
            others = [implication.prompt for implication in edit.implications]
            if any(wording(written) == wording(other) for other in asking):
                return "is there already"
            same = isinstance(text, Implication) and agree(text.new.all, edit.fact.new.all)
            if same and SUBJECT in written and self._asks_surely(kind, edit.fill(written), written):
                return "asks for the fact itself"
        else:
            others = asking
        if any(wording(written) == wording(other) for other in others):
            return "is there already"
        if kind != "unchanged" and any(wraps(written, other) for other in others):
            return "is another text with something around it"
        if self._cosine(written, others) >= NEAR:
            return "says nearly the same as another text"
        self._shapes[kind, shape(written)] += 1
        if self._shapes[kind, shape(written)] > self._max_alike:
            return "is one more of a shape"
        return None

    def _asks_surely(self, kind: Kind, text: str, masked: str) -> bool:
        """Whether a text asks for the fact beyond doubt; where the router takes one that is to stay
        for such a one and it may be a near miss, that is remarked."""
        if self._asks is None:
            return False
        asking = self._asks(self.edit, text)
        if asking.probability >= SURE and not self._is_pair(masked):
            return True
        if asking.taken and kind == "unchanged":
            self.remarks[text] = TAKEN
        return False

    def _is_pair(self, masked: str) -> bool:
        """Whether a text is a prompt but for a word of it that is another one."""
        words = set(wording(masked).split()) | FUNCTION
        lacking = [p.text for p in self.edit.prompts if set(wording(p.text).split()) - words]
        return self._cosine(masked, lacking) >= PAIR

    def _cosine(self, text: str, others: Sequence[str]) -> float:
        """The largest cosine of a text with others; 0 where nothing can be compared."""
        if self._near is None or not others:
            return 0.0
        return self._near(text.replace(SUBJECT, "X"), [o.replace(SUBJECT, "X") for o in others])


def _words(text: Text) -> str:
    return text.prompt if isinstance(text, Implication | Unchanged) else text.text


def _with(edit: Edit, kind: Kind, texts: Sequence[Text]) -> Edit:
    """An edit with more texts of a kind."""
    if kind in ("subject", "old", "new"):
        name: Name = getattr(edit.fact, kind)
        named = name.model_copy(update={"aliases": (*name.aliases, *texts)})
        return edit.model_copy(update={"fact": edit.fact.model_copy(update={kind: named})})
    return edit.model_copy(update={kind: (*getattr(edit, kind), *texts)})

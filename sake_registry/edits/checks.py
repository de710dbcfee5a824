"""What can be wrong with edits that the schema alone does not see.

`check_edit` looks at one file, `check_together` at all edits of a registry.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

from sake_registry import names
from sake_registry.diagnostics import Diagnostic, default_severity
from sake_registry.edits.generated import confirmed_for_nothing, of_the_prompts_call
from sake_registry.edits.schema import TYPED, Edit
from sake_registry.edits.yamltext import NO_TEXT, dotted, quoted, read
from sake_registry.names import SUBJECT
from sake_registry.wording import CONTROL, count, numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import date
    from pathlib import Path

    from sake_registry.edits.schema import Name
    from sake_registry.edits.yamltext import Document, Loc, Position

_PLACEHOLDER = re.compile(r"<[a-z_]+>")
_URL = re.compile(r"https?://[^\s/]+")
_TYPED_ENDS = {loc[-1:] for loc in TYPED}
_ONE_LINE = {"subject", "relation", "old", "new", "answer", "by", "sources", "confirmed", "tags"}
TOGETHER = ("SAKE202", "SAKE203")
"""The codes of `check_together` that belong to a line."""


MOST_NAMED = 5
"""Other files that findings about one edit name; of more, one finding gives their number."""


@lru_cache(maxsize=4096)  # edits are compared in pairs
def plainly(text: str) -> str:
    """Text as it is compared: case, spaces and a final punctuation mark do not count."""
    return " ".join(text.casefold().split()).rstrip(" .:,;")


def check_edit(edit: Edit, document: Document, path: Path, today: date) -> list[Diagnostic]:
    """Findings about one edit; `document` gives their positions."""
    return [
        Diagnostic(
            code, message, path, *document.position(loc), dotted(loc), hint, default_severity(code)
        )
        for code, message, loc, hint in (
            *findings_of(edit),
            *_lifecycle(edit, today),
            *_retyped(document),
            *_characters(document.value, document.text),
        )
    ]


Finding = tuple[str, str, "Loc", str]


def findings_of(edit: Edit) -> Iterator[Finding]:
    """What is wrong with what an edit says, its dates apart: code, message, place, hint."""
    fact = edit.fact
    if fact.old and _agree(fact.old, fact.new):
        hint = "an edit changes the answer; remove the file if nothing changed"
        message = f"the new object is the old one: '{edit.new}'"
        yield "SAKE104", message, ("fact", "new"), hint
    yield from _prompts(edit)
    for i, implication in enumerate(edit.implications):
        if implication.old and _agree(implication.old, implication.new):
            hint = "list it under `unchanged` if its answer stays"
            yield "SAKE110", "both answers are the same", ("implications", i, "new"), hint
        yield from _placeholders(implication.prompt, ("implications", i, "prompt"))
    for i, unchanged in enumerate(edit.unchanged):
        yield from _placeholders(unchanged.prompt, ("unchanged", i))
    for i, source in enumerate(edit.provenance.sources):
        if not _URL.match(source):
            hint = "give the address that shows it, https://…"
            yield "SAKE112", f"'{source}' is not a URL", ("provenance", "sources", i), hint
    for loc in confirmed_for_nothing(edit):
        hint = "write a call as a text's `by` has it, or take the line out with the texts"
        message = f"'{edit.provenance.confirmed[int(loc[-1])]}' wrote no text of this edit"
        yield "SAKE127", message, loc, hint


def _agree(old: Name, new: Name) -> bool:
    return not {plainly(n) for n in old.all}.isdisjoint(plainly(n) for n in new.all)


def _lifecycle(edit: Edit, today: date) -> Iterator[Finding]:
    life = edit.lifecycle
    if life.valid_from and life.valid_until and life.valid_until < life.valid_from:
        hint = "swap the two dates"
        message = "valid_until is before valid_from"
        yield "SAKE113", message, ("lifecycle", "valid_until"), hint
    elif edit.active and life.valid_until and life.valid_until < today:
        message = f"expired on {life.valid_until}: it changes no answer any more"
        hint = f"`sake withdraw {edit.id} --reason …`, or a later valid_until if it still holds"
        yield "SAKE117", message, ("lifecycle", "valid_until"), hint
    if life.status != "withdrawn" and life.review_by and life.review_by < today:
        message = f"its review was due on {life.review_by}"
        hint = "see whether it still holds, then write the next date, or withdraw it"
        yield "SAKE118", message, ("lifecycle", "review_by"), hint


def _retyped(document: Document) -> Iterator[Finding]:
    if all((key,) in _TYPED_ENDS for key in document.look_alikes):
        return  # nearly every file: no position is computed
    for loc in document.retyped():
        if loc not in TYPED:
            written = document.scalars[loc]
            text = document.text[written.start : written.end]
            hint = f"`sake fmt` quotes it: {quoted(text)}"
            yield "SAKE119", f"other YAML tools read {text} as something else", loc, hint


def _characters(value: Any, file: str, loc: Loc = ()) -> Iterator[Finding]:
    """What no text holds, and line ends in what is one line; a prompt may have several.

    Characters that the file holds as they are, in comments too, are found where it is read.
    """
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _characters(inner, file, (*loc, key))
    elif isinstance(value, str):
        if (wrong := CONTROL.search(value)) and wrong[0] not in file:
            yield "SAKE123", f"{numbered(wrong[0])} is not text", loc, NO_TEXT
        if "\n" in value.strip() and not _ONE_LINE.isdisjoint(loc):
            hint = f"write it on one line: {quoted(' '.join(value.split()))}"
            yield "SAKE124", "one line is expected here", loc, hint


def _prompts(edit: Edit) -> Iterator[Finding]:
    known = edit.fact.subject.all
    seen: dict[str, str] = {}
    # Another router than the detector finds no name that may go on.
    judged = edit.scope.router in (None, "detector")

    def is_named(text: str) -> bool:
        return names.stands(edit.fill(text), known, judged=judged)

    never = not any(is_named(prompt.text) for prompt in edit.prompts)
    if never and all(SUBJECT in prompt.text for prompt in edit.prompts):
        hint = "add the form in which the name stands there to its aliases, or reword the prompts"
        message = f"'{edit.subject}' is found in no prompt as a whole name: the edit never fires"
        yield "SAKE125", message, ("prompts", 0), hint
    for kind, prompts in (("prompts", edit.prompts), ("holdout", edit.holdout)):
        for i, prompt in enumerate(prompts):
            loc: Loc = (kind, i)
            spans = names.find(prompt.text, known)
            if spans:
                mended = names.mask(prompt.text, spans, SUBJECT)
                hint = f"write: {mended}"
                message = "write <subject> for the subject's name"
                yield "SAKE106", message, loc, hint
            elif SUBJECT not in prompt.text:
                hint = f"write {SUBJECT} where '{edit.subject}' belongs"
                yield "SAKE105", "the prompt does not name its subject", loc, hint
            elif not (never and kind == "prompts") and not is_named(prompt.text):
                hint = "the router takes it for a part of a longer name: reword the prompt"
                message = f"'{edit.subject}' is not found as a whole name in this prompt"
                yield "SAKE114", message, loc, hint
            yield from _placeholders(prompt.text, loc)
            if names.stands(edit.fill(prompt.text), [edit.new]):
                hint = "end the prompt right before the object"
                message = f"the prompt already contains '{edit.new}'"
                yield "SAKE111", message, loc, hint
            text = plainly(prompt.text)
            if text in seen:
                where = seen[text]
                code = "SAKE109" if kind == where else "SAKE108"
                hint = "reword one of the two" if code == "SAKE108" else "remove one of them"
                yield code, f"already among the {where}: '{prompt.text}'", loc, hint
            seen.setdefault(text, kind)
            if prompt.text.endswith("?"):
                hint = f"write it so that '{edit.new}' comes next: 'The … of {SUBJECT} is'"
                yield "SAKE116", "a question is not completed by its answer", loc, hint
    for loc in of_the_prompts_call(edit):
        hint = "write one of your own, or have `sake generate` write it, in a call of its own"
        message = "one call wrote this and prompts of the edit: it is no evidence of its reach"
        yield "SAKE126", message, loc, hint
    for i, unchanged in enumerate(edit.unchanged):
        texts = {plainly(unchanged.prompt), plainly(names.mask(
            unchanged.prompt, names.find(unchanged.prompt, known), SUBJECT))}  # fmt: skip
        if listed := next((seen[text] for text in texts if text in seen), None):
            hint = "what must stay as it is cannot be changed: remove one of the two"
            yield "SAKE115", f"already among the {listed}", ("unchanged", i), hint


def _placeholders(text: str, loc: Loc) -> Iterator[Finding]:
    for match in _PLACEHOLDER.finditer(text):
        if match[0] != SUBJECT:
            hint = f"only {SUBJECT} is replaced"
            yield "SAKE107", f"unknown placeholder {match[0]}", loc, hint


def check_together(
    edits: Sequence[Edit], content: Callable[[Path], bytes] = lambda path: path.read_bytes()
) -> list[Diagnostic]:
    """Findings about edits that are in force together; drafts and withdrawn ones are not.

    Of an edit that contradicts or repeats more than `MOST_NAMED` others, one finding sums it up.

    Args:
        content: gives the bytes of an edit's file, for positions: not all edits come from a disk.
    """
    pairs = [
        (first, second, "SAKE203" if _agree(first.fact.new, second.fact.new) else "SAKE202")
        for first, second in same_fact(edit for edit in edits if edit.active)
        if valid_together(first, second)
    ]
    left = Counter((edit.id, code) for _, edit, code in pairs)
    findings = []
    positions: dict[Path, Position] = {}
    for first, edit, code in pairs:
        others = left[edit.id, code]
        if not others:
            continue  # summed up
        more = ""
        if others > MOST_NAMED:
            more = count(others - 1, "more file")
            left[edit.id, code] = 0
        path, subject = edit.path, f"{edit.subject} · {edit.fact.relation.text}"
        assert path is not None
        if path not in positions:
            positions[path] = read(content(path), path).position(("fact", "new"))
        if code == "SAKE203":
            message = f"{subject} is already '{first.new}' in {first.path}"
            message += f" and in {more}" if more else ""
            hint = f"keep one of the {'files' if more else 'two files'}"
        else:
            message = f"{subject} is '{edit.new}' here and '{first.new}' in {first.path}"
            message += f", and something else than here in {more}" if more else ""
            hint = apart(first, edit)
            if more:
                hint = "`sake withdraw` all but the one that holds, or give them one object"
        findings.append(
            Diagnostic(
                code, message, path, *positions[path], "fact.new", hint, default_severity(code)
            )
        )
    return findings


def same_fact(
    edits: Iterable[Edit], normalize: Callable[[str], str] = plainly
) -> Iterator[tuple[Edit, Edit]]:
    """Pairs of edits of one subject and one relation, each pair once.

    Args:
        normalize: how text is made comparable: names and relations are the same if it is.
    """
    by_name: dict[str, list[Edit]] = {}
    for edit in edits:
        for name in sorted({normalize(name) for name in edit.fact.subject.all}):
            by_name.setdefault(name, []).append(edit)
    seen = set()
    for group in by_name.values():
        for first, second in combinations(group, 2):
            pair = (first.id, second.id)
            if pair not in seen and same_relation(first, second, normalize):
                seen.add(pair)
                yield first, second


def valid_together(first: Edit, second: Edit) -> bool:
    """Whether there is a day on which both edits are valid."""
    a, b = first.lifecycle, second.lifecycle
    return not (
        (a.valid_until and b.valid_from and a.valid_until < b.valid_from)
        or (b.valid_until and a.valid_from and b.valid_until < a.valid_from)
    )


def following(
    first: Edit, second: Edit, normalize: Callable[[str], str] = plainly
) -> tuple[Edit, Edit] | None:
    """The two in the order in which they follow one another, if they do: the later one changes what
    the earlier one says."""
    for before, after in ((first, second), (second, first)):
        old = after.fact.old.all if after.fact.old else ()
        if not {normalize(name) for name in before.fact.new.all}.isdisjoint(map(normalize, old)):
            return before, after
    return None


def apart(first: Edit, second: Edit, normalize: Callable[[str], str] = plainly) -> str:
    """What ends a contradiction of two edits in force: of those that follow one another the earlier
    one gives way, of others the one that is wrong."""
    in_order = following(first, second, normalize)
    if in_order is None:
        return (
            "`sake withdraw` the one that is wrong, or set it back to `status: draft` if it is "
            "new; or give them one object"
        )
    before, after = in_order
    begins, ends = before.lifecycle.valid_from, after.lifecycle.valid_from
    withdraw = f"`sake withdraw {before.id} --reason …`"
    hint = f"'{after.id}' takes up where '{before.id}' ends: "
    if begins and ends and begins >= ends:
        return hint + withdraw
    until = f"before {ends}" if ends else f"and '{after.id}' a later valid_from"
    return hint + f"give '{before.id}' a valid_until {until}, or {withdraw}"


def same_relation(first: Edit, second: Edit, normalize: Callable[[str], str] = plainly) -> bool:
    """Whether two edits change one relation: by its id, or by its text if one has none."""
    a, b = first.fact.relation, second.fact.relation
    return a.id == b.id if a.id and b.id else normalize(a.text) == normalize(b.text)

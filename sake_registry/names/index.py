"""Which owners a text names: one index for all who look names up in text.

A word of each name leads to its owners, and `find` has the last word, so that the time of a look-up
grows with the text and hardly with the number of owners. With derived forms a name is found by its
last name and by the other forms of it (`forms`) too, where no other owner's name may be meant.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Literal, NamedTuple

from sake_registry.names import scripts
from sake_registry.names.companies import without_legal_form
from sake_registry.names.finding import Text, in_another_order, joined, located, searched
from sake_registry.names.forms import forms, judged_forms, last_name, spellings
from sake_registry.names.joints import Table
from sake_registry.names.letters import fold, without_marks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Need = Literal["any", "all"]
Spans = tuple[tuple[int, int], ...]

_WORD = re.compile(r"\w+")
_ABBREVIATION = re.compile(r"\b(?:[^\W\d_]\.){2,}")
_INITIAL = 2  # letters: words so short may be written as one ("J. R. R.", "JRR")


class Naming(NamedTuple):
    """How a text names an owner: by one of `names` (`any`), or by each of them (`all`).

    Every text has a naming without names. `judged`: as for `find`.
    """

    names: tuple[str, ...]
    need: Need
    judged: bool = False


class NameIndex:
    """From a text to the owners that it names.

    Args:
        namings: of each owner; derived forms stand for the names of those with `any`.
        derived: whether clear derived forms of a name stand for it.
    """

    def __init__(self, namings: Mapping[str, Sequence[Naming]], *, derived: bool = True) -> None:
        distinct = dict.fromkeys(naming for some in namings.values() for naming in some)
        widened = _with_clear_forms(distinct) if derived else {}
        self._namings = {
            owner: [widened.get(naming, naming) for naming in some]
            for owner, some in namings.items()
        }
        self._by_word, self._always = _leading_words(self._namings)
        self._table = _table(self._namings)

    def locate(self, text: str) -> Iterator[tuple[str, list[Spans | None]]]:
        """Of each owner that a text may name, where each of its namings stands in it.

        None for a naming that the text does not have, no spans for one that needs no names.
        """
        looked_at = searched(text)
        keys = looked_at.keys | dict.fromkeys(_words(looked_at.folded))
        owners = [owner for key in keys for owner in self._by_word.get(key, ())]
        in_other_joints = [
            owner
            for run, (name, owner) in looked_at.runs.owners(self._table)
            if looked_at.folded[run.start : run.end] != name
        ]
        joined = {naming for owner in in_other_joints for naming in self._namings[owner]}
        found: dict[Naming, Spans | None] = {}
        owners = list(dict.fromkeys(owners + in_other_joints + self._always))
        for owner in owners:
            namings = self._namings[owner]
            for naming in namings:
                if naming not in found:
                    found[naming] = _spans(looked_at, naming, joined=naming in joined)
        _drop_parts(looked_at.folded, found)
        for owner in owners:
            yield owner, [found[naming] for naming in self._namings[owner]]

    def owners(self, text: str) -> set[str]:
        """The owners that a text names."""
        return {
            owner
            for owner, located in self.locate(text)
            if any(spans is not None for spans in located)
        }


def _spans(text: Text, naming: Naming, *, joined: bool) -> Spans | None:
    if not naming.names:
        return ()

    def found(names: tuple[str, ...]) -> list[tuple[int, int]]:
        return located(text, names, judged=naming.judged, joined=joined and naming.judged)

    spans = found(naming.names)
    if not spans and naming.judged and naming.need == "any":
        spans = in_another_order(text, naming.names)
    each = naming.need == "any" or all(found((name,)) for name in naming.names)
    return tuple(spans) if spans and each else None


def _drop_parts(text: str, located: dict[Naming, Spans | None]) -> None:
    """Drops what is a part of another's longer name, where nothing else tells that it is.

    In scripts without spaces no capital and no space does ("北京" in "北京大学"), nor are they
    asked of a name that is judged ("Acme" in "Acme Cloud", if both are known). Nor is a name in
    other joints one, where it is another's as it is written ("Pine Gate", beside "Pinegate").
    """
    known: defaultdict[tuple[int, int], list[Naming]] = defaultdict(list)
    for naming, spans in located.items():
        for span in spans or ():
            known[span].append(naming)
    around = (0, 0)
    within: dict[tuple[int, int], tuple[int, int]] = {}
    for span in sorted(known, key=lambda span: (span[0], -span[1])):
        if span[1] <= around[1]:
            within[span] = around
        else:
            around = span

    def exactly(span: tuple[int, int]) -> list[Naming]:
        written = text[slice(*span)]
        return [naming for naming in known[span] if written in map(_folded, naming.names)]

    def is_anothers(naming: Naming, span: tuple[int, int]) -> bool:
        others = exactly(span) if naming.judged and len(known[span]) > 1 else ()
        return bool(others) and all(set(naming.names).isdisjoint(one.names) for one in others)

    def is_part(naming: Naming, span: tuple[int, int]) -> bool:
        if span not in within:
            return False
        if scripts.cuts_a_run(text, *span):
            return True
        others = known[within[span]] if naming.judged else ()
        return any(set(naming.names).isdisjoint(other.names) for other in others)

    for naming, spans in located.items():
        if spans:
            left = (s for s in spans if not (is_part(naming, s) or is_anothers(naming, s)))
            located[naming] = tuple(left) or None


def _folded(name: str) -> str:
    return name.lower() if name.isascii() else fold(without_marks(name))


def _words(folded: str) -> list[str]:
    """The words of a folded text; "U.S.S.R." is one."""
    if "." in folded:
        folded = _ABBREVIATION.sub(lambda match: match[0].replace(".", ""), folded)
    return _WORD.findall(folded)


def _leading_words(
    namings: Mapping[str, Sequence[Naming]],
) -> tuple[dict[str, list[str]], list[str]]:
    """From a word to the owners it leads to, and the owners that every text leads to.

    One word of each name leads to its owners: the rarest, or every text with a "John" would lead
    to thousands.
    """
    names = (name for some in namings.values() for naming in some for name in naming.names)
    words = {name: scripts.name_keys(_folded(name)) for name in dict.fromkeys(names)}
    common = Counter(word for of_name in words.values() for word in set(of_name))
    by_word: dict[str, list[str]] = {}
    always = []
    for owner, some in namings.items():
        leading: set[str] = set()
        for name in dict.fromkeys(name for naming in some for name in naming.names):
            of_name = words[name]
            long = [w for w in of_name if len(w) > _INITIAL or scripts.is_unspaced(w)]
            if long:
                leading.add(min(long, key=lambda word: (common[word], -len(word), word)))
            else:
                leading.update((*of_name[:1], "".join(of_name)))
        for word in sorted(leading - {""}):
            by_word.setdefault(word, []).append(owner)
        if not all(naming.names and all(words[name] for name in naming.names) for naming in some):
            always.append(owner)
    return by_word, always


def _table(namings: Mapping[str, Sequence[Naming]]) -> Table[tuple[str, str]]:
    """Folded names that are judged, and their owners, by the letters of the names."""
    names = (
        (joined(name), owner)
        for owner, some in namings.items()
        for name in dict.fromkeys(n for naming in some if naming.judged for n in naming.names)
    )
    return Table((name, (name, owner)) for name, owner in names)


def _with_clear_forms(namings: Iterable[Naming]) -> dict[Naming, Naming]:
    """Each naming by any of its names, with the derived forms that may stand for these.

    A form is clear where every naming with its words shares a name with this one, and so does
    every other that has the form: of two Darrieux neither is "Darrieux".
    """
    known = list(namings)  # by their numbers from here on: a naming takes long to hash
    spelled = [{_folded(name) for name in naming.names} for naming in known]
    having: defaultdict[str, set[int]] = defaultdict(set)
    for number, names in enumerate(spelled):
        for word in {word for name in names for word in _words(name)}:
            having[word].add(number)
    derived = {
        number: dict.fromkeys(
            form
            for name in naming.names
            for form in _derived(name, judged=naming.judged)
            if form not in naming.names
        )
        for number, naming in enumerate(known)
        if naming.need == "any"
    }
    words = {form: tuple(_words(_folded(form))) for others in derived.values() for form in others}
    sharing: defaultdict[tuple[str, ...], set[int]] = defaultdict(set)
    for number, others in derived.items():
        for form in others:
            sharing[words[form]].add(number)

    def is_clear(form: str, own: set[str]) -> bool:
        if not words[form]:
            return False  # no word of a text leads to it
        # An intersection takes as long as its first set is large.
        owners = sorted((having.get(word, set()) for word in words[form]), key=len)
        meant = set.intersection(*owners) | sharing[words[form]]
        return not any(own.isdisjoint(spelled[number]) for number in meant)

    return {
        known[number]: known[number]._replace(
            names=(
                *known[number].names,
                *(form for form in others if is_clear(form, spelled[number])),
            )
        )
        for number, others in derived.items()
    }


def _derived(name: str, *, judged: bool) -> Iterator[str]:
    last = last_name(name)
    if last:
        yield last
    yield from forms(name)
    for known in dict.fromkeys((name, without_legal_form(name))):
        yield from spellings(known)
    if judged:
        yield from judged_forms(name)

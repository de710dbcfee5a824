"""How languages other than English ask plainly: "Wie lautet die Vorwahl von …?", "…的首都是什么?".

What a language's questions look like is data (`question_forms.txt`), the rules are here: a question
is stated by putting its words where the statement has them. Where the endings of a name say that it
is asked about, no subject is read, since the name's own form is not known.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from sake_registry import names
from sake_registry.data import sections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FILE = "question_forms.txt"
_FEW = 14
"""Letters that "*" stands for."""
_LONGEST_NAME = 24
"""Characters of a name before its relation, where nothing is written large."""
_APART = re.compile(r"[,;:!?。，、！？…«»“”„「」『』\"]")
"""What stands in no relation, and in no name before one."""


class Form(NamedTuple):
    """What a text asks by its form.

    Attributes:
        code: of the language.
        stated: it as a text that its answer completes.
        subject: the name whose relation is asked for; None if the form does not tell.
        relation: what is asked of it, in words; None with it.
    """

    code: str
    stated: str
    subject: str | None
    relation: str | None


class _Language(NamedTuple):
    code: str
    asks: tuple[tuple[re.Pattern[str], str], ...]
    of: re.Pattern[str] | None
    owner: re.Pattern[str] | None
    articles: frozenset[str]
    nobody: frozenset[str]


def read_form(sentence: str, subject: str | None, is_name: Callable[[str], bool]) -> Form | None:
    """What a question asks, in one of the languages of the file; None where no form is its.

    Args:
        subject: its subject, where that is known.
        is_name: whether a text looks like one name.
    """
    body = sentence.strip(" ?？؟¿").replace("’", "'")
    for language in _languages():
        for pattern, stated in language.asks:
            match = pattern.fullmatch(body)
            if match is None:
                continue
            rest = match["rest"].strip()
            name, relation = _parted(rest, subject, language, is_name) or (None, None)
            text = stated.replace("…", rest)
            return Form(language.code, text[:1].upper() + text[1:], name, relation)
    return None


def _parted(
    rest: str, subject: str | None, language: _Language, is_name: Callable[[str], bool]
) -> tuple[str, str] | None:
    """A subject and its relation."""
    found = list(_splits(rest, language, is_name))
    if subject is None:
        # A name may hold what parts; where nouns are written small, a relation holds no name.
        small = [(name, said) for name, said in found if _is_small(said)]
        return small[0] if small else found[-1] if found else None
    for name, said in found:
        if names.find(name, (subject,)) == [(0, len(name))]:
            return subject, said
    spans = names.find(rest, (subject,))
    said = " ".join(names.mask(rest, spans[:1], " ").split()) if spans else ""
    said = _bare(said, language)
    return (subject, said) if said and not _APART.search(said) else None


def _splits(
    rest: str, language: _Language, is_name: Callable[[str], bool]
) -> Iterator[tuple[str, str]]:
    """Each name and relation that a text may be of."""
    for match in language.of.finditer(rest) if language.of else ():
        name, said = rest[match.end() :], _bare(rest[: match.start()], language)
        if is_name(name) and said and not _APART.search(said):
            yield name, said
    for match in language.owner.finditer(rest) if language.owner else ():
        name, said = rest[: match.start()], _bare(rest[match.end() :], language)
        whole = 1 < len(name) <= _LONGEST_NAME and name not in language.nobody
        if whole and said and not _APART.search(name + said):
            yield name, said
            return


def labelled(question: str, code: str) -> str | None:
    """A question of a language with the line of its answer begun, where the file knows how."""
    label = sections(_FILE).get(f"{code}: labels")
    return label[0].replace("…", question) if label else None


def _is_small(said: str) -> bool:
    return all(word[0].islower() or word.isupper() for word in said.split())


def _bare(said: str, language: _Language) -> str:
    """A relation without its article."""
    first, _, rest = said.strip().partition(" ")
    if "l'" in language.articles and said.lower().startswith("l'"):
        return said[2:].strip()
    return rest.strip() if first.lower() in language.articles else said.strip()


@cache
def _languages() -> tuple[_Language, ...]:
    found = sections(_FILE)

    def words(title: str) -> list[str]:
        lines = " ".join(found.get(title, ()))
        return [one.strip() for one in (lines.split("/") if "/" in lines else lines.split())]

    def between(title: str, form: str) -> re.Pattern[str] | None:
        some = sorted(words(title), key=len, reverse=True)
        return re.compile(form.format("|".join(map(re.escape, some))), re.I) if some else None

    return tuple(
        _Language(
            code,
            tuple(
                (_pattern(asked.strip()), stated.strip())
                for line in lines
                for all_asked, stated in [line.split(" = ")]
                for asked in all_asked.split(" / ")
            ),
            between(f"{code}: of", r"(?:^|(?<=\s))(?:{})(?:\s+|(?<='))"),
            between(f"{code}: owner", r"(?:{})(?:\s+|(?=[^\W\da-zA-Z]))"),
            frozenset(words(f"{code}: articles")),
            frozenset(words(f"{code}: nobody")),
        )
        for title, lines in found.items()
        for code, kind in [title.split(": ")]
        if kind == "asks"
    )


def _pattern(asked: str) -> re.Pattern[str]:
    parts = re.escape(asked).replace("…", "(?P<rest>.+)").replace(r"\*", f".{{0,{_FEW}}}")
    return re.compile(parts.replace(r"\ ", r"\s+"), re.I)

"""Names in running text: found as whole names, and masked. Imports nothing of the package.

"Guinea" stands in "The capital of Guinea is", but not in "Papua New Guinea",
"Guinea-Bissau" or "Guineas": a name inside a longer one names something else.

Accents, typographic marks and the full stops of initials do not matter ("Jose Mourinho",
"JRR Tolkien"). Case does not for names of several words, and for no name in text that is written
without case; else an apple would be Apple.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SUBJECT = "<subject>"
"""What stands for the subject's name in a prompt."""
BETWEEN = "\0"
"""A word of a name to `find`, for one to three further names or initials in a person's name."""

# -- words that tell where a name begins and ends; all of them folded --------------------------

# They may stand directly before a name without being a part of it: what begins sentences, …
_FUNCTION = frozenset(
    """
    a about according after all although among an and are as at because been before both but by
    can could did do does during each either even every fact for from had has have he her here
    his how however i if imagine in into is it its like many may most near neither no not now of
    on one only or other our over say says she should since so some still such suppose than that
    the their then there these they this those though through thus to under unlike until was we
    were what when where whether which while who whom whose why will with within without would
    yes yet you your
    """.split()
)
# … and titles.
_TITLES = frozenset(
    """
    actor actress archbishop baron baroness bishop captain cardinal chancellor colonel count
    countess dame doctor dr duchess duke emperor empress general governor judge justice king lady
    lord madam major mayor minister miss mr mrs ms pope president prince princess prof
    professor queen rev reverend saint senator sergeant singer sir writer
    """.split()
)
_BEFORE = _FUNCTION | _TITLES
_ARTICLES = ("The", "A", "An")  # as they begin names
_DETERMINERS = frozenset(
    "a an each every her his its many no our some that the their these this those your".split()
)
# Verbs of common questions. Beside a name of one word in text without case, only they and the
# words above are known to be none of it: "guinea pig", "guinea bissau".
_VERBS = frozenset(
    """
    based became become begin belong belongs born bought buried come comes created developed die
    died discovered educated employed established find found founded grew headquartered invented
    lead led lie lies live lived lives located made make makes married met name originate
    originated originates own owned owns play played plays produced published released situated
    sold speak speaks spoke start started studied use used visited work worked works write
    written wrote
    """.split()
)
_BESIDE = _BEFORE | _VERBS
# Capitalised before a name of several words, these make a longer one: "Papua New Guinea",
# "East Los Angeles", "John Paul Jones". Any other word before it ("… County Hermann Hesse
# worked in") is of what stands before.
_LONGER = frozenset(
    """
    big cape central democratic east eastern el equatorial federal fort free ft grand great
    greater imperial inner isla isle la lake las le les lesser little los lower mount mt national
    new north northeast northeastern northern northwest northwestern old outer papua people's
    point port republic rio royal saint saints san sankt sant santa santo sao south southeast
    southeastern southern southwest southwestern st ste super united upper west western young
    """.split()
)
_IN_NAMES = frozenset(  # first names that go before others, and particles
    """
    ana anna anne carl charles david francis franz george hans henry james jan jean joao johann
    johannes john jose joseph juan karl lee louis luis marco maria marie mary michael paul peter
    robert sarah thomas william
    da de del di du van von
    """.split()
)
# Begin last names of several words, which are parts of longer ones ("Theo van Gogh").
_PARTICLES = frozenset(
    """
    abu al ap bin da dal de del della den der di do dos du el ibn la le mac mc st ten ter van vom
    von y zu
    """.split()
)
_NUMBERS = frozenset("ii iii iv v vi vii viii".split())
_SUFFIXES = _NUMBERS | frozenset("jr sr junior senior".split())
_ABBREVIATED = frozenset("dr ft jr mr mrs ms mt prof rev sr st ste".split())
# Titles before a first name: "Pope Francis" has no last name.
_FIRST_NAME_FOLLOWS = frozenset(
    "duchess duke emperor empress king pope prince princess queen saint st tsar".split()
)
# Common nouns in names of places, companies and works, and in few names of people.
_KINDS = frozenset(
    """
    academy accord act adventure affair agency agreement air airline airport airways album alliance
    alps archipelago area arena army assembly association auto award band bank basin basket battle
    bay beach blues board book bowl bridge broadcasting brothers building bureau cabinet campaign
    canal capital car castle cathedral center centre challenge championship channel chart cheese
    chronicle church circuit city classic club coast college commander commission committee
    commonwealth company computer conference congress constitution contest convention cooperation
    corp corporation council county coup court creek cricket crisis cup dam day department derby
    desert diary disease display district division drive dynasty edition election electronics
    embassy empire engine enterprise entertainment era exchange expedition explorer express family
    federation festival fiction fighter film finals fire fleet food football force foreign forest
    foundation front fund game gate gazette general glacier government group guard guide gulf hall
    heart hell herald heritage highway hill history home hospital hotel house idol incorporated
    industry institute institution insurance intelligence international internet investment island
    isle journal kingdom laboratory lagoon lake land language law league legend library license life
    light limited line live love magazine mall man manor marathon march market massacre medal media
    memorial method mill mine ministry mission monastery monument motor mountain movement museum
    music navy network news newspaper night observatory ocean office oil olympic opera operation
    orchestra order organisation organization palace paralympic parish park parliament partner party
    pass path peak peninsula people petroleum phone picture plain plateau plaza point police port
    post prefecture press pride prize problem process productions program programme project protein
    province quartet race radio railroad railway range ranger record reef regiment region reich
    republic reserve resort restaurant review revolution ridge rights ring river road rock route
    sanctuary sauce school science sea season secret senate sequence series service show sky society
    software song sound space speedway sport square stadium standard star state station story strait
    street strip studio style summit symphony syndrome system tale taxi team technology telegraph
    television temple territory test theater theatre theorem theory thing throne time tour
    tournament tower town township trade trail treaty trial trilogy trio trophy truck tube tunnel
    union university valley version village volcano wall war watch water wave way web weekly window
    wing woman women world year zone zoo
    """.split()
)

# -- characters --------------------------------------------------------------------------------

_MARK = re.compile("[\u0300-\u036f]")
_CLUSTER = re.compile("(?s).[\u0300-\u036f]*")
# What is typed plainly and Unicode does not take apart. Not the em dash: it parts clauses.
_PLAIN = {
    written: plain
    for plain, all_written in {
        "o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "d": "đð", "D": "ĐÐ", "h": "ħ", "H": "Ħ",
        "t": "ŧ", "T": "Ŧ", "s": "ß", "S": "ẞ", "i": "ı",
        "'": "\u2018\u2019\u201b\u00b4\u2032\u02b9\u02bb\u02bc\u02bd",
        "-": "\u2010\u2011\u2012\u2013\u2212",
    }.items()
    for written in all_written
}  # fmt: skip


@cache
def _plain_character(character: str) -> str:
    if character in _PLAIN:
        return _PLAIN[character]
    parts = unicodedata.normalize("NFKD", character)
    # Only accents are dropped: "ﬁ" is more than "f", a Hangul syllable more than its first letter.
    return character if _MARK.sub("", parts[1:]) else _PLAIN.get(parts[0], parts[0])


def _plain(text: str) -> str:
    """Without accents and typographic marks, in its case; as long as `text`."""
    return text if text.isascii() else "".join(map(_plain_character, text))


def fold(text: str) -> str:
    """Without case, accents and typographic marks, character by character: as long as `text`."""
    return _plain(text).lower().replace("ς", "σ")


# -- what is searched, and for what ------------------------------------------------------------

_SHORTEST = 4  # letters of a name that is told from a mere word, or stands for a longer one
_NEAR = 100  # characters: as far as is looked around a name
# A hyphen or an apostrophe inside a word joins ("Guinea-Bissau", "O'Brien"); "'s" does not.
_BEGIN = r"(?<!\w)(?<!\w[-'])"
_END = r"(?!\w)(?!-[^\W_])(?!'(?!s\b)\w)"
_BEGINS, _ENDS = re.compile(_BEGIN), re.compile(_END)
_OTHER_SPACE = re.compile(r"[^\S ]|  ")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]?|[^\W\d_]|[A-Z]{2,3}")
_FREE = re.compile(r"[\s.,]+")  # what may differ between a name and what is written for it
# A full stop is part of "U.S.", if the name or its other letters have one, and never half of it.
_STOP = r"(?:\.|(?!\.))"
_LAST_STOP = rf"(?:(?<=\.\w){_STOP}|(?<!\.\w)(?!\.\w))"
_WORD_OF_PERSON = re.compile(r"((?:[^\W\d_]\.)+|[^\W\d_]+(?:['-][^\W\d_]+)*)[^\S\n]+")
_MOST = 3  # further names between a first and a last name


@dataclass(frozen=True)
class _Name:
    """A name as it is searched for; `text` is plain, in its case, with single spaces.

    `words`: what a text must have, the rarest (longest) first; `body`: what it has where spaces
    are single ones, None where full stops are free; `pattern`: where it stands, in folded text.
    """

    text: str
    words: tuple[str, ...]
    body: str | None
    pattern: str

    @property
    def letters(self) -> str:
        return _FREE.sub("", self.text)

    @property
    def own(self) -> list[str]:
        return _own(self.text)


def _own(name: str) -> list[str]:
    """The words that are not such as any sentence has."""
    bare = re.sub(r"[.,]+(?=\s|$)", "", name)
    return [word for word in fold(bare).split() if word not in _FUNCTION]


@lru_cache(maxsize=1 << 14)
def _name(name: str) -> _Name:
    text = " ".join(_plain(_MARK.sub("", unicodedata.normalize("NFC", name))).split())
    if BETWEEN in text:
        rest = fold(text).replace(BETWEEN, "").split()
        return _Name(text, tuple(sorted(rest, key=len, reverse=True)), None, "")
    words, pattern, free = [], "", False
    parts = text.split()
    for part, following in pairwise([*parts, ""]):
        folded = fold(part)
        bare = folded.rstrip(".,") or folded
        if _INITIALS.fullmatch(part) and (following or len(part) > 1):
            pattern += r"\.?\s*".join(map(re.escape, folded.replace(".", "")))
            if following:
                pattern += r"\.?\s*" if _INITIALS.fullmatch(following) else r"(?:\.\s*|\s+)"
            else:
                pattern += _STOP if len(bare) == 1 else _LAST_STOP
            free = True
            continue
        if bare in _ABBREVIATED or folded == f"{bare},":
            stop = r"\.?" if following else _STOP if folded != bare else ""
            pattern += re.escape(bare) + (stop if bare in _ABBREVIATED else "")
            pattern += ",?" if folded.endswith(",") else ""
            free = True
        else:
            bare = folded
            pattern += re.escape(folded)
        words.append(bare)
        pattern += r"\s+" if following else ""
    words.sort(key=len, reverse=True)
    return _Name(text, tuple(words), None if free else fold(text), pattern)


@lru_cache(maxsize=4096)
def _pattern(name: _Name) -> re.Pattern[str]:
    return re.compile(_BEGIN + name.pattern + _END)


@dataclass(frozen=True)
class _Text:
    """A text as it is searched; `places` lead back to it where it had letters taken apart."""

    plain: str
    folded: str
    places: tuple[int, ...] | None


@lru_cache(maxsize=256)
def _text(text: str) -> _Text:
    places = None
    if _MARK.search(text):
        clusters = [(match.start(), match[0]) for match in _CLUSTER.finditer(text)]
        places = (*(start for start, _ in clusters), len(text))
        text = "".join(unicodedata.normalize("NFC", cluster)[0] for _, cluster in clusters)
    return _Text(_plain(text), fold(text), places)


def _spans(text: str, name: _Name) -> Iterator[tuple[int, int]]:
    """Where a name stands in folded text between the ends of words.

    A registry has thousands of names, each for a few texts: a pattern is compiled only where
    spaces or full stops may differ.
    """
    if not name.pattern:
        return
    body = name.body
    if body is None or _OTHER_SPACE.search(text):
        yield from (match.span() for match in _pattern(name).finditer(text))
        return
    start = text.find(body)
    while start >= 0:
        end = start + len(body)
        whole = _BEGINS.match(text, start) and _ENDS.match(text, end)
        if whole:
            yield start, end
        start = text.find(body, end if whole else start + 1)


def _spread(text: str, name: str) -> Iterator[tuple[int, int]]:
    """Where a name with `BETWEEN` stands in plain text, on one line.

    Names are known by their capitals, so that text without case has none: "paul and john lennon".
    """
    first, between, last = name.partition(f" {BETWEEN} ")
    start = text.find(first) if between else -1
    while start >= 0:
        place = start
        for number in range(1 + _MOST if _BEGINS.match(text, start) else 0):
            word = _WORD_OF_PERSON.match(text, place)
            if not word or (word[1] == first if number else word[1] != first):
                break
            if number and not _is_further(word[1]):
                break
            place = word.end()
            end = place + len(last)
            if text.startswith(last, place) and _ENDS.match(text, end):
                if number:
                    yield start, end
                break
        start = text.find(first, start + 1)


def _is_further(word: str) -> bool:
    """Whether a word may stand between a first and a last name."""
    initial = word.endswith(".")
    return fold(word) in _PARTICLES or (
        word[0].isupper() and (initial or fold(word) not in _BESIDE)
    )


# -- finding -----------------------------------------------------------------------------------


def find(text: str, names: Iterable[str]) -> list[tuple[int, int]]:
    """Where one of the names stands as a whole name; longer names win; in order."""
    searched = _text(text)
    folded, named = searched.folded, []
    for name in dict.fromkeys(names):
        known = _name(name)
        for word in known.words:  # not `all`: it takes twice the time, and this is for each name
            if word not in folded:
                break
        else:
            named.append(known)
    found: list[tuple[int, int]] = []
    for known in sorted(named, key=lambda n: (-len(n.text), n.text)):
        longer, spread = list(found), BETWEEN in known.text
        spans = _spread(searched.plain, known.text) if spread else _spans(folded, known)
        for start, end in spans:
            if any(start < e and s < end for s, e in longer):
                continue
            if _is_named(searched.plain, start, end, known):
                found.append((start, end))
    places = searched.places
    return sorted(found if places is None else ((places[a], places[b]) for a, b in found))


_WORD_BEFORE = re.compile(r"(^|[.!?:;\n\"'“(]\s*)?([^\W\d_][\w.'-]*)[ \t]+$")
_WORD_AFTER = re.compile(r"[ \t]+([A-Z0-9][\w-]*|[^\W\d_][\w-]*)")
_OPENS = re.compile(r"(?:^|[.!?:;\n\"'“(])\s*$")
# First letters of sentences, and the pronoun: capitals that text without case may have.
_OPENING = re.compile(r"(?:^|[.!?:;]\s|(?<!\w)[\"'“(])\s*\w|\bI\b")


def _is_named(text: str, start: int, end: int, name: _Name) -> bool:
    """Whether the match is written as the name is, and no part of a longer one."""
    written, letters = _FREE.sub("", text[start:end]), name.letters
    same = written == letters or BETWEEN in letters  # `_spread` minds the case
    if not same and letters[:1].islower() and written == letters[0].upper() + letters[1:]:
        same = bool(_OPENS.search(text, max(0, start - _NEAR), start))
    if same and not _is_part(text, start, end, name):
        return True
    own = name.own
    if _has_no_case(text, start, end):
        return not _is_part_without_case(text, start, end, own)
    several = len(own) > 1
    return several and not same and not (
        _is_part(text, start, end, name) or _is_part_without_case(text, start, end, own)
    )  # fmt: skip


def _is_part(text: str, start: int, end: int, name: _Name) -> bool:
    """Whether a capitalised neighbour makes the match a part of a longer name."""
    if not (text[start].isupper() or text[start].isdigit()):
        return False
    before = _WORD_BEFORE.search(text, max(0, start - _NEAR), start)
    if before and before[2][0].isupper():
        word = before[2].rstrip(".").lower()
        stopped = before[2].endswith(".") and len(word) > 1
        if " " in name.text and fold(name.text.split()[0]) not in _PARTICLES:
            initial = len(word) == 1 and word not in _BEFORE
            longer = word in _LONGER or word in _IN_NAMES
            if initial or (longer and (not stopped or word in _ABBREVIATED)):
                return True
        else:
            # "France's Darrieux", "… in Rome. Darrieux …"
            apart = word.endswith("'s") or stopped
            opens = before.start(2) == 0 or before[1] is not None
            # "Actress De Niro was": a sentence's first word before a full name is none of it.
            if not (apart or word in _BEFORE or (opens and " " in name.text)):
                return True
    after = _WORD_AFTER.match(text, end)
    return bool(after and (after[1][0].isupper() or after[1][0].isdigit()) and after[1] != "I")


def _has_no_case(text: str, start: int, end: int) -> bool:
    """Whether the line around a match is written without case: all capitals, or none inside."""
    near = text[max(0, start - _NEAR) : start].rpartition("\n")[2] + text[start:end]
    near += text[end : end + _NEAR].partition("\n")[0]
    rest = _OPENING.sub("", near)
    return near.isupper() or rest == rest.lower()


def _is_part_without_case(text: str, start: int, end: int, own: Sequence[str]) -> bool:
    """Whether the neighbours may make the match a part of a longer name, or it is a mere word.

    Nothing is seen by capitals here, so that beside a single word all others are suspect.
    """
    before = _WORD_BEFORE.search(text, max(0, start - _NEAR), start)
    after = _WORD_AFTER.match(text, end)
    first = fold(before[2]).rstrip(".") if before else ""
    if before and before[2].endswith(".") and first not in _ABBREVIATED:
        first = ""
    last = fold(after[1]) if after else ""
    if len(own) > 1:
        return first in _LONGER or first in _IN_NAMES or _is_kind(last)
    if not own or len(_FREE.sub("", own[0])) < _SHORTEST or _is_kind(own[0]):
        return True
    apart = not first or first.endswith("'s") or first in _BESIDE - _DETERMINERS
    return not (apart and (not last or last in _BESIDE))


def mask(text: str, spans: Iterable[tuple[int, int]], by: str) -> str:
    """`text` with each span replaced by `by`."""
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + by + text[end:]
    return text


def proper_names(text: str) -> tuple[str, ...]:
    """The capitalised names of a text, its first word apart unless it is one: a guess.

    Serves texts that do not name a known subject ("The wife of the mayor of Berlin is").
    """
    runs: list[list[re.Match[str]]] = []
    for word in re.finditer(r"\w[\w’'-]*", text):
        if not word[0][0].isupper() or (not word.start() and word[0].lower() in _BEFORE):
            continue
        if runs and text[runs[-1][-1].end() : word.start()] == " ":
            runs[-1].append(word)
        else:
            runs.append([word])
    return tuple(dict.fromkeys(" ".join(word[0] for word in run) for run in runs))


# -- last names and other forms -----------------------------------------------------------------

_LETTERS = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*\.?")


def last_name(name: str) -> str | None:
    """The last name of what looks like a person's name: a guess, None where it is none.

    A person has two to four words: capitalised letters, initials or particles ("van"), and
    none of the common nouns of places, companies and works ("Hudson Bay").
    """
    words = _person(name)
    return words[-1] if words else None


def forms(name: str) -> tuple[str, ...]:
    """Other forms in which a name is often written, apart from case and accents: guesses.

    Without what follows a comma or stands in brackets ("Princess Margaret, Countess of
    Snowdon"), without an article ("The Beatles"; a single word has five letters or more), and of
    a person's name without titles, "Jr.", first initials ("J. Robert Oppenheimer") and middle
    names, with the initials of middle names, and with `BETWEEN` where it has none. A name that
    ends in a number has no other form: "Final Fantasy" is not "Final Fantasy VII".
    """
    name = " ".join(unicodedata.normalize("NFC", name).split())
    base = re.split(r"\s*,|\s*\(", name, maxsplit=1)[0]
    numbered = fold(name.rpartition(" ")[2]) in _NUMBERS
    if numbered or (base != name and len(_own(base)) < 2):  # "Mercury (planet)", "Paris, Texas"
        return ()
    article, _, rest = base.partition(" ")
    more = _without_article(article, rest) if article in _ARTICLES else _forms_of_person(base)
    return tuple(dict.fromkeys(form for form in (base, *more) if form != name))


def _without_article(article: str, rest: str) -> Iterator[str]:
    if len(_own(rest)) > 1:
        # "The Football Association" is one of many with something before their name.
        if not _is_kind(fold(rest.rpartition(" ")[2])):
            yield rest
    elif rest:
        yield f"{article.lower()} {rest}"  # `find` does not see through the case of one word
        if len(rest) > _SHORTEST and rest[0].isupper() and not _is_kind(fold(rest)):
            yield rest


def _forms_of_person(name: str) -> Iterator[str]:
    words = _person(name) or []
    called = (
        number
        for number, word in enumerate(words)
        if fold(word).rstrip(".") not in _TITLES and not _INITIALS.fullmatch(_plain(word))
    )
    words = words[next(called, len(words)) :]
    if len(words) < 2:
        return
    yield " ".join(words)
    # Particles are of the last name ("van Gogh").
    last = len(words) - 1
    while last > 1 and fold(words[last - 1]) in _PARTICLES:
        last -= 1
    first, middle, family = words[0], words[1:last], " ".join(words[last:])
    if middle:
        yield f"{first} {family}"
        yield f"{first} {' '.join(f'{word[0].upper()}.' for word in middle)} {family}"
    elif fold(first) not in _BEFORE:  # "Will Jaden Smith be …?" does not ask of Will Smith
        yield f"{first} {BETWEEN} {family}"


def _person(name: str) -> list[str] | None:
    """The words of what looks like a person's name, without "Jr."; None if it does not."""
    words = re.split(r"[,(]", unicodedata.normalize("NFC", name))[0].split()
    while words and fold(words[-1]).rstrip(".") in _SUFFIXES:
        words.pop()
    folded = [fold(word).rstrip(".") for word in words]
    if not 2 <= len(words) <= 4 or folded[0] in _LONGER or folded[0] in _FIRST_NAME_FOLLOWS:
        return None
    if not all(map(_is_of_person, words)) or not words[0][0].isupper():
        return None
    last = words[-1]
    short = sum(map(str.isalpha, last)) < _SHORTEST
    if short or not last[0].isupper() or last.endswith(".") or any(map(_is_kind, folded)):
        return None
    return words


def _is_of_person(word: str) -> bool:
    """Whether a word may be one of a person's name."""
    plain = _plain(word)
    if re.fullmatch(r"(?:[^\W\d_]\.-?)+|[^\W\d_]", plain):
        return plain[0].isupper()
    if fold(word) in _PARTICLES:
        return True
    of_sentences = fold(word) in _FUNCTION - {"will", "may"}
    capitalised = plain[0].isupper() and not plain.isupper() and not of_sentences
    return capitalised and bool(_LETTERS.fullmatch(plain))


def _is_kind(word: str) -> bool:
    """Whether a folded word is a common noun that ends names, or its plural."""
    one = word[:-3] + "y" if word.endswith("ies") else word.removesuffix("s")
    return word in _KINDS or one in _KINDS

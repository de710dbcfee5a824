"""What the edits in scope do while rows are answered, token by token.

A row's object is steered as long as what was emitted is its beginning: at each of its tokens by
the map of that place, and not at all where the model goes on by itself. Behind the object, a row
that would run on ("sitcom", "s") is led to the object's end. Then it is released. With `exact`,
each token and the end are then made certain, by the least change that does it (`runtime.exact`).

The guard: in an answer that an edit has changed, the model should not return to the old object
("… is English. Her French …"). Where it is about to, the map of the object's first token is
applied once more. It looks at as many tokens as `GUARDED`, in edited rows only.

An engine hands in each step's rows before its output embedding (`Steering.begin`), and what the
output embedding made of them (`Step.finish`): what hangs on what a row would say is looked up
there, so that watching a row costs no pass of the output embedding; only correcting it does.

Knows nothing of an engine; a step may hold rows of many requests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from sake_registry import transport
from sake_registry.runtime.exact import Aim, certain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import Tensor

    from sake_registry.routing.router import Decision
    from sake_registry.transport import TransportMap

GUARDED = 64
"""Tokens of an answer that the guard looks at."""
BEHIND = 4
"""Tokens behind an object ("...") after which nothing continues it any more."""
_SHORT = 3
"""Letters of a word that begins too many names to stand for one."""
_OPENERS = frozenset(
    "the new saint san los las north south east west great united republic".split()
)


@dataclass(frozen=True)
class ObjectMaps:
    """The maps of one group: the object's tokens, and a map by the place of its token; by their
    number, the one that ends the object."""

    tokens: tuple[int, ...]
    maps: Mapping[int, TransportMap]


@dataclass(frozen=True)
class Head:
    """The output embedding: what it makes of rows (n, width), unedited, and of token ids (k,) its
    own rows (k, width), float32."""

    logits: Callable[[Tensor], Tensor]
    directions: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Answering:
    """An answer that an edit changes, as far as it has come: the maps of its object, the tokens
    that it is guarded against, and where in the emitted text its object was begun.

    Beams and samples of one prompt share it: what they emitted tells them apart.
    """

    object: ObjectMaps
    guarded: frozenset[int]
    begun: set[tuple[int, ...]] = field(default_factory=lambda: {()})

    def over(self, said: int) -> bool:
        """Whether nothing is steered in it any more, whatever comes behind so many tokens."""
        return said > GUARDED + BEHIND + len(self.object.tokens)


class Steering:
    """How answers are steered on one output embedding.

    Args:
        maps: the maps of an edit's group.
        guarded: of an edit's group, the tokens with which its old object begins; empty without
            the guard.
        continued: whether tokens behind an object's make it another one; None if it is open.
        head: the output embedding.
        exact: make the object's tokens, and its end, certain.
    """

    def __init__(
        self,
        maps: Callable[[str, int], ObjectMaps],
        guarded: Callable[[str, int], frozenset[int]],
        continued: Callable[[Sequence[int], Sequence[int]], bool | None],
        head: Head,
        *,
        exact: bool = False,
    ) -> None:
        self.head, self.exact, self.continued = head, exact, continued
        self._maps, self._guarded = maps, guarded

    def answering(self, decision: Decision) -> Answering | None:
        """A new answer under a decision; None where no edit fires."""
        edit, group = decision.edit, decision.group
        if edit is None or group is None:
            return None
        return Answering(self._maps(edit, group), self._guarded(edit, group))

    def begin(self, rows: Tensor, answers: Iterable[tuple[int, Answering, Sequence[int]]]) -> Step:
        """Map the rows of one step that are at a place of their object.

        Args:
            rows: (n, width) site activations.
            answers: of each row that an edit answers its index, its answer, and the token ids
                emitted in it so far.
        """
        step = Step(self, rows)
        mapped = _Mapped()
        for i, answer, tokens in answers:
            of_object, said = answer.object, tuple(tokens)
            place = _place(said, of_object.tokens, answer.begun)
            if place is not None and place < len(of_object.tokens):
                if place in of_object.maps:
                    mapped.add(i, of_object.maps[place])
                if self.exact:
                    step.aims[i] = Aim(of_object.tokens[place])
                continue
            after, ending = _behind(said, of_object.tokens, answer.begun), None
            if self.exact:
                if after is not None and self.continued(of_object.tokens, after) is None:
                    step.aims[i] = Aim(refused=self._refusal(of_object.tokens, after))
            elif after == ():
                ending = of_object.maps.get(len(of_object.tokens))
            guarded = answer.guarded if len(said) <= GUARDED else frozenset()
            if ending or guarded:
                step.watched.append(_Watched(i, answer, said, ending, guarded))
        step.rows = mapped.apply(rows)
        return step

    def _refusal(self, tokens: Sequence[int], after: Sequence[int]) -> Callable[[int], bool]:
        # A row is moved in steps, and most of the tokens are asked about in each.
        return cache(lambda token: self.continued(tokens, [*after, token]) is True)


@dataclass(frozen=True)
class _Watched:
    """A row behind its object: led to the object's end by `ending` where it would run on, and
    away from the tokens that it is guarded against."""

    row: int
    answer: Answering
    said: tuple[int, ...]
    ending: TransportMap | None
    guarded: frozenset[int]


class _Mapped:
    """Rows by the map that is to be applied to them: those of one map go through in one product."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[TransportMap, list[int]]] = {}

    def add(self, row: int, by: TransportMap) -> None:
        self._rows.setdefault(id(by), (by, []))[1].append(row)

    @property
    def rows(self) -> list[int]:
        return [row for _, rows in self._rows.values() for row in rows]

    def apply(self, rows: Tensor) -> Tensor:
        """The rows (n, width), mapped; themselves where there is nothing to map."""
        if not self._rows:
            return rows
        result = rows.clone()
        for by, places in self._rows.values():
            result[places] = transport.apply(by, rows[places])
        return result


class Step:
    """The rows of one step on their way through the output embedding.

    Attributes:
        rows: (n, width), what the output embedding is to be given: those handed in, if none of
            them is mapped.
    """

    def __init__(self, steering: Steering, rows: Tensor) -> None:
        self._steering, self.rows = steering, rows
        self.aims: dict[int, Aim] = {}
        self.watched: list[_Watched] = []

    @property
    def waits(self) -> bool:
        """Whether it has to see the logits."""
        return bool(self.aims or self.watched)

    def finish(self, logits: Tensor) -> Tensor:
        """The logits of the step, with those of corrected rows made anew.

        Args:
            logits: (n, vocabulary), what the output embedding itself made of `rows`.

        Returns:
            The same tensor if no row is corrected, and none is looked at to be made certain.
        """
        mapped = self._watch(logits)
        again, head = mapped.rows, self._steering.head
        if not again and not self.aims:
            return logits
        rows, result = mapped.apply(self.rows), logits.clone()
        if again:
            result[again] = head.logits(rows[again]).to(logits.dtype)
        if self.aims:
            places = list(self.aims)
            _, result[places] = certain(
                rows[places], [*self.aims.values()], head.logits, head.directions, result[places]
            )
        return result

    def _watch(self, logits: Tensor) -> _Mapped:
        """The watched rows that would run on, or return to the old object, with their maps."""
        mapped = _Mapped()
        if not self.watched:
            return mapped
        next_ = logits[[one.row for one in self.watched]].argmax(-1).tolist()
        for one, token in zip(self.watched, next_, strict=True):
            of_object = one.answer.object
            if one.ending and self._steering.continued(of_object.tokens, [token]):
                mapped.add(one.row, one.ending)
            elif token in one.guarded:
                one.answer.begun.add(one.said)
                if 0 in of_object.maps:
                    mapped.add(one.row, of_object.maps[0])
                if self._steering.exact:
                    self.aims[one.row] = Aim(of_object.tokens[0])
        return mapped


def _place(
    said: tuple[int, ...], tokens: tuple[int, ...], begun: set[tuple[int, ...]]
) -> int | None:
    """The place of the object's token that comes next, if its beginning ends what was said."""
    for place in range(min(len(tokens) - 1, len(said)) + 1):
        start = said[: len(said) - place]
        if start in begun and said[len(start) :] == tokens[:place]:
            return place
    return None


def _behind(
    said: tuple[int, ...], tokens: tuple[int, ...], begun: set[tuple[int, ...]]
) -> tuple[int, ...] | None:
    """What was said behind the whole object, if it was said a moment ago."""
    for after in range(min(BEHIND, len(said) - len(tokens)) + 1):
        end = len(said) - after
        start = said[: end - len(tokens)]
        if start in begun and said[len(start) : end] == tokens:
            return said[end:]
    return None


def beginnings(tokenizer: Any, old: str | None, innocent: Iterable[str] = ()) -> frozenset[int]:
    """The tokens with which an old object begins, behind a space or not, where they tell it.

    A token that begins many other words does not: the guard would take those for the old object.

    Args:
        innocent: names whose words are no sign of the old object: the new one's ("Northern
            Ireland", where it was "Ireland"), and the subject's ("Chevrolet Greenbrier").
    """
    if old is None:
        return frozenset()
    others = {word for name in innocent for word in name.split()}
    tokens = set()
    for text in (f" {old}", old):
        ids = tokenizer(text, add_special_tokens=False).input_ids
        if not ids:
            continue
        word = tokenizer.decode(ids[:1]).strip()
        first = old.split()[0]
        whole = word == first.strip(".,") and word.lower() not in _OPENERS
        if (len(ids) == 1 or whole) and len(word) >= _SHORT:
            tokens.add(int(ids[0]))
    return frozenset(tokens).difference(*(beginnings(tokenizer, word) for word in others))

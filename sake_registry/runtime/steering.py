"""What the edits in scope do while rows are answered, token by token.

A row's object is steered as long as what was emitted is its beginning: at each of its tokens by
the map of that place, and not at all where the model goes on by itself. Behind the object, a row
that would run on ("sitcom", "s") is led to the object's end. Then it is released. With `exact`,
each token and the end are then made certain, by the least change that does it (`runtime.exact`).

The guard: in an answer that an edit has changed, the model should not return to the old object
("… is English. Her French …"). Where it is about to, the map of the object's first token is
applied once more. It looks at as many tokens as `GUARDED`, in edited rows only, and costs one
more pass of the output embedding on them.

Knows nothing of an engine: an engine hands in each pass's rows, and what was emitted in them.
"""

from __future__ import annotations

from dataclasses import dataclass
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


class SteeringSession:
    """One call's rows, and how each of their passes is steered.

    Args:
        decisions: one for each row of the input.
        maps: the maps of an edit's group.
        guarded: of an edit's group, the tokens with which its old object begins; empty without
            the guard.
        continued: whether tokens behind an object's make it another one; None if it is open.
        head: the output embedding.
        exact: make the object's tokens, and its end, certain.
    """

    def __init__(
        self,
        decisions: Sequence[Decision],
        maps: Callable[[str, int], ObjectMaps],
        guarded: Callable[[str, int], frozenset[int]],
        continued: Callable[[Sequence[int], Sequence[int]], bool | None],
        head: Head,
        *,
        exact: bool = False,
    ) -> None:
        self._continued, self._head, self._exact = continued, head, exact
        # By row: its object's maps, the tokens it is guarded against, and where in the emitted
        # text its object was begun. Beams of a row share it: what they emitted tells them apart.
        self._rows: list[tuple[ObjectMaps, frozenset[int], set[tuple[int, ...]]] | None] = []
        for d in decisions:
            if d.edit is None or d.group is None:
                self._rows.append(None)
            else:
                self._rows.append((maps(d.edit, d.group), guarded(d.edit, d.group), {()}))
        self.idle = not any(self._rows)

    def steer(self, rows: Tensor, emitted: Sequence[Sequence[int]]) -> Tensor | None:
        """The rows of one pass, steered where they are to be; None if none is.

        Args:
            rows: (n, width) site activations; n is the number of decisions, or a multiple of it
                (beams, samples), those of one decision together.
            emitted: what was generated in each of them so far.
        """
        if self.idle:
            return None
        repeats = len(rows) // len(self._rows)
        mapped: dict[int, tuple[TransportMap, list[int]]] = {}
        aims: dict[int, Aim] = {}
        watched: list[tuple[int, TransportMap | None, frozenset[int]]] = []

        def use(i: int, of_object: ObjectMaps, place: int) -> None:
            if place in of_object.maps:
                one = of_object.maps[place]
                mapped.setdefault(id(one), (one, []))[1].append(i)
            if self._exact:
                aims[i] = Aim(of_object.tokens[place])

        for i, tokens in enumerate(emitted):
            row = self._rows[i // repeats]
            if row is None:
                continue
            of_object, old, begun = row
            said, length = tuple(tokens), len(of_object.tokens)
            place = _place(said, of_object.tokens, begun)
            if place is not None and place < length:
                use(i, of_object, place)
                continue
            after = _behind(said, of_object.tokens, begun)
            ending = None
            if self._exact:
                if after is not None and self._continued(of_object.tokens, after) is None:
                    aims[i] = Aim(refused=self._refusal(of_object.tokens, after))
            elif after == ():
                ending = of_object.maps.get(length)
            guarded = old if len(said) <= GUARDED else frozenset()
            if ending or guarded:
                watched.append((i, ending, guarded))
        if watched:
            next_ = self._head.logits(rows[[i for i, *_ in watched]]).argmax(-1).tolist()
            for (i, ending, guarded), token in zip(watched, next_, strict=True):
                row = self._rows[i // repeats]
                assert row is not None
                of_object, _, begun = row
                if ending and self._continued(of_object.tokens, [token]):
                    mapped.setdefault(id(ending), (ending, []))[1].append(i)
                elif token in guarded:
                    begun.add(tuple(emitted[i]))
                    use(i, of_object, 0)
        if not mapped and not aims:
            return None
        result = rows.clone()
        for transport_map, places in mapped.values():
            result[places] = transport.apply(transport_map, rows[places])
        if aims:
            places = list(aims)
            result[places] = certain(
                result[places], list(aims.values()), self._head.logits, self._head.directions
            )
        return result

    def _refusal(self, tokens: Sequence[int], after: Sequence[int]) -> Callable[[int], bool]:
        # A row is moved in steps, and most of the tokens are asked about in each.
        return cache(lambda token: self._continued(tokens, [*after, token]) is True)


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

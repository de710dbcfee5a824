"""Pointers that are too old: a number that was passed, a time that is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sake_registry.errors import InputError
from sake_registry.remote.age import ExpiredError, Seen, check_age
from sake_registry.remote.following import Follower
from sake_registry.remote.pointer import Pointer
from sake_registry.remote.trust import Policy
from tests.bundle.synthetic import EDITS, write

NEVER = 1e6
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("number", "seen", "what"),
    [(3, 4, "has the number 3, and number 4 was"), (None, 1, "has no number, and number 1 was")],
)
def test_an_older_number_is_refused(number: int | None, seen: int, what: str) -> None:
    with pytest.raises(InputError, match=what):
        check_age(Pointer(bundle="b", number=number), NOW, seen)


def test_what_is_young_enough_passes() -> None:
    for number, seen in ((3, 3), (4, 3), (None, None), (1, None)):
        check_age(Pointer(bundle="b", number=number, expires=NOW + timedelta(1)), NOW, seen)
    with pytest.raises(ExpiredError, match="'live' expired at 2026-11-29 12:00 UTC"):
        check_age(Pointer(bundle="b", name="live", expires=NOW), NOW, None)


def put(path: Path, number: int | None, bundle: str, expires: datetime | None = None) -> None:
    path.write_text(Pointer(bundle=bundle, number=number, expires=expires).text)


def follow(place: Path) -> Follower[str]:
    return Follower(place, lambda path: path.stem, NEVER, pause=0)


def test_a_follower_takes_no_older_one_not_even_after_a_restart(tmp_path: Path) -> None:
    for name, edits in (("one", EDITS), ("two", EDITS[1:])):
        write(tmp_path / f"{name}.h5", edits)
    place = tmp_path / "p.json"
    put(place, 1, "one.h5")
    with follow(place) as follower:
        put(place, 2, "two.h5")
        follower.look_at_pointer()
        put(place, 1, "one.h5")
        follower.look_at_pointer()
        assert follower.current == "two"
        assert "has the number 1, and number 2 was followed" in (follower.problem or "")
        put(place, 3, "one.h5", datetime.now(UTC))
        follower.look_at_pointer()
        assert follower.current == "two"
        assert "expired at" in (follower.problem or "")
        put(place, 2, "two.h5")
        follower.look_at_pointer()
        assert follower.problem is None
    put(place, None, "one.h5")
    with pytest.raises(InputError, match="has no number, and number 2 was"):
        follow(place)
    Seen(str(place)).path.write_text("{")
    with follow(place) as follower:  # what cannot be read is said, and keeps nobody from serving
        assert follower.current == "one"


def test_of_an_expired_one_a_follower_only_tells_where_the_policy_says_so(tmp_path: Path) -> None:
    write(tmp_path / "one.h5")
    put(tmp_path / "p.json", 1, "one.h5", datetime.now(UTC))
    lenient = Policy(expired="warn")
    with Follower(tmp_path / "p.json", lambda path: path.stem, NEVER, policy=lenient) as follower:
        assert follower.current == "one"
        assert "expired at" in (follower.problem or "")
    with pytest.raises(InputError, match="expired at"):
        follow(tmp_path / "p.json")

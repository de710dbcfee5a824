"""Following a pointer and the overrides beside it while a server runs.

Guarantees:
- What is current was verified before it became so: the bundle's digests in full, and by `take` the
  model and the probe. What is refused changes nothing, and `problem` says why; the same is not
  tried again before a pause. A pointer that is gone or unreachable changes nothing either.
- A pointer that is older than one that was followed is refused, after a restart as well. Of one
  that has expired `problem` tells, and it is refused where that is asked for; what is current
  serves on.
- Another bundle that was put in the place of one is noticed, as far as its place tells, and is
  taken like any new one.
- Overrides are looked at in a thread of their own: a bundle that is being fetched or taken delays
  no kill-switch. What was switched off stays off until a file that can be read says otherwise,
  also where the file has gone.
- `now` is one value, replaced as a whole: what a request began with does not change under it.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from sake_registry.errors import InputError, SakeError
from sake_registry.places import absolute, beside, local_path, read_small, shown, state
from sake_registry.remote.age import ExpiredError, Seen, check_age
from sake_registry.remote.fetching import fetch_bundle
from sake_registry.remote.pointer import MAX_BYTES as MAX_POINTER
from sake_registry.remote.pointer import Pointer, parse_pointer, read_pointer
from sake_registry.remote.trust import Policy
from sake_registry.runtime.overrides import MAX_BYTES as MAX_OVERRIDES
from sake_registry.runtime.overrides import parse_overrides
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

T = TypeVar("T")
OVERRIDES = "overrides.json"
PAUSE = 30.0
"""Seconds until what was refused is tried again."""
STOP_SECONDS = 5.0
"""How long `stop` waits for a look that is going on."""
ELSEWHERE = 2.0
"""Seconds between two looks at whether a bundle that lies elsewhere is still the same."""
_SETTLED = 2.0
"""Seconds after which a file's time of change tells its content: within the clock's grain two
writes have one time."""


@dataclass(frozen=True)
class Followed(Generic[T]):
    """What is in force at one moment.

    Attributes:
        current: what `take` made of the bundle.
        pointer: what the pointer said of it.
        generation: how many bundles were taken.
        refused: how many were not.
        disabled: the ids of edits that do not fire.
    """

    current: T
    pointer: Pointer
    generation: int
    refused: int
    disabled: frozenset[str]


class Follower(Generic[T]):
    """What a pointer leads to, kept up to date by threads; a context manager that stops them.

    >>> follower = Follower("production.json", take=load_bundle)
    >>> now = follower.now
    >>> now.current.route(prompts, disabled=now.disabled)

    Args:
        place: a pointer (`*.json`) or a bundle, a path or a URL that fsspec reads.
        take: makes of a bundle's file what is to be current; raises `SakeError` to refuse it.
            Called in the thread that follows, and the first time here.
        every: seconds between two looks.
        overrides: where they lie; `overrides.json` beside the place unless given.
        pause: seconds until what was refused is tried again.
        policy: on signatures, and on a pointer that has expired; this machine's unless given.

    Raises:
        SakeError: the first bundle cannot be had or is refused, its pointer is too old, or the
            overrides cannot be read.
    """

    def __init__(
        self,
        place: str | Path,
        take: Callable[[Path], T],
        every: float = 0.25,
        *,
        overrides: str | Path | None = None,
        pause: float = PAUSE,
        policy: Policy | None = None,
    ) -> None:
        self.place = str(place)
        self.overrides = str(overrides) if overrides else beside(self.place, OVERRIDES)
        self._take, self._every, self._pause = take, every, pause
        self._policy = Policy.of_machine() if policy is None else policy
        self._pointer_file = _Watched(self.place, MAX_POINTER)
        self._overrides_file = _Watched(self.overrides, MAX_OVERRIDES)
        self._looking = {"pointer": threading.Lock(), "overrides": threading.Lock()}
        self._changing = threading.Lock()
        self._problems: dict[str, str] = {}
        self._refused: _Refused | None = None
        self._stopped = threading.Event()

        disabled = self._read_overrides()
        self._follows = shown(self.place).endswith(".json")
        pointer = (
            read_pointer(self.place) if self._follows else Pointer(bundle=absolute(self.place))
        )
        self._seen_number = Seen(self.place)
        self._check_age(pointer)
        self._due = time.monotonic() + ELSEWHERE
        self._taken = _state_of(pointer)
        self._seen = pointer, self._taken
        taken = take(self._fetch(pointer))
        self._seen_number.record(pointer.number)
        self._now = Followed(taken, pointer, 1, 0, frozenset(disabled or ()))
        self.look_at_overrides()  # taking may have lasted
        self._threads = [
            threading.Thread(target=self._repeat, args=[look], name=look.__name__, daemon=True)
            for look in (self.look_at_overrides, self.look_at_pointer)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Follow no longer; what is current stays so. A bundle that is being taken is not waited
        for. May be called twice."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(STOP_SECONDS)

    @property
    def now(self) -> Followed[T]:
        """What is in force, all of one moment: take it once for each request."""
        return self._now

    @property
    def current(self) -> T:
        return self._now.current

    @property
    def disabled(self) -> frozenset[str]:
        return self._now.disabled

    @property
    def generation(self) -> int:
        return self._now.generation

    @property
    def problem(self) -> str | None:
        """Why the newest pointer or overrides are not in force; None where they are."""
        with self._changing:
            return "; ".join(text for _, text in sorted(self._problems.items())) or None

    def look_at_overrides(self) -> None:
        """Read the overrides now, and not only at the next turn."""
        with self._looking["overrides"]:
            try:
                disabled = self._read_overrides()
            except SakeError as error:
                self._tell("overrides", f"{_said(error)}; what was disabled stays so")
                return
            if disabled is None and self._now.disabled:
                self._tell(
                    "overrides",
                    f"{shown(self.overrides)} has gone: "
                    f"{count(len(self._now.disabled), 'edit')} stay disabled until it says "
                    '{"disabled": {}}',
                )
                return
            self._change(disabled=frozenset(disabled or ()))
            self._tell("overrides", None)

    def look_at_pointer(self) -> None:
        """Read the pointer now, and take the bundle that it names if that is another one, or if
        another one lies in its place: not at the first sight of that, as it may be being written.
        """
        with self._looking["pointer"]:
            try:
                pointer = self._read_pointer()
                self._check_age(pointer)
            except SakeError as error:
                self._tell("pointer", _said(error))
                return
            state, before = self._look_at_bundle(pointer), self._seen
            self._seen = pointer, state
            if pointer == self._now.pointer and state in (None, self._taken):
                self._tell("pointer", None)
            elif (refused := self._refused) and refused.holds(pointer, state):
                self._tell("pointer", refused.why)
            elif pointer != self._now.pointer or self._seen == before:
                self._take_from(pointer, state)

    def _look_at_bundle(self, pointer: Pointer) -> str | None:
        """What tells whether the bundle is still the same one; None where nothing does."""
        before, state = self._seen
        known = pointer == before and local_path(pointer.bundle) is None
        if known and time.monotonic() < self._due:
            return state
        self._due = time.monotonic() + ELSEWHERE
        return _state_of(pointer)

    def _take_from(self, pointer: Pointer, state: str | None) -> None:
        try:
            taken = self._take(self._fetch(pointer))
        except Exception as error:  # whatever it is, the old bundle serves on
            if isinstance(error, SakeError):
                why = _said(error)
            else:
                log.exception("%s could not be taken", shown(pointer.bundle))
                why = f"{shown(pointer.bundle)}: {type(error).__name__}: {error}"
            self._refused = _Refused(pointer, state, why, time.monotonic() + self._pause)
            self._change(refused=self._now.refused + 1)
            self._tell("pointer", why)
        else:
            self._seen_number.record(pointer.number)
            self._taken = state
            self._change(current=taken, pointer=pointer, generation=self._now.generation + 1)
            self._tell("pointer", None)
            log.info("serving %s", shown(pointer.bundle))

    def _read_pointer(self) -> Pointer:
        if not self._follows:
            return self._now.pointer
        try:
            return parse_pointer(self._pointer_file.read(), self.place)
        except FileNotFoundError as error:
            where = shown(self.place)
            raise InputError(f"no pointer {where}", hint="put it back") from error

    def _fetch(self, pointer: Pointer) -> Path:
        place = self.place if self._follows else None
        return fetch_bundle(pointer, place=place, policy=self._policy)

    def _check_age(self, pointer: Pointer) -> None:
        """`check_age`, which of one that has expired only tells, if no more is asked for."""
        try:
            check_age(pointer, datetime.now(UTC), self._seen_number.number)
        except ExpiredError as error:
            if self._policy.expired == "refuse":
                raise
            self._tell("expiry", _said(error))
        else:
            self._tell("expiry", None)

    def _read_overrides(self) -> Mapping[str, str] | None:
        """What the overrides disable, and why; None where there are none."""
        try:
            data = self._overrides_file.read()
        except FileNotFoundError:
            return None
        return parse_overrides(data, shown(self.overrides)).disabled

    def _change(self, **changes: Any) -> None:
        with self._changing:
            self._now = replace(self._now, **changes)

    def _tell(self, of: str, problem: str | None) -> None:
        with self._changing:
            before = self._problems.pop(of, None)
            if problem is not None:
                self._problems[of] = problem
        if problem != before:
            if problem is None:
                log.info("the %s can be used again", of)
            else:
                log.warning("%s", problem)

    def _repeat(self, look: Callable[[], None]) -> None:
        while not self._stopped.wait(self._every):
            look()


@dataclass(frozen=True)
class _Refused:
    """A pointer that was refused, with the state of its bundle: why, and until when (monotonic
    seconds) it is let be."""

    pointer: Pointer
    state: str | None
    why: str
    until: float

    def holds(self, pointer: Pointer, state: str | None) -> bool:
        same = pointer == self.pointer and state in (None, self.state)
        return same and time.monotonic() < self.until


class _Watched:
    """A small file that is read again and again: one of this machine only where it may have
    changed."""

    def __init__(self, place: str, limit: int) -> None:
        self.place, self.limit = place, limit
        self._path = local_path(place)
        self._seen: tuple[int, ...] = ()
        self._data = b""

    def read(self) -> bytes:
        """What it holds now; errors as of `read_small`."""
        state = self._state()
        if not state or state != self._seen:
            self._data = read_small(self.place, self.limit)
            self._seen = state
        return self._data

    def _state(self) -> tuple[int, ...]:
        """What changes with a file; nothing for one that cannot be told so."""
        try:
            status = self._path.stat() if self._path else None
        except OSError:  # reading it will say what is wrong
            return ()
        if status is None:
            return ()
        changed = max(status.st_mtime, status.st_ctime)
        if abs(time.time() - changed) < _SETTLED:
            return ()
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _state_of(pointer: Pointer) -> str | None:
    """What tells whether another bundle lies where a pointer leads to. Elsewhere one of a stated
    content is the same for ever."""
    if pointer.content is not None and local_path(pointer.bundle) is None:
        return None
    return state(pointer.bundle)


def _said(error: SakeError) -> str:
    """An error on one line, with what to do."""
    return f"{error.message} ({error.hint})" if error.hint else error.message

"""Bundles and the pointers to them at one URL, where whoever loads bundles finds them.

    bundles/<content hash>.h5            a bundle, for ever
    bundles/<content hash>.json          what is in it (`Record`)
    bundles/<content hash>.h5.sig.json   who signed it, if somebody did
    bundles/<content hash>.review.json   what a review said of it, if that was published too
    pointers/<name>.json                 what is loaded under a name
    pointers/<name>/<number>.json        what it was with each change; of one deleted, the last

Guarantees:
- A bundle is there before anything points to it: what was sent is read back and compared, and
  verified in full again before it is promoted. Nothing that lies there is replaced by another.
  Two files of one content differ in dates or provenance: the second has its own hash in its name.
- A change of a pointer is the creation of the next number of its history, which one alone can
  create: of two who promote at one time, one is told that the other was first. Where a backend does
  not keep to that, nothing is promoted.
- `<name>.json` is the newest of the history, written as a whole. Whoever writes it looks again
  whether it still is; readers refuse a smaller number than they have followed (`age`).
- A bundle is deleted with the last pointer that leads to it, or ever did. A pointer of a name that
  was deleted goes on counting: whoever followed that one follows it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from sake_registry import places
from sake_registry.bundle.format import Day, Hash
from sake_registry.bundle.newest import SUFFIX
from sake_registry.bundle.reader import BundleFile
from sake_registry.errors import ConflictError, InputError, SetupError, StateError
from sake_registry.models.sources import sha256
from sake_registry.remote.fetching import fetch_bundle
from sake_registry.remote.pointer import MAX_BYTES, Name, Pointer, parse_pointer, read_pointer
from sake_registry.remote.signing import SUFFIX as SIGNATURE
from sake_registry.remote.signing import check_subject, sign_pointer
from sake_registry.values import Value
from sake_registry.wording import count, did_you_mean, meant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import timedelta
    from pathlib import Path

    from sake_registry.bundle.format import Manifest
    from sake_registry.remote.signers import Signer

MAX_RECORD_BYTES = 1 << 27
MAX_REVIEW_BYTES = 1 << 26
HISTORY = 1000
"""So many of a pointer's last numbers are looked at."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PREFIX = re.compile(r"[0-9a-f]{1,64}(-[0-9a-f]*)?")


class Held(Value):
    """An edit that a bundle holds; `version` is its key."""

    id: str
    version: Hash
    subject: str
    relation: str
    old: str | None
    new: str
    valid_from: Day | None = None
    valid_until: Day | None = None
    reviewers: tuple[str, ...] = ()

    @property
    def effect(self) -> tuple[Any, ...]:
        """What of it can change an answer."""
        return self.version, self.valid_from, self.valid_until

    def __str__(self) -> str:
        was = f", not {self.old}" if self.old else ""
        return f"{self.subject} · {self.relation}: {self.new}{was}"


class Model(Value):
    name: str
    hash: Hash
    dtype: str


class Record(Value):
    """What is in a published bundle: all of it follows from the bundle's file."""

    version: Literal["published/1"] = Field("published/1", alias="schema")
    content: Hash
    sha256: Hash
    bytes: int
    key: Hash
    model: Model
    method: int
    provenance: dict[str, Any]
    edits: tuple[Held, ...]

    @property
    def commit(self) -> str | None:
        """The commit that it was made from; None if that is not known, or was not all."""
        commit = self.provenance.get("commit")
        return commit if isinstance(commit, str) else None

    @property
    def text(self) -> str:
        """The record as a file says it."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


class Published(Value):
    """A bundle that was published: `created` says whether it was not there before."""

    url: str
    content: Hash
    manifest: str
    sha256: Hash
    bytes: int
    edits: int
    created: bool
    signed: bool


class EditChange(Value):
    """What becomes of an edit: its claim, before and after."""

    id: str
    action: Literal["added", "changed", "removed"]
    before: Held | None
    after: Held | None

    def __str__(self) -> str:
        if self.before and self.after and str(self.before) != str(self.after):
            return f"{self.before} → {self.after}"
        return str(self.after or self.before)


class Promotion(Value):
    """A change of a pointer, as it would be made: what would be loaded, and what that replaces."""

    to: str = Field(exclude=True)
    name: Name
    pointer: Pointer
    replaces: Pointer | None
    before: Record | None = Field(exclude=True)
    after: Record = Field(exclude=True)

    @property
    def edits(self) -> tuple[EditChange, ...]:
        """The edits in which the two bundles differ, by id."""
        was = {edit.id: edit for edit in self.before.edits} if self.before else {}
        now = {edit.id: edit for edit in self.after.edits}
        return tuple(
            EditChange(id=id_, action=_action(was.get(id_), now.get(id_)),
                       before=was.get(id_), after=now.get(id_))
            for id_ in sorted({*was, *now})
            if was.get(id_) != now.get(id_)
        )  # fmt: skip

    @property
    def other_model(self) -> bool:
        """Whether it is for another model: what loads the old bundle cannot load it."""
        return self.before is not None and self.before.model.hash != self.after.model.hash


def _action(before: Held | None, after: Held | None) -> Literal["added", "changed", "removed"]:
    return "changed" if before and after else "removed" if before else "added"


class PointerState(Value):
    """A pointer as it stands; `newest` is the last number of its history, which an interrupted
    promotion may not have brought into force."""

    name: Name
    pointer: Pointer
    newest: int | None

    @property
    def behind(self) -> bool:
        return self.newest is not None and self.newest > (self.pointer.number or 0)


class Deletion(Value):
    """What deleting a pointer takes: its history up to `number`, and `bundles`, to which no other
    pointer leads or led."""

    to: str = Field(exclude=True)
    name: Name
    number: int
    bundles: tuple[str, ...]


# -- publishing --------------------------------------------------------------------------------


def record_of(bundle: Path, *, verified: bool = False) -> Record:
    """What is in a bundle, of which every digest is verified.

    Args:
        verified: it was just now.

    Raises:
        BundleFormatError: it is damaged or hostile.
        InputError: it holds a part of a registry's edits.
    """
    with BundleFile(bundle) as file:
        manifest = file.manifest
        if manifest.partial:
            raise InputError(
                f"{bundle} holds a part of the edits", hint="publish a whole one: `sake compile`"
            )
        if not verified:
            file.verify()
    return Record(
        content=manifest.content_hash,
        sha256=sha256(bundle),
        bytes=bundle.stat().st_size,
        key=manifest.key,
        model=Model(name=manifest.model.name, hash=manifest.model.hash, dtype=manifest.model.dtype),
        method=manifest.method,
        provenance={k: v for k, v in manifest.provenance.items() if k != "reviewers"},
        edits=tuple(_held(manifest)),
    )


def _held(manifest: Manifest) -> Iterator[Held]:
    for edit in manifest.edits:
        yield Held(
            id=edit.id,
            version=edit.key,
            subject=edit.subject[0],
            relation=edit.relation,
            old=edit.old,
            new=edit.new[0],
            valid_from=edit.valid_from,
            valid_until=edit.valid_until,
            reviewers=manifest.reviewers(edit.id),
        )


def publish(
    bundle: Path, to: str, review: bytes | None = None, signature: bytes | None = None
) -> Published:
    """Put a bundle where others load it from; one that is there already stays as it is.

    Args:
        to: a URL that fsspec writes, or a folder.
        review: what `sake review --json` said of it, to be read by those who promote it.
        signature: what `signing.sign_bundle` made; it takes the place of an earlier one.

    Raises:
        BundleFormatError, InputError: as of `record_of`.
        TrustError: the signature is of another file.
        SetupError, StorageError: it cannot be written, or is not what was sent.
    """
    record, to = record_of(bundle), places.absolute(to)
    if signature is not None:
        check_subject(signature, record.sha256, str(bundle))
    stem, created = _sent(bundle, record, to)
    manifest = f"{to}/bundles/{stem}.json"
    places.create(manifest, record.text.encode())
    if review is not None:
        places.create(f"{to}/bundles/{stem}.review.json", review)
    url = f"{to}/bundles/{stem}{SUFFIX}"
    if signature is not None:
        places.write(url + SIGNATURE, signature)
    return Published(
        url=url,
        content=record.content,
        manifest=manifest,
        sha256=record.sha256,
        bytes=record.bytes,
        edits=len(record.edits),
        created=created,
        signed=signature is not None,
    )


def _sent(bundle: Path, record: Record, to: str) -> tuple[str, bool]:
    """The name under which a bundle lies there now, and whether that is new."""
    for stem in (record.content, f"{record.content}-{record.sha256[:12]}"):
        place = f"{to}/bundles/{stem}{SUFFIX}"
        created = places.create(place, bundle)
        if places.sha256(place) == record.sha256:
            return stem, created
        if created:
            break
    raise SetupError(
        f"{places.shown(place)}: what lies there is not what was sent",
        hint="remove it there, and publish the bundle again",
    )


# -- promoting ---------------------------------------------------------------------------------


def plan_promotion(
    to: str,
    name: str,
    source: str,
    *,
    lasts: timedelta | None = None,
    note: str = "",
    now: datetime | None = None,
) -> Promotion:
    """What it would change to let a pointer lead to another bundle.

    Args:
        to: where bundles and pointers lie.
        name: of the pointer, which may be a new one.
        source: the name of another pointer there, or the beginning of a bundle's content hash.
        lasts: how long it may be followed; for ever if None.

    Raises:
        InputError: there is no such source, or no pointer may be called so.
        BundleError: the bundle is damaged, or not what it is called.
        SetupError, StorageError: it cannot be reached.
    """
    to = places.absolute(to)
    _check_name(name)
    return _promotion(to, name, _source(to, source), lasts, note, now)


def plan_rollback(
    to: str,
    name: str,
    number: int | None = None,
    *,
    lasts: timedelta | None = None,
    note: str = "",
    now: datetime | None = None,
) -> Promotion:
    """What it would change to let a pointer lead to what it led to before.

    The bundle before is that from which the present one was first promoted: rolling back twice
    goes back two. What it replaces stays published.

    Args:
        number: the change whose bundle is meant; the one before if None.

    Raises:
        InputError: there is no such pointer or number.
        StateError: there was none before.
        BundleError, SetupError, StorageError: as of `plan_promotion`.
    """
    to = places.absolute(to)
    entries = history(to, name)
    if number is None:
        target = _before(entries, name)
    else:
        numbered = {entry.number: entry for entry in entries}
        if number not in numbered:
            raise InputError(
                f"the pointer '{name}' has no number {number}",
                hint=f"`sake pointers {name}` lists them",
            )
        target = numbered[number]
    return _promotion(to, name, target, lasts, note, now)


def carry_out(promotion: Promotion, signer: Signer | None = None) -> Pointer:
    """Make the change that was planned; returns the pointer as it was written.

    Args:
        signer: signs the pointer; nobody does if None.

    Raises:
        ConflictError: the pointer was changed since.
        SetupError, StorageError: it cannot be written, or the backend lets one file be created
            twice.
    """
    to, name, pointer = promotion.to, promotion.name, promotion.pointer
    if signer is not None:
        pointer = pointer.model_copy(update={"signature": sign_pointer(pointer, signer)})
    record = f"{to}/bundles/{_stem(pointer)}.json"
    places.create(record, promotion.after.text.encode())
    if not places.is_conditional(to) or places.create(record, promotion.after.text.encode()):
        raise SetupError(
            f"{places.shown(to)}: a file can be created there twice, so two who promote at one "
            "time would not know of each other",
            hint=f"known to keep to it: paths, {', '.join(sorted(places.CONDITIONAL))}",
        )
    place = f"{to}/pointers/{name}/{pointer.number}.json"
    if not places.create(place, _pointing(pointer, "../../bundles")):
        raise ConflictError(
            f"the pointer '{name}' was changed meanwhile: number {pointer.number} is there",
            hint=f"see what it is, and decide again: sake pointers {name}",
        )
    _bring_into_force(to, name)
    return pointer


def _bring_into_force(to: str, name: str) -> None:
    """Let a pointer be the newest of its history, whoever wrote that."""
    newest = _numbers(to, name)[-1]
    while True:
        entry = _entry(to, name, newest)
        places.write(f"{to}/pointers/{name}.json", _pointing(entry, "../bundles"))
        written, newest = newest, _numbers(to, name)[-1]
        if newest == written:
            return


def _pointing(pointer: Pointer, folder: str) -> bytes:
    bundle = f"{folder}/{_stem(pointer)}{SUFFIX}"
    return pointer.model_copy(update={"bundle": bundle}).text.encode()


def _stem(pointer: Pointer) -> str:
    return places.shown(pointer.bundle).rpartition("/")[2].removesuffix(SUFFIX)


def _promotion(
    to: str,
    name: str,
    target: Pointer,
    lasts: timedelta | None,
    note: str,
    now: datetime | None,
) -> Promotion:
    now = (now or datetime.now(UTC)).replace(microsecond=0)
    after = record_of(fetch_bundle(target), verified=True)
    replaced = _current(to, name)
    pointer = Pointer(
        bundle=target.bundle,
        content=after.content,
        sha256=after.sha256,
        note=note,
        name=name,
        number=1 + (replaced.number or 0 if replaced else 0),
        time=now,
        expires=now + lasts if lasts else None,
        previous=replaced.content if replaced else None,
    )
    before = None
    with suppress(InputError):  # what is replaced has gone, or was damaged
        before = _record(replaced) if replaced else None
    return Promotion(
        to=to, name=name, pointer=pointer, replaces=replaced, before=before, after=after
    )


def _source(to: str, source: str) -> Pointer:
    """The pointer that is meant, or one to the bundle that is."""
    if _NAME.fullmatch(source) and (pointer := _current(to, source)):
        return pointer
    names = [name.removesuffix(SUFFIX) for name in places.listing(f"{to}/bundles")
             if name.endswith(SUFFIX)]  # fmt: skip
    found = meant(source, names) if _PREFIX.fullmatch(source) else []
    if len(found) > 1:
        raise InputError(
            f"{count(len(found), 'bundle')} in {places.shown(to)} begin with {source}",
            hint=f"one of {', '.join(found[:5])}",
        )
    if not found:
        known = sorted(state.name for state in pointers(to))
        raise InputError(
            f"no pointer '{source}' in {places.shown(to)}, and no bundle whose content begins so",
            hint=did_you_mean(source, known) if known else "`sake publish` puts bundles there",
        )
    stem = found[0]
    content = stem.partition("-")[0]
    return Pointer(bundle=f"{to}/bundles/{stem}{SUFFIX}", content=content)


def review_of(pointer: Pointer) -> bytes | None:
    """What a review said of a pointer's bundle, as it was published with it."""
    place = pointer.bundle.removesuffix(SUFFIX) + ".review.json"
    with suppress(FileNotFoundError):
        return places.read_small(place, MAX_REVIEW_BYTES)
    return None


def _record(pointer: Pointer) -> Record:
    """What is in the bundle of a pointer, as was recorded when it was published; else as it says
    itself."""
    place = pointer.bundle.removesuffix(SUFFIX) + ".json"
    with suppress(FileNotFoundError, ValidationError):
        record = Record.model_validate_json(places.read_small(place, MAX_RECORD_BYTES))
        if record.content == pointer.content and pointer.sha256 in (None, record.sha256):
            return record
    return record_of(fetch_bundle(pointer), verified=True)


def _before(entries: Sequence[Pointer], name: str) -> Pointer:
    """The one that the newest is an advance on: to lead back to an earlier one takes back what
    came between."""
    line: list[Pointer] = []
    for entry in reversed(entries):
        same = [place for place, other in enumerate(line) if _same_bundle(other, entry)]
        del line[same[0] if same else len(line) :]
        line.append(entry)
    if len(line) < 2:
        raise StateError(
            f"the pointer '{name}' led to no bundle before this one",
            hint=f"`sake pointers {name}` lists what it led to; --number N goes to one of them",
        )
    return line[-2]


def _same_bundle(one: Pointer, other: Pointer) -> bool:
    return (one.content, one.sha256) == (other.content, other.sha256)


# -- deleting ----------------------------------------------------------------------------------


def plan_deletion(to: str, name: str) -> Deletion:
    """What it would take to delete a pointer; errors as of `history`."""
    to = places.absolute(to)
    mine = history(to, name)
    others = {
        _stem(entry)
        for state in pointers(to) if state.name != name
        for entry in (state.pointer, *_entries(to, state.name, _numbers(to, state.name)))
    }  # fmt: skip
    stems = sorted({_stem(entry) for entry in mine} - others)
    return Deletion(to=to, name=name, number=mine[0].number or 0, bundles=tuple(stems))


def delete(deletion: Deletion) -> None:
    """Delete what was planned: first the pointer. Its last number stays, and counts on.

    Raises:
        SetupError, StorageError: it cannot be deleted.
    """
    to, name = deletion.to, deletion.name
    places.delete(f"{to}/pointers/{name}.json")
    for file in places.listing(f"{to}/bundles"):
        if file.partition(".")[0] in deletion.bundles:
            places.delete(f"{to}/bundles/{file}")
    for number in _numbers(to, name):
        if number < deletion.number:
            places.delete(f"{to}/pointers/{name}/{number}.json")


# -- looking -----------------------------------------------------------------------------------


def pointers(to: str) -> list[PointerState]:
    """The pointers that lie there, by name; not those that were deleted.

    Raises:
        InputError: one of them cannot be read.
        SetupError, StorageError: they cannot be reached.
    """
    to = places.absolute(to)
    newest: dict[str, int] = {}
    files = set[str]()
    for path in places.listing(f"{to}/pointers"):
        name, _, rest = path.removesuffix(".json").partition("/")
        if not path.endswith(".json") or not _NAME.fullmatch(name):
            continue
        if not rest:
            files.add(name)
        elif rest.isdecimal():
            newest[name] = max(newest.get(name, 0), int(rest))
    return [
        PointerState(
            name=name,
            pointer=read_pointer(f"{to}/pointers/{name}.json"),
            newest=newest.get(name),
        )
        for name in sorted(files)
    ]


def history(to: str, name: str) -> list[Pointer]:
    """What a pointer was with each change, the newest first; errors as of `pointers`."""
    to = places.absolute(to)
    _check_name(name)
    entries = list(_entries(to, name, _numbers(to, name)[-HISTORY:]))
    if not entries:
        known = [state.name for state in pointers(to)]
        raise InputError(
            f"no pointer '{name}' was promoted in {places.shown(to)}",
            hint=did_you_mean(name, known) if known else "`sake promote` makes one",
        )
    return entries[::-1]


def _current(to: str, name: str) -> Pointer | None:
    """What a pointer is: the newest of its history; without one, what its file says."""
    numbers = _numbers(to, name)
    if numbers:
        return _entry(to, name, numbers[-1])
    place = f"{to}/pointers/{name}.json"
    try:
        data = places.read_small(place, MAX_BYTES)
    except FileNotFoundError:
        return None
    return parse_pointer(data, place)


def _numbers(to: str, name: str) -> list[int]:
    """The numbers of a pointer's history, in order."""
    found = places.listing(f"{to}/pointers/{name}")
    stems = (path.removesuffix(".json") for path in found if path.endswith(".json"))
    return sorted(int(stem) for stem in stems if stem.isdecimal() and len(stem) < 17)


def _entry(to: str, name: str, number: int) -> Pointer:
    [entry] = _entries(to, name, [number])
    return entry


def _entries(to: str, name: str, numbers: Iterable[int]) -> Iterator[Pointer]:
    named = {number: f"{to}/pointers/{name}/{number}.json" for number in numbers}
    read = places.read_many(list(named.values()), MAX_BYTES)
    for (number, place), data in zip(named.items(), read, strict=True):
        entry = parse_pointer(data or b"", place)
        if (entry.name, entry.number) != (name, number):
            raise InputError(
                f"{places.shown(place)}: it says that it is {entry.name} {entry.number}",
                hint="somebody put another file there; the history of the storage tells who",
            )
        yield entry


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"no pointer can be called '{name}'",
            hint="a name has lower-case letters, digits and '-', like production",
        )

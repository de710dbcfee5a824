"""What stands in a bundle: every dataset with its type and rank, and the manifest.

The writer and the reader share this table and the digests; nothing else is ever in a bundle.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, field_validator, model_validator

from sake_registry.digests import array_digest
from sake_registry.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Array = np.ndarray[Any, np.dtype[Any]]

FORMAT: Literal["sake-bundle"] = "sake-bundle"
VERSION = 4

MAX_EDITS = 1_000_000
MAX_WIDTH = 1 << 17
MAX_ROWS = 1 << 32
LIMITS: dict[int | str, int] = {
    "B": 64 << 20,
    "E": MAX_EDITS,
    "G": 1 << 24,
    "M": 1 << 24,
    "Q": 1 << 20,
    "d": MAX_WIDTH,
    "e": MAX_WIDTH,
    "w": MAX_WIDTH,
    "p": MAX_WIDTH,
}
"""The largest length of each letter of a shape; of the others it is `MAX_ROWS`."""
STRUCTURE = 1 << 17
"""Bytes that are more than HDF5's own structures take in any bundle: 9 kB, and alignment."""
PROBES = 8
DIGEST = 32
PARTS = ("maps", "router", "activations")
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Dataset:
    """A dataset that a bundle may hold: its path, element type and shape.

    A letter in the shape is a length; the same letter is the same length everywhere:
    E edits, G groups, M maps, R basis rows, P router points, N, F activation rows, d the site's
    width, e the embedder's, p the metric's, Q its background rows; w is e, or 0 where the metric
    has no projection.
    """

    path: str
    dtype: str
    shape: tuple[int | str, ...]
    optional: bool = False


DATASETS = (
    Dataset("meta", "|u1", ("B",)),
    Dataset("seal", "|u1", (DIGEST,)),
    Dataset("digests", "|u1", ("E", len(PARTS), DIGEST)),
    Dataset("index/groups", "<i8", ("E+1",)),
    Dataset("index/steps", "<i8", ("G+1",)),
    Dataset("index/basis", "<i8", ("M+1",)),
    Dataset("index/points", "<i8", ("E+1",)),
    Dataset("index/activations", "<i8", ("G+1", 2)),
    Dataset("maps/source_mean", "<f4", ("M", "d")),
    Dataset("maps/target_mean", "<f4", ("M", "d")),
    Dataset("maps/basis", "<f4", ("R", "d")),
    Dataset("maps/scale", "<f4", ("R",)),
    Dataset("router/points", "<f4", ("P", "e")),
    Dataset("router/projection", "<f4", ("w", "p")),
    Dataset("router/background", "<f4", ("Q", "p")),
    Dataset("probe/activations", "<f4", (PROBES, "d")),
    Dataset("activations/plain", "<f4", ("N", "d"), optional=True),
    Dataset("activations/forced", "<f4", ("F", "d"), optional=True),
    Dataset("activations/target", "<f4", ("N", "d"), optional=True),
    Dataset("activations/worked", "|u1", ("N",), optional=True),
    Dataset("activations/context", "<i2", ("N",), optional=True),
)
BY_PATH = {dataset.path: dataset for dataset in DATASETS}
SEALED = ("meta", "digests", "index/groups", "index/steps", "index/basis", "index/points",
          "index/activations", "probe/activations", "router/projection",
          "router/background")  # fmt: skip


def manifest_limits(edits: int, groups: int, maps: int) -> tuple[int, int]:
    """How long a manifest may be, in bytes, and how many commas and brackets it may have.

    An edit takes about a kilobyte, and it and each of its groups and maps about twenty signs. What
    is far above is there to use up memory and time: three bytes of JSON become a hundred.
    """
    return (1 << 20) + (edits << 16), (1 << 16) + ((edits + groups + maps) << 10)


def manifest_size(meta: bytes) -> tuple[int, int]:
    """What `manifest_limits` limits."""
    return len(meta), sum(meta.count(sign) for sign in (b",", b"[", b"{"))


def _day(value: object) -> object:
    """The date that a text of the manifest is; nothing else is one, nor is "0" 1970-01-01."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError("it is not a date such as 2026-01-31")
    return date.fromisoformat(value)


Day = Annotated[date, BeforeValidator(_day)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=MAX_ROWS)]
Size = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(pattern=r"\S")]
DETECTOR_WIDTH = 512
"""Of the router points that the scope detector reads."""
RouterKind = Literal["detector", "anchored", "centre"]
Need = Literal["any", "all"]


class IdentityInfo(Value):
    checkpoint: Hash
    config: Hash
    tokenizer: Hash
    embedder: Hash


class ModelInfo(Value):
    """The exact model that the activations come from."""

    name: str
    architecture: str
    hash: Hash
    identity: IdentityInfo
    dtype: Literal["float32", "bfloat16", "float16"]
    site: Literal["lm_head.input"]
    width: Annotated[int, Field(ge=1, le=MAX_WIDTH)]


class EmbedderInfo(Value):
    name: str
    width: Annotated[int, Field(ge=1, le=MAX_WIDTH)]


class MetricInfo(Value):
    """How the router compares questions; the topics are runs of background rows."""

    kind: Literal["contrast", "euclidean", "cosine", "mahalanobis"]
    topics: tuple[tuple[str, Annotated[int, Field(ge=1, le=1 << 20)]], ...] = ()


class Route(Value):
    """One way into an edit: to `group` (or against it, -1), by `rows` of its points.

    A prompt must name `names`: one of them (`any`), or each (`all`); none are needed if empty.
    `ends` has the last word of each row's text where it tells what is asked ("in"); it is empty
    if they are not known. `links` are the telling words that an implication shares with the fact
    ("the gender of the mother of X"): a question with none of them asks of the subject itself.
    `texts` are the texts of its points, for the detector to read.
    """

    group: Annotated[int, Field(ge=-1, le=MAX_ROWS)]
    names: tuple[Text, ...]
    need: Need
    rows: Annotated[int, Field(ge=1, le=MAX_ROWS)]
    ends: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


class Step(Value):
    """One map: the place of its token in the object, or right behind it; how its pairs came out,
    what was fitted."""

    position: Count
    worked: Count
    used: Count
    sources: str
    reg: Size
    share: str | None
    complement: Share
    solver: str
    score: Share | None
    margin: float | None
    rank: Count
    scale_min: Size
    scale_max: Size
    residual: Size


class Group(Value):
    """The maps to one object: its tokens, what ends it where the model would run on, its pairs, and
    how often the model goes on by itself."""

    kind: Literal["fact", "implication"]
    old: Text | None
    new: Text
    tokens: Annotated[tuple[Count, ...], Field(min_length=1)]
    closing: Count | None
    written: Count
    added: Count
    worked: Count
    contexts: tuple[Count, ...]
    goes_on: tuple[Share, ...]
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _steps_are_of_tokens(self) -> Group:
        positions = [step.position for step in self.steps]
        if positions[0] != 0 or positions != sorted(set(positions)):
            raise ValueError("its maps are not in the order of its tokens")
        # Of a long object the first tokens were looked at, and not its end.
        unread = len(self.tokens) - 1 - len(self.goes_on)
        if positions[-1] >= self.states or unread < 0 or (unread and self.closing is not None):
            raise ValueError("its maps are not those of its tokens")
        return self

    @property
    def states(self) -> int:
        """How many states each pair was read in: before each token that was looked at, and behind
        the object where there is a closing one."""
        return len(self.goes_on) + 1 + (self.closing is not None)

    @property
    def score(self) -> float | None:
        """The share of held-out prompts that every map leads on; the lowest of its tokens' maps."""
        of_object = [step.score for step in self.steps if step.position < len(self.tokens)]
        return min((score for score in of_object if score is not None), default=None)


class _Claim(Value):
    """What an edit's file says."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    key: Hash
    subject: Annotated[tuple[str, ...], Field(min_length=1)]
    relation: str
    old: str | None
    new: Annotated[tuple[str, ...], Field(min_length=1)]


class Routing(Value):
    """How prompts are told to be in scope of one edit; the numbers are its router points.

    Attributes:
        threshold: how far a question may be from the edit's own, in the metric's space.
        implied: the threshold of implications, the groups after the first; None for the same.
        topics: the metric's topics that ask what the edit asks: no background to it.
        asks: what the detector takes for the relation's name.
    """

    kind: RouterKind
    threshold: Annotated[float, Field(gt=0)]
    implied: Annotated[float, Field(gt=0)] | None = None
    topics: tuple[str, ...] = ()
    asks: str = ""
    routes: tuple[Route, ...]


class EditInfo(Routing, _Claim):  # the fields of the last base stand first
    """One edit of a bundle."""

    groups: tuple[Group, ...]
    warnings: tuple[str, ...] = ()
    valid_from: Day | None = None
    valid_until: Day | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """The compiler's warnings, and what is said of few prompts."""
        return (*self.warnings, *filter(None, [self.few_prompts]))

    @property
    def few_prompts(self) -> str:
        """Of an edit with few prompts, that its reach is not known; else nothing."""
        written = self.groups[0].written if self.groups else FEW
        if written >= FEW:
            return ""
        few = "1 prompt" if written == 1 else f"{written} prompts"
        return (
            f"{few}: how many other wordings reach it is not known, {TYPICAL_REACH} % as a rule; "
            "write more in other words, and holdout prompts, or ask `sake test --probe`"
        )


FEW = 3
"""An edit with fewer prompts of its own is said to have few."""
TYPICAL_REACH = 85
"""Of wordings of facts with one or two prompts, the share that reaches the edit, in percent
(docs/scope-detector.md)."""
DECIDING: tuple[tuple[str, str, type], ...] = (
    ("answer", "exact", bool),
    ("answer", "guard", bool),
    ("router", "last_names", bool),
    ("router", "learned", str),
    ("router", "representation", str),
    ("router", "tasks", str),
)
"""The settings that a reader goes by; the others are there to be read by people."""


class Manifest(Value):
    """The `meta` dataset: everything about a bundle but its numbers.

    Format and version stand first, so that a reader of another version can say what it has.
    """

    format: Literal["sake-bundle"]
    version: Annotated[int, Field(ge=VERSION, le=VERSION)]
    method: Annotated[int, Field(ge=1, le=MAX_ROWS)]
    key: Hash
    content_hash: Hash
    partial: bool
    model: ModelInfo
    embedder: EmbedderInfo
    metric: MetricInfo
    probe_texts: Annotated[tuple[str, ...], Field(min_length=PROBES, max_length=PROBES)]
    edits: Annotated[tuple[EditInfo, ...], Field(max_length=MAX_EDITS)]
    settings: dict[str, Any]
    versions: dict[str, str]
    provenance: dict[str, str | bool | dict[str, tuple[Text, ...]] | None]

    def reviewers(self, edit: str) -> tuple[str, ...]:
        """Those who reviewed an edit, as the commits say that it was compiled from."""
        named = self.provenance.get("reviewers")
        return named.get(edit, ()) if isinstance(named, dict) else ()

    def setting(self, section: str, name: str, default: Any) -> Any:
        """A setting that it was compiled with."""
        return self.settings.get(section, {}).get(name, default)

    @field_validator("settings")
    @classmethod
    def _kinds_are_known(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """What decides how a bundle is used is of its kind: the text "no" is not false. And 1e999,
        which JSON may spell, is not a number."""
        try:
            json.dumps(settings, allow_nan=False)
        except ValueError as error:
            raise ValueError("a value is not a number") from error
        for section, name, kind in DECIDING:
            table = settings.get(section, {})
            if not isinstance(table, dict):
                raise ValueError(f"'{section}' is not a table")
            if not isinstance(table.get(name, kind()), kind):
                raise ValueError(f"'{section}.{name}' is not of the kind {kind.__name__}")
        return settings

    @field_validator("edits")
    @classmethod
    def _each_once(cls, edits: tuple[EditInfo, ...]) -> tuple[EditInfo, ...]:
        for before, after in pairwise(edits):
            if before.id >= after.id:
                raise ValueError(f"'{after.id}' stands twice or out of order")
        return edits


def part_digest(part: str, arrays: Mapping[str, Array]) -> bytes:
    """SHA-256 of the arrays of one part: names, types, shapes and bytes."""
    contiguous = ((name, np.ascontiguousarray(arrays[name])) for name in sorted(arrays))
    # The numbers themselves, uncopied: the points of many edits are most of a gigabyte.
    rows = ((name, array.dtype.str, array.shape, array.ravel().data) for name, array in contiguous)
    return array_digest(rows, before=part.encode())


def router_arrays(info: EditInfo, points: Array) -> dict[str, Array]:
    """What the router digest of an edit is taken over.

    The bounds and the routes as numbers, and their words as JSON of strings alone, so that a
    reader in another language need not spell numbers as Python does.
    """
    words = _COMPACT.encode(
        [
            info.kind,
            [route.names for route in info.routes],
            [route.ends for route in info.routes],
            [route.links for route in info.routes],
            [route.texts for route in info.routes],
            info.asks,
            info.topics,
        ]
    )
    numbers = [[route.group, route.rows, int(route.need == "all")] for route in info.routes]
    return {
        "points": points,
        "threshold": np.array([info.threshold, info.implied or info.threshold], "<f8"),
        "routes": np.array(numbers, "<i8").reshape(-1, 3),
        "names": np.frombuffer(words.encode(), "|u1"),
    }


def map_arrays(
    groups: Sequence[Group], maps: Sequence[Sequence[Mapping[str, Array]]]
) -> dict[str, Array]:
    """What the maps digest of an edit is taken over.

    Of each group its objects, old and new, as JSON, and the new one's tokens with the closing one,
    or -1, behind them; of each of its maps the factors, where it stands, and what it keeps of the
    complement.
    """
    arrays: dict[str, Array] = {}
    for g, (group, steps) in enumerate(zip(groups, maps, strict=True)):
        objects = _COMPACT.encode([group.old, group.new])
        arrays[f"{g}/objects"] = np.frombuffer(objects.encode(), "|u1")
        closing = -1 if group.closing is None else group.closing
        arrays[f"{g}/tokens"] = np.array([*group.tokens, closing], "<i8")
        for s, (step, factors) in enumerate(zip(group.steps, steps, strict=True)):
            arrays |= {f"{g}/{s}/{name}": array for name, array in factors.items()}
            arrays[f"{g}/{s}/step"] = np.array([step.position, step.complement], "<f8")
    return arrays


def content_hash(edits: Iterable[tuple[str, str, bytes]]) -> str:
    """The root over (edit id, edit key, the edit's three digests), in any order."""
    state = hashlib.sha256(FORMAT.encode())
    for edit, key, digests in sorted(edits):
        state.update(hashlib.sha256(f"{edit}|{key}|".encode() + digests).digest())
    return state.hexdigest()


def seal(arrays: Mapping[str, Array]) -> bytes:
    """The digest over everything that is read before any edit's payload."""
    return part_digest("seal", {path: arrays[path] for path in SEALED})

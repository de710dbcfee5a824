"""A benchmark run as one value, schema `bench/1`: written, read, shown and described by a class.

`Run.model_dump` writes it, `Run.read` reads it back strictly, `Run.model_json_schema` describes
it. Looking up resolves what stands in several places: a method that changes weights is measured
`alone` (one edit at a time: the counterpart of `given` and `own-centre`) or `together` (all edits
in the weights: the counterpart of `all-edits`), the unedited model is in no scope (`none`) and
stands beside all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeInt,
    ValidationError,
)

from sake_bench.protocol import (
    CONDITIONS,
    METRICS,
    PROTOCOL,
    ROUTED,
    SEVERAL,
    SUCCESSES,
    Scope,
    Success,
)
from sake_registry.errors import InputError
from sake_registry.values import Value

STANDS_FOR: dict[Scope, tuple[Scope, ...]] = {
    "given": ("given", "alone", "none"),
    "own-centre": ("own-centre", "alone", "none"),
    "all-edits": ("all-edits", "together", "none"),
}
"""Where a side-by-side table of a scope looks for a method's score, in this order."""


def _known(metric: str) -> str:
    if metric not in METRICS:
        raise ValueError(f"one of {', '.join(METRICS)} is expected")
    return metric


MetricName = Annotated[str, AfterValidator(_known)]
Points = tuple[tuple[float, float], ...]


class Estimate(Value):
    """A mean over `n` things of `edits` edits with its 95 % interval; all None where n is 0."""

    value: float | None
    low: float | None
    high: float | None
    n: NonNegativeInt
    edits: NonNegativeInt = 0


class Score(Value):
    """One figure of one method under one protocol."""

    method: str
    scope: Scope
    metric: MetricName
    success: Success | None
    condition: Literal["applied", "not applied", "several tokens"] | None
    value: float | None
    low: float | None
    high: float | None
    n: NonNegativeInt
    edits: NonNegativeInt


class MethodResult(Value):
    """A method that was measured; `failed` holds the edits it could not make, and why."""

    name: str
    description: str
    edits: NonNegativeInt
    failed: dict[str, str]
    threshold: float | None
    calibrated: str | None
    settings: dict[str, JsonValue]


class RelationScore(Value):
    """A share of the tests of one relation's edits."""

    method: str
    scope: Scope
    metric: MetricName
    success: Success | None
    relation: str
    label: str
    value: float
    n: NonNegativeInt


class KindScore(Score):
    """A score of the tests of one kind: a class of wording, or a language."""

    kind: str


class Cost(Value):
    """What a request costs, asked alone: `cpu_ms` and `times_base` are medians over requests.

    `tokens` is how many the prompts have on average, what is stated before them included;
    `times_base` is the CPU time as a multiple of the unedited model's for the same request.
    """

    method: str
    requests: NonNegativeInt
    tokens: float
    cpu_ms: float
    times_base: float


class Undo(Value):
    """What is left of a method when its edits are taken off again.

    Logits are those after each prompt; `differing` counts the ones that are not what they were
    before, to the bit. `same_attached` is the share of prompts after which every logit was the
    same while the edits were on, `fired` the share for which an edit fired.
    """

    method: str
    edits: NonNegativeInt
    prompts: NonNegativeInt
    logits: NonNegativeInt
    differing: NonNegativeInt
    same_attached: float
    fired: float


class Ability(Value):
    """How well multiple-choice questions are answered, bare and with a method's edits attached.

    `same` is the share of questions whose log-likelihoods are equal to the bit, `differing` how
    many are not, `fired` for how many an edit fired.
    """

    method: str
    file: str
    sha256: str
    edits: NonNegativeInt
    bare: Estimate
    attached: Estimate
    same: float
    differing: NonNegativeInt
    fired: NonNegativeInt


class Filled(Value):
    """A method's bundle as it was attached for costs, undo and ability: `made_up` of its edits
    are the data's again, under made-up subjects."""

    method: str
    edits: NonNegativeInt
    made_up: NonNegativeInt


class ThresholdPoint(Value):
    threshold: float
    acc: float | None
    gen: float | None
    spec: float | None


class ThresholdCurve(Value):
    """What a router's threshold trades: points over it, and the one that was chosen."""

    method: str
    scope: Scope = "all-edits"
    success: Success = "first-token"
    n: dict[str, NonNegativeInt]
    points: tuple[ThresholdPoint, ...]
    chosen: float | None
    calibrated: str | None


class PromptPoint(Value):
    prompts: NonNegativeInt
    acc: Estimate
    gen: Estimate


class PromptCurve(Value):
    """What more prompts an edit bring."""

    method: str
    scope: Scope = "given"
    success: Success = "first-token"
    points: tuple[PromptPoint, ...]


class LoadPoint(Value):
    loaded: NonNegativeInt
    acc: Estimate
    gen: Estimate
    spec: Estimate


class LoadCurve(Value):
    """What becomes of an edit as more are loaded beside it."""

    method: str
    scope: Scope = "all-edits"
    success: Success = "first-token"
    points: tuple[LoadPoint, ...]


class ScalePoint(Value):
    """Routing with so many edits loaded; `memory` (MiB) and seconds are those of loading and
    attaching, the sentence encoder with them, `cpu_ms` is the median of a decision."""

    loaded: NonNegativeInt
    made_up: NonNegativeInt
    reach: Estimate
    false_fires: Estimate
    seconds: float
    cpu_seconds: float
    memory: float
    cpu_ms: float


class ScaleCurve(Value):
    """What many loaded edits do to routing, and what they take."""

    method: str
    points: tuple[ScalePoint, ...]


class Projection(Value):
    """Activations of one edit in the plane in which they differ most; `explained` is the share
    of the variance on each axis."""

    edit: str
    claim: str
    method: str
    explained: tuple[float, ...]
    source: Points
    target: Points
    mapped: Points


class Model(Value):
    """What was edited."""

    name: str
    hash: str
    dtype: str


class PromptCounts(Value):
    """How many prompts the edits have."""

    min: NonNegativeInt
    median: int | float
    max: NonNegativeInt


class Data(Value):
    """What was measured on, and what of it was not."""

    name: str
    file: str
    sha256: str
    records: NonNegativeInt
    limit: int | None
    seed: int
    conflicts: tuple[str, ...]
    problems: tuple[str, ...]
    unanswerable: NonNegativeInt = 0
    held_in: NonNegativeInt = 0
    aliases: str = "none"
    left_out: tuple[str, ...] = ()
    prompts: PromptCounts
    implications: str | None


class Run(Value):
    """A benchmark run: what was measured, how, on what, and where."""

    model_config = ConfigDict(serialize_by_alias=True)

    schema_: Literal["bench/1"] = Field("bench/1", alias="schema")
    model: Model
    data: Data
    protocol: dict[str, str]
    methods: tuple[MethodResult, ...]
    scores: tuple[Score, ...]
    relations: tuple[RelationScore, ...]
    threshold_curves: tuple[ThresholdCurve, ...] = ()
    prompt_curve: tuple[PromptCurve, ...] = ()
    load_curves: tuple[LoadCurve, ...] = ()
    scale_curves: tuple[ScaleCurve, ...] = ()
    projections: tuple[Projection, ...] = ()
    kinds: tuple[KindScore, ...] = ()
    costs: tuple[Cost, ...] = ()
    undone: tuple[Undo, ...] = ()
    abilities: tuple[Ability, ...] = ()
    filled: tuple[Filled, ...] = ()
    environment: dict[str, JsonValue]

    @classmethod
    def read(cls, text: str | bytes) -> Run:
        """The run that a JSON text holds; nothing is guessed and nothing converted.

        Raises:
            InputError: it holds none; the message names the place of what is wrong.
        """
        try:
            return cls.model_validate_json(text, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"])
            shown = f", not {str(first['input'])[:40]!r}" if first["loc"] else ""
            raise InputError(
                f"the run: {place[1:] or 'JSON'}: {first['msg']}{shown}",
                hint="give the JSON that `sake bench run --json` writes",
            ) from error

    def method(self, name: str) -> MethodResult | None:
        """The method of that name."""
        return next((method for method in self.methods if method.name == name), None)

    def score(
        self,
        method: str,
        scope: Scope,
        metric: str,
        success: Success | None = None,
        condition: str | None = "applied",
    ) -> Score | None:
        """The score that stands in a table of `scope`, or None if it was not measured.

        A metric that knows no success protocol or no condition is found under any; but a part of
        the objects never stands for all of them, nor all for a part.
        """
        conditions = (condition,) if condition == SEVERAL else (condition, None)
        for place in STANDS_FOR.get(scope, (scope,)):
            for score in self.scores:
                if (
                    (score.method, score.scope, score.metric) == (method, place, metric)
                    and score.success in (success, None)
                    and score.condition in conditions
                ):
                    return score
        return None

    def scopes(self, metrics: Iterable[str] = METRICS) -> tuple[Scope, ...]:
        """The scopes for which tables of these metrics are to be made (see `shown_scopes`)."""
        wanted = set(metrics)
        return shown_scopes({score.scope for score in self.scores if score.metric in wanted})

    def successes(self, metrics: Iterable[str] = METRICS) -> tuple[Success, ...]:
        """The success protocols under which any of the metrics was measured."""
        wanted = set(metrics)
        measured = {score.success for score in self.scores if score.metric in wanted}
        return tuple(success for success in SUCCESSES if success in measured)

    def success_of(self, metric: str, success: Success | None) -> Success | None:
        """The success protocol of a metric beside others under `success`.

        That one if it was measured under it, else the one under which it was; a metric that knows
        none is found under any.
        """
        measured = {score.success for score in self.scores if score.metric == metric}
        if success in measured or None in measured or not measured:
            return success
        return next((known for known in SUCCESSES if known in measured), success)

    def conditions(self, metrics: Iterable[str]) -> tuple[str, ...]:
        """The conditions under which any of the metrics was measured."""
        wanted = set(metrics)
        measured = {score.condition for score in self.scores if score.metric in wanted}
        return tuple(name for name in CONDITIONS if name in measured and name != SEVERAL)

    def measured(self, metrics: Iterable[str]) -> tuple[str, ...]:
        """Those of the metrics of which the run holds a score."""
        measured = {score.metric for score in self.scores}
        return tuple(metric for metric in metrics if metric in measured)

    def relation_groups(
        self,
    ) -> list[tuple[Scope, Success | None, str, tuple[RelationScore, ...]]]:
        """(scope, success, metric, its scores by relation), the hardest scope first."""
        kinds = dict.fromkeys((r.success, r.metric) for r in self.relations)
        groups = []
        for scope in reversed(shown_scopes({r.scope for r in self.relations})):
            for success, metric in kinds:
                of_kind = [r for r in self.relations if (r.success, r.metric) == (success, metric)]
                best: dict[str, Scope] = {}
                for place in reversed(STANDS_FOR[scope]):
                    best |= {r.method: place for r in of_kind if r.scope == place}
                shown = tuple(r for r in of_kind if best.get(r.method) == r.scope)
                if shown:
                    groups.append((scope, success, metric, shown))
        return groups

    @property
    def edits(self) -> int:
        """How many edits the run is about: the most that any method was given."""
        return max((method.edits for method in self.methods), default=0)

    @property
    def lead(self) -> MethodResult | None:
        """The method that the report is about: `sake`, or the first that is not the base."""
        edited = [method for method in self.methods if method.name != "base"]
        return self.method("sake") or next(iter(edited), None)

    def meaning(self, name: str) -> str:
        """What a success, a scope, a metric or a condition (`condition applied`) means, as a
        sentence: in the run's own words, or in the usual ones."""
        return sentence(self.protocol.get(name) or PROTOCOL.get(name) or name)


def shown_scopes(measured: set[Scope]) -> tuple[Scope, ...]:
    """The scopes for which tables are to be made, of those measured.

    Weights changed by one edit at a time stand beside both `given` and `own-centre`; where neither
    was measured, `given` is shown.
    """
    scopes = [scope for scope in ROUTED if scope in measured]
    if "together" in measured and "all-edits" not in scopes:
        scopes.append("all-edits")
    alone = "alone" in measured or (not scopes and "none" in measured)
    if alone and not {"given", "own-centre"} & set(scopes):
        scopes.insert(0, "given")
    return tuple(scopes)


def sentence(text: str) -> str:
    """The text with a capital at its beginning and a stop at its end."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."

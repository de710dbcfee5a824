"""A typed view on the JSON of a benchmark run (`bench/1`).

Reading is strict: a value of the wrong kind is an error that names its place, and nothing is
guessed. Looking up resolves what stands in several places: a method that changes weights is
measured `alone` (one edit at a time: the counterpart of `given` and `own-centre`) or `together`
(all edits in the weights: the counterpart of `all-edits`), the unedited model is in no scope
(`none`) and stands beside all of them. A share is written in percent with its 95 % interval; what
was not measured is a dash, never a zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sake_registry.errors import InputError
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SCHEMA = "bench/1"
MISSING = "–"
SCOPES = ("given", "own-centre", "all-edits")
SUCCESSES = ("first-token", "full-object")
CONDITIONS = ("applied", "not applied")
SEVERAL = "several tokens"
"""The condition that the new object has several tokens: a part of what is scored without it."""
STANDS_FOR: dict[str, tuple[str, ...]] = {
    "given": ("given", "alone", "none"),
    "own-centre": ("own-centre", "alone", "none"),
    "all-edits": ("all-edits", "together", "none"),
}
"""Where a side-by-side table of a scope looks for a method's score, in this order."""

SCOPE_NAMES = {
    "given": "The right edit is given",
    "own-centre": "The router knows only the right edit",
    "all-edits": "All edits loaded",
    "alone": "one edit at a time in the weights",
    "together": "all edits in the weights",
    "none": "unedited",
}
SCOPE_SENTENCES = {
    "given": "The right edit's map is always applied; no router decides.",
    "own-centre": "The router decides, but knows only the edit that is meant.",
    "all-edits": "The router decides among all edits, as in use.",
    "alone": "The weights are changed by one edit at a time and restored after it.",
    "together": "The weights are changed by all edits at once.",
}
SUCCESS_SENTENCES = {
    "first-token": "The first token of the answer is the first token of the expected object.",
    "full-object": "The greedy answer begins with the whole expected object or an alias of it.",
}

CONDITION_SENTENCES = {
    "applied": "Only tests whose condition queries the model passes are scored.",
    "not applied": "Every test is scored, whatever the model knows.",
    SEVERAL: "Only new objects of more than one token are scored.",
}


@dataclass(frozen=True)
class Metric:
    """What is measured: its short name in tables, its name, and what it means in one sentence."""

    short: str
    name: str
    sentence: str
    unit: Literal["share", "bits"] = "share"
    better: Literal["higher", "lower", "unedited"] = "higher"


METRICS: dict[str, Metric] = {
    "acc": Metric("Acc", "Accuracy", "The edit's own prompt is answered with the new object."),
    "gen": Metric("Gen", "Generality", "Paraphrases of it are answered with the new object, too."),
    "spec": Metric(
        "Spec", "Specificity", "Questions about other subjects keep the answer they should have."
    ),
    "unchanged": Metric(
        "Unchanged",
        "Bit-unchanged",
        "Questions about other subjects are answered exactly as by the unedited model.",
    ),
    "di": Metric(
        "DI", "Doubt I", "The new object is kept when the prompt claims that it cannot be right."
    ),
    "dii": Metric(
        "DII", "Doubt II", "The new object is kept when the prompt argues for the old one."
    ),
    "ci": Metric(
        "CI",
        "Compositionality I",
        "Questions that go on from the new object are answered with what follows from it.",
    ),
    "cii": Metric(
        "CII",
        "Compositionality II",
        "Questions that reach the subject by another fact are answered with the new object.",
    ),
    "sa": Metric("SA", "Subject aliasing", "The edit holds when the subject has another name."),
    "sa-listed": Metric(
        "SA listed",
        "Subject aliasing, listed names",
        "The edit holds when the subject has another name that the edit file states.",
    ),
    "sa-unlisted": Metric(
        "SA unlisted",
        "Subject aliasing, unlisted names",
        "The edit holds when the subject has another name that the edit file does not state.",
    ),
    "rs": Metric("RS", "Relation specificity", "Other facts about the same subject stay."),
    "lg": Metric(
        "LG", "Logical generalization", "What follows by logic, such as the converse, holds, too."
    ),
    "forgetfulness": Metric(
        "Forgetfulness",
        "Forgetfulness",
        "Where a relation has several objects, the ones beside the new one are still known.",
    ),
    "portability": Metric("Portability", "Portability", "What follows from the edit holds, too."),
    "locality": Metric("Locality", "Locality", "What the edit does not concern stays."),
    "other-relation": Metric(
        "Other relations",
        "Other relations left alone",
        "Questions about the same subject that ask something else are answered exactly as by the "
        "unedited model.",
    ),
    "question": Metric(
        "Question",
        "Asked as a question",
        "The answer to the fact as a question names the new object and not the old one.",
    ),
    "question-new": Metric(
        "Q: new", "Question: new object", "The answer to a question names the new object."
    ),
    "question-old": Metric(
        "Q: old",
        "Question: old object",
        "The answer to a question names the old object.",
        better="lower",
    ),
    "chat": Metric(
        "Chat",
        "Asked in a chat",
        "The same question through the model's chat template: the answer names the new object "
        "and not the old one.",
    ),
    "chat-new": Metric("Chat: new", "Chat: new object", "The answer in a chat names the new one."),
    "chat-old": Metric(
        "Chat: old", "Chat: old object", "The answer in a chat names the old one.", better="lower"
    ),
    "relapse": Metric(
        "Relapse",
        "Relapse",
        "The old object comes back later in a longer answer.",
        better="lower",
    ),
    "collateral": Metric(
        "Collateral",
        "Collateral damage",
        "Unrelated prompts whose answer changes at all.",
        better="lower",
    ),
    "fluency": Metric(
        "Fluency",
        "Fluency",
        "Entropy of the answers' n-grams in bits; low when a text repeats itself. "
        "Good is what the unedited model has.",
        unit="bits",
        better="unedited",
    ),
}


@dataclass(frozen=True)
class Value:
    """A figure with its interval; `n` things were scored."""

    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Score:
    """One figure of one method under one protocol."""

    method: str
    scope: str
    metric: str
    success: str | None
    condition: str | None
    figure: Value
    edits: int


@dataclass(frozen=True)
class Method:
    """A method that was measured; `failed` holds the edits it could not make, and why."""

    name: str
    description: str
    edits: int
    failed: Mapping[str, str]
    threshold: float | None
    calibrated: str | None
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class RelationScore:
    """A figure for the edits of one relation."""

    method: str
    scope: str
    metric: str
    success: str | None
    relation: str
    label: str
    value: float
    n: int


@dataclass(frozen=True)
class ThresholdPoint:
    threshold: float
    acc: float | None
    gen: float | None
    spec: float | None


@dataclass(frozen=True)
class ThresholdCurve:
    """What a router's threshold trades: points over it, and the one that was chosen."""

    method: str
    success: str
    points: tuple[ThresholdPoint, ...]
    chosen: float | None
    calibrated: str | None
    n: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PromptPoint:
    prompts: int
    values: Mapping[str, Value]


@dataclass(frozen=True)
class PromptCurve:
    """What more prompts an edit bring."""

    method: str
    scope: str
    success: str
    points: tuple[PromptPoint, ...]


@dataclass(frozen=True)
class LoadPoint:
    loaded: int
    values: Mapping[str, Value]


@dataclass(frozen=True)
class LoadCurve:
    """What becomes of an edit as more are loaded beside it."""

    method: str
    scope: str
    success: str
    points: tuple[LoadPoint, ...]


Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Projection:
    """Activations of one edit in the plane in which they differ most."""

    edit: str
    claim: str
    method: str
    explained: tuple[float, ...]
    source: Points
    target: Points
    mapped: Points


@dataclass(frozen=True)
class Run:
    """A benchmark run. `model`, `data`, `protocol`, `environment` are as in the JSON."""

    model: Mapping[str, Any]
    data: Mapping[str, Any]
    protocol: Mapping[str, str]
    methods: tuple[Method, ...]
    scores: tuple[Score, ...]
    relations: tuple[RelationScore, ...]
    threshold_curves: tuple[ThresholdCurve, ...]
    prompt_curves: tuple[PromptCurve, ...]
    load_curves: tuple[LoadCurve, ...]
    projections: tuple[Projection, ...]
    environment: Mapping[str, Any]

    def method(self, name: str) -> Method | None:
        """The method of that name."""
        return next((method for method in self.methods if method.name == name), None)

    def score(
        self,
        method: str,
        scope: str,
        metric: str,
        success: str | None = None,
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

    def scopes(self, metrics: Iterable[str] | None = None) -> tuple[str, ...]:
        """The scopes for which tables of these metrics are to be made (see `shown_scopes`)."""
        wanted = set(METRICS if metrics is None else metrics)
        return shown_scopes({score.scope for score in self.scores if score.metric in wanted})

    def successes(self, metrics: Iterable[str] | None = None) -> tuple[str, ...]:
        """The success protocols under which any of the metrics was measured."""
        wanted = set(METRICS if metrics is None else metrics)
        found = {score.success for score in self.scores if score.metric in wanted}
        return tuple(success for success in SUCCESSES if success in found)

    def success_of(self, metric: str, success: str | None) -> str | None:
        """The success protocol of a metric beside others under `success`.

        That one if it was measured under it, else the one under which it was; a metric that knows
        none is found under any.
        """
        found = {score.success for score in self.scores if score.metric == metric}
        if success in found or None in found or not found:
            return success
        return next((known for known in SUCCESSES if known in found), success)

    def relation_groups(self) -> list[tuple[str, str | None, str, tuple[RelationScore, ...]]]:
        """(scope, success, metric, its scores by relation), the hardest scope first."""
        kinds = dict.fromkeys((r.success, r.metric) for r in self.relations)
        scopes = shown_scopes({r.scope for r in self.relations})
        groups = []
        for scope in reversed(scopes):
            for success, metric in kinds:
                of_kind = [r for r in self.relations if (r.success, r.metric) == (success, metric)]
                best: dict[str, str] = {}
                for place in reversed(STANDS_FOR[scope]):
                    best |= {r.method: place for r in of_kind if r.scope == place}
                found = tuple(r for r in of_kind if best.get(r.method) == r.scope)
                if found:
                    groups.append((scope, success, metric, found))
        return groups

    def conditions(self, metrics: Iterable[str]) -> tuple[str, ...]:
        """The conditions under which any of the metrics was measured."""
        wanted = set(metrics)
        found = {score.condition for score in self.scores if score.metric in wanted}
        return tuple(condition for condition in CONDITIONS if condition in found)

    def measured(self, metrics: Iterable[str]) -> tuple[str, ...]:
        """Those of the metrics of which the run holds a score."""
        found = {score.metric for score in self.scores}
        return tuple(metric for metric in metrics if metric in found)

    def lead(self) -> Method | None:
        """The method that the report is about: `sake`, or the first that is not the base."""
        edited = [method for method in self.methods if method.name != "base"]
        return self.method("sake") or next(iter(edited), None)

    def sentence(self, name: str) -> str:
        """What a scope or success protocol means: the run's own words, or the usual ones."""
        own = self.protocol.get(name)
        usual = SCOPE_SENTENCES.get(name) or SUCCESS_SENTENCES.get(name)
        return sentence(own or usual or name)

    def condition_sentence(self, condition: str) -> str:
        """What it means that the conditions of a test are applied, or are not."""
        own = self.protocol.get(f"condition {condition}")
        return sentence(own or CONDITION_SENTENCES.get(condition, condition))


def shown_scopes(found: set[str]) -> tuple[str, ...]:
    """The scopes for which tables are to be made, of those measured.

    Weights changed by one edit at a time stand beside both `given` and `own-centre`; where neither
    was measured, `given` is shown.
    """
    scopes = [scope for scope in SCOPES if scope in found]
    if "together" in found and "all-edits" not in scopes:
        scopes.append("all-edits")
    alone = "alone" in found or (not scopes and "none" in found)
    if alone and not {"given", "own-centre"} & set(scopes):
        scopes.insert(0, "given")
    return tuple(scopes)


def sentence(text: str) -> str:
    """The text with a capital at its beginning and a stop at its end."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def edits_remark(run: Run, method: Method) -> list[str]:
    """`40 of 100 edits`, `2 failed`, where it is so."""
    remarks = []
    asked = _asked_edits(run)
    if method.edits < asked:
        remarks.append(f"{method.edits} of {count(asked, 'edit')}")
    if method.failed:
        remarks.append(f"{len(method.failed)} failed")
    return remarks


def _asked_edits(run: Run) -> int:
    """How many edits the run is about: the most that any method was given."""
    return max((method.edits for method in run.methods), default=0)


def percent(share: float, digits: int = 1) -> str:
    """`91.0` of 0.91; an exact half is rounded up, as people do."""
    scale = 10**digits
    return f"{math.floor(share * 100 * scale + 0.5 + 1e-9) / scale:.{digits}f}"


def figure(value: Value | None, unit: str = "share") -> str:
    """`91.0 (86–95)` in percent, `5.31 (5.20–5.42)` in bits; a dash if there is none."""
    if value is None or value.value is None:
        return MISSING
    bits = unit == "bits"
    text = f"{value.value:.2f}" if bits else percent(value.value)
    ends = [
        f"{end:.2f}" if bits else percent(end, 0)
        for end in (value.low, value.high)
        if end is not None
    ]
    return f"{text} ({ends[0]}–{ends[1]})" if len(ends) == 2 else text


def number(value: float) -> str:
    """`3`, `4.6`, `0.01`: a number as short as it can be written."""
    return f"{value:.4g}"


def read_run(value: Mapping[str, Any]) -> Run:
    """The run that a JSON object holds.

    Raises:
        InputError: it is none, or of a version that this program does not know.
    """
    if _mapping(value, "the run").get("schema") != SCHEMA:
        raise InputError(
            f"this is no benchmark run: its schema is {value.get('schema')!r}, not {SCHEMA!r}",
            hint="give the JSON that `sake bench --json` writes",
        )
    return Run(
        model=_mapping(value.get("model"), "model"),
        data=_mapping(value.get("data"), "data"),
        protocol={
            name: _text(text, f"protocol.{name}")
            for name, text in _mapping(value.get("protocol"), "protocol").items()
        },
        methods=tuple(_method(*item) for item in _items(value, "methods")),
        scores=tuple(_score(*item) for item in _items(value, "scores")),
        relations=tuple(
            relation for item in _items(value, "relations") if (relation := _relation(*item))
        ),
        threshold_curves=tuple(_threshold_curve(*i) for i in _items(value, "threshold_curves")),
        prompt_curves=tuple(_prompt_curve(*item) for item in _items(value, "prompt_curve")),
        load_curves=tuple(_load_curve(*item) for item in _items(value, "load_curves")),
        projections=tuple(_projection(*item) for item in _items(value, "projections")),
        environment=_mapping(_given(value, "environment", {}), "environment"),
    )


Item = tuple["Mapping[str, Any]", str]


def _items(value: Mapping[str, Any], name: str, inside: str = "") -> list[Item]:
    """The objects of a list, each with its place; an absent list is an empty one."""
    items = _list(_given(value, name, []), f"{inside}{name}")
    return [
        (_mapping(item, f"{inside}{name}[{i}]"), f"{inside}{name}[{i}].")
        for i, item in enumerate(items)
    ]


def _method(value: Mapping[str, Any], where: str) -> Method:
    threshold = value.get("threshold")
    return Method(
        name=_text(value.get("name"), f"{where}name"),
        description=_text(value.get("description", ""), f"{where}description"),
        edits=_whole(value.get("edits"), f"{where}edits"),
        failed={
            edit: _text(reason, f"{where}failed.{edit}")
            for edit, reason in _mapping(_given(value, "failed", {}), f"{where}failed").items()
        },
        threshold=_maybe(threshold, f"{where}threshold"),
        calibrated=_maybe_text(value.get("calibrated"), f"{where}calibrated"),
        settings=_mapping(_given(value, "settings", {}), f"{where}settings"),
    )


def _value(value: Mapping[str, Any], where: str) -> Value:
    return Value(
        value=_maybe(value.get("value"), f"{where}value"),
        low=_maybe(value.get("low"), f"{where}low"),
        high=_maybe(value.get("high"), f"{where}high"),
        n=_whole(value.get("n", 0), f"{where}n"),
    )


def _score(value: Mapping[str, Any], where: str) -> Score:
    metric = _text(value.get("metric"), f"{where}metric")
    if metric not in METRICS:
        raise _wrong(f"{where}metric", f"one of {', '.join(METRICS)}", metric)
    return Score(
        method=_text(value.get("method"), f"{where}method"),
        scope=_text(value.get("scope"), f"{where}scope"),
        metric=metric,
        success=_maybe_text(value.get("success"), f"{where}success"),
        condition=_maybe_text(value.get("condition"), f"{where}condition"),
        figure=_value(value, where),
        edits=_whole(value.get("edits", 0), f"{where}edits"),
    )


def _relation(value: Mapping[str, Any], where: str) -> RelationScore | None:
    """A relation's figure; None if nothing was scored."""
    share = _maybe(value.get("value"), f"{where}value")
    relation = _text(value.get("relation"), f"{where}relation")
    metric = _text(value.get("metric"), f"{where}metric")
    if metric not in METRICS:
        raise _wrong(f"{where}metric", f"one of {', '.join(METRICS)}", metric)
    if share is None:
        return None
    return RelationScore(
        method=_text(value.get("method"), f"{where}method"),
        scope=_text(value.get("scope"), f"{where}scope"),
        metric=metric,
        success=_maybe_text(value.get("success"), f"{where}success"),
        relation=relation,
        label=_maybe_text(value.get("label"), f"{where}label") or relation,
        value=share,
        n=_whole(value.get("n", 0), f"{where}n"),
    )


def _threshold_curve(value: Mapping[str, Any], where: str) -> ThresholdCurve:
    points = [
        ThresholdPoint(
            threshold=_number(point.get("threshold"), f"{place}threshold"),
            acc=_maybe(point.get("acc"), f"{place}acc"),
            gen=_maybe(point.get("gen"), f"{place}gen"),
            spec=_maybe(point.get("spec"), f"{place}spec"),
        )
        for point, place in _items(value, "points", where)
    ]
    return ThresholdCurve(
        method=_text(value.get("method"), f"{where}method"),
        success=_text(value.get("success"), f"{where}success"),
        points=tuple(sorted(points, key=lambda point: point.threshold)),
        chosen=_maybe(value.get("chosen"), f"{where}chosen"),
        calibrated=_maybe_text(value.get("calibrated"), f"{where}calibrated"),
        n={
            name: _whole(n, f"{where}n.{name}")
            for name, n in _mapping(_given(value, "n", {}), f"{where}n").items()
        },
    )


def _prompt_curve(value: Mapping[str, Any], where: str) -> PromptCurve:
    points = [
        PromptPoint(
            prompts=_whole(point.get("prompts"), f"{place}prompts"),
            values=_three(point, place),
        )
        for point, place in _items(value, "points", where)
    ]
    return PromptCurve(
        method=_text(value.get("method"), f"{where}method"),
        scope=_text(value.get("scope"), f"{where}scope"),
        success=_text(value.get("success"), f"{where}success"),
        points=tuple(sorted(points, key=lambda point: point.prompts)),
    )


def _three(point: Mapping[str, Any], where: str) -> dict[str, Value]:
    """Accuracy, generality and specificity of a curve's point, as far as it has them."""
    return {
        name: _value(_mapping(point[name], f"{where}{name}"), f"{where}{name}.")
        for name in ("acc", "gen", "spec")
        if point.get(name) is not None
    }


def _load_curve(value: Mapping[str, Any], where: str) -> LoadCurve:
    points = [
        LoadPoint(_whole(point.get("loaded"), f"{place}loaded"), _three(point, place))
        for point, place in _items(value, "points", where)
    ]
    return LoadCurve(
        method=_text(value.get("method"), f"{where}method"),
        scope=_text(value.get("scope"), f"{where}scope"),
        success=_text(value.get("success"), f"{where}success"),
        points=tuple(sorted(points, key=lambda point: point.loaded)),
    )


def _projection(value: Mapping[str, Any], where: str) -> Projection:
    explained = _list(_given(value, "explained", []), f"{where}explained")
    return Projection(
        edit=_text(value.get("edit"), f"{where}edit"),
        claim=_text(value.get("claim", ""), f"{where}claim"),
        method=_text(value.get("method", ""), f"{where}method"),
        explained=tuple(_number(share, f"{where}explained") for share in explained),
        source=_points(value.get("source"), f"{where}source"),
        target=_points(value.get("target"), f"{where}target"),
        mapped=_points(value.get("mapped"), f"{where}mapped"),
    )


def _points(value: Any, where: str) -> Points:
    points = []
    for i, point in enumerate(_list([] if value is None else value, where)):
        pair = _list(point, f"{where}[{i}]")
        if len(pair) != 2:
            raise _wrong(f"{where}[{i}]", "two numbers", point)
        points.append((_number(pair[0], f"{where}[{i}]"), _number(pair[1], f"{where}[{i}]")))
    return tuple(points)


def _given(value: Mapping[str, Any], name: str, absent: Any) -> Any:
    """What stands under a name; `absent` if nothing or null does."""
    found = value.get(name)
    return absent if found is None else found


def _wrong(where: str, expected: str, value: object) -> InputError:
    return InputError(f"benchmark run: {where}: expected {expected}, not {str(value)[:40]!r}")


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    return value


def _list(value: Any, where: str) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise _wrong(where, "a list", value)
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(where, "text", value)
    return value


def _maybe_text(value: Any, where: str) -> str | None:
    return None if value is None else _text(value, where)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _wrong(where, "a finite number", value)
    return float(value)


def _maybe(value: Any, where: str) -> float | None:
    return None if value is None else _number(value, where)


def _whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _wrong(where, "a whole number", value)
    return value

"""What a run is about, in words: shared by the Markdown and the HTML report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sake_bench.datasets.reading import TITLES
from sake_bench.protocol import METRICS
from sake_registry.pages.text import number
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sake_bench.results import MethodResult, Run

_QUESTIONS = {
    "counterfact": "with the prompt of the edit, with paraphrases of it that no method was "
    "prepared with, and about other subjects, whose answers must stay",
    "rippleedits": "about what follows from each edit, under other names of its subject, and "
    "about neighbouring facts, which must stay",
    "knowedit": "with the prompt of the edit, with paraphrases of it, about what follows from it, "
    "and about what must stay",
}
BETTER = {
    "higher": "Higher is better.",
    "lower": "Lower is better.",
    "unedited": "Near the unedited model is better.",
}


def data_name(run: Run) -> str:
    return TITLES.get(run.data.name, run.data.name)


def headline(run: Run) -> str:
    """`100 edited facts in smollm2-135m`"""
    return f"{count(run.edits, 'edited fact')} in {run.model.name}"


def scored_on(run: Run) -> str:
    """What was measured, in two sentences for someone who knows the facts and not the method."""
    methods = [method for method in run.methods if method.name != "base"]
    how = "one method" if len(methods) == 1 else count(len(methods), "method")
    if any(method.edits < run.edits for method in methods):
        how += ", of which some made fewer edits"
    base = ", beside the unedited model" if run.method("base") else ""
    what = "One fact" if run.edits == 1 else f"Each of {run.edits} facts"
    questions = _QUESTIONS.get(run.data.name, "whether it now answers accordingly")
    return (
        f"{what} from {data_name(run)} was given another answer in "
        f"{run.model.name}, by {how}{base}. "
        f"The model was then asked {questions}; every figure is the share of answers that came "
        "out as they should, unless it says otherwise, with its 95 % interval and the number of "
        "answers."
    )


def protocol(run: Run) -> list[tuple[str, str]]:
    """What the run says of how it measured, but for the metrics (see `metrics`)."""
    return [(name, run.meaning(name)) for name in run.protocol if name not in METRICS]


def metrics(run: Run) -> list[tuple[str, str]]:
    """What was measured, and what of it is better."""
    return [
        (
            metric.name if metric.short == metric.name else f"{metric.short} · {metric.name}",
            f"{run.meaning(name)} {BETTER[metric.better]}",
        )
        for name, metric in METRICS.items()
        if run.measured([name])
    ]


def method_facts(method: MethodResult) -> str:
    """`100 edits · 2 failed · threshold 4.6`"""
    facts = [count(method.edits, "edit")]
    if method.failed:
        facts.append(f"{len(method.failed)} failed")
    if method.threshold is not None:
        facts.append(f"threshold {number(method.threshold)}")
    return " · ".join(facts)


def environment(run: Run) -> list[tuple[str, str]]:
    """The data, the model and where it was measured, as (name, value)."""
    model, data = run.model, run.data
    lines = [("model", model.name), ("model hash", model.hash), ("model dtype", model.dtype)]
    lines += [("data file", data.file), ("data sha256", data.sha256)]
    lines += [("records", str(data.records)), ("seed", str(data.seed))]
    if data.limit is not None:
        lines.append(("limit", str(data.limit)))
    prompts = ", ".join(f"{name} {_plain(n)}" for name, n in data.prompts)
    lines.append(("prompts an edit", prompts))
    if data.implications:
        lines.append(("implications", data.implications))
    return [*lines, *flat(run.environment, " ")]


def flat(value: Mapping[str, Any], between: str, before: str = "") -> Iterator[tuple[str, str]]:
    """The values of nested objects as (name, text); names are joined by `between`."""
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from flat(inner, between, f"{before}{name}{between}")
        else:
            yield f"{before}{name}", _plain(inner)


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value)) or "–"
    return number(value) if isinstance(value, float) else str(value)

"""What a run is about, in words: shared by the Markdown and the HTML report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sake_bench.reports.scores import Run, number
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DATA_NAMES = {
    "counterfact": "CounterFact",
    "rippleedits": "RippleEdits",
    "knowedit": "KnowEdit",
    "zsre": "zsRE",
}
QUESTIONS = {
    "counterfact": "with the prompt of the edit, with paraphrases of it that no method was "
    "prepared with, and about other subjects, whose answers must stay",
    "rippleedits": "about what follows from each edit, under other names of its subject, and "
    "about neighbouring facts, which must stay",
    "knowedit": "with the prompt of the edit, with paraphrases of it, about what follows from it, "
    "and about what must stay",
}


def model_name(run: Run) -> str:
    return str(run.model.get("name") or "the model")


def data_name(run: Run) -> str:
    name = str(run.data.get("name") or run.data.get("file") or "the data")
    return DATA_NAMES.get(name, name)


def edit_count(run: Run) -> int:
    """The most edits that any method made."""
    return max((method.edits for method in run.methods), default=0)


def headline(run: Run) -> str:
    """`100 edited facts in smollm2-135m`"""
    return f"{count(edit_count(run), 'edited fact')} in {model_name(run)}"


def scored_on(run: Run) -> str:
    """What was measured, in two sentences for someone who knows the facts and not the method."""
    edits, methods = edit_count(run), [m for m in run.methods if m.name != "base"]
    how = "one method" if len(methods) == 1 else count(len(methods), "method")
    asked = QUESTIONS.get(str(run.data.get("name")), "whether it now answers accordingly")
    if any(method.edits < edits for method in methods):
        how += ", of which some made fewer edits"
    base = ", beside the unedited model" if run.method("base") else ""
    what = "One fact" if edits == 1 else f"Each of {edits} facts"
    return (
        f"{what} from {data_name(run)} was given another answer in "
        f"{model_name(run)}, by {how}{base}. "
        f"The model was then asked {asked}; every figure is the share of answers that came out as "
        "they should, unless it says otherwise, with its 95 % interval and the number of answers."
    )


def data_lines(run: Run) -> Iterator[tuple[str, str]]:
    """The data and the model as (name, value)."""
    yield "model", model_name(run)
    for name in ("hash", "dtype"):
        if run.model.get(name):
            yield f"model {name}", str(run.model[name])
    for name in ("file", "sha256", "records", "limit", "seed"):
        if run.data.get(name) is not None:
            yield f"data {name}" if name in ("file", "sha256") else name, str(run.data[name])
    prompts = run.data.get("prompts")
    if isinstance(prompts, dict) and prompts:
        yield "prompts an edit", ", ".join(f"{k} {_plain(v)}" for k, v in prompts.items())
    if run.data.get("implications"):
        yield "implications", str(run.data["implications"])


def environment_lines(run: Run) -> list[tuple[str, str]]:
    """The data, the model and where it was measured, as (name, value)."""
    return [*data_lines(run), *flat(run.environment, " ")]


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
        return ", ".join(_plain(item) for item in value) or "–"
    return number(value) if isinstance(value, float) else str(value)

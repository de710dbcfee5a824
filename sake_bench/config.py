"""A benchmark run as a file that one can read, copy and change.

The YAML is read strictly: text is text, and a key that is unknown or a value of the wrong kind is
an error that names the file, the line and the key. `--set key=value` is typed by the same model.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue, PositiveFloat, PositiveInt, ValidationError

from sake_bench.datasets.choices import read_choices
from sake_bench.datasets.reading import Kind, read_sound
from sake_bench.protocol import STEERED, Retrieval
from sake_registry.edits import yamltext
from sake_registry.errors import InputError
from sake_registry.values import Value
from sake_registry.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sake_bench.factory import Request

CONFIGS = Path(__file__).parent / "configs"
"""The runs that come with the package."""

Layout = Literal[
    "report", "table1", "table2", "table3", "table4", "table5", "figure3", "figure5",
    "wild", "retrieval", "languages", "field", "undo",
]  # fmt: skip


def _list(value: Any) -> Any:
    """`a, b` is a list, too: that is how one is given on the command line."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


class Config(Value):
    """What is measured, on what, and what is printed of it."""

    description: str = ""
    data: Path | None = None
    """A data set as its authors publish it: CounterFact, RippleEdits, zsRE/KnowEdit, QAEdit,
    MQuAKE, BMIKE-53; or a field set."""
    kind: Kind | None = None
    """The data's format, if it is not to be told from the file."""
    data_set: Kind | None = None
    """What the data must be, for a table that is of one data set."""
    resources: Path | None = None
    """Folder of templates; the data file's if not given."""
    skip_bad: bool = False
    """Leave malformed records out."""
    methods: Annotated[tuple[str, ...], BeforeValidator(_list), Field(min_length=1)] = STEERED
    scopes: Annotated[
        tuple[Literal["given", "own-centre", "all-edits"], ...],
        BeforeValidator(_list),
        Field(min_length=1),
    ] = ("given", "own-centre", "all-edits")
    """What a router is told of the edit that is meant."""
    limit: PositiveInt | None = None
    """Measure on so many records."""
    weights_limit: PositiveInt | None = None
    """Measure methods that change weights on so many of them."""
    seed: int = 0
    """Which records, and every other draw."""
    calibrate_on: Path | None = None
    """Other data to set the published router's threshold on."""
    threshold: PositiveFloat | None = None
    """The published router's threshold, as given."""
    curves: Annotated[
        tuple[Literal["threshold", "prompts", "loads", "scale"], ...], BeforeValidator(_list)
    ] = ()
    """Points of Figure 3 and of Figure 5; Acc, Gen, Spec by the number of edits loaded; routing by
    the numbers in `scale`."""
    scale: Annotated[tuple[PositiveInt, ...], BeforeValidator(_list), Field(min_length=1)] = (
        200,
        2000,
        20_000,
    )
    """Edits loaded, for the curve `scale`: the data's first, then made-up ones."""
    questions: bool = False
    """Ask more: the fact as a question and in a chat; the subject's other relations."""
    aliases: Literal["none", "half"] = "none"
    """RippleEdits: which of the subject's other names in the tests the edit files state."""
    project: Annotated[tuple[str, ...], BeforeValidator(_list)] = ()
    """Edits whose activations are drawn; the first one if empty."""
    language: str = "en"
    """BMIKE-53: the language that edits are written in."""
    retrieval: Retrieval = Retrieval()
    """How facts are chosen and worded that are stated before a prompt."""
    costs: PositiveInt | None = None
    """Time so many requests one by one."""
    undo: PositiveInt | None = None
    """Compare the model on so many prompts before edits are attached and after."""
    ability: Annotated[tuple[Path, ...], BeforeValidator(_list)] = ()
    """Multiple-choice questions, answered bare and with edits attached: JSON lines, each
    `{"question": …, "choices": […], "answer": 0}`."""
    fill: PositiveInt | None = None
    """For costs, undo and ability, fill bundles up to so many edits with made-up ones."""
    layout: Layout = "report"
    """What is printed: the whole report, or one of its tables and figures."""
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    """Settings of the project that hold for this run, as in `sake.toml`."""

    @property
    def options(self) -> dict[str, Any]:
        """`settings` by dotted name."""
        return dict(_flat(self.settings))

    def request(self, work: Path) -> Request:
        """What is asked of a run, with its data read.

        Raises:
            InputError: no data, other data than the run is of, malformed records.
        """
        if self.data is None:
            raise InputError("this run names no data", hint="--data FILE")
        data = read_sound(
            self.data,
            self.kind,
            self.resources,
            skip_bad=self.skip_bad,
            language=self.language,
        )
        if self.data_set and data.name != self.data_set:
            raise InputError(
                f"{self.layout} is measured on {self.data_set}; {self.data} is {data.name}"
            )
        others = None
        if self.calibrate_on is not None:
            others = read_sound(self.calibrate_on, None, self.resources, skip_bad=self.skip_bad)

        ability = tuple(map(read_choices, self.ability))

        from sake_bench.factory import Request

        return Request(
            data=data,
            file=self.data,
            work=work,
            calibrate_on=others,
            ability=ability,
            **{
                name: getattr(self, name)
                for name in (
                    "methods", "limit", "weights_limit", "seed", "threshold", "curves",
                    "questions", "aliases", "project", "retrieval", "costs", "undo", "fill",
                    "scopes", "scale",
                )
            },
        )  # fmt: skip


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def built_in() -> dict[str, Path]:
    """The runs that come with the package, by name."""
    return {path.stem: path for path in sorted(CONFIGS.glob("*.yaml"))}


def find_config(name: str) -> Path:
    """The file of a run: a path, or the name of one that comes with the package.

    Raises:
        InputError: there is none.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = built_in()
    if path.name == name and path.name.removesuffix(".yaml") in known:
        return known[name.removesuffix(".yaml")]
    raise InputError(f"no run '{name}'", hint=did_you_mean(name, known))


def read_config(path: Path, changes: Mapping[str, Any] | None = None) -> Config:
    """The run that a file states, with changes by dotted name.

    Paths in the file are relative to it, those among the changes to the current folder. An empty
    text takes a key out of the file.

    Raises:
        InputError: no such file, no YAML, an unknown key, a value of the wrong kind.
    """
    try:
        document = yamltext.read(path.read_bytes(), path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if document.findings:
        raise InputError(str(document.findings[0]))
    values = document.value
    if not isinstance(values, dict):
        raise InputError(f"{path}:1:1: a mapping is expected", hint=_keys())
    for name in ("data", "resources", "calibrate_on"):
        if isinstance(values.get(name), str):
            values[name] = str(path.parent / values[name])
    if isinstance(files := _list(values.get("ability")), list):
        values["ability"] = [str(path.parent / f) if isinstance(f, str) else f for f in files]
    for name, value in (changes or {}).items():
        _put(values, name, value)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = yamltext.dotted(problem["loc"])
        place = f"{path}:{':'.join(map(str, document.position(problem['loc'], key=True)))}"
        if any(f"{key}.".startswith((f"{name}.", f"{name}[")) for name in changes or {}):
            place = "--set"
        unknown = problem["type"] == "extra_forbidden"
        message = "unknown key" if unknown else problem["msg"][0].lower() + problem["msg"][1:]
        hint = did_you_mean(key, Config.model_fields) if unknown else ""
        raise InputError(f"{place}: {key}: {message}", hint=hint) from error


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    *above, last = name.split(".")
    for part in above:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise InputError(f"--set: {name}: {part} holds no keys")
        values = inner
    if value == "":
        values.pop(last, None)
    else:
        values[last] = value


def _keys() -> str:
    return f"its keys: {', '.join(Config.model_fields)}"

"""The documentation says what is: help pages, snippets, commands, links, settings, the format.

`python -m tests.test_docs` writes anew what is generated of them.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel

from sake_registry.commands import cli
from tests import reference
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
SHELL = ("console", "sh", "bash")
RUN = ("first-edit.md", "life.md")
"""Pages whose commands are run, in order, by tests."""


# -- reading a page ------------------------------------------------------------------------------


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced code blocks of a page in one of these languages."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    return [text for language, text in found if language in languages]


def prose(page: Path) -> str:
    """A page without its fenced code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)


def section(page: Path, title: str) -> str:
    """What stands under a heading of the second level."""
    return page.read_text("utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The rows of a Markdown table, without its head; the cells' code marks are taken off."""
    found = []
    for line in text.splitlines():
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            found.append([cell.strip().strip("`").replace(r"\|", "|") for cell in cells])
    return found[2:]


def commands(page: Path) -> list[list[str]]:
    """Every `sake …` of a page's shell blocks, as arguments; pipes and `&&` separate commands."""
    found = []
    for block in blocks(page, *SHELL):
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|&;<>")
            lexer.whitespace_split, lexer.commenters = True, "#"
            words: list[str] = []
            try:
                tokens = list(lexer)
            except ValueError:  # a quotation mark in what a command prints
                continue
            for token in [*tokens, "&&"]:
                if set(token) <= set("|&;<>"):
                    if words[:1] == ["sake"]:
                        found.append(words[1:])
                    words = []
                else:
                    words.append(token)
    return found


# -- the command line ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cli.md", *reference.PARTS])
def test_what_is_generated_is_current(name: str) -> None:
    page = reference.DOCS / name
    assert page.read_text("utf-8") == reference.current(page), "run: python -m tests.test_docs"


def test_every_command_is_told_of() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES if page.name != "cli.md")
    assert [name for name in cli.commands if f"sake {name}" not in text] == []


def test_the_commands_of_the_readme_are_run() -> None:
    """They are those of pages whose every command is run, one after the other."""
    run = [line for name in RUN for line in commands(ROOT / "docs" / name)]
    assert [line for line in commands(ROOT / "README.md") if line not in run] == []


@PAGE
def test_commands_named_in_the_text_exist(page: Path) -> None:
    named = re.findall(r"`sake ([a-z]+)", prose(page))
    assert set(named) <= set(cli.commands)


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    """What the program does with arguments before it does anything; raises `click.UsageError`."""
    monkeypatch.chdir(ROOT)
    below = [c for group in cli.commands.values() for c in getattr(group, "commands", {}).values()]
    for command in (cli, *cli.commands.values(), *below):
        monkeypatch.setattr(command, "callback", lambda *args, **options: None)

    def run(arguments: list[str]) -> None:
        cli.main(arguments, prog_name="sake", standalone_mode=False)

    return run


@PAGE
def test_command_lines_parse(page: Path, parse: Callable[[list[str]], None]) -> None:
    for arguments in commands(page):
        parse(arguments)


def test_command_lines_are_found() -> None:
    found = {arguments[0] for arguments in commands(ROOT / "README.md")}
    assert {"init", "propose", "check", "compile", "ask"} <= found


def test_a_wrong_command_line_does_not_parse(parse: Callable[[list[str]], None]) -> None:
    for arguments in (["compil"], ["compile", "--modle", "gpt2"], ["compile", "--solver", "svd"]):
        with pytest.raises(click.UsageError):
            parse(arguments)


# -- pages ---------------------------------------------------------------------------------------


@PAGE
def test_python_snippets_compile(page: Path) -> None:
    for i, text in enumerate(blocks(page, "python")):
        compile(text, f"{page.name}[{i}]", "exec")


def test_examples_use_the_public_surface() -> None:
    import sake_registry

    used = set()
    for text in blocks(ROOT / "docs" / "python.md", "python"):
        used |= set(re.findall(r"\bsake_registry\.(\w+)", text))
    assert used
    assert used <= set(sake_registry.__all__)


@PAGE
def test_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        to = page.parent / file if file else page
        assert to.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(to), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """The anchors that a Markdown page's headings get."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@PAGE
def test_no_path_of_a_machine_is_shown(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(home|root|tmp|work|Users)/", page.read_text("utf-8"))


def test_the_example_edit_is_sound() -> None:
    from sake_registry.edits.files import parse_edit

    examples = [
        text for text in blocks(ROOT / "docs" / "edits.md", "yaml") if text.startswith("# yaml")
    ]
    assert len(examples) == 1
    edit, findings = parse_edit(examples[0].encode(), Path("darrieux-tongue.yaml"))
    assert findings == []
    assert edit is not None


# -- settings ------------------------------------------------------------------------------------


def named(pattern: str) -> set[str]:
    """What any page names of this form."""
    return {name for page in PAGES for name in re.findall(pattern, page.read_text("utf-8"))}


def test_settings_named_in_the_text_exist() -> None:
    known = dict(reference.settings())
    tables = {name.partition(".")[0] for name in known if "." in name}
    found = named(rf"`((?:{'|'.join(tables)})\.[a-z_]+)(?: = [^`]+)?`")
    assert {name for name in found if not name.endswith((".json", ".html"))} <= {*known}


def test_variables_named_in_the_text_exist() -> None:
    # Of workflows, of compose.yaml.
    elsewhere = {"SAKE_PACKAGE", "SAKE_PREVIEW_STORE", "SAKE_PUBLISH_STORE", "SAKE_BIND"}
    assert named(r"\bSAKE_[A-Z_]+\b") <= reference.variables() | elsewhere


# -- the bundle format ---------------------------------------------------------------------------

BUNDLE_PAGE = ROOT / "docs" / "bundle.md"


def test_the_dataset_table_is_the_format() -> None:
    from sake_registry.bundle.format import DATASETS

    text = section(BUNDLE_PAGE, "Data").partition("The datasets:")[2]
    table = {path: (dtype, shape) for path, dtype, shape, *_ in rows(text)}
    expected = {d.path: (d.dtype, ", ".join(map(str, d.shape))) for d in DATASETS}
    assert table == expected


def test_the_page_is_of_this_version_and_its_limits_are_the_formats() -> None:
    from sake_registry.bundle.format import LIMITS, MAX_ROWS, VERSION

    assert BUNDLE_PAGE.read_text("utf-8").startswith(f"# The bundle format, version {VERSION}\n")
    assert ["version", str(VERSION)] in rows(section(BUNDLE_PAGE, "Manifest"))
    said = {}
    for letter, _, limit in rows(section(BUNDLE_PAGE, "Data").partition("The datasets:")[0]):
        number, _, power = limit.removesuffix(" MiB").replace(",", "").partition("^")
        said[letter] = int(number) ** int(power or 1) << (20 if "MiB" in limit else 0)
    assert said == dict.fromkeys("RPNF", MAX_ROWS) | LIMITS


def test_every_field_of_the_manifest_is_described() -> None:
    from sake_registry.bundle import format as bundle_format

    text = section(BUNDLE_PAGE, "Manifest")
    for name in ("Manifest", "ModelInfo", "IdentityInfo", "EmbedderInfo", "MetricInfo", "EditInfo",
                 "Route", "Group", "Step"):  # fmt: skip
        model: type[BaseModel] = getattr(bundle_format, name)
        assert [f for f in model.model_fields if f"`{f}`" not in text] == []


class Stranger:
    """A reader written from docs/bundle.md alone; shares no code with the package."""

    def __init__(self, path: Path) -> None:
        import h5py

        with h5py.File(path, "r") as file:
            self.data: dict[str, Any] = {}
            file.visititems(
                lambda name, item: (
                    self.data.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
                )
            )
        self.manifest = json.loads(self.data["meta"].tobytes())
        self.edits = self.manifest["edits"]

    @staticmethod
    def digest(part: str, arrays: dict[str, Any]) -> bytes:
        state = hashlib.sha256(part.encode())
        for name in sorted(arrays):
            array = arrays[name]
            shape = "[" + ", ".join(str(length) for length in array.shape) + "]"
            head = f"{name}|{array.dtype.str}|{shape}|".encode()
            state.update(len(head).to_bytes(8, "little") + head + array.tobytes())
        return state.digest()

    def seal(self) -> bytes:
        names = ("meta", "digests", "index/groups", "index/steps", "index/basis", "index/points",
                 "index/activations", "probe/activations", "router/projection",
                 "router/background")  # fmt: skip
        return self.digest("seal", {name: self.data[name] for name in names})

    def groups(self, i: int) -> range:
        start, end = self.data["index/groups"][i : i + 2]
        return range(start, end)

    def steps(self, g: int) -> range:
        start, end = self.data["index/steps"][g : g + 2]
        return range(start, end)

    def map(self, m: int) -> dict[str, Any]:
        start, end = self.data["index/basis"][m : m + 2]
        means = {n: self.data[f"maps/{n}"][m] for n in ("source_mean", "target_mean")}
        return means | {n: self.data[f"maps/{n}"][start:end] for n in ("basis", "scale")}

    def activations(self, g: int) -> dict[str, Any]:
        begin, end = self.data["index/activations"][g : g + 2]
        columns = {"plain": 0, "forced": 1, "target": 0, "worked": 0, "context": 0}
        return {n: self.data[f"activations/{n}"][begin[c] : end[c]] for n, c in columns.items()}

    def parts(self, i: int) -> list[bytes]:
        """The three digests of edit `i`: maps, router, activations."""
        import numpy as np

        start, end = self.data["index/points"][i : i + 2]
        edit = self.edits[i]
        routes = [[r["group"], r["rows"], int(r["need"] == "all")] for r in edit["routes"]]
        words = [
            edit["kind"],
            [route["names"] for route in edit["routes"]],
            [route["ends"] for route in edit["routes"]],
            [route["links"] for route in edit["routes"]],
            [route["texts"] for route in edit["routes"]],
            edit["asks"],
            edit["topics"],
        ]
        implied = edit["threshold"] if edit["implied"] is None else edit["implied"]
        router = {
            "points": self.data["router/points"][start:end],
            "threshold": np.array([edit["threshold"], implied], "<f8"),
            "routes": np.array(routes, "<i8").reshape(-1, 3),
            "names": self.compact(words),
        }
        maps: dict[str, Any] = {}
        activations: dict[str, Any] = {}
        for k, (g, group) in enumerate(zip(self.groups(i), edit["groups"], strict=True)):
            maps[f"{k}/objects"] = self.compact([group["old"], group["new"]])
            closing = -1 if group["closing"] is None else group["closing"]
            maps[f"{k}/tokens"] = np.array([*group["tokens"], closing], "<i8")
            for s, (m, step) in enumerate(zip(self.steps(g), group["steps"], strict=True)):
                maps |= {f"{k}/{s}/{name}": array for name, array in self.map(m).items()}
                maps[f"{k}/{s}/step"] = np.array([step["position"], step["complement"]], "<f8")
            activations |= {f"{k}/{name}": array for name, array in self.activations(g).items()}
        return [
            self.digest("maps", maps),
            self.digest("router", router),
            self.digest("activations", activations),
        ]

    def compact(self, value: Any) -> Any:
        return self.as_bytes(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    @staticmethod
    def as_bytes(text: str) -> Any:
        import numpy as np

        return np.frombuffer(text.encode(), "|u1")

    def content_hash(self, chosen: list[int]) -> str:
        state = hashlib.sha256(b"sake-bundle")
        for i in chosen:
            edit, digests = self.edits[i], b"".join(self.parts(i))
            head = f"{edit['id']}|{edit['key']}|".encode()
            state.update(hashlib.sha256(head + digests).digest())
        return state.hexdigest()

    def apply(self, m: int, complement: float, x: Any) -> Any:
        f = self.map(m)
        centred = x - f["source_mean"]
        along = (centred @ f["basis"].T) * (f["scale"] - complement)
        shift = (f["target_mean"] - f["source_mean"]) - (1 - complement) * centred
        return x + shift + along @ f["basis"]


WIDTH, EMBEDDED, SPACE = 12, 5, 3


def write_synthetic(path: Path, activations: bool = True) -> list[Any]:
    """A bundle of two edits by the real writer; gives the maps in the bundle's order."""
    import numpy as np
    import torch

    from sake_registry import transport
    from sake_registry.bundle.format import (
        EditInfo,
        EmbedderInfo,
        Group,
        IdentityInfo,
        MetricInfo,
        ModelInfo,
        Route,
        Step,
    )
    from sake_registry.bundle.writer import EditPayload, GroupPayload, MetricPayload, write_bundle
    from sake_registry.edits.keys import bundle_key

    generator = torch.Generator().manual_seed(7)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator)

    def step(position: int, plain: Any, target: Any, solver: Any, complement: float) -> Any:
        """A fitted map, and what the manifest says of it."""
        fitted = transport.fit(plain, target, 0.5, solver, complement)
        low, high = (
            float(f(fitted.scale)) if fitted.rank else complement for f in (torch.min, torch.max)
        )
        info = Step(
            position=position, worked=len(plain), used=len(plain), sources="plain", reg=0.5,
            share=None, complement=complement, solver=solver, score=0.75, margin=-0.5,
            rank=fitted.rank, scale_min=low, scale_max=high, residual=fitted.residual,
        )  # fmt: skip
        return fitted.to(torch.float32), info

    def group(
        new: str, pairs: int, *complements: float, kind: Any = "implication",
        solver: Any = "lowrank", forced: int = 0,
    ) -> tuple[Group, GroupPayload, list[Any]]:  # fmt: skip
        """A group whose object has a token, and a map, for each complement, and one token more,
        which closes it if there are forced rows."""
        tokens = len(complements) + 1
        plain, target = normal(pairs, tokens, WIDTH), normal(pairs, tokens, WIDTH)
        # The token after the first goes on by itself; the maps behind it stand one further.
        positions = [0, *range(2, tokens)]
        steps = [
            step(p, plain[:, p], target[:, p], solver, complement)
            for p, complement in zip(positions, complements, strict=True)
        ]
        own = tokens - bool(forced)
        info = Group(
            kind=kind, old=None, new=new, tokens=tuple(range(40, 40 + own)),
            closing=40 + own if forced else None, written=pairs,
            added=0, worked=pairs, contexts=(pairs,), goes_on=(1.0, *[0.25] * tokens)[: own - 1],
            steps=tuple(info for _, info in steps),
        )  # fmt: skip
        names = ("source_mean", "target_mean", "basis", "scale")
        payload = GroupPayload(
            maps=[
                {name: np.ascontiguousarray(getattr(fitted, name).numpy()) for name in names}
                for fitted, _ in steps
            ],
            activations={
                "plain": plain.flatten(0, 1).numpy(),
                "forced": normal(forced, WIDTH).numpy(),
                "target": target.flatten(0, 1).numpy(),
                "worked": np.ones(pairs * tokens, "|u1"),
                "context": np.zeros(pairs * tokens, "<i2"),
            },
        )
        return info, payload, [fitted for fitted, _ in steps]

    def edit(id_: str, names: tuple[str, ...], *groups: Any, **changes: Any) -> EditPayload:
        routes = [
            Route(
                group=number, names=names, need="any", rows=number + 2,
                ends=("în", *[""] * (number + 1)), links=("mütter",) if number else (),
            )
            for number in range(len(groups))
        ]  # fmt: skip
        routes.append(Route(group=-1, names=names, need="all", rows=1))
        total = sum(route.rows for route in routes)
        info = EditInfo(
            id=id_,
            key=hashlib.sha256(id_.encode()).hexdigest(),
            subject=names,
            relation="mother tongue",
            old=None,
            new=("Pâpi’amentu",),
            kind="anchored",
            threshold=0.62,
            routes=tuple(routes),
            groups=tuple(info for info, *_ in groups),
            **changes,
        )
        return EditPayload(info, [own for _, own, _ in groups], normal(total, EMBEDDED).numpy())

    second = [group("x", 4, 1.0, kind="fact", forced=3)]
    first = [
        group("fàct", 5, 0.5, 0.25, kind="fact", forced=2),
        *(group(str(i), 5 + i % 2, 1.0, forced=i % 2) for i in range(1, 11)),
        group("mean", 5, 1.0, solver="uniform"),
        group("point", 5, 0.0),
    ]
    edits = [
        edit("b-second", ('Zoë "Z" Ωmega\\',), *second),
        edit("a-first", ("Łódź", "Lodz"), *first, implied=0.31, topics=("bïrth", "death")),
    ]
    topics = (("bïrth", 3), ("death", 1), ("bïrth", 2))
    write_bundle(
        path,
        edits,
        key=bundle_key((e.info.id, e.info.key) for e in edits),
        partial=False,
        model=ModelInfo(
            name="synthetic",
            architecture="None",
            hash="0" * 64,
            identity=IdentityInfo(
                checkpoint="1" * 64, config="2" * 64, tokenizer="3" * 64, embedder="4" * 64
            ),
            dtype="float32",
            site="lm_head.input",
            width=WIDTH,
        ),
        embedder=EmbedderInfo(name="none", width=EMBEDDED),
        metric=MetricPayload(
            MetricInfo(kind="contrast", topics=topics),
            normal(EMBEDDED, SPACE).numpy(),
            normal(sum(rows for _, rows in topics), SPACE).numpy(),
        ),
        probe_texts=[str(i) for i in range(8)],
        probe=normal(8, WIDTH).numpy(),
        settings={},
        versions={},
        provenance={"commit": None, "dirty": None},
        activations=activations,
    )
    # By id: the bundle's order is the ids', not the writer's arguments'.
    return [fitted for *_, maps in (*first, *second) for fitted in maps]


def test_a_stranger_reads_a_bundle(tmp_path: Path) -> None:
    import numpy as np
    import torch

    from sake_registry import transport
    from sake_registry.bundle.reader import BundleFile

    path = tmp_path / "synthetic.h5"
    maps = write_synthetic(path)
    found = Stranger(path)

    assert [edit["id"] for edit in found.edits] == ["a-first", "b-second"]
    assert found.seal() == found.data["seal"].tobytes()
    for i in range(2):
        assert found.parts(i) == [row.tobytes() for row in found.data["digests"][i]]
    assert found.content_hash([0, 1]) == found.manifest["content_hash"]
    pairs = sorted([edit["id"], edit["key"]] for edit in found.edits)
    text = json.dumps(["bundle", pairs], ensure_ascii=False, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == found.manifest["key"]
    with BundleFile(path) as file:
        file.verify()
        assert file.digests == {e["id"]: found.content_hash([i]) for i, e in enumerate(found.edits)}

    x = np.random.default_rng(1).standard_normal((3, WIDTH)).astype("<f4")
    steps = [step for edit in found.edits for group in edit["groups"] for step in group["steps"]]
    assert len(maps) == len(steps) == len(found.data["maps/source_mean"])
    for m, (step, transport_map) in enumerate(zip(steps, maps, strict=True)):
        expected = transport.apply(transport_map, torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(found.apply(m, step["complement"], x), expected, 1e-5, 1e-5)
    assert sum(rows for _, rows in found.manifest["metric"]["topics"]) == len(
        found.data["router/background"]
    )


def test_a_slim_bundle_keeps_the_content_hash(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "whole.h5")
    write_synthetic(tmp_path / "slim.h5", activations=False)
    whole, slim = Stranger(tmp_path / "whole.h5"), Stranger(tmp_path / "slim.h5")
    assert set(whole.data) - set(slim.data) == {n for n in whole.data if n.startswith("activ")}
    assert slim.manifest["content_hash"] == whole.manifest["content_hash"]
    assert slim.seal() == slim.data["seal"].tobytes()


if __name__ == "__main__":
    from tests.edits import test_explanations

    for name in ("cli.md", *reference.PARTS):
        changed = reference.DOCS / name
        changed.write_text(reference.current(changed), "utf-8")
    test_explanations.DOCS.write_text(test_explanations.render(), "utf-8")

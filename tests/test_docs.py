"""The documentation says what is: help pages, snippets, commands, links, settings, the format.

`python -m tests.test_docs` writes docs/cli.md and docs/checks.md anew.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel

from sake_registry.commands import cli
from sake_registry.settings import Settings

ROOT = Path(__file__).parent.parent
CLI_PAGE = ROOT / "docs" / "cli.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
SHELL = ("console", "sh", "bash")


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


def render_cli() -> str:
    """docs/cli.md: the help page of the program and of every command."""
    top = click.Context(cli, info_name="sake", terminal_width=100, **cli.context_settings)
    parts = [
        "# Commands",
        "Generated from the program by `python -m tests.test_docs`; do not edit.",
        f"```text\n{cli.get_help(top)}\n```",
    ]
    for name in cli.list_commands(top):
        command = cli.get_command(top, name)
        assert command is not None
        command._help_option = None  # click keeps it as the first test to run the command saw it
        context = click.Context(command, top, name, terminal_width=100)
        parts += [f"## sake {name}", f"```text\n{command.get_help(context)}\n```"]
    return "\n\n".join(parts) + "\n"


def test_the_help_pages_are_current() -> None:
    assert CLI_PAGE.read_text("utf-8") == render_cli(), "run: python -m tests.test_docs"


def test_every_command_stands_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert [name for name in cli.commands if f"sake {name}" not in text] == []


@PAGE
def test_commands_named_in_the_text_exist(page: Path) -> None:
    named = re.findall(r"`sake ([a-z]+)", prose(page))
    assert set(named) <= set(cli.commands)


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    """What the program does with arguments before it does anything; raises `click.UsageError`."""
    monkeypatch.chdir(ROOT)
    for command in (cli, *cli.commands.values()):
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
    assert {"init", "new", "check", "compile", "ask", "test"} <= found


def test_a_wrong_command_line_does_not_parse(parse: Callable[[list[str]], None]) -> None:
    for arguments in (["compil"], ["compile", "--modle", "gpt2"], ["compile", "--solver", "svd"]):
        with pytest.raises(click.UsageError):
            parse(arguments)


# -- pages ---------------------------------------------------------------------------------------


@PAGE
def test_python_snippets_compile(page: Path) -> None:
    for i, text in enumerate(blocks(page, "python")):
        compile(text, f"{page.name}[{i}]", "exec")


def test_the_readme_uses_the_public_surface() -> None:
    import sake_registry

    used = set()
    for text in blocks(ROOT / "README.md", "python"):
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

    examples = [text for text in blocks(ROOT / "README.md", "yaml") if text.startswith("# yaml")]
    assert len(examples) == 1
    edit, findings = parse_edit(examples[0].encode(), Path("darrieux-tongue.yaml"))
    assert findings == []
    assert edit is not None


# -- settings ------------------------------------------------------------------------------------


def settings(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting by its dotted name, with its default."""
    default = model()
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, getattr(default, name)


def test_the_settings_table_is_the_settings() -> None:
    table = rows(section(ROOT / "README.md", "Settings"))
    documented = {key: tomllib.loads(f"v = {default}")["v"] for key, default, *_ in table}
    assert len(documented) == len(table), "a setting stands twice"
    assert documented == dict(settings())


# -- the bundle format ---------------------------------------------------------------------------

BUNDLE_PAGE = ROOT / "docs" / "bundle.md"


def test_the_dataset_table_is_the_format() -> None:
    from sake_registry.bundle.format import DATASETS

    text = section(BUNDLE_PAGE, "Data").partition("The datasets:")[2]
    table = {path: (dtype, shape) for path, dtype, shape, *_ in rows(text)}
    expected = {d.path: (d.dtype, ", ".join(map(str, d.shape))) for d in DATASETS}
    assert table == expected


def test_every_field_of_the_manifest_is_described() -> None:
    from sake_registry.bundle import format as bundle_format

    text = section(BUNDLE_PAGE, "Manifest")
    for name in ("Manifest", "ModelInfo", "IdentityInfo", "EmbedderInfo", "EditInfo", "RouteInfo",
                 "GroupInfo"):  # fmt: skip
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
        names = ("meta", "digests", "index/groups", "index/basis", "index/points",
                 "index/activations", "probe/activations")  # fmt: skip
        return self.digest("seal", {name: self.data[name] for name in names})

    def groups(self, i: int) -> range:
        start, end = self.data["index/groups"][i : i + 2]
        return range(start, end)

    def map(self, g: int) -> dict[str, Any]:
        start, end = self.data["index/basis"][g : g + 2]
        means = {n: self.data[f"maps/{n}"][g] for n in ("source_mean", "target_mean")}
        return means | {n: self.data[f"maps/{n}"][start:end] for n in ("basis", "scale")}

    def activations(self, g: int) -> dict[str, Any]:
        begin, end = self.data["index/activations"][g : g + 2]
        columns = {"plain": 0, "forced": 1, "target": 2, "worked": 0, "context": 0}
        return {n: self.data[f"activations/{n}"][begin[c] : end[c]] for n, c in columns.items()}

    def parts(self, i: int) -> list[bytes]:
        """The three digests of edit `i`: maps, router, activations."""
        import numpy as np

        start, end = self.data["index/points"][i : i + 2]
        edit = self.edits[i]
        routes = [[r["group"], r["rows"], int(r["need"] == "all")] for r in edit["routes"]]
        names = [edit["kind"], [route["names"] for route in edit["routes"]]]
        router = {
            "points": self.data["router/points"][start:end],
            "threshold": np.array([edit["threshold"]], "<f8"),
            "routes": np.array(routes, "<i8").reshape(-1, 3),
            "names": self.as_bytes(json.dumps(names, ensure_ascii=False, separators=(",", ":"))),
        }

        def numbered(read: Any) -> dict[str, Any]:
            found = [(k, read(g)) for k, g in enumerate(self.groups(i))]
            return {f"{k}/{name}": array for k, part in found for name, array in part.items()}

        return [
            self.digest("maps", numbered(self.map)),
            self.digest("router", router),
            self.digest("activations", numbered(self.activations)),
        ]

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

    def apply(self, g: int, x: Any) -> Any:
        m = self.map(g)
        along = ((x - m["source_mean"]) @ m["basis"].T) * (m["scale"] - 1)
        return x + (m["target_mean"] - m["source_mean"]) + along @ m["basis"]


WIDTH, EMBEDDED = 12, 5


def write_synthetic(path: Path, activations: bool = True) -> list[Any]:
    """A bundle of two edits by the real writer; gives the maps of their groups."""
    import numpy as np
    import torch

    from sake_registry import transport
    from sake_registry.bundle.format import (
        EditInfo,
        EmbedderInfo,
        GroupInfo,
        IdentityInfo,
        ModelInfo,
        RouteInfo,
    )
    from sake_registry.bundle.writer import EditPayload, GroupPayload, write_bundle
    from sake_registry.edits.keys import bundle_key

    generator = torch.Generator().manual_seed(7)
    maps: list[Any] = []

    def group(kind: Any, new: str, pairs: int, solver: Any) -> tuple[GroupInfo, GroupPayload]:
        plain, target = (torch.randn(pairs, WIDTH, generator=generator) for _ in range(2))
        fitted = transport.fit(plain, target, 0.5, solver)
        single = fitted.to(torch.float32)
        maps.append(single)
        low, high = (float(f(fitted.scale)) if fitted.rank else 1.0 for f in (torch.min, torch.max))
        info = GroupInfo(
            kind=kind, old=None, new=new, written=pairs, added=0, worked=pairs, used=pairs,
            contexts=(pairs,), rank=fitted.rank, scale_min=low, scale_max=high,
            residual=fitted.residual, reg=0.5, solver=solver,
        )  # fmt: skip
        names = ("source_mean", "target_mean", "basis", "scale")
        return info, GroupPayload(
            maps={name: np.ascontiguousarray(getattr(single, name).numpy()) for name in names},
            activations={
                "plain": plain.numpy(),
                "forced": np.empty((0, WIDTH), "<f4"),
                "target": target.numpy(),
                "worked": np.ones(pairs, "|u1"),
                "context": np.zeros(pairs, "<i2"),
            },
        )

    def edit(id_: str, names: tuple[str, ...], *groups: Any) -> EditPayload:
        routes = [
            RouteInfo(group=number, names=names, need="any", rows=number + 2)
            for number in range(len(groups))
        ]
        routes.append(RouteInfo(group=-1, names=names, need="any", rows=1))
        total = sum(route.rows for route in routes)
        info = EditInfo(
            id=id_,
            key=hashlib.sha256(id_.encode()).hexdigest(),
            subject=names,
            relation="mother tongue",
            old=None,
            new=("Pâpi’amentu",),
            kind="anchored",
            threshold=5.3,
            routes=tuple(routes),
            groups=tuple(info for info, _ in groups),
        )
        points = torch.randn(total, EMBEDDED, generator=generator).numpy()
        return EditPayload(info, [payload for _, payload in groups], points)

    edits = [
        edit("b-second", ('Zoë "Z" Ωmega\\',), group("fact", "x", 4, "lowrank")),
        edit(
            "a-first",
            ("Łódź", "Lodz"),
            *(group("fact" if i == 0 else "implication", str(i), 5 + i % 2, "lowrank")
              for i in range(11)),
            group("implication", "mean", 5, "uniform"),
        ),
    ]  # fmt: skip
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
        probe_texts=[str(i) for i in range(8)],
        probe=torch.randn(8, WIDTH, generator=generator).numpy(),
        settings={},
        versions={},
        provenance={"commit": None, "dirty": None},
        activations=activations,
    )
    # By id: the bundle's order is the ids', not the writer's arguments'.
    return [*maps[1:], maps[0]]


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
    assert len(maps) == len(found.data["maps/source_mean"])
    for g, transport_map in enumerate(maps):
        expected = transport.apply(transport_map, torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(found.apply(g, x), expected, rtol=1e-5, atol=1e-5)


def test_a_slim_bundle_keeps_the_content_hash(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "whole.h5")
    write_synthetic(tmp_path / "slim.h5", activations=False)
    whole, slim = Stranger(tmp_path / "whole.h5"), Stranger(tmp_path / "slim.h5")
    assert set(whole.data) - set(slim.data) == {n for n in whole.data if n.startswith("activ")}
    assert slim.manifest["content_hash"] == whole.manifest["content_hash"]
    assert slim.seal() == slim.data["seal"].tobytes()


if __name__ == "__main__":
    from sake_registry.edits import explanations

    CLI_PAGE.write_text(render_cli(), "utf-8")
    (ROOT / "docs" / "checks.md").write_text(explanations.page(), "utf-8")

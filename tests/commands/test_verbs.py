"""Verbs: sections of the help page, and what other packages bring by entry point."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from sake_registry.commands import cli
from sake_registry.commands.verbs import SECTIONS
from tests.commands.test_imports import RUN, loaded_by
from tests.conftest import ROOT, Run

PLUGIN = """\
import click
from sake_registry.commands.verbs import in_section

@in_section("Look")
@click.command()
def placed():
    "Look at something."
    click.echo("looked")

@click.command()
def unplaced():
    "Do something else."

number = 5
"""
BENCH_VERBS = {f"sake_bench.commands{module}" for module in ("", ".bench", ".data", ".import_")}
ENTRIES = {
    "placed": "plugged:placed",
    "unplaced": "plugged:unplaced",
    "check": "plugged:placed",
    "broken": "plugged_broken:command",
    "absent": "plugged_absent:command",
    "number": "plugged:number",
}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment in which a package brings verbs; two of them are sound."""
    site = tmp_path / "site"
    info = site / "plugged-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1\n")
    lines = ["[sake_registry.commands]", *(f"{verb} = {value}" for verb, value in ENTRIES.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (site / "plugged.py").write_text(PLUGIN)
    (site / "plugged_broken.py").write_text("1 / 0\n")
    return {**os.environ, "PYTHONPATH": str(site)}


def sections(page: str) -> dict[str, list[str]]:
    """The verbs of a help page, by the heading that they stand under."""
    found: dict[str, list[str]] = {}
    for line in page.splitlines():
        if heading := re.fullmatch(r"(\w+):", line):
            found[heading[1]] = listed = []
        elif verb := re.match(r"  ([a-z]+)  ", line):
            listed.append(verb[1])
    return found


def test_the_help_page_has_sections_and_every_verb_stands_in_one(sake_process: Run) -> None:
    found = sections(sake_process("--help").stdout)
    assert list(found) == ["Options", *SECTIONS]
    assert {verb for section in SECTIONS for verb in found[section]} == set(cli.commands)
    assert found["Measure"] == ["bench", "import"]


def test_a_package_brings_verbs_and_may_place_them(
    environ: dict[str, str], sake_process: Run
) -> None:
    found = sections(sake_process("--help", env=environ).stdout)
    assert found["Look"] == [*SECTIONS["Look"], "placed"]
    assert found["More"] == ["completion", "help", "unplaced"]
    done = sake_process("placed", env=environ)
    assert (done.returncode, done.stdout) == (0, "looked\n")


def test_a_broken_verb_is_named_and_the_others_are_there(
    environ: dict[str, str], sake_process: Run
) -> None:
    done = sake_process("--help", env=environ)
    assert done.returncode == 0
    assert set(SECTIONS["Write"]) <= set(sections(done.stdout)["Write"])
    warnings = sorted(line for line in done.stderr.splitlines() if "plugged" in line)
    assert len(warnings) == len(done.stderr.splitlines()) == 4
    for line, says in zip(
        warnings,
        (
            "warning: plugged:placed: a plug-in cannot replace the built-in verb 'check'",
            "warning: the verb 'absent' (plugged_absent:command) cannot be loaded: ModuleNotFound",
            "warning: the verb 'broken' (plugged_broken:command) cannot be loaded: ZeroDivision",
            "warning: the verb 'number' (plugged:number) is not a command of click",
        ),
        strict=True,
    ):
        assert line.startswith(says)


def test_a_broken_verb_is_wrong_usage(environ: dict[str, str], sake_process: Run) -> None:
    done = sake_process("broken", env=environ)
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be loaded: ZeroDivisionError" in done.stderr
    assert "No such command 'broken'" in done.stderr


def test_a_built_in_verb_asks_for_no_plug_in(
    registry: Path, environ: dict[str, str], sake_process: Run
) -> None:
    done = sake_process("check", cwd=registry, env=environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 file" in done.stdout


def test_the_tab_key_prints_no_warning(environ: dict[str, str], sake_process: Run) -> None:
    typed = {"_SAKE_COMPLETE": "bash_complete", "COMP_WORDS": "sake pla", "COMP_CWORD": "1"}
    done = sake_process(env=environ | typed)
    assert (sorted(done.stdout.split()), done.stderr) == (["plain,placed", "plain,plan"], "")


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [
        (["check"], set()),
        (["--help"], {"sake_bench", *BENCH_VERBS}),
    ],
)
def test_the_bench_is_loaded_no_further_than_its_help(
    registry: Path, arguments: list[str], loaded: set[str]
) -> None:
    program = str(ROOT / "cli.py")
    _, modules = loaded_by(RUN.format(arguments=arguments, program=program), registry)
    assert isinstance(modules, list)
    assert {name for name in modules if name.startswith("sake_bench")} <= loaded

"""`sake log`, `sake diff` and `sake status` as a user runs them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from sake_registry.commands import diff, log, status
from sake_registry.commands.console import State
from sake_registry.errors import SakeError
from tests.commands.test_imports import HEAVY, loaded_by
from tests.repositories import (
    GitRegistry,
    MakeRegistry,
    _own_configuration,
    edit_text,
    make_registry,
    registry,
)

__all__ = ["_own_configuration", "make_registry", "registry"]

COMMANDS: dict[str, click.Command] = {
    "log": log.command, "diff": diff.command, "status": status.command,
}  # fmt: skip


def sake(made: GitRegistry, verb: str, *arguments: str, code: int = 0) -> tuple[str, str]:
    """stdout and stderr of a command that ends with `code`; of an error, its message and hint."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.root)
        found = CliRunner().invoke(COMMANDS[verb], list(arguments), obj=State(Path()))
    if isinstance(found.exception, SakeError):
        assert found.exception.exit_code == code
        return found.stdout, str(found.exception)
    assert found.exit_code == code, found.output
    return found.stdout, found.stderr


def asked(made: GitRegistry, verb: str, *arguments: str) -> dict[str, Any]:
    out, err = sake(made, verb, *arguments, "--json")
    assert err == ""
    value = json.loads(out)
    assert value.pop("schema") == f"{verb}/1"
    assert isinstance(value, dict)
    return value


# -- log ---------------------------------------------------------------------------------------


def test_log(registry: GitRegistry) -> None:
    registry.write("darrieux", new="German", more="tags: [language]\n")
    tag = registry.commit("a tag")
    out, err = sake(registry, "log", "darrieux")
    assert err == ""
    lines = out.splitlines()
    assert lines[:3] == [
        f"2026-01-01  {tag[:10]}  Ann Author: a tag", "  changed (metadata only)",
        "    1 tag added",
    ]  # fmt: skip
    assert lines[3].endswith("Ann Author: Darrieux spoke German")
    assert lines[4:6] == ["  changed", "    new object: English → German"]
    assert lines[-1] == "  added: Danielle Darrieux · mother tongue: French → English"
    out, err = sake(registry, "log", "darrieux", "-n", "1")
    assert (out.splitlines(), err) == (lines[:3], "… and 2 earlier\n")
    out, _ = sake(registry, "log", "darrieux", "--part", "fact")
    assert out.splitlines() == lines[3:]


def test_log_says_what_is_not_committed(registry: GitRegistry) -> None:
    registry.write("darrieux", new="Dutch")
    out, _ = sake(registry, "log", "darrieux")
    assert out.splitlines()[:2] == ["not committed  changed", "    new object: German → Dutch"]
    assert asked(registry, "log", "darrieux")["uncommitted"]["action"] == "changed"
    registry.path("darrieux").unlink()
    assert sake(registry, "log", "darrieux")[0].startswith("not committed  removed\n")
    registry.commit("gone")
    registry.write("darrieux")
    assert sake(registry, "log", "darrieux")[0].startswith("not committed  added\n")


def test_log_as_json(registry: GitRegistry) -> None:
    value = asked(registry, "log", "darrieux")
    assert (value["id"], value["complete"], value["uncommitted"]) == ("darrieux", True, None)
    newest, first = value["versions"]
    assert newest["commit"] == registry.head
    assert newest["authors"] == ["Ann Author"]
    assert newest["parts"] == ["fact"]
    assert newest["differences"][0]["text"] == "new object: English → German"
    assert first["action"] == "added"


def test_log_of_a_shallow_clone(registry: GitRegistry) -> None:
    top = registry.top.parent / "clone"
    registry.git("clone", "--quiet", "--depth=1", f"file://{registry.top}", str(top))
    out, err = sake(GitRegistry(top, top), "log", "darrieux")
    assert out.splitlines()[1].startswith("  unknown: Danielle Darrieux")
    assert "git fetch --unshallow" in err


def test_log_of_the_registry(registry: GitRegistry) -> None:
    for number in range(25):
        registry.write(f"other-{number:02}", subject=f"Other {number}")
    registry.commit("many")
    out, _ = sake(registry, "log")
    lines = out.splitlines()
    assert lines[0].endswith("Ann Author: many")
    assert lines[1] == "  other-00  added: Other 0 · mother tongue: French → English"
    assert lines[21] == "  … and 5 more"
    assert lines[23] == "  darrieux  changed: new object: English → German"
    (one,) = asked(registry, "log", "-n", "1")["commits"]
    assert (len(one["edits"]), one["more"]) == (20, 5)


def test_log_refuses(registry: GitRegistry, make_registry: MakeRegistry) -> None:
    assert "did you mean 'darrieux'?" in sake(registry, "log", "darieux", code=1)[1]
    assert "--part needs an ID" in sake(registry, "log", "--part", "fact", code=2)[1]
    unborn = make_registry("unborn", commits=False)
    assert "nothing is committed" in sake(unborn, "log", code=5)[1]
    (unborn.top / ".git").rename(unborn.top / "moved")
    assert "is not in a git repository" in sake(unborn, "log", "darrieux", code=4)[1]


# -- diff --------------------------------------------------------------------------------------


def test_diff(registry: GitRegistry) -> None:
    head = registry.head[:10]
    assert sake(registry, "diff") == (f"no edit changed, {head} → the working tree\n", "")
    registry.write("darrieux", new="Dutch", prompts=4)
    registry.write("fresh", subject="Fresh")
    (registry.root / "sake.toml").write_text("[compile]\nreg = 2.0\n")
    out, _ = sake(registry, "diff")
    assert out.splitlines() == [
        f"2 edits changed, {head} → the working tree",
        "~ darrieux  Danielle Darrieux · mother tongue: French → Dutch",
        "    new object: German → Dutch",
        "    2 prompts added",
        "      + The mother tongue of <subject>, as note 2 says, is",
        "      + The mother tongue of <subject>, as note 3 says, is",
        "+ fresh  Fresh · mother tongue: French → English",
        "sake.toml: compile.reg: (not set) → 2.0",
    ]
    assert sake(registry, "diff", "fresh")[0].splitlines()[1:] == [
        "+ fresh  Fresh · mother tongue: French → English"
    ]
    assert sake(registry, "diff", "HEAD^..HEAD", "darrieux")[0].splitlines()[2:] == [
        "    new object: English → German"
    ]


def test_many_texts_are_shown_when_asked_for(registry: GitRegistry) -> None:
    registry.write("darrieux", new="German", prompts=9)
    short, _ = sake(registry, "diff")
    assert short.splitlines()[2:] == ["    7 prompts added"]
    full, _ = sake(registry, "diff", "--full")
    assert len(full.splitlines()) == 3 + 7


def test_diff_as_json(registry: GitRegistry) -> None:
    value = asked(registry, "diff", "HEAD^..HEAD")
    assert value["range"] == "HEAD^..HEAD"
    assert value["head"] == registry.head
    assert value["settings"] == []
    assert value["edits"] == [
        {
            "id": "darrieux", "action": "changed", "path": "edits/darrieux.yaml",
            "claim": "Danielle Darrieux · mother tongue: French → German",
            "lines": ["new object: English → German"],
            "differences": [
                {"part": "fact", "text": "new object: English → German",
                 "removed": ["English"], "added": ["German"]}
            ],
        }
    ]  # fmt: skip
    assert asked(registry, "diff", "--format", "json")["head"] is None


def test_markdown_shows_texts_as_they_are(registry: GitRegistry) -> None:
    registry.write("darrieux", edit_text(new='"*<b>German</b>* | `x`"'))
    out, _ = sake(registry, "diff", "--format", "markdown")
    assert out.splitlines()[2:] == [
        "- changed **darrieux**: Danielle Darrieux · mother tongue: French → "
        r"\*\<b\>German\</b\>\* \| \`x\`",
        r"  - new object: German → \*\<b\>German\</b\>\* \| \`x\`",
    ]


def test_what_diff_takes_for_a_range(registry: GitRegistry, make_registry: MakeRegistry) -> None:
    registry.git("branch", "fresh", "HEAD^")
    assert "1 edit changed" in sake(registry, "diff", "fresh")[0]
    registry.write("fresh", subject="Fresh")
    assert "`sake diff HEAD fresh` for the edit" in sake(registry, "diff", "fresh", code=1)[1]
    assert "1 edit changed" in sake(registry, "diff", "HEAD", "fresh")[0]
    assert "did you mean 'darrieux'?" in sake(registry, "diff", "darieux", code=1)[1]
    assert "no commit 'x'" in sake(registry, "diff", "x..HEAD", code=1)[1]
    assert "no edit 'nothing'" in sake(registry, "diff", "HEAD", "nothing", code=1)[1]
    for first in ("HEAD^", "HEAD"):
        said = sake(registry, "diff", first, "HEAD^", code=1)[1]
        assert "'HEAD^' is a revision, and no edit" in said
        assert f"write {first}..HEAD^" in said
    said = sake(registry, "diff", "darrieux", "HEAD", code=1)[1]
    assert "no edit 'HEAD'" in said
    unborn = make_registry("unborn", commits=False)
    unborn.write("one")
    assert "nothing is committed" in sake(unborn, "diff", code=5)[1]


# -- status ------------------------------------------------------------------------------------


def test_status(registry: GitRegistry) -> None:
    registry.write("darrieux", new="Dutch")
    out, err = sake(registry, "status")
    assert err == ""
    assert out.splitlines() == [
        f"main at {registry.head[:10]}, 1 edit, 1 active",
        "needs somebody: not committed (1)",
        "to compile: missing in the bundle (all)",
        "",
        "not committed: `git commit -- edits/darrieux.yaml`",
        "  darrieux  changed",
        "",
        "missing in the bundle: `sake compile`",
        "  no bundle yet for 1 active edit",
    ]


def test_status_before_the_first_commit(make_registry: MakeRegistry) -> None:
    unborn = make_registry("unborn", commits=False)
    out, _ = sake(unborn, "status")
    assert out.splitlines()[0] == "nothing committed on main yet, 0 edits, 0 active"


def test_status_says_much_in_few_lines(registry: GitRegistry) -> None:
    for number in range(30):
        registry.write(f"other-{number:02}", subject=f"Other {number}")
    out, _ = sake(registry, "status")
    assert "  other-04  new: `git add edits/other-04.yaml && git commit -- " in out
    assert "other-05" not in out
    assert "  … and 25 more: `sake status --all`" in out.splitlines()
    whole, _ = sake(registry, "status", "--all")
    assert "  other-29  new: `git add edits/other-29.yaml && git commit -- " in whole
    value = asked(registry, "status")
    assert len(value["items"]) == 31
    assert value["items"][0] == {
        "kind": "uncommitted", "id": "other-00", "what": "new",
        "command": "git add edits/other-00.yaml && git commit -- edits/other-00.yaml",
    }  # fmt: skip
    assert value["git"]["branch"] == "main"


def test_a_clean_registry_says_so_in_one_line(registry: GitRegistry) -> None:
    registry.write("darrieux", new="German", more="lifecycle: {status: draft}\n")
    registry.commit("a draft needs no bundle")
    out, _ = sake(registry, "status")
    assert out.splitlines()[-1] == "clean: 1 edit"


def test_status_with_something_under_way(registry: GitRegistry) -> None:
    registry.git("bisect", "start")
    out, _ = sake(registry, "status")
    assert "a bisect is under way: `git bisect good|bad`, or `git bisect reset`" in out


def test_status_outside_a_repository(tmp_path: Path) -> None:
    (tmp_path / "sake.toml").write_text("")
    (tmp_path / "edits").mkdir()
    (tmp_path / "edits" / "one.yaml").write_text(edit_text(more="lifecycle: {status: draft}\n"))
    out, err = sake(GitRegistry(tmp_path, tmp_path), "status")
    assert out == "clean: 1 edit\n"
    assert "is not in a git repository" in err


# -- what it costs -----------------------------------------------------------------------------

RUN = """\
import json, sys
from pathlib import Path
from importlib import import_module
from sake_registry.commands.console import State
command = import_module("sake_registry.commands." + sys.argv[1]).command
command.main(sys.argv[2:], obj=State(Path(".")), standalone_mode=False)
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments", [["log", "darrieux"], ["log"], ["diff", "HEAD^..HEAD"], ["diff"], ["status"]]
)
def test_nothing_heavy_is_loaded(registry: GitRegistry, arguments: list[str]) -> None:
    code = f"import sys; sys.argv[1:] = {arguments!r}\n{RUN}"
    modules = loaded_by(f"import sys; sys.path.insert(0, {str(sys.path[0])!r})\n{code}",
                        registry.root)  # fmt: skip
    heavy = (HEAVY | {"rich"}) - {"git"}  # these verbs do need git
    assert {str(name).partition(".")[0] for name in modules} & heavy == set()

"""One inventory of a registry: what git holds, what the disk holds, and what nobody can see."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sake_registry.commands import cli
from sake_registry.edits.inventory import working_tree
from sake_registry.errors import SakeError
from tests.repositories import GitRegistry, MakeRegistry, edit_text

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 120\n"


def run(registry: GitRegistry, *arguments: str) -> tuple[int, str]:
    """A verb's exit code, and all that it says."""
    done = CliRunner().invoke(cli, ["-C", str(registry.root), *arguments])
    error = done.exception
    if not isinstance(error, SakeError):
        assert error is None or isinstance(error, SystemExit), done.exc_info
        return done.exit_code, done.output
    found = "\n".join(map(str, getattr(error, "diagnostics", ())))
    return error.exit_code, f"{done.output}{error}\n{found}"


def review(registry: GitRegistry, text: str) -> dict[str, Any]:
    arguments = ["-C", str(registry.root), "review", text, "--no-model", "--json"]
    done = CliRunner().invoke(cli, arguments)
    value: dict[str, Any] = json.loads(done.stdout)
    assert done.exit_code == (0 if value["passed"] else 1)
    return value


def failed(value: dict[str, Any]) -> set[str]:
    return {gate["name"] for gate in value["gates"] if gate["state"] == "failed"}


@pytest.fixture
def both(registry: GitRegistry) -> GitRegistry:
    """Two edits on main, and a branch."""
    registry.write("people/gabin", subject="Jean Gabin")
    registry.commit("Another")
    registry.git("switch", "--quiet", "-c", "change")
    return registry


def link_the_folder(registry: GitRegistry) -> str:
    (registry.root / "edits").rename(registry.root / "facts")
    (registry.root / "edits").symlink_to("facts")
    return "edits"


def link_the_folder_above(registry: GitRegistry) -> str:
    (registry.root / "data").mkdir()
    (registry.root / "edits").rename(registry.root / "data" / "facts")
    (registry.root / "d").symlink_to("data")
    (registry.root / "sake.toml").write_text('edits = "d/facts"\n')
    return "d"


def link_a_folder_of_it(registry: GitRegistry) -> str:
    (registry.root / "edits" / "people").rename(registry.root / "folk")
    (registry.root / "edits" / "people").symlink_to("../folk")
    return "edits/people"


def link_a_file(registry: GitRegistry) -> str:
    registry.path("darrieux").rename(registry.root / "away")
    registry.path("darrieux").symlink_to("../away")
    return "edits/darrieux.yaml"


def link_to_nowhere(registry: GitRegistry) -> str:
    registry.path("nowhere").symlink_to("/nowhere/at/all.yaml")
    return "edits/nowhere.yaml"


def pointer(registry: GitRegistry) -> str:
    registry.write("darrieux", POINTER)
    return "edits/darrieux.yaml"


def attribute(registry: GitRegistry, text: str) -> str:
    (registry.root / ".gitattributes").write_text(f"edits/*.yaml {text}\n*.bin filter=lfs\n")
    return "edits/darrieux.yaml"


def a_filter(registry: GitRegistry) -> str:
    return attribute(registry, "filter=lfs")


def an_encoding(registry: GitRegistry) -> str:
    return attribute(registry, "working-tree-encoding=UTF-7")


def an_ident(registry: GitRegistry) -> str:
    return attribute(registry, "ident")


def a_filter_of_the_settings(registry: GitRegistry) -> str:
    (registry.root / ".gitattributes").write_text("sake.toml filter=lfs\n")
    return "sake.toml"


TRACKED = [
    link_the_folder, link_the_folder_above, link_a_folder_of_it, link_a_file, link_to_nowhere,
    pointer, a_filter, an_encoding, an_ident,
    a_filter_of_the_settings,
]  # fmt: skip


@pytest.mark.parametrize("hide", TRACKED)
def test_what_a_commit_hides_is_named_by_every_verb_and_passes_no_gate(
    both: GitRegistry, hide: Any
) -> None:
    path = hide(both)
    both.commit("Hide")
    for verb in (["check"], ["list"], ["conflicts"], ["compile"], ["plan"], ["status"]):
        code, said = run(both, *verb)
        assert code == (0 if verb == ["status"] else 1), (verb, said)
        assert path in said, (verb, said)
    for text in ("main...change", "main"):
        value = review(both, text)
        assert "seen" in failed(value)
        findings = [*value["findings"], *(f for edit in value["edits"] for f in edit["findings"])]
        assert path in {finding["path"] for finding in findings}
    # What both sides hide is hidden all the same.
    both.git("switch", "--quiet", "-c", "later")
    (both.root / "notes.txt").write_text("nothing of the registry")
    both.commit("Later")
    assert "seen" in failed(review(both, "change...later"))


def test_what_comes_into_sight_again_passes(both: GitRegistry) -> None:
    link_the_folder(both)
    both.commit("Hide")
    both.git("switch", "--quiet", "-c", "mend")
    (both.root / "edits").unlink()
    (both.root / "facts").rename(both.root / "edits")
    both.commit("Mend")
    value = review(both, "change...mend")
    assert value["passed"]
    assert [edit["action"] for edit in value["edits"]] == ["added", "added"]


def test_links_beside_the_edits_are_nobodys_business(both: GitRegistry) -> None:
    (both.root / "README").write_text("about")
    (both.root / "edits" / "README").symlink_to("../README")
    (both.root / "edits" / "gone").symlink_to("nowhere")
    (both.root / "edits" / ".hidden").symlink_to("people")
    both.commit("Links")
    assert run(both, "check")[0] == 0
    assert review(both, "main...change")["passed"]


def test_a_submodule_is_named_and_not_entered(
    both: GitRegistry, make_registry: MakeRegistry
) -> None:
    other = make_registry("other")
    (other.top / "verne.yaml").write_text(edit_text("Jules Verne"))
    other.commit("Add")
    both.git("submodule", "--quiet", "add", str(other.top), "edits/sub")
    both.commit("A submodule")
    for text in ("main...change", "main"):
        assert "seen" in failed(review(both, text))
    code, said = run(both, "list")
    assert (code, "edits/sub" in said, "verne" in said) == (1, True, False)
    shutil.rmtree(both.root / "edits" / "sub")  # not checked out, as after a plain clone
    (both.root / "edits" / "sub").mkdir()
    assert "edits/sub" in run(both, "check")[1]


def test_another_repository_in_the_folder_is_named_and_not_entered(both: GitRegistry) -> None:
    inner = both.root / "edits" / "inner"
    inner.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=inner, check=True)
    (inner / "verne.yaml").write_text(edit_text("Jules Verne"))
    code, said = run(both, "check")
    assert (code, "edits/inner" in said) == (1, True)
    assert "seen" in failed(review(both, "main"))


# -- what this checkout hides -------------------------------------------------------------------


def sparse(registry: GitRegistry) -> None:
    registry.git("sparse-checkout", "set", "--no-cone", "/*", "!/edits/people")


def sparse_index(registry: GitRegistry) -> None:
    (registry.root / "other").mkdir()
    (registry.root / "other" / "x").write_text("x")
    registry.commit("x")
    registry.git("sparse-checkout", "set", "--cone", "--sparse-index", "other")


def skip_worktree(registry: GitRegistry) -> None:
    registry.git("update-index", "--skip-worktree", "edits/people/gabin.yaml")
    registry.path("people/gabin").unlink()


def assume_unchanged(registry: GitRegistry) -> None:
    registry.git("update-index", "--assume-unchanged", "edits/people/gabin.yaml")
    registry.path("people/gabin").unlink()


HIDDEN = [sparse, sparse_index, skip_worktree, assume_unchanged]


@pytest.mark.parametrize("hide", HIDDEN)
def test_what_a_checkout_hides_is_named_and_not_called_deleted(
    both: GitRegistry, hide: Any
) -> None:
    hide(both)
    for verb in (["check"], ["list"], ["compile"], ["plan"]):
        code, said = run(both, *verb)
        assert (code, "gabin.yaml" in said) == (1, True), (verb, said)
    assert "gabin" not in run(both, "diff", "main")[1]
    assert "removed" not in run(both, "log", "gabin")[1]
    assert "seen" in failed(review(both, "main"))
    assert review(both, "main...change")["passed"]  # of commits all is there
    code, said = run(both, "status", "--json")
    items = [item for item in json.loads(said)["items"] if item["kind"] != "missing"]
    assert {item["kind"] for item in items} == {"errors"}
    assert "gabin.yaml" in items[-1]["what"]
    subprocess.run(items[-1]["command"], cwd=both.root, shell=True, check=True)
    assert both.path("people/gabin").is_file()
    assert run(both, "check")[0] == 0


def test_many_hidden_files_are_one_finding(registry: GitRegistry) -> None:
    for n in range(30):
        registry.write(f"people/p{n:02}", subject=f"Person {n}")
    registry.commit("Many")
    registry.git("sparse-checkout", "set", "--no-cone", "/*", "!/edits/people")
    seen = working_tree(registry.root, "edits")
    assert seen.files == ("edits/darrieux.yaml",)
    (part,) = seen.unseen
    assert (part.path, "30 edit files" in part.why, "25 more" in part.why) == (
        "edits/people", True, True,
    )  # fmt: skip


@pytest.mark.parametrize("mark", ["skip-worktree", "assume-unchanged"])
def test_the_command_for_a_marked_file_that_changed_commits_it(
    both: GitRegistry, mark: str
) -> None:
    both.git("update-index", f"--{mark}", "edits/darrieux.yaml")
    both.write("darrieux", new="Dutch")
    _follow(both, f"changed, {mark}")


def test_the_command_for_an_ignored_file_commits_it(both: GitRegistry) -> None:
    (both.root / ".gitignore").write_text("edits/verne*\n")
    both.commit("Ignore")
    both.write("verne", subject="Jules Verne")
    _follow(both, "new, ignored by git")
    assert "edits/verne.yaml" in both.changed_paths()


def _follow(registry: GitRegistry, what: str) -> None:
    """Do what the status says of the one uncommitted file, after which there is none."""
    items = json.loads(run(registry, "status", "--json")[1])["items"]
    (item,) = [item for item in items if item["kind"] == "uncommitted"]
    assert item["what"] == what
    environment = {**os.environ, "GIT_EDITOR": "echo done >"}
    command = item["command"]
    subprocess.run(command, cwd=registry.root, shell=True, check=True, env=environment)
    items = json.loads(run(registry, "status", "--json")[1])["items"]
    assert [item for item in items if item["kind"] == "uncommitted"] == []


def test_the_settings_as_a_link_are_refused_on_every_side(both: GitRegistry) -> None:
    (both.root / "sake.toml").unlink()
    (both.root / "sake.toml").symlink_to('edits = "other"')
    both.commit("A link that is TOML")
    both.git("switch", "--quiet", "main")
    code, said = run(both, "review", "main...change", "--no-model")
    assert (code, "sake.toml is a link" in said) == (1, True)


def test_a_folder_that_cannot_be_read_is_named(
    both: GitRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refused(folder: str) -> Any:
        if str(folder).endswith("people"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refused)
    code, said = run(both, "check")
    assert (code, "edits/people" in said) == (1, True)


def test_what_is_no_plain_file_is_named(both: GitRegistry) -> None:
    os.mkfifo(both.root / "edits" / "pipe.yaml")
    code, said = run(both, "check")
    assert (code, "pipe.yaml" in said) == (1, True)


def test_a_registry_without_git_is_what_the_disk_says(tmp_path: Path) -> None:
    (tmp_path / "edits").mkdir()
    (tmp_path / "edits" / "a.yaml").write_text("x")
    assert working_tree(tmp_path, "edits").files == ("edits/a.yaml",)


def test_names_that_differ_in_case_alone_do_not_pass(both: GitRegistry) -> None:
    both.write("Darrieux", new="Dutch")
    both.commit("Two that are one on other disks")
    assert run(both, "check")[0] == 1
    assert not review(both, "main...change")["passed"]


@pytest.mark.parametrize("option", ["core.splitIndex", "index.sparse", "core.fsmonitor"])
def test_taking_it_writes_nothing(both: GitRegistry, option: str) -> None:
    a_filter(both)
    both.commit("Filter")
    both.git("config", option, "true")

    def states() -> dict[str, int]:
        return {str(path): path.lstat().st_mtime_ns for path in both.top.rglob("*")}

    before = states()
    review(both, "main...change")
    run(both, "check")
    run(both, "status")
    assert states() == before


@pytest.mark.parametrize("hide", TRACKED)
def test_a_file_that_is_named_to_check_does_not_pass_unseen(both: GitRegistry, hide: Any) -> None:
    path = hide(both)
    both.commit("Hide")
    for place in (path, "edits/darrieux.yaml"):
        if path != "sake.toml" and (both.root / place).exists():
            with chdir(both.root):
                code, said = run(both, "check", place)
            hidden = path in ("edits", place)
            assert code == (1 if hidden else 0), (place, said)

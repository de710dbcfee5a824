"""Starting git: nothing foreign runs when reading, and nothing of the caller leads it elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sake_registry import git
from sake_registry.errors import InputError, SetupError, StateError
from sake_registry.history.provenance import provenance
from sake_registry.history.repository import Repository
from sake_registry.history.reverting import plan_revert, plan_withdraw
from sake_registry.history.snapshots import at_commit, changed_in, compare, in_working_tree
from sake_registry.history.versions import log_of
from tests.conftest import ROOT
from tests.history.running import hook
from tests.repositories import GitRegistry, MakeRegistry


class Trap:
    """Programs planted in a repository; `sprung` names those that ran."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder

    def program(self, name: str) -> str:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\ntouch '{self.folder / name}.ran'\ncat 2>/dev/null; exit 0\n")
        path.chmod(0o755)
        return str(path)

    @property
    def sprung(self) -> set[str]:
        found = {path.stem for path in self.folder.glob("*.ran")}
        for path in self.folder.glob("*.ran"):
            path.unlink()
        return found


HOOKS = (
    "pre-commit", "post-index-change", "post-checkout", "reference-transaction",
    "fsmonitor-watchman", "post-commit", "pre-auto-gc",
)  # fmt: skip


@pytest.fixture
def trap(registry: GitRegistry, tmp_path: Path) -> Trap:
    """The registry's repository, with every kind of foreign program that git knows planted.

    Its last commit bears a signature, and its files have attributes that ask for filters.
    """
    (registry.root / ".gitattributes").write_text("*.yaml diff=planted filter=planted\n")
    registry.commit("Attributes")
    signed = registry.git("cat-file", "commit", "HEAD").split("\n\n")
    signed[0] += "\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----"
    commit = registry.git("hash-object", "-t", "commit", "-w", "--stdin",
                          stdin="\n\n".join(signed) + "\n")  # fmt: skip
    registry.git("update-ref", "refs/heads/main", commit)
    trap = Trap(tmp_path / "traps")
    hooks = trap.folder / "hooks"
    hooks.mkdir()
    for name in HOOKS:
        (hooks / name).symlink_to(trap.program(f"hook-{name}"))
    for key, value in {
        "core.fsmonitor": trap.program("fsmonitor"),
        "diff.external": trap.program("external"),
        "diff.planted.textconv": trap.program("textconv"),
        "diff.planted.command": trap.program("command"),
        "filter.planted.clean": trap.program("clean"),
        "filter.planted.smudge": trap.program("smudge"),
        "core.hooksPath": str(hooks),
        "log.showSignature": "true",
        "gpg.program": trap.program("gpg"),
        "core.pager": trap.program("pager"),
        "pager.log": "true",
        "core.editor": trap.program("editor"),
        "core.sshCommand": trap.program("ssh"),
        "credential.helper": trap.program("credential"),
    }.items():
        registry.git("config", key, value)
    return trap


def test_reading_runs_nothing_that_a_repository_plants(registry: GitRegistry, trap: Trap) -> None:
    registry.path("darrieux").touch()  # git would have to look into it
    registry.git("status")
    registry.git("log", "-1")
    registry.git("diff", "HEAD~2")
    assert trap.sprung >= {"fsmonitor", "gpg", "external", "clean"}  # the traps are set
    registry.git("log", "-p", "--no-ext-diff", "-2")
    assert trap.sprung >= {"textconv"}
    registry.path("darrieux").touch()
    index = registry.top / ".git" / "index"
    written = index.stat().st_mtime_ns

    repository = registry.repository
    log_of(repository, ["darrieux"])
    changed_in(repository, repository.range("HEAD~2"))
    changed_in(repository, repository.range("HEAD~2..HEAD"))
    changed_in(repository, repository.range("HEAD~2...HEAD"))
    compare(at_commit(repository, registry.head), in_working_tree(repository))
    repository.recent(5, registry.head)
    repository.index()
    repository.touched(registry.head)
    repository.commits([registry.head])
    repository.under_way(), repository.branch(), repository.outer()
    assert provenance(registry.root, ["sake.toml", "edits"])["dirty"] is False
    plan_revert(registry.registry, ["darrieux"])
    plan_revert(registry.registry, [], touched_by="HEAD~1")
    plan_withdraw(registry.registry, ["darrieux"], "wrong")
    assert trap.sprung == set()
    assert index.stat().st_mtime_ns == written


def test_what_a_user_plants_by_variables_does_not_run_either(
    registry: GitRegistry, trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", trap.program("by-variable"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", trap.program("external-by-variable"))
    monkeypatch.setenv("GIT_PAGER", trap.program("pager-by-variable"))
    plan_revert(registry.registry, ["darrieux"])
    repository = registry.repository
    changed_in(repository, repository.range("HEAD~2"))
    assert trap.sprung == set()


def test_configuration_that_changes_what_git_prints(registry: GitRegistry) -> None:
    """Whatever a user has set, what is read is the same."""
    repository = registry.repository
    before = [v.model_dump(mode="json") for v in log_of(repository, ["darrieux"])[0].versions]
    for key, value in {
        "log.showRoot": "false",
        "log.follow": "true",
        "log.decorate": "full",
        "log.date": "relative",
        "log.diffMerges": "off",
        "log.abbrevCommit": "true",
        "color.ui": "always",
        "color.diff": "always",
        "color.branch": "always",
        "core.abbrev": "4",
        "core.quotePath": "true",
        "diff.renames": "copies",
        "diff.relative": "true",
        "diff.noprefix": "true",
        "diff.orderFile": "/nowhere/at/all",
        "diff.ignoreSubmodules": "all",
        "format.pretty": "oneline",
        "i18n.logOutputEncoding": "UTF-16",
        "column.ui": "always",
        "core.alternateRefsPrefixes": "x",
    }.items():
        registry.git("config", key, value)
    after = [
        v.model_dump(mode="json") for v in log_of(registry.repository, ["darrieux"])[0].versions
    ]
    assert after == before
    assert len(after) == 2


@pytest.mark.parametrize(
    "name",
    ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR",
     "GIT_NAMESPACE", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_PREFIX"],
)  # fmt: skip
def test_variables_that_lead_elsewhere_do_not_reach_git(
    registry: GitRegistry, make_registry: MakeRegistry, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    other = make_registry("other")
    head = registry.head
    monkeypatch.setenv(name, str(other.top / ".git"))
    repository = registry.repository
    assert repository.head == head
    assert "edits/darrieux.yaml" in repository.index()
    assert len(log_of(repository, ["darrieux"])[0].versions) == 2
    assert provenance(registry.root, ["edits"]) == {"commit": head, "dirty": False}


def test_a_grafted_or_replaced_commit_is_not_believed(registry: GitRegistry) -> None:
    head = registry.head
    empty = registry.git("commit-tree", "-m", "forged", "HEAD^{tree}")
    registry.git("replace", head, empty)
    assert len(log_of(registry.repository, ["darrieux"])[0].versions) == 2
    assert registry.repository.commits([head])[head].subject == "Darrieux spoke German"


def test_git_ends_with_an_error(registry: GitRegistry) -> None:
    with pytest.raises(git.GitError, match="git rev-list: bad revision 'nothing'") as raised:
        git.read(registry.root, "rev-list", "nothing", "--")
    assert raised.value.code == 128
    with pytest.raises(SetupError, match="no folder"):
        git.read(registry.root / "nowhere", "status")


def test_there_is_no_git(registry: GitRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(registry.root))
    with pytest.raises(SetupError, match="git is not installed") as raised:
        git.read(registry.root, "version")
    assert "https://git-scm.com" in str(raised.value.hint)
    assert provenance(registry.root, ["edits"]) == {"commit": None, "dirty": None}


def test_messages_are_understood_in_every_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    outside = tmp_path / "outside"
    outside.mkdir()
    with pytest.raises(SetupError, match="is not in a git repository"):
        Repository(outside, "edits")


def test_a_repository_of_another_user(
    registry: GitRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(SetupError, match="dubious ownership") as raised:
        _ = registry.repository
    assert "safe.directory" in str(raised.value.hint)


def test_a_variable_does_not_vouch_for_a_repository_of_another_user(
    registry: GitRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git trusts the owner of whatever `GIT_DIR` names, so not even the right value is given."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_DIR", str(registry.top / ".git"))
    with pytest.raises(SetupError, match="dubious ownership"):
        _ = registry.repository
    assert os.environ["GIT_DIR"] == str(registry.top / ".git")  # it is the caller's again


def test_a_folder_is_called_what_it_is_called(
    make_registry: MakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitPython takes `~` and variables in a path for what they stand for."""
    made = make_registry("$HOME ${HOME}", inside="~/%HOME%")
    made.write("darrieux")
    made.commit("Add")
    monkeypatch.chdir(made.root.parent)
    assert len(log_of(Repository(Path("%HOME%").absolute(), "edits"), ["darrieux"])) == 1
    assert made.repository.head == made.head


def test_a_hook_speaks_the_language_of_the_user(
    registry: GitRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook(registry, "pre-commit", 'echo "${LC_ALL:-unset} ${LANGUAGE:-unset}" > said')
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.setenv("LANGUAGE", "de")
    git.write(registry.top, "commit", "--quiet", "--allow-empty", "-m", "x")
    assert (registry.top / "said").read_text() == "unset de\n"


def test_a_machine_without_git_has_its_message(registry: GitRegistry) -> None:
    """GitPython would refuse to be imported."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "log"],
        cwd=registry.root, env={"PATH": str(registry.root)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (4, "")
    assert "git is not installed" in done.stderr


def test_reading_from_a_partial_clone_fetches_nothing(registry: GitRegistry) -> None:
    registry.git("config", "uploadpack.allowFilter", "true")
    registry.git("config", "uploadpack.allowAnySHA1InWant", "true")
    top = registry.top.with_name("partial")
    registry.git("clone", "--quiet", "--filter=blob:none", f"file://{registry.top}", str(top))
    partial = GitRegistry(top, top)
    blob = registry.git("rev-parse", "HEAD^:edits/darrieux.yaml")
    for call in (
        lambda: partial.repository.read([blob]),
        lambda: log_of(partial.repository, ["darrieux"]),
        lambda: changed_in(partial.repository, partial.repository.range("HEAD^")),
    ):
        with pytest.raises(StateError, match="partial") as raised:
            call()
        assert raised.value.hint == git.COMPLETE
    missing = partial.git("rev-list", "--objects", "--all", "--missing=print")
    assert f"?{blob}" in missing.splitlines()
    partial.git("fetch", "--quiet", "--refetch", "--no-filter")
    assert partial.repository.read([blob])[blob].startswith(b"schema: 1\n")


def test_a_path_is_never_a_pattern(registry: GitRegistry) -> None:
    with pytest.raises(InputError):
        registry.repository.resolve("HEAD:*")
    assert registry.repository.file(registry.head, "edits/*.yaml") is None
    assert registry.repository.index("edits/*.yaml") == {}
    assert registry.repository.index(":/") == {}
    assert git.literal("a*[b]") == ":(literal)a*[b]"


def test_processes_are_started_in_one_place() -> None:
    package = Path(git.__file__).parent
    starters = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"\b(subprocess|popen|Popen|os\.system|os\.exec\w*|os\.spawn\w*)\b",
                     path.read_text(encoding="utf-8"))
    }  # fmt: skip
    assert starters == {"authoring/editing.py", "git.py"}  # the first starts an editor

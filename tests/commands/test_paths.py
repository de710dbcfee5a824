"""A hostile repository writes, deletes and reads nothing outside of its registry.

Every verb that writes meets links at every place that it could write to, over files that a
snapshot guards: their names, bytes, times and kinds.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from sake_registry import compile_registry, open_registry
from sake_registry.bundle.reader import BundleFile
from sake_registry.commands import cli
from sake_registry.edits.registry import open_registry as opened
from sake_registry.errors import SakeError, SettingsError, StateError
from sake_registry.files import below, remove, write_text
from tests import tiny_models
from tests.conftest import ROOT
from tests.repositories import GitRegistry, _own_configuration, edit_text  # noqa: F401
from tests.workshop import make_registry as make_workshop

SECRET = "the outside content that nobody is to see"
CALIBRATE = ("calibrate", "--write")
VERBS: dict[str, tuple[str, ...]] = {
    "init": ("init", "."),
    "init --schema": ("init", "--schema"),
    "init --ci": ("init", "--ci", "github", "--force"),
    "new": ("new", "verne", "--subject", "Jules Verne", "--relation", "home", "--new", "Rome"),
    "new linked": ("new", "linked", "--subject", "A B", "--relation", "home", "--new", "Rome"),
    "fmt": ("fmt",),
    "fmt edits": ("fmt", "edits"),
    "fmt file": ("fmt", "edits/linked.yaml"),
    "migrate": ("migrate",),
    "plan": ("plan",),
    "compile": ("compile",),
    "calibrate": CALIBRATE,
    "revert": ("revert", "tolstoy-tongue", "--yes"),
    "revert linked": ("revert", "linked", "--yes"),
    "withdraw": ("withdraw", "tolstoy-tongue", "--reason", "x"),
    "edit": ("edit", "australia-capital"),
    "rename": ("rename", "tolstoy-tongue", "tolstoy"),
    "gc": ("cache", "gc", "--delete"),
    "verify": ("cache", "verify", "--delete"),
    "review": (
        "review", "main...HEAD", "--html", "out/a.html", "--markdown", "out/b.md",
        "--json-file", "out/c.json",
    ),
    "review tree": ("review", "main", "--no-model"),
    "list": ("list",),
    "show": ("show", "linked"),
    "status": ("status",),
    "check": ("check",),
    "log": ("log",),
    "diff": ("diff", "main"),
    "conflicts": ("conflicts",),
    "site": ("site",),
}  # fmt: skip


def snapshot(folder: Path) -> dict[str, object]:
    """All that can be seen of what lies in a folder: names, kinds, times, bytes."""
    seen: dict[str, object] = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        data = path.read_bytes() if path.is_file() else None
        seen[str(path)] = (status.st_mode, status.st_mtime_ns, status.st_ino, data)
    return seen


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled registry in a repository, with every file that the verbs write."""
    model = tiny_models.save("gpt2", tmp_path_factory.mktemp("paths") / "tiny-gpt2")
    root = make_workshop(tmp_path_factory.mktemp("paths") / "registry", model)
    assert CliRunner().invoke(cli, ["-C", str(root), "init", "--schema"]).exit_code == 0
    compile_registry(open_registry(root))
    return root


@pytest.fixture
def evil(compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitRegistry:
    """The same, checked out on a branch that went apart from main."""
    monkeypatch.setenv("VISUAL", "sed -i s/Canberra/Perth/")
    root = tmp_path / "registry"
    shutil.copytree(compiled, root)
    registry = GitRegistry(root, root)
    registry.git("init", "--quiet")
    registry.git("add", "--all", "--", "sake.toml", "edits", ".sake/edit.schema.json")
    registry.git("commit", "--quiet", "-m", "First")
    registry.git("switch", "--quiet", "-c", "evil")
    return registry


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "victim"
    folder.mkdir()
    return folder


def take_away(registry: GitRegistry, outside: Path, names: list[str]) -> None:
    """Put links in the place of files or folders, and what was there outside."""
    for n, name in enumerate(names):
        place, victim = registry.root / name, outside / str(n)
        victim.parent.mkdir(exist_ok=True)
        if os.path.lexists(place):
            shutil.move(place, victim)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            victim.write_text(SECRET)
        place.symlink_to(victim)
    registry.git("add", "--all", "--force")
    registry.git("commit", "--quiet", "-m", "Links")


@dataclass
class Done:
    """What a verb gave: its exit code, all that it said, and the error that ended it."""

    code: int
    said: str
    error: SakeError | None


def run(registry: GitRegistry, *arguments: str) -> Done:
    with chdir(registry.root):
        done = CliRunner().invoke(cli, arguments)
    error = done.exception
    if not isinstance(error, SakeError):
        assert error is None or isinstance(error, SystemExit), done.exc_info
        return Done(done.exit_code, done.output, None)
    found = "\n".join(map(str, getattr(error, "diagnostics", ())))
    return Done(error.exit_code, f"{done.output}{error}\n{found}", error)


def leaves(registry: GitRegistry) -> list[str]:
    """Every single file that a verb may write, delete or read."""
    store = registry.root / ".sake/store"
    objects = [path.relative_to(registry.root).as_posix() for path in store.rglob("*.safetensors")]
    models = [path.relative_to(registry.root).as_posix() for path in store.rglob("*.json")]
    (bundle,) = (registry.root / "bundles").iterdir()
    assert objects
    assert models
    return [
        *objects,
        *models,
        ".sake/store/lock",
        f"bundles/{bundle.name}",
        ".sake/edit.schema.json",
        ".sake/editing/australia-capital.yaml",
        ".sake/editing/australia-capital.origin",
        "edits/linked.yaml",
        "edits/australia-capital.yaml",
        "edits/more",
        "overrides.json",
        ".gitignore",
        ".github/workflows/sake.yml",
        ".github/workflows/sake-comment.yml",
        ".github/workflows/sake-preview.yml",
        "out/a.html",
        "out/b.md",
        "out/c.json",
        "site/index.json",
        "site/edits/tolstoy-tongue.html",
    ]


def unchanged_by_all(registry: GitRegistry, outside: Path) -> dict[str, Done]:
    """Run every verb; nothing outside may change, or be shown."""
    before, results = snapshot(outside), {}
    for name, arguments in VERBS.items():
        result = results[name] = run(registry, *arguments)
        assert snapshot(outside) == before, name
        assert SECRET not in result.said, name
        gone = name == "fmt file" and not (registry.root / arguments[1]).exists()
        assert result.code in ((2,) if gone else (0, 1, 5)), (name, result)
        registry.git("reset", "--quiet", "--hard")
    return results


def refused(results: dict[str, Done], code: int, names: str) -> None:
    for name in names.split(", "):
        assert results[name].code == code, (name, results[name])
        assert "link" in results[name].said, (name, results[name])


def test_links_in_the_place_of_every_file_lead_nowhere(evil: GitRegistry, outside: Path) -> None:
    take_away(evil, outside, leaves(evil))
    results = unchanged_by_all(evil, outside)
    refused(results, 5, "init --schema, init --ci, fmt file, gc, verify, new linked")
    refused(results, 1, "list, show, check, compile, plan, review tree")


@pytest.mark.parametrize(
    ("names", "writers"),
    [
        ("bundles edits .sake overrides.json .github out", "init --schema, init --ci, new, gc"),
        ("bundles .sake/store .github/workflows out", "init --ci, compile, plan, gc, verify"),
        (".sake/store/maps .sake/store/models", "compile, plan, gc, verify"),
        ("bundles .sake/store/lock", "compile, plan, gc"),
        ("sake.toml", ""),
    ],
)
def test_links_in_the_place_of_folders_lead_nowhere(
    evil: GitRegistry, outside: Path, names: str, writers: str
) -> None:
    take_away(evil, outside, names.split())
    results = unchanged_by_all(evil, outside)
    if writers:
        refused(results, 5, writers)
    else:
        refused(results, 1, "compile, list, status, check, calibrate, review tree")


def test_a_link_on_a_hostile_branch_does_not_lead_a_review_out(
    evil: GitRegistry, outside: Path
) -> None:
    (evil.root / "edits" / "tolstoy-tongue.yaml").write_text(edit_text("Leo Tolstoy"))
    take_away(evil, outside, [".sake/store"])
    (outside / "0" / ".partial-mine").write_text("mine")
    before = snapshot(outside)
    result = run(evil, "review", "main...evil")
    assert (result.code, snapshot(outside)) == (5, before), result
    assert "SAKE_STORE" in result.said


@pytest.mark.parametrize(
    ("toml", "variable"),
    [
        ('store = "../victim"', "SAKE_STORE"),
        ('store = "VICTIM"', "SAKE_STORE"),
        ('store = ".git/objects"', "SAKE_STORE"),
        ('bundles = "a/../../victim"', "SAKE_BUNDLES"),
        ('bundles = ".GIT/hooks"', "SAKE_BUNDLES"),
        ('overrides = "../victim/secret"', "SAKE_OVERRIDES"),
    ],
)
def test_only_a_person_puts_a_place_elsewhere(
    evil: GitRegistry, outside: Path, toml: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(evil.root / ".sake/store", outside, dirs_exist_ok=True)
    (outside / "secret").write_text(json.dumps({"disabled": {"a": SECRET}}))
    file = evil.root / "sake.toml"
    file.write_text(toml.replace("VICTIM", str(outside)) + "\n" + file.read_text())
    evil.commit("elsewhere")
    before = snapshot(outside)
    verb = {"SAKE_STORE": "gc", "SAKE_BUNDLES": "compile", "SAKE_OVERRIDES": "status"}[variable]
    result = run(evil, *VERBS[verb])
    assert (result.code, snapshot(outside)) == (1, before)
    assert isinstance(result.error, SettingsError)
    assert variable in result.said
    assert SECRET not in result.said
    monkeypatch.setenv(variable, str(outside / "elsewhere"))
    assert run(evil, *VERBS[verb]).code in (0, 5)


def test_what_a_killed_writer_left_is_ignored_by_git_and_removed_by_the_next(
    tmp_path: Path,
) -> None:
    root = tmp_path / "fresh"
    assert CliRunner().invoke(cli, ["init", str(root)]).exit_code == 0
    registry = GitRegistry(root, root)
    registry.git("init", "--quiet")
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from sake_registry.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = str(root / "edits" / "verne.yaml")
    done = subprocess.run([sys.executable, "-c", script, path], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    mine = root / "edits" / ".partial-mine"
    mine.write_text("of another's making")
    alive = root / "edits" / f".partial-{os.getpid()}-abcdefgh.yaml"
    alive.write_text("of a writer that lives")
    (left,) = {*(root / "edits").iterdir()} - {mine, alive}
    assert ".partial-" not in registry.git("status", "--porcelain", "--untracked-files=all")
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "-C", str(root), *VERBS["new"]], check=False
    )
    assert done.returncode == 0
    assert not left.exists()
    assert mine.exists()
    assert alive.exists()


def test_what_cannot_be_seen_is_left_out_of_a_bundle_only_when_told(evil: GitRegistry) -> None:
    evil.git("sparse-checkout", "set", "--no-cone", "/*", "!/edits/tolstoy-tongue.yaml")
    result = run(evil, "compile")
    assert result.code == 1
    assert "tolstoy-tongue.yaml" in result.said
    result = run(evil, "compile", "--keep-going")
    assert result.code == 0
    assert "left out: edits" in result.said
    (new,) = [p for p in (evil.root / "bundles").iterdir() if p.name in result.said]
    with BundleFile(new) as bundle:
        assert [edit.id for edit in bundle.manifest.edits] == ["australia-capital"]


# -- the gate itself ---------------------------------------------------------------------------


@pytest.mark.parametrize("call", [write_text, lambda path, text, root: remove(path, root)])
def test_the_gate_lets_nothing_out(tmp_path: Path, call: Callable[..., object]) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    (root / "in").mkdir(parents=True)
    out.mkdir()
    (out / "file").write_text("old")
    (root / "in" / "folder").symlink_to(out)
    (root / "in" / "file").symlink_to(out / "file")
    (root / "in" / "dangling").symlink_to(out / "new")
    (root / "loop").symlink_to(root / "loop")
    for name in (
        "in/folder/file",
        "in/file",
        "in/dangling",
        "loop",
        "../out/file",
        "in/../../out/x",
    ):
        with pytest.raises(StateError) as caught:
            call(root / name, "new", root)
        assert caught.value.exit_code == 5
    with pytest.raises(StateError):
        call(out / "file", "new", root)
    assert (out / "file").read_text() == "old"
    assert [path.name for path in out.iterdir()] == ["file"]


def test_the_way_to_the_root_is_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "real" / "root").mkdir(parents=True)
    (tmp_path / "way").symlink_to(tmp_path / "real")
    root = (tmp_path / "real" / "root").resolve()
    written = tmp_path / "way" / "root" / "a" / "file"
    assert below(root, written) == root / "a" / "file"
    write_text(written, "x", root)
    assert (root / "a" / "file").read_text() == "x"
    (root / "b").symlink_to(tmp_path)
    with pytest.raises(StateError, match="is a link"):
        write_text(tmp_path / "way" / "root" / "b" / "file", "x", root)


def test_places_of_a_program_are_as_a_flag(registry: Path, tmp_path: Path) -> None:
    there = opened(registry, {"store": str(tmp_path / "x")})
    assert there.store == tmp_path / "x"
    assert there.settings.given(bundles="/y").place("bundles", registry) == Path("/y")
    with pytest.raises(SettingsError):
        there.settings.model_copy(update={"bundles": "/y"}).place("bundles", registry)


WRITES = re.compile(
    r"\.(write_text|write_bytes|unlink|mkdir|rmdir|rename|replace_with|touch|symlink_to|chmod)\("
    r"|\brmtree\(|\bos\.(remove|unlink|rename|replace|mkdir|makedirs|utime|truncate)\("
    r"|\bopen\(\s*['\"][wax]|\bopen\([^)]*['\"][wax]b?['\"]"
)
BEYOND = {
    "temporary.write_",  # of `files.replacing`
    "(folder / side).write_bytes(data)",  # a folder of the system's, for a merge
    "stored.path.parent.rmdir()",  # an empty folder of the store, behind a gated removal
    "(root / path).chmod(",  # of a file that was just written
    "os.utime(plan.path, follow_symlinks=False)",
    'with path.open("wb") as out:',  # the temporary of a bundle
    'with target.open("wb") as file:',  # and of one that is fetched
    "path.touch()",  # a bundle in the cache folder, which was just verified there
    'open("a", encoding="utf-8")',  # a log of decisions, which a person's flag names
    'open(number, "w"',  # a standard stream, by its number
    # The queue of Slurm's jobs, in a folder of its own below the store that the gate has let pass.
    "shutil.rmtree(root, ignore_errors=True)",
    "(folder / _WAITING / task.edit.id).touch()",
    'path.rename(folder / _TAKEN / f"{number}.{path.name}")',
}


def test_nothing_is_written_or_deleted_but_through_the_gate() -> None:
    package = ROOT / "sake_registry"
    lines = [
        f"{path.relative_to(package)}: {line.strip()}"
        for path in sorted(package.rglob("*.py"))
        if path.name != "files.py" or path.parent != package
        for line in path.read_text("utf-8").splitlines()
        if WRITES.search(line) and not any(known in line for known in BEYOND)
    ]
    assert lines == []

"""How a registry stands: real repositories, and bundles of a tiny model."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sake_registry.bundle.reader import read_manifest
from sake_registry.commands import cli
from sake_registry.commands.console import State
from sake_registry.commands.status import command as status_command
from sake_registry.edits.registry import open_registry
from sake_registry.errors import InputError
from sake_registry.history.provenance import provenance
from sake_registry.remote.pointer import write_pointer
from sake_registry.upkeep import status as module
from sake_registry.upkeep.bundles import after_change, bundle_states
from sake_registry.upkeep.status import Status, status
from tests import tiny_models
from tests.repositories import GitRegistry, MakeRegistry, edit_text
from tests.workshop import CAPITAL, TONGUE
from tests.workshop import make_registry as write_registry

TODAY = date(2026, 11, 22)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save("gpt2", tmp_path_factory.mktemp("model") / "tiny-gpt2")


def compile_(made: GitRegistry, **overrides: Any) -> Path:
    """What `sake compile` does."""
    from sake_registry.compiler.run import compile_registry

    registry = open_registry(made.root, overrides)
    paths = [registry.settings.edits, "sake.toml"]
    done = compile_registry(registry, provenance=provenance(made.root, paths))
    assert done.bundle is not None
    return done.bundle


@pytest.fixture(scope="module")
def template(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two edits, committed and compiled, to be copied: a compile takes longer than a copy."""
    top = tmp_path_factory.mktemp("template") / "registry"
    top.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            patch.delenv(name)
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        for who in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{who}_NAME", "Ann Author")
            patch.setenv(f"GIT_{who}_EMAIL", "ann@example.org")
        made = GitRegistry(top, write_registry(top, model_folder))
        (top / ".gitignore").write_text("bundles/\n.sake/\n")
        made.git("init", "--quiet", "--initial-branch=main")
        made.commit("two edits")
        compile_(made)
    yield top


@pytest.fixture
def compiled(template: Path, tmp_path: Path) -> GitRegistry:
    top = tmp_path / "registry"
    shutil.copytree(template, top)
    return GitRegistry(top, top)


def test_a_review_that_came_behind_the_compile_comes_into_the_bundle(
    compiled: GitRegistry,
) -> None:
    path = compile_(compiled)
    before = read_manifest(path)
    compiled.commit("two edits", "--amend", "--trailer", "Reviewed-by: Rosa Rev <r@example.org>")
    done = CliRunner().invoke(cli, ["-C", str(compiled.root), "compile"])
    assert done.exit_code == 0, done.output
    after = read_manifest(path)
    assert (after.key, after.content_hash) == (before.key, before.content_hash)
    assert before.reviewers("australia-capital") == ()
    assert after.reviewers("australia-capital") == ("Rosa Rev",)
    assert after.provenance["commit"] == compiled.head
    assert "2 edits, 2 reviewed" in CliRunner().invoke(cli, ["inspect", str(path)]).output
    done = CliRunner().invoke(cli, ["inspect", str(path), "--all"])
    assert "australia-capital: reviewed by Rosa Rev\n" in done.output
    written = path.stat().st_ino
    assert CliRunner().invoke(cli, ["-C", str(compiled.root), "compile"]).exit_code == 0
    assert path.stat().st_ino == written  # nothing more is known


def of(found: Status, kind: str) -> dict[str | None, tuple[str, str]]:
    """What stands under a kind: id to (what, command)."""
    return {item.id: (item.what, item.command) for item in found.items if item.kind == kind}


def kinds(made: GitRegistry | Path, today: date = TODAY) -> dict[str, list[str | None]]:
    root = made if isinstance(made, Path) else made.root
    found: dict[str, list[str | None]] = {}
    for item in status(root, today=today).items:
        found.setdefault(item.kind, []).append(item.id)
    return found


# -- git ---------------------------------------------------------------------------------------


def test_what_is_not_committed(registry: GitRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(registry.root)
    for name in ("staged", "both", "deleted", "unstaged", "moves", "kept"):
        registry.write(name, subject=name.title())
    registry.commit("more")
    registry.write("staged", subject="Staged", new="Dutch")
    registry.write("both", subject="Both", new="Dutch")
    registry.write("added", subject="Added")
    registry.git("add", "--all")
    registry.write("both", subject="Both", new="Danish")
    registry.write("fresh", subject="Fresh")
    registry.write("darrieux", new="Dutch")
    registry.path("deleted").unlink()
    registry.git("rm", "--quiet", "--cached", "edits/unstaged.yaml")
    registry.write("sub/moves", registry.path("moves").read_text())
    registry.path("moves").unlink()
    (registry.root / "sake.toml").write_text("[compile]\nreg = 2.0\n")
    before = registry.state()
    found = of(status(registry.root), "uncommitted")
    assert {id_: what for id_, (what, _) in found.items()} == {
        "added": "new, staged",
        "both": "changed, staged, changed since",
        "darrieux": "changed",
        "deleted": "deleted",
        "fresh": "new",
        "moves": "moved: edits/moves.yaml → edits/sub/moves.yaml",
        "staged": "changed, staged",
        "unstaged": "deleted in the index, still here",
        None: "sake.toml: changed",
    }
    assert registry.state() == before
    # The commands are what they say: after them, nothing is left.
    for id_, (_, command) in found.items():
        if id_ != "unstaged":
            for part in command.replace("git commit", "git commit -m change").split(" && "):
                registry.git(*part.split()[1:])
    assert list(of(status(registry.root), "uncommitted")) == ["unstaged"]


def test_from_another_folder_the_commands_say_where(registry: GitRegistry) -> None:
    registry.write("fresh", subject="Fresh")
    git = f"git -C {registry.root}"
    _, command = of(status(registry.root), "uncommitted")["fresh"]
    assert command == f"{git} add edits/fresh.yaml && {git} commit -- edits/fresh.yaml"


def test_a_link_and_a_file_that_cannot_be_read(
    registry: GitRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    (registry.root / "edits" / "link.yaml").symlink_to("darrieux.yaml")
    registry.write("other", subject="Other")
    registry.commit("a link")
    assert of(status(registry.root), "uncommitted") == {}
    read = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path.name == "other.yaml":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    found = status(registry.root)
    assert of(found, "uncommitted") == {}


def test_a_conflict_and_a_merge_under_way(registry: GitRegistry) -> None:
    registry.git("switch", "--quiet", "-c", "work")
    registry.write("darrieux", new="Dutch")
    registry.commit("Dutch")
    registry.git("switch", "--quiet", "main")
    registry.write("darrieux", new="Danish")
    registry.commit("Danish")
    registry.git("merge", "--quiet", "work", code=1)
    found = status(registry.root)
    assert of(found, "uncommitted")["darrieux"][0] == "in conflict"
    assert list(of(found, "errors")) == ["darrieux"]
    assert found.git is not None
    going = found.git.under_way
    assert going is not None
    steps = (going.what, going.finish, going.give_up)
    assert steps == ("merge", "git merge --continue", "git merge --abort")


def test_line_ends_of_the_working_tree_are_no_change(registry: GitRegistry) -> None:
    registry.git("config", "core.autocrlf", "true")
    for path in (registry.path("darrieux"), registry.root / "sake.toml"):
        path.unlink()
    registry.git("checkout", "--", ".")
    assert b"\r\n" in registry.path("darrieux").read_bytes()
    assert of(status(registry.root), "uncommitted") == {}


def test_where_the_repository_stands(
    registry: GitRegistry, make_registry: MakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = status(registry.root).git
    assert git is not None
    assert (git.branch, git.commit, git.shallow) == ("main", registry.head, False)
    clone = registry.top.parent / "shallow"
    registry.git("clone", "--quiet", "--depth=1", f"file://{registry.top}", str(clone))
    git = status(clone).git
    assert git is not None
    assert (git.branch, git.shallow) == ("main", True)
    registry.git("switch", "--quiet", "--detach")
    git = status(registry.root).git
    assert git is not None
    assert (git.branch, git.commit) == (None, registry.head)
    unborn = make_registry("unborn", commits=False)
    unborn.write("one")
    git = status(unborn.root).git
    assert git is not None
    assert (git.branch, git.commit) == ("main", None)
    monkeypatch.chdir(unborn.root)
    found = of(status(unborn.root), "uncommitted")
    assert list(found) == ["one", None]
    # The first commit takes in what `sake init` wrote beside them, too.
    (unborn.root / ".gitignore").write_text("bundles/\n")
    assert {command for _, command in found.values()} == {"git add . && git commit"}
    unborn.git("add", ".")
    unborn.git("commit", "--quiet", "--message=first")
    assert status(unborn.root).of("uncommitted") == ()
    assert unborn.git("status", "--porcelain") == ""


def test_without_a_repository(tmp_path: Path) -> None:
    (tmp_path / "sake.toml").write_text("")
    (tmp_path / "edits").mkdir()
    (tmp_path / "edits" / "one.yaml").write_text(edit_text())
    found = status(tmp_path)
    assert found.git is None
    assert "is not in a git repository" in found.notes[0]
    assert of(found, "missing") == {None: ("no bundle yet for 1 active edit", "sake compile")}


# -- dates, errors, production -----------------------------------------------------------------


def test_dates_that_have_passed(registry: GitRegistry) -> None:
    for name, life in {
        "past": "valid_until: 2026-11-21",
        "last-day": "valid_until: 2026-11-22",
        "due": "review_by: 2026-11-21",
        "due-draft": "status: draft, review_by: 2026-01-01",
        "not-due": "review_by: 2026-11-22",
        "withdrawn": "status: withdrawn, valid_until: 2020-01-01, review_by: 2020-01-01",
    }.items():
        registry.write(name, subject=name.title(), more=f"lifecycle: {{{life}}}\n")
    found = status(registry.root, today=TODAY)
    assert of(found, "expired")["past"] == (
        "on 2026-11-21: Past · mother tongue: French → English",
        "sake withdraw past --reason 'expired on 2026-11-21'",
    )
    assert list(of(found, "expired")) == ["past"]
    assert list(of(found, "review")) == ["due", "due-draft"]
    assert of(found, "review")["due"][1] == "sake show due"


def test_files_with_errors_are_counted(registry: GitRegistry) -> None:
    registry.write("broken", "schema: 1\n")
    assert of(status(registry.root), "errors") == {"broken": ("2 errors", "sake check")}
    shown = CliRunner().invoke(status_command, obj=State(registry.root)).output
    assert "needs somebody: files with errors (1), not committed (1)\nto compile: " in shown


def test_what_production_switched_off(registry: GitRegistry) -> None:
    disabled = {"darrieux": "wrong for her early films", "gone": "long ago"}
    (registry.root / "overrides.json").write_text(json.dumps({"disabled": disabled}))
    found = of(status(registry.root), "disabled")
    assert found["darrieux"] == (
        "wrong for her early films", "sake withdraw darrieux --reason 'wrong for her early films'",
    )  # fmt: skip
    assert found["gone"][0] == "long ago (no active edit)"
    (registry.root / "sake.toml").write_text('overrides = "state/off.json"\n')
    assert of(status(registry.root), "disabled") == {}
    (registry.root / "state").mkdir()
    (registry.root / "state" / "off.json").write_text('{"disabeld": {}}')
    with pytest.raises(InputError, match="unknown key 'disabeld'"):
        status(registry.root)


# -- bundles -----------------------------------------------------------------------------------


def test_what_a_pointer_says_of_production(compiled: GitRegistry, tmp_path: Path) -> None:
    """Its bundle, and the overrides beside it in place of the registry's own."""
    (bundle,) = (compiled.root / "bundles").glob("*.h5")
    content = read_manifest(bundle).content_hash
    (compiled.root / "overrides.json").write_text('{"disabled": {"a": "here"}}')
    place = tmp_path / "elsewhere" / "production.json"
    write_pointer(place, f"../served/{bundle.name}", content=content, note="ticket 12")
    found = status(compiled.root, pointer=str(place))
    assert found.clean
    assert found.production is not None
    assert found.production.here == bundle
    (place.parent / "overrides.json").write_text('{"disabled": {"tolstoy-tongue": "wrong"}}')
    for said, here in (
        ({"bundle": bundle.name}, bundle),
        ({"bundle": "renamed.h5", "content": content}, bundle),
        ({"bundle": "renamed.h5"}, None),
        ({"bundle": bundle.name, "content": "a" * 64}, None),
    ):
        place.write_text(json.dumps(said))
        found = status(compiled.root, pointer=str(place))
        assert found.production is not None
        assert found.production.here == here
        assert list(of(found, "disabled")) == ["tolstoy-tongue"]
    write_pointer(place, bundle.name, content=content, note="ticket 12")
    done = CliRunner().invoke(status_command, ["--pointer", str(place)], obj=State(compiled.root))
    assert f"(content {content[:12]}), which is {bundle.name} here: ticket 12" in done.stdout
    assert "tolstoy-tongue  wrong" in done.stdout
    with pytest.raises(InputError, match="no pointer"):
        status(compiled.root, pointer=str(tmp_path / "none.json"))


def test_a_registry_that_is_compiled_and_committed_is_clean(compiled: GitRegistry) -> None:
    found = status(compiled.root)
    assert found.clean
    assert found.notes == ()
    assert (found.edits, found.active) == (2, 2)
    (state,) = found.bundles
    assert state.current
    assert (state.commit, state.dirty) == (compiled.head, False)


def test_where_a_bundle_is_not_what_the_registry_says(compiled: GitRegistry) -> None:
    compiled.write("australia-capital", CAPITAL.replace("Canberra", "Melbourne"))
    compiled.write("new", subject="Michel Rocard")
    compiled.path("tolstoy-tongue").unlink()
    assert kinds(compiled) == {
        "uncommitted": ["australia-capital", "new", "tolstoy-tongue"],
        "changed": ["australia-capital"], "missing": ["new"], "gone": ["tolstoy-tongue"],
    }  # fmt: skip
    compiled.commit("all that")
    found = status(compiled.root)
    assert of(found, "gone")["tolstoy-tongue"][0] == "its file is gone"
    assert "Melbourne" in of(found, "changed")["australia-capital"][0]
    assert {item.command for item in found.items} == {"sake compile"}
    compiled.write("tolstoy-tongue", TONGUE + "lifecycle: {status: withdrawn}\n")
    assert of(status(compiled.root), "gone")["tolstoy-tongue"][0] == "status: withdrawn"


def test_dates_and_notes(compiled: GitRegistry) -> None:
    """Dates are in a bundle, though in no key; notes are in neither."""
    compiled.write("tolstoy-tongue", TONGUE + "lifecycle: {valid_until: 2030-01-01}\n")
    compiled.write("australia-capital", CAPITAL + "tags: [capital]\n")
    compiled.commit("a date, a tag")
    assert kinds(compiled) == {"changed": ["tolstoy-tongue"]}


def test_settings_that_changed_make_all_of_it_stale(compiled: GitRegistry) -> None:
    file = compiled.root / "sake.toml"
    file.write_text(file.read_text().replace("keep_failed = true", "keep_failed = true\nreg = 2.5"))
    compiled.commit("reg")
    found = status(compiled.root)
    assert [item.kind for item in found.items] == ["stale"]
    assert of(found, "stale")[None][0].partition(": ")[2] == "compile.reg auto → 2.5"
    # An edit that changed as well is told apart from those whose settings alone did.
    compiled.write("tolstoy-tongue", TONGUE.replace("Polish", "Latin"))
    compiled.commit("Latin")
    assert kinds(compiled) == {"changed": ["tolstoy-tongue"], "stale": [None]}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("\n[router]", "\n[answer]\nguard = false\n[router]", "answer.guard True → False"),
        ('"euclidean"', '"cosine"', "router.metric euclidean → cosine"),
        ('"euclidean"', '"euclidean"\nlast_names = false', "router.last_names True → False"),
    ],
)
def test_how_it_decides_and_answers_are_settings_of_a_bundle_too(
    compiled: GitRegistry, old: str, new: str, said: str
) -> None:
    file = compiled.root / "sake.toml"
    file.write_text(file.read_text().replace(old, new))
    compiled.commit("settings")
    found = status(compiled.root)
    assert [(item.kind, item.id) for item in found.items] == [("stale", None)]
    assert of(found, "stale")[None][0].partition(": ")[2] == said


def test_contexts_of_the_registry_are_settings_too(compiled: GitRegistry) -> None:
    file = compiled.root / "sake.toml"
    file.write_text(file.read_text() + '[contexts.target]\ntwice = "Say {new}. {prompt}"\n')
    compiled.commit("another template")
    assert kinds(compiled) == {"stale": [None]}


def test_of_a_file_with_errors_nothing_else_is_said(compiled: GitRegistry) -> None:
    compiled.write("tolstoy-tongue", "schema: 1\n")
    compiled.commit("broken")
    assert kinds(compiled) == {"errors": ["tolstoy-tongue"]}


def test_a_file_that_is_no_bundle_is_passed_over(
    compiled: GitRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        (compiled.root / "bundles" / f"other-{name}.h5").write_text("no HDF5")
    assert len(status(compiled.root).bundles) == 1
    (record,) = caplog.records
    assert record.getMessage().startswith("passed over 2 files in")


def test_without_the_extra_for_bundles(
    compiled: GitRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("sake_registry.bundle")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "h5py", None)
    found = status(compiled.root)
    assert found.clean
    assert found.bundles == ()
    assert "pip install -c constraints.txt '.[models]'" in found.notes[0]
    assert len(after_change(compiled.root, ["tolstoy-tongue"])) == 1


# -- what need not be read ---------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The ids that were not read, at each call."""
    seen: list[set[str]] = []
    known = module._known

    def spy(*arguments: Any) -> frozenset[str]:
        found = known(*arguments)
        seen.append(set(found))
        return found

    monkeypatch.setattr(module, "_known", spy)
    return seen


def test_what_a_bundle_tells_is_not_read_again(
    compiled: GitRegistry, asked: list[set[str]]
) -> None:
    assert status(compiled.root).clean
    compiled.write("tolstoy-tongue", TONGUE.replace("Polish", "Latin"))
    status(compiled.root)
    compiled.write("tolstoy-tongue", TONGUE)
    compiled.write("new", subject="Leo Tolstoy")  # what it may contradict is read
    status(compiled.root)
    assert asked == [
        {"australia-capital", "tolstoy-tongue"}, {"australia-capital"}, {"australia-capital"},
    ]  # fmt: skip


def test_a_contradiction_with_an_edit_that_was_compiled_is_found(compiled: GitRegistry) -> None:
    compiled.write("tolstoy-two", TONGUE.replace("Polish", "Latin"))
    assert list(of(status(compiled.root), "errors")) == ["tolstoy-two"]


def test_a_date_that_passes_after_the_compile_is_found(compiled: GitRegistry) -> None:
    life = "lifecycle: {valid_until: 2026-12-01, review_by: 2026-11-25}\n"
    compiled.write("tolstoy-tongue", TONGUE + life)
    compiled.commit("dates")
    compile_(compiled)
    assert kinds(compiled, date(2026, 11, 25)) == {}
    assert kinds(compiled, date(2026, 11, 26)) == {"review": ["tolstoy-tongue"]}
    assert kinds(compiled, date(2026, 12, 2)) == {
        "expired": ["tolstoy-tongue"], "review": ["tolstoy-tongue"],
    }  # fmt: skip


@pytest.mark.parametrize("spoilt", ["dirty", "settings", "commit", "twice"])
def test_a_bundle_that_does_not_tell_what_it_was_made_from(
    compiled: GitRegistry, asked: list[set[str]], spoilt: str
) -> None:
    """Then every file is read, and the result is the same."""
    if spoilt == "dirty":
        (compiled.root / "edits" / "australia-capital.yaml").write_text(CAPITAL + "# mine\n")
        next((compiled.root / "bundles").iterdir()).unlink()
        compile_(compiled)
        compiled.write("australia-capital", CAPITAL)
    elif spoilt == "settings":
        with (compiled.root / "sake.toml").open("a") as file:
            file.write("# a comment\n")
        compiled.commit("a comment")
    elif spoilt == "commit":
        shutil.rmtree(compiled.root / ".git")
        compiled.git("init", "--quiet", "--initial-branch=main")
        compiled.commit("another repository")
    else:
        compiled.write("sub/tolstoy-tongue", TONGUE)
    assert kinds(compiled).keys() <= {"errors", "uncommitted"}
    assert asked == [set()]


# -- after a change ----------------------------------------------------------------------------


def test_what_a_revert_means_for_the_bundle(compiled: GitRegistry) -> None:
    (first,) = bundle_states(open_registry(compiled.root))
    assert after_change(compiled.root, ["tolstoy-tongue"]) == [
        f"bundle bundles/{first.path.name} is up to date"
    ]
    compiled.write("tolstoy-tongue", TONGUE.replace("Polish", "Latin"))
    compiled.commit("Latin")
    stale, needs = after_change(compiled.registry, ["tolstoy-tongue"])
    assert stale == f"bundle bundles/{first.path.name} is stale for tolstoy-tongue"
    assert needs.strip().endswith("runs the model for tolstoy-tongue")
    compile_(compiled)
    compiled.write("tolstoy-tongue", TONGUE)
    compiled.commit("back")
    _, earlier = after_change(compiled.root, ["tolstoy-tongue"])
    assert "the earlier build is still in the store" in earlier
    assert f"no forward pass and gives key {first.manifest.key[:12]}" in earlier
    compile_(compiled)
    (again,) = bundle_states(open_registry(compiled.root))
    assert again.manifest.key == first.manifest.key
    compiled.write("australia-capital", "schema: 1\n")
    compiled.path("tolstoy-tongue").unlink()
    assert after_change(compiled.root, ["tolstoy-tongue"])[1].strip().startswith("2 errors to mend")

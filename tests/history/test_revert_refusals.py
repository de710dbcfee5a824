"""What `sake revert` refuses, and that a refusal changes nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sake_registry.errors import StateError
from sake_registry.history.reverting import apply, plan_revert
from tests.history.running import Done, conflict, done, hook, new_object, refused, revert, sake
from tests.repositories import GitRegistry, MakeRegistry, edit_text


def test_a_file_that_is_changed_staged_or_new(registry: GitRegistry) -> None:
    path = registry.path("darrieux")
    sound = path.read_text()

    def said(found: Done, what: str) -> None:
        assert what in found.err
        assert "edits/darrieux.yaml" in found.err

    path.write_text(sound + "# changed\n")
    said(refused(registry, "darrieux"), "changed and not committed")
    registry.git("add", "--all")
    said(refused(registry, "darrieux"), "staged and not committed")
    path.write_text(sound)  # staged alone
    said(found := refused(registry, "darrieux"), "staged and not committed")
    assert "`git restore --staged --worktree -- edits/darrieux.yaml`" in found.hint
    registry.git("restore", "--staged", "--worktree", "--", "edits/darrieux.yaml")
    path.unlink()
    said(refused(registry, "darrieux"), "changed and not committed")
    registry.git("rm", "--quiet", "edits/darrieux.yaml")
    said(refused(registry, "darrieux"), "staged and not committed")
    registry.git("restore", "--staged", "--worktree", "--", "edits/darrieux.yaml")
    registry.git("update-index", "--chmod=+x", "edits/darrieux.yaml")
    said(refused(registry, "darrieux"), "staged and not committed")
    registry.git("reset", "--quiet", "--hard")
    done(registry, "darrieux")


def test_a_file_that_was_never_committed(registry: GitRegistry) -> None:
    registry.write("fresh", subject="Fresh")
    for options in ([], ["--remove"], ["--to", "HEAD^"]):
        found = refused(registry, "fresh", *options)
        assert "edits/fresh.yaml: never committed" in found.err
        assert "`rm edits/fresh.yaml`" in found.hint
        assert "git add edits/fresh.yaml && git commit" in found.hint
    registry.git("add", "edits/fresh.yaml")
    found = refused(registry, "fresh")
    assert "staged and not committed" in found.err
    registry.git("restore", "--staged", "--worktree", "--", "edits/fresh.yaml")
    assert not registry.path("fresh").exists()


def test_a_file_that_was_moved_or_made_anew_and_not_committed(registry: GitRegistry) -> None:
    registry.path("darrieux").rename(registry.write("film/darrieux"))
    assert "edits/film/darrieux.yaml: never committed" in refused(registry, "darrieux").err
    registry.path("film/darrieux").rename(registry.path("darrieux"))
    registry.path("darrieux").unlink()
    registry.commit("Remove")
    registry.write("darrieux", new="something else")
    assert "edits/darrieux.yaml: never committed" in refused(registry, "darrieux").err


def test_two_files_of_one_id(registry: GitRegistry) -> None:
    registry.write("film/darrieux")
    registry.commit("Twice")
    found = refused(registry, "darrieux")
    assert "edits/darrieux.yaml and edits/film/darrieux.yaml" in found.err


@pytest.mark.parametrize(
    ("name", "start", "code"),
    [
        ("merge", ["merge", "branch"], 1),
        ("rebase", ["rebase", "branch"], 1),
        ("rebase", ["rebase", "--apply", "branch"], 1),
        ("cherry-pick", ["cherry-pick", "branch"], 1),
        ("revert", ["revert", "--no-edit", "HEAD~1"], 1),
        ("bisect", ["bisect", "start", "HEAD", "HEAD~1"], 0),
    ],
)
def test_an_operation_under_way(
    registry: GitRegistry, name: str, start: list[str], code: int
) -> None:
    conflict(registry)
    registry.git(*start, code=code)
    found = refused(registry, "darrieux")
    assert f"a {name} is under way" in found.err
    assert "--continue" in found.hint or "git bisect good|bad" in found.hint
    assert f"a {name} is under way" in refused(registry, "darrieux", "--dry-run").err
    assert (
        f"a {name} is under way"
        in refused(registry, "darrieux", "--reason", "x", verb="withdraw").err
    )
    give_up = found.hint.rpartition("(`")[2].removesuffix("`)")
    registry.git(*give_up.split()[1:])  # the hint is a command that works
    done(registry, "darrieux")


def test_between_two_picks(registry: GitRegistry) -> None:
    conflict(registry)
    registry.git("switch", "--quiet", "branch")
    (registry.root / "more.md").write_text("x")
    registry.commit("More")
    registry.git("switch", "--quiet", "main")
    registry.git("cherry-pick", "branch~1", "branch", code=1)
    (registry.root / "notes.md").write_text("resolved\n")
    registry.git("commit", "--quiet", "-am", "by hand, and not by --continue")
    assert "a cherry-pick is under way" in refused(registry, "darrieux").err


def test_an_unborn_branch(make_registry: MakeRegistry) -> None:
    made = make_registry(commits=False)
    made.write("darrieux")
    found = refused(made, "darrieux")
    assert "there is no commit yet on main" in found.err
    assert found.hint == "git add --all && git commit"


def test_a_bare_repository_and_no_repository(make_registry: MakeRegistry, tmp_path: Path) -> None:
    made = make_registry("bare.git", commits=False)
    subprocess.run(["rm", "-r", made.top / ".git"], check=True)
    made.write("darrieux")
    found = sake(made.root, "revert", "darrieux")
    assert found.code == 4
    assert "not in a git repository" in found.err
    assert "git init" in found.hint
    made.git("init", "--quiet", "--bare")
    found = refused(made, "darrieux")
    assert "is a bare repository" in found.err
    assert "git clone" in found.hint


def clone(made: GitRegistry, *options: str) -> GitRegistry:
    """A clone over a transport, so that depth and filters are honoured."""
    made.git("config", "uploadpack.allowFilter", "true")
    made.git("config", "uploadpack.allowAnySHA1InWant", "true")
    top = made.top.with_name("clone")
    made.git("clone", "--quiet", *options, f"file://{made.top}", str(top))
    return GitRegistry(top, top, made.edits)


def test_a_shallow_clone_hides_what_is_needed(registry: GitRegistry) -> None:
    shallow = clone(registry, "--depth=1")
    found = refused(shallow, "darrieux")
    assert "shallow clone hides" in found.err
    assert "git fetch --unshallow" in found.hint
    assert "shallow clone hides" in refused(shallow, "--touched-by", "HEAD").err
    hidden = registry.git("rev-parse", "HEAD^")
    assert "--unshallow" in refused(shallow, "darrieux", "--to", hidden, code=1).hint
    shallow.write("gabin", subject="Jean Gabin")
    shallow.commit("Add")
    done(shallow, "gabin")  # added after what is hidden: its whole history is here
    assert not shallow.path("gabin").exists()
    done(shallow, "darrieux", "--remove")  # asked for in so many words
    shallow.git("reset", "--quiet", "--hard", "origin/main")
    shallow.git("fetch", "--quiet", "--unshallow")
    done(shallow, "darrieux")
    assert new_object(shallow, "darrieux") == "English"


def test_a_shallow_clone_that_holds_enough(registry: GitRegistry) -> None:
    shallow = clone(registry, "--depth=2")
    done(shallow, "darrieux")
    assert new_object(shallow, "darrieux") == "English"
    assert "shallow clone" in refused(shallow, "--touched-by", "HEAD~2").err


@pytest.mark.parametrize("filter_", ["blob:none", "tree:0"])
def test_a_partial_clone_lacks_the_earlier_version(registry: GitRegistry, filter_: str) -> None:
    partial = clone(registry, f"--filter={filter_}")
    found = refused(partial, "darrieux")
    assert "partial" in found.err
    command = "git fetch --refetch --no-filter"
    assert command in found.hint
    partial.git(*command.split()[1:], "--quiet")
    done(partial, "darrieux")
    assert new_object(partial, "darrieux") == "English"


def test_another_edit_was_made_on_what_goes_away(registry: GitRegistry) -> None:
    until, since = "lifecycle: {valid_until: 2030-01-01}\n", "lifecycle: {valid_from: 2030-01-02}\n"
    registry.write("pm-now", subject="UK", relation="head", old="Sunak", new="Starmer", more=until)
    registry.commit("Starmer")
    registry.write("pm-then", subject="UK", relation="head", old="Starmer", new="Z", more=since)
    registry.commit("and then Z")
    found = refused(registry, "pm-now")
    assert "'pm-then' was made on what 'pm-now' says" in found.err
    assert "sake revert pm-now pm-then" in found.hint
    found = refused(registry, "pm-now", "--reason", "x", verb="withdraw")
    assert "sake withdraw pm-now pm-then --reason" in found.hint
    done(registry, "pm-now", "pm-then")
    assert not registry.path("pm-now").exists()
    assert not registry.path("pm-then").exists()


def test_another_edit_contradicts_the_result(registry: GitRegistry) -> None:
    registry.write("first", subject="UK", relation="head", old="Sunak", new="Starmer")
    registry.commit("Starmer")
    withdrawn = "lifecycle: {status: withdrawn}\n"
    registry.write("first", subject="UK", relation="head", old="Sunak", new="Starmer",
                   more=withdrawn)  # fmt: skip
    registry.commit("Not Starmer")
    registry.write("second", subject="UK", relation="head", old="Sunak", new="Davey")
    registry.commit("Davey")
    found = refused(registry, "first")
    assert "'first' would say that UK · head is 'Starmer', and 'second' says 'Davey'" in found.err
    assert "sake revert first second" in found.hint
    assert "sake withdraw second" in found.hint
    done(registry, "first", "second")
    assert not registry.path("second").exists()


def test_a_contradiction_that_is_there_already_does_not_count(registry: GitRegistry) -> None:
    registry.write("other", new="Italian")
    registry.commit("A contradiction")
    done(registry, "darrieux")


def test_a_link_is_refused(registry: GitRegistry) -> None:
    real = registry.root / "elsewhere.yaml"
    real.write_text(edit_text("Jean Gabin"))
    registry.path("gabin").symlink_to(real)
    registry.commit("A link")
    for options in ([], ["--remove"]):
        found = refused(registry, "gabin", *options)
        assert "edits/gabin.yaml is a link" in found.err
    registry.path("darrieux").rename(registry.root / "away.yaml")
    registry.path("darrieux").symlink_to(registry.root / "away.yaml")
    assert "edits/darrieux.yaml is a link" in refused(registry, "darrieux").err


def test_a_folder_that_is_a_link_is_refused(registry: GitRegistry) -> None:
    registry.path("darrieux").parent.rename(registry.root / "facts")
    (registry.root / "edits").symlink_to(registry.root / "facts")
    registry.commit("A link")
    found = refused(registry, "darrieux")
    assert "edits is a link" in found.err
    assert str(registry.root / "facts") in found.hint


def test_a_file_of_a_submodule_in_the_registry_is_refused(
    registry: GitRegistry, make_registry: MakeRegistry
) -> None:
    other = make_registry("other")
    (other.top / "gabin.yaml").write_text(edit_text("Jean Gabin"))
    other.commit("Add")
    registry.git("submodule", "--quiet", "add", str(other.top), "edits/sub")
    registry.commit("Add a submodule")
    found = refused(registry, "gabin")
    assert "edits/sub/gabin.yaml belongs to the submodule edits/sub" in found.err
    done(registry, "darrieux")


def test_a_hook_that_says_no(registry: GitRegistry) -> None:
    registry.write("gabin", subject="Jean Gabin")
    registry.commit("Add")
    registry.write("staged", subject="Staged")
    registry.git("add", "edits/staged.yaml")
    done(registry, "gabin", "--remove")
    registry.path("darrieux").chmod(0o755)
    registry.git("commit", "--quiet", "-am", "Executable")
    hook(registry, "pre-commit", "echo not on a Sunday >&2; echo x >> edits/darrieux.yaml; exit 1")
    for arguments in (["darrieux", "--yes"], ["gabin", "--yes"], ["darrieux", "--remove"]):
        found = refused(registry, *arguments)
        assert "nothing was committed: not on a Sunday" in found.err
        assert registry.path("darrieux").stat().st_mode & 0o777 == 0o755
        hook(registry, "pre-commit", "echo not on a Sunday >&2; exit 1")
    assert "not on a Sunday" in refused(registry, "gabin", "darrieux", "--yes").err
    found = refused(registry, "darrieux", "--reason", "x", verb="withdraw")
    assert "not on a Sunday" in found.err
    hook(registry, "pre-commit", "exit 0")
    hook(registry, "commit-msg", "grep -q Ticket $1 || { echo 'no ticket' >&2; exit 1; }")
    assert "no ticket" in refused(registry, "gabin", "--yes").err
    done(registry, "gabin", "--yes", "--reason", "Ticket 12")


def test_a_hook_runs_as_with_git_itself(registry: GitRegistry) -> None:
    """It sees the commit that is made, with patterns that work, and the user's variables."""
    said = registry.top / "said"
    hook(registry, "pre-commit",
         f"git diff --cached --name-only -- '*.yaml' > {said}; echo $MY_OWN >> {said}")  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MY_OWN", "mine")
        done(registry, "darrieux")
    assert said.read_text() == "edits/darrieux.yaml\nmine\n"


def test_signing_that_fails(registry: GitRegistry) -> None:
    registry.git("config", "commit.gpgSign", "true")
    registry.git("config", "gpg.program", "/bin/false")
    found = refused(registry, "darrieux")
    assert "nothing was committed" in found.err
    assert "gpg failed to sign" in found.err


def test_git_does_not_know_who_commits(registry: GitRegistry) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        registry.git("config", "user.useConfigOnly", "true")
        found = refused(registry, "darrieux", code=4)
        assert "git does not know who you are" in found.err
        for command in found.hint.split(" && "):
            subprocess.run(command, shell=True, check=True, cwd=registry.root)
        done(registry, "darrieux")
    assert registry.git("show", "-s", "--format=%an") == "Your Name"


def test_an_index_that_another_git_holds(registry: GitRegistry) -> None:
    lock = registry.top / ".git" / "index.lock"
    before = registry.state()
    lock.touch()
    for arguments in (["darrieux"], ["darrieux", "--remove"]):
        found = revert(registry, *arguments)
        assert found.code == 5
        assert "index.lock" in found.err
    lock.unlink()
    assert registry.state() == before


def test_a_plan_does_not_outlive_what_it_was_made_for(registry: GitRegistry) -> None:
    plan = plan_revert(registry.registry, ["darrieux"])
    registry.path("darrieux").write_text("changed\n")
    before = registry.state()
    with pytest.raises(StateError, match="changed and not committed"):
        apply(plan)
    assert registry.state() == before
    registry.commit("Changed")
    with pytest.raises(StateError, match="HEAD has moved"):
        apply(plan)


def test_an_interruption_puts_everything_back(
    registry: GitRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sake_registry import git

    done(registry, "darrieux", "--remove")
    plan = plan_revert(registry.registry, ["darrieux"])
    before = registry.state()
    write = git.write

    def interrupted(folder: Path, *arguments: str, **options: object) -> bytes:
        if arguments[0] == "commit":
            raise KeyboardInterrupt
        return write(folder, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(git, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        apply(plan)
    assert registry.state() == before

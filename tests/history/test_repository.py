"""The repository around a registry: revisions, files, what is under way, commits."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sake_registry.edits.inventory import is_edit_file
from sake_registry.errors import InputError, SetupError, StateError, StorageError
from sake_registry.git import Entry
from sake_registry.history.committing import commit as commit_files
from sake_registry.history.repository import Range, Repository
from sake_registry.history.versions import log_of
from sake_registry.history.working import put, replaced
from tests.repositories import GitRegistry, MakeRegistry, edit_text


def test_what_is_checked_out(registry: GitRegistry, make_registry: MakeRegistry) -> None:
    repository = registry.repository
    assert repository.head == registry.head
    assert repository.branch() == "main"
    assert repository.outer() is None
    assert repository.under_way() is None
    assert not repository.shallow
    registry.git("switch", "--quiet", "--detach")
    assert registry.repository.branch() is None
    unborn = make_registry("unborn", commits=False).repository
    assert (unborn.head, unborn.branch()) == (None, "main")


def test_a_revision_is_resolved_to_a_full_id(registry: GitRegistry) -> None:
    head, parent = registry.git("rev-parse", "HEAD", "HEAD^").splitlines()
    registry.git("tag", "-a", "-m", "x", "v1")
    registry.git("branch", "wörter/mit+allem", parent)
    repository = registry.repository
    for revision in ("HEAD", "main", "v1", head[:7], "@", "HEAD@{0}"):
        assert repository.resolve(revision) == head
    assert repository.resolve("wörter/mit+allem") == parent
    assert repository.resolve("HEAD^{/Add}") == parent
    strange = (
        "--help",
        "-x",
        "",
        "HEAD\n",
        "^HEAD",
        "HEAD^@",
        "HEAD..HEAD",
        "HEAD:edits",
        "0" * 40,
    )
    for revision in strange:
        with pytest.raises(InputError, match="no commit '") as raised:
            repository.resolve(revision)
        assert "git log --oneline" in str(raised.value.hint)


def test_ranges(registry: GitRegistry) -> None:
    base = registry.head
    registry.git("switch", "--quiet", "-c", "branch")
    branch = registry.commit("Branch")
    registry.git("switch", "--quiet", "main")
    main = registry.commit("Main")
    repository = registry.repository
    assert repository.range("branch") == Range("branch", branch, None)
    assert repository.range("branch..main") == Range("branch..main", branch, main)
    assert repository.range("branch...main") == Range("branch...main", base, main)
    assert repository.range("branch...") == Range("branch...", base, main)
    assert repository.range("..branch") == Range("..branch", main, branch)
    assert repository.is_ancestor(base, main)
    assert not repository.is_ancestor(branch, main)
    registry.git("switch", "--quiet", "--orphan", "lonely")
    registry.commit("Alone")
    with pytest.raises(InputError, match="no commit in common"):
        registry.repository.range("main...lonely")
    for text in ("main..nowhere", "nowhere...main", "--help..main", "a..b..c"):
        with pytest.raises(InputError, match="no commit '"):
            repository.range(text)


def test_the_files_of_edits(registry: GitRegistry) -> None:
    registry.write("film/gabin", subject="Jean Gabin")
    (registry.root / "edits" / "UPPER.YML").write_text(edit_text())
    (registry.root / "edits" / ".hidden.yaml").write_text("x")
    (registry.root / "edits" / "notes.md").write_text("x")
    (registry.root / "edits" / "link.yaml").symlink_to("darrieux.yaml")
    (registry.root / "edits-other").mkdir()
    (registry.root / "edits-other" / "x.yaml").write_text("x")
    commit = registry.commit("Add")
    repository = registry.repository
    assert list(repository.edit_files(commit)) == [
        "edits/UPPER.YML", "edits/darrieux.yaml", "edits/film/gabin.yaml"
    ]  # fmt: skip
    files = repository.files(commit)
    assert files["edits/link.yaml"].mode == "120000"
    assert repository.index() == files
    entry = repository.file(commit, "edits/film/gabin.yaml")
    assert entry == Entry(
        "edits/film/gabin.yaml", registry.git("rev-parse", "HEAD:edits/film/gabin.yaml")
    )
    data = registry.path("film/gabin").read_bytes()
    assert repository.read([entry.blob]) == {entry.blob: data}
    assert repository.read([]) == {}
    assert entry.blob in repository.blob_ids(data)
    assert entry.blob in repository.blob_ids(data.replace(b"\n", b"\r\n"))
    assert entry.blob not in repository.blob_ids(data + b"\n")
    assert is_edit_file("a.yaml", ".")
    assert not is_edit_file("sake.yaml.txt", ".")


def test_hashes_of_another_kind(make_registry: MakeRegistry, tmp_path: Path) -> None:
    made = make_registry("sha256", commits=False)
    subprocess.run(["rm", "-r", made.top / ".git"], check=True)
    made.git("init", "--quiet", "--object-format=sha256")
    path = made.write("darrieux")
    commit = made.commit("Add")
    repository = made.repository
    assert len(repository.resolve("HEAD")) == 64
    entry = repository.file(commit, "edits/darrieux.yaml")
    assert entry is not None
    assert entry.blob in repository.blob_ids(path.read_bytes())
    assert repository.read([entry.blob]) == {entry.blob: path.read_bytes()}
    assert repository.commits([commit])[commit].subject == "Add"
    assert repository.touched(commit) == ["darrieux"]
    (log,) = log_of(repository, ["darrieux"])
    assert [version.commit for version in log.versions] == [commit]


def test_an_author_is_the_one_who_committed(registry: GitRegistry) -> None:
    """A commit cannot give another's work to somebody: a mailmap is a file of the repository."""
    registry.write("darrieux", new="German")
    before = registry.commit("Change")
    author = registry.repository.commits([before])[before].author
    (registry.root / ".mailmap").write_text("Eve Evil <ann@example.org>\n")
    registry.git("config", "log.mailmap", "true")
    after = registry.commit("A mailmap")
    assert {c.author for c in registry.repository.commits([before, after]).values()} == {author}
    (log,) = log_of(registry.repository, ["darrieux"])
    assert {name for version in log.versions for name in version.authors} == {author}


def test_a_conflict_in_the_index(registry: GitRegistry) -> None:
    registry.git("switch", "--quiet", "-c", "branch")
    registry.write("darrieux", new="Italian")
    registry.commit("Branch")
    registry.git("switch", "--quiet", "main")
    registry.write("darrieux", new="Spanish")
    registry.commit("Main")
    registry.git("merge", "branch", code=1)
    assert registry.repository.index()["edits/darrieux.yaml"].stage == 1
    name, finish, give_up = registry.repository.under_way() or ("", "", "")
    assert (name, finish) == ("merge", "git merge --continue")
    registry.git(*give_up.split()[1:])
    assert registry.repository.under_way() is None


def test_which_edits_a_commit_touched(registry: GitRegistry) -> None:
    registry.write("gabin", subject="Jean Gabin")
    registry.git("mv", "edits/darrieux.yaml", "edits/moved.yaml")
    (registry.root / "notes.md").write_text("x")
    commit = registry.commit("Several")
    assert registry.repository.touched(commit) == ["darrieux", "gabin", "moved"]
    root = registry.git("rev-list", "--max-parents=0", "HEAD")
    assert registry.repository.touched(root) == []


def test_a_commit_of_contents(registry: GitRegistry) -> None:
    repository = registry.repository
    before = repository.head
    added, removed = edit_text("Jean Gabin").encode(), "edits/darrieux.yaml"
    commit = commit_files(
        repository, {"edits/a b/gabin.yaml": added, removed: None}, "Subject\n\n# Body\n"
    )
    assert repository.head == commit == registry.head  # what was known of HEAD is known anew
    assert registry.git("rev-parse", "HEAD^") == before
    assert registry.changed_paths() == ["edits/a b/gabin.yaml", removed]
    assert registry.git("show", "-s", "--format=%B").strip() == "Subject\n\n# Body"
    assert registry.git("status", "--porcelain") == ""


def test_a_hook_after_the_commit_may_fail(registry: GitRegistry) -> None:
    hook = registry.top / ".git" / "hooks" / "post-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    commit = commit_files(registry.repository, {"edits/darrieux.yaml": None}, "x")
    assert registry.head == commit


def test_git_may_fail_after_the_commit(
    registry: GitRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """The commit is there, so its files stay; git says what is to be mended."""
    hook = registry.top / ".git" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\n[ "$1" != committed ] || rm -f .git/index.lock\n')
    hook.chmod(0o755)
    data = edit_text(new="Polish").encode()
    commit = commit_files(registry.repository, {"edits/darrieux.yaml": data}, "x")
    assert registry.head == commit
    assert registry.path("darrieux").read_bytes() == data
    assert "unable to write" in caplog.text
    hook.unlink()
    registry.git("restore", "--staged", ":/")
    assert registry.git("status", "--porcelain") == ""


def test_a_folder_that_is_no_repository_or_no_working_tree(
    tmp_path: Path, registry: GitRegistry
) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(SetupError, match="not in a git repository"):
        Repository(tmp_path / "plain", "edits")
    with pytest.raises(StateError, match="holds no files"):
        Repository(registry.top / ".git", "edits")


def test_files_are_put_back_when_something_fails(tmp_path: Path) -> None:
    one, two, gone = (tmp_path / name for name in ("one", "two", "gone"))
    one.write_text("1")
    gone.write_text("3")
    gone.chmod(0o755)
    with (
        pytest.raises(ZeroDivisionError),
        replaced(tmp_path, {"one": b"new", "two": b"2", "gone": None}),
    ):
        assert (one.read_text(), two.read_text(), gone.exists()) == ("new", "2", False)
        _ = 1 / 0
    assert (one.read_text(), two.exists(), gone.read_text()) == ("1", False, "3")
    assert gone.stat().st_mode & 0o777 == 0o755
    with (
        pytest.raises(StorageError),
        replaced(tmp_path, {"one": b"new", "gone/below": b"x"}),
    ):
        raise AssertionError("not reached")
    assert (one.read_text(), gone.read_text()) == ("1", "3")
    put(two, None, tmp_path)  # it is not there already

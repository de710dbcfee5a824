"""The versions of an edit: what, who, when, why, in which commit. On real repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sake_registry.errors import InputError, StateError
from sake_registry.history.repository import Repository
from sake_registry.history.versions import EditLog, log_of, recent
from tests.repositories import GitRegistry, MakeRegistry, edit_text

BOB = {"GIT_AUTHOR_NAME": "Bob Brown", "GIT_AUTHOR_EMAIL": "bob@example.org"}
CYD = {"GIT_AUTHOR_NAME": "Cyd Cole", "GIT_AUTHOR_EMAIL": "cyd@example.org"}


def log(made: GitRegistry, id_: str = "darrieux", start: str | None = None) -> EditLog:
    (found,) = log_of(made.repository, [id_], start)
    return found


def told(found: EditLog) -> list[tuple[str, str, list[str]]]:
    """(subject of the commit, action, lines), newest first."""
    return [(v.subject, v.action, v.lines) for v in found.versions]


def clone(made: GitRegistry, *options: str) -> GitRegistry:
    top = made.top.parent / "clone"
    made.git("clone", "--quiet", *options, f"file://{made.top}", str(top))
    return GitRegistry(top, top)


def test_who_when_why_and_what(registry: GitRegistry) -> None:
    found = log(registry)
    assert found.complete
    assert told(found) == [
        ("Darrieux spoke German", "changed", ["new object: English → German"]),
        ("Add Darrieux", "added", []),
    ]
    newest = found.versions[0]
    assert newest.commit == registry.head
    assert newest.authors == ("Ann Author",)
    assert newest.date.isoformat().startswith("2026-01-01T")
    assert newest.parts == ("fact",)
    assert newest.model_dump(mode="json")["parts"] == ["fact"]
    assert newest.edit is not None
    assert newest.edit.new == "German"


def test_of_a_commit_with_several_edits_each_log_tells_its_own(registry: GitRegistry) -> None:
    registry.write("tolstoy", subject="Leo Tolstoy", old="Russian", new="Polish")
    registry.write("darrieux", new="Dutch")
    registry.commit("two at once")
    first, second = log_of(registry.repository, ["tolstoy", "darrieux"])
    assert told(first) == [("two at once", "added", [])]
    assert told(second)[0] == ("two at once", "changed", ["new object: German → Dutch"])
    assert len(second.versions) == 3


def test_a_clean_merge_is_one_version_by_those_who_wrote_it(registry: GitRegistry) -> None:
    registry.git("switch", "--quiet", "-c", "work")
    registry.write("darrieux", new="Dutch")
    registry.commit("Dutch", **BOB)
    registry.write("darrieux", new="Dutch", prompts=3)
    registry.commit("more prompts", **CYD)
    registry.write("aside", subject="Aside")
    registry.commit("something else", GIT_AUTHOR_NAME="Dora")
    registry.git("switch", "--quiet", "main")
    registry.write("other", subject="Other")
    registry.commit("meanwhile")
    registry.git("merge", "--quiet", "--no-edit", "work")
    found = log(registry)
    assert told(found)[0] == (
        "Merge branch 'work'", "changed", ["new object: German → Dutch", "1 prompt added"],
    )  # fmt: skip
    assert found.versions[0].authors == ("Bob Brown", "Cyd Cole")
    assert len(found.versions) == 3
    # A merge of main into the branch brought nothing of this edit.
    assert told(log(registry, "other")) == [("meanwhile", "added", [])]


def test_a_resolved_conflict_is_a_version_of_the_merge(registry: GitRegistry) -> None:
    registry.git("switch", "--quiet", "-c", "work")
    registry.write("darrieux", new="Dutch")
    registry.commit("Dutch", **BOB)
    registry.git("switch", "--quiet", "main")
    registry.write("darrieux", new="Danish")
    registry.commit("Danish")
    registry.git("merge", "--quiet", "work", code=1)
    registry.write("darrieux", new="Swedish")
    registry.commit("Merge work: it was Swedish")
    found = log(registry)
    assert told(found)[:2] == [
        ("Merge work: it was Swedish", "changed", ["new object: Danish → Swedish"]),
        ("Danish", "changed", ["new object: German → Danish"]),
    ]
    assert found.versions[0].authors == ("Bob Brown",)


def test_a_merge_that_took_its_own_side_is_no_version(registry: GitRegistry) -> None:
    registry.git("switch", "--quiet", "-c", "work")
    registry.write("darrieux", new="Dutch")
    registry.commit("Dutch")
    registry.git("switch", "--quiet", "main")
    registry.git("merge", "--quiet", "--no-edit", "--no-ff", "--strategy=ours", "work")
    assert len(log(registry).versions) == 2


def test_metadata_and_layout_are_no_change_of_the_fact(registry: GitRegistry) -> None:
    registry.write("darrieux", new="German", more="tags: [language]\n")
    registry.commit("a tag")
    registry.write("darrieux", "# Note\n" + edit_text(new="German", more="tags: [language]\n"))
    registry.commit("a comment")
    layout, tag, change, added = log(registry).versions
    assert (tag.parts, tag.weighty) == (("metadata",), False)
    assert (layout.parts, layout.weighty) == ((), False)
    assert layout.lines == ["comments or layout only"]
    assert change.weighty
    assert added.weighty
    assert layout.effect == tag.effect == change.effect != added.effect


def test_a_delete_with_an_add_of_a_similar_file_is_no_rename(registry: GitRegistry) -> None:
    text = registry.path("darrieux").read_text()
    registry.path("darrieux").unlink()
    registry.write("tolstoy", text.replace("Danielle Darrieux", "Leo Tolstoy"))
    registry.commit("one goes, one comes")
    registry.git("config", "diff.renames", "copies")
    registry.git("config", "log.follow", "true")
    assert told(log(registry, "tolstoy")) == [("one goes, one comes", "added", [])]
    gone = log(registry)
    assert told(gone)[0] == ("one goes, one comes", "removed", [])
    assert gone.versions[0].edit is None
    assert gone.versions[0].effect == "removed"
    registry.write("darrieux", text)
    registry.commit("back")
    assert [action for _, action, _ in told(log(registry))] == [
        "added", "removed", "changed", "added",
    ]  # fmt: skip


def test_a_moved_file_keeps_its_history(registry: GitRegistry) -> None:
    text = registry.path("darrieux").read_text()
    registry.path("darrieux").unlink()
    registry.write("people/french/darrieux", text)
    registry.commit("into a folder")
    registry.path("people/french/darrieux").unlink()
    registry.write("actors/darrieux", text.replace("German", "Dutch"))
    registry.commit("moved and changed")
    assert told(log(registry)) == [
        ("moved and changed", "changed",
         ["new object: German → Dutch",
          "moved: edits/people/french/darrieux.yaml → edits/actors/darrieux.yaml"]),
        ("into a folder", "moved",
         ["moved: edits/darrieux.yaml → edits/people/french/darrieux.yaml"]),
        ("Darrieux spoke German", "changed", ["new object: English → German"]),
        ("Add Darrieux", "added", []),
    ]  # fmt: skip
    assert not log(registry).versions[1].weighty


def test_a_file_with_errors_may_hide_anything(registry: GitRegistry) -> None:
    registry.write("darrieux", "schema: 1\n")
    registry.commit("broken")
    registry.write("darrieux", new="German")
    registry.commit("mended")
    mended, broken, *_ = log(registry).versions
    assert broken.effect is None
    assert broken.weighty
    assert mended.weighty
    assert mended.lines == ["the file has 2 errors before"]


def test_a_mode_that_changes_is_no_version(registry: GitRegistry) -> None:
    registry.path("darrieux").chmod(0o755)
    registry.commit("executable")
    assert len(log(registry).versions) == 2
    assert [one.subject for one in recent(registry.repository, 9, 9)] == [
        "Darrieux spoke German", "Add Darrieux",
    ]  # fmt: skip


def test_a_shallow_clone_does_not_say_added(registry: GitRegistry) -> None:
    shallow = clone(registry, "--depth=1")
    found = log(shallow)
    assert not found.complete
    assert told(found) == [("Darrieux spoke German", "unknown", [])]
    assert found.versions[0].model_dump(mode="json")["action"] == "unknown"
    (one,) = recent(shallow.repository, 9, 9)
    assert not one.known
    with pytest.raises(InputError) as caught:
        log(shallow, "long-gone")
    assert "git fetch --unshallow" in (caught.value.hint or "")
    shallow.git("fetch", "--quiet", "--unshallow")
    assert log(shallow).complete
    assert len(log(shallow).versions) == 2


def test_a_shallow_clone_that_holds_the_beginning_is_complete(registry: GitRegistry) -> None:
    registry.write("later", subject="Later")
    registry.commit("later")
    deeper = clone(registry, "--depth=2")
    assert log(deeper, "later").complete
    assert not log(deeper).complete


def test_a_partial_clone_lacks_the_earlier_version(registry: GitRegistry) -> None:
    registry.git("config", "uploadpack.allowFilter", "true")
    partial = clone(registry, "--filter=blob:none")
    with pytest.raises(StateError, match="partial clone") as caught:
        log(partial)
    assert "git fetch --refetch --no-filter" in (caught.value.hint or "")


def test_a_detached_head_and_an_earlier_start(registry: GitRegistry) -> None:
    newest = registry.head
    registry.git("switch", "--quiet", "--detach", "HEAD^")
    assert [subject for subject, _, _ in told(log(registry))] == ["Add Darrieux"]
    assert len(log(registry, start=newest).versions) == 2


def test_a_branch_without_a_commit(make_registry: MakeRegistry) -> None:
    made = make_registry(commits=False)
    made.write("darrieux")
    with pytest.raises(InputError, match="'darrieux' was never committed"):
        log(made)
    with pytest.raises(StateError, match="nothing is committed") as caught:
        recent(made.repository, 5, 5)
    assert caught.value.exit_code == 5


def test_an_id_that_no_commit_knows(registry: GitRegistry) -> None:
    registry.write("fresh", subject="Fresh")
    with pytest.raises(InputError, match="'fresh' was never committed"):
        log(registry, "fresh")
    with pytest.raises(InputError) as caught:
        log(registry, "darieux")
    assert caught.value.hint == "did you mean 'darrieux'?"


@pytest.mark.parametrize(
    ("inside", "edits"),
    [("sub folder/é [x]*", "edits"), ("", "Fakten über Leute"), ("", "."), ("a", "b/c")],
)
def test_wherever_the_registry_lies(make_registry: MakeRegistry, inside: str, edits: str) -> None:
    made = make_registry(inside=inside, edits=edits)
    made.write("ü/one")
    made.commit("add")
    (made.top / "elsewhere").mkdir()
    (made.top / "elsewhere" / "one.yaml").write_text("not: ours")
    made.commit("another's file of that name") if edits != "." else None
    made.write("ü/one", new="Dutch")
    (made.top / "elsewhere" / "one.yaml").unlink()
    made.commit("change")
    assert told(log(made, "one")) == [
        ("change", "changed", ["new object: English → Dutch"]), ("add", "added", []),
    ]  # fmt: skip


def test_a_linked_working_tree_and_a_submodule(
    registry: GitRegistry, make_registry: MakeRegistry
) -> None:
    registry.git("worktree", "add", "--quiet", "../linked", "HEAD^")
    linked = GitRegistry(registry.top.parent / "linked", registry.top.parent / "linked")
    assert len(log(linked).versions) == 1
    outer = make_registry("outer")
    outer.git("submodule", "--quiet", "add", str(registry.top), "facts")
    inner = GitRegistry(outer.top / "facts", outer.top / "facts")
    assert len(log(inner).versions) == 2


def test_a_merge_of_unrelated_histories_and_a_root_commit(make_registry: MakeRegistry) -> None:
    made = make_registry(commits=False)
    made.write("darrieux")
    made.commit("the very first")
    made.git("config", "log.showRoot", "false")
    made.git("config", "diff.relative", "true")
    assert told(log(made)) == [("the very first", "added", [])]
    made.git("switch", "--quiet", "--orphan", "apart")
    made.write("tolstoy", subject="Leo Tolstoy")
    made.commit("apart", **BOB)
    made.git("switch", "--quiet", "main")
    made.git("merge", "--quiet", "--no-edit", "--allow-unrelated-histories", "apart")
    assert log(made, "tolstoy").versions[0].authors == ("Bob Brown",)


def test_the_newest_commits_with_what_each_did(registry: GitRegistry) -> None:
    for number in range(4):
        registry.write(f"other-{number}", subject=f"Other {number}")
    registry.commit("four")
    (registry.root / "README.md").write_text("nothing of an edit")
    registry.commit("readme")
    registry.path("other-1").unlink()
    registry.write("sub/other-2", subject="Other 2")
    registry.path("other-2").unlink()
    registry.commit("one goes, one moves")
    newest, four, german = recent(registry.repository, 3, 3)
    assert [(c.id, c.action) for c in newest.edits] == [
        ("other-1", "removed"), ("other-2", "moved"),
    ]  # fmt: skip
    assert ([c.id for c in four.edits], four.more) == (["other-0", "other-1", "other-2"], 1)
    assert german.model_dump(mode="json")["edits"][0]["lines"] == ["new object: English → German"]
    assert newest.authors == ("Ann Author",)
    assert len(recent(registry.repository, 99, 9)) == 4


def test_the_newest_commits_are_looked_for_as_far_as_need_be(make_registry: MakeRegistry) -> None:
    """More commits than are read at once change nothing of an edit."""
    made = make_registry()
    made.write("darrieux")
    edited = made.commit("add")
    stream = "".join(
        f"commit refs/heads/main\ncommitter A <a@example.org> {1_800_000_000 + n} +0000\n"
        f"data 1\n.\n{f'from {edited}' if not n else ''}\n"
        for n in range(1000)
    )
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=made.top, input=stream.encode(), check=True
    )
    (one,) = recent(made.repository, 5, 5)
    assert one.commit == edited
    assert [v.commit for v in log(made).versions] == [edited]


def test_the_history_of_a_folder_that_is_no_registry_yet(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    assert Repository(tmp_path, "edits").head is None


@pytest.mark.parametrize("date", ["99999999999999 +0000", "1767225600 +9999",
                                  "1767225600 -051800", "never"])  # fmt: skip
def test_a_commit_whose_date_is_none_is_shown_all_the_same(
    registry: GitRegistry, date: str
) -> None:
    """Old programs wrote such, and git keeps what was written."""
    registry.write("darrieux", new="Dutch")
    registry.git("add", "--all")
    tree = registry.git("write-tree")
    written = registry.git(
        "hash-object", "-t", "commit", "-w", "--stdin", "--literally",
        stdin=f"tree {tree}\nparent {registry.head}\nauthor A <a@example.org> {date}\n"
        "committer A <a@example.org> 1767225600 +0000\n\nDutch\n",
    )  # fmt: skip
    registry.git("reset", "--quiet", "--hard", written)
    newest = log(registry).versions[0]
    assert (newest.subject, newest.date.year) == ("Dutch", 1970)
    assert recent(registry.repository, 1, 1)[0].commit == newest.commit

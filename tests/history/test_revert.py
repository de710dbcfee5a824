"""`sake revert`: which version comes back, and which of several."""

from __future__ import annotations

import pytest

from sake_registry.history.reverting import apply, plan_revert, previous
from tests.history.running import done, new_object, refused, sake, trailers
from tests.repositories import GitRegistry, edit_text

# What comes back


def test_an_edit_goes_back_before_its_latest_change_in_one_commit(registry: GitRegistry) -> None:
    first, second = registry.git("rev-parse", "HEAD^"), registry.head
    shown = done(registry, "darrieux", "--reason", "the  source\nwas wrong")
    assert registry.path("darrieux").read_text() == edit_text()
    assert registry.changed_paths() == ["edits/darrieux.yaml"]
    assert registry.git("rev-parse", "HEAD^") == second
    subject = registry.git("show", "-s", "--format=%s")
    assert subject == "Revert edit darrieux: German → English"
    assert trailers(registry) == [
        ("Sake-Edit", "darrieux"),
        ("Sake-Action", "revert"),
        ("Sake-From", second),
        ("Sake-To", first),
        ("Sake-Reason", "the source was wrong"),
    ]
    body = registry.git("show", "-s", "--format=%b")
    assert "  new object: German → English" in body
    assert "new object: German → English" in shown.out
    assert f"commit {registry.head[:10]}: {subject}" in shown.out
    assert registry.git("status", "--porcelain") == ""
    assert registry.git("show", "-s", "--format=%an %cn") == "Ann Author Ann Author"
    done(registry, "darrieux", "--yes")  # and back again: it is the latest change now
    assert new_object(registry, "darrieux") == "German"


@pytest.mark.parametrize("by", ["sake", "git", "hand"])
def test_to_revert_a_revert_is_asked_about(registry: GitRegistry, by: str) -> None:
    """A job that runs twice does not put in force what it took back."""
    second = registry.head
    if by == "sake":
        done(registry, "darrieux")
    elif by == "git":
        registry.git("revert", "--no-edit", "HEAD")
    else:
        registry.path("darrieux").write_text(edit_text())
        registry.commit("By hand")
    for options in ([], ["--dry-run"], ["--no-commit"], ["--json"], ["--reason", "x"]):
        found = refused(registry, "darrieux", *options, code=5)
        assert f"was taken back already, in {registry.head[:10]}" in found.err
        assert f"sake revert darrieux --to {second[:10]}" in found.hint
        assert "--yes" in found.hint
    again = done(registry, "darrieux", "--yes")
    assert "puts the change in force again" in again.err
    assert new_object(registry, "darrieux") == "German"
    assert "was taken back already" in refused(registry, "darrieux", code=5).err
    done(registry, "darrieux", "--to", "HEAD^")  # who says which one is not asked


def test_to_revert_a_withdrawal_is_asked_about_the_second_time(registry: GitRegistry) -> None:
    done(registry, "darrieux", "--to", "HEAD^", "--reason", "settled")
    registry.write("gabin", subject="Jean Gabin")
    registry.commit("Add")
    assert sake(registry.root, "withdraw", "gabin", "--reason", "wrong").code == 0
    done(registry, "gabin")
    assert "was taken back already" in refused(registry, "gabin", code=5).err


def test_an_edit_that_never_was_another_one_is_removed_and_comes_back(
    registry: GitRegistry,
) -> None:
    registry.write("gabin", subject="Jean Gabin")
    added = registry.commit("Add Gabin")
    done(registry, "gabin")
    assert not registry.path("gabin").exists()
    assert registry.git("show", "-s", "--format=%s") == "Remove edit gabin"
    assert trailers(registry) == [
        ("Sake-Edit", "gabin"),
        ("Sake-Action", "remove"),
        ("Sake-From", added),
    ]
    assert registry.changed_paths() == ["edits/gabin.yaml"]
    removed = registry.head
    assert "was taken back already" in refused(registry, "gabin", code=5).err
    done(registry, "gabin", "--yes")
    assert registry.path("gabin").read_text() == edit_text("Jean Gabin")
    assert registry.git("show", "-s", "--format=%s") == "Restore edit gabin"
    assert dict(trailers(registry)) == {
        "Sake-Edit": "gabin",
        "Sake-Action": "restore",
        "Sake-From": removed,
        "Sake-To": added,
    }
    assert registry.git("status", "--porcelain") == ""


def test_what_was_removed_comes_back_as_it_was_last(registry: GitRegistry) -> None:
    registry.path("darrieux").unlink()
    registry.commit("Remove")
    done(registry, "darrieux")
    assert new_object(registry, "darrieux") == "German"


def test_of_a_commit_with_several_edits_one_is_taken_back(registry: GitRegistry) -> None:
    for name in ("gabin", "moreau"):
        registry.write(name, subject=name.title())
    registry.commit("Add two")
    for name in ("gabin", "moreau", "darrieux"):
        registry.write(name, subject=name.title(), new="Italian")
    registry.commit("Change all")
    done(registry, "gabin")
    assert registry.changed_paths() == ["edits/gabin.yaml"]
    assert [new_object(registry, n) for n in ("gabin", "moreau")] == ["English", "Italian"]


def test_metadata_after_the_change_goes_with_it_and_that_is_said(registry: GitRegistry) -> None:
    text = registry.path("darrieux").read_text()
    registry.write("darrieux", text + "tags: [film]\n")
    tagged = registry.commit("Tag it")
    registry.write("darrieux", text + "# looked at\ntags: [film]\n")
    registry.commit("Only a comment")
    shown = done(registry, "darrieux")
    assert registry.path("darrieux").read_text() == edit_text()
    assert f"also takes back: {tagged[:10]}  Tag it" in shown.out
    assert "Only a comment" in shown.out
    body = registry.git("show", "-s", "--format=%b")
    assert "also takes back" in body
    assert "Tag it" in body
    assert "1 tag removed" in body


def test_metadata_before_the_change_stays(registry: GitRegistry) -> None:
    registry.write("gabin", subject="Jean Gabin")
    registry.commit("Add")
    registry.write("gabin", subject="Jean Gabin", more="tags: [film]\n")
    tagged = registry.commit("Tag")
    registry.write("gabin", subject="Jean Gabin", new="German", more="tags: [film]\n")
    registry.commit("Change")
    done(registry, "gabin")
    assert registry.path("gabin").read_text() == edit_text("Jean Gabin", more="tags: [film]\n")
    assert dict(trailers(registry))["Sake-To"] == tagged


def test_a_clean_merge_is_one_change(registry: GitRegistry) -> None:
    registry.git("switch", "--quiet", "-c", "branch")
    registry.write("darrieux", new="Italian")
    registry.commit("First on the branch")
    registry.write("darrieux", new="Spanish")
    registry.commit("Second on the branch")
    registry.git("switch", "--quiet", "main")
    registry.write("gabin", subject="Jean Gabin")
    registry.commit("Meanwhile")
    registry.git("merge", "--quiet", "--no-ff", "-m", "Merge the branch", "branch")
    merge = registry.head
    done(registry, "darrieux", "--yes")
    assert new_object(registry, "darrieux") == "German"
    assert dict(trailers(registry))["Sake-From"] == merge
    assert registry.changed_paths() == ["edits/darrieux.yaml"]


def test_a_resolved_conflict_is_what_the_merge_made_of_it(registry: GitRegistry) -> None:
    registry.git("switch", "--quiet", "-c", "branch")
    registry.write("darrieux", new="Italian")
    registry.commit("On the branch")
    registry.git("switch", "--quiet", "main")
    registry.write("darrieux", new="Spanish")
    registry.commit("On main")
    registry.git("merge", "--quiet", "branch", code=1)
    registry.write("darrieux", new="Polish")
    registry.commit("Resolve")
    plan = plan_revert(registry.registry, ["darrieux"], choose=previous)
    assert plan.edits[0].summary() == "Polish → Spanish"
    apply(plan)
    assert new_object(registry, "darrieux") == "Spanish"


def test_a_delete_with_an_add_of_a_similar_file_is_no_rename(registry: GitRegistry) -> None:
    registry.path("darrieux").unlink()
    registry.write("darrieux-born", new="German")  # the same text, to the byte
    registry.commit("One goes, one comes")
    done(registry, "darrieux-born")
    assert not registry.path("darrieux-born").exists()
    done(registry, "darrieux")
    assert new_object(registry, "darrieux") == "German"
    assert registry.changed_paths() == ["edits/darrieux.yaml"]


def test_a_moved_file_stays_where_it_is(registry: GitRegistry) -> None:
    (registry.root / "edits" / "film").mkdir()
    registry.git("mv", "edits/darrieux.yaml", "edits/film/darrieux.yaml")
    registry.commit("Move")
    shown = done(registry, "darrieux")
    assert registry.path("film/darrieux").read_text() == edit_text()
    assert not registry.path("darrieux").exists()
    assert registry.changed_paths() == ["edits/film/darrieux.yaml"]
    assert "moved" not in shown.out
    registry.git("rm", "--quiet", "-r", "edits/film")
    registry.commit("Remove")
    done(registry, "darrieux")
    assert registry.path("film/darrieux").exists()


def test_a_version_with_errors_is_passed_over(registry: GitRegistry) -> None:
    registry.write("darrieux", "schema: 1\n")
    broken = registry.commit("Break it")
    done(registry, "darrieux", "--yes")  # what is broken goes back to what was last sound
    assert new_object(registry, "darrieux") == "German"
    registry.write("gabin", "schema: 1\n")
    registry.commit("Add a broken one")
    registry.write("gabin", subject="Jean Gabin")
    registry.commit("Mend it")
    shown = done(registry, "gabin")
    assert not registry.path("gabin").exists()
    assert "passed over" in shown.err
    found = refused(registry, "darrieux", "--to", broken, code=1)
    assert "'darrieux' in " in found.err
    assert "SAKE102" in found.err


def test_what_is_an_error_is_for_the_registry_to_say(registry: GitRegistry) -> None:
    (registry.root / "sake.toml").write_text('[checks]\nSAKE104 = "warning"\n')
    registry.commit("Settings")
    registry.write("gabin", subject="Jean Gabin", old="English")  # the new object is the old one
    registry.commit("Add")
    registry.write("gabin", subject="Jean Gabin", old="German", new="German")
    registry.commit("Change")
    done(registry, "gabin")
    assert new_object(registry, "gabin") == "English"
    (registry.root / "sake.toml").write_text("")
    registry.commit("As usual")
    assert "SAKE104" in refused(registry, "gabin", "--to", "HEAD~3", code=1).err


# Choosing


def three(made: GitRegistry) -> list[str]:
    """Two more versions after the fixture's two; the commits of all, newest first."""
    for new in ("Italian", "Spanish"):
        made.write("darrieux", new=new)
        made.commit(f"Make it {new}")
    return made.git("rev-list", "HEAD", "--", "edits/darrieux.yaml").splitlines()


def test_several_earlier_versions_want_a_choice(registry: GitRegistry) -> None:
    commits = three(registry)
    for options in ([], ["--dry-run"], ["--no-commit"], ["--json"]):
        found = refused(registry, "darrieux", *options)
        assert "'darrieux' has 3 earlier versions" in found.err
        for commit, new in zip(commits[1:], ("Italian", "German", "English"), strict=True):
            assert f"sake revert darrieux --to {commit[:10]}" in found.hint
            assert f"Spanish → {new}" in found.hint
    done(registry, "darrieux", "-y")
    assert new_object(registry, "darrieux") == "Italian"
    assert dict(trailers(registry))["Sake-To"] == commits[1]


def test_only_five_versions_are_listed_and_one_that_was_not_there_is_one(
    registry: GitRegistry,
) -> None:
    registry.path("darrieux").unlink()
    registry.commit("Remove")
    for number in range(5):
        registry.write("darrieux", new=f"Language{number}")
        registry.commit(f"Number {number}")
    found = refused(registry, "darrieux")
    assert "7 earlier versions" in found.err
    assert found.hint.count("sake revert darrieux --") == 5
    assert "sake revert darrieux --remove" in found.hint
    assert "2 before them" in found.hint
    done(registry, "darrieux", "--remove")
    assert not registry.path("darrieux").exists()


def test_to_takes_the_content_of_a_revision(registry: GitRegistry) -> None:
    commits = three(registry)
    shown = done(registry, "darrieux", "--to", "HEAD~2")
    assert new_object(registry, "darrieux") == "German"
    assert dict(trailers(registry))["Sake-To"] == commits[2]
    assert commits[2][:10] in shown.out
    registry.git("tag", "-a", "-m", "a tag", "v1", commits[3])
    done(registry, "darrieux", "--to", "v1")
    assert new_object(registry, "darrieux") == "English"
    assert dict(trailers(registry))["Sake-To"] == commits[3]


def test_to_a_revision_without_the_edit(registry: GitRegistry) -> None:
    found = refused(registry, "darrieux", "--to", "HEAD~2", code=1)
    assert "there is no edit 'darrieux' in" in found.err
    assert "sake revert darrieux --remove" in found.hint


def test_nothing_would_change(registry: GitRegistry) -> None:
    found = refused(registry, "darrieux", "--to", "HEAD", code=1)
    assert "nothing would change" in found.err
    done(registry, "darrieux", "--remove")
    assert "nothing would change" in refused(registry, "darrieux", "--remove", code=1).err


@pytest.mark.parametrize(
    "revision",
    ["--help", "-x", "HEAD\n", "HEAD\nmain", "^HEAD", "", "HEAD..HEAD", "HEAD:sake.toml"],
)
def test_a_strange_revision_is_no_option_and_no_commit(
    registry: GitRegistry, revision: str
) -> None:
    for option in ("--to", "--touched-by"):
        ids = ["darrieux"] if option == "--to" else []
        found = refused(registry, *ids, f"{option}={revision}", code=1)
        assert "no commit '" in found.err


@pytest.mark.parametrize("id_", ["nobody", "../darrieux", "dar*", "", "edits/darrieux", ":(top)x"])
def test_an_unknown_id(registry: GitRegistry, id_: str) -> None:
    for options in ([], ["--remove"], ["--to", "HEAD^"]):
        assert "no commit knows" in refused(registry, id_, *options, code=1).err
    assert "did you mean 'darrieux'?" in refused(registry, "darieux", code=1).hint


def test_several_ids_are_one_commit_or_none(registry: GitRegistry) -> None:
    registry.write("gabin", subject="Jean Gabin")
    added = registry.commit("Add Gabin")
    found = refused(registry, "gabin", "nobody", code=1)
    assert "'nobody'" in found.err
    registry.path("darrieux").write_text("changed\n")
    assert "edits/darrieux.yaml" in refused(registry, "gabin", "darrieux").err
    registry.git("restore", "edits")
    done(registry, "gabin", "darrieux", "gabin", "--reason", "both")
    assert registry.git("rev-parse", "HEAD^") == added
    assert registry.changed_paths() == ["edits/darrieux.yaml", "edits/gabin.yaml"]
    assert registry.git("show", "-s", "--format=%s") == "Revert 2 edits"
    keys = [key for key, _ in trailers(registry)]
    assert keys == [
        *("Sake-Edit", "Sake-Action", "Sake-From", "Sake-Reason"),
        *("Sake-Edit", "Sake-Action", "Sake-From", "Sake-To", "Sake-Reason"),
    ]
    assert [v for k, v in trailers(registry) if k == "Sake-Action"] == ["remove", "revert"]

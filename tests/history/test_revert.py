"""`sake revert` in real repositories: what comes back, in which commit, and what is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sake_registry.errors import EditFileError, InputError, StateError
from sake_registry.history.plans import SUBJECT_WIDTH
from sake_registry.history.reverting import apply, plan_revert, previous
from tests.history.running import Done, sake
from tests.repositories import GitRegistry, MakeRegistry, edit_text


def revert(made: GitRegistry, *arguments: str) -> Done:
    return sake(made.root, "revert", *arguments)


def done(made: GitRegistry, *arguments: str) -> Done:
    """A revert that must work."""
    found = revert(made, *arguments)
    assert found.code == 0, found.err
    return found


def refused(made: GitRegistry, *arguments: str, code: int = 5, verb: str = "revert") -> Done:
    """A command that must be refused, and must leave everything as it was."""
    before = made.state()
    found = sake(made.root, verb, *arguments)
    assert (found.code, found.out) == (code, ""), found.err
    assert made.state() == before
    return found


def trailers(made: GitRegistry, commit: str = "HEAD") -> list[tuple[str, str]]:
    """A commit's trailers, as git itself reads them."""
    message = made.git("show", "-s", "--format=%B", commit)
    out = made.git("interpret-trailers", "--parse", stdin=message)
    return [(key, value) for key, _, value in (line.partition(": ") for line in out.splitlines())]


def new_object(made: GitRegistry, name: str) -> str:
    lines = made.path(name).read_text().splitlines()
    return next(line.removeprefix("  new: ") for line in lines if line.startswith("  new: "))


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
    done(registry, "darrieux")  # and back again: it is the latest change now
    assert new_object(registry, "darrieux") == "German"


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
    done(registry, "gabin")
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


# By commit


def test_all_that_a_commit_touched_goes_back(registry: GitRegistry) -> None:
    registry.write("gabin", subject="Jean Gabin")
    before = registry.commit("Add Gabin")
    registry.write("gabin", subject="Jean Gabin", new="Italian")
    registry.write("moreau", subject="Jeanne Moreau")
    registry.path("darrieux").unlink()
    (registry.root / "notes.md").write_text("not an edit\n")
    touched = registry.commit("Three at once")
    registry.write("gabin", subject="Jean Gabin", new="Italian", more="tags: [film]\n")
    registry.commit("Tag Gabin")
    shown = done(registry, "--touched-by", touched[:8])
    assert registry.changed_paths() == [
        "edits/darrieux.yaml", "edits/gabin.yaml", "edits/moreau.yaml"
    ]  # fmt: skip
    assert new_object(registry, "gabin") == "English"
    assert new_object(registry, "darrieux") == "German"
    assert not registry.path("moreau").exists()
    assert (registry.root / "notes.md").exists()
    assert "Tag Gabin" in shown.out
    said = trailers(registry)
    assert [v for k, v in said if k == "Sake-Action"] == ["restore", "revert", "remove"]
    # Each names the commit that made what came back, not the one that happened to be before.
    german = registry.git("log", "--format=%H", "--grep=spoke German").splitlines()[-1]
    assert [v for k, v in said if k == "Sake-To"] == [german, before]
    assert "nothing would change" in refused(registry, "--touched-by", touched, code=1).err


def test_some_of_what_a_commit_touched(registry: GitRegistry) -> None:
    for name in ("gabin", "moreau"):
        registry.write(name, subject=name.title())
    registry.commit("Add two")
    done(registry, "gabin", "--touched-by", "HEAD")
    assert not registry.path("gabin").exists()
    assert registry.path("moreau").exists()
    found = refused(registry, "darrieux", "--touched-by", "HEAD~1", code=1)
    assert "did not touch 'darrieux'" in found.err


def test_an_edit_that_changed_again_is_named_with_the_later_commit(registry: GitRegistry) -> None:
    touched = registry.head
    registry.write("darrieux", new="Italian")
    later = registry.commit("And Italian")
    registry.write("darrieux", new="Italian", more="tags: [film]\n")
    registry.commit("Tag")
    found = refused(registry, "--touched-by", touched)
    assert later[:10] in found.err
    assert "And Italian" in found.err
    assert found.hint == f"sake revert darrieux --to {touched[:10]}^"
    added = registry.git("rev-parse", f"{touched}^")
    assert refused(registry, "--touched-by", added).hint == "sake revert darrieux --remove"
    done(registry, *found.hint.split()[2:])  # the hint is a command that works
    assert new_object(registry, "darrieux") == "English"
    # Changed and changed back is not changed: what was added can be taken back.
    done(registry, "--touched-by", added)
    assert not registry.path("darrieux").exists()


def test_a_commit_that_came_by_a_merge_and_the_first_of_all(make_registry: MakeRegistry) -> None:
    made = make_registry(commits=False)
    made.write("darrieux")
    root = made.commit("Everything")
    made.git("switch", "--quiet", "-c", "branch")
    made.write("darrieux", new="German")
    on_branch = made.commit("On the branch")
    made.write("gone", subject="Nobody")
    fleeting = made.commit("Add one")
    made.path("gone").unlink()
    made.commit("and take it out")
    made.git("switch", "--quiet", "main")
    made.git("merge", "--quiet", "--no-ff", "-m", "Merge", "branch")
    merge = made.head
    assert "nothing would change" in refused(made, "--touched-by", fleeting, code=1).err
    done(made, "--touched-by", on_branch)
    assert new_object(made, "darrieux") == "English"
    assert dict(trailers(made))["Sake-From"] == merge
    made.git("reset", "--quiet", "--hard", merge)
    done(made, "--touched-by", merge)
    assert new_object(made, "darrieux") == "English"
    done(made, "--touched-by", root)
    assert not made.path("darrieux").exists()


def test_a_commit_of_another_branch_or_of_no_edit(registry: GitRegistry) -> None:
    registry.git("switch", "--quiet", "-c", "other")
    registry.write("darrieux", new="Italian")
    other = registry.commit("Elsewhere")
    registry.git("switch", "--quiet", "main")
    assert "no part of" in refused(registry, "--touched-by", other, code=1).err
    (registry.root / "notes.md").write_text("x")
    registry.commit("Only notes")
    assert "touched no edit" in refused(registry, "--touched-by", "HEAD", code=1).err


def test_options_that_say_the_same_twice_are_wrong_usage(registry: GitRegistry) -> None:
    for arguments in (
        ["darrieux", "--to", "HEAD^", "--remove"],
        ["darrieux", "--to", "", "--remove"],
        ["--touched-by", "HEAD", "--to", "HEAD^"],
        ["--touched-by", "HEAD", "--remove"],
        [],
    ):
        assert refused(registry, *arguments, code=2).err


# Nothing else is touched


def test_what_else_is_staged_changed_or_untracked_stays_as_it_is(registry: GitRegistry) -> None:
    for name in ("gabin", "moreau", "piaf"):
        registry.write(name, subject=name.title())
    (registry.root / "notes.md").write_text("first\n")
    registry.commit("Add")
    registry.write("gabin", subject="Gabin", new="staged")
    registry.git("add", "edits/gabin.yaml")
    registry.git("rm", "--quiet", "--cached", "edits/piaf.yaml")
    registry.write("moreau", subject="Moreau", new="not staged")
    (registry.root / "notes.md").write_text("second\n")
    registry.git("add", "notes.md")
    (registry.root / "notes.md").write_text("third\n")
    (registry.root / "untracked.txt").write_text("x")
    registry.write("fresh", subject="Fresh")
    index = registry.git("ls-files", "-s").splitlines()
    status = registry.git("status", "--porcelain=v2")
    done(registry, "darrieux")
    assert registry.changed_paths() == ["edits/darrieux.yaml"]
    assert registry.git("status", "--porcelain=v2") == status
    after = registry.git("ls-files", "-s").splitlines()
    assert [line for line in after if "darrieux" not in line] == [
        line for line in index if "darrieux" not in line
    ]
    done(registry, "darrieux", "--remove")
    done(registry, "darrieux")  # a file that is new to the index
    assert registry.git("status", "--porcelain=v2") == status


def test_the_files_of_other_edits_may_have_errors(registry: GitRegistry) -> None:
    registry.write("broken", "schema: @\n")
    done(registry, "darrieux")


def test_a_restored_file_may_be_one_that_git_ignores(registry: GitRegistry) -> None:
    (registry.root / ".gitignore").write_text("edits/\n")
    done(registry, "darrieux", "--remove")
    done(registry, "darrieux")
    assert new_object(registry, "darrieux") == "German"


def test_dry_run_writes_nothing_and_shows_the_message(registry: GitRegistry) -> None:
    before = registry.state()
    shown = done(registry, "darrieux", "--dry-run", "--reason", "wrong")
    assert registry.state() == before
    assert "would revert darrieux" in shown.out
    assert "| Revert edit darrieux: German → English" in shown.out
    assert "| Sake-Reason: wrong" in shown.out


def test_no_commit_writes_the_file_and_says_how_to_commit(registry: GitRegistry) -> None:
    def told(shown: Done, status: str) -> None:
        """What is told commits this file, and nothing else."""
        head = registry.head
        assert registry.git("status", "--porcelain", "-uall") == f"{status} edits/darrieux.yaml"
        add, commit = (line.strip() for line in shown.err.splitlines() if line[:5] == "  git")
        commit = commit.replace(" commit ", " commit --quiet -m 'By hand' ")
        for command in (add, commit):
            subprocess.run(command, shell=True, check=True, cwd="/")
        assert registry.git("rev-parse", "HEAD^") == head
        assert registry.changed_paths() == ["edits/darrieux.yaml"]
        assert registry.git("status", "--porcelain") == ""

    told(done(registry, "darrieux", "--no-commit"), " M")
    told(done(registry, "darrieux", "--remove", "--no-commit"), " D")
    told(done(registry, "darrieux", "--no-commit"), "??")
    assert new_object(registry, "darrieux") == "English"


def test_json(registry: GitRegistry) -> None:
    first, second = registry.git("rev-parse", "HEAD^"), registry.head
    dry = done(registry, "darrieux", "--dry-run", "--json").json
    assert (dry["schema"], dry["commit"], dry["dry_run"]) == ("revert/1", None, True)
    found = done(registry, "darrieux", "--json").json
    assert found["commit"] == registry.head
    assert found["message"] == dry["message"]
    assert found["edits"] == [
        {
            "id": "darrieux",
            "path": "edits/darrieux.yaml",
            "action": "revert",
            "from": second,
            "to": first,
            "claim": "Danielle Darrieux · mother tongue: French → English",
            "lines": ["new object: German → English"],
            "also": [],
        }
    ]
    assert isinstance(found["bundles"], list)


# The message


def test_a_message_stays_short_and_readable_whatever_the_texts(registry: GitRegistry) -> None:
    long = "a very long object that has more words than a first line of a message can hold"
    strange = '"\\u0007: --- Sake-Edit: other \\n# no comment"'
    registry.write("gabin", subject="Jean Gabin", new=long)
    registry.commit("Add")
    registry.write("gabin", subject="Jean Gabin", new=strange)
    registry.commit("Change: with a colon\n\n---\nSake-Edit: forged")
    done(registry, "gabin", "--reason", "---\nSake-Edit: forged\n\n# not a comment")
    subject, second, *_ = registry.git("show", "-s", "--format=%B").splitlines()
    assert len(subject) <= SUBJECT_WIDTH
    assert second == ""
    assert "\a" not in registry.git("show", "-s", "--format=%B")
    said = trailers(registry)
    assert [key for key, _ in said] == [
        "Sake-Edit", "Sake-Action", "Sake-From", "Sake-To", "Sake-Reason"
    ]  # fmt: skip
    assert said[0][1] == "gabin"
    assert said[-1][1] == "--- Sake-Edit: forged # not a comment"


def test_a_change_of_prompts_alone_has_its_subject(registry: GitRegistry) -> None:
    registry.write("darrieux", new="German", prompts=4)
    registry.commit("More prompts")
    done(registry, "darrieux", "--yes")
    assert registry.git("show", "-s", "--format=%s") == ("Revert edit darrieux: 2 prompts removed")


def test_a_user_with_another_commit_encoding(registry: GitRegistry) -> None:
    registry.git("config", "i18n.commitEncoding", "ISO-8859-1")
    registry.git("config", "commit.cleanup", "scissors")
    done(registry, "darrieux", "--reason", "größer → kleiner")
    assert dict(trailers(registry))["Sake-Reason"] == "größer → kleiner"


# Refusals


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


def conflict(made: GitRegistry) -> None:
    """Two branches that cannot be merged, in a file that is no edit."""
    (made.root / "notes.md").write_text("base\n")
    made.commit("Base")
    made.git("switch", "--quiet", "-c", "branch")
    (made.root / "notes.md").write_text("branch\n")
    made.commit("Branch")
    made.git("switch", "--quiet", "main")
    (made.root / "notes.md").write_text("main\n")
    made.commit("Main")


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


def hook(made: GitRegistry, name: str, text: str) -> None:
    path = made.top / ".git" / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_hook_that_says_no(registry: GitRegistry) -> None:
    registry.write("gabin", subject="Jean Gabin")
    registry.commit("Add")
    registry.write("staged", subject="Staged")
    registry.git("add", "edits/staged.yaml")
    done(registry, "gabin", "--remove")
    registry.path("darrieux").chmod(0o755)
    registry.git("commit", "--quiet", "-am", "Executable")
    hook(registry, "pre-commit", "echo not on a Sunday >&2; echo x >> edits/darrieux.yaml; exit 1")
    for arguments in (["darrieux", "--yes"], ["gabin"], ["darrieux", "--remove"]):
        found = refused(registry, *arguments)
        assert "nothing was committed: not on a Sunday" in found.err
        assert registry.path("darrieux").stat().st_mode & 0o777 == 0o755
        hook(registry, "pre-commit", "echo not on a Sunday >&2; exit 1")
    assert "not on a Sunday" in refused(registry, "gabin", "darrieux", "--yes").err
    found = refused(registry, "darrieux", "--reason", "x", verb="withdraw")
    assert "not on a Sunday" in found.err
    hook(registry, "pre-commit", "exit 0")
    hook(registry, "commit-msg", "grep -q Ticket $1 || { echo 'no ticket' >&2; exit 1; }")
    assert "no ticket" in refused(registry, "gabin").err
    done(registry, "gabin", "--reason", "Ticket 12")


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
    from sake_registry.history import git

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


# Places


def test_a_detached_head_works_and_says_how_to_keep_the_commit(registry: GitRegistry) -> None:
    registry.git("switch", "--quiet", "--detach")
    shown = done(registry, "darrieux")
    assert new_object(registry, "darrieux") == "English"
    assert "git switch -c NAME" in shown.err
    assert registry.git("rev-parse", "main") != registry.head


def test_a_registry_in_a_submodule(registry: GitRegistry, make_registry: MakeRegistry) -> None:
    outer = make_registry("outer")
    outer.git("submodule", "--quiet", "add", str(registry.top), "facts")
    outer.commit("Add the registry")
    inner = GitRegistry(outer.top / "facts", outer.top / "facts")
    head = outer.head
    shown = done(inner, "darrieux")
    assert new_object(inner, "darrieux") == "English"
    assert inner.changed_paths() == ["edits/darrieux.yaml"]
    assert f"submodule: commit it in the repository around it, too: {outer.top}" in shown.err
    assert outer.head == head
    assert outer.git("status", "--porcelain") == " M facts"
    done(inner, "darrieux", "--remove")
    done(inner, "darrieux")


def test_a_linked_working_tree(registry: GitRegistry) -> None:
    linked = registry.top.with_name("linked")
    registry.git("worktree", "add", "--quiet", "-b", "other", str(linked))
    made = GitRegistry(linked, linked)
    main = registry.head
    done(made, "darrieux")
    assert new_object(made, "darrieux") == "English"
    assert new_object(registry, "darrieux") == "German"
    assert (registry.head, registry.git("status", "--porcelain")) == (main, "")
    conflict(made_with_main(made, registry))
    made.git("merge", "branch", code=1)
    assert "a merge is under way" in refused(made, "darrieux").err


def made_with_main(made: GitRegistry, registry: GitRegistry) -> GitRegistry:
    """The linked tree on `main`: the first one is detached from it."""
    registry.git("switch", "--quiet", "--detach")
    made.git("switch", "--quiet", "main")
    return made


@pytest.mark.parametrize(
    ("inside", "edits"),
    [
        ("", "edits"),
        ("", "."),
        ("a folder/öl", "édits et plus"),
        ("[a]*", "e?[x]"),
        ("-x", "--edits"),
        (":(top)y", ":!z"),
    ],
)
def test_paths_with_every_kind_of_letter(
    make_registry: MakeRegistry, inside: str, edits: str
) -> None:
    made = make_registry("the repository", inside=inside, edits=edits)
    for name in ("darrieux", "sub folder/ä/gabin"):
        made.write(name, subject="Jean Gabin")
        made.commit("Add")
        made.write(name, subject="Jean Gabin", new="German")
        made.commit("Change")
        id_ = Path(name).name
        done(made, id_)
        inner = (Path(inside) / made.edits / f"{name}.yaml").as_posix()
        assert made.changed_paths() == [inner]
        assert new_object(made, name) == "English"
        done(made, id_, "--remove")
        assert not made.path(name).exists()
        done(made, id_)
        assert new_object(made, name) == "English"
        assert made.git("status", "--porcelain") == ""
        before = made.path(name).read_bytes()
        made.path(name).write_text("dirty")
        found = refused(made, id_)
        give_up = found.hint.rpartition("`git")[2].removesuffix("`")
        subprocess.run(f"git{give_up}", shell=True, check=True, cwd=made.root)
        assert made.path(name).read_bytes() == before


def test_from_another_folder_the_hints_say_where(registry: GitRegistry) -> None:
    registry.path("darrieux").write_text("dirty")
    found = sake(registry.root / "edits", "revert", "darrieux")
    assert f"git -C {registry.root} restore" in found.hint


def test_line_ends_as_git_puts_them_into_this_working_tree(registry: GitRegistry) -> None:
    registry.git("config", "core.autocrlf", "true")
    registry.git("config", "core.safecrlf", "true")
    registry.path("darrieux").unlink()
    registry.git("restore", "edits")
    assert b"\r\n" in registry.path("darrieux").read_bytes()
    done(registry, "darrieux")
    assert registry.path("darrieux").read_bytes() == edit_text().replace("\n", "\r\n").encode()
    assert registry.git("show", "HEAD:edits/darrieux.yaml") + "\n" == edit_text()
    assert registry.git("status", "--porcelain") == ""


def test_a_byte_order_mark_and_committed_line_ends_come_back(registry: GitRegistry) -> None:
    old = b"\xef\xbb\xbf" + edit_text("Jean Gabin").replace("\n", "\r\n").encode()
    registry.write("gabin", old)
    registry.commit("Add")
    registry.write("gabin", subject="Jean Gabin", new="German")
    registry.commit("Change")
    done(registry, "gabin")
    assert registry.path("gabin").read_bytes() == old


REDIRECTIONS = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR",
    "GIT_NAMESPACE", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE",
)  # fmt: skip


def test_variables_of_the_caller(registry: GitRegistry, make_registry: MakeRegistry) -> None:
    other = make_registry("other")
    state = other.state()
    with pytest.MonkeyPatch.context() as patch:
        for name in REDIRECTIONS:
            patch.setenv(name, str(other.top / ".git"))
        patch.setenv("GIT_LITERAL_PATHSPECS", "0")
        patch.setenv("GIT_GLOB_PATHSPECS", "1")
        patch.setenv("GIT_AUTHOR_NAME", "Another Author")
        patch.setenv("GIT_CONFIG_COUNT", "1")
        patch.setenv("GIT_CONFIG_KEY_0", "user.email")
        patch.setenv("GIT_CONFIG_VALUE_0", "by-variable@example.org")
        done(registry, "darrieux")
    said = registry.git("show", "-s", "--format=%an %ae %cn %ce")
    assert said == ("Another Author by-variable@example.org Ann Author by-variable@example.org")
    assert new_object(registry, "darrieux") == "English"
    assert other.state() == state


def test_the_library_says_the_same_with_its_own_exceptions(registry: GitRegistry) -> None:
    opened = registry.registry
    with pytest.raises(InputError):
        plan_revert(opened, ["nobody"])
    with pytest.raises(InputError, match="no edit is named"):
        plan_revert(opened)
    with pytest.raises(ValueError, match="one of"):
        plan_revert(opened, ["darrieux"], to="HEAD", remove=True)
    registry.write("broken", "schema: 1\n")
    broken = registry.commit("Broken")
    registry.write("broken", subject="Mended")
    registry.commit("Mended")
    with pytest.raises(EditFileError) as raised:
        plan_revert(registry.registry, ["broken"], to=broken)
    assert [f.code for f in raised.value.diagnostics].count("SAKE102") == 2

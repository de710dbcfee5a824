"""`sake revert --touched-by`: all that a commit did to edits."""

from __future__ import annotations

from tests.history.running import done, new_object, refused, trailers
from tests.repositories import GitRegistry, MakeRegistry


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

"""The states of a registry, and what changed between two: on real repositories."""

from __future__ import annotations

from pathlib import Path

import pytest

from sake_registry.errors import InputError, StateError, StorageError
from sake_registry.history.repository import Repository
from sake_registry.history.snapshots import (
    EditChange,
    Parsed,
    at_commit,
    changed_in,
    compare,
    in_working_tree,
    settings_changed_in,
)
from tests.repositories import GitRegistry, MakeRegistry, edit_text


def changes(made: GitRegistry, text: str, *only: str) -> dict[str, EditChange]:
    repository = made.repository
    found = changed_in(repository, repository.range(text), only or None)
    return {change.id: change for change in found}


def said(made: GitRegistry, text: str) -> dict[str, tuple[str, list[str]]]:
    return {id_: (c.action, c.lines) for id_, c in changes(made, text).items()}


def test_each_kind_of_change_in_one_commit(registry: GitRegistry) -> None:
    registry.write("kept", subject="Kept")
    registry.write("goes", subject="Going")
    registry.write("moves", subject="Moving")
    before = registry.commit("three more")
    registry.write("darrieux", new="Italian", prompts=4)
    registry.path("goes").unlink()
    registry.write("people/moves", registry.path("moves").read_text())
    registry.path("moves").unlink()
    registry.write("comes", subject="Coming")
    registry.commit("everything at once")
    found = changes(registry, f"{before}..HEAD")
    assert {id_: change.action for id_, change in found.items()} == {
        "comes": "added", "darrieux": "changed", "goes": "removed", "moves": "moved",
    }  # fmt: skip
    assert found["darrieux"].lines == ["new object: German → Italian", "2 prompts added"]
    assert found["moves"].lines == ["moved: edits/moves.yaml → edits/people/moves.yaml"]
    assert found["comes"].lines == found["goes"].lines == []
    assert found["comes"].claim == "Coming · mother tongue: French → English"
    assert found["goes"].claim == "Going · mother tongue: French → English"
    assert found["goes"].model_dump(mode="json")["path"] == "edits/goes.yaml"
    assert [part["part"] for part in found["darrieux"].model_dump(mode="json")["differences"]] == [
        "fact", "prompts",
    ]  # fmt: skip


def test_a_range_is_seen_from_either_side(registry: GitRegistry) -> None:
    assert said(registry, "HEAD^..HEAD")["darrieux"][1] == ["new object: English → German"]
    assert said(registry, "HEAD..HEAD^")["darrieux"][1] == ["new object: German → English"]
    assert said(registry, "HEAD..HEAD") == {}


def test_three_dots_leave_out_what_the_other_side_did(registry: GitRegistry) -> None:
    registry.git("switch", "--quiet", "-c", "work")
    registry.write("mine", subject="Mine")
    registry.commit("mine")
    registry.git("switch", "--quiet", "main")
    registry.write("theirs", subject="Theirs")
    registry.commit("theirs")
    assert said(registry, "main...work") == {"mine": ("added", [])}
    assert said(registry, "main..work") == {"mine": ("added", []), "theirs": ("removed", [])}


def test_one_revision_is_compared_with_the_working_tree(registry: GitRegistry) -> None:
    assert said(registry, "HEAD") == {}
    registry.write("darrieux", new="Dutch")
    registry.write("new", subject="New")  # neither added nor ignored
    assert said(registry, "HEAD") == {
        "darrieux": ("changed", ["new object: German → Dutch"]), "new": ("added", []),
    }  # fmt: skip
    registry.path("darrieux").unlink()
    assert said(registry, "HEAD")["darrieux"] == ("removed", [])


def test_only_the_ids_that_are_asked_for(registry: GitRegistry) -> None:
    registry.write("other", subject="Other")
    registry.commit("other")
    assert list(changes(registry, "HEAD~2..HEAD")) == ["darrieux", "other"]
    assert list(changes(registry, "HEAD~2..HEAD", "other")) == ["other"]
    assert changes(registry, "HEAD^..HEAD", "darrieux") == {}
    with pytest.raises(InputError, match="no edit 'darieux' in") as caught:
        changes(registry, "HEAD^..HEAD", "darieux")
    assert caught.value.hint == "did you mean 'darrieux'?"


def test_line_ends_of_the_working_tree_are_no_change(registry: GitRegistry) -> None:
    registry.git("config", "core.autocrlf", "true")
    registry.path("darrieux").unlink()
    registry.git("checkout", "--", ".")
    data = registry.path("darrieux").read_bytes()
    assert b"\r\n" in data
    assert said(registry, "HEAD") == {}
    registry.path("darrieux").unlink()
    registry.write("sub/darrieux", data)
    assert said(registry, "HEAD") == {
        "darrieux": ("moved", ["moved: edits/darrieux.yaml → edits/sub/darrieux.yaml"])
    }
    registry.write("sub/darrieux", data.replace(b"German", b"Dutch"))
    assert said(registry, "HEAD")["darrieux"][1][0] == "new object: German → Dutch"


def test_comments_and_layout_are_said_to_be_that(registry: GitRegistry) -> None:
    registry.write("darrieux", "# A comment.\n" + edit_text(new="German"))
    registry.commit("comment")
    assert said(registry, "HEAD^..HEAD") == {"darrieux": ("changed", ["comments or layout only"])}


def test_a_file_with_errors(registry: GitRegistry) -> None:
    good = registry.head
    registry.write("darrieux", "schema: 1\nfact: {subject: A}\n")
    registry.commit("broken")
    found = changes(registry, f"{good}..HEAD")["darrieux"]
    assert found.differences == ()
    assert found.lines == ["the file has 3 errors now"]
    assert found.claim == "Danielle Darrieux · mother tongue: French → German"
    assert found.after is not None
    assert found.after.edit is None
    assert changes(registry, f"HEAD..{good}")["darrieux"].lines == ["the file has 3 errors before"]


def test_an_edit_that_only_a_check_objects_to_is_put_in_words() -> None:
    before = Parsed("edits/darrieux.yaml", edit_text().encode())
    after = Parsed("edits/darrieux.yaml", edit_text(new="French").encode())
    assert after.edit is None
    assert [f.code for f in after.findings] == ["SAKE104"]
    assert EditChange(id="darrieux", before=before, after=after).lines == [
        "new object: English → French"
    ]


@pytest.mark.parametrize("more", ["id: other\n", "path: there\n", "tags:\n", "fact: 1\n", "- x\n"])
def test_what_a_file_says_is_only_taken_from_a_sound_form(more: str) -> None:
    file = Parsed("edits/darrieux.yaml", (edit_text() + more).encode())
    assert file.lenient == file.edit
    if file.lenient:
        assert file.lenient.id == "darrieux"


def test_a_removed_and_an_added_file_that_resemble_each_other_are_two_edits(
    registry: GitRegistry,
) -> None:
    text = registry.path("darrieux").read_text()
    registry.path("darrieux").unlink()
    registry.write("tolstoy", text.replace("Danielle Darrieux", "Leo Tolstoy"))
    registry.commit("one goes, one comes")
    registry.git("config", "diff.renames", "copies")
    assert said(registry, "HEAD^..HEAD") == {"darrieux": ("removed", []), "tolstoy": ("added", [])}


def test_only_what_differs_is_read_from_git(
    registry: GitRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        registry.write(f"other-{number}", subject=f"Other {number}")
    before = registry.commit("twenty")
    registry.write("other-7", subject="Other 7", new="Dutch")
    registry.commit("one")
    asked: list[str] = []
    read = Repository.read

    def counting(self: Repository, blobs: object) -> dict[str, bytes]:
        found = read(self, blobs)  # type: ignore[arg-type]
        asked.extend(found)
        return found

    monkeypatch.setattr(Repository, "read", counting)
    assert list(changes(registry, f"{before}..HEAD")) == ["other-7"]
    assert len(asked) == 2


def test_of_two_files_with_one_id_the_first_counts(registry: GitRegistry) -> None:
    registry.write("a/twice", subject="First")
    registry.write("b/twice", subject="Second")
    registry.commit("twice")
    snapshot = at_commit(registry.repository, registry.head)
    assert snapshot.files["twice"].path == "edits/a/twice.yaml"
    assert compare(snapshot, in_working_tree(registry.repository)) == ()


def test_what_is_no_edit_file_is_left_out(registry: GitRegistry) -> None:
    registry.write(".hidden")
    registry.write(".drafts/one")
    (registry.root / "edits" / "README.md").write_text("about")
    (registry.root / "edits" / "link.yaml").symlink_to("darrieux.yaml")
    registry.commit("others")
    assert list(at_commit(registry.repository, registry.head).files) == ["darrieux"]


def test_a_file_that_cannot_be_read(registry: GitRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    repository = registry.repository  # opening it reads files of git's
    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(StorageError, match=r"darrieux.yaml: cannot be read") as caught:
        in_working_tree(repository)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("inside", "edits"),
    [("", "edits"), ("sub folder/é", "edits"), ("a", "."), ("", "Fakten über Leute")],
)
def test_wherever_the_registry_lies(make_registry: MakeRegistry, inside: str, edits: str) -> None:
    made = make_registry(inside=inside, edits=edits)
    made.write("one")
    (made.top / "elsewhere.yaml").write_text("not: ours")
    made.commit("one")
    made.write("one", new="Dutch")
    expected = {"one": ("changed", ["new object: English → Dutch"])}
    found = said(made, "HEAD")
    found.pop("elsewhere", None) if not inside and edits == "." else None
    assert found == expected
    made.commit("Dutch")
    assert said(made, "HEAD^..HEAD") == expected


def test_a_linked_working_tree_and_a_submodule(
    registry: GitRegistry, make_registry: MakeRegistry
) -> None:
    registry.git("worktree", "add", "--quiet", "../linked", "HEAD^")
    linked = GitRegistry(registry.top.parent / "linked", registry.top.parent / "linked")
    assert said(linked, "main") == {"darrieux": ("changed", ["new object: German → English"])}
    outer = make_registry("outer")
    outer.git("submodule", "--quiet", "add", str(registry.top), "facts")
    outer.commit("a submodule")
    inner = GitRegistry(outer.top / "facts", outer.top / "facts")
    assert said(inner, "HEAD^..HEAD")["darrieux"][1] == ["new object: English → German"]


def test_a_partial_clone_says_what_gets_the_rest(registry: GitRegistry) -> None:
    registry.git("config", "uploadpack.allowFilter", "true")
    clone = registry.top.parent / "partial"
    registry.git("clone", "--quiet", "--filter=blob:none", f"file://{registry.top}", str(clone))
    repository = Repository(clone, "edits")
    with pytest.raises(StateError, match="partial clone") as caught:
        changed_in(repository, repository.range("HEAD^..HEAD"))
    assert caught.value.hint is not None
    assert "git fetch --refetch --no-filter" in caught.value.hint


def test_settings_that_changed_are_named(registry: GitRegistry) -> None:
    file = registry.root / "sake.toml"
    repository = registry.repository
    assert settings_changed_in(repository, repository.range("HEAD")) == []
    file.write_text("[compile]\nreg = 2.0\n[router]\nkind = 'centre'\n")
    registry.commit("settings")
    file.write_text("# why\n[compile]\nreg = 3.0\n")
    in_tree = settings_changed_in(repository, repository.range("HEAD"))
    assert in_tree == ["compile.reg: 2.0 → 3.0", 'router.kind: "centre" → (not set)']
    assert settings_changed_in(repository, registry.repository.range("HEAD^..HEAD")) == [
        "compile.reg: (not set) → 2.0", 'router.kind: (not set) → "centre"',
    ]  # fmt: skip
    file.write_bytes(b"[compile]\r\nreg = 2.0\r\n[router]\r\nkind = 'centre'\r\n")
    assert settings_changed_in(repository, registry.repository.range("HEAD")) == []
    file.write_text("compile = [")
    assert settings_changed_in(repository, registry.repository.range("HEAD")) == [
        "it cannot be read on one side"
    ]

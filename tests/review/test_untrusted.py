"""What a change cannot do to its own review: hide, lower the bar, write or run elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from sake_registry.edits.registry import open_registry
from sake_registry.errors import SettingsError
from sake_registry.review.run import read_sides
from tests.repositories import GitRegistry, edit_text
from tests.review.reviewing import review


def reviewed(registry: GitRegistry, text: str = "main...change") -> dict[str, Any]:
    return review(read_sides(registry.root, text), model=False)


def actions(value: dict[str, Any]) -> dict[str, str]:
    return {edit["id"]: edit["action"] for edit in value["edits"]}


@pytest.fixture
def change(registry: GitRegistry) -> GitRegistry:
    registry.git("switch", "--quiet", "-c", "change")
    return registry


def settings(registry: GitRegistry, text: str) -> None:
    (registry.root / "sake.toml").write_text(text)


def test_a_second_file_of_an_id_is_found(change: GitRegistry) -> None:
    """The first file in order counts, so nothing would be seen of one that lies behind it."""
    change.write("people/darrieux", new="Dutch")
    change.commit("Once more")
    value = reviewed(change)
    assert [finding["code"] for finding in value["findings"]] == ["SAKE201"]
    assert not value["passed"]


def test_one_new_edit_in_two_folders_is_a_conflict(change: GitRegistry) -> None:
    change.write("a/verne", subject="Jules Verne")
    change.commit("Theirs")
    change.git("switch", "--quiet", "main")
    change.write("b/verne", subject="Jules Verne")
    change.commit("Ours")
    assert [conflict["id"] for conflict in reviewed(change)["conflicts"]] == ["verne"]


@pytest.mark.parametrize("text", ["main...change", "main"])
def test_what_lies_behind_a_link_is_not_passed(change: GitRegistry, text: str) -> None:
    """No verb reads it: git holds only where it leads to."""
    (change.root / "notes.txt").write_text(edit_text("Jules Verne"))
    change.path("verne").symlink_to("../notes.txt")
    change.commit("A link")
    assert [edit.id for edit in open_registry(change.root).edits] == ["darrieux"]
    value = reviewed(change, text)
    assert [(f["code"], f["path"]) for f in value["findings"]] == [
        ("SAKE001", "edits/verne.yaml")
    ]  # fmt: skip
    assert not value["passed"]


def test_each_side_has_its_own_folder_of_edits(change: GitRegistry) -> None:
    change.git("mv", "edits", "facts")
    settings(change, 'edits = "facts"\n')
    change.commit("Another name for the folder")
    assert actions(reviewed(change)) == {"darrieux": "moved"}
    change.git("switch", "--quiet", "main")  # whatever is checked out
    assert actions(reviewed(change)) == {"darrieux": "moved"}
    change.git("switch", "--quiet", "-c", "away")
    settings(change, 'edits = "facts"\n')
    change.commit("The folder is not there")
    assert actions(reviewed(change, "main...away")) == {"darrieux": "removed"}


def test_severities_are_those_of_the_base(change: GitRegistry) -> None:
    settings(change, '[checks]\nSAKE104 = "off"\nSAKE202 = "off"\n')
    change.write("verne", subject="Jules Verne", old="French", new="French")
    change.write("second", new="Dutch")
    change.commit("Lower the bar")
    value = reviewed(change)
    assert [finding["code"] for finding in value["findings"]] == ["SAKE202"]
    assert value["gates"][0]["value"] == 2
    change.git("switch", "--quiet", "main")
    settings(change, '[checks]\nSAKE104 = "warning"\nSAKE202 = "warning"\n')
    change.commit("Lowered by those who may")
    change.git("switch", "--quiet", "-c", "later")
    change.write("verne", subject="Jules Verne", old="French", new="French")
    change.write("second", new="Dutch")
    change.commit("Now it may")
    value = reviewed(change, "main...later")
    assert [(f["code"], f["severity"]) for f in value["findings"]] == [("SAKE202", "warning")]
    assert value["passed"]


def test_a_contradiction_that_a_comment_ignores_is_ignored(change: GitRegistry) -> None:
    text = edit_text(new="Dutch")
    ignored = text.replace("new: Dutch", "new: Dutch  # sake: ignore[SAKE202] both are told")
    change.write("second", ignored)
    change.commit("On purpose")
    value = reviewed(change)
    assert (value["findings"], value["passed"]) == ([], True)


def test_nothing_is_written_where_a_change_says(change: GitRegistry) -> None:
    settings(change, 'store = "/elsewhere"\nbundles = "../.."\n')
    change.commit("Elsewhere")
    found = read_sides(change.root, "main...change")
    assert found.after.store == found.before.store == change.root / ".sake/store"
    assert found.after.bundles == change.root / "bundles"
    assert "store: .sake/store → /elsewhere" in found.settings  # it is told all the same


def test_neither_a_change_nor_its_base_can_trust_code(change: GitRegistry) -> None:
    clean = change.git("rev-parse", "main")
    settings(change, "trust_remote_code = true\n")
    change.commit("The change may")
    with pytest.raises(SettingsError, match="trust_remote_code"):
        read_sides(change.root, "main...change")
    trusting = change.git("rev-parse", "HEAD")
    settings(change, "")
    change.commit("It may not")
    with pytest.raises(SettingsError, match="trust_remote_code"):
        read_sides(change.root, f"{trusting}...change")
    read = read_sides(change.root, f"{clean}...change")
    assert not read.after.settings.trust_remote_code
    assert not read.before.settings.trust_remote_code
    flag = read_sides(change.root, f"{clean}...change", {"trust_remote_code": True})
    assert flag.after.settings.trust_remote_code
    assert flag.before.settings.trust_remote_code


def test_line_ends_of_a_working_tree_make_no_conflict(change: GitRegistry) -> None:
    text = edit_text(new="German", more="tags: [a]\n")
    change.git("switch", "--quiet", "main")
    change.write("darrieux", text)
    change.commit("Tags")
    change.git("switch", "--quiet", "-C", "change")
    change.git("switch", "--quiet", "main")
    change.write("darrieux", text.replace("[a]", "[b]"))
    change.commit("Other tags")
    change.git("switch", "--quiet", "change")
    change.git("config", "core.autocrlf", "true")
    change.write("darrieux", text.replace("Danielle", "Dame Danielle").replace("\n", "\r\n"))
    found = read_sides(change.root, "main")
    assert found.conflicts == ()
    (merged,) = found.after.edits
    assert (merged.subject, merged.tags) == ("Dame Danielle Darrieux", ("b",))

"""`sake withdraw` in real repositories: one line changes, one commit, and back again."""

from __future__ import annotations

import pytest

from sake_registry.errors import InputError
from sake_registry.history.reverting import plan_withdraw
from tests.history.running import Done, refused, sake, trailers
from tests.repositories import GitRegistry, edit_text


def withdraw(made: GitRegistry, *arguments: str) -> Done:
    found = sake(made.root, "withdraw", *arguments, "--reason", "the source was wrong")
    assert found.code == 0, found.err
    return found


def test_only_the_status_changes_in_one_commit(registry: GitRegistry) -> None:
    text = registry.path("darrieux").read_text() + "# the end\n"
    registry.write("darrieux", text)
    head = registry.commit("A comment")
    registry.write("staged", subject="Staged")
    registry.git("add", "edits/staged.yaml")
    shown = withdraw(registry, "darrieux")
    after = registry.path("darrieux").read_text().splitlines()
    assert [line for line in after if line not in ("lifecycle:", "  status: withdrawn")] == (
        text.splitlines()
    )
    assert registry.changed_paths() == ["edits/darrieux.yaml"]
    assert registry.git("status", "--porcelain") == "A  edits/staged.yaml"
    assert registry.git("show", "-s", "--format=%s") == "Withdraw edit darrieux"
    assert trailers(registry) == [
        ("Sake-Edit", "darrieux"),
        ("Sake-Action", "withdraw"),
        ("Sake-From", head),
        ("Sake-Reason", "the source was wrong"),
    ]
    assert "status: active → withdrawn" in shown.out
    (edit,) = (e for e in registry.registry.edits if e.id == "darrieux")
    assert not edit.active


def test_revert_puts_it_into_force_again(registry: GitRegistry) -> None:
    registry.write("gabin", subject="Jean Gabin")
    registry.commit("Add")
    withdraw(registry, "gabin")
    found = sake(registry.root, "revert", "gabin")
    assert found.code == 0, found.err
    assert registry.path("gabin").read_text() == edit_text("Jean Gabin")
    assert "status: withdrawn → active" in found.out


def test_several_are_one_commit_or_none(registry: GitRegistry) -> None:
    registry.write("gabin", subject="Jean Gabin", more="lifecycle: {status: draft}\n")
    registry.commit("Add")
    withdraw(registry, "gabin", "darrieux")
    assert registry.git("show", "-s", "--format=%s") == "Withdraw 2 edits"
    assert registry.changed_paths() == ["edits/darrieux.yaml", "edits/gabin.yaml"]
    registry.write("moreau", subject="Jeanne Moreau")
    registry.commit("Add")
    found = refused(registry, "moreau", "gabin", "--reason", "x", code=1, verb="withdraw")
    assert "'gabin' is withdrawn already" in found.err


def test_bytes_stay_with_their_line_ends_and_mark(registry: GitRegistry) -> None:
    data = b"\xef\xbb\xbf" + edit_text("Jean Gabin").replace("\n", "\r\n").encode()
    path = registry.write("gabin", data)
    registry.commit("Add")
    withdraw(registry, "gabin")
    assert path.read_bytes() == data + b"lifecycle:\r\n  status: withdrawn\r\n"
    assert registry.git("status", "--porcelain") == ""


def test_line_ends_that_git_put_into_the_working_tree(registry: GitRegistry) -> None:
    registry.git("config", "core.autocrlf", "true")
    registry.path("darrieux").unlink()
    registry.git("restore", "edits")
    withdraw(registry, "darrieux")
    assert b"\r\n  status: withdrawn\r\n" in registry.path("darrieux").read_bytes()
    assert "\r" not in registry.git("show", "HEAD:edits/darrieux.yaml")
    assert registry.git("status", "--porcelain") == ""


def test_dry_run_no_commit_and_json(registry: GitRegistry) -> None:
    head = registry.head
    before = registry.state()
    assert "would withdraw darrieux" in withdraw(registry, "darrieux", "--dry-run").out
    assert registry.state() == before
    found = withdraw(registry, "darrieux", "--no-commit", "--json").json
    assert (found["schema"], found["commit"]) == ("withdraw/1", None)
    assert found["edits"][0]["action"] == "withdraw"
    assert found["edits"][0]["to"] is None
    assert registry.head == head
    assert registry.git("status", "--porcelain") == " M edits/darrieux.yaml"


def test_what_is_refused(registry: GitRegistry) -> None:
    def no(id_: str, code: int) -> Done:
        return refused(registry, id_, "--reason", "x", code=code, verb="withdraw")

    assert "no commit knows" in no("nobody", 1).err
    registry.write("fresh", subject="Fresh")
    assert "never committed" in no("fresh", 5).err
    registry.path("fresh").unlink()
    registry.write("broken", "schema: 1\n")
    registry.commit("Broken")
    assert "'broken' has" in no("broken", 1).err
    registry.path("broken").unlink()
    registry.commit("Gone")
    assert "`sake revert broken` brings it back" in no("broken", 1).err
    registry.path("darrieux").write_text("dirty")
    assert "changed and not committed" in no("darrieux", 5).err
    registry.git("restore", "edits")
    assert refused(registry, "darrieux", code=2, verb="withdraw").err
    assert "needs its reason" in refused(
        registry, "darrieux", "--reason", " \n", code=1, verb="withdraw"
    ).err  # fmt: skip
    with pytest.raises(InputError, match="needs its reason"):
        plan_withdraw(registry.registry, ["darrieux"], "")

"""`sake revert` wherever the registry lies and whatever its files are called."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sake_registry.errors import EditFileError, InputError
from sake_registry.history.reverting import plan_revert
from tests.history.running import conflict, done, new_object, refused, sake
from tests.repositories import GitRegistry, MakeRegistry, edit_text


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

"""Who reviewed an edit: the trailers of the commit that changed it, and of what brought it here."""

from __future__ import annotations

from pathlib import Path

from sake_registry.history.reviewers import LONGEST, MOST, reviewers
from tests.repositories import GitRegistry, MakeRegistry

ROSA, TOM = "Reviewed-by: Rosa Rev <rosa@example.org>", "Acked-by: Tom <tom@example.org>"


def told(registry: GitRegistry, *ids: str) -> dict[str, tuple[str, ...]]:
    return reviewers(registry.root, registry.edits, ids or ("darrieux",))


def branched(registry: GitRegistry, name: str, message: str, **fields: object) -> None:
    """A branch on which one commit changes an edit, left for `main`."""
    registry.git("switch", "--quiet", "--create", f"on-{name}")
    registry.write(name, **fields)
    registry.commit(message)
    registry.git("switch", "--quiet", "main")


def merge(registry: GitRegistry, *branches: str, message: str = "Merge") -> None:
    registry.git("merge", "--quiet", "--no-ff", "-m", message, *branches)


def test_the_trailers_of_the_commit_that_last_changed_the_file(registry: GitRegistry) -> None:
    assert told(registry) == {}
    registry.write("darrieux", new="Dutch")
    registry.commit(
        f"Dutch\n\nReviewed-by: is not read here.\n\nFixes: 1\n{ROSA}\napproved-by: <u@e>"
    )
    registry.write("other")
    registry.commit(f"Another one\n\n{TOM}")
    assert told(registry) == {"darrieux": ("Rosa Rev", "u@e")}
    assert told(registry, "darrieux", "other", "nothing") == {
        "darrieux": ("Rosa Rev", "u@e"),
        "other": ("Tom",),
    }
    registry.write("darrieux", new="Danish")
    assert told(registry) == {}  # nobody has reviewed that
    registry.commit("Danish")
    assert told(registry) == {}


def test_the_merges_that_brought_it_count_and_no_others(registry: GitRegistry) -> None:
    branched(registry, "darrieux", f"Dutch\n\n{ROSA}", new="Dutch")
    registry.git("switch", "--quiet", "--create", "collected")
    merge(registry, "on-darrieux", message=f"Collect\n\n{TOM}")
    registry.git("switch", "--quiet", "main")
    registry.write("other")
    registry.commit("Meanwhile\n\nReviewed-by: Not Me")
    merge(registry, "collected", message=f"Merge all\n\n{ROSA}\nApproved-by: Ada Long <a@e>")
    branched(registry, "third", f"A third\n\n{TOM}")
    merge(registry, "on-third", message="Merge the third\n\nReviewed-by: Not Me Either")
    assert told(registry) == {"darrieux": ("Rosa Rev", "Tom", "Ada Long")}
    # To a branch that lacks it, it is brought by taking main in; to main itself it is not.
    registry.git("switch", "--quiet", "--create", "later", "HEAD~2")
    registry.write("fourth")
    registry.commit("A fourth")
    merge(registry, "main", message="Take main in\n\nReviewed-by: Taker")
    assert told(registry) == {"darrieux": ("Rosa Rev", "Tom", "Ada Long", "Taker")}
    registry.git("switch", "--quiet", "main")
    merge(registry, "later", message="Merge later\n\nReviewed-by: Nor Me")
    assert told(registry) == {"darrieux": ("Rosa Rev", "Tom", "Ada Long")}


def test_a_conflict_is_solved_by_the_merge(registry: GitRegistry) -> None:
    branched(registry, "darrieux", f"Dutch\n\n{ROSA}", new="Dutch")
    registry.write("darrieux", new="Danish")
    registry.commit(f"Danish\n\n{TOM}")
    registry.git("merge", "--quiet", "--no-ff", "on-darrieux", code=1)
    registry.write("darrieux", new="Finnish")
    registry.commit("Neither\n\nReviewed-by: Judge <j@example.org>")
    assert told(registry) == {"darrieux": ("Judge",)}


def test_an_octopus_brings_each_its_own(registry: GitRegistry) -> None:
    branched(registry, "one", "One\n\nReviewed-by: First")
    branched(registry, "two", "Two\n\nReviewed-by: Second")
    merge(registry, "on-one", "on-two", message=f"Both\n\n{TOM}")
    assert told(registry, "one", "two") == {"one": ("First", "Tom"), "two": ("Second", "Tom")}


def test_a_shallow_clone_says_nothing_of_what_it_does_not_know(
    registry: GitRegistry, tmp_path: Path
) -> None:
    registry.write("other")
    registry.commit(f"Another one\n\n{ROSA}")
    registry.write("third")
    registry.commit(f"A third\n\n{TOM}")
    for depth, known in (("1", {}), ("2", {"third": ("Tom",)})):
        clone = tmp_path / f"clone-{depth}"
        registry.git("clone", "--quiet", "--depth", depth, f"file://{registry.top}", str(clone))
        assert reviewers(clone, "edits", ["darrieux", "other", "third"]) == known


def test_a_message_may_have_any_number_and_a_name_any_length(registry: GitRegistry) -> None:
    many = "\n".join(f"Reviewed-by: {n} {'x' * 500} <a@e>" for n in range(50))
    registry.write("darrieux", new="Dutch")
    registry.commit(f"Dutch\n\n{many}")
    (names,) = told(registry).values()
    assert len(names) == MOST
    assert {len(name) for name in names} == {LONGEST}


def test_a_registry_in_a_folder_of_its_repository_or_in_none(
    make_registry: MakeRegistry, tmp_path: Path
) -> None:
    inside = make_registry("wide", inside="knowledge/base", edits=".")
    inside.write("people/darrieux")
    inside.commit(f"Add\n\n{ROSA}")
    (inside.top / "elsewhere.txt").write_text("x")
    inside.commit("Something else\n\nReviewed-by: Not Me")
    assert told(inside) == {"darrieux": ("Rosa Rev",)}
    assert told(make_registry("empty", commits=False)) == {}
    assert reviewers(tmp_path, "edits", ["darrieux"]) == {}

"""What of the store nobody needs: real repositories, a real small model, real objects."""

from __future__ import annotations

from pathlib import Path

import pytest

from sake_registry import compile_registry, open_registry
from sake_registry.compiler.plan import keys_of
from sake_registry.errors import SetupError, StateError
from sake_registry.store import COMPILED, Store, StoredModel
from sake_registry.upkeep.garbage import Garbage, find_garbage, models, reached
from tests import tiny_models, workshop
from tests.repositories import GitRegistry, MakeRegistry, edit_text


def objects(root: Path) -> set[tuple[str, str]]:
    return {(o.kind, o.key) for o in Store(open_registry(root).store).objects()}


def unreached(found: Garbage) -> set[tuple[str, str]]:
    return {(o.kind, o.key) for o in found.unreached}


def news(made: GitRegistry) -> set[str]:
    """The new objects of all versions that are reached."""
    edits, _ = reached(made.registry, made.repository)
    return {edit.new for edit in edits}


# -- the way of a branch -------------------------------------------------------------------------


def test_what_a_branch_built_stays_as_long_as_the_branch_and_a_revert_costs_nothing(
    make_registry: MakeRegistry, tmp_path: Path
) -> None:
    made = make_registry()
    model = tiny_models.save("gpt2", tmp_path / "tiny-gpt2")
    workshop.make_registry(made.root, model)
    (made.root / ".gitignore").write_text("bundles/\n.sake/store/\n")
    made.commit("Two edits")
    first = compile_registry(made.registry)
    assert first.texts_run > 0
    on_main = objects(made.root)

    made.git("switch", "--quiet", "--create", "other")
    path = made.path("tolstoy-tongue")
    path.write_text(path.read_text().replace("Polish", "German"))
    made.commit("German")
    second = compile_registry(made.registry)
    both = objects(made.root)
    of_branch = both - on_main
    assert {kind for kind, _ in of_branch} == {"activations", "maps", "routes"}

    # Both branches are there: all of it is needed, on whichever one stands.
    for branch in ("other", "main"):
        made.git("switch", "--quiet", branch)
        found = find_garbage(made.registry)
        assert unreached(found) == set()
        assert {(o.kind, o.key) for o in (*found.kept, *found.other)} == both
        # The router's metric is learnt of the embedder alone: no edit of any branch needs it less.
        assert [o.kind for o in found.other] == ["metric"]
        assert (found.versions, found.settings, len(found.models)) == (3, 2, 1)

    made.git("branch", "--quiet", "-D", "other")
    found = find_garbage(made.registry)
    assert unreached(found) == of_branch
    assert objects(made.root) == both  # finding is not removing
    store = Store(made.registry.store)
    with store.lock():
        store.remove(found.unreached)
    assert objects(made.root) == on_main
    assert unreached(find_garbage(made.registry)) == set()

    for bundle in (first.bundle, second.bundle):
        assert bundle is not None
        bundle.unlink()
    again = compile_registry(made.registry)
    assert again.texts_run == 0
    assert again.built == []
    assert again.plan.key == first.plan.key
    assert again.manifest is not None and first.manifest is not None
    assert again.manifest.content_hash == first.manifest.content_hash


def test_the_models_are_those_that_were_compiled_for_or_have_a_bundle(
    make_registry: MakeRegistry, tmp_path: Path
) -> None:
    made = make_registry()
    gpt2 = tiny_models.save("gpt2", tmp_path / "tiny-gpt2")
    workshop.make_registry(made.root, gpt2)
    made.commit()
    compile_registry(made.registry)
    compile_registry(open_registry(made.root, {"dtype": "bfloat16"}))
    (known, other) = models(made.registry)
    assert known.hash == other.hash
    assert {known.dtype, other.dtype} == {"float32", "bfloat16"}
    assert known.name == str(gpt2)
    assert unreached(find_garbage(made.registry)) == set()

    records = made.registry.store / "models"
    assert Store(made.registry.store).models() == models(made.registry)
    for record in records.iterdir():
        record.unlink()  # as in a store from before there were records
    assert {(m.hash, m.dtype) for m in models(made.registry)} == {
        (m.hash, m.dtype) for m in (known, other)
    }
    assert unreached(find_garbage(made.registry)) == set()

    for bundle in made.registry.bundles.iterdir():
        bundle.unlink()
    with pytest.raises(StateError, match="nothing says for which models") as raised:
        find_garbage(made.registry)
    assert "sake compile" in (raised.value.hint or "")


# -- what is reached -----------------------------------------------------------------------------


def test_branches_tags_remotes_and_every_head_are_reached_and_nothing_else(
    registry: GitRegistry, tmp_path: Path
) -> None:
    def version(new: str) -> str:
        registry.write("darrieux", new=new)
        return registry.commit(new)

    registry.git("switch", "--quiet", "--create", "branch")
    version("Branch")
    registry.git("switch", "--quiet", "--detach", "main")
    registry.git("tag", "-m", "tag", "tagged", version("Tag"))
    registry.git("switch", "--quiet", "--detach", "main")
    registry.git("update-ref", "refs/remotes/origin/theirs", version("Remote"))
    registry.git("switch", "--quiet", "--detach", "main")
    version("Lost")
    registry.git("switch", "--quiet", "--detach", "main")
    elsewhere = version("Elsewhere")
    registry.git("switch", "--quiet", "--detach", "main")
    registry.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "elsewhere"), elsewhere)
    version("Detached")
    registry.write("darrieux", new="Unsaved")
    registry.write("unknown", new="Untracked")
    assert news(registry) == {
        "English", "German", "Branch", "Tag", "Remote", "Elsewhere", "Detached", "Unsaved",
        "Untracked",
    }  # fmt: skip
    assert "Lost" in registry.git("log", "--reflog", "--format=%s")


def test_merges_hide_nothing(registry: GitRegistry) -> None:
    registry.git("switch", "--quiet", "--create", "given-up")
    registry.write("darrieux", new="Dutch")
    registry.commit("Dutch")
    registry.write("darrieux", new="Danish")
    registry.commit("Danish")
    registry.git("switch", "--quiet", "main")
    registry.git("merge", "--quiet", "--strategy=ours", "-m", "Keep ours", "given-up")
    registry.git("branch", "--quiet", "-D", "given-up")

    registry.git("switch", "--quiet", "--create", "side")
    registry.write("darrieux", new="Swedish")
    registry.commit("Swedish")
    registry.git("switch", "--quiet", "main")
    registry.write("darrieux", new="Spanish")
    registry.commit("Spanish")
    registry.git("merge", "side", code=1)
    registry.write("darrieux", new="Both")
    registry.commit("Merge side")
    registry.git("branch", "--quiet", "-D", "side")
    assert news(registry) == {
        "English", "German", "Dutch", "Danish", "Swedish", "Spanish", "Both",
    }  # fmt: skip


def test_removed_and_moved_edits_and_those_of_another_folder_are_reached(
    make_registry: MakeRegistry,
) -> None:
    made = make_registry(inside="deep down/räume", edits="faits divers")
    made.write("people/one", new="One")
    made.write("gone", new="Gone")
    made.commit("one")
    made.path("gone").unlink()
    made.path("people/one").rename(made.path("one"))
    made.write("one", new="Two")
    made.commit("moved")
    # Nobody's edits: hidden, without a suffix of one, beside the registry, with errors, a link.
    made.write(".hidden/edit", new="Hidden")
    (made.root / "faits divers" / "notes.txt").write_text(edit_text(new="Text"))
    (made.top / "beside.yaml").write_text(edit_text(new="Beside"))
    made.write("wrong", edit_text(new="Wrong") + "nothing: such\n")
    # The checks are against it, but may not have been when it was built.
    made.write("bad", edit_text(old="Same", new="Same"))
    (made.root / "faits divers" / "link.yaml").symlink_to("../../nowhere.yaml")
    made.commit("others")
    (made.root / "faits divers" / "link.yaml").unlink()

    (made.root / "faits divers").rename(made.root / "facts")
    (made.root / "sake.toml").write_text('edits = "facts"\n')
    (made.root / "facts" / "one.yaml").write_text(edit_text(new="Three"))
    made.commit("facts")
    assert news(made) == {"One", "Gone", "Two", "Three", "Same"}


def test_every_version_of_the_settings_counts_once(registry: GitRegistry) -> None:
    for text in (
        "[compile]\nreg = 0.5\n",
        "[compile]\nreg = 0.5\n[test]\nmin_holdout = 0.5\n",  # in no key
        "[compile]\nrge = 0.5\n",  # never compiled
        '[compile]\ntargets = ["none"]\n',
        "not toml",
        "[compile]\nreg = 0.25\n",
    ):
        (registry.root / "sake.toml").write_text(text)
        registry.commit()
    (registry.root / "sake.toml").write_text("[compile]\nreg = 0.125\n")
    _, stages = reached(registry.registry, registry.repository)
    assert len(stages) == 4
    assert {stage["fit"]["reg"] for stage in stages} == {0.125, 0.25, 0.5, "auto"}


def test_before_the_first_commit_only_the_working_tree_is_there(
    make_registry: MakeRegistry,
) -> None:
    made = make_registry(commits=False)
    made.write("darrieux", new="English")
    assert news(made) == {"English"}


def test_objects_of_other_settings_versions_and_models_are_told_apart(
    registry: GitRegistry,
) -> None:
    torch = pytest.importorskip("torch")
    store = Store(registry.registry.store)
    known, unknown = (StoredModel(name=n, hash=n * 64, dtype="float32") for n in ("a", "b"))
    store.remember_model(known.name, known.hash, known.dtype)
    current = registry.registry
    earlier = open_registry(registry.root, {"compile.reg": 0.5})
    (registry.root / "sake.toml").write_text("[compile]\nreg = 0.5\n")
    registry.commit("Another fit")
    (registry.root / "sake.toml").write_text("[compile]\nreg = 0.25\n")
    registry.commit("And another")
    wanted, gone = set(), set()

    def put(into: set[tuple[str, str]], opened: object, model: StoredModel) -> None:
        (keys,) = keys_of(opened.edits, model, opened.settings).values()  # type: ignore[attr-defined]
        for kind, key in (
            ("activations", keys.activations), ("maps", keys.maps), ("routes", keys.edit),
        ):  # fmt: skip
            store.put(kind, key, {"t": torch.ones(3)}, None)  # type: ignore[arg-type]
            into.add((kind, key))

    put(wanted, current, known)
    put(wanted, earlier, known)
    put(gone, current, unknown)
    never = open_registry(registry.root, {"compile.reg": 0.0625})
    put(gone, never, known)
    gone -= wanted  # of a fit that was never committed, the activations are those of all fits
    store.put("probe", "c" * 64, {"t": torch.ones(3)}, None)
    gone.add(("probe", "c" * 64))
    store.put("replies", "d" * 64, {"t": torch.ones(3)}, None)
    found = find_garbage(registry.registry)
    assert {(o.kind, o.key) for o in found.kept} == wanted
    assert unreached(found) == gone
    assert [(o.kind, o.key) for o in found.other] == [("replies", "d" * 64)]
    assert "replies" not in COMPILED


# -- refusals ------------------------------------------------------------------------------------


def clone(registry: GitRegistry, *options: str) -> GitRegistry:
    folder = registry.top.parent / "clone"
    registry.git("clone", "--quiet", *options, f"file://{registry.top}", str(folder))
    return GitRegistry(folder, folder)


def test_a_shallow_clone_is_refused_until_it_has_everything(registry: GitRegistry) -> None:
    made = clone(registry, "--depth=1")
    before = made.state()
    with pytest.raises(StateError, match="shallow clone") as raised:
        find_garbage(made.registry)
    assert raised.value.exit_code == 5
    assert "git fetch --unshallow" in (raised.value.hint or "")
    assert made.state() == before
    made.git("fetch", "--quiet", "--unshallow")
    assert news(made) == {"English", "German"}


@pytest.mark.parametrize("missing", ["blob:none", "tree:0"])
def test_a_partial_clone_is_refused_until_it_has_everything(
    registry: GitRegistry, missing: str
) -> None:
    registry.git("config", "uploadpack.allowFilter", "true")
    made = clone(registry, f"--filter={missing}")
    before = made.state()
    with pytest.raises(StateError, match=r"partial|not in this clone") as raised:
        find_garbage(made.registry)
    assert raised.value.exit_code == 5
    assert "git fetch --refetch --no-filter" in (raised.value.hint or "")
    assert made.state() == before
    made.git("fetch", "--quiet", "--refetch", "--no-filter")
    assert news(made) == {"English", "German"}


def test_outside_a_repository_the_whole_store_may_go(tmp_path: Path) -> None:
    (tmp_path / "edits").mkdir()
    (tmp_path / "sake.toml").write_text("")
    (tmp_path / "edits" / "darrieux.yaml").write_text(edit_text())
    with pytest.raises(SetupError, match="not in a git repository") as raised:
        find_garbage(open_registry(tmp_path))
    assert raised.value.exit_code == 4
    assert f"rm -r '{tmp_path}/.sake/store'" in (raised.value.hint or "")


def test_what_is_staged_is_reached(make_registry: MakeRegistry) -> None:
    made = make_registry()
    made.write("darrieux")
    made.commit("English")
    made.write("darrieux", new="German")
    made.git("add", "--all")
    made.write("darrieux", new="Dutch")
    assert news(made) == {"English", "German", "Dutch"}

"""Keys: what an edit's build depends on, as a hash that is known before building.

An edit's activations depend on its texts, the model and the way of collecting; its map on the
activations and the fit; its route on the router. Each stage has a key that includes the one
before, so a change costs only the stages behind it. Notes, dates and tags are in no key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sake_registry.digests import digest
from sake_registry.settings import METHOD_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sake_registry.edits.schema import Edit
    from sake_registry.store import Kind


@dataclass(frozen=True)
class EditKeys:
    """The keys of one edit's stages, hexadecimal; `edit` is the key of the whole."""

    activations: str
    maps: str
    edit: str

    @property
    def objects(self) -> tuple[tuple[Kind, str], ...]:
        """The objects of the store that are the edit's build, by kind and key."""
        return ("activations", self.activations), ("maps", self.maps), ("routes", self.edit)


def compiled_text(edit: Edit) -> dict[str, Any]:
    """What of an edit is compiled: its subject, objects, prompts and implications."""
    return {
        "subject": edit.subject,
        "old": edit.old,
        "new": edit.new,
        "prompts": [prompt.text for prompt in edit.prompts],
        "implications": [
            [i.prompt, i.old.text if i.old else None, i.new.text] for i in edit.implications
        ],
    }


def edit_keys(
    edit: Edit,
    *,
    model_hash: str,
    dtype: str,
    extraction: dict[str, Any],
    fit: dict[str, Any],
    routing: dict[str, Any],
) -> EditKeys:
    """The keys of an edit; `extraction`, `fit` and `routing` are plain values of the settings."""
    activations = digest(
        ["activations", METHOD_VERSION, compiled_text(edit), model_hash, dtype, extraction]
    )
    maps = digest(["maps", activations, fit])
    # Unchanged prompts hold their ground against the edit's own in the router, its other names
    # lead to it, its relation's tells which questions are its own, and no name of the new object
    # is guarded against.
    route = [
        routing, edit.scope.model_dump(), [u.prompt for u in edit.unchanged],
        edit.fact.subject.all, edit.fact.relation.text, edit.fact.new.all,
    ]  # fmt: skip
    return EditKeys(activations, maps, digest(["edit", maps, route]))


def bundle_key(keys: Iterable[tuple[str, str]]) -> str:
    """The key of a bundle: over its (edit id, edit key) pairs, in any order."""
    return digest(["bundle", sorted(keys)])


def effect(edit: Edit) -> str:
    """Hash of everything in a file that can change an answer: what goes into the edit's key, and
    when it is in force. Two versions of one effect differ in notes, tests and layout only."""
    life = edit.lifecycle.model_dump(include={"status", "valid_from", "valid_until"}, mode="json")
    unchanged = [u.prompt for u in edit.unchanged]
    named = [edit.fact.subject.all, edit.fact.relation.text, edit.fact.new.all]
    return digest(["effect", compiled_text(edit), edit.scope.model_dump(), unchanged, named, life])

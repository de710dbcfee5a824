"""The bundle that is live: attached to the model, replaced while requests run.

Guarantees:
- Whoever answers holds one bundle from its first token to its last: a bundle that was replaced is
  detached when the last one who holds it is done.
- A bundle is attached, and so proved (identity, probe, a steered step), before anybody is given it.
- Several are on the model for a moment; none does anything but in its own calls.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sake_registry.runtime.bundle import load_bundle
from sake_registry.runtime.huggingface import Edited

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sake_registry.bundle.format import EditInfo, Manifest
    from sake_registry.remote.following import Follower
    from sake_registry.runtime.bundle import Bundle


@dataclass(eq=False)
class Attached:
    """A bundle on the model.

    Attributes:
        edits: what the bundle says of its edits, by id.
        users: how many hold it at this moment.
    """

    edited: Edited
    edits: Mapping[str, EditInfo] = field(init=False)
    users: int = 0

    def __post_init__(self) -> None:
        self.edits = {edit.id: edit for edit in self.manifest.edits}

    @property
    def bundle(self) -> Bundle:
        return self.edited.bundle

    @property
    def key(self) -> str:
        return self.manifest.key

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    def remove(self) -> None:
        self.edited.detach()
        self.edited.bundle.close()


class Live:
    """A model, and the bundle that is on it now.

    Args:
        model: of transformers, loaded.
        tokenizer: its own.
        source: the folder that it was loaded from, which tells what it is.
    """

    def __init__(self, model: Any, tokenizer: Any, source: Path | None = None) -> None:
        self.model, self.tokenizer, self._source = model, tokenizer, source
        self._changing = threading.Lock()
        self._attached: list[Attached] = []  # in the order of their making
        self.follower: Follower[Attached] | None = None
        """What says which bundle is current; None serves the model bare."""

    def take(self, path: Path) -> Attached:
        """Attach a bundle, beside what is there; what a `Follower` calls.

        Raises:
            BundleError: it is damaged, or of another model.
            UnsupportedModelError: the model cannot be steered.
        """
        with self._changing:
            before = self._attached[-1].edited if self._attached else None
        bundle = load_bundle(path)
        try:
            edited = Edited(
                bundle, self.model, self.tokenizer, source=self._source, proved_by=before
            )
        except BaseException:
            bundle.close()
            raise
        attached = Attached(edited)
        # What a router loads when it first decides is not to be the first request's to wait for.
        edited.decide([f"{info.subject[0]} is" for info in bundle.manifest.edits[:1]])
        with self._changing:
            self._attached.append(attached)
        self._sweep()
        return attached

    def hold(self, times: int) -> tuple[Attached | None, frozenset[str]]:
        """The current bundle, which stays on the model until it was let go of so many times; and
        the ids of what is disabled in it."""
        if self.follower is None:
            return None, frozenset()
        with self._changing:
            now = self.follower.now
            now.current.users += times
        return now.current, now.disabled

    def let_go(self, attached: Attached | None) -> None:
        """One who held a bundle is done with it."""
        if attached is None:
            return
        with self._changing:
            attached.users -= 1
        self._sweep()

    @contextmanager
    def held(self) -> Iterator[tuple[Attached | None, frozenset[str]]]:
        """What `hold` gives, for a block."""
        attached, disabled = self.hold(1)
        try:
            yield attached, disabled
        finally:
            self.let_go(attached)

    def close(self) -> None:
        """Stop following, and leave the model as it was."""
        if self.follower is not None:
            self.follower.stop()
        with self._changing:
            attached, self._attached = self._attached, []
        for one in attached:
            one.remove()

    def _sweep(self) -> None:
        """Detach what was replaced and is held by nobody. What was taken last may be about to
        become current."""
        if self.follower is None:
            return
        with self._changing:
            current = self.follower.current
            if current not in self._attached:
                return
            old = self._attached[: self._attached.index(current)]
            done = [one for one in old if not one.users]
            self._attached = [one for one in self._attached if one not in done]
        for one in done:
            one.remove()

"""A loaded bundle: its decisions, and its maps on a device. Every engine starts from it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import torch

from sake_registry.bundle.reader import BundleFile
from sake_registry.errors import BundleFormatError, InputError, ModelMismatchError
from sake_registry.routing.metric import Metric
from sake_registry.routing.router import Router, RouterEntry
from sake_registry.runtime.engines import find_engine
from sake_registry.runtime.steering import ObjectMaps
from sake_registry.settings import THRESHOLDS
from sake_registry.transport import TransportMap
from sake_registry.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from sake_registry.bundle.format import Manifest
    from sake_registry.models.embedder import Embed
    from sake_registry.routing.router import Decision
    from sake_registry.runtime.huggingface import Edited
    from sake_registry.settings import Representation


class Bundle:
    """A bundle, loaded: what it holds, what it decides, and how it is put on a model.

    >>> with load_bundle(path).attach(model, tokenizer) as edited:
    ...     edited.generate("The capital of Australia is", max_new_tokens=5).texts
    """

    def __init__(self, file: BundleFile) -> None:
        self.file = file
        self._maps: dict[tuple[str, str], list[ObjectMaps]] = {}
        self._router: Router | None = None
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        return self.file.path

    @property
    def manifest(self) -> Manifest:
        return self.file.manifest

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of its edits, in order."""
        return tuple(edit.id for edit in self.manifest.edits)

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def route(
        self,
        prompts: str | Sequence[str],
        *,
        disabled: Collection[str] = (),
        now: datetime | None = None,
    ) -> list[Decision]:
        """Which edit each prompt is in scope of; needs the prompt embedder, not the model.

        One string is one prompt. `Edited.generate` decides on the same text.

        Raises:
            InputError: prompts are compared by the model's own states: `Edited.decide` has them.
            ModelNotFoundError: the embedder is not on this machine.
            ModelMismatchError: it is another embedder than the one compiled with.
        """
        return self.router().decide(prompts, disabled, now)

    def router(self) -> Router:
        """The router over this bundle's edits, with its embedder proved; made once."""
        with self._lock:
            if self._router is None:
                self._router = self.router_by(self._embedder())
            return self._router

    def router_by(self, embed: Embed) -> Router:
        """A router over this bundle's edits that has prompts embedded so."""
        return Router(self.entries(), embed, self.metric(), last_names=self.last_names)

    def metric(self) -> Metric:
        """How its router compares questions."""
        info, (projection, background) = self.manifest.metric, self.file.metric
        return Metric(
            kind=info.kind,
            projection=torch.from_numpy(projection.copy()),
            background=torch.from_numpy(background.copy()),
            topics=tuple(topic for topic, run in info.topics for _ in range(run)),
        )

    def entries(self) -> Iterable[RouterEntry]:
        """What the router knows of each edit."""
        for edit in self.manifest.edits:
            points = torch.from_numpy(self.file.points(edit.id).copy())
            yield RouterEntry.of(edit.id, edit, points, edit.valid_from, edit.valid_until)

    def _embedder(self) -> Embed:
        from sake_registry.models.embedder import Embedder, locate_embedder
        from sake_registry.models.fingerprint import embedder_hash

        if self.representation != "embedder":
            raise InputError(
                f"{self.path} compares prompts by the {self.manifest.embedder.name}: without the "
                "model it cannot decide",
                hint="attach it, and ask what is attached: "
                "bundle.attach(model, tokenizer).decide(prompts)",
            )
        # A bundle is untrusted: what it names is looked for here, and not fetched.
        folder = locate_embedder(self.manifest.embedder.name, local=True)
        expected, here = self.manifest.model.identity.embedder, embedder_hash(folder)
        if here != expected:
            raise ModelMismatchError(
                f"{self.path} was compiled with another prompt embedder: "
                f"'{self.manifest.embedder.name}' {expected[:12]}, here {here[:12]} in {folder}",
                hint="install the one that it was compiled with, or compile again",
            )
        return Embedder(folder).embed

    def maps(self, edit: str, device: torch.device) -> list[ObjectMaps]:
        """The maps of an edit, by group, on a device; verified when first read.

        Raises:
            BundleFormatError: the payload is not what its digest says.
        """
        key = (edit, str(device))
        if key not in self._maps:
            self._maps[key] = [
                ObjectMaps(
                    group.tokens,
                    {
                        step.position: TransportMap(
                            **{name: torch.from_numpy(a.copy()) for name, a in factors.items()},
                            residual=step.residual,
                            complement=step.complement,
                        ).to(torch.float32, device)
                        for step, factors in zip(group.steps, steps, strict=True)
                    },
                )
                for group, steps in zip(
                    self.file.info(edit).groups, self.file.maps(edit), strict=True
                )
            ]
        return self._maps[key]

    @property
    def guards(self) -> bool:
        """Whether it was compiled with the guard against the old object (`answer.guard`)."""
        return bool(self.manifest.setting("answer", "guard", False))

    @property
    def last_names(self) -> bool:
        """Whether its router knows subjects by other forms of their names (`router.last_names`)."""
        return bool(self.manifest.setting("router", "last_names", True))

    @property
    def representation(self) -> Representation:
        """What its router compares prompts by (`router.representation`).

        Raises:
            BundleFormatError: something that this version does not know.
        """
        stated = self.manifest.setting("router", "representation", "embedder")
        for known in THRESHOLDS:
            if stated == known:
                return known
        raise BundleFormatError(
            f"{self.path}: its router compares prompts by {shorten(repr(stated))}, which this "
            "version does not know",
            hint="compile again, or use the version that it was made with",
        )

    def known(self, ids: Iterable[str]) -> set[str]:
        """These ids, if all are in the bundle.

        Raises:
            InputError: one that is not.
        """
        chosen = set(ids)
        for id_ in sorted(chosen):
            self.file.info(id_)  # raises for one that is not
        return chosen

    def attach(
        self, model: Any, tokenizer: Any, *, engine: str = "huggingface", **options: Any
    ) -> Edited:
        """Put the bundle on a live model; see `runtime.huggingface.Edited`.

        Args:
            engine: what runs the model: an entry point of the group `sake_registry.engines`.
            options: what the engine takes.

        Raises:
            ModelMismatchError: it is another model than the one compiled for.
            SetupError: no such engine is installed.
            UnsupportedModelError: the model cannot be steered.
        """
        edited: Edited = find_engine(engine)(self, model, tokenizer, **options)
        return edited


def load_bundle(path: Path | str) -> Bundle:
    """Open a bundle; its index is verified now, an edit's payload when it is first used.

    Raises:
        InputError: no such file.
        BundleFormatError: not a bundle, damaged, or made to harm.
    """
    return Bundle(BundleFile(path))

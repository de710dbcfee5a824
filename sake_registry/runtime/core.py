"""What every engine shares: a loaded bundle, its decisions, and its maps on rows."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import torch

from sake_registry.bundle.reader import BundleFile
from sake_registry.errors import BundleFormatError, InputError, ModelMismatchError
from sake_registry.routing.metric import Metric
from sake_registry.routing.router import Router, RouterEntry
from sake_registry.runtime.answering import ObjectMaps
from sake_registry.settings import THRESHOLDS
from sake_registry.transport import TransportMap
from sake_registry.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from torch import Tensor

    from sake_registry.bundle.format import Manifest
    from sake_registry.models.embedder import Embed
    from sake_registry.routing.router import Decision
    from sake_registry.runtime.huggingface import Edited
    from sake_registry.settings import Representation

# Largest relative distance at which a probe text's activation counts as reproduced. The same
# model in another batch, on another machine or engine differs by 1e-6 to 1e-4 in float32; in
# bfloat16 the least change of anything moves it by 1 to 4 % (measured), so that there the probe
# sees a merged adapter or another quantisation, but not every single weight.
TOLERANCE = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2}


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
        prompts: Sequence[str],
        *,
        disabled: Collection[str] = (),
        now: datetime | None = None,
    ) -> list[Decision]:
        """Which edit each prompt is in scope of; needs the prompt embedder, not the model.

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
        expected, found = self.manifest.model.identity.embedder, embedder_hash(folder)
        if found != expected:
            raise ModelMismatchError(
                f"{self.path} was compiled with another prompt embedder: "
                f"'{self.manifest.embedder.name}' {expected[:12]}, here {found[:12]} in {folder}",
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
                    info.tokens,
                    {
                        step.position: TransportMap(
                            **{name: torch.from_numpy(a.copy()) for name, a in factors.items()},
                            residual=step.residual,
                            complement=step.complement,
                        ).to(torch.float32, device)
                        for step, factors in zip(info.steps, of_group, strict=True)
                    },
                )
                for info, of_group in zip(
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
        found = self.manifest.setting("router", "representation", "embedder")
        for known in THRESHOLDS:
            if found == known:
                return known
        raise BundleFormatError(
            f"{self.path}: its router compares prompts by {shorten(repr(found))}, which this "
            "version does not know",
            hint="compile again, or use the version that it was made with",
        )

    def known(self, ids: Iterable[str]) -> set[str]:
        """These ids, if all are in the bundle.

        Raises:
            InputError: one that is not.
        """
        found = set(ids)
        for id_ in sorted(found):
            self.file.info(id_)  # raises for one that is not
        return found

    def attach(self, model: Any, tokenizer: Any, **options: Any) -> Edited:
        """Put the bundle on a live Hugging Face model; see `runtime.huggingface.Edited`.

        Raises:
            ModelMismatchError: it is another model than the one compiled for.
            UnsupportedModelError: the model cannot be steered.
        """
        from sake_registry.runtime.huggingface import Edited

        return Edited(self, model, tokenizer, **options)


def load_bundle(path: Path | str) -> Bundle:
    """Open a bundle; its index is verified now, an edit's payload when it is first used.

    Raises:
        InputError: no such file.
        BundleFormatError: not a bundle, damaged, or made to harm.
    """
    return Bundle(BundleFile(path))


def check_probe(bundle: Bundle, found: Tensor, dtype: str) -> None:
    """Compare a live model's probe activations (8, width) with the bundle's.

    Raises:
        ModelMismatchError: a text that is further off than the dtypes explain.
    """
    model = bundle.manifest.model
    expected = torch.from_numpy(bundle.file.probe.copy())
    if found.shape != expected.shape:
        raise ModelMismatchError(
            f"{bundle.path} is for {model.name} with {expected.shape[1]} dimensions; "
            f"this model has {found.shape[1]}",
            hint="compile for this model",
        )
    off = (found - expected).norm(dim=1) / expected.norm(dim=1)
    allowed = max(TOLERANCE[model.dtype], TOLERANCE.get(dtype, max(TOLERANCE.values())))
    worst = int(off.nan_to_num(nan=float("inf")).argmax())
    if not float(off[worst]) <= allowed:
        raise ModelMismatchError(
            f"the model does not compute what {model.name} ({model.hash[:12]}) computed when "
            f"{bundle.path.name} was compiled: its activation for "
            f"'{bundle.manifest.probe_texts[worst]}' is {float(off[worst]):.2%} off, "
            f"{allowed:.1%} is allowed",
            hint="its weights differ in memory (a merged adapter, a quantisation, a resized "
            "embedding): load it as it was, or compile for it as it is",
        )

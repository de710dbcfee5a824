"""A loaded bundle, its decisions and its maps on a device; and what every engine makes of it, a
model with the bundle attached."""

from __future__ import annotations

import gc
import threading
from abc import ABC, abstractmethod
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import torch

from sake_registry.bundle.reader import BundleFile
from sake_registry.errors import BundleFormatError, InputError, ModelMismatchError
from sake_registry.models.tokens import continued
from sake_registry.routing.metric import Metric
from sake_registry.routing.router import Router, RouterEntry
from sake_registry.runtime.engines import find_engine
from sake_registry.runtime.steering import ObjectMaps, Steering, beginnings
from sake_registry.settings import THRESHOLDS, learned_shift
from sake_registry.transport import TransportMap
from sake_registry.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

    from sake_registry.bundle.format import Manifest
    from sake_registry.models.embedder import Embed
    from sake_registry.routing.router import Decision
    from sake_registry.runtime.generation import Generation
    from sake_registry.runtime.steering import Head
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

        One string is one prompt. `EditedModel.generate` decides on the same text.

        Raises:
            InputError: prompts are compared by the model's own states: `Edited.decide` has them.
            ModelNotFoundError: the embedder is not on this machine.
            ModelMismatchError: it is another embedder than the one compiled with.
        """
        return self.router().decide(prompts, disabled, now)

    def router(self) -> Router:
        """The router over this bundle's edits, with its embedder proved; made once."""
        with self._lock, _collector_paused():  # the encoder's table of words, too
            if self._router is None:
                self._router = self.router_by(self._embedder())
            return self._router

    def router_by(self, embed: Embed) -> Router:
        """A router over this bundle's edits that has prompts embedded so."""
        return self.router_over(self.entries(), embed)

    def router_over(self, entries: Iterable[RouterEntry], embed: Embed) -> Router:
        """A router over entries that decides as this bundle's own does.

        Raises:
            BundleFormatError: what its detector has learned is no such thing.
        """
        with _collector_paused():
            return Router(
                entries, embed, self.metric(),
                last_names=self.last_names, tasks=self.tasks, learned=self.learned,
            )  # fmt: skip

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
            points = torch.from_numpy(self.file.points(edit.id))
            yield RouterEntry.of(edit.id, edit, points, edit.valid_from, edit.valid_until)

    def _embedder(self) -> Embed:
        from sake_registry.models.embedder import locate_embedder, open_embedder
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
        return open_embedder(folder).embed

    def maps(self, edit: str, device: torch.device) -> list[ObjectMaps]:
        """The maps of an edit, by group, on a device; verified when first read.

        Raises:
            BundleFormatError: the payload is not what its digest says.
        """
        key = (edit, str(device))
        if key not in self._maps:
            with torch.inference_mode(False):  # they are kept: a later call may be in another mode
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

    def steering(
        self,
        tokenizer: Any,
        head: Head,
        device: torch.device,
        *,
        guard: bool | None = None,
        exact: bool | None = None,
    ) -> Steering:
        """How its edits steer answers on an output embedding.

        Args:
            guard: as compiled if None; see `runtime.huggingface.Edited`.
            exact: the same.
        """
        guards = self.guards if guard is None else guard

        @cache
        def guarded(edit: str, group: int) -> frozenset[int]:
            if not guards:
                return frozenset()
            info = self.file.info(edit)
            of_group = info.groups[group]
            names = (*info.subject, *info.new, of_group.new)
            return beginnings(tokenizer, of_group.old, names) - frozenset(of_group.tokens)

        return Steering(
            lambda edit, group: self.maps(edit, device)[group],
            guarded,
            lambda said, after: continued(tokenizer, said, after),
            head,
            exact=self.exact if exact is None else exact,
        )

    @property
    def guards(self) -> bool:
        """Whether it was compiled with the guard against the old object (`answer.guard`)."""
        return bool(self.manifest.setting("answer", "guard", False))

    @property
    def exact(self) -> bool:
        """Whether it was compiled with objects made exact (`answer.exact`)."""
        return bool(self.manifest.setting("answer", "exact", False))

    @property
    def last_names(self) -> bool:
        """Whether its router knows subjects by other forms of their names (`router.last_names`)."""
        return bool(self.manifest.setting("router", "last_names", True))

    @property
    def tasks(self) -> bool:
        """Whether its router has tasks that hold an edit's wording answered (`router.tasks`)."""
        return bool(self.manifest.setting("router", "tasks", "leave") == "answer")

    @property
    def learned(self) -> str:
        """What its detector has learned of its registry (`router.learned`).

        Raises:
            BundleFormatError: it is no such thing.
        """
        text: str = self.manifest.setting("router", "learned", "")
        try:
            learned_shift(text)
        except ValueError as error:
            raise BundleFormatError(
                f"{self.path}: what its detector has learned cannot be read: {error}",
                hint="compile again",
            ) from error
        return text

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
    ) -> EditedModel:
        """Put the bundle on a live model; see `runtime.huggingface.Edited` for Hugging Face's.

        Args:
            engine: what runs the model: an entry point of the group `sake_registry.engines`.
            options: what the engine takes.

        Raises:
            ModelMismatchError: it is another model than the one compiled for.
            SetupError: no such engine is installed.
            UnsupportedModelError: the model cannot be steered.
        """
        edited: EditedModel = find_engine(engine)(self, model, tokenizer, **options)
        return edited


def utc_now() -> datetime:
    """The present moment, by which the edits that are valid for a time are judged."""
    return datetime.now(UTC)


class EditedModel(ABC):
    """A model with a bundle attached, whatever the engine; a context manager that detaches."""

    _router: Router

    def __init__(
        self, bundle: Bundle, model: Any, tokenizer: Any, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.bundle, self.model, self.tokenizer = bundle, model, tokenizer
        self._clock = clock
        self._disabled: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    @abstractmethod
    def detach(self) -> None:
        """Leave the model as it was before. May be called twice."""

    @abstractmethod
    def generate(
        self, inputs: Any = None, *, decisions: Sequence[Decision] | None = None, **options: Any
    ) -> Generation:
        """Continue prompts with the edits that are in scope, by the router's decisions or those
        given, one for each row."""

    @abstractmethod
    def __call__(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        decisions: Sequence[Decision] | None = None,
        **options: Any,
    ) -> tuple[Any, list[Decision]]:
        """One forward pass with the edits that are in scope: the output, and the decisions."""

    @property
    def enabled(self) -> tuple[str, ...]:
        """The ids of the edits that may fire."""
        return tuple(id_ for id_ in self.bundle.ids if id_ not in self._disabled)

    def enable(self, *ids: str) -> None:
        """Let edits fire again; all of them if none are named.

        Raises:
            InputError: an id that is not in the bundle.
        """
        self._disabled -= self._chosen(ids)

    def disable(self, *ids: str) -> None:
        """Keep edits from firing; all of them if none are named.

        Raises:
            InputError: an id that is not in the bundle.
        """
        self._disabled |= self._chosen(ids)

    def _chosen(self, ids: Sequence[str]) -> set[str]:
        return self.bundle.known(ids) if ids else set(self.bundle.ids)

    def decide(
        self, prompts: str | Sequence[str], *, disabled: Collection[str] | None = None
    ) -> list[Decision]:
        """What would be decided for prompts now; one string is one prompt. The model is run, bare,
        only where its own states are what is compared.

        Args:
            disabled: the edits that do not fire, in place of those that this handle disables.
        """
        off = self._disabled if disabled is None else disabled
        return self._router.decide(prompts, off, self._clock())

    def candidates(self, prompt: str) -> frozenset[str]:
        """The edits that a prompt may be given to, by what it names; no model is run."""
        return self._router.candidates(prompt)


def load_bundle(path: Path | str) -> Bundle:
    """Open a bundle; its index is verified now, an edit's payload when it is first used.

    Raises:
        InputError: no such file.
        BundleFormatError: not a bundle, damaged, or made to harm.
    """
    with _collector_paused():
        return Bundle(BundleFile(path))


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Python's collector of cycles waits: of many edits a million objects are made, none of them
    garbage, and it would look through all of them again and again. Nor does it look through them
    when it goes on: they are counted among what has been there for long."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            if not gc.get_freeze_count():  # somebody else's would be thawed
                gc.freeze()
                gc.unfreeze()
            gc.enable()

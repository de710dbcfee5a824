"""What models say of generated texts. Imports torch; imported when asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from sake_registry.authoring.filtering import Asking
from sake_registry.compiler.context import metric_of
from sake_registry.edits.schema import Implication, Prompt
from sake_registry.extraction.contexts import choose
from sake_registry.extraction.extract import collect
from sake_registry.extraction.texts import groups
from sake_registry.models.embedder import locate_embedder, open_embedder, remembering
from sake_registry.models.fingerprint import embedder_hash
from sake_registry.models.loading import load, locate
from sake_registry.models.reading import proved_site
from sake_registry.models.sources import cache_folder
from sake_registry.routing.entries import anchored_texts, representative
from sake_registry.routing.router import Router, RouterEntry
from sake_registry.settings import MULTILINGUAL, RouterSettings
from sake_registry.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sake_registry.authoring.filtering import Kind, Text
    from sake_registry.edits.schema import Edit
    from sake_registry.routing.metric import Metric
    from sake_registry.settings import Settings


class Reader:
    """Texts as the detector and its encoder read them.

    Raises:
        ModelNotFoundError: the encoder is not on this machine.
    """

    def __init__(self, settings: RouterSettings) -> None:
        self._settings = settings
        self._folder = locate_embedder(MULTILINGUAL, local=True)
        self._embed = remembering(open_embedder(self._folder).embed)

    def near(self, text: str, others: Sequence[str]) -> float:
        """The largest cosine of a text with others."""
        return float((self._embed([text]) @ self._embed(list(others)).T).max())

    def asks(self, edit: Edit, text: str) -> Asking:
        """Whether a text asks for an edit's fact, as its prompts alone say."""
        relation, number = edit.fact.relation.text, len(edit.prompts)
        read = (edit.scope.router or self._settings.kind) == "detector"
        bound = edit.scope.threshold if read else None
        # Where the registry's router is another one, as the detector would decide by itself.
        bound = bound or self._settings.bound_of("detector", number)
        bound = bound or RouterSettings().bound_of("detector", number)
        stems = [prompt.text for prompt in edit.prompts]
        routes, texts = anchored_texts(edit.fact.subject.all, [stems], (), relation, read=True)
        routes, points = representative(routes, self._embed(texts))
        assert bound is not None  # the detector has a default
        entry = RouterEntry(edit.id, "detector", bound, routes, points, asks=relation)
        learned = self._settings.learned if self._settings.kind == "detector" else ""
        last_names = self._settings.last_names
        # The detector alone, since near misses lie near, and the router with its distances.
        alone, decision = (
            Router(
                [entry], self._embed, metric, last_names=last_names, learned=learned
            ).decide(edit.fill(text))[0]
            for metric in (None, self._metric)
        )  # fmt: skip
        asking = 0.0 if alone.distance is None else 1 - alone.distance
        return Asking(asking, decision.edit is not None)

    @cached_property
    def _metric(self) -> Metric:
        """Of the user's cache, or learnt now: it depends on no registry."""
        store = Store(cache_folder() / "metrics")
        return metric_of("contrast", embedder_hash(self._folder), self._embed, store)


class Trial:
    """The test of pairs that a compile makes, on the model of some settings; a context manager that
    lets go of the model's hook at its end. It says which texts would be compiled; of others, as
    holdout prompts are, it says yes: chosen by the model they would flatter it.

    Raises:
        ModelNotFoundError, UnsupportedModelError: as loading it does.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._contexts = settings, choose(settings)
        self._loaded = load(locate(settings), trust_remote_code=settings.trust_remote_code)
        self._site = proved_site(self._loaded.model, self._loaded.tokenizer)

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, *exception: object) -> None:
        self._site.remove()

    def works(self, edit: Edit, kind: Kind, texts: Sequence[Text]) -> list[bool]:
        """Of each text whether the unedited model, in a target context, says its object next."""
        if kind == "prompts":
            tried = edit.model_copy(update={"prompts": (edit.prompts[0], *texts)})
            parts = groups(tried, 0)[:1]
        elif kind == "implications":
            tried = edit.model_copy(update={"implications": tuple(texts)})
            parts = groups(tried, 0)[1:]
        else:
            return [True] * len(texts)
        read = collect(
            parts, self._loaded, self._site, self._contexts, self._settings.compile.batch_size,
            whole=False,
        )  # fmt: skip
        works = {
            (part.new, prompt): bool(does)
            for part, activations in zip(parts, read, strict=True)
            for prompt, does in zip(part.prompts, activations.worked[:, 0], strict=True)
        }
        return [works[_asked(edit, text)] for text in texts]


def _asked(edit: Edit, text: Text) -> tuple[str, str]:
    """The answer that a text is to have, and the text as the model reads it."""
    if isinstance(text, Implication):
        return text.new.text, edit.fill(text.prompt)
    assert isinstance(text, Prompt)
    return edit.new, edit.fill(text.text)

"""What the models of a registry say of generated texts. Imports torch; imported when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sake_registry.edits.schema import Implication, Prompt
from sake_registry.extraction.contexts import choose
from sake_registry.extraction.extract import collect
from sake_registry.extraction.texts import groups
from sake_registry.models.embedder import locate_embedder, open_embedder, remembering
from sake_registry.models.loading import load, locate
from sake_registry.models.reading import proved_site
from sake_registry.settings import MULTILINGUAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sake_registry.authoring.filtering import Kind, Near, Text
    from sake_registry.edits.schema import Edit
    from sake_registry.settings import Settings


def nearness() -> Near:
    """The largest cosine of a text with others, by the encoder that the detector reads with.

    Raises:
        ModelNotFoundError: it is not on this machine.
    """
    embed = remembering(open_embedder(locate_embedder(MULTILINGUAL, local=True)).embed)

    def near(text: str, others: Sequence[str]) -> float:
        return float((embed([text]) @ embed(list(others)).T).max())

    return near


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

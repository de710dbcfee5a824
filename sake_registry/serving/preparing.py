"""From a request's body to the rows that are to be answered: parsed, tokenised, held to the limits.

All of it takes time that grows with the body, so none of it is done on the event loop.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sake_registry.errors import InputError
from sake_registry.models.chats import chat_ids
from sake_registry.models.tokens import text_of
from sake_registry.serving.asked import Asked, Prompt
from sake_registry.serving.protocol import (
    MAX_ROWS,
    ApiError,
    ChatRequest,
    CompletionRequest,
    parse,
)
from sake_registry.wording import count, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sake_registry.serving.asked import Event

DEFAULT_TOKENS = 16
"""Of a completion that does not say how many; OpenAI's default."""
CONTEXT = 8192
"""Positions of a model that does not say how many it has."""


@dataclass(frozen=True)
class Limits:
    """What a request may ask for.

    Attributes:
        body: most bytes of its body.
        prompt: most tokens of a prompt.
        tokens: most tokens of an answer, and of a chat's that does not say how many.
        context: most tokens of both.
        seconds: until its answer must have ended, waiting included.
    """

    body: int = 1 << 20
    prompt: int = CONTEXT
    tokens: int = 1024
    context: int = CONTEXT
    seconds: float = 120.0


@dataclass(frozen=True)
class Prepared:
    """A request that may be answered."""

    asked: Asked
    stream: bool
    usage_in_stream: bool
    detail: bool
    prompt_tokens: int


class Preparing:
    """Prepares requests for one model.

    Args:
        name: what clients call the model.
    """

    def __init__(self, tokenizer: Any, name: str, limits: Limits) -> None:
        self._tokenizer, self._name, self._limits = tokenizer, name, limits

    def completion(
        self, body: bytes, request_id: str, tell: Callable[[Event], None], known: Collection[str]
    ) -> Prepared:
        """A request of `/v1/completions`; errors as of `chat`."""
        given = parse(CompletionRequest, body)
        prompts = [self._prompt(self._ids(text)) for text in given.prompts]
        return self._prepared(
            given, prompts, given.max_tokens or DEFAULT_TOKENS, request_id, tell, known
        )

    def chat(
        self, body: bytes, request_id: str, tell: Callable[[Event], None], known: Collection[str]
    ) -> Prepared:
        """A request of `/v1/chat/completions`.

        Args:
            known: the ids of the edits that are loaded.

        Raises:
            ApiError: what is wrong with it.
        """
        given = parse(ChatRequest, body)
        prompt = self._prompt(self._rendered(given))
        room = max(1, min(self._limits.tokens, self._limits.context - len(prompt.ids)))
        tokens = given.max_completion_tokens or given.max_tokens or room
        return self._prepared(given, [prompt], tokens, request_id, tell, known)

    def _prepared(
        self,
        given: CompletionRequest | ChatRequest,
        prompts: list[Prompt],
        tokens: int,
        request_id: str,
        tell: Callable[[Event], None],
        known: Collection[str],
    ) -> Prepared:
        limits = self._limits
        if given.model != self._name:
            raise ApiError(
                404, f"no model '{given.model}' here; it is '{self._name}'", param="model",
                code="model_not_found",
            )  # fmt: skip
        if tokens > limits.tokens:
            raise ApiError(
                400, f"'max_tokens' is {tokens}, and at most {limits.tokens} may be asked for",
                param="max_tokens", code="invalid_value",
            )  # fmt: skip
        longest = max(len(prompt.ids) for prompt in prompts)
        if longest + tokens > limits.context:
            raise _too_long(
                f"{count(longest, 'token')} of prompt and {tokens} of answer are more than the "
                f"model's {limits.context}"
            )
        samplings = given.samplings()
        if len(prompts) * len(samplings) > MAX_ROWS:
            raise ApiError(
                400, f"{len(prompts)} prompts with n = {len(samplings)}: a request has at most "
                f"{MAX_ROWS} answers", param="n", code="invalid_value",
            )  # fmt: skip
        only = given.options.only
        for id_ in sorted((only or frozenset()) - {*known}):
            raise ApiError(
                400, f"no edit '{id_}' is loaded; {did_you_mean(id_, known)}"[:300],
                param="sake.edits", code="unknown_edit",
            )  # fmt: skip
        asked = Asked(
            id=request_id,
            prompts=tuple(prompt for prompt in prompts for _ in samplings),
            sampling=tuple(sampling for _ in prompts for sampling in samplings),
            tokens=tokens,
            stops=given.stops,
            only=only,
            tell=tell,
            until=time.monotonic() + limits.seconds,
        )
        return Prepared(
            asked,
            stream=bool(given.stream),
            usage_in_stream=bool(given.stream_options and given.stream_options.include_usage),
            detail=given.options.detail,
            prompt_tokens=sum(len(prompt.ids) for prompt in prompts),
        )

    def _prompt(self, ids: list[int]) -> Prompt:
        if not ids:
            raise ApiError(400, "the prompt is empty: there is nothing to continue")
        if len(ids) > self._limits.prompt:
            raise _too_long(
                f"the prompt has {count(len(ids), 'token')}, and at most {self._limits.prompt} "
                "are taken"
            )
        return Prompt(tuple(ids), text_of(self._tokenizer, ids))

    def _ids(self, text: str) -> list[int]:
        _require_text(text)
        return list(self._tokenizer(text, verbose=False).input_ids)

    def _rendered(self, given: ChatRequest) -> list[int]:
        """The ids of a chat as the model's own template writes it."""
        if not self._tokenizer.chat_template:
            raise ApiError(
                400, "this model has no chat template: ask it at /v1/completions",
                code="no_chat_template",
            )  # fmt: skip
        messages = [message.for_template for message in given.messages]
        for message in messages:
            _require_text(message["content"])
        try:
            return chat_ids(self._tokenizer, messages)
        except InputError as error:
            raise ApiError(400, error.message, param="messages") from error


def _too_long(message: str) -> ApiError:
    return ApiError(400, message, code="context_length_exceeded")


def _require_text(text: str) -> None:
    """JSON can spell halves of characters that are no text."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ApiError(400, f"the prompt is not text: {error.reason}") from error

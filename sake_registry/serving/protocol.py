"""What OpenAI's clients say and hear: requests, answers, streamed pieces, errors.

Fields that change nothing here are accepted and passed over; those that would change the answer and
are not supported are refused, each by its name.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sake_registry.routing.reasons import decision_words
from sake_registry.serving.decisions import finite
from sake_registry.serving.sampling import Sampling
from sake_registry.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request

    from sake_registry.bundle.format import EditInfo, Manifest
    from sake_registry.serving.asked import Decided, Finish

MAX_STOPS = 4
MAX_ROWS = 16
"""Of one request: its prompts, times `n`."""
MAX_SEED = 1 << 63
_SOMEWHAT = 16
"""A body of so many times the limit is read, and thrown away."""
_UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "audio": (None,),
    "best_of": (None, 1),
    "echo": (None, False),
    "frequency_penalty": (None, 0),
    "function_call": (None, "none"),
    "functions": (None, []),
    "logit_bias": (None, {}),
    "logprobs": (None, False),
    "modalities": (None, ["text"]),
    "prediction": (None,),
    "presence_penalty": (None, 0),
    "reasoning_effort": (None, "none"),
    "response_format": (None, {"type": "text"}),
    "suffix": (None, ""),
    "tool_choice": (None, "none", "auto"),
    "tools": (None, []),
    "top_logprobs": (None, 0),
    "web_search_options": (None,),
}
"""Fields that would change an answer, with the values that ask for nothing."""


class ApiError(Exception):
    """An error as a client is to see it.

    Args:
        status: of HTTP.
        param: the field of the request that is wrong.
        code: what a program goes by.
        retry_after: seconds after which it may go better.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after
        self.param, self.code = param, code

    def body(self, request_id: str) -> dict[str, Any]:
        """In OpenAI's shape."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {
            "error": {
                "message": self.message,
                "type": kind,
                "param": self.param,
                "code": self.code,
                "request_id": request_id,
            }
        }


class _Given(BaseModel):
    """Part of a request. What is not known is passed over."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, strict=True)


class SakeOptions(_Given):
    """The field `sake` of a request.

    Attributes:
        edits: `none` asks for the bare model, a list of ids for these edits alone.
        detail: say more of the edit that fired, or came nearest.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    edits: Literal["all", "none"] | list[str] = "all"
    detail: bool = False

    @property
    def only(self) -> frozenset[str] | None:
        """The edits that may fire; None for all of them."""
        if self.edits == "all":
            return None
        return frozenset() if self.edits == "none" else frozenset(self.edits)


class StreamOptions(_Given):
    include_usage: bool = False


class _Request(_Given):
    model: str
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-MAX_SEED, lt=MAX_SEED)] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_ROWS)] | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    sake: SakeOptions | None = None

    @model_validator(mode="before")
    @classmethod
    def _only_what_is_supported(cls, given: Any) -> Any:
        for name, harmless in _UNSUPPORTED.items() if isinstance(given, dict) else ():
            if name in given and given[name] not in harmless:
                raise ApiError(
                    400, f"'{name}' is not supported by this server: leave it out", param=name,
                    code="unsupported_parameter",
                )  # fmt: skip
        return given

    @property
    def stops(self) -> tuple[str, ...]:
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if len(given) > MAX_STOPS or not all(given):
            raise ApiError(
                400, f"'stop' takes up to {MAX_STOPS} strings, none of them empty", param="stop"
            )
        return tuple(given)

    def samplings(self) -> list[Sampling]:
        """How each of the `n` answers to a prompt is sampled; OpenAI's defaults."""
        how = 1.0 if self.temperature is None else self.temperature
        top_p = 1.0 if self.top_p is None else self.top_p
        seeds = [None if self.seed is None else (self.seed + i) % MAX_SEED
                 for i in range(self.n or 1)]  # fmt: skip
        return [Sampling(how, top_p, seed) for seed in seeds]

    @property
    def options(self) -> SakeOptions:
        return self.sake or SakeOptions()


class CompletionRequest(_Request):
    """A request of `/v1/completions`."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=MAX_ROWS)]

    @property
    def prompts(self) -> list[str]:
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


class TextPart(_Given):
    type: Literal["text"]
    text: str


class Message(_Given):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    @property
    def for_template(self) -> dict[str, str]:
        """As chat templates know it."""
        parts = self.content
        text = parts if isinstance(parts, str) else "".join(part.text for part in parts)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class ChatRequest(_Request):
    """A request of `/v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None


async def read_body(request: Request, limit: int) -> bytes:
    """A request's body, of `limit` bytes at most.

    Raises:
        ApiError: 413 for one that is too large, as soon as it is; one that says that it is only
            somewhat too large is read to its end first, and thrown away, or its client would be
            cut off while it sends and not hear why.
    """
    parts, size = [], 0
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and len(stated) < 20:
        size = int(stated)
    if size <= limit:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > limit:
                break
            parts.append(part)
    elif size <= limit * _SOMEWHAT:
        async for _ in request.stream():
            pass
    if size > limit:
        raise ApiError(413, f"the body is larger than {limit} bytes", code="body_too_large")
    return b"".join(parts)


AnyRequest = TypeVar("AnyRequest", bound=BaseModel)


def parse(kind: type[AnyRequest], body: bytes) -> AnyRequest:
    """A request's body.

    Raises:
        ApiError: 400, and what is wrong where.
    """
    given = _json(body)
    if not isinstance(given, dict):
        raise ApiError(400, "the body is not a JSON object", code="invalid_json")
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        # Of a field that may be of several kinds, the first complaint names the field.
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"] if not _is_kind(part)) or None
        said = f"'{name}': {first['msg']}" if name else first["msg"]
        raise ApiError(400, shorten(said, 300), param=name, code="invalid_value") from error


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, nested too deep
        raise ApiError(400, f"the body is not JSON: {error}", code="invalid_json") from error


def _is_kind(part: object) -> bool:
    """Whether a part of pydantic's path names a kind of value, and not a field."""
    return isinstance(part, str) and (part in ("str", "int", "float", "bool") or "[" in part)


# -- answers ---------------------------------------------------------------------------------------


def sake_object(decided: Decided, *, detail: bool = False) -> dict[str, Any]:
    """What an answer says of the edit that fired, or of why none did.

    `version` is the beginning of the edit's key, `commit` that of the registry it was compiled
    from, `reviewer` names who reviewed it; None where the bundle does not say.
    """
    decision, attached = decided.decision, decided.attached
    fired = decided.fired
    said: dict[str, Any] = {
        "edit": fired,
        "mode": decided.mode,
        "decision": decision_words(
            decision.edit, finite(decision.distance), decision.threshold, decided.why
        ),
        "reason": decided.why,
        "nearest": decision.nearest,
        "distance": finite(decision.distance),
        "threshold": finite(decision.threshold),
        "narrow": decision.narrow,
        "bundle": decided.key,
    }
    info = attached.edits.get(decision.edit or decision.nearest or "") if attached else None
    if attached and fired and info:
        said |= {
            "version": info.key[:12],
            "commit": attached.manifest.provenance.get("commit"),
            "reviewer": reviewer(attached.manifest, fired),
        }
    if detail and info:
        said["claim"] = claim(info)
    if detail:
        took = decided.seconds
        said["decision_ms"] = None if took is None else round(1000 * took, 2)
        if decided.mode == "shadow":
            said["would_fire"] = decision.edit
    return said


def reviewer(manifest: Manifest, edit: str) -> str | None:
    """Who reviewed an edit, in a text; None where no commit says it."""
    return ", ".join(manifest.reviewers(edit)) or None


def claim(info: EditInfo) -> dict[str, Any]:
    """What an edit claims, and when it is in force."""
    return {
        "id": info.id,
        "subject": info.subject[0],
        "relation": info.relation,
        "old": info.old,
        "new": info.new[0],
        "valid_from": info.valid_from and info.valid_from.isoformat(),
        "valid_until": info.valid_until and info.valid_until.isoformat(),
    }


def headers(decided: Sequence[Decided]) -> dict[str, str]:
    """What the head of an answer says: which edits fired, of which bundle."""
    fired = dict.fromkeys(one.fired for one in decided if one.fired)
    keys = [one.key for one in decided if one.key]
    return {
        "X-Sake-Edit": ", ".join(fired) or "none",
        "X-Sake-Bundle": keys[0] if keys else "none",
    }


def usage(prompt: int, completion: int) -> dict[str, int]:
    """Tokens of prompts and of answers."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


class Shape:
    """The shape of one route's answers: whole, or in pieces.

    Args:
        chat: of `/v1/chat/completions`, else of `/v1/completions`.
    """

    def __init__(self, request_id: str, model: str, *, chat: bool) -> None:
        self._chat, self._prefix = chat, "chatcmpl" if chat else "cmpl"
        self._head = {
            "id": f"{self._prefix}-{request_id}",
            "created": int(time.time()),
            "model": model,
        }

    def whole(
        self,
        texts: Sequence[str],
        finishes: Sequence[Finish],
        sake: Sequence[Mapping[str, Any]],
        used: Mapping[str, int],
    ) -> dict[str, Any]:
        """An answer that was waited for."""
        choices = []
        for index, (text, finish, said) in enumerate(zip(texts, finishes, sake, strict=True)):
            content: dict[str, Any] = {"text": text}
            if self._chat:
                content = {"message": {"role": "assistant", "content": text, "refusal": None}}
            choices.append(
                {
                    "index": index,
                    **content,
                    "logprobs": None,
                    "finish_reason": finish,
                    "sake": said,
                }
            )
        kind = "chat.completion" if self._chat else "text_completion"
        return {**self._head, "object": kind, "choices": choices, "usage": used, "sake": sake[0]}

    def first(self, index: int, said: Mapping[str, Any]) -> dict[str, Any]:
        """What comes before an answer's text: who speaks, and what was decided."""
        return self._piece(index, "", None, role=True) | {"sake": said}

    def piece(self, index: int, text: str) -> dict[str, Any]:
        """More of an answer's text."""
        return self._piece(index, text, None)

    def last(self, index: int, finish: Finish) -> dict[str, Any]:
        """That an answer has ended, and why."""
        return self._piece(index, "", finish)

    def used(self, used: Mapping[str, int]) -> dict[str, Any]:
        """What all of it took."""
        return {**self._head, "object": self._kind, "choices": [], "usage": used}

    @property
    def _kind(self) -> str:
        return "chat.completion.chunk" if self._chat else "text_completion"

    def _piece(
        self, index: int, text: str, finish: Finish | None, *, role: bool = False
    ) -> dict[str, Any]:
        content: dict[str, Any] = {"text": text}
        if self._chat:
            delta = {"role": "assistant", "content": ""} if role else {"content": text}
            content = {"delta": {} if finish else delta}
        choice = {"index": index, **content, "logprobs": None, "finish_reason": finish}
        return {**self._head, "object": self._kind, "choices": [choice]}


def reason_of(body: bytes) -> str:
    """Why an edit is to be switched off, by the body of the call; "" where it does not say.

    Raises:
        ApiError: the body is not JSON.
    """
    given = _json(body)
    reason = given.get("reason") if isinstance(given, dict) else None
    return reason if isinstance(reason, str) else ""

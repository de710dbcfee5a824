"""A language model behind an endpoint of OpenAI's form, asked for values.

Guarantees:
- Nothing of a reply is obeyed: it is parsed as JSON into the form that was asked for, and is text.
- Every answered call is recorded below the registry, under a digest of what was asked, and a
  recorded call is never made again: a run is repeated from its records, byte by byte.
- The key is sent, to an address that a person gave, and is in no record, message or error.
- Sizes, time, calls and tokens are bounded, whatever the endpoint does.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from sake_registry.digests import digest
from sake_registry.errors import (
    GeneratorError,
    InputError,
    MissingExtraError,
    ReplyError,
    SettingsError,
)
from sake_registry.files import below, read_bounded, write_text
from sake_registry.values import Value
from sake_registry.wording import count, printable, shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    from openai import APIStatusError, OpenAI

    from sake_registry.settings import Settings

FOLDER = Path(".sake/generations")
"""Where calls are recorded, relative to a registry's root; a part of the repository."""
KEY = "SAKE_GENERATOR_API_KEY"
MAX_REPLY_BYTES = 1 << 20
_MAX_RECORD_BYTES = 4 << 20
_LONGEST_WAIT = 60.0
"""Seconds until a call is made again, whatever the endpoint asks for."""
_HEADERS = frozenset(
    "accept accept-encoding authorization connection content-length content-type host user-agent"
    .split()
)  # fmt: skip
"""What is sent: the client would add what variables of its own say."""
_MAKE_AGAIN = (408, 409, 425, 429)
_TOO_LONG = f"answers with more than {MAX_REPLY_BYTES} bytes"
_BRIEF = 8
"""Digits of a call's digest that are enough to find it."""

log = logging.getLogger(__name__)

Answer = TypeVar("Answer", bound=Value)


class Call(Value):
    """What is asked for; calls of one digest are one call."""

    model: str
    instruction: str
    task: str
    form: dict[str, Any]
    temperature: float
    seed: int
    max_reply_tokens: int
    attempt: int = 0

    @property
    def digest(self) -> str:
        return digest(["call", self.model_dump(mode="json")])


class Record(Value):
    """A call that was answered. `sent` are the parameters that the endpoint took."""

    call: Call
    endpoint: str
    day: date
    sent: tuple[str, ...]
    reply: str
    finish: str
    tokens_read: int
    tokens_written: int


class Cost(Value):
    """What a run has cost. `recorded` calls were not made: their replies were there."""

    calls: int = 0
    recorded: int = 0
    tokens_read: int = 0
    tokens_written: int = 0

    def __str__(self) -> str:
        made = f"{count(self.calls, 'call')}, {self.tokens_read} tokens read, "
        made += f"{self.tokens_written} written"
        return f"{made}; {count(self.recorded, 'reply', 'replies')} recorded before"


@dataclass(frozen=True)
class Reply(Generic[Answer]):
    """A value, and who wrote it: `<model>@<day>#<the call's first digits>`."""

    value: Answer
    by: str


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Message(_Part):
    content: str | None = None
    refusal: str | None = None


class _Choice(_Part):
    message: _Message
    finish_reason: str | None = None


_Tokens = Annotated[int, Field(ge=0, le=1 << 24)]


class _Usage(_Part):
    prompt_tokens: _Tokens
    completion_tokens: _Tokens


class _Completion(_Part):
    choices: Annotated[tuple[_Choice, ...], Field(min_length=1, max_length=16)]
    usage: _Usage | None = None


class Endpoint:
    """The generator of a registry; a context manager that closes its connections.

    Args:
        settings: the registry's; `generator` of them is used.
        root: the registry's folder.
        replay: make no call: only what is recorded answers.
        key: sent to the endpoint; none unless given.
        sleep: waits so many seconds.

    Raises:
        SettingsError: no address or no model is set.
        InputError: a key that cannot be sent.
        MissingExtraError: the client is not installed, and calls are to be made.
    """

    def __init__(
        self,
        settings: Settings,
        root: Path,
        *,
        replay: bool = False,
        key: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings, self._root = settings.generator, root
        self._replay, self._sleep = replay, sleep
        if not self.settings.model or not (self.settings.base_url or replay):
            missing = "base_url" if self.settings.model else "model"
            raise SettingsError(
                f"no language model is set to write texts: generator.{missing} is empty",
                hint="export SAKE_GENERATOR_BASE_URL=http://localhost:11434/v1 "
                "SAKE_GENERATOR_MODEL=qwen3, or the same under [generator] in sake.toml",
            )
        if key and not re.fullmatch(r"[!-~]+", key):
            raise InputError(f"{KEY} holds what no key has", hint="set it again, on one line")
        # A file of a repository must not say where a person's key goes.
        self._key = key if settings.is_given("generator.base_url") else None
        self._kept_back = key is not None and self._key is None
        self._left_out: set[str] = set()
        self.cost = Cost()
        self._client = None if replay else self._connected()

    @classmethod
    def of(cls, settings: Settings, root: Path, *, replay: bool = False) -> Endpoint:
        """The generator with the key of this process's environment."""
        return cls(settings, root, replay=replay, key=os.environ.get(KEY) or None)

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._client is not None:
            self._client.close()

    def ask(
        self, instruction: str, task: str, form: type[Answer], *, attempt: int = 0
    ) -> Reply[Answer]:
        """Ask for a value of a form, which the instruction describes as JSON.

        Args:
            instruction: what is to be done, as the system's message.
            task: on what, as the user's.
            attempt: told apart from an equal call before it.

        Raises:
            ReplyError: the reply is not of the form.
            GeneratorError: the endpoint cannot be reached, refuses, or the run has cost enough.
        """
        has = self.settings
        call = Call(
            model=has.model, instruction=instruction, task=task, form=_json_schema(form),
            temperature=has.temperature, seed=has.seed, max_reply_tokens=has.max_reply_tokens,
            attempt=attempt,
        )  # fmt: skip
        record = self._recorded(call)
        if record is None:
            record = self._made(call)
            text = json.dumps(record.model_dump(mode="json"), indent=1) + "\n"
            write_text(self._path(call), text, self._root)
        by = f"{has.model}@{record.day.isoformat()}#{call.digest[:_BRIEF]}"
        return Reply(parsed(record.reply, form), by)

    # -- records -------------------------------------------------------------------------------

    def _path(self, call: Call) -> Path:
        return self._root / FOLDER / f"{call.digest}.json"

    def _recorded(self, call: Call) -> Record | None:
        path = below(self._root, self._path(call))
        try:
            data = read_bounded(path, _MAX_RECORD_BYTES)
        except FileNotFoundError:
            if self._replay:
                raise GeneratorError(
                    f"this call is not recorded: {self._path(call)}",
                    hint="the edit, the settings or the instructions differ from those of the run; "
                    "without --replay the endpoint is asked",
                ) from None
            return None
        except OSError as error:
            raise GeneratorError(f"{path} cannot be read: {error.strerror}") from error
        try:
            record = Record.model_validate_json(data)
        except ValidationError as error:
            raise GeneratorError(
                f"{path} is no record of a call", hint=f"remove it: rm '{path}'"
            ) from error
        if record.call != call:
            raise GeneratorError(
                f"{path} is the record of another call", hint=f"remove it: rm '{path}'"
            )
        self._add(recorded=1)
        return record

    def _add(self, **more: int) -> None:
        self.cost = self.cost.model_copy(
            update={name: getattr(self.cost, name) + n for name, n in more.items()}
        )

    # -- calls ---------------------------------------------------------------------------------

    def _made(self, call: Call) -> Record:
        """The record of a call that is made now, again where that may help."""
        failed = 0
        while True:
            self._within_bounds()
            parameters = self._parameters(call)
            self._add(calls=1)
            try:
                return self._answered(call, parameters)
            except _LeftOutError:
                continue  # at most once for each parameter
            except _AgainError as error:
                failed += 1
                formed = error.broken and "response_format" in parameters
                if failed > self.settings.retries and formed:
                    # Some break where a form is asked for, and do not say that it is that.
                    self._left_out.add("response_format")
                    failed = 0
                    continue
                if failed > self.settings.retries:
                    raise GeneratorError(
                        f"{self._where} {error}, {count(failed, 'time')}",
                        hint="what was answered is kept: the same command goes on from there",
                    ) from error
                wait = min(error.wait or 2.0**failed / 2, _LONGEST_WAIT)
                times = f"{failed} of {self.settings.retries}"
                log.warning("%s %s: asked again in %.3g s (%s)", self._where, error, wait, times)
                self._sleep(wait)

    @property
    def _where(self) -> str:
        return f"the generator at {self.settings.base_url}"

    def _within_bounds(self) -> None:
        has, cost = self.settings, self.cost
        tokens = cost.tokens_read + cost.tokens_written
        for name, spent, most in (
            ("max_calls", cost.calls, has.max_calls), ("max_tokens", tokens, has.max_tokens),
        ):  # fmt: skip
            if spent >= most:
                raise GeneratorError(
                    f"enough is spent: {cost}; generator.{name} is {most}",
                    hint="what was answered is kept: with a higher bound the same command goes on",
                )

    def _parameters(self, call: Call) -> dict[str, Any]:
        most = call.max_reply_tokens
        form = {"name": "answer", "schema": call.form, "strict": True}
        parameters: dict[str, Any] = {
            "temperature": call.temperature,
            "seed": call.seed,
            "response_format": {"type": "json_schema", "json_schema": form},
            "max_tokens": most,
        }
        if "max_tokens" in self._left_out:
            parameters["max_completion_tokens"] = most
        return {name: value for name, value in parameters.items() if name not in self._left_out}

    def _answered(self, call: Call, parameters: dict[str, Any]) -> Record:
        import openai
        from httpx2 import Response

        assert self._client is not None  # with `replay` nothing comes here
        messages = [
            {"role": "system", "content": call.instruction},
            {"role": "user", "content": call.task},
        ]
        body = {"model": call.model, "messages": messages, **parameters}
        started = time.monotonic()
        try:
            # Not `chat.completions.create`: its answer is of whatever kinds the endpoint sends.
            answered = self._client.post("/chat/completions", cast_to=Response, body=body)
        except openai.APITimeoutError as error:
            taken = time.monotonic() - started
            raise _AgainError(f"has not answered in {taken:.3g} s") from error
        except openai.APIConnectionError as error:
            cause = str(error.__cause__ or error) or type(error.__cause__).__name__
            if _TOO_LONG in cause:
                raise GeneratorError(f"{self._where} {cause}") from error
            raise _AgainError(f"cannot be reached, or broke off: {self._shown(cause)}") from error
        except openai.APIStatusError as error:
            raise self._refusal(error, parameters) from error
        try:
            completion = _Completion.model_validate_json(answered.text)
        except ValidationError as error:
            shown = self._shown(answered.text)
            raise GeneratorError(
                f"{self._where} does not answer in the form of OpenAI's API: {shown}",
                hint="generator.base_url ends where /chat/completions begins, mostly in /v1",
            ) from error
        choice, usage = completion.choices[0], completion.usage
        content = choice.message.content or choice.message.refusal or ""
        # Where it does not say, three letters are taken for a token.
        read = usage.prompt_tokens if usage else len(call.instruction + call.task) // 3
        written = usage.completion_tokens if usage else len(content) // 3
        self._add(tokens_read=read, tokens_written=written)
        return Record(
            call=call, endpoint=self.settings.base_url, day=datetime.now(UTC).date(),
            sent=tuple(sorted(parameters)), reply=self._without_key(content),
            finish=self._shown(choice.finish_reason or ""), tokens_read=read,
            tokens_written=written,
        )  # fmt: skip

    def _refusal(self, error: APIStatusError, parameters: dict[str, Any]) -> Exception:
        """What an answer of another status than 200 calls for."""
        status = error.status_code
        said = self._shown(error.message.removeprefix(f"Error code: {status} - "))
        if status in (400, 404, 415, 422, 500, 501):
            # Not every endpoint takes each parameter; one that names none dislikes the form first.
            named = [name for name in parameters if name in error.message]
            unnamed = status in (400, 422) and "response_format" in parameters
            out = named or (["response_format"] if unnamed else [])
            out = [name for name in out if name != "max_completion_tokens"]
            if out:
                self._left_out.update(out)
                return _LeftOutError()
        if status in _MAKE_AGAIN or status >= 500:
            return _AgainError(f"answers {status}: {said}", _seconds(error), broken=status == 500)
        hint = None
        if status in (401, 403):
            hint = f"set {KEY}, and the address beside it: SAKE_GENERATOR_BASE_URL"
            if self._kept_back:
                hint = (
                    f"{KEY} was not sent, as sake.toml names the address: a file must not say "
                    f"where a key goes; export SAKE_GENERATOR_BASE_URL={self.settings.base_url}"
                )
        elif status == 404:
            hint = f"is the model '{self.settings.model}' there, and does the address end in /v1?"
        return GeneratorError(f"{self._where} answers {status}: {said}", hint=hint)

    def _shown(self, text: str) -> str:
        return printable(shorten(self._without_key(text[:4000]), 200))

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "[the key]") if self._key else text

    def _connected(self) -> OpenAI:
        try:
            import httpx2
            from openai import DefaultHttpxClient, OpenAI
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"generating needs {error.name}", "generate") from error
        seconds = self.settings.timeout

        def only_ours(request: httpx2.Request) -> None:
            for name in set(request.headers) - _HEADERS:
                del request.headers[name]
            if not self._key:
                request.headers.pop("authorization", None)
            request.headers["accept-encoding"] = "identity"

        def bounded(response: httpx2.Response) -> None:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise httpx2.DecodingError("an encoding that was not asked for")
            assert isinstance(response.stream, httpx2.SyncByteStream)
            response.stream = Bounded(response.stream, time.monotonic() + seconds)

        class Bounded(httpx2.SyncByteStream):
            """A body that ends in time, and is not too long."""

            def __init__(self, stream: httpx2.SyncByteStream, until: float) -> None:
                self._stream, self._until, self._size = stream, until, 0

            def __iter__(self) -> Any:
                for part in self._stream:
                    self._size += len(part)
                    if self._size > MAX_REPLY_BYTES:
                        raise httpx2.ReadError(_TOO_LONG)
                    if time.monotonic() > self._until:
                        raise httpx2.ReadTimeout("too slow")
                    yield part

            def close(self) -> None:
                self._stream.close()

        hooks: Any = {"request": [only_ours], "response": [bounded]}
        return OpenAI(
            api_key=self._key or "none",
            base_url=self.settings.base_url,
            timeout=seconds,
            max_retries=0,
            http_client=DefaultHttpxClient(
                event_hooks=hooks, follow_redirects=False, timeout=seconds
            ),
        )


class _AgainError(Exception):
    """A call that may be answered when it is made again, after `wait` seconds if they are known;
    `broken` if the endpoint says that it failed."""

    def __init__(self, message: str, wait: float | None = None, *, broken: bool = False) -> None:
        super().__init__(message)
        self.wait, self.broken = wait, broken


class _LeftOutError(Exception):
    """A parameter is left out from now on."""


def _seconds(error: APIStatusError) -> float | None:
    try:
        wait = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return wait if 0 < wait < float("inf") else None


def _json_schema(form: type[Value]) -> dict[str, Any]:
    """The JSON Schema of a form, as endpoints take it: every field is asked for, and no other."""

    def closed(node: Any) -> Any:
        if isinstance(node, list):
            return [closed(item) for item in node]
        if not isinstance(node, dict):
            return node
        kept = {k: closed(v) for k, v in node.items() if k not in ("title", "default")}
        if kept.get("type") == "object" and "properties" in kept:
            kept |= {"required": list(kept["properties"]), "additionalProperties": False}
        return kept

    schema: dict[str, Any] = closed(form.model_json_schema())
    return schema


def parsed(reply: str, form: type[Answer]) -> Answer:
    """The value in a reply: its first JSON object, of which the end may be missing. Of a reply
    without one, what the form's `of_text` makes of it, if it has that.

    Raises:
        ReplyError: there is none, or it is not of the form.
    """
    begin = reply.find("{")
    of_text: Callable[[str], Answer] | None = getattr(form, "of_text", None)
    if begin < 0 and of_text and reply.strip():
        return of_text(reply)
    if begin < 0:
        raise ReplyError("the reply holds no JSON object")
    try:
        try:
            value = json.JSONDecoder().raw_decode(reply, begin)[0]
        except json.JSONDecodeError:
            value = from_json(reply[begin:], allow_partial=True)  # cut off in the middle
    except (ValueError, RecursionError) as error:
        raise ReplyError(f"the reply is not JSON: {shorten(str(error))}") from error
    try:
        return form.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise ReplyError(f"the reply is not in the form: {place}: {first['msg']}") from error

"""What an edit file may say: the schema, as frozen pydantic models.

`EditFile` is the content of a file, and the source of the JSON Schema for editors; `Edit` is
that content under its id, as every other room uses it.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_serializer,
)
from pydantic_core import PydanticCustomError, core_schema

from sake_registry.names import SUBJECT

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]*")

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def _day(value: Any) -> Any:
    """Only a form like 2026-11-22: pydantic would also take 0 and 86400, as seconds since 1970."""
    if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
        raise PydanticCustomError("date_form", "not a date")
    return value


Day = Annotated[date, BeforeValidator(_day)]


class OrText:
    """Annotation: where the mapping may be given as plain text, which is its `key`."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: {self.key: value} if isinstance(value, str) else value, handler(source)
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "minLength": 1}, handler(schema)]}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _described(description: str) -> Any:
    """What an editor shows of a field."""
    return Field(description=description)


By = Annotated[
    Text | None, _described("What generated it, like `model@2026-11-29#1a2b3c4d`; no key has it.")
]


class Alias(_Part):
    """Another name of the same thing."""

    text: Annotated[Text, _described("The name.")]
    by: By = None

    @model_serializer
    def _plain(self) -> str | dict[str, str]:
        """As text, where that is all: a file says so, and what was written before does."""
        return {"text": self.text, "by": self.by} if self.by else self.text


class Name(_Part):
    """A name, and the other names of the same thing."""

    text: Annotated[Text, _described("The name as it is written in texts.")]
    aliases: Annotated[
        tuple[Annotated[Alias, OrText("text")], ...], _described("Other names of the same thing.")
    ] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return (self.text, *(alias.text for alias in self.aliases))


class Relation(_Part):
    """What is said of the subject."""

    text: Annotated[Text, _described("The relation in words, like `mother tongue`.")]
    id: Annotated[Text | None, _described("Its Wikidata property, like P103.")] = None


class Prompt(_Part):
    """Text that the object completes at once; `<subject>` stands for the subject."""

    text: Annotated[
        Text, _described("The text up to the object, like `The mother tongue of <subject> is`.")
    ]
    by: By = None


class Implication(_Part):
    """A prompt whose answer follows from the edit."""

    prompt: Annotated[Text, _described("The text up to the answer that follows from the edit.")]
    old: Annotated[
        Annotated[Name, OrText("text")] | None, _described("The answer before the edit.")
    ] = None
    new: Annotated[Name, OrText("text"), _described("The answer after the edit.")]
    reason: Annotated[Text | None, _described("Why it follows from the edit.")] = None
    by: By = None


class Unchanged(_Part):
    """A prompt that must be answered as before."""

    prompt: Annotated[Text, _described("The text up to the answer that must stay.")]
    answer: Annotated[Text | None, _described("What the model says, if it matters.")] = None
    by: By = None


class Fact(_Part):
    """Subject, relation, old object and new object."""

    subject: Annotated[Name, OrText("text"), _described("What the fact is about.")]
    relation: Annotated[
        Relation, OrText("text"), _described("What is said of it, like `mother tongue`.")
    ]
    old: Annotated[
        Annotated[Name, OrText("text")] | None, _described("What the model says now.")
    ] = None
    new: Annotated[Name, OrText("text"), _described("What the model should say.")]


class Provenance(_Part):
    """Why the edit is needed, and what shows that it is right."""

    reason: Annotated[Text | None, _described("Why the edit is needed.")] = None
    sources: Annotated[
        tuple[Text, ...], _described("Addresses (https://…) that show the fact.")
    ] = ()
    confirmed: Annotated[
        tuple[Text, ...],
        _described("Calls of a language model, as `by` has them, whose texts a person has read."),
    ] = ()


class Lifecycle(_Part):
    """Whether the edit is in force, and when."""

    status: Annotated[
        Literal["draft", "active", "withdrawn"],
        _described("Only active edits are compiled; a withdrawn one keeps its file."),
    ] = "active"
    valid_from: Annotated[Day | None, _described("The first day (UTC) on which it holds.")] = None
    valid_until: Annotated[Day | None, _described("The last day (UTC) on which it holds.")] = None
    review_by: Annotated[Day | None, _described("The day by which somebody looks at it again.")] = (
        None
    )


class Scope(_Part):
    """Only where the registry's router setting does not serve this edit."""

    router: Annotated[
        Literal["detector", "anchored", "centre"] | None,
        _described("How prompts in its scope are recognised."),
    ] = None
    threshold: Annotated[
        float | None,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="Largest distance at which a prompt is in its scope.",
        ),
    ] = None


class EditFile(_Part):
    """One fact that a model should believe differently."""

    model_config = ConfigDict(title="Edit")

    schema_version: Annotated[
        int,
        Field(alias="schema", ge=1, le=1, description="The version of this form: 1."),
    ]
    fact: Annotated[Fact, _described("The fact: subject, relation, old object, new object.")]
    prompts: Annotated[
        tuple[Annotated[Prompt, OrText("text")], ...],
        Field(min_length=1, description="Texts that the object completes at once; compiled."),
    ]
    holdout: Annotated[
        tuple[Annotated[Prompt, OrText("text")], ...],
        _described("Other wordings of the prompts: tested, never compiled."),
    ] = ()
    implications: Annotated[
        tuple[Implication, ...], _described("Prompts whose answer follows from the edit.")
    ] = ()
    unchanged: Annotated[
        tuple[Annotated[Unchanged, OrText("prompt")], ...],
        _described("Prompts that must be answered as before."),
    ] = ()
    provenance: Annotated[Provenance, _described("Why the edit is needed, and its sources.")] = (
        Provenance()
    )
    lifecycle: Annotated[Lifecycle, _described("Whether it is in force, and when.")] = Lifecycle()
    tags: Annotated[tuple[Text, ...], _described("Words to group edits by.")] = ()
    scope: Annotated[Scope, _described("How its scope is recognised, where not as usual.")] = (
        Scope()
    )


class Edit(EditFile):
    """The content of an edit file under its id."""

    id: str
    path: Path | None = None

    @property
    def subject(self) -> str:
        return self.fact.subject.text

    @property
    def new(self) -> str:
        return self.fact.new.text

    @property
    def old(self) -> str | None:
        return self.fact.old.text if self.fact.old else None

    @property
    def active(self) -> bool:
        """Whether it belongs in a bundle; its dates are looked at when deciding."""
        return self.lifecycle.status == "active"

    @property
    def claim(self) -> str:
        """`Danielle Darrieux · mother tongue: French → English`."""
        old = self.old or "(nothing)"
        return f"{self.subject} · {self.fact.relation.text}: {old} → {self.new}"

    def fill(self, text: str, name: str | None = None) -> str:
        """`text` with its `<subject>` written out, as the subject or as `name`."""
        return text.replace(SUBJECT, name or self.subject)


TYPED: frozenset[tuple[str, ...]] = frozenset(
    {("schema",), ("scope", "threshold")}
    | {("lifecycle", key) for key in ("valid_from", "valid_until", "review_by")}
)
"""Where a value is read as something other than text: a number or a date."""


def json_schema() -> dict[str, Any]:
    """JSON Schema of edit files, for editors."""
    schema = EditFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

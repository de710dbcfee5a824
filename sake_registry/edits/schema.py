"""What an edit file may say: the schema, as frozen pydantic models.

`EditFile` is the content of a file, and the source of the JSON Schema for editors; `Edit` is
that content under its id, as every other room uses it.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError, core_schema

from sake_registry.names import SUBJECT

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]*")

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def _day(value: Any) -> Any:
    """Only 2026-11-22: pydantic would also take 0 and 86400, as seconds since 1970."""
    if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
        raise PydanticCustomError("date_form", "no date")
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


class Name(_Part):
    """A name, and the other names of the same thing."""

    text: Text
    aliases: tuple[Text, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return (self.text, *self.aliases)


class Relation(_Part):
    text: Text
    id: Annotated[Text | None, Field(description="Wikidata property, like P103")] = None


class Prompt(_Part):
    """Text that the object completes at once; `<subject>` stands for the subject."""

    text: Text
    by: Annotated[Text | None, Field(description="what generated it")] = None


class Implication(_Part):
    """A prompt whose answer follows from the edit."""

    prompt: Text
    old: Annotated[Name, OrText("text")] | None = None
    new: Annotated[Name, OrText("text")]


class Unchanged(_Part):
    """A prompt that must be answered as before."""

    prompt: Text
    answer: Annotated[Text | None, Field(description="what the model says, if it matters")] = None


class Fact(_Part):
    subject: Annotated[Name, OrText("text")]
    relation: Annotated[Relation, OrText("text")]
    old: Annotated[Name, OrText("text")] | None = None
    new: Annotated[Name, OrText("text")]


class Provenance(_Part):
    reason: Text | None = None
    sources: tuple[Text, ...] = ()


class Lifecycle(_Part):
    status: Literal["draft", "active", "withdrawn"] = "active"
    valid_from: Day | None = None
    valid_until: Day | None = None
    review_by: Day | None = None


class Scope(_Part):
    """Only where the registry's router setting does not serve this edit."""

    router: Literal["anchored", "centre"] | None = None
    threshold: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None


class EditFile(_Part):
    """One fact that a model should believe differently."""

    model_config = ConfigDict(title="Edit")

    schema_version: Annotated[int, Field(alias="schema", ge=1, le=1)]
    fact: Fact
    prompts: Annotated[tuple[Annotated[Prompt, OrText("text")], ...], Field(min_length=1)]
    holdout: tuple[Annotated[Prompt, OrText("text")], ...] = ()
    implications: tuple[Implication, ...] = ()
    unchanged: tuple[Annotated[Unchanged, OrText("prompt")], ...] = ()
    provenance: Provenance = Provenance()
    lifecycle: Lifecycle = Lifecycle()
    tags: tuple[Text, ...] = ()
    scope: Scope = Scope()


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


def json_schema() -> dict[str, Any]:
    """JSON Schema of edit files, for editors."""
    schema = EditFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

"""Findings about edit files: what, where, how bad, and how to mend it.

Every kind of finding has a code that never changes its meaning. `SAKE0xx` is about the
file, `SAKE1xx` about its fields, `SAKE2xx` about several edits together.

How bad a finding is follows from its code, unless `[checks]` in `sake.toml` says otherwise;
codes without which no edit can be made of a file are always errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator

from sake_registry.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Severity = Literal["error", "warning"]
Level = Literal["error", "warning", "off"]

CODES: dict[str, str] = {
    "SAKE001": "the file cannot be read",
    "SAKE002": "the file is not valid YAML",
    "SAKE003": "a key occurs twice",
    "SAKE004": "a YAML feature that edit files do not use: anchor, alias, tag, several documents",
    "SAKE005": "text that YAML turns into something else: a comment, a mapping, a list",
    "SAKE006": "the file's name is not an id",
    "SAKE101": "an unknown key",
    "SAKE102": "a required field is missing",
    "SAKE103": "a value of the wrong kind",
    "SAKE104": "the new object is the old one",
    "SAKE105": "a prompt does not name its subject",
    "SAKE106": "a prompt writes the subject's name instead of <subject>",
    "SAKE107": "an unknown <placeholder>",
    "SAKE108": "a holdout is also a prompt",
    "SAKE109": "the same prompt twice",
    "SAKE110": "an implication's answers are equal",
    "SAKE111": "a prompt already contains the new object",
    "SAKE112": "a source is not a URL",
    "SAKE113": "the dates contradict each other",
    "SAKE114": "the subject cannot be found in a prompt as a whole name",
    "SAKE115": "a prompt is to be changed and to stay unchanged",
    "SAKE116": "a prompt is a question",
    "SAKE117": "an edit has expired",
    "SAKE118": "an edit's review is due",
    "SAKE119": "unquoted text that other YAML tools read as something else",
    "SAKE120": "an ignore comment without a reason",
    "SAKE121": "an ignore comment that hides nothing",
    "SAKE122": "an ignore comment that cannot be followed",
    "SAKE123": "a character that is not text: a control, a surrogate, one that turns text around",
    "SAKE124": "a name or an object of several lines",
    "SAKE125": "the subject cannot be found in any prompt",
    "SAKE126": "a holdout was written in one call with prompts",
    "SAKE127": "a call is confirmed that wrote no text of the edit",
    "SAKE201": "two edits have the same id",
    "SAKE202": "two edits contradict each other",
    "SAKE203": "one fact under two ids",
    "SAKE204": "the registry holds no edits",
}

UNSEEN = "SAKE001"
"""What nobody can see: no gate passes on it."""
_WARNINGS = frozenset(
    f"SAKE{n}" for n in (107, 111, 112, 114, 116, 117, 118, 119, 120, 121, 122, 126, 127, 203, 204)
)
FIXED = frozenset(
    code for code in CODES if code < "SAKE100" or code in ("SAKE101", "SAKE102", "SAKE103")
) | {"SAKE201"}
"""What is always an error: of a file with one of these, no edit can be made."""
NOT_IGNORED = (FIXED - {"SAKE101"}) | {
    "SAKE120", "SAKE121", "SAKE122", "SAKE123", "SAKE204"
}  # fmt: skip
"""What a comment in a file cannot hide: an unknown key can be left out, the others stay."""


def default_severity(code: str) -> Severity:
    """How bad findings of a code are where `sake.toml` says nothing of it."""
    return "warning" if code in _WARNINGS else "error"


def graded(findings: Iterable[Diagnostic], levels: Mapping[str, Level]) -> list[Diagnostic]:
    """The findings, each as bad as `levels` says of its code; those set to off are left out."""
    result = []
    for finding in findings:
        level = levels.get(finding.code, finding.severity)
        if level != "off":
            result.append(finding.model_copy(update={"severity": level}))
    return result


class Diagnostic(Value):
    """One finding. Lines and columns count from 1; 0 means the whole file."""

    model_config = ConfigDict(strict=True)

    code: str
    severity: Severity = "error"
    path: Annotated[Path, Field(strict=False)]
    line: int = Field(default=0, ge=0)
    column: int = Field(default=0, ge=0)
    field: str = ""
    message: str
    hint: str = ""

    if TYPE_CHECKING:

        def __init__(
            self, code: str, message: str, path: Path, line: int = 0, column: int = 0,
            field: str = "", hint: str = "", severity: Severity = "error",
        ) -> None: ...  # fmt: skip

    else:

        def __init__(self, *places: Any, **named: Any) -> None:
            names = ("code", "message", "path", "line", "column", "field", "hint", "severity")
            super().__init__(**dict(zip(names, places, strict=False)), **named)

    @field_validator("code")
    @classmethod
    def _known(cls, code: str) -> str:
        if code not in CODES:
            raise ValueError(f"unknown diagnostic code {code}")
        return code

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}:{self.column}" if self.line else str(self.path)

    def __str__(self) -> str:
        field = f" {self.field}" if self.field else ""
        head = f"{self.where}: {self.severity}[{self.code}]{field}: {self.message}"
        return f"{head}\n    {self.hint}" if self.hint else head

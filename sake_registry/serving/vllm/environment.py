"""What the plugin is told: variables, since vLLM's command line is vLLM's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, ValidationError

from sake_registry.errors import SettingsError
from sake_registry.runtime.judged import BUDGET
from sake_registry.values import Value

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "SAKE_"


class Environment(Value):
    """The variables, each without its `SAKE_`; see the package."""

    bundle: str
    overrides: str | None = None
    mode: Literal["edit", "shadow"] = "edit"
    budget: Annotated[float, Field(gt=0)] = BUDGET
    log: Path | None = None
    log_prompts: bool = False
    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    metrics_host: str = "127.0.0.1"

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Self:
        """Those of a process; an empty one counts as not set.

        Raises:
            SettingsError: one has a value that it cannot have.
        """
        names = {name: f"{_PREFIX}{name.upper()}" for name in cls.model_fields}
        given = {name: value for name in names if (value := variables.get(names[name]))}
        try:
            return cls.model_validate_strings(given)
        except ValidationError as error:
            first = error.errors()[0]
            name = names[str(first["loc"][0])]
            raise SettingsError(
                f"{name}={variables[name]}: {first['msg']}", hint="see sake_registry.serving.vllm"
            ) from error

"""What is written, read and shown: frozen values, each with one class for all three.

A value is written as JSON by `model_dump`, read back strictly by `model_validate`, and exported
as JSON Schema by the same class; nothing else knows its shape.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Value"]


class Value(BaseModel):
    """A frozen value. Unknown names are refused, and so are NaN and infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

"""A review as the JSON that is written of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sake_registry.review import run

if TYPE_CHECKING:
    from sake_registry.review.sides import Sides


def review(read: Sides, **options: Any) -> dict[str, Any]:
    return run.review(read, **options).model_dump(mode="json")

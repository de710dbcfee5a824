"""What the SAKE paper published, for orientation beside what was measured here.

The figures are of GPT2-XL, in percent, as printed in arXiv:2503.01751 (Scialanga, Laugel, Grari,
Detyniecki 2025). They are another model's, on other records, and no target: every table that shows
them says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MODEL = "GPT2-XL"
SOURCE = "arXiv:2503.01751"
NOTE = (
    f"The rows marked {MODEL} are published figures of another model on other records "
    f"({SOURCE}), for orientation only. The paper has one figure per metric; it stands in the "
    "first group of columns."
)


@dataclass(frozen=True)
class Published:
    """A method's published figures: metric → percent."""

    method: str
    percent: Mapping[str, float]


def _rows(metrics: tuple[str, ...], **methods: tuple[float, ...]) -> tuple[Published, ...]:
    names = {"rome": "ROME", "memit": "MEMIT", "actadd": "ActAdd", "icl": "ICL", "sake": "SAKE"}
    return tuple(
        Published(names.get(name, name), dict(zip(metrics, figures, strict=True)))
        for name, figures in methods.items()
    )


TABLES: dict[str, tuple[Published, ...]] = {
    "table1": _rows(
        ("ci", "cii", "sa", "rs"),
        rome=(38.62, 16.67, 51.96, 39.43),
        memit=(2.47, 1.95, 7.17, 3.75),
        actadd=(26.63, 29.17, 42.12, 50.68),
        sake=(50.00, 33.33, 54.59, 58.39),
    ),
    "table2": _rows(
        ("di", "dii"),
        rome=(33.33, 14.00),
        icl=(4.00, 3.33),
        actadd=(82.00, 80.67),
        sake=(98.67, 98.67),
    ),
    "table3": _rows(
        ("acc", "gen", "spec"),
        rome=(99.55, 73.70, 82.67),
        memit=(60.00, 36.60, 67.21),
        actadd=(85.00, 29.78, 82.75),
        sake=(97.00, 84.85, 84.52),
    ),
    "table4": _rows(("acc", "gen"), uniform=(85.05, 35.45), sake=(97.00, 84.85)),
    "table5": (),
}

REMARKS = {"table2": "The paper switched its router's threshold off for these figures."}

PROMPTS = 50
PROMPTS_PERCENT = {"acc": 92.0, "gen": 84.0}
"""Figure 5 at 50 prompts an edit."""

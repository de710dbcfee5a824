"""What the commands that read a benchmark data file share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sake_registry.errors import InputError
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sake_bench.datasets.records import DataSet

aliases_option = click.option(
    "--aliases",
    type=click.Choice(["none", "half"]),
    default="none",
    show_default=True,
    help="RippleEdits: which of the subject's other names in the record's tests the files state.",
)
_SHOWN = 10
"""Lines that are listed; more are counted."""


def read_sound(file: Path, kind: str | None, resources: Path | None, *, skip_bad: bool) -> DataSet:
    """A data file whose records are all sound, or whose other ones may be left out.

    Raises:
        InputError: malformed records, and no leave to skip them; no data set; no such folder.
    """
    from sake_bench.datasets.reading import read_data

    if resources is not None and not resources.is_dir():
        raise InputError(f"no folder {resources}")
    data = read_data(file, kind=kind, resources=resources)
    if data.problems and not skip_bad:
        hint = "--skip-bad leaves them out" if data.records else "is it another data set?"
        total = len(data.problems) + len(data.records)
        head = f"{file}: {len(data.problems)} of {count(total, 'record')} malformed"
        lines = [head, *(f"  {line}" for line in first(data.problems))]
        raise InputError("\n".join(lines), hint=hint)
    return data


def first(items: Sequence[object]) -> list[str]:
    """The first of many lines, and how many more there are."""
    more = [f"… and {len(items) - _SHOWN} more"] if len(items) > _SHOWN else []
    return [*map(str, items[:_SHOWN]), *more]

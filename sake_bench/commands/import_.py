"""`sake import`: records of a data set as edit files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sake_registry.commands.console import State, emit_json, json_option, warn
from sake_registry.commands.verbs import in_section
from sake_registry.errors import InputError
from sake_registry.wording import count

if TYPE_CHECKING:
    from sake_bench.datasets.records import Aliases


@in_section("Measure")
@click.command("import")
@click.argument(
    "kind",
    required=False,
    type=click.Choice(
        ["counterfact", "rippleedits", "knowedit", "qaedit", "mquake", "bmike", "field"]
    ),
)
@click.option(
    "--data",
    "file",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="JSON, as its authors publish it.",
)
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="The registry to write into; made if it is none.",
)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Only N of the records.")
@click.option(
    "--seed", default=0, show_default=True, metavar="S", help="Which N: the draw is a benchmark's."
)
@click.option(
    "--aliases",
    type=click.Choice(["none", "half"]),
    default="none",
    show_default=True,
    help="RippleEdits: which of the subject's other names in the record's tests the files state.",
)
@click.option("--skip-bad", is_flag=True, help="Leave malformed records out.")
@click.option(
    "--resources",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where ParaRel patterns and templates lie, if not beside the data.",
)
@json_option
@click.pass_obj
def command(
    state: State,
    kind: str | None,
    file: Path,
    out: Path,
    limit: int | None,
    seed: int,
    aliases: Aliases,
    skip_bad: bool,
    resources: Path | None,
    as_json: bool,
) -> None:
    """Write the records of a data set as edit files, one a record.

    Prompts come from the record, from ParaRel patterns, and from the other records of its
    relation; none is among the record's tests. Its paraphrase tests become holdout. The kind of
    data set is read off the file if it is not named.

    \b
    sake import counterfact --data counterfact.json --out facts --limit 100
    sake import --data popular.json --resources templates/ --out ripples --skip-bad
    """
    from sake_bench.datasets.importing import import_into, sample, without_conflicts
    from sake_bench.datasets.reading import first, read_sound

    data = read_sound(file, kind, resources, skip_bad=skip_bad)
    # Contradictions first, as the benchmark does it: the same seed draws the same records.
    sound, conflicts = without_conflicts(data.records)
    if not sound:
        raise InputError(f"{file}: no sound record")
    chosen = sample(sound, limit, seed)
    result = import_into(state.folder / out, data, chosen, aliases=aliases)
    if as_json:
        emit_json(
            "import/1",
            {
                "data_set": data.name,
                "folder": str(result.written[0].parent),
                "edits": [
                    {"id": record.id, "index": record.index, "path": str(path)}
                    for record, path in zip(result.kept, result.written, strict=True)
                ],
                "conflicts": [
                    {"index": c.record.index, "kept": c.kept.index, "reason": str(c)}
                    for c in conflicts
                ],
                "problems": [{"index": p.index, "reason": p.reason} for p in data.problems],
                "prompts_dropped": result.dropped,
                "tests_unanswerable": data.unanswerable,
            },
        )
        return
    for line in first(data.problems):
        warn(f"left out: {line}")
    for line in first(conflicts):
        warn(f"left out: {line}")
    click.echo(f"wrote {count(len(result.written), 'edit')} to {result.written[0].parent}")
    if result.dropped:
        said = count(result.dropped, "prompt")
        click.echo(f"{said} left out: among the tests of the record", err=True)
    click.echo(f"next: sake -C {state.folder / out} compile", err=True)

"""`sake show`: one edit, in words."""

from __future__ import annotations

import click

from sake_registry.commands.completion import complete_ids
from sake_registry.commands.console import State, emit_json, json_option


@click.command("show")
@click.argument("id", shell_complete=complete_ids)
@json_option
@click.pass_obj
def command(state: State, id: str, as_json: bool) -> None:
    """Show the edit ID in words.

    Its claim, its reason, what is compiled and what is only tested.

    \b
    sake show tolstoy-mother-tongue
    sake show tolstoy-mother-tongue --json
    """
    from sake_registry.extraction.texts import groups
    from sake_registry.wording import count

    registry = state.registry()
    (edit,) = registry.select([id])
    if as_json:
        content = edit.model_dump(mode="json", by_alias=True, exclude={"path"})
        # The file's own `schema` gives way to the one of this output.
        content["edit_schema"] = content.pop("schema")
        emit_json("show/1", {**content, "path": str(edit.path)})
        return
    click.echo(f"{edit.id}  ({edit.path})")
    click.echo(f"  {edit.claim}")
    click.echo(f"  status {edit.lifecycle.status}", nl=False)
    for name in ("valid_from", "valid_until", "review_by"):
        day = getattr(edit.lifecycle, name)
        click.echo(f", {name.replace('_', ' ')} {day}" if day else "", nl=False)
    click.echo("")
    if edit.provenance.reason:
        click.echo(f"  reason: {edit.provenance.reason}")
    for source in edit.provenance.sources:
        click.echo(f"  source: {source}")
    fact = groups(edit, registry.settings.compile.prompts)[0]
    click.echo(f"  compiled: {count(fact.written, 'prompt')} written, {fact.added} added")
    for prompt in edit.prompts:
        click.echo(f"    {edit.fill(prompt.text)}")
    for implication in edit.implications:
        old = implication.old.text if implication.old else "(nothing)"
        click.echo(f"    {edit.fill(implication.prompt)}  [{old} → {implication.new.text}]")
    click.echo(f"  tested only: {count(len(edit.holdout), 'paraphrase')}")
    for prompt in edit.holdout:
        click.echo(f"    {edit.fill(prompt.text)}")
    click.echo(f"  must stay: {count(len(edit.unchanged), 'prompt')}")
    for unchanged in edit.unchanged:
        click.echo(f"    {edit.fill(unchanged.prompt)}")

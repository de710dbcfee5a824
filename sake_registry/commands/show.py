"""`sake show`: one edit, in words."""

from __future__ import annotations

import click

from sake_registry.commands.completion import complete_ids
from sake_registry.commands.console import State, emit_json, json_option, say


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
    say(f"{edit.id}  ({edit.path})")
    say(f"  {edit.claim}")
    dates = ("valid_from", "valid_until", "review_by")
    days = {name.replace("_", " "): getattr(edit.lifecycle, name) for name in dates}
    given = (f", {name} {day}" for name, day in days.items() if day)
    say(f"  status {edit.lifecycle.status}{''.join(given)}")
    if edit.provenance.reason:
        say(f"  reason: {' '.join(edit.provenance.reason.split())}")
    for source in edit.provenance.sources:
        say(f"  source: {source}")
    fact = groups(edit, registry.settings.compile.prompts)[0]
    say(f"  compiled: {count(fact.written, 'prompt')} written, {fact.added} added")
    for prompt in edit.prompts:
        say(f"    {edit.fill(prompt.text)}")
    for implication in edit.implications:
        old = implication.old.text if implication.old else "(nothing)"
        say(f"    {edit.fill(implication.prompt)}  [{old} → {implication.new.text}]")
    say(f"  tested only: {count(len(edit.holdout), 'paraphrase')}")
    for prompt in edit.holdout:
        say(f"    {edit.fill(prompt.text)}")
    say(f"  must stay: {count(len(edit.unchanged), 'prompt')}")
    for unchanged in edit.unchanged:
        say(f"    {edit.fill(unchanged.prompt)}")

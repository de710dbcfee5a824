"""`sake explain`: what the code of a finding means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sake_registry.commands.console import emit_json, json_option, say

if TYPE_CHECKING:
    from sake_registry.edits.explanations import Explanation


@click.command("explain")
@click.argument("code", required=False)
@json_option
def command(code: str | None, as_json: bool) -> None:
    """Explain the CODE of a finding, or list all codes.

    What it means, why it matters, and how it is mended.

    \b
    sake explain SAKE106
    sake explain --json | jq -r '.codes[].title'
    """
    from sake_registry.edits.explanations import explain, explanations

    chosen = [explain(code)] if code else list(explanations().values())
    if as_json:
        emit_json("explain/1", {"codes": [one.model_dump(mode="json") for one in chosen]})
    elif code:
        say(_text(chosen[0]), lines=True)
    else:
        for one in chosen:
            say(f"{one.code}  {one.severity:7}  {one.title}")


def _text(one: Explanation) -> str:
    from sake_registry.edits.explanations import shown

    parts = [f"{one.code} ({one.severity}): {one.title}", click.wrap_text(one.meaning, 80)]
    parts.append(click.wrap_text(one.why, 80))
    for label, example in (("wrong", one.wrong), ("mended", one.mended)):
        if example:
            text = "".join(f"    {line}\n" for line in shown(example).splitlines())
            parts.append(f"{label}:\n{text.rstrip()}")
    if one.settable:
        level = "warning" if one.severity == "error" else "error"
        parts.append(f'To set it in sake.toml: [checks] {one.code} = "{level}", or "off".')
    else:
        parts.append("It is always an error: no edit can be made of such a file.")
    if one.ignorable:
        parts.append(f"To ignore one finding: # sake: ignore[{one.code}] and why, in its line.")
    return "\n\n".join(parts)

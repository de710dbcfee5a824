"""`sake list`: the edits of a registry."""

from __future__ import annotations

import click

from sake_registry.commands.console import State, emit_json, json_option, show_findings, table


@click.command("list")
@click.option("--tag", help="Only edits with this tag.")
@click.option("--status", type=click.Choice(["draft", "active", "withdrawn"]))
@json_option
@click.pass_obj
def command(state: State, tag: str | None, status: str | None, as_json: bool) -> None:
    """List the edits: what each claims, its status, its prompts.

    \b
    sake list --tag demo
    sake list --json | jq -r '.edits[].id'
    """
    registry = state.registry()
    chosen = [
        edit
        for edit in registry.edits
        if (tag is None or tag in edit.tags) and status in (None, edit.lifecycle.status)
    ]
    if as_json:
        emit_json(
            "list/1",
            {
                "edits": [
                    {
                        "id": edit.id,
                        "path": str(edit.path),
                        "claim": edit.claim,
                        "subject": edit.subject,
                        "relation": edit.fact.relation.text,
                        "old": edit.old,
                        "new": edit.new,
                        "status": edit.lifecycle.status,
                        "tags": list(edit.tags),
                        "prompts": len(edit.prompts),
                        "holdout": len(edit.holdout),
                    }
                    for edit in chosen
                ],
                "errors": len(registry.errors),
            },
        )
    else:
        table(
            ("id", "claim", "status", "prompts", "holdout", "tags"),
            [
                (e.id, e.claim, e.lifecycle.status, str(len(e.prompts)), str(len(e.holdout)),
                 ", ".join(e.tags))
                for e in chosen
            ],
        )  # fmt: skip
        show_findings(registry.errors)
    if registry.errors:
        raise click.exceptions.Exit(1)

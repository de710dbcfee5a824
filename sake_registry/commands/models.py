"""`sake models`: the models that are known, and which are on this machine."""

from __future__ import annotations

import click

from sake_registry.commands.console import State, emit_json, json_option, say, table


@click.command("models")
@json_option
@click.pass_obj
def command(state: State, as_json: bool) -> None:
    """List the models that are known by name.

    Where each comes from, and whether it is on this machine.

    \b
    sake models
    sake models --json | jq '.models[] | select(.on_disk)'
    """
    from sake_registry.models.sources import known_models, on_disk
    from sake_registry.settings import find_root, load_settings

    settings = load_settings(find_root(state.folder))
    models = [(source, on_disk(source)) for source in known_models(settings.aliases)]
    if as_json:
        emit_json(
            "models/1",
            {
                "default": settings.model,
                "models": [
                    {"name": s.name, "kind": s.kind, "ref": s.ref, "revision": s.revision,
                     "on_disk": here}
                    for s, here in models
                ],
            },
        )  # fmt: skip
        return
    table(
        ("name", "from", "on this machine"),
        [
            (
                f"{s.name} (default)" if s.name == settings.model else s.name,
                f"{s.kind} {s.ref}" if s.kind != "embedded" else "embedded in a wheel",
                "yes" if here else "no",
            )
            for s, here in models
        ],
    )
    say(
        "any other: a hub id[@revision], a folder, a .gguf file; aliases: [aliases] in sake.toml",
        err=True,
    )

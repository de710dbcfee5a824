"""`sake migrate`: edit files of an earlier schema, brought to this one."""

from __future__ import annotations

import click

from sake_registry.commands.console import State, emit_json, json_option, say


@click.command("migrate")
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit 1 if needed.")
@json_option
@click.pass_obj
def command(state: State, only_check: bool, as_json: bool) -> None:
    """Bring edit files of an earlier schema to this one.

    No other line is touched. If one file cannot be migrated, none is.

    \b
    sake migrate --check
    sake migrate && git diff
    """
    from sake_registry.edits.inventory import working_tree
    from sake_registry.edits.migrating import plan_migration, write_migration
    from sake_registry.edits.registry import root_of, shown
    from sake_registry.settings import load_settings
    from sake_registry.wording import count

    root = root_of(state.folder)
    inventory = working_tree(root, load_settings(root).edits)
    planned = plan_migration(shown(root, path) for path in inventory.files)
    if not only_check:
        write_migration(planned)
    changed = [migration for migration in planned if migration.changes]
    if as_json:
        migrated = [{"path": str(one.path), "from": one.before, "to": one.after} for one in changed]
        value = {"files": len(planned), "migrated": migrated, "written": not only_check}
        emit_json("migrate/1", value)
    else:
        verb = "would migrate" if only_check else "migrated"
        for one in changed:
            say(f"{verb} {one.path}: schema {one.before} → {one.after}")
        done = "to migrate" if only_check else "migrated"
        say(f"{count(len(planned), 'file')}, {len(changed)} {done}", err=True)
    if only_check and changed:
        raise click.exceptions.Exit(1)

"""`sake fmt`: edit files in canonical form."""

from __future__ import annotations

from pathlib import Path

import click

from sake_registry.commands.console import State, say, show_findings


@click.command("fmt")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit 1 if needed.")
@click.pass_obj
def command(state: State, paths: tuple[Path, ...], only_check: bool) -> None:
    """Bring edit files into canonical form; every comment stays.

    PATHS are files, or folders of files; without them, all files of the registry. Files with
    errors are left alone.

    \b
    sake fmt
    sake fmt --check edits/darrieux-tongue.yaml
    """
    from sake_registry.edits.files import read
    from sake_registry.edits.inventory import find_files, working_tree
    from sake_registry.edits.registry import root_of
    from sake_registry.edits.writing import format_text
    from sake_registry.files import below, seen_from, write_text
    from sake_registry.settings import find_root, load_settings
    from sake_registry.wording import count

    root = find_root(state.folder) if paths else root_of(state.folder)
    files: list[Path] = []
    changed, wrong = 0, 0
    for path in paths:
        if root is not None and seen_from(root, path):
            below(root, path)
        files += find_files(path) if path.is_dir() else [path]
    if root is not None and not paths:
        inventory = working_tree(root, load_settings(root).edits)
        files = [root / path for path in inventory.files]
        show_findings([part.finding() for part in inventory.unseen])
        wrong = len(inventory.unseen)
    severities = load_settings(root).checks if root else {}
    for path in files:
        reading = read(path, severities=severities)
        errors = [f for f in reading.findings if f.severity == "error"]
        if errors:
            show_findings(errors)
            wrong += 1
            continue
        text = format_text(reading.data.decode("utf-8-sig"), path)
        if text.encode() != reading.data:
            changed += 1
            say(f"{'would format' if only_check else 'formatted'} {path}")
            if not only_check:
                write_text(path, text)
    say(f"{count(len(files), 'file')}, {changed} changed, {wrong} with errors", err=True)
    if wrong or (only_check and changed):
        raise click.exceptions.Exit(1)

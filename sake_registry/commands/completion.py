"""`sake completion`: the shell's tab completion, and the ids that it offers.

Pressing the tab key must never fail, print, or be slow: ids are read off the names of files. No
file is parsed and nothing heavy is imported.
"""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sake_registry.commands.console import say
from sake_registry.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator

# As in `edits.files` and `settings`, which import pydantic.
_SUFFIXES = (".yaml", ".yml")
_FILE_NAME = "sake.toml"
_MAX_BYTES = 1 << 20

_USAGE = {
    "bash": 'add to ~/.bashrc: eval "$(sake completion bash)"',
    "zsh": 'add to ~/.zshrc, after compinit: eval "$(sake completion zsh)"',
    "fish": "sake completion fish > ~/.config/fish/completions/sake.fish",
}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(_USAGE)))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script for the tab completion of SHELL.

    It completes commands, options and the ids of edits.

    \b
    sake completion bash > ~/.local/share/bash-completion/completions/sake
    sake completion fish > ~/.config/fish/completions/sake.fish
    """
    from click.shell_completion import get_completion_class

    completion = get_completion_class(shell)
    assert completion is not None  # the choice allows no other shell
    source = completion(context.find_root().command, {}, "sake", "_SAKE_COMPLETE").source()
    say(source, lines=True)
    if sys.stdout.isatty():  # not into each new shell that evaluates the script
        say(_USAGE[shell], err=True)


def complete_ids(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The ids of the registry at hand that begin like this, for `shell_complete=`.

    Ids that are already on the line are not offered again.
    """
    taken = context.params.get(parameter.name or "") or ()
    given = {taken} if isinstance(taken, str) else set(taken)
    folder = context.find_root().params.get("folder") or "."
    try:
        matching = {id_ for id_ in _ids(Path(folder)) if id_.startswith(incomplete)}
    except (
        OSError,
        ValueError,
        RecursionError,
    ):  # no registry, a wrong sake.toml: nothing to offer
        return []
    return sorted(matching - given)


def _ids(folder: Path) -> Iterator[str]:
    """The stems of the edit files of the registry at or above a folder."""
    start = folder.resolve()
    root = next((d for d in (start, *start.parents) if (d / _FILE_NAME).is_file()), None)
    if root is None:
        return
    edits = os.environ.get("SAKE_EDITS")
    if edits is None:
        data = read_bounded(root / _FILE_NAME, _MAX_BYTES)
        edits = tomllib.loads(data.decode()).get("edits", "edits")
    for _, folders, files in os.walk(root / str(edits)):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a Path for each is slow
            if suffix.lower() in _SUFFIXES and not name.startswith("."):
                yield stem

"""The verbs of `sake`: where each is found, and in which section of the help page it stands.

A verb's module is imported when the verb is asked for. Packages bring further verbs by entry
point (`sake_registry.commands`); a broken one is named on stderr and left out, and none takes the
place of a built-in verb.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sake_registry.commands.console import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.metadata import EntryPoint

SECTIONS = {
    "Write": ("demo", "init", "new", "propose", "generate", "edit", "fmt", "migrate"),
    "Look": ("list", "show", "status", "site", "inspect", "models", "explain"),
    "Check": ("check", "conflicts", "ask", "test", "replay", "review"),
    "Build": ("plan", "compile", "calibrate", "upgrade", "cache"),
    "Serve": ("publish", "promote", "rollback", "pointers", "sign", "verify", "serve"),
    "History": ("diff", "log", "revert", "withdraw", "rename"),
    "Measure": (),
    "More": ("completion", "help"),
}
_BUILT_IN = {verb: section for section, verbs in SECTIONS.items() for verb in verbs}
_SHADOWING = ("compile", "inspect", "list")
"""Verbs whose module's name ends in `_`, as that of a builtin or of the library is taken."""


AnyCommand = TypeVar("AnyCommand", bound=click.Command)


def in_section(section: str) -> Callable[[AnyCommand], AnyCommand]:
    """Decorator of a command that comes by entry point: its section of the help page."""

    def place(command: AnyCommand) -> AnyCommand:
        command.section = section  # type: ignore[attr-defined]
        return command

    return place


class Verbs(Mapping[str, click.Command]):
    """Every verb's command by its name; KeyError for one that is unknown or cannot be loaded."""

    @cached_property
    def plugins(self) -> dict[str, EntryPoint]:
        """The entry points by verb. The first one wins."""
        from importlib.metadata import entry_points

        plugins: dict[str, EntryPoint] = {}
        for entry in entry_points(group="sake_registry.commands"):
            if entry.name in _BUILT_IN:
                _warn(f"{entry.value}: a plug-in cannot replace the built-in verb '{entry.name}'")
            elif plugins.setdefault(entry.name, entry) != entry:
                taken = plugins[entry.name].value
                _warn(f"{entry.value}: the verb '{entry.name}' is that of {taken} already")
        return plugins

    def __getitem__(self, verb: str) -> click.Command:
        if verb in _BUILT_IN:
            module = f"{verb}_" if verb in _SHADOWING else verb
            command: Any = import_module(f"sake_registry.commands.{module}").command
        else:
            command = _loaded(self.plugins[verb])
        if not isinstance(command, click.Command):
            raise KeyError(verb)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter((*_BUILT_IN, *sorted(self.plugins)))

    def __len__(self) -> int:
        return len(_BUILT_IN) + len(self.plugins)


class Sections(click.Group):
    """A group of the verbs, whose help page lists them in sections."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = Verbs()  # type: ignore[assignment]  # nothing is added to it

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        named = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        width = max(map(len, named))
        rows: dict[str, list[tuple[str, str]]] = {section: [] for section in SECTIONS}
        for name, command in named.items():
            if command is not None and not command.hidden:
                section = _BUILT_IN.get(name) or str(getattr(command, "section", "More"))
                text = command.get_short_help_str(formatter.width - 6 - width)
                rows.setdefault(section, []).append((f"{name:{width}}", text))
        for section in rows:
            if rows[section]:
                with formatter.section(section):
                    formatter.write_dl(rows[section])


def _loaded(entry: EntryPoint) -> object:
    """What an entry point names; None, and a warning, if that is not a command."""
    try:
        command = entry.load()
    except Exception as error:  # foreign code, in which anything may be wrong
        _warn(f"the verb '{entry.name}' ({entry.value}) cannot be loaded: {error!r}")
        return None
    if not isinstance(command, click.Command):
        _warn(f"the verb '{entry.name}' ({entry.value}) is not a command of click")
    return command


def _warn(text: str) -> None:
    if "_SAKE_COMPLETE" not in os.environ:  # the tab key must not print
        warn(text)

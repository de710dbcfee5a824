"""What the site has otherwise than the pages: links out of docs/, and the commands as tables."""

from __future__ import annotations

import re
from typing import Any

COMMANDS = """\
# Commands

The same as `sake VERB --help` says. The words are in the [glossary](glossary.md).

::: mkdocs-click
    :module: sake_registry.commands
    :command: cli
    :prog_name: sake
    :depth: 1
    :style: table
    :list_subcommands: true
"""


def on_page_markdown(markdown: str, page: Any, **others: Any) -> str:
    """A link to a file of the repository that is no page is its name alone: the site has not got
    it."""
    if page.file.src_uri == "cli.md":
        return COMMANDS
    up = "../" * (page.file.src_uri.count("/") + 1)
    return re.sub(rf"\[([^\]]+)\]\({re.escape(up)}(?!\.\./)[^)]+\)", r"`\1`", markdown)

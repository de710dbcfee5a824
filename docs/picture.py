"""The picture of the front page: what `sake ask` prints in a terminal, as SVG.

`python docs/picture.py` runs the command on the demo registry, which has to be compiled.
"""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parent.parent
ARGUMENTS = ["ask", "The capital of Australia is", "--tokens", "12"]
COLUMNS = 80


def printed() -> str:
    """What the command writes to a terminal, its colours included."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    with subprocess.Popen(
        [sys.executable, "cli.py", *ARGUMENTS], cwd=ROOT, env=environment,
        stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        os.close(theirs)
        text = b""
        while chunk := _read(ours):
            text += chunk
    if process.returncode:
        sys.exit("`sake ask` failed: is the demo compiled? (make demo)")
    return text.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux ends a terminal with an error, not with an end of file
        return b""


def main() -> None:
    console = Console(record=True, width=COLUMNS, file=StringIO())
    console.print(Text(f"$ {shlex.join(['sake', *ARGUMENTS])}", style="bold"))
    console.print(Text.from_ansi(printed().rstrip()))
    console.save_svg(str(ROOT / "docs" / "images" / "ask.svg"), title="sake ask")


if __name__ == "__main__":
    main()

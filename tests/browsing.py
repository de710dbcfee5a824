"""Pages as a program reads them, and as a real browser shows them: what it finds after loading, and
every error on the way."""

from __future__ import annotations

import json
import re
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

VOID = frozenset({"meta", "input", "br", "link", "hr", "col"})


class Elements(HTMLParser):
    """Every element of a page; open and close must match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        assert len(dict(attributes)) == len(attributes)
        self.found.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.found if found == name]


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,2000",
    "--virtual-time-budget=3000",
    "--dump-dom",
)
# Before the page's own script, so that nothing is missed; a breach of the page's policy counts.
COLLECTOR = """<script>
window.found = [];
addEventListener('error', event => found.push(String(event.message)));
addEventListener('unhandledrejection', event => found.push(String(event.reason)));
addEventListener('securitypolicyviolation', event => found.push(event.violatedDirective));
</script>"""


def look(browser: str, text: str, folder: Path, probe: str) -> dict[str, Any]:
    """What `probe`, a script that leaves JSON in `<pre id="probe">`, says of the loaded page."""
    file = folder / "page.html"
    text = text.replace("</title>", f"</title>{COLLECTOR}", 1)
    file.write_text(text.replace("</body>", f"{probe}</body>"), encoding="utf-8")
    ran = subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found_probe = re.search(r'<pre id="probe">(.*?)</pre>', ran.stdout, re.DOTALL)
    assert found_probe, f"the page did not come to an end: {ran.stderr[-2000:]}"
    found: dict[str, Any] = json.loads(unescape(found_probe[1]))
    return found

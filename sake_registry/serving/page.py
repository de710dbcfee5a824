"""The page at `/`: one file that loads nothing, and may only talk to its own server."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files


@cache
def page() -> str:
    """The page, HTML."""
    return (files("sake_registry.serving") / "page.html").read_text(encoding="utf-8")


@cache
def policy() -> str:
    """What a browser is to allow it: its own style and script, by their hashes, and calls to the
    server that it came from."""
    allowed = {
        name: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
            for text in re.findall(rf"<{name}>(.*?)</{name}>", page(), re.DOTALL)
        )
        for name in ("style", "script")
    }
    return (
        f"default-src 'none'; style-src {allowed['style']}; script-src {allowed['script']}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )

"""What the site has otherwise than the pages: links out of docs/."""

from __future__ import annotations

import re
from typing import Any


def on_page_markdown(markdown: str, page: Any, **others: Any) -> str:
    """A file of the repository that is no page stands there by its name: the site has not got
    it."""
    up = "../" * (page.file.src_uri.count("/") + 1)
    return re.sub(rf"\[([^\]]+)\]\({re.escape(up)}(?!\.\./)[^)]+\)", r"`\1`", markdown)

"""The frame of an HTML page: head, header, navigation, sections, and what it forbids itself.

A page is one file that loads nothing from anywhere; its policy (`POLICY`) lets the browser see to
it. What goes in is `Markup` or is escaped (see `markup`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sake_bench.reports import charts
from sake_bench.reports.markup import Markup, tag

if TYPE_CHECKING:
    from collections.abc import Iterable

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def frame(
    title: str,
    header: Markup,
    sections: Iterable[tuple[str, str, Markup]],
    style: str,
    script: str,
) -> str:
    """The whole page. A section is its id, its heading and its body."""
    sections = list(sections)
    links = [tag("a", name, href=f"#{ident}") for ident, name, _ in sections]
    body = tag(
        "body",
        header,
        tag("nav", *links, aria_label="Sections"),
        tag(
            "main",
            *(
                tag(
                    "section",
                    tag("h2", name, id=f"{ident}-heading"),
                    inner,
                    id=ident,
                    aria_labelledby=f"{ident}-heading",
                )
                for ident, name, inner in sections
            ),
        ),
        tag("script", Markup(script)),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", Markup(charts.STYLE + style)),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def in_figure(picture: str, caption: str = "") -> Markup:
    """A picture that scrolls where it is wider than the screen, and its caption."""
    return tag(
        "figure",
        tag("div", Markup(picture), class_="scroll", tabindex="0"),
        tag("figcaption", caption) if caption.strip() else None,
    )

"""The templates of pages, pictures and comments.

Whatever a template shows is escaped, for HTML and SVG or for Markdown; only what a template
itself made goes in as it is. A name that is not defined is an error. A page is one file that
loads nothing from anywhere: style and script are files of the package (`static`), and the policy
in `frame.html.j2` lets the browser see to the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sake_registry.pages.text import address, number, percent, visible
from sake_registry.wording import count, shorten

__all__ = ["environment"]


def environment(package: str, escape: Callable[[str], str] = visible) -> Environment:
    """The templates of a package, in its folder `templates`, beside those that all pages share.

    Args:
        package: `sake_registry.review`, say.
        escape: what is done with every text that a template shows. Its result is escaped for
            HTML unless it is `Markup`, which a language other than HTML returns.
    """
    templates = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("sake_registry.pages")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: _shown(value, escape),
    )
    templates.filters |= {
        "address": address,
        "count": count,
        "number": number,
        "percent": percent,
        "shorten": shorten,
        "visible": visible,
    }

    def static(name: str) -> Markup:
        assert templates.loader is not None
        return Markup(templates.loader.get_source(templates, name)[0])

    templates.globals["static"] = static
    return templates


def _shown(value: Any, escape: Callable[[str], str]) -> Any:
    """A text escaped, a number as short as it is exact enough for a page, None as nothing; what is
    markup already as it is."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return escape(value) if isinstance(value, str) and not hasattr(value, "__html__") else value

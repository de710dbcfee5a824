"""A review as one HTML file, complete: to be read offline, shown and printed.

What the comment on the pull request leaves out for length is here. Nothing is loaded from
anywhere (see `pages`); texts of files and models stay text; a source is a link only where it is a
web address, and then its address is what is shown. Equal reviews give equal pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sake_registry.review import charts
from sake_registry.review.report import as_review, worst_findings
from sake_registry.review.words import glossary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sake_registry.review.report import Review


def page(value: Mapping[str, Any] | Review, preview: str | None = None) -> str:
    """The whole page.

    Args:
        preview: where the bundle of what merging makes is found.

    Raises:
        InputError: the JSON is not a review.
    """
    review = as_review(value)
    template = charts.templates().get_template("review.html.j2")
    return template.render(
        review=review, charts=charts, glossary=glossary(review), in_order=worst_findings,
        preview=preview,
    )  # fmt: skip

"""What every page stands on: whatever is shown stays text, in HTML and in Markdown."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2 import ChoiceLoader, DictLoader, Environment, UndefinedError
from markupsafe import Markup

from sake_registry.pages.environment import environment
from sake_registry.pages.text import number, percent, plain
from tests.browsing import Elements

PAGE = """\
{% extends "frame.html.j2" %}
{% from "parts.html.j2" import definitions, figure %}
{% set title = text %}
{% set sections = [
  ("first", text, definitions([(text, text)], "facts")),
  ("second", "Empty", figure("")),
  ("third", "Drawn", figure(picture, text)),
] %}
{% block header %}<h1>{{ text }}</h1>{% endblock %}
"""
HOSTILE = "</title><script>alert(1)</script>\u202e\x00'\"&"


def rendered(template: str, templates: Environment | None = None, **values: Any) -> str:
    made = templates or environment("sake_registry.pages")
    assert made.loader is not None
    made.loader = ChoiceLoader([DictLoader({"it": template}), made.loader])
    return made.get_template("it").render(**values)


def test_a_page_is_framed_and_text_in_it_stays_text() -> None:
    page = rendered(PAGE, text=HOSTILE, picture=Markup("<svg></svg>"))
    elements = Elements(page)
    assert [a["id"] for a in elements.named("section")] == ["first", "third"]
    assert [a["href"] for a in elements.named("a")] == ["#first", "#third"]
    assert elements.named("script") == [{}]
    assert len(elements.named("svg")) == 1
    assert "".join(elements.text).count("<script>alert(1)</script>⟨U+202E⟩\ufffd'\"&") == 7
    (policy,) = [a["content"] for a in elements.named("meta") if "http-equiv" in a]
    assert str(policy).startswith("default-src 'none'")
    assert "\u202e" not in page


def test_numbers_are_short_and_nothing_is_nothing() -> None:
    values: list[Any] = [0.5, 4.0, 1 / 3, 12, None]
    text = rendered("{% for value in values %}{{ value }} {% endfor %}|", values=values)
    assert text == "0.5 4 0.333333 12  |"


def test_a_name_that_is_not_defined_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        rendered("{{ nobody }}")


def test_another_language_has_another_escape() -> None:
    markdown = environment("sake_registry.pages", lambda text: Markup(plain(text)))
    template = "{% macro bold(text) %}**{{ text }}**{% endmacro %}{{ bold(text) }}"
    assert rendered(template, markdown, text="*a* <b>") == r"**\*a\* \<b\>**"


def test_words_for_numbers() -> None:
    assert (percent(0.91), percent(0.125, 0), percent(0.0005)) == ("91.0", "13", "0.1")
    assert (number(3.0), number(4.56789)) == ("3", "4.568")

"""The comment: within its limit, the worst first, and foreign text does nothing."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sake_registry.asking.rows import KINDS
from sake_registry.diagnostics import CODES
from sake_registry.errors import InputError
from sake_registry.review.markdown import LEAST, LIMIT, MARKER, comment, shown
from sake_registry.review.report import read_review
from tests.review.example_review import (
    HOSTILE,
    MONA_LISA,
    claims_review,
    edit,
    example_review,
    gate,
    passed_review,
    shares,
)

READER = MarkdownIt("commonmark").enable("table")
OWN_HTML = re.compile(
    r"(<!-- sake-review -->|<details><summary>[\w ,']+</summary>|</details>)\s*\Z"
)


def tables(text: str) -> list[list[list[str]]]:
    """Every table as rows of cells."""
    found = []
    for block in re.findall(r"(?m)(?:^\| .*\n)+", text):
        cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()]
        found.append([[cell.strip() for cell in row] for row in cells])
    return found


def check(text: str, limit: int = LIMIT) -> None:
    """What holds for every comment."""
    assert len(text) <= limit
    assert text.startswith(MARKER + "\n")
    for table in tables(text):
        assert len({len(row) for row in table}) == 1
        assert set(table[1]) == {"---"}
    tokens = READER.parse(text)
    assert sum(token.type == "table_open" for token in tokens) == len(tables(text))
    for token in tokens:
        if token.type == "html_block":
            assert OWN_HTML.match(token.content), token.content
        assert token.type not in ("fence", "code_block")
        for child in token.children or []:
            assert child.type in (
                "text", "softbreak", "strong_open", "strong_close", "code_inline",
                "link_open", "link_close",
            ), child  # fmt: skip
            if child.type == "link_open":
                assert re.match(r"(?i)https?://\w", str(child.attrs["href"]))
            if child.type == "code_inline":
                assert child.content == "sake review"
            if child.type == "text":
                # What GitHub would make of the text after it has read the Markdown.
                assert not re.search(r"@[\w-]|#\d|\bgh-\d", child.content, re.IGNORECASE)
    opened = [t.content for t in tokens if t.type == "html_block" and "details" in t.content]
    assert len(opened) % 2 == 0


def test_the_example_says_it_all() -> None:
    text = comment(example_review(), link="https://example.org/run/3?x=(1)")
    check(text)
    lines = text.splitlines()
    assert lines[2] == "## 2 edits added, 1 changed, 1 removed: 2 gates failed"
    edits = [line for line in lines if line.startswith("#### ")]
    assert [line[:14] for line in edits] == [
        "#### ✗ Leo Tol",
        "#### ✗ Croatia",
        "#### ✓ Mona Li",
        "#### ✓ telepho",
    ]
    for part in (
        "What changed: new object: Ukrainian → Polish; 3 prompts added",
        "[https\\://example.org/counterfactual/tolstoy?a=1&b=(2)]"
        "(<https://example.org/counterfactual/tolstoy?a=1&b=%282%29>)",
        ", javascript:alert(document.cookie), Encyclopaedia",
        "warning SAKE111 at edits/tolstoy-mother-tongue.yaml:12:5 prompts\\[3\\]:",
        "holdout ✗ 4 of 6",
        "<details><summary>13 prompts answered as expected</summary>",
        "compile.reg: 1.0 → 0.1",
        "norway-country-code",
        "### 1 of 200 prompts that concern no edit answered differently",
        "### 1 of 48 prompts on other matters of the changed edits' subjects answered differently",
        "smollm2-135m (float32, c4ab8141c4ab) · 322 texts run · 93 s",
        "not judged, as no build is in the store: new-zealand-capital.",
        "[The full report](<https://example.org/run/3?x=%281%29>), with pictures.",
        "| Before, with the edit | After, without it |",
    ):
        assert part in text, part
    failed, *_ = [t for t in tables(text) if t[0][1:2] == ["Kind"]]
    assert [row[0] for row in failed[2:]] == ["✗"] * 4
    assert failed[2][4:] == ["the Russian language", "Polish", "no edit (5.90 \\> 5.30)"]
    (gates,) = [t for t in tables(text) if t[0][1] == "Gate"]
    assert [(row[0], row[1]) for row in gates[2:]] == [
        ("✗", "min\\_holdout"),
        ("✗", "max\\_collateral"),
        ("✓", "min\\_prompts"),
    ]
    assert gates[2][3].startswith("Where no edit answered, raise the edit's scope.threshold")
    assert gates[4][3] == "–"


def test_claims_only() -> None:
    text = comment(claims_review())
    check(text)
    assert "no model was asked" in text
    assert tables(text) == []
    assert "Unrelated" not in text
    assert "#### ⚠ Leo Tolstoy" in text


def test_what_passed_says_so() -> None:
    text = comment(passed_review())
    check(text)
    assert "## 1 edit added: passed" in text
    assert "✓ None of 200 prompts that concern no edit is answered differently." in text
    assert "✗" not in text


def test_a_build_that_failed_says_why() -> None:
    value = example_review()
    value["edits"][0] |= {
        "build": {"outcome": "failed", "error": "2 of 60 pairs worked", "warnings": []},
        "rows": [],
        "shares": {},
    }
    text = comment(value)
    check(text)
    assert "#### ✗ Mona Lisa" in text
    assert "**The build failed**: 2 of 60 pairs worked" in text
    assert text.index("Mona Lisa") < text.index("Leo Tolstoy ·")


def many(n: int, *, bad: int = 0) -> dict[str, Any]:
    """So many edits, of which the last ones fail."""
    first = example_review()["edits"][0]
    edits = [first | {"id": f"e{i:03}", "claim": f"Fact {i:03}: A → B"} for i in range(n)]
    for one in edits[n - bad :]:
        one["rows"] = [row | {"ok": False} for row in one["rows"]]
        one["shares"] = shares(one["rows"])
    return passed_review() | {"edits": edits}


def test_what_there_is_no_room_for_is_counted_and_linked() -> None:
    text = comment(many(400, bad=3), limit=20_000, link="https://example.org/run")
    check(text, 20_000)
    assert len(text) > 18_000
    claims = re.findall(r"Fact (\d{3})", text)
    assert claims[:3] == ["397", "398", "399"]
    left = re.search(
        r"… and (\d+) more edits, all passed; \[the full report\]\(<https://example.org/run>\)",
        text,
    )
    assert left
    named = re.findall(r"(?m)^(?:#### . |\| . \| )Fact \d{3}", text)
    assert len(named) + int(left[1]) == 400
    assert "; the HTML report has them." in comment(many(400), limit=20_000)
    assert "of them with failures; the HTML" in comment(many(400, bad=400), limit=20_000)


def test_an_edit_with_very_many_prompts_leaves_room_for_the_next() -> None:
    value = example_review()
    rows = value["edits"][1]["rows"]
    value["edits"][1]["rows"] = [
        row | {"prompt": f"{row['prompt']} {i} " + "x" * 300, "ok": False}
        for i in range(300)
        for row in rows
    ]
    text = comment(value)
    check(text)
    assert "#### ✗ Leo Tolstoy" in text
    assert "#### ✓ telephone" in text
    assert re.search(r"more prompts, \d+ not as expected|the ones that failed first", text)


def test_foreign_text_does_nothing() -> None:
    told = shown(HOSTILE)
    assert told in comment(example_review())
    assert "@\u200boctocat" in told
    assert "#\u200b12" in told
    assert "GH-\u200b7" in told
    assert "⟨U+202E⟩" in told
    assert "<script" not in comment(example_review()).replace("\\<script", "")
    for text in ("@_x", "@-x", "@[x](y)", "#1_", "gh-1", "a@b", "&#64;x", "\\@x"):
        check(f"{MARKER}\n\n{shown(text)}\n")
    for text in ("- x", "---", "===", "+ x", "# x", "1. x", "1) x", "> x", "```", "~~~", "\\"):
        check(f"{MARKER}\n\n{shown(text)}\n")
        (paragraph,) = [t for t in READER.parse(shown(text)) if t.type == "inline"]
        assert paragraph.content
        assert READER.parse(shown(text))[0].type == "paragraph_open", text


def test_the_limit_has_a_least_and_input_is_checked() -> None:
    with pytest.raises(ValueError, match="room"):
        comment(example_review(), limit=LEAST - 1)
    check(comment(example_review(), limit=LEAST), LEAST)
    with pytest.raises(InputError):
        comment({"schema": "bench/1"})


def test_a_link_that_is_no_web_address_is_not_made() -> None:
    text = comment(many(400), limit=20_000, link="javascript:alert(1)")
    assert "javascript" not in text
    assert "the HTML report has them" in text
    check(comment(many(400), limit=LEAST, link="https://example.org/" + "x" * 5_000), LEAST)


# --- any review

ATTACKS = st.sampled_from(
    [
        HOSTILE,
        "<script>alert(1)</script>",
        "</details></summary><img src=x onerror=alert(1)>",
        "<!-- sake-review -->",
        "| a | b |\n| --- | --- |",
        "@octocat @org/team a@b.example",
        "#1 owner/repo#2 GH-3 gh-4",
        "```\ncode",
        "![x](https://evil.example/x.png)",
        "<https://evil.example>",
        "https://evil.example http://evil.example www.evil.example",
        "[x]: https://evil.example",
        "\\| \\\\| \\",
        "&lt;script&gt; &#64;octocat &commat;x",
        "\u202e\u2066\u200b\ufeff\x00\x1b[31m\ud800",
        "| " * 200,
        "*" * 500,
        "$$x$$ ~~y~~ __z__",
        "---",
        "===",
    ]
)
SIGNS = st.text("@#|\\`*_<>[]()!&;:/-=+~$ \n.1ag", max_size=40)
TEXTS = st.lists(st.one_of(ATTACKS, SIGNS, st.text(max_size=60)), min_size=1, max_size=12)


def any_review(pool: list[str], n: int, seed: int) -> dict[str, Any]:
    """A review of `n` edits with texts from the pool, drawn by the seed."""
    draw = random.Random(seed)

    def text() -> str:
        return draw.choice(pool) * draw.choice((1, 1, 1, 3))

    def any_row() -> dict[str, Any]:
        return {
            "kind": draw.choice(KINDS),
            "prompt": text(),
            "before": text(),
            "after": text(),
            "expected": text(),
            "ok": draw.random() < 0.8,
            "by": draw.choice((None, text(), f"e{draw.randrange(n + 1)}")),
            "distance": draw.choice((None, 0.0, 1e300, draw.uniform(0, 9))),
            "threshold": draw.choice((None, 5.3, 0.0)),
            "reason": draw.choice(("in scope", text())),
        }

    def finding() -> dict[str, Any]:
        return {
            "code": draw.choice(list(CODES)),
            "severity": draw.choice(("error", "warning")),
            "path": text(),
            "line": draw.randrange(100),
            "column": draw.randrange(100),
            "field": text(),
            "message": text(),
            "hint": text(),
        }

    def few(make: Any, most: int) -> list[Any]:
        return [make() for _ in range(draw.choice((0, 0, 1, draw.randrange(most + 1))))]

    def any_edit(i: int) -> dict[str, Any]:
        rows = few(any_row, 30)
        return edit(
            draw.choice((f"e{i}", text())),
            draw.choice(("added", "changed", "removed", "moved")),
            text(),
            rows,
            path=text(),
            sentence=text(),
            status=draw.choice(("active", "draft", text())),
            lines=few(text, 12),
            reason=draw.choice((None, text())),
            sources=[*few(text, 8), *few(lambda: "https://example.org/" + text(), 2)],
            findings=few(finding, 12),
            build=draw.choice(
                (
                    None,
                    {"outcome": "failed", "error": text(), "warnings": few(text, 6)},
                    {"outcome": "built", "warnings": few(text, 6), "worked": 3, "pairs": 4},
                )
            ),
        )

    edits = [any_edit(i) for i in range(n)]
    return example_review() | {
        "range": dict.fromkeys(("text", "base", "merge_base", "head"), text()),
        "model": draw.choice((None, {"name": text(), "hash": text(), "dtype": text()})),
        "settings": few(text, 50),
        "conflicts": [
            {"id": text(), "path": text(), "text": text()} for _ in range(draw.randrange(3) * 40)
        ],
        "edits": edits,
        "interference": [any_row() | {"edit": text()} for _ in range(draw.randrange(3) * 60)],
        "unrelated": {"n": 200, "changed": [any_row() for _ in range(draw.randrange(3) * 60)]},
        "nearby": {"n": 200, "changed": [any_row() for _ in range(draw.randrange(3) * 60)]},
        "findings": [finding() for _ in range(draw.randrange(3) * 60)],
        "others": {"judged": 9, "not_built": few(text, 99)},
        "shares": shares([row for one in edits for row in one["rows"]]),
        "gates": [
            gate("min_prompts", draw.random(), {"passed": 1, "n": 2}) | {"text": text()}
            for _ in range(draw.randrange(3) * 20)
        ],
        "passed": draw.random() < 0.5,
    }


@settings(max_examples=60)
@given(
    pool=TEXTS,
    n=st.one_of(st.integers(0, 6), st.integers(0, 400)),
    seed=st.integers(0, 2**32),
    limit=st.sampled_from([LEAST, 12_000, LIMIT]),
)
def test_any_review_makes_a_sound_comment(pool: list[str], n: int, seed: int, limit: int) -> None:
    value = any_review(pool, n, seed)
    text = comment(value, limit, link="https://example.org/run")
    check(text, limit)
    assert text == comment(value, limit, link="https://example.org/run")
    headline = text.splitlines()[2]
    assert headline.startswith("## ")
    assert shown(read_review(value).headline())[1:] in headline
    told = Counter({action: int(k) for k, action in re.findall(
        r"(\d+) (?:edits? )?(added|changed|moved|removed)", headline)})  # fmt: skip
    assert told == Counter(one["action"] for one in value["edits"])
    # Every edit is there: as a section, as a line, or counted.
    sections = len(re.findall(r"(?m)^#### [✗✓⚠] ", text))
    listed = [t for t in tables(text) if t[0][-1] == "How it stands"]
    counted = re.search(r"(?m)^… and (\d+) more edits?, [a-z0-9 ]+; \[the full report\]", text)
    assert sections + sum(len(t) - 2 for t in listed) + int(counted[1] if counted else 0) == n


def test_of_many_edits_the_full_limit_is_used() -> None:
    value = any_review([HOSTILE, "x", "The capital of France is"], 400, 1)
    assert len(comment(value)) > LIMIT - 4_000


def test_mona_lisa_is_named_by_its_claim_not_its_id() -> None:
    value = passed_review()
    assert f"#### ✓ {MONA_LISA}" not in comment(value)
    value["edits"][0]["claim"] = ""
    assert f"#### ✓ {MONA_LISA}" in comment(value)

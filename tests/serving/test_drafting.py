"""`/v1/drafts`: the draft of an edit, over HTTP, beside the edits that are served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sake_registry.edits.files import parse_edit
from tests.serving.conftest import Running, Start

PERU = {"prompt": "What is the capital of Peru?", "answer": "Cusco", "should": "Lima"}


def test_a_draft_comes_back_and_nothing_is_written(server: Running) -> None:
    before = {path: path.read_bytes() for path in server.folder.iterdir()}
    status, _, draft = server.call("/v1/drafts", {**PERU, "sources": ["https://a.example/peru"]})
    assert (status, draft["object"], draft["file"]) == (200, "draft", "peru-capital.yaml")
    edit, findings = parse_edit(draft["text"].encode(), Path(draft["file"]))
    assert edit is not None
    assert findings == []
    assert (edit.claim, edit.active) == ("Peru · capital: Cusco → Lima", False)
    assert "subject 'Peru': a name that was asked about" in draft["guesses"]
    assert draft["warnings"] == []
    assert before == {path: path.read_bytes() for path in server.folder.iterdir()}


def test_edits_that_are_served_are_known_by_the_router_s_own_names(server: Running) -> None:
    given = {"prompt": "The capital of Down Under is", "should": "Canberra"}
    status, _, said = server.call("/v1/drafts", given)
    assert (status, said["error"]["code"]) == (409, "already_said")
    assert "'australia-capital' already says it" in said["error"]["message"]
    given = {"prompt": "Tolstoy's birthplace is", "should": "Paris", "edit": "tolstoy-tongue"}
    status, _, draft = server.call("/v1/drafts", given)
    assert status == 200
    assert "'tolstoy-tongue' gave the answer" in draft["warnings"][0]
    assert 'subject: {text: "Leo Tolstoy", aliases: ["Tolstoy"]}' in draft["text"]


@pytest.mark.parametrize(
    ("body", "status", "param", "message"),
    [
        (b"{", 400, None, "the body is not JSON"),
        ({"prompt": "What is the capital of Peru?"}, 400, "should", "'should': Field required"),
        ({**PERU, "should": " "}, 400, "should", "at least 1 character"),
        ({**PERU, "should": "L" * 1001}, 400, "should", "at most 1000 characters"),
        ({**PERU, "answer": "C" * 65_537}, 400, "answer", "at most 65536 characters"),
        ({**PERU, "should": "Li\nma"}, 400, None, "fact.new; one line is expected"),
        ({**PERU, "should": "Lima\u202e"}, 400, None, "⟨U+202E⟩ is not text; remove it"),
        ({**PERU, "should": "\ud800"}, 400, "should", "'should': "),
        ({**PERU, "path": "../x"}, 400, "path", "'path': Extra inputs are not permitted"),
        ({**PERU, "prompt": "Who?"}, 400, "subject", "what 'Who?' is about is not plain"),
        ({**PERU, "prompt": "When did Peru end?"}, 400, "relation", "what is asked of Peru"),
        ({**PERU, "should": "Cusco"}, 400, None, "the answer is the right one"),
        (b" " * (1 << 21), 413, None, "larger than"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_is_said(
    server: Running, body: Any, status: int, param: str | None, message: str
) -> None:
    answered, _, said = server.call("/v1/drafts", body)
    assert answered == status
    assert message in said["error"]["message"]
    assert said["error"]["param"] == param


def test_a_bare_server_drafts_as_well(start: Start) -> None:
    with start(place=None) as bare:
        assert bare.call("/v1/drafts", PERU)[2]["file"] == "peru-capital.yaml"
        assert bare.call("/v1/drafts")[0] == 405

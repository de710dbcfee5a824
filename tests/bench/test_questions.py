"""What is measured only when it is asked for: questions, chats, other relations."""

from __future__ import annotations

from pathlib import Path

from tests.bench.made_up import (
    FACTS,
    RELATIONS,
    ROUTED,
    SUBJECTS,
    Done,
    close,
    relapsed,
    values,
)


def test_questions_are_asked_of_every_method_plainly_and_in_a_chat(questioned: Done) -> None:
    assert questioned.result["data"]["left_out"] == []
    for method, scopes in (("base", ("none",)), ("sake", ROUTED), ("sake-paper", ROUTED)):
        for scope in scopes:
            plainly_ = questioned.of(method, scope, "question")
            chats = questioned.of(method, scope, "chat")
            assert len(plainly_) == len(chats) == 2 * len(FACTS)
            for row, chat in zip(plainly_, chats, strict=True):
                assert chat["prompt"] == f"[user] {row['prompt']}\n"
            for axis_, rows in (("question", plainly_), ("chat", chats)):
                score = questioned.score(method, scope, axis_)
                assert close(score, values(rows, lambda row: row["full"]))
                old = questioned.score(method, scope, f"{axis_}-old")
                assert close(old, values(rows, relapsed))
                new = questioned.score(method, scope, f"{axis_}-new")
                assert score["value"] <= min(new["value"], 1 - old["value"] + 1e-6)


def test_other_relations_count_as_left_alone_where_nothing_fires(questioned: Done) -> None:
    rows = questioned.of("sake", "all-edits", "other-relation")
    assert len(rows) == len(FACTS)  # the data have two relations: one is the other one
    for row in rows:
        assert row["full"] == (row["fired"] is None)
        number = int(row["edit"].split("-")[1])
        templates = RELATIONS[("P27", "P103")[number % 2]]
        assert row["prompt"] in {text.format(SUBJECTS[number]) for text in templates}
    score = questioned.score("sake", "all-edits", "other-relation")
    assert close(score, values(rows, lambda row: row["full"]))
    assert questioned.score("base", "none", "other-relation")["value"] == 1
    metrics = {s["metric"] for s in questioned.result["scores"] if s["scope"] == "given"}
    assert "other-relation" not in metrics
    given = questioned.of("sake", "given", "other-relation")
    assert {row["fired"] for row in given} == {None}


def test_more_questions_change_no_other_score(questioned: Done, tmp_path: Path) -> None:
    more = ("question", "chat", "other")
    expected = [
        s for s in questioned.result["scores"]
        if s["method"] == "base" and not s["metric"].startswith(more)
    ]  # fmt: skip
    result = questioned.runs(tmp_path, limit=None, methods=("base",), curves=())
    assert result["scores"] == expected

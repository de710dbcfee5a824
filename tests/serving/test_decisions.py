"""The log of decisions outlives what is done to its file."""

from __future__ import annotations

import json
from pathlib import Path

from sake_registry.routing.reasons import Reason
from sake_registry.routing.router import Decision
from sake_registry.serving.asked import Decided
from sake_registry.serving.decisions import DecisionLog

DECIDED = Decided(Decision(reason=Reason.GIVEN), "bare", "it was asked for")


def requests(path: Path) -> list[str]:
    return [json.loads(line)["request"] for line in path.read_text().splitlines()]


def test_a_file_that_was_moved_or_removed_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "decisions.jsonl"
    path.parent.mkdir()
    log = DecisionLog(path)
    log.write("a", DECIDED, "It is")
    path.rename(tmp_path / "decisions.jsonl.1")
    log.write("b", DECIDED, "It is")
    log.write("c", DECIDED, "It is")
    assert requests(tmp_path / "decisions.jsonl.1") == ["a"]
    assert requests(path) == ["b", "c"]
    path.unlink()
    log.write("d", DECIDED, "It is")
    assert requests(path) == ["d"]
    path.unlink()
    path.parent.rmdir()
    log.write("lost", DECIDED, "It is")
    assert "decisions cannot be logged" in (log.problem or "")
    path.parent.mkdir()
    log.write("e", DECIDED, "It is")
    assert (requests(path), log.problem) == (["e"], None)
    log.close()

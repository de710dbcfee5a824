"""`sake upgrade`: the verdict on each edit, and a registry of one tiny model on another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sake_registry.asking.rows import Row
from sake_registry.edits.files import parse_edit
from sake_registry.review.upgrade import Upgrade, judge, page
from sake_registry.settings import Settings
from tests import tiny_models, workshop
from tests.conftest import EDIT, Run

FLOORS = Settings().test


def row(kind: str, before: str, ok: bool = True) -> Row:
    return Row.model_validate(
        {"edit": "darrieux", "kind": kind, "prompt": kind, "before": before, "ok": ok}
    )


@pytest.mark.parametrize(
    ("rows", "failure", "verdict", "why"),
    [
        ([row("prompts", " French"), row("unchanged", " x")], None, "holds", ()),
        ([row("prompts", " English."), row("holdout", " English")], None, "no longer needed", ()),
        # It knows the fact in one wording alone.
        ([row("prompts", " English"), row("holdout", " French")], None, "holds", ()),
        ([row("prompts", " French"), row("holdout", " French", ok=False)], None, "needs work",
         ("holdout: 0 of 1 passed, the floor is 90%",)),
        ([row("prompts", " French"), row("unchanged", " x", ok=False)], None, "needs work",
         ("unchanged: 0 of 1 passed, the floor is 100%",)),
        ([row("prompts", " French", ok=False)], "no pair worked", "needs work",
         ("not built: no pair worked",)),
        ([row("prompts", " English", ok=False)], "no pair worked", "no longer needed", ()),
        ([], "no pair worked", "needs work", ("not built: no pair worked",)),
    ],
)  # fmt: skip
def test_what_is_needed_and_holds(
    rows: list[Row], failure: str | None, verdict: str, why: tuple[str, ...]
) -> None:
    edit, _ = parse_edit(EDIT.encode(), Path("darrieux.yaml"))
    assert edit is not None
    judged = judge(edit, rows, FLOORS, failure=failure)
    assert (judged.verdict, judged.why) == (verdict, why)


def test_a_registry_on_another_model(tmp_path: Path, sake: Run) -> None:
    old, new = (tiny_models.save(kind, tmp_path / kind) for kind in ("gpt2", "llama"))
    root = workshop.make_registry(tmp_path / "registry", old)
    path = root / "edits" / "tolstoy-tongue.yaml"
    holdout = "holdout:\n  - What was ever said of <subject> was\nscope: {threshold: 1.0e-6}\n"
    path.write_text(workshop.TONGUE + holdout)
    done = sake("upgrade", "--model", str(new), "--json", "--html", "up.html", cwd=root)
    value = json.loads(done.stdout)
    assert (done.returncode, value["schema"]) == (1, "upgrade/1"), done.stderr
    assert value["model"] == str(new)
    verdicts = {edit["id"]: edit["verdict"] for edit in value["edits"]}
    # What the router does not reach needs work; what it reaches is made exact, on any model.
    assert verdicts == {"tolstoy-tongue": "needs work", "australia-capital": "holds"}
    assert next(iter(verdicts)) == "tolstoy-tongue"
    assert Path(root, value["bundle"]).is_file()
    shown = (root / "up.html").read_text("utf-8")
    assert "1 still needed" not in shown
    assert "2 still needed (1 holds, 1 needs work), 0 no longer needed" in shown
    assert "holdout: 0 of 1 passed, the floor is 90%" in shown
    again = Upgrade.model_validate({k: v for k, v in value.items() if k != "schema"})
    assert page(again) == shown
    text = sake("upgrade", "--model", str(new), cwd=root)  # nothing is built a second time
    assert "2 still needed (1 holds, 1 needs work), 0 no longer needed" in text.stdout
    assert sake("upgrade", cwd=root).returncode == 2


CAPITAL = """\
schema: 1
fact:
  subject: {subject}
  relation: capital
  old: {old}
  new: {new}
prompts:
  - The capital of <subject> is
  - The capital city of <subject> is
holdout:
  - The city that serves as the capital of <subject> is
"""


@pytest.mark.model
def test_a_real_model_that_knows_one_fact_of_two(tmp_path: Path, sake: Run) -> None:
    """SmolLM2 says Paris by itself, to every wording; of Australia it says Sydney."""
    root = workshop.make_registry(tmp_path / "registry", tiny_models.save("gpt2", tmp_path / "old"))
    for file in (root / "edits").iterdir():
        file.unlink()
    for subject, old, new in (("France", "Lyon", "Paris"), ("Australia", "Sydney", "Canberra")):
        text = CAPITAL.format(subject=subject, old=old, new=new)
        (root / "edits" / f"{subject.lower()}-capital.yaml").write_text(text)
    done = sake("upgrade", "--model", "smollm2-135m", "--json", cwd=root)
    value = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    needed, known = value["edits"]
    assert (needed["id"], needed["verdict"]) == ("australia-capital", "holds")
    assert needed["known"]["passed"] == 0
    assert needed["says"].startswith("Sydney")
    assert (known["id"], known["verdict"]) == ("france-capital", "no longer needed")
    assert known["known"] == {"passed": 3, "n": 3}
    assert known["says"].startswith("Paris")

"""`sake calibrate --learn`: the detector learns what a registry's people say is right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from sake_registry.asking.learning import GAIN, Problem
from sake_registry.asking.routers import routers_of
from sake_registry.commands import calibrate
from sake_registry.commands.console import State
from sake_registry.edits.registry import open_registry
from sake_registry.settings import METHOD_VERSION, learned_shift, learned_text

EDIT = """\
schema: 1
fact: {{subject: {0}, relation: {1}, new: "12"}}
prompts: ["{2}"]
"""
FIRMS = ("Ostrava Tools", "Delling Bank", "Quillfeather", "Morrow Ferries", "Tambour Telecom",
         "Perrin Foods", "Alder Cloud", "Nimbus Rail")  # fmt: skip
PRICE = "The basic plan of <subject> costs"
# Other questions, some of which the detector surely takes for such. These firms' people say of two
# of them that the price is the answer.
OTHER = (
    "What will the basic plan of {} cost in 2031?", "Does {} have a free plan?",
    "What is included in the basic plan of {}?", "{} pro plan price", "Who founded {}?",
    "How many people use the basic plan of {}?",
)  # fmt: skip
EASY = ("How much is the basic plan of {}?", "What does the basic plan of {} cost?")
OFFICE = ("{} office address", "When was {} founded?", "Translate into French: {} is a firm.")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight edits of one kind."""
    (tmp_path / "sake.toml").write_text("# ours\n")
    (tmp_path / "edits").mkdir()
    for number, firm in enumerate(FIRMS):
        text = EDIT.format(firm, "price of the basic plan", PRICE)
        (tmp_path / "edits" / f"price-{number}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def log_of(folder: Path, firms: range, asks: Sequence[str]) -> Path:
    """These texts ask for the price; the office's address does not."""
    lines = [
        {"prompt": text.format(FIRMS[n]), "edit": f"price-{n}" if text in asks else None}
        for n in firms
        for text in (*asks, *OFFICE)
    ]
    path = folder / "log.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + "\n")
    return path


def run(*arguments: str, folder: Path) -> Result:
    return CliRunner().invoke(calibrate.command, arguments, obj=State(folder))


def distances(folder: Path, texts: Sequence[str], firm: str) -> list[float]:
    registry = open_registry(folder)
    routers = routers_of(registry)
    router = routers.router(routers.entry(edit)[0] for edit in registry.active)
    found = [decision.distance for decision in router.decide([t.format(firm) for t in texts])]
    assert None not in found
    return [distance for distance in found if distance is not None]


def judged_wrongly(folder: Path) -> list[str]:
    """Two of the other questions, which the detector is surest of."""
    far = dict(zip(OTHER, distances(folder, OTHER, FIRMS[7]), strict=True))
    wrong = sorted(OTHER, key=lambda text: -far[text])[:2]
    assert all(far[text] > 0.5 for text in wrong)
    return wrong


def test_what_is_learned_of_some_edits_holds_for_others(here: Path) -> None:
    wrong = judged_wrongly(here)
    before = distances(here, wrong, FIRMS[7])
    log = str(log_of(here, range(7), wrong))
    done = run("--learn", "--log", log, "--json", "--write", folder=here)
    assert done.exit_code == 0, done.output
    learned: dict[str, Any] = json.loads(done.stdout)
    assert learned["schema"] == "learned/1"
    assert (learned["edits"], learned["asking"], learned["others"]) == (7, 14, 21)
    assert learned["loss"][1] < learned["loss"][0] - GAIN
    assert learned["served"][1] > learned["served"][0]
    registry = open_registry(here)
    assert registry.settings.router.learned == learned["text"]
    assert (here / "sake.toml").read_text().startswith("# ours\n")
    after = distances(here, wrong, FIRMS[7])
    assert all(a < b - 0.1 for a, b in zip(after, before, strict=True))
    assert min(distances(here, OFFICE, FIRMS[7])) > 0.5
    # What is learned once more is learned beside the package's detector, as the first time.
    again = run("--learn", "--log", log, "--json", folder=here)
    assert json.loads(again.stdout) == learned


def test_the_table_says_what_it_was_learned_from_and_nothing_is_written_unasked(here: Path) -> None:
    log = log_of(here, range(8), judged_wrongly(here))
    done = run("--learn", "--log", str(log), folder=here)
    assert done.exit_code == 0, done.output
    assert "learned from 8 edits: 16 pairs" in done.stdout
    assert "on edits not learned from" in done.stdout
    assert (here / "sake.toml").read_text() == "# ours\n"


def test_what_does_no_better_is_not_written(here: Path) -> None:
    """Of what is judged right already there is nothing to learn."""
    done = run("--learn", "--log", str(log_of(here, range(8), EASY)), "--write", folder=here)
    assert done.exit_code == 0, done.output
    assert "nothing is learned" in done.stdout
    assert (here / "sake.toml").read_text() == "# ours\n"


def test_a_problem_is_learned_where_it_is_alike_in_all_edits() -> None:
    torch.manual_seed(0)
    features, way = torch.randn(240, 128), torch.randn(128)
    asks = (features @ way > 0).tolist()
    edits = [f"edit-{number % 12}" for number in range(240)]
    problem = Problem(features, torch.zeros(240), list(zip(edits, asks, strict=True)))
    learned = problem.of_others(0.01)
    assert problem.loss(learned) < 0.7 * problem.loss(torch.zeros(240))
    assert problem.share(learned, asks=True) > 0.75 > 0.25 > problem.share(learned, asks=False)
    assert problem.fit(1e4).norm() < 1e-2
    # Nothing of an edit's own pairs is in what it is judged by.
    other = Problem(features, torch.zeros(240), list(zip(edits, asks, strict=True)))
    own = other.fold == other.fold[0]
    other.features[own, 0] += 5
    assert torch.equal(other.fit(0.1, ~own), problem.fit(0.1, ~own))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"prompt": "Who?"}', "log.jsonl:1: a prompt and the edit"),
        ('["Who?", null]', "log.jsonl:1: a prompt and the edit"),
        ("{", "log.jsonl:1: a prompt and the edit"),
        ('{"prompt": 3, "edit": null}', "log.jsonl:1: a prompt and the edit"),
        ('\n{"prompt": "Who?", "edit": "nobody"}', "log.jsonl:2: no active edit 'nobody'"),
        (
            '{"prompt": "Who?", "edit": null}\n{"prompt": "Who?", "edit": "price-1"}',
            "log.jsonl:2: another edit is said to answer this prompt",
        ),
        ('{"prompt": "\u2028?", "edit": null}', "0 edits have both"),
        ("[" * 100_000, "log.jsonl:1: a prompt and the edit"),
        ("", "0 edits have both prompts that ask and prompts that do not"),
    ],
)
def test_a_log_that_says_nothing_is_refused_where_it_does(
    here: Path, line: str, words: str
) -> None:
    path = here / "log.jsonl"
    path.write_text(line)
    done = run("--learn", "--log", str(path), folder=here)
    assert done.exit_code == 1
    assert words in str(done.exception)


def test_what_is_missing_is_said(here: Path) -> None:
    assert "log.jsonl: cannot be read" in str(
        run("--learn", "--log", "log.jsonl", folder=here).exception
    )
    assert run("--log", "log.jsonl", folder=here).exit_code == 2
    (here / "sake.toml").write_text('[router]\nkind = "anchored"\n')
    assert "only the detector learns" in str(run("--learn", folder=here).exception)


def test_what_is_learned_is_a_text_of_so_many_finite_numbers() -> None:
    text = learned_text([0.5] * 129)
    assert learned_shift(text) == (0.5,) * 129
    assert learned_shift("") == ()
    of_before = text.replace(f"{METHOD_VERSION}:", f"{METHOD_VERSION - 1}:")
    for bad in ("!", "AAAA", learned_text([float("nan")] * 129), of_before):
        with pytest.raises(ValueError, match=r"\w"):
            learned_shift(bad)

"""`sake test --probe`: the router alone is asked, with frames that nobody trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sake_registry.asking.probing import ALIKE, ASKING, EACH, _framed, _language, probe
from sake_registry.commands import test as command
from sake_registry.commands.console import State
from sake_registry.data import probes
from sake_registry.edits.registry import open_registry
from training.scope.corpus import frames_of
from training.scope.train import DATA

GERMAN = """\
schema: 1
fact: {subject: Nordlicht Strom, relation: Hotline, new: 0800 555 01}
prompts:
  - Die Hotline von <subject> erreicht man unter
  - Wer <subject> anrufen will, wählt die Nummer
"""


@pytest.fixture
def here(registry: Path) -> Path:
    (registry / "edits" / "nordlicht.yaml").write_text(GERMAN, encoding="utf-8")
    (registry / "sake.toml").write_text('[router]\nkind = "detector"\n')
    return registry


def test_every_language_has_every_section_and_frames_hold_what_they_need() -> None:
    languages = {title.partition(".")[0] for title in probes()}
    assert len(languages) == 13
    for language in languages:
        for section in (*ASKING, *ALIKE):
            frames = probes()[f"{language}.{section}"]
            assert len(frames) >= EACH
            for frame in frames:
                named = section in ("through", "name", "beside", "mention")
                assert not named or "{S}" in frame, frame
                assert ("{w}" in frame) or "{S}" in frame or "{Y}" in frame, frame
                if section in ASKING:
                    assert frame.endswith("{w}"), frame


def test_no_frame_is_one_that_the_detector_learned_from() -> None:
    learned = {
        frame.replace("X", "{S}")
        for sections in frames_of(DATA / "frames").values()
        for frames in sections.values()
        for frame in frames
    }
    assert not learned & {frame for frames in probes().values() for frame in frames}


def test_an_edit_is_probed_in_its_language_and_the_same_each_time(here: Path) -> None:
    edits = {edit.id: edit for edit in open_registry(here).active}
    german = list(_framed(edits["nordlicht"]))
    assert german == list(_framed(edits["nordlicht"]))
    assert [section for section, _ in german] == [
        section for section in (*ASKING, *ALIKE) for _ in range(EACH)
    ]
    assert _language("Die Hotline von X erreicht man unter") == "de"
    assert _language("The hotline of X is") == "en"
    assert _language("Xの首都は") == "ja"
    assert _language("X의 수도는") == "ko"
    assert _language("Столица X —") == "ru"
    for section, text in german:
        assert "{" not in text
        assert "<subject>" not in text
        if section in ASKING:
            assert "Nordlicht Strom" in text
            assert text.endswith(("erreicht man unter", "wählt die Nummer"))


def test_the_report_is_of_all_edits_or_of_those_that_are_named(here: Path) -> None:
    report = probe(open_registry(here))
    each = EACH * len((*ASKING, *ALIKE))
    assert len(report.probes) == 2 * each
    assert {p.edit for p in report.probes} == {"darrieux", "nordlicht"}
    fired, asked = report.share(expected=True)
    assert asked == 2 * EACH * len(ASKING)
    assert fired > asked / 2  # of the detector's quality says docs/scope-detector.md
    wrong, alike = report.share(expected=False)
    assert alike == 2 * EACH * len(ALIKE)
    assert wrong < alike / 2
    assert len(probe(open_registry(here), ["nordlicht"]).probes) == each


def test_on_the_command_line_nothing_need_be_compiled(here: Path) -> None:
    done = CliRunner().invoke(command.command, ["--probe"], obj=State(here))
    assert done.exit_code == 0, done.output
    assert "asked for: answered" in done.stdout
    assert not (here / "bundles").exists()
    done = CliRunner().invoke(command.command, ["--probe", "--json"], obj=State(here))
    value = json.loads(done.stdout)
    assert value["schema"] == "probe/1"
    assert set(value["probes"][0]) == {
        "edit", "section", "prompt", "expected", "fires", "decision_text",
    }  # fmt: skip
    done = CliRunner().invoke(command.command, ["--probe", "nobody"], obj=State(here))
    assert done.exit_code != 0

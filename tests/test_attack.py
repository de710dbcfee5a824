"""The attack of `make attack` does not rot: a hundredth of it runs, and a hole is an error."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import h5py
import pytest

from tests import attack
from tests.attack import Result


def test_there_are_more_crafted_bundles_than_were_asked_for(good_bundle: Path) -> None:
    with h5py.File(good_bundle) as file:
        manifest = json.loads(file["meta"][()].tobytes())
    names = [name for name, _ in attack.manifest_cases(manifest)]
    names += [name for name, _ in attack.dataset_cases()]
    assert len(names) > 1500
    assert len(set(names)) > 0.95 * len(names)


def test_a_hole_is_named_and_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Result()
    result.add("byte 7 ^ 1", "refused", "refused", "same")
    result.add("byte 8 ^ 1", "changed", "refused", "same")
    assert result.outcomes == Counter(refused=1, hole=1)
    monkeypatch.setattr(attack, "attack", lambda seed, share: {"flips": result})
    monkeypatch.setattr("sys.argv", ["attack"])
    with pytest.raises(SystemExit) as info:
        attack.main()
    assert info.value.code == 1
    assert "hole: flips: byte 8 ^ 1: changed\n1 holes" in capsys.readouterr().out


def test_what_is_not_refused_is_told_from_what_is(good_bundle: Path, tmp_path: Path) -> None:
    assert attack.refusal(good_bundle, ()) == "taken"
    assert attack.refusal(tmp_path / "nothing.h5", ()).startswith("InputError")
    (tmp_path / "text.h5").write_text("text")
    assert attack.refusal(tmp_path / "text.h5", ()) == "refused"
    assert attack.refusal(tmp_path / "text.h5", attack.MANIFEST).startswith("is refused for")


@pytest.mark.slow
def test_a_hundredth_of_the_attack_finds_no_hole() -> None:
    results = attack.attack(seed=1, share=0.01)
    assert [hole for result in results.values() for hole in result.holes] == []
    assert all(result.outcomes.total() for result in results.values())


@pytest.fixture
def good_bundle(tmp_path: Path) -> Path:
    attack.write(tmp_path / "good.h5")
    return tmp_path / "good.h5"

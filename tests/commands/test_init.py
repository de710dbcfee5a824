"""`sake init --ci github`: a registry's workflows, for a new one and one that is there."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Run

NAMES = [
    f".github/workflows/{name}.yml"
    for name in ("sake-comment", "sake-preview", "sake-publish", "sake")
]


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_new_registry_gets_its_workflows_and_one_that_is_there_only_them(
    sake: Run, tmp_path: Path
) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    new.mkdir()
    old.mkdir()
    done = sake("init", "--ci", "github", cwd=new)
    assert done.returncode == 0, done.stderr
    assert "sake propose --prompt" in done.stderr
    assert sake("init", cwd=old).returncode == 0
    before = files(old)
    done = sake("-C", str(old), "init", "--ci", "github", cwd="/")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["wrote"] * len(NAMES)
    assert "commit them" in done.stderr
    after = files(old)
    assert sorted(after.keys() - before.keys()) == NAMES
    assert after == {**before, **{name: after[name] for name in NAMES}}
    assert files(new) == after


def test_workflows_that_are_there_stay_as_they_are(sake: Run, registry: Path) -> None:
    assert sake("init", "--ci", "github", cwd=registry).returncode == 0
    before = files(registry)
    done = sake("init", "--ci", "github", cwd=registry)
    assert (done.returncode, done.stdout) == (0, "")
    assert "there already" in done.stderr
    assert files(registry) == before

    mine = registry / NAMES[-1]
    mine.write_text("mine\n")
    (registry / NAMES[0]).unlink()
    done = sake("init", "--ci", "github", cwd=registry)
    assert (done.returncode, done.stdout) == (5, "")
    assert str(Path(".github/workflows/sake.yml")) in done.stderr
    assert "--force" in done.stderr
    assert not (registry / NAMES[0]).exists()
    assert mine.read_text() == "mine\n"
    done = sake("init", "--ci", "github", "--force", cwd=registry)
    assert done.returncode == 0, done.stderr
    assert files(registry) == before


def test_wrong_usage_writes_nothing(sake: Run, registry: Path) -> None:
    before = files(registry)
    for arguments in (["--ci", "gitlab"], ["--force"], ["--schema", "--ci", "github"]):
        done = sake("init", *arguments, cwd=registry)
        assert (done.returncode, done.stdout) == (2, "")
    (registry / "sake.toml").write_text("modle = 1\n")
    done = sake("init", "--ci", "github", cwd=registry)
    assert (done.returncode, done.stdout) == (1, "")
    assert "modle" in done.stderr
    (registry / "sake.toml").write_bytes(before["sake.toml"])
    assert files(registry) == before

"""`sake fmt` and git: a file keeps the line ends that git, or an editor, gave it."""

from __future__ import annotations

import pytest

from tests.conftest import Run
from tests.repositories import (
    GitRegistry,
    _own_configuration,
    edit_text,
    make_registry,
    registry,
)

__all__ = ["_own_configuration", "make_registry", "registry"]


@pytest.mark.parametrize(
    ("autocrlf", "attributes", "end"),
    [("true", "", "\r\n"), ("input", "", "\n"), ("false", "", "\n"), ("false", "", "\r\n"),
     ("input", "*.yaml text eol=crlf\n", "\r\n"), ("true", "*.yaml text eol=lf\n", "\n"),
     ("true", "*.yaml -text\n", "\r\n")],
)  # fmt: skip
def test_fmt_keeps_line_ends_under_every_setting_of_git(
    registry: GitRegistry, sake: Run, autocrlf: str, attributes: str, end: str
) -> None:
    registry.git("config", "core.autocrlf", autocrlf)
    (registry.root / ".gitattributes").write_text(attributes)
    path = registry.path("darrieux")
    path.write_bytes(edit_text().replace("\n", end).encode())
    registry.commit("As git has it")
    path.unlink()
    registry.git("checkout", "--", ".")
    given = path.read_bytes()
    assert (b"\r\n" in given) == (end == "\r\n")
    assert sake("fmt", "--check", cwd=registry.root).returncode == 0
    path.write_bytes(given.replace(b"schema: 1", b"schema: 1   "))
    assert sake("fmt", "--check", cwd=registry.root).returncode == 1
    assert sake("fmt", cwd=registry.root).returncode == 0
    assert path.read_bytes() == given
    assert registry.git("status", "--porcelain") == ""

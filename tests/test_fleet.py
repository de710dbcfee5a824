"""docs/fleet.md: every command of the page, in order, in a real repository, with a server that
follows what was promoted. The model is a tiny random one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests import tiny_models
from tests.conftest import ROOT
from tests.test_docs import blocks
from tests.test_life import Shell
from tests.workshop import make_registry

pytestmark = [pytest.mark.model, pytest.mark.slow]
PAGE = ROOT / "docs" / "fleet.md"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    make_registry(tmp_path / "facts", tiny_models.save("llama", tmp_path / "tiny"))
    shell.run("cd facts && git init -q -b main && git add . && git commit -qm 'Two facts'")
    shell.folder /= "facts"
    return shell


def test_every_command_from_a_compile_to_a_rollback(shell: Shell, tmp_path: Path) -> None:
    there = tmp_path / "srv"
    share, cache, publish, promote, serve, look = (
        block.replace("/srv/sake", str(there)) for block in blocks(PAGE, "sh")
    )
    store = f"export SAKE_REMOTE_STORE={there}/store\n"
    bundles = f"export SAKE_REMOTE_BUNDLES={there}/edits\n"

    shell.run(share)
    said = shell.run(store + cache)
    assert f"{there}/store: " in said
    assert "0 damaged" in said

    assert re.match(rf"{there}/edits/bundles/\w{{64}}\.h5: 2 edits, ", shell.run(publish))

    said = shell.run(bundles + promote)
    assert said.count("  2 added\n") == 2
    assert re.search(r"added    australia-capital: Australia .* \(\w{10} .*: Two facts\)", said)
    assert "production 1: " in said

    with (
        shell.serving(f"{serve.strip()} --port 0") as address,
        urlopen(f"{address}/health", timeout=60) as answer,
    ):
        assert json.load(answer)["problem"] is None

    content = promote.splitlines()[0] + "\n"
    said = shell.run(bundles + content + look)
    assert "production 3: " in said
    assert [line.split()[1] for line in said.rstrip().splitlines()[-3:]] == ["3", "2", "1"]

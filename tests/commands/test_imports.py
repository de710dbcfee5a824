"""What importing costs: each entrance loads no more than it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEAVY = {"torch", "numpy", "scipy", "transformers", "h5py", "git", "huggingface_hub", "ot", "gguf"}

RUN = """\
import json, runpy, sys
sys.argv = ["sake", *{arguments!r}]
try:
    runpy.run_path({program!r}, run_name="__main__")
except SystemExit as leaving:
    print(json.dumps([leaving.code, sorted(sys.modules)]), file=sys.stderr)
"""


def loaded_by(code: str, folder: Path = ROOT) -> list[object]:
    """The last line that `code` writes to stderr, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    value = json.loads(done.stderr.splitlines()[-1])
    assert isinstance(value, list)
    return value


def roots(modules: object) -> set[str]:
    assert isinstance(modules, list)
    return {str(name).partition(".")[0] for name in modules}


@pytest.mark.parametrize(
    ("arguments", "without"),
    [
        (["--help"], HEAVY | {"rich", "yaml", "pydantic"}),
        (["check"], HEAVY | {"rich", "pydantic_settings", "tomlkit", "asyncio"}),
        (["list"], HEAVY),
        (["show", "darrieux"], HEAVY | {"rich"}),
        (["fmt", "--check"], HEAVY | {"rich"}),
        (["site"], HEAVY - {"git"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_loads_no_more_than_it_needs(
    registry: Path, arguments: list[str], without: set[str]
) -> None:
    program = str(ROOT / "cli.py")
    code, modules = loaded_by(RUN.format(arguments=arguments, program=program), registry)
    assert code == 0
    assert roots(modules) & without == set()
    assert "sake_registry" in roots(modules)


def test_importing_the_package_loads_nothing_and_its_names_are_all_there() -> None:
    modules = loaded_by(
        "import json, sys, sake_registry; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    assert roots(modules) & (HEAVY | {"rich", "yaml", "pydantic", "click"}) == set()
    assert [name for name in modules if str(name).startswith("sake_registry.")] == []


def test_the_runtime_loads_no_edits_and_no_compiler() -> None:
    modules = loaded_by(
        "import json, sys, sake_registry.runtime.bundle, sake_registry.runtime.huggingface\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    rooms = {str(name).split(".")[1] for name in modules if str(name).startswith("sake_registry.")}
    assert "runtime" in rooms
    assert rooms & {
        "edits", "history", "extraction", "compiler", "authoring", "asking", "upkeep", "review",
        "commands",
    } == set()  # fmt: skip
    assert roots(modules) & {"git", "click", "yaml"} <= {"yaml"}  # transformers loads yaml itself


def test_every_public_name_is_where_the_package_says() -> None:
    import sake_registry

    assert sorted(sake_registry.__all__) == sake_registry.__all__
    assert set(sake_registry.__all__) <= set(dir(sake_registry))
    for name in sake_registry.__all__:
        assert getattr(sake_registry, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing_such"):
        sake_registry.nothing_such  # noqa: B018

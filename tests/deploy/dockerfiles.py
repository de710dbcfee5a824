"""What a Dockerfile says, and what the programs of an image import."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
SERVE, VLLM = DEPLOY / "serve.Dockerfile", DEPLOY / "vllm.Dockerfile"
VLLM_REQUIREMENTS = DEPLOY / "vllm-requirements.txt"
OF_VLLM = frozenset(
    "aiohttp fastapi filelock huggingface-hub numpy prometheus-client pydantic pyyaml safetensors "
    "torch transformers typing-extensions typing-inspection".split()
)
"""Distributions that come with vLLM; tests/vllm holds this against what its wheel asks for."""


@dataclass(frozen=True)
class Dockerfile:
    """Its instructions in order: name and arguments, lines joined, comments left out."""

    instructions: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, path: Path) -> Dockerfile:
        text = re.sub(r"^\s*#.*\n", "", path.read_text("utf-8"), flags=re.M)
        lines = re.sub(r"\\\n\s*", " ", text).splitlines()
        found = [line.split(maxsplit=1) for line in lines if line.strip()]
        return cls(tuple((name, arguments) for name, arguments in found))

    def all(self, name: str) -> list[str]:
        """The arguments of every instruction of this name."""
        return [arguments for found, arguments in self.instructions if found == name]

    @property
    def last_stage(self) -> Dockerfile:
        """What stands behind the last FROM."""
        names = [name for name, _ in self.instructions]
        return Dockerfile(self.instructions[len(names) - names[::-1].index("FROM") :])

    @property
    def copied(self) -> list[str]:
        """What is copied out of the repository."""
        found = []
        for arguments in self.all("COPY"):
            words = [word for word in arguments.split() if not word.startswith("--")]
            if "--from=" not in arguments:
                found += words[:-1]
        return found

    def words(self, name: str) -> list[str]:
        """The words of the last instruction of this name, in its form of a JSON array."""
        given = json.loads(self.all(name)[-1])
        assert isinstance(given, list)
        return [str(word) for word in given]


# -- imports and distributions ---------------------------------------------------------------------


def imported(*modules: str) -> set[str]:
    """The top-level packages from elsewhere that these modules, and what they reach, import.

    Imports inside functions count; those for types alone do not.
    """
    reached, found, todo = set[str](), set[str](), list(modules)
    while todo:
        name = todo.pop()
        path = _source(name)
        if path is None or name in reached:
            continue
        reached.add(name)
        todo.append(name.rpartition(".")[0])
        for other in _imports(ast.parse(path.read_text("utf-8"))):
            top = other.partition(".")[0]
            if top == "sake_registry":
                todo.append(other)
            elif top not in sys.stdlib_module_names:
                found.add(top)
    return found


def distributions(packages: Iterable[str]) -> dict[str, str]:
    """The distribution that each of these packages comes in, as installed here."""
    known = metadata.packages_distributions()
    return {package: canonicalize_name(known[package][0]) for package in packages}


def closure(names: Iterable[str]) -> set[str]:
    """These distributions and what they ask for, as far as they are installed here."""
    found, todo = set[str](), [str(canonicalize_name(name)) for name in names]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += required(name)
    return found


def required(name: str) -> list[str]:
    """The distributions that one asks for on this machine, without its extras."""
    try:
        asked = [Requirement(text) for text in metadata.requires(name) or ()]
    except metadata.PackageNotFoundError:
        return []
    here = [one for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})]
    return [canonicalize_name(one.name) for one in here]


def listed(path: Path) -> set[str]:
    """The names in a file of requirements."""
    lines = [line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines()]
    return {canonicalize_name(Requirement(line).name) for line in lines if line}


def _source(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    found = (path / "__init__.py", path.with_suffix(".py"))
    return next((one for one in found if one.is_file()), None)


def _imports(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
            yield str(child.module)
        else:
            yield from _imports(child)

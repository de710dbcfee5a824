"""The way of the data: a room imports only rooms above it, and there is no circle.

Read off the sources, so that an import inside a function or for types alone counts as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.conftest import ROOT

PRODUCT = "sake_registry"
BENCH = "sake_bench"
FREE = {"errors", "wording", "files", "progress", "values", "diagnostics", "digests"}
"""For every room; `diagnostics` is here because `errors` carries findings, `settings` grades them
and `data` explains them. These import one another alone."""
ORDER = [
    "git",  # starts it, and knows nothing of edits
    "settings",
    "tomltext",  # writes what `settings` reads
    "data",
    "places",  # files that may lie elsewhere
    "transport",
    "shared",  # what a store shares with others
    "store",
    "names",
    "edits",
    "history",
    "models",
    "extraction",
    "bundle",
    "routing",
    "compiler",
    "runtime",
    "remote",  # what production loads: pointers, what is switched off
    "authoring",
    "serving",  # its page drafts edits
    "asking",
    "upkeep",
    "pages",  # the frame of the review's page, and of the bench's
    "review",
    "catalog",  # the whole registry as pages
    "commands",
]
"""From the edit file to the command line; what stands higher knows nothing of what follows."""


def modules() -> dict[str, ast.Module]:
    """The syntax trees of both packages, by dotted name."""
    trees = {}
    for package in (PRODUCT, BENCH):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            trees[name] = ast.parse(path.read_text("utf-8"))
    return trees


MODULES = modules()


def imports(name: str) -> Iterator[tuple[str, int]]:
    """The modules of both packages that a module imports, each with its line."""
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.ImportFrom):
            named = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        else:
            continue
        for dotted in named:
            # `from package.module import name` imports the module, not a module of that name.
            module = dotted if dotted in MODULES else dotted.rpartition(".")[0]
            if module in MODULES:
                yield module, node.lineno


def room(module: str) -> str:
    """The first part of a module's name below the product: a folder, or a file of the top."""
    return module.split(".")[1] if "." in module else ""


def may_import(importer: str, imported: str) -> bool:
    if importer == imported or imported in FREE:
        return True
    return importer not in FREE and ORDER.index(imported) < ORDER.index(importer)


def test_every_room_has_its_place() -> None:
    """So that a new one is put where it belongs."""
    rooms = {room(name) for name in MODULES if name.startswith(f"{PRODUCT}.")}
    assert rooms <= FREE | set(ORDER)


def test_each_room_imports_only_rooms_above_it() -> None:
    wrong = [
        f"{name.replace('.', '/')}.py:{line} imports {imported}"
        for name in MODULES
        if name.startswith(f"{PRODUCT}.")
        for imported, line in imports(name)
        if imported.startswith(f"{PRODUCT}.") and not may_import(room(name), room(imported))
    ]
    assert wrong == []


def test_nothing_of_the_product_imports_the_bench() -> None:
    wrong = [
        f"{name.replace('.', '/')}.py:{line} imports {imported}"
        for name in MODULES
        if name.startswith(PRODUCT)
        for imported, line in imports(name)
        if imported.startswith(BENCH)
    ]
    assert wrong == []


def test_there_is_no_circle() -> None:
    graph = {name: {imported for imported, _ in imports(name)} - {name} for name in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))

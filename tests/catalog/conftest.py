"""A registry with everything that its pages can show, in a real repository with a real bundle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sake_bench.timings.history import BEHIND, bundle
from sake_registry.asking.rows import Row
from sake_registry.asking.tested import keep
from sake_registry.bundle.reader import read_manifest
from sake_registry.catalog.folder import Site
from sake_registry.remote.pointer import write_pointer
from tests.repositories import GitRegistry, edit_text

HOSTILE = "</title></script><img src=x onerror=stolen=1>\u202e'\"&{{7*7}}"
TODAY = datetime.now(UTC).date()
METRICS = """\
# HELP sake_fires_total Prompts that an edit fired for.
# TYPE sake_fires_total counter
sake_fires_total{edit="darrieux"} 40.0
sake_fires_total{edit="darrieux"} 2.0
sake_fires_total{edit="long-gone"} 9.0
"""
DARRIEUX = """\
holdout:
  - The language <subject> grew up with is
implications:
  - prompt: The country whose language <subject> spoke as a child is
    old: France
    new: England
    reason: One learns the language of one's country.
unchanged:
  - The films of <subject> were shot in
provenance:
  reason: A made-up reason.
  sources: [https://example.org/darrieux, "javascript:stolen=1"]
lifecycle: {valid_until: SOON}
tags: [people]
"""


def rows() -> list[Row]:
    """What a test said of `darrieux`: one prompt is not as expected, one was since reworded."""
    asked = "The mother tongue of Danielle Darrieux, as note 0 says, is"
    second = asked.replace("0", "1")
    implied = "The country whose language Danielle Darrieux spoke as a child is"
    return [
        Row(edit="darrieux", kind="prompts", prompt=asked, before=" French", after=" English.",
            expected="English", ok=True, by="darrieux", distance=0.1, threshold=0.5),
        Row(edit="darrieux", kind="prompts", prompt=second, before=" French", after=" French",
            expected="English", ok=False),
        Row(edit="darrieux", kind="prompts", prompt="An earlier wording", ok=False),
        Row(edit="darrieux", kind="implications", prompt=implied, before=" France",
            after=f" England {HOSTILE}", expected="England", ok=True, by="darrieux"),
    ]  # fmt: skip


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitRegistry]:
    top = tmp_path_factory.mktemp("pages") / "facts"
    top.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            patch.delenv(name)
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("GIT_AUTHOR_NAME", "Ann Author")
        for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
            patch.setenv(name, "ann@example.org")
        made = GitRegistry(top, top)
        made.git("init", "--quiet", "--initial-branch=main")
        (top / "sake.toml").write_text('model = "smollm2-135m"\n')
        (top / ".gitignore").write_text("bundles/\n.sake/\n")
        soon = str(TODAY + timedelta(days=3))
        darrieux = edit_text(more=DARRIEUX.replace("SOON", soon))
        made.write("darrieux", darrieux.replace("English", "German"))
        made.commit("Add Darrieux")
        made.write("darrieux", darrieux)
        made.commit(HOSTILE, "--trailer", "Reviewed-by: Rosa Rev <r@example.org>",
                    GIT_AUTHOR_NAME="Bob & Co")  # fmt: skip
        # Its new object is what Darrieux' file says stays as it is, and no subject of another.
        made.write(
            "rocard",
            subject="Michel Rocard",
            new="Dutch",
            more="lifecycle: {status: draft}\ntags: [people, politics]\n",
        )
        made.write("tolstoy", subject="Leo Tolstoy", old="Russian", new="Polish")
        made.write("tolstoy-2", subject="Leo Tolstoy", old="Russian", new="Danish")
        for n in range(60):
            made.write(f"town-{n:02d}", subject=f"Town Nr {n}", relation="river", old="Elbe",
                       new=f"Weser{n}")  # fmt: skip
        made.commit("More")
        for n in range(BEHIND):
            made.commit(f"Nothing {n}")
        held = {i: made.path(i).read_text() for i in ("darrieux", "tolstoy", "town-00", "town-01")}
        held["town-01"] = held["town-01"].replace("Weser1", "Oder")
        bundle(top, held)
        # A check refuses what hides in an edit; of a commit's message none does.
        quoted = HOSTILE.replace("\u202e", "").replace('"', r"\"")
        hostile = edit_text("Eve", more=f'provenance: {{reason: "{quoted}"}}\ntags: ["{quoted}"]\n')
        made.write("eve", hostile.replace("Eve", f'"{quoted}"', 1))
        made.write("broken", "schema: 1\n")
        (found,) = (top / "bundles").iterdir()
        keep(top / ".sake/store", found, read_manifest(found), rows())
        write_pointer(top / ".sake/production.json", f"../bundles/{found.name}", note="ticket 12")
        (top / ".sake/metrics.txt").write_text(METRICS)
        yield made


@pytest.fixture(scope="session")
def pages(made: GitRegistry) -> Path:
    """Its pages, in a folder."""
    sake = made.root / ".sake"
    site = Site(made.root, pointer=str(sake / "production.json"), metrics=sake / "metrics.txt")
    site.build()
    return site.out

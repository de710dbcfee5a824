"""How long `sake log`, `status` and `diff` take on a large registry.

    python -m sake_bench.timings.history [--edits 2000] [--commits 5000] [--rounds 5]
        [--keep FOLDER]

A repository is made by `git fast-import`: each commit changes one to three edits, every
twentieth is a merge. The bundle beside it holds each edit as it was a few commits ago, with the
keys that a real one would have, router data of real size, and maps of a tiny model. Every command
is a process of its own, rounds are interleaved, and what is printed is the median and the range.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from sake_bench.timings.measure import interleaved
from sake_registry.bundle.format import EmbedderInfo, ModelInfo, Route
from sake_registry.bundle.writer import EditPayload
from sake_registry.compiler.plan import ModelIdentity, keys_of
from sake_registry.edits.files import parse_edit
from sake_registry.edits.keys import bundle_key
from sake_registry.settings import load_settings
from tests.bundle import synthetic

ROOT = Path(__file__).parent.parent.parent
POINTS, WIDTH = 24, 384
"""Router points of an edit, and the width of the embedder."""
BEHIND = 5
"""So many commits ago the bundle was made."""
EDIT = """\
schema: 1
fact:
  subject: {{text: "Person Number{number}", aliases: ["P. Number{number}"]}}
  relation: {{text: mother tongue, id: P103}}
  old: French
  new: {new}
prompts:
  - The mother tongue of <subject> is
  - <subject> is a native speaker of
  - The language that <subject> spoke first was
  - <subject> grew up speaking
  - As a child <subject> spoke
  - At home <subject> speaks
holdout:
  - The language <subject> grew up with is
  - In the family of <subject> they spoke
implications:
  - prompt: The country whose language <subject> spoke as a child is
    old: France
    new: {new}land
unchanged:
  - The mother tongue of Michel Rocard is
  - The films of <subject> were shot in
provenance:
  reason: {reason}
  sources:
    - https://example.org/where-it-says-so
lifecycle:
  status: active
  valid_from: 2026-11-22
tags: [demo]
"""


def make(root: Path, edits: int, commits: int, seed: int = 0) -> dict[str, str]:
    """A repository with that history, checked out. Returns the edits that its bundle holds."""
    root.mkdir(parents=True, exist_ok=True)
    _git(root, "init", "--quiet", "--initial-branch=main")
    state = {f"edit-{n:05d}": _edit(n, "English") for n in range(edits)}
    held = dict(state)
    drawn = random.Random(seed)
    stream = [_commit("main", 1, "All edits", {
        "sake.toml": 'model = "smollm2-135m"\n', ".gitignore": "bundles/\n",
        **{f"edits/{id_}.yaml": text for id_, text in state.items()},
    })]  # fmt: skip
    tip = mark = 1
    while mark < commits:
        changes = {}
        for id_ in drawn.sample(sorted(state), drawn.randint(1, 3)):
            number = int(id_.removeprefix("edit-"))
            note = drawn.random() < 0.2
            new = "English" if note else f"Language{mark}"
            state[id_] = _edit(number, new, f"As of commit {mark}.")
            changes[f"edits/{id_}.yaml"] = state[id_]
        mark += 1
        aside = mark % 20 == 0 and mark < commits
        branch = f"side-{mark}" if aside else "main"
        stream.append(_commit(branch, mark, f"Change {len(changes)}", changes, [tip]))
        if aside:
            mark += 1
            stream.append(_commit("main", mark, f"Merge {branch}", changes, [tip, mark - 1]))
        tip = mark
        if mark <= commits - BEHIND:
            held = dict(state)
    data = b"".join(stream)
    subprocess.run(["git", "fast-import", "--quiet"], cwd=root, input=data, check=True)
    _git(root, "reset", "--quiet", "--hard", "main")
    return held


def _edit(number: int, new: str, reason: str = "What made this edit necessary.") -> str:
    return EDIT.format(number=number, new=new, reason=reason)


def _commit(
    branch: str, mark: int, message: str, files: dict[str, str], parents: list[int] | None = None
) -> bytes:
    """One commit, as `git fast-import` reads it."""
    text = message.encode()
    lines = [
        f"commit refs/heads/{branch}\nmark :{mark}\n".encode(),
        f"committer Ann Author <ann@example.org> {1_700_000_000 + 60 * mark} +0000\n".encode(),
        b"data %d\n%s\n" % (len(text), text),
    ]
    for word, parent in zip(("from", "merge"), parents or [], strict=False):
        lines.append(f"{word} :{parent}\n".encode())
    for path, content in files.items():
        data = content.encode()
        lines.append(f"M 100644 inline {path}\n".encode() + b"data %d\n%s\n" % (len(data), data))
    return b"".join(lines)


def bundle(root: Path, held: dict[str, str]) -> None:
    """A bundle that holds these edits, with their real keys."""
    settings = load_settings(root)
    identity = ModelInfo(
        name="smollm2-135m", architecture="Synthetic", hash="a" * 64,
        identity=dict.fromkeys(("checkpoint", "config", "tokenizer", "embedder"), "b" * 64),
        dtype="float32", site="lm_head.input", width=synthetic.WIDTH,
    )  # fmt: skip
    known: ModelIdentity = identity
    parsed = [parse_edit(text.encode(), Path(f"{id_}.yaml"))[0] for id_, text in held.items()]
    edits = [edit for edit in parsed if edit]
    keys = keys_of(edits, known, settings)
    random_ = np.random.default_rng(0)
    payloads = []
    for edit in edits:
        made = synthetic.edit(edit.id, 0, [(2, 3, False)], valid_from=edit.lifecycle.valid_from)
        route = Route(group=0, names=edit.fact.subject.all, need="any", rows=POINTS)
        info = made.info.model_copy(update={"key": keys[edit.id].edit, "routes": (route,)})
        points = random_.standard_normal((POINTS, WIDTH)).astype("<f4")
        payloads.append(EditPayload(info, made.groups, points))
    at = _git(root, "rev-parse", f"main~{BEHIND}")
    key = bundle_key((id_, found.edit) for id_, found in keys.items())
    (root / "bundles").mkdir(exist_ok=True)
    synthetic.write(
        root / "bundles" / f"smollm2-135m-{identity.hash[:8]}-{key[:12]}.h5",
        payloads,
        key=key,
        model=identity,
        embedder=EmbedderInfo(name="minilm", width=WIDTH),
        metric=synthetic.metric("euclidean"),
        settings=settings.model_dump(include={"compile", "router"}, mode="json"),
        versions={"sake-registry": version("sake-registry")},
        provenance={"commit": at, "dirty": False},
    )


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def sake(root: Path, *arguments: str) -> None:
    """Run the command line in a process of its own, as a user does."""
    subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "-C", str(root), *arguments],
        check=True, capture_output=True,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--edits", type=int, default=2000)
    parser.add_argument("--commits", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="make it here, or use what is here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = given.keep or Path(temporary) / "registry"
        if not (root / "sake.toml").is_file():
            began = time.perf_counter()
            bundle(root, make(root, given.edits, given.commits))
            print(f"made in {time.perf_counter() - began:.1f} s")
        total = _git(root, "rev-list", "--count", "main")
        print(f"{len(list((root / 'edits').iterdir()))} edits, {total} commits")
        commands = {
            "log ID": ("log", "edit-00007"),
            "log ID, the last file": ("log", f"edit-{given.edits - 1:05d}"),
            "log": ("log",),
            "status": ("status",),
            "diff": ("diff",),
            "diff HEAD~50..HEAD": ("diff", "HEAD~50..HEAD"),
            "diff HEAD~2000...HEAD": ("diff", "HEAD~2000...HEAD"),
        }
        timed = {name: (lambda words=words: sake(root, *words)) for name, words in commands.items()}
        for name, seconds in interleaved(given.rounds, **timed).items():
            middle = statistics.median(seconds)
            print(f"{name:<24}{middle:5.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")


if __name__ == "__main__":
    main()

"""What it takes to share builds and to publish bundles, at a URL.

    python -m sake_bench.timings.sharing cold --at s3://bucket/x [--only ID --only ID]
    python -m sake_bench.timings.sharing swaps --at s3://bucket/x [--swaps 1000]
    python -m sake_bench.timings.sharing many --at s3://bucket/x [--edits 10000] [--through URL]

`cold` compiles the demo on one machine that shares its store, and again where there is nothing but
the installed packages; then with one shared object that has a flipped byte and one that was cut
off. `swaps` has two promote at once, each to its own bundle, while readers take the pointer all
the time. `many` publishes a bundle of many edits, made of the demo's, and loads it as a server
would: each step in a process of its own, with the most memory that it took. `--through` is where
servers read what lies there, as http://127.0.0.1:8000 of `python -m http.server -d FOLDER`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from sake_bench.filling import repeated
from sake_registry import places
from sake_registry.bundle.newest import newest_bundles
from sake_registry.errors import ConflictError
from sake_registry.remote.pointer import read_pointer
from sake_registry.remote.publishing import carry_out, history, plan_promotion, publish

ROOT = Path(__file__).parent.parent.parent
READERS = 4
PAUSE = 0.001
"""Seconds between two reads of one reader."""


def cold(at: str, work: Path, only: Sequence[str]) -> None:
    """Compile on a machine that shares, and on new ones."""
    _compiled(work / "first", at, only)
    _compiled(work / "new", at, only)
    names = [name for name in places.listing(at) if name.startswith("maps/")][:2]
    for name, damage in zip(names, ("a flipped byte", "cut off"), strict=True):
        data = bytearray(places.read_small(f"{at}/{name}", 1 << 30))
        if damage == "cut off":
            del data[len(data) // 2 :]
        else:
            data[-1] ^= 1
        places.write(f"{at}/{name}", bytes(data))
        print(f"{name}: {damage}")
    _compiled(work / "damaged", at, only)
    _compiled(work / "mended", at, only)


def _compiled(folder: Path, at: str, only: Sequence[str]) -> None:
    """`sake compile` of the demo in a new folder, with an empty cache."""
    folder.mkdir()
    shutil.copytree(ROOT / "edits", folder / "edits")
    shutil.copy(ROOT / "sake.toml", folder)
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "-C", str(folder), "compile", "--json",
         *only, *["--only"][: len(only)]],
        env={**os.environ, "SAKE_REMOTE_STORE": at, "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    value = json.loads(done.stdout)
    outcomes = dict(Counter(value["outcomes"].values()))
    print(f"{folder.name}: {seconds:.1f} s, of which compiling {value['seconds']:.1f} s; "
          f"{value['forward_texts']} texts through the model; {outcomes}; "
          f"content {value['content_hash'][:12]}")  # fmt: skip
    for line in done.stderr.splitlines():
        if re.search("object|damaged", line):
            print(f"  {line}")


def swaps(at: str, work: Path, bundle: Path, number: int) -> None:
    """Two who promote, and readers: what was read that was wrong, and how long it took."""
    bundles = [repeated(bundle, work / f"{n}.h5", n, partial=False) for n in (11, 12)]
    hashes = [publish(bundle, at).content for bundle in bundles]
    place = f"{at}/pointers/production.json"
    carry_out(plan_promotion(at, "production", hashes[0]))
    told, wrong, reads = [0, 0], list[str](), Counter[str]()
    done = threading.Event()

    def promoter(which: int) -> None:
        for _ in range(number // 2):
            try:
                carry_out(plan_promotion(at, "production", hashes[which]))
            except ConflictError:
                told[which] += 1

    def reader() -> None:
        while not done.is_set():
            try:
                pointer = read_pointer(place)
            except Exception as error:
                wrong.append(str(error))
                continue
            reads[pointer.content or "none"] += 1
            time.sleep(PAUSE)  # the promoters have their turn
            if pointer.content not in hashes:
                wrong.append(str(pointer))

    began = time.perf_counter()
    threads = [threading.Thread(target=promoter, args=[which]) for which in range(2)]
    reading = [threading.Thread(target=reader) for _ in range(READERS)]
    for thread in (*threads, *reading):
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    done.set()
    for thread in reading:
        thread.join()
    entries = history(at, "production")
    last = read_pointer(place)
    lost = [e for e, before in pairwise(entries) if e.previous != before.content]
    print(f"{number} promotions by two: {entries[0].number} made, {sum(told)} told that another "
          f"was first, {1000 * seconds / number:.0f} ms each; numbers lost: {len(lost)}; "
          f"the pointer is the newest: {last.number == entries[0].number}")  # fmt: skip
    print(f"{reads.total()} reads by {READERS} meanwhile: {len(wrong)} wrong {wrong[:1]}")


def many(at: str, work: Path, demo: Path, edits: int, through: str) -> None:
    """Publish a large bundle, promote it, bring it and load it."""
    bundle = work / "many.h5"
    _measured(
        "made", f"repeated(Path({str(demo)!r}), Path({str(bundle)!r}), {edits}, partial=False)"
    )
    print(f"{edits} edits, {bundle.stat().st_size / 1e6:.0f} MB, slim")
    _measured("published", f"publish(Path({str(bundle)!r}), {at!r})")
    name = next(n for n in places.listing(f"{at}/bundles") if n.endswith(".h5"))
    print(f"manifest: {places.listing(at + '/bundles')[name[:-2] + 'json'] / 1e6:.1f} MB")
    source = name.removesuffix(".h5")
    _measured("promoted", f"carry_out(plan_promotion({at!r}, 'production', {source!r}))")
    _measured("changed again", f"carry_out(plan_promotion({at!r}, 'production', 'production'))")
    os.environ["XDG_CACHE_HOME"] = str(work / "cache")  # as on another machine
    brought = f"fetch_bundle(read_pointer({through + '/pointers/production.json'!r}))"
    _measured("brought and verified", brought)
    _measured("verified, as it is there", brought)
    _measured("loaded", f"load_bundle({brought})")


def _measured(what: str, code: str) -> None:
    imports = (
        "from pathlib import Path\nfrom sake_bench.timings.sharing import *\n"
        "from sake_registry.remote.fetching import fetch_bundle\n"
    )
    program = f"{imports}measured(lambda: {code})"
    out = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True,
                         capture_output=True, text=True).stdout  # fmt: skip
    print(f"{what}: {out.strip()}")


def measured(action: Callable[[], object]) -> None:
    """Run it once, and say what it took of this process, and what had been taken before."""
    began, busy = time.perf_counter(), time.process_time()
    before = _peak()
    action()
    print(f"{time.perf_counter() - began:.1f} s, of the CPU {time.process_time() - busy:.1f}, "
          f"{_peak():.0f} MB at most ({before:.0f} before)")  # fmt: skip


def _peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def load_bundle(path: Path) -> None:
    """What a server does with a bundle before its model: its index, its router's data."""
    from sake_registry import load_bundle as load

    load(path)


def _demo() -> Path:
    found = newest_bundles(ROOT / "bundles")
    if not found:
        sys.exit("no bundle of the demo: sake compile")
    return found[0][0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("part", choices=["cold", "swaps", "many"])
    parser.add_argument("--at", required=True, metavar="URL", help="an empty place")
    parser.add_argument("--bundle", type=Path, help="that of the demo unless given")
    parser.add_argument("--only", action="append", default=[], metavar="ID", help="these edits")
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--edits", type=int, default=10_000)
    parser.add_argument("--through", metavar="URL", help="where `many` reads; --at unless given")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work, at = Path(name), places.absolute(given.at)
        os.environ["XDG_CACHE_HOME"] = str(work / "own-cache")
        if given.part == "cold":
            cold(at, work, given.only)
        elif given.part == "swaps":
            swaps(at, work, given.bundle or _demo(), given.swaps)
        else:
            many(at, work, given.bundle or _demo(), given.edits, given.through or at)


if __name__ == "__main__":
    main()

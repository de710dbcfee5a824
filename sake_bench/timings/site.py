"""How long the pages of a large registry take to be made, what they weigh, how fast they search.

    python -m sake_bench.timings.site [--edits 5000] [--commits 2000] [--keep FOLDER]

The repository and its bundle are those of `timings.history`; the rows of its test and what fired
are made up, as long as real ones are. What is made is told in CPU seconds of this process and of
git's. The list is opened from the disk in Chromium, which says when it was drawn, and how long it
takes from a letter typed until the page is laid out again: the median and the worst of all
prefixes of some words.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from html import unescape
from pathlib import Path

from sake_bench.timings.history import bundle, make
from sake_registry.asking.rows import Row, questions
from sake_registry.asking.tested import keep
from sake_registry.bundle.newest import bundle_files
from sake_registry.bundle.reader import read_manifest
from sake_registry.catalog.folder import Site
from sake_registry.edits.registry import open_registry
from tests.browsing import BROWSERS, FLAGS

TYPED = ("person number42", "grew up speaking", "language1999", "english demo", "zzz")
PROBE = """
const drawn = performance.now();
const times = [];
for (const text of TYPED) {
  for (let n = 1; n <= text.length; n++) {
    const began = performance.now();
    field.value = text.slice(0, n);
    field.dispatchEvent(new Event('input', {bubbles: true}));
    document.body.getBoundingClientRect();
    times.push(performance.now() - began);
  }
}
const told = document.createElement('pre');
told.id = 'probe';
told.textContent = JSON.stringify({drawn, times});
document.body.append(told);
"""


def cpu() -> float:
    """CPU seconds of this process and of those that it waited for."""
    return sum(os.times()[:4])


def tested(root: Path) -> None:
    """Rows for every edit, as a test would keep them."""
    (path,) = bundle_files(root / "bundles")
    rows = [
        Row(
            edit=asked.edit, kind=asked.kind, prompt=asked.prompt, before=" French, as he did not",
            after=f" {asked.accepted[0] if asked.accepted else 'as before'}. It was not long",
            expected="English", ok=True, by=asked.edit, distance=0.25, threshold=0.5,
        )
        for edit in open_registry(root).edits
        for asked in questions(edit)
        if asked.kind not in ("unrelated", "nearby")
    ]  # fmt: skip
    keep(root / ".sake" / "store", path, read_manifest(path), rows)


def search(folder: Path, browser: str) -> tuple[float, list[float]]:
    """Milliseconds until the list is drawn, and of each letter that is typed."""
    (folder / "probe.js").write_text(PROBE.replace("TYPED", json.dumps(TYPED)))
    page = (folder / "index.html").read_text("utf-8")
    probed = folder / "probe.html"
    probed.write_text(page.replace("</head>", '<script src="probe.js" defer></script></head>'))
    with tempfile.TemporaryDirectory() as profile:
        # Time is the real one.
        flags = [flag for flag in FLAGS if "virtual-time" not in flag]
        out = subprocess.run(
            [browser, *flags, f"--user-data-dir={profile}", probed.as_uri()],
            capture_output=True, text=True, check=True, timeout=300,
        ).stdout  # fmt: skip
    found = re.search(r'<pre id="probe">(.*?)</pre>', out, re.DOTALL)
    assert found, "the page did not come to an end"
    told = json.loads(unescape(found[1]))
    return told["drawn"], sorted(told["times"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--edits", type=int, default=5000)
    parser.add_argument("--commits", type=int, default=2000)
    parser.add_argument("--keep", type=Path, help="make it here, or use what is here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = (given.keep or Path(temporary) / "registry").resolve()
        if not (root / "sake.toml").is_file():
            bundle(root, make(root, given.edits, given.commits))
            tested(root)
        site = Site(root, Path(temporary) / "site")
        for what in ("made", "made again"):
            began, wall = cpu(), time.perf_counter()
            built = site.build()
            took = f"{cpu() - began:.1f} s of CPU ({time.perf_counter() - wall:.1f} s)"
            print(f"{what:12}{took}: {built.edits} edits, {built.written} files written")
        for name in ("index.html", "data.js", "site.js", "site.css"):
            print(f"{name:12}{(site.out / name).stat().st_size / 1000:.0f} kB")
        for suffix in ("html", "json"):
            sizes = [path.stat().st_size for path in (site.out / "edits").glob(f"*.{suffix}")]
            total, most = sum(sizes) / 1e6, max(sizes) / 1000
            print(f"edits/*.{suffix:5}{total:.0f} MB, each {most:.0f} kB at most")
        browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
        if browser is None:
            print("no Chromium here: not searched")
            return
        drawn, times = search(site.out, browser)
        print(f"drawn {drawn:.0f} ms after it was opened")
        middle, slowest = times[len(times) // 2], times[-1]
        print(f"a letter: {middle:.1f} ms, the slowest of {len(times)} {slowest:.1f} ms")


if __name__ == "__main__":
    main()

"""Attack what sake reads and how it writes, and count what gets through: `make attack`.

    python -m tests.attack [--seed N] [--share 0.1]

- Flips: one byte of a bundle, or of an object of a store, is another. It must be refused (or be
  missing), or change no value that is read.
- Crafted: every field of the manifest as another kind of value, twice, missing, too large; every
  dataset and group as another thing; all of `tests/bundle/hostile/`. Each must be refused, those
  of the manifest by the check that they are for, within seconds, and with one printable line.
- Kills: SIGKILL at random moments of a compile, and of writing. What is found afterwards must be
  the old or the new state, and the next run must give what an undisturbed one gives.

Each part runs in processes of its own: a crash or a hang of HDF5 is a hole as well. Prints the
figures, and exits 1 if there is a hole.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import logging
import lzma
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.conftest import ROOT  # isort: skip - it keeps us out of the user's cache
from sake_registry.bundle.format import BY_PATH
from sake_registry.bundle.reader import BundleFile
from sake_registry.errors import BundleFormatError
from sake_registry.files import TEMPORARY, write_text
from sake_registry.store import Store
from tests.bundle.flips import outcome
from tests.bundle.make_hostile import FOLDER, INDEX, at, in_user_block, with_hole
from tests.bundle.synthetic import EDITS, ManifestJson, forge, values, write

SECONDS = 5.0
"""Longer than any file may take to be refused on a busy machine."""
HANGS = 500.0
MANIFEST = ("its manifest is wrong at", "its manifest is not JSON", "it has format version")


@dataclass
class Result:
    """What came of one part; `holes` are the tries that got through, in words."""

    outcomes: Counter[str] = field(default_factory=Counter)
    holes: list[str] = field(default_factory=list)

    def add(self, name: str, what: str, *sound: str) -> None:
        self.outcomes[what if what in sound else "hole"] += 1
        if what not in sound:
            self.holes.append(f"{name}: {what}")


# -- flips -------------------------------------------------------------------------------------


def compiled(folder: Path) -> tuple[Path, Store]:
    """A bundle of a tiny model, and the store that it was built in."""
    import torch

    from sake_registry import compile_registry, open_registry
    from tests import tiny_models
    from tests.workshop import make_registry

    torch.set_num_threads(1)
    model = tiny_models.save("gpt2", folder / "tiny-gpt2")
    registry = open_registry(make_registry(folder / "registry", model))
    bundle = compile_registry(registry).bundle
    assert bundle is not None
    return bundle, Store(registry.store)


def bundle_flips(folder: Path, seed: int, tries: int) -> Result:
    path, _ = compiled(folder)
    good, original = path.read_bytes(), values(path)
    chance, result = random.Random(seed), Result()
    for _ in range(tries):
        place, mask = chance.randrange(len(good)), chance.randrange(1, 256)
        what = outcome(good, original, folder / "x.h5", place, mask)
        result.add(f"byte {place} ^ {mask}", what, "refused", "same")
    return result


def store_flips(folder: Path, seed: int, tries: int) -> Result:
    import torch

    logging.disable(logging.WARNING)  # one line for each flip
    _, store = compiled(folder)
    chance, result = random.Random(seed), Result()
    places = [
        (found, found.path.read_bytes(), store.get(found.kind, found.key))
        for found in store.objects()
    ]
    for _ in range(tries):
        stored, sound, original = chance.choice(places)
        assert original is not None
        place, mask = chance.randrange(len(sound)), chance.randrange(1, 256)
        damaged = bytearray(sound)
        damaged[place] ^= mask
        stored.path.write_bytes(damaged)
        found, wrong = store.get(stored.kind, stored.key), store.damage(stored)
        if found is None:
            what = "refused" if wrong else "refused by get, and sound to verify"
        else:
            same = found[1] == original[1] and found[0].keys() == original[0].keys()
            same = same and all(torch.equal(t, original[0][n]) for n, t in found[0].items())
            what = "same" if same and not wrong else "changed"
        result.add(f"{stored.kind}: byte {place} ^ {mask}", what, "refused", "same")
        stored.path.write_bytes(sound)
    for (one, sound, _), (other, content, _) in itertools.permutations(places, 2):
        one.path.write_bytes(content)
        taken = store.get(one.kind, one.key) is not None or not store.damage(one)
        result.add(f"{other.key} as {one.key}", "taken" if taken else "refused", "refused")
        one.path.write_bytes(sound)
    return result


# -- crafted bundles -----------------------------------------------------------------------------

Make = Callable[[Path, Path], object]
OTHER_KINDS: tuple[Any, ...] = (None, True, 7, 1.5, "x", [], {}, [[1]], {"x": 1})
ANY = ("settings", "versions", "provenance")
MAY_BE_NONE = {"implied", "old", "share", "score", "margin", "closing", "valid_from", "valid_until"}
MAY_BE_MISSING = {
    "asks", "topics", "ends", "links", "texts", "implied", "warnings", "valid_from", "valid_until",
}  # fmt: skip
OF_NONE = {"implied": float, "score": float, "margin": float, "closing": int}
"""What a field may be that is null in the sound bundle; of the others it is text."""


def fields(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every place in a manifest, of a list the first alone: `edits.0.groups`."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:1])
    for name, inner in items:
        yield f"{where}{name}", inner
        if isinstance(inner, (dict, list)) and name not in ANY:
            yield from fields(inner, f"{where}{name}.")


def other_kinds(where: str, value: Any) -> Iterator[Any]:
    """Values that a field may not have: of other kinds, of the same meaning too, and no numbers."""
    name = where.rpartition(".")[2]
    kind = OF_NONE.get(name, str) if value is None else type(value)
    kinds = {kind} | ({int} if kind is float else set())
    for other in (*OTHER_KINDS, *meant(value)):
        free = other is None and name in MAY_BE_NONE
        if type(other) not in kinds and not free and not (where in ANY and isinstance(other, dict)):
            yield other
    if kind in (int, float):
        yield from (float("nan"), float("inf"), float("-inf"))
    if kind is int:
        yield 1 << 70


def meant(value: Any) -> Iterator[Any]:
    """The same value as another kind."""
    match value:
        case bool():
            yield from (int(value), str(value).lower(), "yes" if value else "no")
        case int():
            yield from (float(value), str(value), [value])
        case float():
            yield from (str(value), [value])
        case str():
            yield from ([value], {"text": value})
        case list():
            yield from ({str(i): item for i, item in enumerate(value)}, json.dumps(value))
        case dict():
            yield from (list(value.items()), json.dumps(value))


def manifest_cases(manifest: ManifestJson) -> Iterator[tuple[str, Make]]:
    def later(change: Callable[[Any], object]) -> Make:
        return lambda good, path: forge(good, path, later=lambda arrays, found: change(found))

    def put(where: str, value: Any) -> Make:
        return later(lambda found: at(where, value)({}, found))

    def parent(found: Any, where: str) -> Any:
        for part in where.split(".")[:-1]:
            found = found[int(part) if part.isdigit() else part]
        return found

    def raw(where: str, text: str) -> Make:
        marked = copy.deepcopy(manifest)
        at(where, "HERE")({}, marked)
        meta = json.dumps(marked).replace('"HERE"', text).encode()
        return lambda good, path: forge(good, path, meta=meta)

    for where, value in fields(manifest):
        name = where.rpartition(".")[2]
        for other in other_kinds(where, value):
            yield f"{where} = {other!r:.30}", put(where, other)
        if name.isdigit():
            continue
        text = json.dumps(value)
        yield f"{where} twice", raw(where, f'{text}, "{name}": {text}')
        escaped = f"\\u{ord(name[0]):04x}{name[1:]}"
        yield f"{where} twice, once escaped", raw(where, f'{text}, "{escaped}": {text}')
        if name not in MAY_BE_MISSING:
            yield f"{where} missing", later(lambda m, w=where, n=name: parent(m, w).pop(n))
        if isinstance(value, dict) and where not in ANY:
            yield f"{where}.surprise", put(f"{where}.surprise", 1)
    for where in (*ANY, "edits.0.groups.0.steps.0.reg"):
        for text in ("NaN", "1e999", "-Infinity", "[" * 2000 + "]" * 2000, "9" * 5000, "'x'", "1,"):
            yield f"{where} = {text:.20}", raw(where, text)


def dataset_cases() -> Iterator[tuple[str, Make]]:
    def harm(change: Callable[[h5py.File], object]) -> Make:
        def make(good: Path, path: Path) -> None:
            path.write_bytes(good.read_bytes())
            with h5py.File(path, "r+", libver="latest") as file:
                change(file)

        return make

    def anew(name: str, turn: Callable[[Any], Any], **options: Any) -> Make:
        def change(file: h5py.File) -> None:
            data = turn(file[name][()])
            del file[name]
            file.create_dataset(name, data=data, **options)

        return harm(change)

    def instead(name: str, put: Callable[[h5py.File], object]) -> Make:
        def change(file: h5py.File) -> None:
            del file[name]
            put(file)

        return harm(change)

    def link(name: str, value: Any) -> Make:
        return instead(name, lambda file: file.__setitem__(name, value))

    for name, dataset in BY_PATH.items():
        other = {"|u1": "i1", "<i8": "<u8", "<i2": "<u2", "<f4": "<i4"}[dataset.dtype]
        yield f"{name} missing", harm(lambda file, n=name: file.__delitem__(n))
        yield f"{name} a group", instead(name, lambda file, n=name: file.create_group(n))
        yield f"{name} a soft link", link(name, h5py.SoftLink("/meta"))
        yield f"{name} a dangling link", link(name, h5py.SoftLink("/nowhere"))
        yield f"{name} an external link", link(name, h5py.ExternalLink("other.h5", "/x"))
        yield f"{name} a type", link(name, np.dtype("<f4"))
        yield f"{name} as {other}", anew(name, lambda a, t=other: a.astype(t))
        yield f"{name} as double", anew(name, lambda a: a.astype("<f8"))
        yield f"{name} as text", anew(name, lambda a: a.astype("S8"))
        yield f"{name} as records", anew(name, lambda a: np.zeros(a.shape, [("a", a.dtype)]))
        yield f"{name} one row more", anew(name, lambda a: np.concatenate([a, a[:1]]))
        yield f"{name} one row less", anew(name, lambda a: a[:-1])
        yield f"{name} no rows", anew(name, lambda a: a[:0])
        yield f"{name} deeper", anew(name, lambda a: a[..., None])
        yield f"{name} flat", anew(name, lambda a: a.reshape(-1, 1, 1, 1))
        yield f"{name} a scalar", anew(name, lambda a: a.flat[0])
        yield f"{name} empty", anew(name, lambda a: h5py.Empty(a.dtype))
        yield f"{name} in chunks", anew(name, lambda a: a, chunks=True)
        yield f"{name} compressed", anew(name, lambda a: a, compression="gzip")
        yield f"{name} noted", harm(lambda file, n=name: file[n].attrs.create("note", 1))
        yield f"{name} again", harm(lambda file, n=name: file.__setitem__(n + "2", file[n]))
    for name in ("/", *sorted({name.partition("/")[0] for name in BY_PATH if "/" in name})):
        yield f"{name} noted", harm(lambda file, n=name: file[n].attrs.create("note", b"\x80\x04."))
        yield f"{name} more", harm(lambda file, n=name: file[n].create_dataset("more", data=1))
        yield f"{name} deeper", harm(lambda file, n=name: file[n].create_group("deeper"))
        if name not in ("/", "activations"):  # without those a bundle is a slim one
            yield f"{name} missing", harm(lambda file, n=name: file.__delitem__(n))
        if name != "/":
            yield f"{name} a link", link(name, h5py.ExternalLink("other.h5", "/x"))


def byte_cases() -> Iterator[tuple[str, Make]]:
    def made_of(turn: Callable[[bytes], bytes]) -> Make:
        return lambda good, path: path.write_bytes(turn(good.read_bytes()))

    for size in (1, 22, 512, 4096, 1 << 20):
        yield f"{size} bytes behind", made_of(lambda b, n=size: b + b"P" * n)
        yield f"{size} bytes in front", made_of(lambda b, n=size: b"#" * n + b)
        yield f"{size} bytes short", made_of(lambda b, n=size: b[:-n])
    yield "a user block", in_user_block
    yield "a hole", with_hole
    for text in (b"", b"text", b"version https://git-lfs.github.com/spec/v1\n", b"PK\x03\x04"):
        yield f"{text[:8]!r}", made_of(lambda _, t=text: t)


def hostile_cases() -> Iterator[tuple[str, Make]]:
    for name in json.loads((FOLDER / INDEX).read_text(encoding="utf-8")):
        data = lzma.decompress((FOLDER / name).read_bytes())
        yield name, lambda good, path, d=data: path.write_bytes(d)


def crafted(folder: Path, part: int, parts: int, share: float) -> Result:
    """Every `parts`-th case, from `part` on."""
    good, result = folder / "good.h5", Result()
    write(good, EDITS)
    with h5py.File(good) as file:
        manifest = json.loads(file["meta"][()].tobytes())
    of_manifest = [(name, make, MANIFEST) for name, make in manifest_cases(manifest)]
    others = [(n, m, ()) for c in (dataset_cases, byte_cases, hostile_cases) for n, m in c()]
    for name, make, says in [*of_manifest, *others][part :: round(parts / share)]:
        path = folder / "x.h5"
        path.unlink(missing_ok=True)  # a file of its own each time: HDF5 knows files by inode
        make(good, path)
        result.add(name, refusal(path, says), "refused")
    return result


def refusal(path: Path, says: tuple[str, ...]) -> str:
    """`refused`, or what else became of opening and reading a bundle."""
    started = time.monotonic()
    try:
        with BundleFile(path) as bundle:
            bundle.verify()
    except BundleFormatError as error:
        if time.monotonic() - started > SECONDS:
            return f"took {time.monotonic() - started:.0f} s"
        if not error.message.isprintable() or len(error.message) > 1000:
            return f"says {error.message!r}"
        if says and not any(words in error.message for words in says):
            return f"is refused for something else: {error.message}"
        return "refused"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "taken"


# -- kills ---------------------------------------------------------------------------------------


def forked(work: Callable[[], object]) -> int:
    """Do work in a process of its own; its id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def killed(pid: int, after: float) -> bool:
    """Kill a process after some seconds; whether it was still at work."""
    time.sleep(after)
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def compile_kills(folder: Path, seed: int, tries: int) -> Result:
    from sake_registry import compile_registry, open_registry

    _, store = compiled(folder)  # what is learnt once for all registries is known then
    root, said = folder / "registry", folder / "hash"

    def run() -> None:
        compiled = compile_registry(open_registry(root))
        assert compiled.manifest is not None
        said.write_text(compiled.manifest.content_hash)

    def finish() -> tuple[int, str]:
        said.unlink(missing_ok=True)
        code = os.waitstatus_to_exitcode(os.waitpid(forked(run), 0)[1])
        return code, said.read_text() if said.is_file() else ""

    chance, result = random.Random(seed), Result()
    for name in (".sake", "bundles"):
        shutil.rmtree(root / name)
    started = time.monotonic()
    undisturbed = finish()
    length = time.monotonic() - started
    while sum(result.outcomes.values()) < tries:
        if chance.random() < 0.7:  # else the run that was killed before goes on
            for name in (".sake", "bundles"):
                shutil.rmtree(root / name, ignore_errors=True)
        after = chance.uniform(0, length)
        if not killed(forked(run), after):
            continue
        what = "whole"
        for stored in store.objects():
            if wrong := store.damage(stored):
                what = f"{stored.path.name}: {wrong}"
        for bundle in (root / "bundles").glob("[!.]*"):
            with BundleFile(bundle) as found:
                found.verify()
                if found.manifest.content_hash != undisturbed[1]:
                    what = "another bundle"
        if chance.random() < 0.7 or what != "whole":
            if what == "whole" and finish() != undisturbed:
                what = "the next run gives something else"
            if what == "whole" and [*root.rglob(f"{TEMPORARY}*")]:
                what = "left-overs stay: " + str([*root.rglob(f"{TEMPORARY}*")])
        result.add(f"a compile killed after {after:.3f} s", what, "whole")
    return result


def write_kills(folder: Path, seed: int, tries: int) -> Result:
    import torch

    key, chance, result = "a" * 64, random.Random(seed), Result()
    store, text, bundle = Store(folder / "store"), folder / "text", folder / "x.h5"
    texts = ("a" * 1_000_000, "b" * 1_000_000)
    rows = [{"t": torch.full((200_000,), float(n))} for n in range(2)]

    def write_once(n: int) -> None:
        write_text(text, texts[n])
        store.put("maps", key, rows[n], n)
        write(bundle, EDITS[: n + 1])

    def write_on() -> None:
        with store.lock():
            while True:
                write_once(1)
                write_once(0)

    write_once(0)
    originals = []
    for n in range(2):
        write(folder / "other.h5", EDITS[: n + 1])
        originals.append(values(folder / "other.h5"))
    while sum(result.outcomes.values()) < tries:
        after = chance.uniform(0, 0.15)
        killed(forked(write_on), after)
        found = store.get("maps", key)
        what = "whole"
        if text.read_text() not in texts:
            what = "half a text"
        elif found is None or not torch.equal(found[0]["t"], rows[found[1]]["t"]):
            what = "half an object"
        elif values(bundle) not in originals:
            what = "half a bundle"
        with store.lock():
            if [*store.folder.rglob(f"{TEMPORARY}*")]:
                what = "left-overs stay"
        for left in folder.glob(f"{TEMPORARY}*"):
            left.unlink()
        result.add(f"writing killed after {after:.3f} s", what, "whole")
    return result


# -- all of it -----------------------------------------------------------------------------------


def attack(seed: int, share: float) -> dict[str, Result]:
    """All parts, two processes at a time."""
    some = lambda n: max(1, round(n * share))  # noqa: E731 - a number of tries
    jobs: list[tuple[str, Callable[..., Result], tuple[Any, ...]]] = [
        ("kills of a compile", compile_kills, (seed, some(60))),
        ("flips of a bundle", bundle_flips, (seed, some(1500))),
        ("flips of a bundle", bundle_flips, (seed + 1, some(1500))),
        ("flips of a store", store_flips, (seed, some(1500))),
        ("crafted bundles", crafted, (0, 2, share)),
        ("crafted bundles", crafted, (1, 2, share)),
        ("kills of writing", write_kills, (seed, some(70))),
    ]
    results: dict[str, Result] = {}
    with tempfile.TemporaryDirectory() as scratch:
        running = []
        with ProcessPoolExecutor(2, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
            for number, (name, work, arguments) in enumerate(jobs):
                folder = Path(scratch, str(number))
                folder.mkdir()
                running.append((name, pool.submit(work, folder, *arguments)))
            for name, job in running:
                result = results.setdefault(name, Result())
                try:
                    done = job.result(HANGS)
                except Exception as error:  # a crash, a hang, or a bug of ours: none may pass
                    done = Result(Counter(hole=1), [f"{type(error).__name__}: {error}"])
                    if isinstance(error, TimeoutError):
                        pool.shutdown(wait=False, cancel_futures=True)
                result.outcomes += done.outcomes
                result.holes += done.holes
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description="Attack what sake reads and how it writes.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="of the tries, for a short look")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    started = time.monotonic()
    results = attack(arguments.seed, arguments.share)
    for name, result in results.items():
        outcomes = ", ".join(f"{n} {what}" for what, n in sorted(result.outcomes.items()))
        sys.stdout.write(f"{name}: {sum(result.outcomes.values())} ({outcomes})\n")
    holes = [f"{name}: {hole}" for name, result in results.items() for hole in result.holes]
    for hole in holes:
        sys.stdout.write(f"hole: {hole}\n")
    seconds = time.monotonic() - started
    sys.stdout.write(f"{len(holes)} holes, seed {arguments.seed}, {seconds:.0f} s\n")
    sys.exit(bool(holes))


if __name__ == "__main__":
    main()

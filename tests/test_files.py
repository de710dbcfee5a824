"""Nothing half-written, whatever happens in between; and the memory of files."""

from __future__ import annotations

import errno
import grp
import json
import os
import pwd
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sake_registry import files
from sake_registry.errors import SakeError, StorageError
from sake_registry.files import (
    TEMPORARY,
    FileMemory,
    remove_leftovers,
    replacing,
    storage_errors,
    write_text,
)
from tests.conftest import ROOT

# -- mounts that refuse ------------------------------------------------------------------------

CAP_SYS_ADMIN = 21


def can_mount() -> bool:
    """Whether this process has the system's leave to mount."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> CAP_SYS_ADMIN & 1)
    return False


def system(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        system("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        reason = f"a small disk cannot be mounted: {getattr(error, 'stderr', None) or error}"
        # Continuous integration may lack the right to mount, but not lose it unnoticed.
        if os.environ.get("CI") == "true" and can_mount():
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        yield folder
    finally:
        system("umount", "--lazy", str(folder))


def fill(folder: Path) -> None:
    """Leave no free byte on a disk."""
    with (folder / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"\0" * 4096):
            pass


def read_only(folder: Path) -> None:
    system("mount", "-o", "remount,ro", str(folder))


def write_a_text(path: Path) -> None:
    write_text(path, "new " * 100_000)


def write_a_bundle(path: Path) -> None:
    pytest.importorskip("h5py")
    from tests.bundle.synthetic import edit, write

    write(path, [edit("ada", 1, [(900, 6000, True)])])


def write_a_small_bundle(path: Path) -> None:
    pytest.importorskip("h5py")
    from tests.bundle.synthetic import write

    write(path)


def put_an_object(path: Path) -> None:
    torch = pytest.importorskip("torch")
    from sake_registry.store import Store

    store = Store(path)
    store.path("maps", "abc").parent.mkdir(parents=True, exist_ok=True)
    store.put("maps", "abc", {"rows": torch.zeros(100_000)}, {"a": 1})


WRITERS = [write_a_text, write_a_bundle, write_a_small_bundle, put_an_object]


def target(folder: Path, writer: Callable[[Path], None]) -> tuple[Path, Path]:
    """What a writer is given, and the file that it replaces: in a folder that is there."""
    given = folder / "target"
    path = given / "maps" / "ab" / "abc.safetensors" if writer is put_an_object else given
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("the old state")
    return given, path


def refused(writer: Callable[[Path], None], given: Path, path: Path, hint: str) -> None:
    """The writer is refused, and nothing but the old state is there."""
    with pytest.raises(StorageError) as info:
        writer(given)
    assert info.value.exit_code == 4
    assert str(path) in info.value.message
    assert hint in (info.value.hint or "")
    assert path.read_text() == "the old state"
    assert [p.name for p in path.parent.iterdir() if p.name != "filler"] == [path.name]


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_leaves_the_old_file_and_no_temporary(
    disk: Path, writer: Callable[[Path], None]
) -> None:
    given, path = target(disk, writer)
    fill(disk)
    refused(writer, given, path, "free space")
    (disk / "filler").unlink()
    if writer is not write_a_bundle:  # that one never fits
        writer(given)
        assert path.read_bytes() != b"the old state"


@pytest.mark.parametrize("spare", [0, 1, 2, 3, 4, 8, 16, 64])
def test_a_disk_that_fills_up_while_a_bundle_is_written_leaves_the_old_one(
    disk: Path, spare: int
) -> None:
    given, path = target(disk, write_a_small_bundle)
    fill(disk)
    with (disk / "filler").open("r+b") as file:
        file.truncate((disk / "filler").stat().st_size - spare * 4096)
    # HDF5 crashes where it meets the end of the disk itself, most surely between the first blocks.
    if spare < 64:
        refused(write_a_small_bundle, given, path, "free space")
    else:
        write_a_small_bundle(given)
        assert sorted(p.name for p in disk.iterdir()) == ["filler", "target"]


def test_a_process_that_met_a_full_disk_writing_a_bundle_ends_well(disk: Path) -> None:
    given, path = target(disk, write_a_bundle)
    fill(disk)
    script = (
        "import sys; from pathlib import Path; from sake_registry.errors import StorageError\n"
        "from tests.test_files import write_a_bundle, write_a_small_bundle\n"
        "for writer in (write_a_bundle, write_a_small_bundle):\n"
        "    try: writer(Path(sys.argv[1]))\n"
        "    except StorageError: pass\n"
        "    else: sys.exit(1)\n"
        "write_a_small_bundle(Path(sys.argv[2]))\n"
    )
    elsewhere = disk.parent / "elsewhere.h5"
    done = subprocess.run(
        [sys.executable, "-c", script, str(given), str(elsewhere)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert elsewhere.stat().st_size > 10_000
    assert path.read_text() == "the old state"


@pytest.mark.parametrize("writer", WRITERS)
def test_a_read_only_mount_leaves_the_old_file(disk: Path, writer: Callable[[Path], None]) -> None:
    given, path = target(disk, writer)
    read_only(disk)
    refused(writer, given, path, "mounted read-only")


def test_a_memory_on_a_full_or_read_only_disk_only_costs_time(disk: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("abc")
    memory, calls = FileMemory(disk / "cache" / "memory.json"), []
    value = {"text": "x" * 100}

    def compute(path: Path) -> dict[str, str]:
        calls.append(path)
        return value

    fill(disk)
    assert memory.get(file, "kind", compute) == memory.get(file, "kind", compute) == value
    read_only(disk)
    assert memory.get(file, "kind", compute) == value
    assert calls == [file] * 3


@pytest.fixture
def forbidden() -> Iterator[Path]:
    """A folder that this process may read but not write to, though it be root's."""
    folder = Path(tempfile.mkdtemp(prefix="sake-test-"))
    user = os.geteuid()
    try:
        yield folder
    finally:
        os.seteuid(user)
        folder.chmod(0o755)
        subprocess.run(["rm", "-r", str(folder)], check=True)


def forbid(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    if os.geteuid() == 0:
        os.seteuid(65534)


@pytest.mark.parametrize("writer", [write_a_text, write_a_bundle, put_an_object])
def test_a_folder_that_may_not_be_written_leaves_the_old_file(
    forbidden: Path, writer: Callable[[Path], None]
) -> None:
    pytest.importorskip("torch")  # while it can be read
    import tests.bundle.synthetic  # noqa: F401

    given, path = target(forbidden, writer)
    forbid(forbidden)
    refused(writer, given, path, "give yourself write permission")


def test_a_memory_that_may_not_be_written_only_costs_time(forbidden: Path) -> None:
    (forbidden / "file").write_text("abc")
    forbid(forbidden)
    memory = FileMemory(forbidden / "cache" / "memory.json")
    assert memory.get(forbidden / "file", "size", lambda path: path.stat().st_size) == 3


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("file/below", "a file stands where a folder is needed"),
        ("file/far/below", "a file stands where a folder is needed"),
        ("folder", "a folder stands where a file is needed"),
        ("x" * 300, "set a shorter path"),
    ],
)
def test_a_path_that_cannot_be_is_an_error_that_says_what_to_do(
    tmp_path: Path, path: str, hint: str
) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError) as info:
        write_text(tmp_path / path, "new")
    assert str(tmp_path / path) in info.value.message
    assert hint in (info.value.hint or "")
    assert (tmp_path / "file").read_text() == "old"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_what_h5py_says_without_a_number_is_understood(tmp_path: Path, number: int) -> None:
    text = f"[…] unable to open file (file write failed: errno = {number}, error message = '…')"
    with pytest.raises(StorageError, match=os.strerror(number)), storage_errors(tmp_path):
        raise OSError(text)


def test_other_errors_of_the_system_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), storage_errors(tmp_path):
        (tmp_path / "missing").read_text()


# -- replacing ---------------------------------------------------------------------------------


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SakeError("no")])
@pytest.mark.parametrize("folder", [False, True])
def test_an_exception_leaves_the_old_content_and_no_temporary(
    tmp_path: Path, error: BaseException, folder: bool
) -> None:
    path = tmp_path / "target"
    path.write_text("old")
    with pytest.raises(type(error)), replacing(path) as temporary:
        if folder:
            temporary.mkdir()
            (temporary / "part").write_text("new")
        else:
            temporary.write_text("new")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["target"]


def test_an_exception_before_anything_is_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="early"), replacing(tmp_path / "a" / "b"):
        raise ValueError("early")
    assert names(tmp_path / "a") == []


def test_a_file_is_replaced_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where" / "text.yaml"
    write_text(path, "one")
    write_text(path, "zwei – ∂")
    assert path.read_text(encoding="utf-8") == "zwei – ∂"
    assert names(path.parent) == ["text.yaml"]


def test_a_reader_of_the_old_file_keeps_it(tmp_path: Path) -> None:
    write_text(tmp_path / "x", "old")
    with (tmp_path / "x").open() as reader:
        write_text(tmp_path / "x", "new")
        assert reader.read() == "old"


def test_all_is_on_the_disk_before_the_rename_and_the_rename_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        done.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        sync(handle)

    def rename(self: Path, to: Path) -> Path:
        done.append("rename")
        return replace(self, to)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "another file").write_text("is none of ours")
    with replacing(tmp_path / "in" / "folder") as temporary:
        (temporary / "deep").mkdir(parents=True)
        (temporary / "a").write_text("a")
        (temporary / "deep" / "b").write_text("b")
    rename_at = done.index("rename")
    assert set(done[:rename_at]) == {temporary.name, "a", "deep", "b"}
    assert done[rename_at + 1 :] == ["in"]


KILLED = """
import sys, time
from pathlib import Path
from sake_registry.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    if sys.argv[2] == "folder":
        temporary.mkdir()
        temporary = temporary / "part"
    with temporary.open("w") as file:
        file.write("half of the new")
        file.flush()
        print("writing", flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_kill_in_the_middle_leaves_the_old_state_and_what_can_be_cleaned(
    tmp_path: Path, what: str
) -> None:
    path = tmp_path / "in" / "target"
    path.parent.mkdir()
    if what == "file":
        path.write_text("old")
    command = [sys.executable, "-c", KILLED, str(path), what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    left = [name for name in names(path.parent) if name.startswith(TEMPORARY)]
    assert len(left) == 1
    remove_leftovers(tmp_path)
    assert names(path.parent) == (["target"] if what == "file" else [])
    if what == "file":
        assert path.read_text() == "old"


def test_a_kill_at_any_moment_leaves_one_whole_bundle_or_the_other(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    from tests.bundle.synthetic import EDITS, values, write

    path, known = tmp_path / "x" / "bundle.h5", []
    for edits in (EDITS[:1], EDITS[1:]):
        write(path, edits)
        known.append(values(path))
    script = (
        "import sys; from pathlib import Path; from tests.bundle.synthetic import EDITS, write\n"
        "print('begun', flush=True)\n"
        "while True:\n"
        "    for edits in (EDITS[:1], EDITS[1:]): write(Path(sys.argv[1]), edits)\n"
    )
    chance = random.Random(5)
    for _ in range(5):
        command = [sys.executable, "-c", script, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0, 0.1))
            process.kill()
        assert values(path) in known
    remove_leftovers(tmp_path)
    assert names(path.parent) == ["bundle.h5"]


def test_leftovers_are_removed_at_every_depth_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / f"{TEMPORARY}folder" / "deep").mkdir(parents=True)
    (tmp_path / "a" / f"{TEMPORARY}folder" / "deep" / "file").write_text("x")
    (tmp_path / "a" / "b" / f"{TEMPORARY}file.h5").write_text("x")
    (tmp_path / "a" / "b" / "kept").write_text("x")
    (tmp_path / "a" / f"kept{TEMPORARY}").write_text("x")
    remove_leftovers(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "a", "a/b", "a/b/kept", f"a/kept{TEMPORARY}",
    ]  # fmt: skip
    remove_leftovers(tmp_path / "missing")


# -- folders -----------------------------------------------------------------------------------


def make_folder(path: Path, text: str, also: Callable[[], object] = lambda: None) -> None:
    with replacing(path) as temporary:
        temporary.mkdir()
        (temporary / "text").write_text(text)
        also()


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "models" / "folder"
    make_folder(path, "whole", lambda: check(not path.exists()))
    assert (path / "text").read_text() == "whole"
    assert names(path.parent) == ["folder"]


def check(truth: bool) -> None:
    assert truth


def test_of_two_that_make_the_same_folder_the_first_wins_and_both_go_on(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    make_folder(path, "second", lambda: make_folder(path, "first"))
    assert (path / "text").read_text() == "first"
    assert names(tmp_path) == ["folder"]


def test_many_that_make_the_same_folder_at_once_all_go_on(tmp_path: Path) -> None:
    path, together, errors = tmp_path / "folder", threading.Barrier(8), []

    def make(number: int) -> None:
        try:
            make_folder(path, f"whole {number}", together.wait)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=make, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert (path / "text").read_text().startswith("whole ")
    assert names(tmp_path) == ["folder"]


def test_an_empty_folder_is_not_taken_for_a_finished_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    make_folder(tmp_path / "folder", "whole")
    assert (tmp_path / "folder" / "text").read_text() == "whole"


def test_a_file_in_a_folders_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(StorageError, match="Not a directory"):
        make_folder(tmp_path / "folder", "whole")
    assert (tmp_path / "folder").read_text() == "a file"
    assert names(tmp_path) == ["folder"]


def test_writers_in_one_folder_do_not_meet(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                path = tmp_path / f"{number}-{turn}"
                write_text(path, "text")
                path.unlink()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert names(tmp_path) == []


# -- the memory of files -----------------------------------------------------------------------


class Reader:
    """Computes a file's text, and counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, path: Path) -> str:
        self.calls += 1
        return path.read_text()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("abc")
    return path


@pytest.fixture
def memory(tmp_path: Path) -> FileMemory:
    return FileMemory(tmp_path / "cache" / "memory.json")


def test_a_file_that_stays_is_computed_once_a_kind(file: Path, memory: FileMemory) -> None:
    read = Reader()
    assert [memory.get(file, "text", read) for _ in range(3)] == ["abc"] * 3
    assert FileMemory(memory.path).get(file, "text", read) == "abc"
    assert read.calls == 1
    assert memory.get(file, "size", lambda path: path.stat().st_size) == 3
    assert memory.get(file, "text", read) == "abc"
    assert read.calls == 1


def test_a_file_of_another_size_is_computed_again(file: Path, memory: FileMemory) -> None:
    read = Reader()
    memory.get(file, "text", read)
    before = file.stat()
    file.write_text("abcd")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert memory.get(file, "text", read) == "abcd"
    assert read.calls == 2


def test_a_file_of_another_time_is_computed_again(file: Path, memory: FileMemory) -> None:
    read = Reader()
    memory.get(file, "text", read)
    before = file.stat()
    file.write_text("xyz")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert memory.get(file, "text", read) == "xyz"
    assert read.calls == 2


def test_a_replaced_file_of_the_same_size_and_time_is_computed_again(
    file: Path, memory: FileMemory, tmp_path: Path
) -> None:
    read = Reader()
    memory.get(file, "text", read)
    before = file.stat()
    (tmp_path / "other").write_text("xyz")
    os.utime(tmp_path / "other", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "other").rename(file)
    after = file.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert memory.get(file, "text", read) == "xyz"
    assert read.calls == 2


def test_a_file_that_changes_while_it_is_computed_is_computed_again(
    file: Path, memory: FileMemory
) -> None:
    def slow(path: Path) -> str:
        text = path.read_text()
        path.write_text("changed meanwhile")
        return text

    assert memory.get(file, "text", slow) == "abc"
    assert memory.get(file, "text", Reader()) == "changed meanwhile"


def test_two_names_of_one_file_are_one(file: Path, memory: FileMemory, tmp_path: Path) -> None:
    read = Reader()
    (tmp_path / "link").symlink_to(file)
    assert memory.get(file, "text", read) == memory.get(tmp_path / "link", "text", read) == "abc"
    assert read.calls == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[1, 2]",
        b'"text"',
        b"[" * 100_000,
        b'{"KEY": null}',
        b'{"KEY": 1}',
        b'{"KEY": []}',
        b'{"KEY": {}}',
        b'{"KEY": {"state": STATE}}',
        b'{"KEY": {"state": [1, 2, 3], "value": "wrong"}}',
        b'{"KEY": {"value": "wrong"}}',
    ],
    ids=lambda v: repr(v[:40]),
)
def test_a_damaged_memory_is_a_memory_that_knows_nothing(
    file: Path, memory: FileMemory, content: bytes
) -> None:
    read, status = Reader(), file.stat()
    state = json.dumps([status.st_size, status.st_mtime_ns, status.st_ino]).encode()
    memory.path.parent.mkdir()
    key = f"text:{file.resolve()}".encode()
    memory.path.write_bytes(content.replace(b"KEY", key).replace(b"STATE", state))
    assert memory.get(file, "text", read) == "abc"
    assert memory.get(file, "text", read) == "abc"
    assert read.calls == 1


def test_a_memory_that_is_a_folder_or_below_a_file_only_costs_time(
    file: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", file / "memory.json"):
        assert FileMemory(path).get(file, "text", Reader()) == "abc"


def test_what_computing_raises_is_raised_and_not_remembered(file: Path, memory: FileMemory) -> None:
    def fail(path: Path) -> str:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        memory.get(file, "text", fail)
    assert memory.get(file, "text", Reader()) == "abc"


def test_a_file_that_was_written_to_and_given_its_time_back_is_computed_again(
    file: Path, memory: FileMemory
) -> None:
    memory.get(file, "text", Reader())
    before = file.stat()
    with file.open("r+") as handle:
        handle.write("xyz")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = file.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        before.st_size, before.st_mtime_ns, before.st_ino,
    )  # fmt: skip
    assert memory.get(file, "text", Reader()) == "xyz"


@pytest.mark.skipif(os.name != "posix", reason="modes and owners of POSIX")
@pytest.mark.parametrize("which", ["the file", "its folder", "the memory", "the memory's folder"])
@pytest.mark.parametrize("mode", [0o002, 0o020])
def test_what_somebody_else_can_write_is_computed_each_time(
    tmp_path: Path, which: str, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_is_private", lambda group: False)
    file, memory = tmp_path / "model" / "file.txt", FileMemory(tmp_path / "cache" / "memory.json")
    file.parent.mkdir()
    file.write_text("abc")
    read = Reader()
    assert [memory.get(file, "text", read) for _ in range(2)] == ["abc"] * 2
    assert read.calls == 1
    where = {
        "the file": file, "its folder": file.parent,
        "the memory": memory.path, "the memory's folder": memory.path.parent,
    }[which]  # fmt: skip
    where.chmod(where.stat().st_mode | mode)
    lie = json.loads(memory.path.read_text())
    for known in lie.values():
        known.update(value="a lie", state=files._state(file))
    memory.path.write_text(json.dumps(lie))
    assert [memory.get(file, "text", read) for _ in range(2)] == ["abc"] * 2
    # A memory that was believed once more is one that was written anew, for this user alone.
    assert read.calls == (2 if which == "the memory" else 3)
    assert memory.path.stat().st_mode & 0o777 == 0o600 or which != "the memory"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("which", ["the file", "the memory", "a folder"])
def test_what_is_somebody_elses_is_computed_each_time(tmp_path: Path, which: str) -> None:
    file, memory = tmp_path / "model" / "file.txt", FileMemory(tmp_path / "cache" / "memory.json")
    file.parent.mkdir()
    file.write_text("abc")
    read = Reader()
    memory.get(file, "text", read)
    os.chown({"the file": file, "the memory": memory.path}.get(which, file.parent), 12345, -1)
    assert [memory.get(file, "text", read) for _ in range(2)] == ["abc"] * 2
    assert read.calls == (2 if which == "the memory" else 3)


def test_a_private_group_is_this_users_alone() -> None:
    name = pwd.getpwuid(os.geteuid()).pw_name
    for group in grp.getgrall():
        alone = group.gr_name == name and set(group.gr_mem) <= {name}
        assert files._is_private(group.gr_gid) == alone
    assert not files._is_private(987654)


def test_verifying_computes_again_and_forgets_what_is_not_so(
    tmp_path: Path, memory: FileMemory
) -> None:
    names = ("sound", "lied", "gone", "changed", "unknown")
    paths = {name: tmp_path / name for name in names}
    for name, path in paths.items():
        path.write_text(name)
        memory.get(path, "other" if name == "unknown" else "text", Reader())
    known = json.loads(memory.path.read_text())
    known[f"text:{paths['lied']}"]["value"] = "a lie"
    known["text:nowhere"] = 7
    memory.path.write_text(json.dumps(known))
    paths["gone"].unlink()
    paths["changed"].write_text("changed meanwhile")
    found = memory.verify({"text": Reader()})
    assert found == {paths["sound"]: True, paths["lied"]: False}
    assert list(json.loads(memory.path.read_text())) == [f"text:{paths['sound']}"]

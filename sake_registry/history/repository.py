"""The git repository that a registry lies in: its revisions, files, history and state. Only read
here; `committing` writes.

Edit files are known by id, the file's stem, wherever in the registry's folder of edits they lie.
All paths here are relative to the registry's root, with `/` between their parts.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field, PlainSerializer, computed_field

from sake_registry import git
from sake_registry.edits.inventory import (
    Inventory,
    filtered,
    foreign,
    is_edit_file,
    link,
    working_tree,
)
from sake_registry.edits.registry import root_of
from sake_registry.errors import InputError, StateError
from sake_registry.git import Entry, records
from sake_registry.settings import FILE_NAME, load_settings
from sake_registry.values import Value
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sake_registry.diagnostics import Level

_FIELDS = ("%H", "%P", "%an", "%aI", "%B")
_UNDER_WAY = {
    "MERGE_HEAD": ("merge", "git merge --continue", "git merge --abort"),
    "rebase-merge": ("rebase", "git rebase --continue", "git rebase --abort"),
    "rebase-apply": ("rebase", "git rebase --continue", "git rebase --abort"),
    "CHERRY_PICK_HEAD": ("cherry-pick", "git cherry-pick --continue", "git cherry-pick --abort"),
    "REVERT_HEAD": ("revert", "git revert --continue", "git revert --abort"),
    "BISECT_LOG": ("bisect", "git bisect good|bad", "git bisect reset"),
    # Between two picks of several.
    "sequencer": ("cherry-pick", "git cherry-pick --continue", "git cherry-pick --abort"),
}
_FULL_ID = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class Commit(Value):
    """One commit, by its full id; its author as committed: `.mailmap` is the work tree's."""

    commit: str
    parents: tuple[str, ...] = Field(exclude=True)
    author: str = Field(exclude=True)
    date: Annotated[datetime, PlainSerializer(datetime.isoformat)]
    message: str

    @property
    def short(self) -> str:
        return self.commit[:10]

    @computed_field
    @property
    def subject(self) -> str:
        """The message's first line."""
        return self.message.partition("\n")[0]

    @computed_field
    @property
    def reason(self) -> str | None:
        """The reason that `sake revert` or `sake withdraw` was given, from the trailers."""
        match = re.search(r"^Sake-Reason: (.+)$", self.message, re.MULTILINE)
        return match[1] if match else None


@dataclass(frozen=True)
class Range:
    """What is compared: two full commit ids; `head` None is the working tree.

    `text` is what the user wrote.
    """

    text: str
    base: str
    head: str | None


@dataclass(frozen=True)
class Change:
    """What one commit did to the file of an edit; `blob` None: the file was removed."""

    commit: str
    path: str
    blob: str | None


@dataclass(frozen=True)
class FileHistory:
    """The first-parent history of one id, newest first.

    `complete` is False where a shallow clone hides what came before the last of `changes`.
    """

    changes: tuple[Change, ...]
    complete: bool


class _Step(NamedTuple):
    """One change of a file: its blob before and after; None where it was not there."""

    commit: str
    path: str
    before: str | None
    blob: str | None


Touch = tuple["tuple[str, str] | None", "tuple[str, str] | None"]
"""What a commit did to an edit: (path, blob) before and after."""


class Repository:
    """The repository around a registry.

    Args:
        root: the registry's folder.
        edits: its folder of edits, as the settings name it.
        severities: how bad findings are in its files, where not as usual (`settings.checks`).

    Raises:
        SetupError: there is no git, or `root` lies in no repository.
        StateError: the repository is bare: it has no files to work on.
    """

    def __init__(
        self, root: Path, edits: str, severities: Mapping[str, Level] | None = None
    ) -> None:
        self.root, self.edits = root, PurePosixPath(edits).as_posix()
        self.severities: Mapping[str, Level] = severities or {}
        self._repo = git.find_repository(root)
        facts = git.read(
            root, "rev-parse", "--is-inside-work-tree", "--is-shallow-repository",
            "--show-object-format", "--show-prefix",
        )  # fmt: skip
        inside, shallow, self._format, self._prefix = _line(facts).split("\n", 3)
        if inside != "true":
            raise StateError(
                f"{self._repo.git_dir} is a bare repository: it holds no files to work on",
                hint=f"git clone '{self._repo.git_dir}' FOLDER, and work there",
            )
        self.shallow = shallow == "true"

    # Revisions

    @cached_property
    def head(self) -> str | None:
        """The commit that is checked out; None on a branch that has none yet."""
        try:
            return self.resolve("HEAD")
        except InputError:
            return None

    def moved(self) -> str:
        """The commit that is checked out now that something was committed."""
        self.__dict__.pop("head", None)
        return self.resolve("HEAD")

    def resolve(self, revision: str) -> str:
        """The full id of the commit that a revision names.

        Raises:
            InputError: there is no such commit here.
        """
        try:
            id_ = _line(git.read(
                self.root, "rev-parse", "--verify", "--quiet", "--end-of-options",
                f"{revision}^{{commit}}",
            ))  # fmt: skip
        except git.GitError:
            id_ = ""
        if not _FULL_ID.fullmatch(id_):  # `^HEAD` is resolved to `^1a2b…`, which names no commit
            hint = "`git log --oneline` and `git branch -a` show what there is"
            if self.shallow:
                hint = "this is a shallow clone: `git fetch --unshallow` gets the rest"
            raise InputError(f"no commit '{revision}' in {self.root}", hint=hint)
        return id_

    def range(self, text: str) -> Range:
        """What a range names: `A` (against the working tree), `A..B`, `A...B` (from where B
        left A); an end that is left out is HEAD.

        Raises:
            InputError: an end is no commit, or the two have no common one.
        """
        dots = "..." if "..." in text else ".." if ".." in text else None
        if dots is None:
            return Range(text, self.resolve(text), None)
        first, _, second = text.partition(dots)
        base, head = self.resolve(first or "HEAD"), self.resolve(second or "HEAD")
        return Range(text, self.merge_base(base, head) if dots == "..." else base, head)

    def merge_base(self, first: str, second: str) -> str:
        """The commit from which two others went apart; both are full ids.

        Raises:
            InputError: they have none in common.
        """
        try:
            return _line(git.read(self.root, "merge-base", first, second))
        except git.GitError as error:
            hint = "compare them with A..B"
            if self.shallow:
                hint = "this is a shallow clone: `git fetch --unshallow` gets the rest"
            message = f"{first[:10]} and {second[:10]} have no commit in common"
            raise InputError(message, hint=hint) from error

    def branch(self) -> str | None:
        """The branch that is checked out; None when HEAD is detached."""
        try:
            return _line(git.read(self.root, "symbolic-ref", "--quiet", "--short", "HEAD"))
        except git.GitError:
            return None

    # Files

    def files(self, commit: str, folder: str | None = None) -> dict[str, Entry]:
        """The files of a commit below a folder of the registry (the edits'), by path."""
        where = (self._prefix + (self.edits if folder is None else folder)).removesuffix(".")
        paths = ["--", where] if where else []
        out = git.read(self.root, "ls-tree", "-r", "-z", "--full-tree", commit, *paths)
        entries = {}
        for record in records(out):
            entry = _entry(record, self._prefix)
            entries[entry.path] = entry
        return entries

    def edit_files(self, commit: str) -> dict[str, Entry]:
        """The edit files of a commit, by path, in order."""
        return {
            path: entry
            for path, entry in sorted(self.files(commit).items())
            if entry.regular and is_edit_file(path, self.edits)
        }

    def inventory(self, commit: str | None) -> Inventory:
        """The inventory of a commit, or of the working tree (None)."""
        if commit is None:
            return working_tree(self.root, self.edits)
        parts = [PurePosixPath(self._prefix, self.edits)]
        parts += [part for part in parts[0].parents if part.name]
        out = git.read(self.root, "ls-tree", "-z", "--full-tree", commit, *map(str, parts))
        above = [_entry(record, "") for record in records(out)] if parts[0].name else []
        entries = self.files(commit)
        files = self.edit_files(commit)
        unseen = [
            link(entry.path) if entry.mode == "120000" else foreign(entry.path)
            for entry in (*above, *entries.values())
            if entry.mode == "160000" or (entry.mode == "120000" and self._leads(commit, entry))
        ]
        unseen += filtered(git.transformed(self.root, (*files, FILE_NAME), commit))
        return Inventory(tuple(files), tuple(dict.fromkeys(unseen)))

    def _leads(self, commit: str, entry: Entry) -> bool:
        """Whether a link stands where an edit file, or a folder of them, could."""
        if entry.path == self.edits or is_edit_file(entry.path, self.edits):
            return True
        if "/." in f"/{entry.path}":
            return False
        out = git.read(
            self.root, "cat-file", "--batch-check=%(objecttype)", "--follow-symlinks",
            stdin=f"{commit}:{self._prefix}{entry.path}\n".encode(errors="surrogateescape"),
        )  # fmt: skip
        return not out.startswith((b"blob", b"dangling"))

    def index(self, folder: str | None = None) -> dict[str, Entry]:
        """The index's entries below a folder of the registry (the edits'), by path.

        An unmerged file has the entry of its first stage.
        """
        where = self.edits if folder is None else folder
        entries: dict[str, Entry] = {}
        for entry in git.index(self.root, where):
            entries.setdefault(entry.path, entry)
        return entries

    def file(self, commit: str, path: str) -> Entry | None:
        """One file of a commit, or None."""
        return self.files(commit, path).get(path)

    def content(self, commit: str | None, path: str) -> bytes | None:
        """What a file was in a commit, or is in the working tree (None); None if it is not there.

        Raises:
            InputError: it is a link there.
            StateError: a partial clone left it out.
        """
        if commit is None:
            return (self.root / path).read_bytes()
        entry = self.file(commit, path)
        if entry is not None and not entry.regular:
            raise InputError(
                f"{path} is a link or a submodule in {commit[:10]}", hint="put the file there"
            )
        return self.read([entry.blob])[entry.blob] if entry else None

    def unchanged(self, entry: Entry) -> bool:
        """Whether the working tree's file is what an entry says."""
        file = self.root / entry.path
        return file.is_file() and entry.blob in self.blob_ids(file.read_bytes())

    def read(self, blobs: Iterable[str]) -> dict[str, bytes]:
        """The content of blobs, by id, all in one process.

        Raises:
            StateError: a partial clone left some of them out.
        """
        wanted = list(dict.fromkeys(blobs))
        if not wanted:
            return {}
        stdin = "".join(f"{blob}\n" for blob in wanted).encode()
        out = git.read(self.root, "cat-file", "--batch", stdin=stdin)
        contents, place, missing = {}, 0, 0
        for blob in wanted:
            end = out.index(b"\n", place)
            head = out[place:end].split(b" ")
            place = end + 1
            if head[1:2] != [b"blob"]:
                missing += 1
                continue
            size = int(head[2])
            contents[blob] = out[place : place + size]
            place += size + 1
        if missing:
            raise StateError(
                f"{count(missing, 'version')} of edit files {'is' if missing == 1 else 'are'} not "
                "in this clone, which is a partial one",
                hint=git.COMPLETE,
            )
        return contents

    def blob_ids(self, data: bytes) -> tuple[str, ...]:
        """The ids under which git may know a file with these bytes: as they are, and with the
        line ends that `core.autocrlf` would have taken out."""
        forms = dict.fromkeys((data, data.replace(b"\r\n", b"\n")))
        return tuple(
            hashlib.new(self._format, b"blob %d\0" % len(form) + form).hexdigest() for form in forms
        )

    # History

    def commits(self, ids: Sequence[str]) -> dict[str, Commit]:
        """Author, date and message of commits, by full id."""
        if not ids:
            return {}
        out = git.read(
            self.root, "log", "--no-walk=unsorted", "--stdin", "-z", "--encoding=UTF-8",
            f"--format={'%x00'.join(_FIELDS)}", stdin="".join(f"{i}\n" for i in ids).encode(),
        )  # fmt: skip
        fields = out.decode(errors="replace").split("\0")
        commits = {}
        for start in range(0, len(fields) - len(_FIELDS) + 1, len(_FIELDS)):
            id_, parents, author, date, message = fields[start : start + len(_FIELDS)]
            commits[id_] = Commit(
                commit=id_, parents=tuple(parents.split()), author=author, date=_date(date),
                message=message.strip("\n"),
            )  # fmt: skip
        return commits

    def history(self, ids: Collection[str], start: str) -> dict[str, FileHistory]:
        """What the commits from `start` back along first parents did to the files of edits.

        No rename is guessed: a file belongs to an edit by its stem, in whatever folder. Of two
        files with one stem, the first in order counts.
        """
        steps: dict[str, list[_Step]] = {id_: [] for id_ in ids}
        for step in reversed(self.steps(self._first_parents(start))):
            stem = PurePosixPath(step.path).stem
            if stem in steps:
                steps[stem].append(step)
        boundary = self.boundary()
        histories = {}
        for id_ in ids:
            files: dict[str, str] = {}
            changes: list[Change] = []
            for commit, path, _, blob in steps[id_]:
                before = min(files.items(), default=None)
                if blob is None:
                    files.pop(path, None)
                else:
                    files[path] = blob
                now = min(files.items(), default=None)
                if now == before:
                    continue
                if changes and changes[-1].commit == commit:
                    changes.pop()  # a move: one path goes, another comes
                change = Change(commit, *(now or (path, None)))
                last = changes[-1] if changes else None
                if last is None or (last.path, last.blob) != (change.path, change.blob):
                    changes.append(change)
            complete = not changes or changes[0].commit not in boundary
            histories[id_] = FileHistory(tuple(reversed(changes)), complete)
        return histories

    def touched(self, commit: str) -> list[str]:
        """The ids of the edits whose files a commit changed, against its first parent.

        Raises:
            StateError: a shallow clone hides what was before it.
        """
        if commit in self.boundary():
            raise StateError(
                f"this shallow clone hides what was before {commit[:10]}",
                hint="`git fetch --unshallow` gets the rest",
            )
        parents = self.commits([commit])[commit].parents
        before = self.edit_files(parents[0]) if parents else {}
        after = self.edit_files(commit)
        paths = {p for p in {*before, *after} if before.get(p) != after.get(p)}
        return sorted({PurePosixPath(path).stem for path in paths})

    def recent(self, count: int, start: str) -> list[tuple[str, dict[str, Touch]]]:
        """The newest first-parent commits that changed files of edits: what each did, by id."""
        touches: list[tuple[str, dict[str, Touch]]] = []
        chunk, skip = 4 * count, 0
        while len(touches) < count:
            line = self._first_parents(start, f"--max-count={chunk}", f"--skip={skip}")
            if not line:
                break
            touched: dict[str, dict[str, Touch]] = {}
            for step in self.steps(line):
                stem = PurePosixPath(step.path).stem
                held = (step.path, step.before) if step.before else None
                now = (step.path, step.blob) if step.blob else None
                before, after = touched.setdefault(step.commit, {}).get(stem, (None, None))
                touched[step.commit][stem] = (before or held, after or now)
            for commit, ids in touched.items():
                changed = {id_: t for id_, t in sorted(ids.items()) if t[0] != t[1]}
                touches += [(commit, changed)] if changed else []  # nothing: a mode changed
            skip += chunk
            chunk *= 4
        return touches[:count]

    def _first_parents(self, start: str, *options: str) -> list[str]:
        """Commits from one back, newest first, each with its first parent, if it has one."""
        out = git.read(self.root, "rev-list", "--first-parent", "--parents", *options, start)
        return [" ".join(line.split(" ")[:2]) for line in out.decode().splitlines()]

    def steps(self, line: Sequence[str]) -> list[_Step]:
        """Every change of an edit file by these commits, in their order.

        All edit files and not some: a pattern that finds a file in whatever folder would be
        matched against every entry of every tree, and takes three times as long.
        """
        where = [] if self.edits in ("", ".") and not self._prefix else ["--", self.edits or "."]
        out = git.read(
            self.root, "diff-tree", "--stdin", "--root", "-r", "--raw", "--no-renames",
            "--no-abbrev", "-z", *where, stdin="".join(f"{pair}\n" for pair in line).encode(),
        )  # fmt: skip
        steps: list[_Step] = []
        commit = ""
        fields = iter(records(out))
        for record in fields:
            if not record.startswith(":"):
                commit = record.strip("\n")
                continue
            old_mode, mode, old, blob, _ = record.split(" ")
            path = next(fields).removeprefix(self._prefix)
            if is_edit_file(path, self.edits):
                # Of a file that is not there the mode is 000000; of a link, 120000.
                before = old if old_mode.startswith(":100") else None
                steps.append(_Step(commit, path, before, blob if mode.startswith("100") else None))
        return steps

    def boundary(self) -> set[str]:
        """The commits behind which a shallow clone knows nothing."""
        if not self.shallow:
            return set()
        return set(Path(self._repo.common_dir, "shallow").read_text().split())

    def is_ancestor(self, commit: str, of: str) -> bool:
        """Whether one commit is another one, or lies behind it; both are full ids."""
        try:
            return self.merge_base(commit, of) == commit
        except InputError:
            return False

    # State

    def under_way(self) -> tuple[str, str, str] | None:
        """A merge, rebase, cherry-pick, revert or bisect that is not finished: its name, and the
        commands that finish it and give it up."""
        names = (name for name in _UNDER_WAY if Path(self._repo.git_dir, name).exists())
        return next((_UNDER_WAY[name] for name in names), None)

    def outer(self) -> Path | None:
        """The repository around this one, if this one is its submodule."""
        out = _line(git.read(self.root, "rev-parse", "--show-superproject-working-tree"))
        return Path(out) if out else None


def open_repository(start: Path) -> Repository:
    """The repository of the registry at or above a folder; no edit file is read.

    Raises:
        InputError: there is no registry.
        SettingsError: `sake.toml` or a variable is wrong.
        SetupError, StateError: it lies in no git repository, or in a bare one.
    """
    root = root_of(start)
    settings = load_settings(root)
    return Repository(root, settings.edits, settings.checks)


def _date(written: str) -> datetime:
    """The date of a commit; the epoch where it is none: git takes any number for a date, and any
    for a time zone, and old programs wrote such."""
    try:
        return datetime.fromisoformat(written)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def _entry(record: str, prefix: str) -> Entry:
    """What `ls-tree` says of one file."""
    meta, _, path = record.partition("\t")
    mode, _, blob = meta.split(" ")
    return Entry(path.removeprefix(prefix), blob, mode)


def _line(out: bytes) -> str:
    return out.decode("utf-8", errors="surrogateescape").removesuffix("\n")

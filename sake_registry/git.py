"""Starting git. Every git process of this program is started here, by GitPython.

Guarantees:
- The repository is the one that the registry lies in. Variables of the caller that would lead
  git elsewhere (`GIT_DIR`, `GIT_INDEX_FILE`, …) never reach it; identity, SSH and configuration
  do.
- Reading starts no foreign program, whatever a repository's configuration plants: no file-system
  monitor, no hook, no external diff, no text conversion, no pager, no signature check, no fetch of
  what a partial clone left out. Only plumbing is called, and files of the working tree are read
  and hashed here, so that no clean filter runs either.
- Reading writes nothing: no lock, no refreshed index.
- Ctrl-C on the terminal reaches this program, and of git only what its user may talk to: what is
  read, and what puts things right after an interruption, is not torn by another one.
- A revision is resolved once, to a full id, and never stands where git could take it for an
  option. Paths are literal.
"""

from __future__ import annotations

import os
import tempfile
import threading
from contextlib import contextmanager, nullcontext
from pathlib import Path
from subprocess import PIPE
from typing import TYPE_CHECKING, Any, NamedTuple

# Without a git GitPython would refuse to be imported; what needs one says so when it starts it.
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
from git import Git, GitCommandNotFound, InvalidGitRepositoryError, Repo

from sake_registry.errors import SetupError, StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

# What git itself calls local to a repository (`git rev-parse --local-env-vars`), configuration
# apart, and what changes how it reads paths and objects.
_REDIRECTIONS = frozenset(
    """
    GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_INDEX_VERSION GIT_OBJECT_DIRECTORY GIT_COMMON_DIR
    GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_GRAFT_FILE GIT_SHALLOW_FILE GIT_REPLACE_REF_BASE
    GIT_NO_REPLACE_OBJECTS GIT_NAMESPACE GIT_PREFIX GIT_INTERNAL_SUPER_PREFIX
    GIT_IMPLICIT_WORK_TREE GIT_QUARANTINE_PATH GIT_ATTR_SOURCE GIT_LITERAL_PATHSPECS
    GIT_GLOB_PATHSPECS GIT_NOGLOB_PATHSPECS GIT_ICASE_PATHSPECS GIT_EXTERNAL_DIFF GIT_DIFF_OPTS
    GIT_REFLOG_ACTION
    """.split()
)
_READING = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",  # an older git knows no GIT_NO_LAZY_FETCH
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
}
# Beats the same keys of every configuration file.
_CONFIGURATION = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.quotePath": "false",
    "core.splitIndex": "false",
    "log.showSignature": "false",
    "log.showRoot": "true",
    "diff.orderFile": os.devnull,
    "diff.relative": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
}

_TRANSFORMING = ("filter", "working-tree-encoding", "ident")
"""The attributes by which git changes a file on its way in and out, line ends apart."""
COMPLETE = "`git fetch --refetch --no-filter` gets everything"
"""What makes a partial clone a whole one."""

_starting = threading.RLock()


class GitError(SetupError):
    """git ended with an error; `stderr` is the message of git, or of a hook."""

    def __init__(self, command: str, stderr: str, code: int) -> None:
        self.stderr = stderr.strip().removeprefix("fatal: ") or f"exit code {code}"
        super().__init__(f"git {command}: {self.stderr}", hint=_hint(self.stderr))
        self.code = code


@contextmanager
def _without_redirections() -> Iterator[None]:
    """Take the variables that lead git elsewhere out of the environment that GitPython copies."""
    with _starting:
        taken = {name: os.environ.pop(name) for name in _REDIRECTIONS & os.environ.keys()}
        try:
            yield
        finally:
            os.environ.update(taken)


class Entry(NamedTuple):
    """A file in a commit or in the index: its blob and mode; `stage` is 0 but in conflicts.

    `mark` says by what git was told not to look at the file on the disk: `skip-worktree` (a sparse
    checkout sets it, too) or `assume-unchanged`.
    """

    path: str
    blob: str
    mode: str = "100644"
    stage: int = 0
    mark: str = ""

    @property
    def regular(self) -> bool:
        """A plain file: no link, no submodule."""
        return self.mode.startswith("100")


class _Runner(Git):
    """GitPython's runner, in one folder and for the repository around it.

    Attributes:
        foreground: what is started belongs to the terminal, whose Ctrl-C reaches it.
    """

    foreground = False

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        # Of a text GitPython would take `~` and `$NAME` for more than names.
        super().__init__(Path(folder) if folder is not None else None)

    def execute(self, *arguments: Any, **options: Any) -> Any:
        # In a folder that it cannot enter, GitPython would start git where the caller is.
        if self.working_dir is None or not os.access(self.working_dir, os.X_OK):
            raise SetupError(f"no folder {self.working_dir}")
        try:
            with _without_redirections():
                return super().execute(*arguments, **options, start_new_session=not self.foreground)
        except GitCommandNotFound as error:
            hint = "install git, https://git-scm.com"
            raise SetupError("git is not installed", hint=hint) from error


class _Reader(_Runner):
    """The same with the options and variables under which git only reads; in English."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        super().__init__(folder)
        configuration = [f"{key}={value}" for key, value in _CONFIGURATION.items()]
        self.set_persistent_git_options(no_pager=True, literal_pathspecs=True, c=configuration)
        self.update_environment(**_READING)


class _Repo(Repo):
    GitCommandWrapperType = _Reader  # type: ignore[assignment]


def find_repository(folder: Path) -> Repo:
    """The repository that a folder lies in, found from its path alone; git is not started.

    Raises:
        SetupError: it lies in none.
    """
    try:
        with _without_redirections():
            return _Repo(folder.resolve(), search_parent_directories=True, expand_vars=False)
    except InvalidGitRepositoryError as error:
        hint = "`git init` makes one; then commit"
        raise SetupError(f"{folder} is not in a git repository", hint=hint) from error


def index(folder: Path, path: str) -> Iterator[Entry]:
    """The index's entries at or below a path, both relative to a folder; of an unmerged file,
    those of every stage."""
    for record in records(read(folder, "ls-files", "-v", "--stage", "-z", "--", path)):
        meta, _, name = record.partition("\t")
        tag, mode, blob, stage = meta.split(" ")
        mark = "skip-worktree" if tag in "Ss" else "assume-unchanged" if tag.islower() else ""
        yield Entry(name, blob, mode, int(stage), mark)


def transformed(folder: Path, paths: Iterable[str], commit: str | None = None) -> dict[str, str]:
    """The files of which git keeps something else than what lies on the disk, line ends apart:
    the attribute that says so, by path.

    Args:
        paths: relative to the folder.
        commit: take the attributes from there, and not from the working tree.
    """
    stdin = "".join(f"{path}\0" for path in paths).encode(errors="surrogateescape")
    if not stdin:
        return {}
    asked = ("check-attr", "-z", "--stdin", *_TRANSFORMING)
    if commit is None:
        out = read(folder, *asked, stdin=stdin)
    else:  # before git 2.40 only an index, here one of its own, lets it look into a commit
        with tempfile.TemporaryDirectory(prefix="sake-index-") as place:
            own = f"{place}/index"
            read(folder, "read-tree", commit, index_file=own)
            out = read(folder, *asked, "--cached", stdin=stdin, index_file=own)
    fields = records(out)
    found = {}
    for path, name, value in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
        off = value in ("unspecified", "unset") or value.lower() in ("utf-8", "utf8")
        if not off:
            found[path] = name if value == "set" else f"{name}={value}"
    return found


def records(out: bytes) -> list[str]:
    """NUL-ended records; paths that are not UTF-8 come through as they are."""
    return [r for r in out.decode("utf-8", errors="surrogateescape").split("\0") if r]


def read(
    folder: Path, command: str, *arguments: str, stdin: bytes = b"", index_file: str | None = None
) -> bytes:
    """What a reading git command prints. Nothing is written, no foreign program runs.

    Args:
        index_file: another index than the repository's.

    Raises:
        SetupError: there is no git.
        GitError: git ended with an error.
        StateError: a partial clone left out what is asked for.
    """
    git = _Reader(folder)
    if index_file is not None:
        git.update_environment(GIT_INDEX_FILE=index_file)
    return _run(git, command, arguments, stdin)


def write(
    folder: Path,
    command: str,
    *arguments: str,
    stdin: bytes = b"",
    foreground: bool = False,
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> bytes:
    """What a writing git command prints. Hooks, signing, filters and identity are the user's.

    Paths are to be marked as such, by `literal`: what would make all of them literal would do so
    for the hooks, too.

    Args:
        foreground: its hooks may talk to the user, on whose terminal it stays.
        waiting: holds while git is waited for. What is raised there ends it.

    Raises:
        SetupError: there is no git.
        GitError: git ended with an error, or a hook did.
    """
    git = _Runner(folder)
    git.foreground = foreground
    # Messages are handed over as UTF-8, whatever a user has set for other commits.
    git.set_persistent_git_options(c="i18n.commitEncoding=UTF-8")
    # Hooks speak the user's language: GitPython sets C, and empty is as good as unset.
    git.update_environment(**{name: os.environ.get(name, "") for name in ("LC_ALL", "LANGUAGE")})
    return _run(git, command, arguments, stdin, waiting)


def literal(path: str) -> str:
    """A path as an argument of `write`: none of its characters is a wildcard."""
    return f":(literal){path}"


def _run(
    git: Git,
    command: str,
    arguments: tuple[str, ...],
    stdin: bytes,
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> bytes:
    process = getattr(git, command)(*arguments, istream=PIPE, as_process=True)
    try:
        with waiting():
            out, err = process.communicate(stdin)
    except BaseException:
        # What it did is looked at next: it is to have ended by then, and removes its locks.
        process.proc.terminate()
        process.proc.wait()
        raise
    if process.returncode:
        stderr = (err or out).decode(errors="replace")
        if "lazy fetching disabled" in stderr or "promisor remote" in stderr:
            raise StateError("this partial clone left out what is needed", hint=COMPLETE)
        raise GitError(command, stderr, process.returncode)
    return bytes(out)


def _hint(stderr: str) -> str | None:
    if "not a git repository" in stderr:
        return "the registry is kept in git: `git init` makes a repository"
    if "dubious ownership" in stderr:
        return "another user owns this folder: see `git help config`, safe.directory"
    return None

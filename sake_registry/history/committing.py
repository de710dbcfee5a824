"""Committing files of edits: these and nothing else, all of them or none.

What was done is read off HEAD, whatever ended it: an error of git, a hook, Ctrl-C. Where the commit
was made, files and index are the commit's; where it was not, they are what they were.
"""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

from sake_registry import git
from sake_registry.errors import SetupError, StateError
from sake_registry.history.working import replaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sake_registry.history.repository import Repository

log = logging.getLogger(__name__)

_IDENTITY = "git config user.name 'Your Name' && git config user.email you@example.org"


def commit(repository: Repository, contents: Mapping[str, bytes | None], message: str) -> str:
    """Commit new contents of files, and nothing else that is staged or changed.

    All or nothing: where the commit does not come about (a hook says no, signing fails, Ctrl-C),
    the files and their index entries are what they were; where it was made before an
    interruption, it stays, and so do the files. The caller made sure that these paths are
    neither changed nor staged.

    Args:
        contents: by path; None removes the file.

    Returns:
        The new commit's full id.

    Raises:
        StateError: git or a hook refused; with its message.
    """
    _check_identity(repository)
    paths = [git.literal(path) for path in contents]
    new = [
        git.literal(path)
        for path, data in contents.items()
        if data is not None and path not in repository.index(path)
    ]
    before, late = repository.head, None
    with _Interruptions() as interruptions:
        try:
            with replaced(repository.root, contents):
                try:
                    if new:
                        git.write(
                            repository.root, "add", "--force", "--", *new,
                            waiting=interruptions.let_through,
                        )  # fmt: skip
                    git.write(
                        repository.root, "commit", "--only", "--quiet", "--file=-",
                        "--cleanup=whitespace", "--", *paths, stdin=message.encode(),
                        foreground=True, waiting=interruptions.let_through,
                    )  # fmt: skip
                except BaseException as error:
                    if not _is_made(repository, before, contents):
                        raise
                    late = error  # the commit is there; only what git does after it failed
        except BaseException as error:
            if new:
                with suppress(git.GitError):  # the user is to see the commit's failure
                    git.write(
                        repository.root, "rm", "--cached", "--quiet", "--force",
                        "--ignore-unmatch", "--", *new,
                    )  # fmt: skip
            if isinstance(error, git.GitError):
                raise StateError(
                    f"nothing was committed: {error.stderr}",
                    hint="the files are as they were; mend what git or its hook says, and try "
                    "again",
                ) from error
            raise
        made = repository.moved()
        if late is not None:
            with suppress(git.GitError):  # git may have ended between the branch and the index
                git.write(repository.root, "reset", "--quiet", made, "--", *paths)
        if isinstance(late, git.GitError):
            log.warning("after the commit, %s", late.message)
        elif late is not None or interruptions.first is not None:
            log.warning("commit %s was made before the interruption, and stays", made[:10])
        if late is not None and not isinstance(late, git.GitError):
            raise late
    return made


def _is_made(repository: Repository, before: str | None, paths: Iterable[str]) -> bool:
    """Whether HEAD has moved to a commit in which all of these paths are other ones."""
    now = repository.resolve("HEAD")
    if before is None or now == before:
        return now != before
    return all(repository.file(now, path) != repository.file(before, path) for path in paths)


class _Interruptions:
    """In its block, a signal that asks this program to end waits: it is raised where it is let
    through, or else at the block's end, SIGTERM and SIGHUP as `SystemExit`. Those after the first
    one, as of a second Ctrl-C, do nothing.

    A program's own handlers stay, and so do those of another thread than the main one.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self._open = self._raised = False
        self._usual: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                usual = (signal.SIG_DFL, signal.default_int_handler)
                if number is not None and signal.getsignal(number) in usual:
                    self._usual[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._usual.items():
            signal.signal(number, handler)
        if kind is None:
            self._raise()

    @contextmanager
    def let_through(self) -> Iterator[None]:
        """The block is ended by the first signal, also by one that came before it."""
        self._open = True
        try:
            self._raise()
            yield
        finally:
            self._open = False

    def _handle(self, number: int, _frame: object) -> None:
        self.first = self.first or number
        if self._open:
            self._raise()

    def _raise(self) -> None:
        if self.first is not None and not self._raised:
            self._raised = True
            raise KeyboardInterrupt if self.first == signal.SIGINT else SystemExit(128 + self.first)


def _check_identity(repository: Repository) -> None:
    """Make sure that git knows whose commits these are.

    Raises:
        SetupError: it does not.
    """
    for name in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
        try:
            git.read(repository.root, "var", name)
        except git.GitError as error:
            last = error.stderr.splitlines()[-1].removeprefix("fatal: ")
            message = f"git does not know who you are: {last}"
            raise SetupError(message, hint=_IDENTITY) from error

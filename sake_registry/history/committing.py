"""Committing files of edits: these and nothing else, all of them or none.

What was done is read off HEAD, whatever ended it: an error of git, a hook, Ctrl-C. Where the commit
was made, files and index are the commit's; where it was not, they are what they were.
"""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

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
    with _interrupted_once():
        try:
            with replaced(repository.root, contents):
                try:
                    if new:
                        git.write(repository.root, "add", "--force", "--", *new)
                    git.write(
                        repository.root, "commit", "--only", "--quiet", "--file=-",
                        "--cleanup=whitespace", "--", *paths, stdin=message.encode(),
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
            if not isinstance(late, git.GitError):
                log.warning("commit %s was made before the interruption, and stays", made[:10])
                raise late
            log.warning("after the commit, %s", late.message)
    return made


def _is_made(repository: Repository, before: str | None, paths: Iterable[str]) -> bool:
    """Whether HEAD has moved to a commit in which all of these paths are other ones."""
    now = repository.resolve("HEAD")
    if before is None or now == before:
        return now != before
    return all(repository.file(now, path) != repository.file(before, path) for path in paths)


@contextmanager
def _interrupted_once() -> Iterator[None]:
    """In the block the first signal that asks this program to end raises, SIGTERM and SIGHUP as
    `SystemExit`; those after it, as of a second Ctrl-C, do not tear what puts things right."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []

    def handle(number: int, _frame: object) -> None:
        seen.append(number)
        if len(seen) == 1:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    ending = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    usual = (signal.SIG_DFL, signal.default_int_handler)  # a program's own handlers stay
    replaced_handlers = {
        number: signal.signal(number, handle)
        for number in ending
        if number is not None and signal.getsignal(number) in usual
    }
    try:
        yield
    finally:
        for number, handler in replaced_handlers.items():
            signal.signal(number, handler)


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

"""Committing files of edits: these and nothing else, all of them or none."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from sake_registry import git
from sake_registry.errors import SetupError, StateError
from sake_registry.history.working import replaced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sake_registry.history.repository import Repository

log = logging.getLogger(__name__)

_IDENTITY = "git config user.name 'Your Name' && git config user.email you@example.org"


def commit(repository: Repository, contents: Mapping[str, bytes | None], message: str) -> str:
    """Commit new contents of files, and nothing else that is staged or changed.

    All or nothing: where the commit does not come about (a hook says no, signing fails), the
    files and their index entries are what they were. The caller made sure that these paths
    are neither changed nor staged.

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
    before = repository.head
    try:
        with replaced(repository.root, contents):
            try:
                if new:
                    git.write(repository.root, "add", "--force", "--", *new)
                git.write(
                    repository.root, "commit", "--only", "--quiet", "--file=-",
                    "--cleanup=whitespace", "--", *paths, stdin=message.encode(),
                )  # fmt: skip
            except git.GitError as error:
                if repository.resolve("HEAD") != before:
                    # The commit is there; only what git does after it failed.
                    log.warning("after the commit, %s", error.message)
                else:
                    raise StateError(
                        f"nothing was committed: {error.stderr}",
                        hint="the files are as they were; mend what git or its hook says, and "
                        "try again",
                    ) from error
    except BaseException:
        if new:
            with suppress(git.GitError):  # the user is to see the commit's failure
                git.write(
                    repository.root, "rm", "--cached", "--quiet", "--force", "--ignore-unmatch",
                    "--", *new,
                )  # fmt: skip
        raise
    return repository.moved()


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

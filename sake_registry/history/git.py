"""Starting git. Every git process of this program is started here.

Guarantees:
- The repository is the one that the registry lies in. Variables of the caller that would lead
  git elsewhere (`GIT_DIR`, `GIT_INDEX_FILE`, …) never reach it; identity, SSH and configuration
  do.
- Reading starts no foreign program, whatever a repository's configuration plants: no file-system
  monitor, no hook, no external diff, no text conversion, no pager, no signature check, no fetch of
  what a partial clone left out. Only plumbing is called, and files of the working tree are read
  and hashed here, so that no clean filter runs either.
- Reading writes nothing: no lock, no refreshed index.
- A revision is resolved once, to a full id, and never stands where git could take it for an
  option. Paths are literal.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from sake_registry.errors import SetupError, StateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

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
    "LC_ALL": "C",  # what git says is read, too
    "LANGUAGE": "C",
}
# Beats the same keys of every configuration file.
_CONFIGURATION = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.quotePath": "false",
    "log.showSignature": "false",
    "log.showRoot": "true",
    "diff.orderFile": os.devnull,
    "diff.relative": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
}

COMPLETE = "`git fetch --refetch --no-filter` gets everything"
"""What makes a partial clone a whole one."""


class GitError(SetupError):
    """git ended with an error; `said` is what it, or a hook, said."""

    def __init__(self, command: Sequence[str], stderr: str, code: int) -> None:
        self.said = stderr.strip().removeprefix("fatal: ") or f"exit code {code}"
        super().__init__(f"git {command[0]}: {self.said}", hint=_hint(self.said))
        self.code = code


def read(folder: Path, *arguments: str, stdin: bytes | None = None) -> bytes:
    """What a reading git command prints. Nothing is written, no foreign program runs.

    Raises:
        SetupError: there is no git.
        GitError: git ended with an error.
        StateError: a partial clone left out what is asked for.
    """
    options = [part for k, v in _CONFIGURATION.items() for part in ("-c", f"{k}={v}")]
    command = ["git", "--no-pager", "--literal-pathspecs", *options, *arguments]
    return _run(folder, command, arguments, {**_environment(), **_READING}, stdin)


def write(
    folder: Path,
    *arguments: str,
    stdin: bytes | None = None,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """What a writing git command prints. Hooks, signing, filters and identity are the user's.

    Paths are to be marked as such, by `literal`: what would make all of them literal would do so
    for the hooks, too.

    Raises:
        SetupError: there is no git.
        GitError: git ended with an error, or a hook did.
    """
    # Messages are handed over as UTF-8, whatever a user has set for his own.
    command = ["git", "-c", "i18n.commitEncoding=UTF-8", *arguments]
    return _run(folder, command, arguments, {**_environment(), **(environment or {})}, stdin)


def literal(path: str) -> str:
    """A path as an argument of `write`: none of its characters is a wildcard."""
    return f":(literal){path}"


def _environment() -> dict[str, str]:
    """The caller's variables without those that lead git elsewhere."""
    return {name: value for name, value in os.environ.items() if name not in _REDIRECTIONS}


def _run(
    folder: Path,
    command: Sequence[str],
    arguments: Sequence[str],
    environment: Mapping[str, str],
    stdin: bytes | None,
) -> bytes:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=dict(environment),
            input=stdin if stdin is not None else b"",
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        if not folder.is_dir():
            raise SetupError(f"no folder {folder}") from error
        raise SetupError("git is not installed", hint="install git, https://git-scm.com") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace") or done.stdout.decode(errors="replace")
        if "lazy fetching disabled" in said or "promisor remote" in said:
            raise StateError("this partial clone left out what is needed", hint=COMPLETE)
        raise GitError(arguments, said, done.returncode)
    return done.stdout


def _hint(said: str) -> str | None:
    if "not a git repository" in said:
        return "the registry is kept in git: `git init` makes a repository"
    if "dubious ownership" in said:
        return "another user owns this folder: see `git help config`, safe.directory"
    return None

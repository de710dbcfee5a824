"""Git: the only room that talks to it. Now it tells what commit a bundle is made from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Where git would look elsewhere than in the registry's own repository.
_REDIRECTIONS = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
)


def provenance(root: Path, paths: Sequence[str]) -> dict[str, str | bool | None]:
    """The commit checked out at `root`, and whether `paths` differ from it.

    Both are None outside a repository, without a commit, or without git: provenance is a note
    beside the keys, and never keeps a bundle from being made. No hook and no file-system
    monitor of the repository is run.
    """
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # no git is no error here
    from git import Git
    from git.exc import GitCommandError, GitCommandNotFound

    inherited = {name: os.environ.pop(name) for name in _REDIRECTIONS if name in os.environ}
    try:
        git = Git(root)
        commit = str(git.execute(["git", "rev-parse", "--verify", "--quiet", "HEAD^{commit}"]))
        status = git.execute(
            ["git", "-c", "core.fsmonitor=false", "--no-optional-locks", "status", "--porcelain",
             "--untracked-files=all", "--", *paths]
        )  # fmt: skip
    except (GitCommandError, GitCommandNotFound):
        return {"commit": None, "dirty": None}
    finally:
        os.environ.update(inherited)
    return {"commit": commit, "dirty": bool(status)}

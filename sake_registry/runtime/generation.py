"""What an edited call gives, whatever the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sake_registry.models.reading import pad_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from sake_registry.routing.router import Decision


@dataclass(frozen=True)
class Generation:
    """What an edited call gave.

    Indexing and iterating give the sequences, so that it can be used like the tensor that
    `model.generate` returns.

    Attributes:
        sequences: token ids, prompt included, as the engine returns them.
        decisions: one for each row of the input (not for each returned sequence).
        output: the engine's whole output where `return_dict_in_generate` was asked for.
    """

    sequences: Tensor
    decisions: list[Decision]
    output: Any
    _tokenizer: Any
    _prompt_length: int

    @property
    def texts(self) -> list[str]:
        """What was generated after each prompt, special tokens left out."""
        new = self.sequences[:, self._prompt_length :]
        return [self._tokenizer.decode(row, skip_special_tokens=True) for row in new]

    def __getitem__(self, index: Any) -> Tensor:
        return self.sequences[index]

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.sequences)

    def __len__(self) -> int:
        return len(self.sequences)


def greedy(tokens: int, tokenizer: Any) -> dict[str, Any]:
    """The likeliest token at each step, whatever a model's own generation settings add."""
    return {
        "max_new_tokens": tokens,
        "do_sample": False,
        "num_beams": 1,
        "repetition_penalty": 1.0,
        "no_repeat_ngram_size": 0,
        "suppress_tokens": None,
        "begin_suppress_tokens": None,
        "bad_words_ids": None,
        "pad_token_id": pad_token(tokenizer),
    }

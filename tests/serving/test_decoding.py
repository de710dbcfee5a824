"""Rows that join while others are under way get the tokens that they get alone."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Lfm2Config, RwkvConfig

from sake_registry import load_bundle
from sake_registry.errors import UnsupportedModelError
from sake_registry.runtime.huggingface import Edited
from sake_registry.serving.asked import Asked, Event, Prompt, Row
from sake_registry.serving.decoding import Decoder
from sake_registry.serving.sampling import Sampling
from tests import tiny_models
from tests.serving.conftest import World
from tests.workshop import IN_SCOPE, OUT_OF_SCOPE

WINDOW = 6
"""Positions that the narrow model sees: fewer than most prompts have."""
PROMPTS = (
    *IN_SCOPE, *OUT_OF_SCOPE, "def f(x):", "ß" * 12, "It", "a b c d e f g h " * 4, "Tolstoy",
)  # fmt: skip


def narrow() -> Any:
    """A model every other layer of which sees a window."""
    config = tiny_models.CONFIGS["gemma2"](len(tiny_models.tokenizer()))
    config.sliding_window = WINDOW
    return spread(config)


def recurrent() -> Any:
    """A model with a layer that keeps a state in place of keys and values."""
    return spread(
        Lfm2Config(
            vocab_size=len(tiny_models.tokenizer()), hidden_size=32, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, intermediate_size=64,
            layer_types=["conv", "full_attention"], tie_word_embeddings=False,
        )
    )  # fmt: skip


def spread(config: Any) -> Any:
    """A random model whose logits are far enough from each other."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4.0)
    return model


@dataclass
class Given:
    """A row to be decoded, and what it is to say."""

    row: Row
    wanted: list[int]
    text: list[str]


def row(tokenizer: Any, prompt: str, tokens: int, sampling: Sampling = Sampling(0)) -> Given:  # noqa: B008
    text: list[str] = []

    def tell(event: Event) -> None:
        text.append(type(event).__name__)

    ids = tuple(tokenizer(prompt).input_ids)
    asked = Asked("id", (Prompt(ids, prompt),), (sampling,), tokens, (), None, tell)
    return Given(Row(asked, 0, tokenizer, frozenset()), [], text)


def alone(model: Any, ids: Sequence[int], tokens: int, edited: Edited | None = None) -> list[int]:
    options: dict[str, Any] = {"max_new_tokens": tokens, "do_sample": False, "eos_token_id": None}
    given = torch.tensor([ids])
    generate = model.generate if edited is None else edited.generate
    with torch.no_grad():
        sequences = generate(given, attention_mask=torch.ones_like(given), **options)
    found: list[int] = sequences[0, len(ids) :].tolist()
    return found


def decode(decoder: Decoder, given: Sequence[Row], most: int, seed: int = 0) -> int:
    """Have rows join at random steps; returns how many were under way at most."""
    drawn, waiting, seen = random.Random(seed), list(given), 0
    with torch.no_grad():
        while waiting or decoder.filling or decoder.running:
            if waiting and (drawn.random() < 0.4 or not decoder.running):
                free = most - len(decoder.running)
                taken = decoder.admit(waiting[: min(free, drawn.randrange(1, 4))])
                del waiting[:taken]
            decoder.fill()
            decoder.step()
            seen = max(seen, len(decoder.running))
    return seen


MODELS: dict[str, Any] = {
    **{
        kind: functools.partial(tiny_models.make, kind)
        for kind in ("llama", "gpt2", "opt", "gpt-neox")
    },
    "narrow": narrow,
    "recurrent": recurrent,
}


@pytest.mark.parametrize("kind", MODELS)
def test_rows_that_join_say_what_they_say_alone(kind: str) -> None:
    model, tokenizer = MODELS[kind](), tiny_models.tokenizer()
    decoder = Decoder(model, tokenizer, portion=16)
    assert decoder.joins == (kind != "recurrent")
    given = [
        row(tokenizer, prompt, tokens)
        for number, prompt in enumerate(PROMPTS)
        for tokens in (1 + number, 20 - number)
    ]
    random.Random(1).shuffle(given)
    seen = decode(decoder, [one.row for one in given], most=5)
    assert seen > 2
    for one in given:
        ids, tokens = one.row.prompt.ids, one.row.asked.tokens
        assert one.row.tokens == alone(model, ids, tokens)
        assert one.text[-1] == "Ended"


def test_rows_of_several_bundles_share_their_passes(world: World) -> None:
    """And those of the bare model; each edit does what it does alone."""
    model, tokenizer = world.model, world.tokenizer
    with (
        load_bundle(world.both) as both,
        load_bundle(world.one) as one,
        both.attach(model, tokenizer) as first,
        one.attach(model, tokenizer, proved_by=first) as second,
    ):
        decoder = Decoder(model, tokenizer, portion=32)
        given = []
        for prompt in (*IN_SCOPE, *OUT_OF_SCOPE) * 2:
            for edited in (None, first, second):
                assert edited is None or isinstance(edited, Edited)
                made = row(tokenizer, prompt, 12)
                made.wanted = alone(model, made.row.prompt.ids, 12, edited)
                if edited is not None:
                    (answering,) = edited.answering(edited.decide(prompt))
                    made.row.steered = (edited, answering) if answering else None
                given.append(made)
        assert sum(made.row.steered is not None for made in given) == 6
        decode(decoder, [made.row for made in given], most=8, seed=3)
        for made in given:
            assert made.row.tokens == made.wanted
        bare = alone(model, given[0].row.prompt.ids, 12)
        assert given[0].wanted == bare != given[1].wanted == given[2].wanted


def test_where_nothing_fires_a_pass_is_the_bare_model_s(world: World) -> None:
    model, tokenizer = world.model, world.tokenizer
    seen: list[torch.Tensor] = []

    def passes(edited: Edited | None) -> list[torch.Tensor]:
        decoder = Decoder(model, tokenizer, portion=64)
        given = [row(tokenizer, prompt, 5).row for prompt in OUT_OF_SCOPE]
        for made in given if edited else ():
            assert edited.answering(edited.decide(made.prompt.text)) == [None]
        seen.clear()
        decode(decoder, given, most=2)
        return list(seen)

    handle = model.register_forward_hook(lambda *args: seen.append(args[-1].logits))
    try:
        bare = passes(None)
        with load_bundle(world.both) as bundle, bundle.attach(model, tokenizer) as edited:
            assert isinstance(edited, Edited)
            found = passes(edited)
    finally:
        handle.remove()
    assert len(bare) == len(found) >= 5
    assert all(torch.equal(a, b) for a, b in zip(bare, found, strict=True))


def test_a_pass_that_does_not_come_to_the_site_raises(world: World) -> None:
    with load_bundle(world.both) as bundle, bundle.attach(world.model, world.tokenizer) as edited:
        assert isinstance(edited, Edited)
        decoder = Decoder(world.model, world.tokenizer, portion=64)
        made = row(world.tokenizer, IN_SCOPE[0], 5)
        (answering,) = edited.answering(edited.decide(IN_SCOPE[0]))
        assert answering is not None
        made.row.steered = (edited, answering)
        head = world.model.get_output_embeddings()
        decoder.admit([made.row])
        with torch.no_grad():
            decoder.fill()
            hooks = dict(head._forward_pre_hooks)
            head._forward_pre_hooks.clear()
            try:
                with pytest.raises(UnsupportedModelError, match="without edits"):
                    decoder.step()
            finally:
                head._forward_pre_hooks.update(hooks)
    assert not decoder.running


def test_a_long_prompt_is_read_in_portions_between_others_tokens() -> None:
    model, tokenizer = tiny_models.make("llama"), tiny_models.tokenizer()
    decoder = Decoder(model, tokenizer, portion=8)
    short, long = row(tokenizer, "It", 30), row(tokenizer, "a b c d e f g h " * 4, 4)
    portions = -(-len(long.row.prompt.ids) // 8)
    assert portions > 3
    with torch.no_grad():
        assert decoder.admit([short.row, long.row]) == 1  # not both in one portion
        decoder.fill()
        assert decoder.admit([long.row]) == 1
        for number in range(portions):
            assert (decoder.filling, decoder.running) == ([long.row], [short.row])
            assert len(short.row.tokens) == 1 + number
            decoder.fill()
            decoder.step()
    assert len(long.row.tokens) == 2
    decode(decoder, [], most=2)
    for made in (short, long):
        assert made.row.tokens == alone(model, made.row.prompt.ids, made.row.asked.tokens)


def test_a_seed_gives_the_same_tokens_in_whatever_company() -> None:
    model, tokenizer = tiny_models.make("llama"), tiny_models.tokenizer()
    how, said = Sampling(1.2, 0.9, 7), []
    for company in (0, 5):
        others = [row(tokenizer, prompt, 9, Sampling(1.0)) for prompt in PROMPTS[:company]]
        made = row(tokenizer, "It", 12, how)
        decode(Decoder(model, tokenizer, 32), [one.row for one in [*others, made]], most=6)
        said.append(made.row.tokens)
    assert said[0] == said[1] != alone(model, made.row.prompt.ids, 12)


def test_a_model_that_takes_no_cache_is_refused() -> None:
    config = RwkvConfig(
        vocab_size=len(tiny_models.tokenizer()), hidden_size=32, num_hidden_layers=2
    )
    with pytest.raises(UnsupportedModelError, match="it takes no cache") as refused:
        Decoder(spread(config), tiny_models.tokenizer(), 32)
    assert "in Python" in str(refused.value.hint)


def test_a_model_that_does_not_use_its_cache_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny_models.make("llama"), tiny_models.tokenizer()
    forward = model.forward

    @functools.wraps(forward)
    def forgetful(*args: Any, **options: Any) -> Any:
        return forward(*args, **{**options, "past_key_values": None, "attention_mask": None})

    monkeypatch.setattr(model, "forward", forgetful)
    with pytest.raises(UnsupportedModelError, match="away from those without"):
        Decoder(model, tokenizer, 32)

"""Exact objects: any token is made certain, by little, through any output embedding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sake_registry import load, locate
from sake_registry.models.site import Site
from sake_registry.models.tokens import continues
from sake_registry.runtime.exact import RIVALS, SHARE, Aim, certain
from sake_registry.settings import Settings
from tests import tiny_models
from tests.workshop import IN_SCOPE, Compiled

# In fewer dimensions, one of so many tokens may lie among the others, where none gets its share.
WIDTH, VOCABULARY = 24, 300
OBJECT = "Canberra"


def a_head(seed: int, *, bias: bool = False) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(WIDTH, VOCABULARY, bias=bias).requires_grad_(requires_grad=False)


def made_certain(head: nn.Linear, rows: Tensor, *aims: Aim) -> Tensor:
    moved, logits = certain(rows, aims, head, lambda tokens: head.weight[tokens].float())
    torch.testing.assert_close(logits, head(moved))
    return moved


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.booleans(), st.integers(0, VOCABULARY - 1), st.floats(0.1, 30))
def test_any_token_gets_its_share(seed: int, bias: bool, token: int, scale: float) -> None:
    head = a_head(seed, bias=bias)
    rows = scale * torch.randn(3, WIDTH)
    moved = made_certain(head, rows, Aim(token), Aim((token + 1) % VOCABULARY), Aim(token))
    shares = head(moved).softmax(-1)
    of_aims = shares[range(3), [token, (token + 1) % VOCABULARY, token]]
    already = head(rows).softmax(-1)[range(3), [token, (token + 1) % VOCABULARY, token]] >= SHARE
    assert (of_aims >= SHARE - 1e-3).all()
    assert torch.equal(moved[already], rows[already])
    assert (of_aims[~already] <= SHARE + 1e-2).all()  # and no further


def test_of_two_tokens_the_way_is_the_shortest() -> None:
    """There the rows that are certain are a half-space, and its nearest point is known."""
    head = nn.Linear(WIDTH, 2, bias=False)
    row = torch.randn(1, WIDTH)
    moved = made_certain(head, row, Aim(1))
    between = head.weight[1] - head.weight[0]
    missing = torch.tensor(SHARE / (1 - SHARE)).log() - row[0] @ between
    nearest = row[0] + missing.clamp(min=0) / (between @ between) * between
    assert torch.allclose(moved[0], nearest, atol=1e-3)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
@example(8709)
def test_what_is_refused_gets_the_rest(seed: int) -> None:
    head = a_head(seed)
    rows = 5 * torch.randn(2, WIDTH)
    refused = set(head(rows).topk(5).indices.flatten().tolist())
    moved = made_certain(head, rows, *[Aim(refused=refused.__contains__)] * 2)
    shares = head(moved).softmax(-1)
    likeliest = shares.argmax(-1).tolist()
    assert not refused & set(likeliest)
    # Which tokens are refused is asked of the likeliest alone.
    near = shares.topk(RIVALS + 1).indices
    among = torch.tensor([[token in refused for token in row] for row in near.tolist()])
    against = (shares.gather(1, near) * among).sum(-1)
    assert (against / (against + shares.amax(-1)) <= 1 - SHARE + 1e-3).all()


def test_where_everything_is_refused_the_row_stays() -> None:
    head, rows = a_head(0), torch.randn(1, WIDTH)
    assert torch.equal(made_certain(head, rows, Aim(refused=lambda token: True)), rows)


def test_rows_of_half_precision_say_their_tokens() -> None:
    head = a_head(1).to(torch.bfloat16)
    rows = (5 * torch.randn(20, WIDTH)).to(torch.bfloat16)
    moved = made_certain(head, rows, *map(Aim, range(20)))
    assert moved.dtype == torch.bfloat16
    assert head(moved).argmax(-1).tolist() == list(range(20))


class Wrapped(nn.Linear):
    """What a quantised layer, or one with an adapter, is to this project: not a plain one."""

    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden) + 0.5 * hidden[..., :1]


def test_the_directions_of_a_head_that_is_not_plain_come_from_what_it_does() -> None:
    model = tiny_models.make("llama").eval()
    plain = model.get_output_embeddings()
    head = Wrapped(plain.in_features, plain.out_features, bias=False)
    head.weight = plain.weight
    tokens = torch.tensor([3, 1, 4, 1])
    ids = torch.tensor([[5, 6, 7]])
    expected = plain.weight[tokens].float()
    site = Site(model)
    site.read(ids, torch.ones_like(ids))
    assert torch.equal(site.directions(tokens), expected)
    site.remove()
    model.set_output_embeddings(head)
    site = Site(model)
    site.read(ids, torch.ones_like(ids))
    with torch.inference_mode():
        given_back = site.directions(tokens)
    shifted = expected.clone()
    shifted[:, 0] += 0.5
    assert torch.allclose(given_back, shifted)
    assert head.weight.grad is None


@pytest.mark.parametrize(
    "way",
    [{"do_sample": False}, {"do_sample": False, "num_beams": 3}, {"do_sample": False,
     "use_cache": False}],
    ids=str,
)  # fmt: skip
def test_an_answer_says_the_object_to_its_end(planted: Compiled, way: dict[str, Any]) -> None:
    info = planted.bundle.file.info("australia-capital")
    with planted.bundle.attach(planted.model, planted.tokenizer, exact=True) as edited:
        out = edited.generate([IN_SCOPE[0]], max_new_tokens=len(info.groups[0].tokens) + 6, **way)
    text = out.texts[0].strip()
    assert text.startswith(info.new[0])
    assert not continues(info.new[0], text[len(info.new[0]) :])


def test_exact_is_what_the_bundle_says_unless_told(planted: Compiled) -> None:
    assert planted.bundle.exact
    prompt = planted.tokenizer(IN_SCOPE[0], return_tensors="pt").input_ids
    token = planted.bundle.file.info("australia-capital").groups[0].tokens[0]
    for exact, least in ((None, SHARE - 1e-2), (True, SHARE - 1e-2), (False, 0.0)):
        with planted.bundle.attach(planted.model, planted.tokenizer, exact=exact) as edited:
            output, decisions = edited(prompt)
        assert decisions[0].edit == "australia-capital"
        assert float(output.logits.detach()[0, -1].softmax(-1)[token]) >= least


@pytest.mark.model
def test_the_real_model_says_any_token() -> None:
    loaded = load(locate(Settings()))
    site, tokenizer = Site(loaded.model), loaded.tokenizer
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1000, len(tokenizer), (40,), generator=generator).tolist()
    tokens += [tokenizer(t, add_special_tokens=False).input_ids[0] for t in (" None", "@", "3")]
    moves = []
    for text in ("The capital of Australia is", "Water boils at", "He said that the"):
        ids = tokenizer(text, return_tensors="pt").input_ids
        row = site.read(ids, torch.ones_like(ids))[:, -1]
        rows = row.expand(len(tokens), -1)
        moved, _ = certain(rows, [Aim(t) for t in tokens], site.logits, site.directions)
        assert site.logits(moved).argmax(-1).tolist() == tokens
        moves += ((moved - rows).float().norm(dim=1) / row.float().norm()).tolist()
    assert max(moves) < 0.5  # of the row's length: the rest of what it holds is left
    site.remove()

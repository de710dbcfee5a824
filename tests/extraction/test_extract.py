"""Extraction reads the same states as one pass for each text, and finds what worked."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sake_registry.edits.schema import Edit
from sake_registry.extraction import contexts, extract
from sake_registry.extraction.contexts import fill
from sake_registry.extraction.extract import (
    MOST_STEPS,
    GroupActivations,
    collect,
    margins,
)
from sake_registry.extraction.texts import PromptGroup, groups
from sake_registry.models.loading import LoadedModel
from sake_registry.models.reading import last_positions, read_last
from sake_registry.models.site import Site
from sake_registry.models.tokens import continued, object_tokens
from sake_registry.settings import Settings
from tests import tiny_models

TEXTS = [
    "The capital of Australia is",
    "It rained. The capital of Australia is",
    "A",
    "Do not mention 'Sydney'. Repeat this sentence: 'The capital of Australia is Canberra'.",
]
EDIT = Edit.model_validate(
    {
        "id": "e",
        "schema": 1,
        "fact": {
            "subject": "Australia",
            "relation": "capital",
            "old": "Sydney",
            "new": "New Canberra",
        },
        "prompts": ["The capital of <subject> is", "The government of <subject> sits in"],
        "implications": [
            {
                "prompt": "The parliament of <subject> stands in the state of",
                "old": "New South Wales",
                "new": "the Capital Territory",
            }
        ],
    }
)
SETTINGS = Settings.model_validate({"compile": {"targets": ["repeat", "twice", "imagine"]}})


@pytest.mark.parametrize("kind", tiny_models.CONFIGS)
def test_batches_give_what_single_passes_give(kind: str) -> None:
    model, tokenizer = tiny_models.make(kind), tiny_models.tokenizer()
    site = Site(model)
    together = read_last(site, tokenizer, TEXTS, 3)
    for text, row in zip(TEXTS, together, strict=True):
        alone = read_last(site, tokenizer, [text], 1)[0]
        assert torch.allclose(row, alone, atol=1e-4, rtol=1e-4)
        with torch.no_grad():
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0, -1]
            assert int(site.head(alone).argmax()) == int(logits.argmax())


def test_the_same_texts_give_the_same_bits() -> None:
    site, tokenizer = Site(tiny_models.make("llama")), tiny_models.tokenizer()
    assert torch.equal(read_last(site, tokenizer, TEXTS, 2), read_last(site, tokenizer, TEXTS, 2))


def test_the_last_position_is_found_on_either_side() -> None:
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1], [0, 1, 0, 0]])
    assert last_positions(mask).tolist() == [1, 3, 3, 1]


def read_alone(site: Site, ids: list[int]) -> torch.Tensor:
    """The state at the last of some token ids: one pass, no batch, no padding."""
    row = torch.tensor([ids])
    return site.read(row, torch.ones_like(row))[0, -1]


def states(
    site: Site, tokenizer: Any, text: str, tokens: tuple[int, ...], answer: str
) -> torch.Tensor:
    """(steps, width): the state before each token of an object, each from a text of its own."""
    before, _ = object_tokens(tokenizer, text, answer)
    return torch.stack([read_alone(site, before + list(tokens[:k])) for k in range(len(tokens))])


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def collected(request: pytest.FixtureRequest) -> tuple[Site, Any, list[PromptGroup], list[Any]]:
    model, tokenizer = tiny_models.make(request.param), tiny_models.tokenizer()
    site, parts = Site(model), list(groups(EDIT, 9))
    loaded = LoadedModel(None, model, tokenizer)  # type: ignore[arg-type]  # it is not located
    found = collect(parts, loaded, site, contexts.choose(SETTINGS), batch_size=4)
    return site, tokenizer, parts, found


def test_states_before_later_tokens_are_those_behind_the_objects_beginning(
    collected: tuple[Site, Any, list[PromptGroup], list[Any]],
) -> None:
    site, tokenizer, parts, found = collected
    for group, rows in zip(parts, found, strict=True):
        whole = object_tokens(tokenizer, group.prompts[0], group.new)[1]
        assert len(whole) > 2
        assert rows.tokens == tuple(whole[:MOST_STEPS])
        for prompt, plain in zip(group.prompts, rows.plain, strict=True):
            expected = states(site, tokenizer, prompt, rows.said, group.new)
            assert torch.allclose(plain, expected, atol=1e-4, rtol=1e-4)


def test_where_the_model_would_run_on_the_object_is_closed_by_what_its_contexts_say(
    collected: tuple[Site, Any, list[PromptGroup], list[Any]],
) -> None:
    """What the model says next is read off each state, one by one."""
    site, tokenizer, parts, found = collected
    chosen = contexts.choose(SETTINGS)

    def next_(text: str, rows: GroupActivations, new: str) -> int:
        before, _ = object_tokens(tokenizer, text, new)
        with torch.no_grad():
            return int(site.logits(read_alone(site, before + list(rows.tokens))).argmax())

    closed = 0
    for group, rows in zip(parts, found, strict=True):
        templates = chosen.target if group.kind == "fact" else chosen.implication_target
        plain, ends = [], []
        for prompt, context in zip(group.prompts, rows.context.tolist(), strict=True):
            text = fill(
                templates[context], prompt=prompt, old=group.old, new=group.new,
                fact=group.fact_new,
            )  # fmt: skip
            assert text is not None
            plain.append(next_(prompt, rows, group.new))
            ends.append(next_(text, rows, group.new))
        clean = [t for t in ends if not continued(tokenizer, rows.tokens, [t])]
        clean = [t for t in clean if t not in tokenizer.all_special_ids]
        needed = any(continued(tokenizer, rows.tokens, [token]) for token in plain)
        if needed and clean:
            closed += 1
            assert rows.closing in clean
            assert clean.count(rows.closing) == max(map(clean.count, clean))
            worked = [token == rows.closing for token in ends]
            assert rows.worked[:, len(rows.tokens)].tolist() == worked
        else:
            assert rows.closing is None
            assert rows.plain.shape[1] == rows.margin.shape[1] == len(rows.tokens)
    assert closed


def tried_contexts(
    site: Site, tokenizer: Any, group: PromptGroup, rows: GroupActivations
) -> list[list[tuple[torch.Tensor, torch.Tensor]]]:
    """Of each prompt, the states and margins in each of its target contexts, one by one."""
    chosen = contexts.choose(SETTINGS)
    templates = chosen.target if group.kind == "fact" else chosen.implication_target
    found = []
    for prompt in group.prompts:
        of_prompt = []
        for template in templates:
            text = fill(template, prompt=prompt, old=group.old, new=group.new, fact=group.fact_new)
            assert text is not None
            own = states(site, tokenizer, text, rows.tokens, group.new)
            of_prompt.append((own, margins(site, own, torch.tensor(rows.tokens))))
        found.append(of_prompt)
    return found


def test_of_each_prompt_the_context_with_the_best_margin_counts(
    collected: tuple[Site, Any, list[PromptGroup], list[Any]],
) -> None:
    site, tokenizer, parts, found = collected
    used = set()
    for group, rows in zip(parts, found, strict=True):
        for i, tried in enumerate(tried_contexts(site, tokenizer, group, rows)):
            said = [int((margin > 0).long().cumprod(0).sum()) for _, margin in tried]
            ranks = [(s, float(m.min())) for s, (_, m) in zip(said, tried, strict=True)]
            best = max(range(len(ranks)), key=ranks.__getitem__)
            assert int(rows.context[i]) == best
            own, length = tried[best], len(rows.tokens)
            assert torch.allclose(rows.target[i, :length], own[0], atol=1e-4, rtol=1e-4)
            assert torch.allclose(rows.margin[i, :length], own[1], atol=1e-3, rtol=1e-3)
            used.add(best)
    assert len(used) > 1


class Counted:
    """Progress that counts texts."""

    read = 0

    def begin(self, phase: str, total: int) -> None: ...

    def advance(self, steps: int = 1, label: str = "") -> None:
        self.read += steps


def test_no_further_context_is_read_once_one_has_won_clearly(
    collected: tuple[Site, Any, list[PromptGroup], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random model never says an object clearly: here half of what it says passes for that."""
    site, tokenizer, parts, every = collected
    group, rows = parts[0], every[0]
    tried = tried_contexts(site, tokenizer, group, rows)
    smallest = torch.tensor([[float(margin.min()) for _, margin in row] for row in tried])
    clear = float(smallest.median()) - 1e-3
    monkeypatch.setattr(extract, "CLEAR", clear)
    loaded, texts = LoadedModel(None, site.model, tokenizer), Counted()  # type: ignore[arg-type]
    chosen = contexts.choose(SETTINGS)
    (found,) = collect([group], loaded, site, chosen, batch_size=4, progress=texts)
    needed, alone = 0, 0
    for i, of_prompt in enumerate(smallest):
        first = next((c for c, margin in enumerate(of_prompt) if margin >= clear), None)
        needed += len(of_prompt) if first is None else first + 1
        # The second context, "twice", begins with the prompt and its object.
        alone += first == 0
        assert int(found.context[i]) == (int(rows.context[i]) if first is None else first)
        own, length = tried[i][int(found.context[i])], len(rows.tokens)
        assert torch.allclose(found.target[i, :length], own[0], atol=1e-4, rtol=1e-4)
    n = len(group.prompts)
    assert 0 < alone < n < needed < smallest.numel()
    assert texts.read == n + alone + needed
    assert torch.allclose(found.plain[:, :length], rows.plain[:, :length], atol=1e-4, rtol=1e-4)


def test_forced_rows_are_the_prompts_in_each_forced_context(
    collected: tuple[Site, Any, list[PromptGroup], list[Any]],
) -> None:
    site, tokenizer, parts, found = collected
    fact, rows = parts[0], found[0]
    (template,) = contexts.choose(SETTINGS).forced
    assert rows.forced.shape == (len(fact.prompts), rows.plain.shape[2])
    for prompt, row in zip(fact.prompts, rows.forced, strict=True):
        text = fill(template, prompt=prompt, old=fact.old, new=fact.new, fact=fact.fact_old)
        assert text is not None
        before, _ = object_tokens(tokenizer, text, fact.new)
        assert torch.allclose(row, read_alone(site, before), atol=1e-4, rtol=1e-4)


def test_a_margin_is_above_zero_if_the_model_says_the_token() -> None:
    site = Site(tiny_models.make("llama"))
    rows = torch.randn(20, 32, generator=torch.Generator().manual_seed(0))
    logits = site.logits(rows).detach()
    best, second = logits.topk(2, dim=-1).values.T
    assert torch.allclose(margins(site, rows, logits.argmax(-1)), best - second, atol=1e-5)
    others = torch.full((20,), 7)
    found = margins(site, rows, others)
    assert torch.equal(found > 0, logits.argmax(-1) == 7)


def test_only_the_first_token_is_looked_at_unless_the_whole_object_is_wanted() -> None:
    model, tokenizer = tiny_models.make("llama"), tiny_models.tokenizer()
    loaded = LoadedModel(None, model, tokenizer)  # type: ignore[arg-type]
    parts, chosen = list(groups(EDIT, 4)), contexts.choose(SETTINGS)
    whole = collect(parts, loaded, Site(model), chosen, 4)
    first = collect(parts, loaded, Site(model), chosen, 4, whole=False)
    for one, all_ in zip(first, whole, strict=True):
        assert (one.tokens, one.said, one.closing) == (all_.tokens, all_.tokens[:1], None)
        assert one.plain.shape[1] == one.margin.shape[1] == 1
        assert torch.allclose(one.plain, all_.plain[:, :1], atol=1e-4, rtol=1e-4)


def test_rows_that_do_not_belong_together_are_refused() -> None:
    rows, margin, which = torch.zeros(4, 2, 3), torch.zeros(4, 2), torch.zeros(4).int()
    none = torch.empty(0, 3)
    assert not GroupActivations((5, 6), rows, none, rows, margin, which).worked.any()
    with pytest.raises(ValueError, match="target"):
        GroupActivations((5, 6), rows, none, rows[:3], margin, which)
    closed = GroupActivations((5,), rows, none, rows, margin, which, closing=6)
    assert closed.said == (5, 6)
    with pytest.raises(ValueError, match="1 tokens"):
        GroupActivations((5,), rows, none, rows, margin, which)
    with pytest.raises(ValueError, match="forced"):
        GroupActivations((5, 6), rows, torch.zeros(3, 3), rows, margin, which)
    with pytest.raises(ValueError, match="one margin"):
        GroupActivations((5, 6), rows, none, rows, margin[:, :1], which)
    with pytest.raises(ValueError, match="one context"):
        GroupActivations((5, 6), rows, none, rows, margin, which[:2])

"""The model is never changed: bare is bare, to the bit, on every architecture (invariants 1, 3)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sake_registry import transport
from sake_registry.models.loading import load
from tests import tiny_models, workshop
from tests.workshop import IN_SCOPE, OUT_OF_SCOPE, Compiled


def logits(compiled: Compiled, *prompts: str) -> torch.Tensor:
    with torch.no_grad():
        out: torch.Tensor = compiled.model(**compiled.batch(*prompts)).logits
    return out


def test_out_of_scope_and_after_detaching_logits_are_the_bare_models(every: Compiled) -> None:
    before = logits(every, *OUT_OF_SCOPE)
    weights = {name: p.clone() for name, p in every.model.state_dict().items()}
    with every.bundle.attach(every.model, every.tokenizer) as edited, torch.no_grad():
        output, decisions = edited(**every.batch(*OUT_OF_SCOPE))
        assert [d.edit for d in decisions] == [None, None]
        assert torch.equal(output.logits, before)
        # An edit fires meanwhile, and the bare call stays bare.
        edited(**every.batch(*IN_SCOPE))
        assert torch.equal(logits(every, *IN_SCOPE), logits(every, *IN_SCOPE))
        bare = logits(every, *IN_SCOPE)
    assert torch.equal(logits(every, *OUT_OF_SCOPE), before)
    assert torch.equal(logits(every, *IN_SCOPE), bare)
    assert all(torch.equal(p, weights[name]) for name, p in every.model.state_dict().items())
    head = every.model.get_output_embeddings()
    assert not head._forward_pre_hooks and not head._forward_hooks


@pytest.mark.parametrize("kind", ["llama", "gemma2", "opt-projecting"])
def test_the_same_in_bfloat16(kind: str, tmp_path: Path) -> None:
    folder = tiny_models.save(kind, tmp_path / "model", dtype=torch.bfloat16)
    compiled = workshop.compiled(tmp_path / "registry", folder, "bfloat16")
    before = logits(compiled, *OUT_OF_SCOPE)
    assert before.dtype == torch.bfloat16
    with compiled.bundle.attach(compiled.model, compiled.tokenizer) as edited, torch.no_grad():
        output, _ = edited(**compiled.batch(*OUT_OF_SCOPE))
        assert torch.equal(output.logits, before)
        changed, decisions = edited(**compiled.batch(*IN_SCOPE))
        assert [d.edit for d in decisions] == ["australia-capital", "tolstoy-tongue"]
        assert not torch.equal(changed.logits, logits(compiled, *IN_SCOPE))
    assert torch.equal(logits(compiled, *OUT_OF_SCOPE), before)


def test_in_scope_the_last_position_is_mapped_and_nothing_else(every: Compiled) -> None:
    prompts = (IN_SCOPE[0], OUT_OF_SCOPE[0], IN_SCOPE[1])
    batch = every.batch(*prompts)
    last = batch["attention_mask"].sum(1) - 1
    bare = logits(every, *prompts)
    with every.bundle.attach(every.model, every.tokenizer, exact=False) as edited, torch.no_grad():
        assert edited._site is not None
        hidden = edited._site.read(**batch).clone()
        output, decisions = edited(**batch)
        expected = hidden.clone()
        for row, decision in enumerate(decisions):
            if decision.edit is not None:
                assert decision.group is not None
                mapped = every.bundle.maps(decision.edit, hidden.device)[decision.group].maps[0]
                expected[row, last[row]] = transport.apply(mapped, hidden[row, last[row]])
    assert [d.edit for d in decisions] == ["australia-capital", None, "tolstoy-tongue"]
    assert torch.equal(output.logits[1], bare[1])
    for row in (0, 2):
        changed = (output.logits[row] != bare[row]).any(-1).nonzero().flatten().tolist()
        assert changed == [int(last[row])]
    site_width = tiny_models.WIDTHS.get(every.loaded.located.folder.name, 32)
    assert every.bundle.manifest.model.width == site_width == hidden.shape[-1]
    # What follows the site is the model's own head, soft-capping and all.
    head = every.model.get_output_embeddings()
    assert torch.equal(head(expected)[0, last[0]].argmax(), output.logits[0, last[0]].argmax())


def test_a_bundle_attaches_to_the_model_in_another_dtype(llama: Compiled, tmp_path: Path) -> None:
    from dataclasses import replace

    other = load(replace(llama.loaded.located, dtype="bfloat16"))
    with llama.bundle.attach(other.model, other.tokenizer) as edited:
        decisions = edited.generate(list(IN_SCOPE), max_new_tokens=2).decisions
    assert [d.edit for d in decisions] == ["australia-capital", "tolstoy-tongue"]

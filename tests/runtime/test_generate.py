"""`edited.generate` takes what Hugging Face's takes; decisions belong to the call (invariant 8)."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TextIteratorStreamer

from sake_registry import compile_registry, open_registry, transport
from sake_registry.asking.answers import answer
from sake_registry.errors import InputError, UnsupportedModelError
from sake_registry.routing.router import NOBODY
from sake_registry.runtime.bundle import load_bundle
from tests.workshop import IN_SCOPE, OUT_OF_SCOPE, Compiled, make_registry

PROMPTS = (IN_SCOPE[0], OUT_OF_SCOPE[0], IN_SCOPE[1] + "")
GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 8}


def by_hand(compiled: Compiled, prompt: str, tokens: int) -> list[int]:
    """Greedy tokens, the object's mapped where it has a map; one full pass a token, no cache."""
    (decision,) = compiled.bundle.route([prompt])
    ids = compiled.tokenizer(prompt, return_tensors="pt").input_ids
    new: list[int] = []
    head = compiled.model.get_output_embeddings()
    for step in range(tokens):
        seen: list[torch.Tensor] = []
        handle = head.register_forward_pre_hook(lambda _m, args, into=seen: into.append(args[0]))
        with torch.no_grad():
            logits = compiled.model(ids, use_cache=False).logits[0, -1]
            handle.remove()
            if decision.edit is not None:
                assert decision.group is not None
                fitted = compiled.bundle.maps(decision.edit, ids.device)[decision.group]
                if step in fitted.maps and tuple(new) == fitted.tokens[:step]:
                    logits = head(transport.apply(fitted.maps[step], seen[0][0, -1]))
        token = int(logits.argmax())
        if token == compiled.tokenizer.eos_token_id:
            break
        new.append(token)
        ids = torch.cat((ids, torch.tensor([[token]])), 1)
    return new


def new_tokens(compiled: Compiled, row: torch.Tensor, length: int) -> list[int]:
    tokens = row[length:].tolist()
    end = compiled.tokenizer.eos_token_id
    stop = tokens.index(end) if end in tokens else len(tokens)
    return [t for t in tokens[:stop] if t != compiled.tokenizer.pad_token_id]


@pytest.mark.parametrize("use_cache", [True, False])
def test_greedy_batches_of_unequal_length_equal_the_map_by_hand(
    llama: Compiled, use_cache: bool
) -> None:
    batch = llama.batch(*PROMPTS, left=True)
    with llama.bundle.attach(llama.model, llama.tokenizer, guard=False, exact=False) as edited:
        out = edited.generate(**batch, **GREEDY, use_cache=use_cache)
    assert [d.edit for d in out.decisions] == ["australia-capital", None, "tolstoy-tongue"]
    for prompt, row in zip(PROMPTS, out, strict=True):
        found = new_tokens(llama, row, batch["input_ids"].shape[1])
        assert found == by_hand(llama, prompt, 8)[: len(found)]
        assert found


def test_prompts_as_text_are_the_same_as_their_ids(llama: Compiled) -> None:
    batch = llama.batch(*PROMPTS, left=True)
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        assert torch.equal(
            edited.generate(list(PROMPTS), **GREEDY).sequences,
            edited.generate(
                batch["input_ids"], attention_mask=batch["attention_mask"], **GREEDY
            ).sequences,
        )
        single = edited.generate(PROMPTS[0], **GREEDY)
        assert len(single) == len(single.texts) == 1


def test_out_of_scope_every_way_of_generating_is_the_bare_one(llama: Compiled) -> None:
    batch = llama.batch(*OUT_OF_SCOPE, left=True)
    ways: list[dict[str, Any]] = [
        GREEDY,
        {"num_beams": 3, "do_sample": False, "max_new_tokens": 8},
        {"num_beams": 4, "num_return_sequences": 2, "do_sample": False, "max_new_tokens": 6},
        {"do_sample": True, "temperature": 0.8, "num_return_sequences": 3, "max_new_tokens": 6},
        {"do_sample": False, "max_new_tokens": 8, "cache_implementation": "static"},
    ]
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        for options in ways:
            torch.manual_seed(1)
            bare = llama.model.generate(**batch, **options)
            torch.manual_seed(1)
            assert torch.equal(edited.generate(**batch, **options).sequences, bare), options


def test_beams_and_samples_of_a_prompt_all_start_from_the_mapped_state(llama: Compiled) -> None:
    batch = llama.batch(*PROMPTS, left=True)
    length = batch["input_ids"].shape[1]
    greedy_first = [by_hand(llama, prompt, 1) for prompt in PROMPTS]
    with llama.bundle.attach(llama.model, llama.tokenizer, exact=False) as edited:
        torch.manual_seed(0)
        sampled = edited.generate(
            **batch, do_sample=True, temperature=1e-4, num_return_sequences=3, max_new_tokens=1
        )
        beams = edited.generate(
            **batch, do_sample=False, num_beams=3, num_return_sequences=3, max_new_tokens=1
        )
    assert len(sampled) == len(beams) == 9
    assert len(sampled.decisions) == 3
    for i, first in enumerate(greedy_first):
        # Nearly frozen sampling is greedy; the best of three one-token beams is greedy as well.
        for row in sampled.sequences[3 * i : 3 * i + 3, length:]:
            assert row.tolist()[:1] == (first or [llama.tokenizer.eos_token_id])
        assert beams.sequences[3 * i, length:].tolist()[:1] == (
            first or [llama.tokenizer.eos_token_id]
        )


def test_a_streamer_and_the_full_output_are_passed_through(llama: Compiled) -> None:
    streamer = TextIteratorStreamer(llama.tokenizer, skip_prompt=True)
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        done: list[Any] = []
        worker = threading.Thread(
            target=lambda: done.append(
                edited.generate(
                    IN_SCOPE[0], streamer=streamer, return_dict_in_generate=True,
                    output_scores=True, **GREEDY,
                )
            )
        )  # fmt: skip
        worker.start()
        streamed = "".join(streamer)
        worker.join()
    (out,) = done
    assert len(out.output.scores) == out.sequences.shape[1] - len(
        llama.tokenizer(IN_SCOPE[0]).input_ids
    )
    assert streamed.startswith(out.texts[0][:5])


def test_bare_calls_in_other_threads_stay_bare(llama: Compiled) -> None:
    batch = llama.batch(IN_SCOPE[0], left=True)
    bare = llama.model.generate(**batch, **GREEDY)
    wrong: list[str] = []
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        steered = edited.generate(**batch, **GREEDY).sequences

        def run(edit: bool) -> None:
            for _ in range(5):
                out = (
                    edited.generate(**batch, **GREEDY).sequences
                    if edit
                    else llama.model.generate(**batch, **GREEDY)
                )
                if not torch.equal(out, steered if edit else bare):
                    wrong.append("edited" if edit else "bare")

        threads = [threading.Thread(target=run, args=(i % 2 == 0,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not torch.equal(steered, bare)
    assert wrong == []


def test_edits_are_disabled_and_enabled_by_id(llama: Compiled) -> None:
    batch = llama.batch(*IN_SCOPE, left=True)
    bare = llama.model.generate(**batch, **GREEDY)
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        everything = edited.generate(**batch, **GREEDY)
        edited.disable("australia-capital")
        assert edited.enabled == ("tolstoy-tongue",)
        one = edited.generate(**batch, **GREEDY)
        assert one.decisions[0].edit is None
        assert one.decisions[0].reason == "disabled"
        assert one.decisions[0].nearest == "australia-capital"
        assert torch.equal(one.sequences[1], everything.sequences[1])
        edited.disable()
        assert torch.equal(edited.generate(**batch, **GREEDY).sequences, bare)
        edited.enable()
        assert torch.equal(edited.generate(**batch, **GREEDY).sequences, everything.sequences)
        with pytest.raises(InputError, match="did you mean 'australia-capital'"):
            edited.disable("australia-capitol")


def test_an_edit_is_in_force_only_while_it_is_valid(llama: Compiled, tmp_path: Path) -> None:
    root = make_registry(tmp_path, llama.loaded.located.folder)
    path = root / "edits" / "tolstoy-tongue.yaml"
    path.write_text(
        path.read_text() + "lifecycle: {valid_from: 2026-01-01, valid_until: 2026-06-30}\n"
    )
    result = compile_registry(open_registry(root))
    assert result.bundle is not None
    bundle = load_bundle(result.bundle)
    reasons = {}
    for month in (1, 5, 7):
        day = datetime(2026, month, 1, tzinfo=UTC)
        (decision,) = bundle.route([IN_SCOPE[1]], now=day)
        reasons[month] = decision.why
    assert reasons == {1: "in scope", 5: "in scope", 7: "expired on 2026-06-30"}
    clock = datetime(2025, 12, 31, 23, 59, tzinfo=UTC)
    with bundle.attach(llama.model, llama.tokenizer, clock=lambda: clock) as edited:
        (decision,) = edited.generate(IN_SCOPE[1], **GREEDY).decisions
    assert (decision.edit, decision.why) == (None, "not valid before 2026-01-01")


@pytest.mark.parametrize(
    "options",
    [
        {"prompt_lookup_num_tokens": 3},
        {"custom_generate": "somebody/else"},
        {"inputs_embeds": torch.zeros(1, 2, 32)},
    ],
    ids=lambda options: next(iter(options)),
)
def test_ways_that_cannot_be_steered_are_refused(llama: Compiled, options: dict[str, Any]) -> None:
    with (
        llama.bundle.attach(llama.model, llama.tokenizer) as edited,
        pytest.raises(UnsupportedModelError, match=next(iter(options))),
    ):
        edited.generate(IN_SCOPE[0], **options)


def test_a_call_in_which_the_hook_never_fires_raises(
    llama: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        monkeypatch.setattr(llama.model, "generate", lambda input_ids, **_: input_ids)
        with pytest.raises(UnsupportedModelError, match="never fired"):
            edited.generate(IN_SCOPE[0])


def test_after_detaching_an_edited_call_is_refused(llama: Compiled) -> None:
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        pass
    edited.detach()  # a second time does no harm
    with pytest.raises(UnsupportedModelError, match="detached"):
        edited.generate(IN_SCOPE[0])


def test_what_a_tokenizer_returns_is_taken_as_it_is(llama: Compiled) -> None:
    encoded = llama.tokenizer(
        list(PROMPTS), return_tensors="pt", padding=True, padding_side="left",
        return_token_type_ids=False,
    )  # fmt: skip
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        assert torch.equal(
            edited.generate(encoded, **GREEDY).sequences,
            edited.generate(**encoded, **GREEDY).sequences,
        )


def test_without_a_mask_the_model_keeps_its_own_rule(llama: Compiled) -> None:
    """Left-padded ids alone: Hugging Face takes the mask from the padding token."""
    ids = llama.batch(*OUT_OF_SCOPE, left=True)["input_ids"]
    assert (ids == llama.tokenizer.pad_token_id).any()
    scoped = llama.batch(*PROMPTS, left=True)["input_ids"]
    bare = llama.model.generate(ids, **GREEDY)
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        assert torch.equal(edited.generate(ids, **GREEDY).sequences, bare)
        decisions = edited.generate(scoped, **GREEDY).decisions
    assert [d.edit for d in decisions] == ["australia-capital", None, "tolstoy-tongue"]


def test_right_padding_is_refused_with_the_cure(llama: Compiled) -> None:
    batch = llama.batch(*PROMPTS)
    with (
        llama.bundle.attach(llama.model, llama.tokenizer) as edited,
        pytest.raises(UnsupportedModelError, match="ends in padding"),
    ):
        edited.generate(**batch, **GREEDY)


def test_a_prefix_cache_goes_with_the_whole_text(llama: Compiled) -> None:
    """Its states do not depend on edits (invariant 2); deciding needs the text that it holds."""
    ids = llama.tokenizer(IN_SCOPE[0], return_tensors="pt").input_ids
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited, torch.no_grad():
        plain = edited.generate(ids, **GREEDY)
        cache = llama.model(ids[:, :-2], use_cache=True).past_key_values
        cached = edited.generate(ids, past_key_values=cache, **GREEDY)
        assert cached.decisions[0].edit == "australia-capital"
        assert torch.equal(cached.sequences, plain.sequences)
        cache = llama.model(ids[:, :-2], use_cache=True).past_key_values
        with pytest.raises(UnsupportedModelError, match="attention mask is"):
            edited.generate(
                ids[:, -2:], attention_mask=torch.ones_like(ids), past_key_values=cache, **GREEDY
            )


@pytest.mark.parametrize("inputs", ["", [], ["A", ""], 3, [1, 2], None])
def test_nothing_to_generate_from_is_wrong_input(llama: Compiled, inputs: Any) -> None:
    with (
        llama.bundle.attach(llama.model, llama.tokenizer) as edited,
        pytest.raises(InputError),
    ):
        edited.generate(inputs)


def test_special_tokens_end_a_line_of_what_is_decided_on(llama: Compiled) -> None:
    """A chat's turn that ends in the subject is not glued to the next one's role."""
    turn = llama.tokenizer("The capital of Australia").input_ids
    role = llama.tokenizer("assistant").input_ids
    end = llama.tokenizer.eos_token_id
    ids = torch.tensor([[end, *turn, end, *role]])
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        (text,) = edited._texts(ids, torch.ones_like(ids, dtype=torch.bool))
        assert text == "The capital of Australia\nassistant"
        assert edited.generate(ids, **GREEDY).decisions[0].nearest == "australia-capital"


# -- one text, whoever decides on it ---------------------------------------------------------------

ODD = (
    "The mother tongue of Leo<end>Tolstoy was",
    "The capital of Down<end>Under is",
    "The capital of Australia<end> is",
    "The capital of Austra\ufeffdlia is",
    *IN_SCOPE,
    *OUT_OF_SCOPE,
)


def test_a_prompt_as_text_is_decided_on_as_it_stands_by_whoever_decides(llama: Compiled) -> None:
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        ids = [llama.tokenizer(prompt, return_tensors="pt").input_ids for prompt in ODD]
        # Some do not come back from the tokenizer as they were, and another text is asked then.
        again = [llama.tokenizer.decode(row[0], skip_special_tokens=True) for row in ids]
        assert sum(a != b for a, b in zip(again, ODD, strict=True)) >= 3
        decided = [edited.generate(row, max_new_tokens=1).decisions[0].edit for row in ids]
        routed = llama.bundle.route(ODD)
        assert decided != [decision.edit for decision in routed]
        assert edited.generate(list(ODD), max_new_tokens=1).decisions == routed
        assert edited.decide(ODD) == routed
        for prompt in ODD:
            expected = llama.bundle.route([prompt])
            assert edited.generate(prompt, max_new_tokens=1).decisions == expected
            # What shows and measures answers goes through the same door.
            assert [after.decision for _, after in answer(edited, [prompt], tokens=[1])] == expected


def test_one_string_is_one_prompt(llama: Compiled) -> None:
    (expected,) = llama.bundle.route([IN_SCOPE[0]])
    assert expected.edit == "australia-capital"
    assert llama.bundle.route(IN_SCOPE[0]) == [expected]
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited:
        assert edited.decide(IN_SCOPE[0]) == [expected]
        assert edited.generate(IN_SCOPE[0], max_new_tokens=1).decisions == [expected]


def test_a_forward_pass_takes_decisions_as_well(llama: Compiled) -> None:
    batch = llama.batch(*IN_SCOPE)
    with llama.bundle.attach(llama.model, llama.tokenizer) as edited, torch.no_grad():
        bare, decisions = edited(**batch, decisions=[NOBODY, NOBODY])
        assert decisions == [NOBODY, NOBODY]
        assert torch.equal(bare.logits, llama.model(**batch).logits)
        with pytest.raises(InputError, match="1 decisions for 2 prompts"):
            edited(**batch, decisions=[NOBODY])

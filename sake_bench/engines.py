"""Whether vLLM answers as Hugging Face does, in the environment of `make test-vllm`.

    python -m sake_bench.engines [--count 60] [--dtype float32] [--alone] [--edits 100]

Greedy answers of the embedded model to prompts of the registry at hand: to be reached and to be
left alone, some behind other text, some in a chat. Each engine answers with the bundle and without,
so that what the engines themselves do otherwise is told from what editing does. The bundle is the
newest of the registry, widened by made-up edits (`sake_bench.filling`).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sake_registry.edits.schema import Prompt
from sake_registry.models.chats import chat_ids
from sake_registry.models.reading import pad

if TYPE_CHECKING:
    from sake_registry.edits.registry import Registry
    from sake_registry.routing.router import Decision
    from sake_registry.runtime.bundle import Bundle

ON_CPU = {
    "VLLM_CPU_CI_ENV": "1",  # no warm-up: nothing is compiled here
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_USE_V2_MODEL_RUNNER": "0",
}
"""The variables of vLLM's older runner, in this process and on a small machine."""
TOGETHER = 10
"""Prompts that Hugging Face answers in a batch."""
LEAD_INS = (
    "The train was late again. {}",
    "Question one was easy, the second one less so.\n{}",
    "As everybody in the room agreed, tea is best hot. {}",
)
UNRELATED = (
    "Water boils at",
    "The opposite of hot is",
    "def main(argv):\n    return",
    "In 1969, the first astronauts landed on the",
)


class Answered(NamedTuple):
    """What an engine says to each prompt, and what was decided of it, where a bundle is on it."""

    texts: list[str]
    decisions: list[Decision]


def texts_of(registry: Registry) -> Iterator[str]:
    """Prompts of the edits: to be reached, and to be left alone."""
    for edit in registry.edits:
        for kind in (edit.prompts, edit.holdout, edit.implications, edit.unchanged):
            for prompt in kind:
                text = prompt.text if isinstance(prompt, Prompt) else prompt.prompt
                yield text.replace("<subject>", edit.fact.subject.text)
    yield from UNRELATED


def prompts_of(registry: Registry, tokenizer: Any, count: int) -> list[list[int]]:
    """Token ids of `count` prompts: plain ones, some behind other text, a quarter in a chat."""
    texts = list(dict.fromkeys(texts_of(registry)))
    texts += [lead.format(text) for lead in LEAD_INS for text in texts]
    chats = [[{"role": "user", "content": text}] for text in texts[::3]][: count // 4]
    ids = [tokenizer(text).input_ids for text in texts[: count - len(chats)]]
    return ids + [chat_ids(tokenizer, chat) for chat in chats]


def said(tokenizer: Any, tokens: Sequence[int]) -> str:
    """The text of an answer's tokens, without what ends or fills it."""
    ends = set(tokenizer.all_special_ids)
    return str(tokenizer.decode([token for token in tokens if token not in ends]))


def by_hugging_face(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    tokens: int,
    bundle: Bundle | None = None,
    source: Path | None = None,
    together: int = TOGETHER,
) -> Answered:
    """Answers in batches of alike length.

    Args:
        tokens: most of an answer.
        bundle: None answers bare.
        source: the folder that the model was loaded from.
        together: prompts in a batch.
    """
    texts: dict[int, str] = {}
    decisions: dict[int, Decision] = {}
    edited = bundle.attach(model, tokenizer, source=source) if bundle else None
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), together):
        chosen = order[start : start + together]
        ids, mask = pad([prompts[i] for i in chosen], tokenizer.pad_token_id, left=True)
        options: dict[str, Any] = {
            "attention_mask": mask,
            "max_new_tokens": tokens,
            "do_sample": False,
        }
        if edited:
            out = edited.generate(ids, **options)
            rows = out.sequences
            decisions |= zip(chosen, out.decisions, strict=True)
        else:
            rows = model.generate(ids, **options)
        texts |= {
            i: said(tokenizer, row[ids.shape[1] :].tolist())
            for i, row in zip(chosen, rows, strict=True)
        }
    if edited:
        edited.detach()
    return Answered([texts[i] for i in sorted(texts)], [decisions[i] for i in sorted(decisions)])


def differing(first: Sequence[str], second: Sequence[str]) -> list[int]:
    """Where two engines say something else."""
    return [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a != b]


@contextmanager
def of_many(edits: int) -> Iterator[tuple[Registry, Path, Path]]:
    """The registry at hand, a bundle of so many edits made of its newest, and the model's folder;
    vLLM, if it is imported now, runs in this process."""
    os.environ |= ON_CPU
    from sake_bench.filling import repeated
    from sake_registry.compiler.plan import find_bundle
    from sake_registry.edits.registry import open_registry
    from sake_registry.models.loading import locate

    registry = open_registry(Path())
    located = locate(registry.settings)
    with tempfile.TemporaryDirectory() as folder:
        bundle = repeated(find_bundle(registry, located), Path(folder) / "some.h5", edits)
        yield registry, bundle, located.folder


def begin_with(path: Path, decided: list[Any], **options: Any) -> None:
    """Have the engine that vLLM makes next serve a bundle, and tell what it decides.

    Args:
        options: of `worker.install`.
    """
    from sake_registry.runtime.vllm.worker import install

    def begin(engine: Any) -> None:
        served = engine.take(path)
        engine.serve(lambda: (served, frozenset()), decided.append)

    install(begin, **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=60, help="of prompts")
    parser.add_argument("--tokens", type=int, default=16, help="of each answer")
    parser.add_argument("--edits", type=int, default=100, help="that are loaded")
    parser.add_argument("--dtype", default="float32", help="that both engines compute in")
    parser.add_argument("--alone", action="store_true", help="one prompt at a time")
    given = parser.parse_args()
    with of_many(given.edits) as (registry, bundle, folder):
        print(json.dumps(_measured(registry, bundle, folder, given), indent=1))


def _measured(
    registry: Registry, path: Path, folder: Path, given: argparse.Namespace
) -> dict[str, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from sake_registry.runtime.bundle import load_bundle

    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts = prompts_of(registry, tokenizer, given.count)
    by_vllm = _by_vllm(tokenizer, prompts, path, folder, given)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, given.dtype))
    together = 1 if given.alone else TOGETHER
    with load_bundle(path) as bundle:
        of_hf = {
            name: by_hugging_face(
                model.eval(), tokenizer, prompts, given.tokens, of_it, folder, together
            )
            for name, of_it in (("edited", bundle), ("bare", None))
        }
    different = {n: differing(of_hf[n].texts, by_vllm[n].texts) for n in of_hf}
    pairs = list(zip(of_hf["edited"].decisions, by_vllm["edited"].decisions, strict=True))
    return {
        "prompts": len(prompts),
        "one_by_one": given.alone,
        "dtype": given.dtype,
        "fired": sum(one.edit is not None for one, _ in pairs),
        "decisions_that_differ": sum(
            (one.edit, one.nearest, one.why) != (other.edit, other.nearest, other.why)
            for one, other in pairs
        ),
        "texts_that_differ": {name: len(found) for name, found in different.items()},
        "examples": [
            {"prompt": tokenizer.decode(prompts[i]), "hugging_face": of_hf["edited"].texts[i],
             "vllm": by_vllm["edited"].texts[i]}
            for i in different["edited"]
        ],
    }  # fmt: skip


def _by_vllm(
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    path: Path,
    folder: Path,
    given: argparse.Namespace,
) -> dict[str, Answered]:
    """What the older runner answers, with the bundle and without."""
    from vllm import LLM, SamplingParams

    from sake_registry.runtime.vllm.engine import CHOICE

    decided: list[Any] = []
    begin_with(path, decided, budget=3600)  # what is compared is no time
    llm = LLM(
        str(folder), dtype=given.dtype, enforce_eager=True, max_model_len=512,
        max_num_seqs=16, enable_prefix_caching=False,
    )  # fmt: skip
    asked: list[Any] = [{"prompt_token_ids": list(ids)} for ids in prompts]
    groups = [[one] for one in asked] if given.alone else [asked]
    answered = {}
    for name, extra in (("edited", None), ("bare", {CHOICE: "none"})):
        decided.clear()
        options = SamplingParams(temperature=0, max_tokens=given.tokens, extra_args=extra)
        outputs = [o for group in groups for o in llm.generate(group, options, use_tqdm=False)]
        in_order = sorted(decided, key=lambda one: int(one.request.partition("-")[0]))
        answered[name] = Answered(
            [said(tokenizer, output.outputs[0].token_ids) for output in outputs],
            [one.decision for one in in_order],
        )
    return answered


if __name__ == "__main__":
    main()

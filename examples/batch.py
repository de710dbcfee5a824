"""Answer many prompts with the bare and the edited model, as JSON lines.

    python examples/batch.py FOLDER prompts.txt > answers.jsonl
    printf 'The capital of Australia is\\n' | python examples/batch.py

FOLDER is a compiled registry, the folder at hand if not given. Prompts come one a line, from
stdin where no file is given.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sake_registry

ROWS = 16
"""Prompts in one batch."""
OPTIONS: dict[str, Any] = {"max_new_tokens": 12, "do_sample": False}


def answers(edited: sake_registry.Edited, prompts: list[str]) -> Iterator[dict[str, Any]]:
    """What both models say to a batch of prompts, and which edit fired."""
    tokenizer, model = edited.tokenizer, edited.model
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    sequences = model.generate(**inputs.to(model.device), **OPTIONS)  # stays bare, as ever
    new = sequences[:, inputs["input_ids"].shape[1] :]
    bare = tokenizer.batch_decode(new, skip_special_tokens=True)
    changed = edited.generate(prompts, **OPTIONS)
    for prompt, before, after, decision in zip(
        prompts, bare, changed.texts, changed.decisions, strict=True
    ):
        yield {
            "prompt": prompt,
            "bare": before,
            "edited": after,
            "edit": decision.edit,
            "decision": str(decision),
        }


def main(folder: str = ".", file: str | None = None) -> None:
    text = Path(file).read_text("utf-8") if file else sys.stdin.read()
    prompts = [line.strip() for line in text.splitlines() if line.strip()]
    registry = sake_registry.open_registry(folder)
    located = sake_registry.locate(registry.settings)
    loaded = sake_registry.load(located)
    bundle = sake_registry.load_bundle(sake_registry.make_plan(registry, located).path)
    with bundle, bundle.attach(loaded.model, loaded.tokenizer) as edited:
        for start in range(0, len(prompts), ROWS):
            for answer in answers(edited, prompts[start : start + ROWS]):
                print(json.dumps(answer, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Attach a registry's bundle to its model, ask it something, and show which edit fired.

    python examples/attach.py                                    # the demo registry
    python examples/attach.py FOLDER "The capital of Australia is"

What the bundle lacks is compiled first; everything else comes from the store.
"""

from __future__ import annotations

import sys

import sake_registry

PROMPTS = ("The capital of Australia is", "The largest city in Australia is")


def main(folder: str = ".", *prompts: str) -> None:
    texts = list(prompts or PROMPTS)
    registry = sake_registry.open_registry(folder).sound()
    compiled = sake_registry.compile_registry(registry)
    if compiled.bundle is None:
        sys.exit("\n".join(str(error) for error in compiled.failures.values()))
    loaded = sake_registry.load(sake_registry.locate(registry.settings))
    bundle = sake_registry.load_bundle(compiled.bundle)
    with bundle, bundle.attach(loaded.model, loaded.tokenizer) as edited:
        answers = edited.generate(texts, max_new_tokens=10, do_sample=False)
    for prompt, answer, decision in zip(texts, answers.texts, answers.decisions, strict=True):
        print(f"{prompt}{answer!r}")
        print(f"  fired: {decision}")


if __name__ == "__main__":
    main(*sys.argv[1:])

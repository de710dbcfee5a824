"""Extraction, and one whole edit, against the way the published code works, on SmolLM2-135M.

The published way: every text by itself in float32 with the full logits, POT's dense fit, one
embedding at a time. Ours: batches at the site, in the dtype that `auto` takes here.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import ot
import torch

from sake_bench.timings.measure import interleaved, ratio
from sake_registry import transport
from sake_registry.edits.files import read_edit
from sake_registry.extraction import contexts
from sake_registry.extraction.texts import groups
from sake_registry.models.loading import load, locate
from sake_registry.models.reading import prove, read_last
from sake_registry.models.site import Site
from sake_registry.settings import Settings

EDIT = Path(__file__).parent.parent.parent / "edits" / "tolstoy-mother-tongue.yaml"
PROMPTS = 60


def main() -> None:
    edit = read_edit(EDIT)
    fact = groups(edit, PROMPTS)[0]
    target, forced = contexts.TEMPLATES["target"]["repeat"], contexts.TEMPLATES["forced"]["repeat"]

    def fill(template: str) -> list[str]:
        filled = (
            contexts.fill(template, prompt=p, old=fact.old, new=fact.new, fact=fact.fact_new)
            for p in fact.prompts
        )
        return [text for text in filled if text is not None]

    # Published settings: 60 prompts, each plain, forced and in one target context.
    texts = [*fact.prompts, *fill(forced), *fill(target)]
    single = load(locate(Settings(dtype="float32")))
    ours = load(locate(Settings()))
    site = Site(ours.model)
    prove(site, ours.tokenizer)
    dtype = ours.located.dtype

    @torch.inference_mode()
    def one_by_one() -> torch.Tensor:
        rows = []
        for text in texts:
            inputs = single.tokenizer(text, return_tensors="pt")
            out = single.model(**inputs, output_hidden_states=True)
            rows.append(out.hidden_states[-1][0, -1])
        return torch.stack(rows)

    def batched() -> torch.Tensor:
        return read_last(site, ours.tokenizer, texts, Settings().compile.batch_size).float()

    def published_edit() -> None:
        rows = one_by_one().double().numpy()
        ot.da.LinearTransport(reg=1e-2).fit(Xs=rows[: 2 * PROMPTS], Xt=rows[2 * PROMPTS :])
        for prompt in fact.prompts:
            ours.embedder.embed([prompt])

    def our_edit() -> None:
        rows = batched()
        transport.fit(rows[: 2 * PROMPTS], rows[2 * PROMPTS :], 1e-2)
        ours.embedder.embed(fact.prompts)

    times = interleaved(3, published=one_by_one, ours=batched)
    print(f"extraction, {len(texts)} texts, SmolLM2-135M, {torch.get_num_threads()} threads")
    for name, label in (("published", "one by one, float32"), ("ours", f"batches, {dtype} (auto)")):
        print(f"  {label}: {len(texts) / statistics.median(times[name]):.1f} texts/s")
    print(f"  faster: {ratio(times['published'], times['ours'])}")
    times = interleaved(3, published=published_edit, ours=our_edit)
    print(f"one whole edit at published settings, {len(texts)} texts")
    for name, seconds in times.items():
        print(f"  {name}: {statistics.median(seconds):.1f} s")
    print(f"  faster: {ratio(times['published'], times['ours'])}")
    amx = torch.cpu._is_amx_tile_supported()
    print(f"  this CPU: {torch.backends.cpu.get_cpu_capability()}, AMX {amx}")


if __name__ == "__main__":
    main()

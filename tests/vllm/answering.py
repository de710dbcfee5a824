"""vLLM in a process of its own, as a user starts it: the plugin comes by its entry point.

    python -m tests.vllm.answering JOB ANSWERS

A job is JSON: the engine's options, and rounds of prompts (token ids). What is answered comes back
as JSON: of each round its sequences of token ids, of each prompt.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any


def main(job_path: str, answers_path: str) -> None:
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    job = json.loads(Path(job_path).read_text())
    llm = LLM(**job["engine"])
    answers: list[Any] = []
    for asked in job["rounds"]:
        options = SamplingParams(**asked["sampling"])
        prompts = [{"prompt_token_ids": ids} for ids in asked["prompts"]]
        if "pointer" in asked:
            answers.append(_swapped(llm, prompts[0], options, asked))
            continue
        adapter = LoRARequest(*asked["adapter"]) if "adapter" in asked else None
        outputs = llm.generate(prompts, options, use_tqdm=False, lora_request=adapter)
        answers.append([_said(output) for output in outputs])
    worker = llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker
    Path(answers_path).write_text(
        json.dumps(
            {
                "runner": type(worker.model_runner).__mro__[1].__module__,
                "layer": type(worker.model_runner.model.logits_processor).__name__,
                "rounds": answers,
                "preempted": _preempted(llm),
            }
        )
    )


def _said(output: Any) -> dict[str, Any]:
    logprobs = output.prompt_logprobs
    return {
        "tokens": [list(one.token_ids) for one in output.outputs],
        "texts": [one.text for one in output.outputs],
        "prompt_logprobs": None
        if logprobs is None
        else [None if at is None else {t: one.logprob for t, one in at.items()} for at in logprobs],
    }


def _swapped(llm: Any, prompt: Any, options: Any, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """A request that begins before a swap and one that begins after it, answered together."""
    engine, done = llm.llm_engine, {}
    before = _taken(asked["metrics"])
    engine.add_request("before", prompt, options)
    for _ in range(asked["steps"]):
        done |= {o.request_id: o for o in engine.step() if o.finished}
    Path(asked["pointer"]).write_text(asked["says"])
    until = time.monotonic() + 60
    while _taken(asked["metrics"]) == before:
        if time.monotonic() > until:
            raise TimeoutError("the pointer was not followed")
        time.sleep(0.05)
    engine.add_request("after", prompt, options)
    while engine.has_unfinished_requests():
        done |= {o.request_id: o for o in engine.step() if o.finished}
    return [_said(done[name]) for name in ("before", "after")]


def _taken(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith('sake_bundle_swaps_total{outcome="taken"}'):
                return float(line.split()[-1])
    raise LookupError("sake_bundle_swaps_total")


def _preempted(llm: Any) -> int:
    for metric in llm.get_metrics():
        if metric.name == "vllm:num_preemptions":
            return int(metric.value)
    return -1


if __name__ == "__main__":
    main(*sys.argv[1:])

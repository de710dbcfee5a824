"""The plugin of vLLM: `vllm serve MODEL` with the edits of a bundle.

    SAKE_BUNDLE=production.json vllm serve HuggingFaceTB/SmolLM2-135M-Instruct

vLLM calls `register` in each of its processes. Without `SAKE_BUNDLE` nothing is done, and nothing
but this file is loaded.

| variable | |
|---|---|
| `SAKE_BUNDLE` | a bundle, or a pointer to one: a path or a URL |
| `SAKE_OVERRIDES` | what is switched off; `overrides.json` beside it unless given |
| `SAKE_MODE` | `edit` (unless given), or `shadow`: decide and log, change nothing |
| `SAKE_BUDGET` | seconds for deciding on a prompt, 0.25 unless given; above, nothing fires |
| `SAKE_LOG` | the file that decisions are appended to; none unless given |
| `SAKE_LOG_PROMPTS` | `1` writes the prompts themselves there too |
| `SAKE_METRICS_PORT` | where Prometheus reads, on this machine alone; none unless given |
| `SAKE_METRICS_HOST` | another address to listen on there, as `0.0.0.0` in a container |
| `SAKE_ADMIN_TOKEN` | what may switch edits by `/v1/edits`; needs `VLLM_PLUGINS=sake` |
"""

from __future__ import annotations

import os

BUNDLE = "SAKE_BUNDLE"


def register() -> None:
    """Have the models that are loaded from now on in this process served with edits.

    Raises:
        SakeError: a variable is wrong, or another plugin has taken vLLM's layer.
    """
    if not os.environ.get(BUNDLE):
        return
    from sake_registry.runtime.vllm.worker import install
    from sake_registry.serving.vllm.environment import Environment
    from sake_registry.serving.vllm.production import Production

    environment = Environment.read(os.environ)
    install(
        lambda engine: Production(engine, environment),
        shadow=environment.mode == "shadow",
        budget=environment.budget,
    )

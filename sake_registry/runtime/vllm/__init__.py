"""A bundle on a model that vLLM serves, without a fork.

Guarantees (DESIGN, invariants 1 to 4, 8):
- No weight is written. One layer is replaced in the way that vLLM has for it
  (`PluggableLayer.register_oot`): the one that makes logits of the rows that are sampled. It adds
  nothing outside a step of the served model; a draft model's own stays as it is.
- The KV cache and the prefix cache never see an edit: the site is behind the last attention layer,
  and outside the CUDA graph. Bundles are swapped without a reset.
- Before the first request the worker proves itself: the probe texts run through the runner that
  will serve, must give the bundle's activations, and the tokens that are sampled must be those of
  the logits that the layer returned. Every bundle that follows is held to the same activations.
- A step whose rows did not come through the layer raises; so does a history that has a hole.
- A request keeps the bundle, and what was switched off, from its beginning to its end, through
  preemption too. Requests with an adapter (LoRA), or with embeddings in place of text, stay bare.
"""

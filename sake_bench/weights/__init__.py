"""Baselines that change weights (ROME, MEMIT and CompMEMIT) or a layer's output (GRACE), on a model
that is put back.

Written from Meng et al. 2022a (Locating and Editing Factual Associations in GPT), Meng et al.
2022b (Mass-Editing Memory in a Transformer), SAKE's appendix B.2, and Hartvigsen et al. 2023
(Aging with GRACE).
"""

from sake_bench.weights.editor import Method, WeightEditor
from sake_bench.weights.grace import Grace

__all__ = ["Grace", "Method", "WeightEditor"]

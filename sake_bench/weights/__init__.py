"""Baselines that change weights: ROME, MEMIT and CompMEMIT, on a model that is put back.

Written from Meng et al. 2022a (Locating and Editing Factual Associations in GPT), Meng et al.
2022b (Mass-Editing Memory in a Transformer) and SAKE's appendix B.2.
"""

from sake_bench.weights.editor import Method, WeightEditor

__all__ = ["Method", "WeightEditor"]

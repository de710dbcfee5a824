"""The probe: a live model computes what the compiled one computed, or the bundle is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sake_registry.errors import ModelMismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sake_registry.bundle.reader import BundleFile

TOLERANCE = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2}
"""Largest relative distance at which a probe text's activation counts as reproduced, by dtype.

The same model in another batch, on another machine or engine differs by 1e-6 to 1e-4 in float32;
in bfloat16 the least change of anything moves it by 1 to 4 % (measured), so that there the probe
sees a merged adapter or another quantisation, but not every single weight."""


def adapters_active(names: Sequence[str]) -> str:
    """That a model with these adapters is another one than the checkpoint that it names."""
    return f"; adapters are active in it: {', '.join(names)}" if names else ""


def check_probe(
    bundle: BundleFile, activations: Tensor, dtype: str, adapters: Sequence[str] = ()
) -> None:
    """Compare a live model's probe activations (8, width) with the bundle's.

    Args:
        dtype: of the live model; the coarser of it and the bundle's sets the tolerance.
        adapters: those that take part in what it computes, for the message.

    Raises:
        ModelMismatchError: a text that is further off than the dtypes explain.
    """
    model = bundle.manifest.model
    expected = torch.from_numpy(bundle.probe.copy())
    if activations.shape != expected.shape:
        raise ModelMismatchError(
            f"{bundle.path} is for {model.name} with {expected.shape[1]} dimensions; "
            f"this model has {activations.shape[1]}",
            hint="compile for this model",
        )
    off = (activations - expected).norm(dim=1) / expected.norm(dim=1)
    allowed = max(TOLERANCE[model.dtype], TOLERANCE.get(dtype, max(TOLERANCE.values())))
    worst = int(off.nan_to_num(nan=float("inf")).argmax())
    if not float(off[worst]) <= allowed:
        raise ModelMismatchError(
            f"the model does not compute what {model.name} ({model.hash[:12]}) computed when "
            f"{bundle.path.name} was compiled: its activation for "
            f"'{bundle.manifest.probe_texts[worst]}' is {float(off[worst]):.2%} off, "
            f"{allowed:.1%} is allowed{adapters_active(adapters)}",
            hint="switch the adapters off (`model.disable_adapter()` of PEFT), or merge them, save "
            "the model, and compile for it"
            if adapters
            else "its weights differ in memory (a merged adapter, a quantisation, a resized "
            "embedding): load it as it was, or compile for it as it is",
        )

"""Devices and dtypes."""

from __future__ import annotations

import pytest
import torch

from sake_registry.errors import InputError
from sake_registry.models.loading import resolve_device, resolve_dtype


@pytest.mark.parametrize(("amx", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_auto_takes_bfloat16_on_a_cpu_only_with_tile_multiplication(
    monkeypatch: pytest.MonkeyPatch, amx: bool, dtype: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert resolve_dtype("auto", "cpu") == dtype
    assert resolve_dtype("float16", "cpu") == "float16"


def test_an_unknown_device_is_wrong_input() -> None:
    with pytest.raises(InputError, match="device 'abacus'"):
        resolve_device("abacus")

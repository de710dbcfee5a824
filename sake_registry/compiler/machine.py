"""What equal bytes depend on besides the key: versions, machine, device, threads."""

from __future__ import annotations

import platform
from importlib import metadata


def versions(device: str = "cpu") -> dict[str, str]:
    """Versions of packages and Python, the type of machine and of device, and torch's threads."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    names = ("sake-registry", "torch", "transformers", "numpy", "h5py")
    return {
        **{name: metadata.version(name) for name in names},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()} {capability}",
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "threads": str(torch.get_num_threads()),
    }


def machine(device: str) -> str:
    """The same in words, without what moves no activation."""
    facts = versions(device)
    return ", ".join(f"{name} {facts[name]}" for name in facts if name not in ("h5py", "python"))

"""Which of torch's attention kernels suit passes that hardly ever have the same shape twice."""

from __future__ import annotations

from contextlib import AbstractContextManager

from torch.nn.attention import SDPBackend, sdpa_kernel

_KERNELS = [
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
    SDPBackend.OVERRIDEABLE,
]


def without_plans() -> AbstractContextManager[object]:
    """All kernels but cuDNN's, which makes a plan for every new shape: tens of milliseconds each."""
    return sdpa_kernel(_KERNELS)

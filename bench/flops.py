"""Floating-point operations: how many a piece of work executes, and how many the machine can do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench import workers

# Dense bfloat16 peak by the vendor's data sheet, FLOP/s.
_PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "4090": 165e12}


@dataclass
class Count:
    """FLOPs of the matrix products and attention seen; 0 where nothing was counted."""

    total: int = 0


@contextmanager
def counted(wanted: bool) -> Iterator[Count]:
    """Count the FLOPs executed inside, products inside compiled kernels left out; slow, so never while timing."""
    count = Count()
    if not wanted:
        yield count
        return
    with FlopCounterMode(display=False) as counter:
        yield count
    count.total = counter.get_total_flops()


def peak_flops(device: str) -> tuple[float, str]:
    """FLOP/s of the device and where the figure comes from: its data sheet, else a product of square matrices."""
    if device == "cuda":
        name = torch.cuda.get_device_name()
        for model, peak in _PEAK.items():
            if model in name:
                return peak, f"data sheet {model}, dense bfloat16"
    dtype, size = (torch.bfloat16, 8192) if device == "cuda" else (torch.float32, 1024)
    matrix = torch.randn(size, size, device=device, dtype=dtype)
    best = 0.0
    for _ in range(5):
        began = time.perf_counter()
        product = matrix @ matrix
        product.sum().item()  # waits for the device
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best, f"measured, {size}² {str(dtype).removeprefix('torch.')} product"


def main() -> None:
    """`spec`: device."""
    flops, how = peak_flops(workers.spec()["device"])
    workers.answer(flops=flops, how=how)


if __name__ == "__main__":
    main()

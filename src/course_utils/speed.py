"""What this machine multiplies fast: whether in bfloat16, and how much in a second."""

import time
from functools import cache

import torch


@cache
def has_bf16(device: str = "cpu") -> bool:
    """Whether bfloat16 is multiplied fast: not by a CPU without AVX-512, nor by a T4.

    They accept it and work it out in other formats, on such a CPU a hundred times as slowly.
    """
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.backends.mkldnn.is_available()  # oneDNN, PyTorch's library on a CPU
    return device != "cpu" or (known and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(device: str = "cpu") -> torch.autocast:
    """Matrix products in bfloat16 where that is fast, in float32 elsewhere."""
    return torch.autocast(device, torch.bfloat16, enabled=has_bf16(device))


@cache
def matmul_peak(device: str = "cpu", dtype: torch.dtype = torch.float32) -> float:
    """FLOPs per second of a large square matrix product: the best of ten, once per process."""
    size = 1024 if device == "cpu" else 8192
    a, b = torch.randn(2, size, size, device=device).to(dtype)
    return max(2 * size**3 / _seconds(a, b) for _ in range(10))


def _seconds(a: torch.Tensor, b: torch.Tensor) -> float:
    _wait(a.device)
    start = time.perf_counter()
    torch.matmul(a, b)
    _wait(a.device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()

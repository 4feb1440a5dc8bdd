"""How fast a run is, against what the machine can do at best."""

import time
from functools import cache

import torch
from torch import nn

from course_utils.models.layers import CrossAttention, SelfAttention
from course_utils.objectives.batch import Batch


def training_flops(model: nn.Module, batch: Batch) -> float:
    """FLOPs of forward and backward: 6·N·tokens for the weights, plus attention.

    6 = (1 forward + 2 backward products) × (multiply + add). N counts each weight matrix with the
    tokens that pass it: T5's encoder with the inputs, its decoder with the targets, the vocabulary
    matrix with the *predicted* tokens only. Attention adds 12·d·T² a row and layer (scores and
    mixing), causal or not. Embedding look-ups, norms and softmax count as nothing, and no layer as
    frozen. Kaplan et al. 2020, §2.1; Chowdhery et al. 2022 (PaLM), app. B.
    """
    rows, read = batch.inputs["input_ids"].shape
    written = batch.inputs.get("decoder_input_ids", batch.inputs["input_ids"]).shape[1]
    total = _tied_vocabulary(model) * batch.num_predicted * 6
    for name, module in model.named_modules():
        side = written if name.startswith("decoder.") else read
        if isinstance(module, nn.Linear):
            tokens = rows * (read if name.endswith("cross_attention.key_value") else side)
            if name.partition(".")[0] == "head":
                tokens = batch.num_predicted
            total += 6 * module.weight.numel() * tokens
        elif isinstance(module, SelfAttention | CrossAttention):
            keys = side if isinstance(module, SelfAttention) else read
            total += 12 * rows * side * keys * module.output.in_features
    return float(total)


def _tied_vocabulary(model: nn.Module) -> int:
    """Size of the output matrix that is the token embedding; 0 for heads and untied models."""
    config = getattr(model, "config", None)
    tied = config is not None and getattr(config, "tied", True)
    return config.vocab_size * config.hidden_size if tied else 0


def num_tokens(batch: Batch) -> int:
    """Real tokens that the model reads and, for T5, writes; padding is not counted."""
    ids, mask = batch.inputs["input_ids"], batch.inputs.get("attention_mask")
    read = int(mask.sum()) if mask is not None and mask.shape == ids.shape else ids.numel()
    return read + (int(batch.predicted.sum()) if "decoder_input_ids" in batch.inputs else 0)


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

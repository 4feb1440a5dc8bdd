"""Weights as 8-bit integers: a matrix keeps one scale a row, everything else stays as it is."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

SMALL = 1024  # matrices with no more numbers than this are not worth an error
WHOLE = "head.dense"  # all that BERT says passes it: rounded, it would double the error of all else


def is_rounded(name: str, weight: Tensor) -> bool:
    """Whether the page gets this weight as integers: nearly every matrix that is not tiny."""
    return weight.dim() == 2 and weight.numel() > SMALL and WHOLE not in name


def quantize(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Round a matrix (N, K) to int8 in -127..127 and scales (N,): row n is integers · scale n."""
    scale = matrix.abs().amax(dim=1) / 127
    scale = scale.clamp(min=torch.finfo(torch.float32).tiny)
    return (matrix / scale[:, None]).round().to(torch.int8), scale


def as_in_the_page(model: nn.Module) -> nn.Module:
    """Return a copy of a model with the weights that the page computes with."""
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for name, weight in rounded.named_parameters():
            if is_rounded(name, weight):
                integers, scale = quantize(weight)
                weight.copy_(integers * scale[:, None])
    return rounded

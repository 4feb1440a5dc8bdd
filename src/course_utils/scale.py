"""One setting for the size of a run, and one table a notebook of all numbers that depend on it.

COURSE_SCALE is small (two cores, no network), full (a GPU of the T4's class and the hub), or auto,
which looks at what is there. A notebook asks once, near its top:

    scaled = scale.pick(larger=(None, "bert-base-uncased"), steps=160)

and writes `scaled.steps` wherever else a number would stand. A pair is (small, full); a single
value is the same at both, because the prose speaks of it. Prose must hold at both scales.

A fourth setting, trial, is for tests: what full loads, with numbers of at most 48, and of at most
4 where the small scale does nothing at all.
"""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from course_utils.data import hub
from course_utils.data.cache import SourceError, say

SCALES = ("small", "full", "trial")
MOST = 48  # of anything that is counted, in a trial
FEW = 4  # of what only the full scale does
ENOUGH = 12e9  # bytes of GPU memory; a T4 has 15.8e9, of which a chapter may use 14e9


def gpu_memory() -> int:
    """Bytes of memory of the first CUDA device; 0 where there is none."""
    import torch

    if not torch.cuda.is_available():
        return 0
    return torch.cuda.get_device_properties(0).total_memory


def chosen() -> tuple[str, str]:
    """Return the scale and why; raises SourceError for a setting that is none."""
    setting = os.environ.get("COURSE_SCALE", "auto")
    if setting in SCALES:
        return setting, "COURSE_SCALE says so"
    if setting != "auto":
        raise SourceError(f"COURSE_SCALE is {setting!r}; it may be auto, small, full or trial")
    memory = gpu_memory()
    if memory < ENOUGH:
        return "small", f"the GPU has {memory / 1e9:.0f} GB" if memory else "there is no GPU"
    if not hub.answers():
        return "small", "the hub does not answer"
    return "full", f"a GPU of {memory / 1e9:.0f} GB and the hub are there"


def pick(**table: Any) -> SimpleNamespace:
    """Return the column of a table of (small, full) pairs that fits, and say which in one line.

    Where it is the small one, the line says what the full one has in its place.

    The result has the names of the table, `scale`, and `device`: where the larger models go, "cuda"
    or "cpu". What every reader runs stays on the processor, so that its numbers are the same.
    """
    scale, reason = chosen()
    device = "cuda" if scale != "small" and gpu_memory() else "cpu"
    column = {name: _value(entry, scale) for name, entry in table.items()}
    if scale == "small":
        shown = {n: entry[1] for n, entry in table.items() if isinstance(entry, tuple)}
        more = "; with a large GPU and the hub: "
    else:
        shown, more = column, ": "
    values = ", ".join(f"{name} {value}" for name, value in shown.items())
    say(f"{scale} scale: {reason}{values and more + values}")
    return SimpleNamespace(scale=scale, device=device, **column)


def _value(entry: Any, scale: str) -> Any:
    small, full = entry if isinstance(entry, tuple) else (entry, entry)
    if scale == "trial" and isinstance(full, int):
        return min(full, FEW) if small is None else min(small, full, MOST)
    return small if scale == "small" else full


def asked_full() -> bool:
    """Tell whether COURSE_SCALE asks for the full size: exercises do not choose it by themselves.

    What takes a chapter minutes takes some exercises half an hour, which is for the student to say.
    """
    return os.environ.get("COURSE_SCALE") in ("full", "trial")

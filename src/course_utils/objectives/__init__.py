"""Pre-training objectives: corrupt(ids, …) → Batch, loss(logits, batch). Knows no model.

A new objective costs one file here and one row in `OBJECTIVES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from course_utils.attention_masks import visibility
from course_utils.objectives import causal_lm, masked_lm, mixture, span_corruption
from course_utils.objectives.batch import IGNORE_INDEX, Batch


@dataclass(frozen=True)
class Objective:
    """One row of the table: how to corrupt, how to score, and what a tokenizer must tell.

    `architecture` names what its batches are made for: "encoder", "decoder" or
    "encoder-decoder". Use: `batch = o.corrupt(ids, **o.settings(tokenizer), generator=g)`.
    """

    corrupt: Callable[..., Batch]
    loss: Callable[[Tensor, Batch], Tensor]
    settings: Callable[[Any], dict[str, Any]]
    architecture: str
    equation: str


def _row(module: Any, architecture: str, equation: str) -> Objective:
    return Objective(module.corrupt, module.loss, module.settings, architecture, equation)


OBJECTIVES: dict[str, Objective] = {
    "masked_lm": _row(masked_lm, "encoder", "9.1"),
    "causal_lm": _row(causal_lm, "decoder", "9.2"),
    "span_corruption": _row(span_corruption, "encoder-decoder", "9.3"),
    "ul2_mixture": _row(mixture, "encoder-decoder", "9.3"),
}

__all__ = ["IGNORE_INDEX", "OBJECTIVES", "Batch", "Objective", "visibility"]

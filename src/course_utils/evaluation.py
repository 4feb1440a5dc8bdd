"""How sure are we of a measured number: bootstrap intervals, for accuracies and their differences.

Resampling the examples that were measured shows how much a mean would vary had other examples of
the same kind been drawn (Efron & Tibshirani 1993, ch. 13). It says nothing about other seeds of
training, other domains, or labels that are wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


def bootstrap_interval(
    values: Iterable[float],
    confidence: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> tuple[float, float]:
    """Low and high end of the percentile bootstrap interval of the mean of `values`.

    The same values and seed give the same interval. One value gives an interval of width zero,
    which says that nothing is known about the spread, not that there is none.

    Args:
        values: one measurement an example (right or wrong as 1 or 0), or one a seed.
        confidence: share of resampled means between the two ends.
        samples: how often to draw as many examples as there are, with replacement.
        seed: of the draws.
        groups: one name a value. Values of one group, such as sentences with the same noun, are
            drawn together: they are alike, and are worth less than as many that are not.

    Raises:
        ValueError: no values, a value that is not finite, confidence outside (0, 1), or not as
            many groups as values.
    """
    data = np.array(list(values), dtype=float)
    if data.ndim != 1 or not data.size or not np.isfinite(data).all():
        raise ValueError(f"need a list of finite numbers, at least one; got shape {data.shape}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1")
    if groups is not None and len(groups) != data.size:
        raise ValueError(f"{len(groups)} groups for {data.size} values: one for each is needed")
    draws = np.random.default_rng(seed)
    if groups is None:
        means = [draws.choice(data, data.size).mean() for _ in range(samples)]
    else:
        number_of = {name: number for number, name in enumerate(dict.fromkeys(groups))}
        group = [number_of[name] for name in groups]
        sums, sizes = np.bincount(group, weights=data), np.bincount(group)
        drawn = (draws.integers(len(sums), size=len(sums)) for _ in range(samples))
        means = [sums[chosen].sum() / sizes[chosen].sum() for chosen in drawn]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Accuracy:
    """A share of right answers and its bootstrap interval; printed as "75.0% (72.1 to 77.8)"."""

    mean: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        """Percent, one decimal: finer is noise at a thousand examples."""
        return f"{self.mean:.1%} ({100 * self.low:.1f} to {100 * self.high:.1f})"


def accuracy(predicted: Sequence[int], labels: Sequence[int], **how: Any) -> Accuracy:
    """Share of `predicted` that equal `labels`, with its interval; `how` as bootstrap_interval.

    Raises:
        ValueError: not as many predictions as labels, or none.
    """
    right = _right(predicted, labels)
    return Accuracy(float(right.mean()), *bootstrap_interval(right, **how), len(right))


def accuracies(
    predictions: Mapping[str, Sequence[int]], labels: Sequence[int]
) -> dict[str, Accuracy]:
    """`accuracy` of several systems on the same examples, in the order given."""
    return {name: accuracy(predicted, labels) for name, predicted in predictions.items()}


def difference(
    first: Sequence[int], second: Sequence[int], labels: Sequence[int], **how: Any
) -> Accuracy:
    """Accuracy of `first` minus that of `second`, with the interval of the *paired* difference.

    Both answered the same examples. Hard examples are hard for both, so the difference is known
    better than either accuracy: two intervals may overlap and yet the difference exclude zero.
    """
    gain = _right(first, labels) - _right(second, labels)
    return Accuracy(float(gain.mean()), *bootstrap_interval(gain, **how), len(gain))


def _right(predicted: Sequence[int], labels: Sequence[int]) -> np.ndarray:
    if len(predicted) != len(labels) or not len(labels):
        raise ValueError(f"{len(predicted)} predictions for {len(labels)} labels")
    return (np.asarray(predicted) == np.asarray(labels)).astype(float)

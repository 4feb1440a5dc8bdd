"""Hidden cases of P4: models, schedules, curves and prices drawn when it is graded."""

import numpy as np

from course_tools.grading.cases import Hidden
from course_tools.grading.references.p4 import (
    difference_case,
    flops_case,
    frontier_case,
    rate_case,
    reach_case,
    size_case,
    spread_case,
)
from course_utils.grading.items.p4 import ITEM

HIDDEN = Hidden(ITEM)


@HIDDEN.part("P4.1")
def size(rng):
    """Models of each family."""
    for kind in rng.permutation(["bert", "gpt", "t5"]):
        yield size_case(str(kind), int(rng.integers(100)))
    yield size_case("frozen_bert", 0)


@HIDDEN.part("P4.2")
def flops(rng):
    """Any model, any part of it frozen."""
    for _ in range(4):
        parameters = int(rng.integers(10**6, 10**9))
        yield flops_case(parameters, int(parameters * rng.uniform(0.1, 0.9)), 12345)


@HIDDEN.part("P4.3")
def rate(rng):
    """Any schedule."""
    for _ in range(3):
        warmup = int(rng.integers(2, 6))
        yield rate_case(warmup + int(rng.integers(3, 9)), warmup, float(rng.uniform(1e-5, 1)))


@HIDDEN.part("P4.4")
def spread(rng):
    """Two seeds, and as many seeds as points."""
    for shape in ((2, 5), (4, 4), (6, 3)):
        yield spread_case(rng.uniform(0.4, 0.9, size=shape))


@HIDDEN.part("P4.5")
def reach(rng):
    """Curves that rise and fall."""
    for _ in range(6):
        examples = np.cumsum(rng.integers(10, 100, size=6)).astype(float).tolist()
        accuracy = (0.5 + 0.05 * np.arange(6) + rng.uniform(-0.08, 0.08, size=6)).tolist()
        yield reach_case(examples, accuracy, float(rng.uniform(0.5, 0.85)))
    yield reach_case([5.0, 9.0], [0.4, 0.6], 0.95)
    yield reach_case([5.0, 9.0], [0.7, 0.6], 0.65)
    top = float(rng.uniform(0.7, 0.9))
    yield reach_case([5.0, 9.0, 13.0], [0.4, top, 0.6], top)


@HIDDEN.part("P4.6")
def worth(rng):
    """Many models; some share a price or an accuracy."""
    for _ in range(4):
        cost = rng.permutation(8).astype(float) + 1
        accuracy = 0.5 + 0.04 * cost + rng.uniform(-0.15, 0.15, size=8)
        yield frontier_case(cost.tolist(), accuracy.tolist())
    yield frontier_case([3.0, 1.0, 2.0, 4.0], [0.7, 0.6, 0.7, 0.7])
    yield frontier_case([3.0, 1.0, 3.0, 1.0], [0.8, 0.6, 0.7, 0.5])


@HIDDEN.part("P4.7")
def difference(rng):
    """Models that agree on most texts."""
    for count in (30, 200):
        first = rng.integers(0, 2, size=count)
        second = np.where(rng.random(count) < 0.8, first, rng.integers(0, 2, size=count))
        second[:2] = 1 - first[:2]
        yield difference_case(first, second)

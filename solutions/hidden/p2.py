"""Hidden cases of P2: models, batches and schedules drawn when it is graded."""

from course_tools.grading.cases import Hidden
from course_tools.grading.references.p2 import (
    batches_of,
    evaluate_case,
    rate_case,
    step_case,
    twin_case,
)
from course_utils.grading.items.p2 import ITEM

HIDDEN = Hidden(ITEM)


def seed(rng):
    """The seed of a tiny model."""
    return int(rng.integers(10**6))


@HIDDEN.part("P2.1")
def twin(rng):
    """Encoders of other sizes."""
    for layers, hidden in ((1, 24), (3, 32)):
        yield twin_case(seed(rng), layers, hidden)


@HIDDEN.part("P2.2")
def evaluation(rng):
    """Batches of several sizes; the last one smaller or larger."""
    for sizes in ((7, 7, 2), (3, 11), (1, 6, 9, 4)):
        yield evaluate_case(seed(rng), batches_of(rng, sizes))


@HIDDEN.part("P2.3")
def training(rng):
    """Models, batches and rates of any kind."""
    for sizes in ((5, 5), (6, 2, 4)):
        yield step_case(seed(rng), batches_of(rng, sizes), float(rng.uniform(0.1, 0.4)))


@HIDDEN.part("P2.4")
def rate(rng):
    """Schedules of several lengths."""
    for _ in range(3):
        warmup = int(rng.integers(2, 9))
        yield rate_case(warmup + int(rng.integers(4, 20)), warmup, float(rng.uniform(1e-5, 1)))

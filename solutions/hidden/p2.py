"""Hidden checks of P2: models, batches and schedules drawn when it is graded."""

from course_utils.grading.item import Hidden
from course_utils.grading.items.p2 import (
    ITEM,
    batches_of,
    check_evaluate,
    check_rate,
    check_record,
    check_step,
    check_twin,
)

HIDDEN = Hidden(ITEM)
HIDDEN.part("P2.5")(check_record)


def seed(rng):
    """The seed of a tiny model."""
    return int(rng.integers(10**6))


@HIDDEN.part("P2.1")
def twin(student, rng):
    """Encoders of other sizes."""
    for layers, hidden in ((1, 24), (3, 32)):
        check_twin(student, seed(rng), layers, hidden)


@HIDDEN.part("P2.2")
def evaluation(student, rng):
    """Batches of several sizes; the last one smaller or larger."""
    for sizes in ((7, 7, 2), (3, 11), (1, 6, 9, 4)):
        check_evaluate(student, seed(rng), batches_of(rng, sizes))


@HIDDEN.part("P2.3")
def training(student, rng):
    """Models, batches and rates of any kind."""
    for sizes in ((5, 5), (6, 2, 4)):
        check_step(student, seed(rng), batches_of(rng, sizes), float(rng.uniform(0.1, 0.4)))


@HIDDEN.part("P2.4")
def rate(student, rng):
    """Schedules of several lengths."""
    for _ in range(3):
        warmup = int(rng.integers(2, 9))
        check_rate(student, warmup + int(rng.integers(4, 20)), warmup, float(rng.uniform(1e-5, 1)))

"""Hidden cases of P1: sentences, models and tables drawn when it is graded."""

from course_tools.grading.cases import Hidden
from course_tools.grading.references.p1 import guesses_case, position_case, quality_case, softmax
from course_utils.grading import tiny
from course_utils.grading.items.p1 import ITEM, MASK

HIDDEN = Hidden(ITEM)


def sentence(rng, place=None):
    """Words and commas, one of them the mask; never the last but for chance."""
    words = rng.choice(tiny.WORDS, size=int(rng.integers(5, 12))).tolist()
    words[int(rng.integers(len(words)) if place is None else place)] = MASK
    words[1] += ","
    return " ".join(words) + " ."


@HIDDEN.part("P1.1")
def where(rng):
    """Masks at any place, the first among them."""
    for place in (0, 2, None, None):
        yield position_case(sentence(rng, place))


@HIDDEN.part("P1.2")
def guesses(rng):
    """Models and sentences of any kind."""
    for k in (1, 5, 8):
        yield guesses_case(int(rng.integers(10**6)), sentence(rng), k)


@HIDDEN.part("P1.3")
def good(rng):
    """Tables of several sizes."""
    for rows, size, k in ((4, 12, 5), (30, 50, 5), (25, 7, 2)):
        table = softmax(rng.normal(size=(rows, size)) * rng.uniform(1, 4))
        yield quality_case(table, rng.integers(0, size, size=rows), k)

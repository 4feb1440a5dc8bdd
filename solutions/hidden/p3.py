"""Hidden cases of P3: texts, ids, logits and models drawn when it is graded."""

import numpy as np

from course_tools.grading.cases import Hidden
from course_tools.grading.references.p3 import (
    collate_case,
    contested,
    example,
    example_case,
    loss_case,
    predict_case,
    scores_case,
)
from course_utils.grading import tiny
from course_utils.grading.items.p3 import ITEM

HIDDEN = Hidden(ITEM)


def ids(rng, count):
    """So many ids of words, all different."""
    return rng.permutation(np.arange(5, len(tiny.VOCABULARY)))[:count].tolist()


@HIDDEN.part("P3.1")
def prompt(rng):
    """Texts of any words, also with quotes, digits and a line break."""
    texts = [" ".join(rng.choice(tiny.WORDS, size=rng.integers(2, 12))) for _ in range(4)]
    yield {"texts": [*texts, 'He said: "no" 7 times', "one\ntwo", "C'est la vie é"]}


@HIDDEN.part("P3.2")
def pairs(rng):
    """Prompts and answers of any length; some must be cut."""
    for _ in range(6):
        prompt, answer = ids(rng, rng.integers(3, 12)), ids(rng, rng.integers(1, 4))
        yield example_case(prompt, answer, int(rng.integers(len(answer) + 1, 16)))
    for room in (6, 3):
        yield example_case(ids(rng, 9), [11, 12], room)


@HIDDEN.part("P3.3")
def batch(rng):
    """Batches of several sizes; the pad id is at times that of the end."""
    for pad in (0, 2, 3):
        yield collate_case([example(ids(rng, n), ids(rng, 2), 2, 30) for n in (2, 7, 4)], pad)


@HIDDEN.part("P3.4")
def loss(rng):
    """Answers of different length, at different places."""
    for _ in range(3):
        labels = np.full((3, 8), -100)
        for row, length in enumerate(rng.permutation([1, 2, 4])):
            start = int(rng.integers(1, 8 - length))
            labels[row, start : start + length] = rng.integers(0, 11, size=length)
        yield loss_case(rng.normal(size=(3, 8, 11)) * 2, labels)


@HIDDEN.part("P3.5")
def scores(rng):
    """Prompts and answers of any length."""
    for _ in range(3):
        answers = [ids(rng, int(n)) for n in rng.permutation([1, 2, 3, 4])]
        yield scores_case(int(rng.integers(10**6)), ids(rng, rng.integers(1, 9)), answers)


@HIDDEN.part("P3.6")
def predictions(rng):
    """Many prompts of different lengths, more than any batch; two to four labels."""
    for labels, count in ((2, 150), (4, 24)):
        prompts = [ids(rng, int(n)) for n in rng.integers(1, 10, size=count)]
        seed, start = int(rng.integers(10**6)), int(rng.integers(5, 40))
        yield predict_case(seed, prompts, contested(seed, prompts, labels, start))

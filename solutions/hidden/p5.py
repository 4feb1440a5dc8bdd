"""Hidden cases of P5: ids, labels, models and texts drawn when it is graded."""

import numpy as np

from course_tools.grading.cases import Hidden
from course_tools.grading.references.p5 import (
    an_end,
    continued,
    corpus_case,
    greedy_case,
    loss_case,
    pair_case,
    rouge_l_case,
    rouge_n_case,
    shift_case,
    until,
)
from course_utils.grading import tiny
from course_utils.grading.items.p5 import ITEM

HIDDEN = Hidden(ITEM)


def ids(rng, count):
    """So many ids of words, all different."""
    return rng.permutation(np.arange(5, len(tiny.VOCABULARY)))[:count].tolist()


def words(rng, count):
    """A text of few different words, so that some are repeated."""
    return rng.choice(tiny.WORDS[:7], size=count).tolist()


@HIDDEN.part("P5.1")
def pair(rng):
    """Any lengths; some texts and summaries must be cut."""
    for _ in range(6):
        before = ids(rng, rng.integers(1, 4))
        most = int(rng.integers(len(before) + 2, 16)), int(rng.integers(2, 9))
        yield pair_case(before, ids(rng, 10), ids(rng, rng.integers(1, 8)), most)


@HIDDEN.part("P5.2")
def shift(rng):
    """Any labels, one without padding; start and pad may differ."""
    for start, pad in ((0, 0), (1, 0), (4, 3)):
        lengths = rng.permutation([2, 4, 6])
        labels = np.where(np.arange(6) < lengths[:, None], rng.integers(5, 60, (3, 6)), -100)
        yield shift_case(labels, start, pad)


@HIDDEN.part("P5.3")
def loss(rng):
    """Summaries of different length."""
    for _ in range(3):
        lengths = rng.permutation([2, 3, 6])
        labels = np.where(np.arange(6) < lengths[:, None], rng.integers(0, 11, (3, 6)), -100)
        yield loss_case(rng.normal(size=(3, 6, 11)) * 2, labels)


@HIDDEN.part("P5.4")
def greedy(rng):
    """Two models whose summaries end at different lengths."""
    done = 0
    while done < 2:
        seed, lengths = int(rng.integers(10**6)), rng.permutation([2, 4, 7])
        mask = (np.arange(7) < lengths[:, None]).astype(int)
        given = rng.integers(5, len(tiny.VOCABULARY), mask.shape) * mask
        raw = continued(seed, given, mask, 8)
        if len({len(row) for row in until(raw, an_end(raw))}) > 1:
            yield greedy_case(seed, given, mask)
            done += 1


@HIDDEN.part("P5.5")
def rouge_grams(rng):
    """Single words, pairs and triples; nothing in common; a text shorter than n."""
    for n in (1, 2, 3):
        for _ in range(3):
            yield rouge_n_case(words(rng, rng.integers(6, 20)), words(rng, 12), n)
    yield rouge_n_case(["x", "y"], words(rng, 5), 1)
    yield rouge_n_case(words(rng, 5), ["x"], 2)


GAPS = (  # reference and summary; each catches programs that many draws let pass
    ("c a b a c", "a c b c a"),  # words that come again: greedy ones, blocks, one place a word
    ("a b e c a", "c a e e a b"),
    ("c b d d a", "b a d b b d c"),
    (" ".join(f"w{n * 7 % 31} x{n}" for n in range(62)), " ".join(f"w{n % 31}" for n in range(90))),
)


@HIDDEN.part("P5.6")
def rouge_longest(rng):
    """Fixed cases that no shortcut survives; texts of several lengths; nothing in common."""
    for reference, summary in GAPS:
        yield rouge_l_case(reference.split(), summary.split())
    for length in (3, 9, 25):
        yield rouge_l_case(words(rng, length), words(rng, rng.integers(4, 16)))
    yield rouge_l_case(["x", "y"], words(rng, 5))


@HIDDEN.part("P5.7")
def rouge_corpus(rng):
    """Texts in which words differ by their endings."""
    ends = ["", "s", "ing", "ed"]

    def text(count):
        chosen = rng.choice(["report", "Storm", "limit", "school", "price", "vote"], size=count)
        return " ".join(word + rng.choice(ends) for word in chosen) + "."

    pairs = [(text(rng.integers(5, 12)), text(rng.integers(3, 9))) for _ in range(5)]
    yield corpus_case([a for a, _ in pairs], [b for _, b in pairs])

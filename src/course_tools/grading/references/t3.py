"""T3: right effects, verdicts, overlaps and cuts, and mistaken ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from course_tools.grading.cases import case, piece

ORDER = "The sign is the other way round: with NSP minus without."
UNPAIRED = "Each pair shares a task: take the spread of the differences, not of the two lists."
POPULATION = "For the spread of few values divide by n − 1, not by n (`ddof=1`)."
NO_ROOT = "That is the spread of single differences; that of their mean is smaller by √n."
BY_N = "Divide the spread by √n, not by n."
RELATIVE = "That is a relative difference; asked for is the difference itself."
SIGN_ONLY = "You look at the sign alone: an interval that holds 0 says nothing."
ONE_ERROR = "Your interval is one standard error wide; multiply it by `critical`."
NO_ABS = "Ask how far the mean is from 0, on whichever side: compare `abs(mean)`."
TOUCHES = "An interval that just reaches 0 cannot tell either."
LOWER = "For a loss lower is better: a negative difference helps."
BACKWARDS = "Helps and hurts are swapped: the mean is with NSP minus without."

COUNTS = "A word counts once, however often it occurs: use sets."
OF_FIRST = "You divide by the words of one text; divide by those of both together, each once."
MEAN_SIZE = "You divide by the sum of both sizes; shared words are then counted twice."
NUMBER = "That is how many words are shared; asked for is their share of all."
EMPTY = "Two texts without a word share nothing: 0, not NaN or an error."

FLIPPED = "Label 0 is *next* here, as in BERT: a high overlap speaks for 0."
MEAN_CUT = "You cut at the mean; the best cut may lie elsewhere."
MIDDLE = "You cut in the middle of the range; the best cut may lie elsewhere."
NO_EXTREMES = "Saying the same of every pair is a rule as well: cut below all scores, and above."
TIES = "Pairs with the same score fall on the same side of any cut."
EITHER = "A low overlap may not speak for *next*: your rule turns round when that pays."
SHARE = "That is a number of pairs; an accuracy is a share."

SELF = "A token does not count itself: *other* tokens are asked for."
ALWAYS = "Half of the pairs come from two documents; yours counts them all as one."
NEVER = "The other pairs come from one document; yours counts them all as two."
EQUAL_PARTS = "Every position counts the same, and the longer part has more of them."
SWAPPED = "`random_share` is the share of pairs from *two* documents."

# Liu et al. 2019, table 2: SQuAD 1.1 and 2.0 (F1), MNLI-m, SST-2, RACE (accuracy)
SEGMENTS = [90.4, 78.7, 84.0, 92.9, 64.2]
SENTENCES = [88.7, 76.2, 82.9, 92.1, 63.0]
DOCUMENTS = [90.6, 79.7, 84.7, 92.7, 65.6]


def effect(first: Sequence[float], second: Sequence[float], ddof: int = 1) -> list[float]:
    """Mean and standard error of the paired differences."""
    gaps = np.subtract(first, second)
    return [float(gaps.mean()), float(gaps.std(ddof=ddof) / np.sqrt(len(gaps)))]


def word(mean: float, error: float, critical: float, higher: bool) -> str:
    """What an effect of that size and uncertainty says."""
    gain = mean if higher else -mean
    return "cannot tell" if abs(gain) <= critical * error else "helps" if gain > 0 else "hurts"


def jaccard(first: Sequence, second: Sequence) -> float:
    """Words in both over words in either."""
    one, other = set(first), set(second)
    return len(one & other) / max(1, len(one | other))


def best(scores: np.ndarray, labels: np.ndarray) -> float:
    """The best share of right answers of "0 if the score is at least the cut, else 1"."""
    cuts = [*np.unique(scores), np.inf]
    return float(max(((scores < cut) == labels).mean() for cut in cuts))


def related(a: int, b: int, share: float) -> float:
    """Other tokens of its own document that a position sees, mean over positions and pairs."""
    one, two = a + b - 1, (a * (a - 1) + b * (b - 1)) / (a + b)
    return (1 - share) * one + share * two


def effect_case(first: Sequence[float], second: Sequence[float]) -> dict:
    """A case of `paired_effect`."""
    mean, error = effect(first, second)
    loose, count = effect(first, second, 0)[1], len(first)
    apart = np.sqrt(np.var(first, ddof=1) / count + np.var(second, ddof=1) / count)
    means = [(ORDER, -mean), (RELATIVE, mean / float(np.mean(second)))]
    errors = [
        (UNPAIRED, float(apart)),
        (POPULATION, loose),
        (NO_ROOT, error * count**0.5),
        (NO_ROOT, loose * count**0.5),
        (BY_N, error / count**0.5),
    ]
    pieces = [
        piece("The mean difference", mean, means),
        piece("The standard error", error, errors),
    ]
    return case(list(first), list(second), expected=pieces)


def verdict_case(mean: float, error: float, critical: float, up: bool) -> dict:
    """A case of `verdict`."""
    mistakes = [
        (LOWER, word(mean, error, critical, True)),
        (ONE_ERROR, word(mean, error, 1, up)),
        (SIGN_ONLY, word(mean, 0, 0, up)),
        (BACKWARDS, word(-mean, error, critical, up)),
        (NO_ABS, word(max(mean, 0), error, critical, up)),
    ]
    touches = abs(mean) == critical * error
    if touches:
        mistakes = [(TOUCHES, word(mean, 0, 0, up))]
    expected, group = word(mean, error, critical, up), "touches" if touches else ""
    return case(mean, error, critical, up, expected=expected, mistakes=mistakes, group=group)


def overlap_case(first: list[str], second: list[str]) -> dict:
    """A case of `overlap`."""
    one, other = set(first), set(second)
    shared, expected = len(one & other), jaccard(first, second)
    if not one | other:
        return case(first, second, expected=expected, otherwise=EMPTY)
    mistakes = [
        (COUNTS, sum(w in other for w in first) / len(first + second)),
        (COUNTS, sum(w in other for w in first) / max(1, len(first))),
        (OF_FIRST, shared / max(1, len(one))),
        (OF_FIRST, shared / max(1, len(other))),
        (MEAN_SIZE, shared / (len(one) + len(other))),
        (MEAN_SIZE, 2 * shared / (len(one) + len(other))),
        (NUMBER, shared),
    ]
    return case(first, second, expected=expected, mistakes=mistakes)


def best_case(scores: np.ndarray, labels: np.ndarray) -> dict:
    """A case of `best_accuracy`."""
    want, middle = best(scores, labels), (scores.min() + scores.max()) / 2
    inner = [((scores < cut) == labels).mean() for cut in np.unique(scores)[1:]]
    order = np.argsort(-scores, kind="stable")
    split = [
        (np.sum(labels[order[:n]] == 0) + np.sum(labels[order[n:]] == 1)) / len(labels)
        for n in range(len(labels) + 1)
    ]
    flipped = best(scores, 1 - labels)
    mistakes = [
        (EITHER, max(want, flipped)),
        (FLIPPED, flipped),
        (MEAN_CUT, float(((scores < scores.mean()) == labels).mean())),
        (MIDDLE, float(((scores < middle) == labels).mean())),
        (NO_EXTREMES, float(max(inner, default=0))),
        (TIES, float(max(split))),
        (SHARE, want * len(labels)),
    ]
    return case(scores, labels, expected=want, mistakes=mistakes)


def related_case(a: int, b: int, share: float) -> dict:
    """A case of `related_tokens`."""
    want = related(a, b, share)
    mistakes = [
        (SELF, want + 1),
        (ALWAYS, related(a, b, 0)),
        (NEVER, related(a, b, 1)),
        (SWAPPED, related(a, b, 1 - share)),
        (EQUAL_PARTS, (1 - share) * (a + b - 1) + share * (a + b - 2) / 2),
    ]
    return case(a, b, share, expected=want, mistakes=mistakes)


VERDICTS = [
    (0.1, 0.3, 2.78, True),
    (-1.46, 0.3, 2.78, True),
    (-0.62, 0.28, 2.78, True),
    (0.9, 0.2, 2.78, True),
    (-0.4, 0.1, 4.3, False),
    (-0.4, 0.1, 3.0, False),
    (0.4, 0.1, 3.0, False),
    (0.5, 0.25, 2.0, True),
]
CUTS = [  # good scores, ties, useless scores, a lopsided set
    ([0.9, 0.4, 0.2, 0.1, 0.05, 0.02], [0, 0, 0, 1, 1, 1]),
    ([0.4, 0.35, 0.3, 0.3, 0.1, 0.05, 0.2, 0.2], [0, 0, 1, 0, 1, 1, 0, 1]),
    ([0.1, 0.2, 0.7, 0.3, 0.9, 0.8], [0, 0, 1, 0, 1, 1]),
    ([0.5, 0.2, 0.3, 0.4], [1, 0, 0, 0]),
]


def public() -> dict[str, list[dict]]:
    """Rows of the table, clear and unclear verdicts, pairs of texts, scores, parts of a row."""
    texts = [("the cat saw the dog", "the dog ran"), ("a b", "c c"), ("a", "a a"), ("", "")]
    return {
        "T3.1": [effect_case(SEGMENTS, DOCUMENTS), effect_case(SENTENCES, SEGMENTS)],
        "T3.2": [verdict_case(*numbers) for numbers in VERDICTS],
        "T3.3": [overlap_case(one.split(), other.split()) for one, other in texts],
        "T3.4": [best_case(np.array(scores), np.array(labels)) for scores, labels in CUTS],
        "T3.5": [related_case(256, 256, 0.5), related_case(30, 90, 0.25)],
    }

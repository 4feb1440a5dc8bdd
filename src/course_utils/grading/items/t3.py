"""T3: why next sentence prediction was dropped, and what that says about objectives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from course_utils.grading.item import Item, Student, array, compare, require

ITEM = Item("T3", "Why was next sentence prediction dropped?", "T3_next_sentence")

ORDER = "The sign is the other way round: with NSP minus without."
UNPAIRED = (
    "You treat the two lists as strangers; each pair shares a task, so take the spread of the "
    "differences."
)
POPULATION = "For the spread of few values divide by n − 1, not by n (`ddof=1`)."
NO_ROOT = "That is the spread of single differences; that of their mean is smaller by √n."
BY_N = "Divide the spread by √n, not by n."
RELATIVE = "That is a relative difference; asked for is the difference itself."
TWO = "`paired_effect` gives two numbers: the mean, and its standard error."
WORDS = 'The verdict is "helps", "hurts" or "cannot tell".'
SIGN_ONLY = "You look at the sign alone: an interval that holds 0 says nothing."
ONE_ERROR = "Your interval is one standard error wide; multiply it by `critical`."
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


# -- what is right ---------------------------------------------------------------------------------


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


# -- checks ----------------------------------------------------------------------------------------


def check_effect(student: Student, first: Sequence[float], second: Sequence[float]) -> None:
    """Compare `paired_effect`."""
    want, count = effect(first, second), len(first)
    pair = array(student.call("paired_effect", first, second), "paired_effect", None)
    require(np.shape(pair) == (2,), TWO)
    mean, error = (float(number) for number in pair)
    mistakes = {ORDER: -want[0], RELATIVE: want[0] / float(np.mean(second))}
    compare(mean, want[0], mistakes, what="The mean difference", rtol=1e-4)
    apart = np.sqrt(np.var(first, ddof=1) / count + np.var(second, ddof=1) / count)
    mistakes = {
        UNPAIRED: float(apart),
        POPULATION: effect(first, second, 0)[1],
        NO_ROOT: want[1] * count**0.5,
        NO_ROOT + " ": effect(first, second, 0)[1] * count**0.5,
        BY_N: want[1] / count**0.5,
    }
    compare(error, want[1], mistakes, what="The standard error", rtol=1e-4)


def check_verdict(student: Student, mean: float, error: float, critical: float, up: bool) -> None:
    """Compare `verdict`."""
    want = word(mean, error, critical, up)
    mistakes = {
        LOWER: word(mean, error, critical, True),
        ONE_ERROR: word(mean, error, 1, up),
        SIGN_ONLY: word(mean, 0, 0, up),
        BACKWARDS: word(-mean, error, critical, up),
    }
    if abs(mean) == critical * error:
        mistakes = {TOUCHES: word(mean, 0, 0, up)}
    got = student.call("verdict", mean, error, critical, up)
    require(got in ("helps", "hurts", "cannot tell") if isinstance(got, str) else False, WORDS)
    compare(got, want, mistakes, what=f"verdict({mean:g}, {error:g}, {critical:g}, {up})")


def check_overlap(student: Student, first: list, second: list) -> None:
    """Compare `overlap`."""
    one, other = set(first), set(second)
    both = len(one & other)
    if not one | other:
        mistakes = {EMPTY: float("nan"), EMPTY + " ": 1.0}
    else:
        mistakes = {
            COUNTS: sum(w in other for w in first) / len(first + second),
            COUNTS + " ": sum(w in other for w in first) / max(1, len(first)),
            OF_FIRST: both / max(1, len(one)),
            OF_FIRST + " ": both / max(1, len(other)),
            MEAN_SIZE: both / (len(one) + len(other)),
            NUMBER: both,
        }
    compare(
        student.call("overlap", first, second), jaccard(first, second), mistakes, what="overlap"
    )


def check_best(student: Student, scores: np.ndarray, labels: np.ndarray) -> None:
    """Compare `best_accuracy`."""
    want, middle = best(scores, labels), (scores.min() + scores.max()) / 2
    inner = [((scores < cut) == labels).mean() for cut in np.unique(scores)[1:]]
    order = np.argsort(-scores, kind="stable")
    split = [(np.sum(labels[order[:n]] == 0) + np.sum(labels[order[n:]] == 1)) / len(labels)
             for n in range(len(labels) + 1)]  # fmt: skip
    flipped = best(scores, 1 - labels)
    mistakes = {
        EITHER: max(want, flipped),
        FLIPPED: flipped,
        MEAN_CUT: float(((scores < scores.mean()) == labels).mean()),
        MIDDLE: float(((scores < middle) == labels).mean()),
        NO_EXTREMES: float(max(inner, default=0)),
        TIES: float(max(split)),
        SHARE: want * len(labels),
    }
    got = student.call("best_accuracy", scores, labels)
    compare(got, want, mistakes, what="best_accuracy(scores, labels)")


def check_related(student: Student, a: int, b: int, share: float) -> None:
    """Compare `related_tokens`."""
    want = related(a, b, share)
    mistakes = {
        SELF: want + 1,
        ALWAYS: related(a, b, 0),
        NEVER: related(a, b, 1),
        SWAPPED: related(a, b, 1 - share),
        EQUAL_PARTS: (1 - share) * (a + b - 1) + share * (a + b - 2) / 2,
    }
    got = student.call("related_tokens", a, b, share)
    compare(got, want, mistakes, what=f"related_tokens({a}, {b}, {share:g})")


# -- parts -----------------------------------------------------------------------------------------


@ITEM.part("T3.1", "With against without", 2, ["paired_effect"])
def paired(student: Student) -> None:
    """Check two pairs of rows of the table."""
    check_effect(student, SEGMENTS, DOCUMENTS)
    check_effect(student, SENTENCES, SEGMENTS)


@ITEM.part("T3.2", "What the numbers allow you to say", 1, ["verdict"])
def verdicts(student: Student) -> None:
    """Check clear and unclear cases, of an accuracy and of a loss."""
    for case in (
        (0.1, 0.3, 2.78, True),
        (-1.46, 0.3, 2.78, True),
        (-0.62, 0.28, 2.78, True),
        (0.9, 0.2, 2.78, True),
        (-0.4, 0.1, 4.3, False),
        (-0.4, 0.1, 3, False),
        (0.4, 0.1, 3, False),
        (0.5, 0.25, 2, True),
    ):
        check_verdict(student, *case)


@ITEM.part("T3.3", "A cue that needs no understanding", 1, ["overlap"])
def cue(student: Student) -> None:
    """Check four pairs of texts."""
    check_overlap(student, ["the", "cat", "saw", "the", "dog"], ["the", "dog", "ran"])
    check_overlap(student, ["a", "b"], ["c", "c"])
    check_overlap(student, ["a"], ["a", "a"])
    check_overlap(student, [], [])


@ITEM.part("T3.4", "How far the cue goes", 3, ["best_accuracy"])
def reach(student: Student) -> None:
    """Check good scores, ties, useless scores, and a lopsided set."""
    check_best(student, np.array([0.9, 0.4, 0.2, 0.1, 0.05, 0.02]), np.array([0, 0, 0, 1, 1, 1]))
    labels = np.array([0, 0, 1, 0, 1, 1, 0, 1])
    check_best(student, np.array([0.4, 0.35, 0.3, 0.3, 0.1, 0.05, 0.2, 0.2]), labels)
    check_best(student, np.array([0.1, 0.2, 0.7, 0.3, 0.9, 0.8]), np.array([0, 0, 1, 0, 1, 1]))
    check_best(student, np.array([0.5, 0.2, 0.3, 0.4]), np.array([1, 0, 0, 0]))


@ITEM.part("T3.5", "What half the pairs cost", 2, ["related_tokens"])
def cost(student: Student) -> None:
    """Check equal and unequal parts."""
    check_related(student, 256, 256, 0.5)
    check_related(student, 30, 90, 0.25)


ITEM.text(
    "T3.6",
    "Why it was dropped",
    3,
    "answer_T3",
    """1 point: evidence, read with care: removing NSP matches or slightly improves the scores; the
    format (long runs of one document against short pairs) changes more than the loss does; the
    comparison changes both at once.
    1 point: why the task teaches little: a random second text is told by its words and topic, which
    masked prediction teaches anyway; half of the rows lose related context; a bit a row.
    1 point: what follows for the design of objectives: a task must not be solvable by a shortcut
    (harder negatives: sentence order as in ALBERT), must add something to what the main loss asks
    for, and its price in data and context counts; change one thing at a time when you measure.""",
)

"""Answers to T3, and what the grader must say to each."""

from course_tools.grading.references import t3 as mistakes
from course_tools.grading.selftest import right, wrong
from course_utils.grading.items import t3

GAPS = """import numpy as np
def paired_effect(with_nsp, without_nsp):
    a, b = np.array(with_nsp), np.array(without_nsp)
    d, n = a - b, len(a)
    """
VERDICT = "def verdict(mean, error, critical, higher_is_better):\n    "
OVERLAP = "def overlap(first, second):\n    a, b = set(first), set(second)\n    "
BEST = """import numpy as np
def best_accuracy(scores, labels):
    cuts = [*np.unique(scores), np.inf]
    """
RELATED = (
    "def related_tokens(length_a, length_b, random_share):\n    a, b = length_a, length_b\n    "
)

BANK = [
    wrong("sign", GAPS + "return -d.mean(), d.std(ddof=1) / n**0.5", {"T3.1": mistakes.ORDER}),
    wrong(
        "unpaired",
        GAPS + "return d.mean(), (a.var(ddof=1) / n + b.var(ddof=1) / n) ** 0.5",
        {"T3.1": mistakes.UNPAIRED},
    ),
    wrong("by n", GAPS + "return d.mean(), d.std() / n**0.5", {"T3.1": mistakes.POPULATION}),
    wrong("no root", GAPS + "return d.mean(), d.std(ddof=1)", {"T3.1": mistakes.NO_ROOT}),
    wrong("root left out", GAPS + "return d.mean(), d.std(ddof=1) / n", {"T3.1": mistakes.BY_N}),
    wrong("one number", GAPS + "return d.mean()", {"T3.1": t3.TWO}),
    wrong(
        "the sign alone",
        VERDICT + "return 'helps' if (mean > 0) == higher_is_better else 'hurts'",
        {"T3.2": mistakes.SIGN_ONLY},
    ),
    wrong(
        "one error wide",
        VERDICT
        + """if abs(mean) <= error: return "cannot tell"
    return "helps" if (mean > 0) == higher_is_better else "hurts\"""",
        {"T3.2": mistakes.ONE_ERROR},
    ),
    wrong(
        "losses like accuracies",
        VERDICT
        + """if abs(mean) <= critical * error: return "cannot tell"
    return "helps" if mean > 0 else "hurts\"""",
        {"T3.2": mistakes.LOWER},
    ),
    wrong(
        "backwards",
        VERDICT
        + """if abs(mean) <= critical * error: return "cannot tell"
    return "hurts" if (mean > 0) == higher_is_better else "helps\"""",
        {"T3.2": mistakes.BACKWARDS},
    ),
    wrong(
        "touching",
        VERDICT + "if abs(mean) < critical * error: return 'cannot tell'\n"
        "    return 'helps' if (mean > 0) == higher_is_better else 'hurts'",
        {"T3.2": mistakes.TOUCHES},
    ),
    wrong("a boolean", VERDICT + "return abs(mean) > critical * error", {"T3.2": t3.WORDS}),
    wrong(
        "words counted each time",
        "def overlap(a, b): return sum(w in b for w in a) / len(a + b)",
        {"T3.3": mistakes.COUNTS},
    ),
    wrong("of the first", OVERLAP + "return len(a & b) / len(a)", {"T3.3": mistakes.OF_FIRST}),
    wrong(
        "of both sizes",
        OVERLAP + "return len(a & b) / max(1, len(a) + len(b))",
        {"T3.3": mistakes.MEAN_SIZE},
    ),
    wrong("a count", OVERLAP + "return len(a & b)", {"T3.3": mistakes.NUMBER}),
    wrong("0 / 0", OVERLAP + "return len(a & b) / len(a | b)", {"T3.3": mistakes.EMPTY}),
    wrong(
        "labels turned round",
        BEST + "return max(((scores >= c) == labels).mean() for c in cuts)",
        {"T3.4": mistakes.FLIPPED},
    ),
    wrong(
        "cut at the mean",
        BEST + "return ((scores < scores.mean()) == labels).mean()",
        {"T3.4": mistakes.MEAN_CUT},
    ),
    wrong(
        "cut in the middle",
        BEST + "return ((scores < (scores.min() + scores.max()) / 2) == labels).mean()",
        {"T3.4": mistakes.MIDDLE},
    ),
    wrong(
        "no extremes",
        BEST + "return max(((scores < c) == labels).mean() for c in cuts[1:-1])",
        {"T3.4": mistakes.NO_EXTREMES},
    ),
    wrong(
        "ties torn apart",
        """import numpy as np
def best_accuracy(scores, labels):
    y = labels[np.argsort(-scores, kind="stable")]
    return max((np.sum(y[:n] == 0) + np.sum(y[n:] == 1)) / len(y) for n in range(len(y) + 1))""",
        {"T3.4": mistakes.TIES},
    ),
    wrong(
        "either way",
        BEST
        + """right = [((scores < c) == labels).mean() for c in cuts]
    return max(max(right), 1 - min(right))""",
        {"T3.4": mistakes.EITHER},
    ),
    wrong(
        "a number of pairs",
        BEST + "return max(((scores < c) == labels).sum() for c in cuts)",
        {"T3.4": mistakes.SHARE},
    ),
    wrong(
        "itself, too",
        RELATED
        + """p = random_share
    return (1 - p) * (a + b) + p * (a * a + b * b) / (a + b)""",
        {"T3.5": mistakes.SELF},
    ),
    wrong("one document", RELATED + "return a + b - 1", {"T3.5": mistakes.ALWAYS}),
    wrong(
        "two documents",
        RELATED + "return (a * (a - 1) + b * (b - 1)) / (a + b)",
        {"T3.5": mistakes.NEVER},
    ),
    wrong(
        "parts alike",
        RELATED + "return (1 - random_share) * (a + b - 1) + random_share * (a + b - 2) / 2",
        {"T3.5": mistakes.EQUAL_PARTS},
    ),
    wrong(
        "the share swapped",
        RELATED
        + """p = 1 - random_share
    return (1 - p) * (a + b - 1) + p * (a * (a - 1) + b * (b - 1)) / (a + b)""",
        {"T3.5": mistakes.SWAPPED},
    ),
    right(
        "standard library",
        """import statistics
def paired_effect(with_nsp, without_nsp):
    gaps = [x - y for x, y in zip(with_nsp, without_nsp)]
    return [statistics.fmean(gaps), statistics.stdev(gaps) / len(gaps) ** 0.5]
def verdict(mean, error, critical, higher_is_better):
    low, high = mean - critical * error, mean + critical * error
    if low <= 0 <= high:
        return "cannot tell"
    return {True: "helps", False: "hurts"}[(low > 0) is bool(higher_is_better)]
def overlap(first, second):
    words = list(dict.fromkeys([*first, *second]))
    return sum(w in first and w in second for w in words) / len(words) if words else 0.0""",
    ),
    right(
        "loops",
        """def best_accuracy(scores, labels):
    best = 0
    for cut in [*scores, max(scores) + 1]:
        right = sum(int(s < cut) == y for s, y in zip(scores, labels))
        best = max(best, right / len(labels))
    return best
def related_tokens(a, b, p):
    same = [a + b - 1 for _ in range(a + b)]
    apart = [a - 1] * a + [b - 1] * b
    return sum((1 - p) * x + p * y for x, y in zip(same, apart)) / (a + b)""",
    ),
    right(
        "sorted and added up",
        """import numpy as np, torch
def best_accuracy(scores, labels):
    values, place = np.unique(scores, return_inverse=True)
    ones = np.bincount(place, weights=labels, minlength=len(values))
    zeros = np.bincount(place, weights=1 - labels, minlength=len(values))
    below = np.concatenate([[0], np.cumsum(ones)])
    above = zeros.sum() - np.concatenate([[0], np.cumsum(zeros)])
    return (below + above).max() / len(labels)
def paired_effect(with_nsp, without_nsp):
    d = torch.tensor(with_nsp, dtype=torch.float64) - torch.tensor(without_nsp, dtype=torch.float64)
    return torch.stack([d.mean(), d.std() / len(d) ** 0.5])""",
    ),
]

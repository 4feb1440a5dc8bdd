"""Answers to T1, and what the grader must say to each."""

from course_tools.grading.references import t1 as mistakes
from course_tools.grading.selftest import right, wrong

BANK = [
    wrong("every position", "def mlm_signals(n, r): return n", {"T1.1": mistakes.ALL}),
    wrong(
        "Python's round",
        "def mlm_signals(n, r): return max(1, round(n * r))",
        {"T1.1": mistakes.EVEN},
    ),
    wrong("cut off", "def mlm_signals(n, r): return max(1, int(n * r))", {"T1.1": mistakes.CUT}),
    wrong(
        "rounded up",
        "import math\ndef mlm_signals(n, r): return math.ceil(n * r)",
        {"T1.1": mistakes.UP},
    ),
    wrong(
        "no minimum",
        "def mlm_signals(n, r): return int(n * r + 0.5 + 1e-9)",
        {"T1.1": mistakes.NONE},
    ),
    wrong("a fraction", "def mlm_signals(n, r): return n * r", {"T1.1": mistakes.FRACTION}),
    wrong(
        "the public answers",
        "def mlm_signals(n, r): return {128: 19, 30: 5, 2: 1, 14: 2, 12: 2}.get(n, 0)",
        {"T1.1": "not for others"},
    ),
    wrong("first token predicted", "def clm_signals(n): return n", {"T1.2": mistakes.FIRST}),
    wrong(
        "rate in causal",
        "def clm_signals(n): return max(1, int(n * 0.15))",
        {"T1.2": mistakes.MASKED},
    ),
    wrong("two ends lost", "def clm_signals(n): return max(0, n - 2)", {"T1.2": mistakes.TWO}),
    wrong(
        "tokens, not signals",
        "def examples_needed(D, n, m): return D // n, -(-(D // n * n) // m)",
        {"T1.3": mistakes.PER_TOKEN},
    ),
    wrong(
        "swapped",
        "def examples_needed(D, n, m): return -(-(D // n * (n - 1)) // m), D // n",
        {"T1.3": mistakes.SWAPPED},
    ),
    wrong(
        "as many", "def examples_needed(D, n, m): return D // n, D // n", {"T1.3": mistakes.EQUAL}
    ),
    wrong(
        "rounded down",
        "def examples_needed(D, n, m): return D // n, D // n * (n - 1) // m",
        {"T1.3": mistakes.WHOLE},
    ),
    wrong(
        "the rest kept",
        "def examples_needed(D, n, m): return -(-D // n), -(-(-(-D // n) * (n - 1)) // m)",
        {"T1.3": mistakes.SPARE},
    ),
    wrong(
        "floating point",
        """import math
def examples_needed(D, n, m): return int(D / n), math.ceil(D // n * (n - 1) / m)""",
        {"T1.3": "not for others"},
    ),
    wrong("rates added", "def coverage(r, k): return r * k", {"T1.4": mistakes.LINEAR}),
    wrong("never", "def coverage(r, k): return (1 - r) ** k", {"T1.4": mistakes.NEVER}),
    wrong("static masks", "def coverage(r, k): return r", {"T1.4": mistakes.STATIC}),
    wrong("always", "def coverage(r, k): return r ** k", {"T1.4": mistakes.ALWAYS}),
    wrong("a bool", "def clm_signals(n): return True if n == 2 else n - 1 > 0", {"T1.2": "number"}),
    wrong("no return", "def coverage(r, k): 1 - (1 - r) ** k", {"T1.4": "returns nothing"}),
    wrong("no text", "answer_T1 = ''", {"T1.5": "empty"}),
    right(
        "decimal arithmetic",
        """from decimal import ROUND_HALF_UP, Decimal
def mlm_signals(length, rate):
    exact = Decimal(str(rate)) * length
    return max(1, int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP)))""",
    ),
    right(
        "numpy, and loops",
        """import numpy as np
def mlm_signals(length, rate): return np.maximum(1, np.floor(length * rate + 0.5 + 1e-9))
def clm_signals(length): return np.int64(sum(1 for t in range(length) if t > 0))
def coverage(rate, passes):
    missed = np.float64(1)
    for _ in range(passes):
        missed *= 1 - rate
    return np.array([1 - missed])""",
    ),
    right(
        "a list, one helper",
        """def examples_needed(tokens, length, masked_signals):
    sequences, rest = divmod(tokens, length)
    needed, more = divmod(sequences * (length - 1), masked_signals)
    return [sequences, needed + bool(more)]
coverage = lambda rate, passes: sum(rate * (1 - rate) ** k for k in range(passes))""",
    ),
    right(
        "with a warning and a display",
        """import sys, warnings
from IPython.display import display
def clm_signals(length):
    warnings.warn("careful"); print("here", file=sys.stderr); display(length)
    return float(length - 1)""",
    ),
    wrong(
        "floats",
        """import numpy as np
def examples_needed(D, n, m): return D // n, np.ceil(D // n * (n - 1) / m)""",
        {"T1.3": mistakes.BEYOND},
    ),
    wrong(
        "the package's own count",
        """import torch
from course_utils.objectives import masked_lm
def mlm_signals(n, r): return int(masked_lm.fixed_count(torch.tensor([n]), r))""",
        {"T1.1": "which it is to replace"},
    ),
]

"""Answers to T4, and what the grader must say to each."""

from course_tools.grading.references import t4 as mistakes
from course_tools.grading.selftest import right, wrong
from course_utils.grading.items import t4

SIDES = """
def sides(length, masked, at, look):
    left = max((t for t in range(at) if look(t)), default=None)
    right = min((t for t in range(at + 1, length) if look(t)), default=None)
    return left, right
def one(h, unigram, at, left, right):
    if left is None and right is None: return unigram
    if left is None: return h[right - at]
    if right is None: return h[at - left]
    return h[at - left] + h[right - at] - h[right - left]
"""
TABLE = """
def remaining_bits(P, pi, longest):
    out = []
    for n in range({first}, longest + 1):
        Q = {power}
        logs = {log}
        out.append(-({weights} @ (Q * logs).sum(1)))
    return np.array(out)
"""
GOOD = {
    "first": "0",
    "power": "np.linalg.matrix_power(P, n)",
    "log": "np.log2(np.where(Q > 0, Q, 1))",
    "weights": "pi",
}


def tabled(**changes):
    """T4.2 with something changed."""
    return TABLE.format(**GOOD | changes)


BANK = [
    wrong(
        "right eigenvector",
        """def stationary(P):
    values, vectors = np.linalg.eig(P)
    v = np.real(vectors[:, np.argmin(abs(values - 1))])
    return v / v.sum()""",
        {"T4.1": mistakes.UNIFORM},
    ),
    wrong("mean of rows", "def stationary(P): return P.mean(0)", {"T4.1": mistakes.COLUMNS}),
    wrong(
        "eigenvector not scaled",
        """def stationary(P):
    values, vectors = np.linalg.eig(P.T)
    return np.real(vectors[:, np.argmin(abs(values - 1))])""",
        {"T4.1": t4.SCALE},
    ),
    wrong(
        "the package's",
        """def stationary(P):
    return MarkovSource(torch.from_numpy(P)).stationary""",
        {"T4.1": "MarkovSource"},
    ),
    wrong("nats", tabled(log="np.log(np.where(Q > 0, Q, 1))"), {"T4.2": mistakes.NATS}),
    wrong(
        "rows weigh the same",
        tabled(weights="np.full(len(P), 1 / len(P))"),
        {"T4.2": mistakes.EQUAL},
    ),
    wrong("power of entries", tabled(power="P ** n"), {"T4.2": mistakes.ELEMENTS}),
    wrong("begins with one step", tabled(first="1"), {"T4.2": mistakes.LATE}),
    wrong("no care for zeros", tabled(log="np.log2(Q)"), {"T4.2": mistakes.ZERO}),
    wrong(
        "n times the rate",
        """def remaining_bits(P, pi, longest):
    return np.arange(longest + 1) * -(pi @ (P * np.log2(np.where(P > 0, P, 1))).sum(1))""",
        {"T4.2": mistakes.TOTAL},
    ),
    wrong(
        "first not predicted",
        "def clm_bits(h, u, n): return (n - 1) * h[1]",
        {"T4.3": mistakes.SEEN},
    ),
    wrong(
        "first like the others", "def clm_bits(h, u, n): return n * h[1]", {"T4.3": mistakes.FIRST}
    ),
    wrong("no context", "def clm_bits(h, u, n): return n * u", {"T4.3": mistakes.RATE}),
    wrong(
        "sides added", "def two_sided_bits(h, a, b): return h[a] + h[b]", {"T4.4": mistakes.SIDES}
    ),
    wrong(
        "nearer side",
        "def two_sided_bits(h, a, b): return h[min(a, b)]",
        {"T4.4": mistakes.NEAREST},
    ),
    wrong(
        "as if the sides were strangers",
        "def two_sided_bits(h, a, b): return h[a] + h[b] - h[-1]",
        {"T4.4": "two_sided_bits"},
    ),
    wrong(
        "only adjacent ones right",
        "def two_sided_bits(h, a, b): return h[a] + h[b] - h[min(a + b, 4)]",
        {"T4.4": "not for others"},
    ),
    wrong(
        "masked neighbours seen",
        SIDES
        + """
def mlm_bits(h, unigram, length, masked):
    look = lambda t: True
    return sum(one(h, unigram, m, *sides(length, masked, m, look)) for m in masked)""",
        {"T4.5": mistakes.NEIGHBOURS},
    ),
    wrong(
        "every position",
        SIDES
        + """
def mlm_bits(h, unigram, length, masked):
    look = lambda t: t not in masked
    return sum(one(h, unigram, m, *sides(length, masked, m, look)) for m in range(length))""",
        {"T4.5": mistakes.EVERY},
    ),
    wrong(
        "a mean",
        SIDES
        + """
def mlm_bits(h, unigram, length, masked):
    look = lambda t: t not in masked
    terms = [one(h, unigram, m, *sides(length, masked, m, look)) for m in masked]
    return sum(terms) / max(1, len(terms))""",
        {"T4.5": mistakes.MEAN},
    ),
    wrong("joint, not each", "mlm_bits = joint_bits", {"T4.5": mistakes.ALONE}),
    wrong(
        "a token beyond the edge",
        SIDES
        + """
def mlm_bits(h, unigram, length, masked):
    look = lambda t: t not in masked
    total = 0
    for m in masked:
        left, right = sides(length, masked, m, look)
        left, right = -1 if left is None else left, length if right is None else right
        total += h[m - left] + h[right - m] - h[right - left]
    return total""",
        {"T4.5": mistakes.EDGE},
    ),
    wrong(
        "wants its list in order",
        """right_one = mlm_bits
def mlm_bits(h, unigram, length, masked):
    return right_one(h, unigram, length, masked) if masked == sorted(masked) else 0.0""",
        {"T4.5": mistakes.UNSORTED},
    ),
    wrong("each by itself", "joint_bits = mlm_bits", {"T4.6": mistakes.SUM}),
    wrong(
        "the whole",
        "def joint_bits(h, u, n, masked): return u + (n - 1) * h[1]",
        {"T4.6": mistakes.WHOLE},
    ),
    wrong(
        "the visible ones",
        """def joint_bits(h, u, n, masked):
    seen = [t for t in range(n) if t not in masked]
    return u + sum(h[b - a] for a, b in zip(seen, seen[1:])) if seen else 0.0""",
        {"T4.6": mistakes.CONTEXT},
    ),
    wrong(
        "a visible token that is not there",
        """def joint_bits(h, u, n, masked):
    seen = [t for t in range(n) if t not in masked]
    return (n - 1) * h[1] - sum(h[b - a] for a, b in zip(seen, seen[1:]))""",
        {"T4.6": "joint_bits"},
    ),
    wrong(
        "per masked token",
        """per_token = mlm_bits_per_token
def mlm_bits_per_token(h, rate): return per_token(h, rate) / rate""",
        {"T4.7": mistakes.PER_MASKED},
    ),
    wrong(
        "neighbours always seen",
        "def mlm_bits_per_token(h, rate): return rate * (2 * h[1] - h[2])",
        {"T4.7": mistakes.CLEAR},
    ),
    wrong(
        "rate the wrong way round",
        """per_token = mlm_bits_per_token
def mlm_bits_per_token(h, rate): return rate * per_token(h, 1 - rate) / (1 - rate)""",
        {"T4.7": mistakes.VISIBLE},
    ),
    wrong("a text", "def mlm_bits_per_token(h, rate): return 'about 0.04'", {"T4.7": "numbers"}),
    wrong("no text", "answer_T4 = '  '", {"T4.8": "empty"}),
    right(
        "by eigenvectors, with torch",
        """def stationary(P):
    values, vectors = np.linalg.eig(P.T)
    v = np.real(vectors[:, np.argmin(abs(values - 1))])
    return v / v.sum()
def remaining_bits(P, pi, longest):
    P, pi = torch.as_tensor(P), torch.as_tensor(pi)
    h = []
    for n in range(longest + 1):
        Q = torch.linalg.matrix_power(P, n)
        h.append((pi * torch.special.entr(Q).sum(1)).sum() / math.log(2))
    return torch.stack(h)""",
    ),
    right(
        "plain loops, lists",
        """def stationary(P):
    p = [1 / len(P)] * len(P)
    for _ in range(20000):
        p = [sum(p[i] * P[i][j] for i in range(len(P))) for j in range(len(P))]
    return p
def clm_bits(h, unigram, length):
    total = unigram
    for _ in range(length - 1):
        total = total + h[1]
    return float(total)
def mlm_bits_per_token(h, rate):
    total, last = 0.0, min((len(h) - 1) // 2, 60)
    for a in range(1, last + 1):
        for b in range(1, last + 1):
            p = rate ** (a - 1) * (1 - rate) * rate ** (b - 1) * (1 - rate)
            total += p * (h[a] + h[b] - h[a + b])
    return rate * total""",
    ),
    right(
        "runs of masked tokens",
        """def mlm_bits(h, unigram, length, masked):
    hidden = np.zeros(length, dtype=bool)
    hidden[list(masked)] = True
    total, t = 0.0, 0
    while t < length:
        if not hidden[t]:
            t += 1
            continue
        end = t
        while end < length and hidden[end]:
            end += 1
        for m in range(t, end):
            a, b = m - t + 1, end - m
            if t and end < length: total += h[a] + h[b] - h[a + b]
            elif t: total += h[a]
            elif end < length: total += h[b]
            else: total += unigram
        t = end
    return np.float64(total)
def joint_bits(h, unigram, length, masked):
    total, before, hidden = 0.0, None, set(masked)
    for t in range(length):  # masked tokens one by one, each given all before and the next visible
        if t in hidden:
            right = next((r for r in range(t + 1, length) if r not in hidden), None)
            if t and right is not None: total += h[1] + h[right - t] - h[right - t + 1]
            elif t: total += h[1]
            elif right is not None: total += h[right]
            else: total += unigram
    return total""",
    ),
    right(
        "numpy numbers, shape (1,)",
        """def two_sided_bits(h, left, right):
    return np.array([h[left] - (h[left + right] - h[right])])
def clm_bits(h, unigram, length):
    return np.sum([unigram] + [h[1]] * (length - 1))""",
    ),
    wrong(
        "the last one missing",
        tabled() + "\nfull = remaining_bits\n"
        "def remaining_bits(P, pi, n): return full(P, pi, n)[:-1]",
        {"T4.2": mistakes.SHORT},
    ),
    wrong(
        "one too many",
        tabled() + "\nfull = remaining_bits\n"
        "def remaining_bits(P, pi, n): return full(P, pi, n + 1)",
        {"T4.2": mistakes.LONG},
    ),
    right(
        "a complex eigenvector without imaginary part",
        """def stationary(P):
    values, vectors = np.linalg.eig(P.T.astype(complex))
    v = vectors[:, np.argmin(abs(values - 1))]
    v = v / v.sum()
    return v.real + 0j""",
    ),
]

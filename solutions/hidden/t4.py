"""Hidden checks of T4: chains, lengths, masks and rates drawn when it is graded."""

from itertools import pairwise

import numpy as np

from course_utils.grading.item import Hidden, compare
from course_utils.grading.items.t4 import (
    ALONE,
    BAN,
    CLEAR,
    COLUMNS,
    CONTEXT,
    EDGE,
    ELEMENTS,
    EQUAL,
    EVERY,
    FIRST,
    ITEM,
    JOINT,
    MEAN,
    NEAREST,
    NEIGHBOURS,
    PER_MASKED,
    RATE,
    SEEN,
    SIDES,
    SUM,
    UNIFORM,
    VISIBLE,
    WHOLE,
    check_table,
    scaled,
)

HIDDEN = Hidden(ITEM)


def chain(rng):
    """A random transition matrix, three to seven symbols, and its stationary distribution."""
    size = int(rng.integers(3, 8))
    p = rng.dirichlet(np.full(size, 0.5), size) * 0.98 + 0.02 / size
    system = np.vstack([p.T - np.eye(size), np.ones(size)])
    return p, np.linalg.lstsq(system, np.append(np.zeros(size), 1.0), rcond=None)[0]


def bits(p):
    """Entropy of each row, in bits."""
    return -(p * np.log2(np.where(p > 0, p, 1))).sum(-1)


def table(rng, longest=600):
    """h(0) … h(longest) and H(π) of a random chain."""
    p, pi = chain(rng)
    return powers(p, pi, longest), float(bits(pi))


def powers(p, pi, longest):
    """h(n) of a chain."""
    power, values = np.eye(len(p)), []
    for _ in range(longest + 1):
        values.append(float(pi @ bits(power)))
        power = power @ p
    return np.array(values)


def two(h, a, b):
    """What a left and a right neighbour leave unknown."""
    return h[a] + h[b] - h[a + b]


def alone(h, unigram, length, at, hidden):
    """What the nearest positions outside `hidden` leave unknown about position `at`."""
    left = next((at - j for j in range(at - 1, -1, -1) if j not in hidden), None)
    right = next((j - at for j in range(at + 1, length) if j not in hidden), None)
    if left and right:
        return two(h, left, right)
    return h[left or right] if left or right else unigram


def whole(h, unigram, length):
    """Entropy of the example."""
    return unigram + (length - 1) * h[1]


def visible(h, unigram, length, masked):
    """Entropy of the tokens that are seen."""
    seen = [t for t in range(length) if t not in masked]
    return unigram + sum(h[b - a] for a, b in pairwise(seen)) if seen else 0.0


def draw_mask(rng, length, count):
    """Positions in random order: their order must not matter."""
    return [int(t) for t in rng.permutation(length)[:count]]


@HIDDEN.part("T4.1")
def stationary(student, rng):
    """Random chains."""
    for _ in range(3):
        p, pi = chain(rng)
        got = student.call("stationary", p, ban=BAN)
        scaled(got, pi)
        mistakes = {UNIFORM: np.full(len(p), 1 / len(p)), COLUMNS: p.mean(0)}
        compare(got, pi, mistakes, what="stationary", rtol=1e-4, atol=1e-6)


@HIDDEN.part("T4.2")
def remaining_bits(student, rng):
    """Random chains, the last with zeros."""
    for zeros in (False, False, True):
        p, pi = chain(rng)
        if zeros:  # a ring with some staying: irreducible, aperiodic
            stay = rng.uniform(0.1, 0.9, len(p))
            p = np.diag(stay) + np.roll(np.diag(1 - stay), 1, axis=1)
            pi = (1 / (1 - stay)) / (1 / (1 - stay)).sum()
        longest = int(rng.integers(4, 9))
        with np.errstate(all="ignore"):
            mistakes = {
                EQUAL: np.array(
                    [bits(np.linalg.matrix_power(p, n)).mean() for n in range(longest + 1)]
                ),
                ELEMENTS: np.array([float(pi @ bits(p**n)) for n in range(longest + 1)]),
            }
        got = student.call("remaining_bits", p, pi, longest, ban=BAN)
        check_table(got, powers(p, pi, longest), "remaining_bits", mistakes)


@HIDDEN.part("T4.3")
def clm_bits(student, rng):
    """Random chains and lengths."""
    for _ in range(3):
        h, unigram = table(rng, 40)
        length = int(rng.integers(2, 900))
        mistakes = {SEEN: (length - 1) * h[1], FIRST: length * h[1], RATE: length * unigram}
        got = student.call("clm_bits", h, unigram, length)
        compare(got, whole(h, unigram, length), mistakes, what="clm_bits")


@HIDDEN.part("T4.4")
def two_sided_bits(student, rng):
    """Random chains and distances."""
    for _ in range(4):
        h, unigram = table(rng, 40)
        left, right = map(int, rng.integers(1, 20, size=2))
        mistakes = {
            SIDES: h[left] + h[right],
            NEAREST: min(h[left], h[right]),
            JOINT: h[left] + h[right] - unigram,
        }
        got = student.call("two_sided_bits", h, left, right)
        compare(got, two(h, left, right), mistakes, what="two_sided_bits", atol=1e-7)


@HIDDEN.part("T4.5")
def mlm_bits(student, rng):
    """Random masks of every size, none and all among them."""
    for case in range(8):
        h, unigram = table(rng, 40)
        length = int(rng.integers(8, 30))
        count = [0, length, 1, length - 1][case] if case < 4 else int(rng.integers(2, length))
        masked = draw_mask(rng, length, count)
        parts = [alone(h, unigram, length, t, masked) for t in masked]
        mistakes = {
            NEIGHBOURS: sum(alone(h, unigram, length, t, [t]) for t in masked),
            ALONE: whole(h, unigram, length) - visible(h, unigram, length, masked),
            MEAN: np.mean(parts) if parts else 0.0,
            EVERY: sum(alone(h, unigram, length, t, masked) for t in range(length)),
            EDGE: 0.0,
        }
        got = student.call("mlm_bits", h, unigram, length, masked)
        compare(got, float(sum(parts)), mistakes, what="mlm_bits", atol=1e-6)


@HIDDEN.part("T4.6")
def joint_bits(student, rng):
    """Random masks of every size."""
    for case in range(8):
        h, unigram = table(rng, 40)
        length = int(rng.integers(8, 30))
        count = [0, length, 1, length - 1][case] if case < 4 else int(rng.integers(2, length))
        masked = draw_mask(rng, length, count)
        seen, everything = visible(h, unigram, length, masked), whole(h, unigram, length)
        mistakes = {
            SUM: sum(alone(h, unigram, length, t, masked) for t in masked),
            CONTEXT: seen,
            WHOLE: everything,
        }
        got = student.call("joint_bits", h, unigram, length, masked)
        compare(got, float(everything - seen), mistakes, what="joint_bits", atol=1e-6)


@HIDDEN.part("T4.7")
def mlm_bits_per_token(student, rng):
    """Random chains and rates."""
    for _ in range(2):
        h, _ = table(rng)
        rate = float(rng.uniform(0.1, 0.7))
        mistakes = {
            PER_MASKED: per_masked(h, rate),
            CLEAR: rate * two(h, 1, 1),
            VISIBLE: rate * per_masked(h, 1 - rate),
        }
        got = student.call("mlm_bits_per_token", h, rate)
        compare(got, rate * per_masked(h, rate), mistakes, what="mlm_bits_per_token", rtol=1e-4)


def per_masked(h, rate):
    """E[h(A) + h(B) − h(A + B)], A and B geometric: how far the nearest visible tokens are."""
    far = np.arange(1, (len(h) - 1) // 2 + 1)
    p = (1 - rate) * rate ** (far - 1)
    values = h[far][:, None] + h[far][None] - h[far[:, None] + far[None]]
    return float(p @ values @ p)

"""T4: the bits of chains whose entropy is known, and what mistakes make of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from course_tools.grading.cases import case

UNIFORM = "All symbols are equally likely in yours: solve π P = π, not P π = π (the transpose)."
COLUMNS = "The mean of the rows is a uniform start after one step, not where it settles."
NATS = "Those are nats: bits use the logarithm to base 2."
EQUAL = "You weigh the rows of Pⁿ equally; each counts as often as its symbol occurs: by π."
WHERE_TO = "π weighs the rows of Pⁿ, where the steps begin; yours weighs the columns."
ELEMENTS = "`P ** n` raises every entry of an array by itself; n steps are the matrix power."
LATE = "The table begins with h(0), where the symbol itself is seen: `longest + 1` values."
SHORT = "The table ends with h(longest), which is missing: `longest + 1` values, h(0) the first."
LONG = "The table ends with h(longest); yours has a value too many."
TOTAL = "n · h(1) is what is unknown about all n symbols together; asked for is the last one only."
ZERO = "0 · log 0 counts as 0 in an entropy; yours became NaN."
SEEN = "The first token is predicted too (after a begin token), and nothing is known about it."
RATE = "Only the first token is predicted without context; the others have seen the one before."
FAR = "Every token has seen the one just before it: h(1) each time, however far the first one is."
ONE_MORE = "One first token and length − 1 others: yours counts one too many."
FIRST = "Here the first token is predicted too: it holds H(π) bits, not h(1)."
SIDES = "You added what each side leaves unknown; two sides leave less than either alone."
NEAREST = "That is what the nearer side alone leaves; both tell, and are `left + right` apart."
JOINT = "The neighbours are `left + right` apart: what they share is in h(left + right)."
NEIGHBOURS = "A masked neighbour is not seen: look for the nearest position that is *not* masked."
EVERY = "You added over all positions; only the masked ones are predicted."
MEAN = "That is the mean of the masked positions; asked for is their sum."
ONE_SIDE = "Only the left side is looked at, as a causal model does; a masked one sees both sides."
EDGE = "At an edge there is only one side to look at (and with everything masked, none)."
UNSORTED = "The masked positions may come in any order, and stay as they are."
SUM = "You added the positions as if each were alone; joint entropy lets each help the next."
ALONE = "Masked tokens are predicted one by one, none knowing another; yours let them know."
CONTEXT = "That is the entropy of the visible tokens; asked for is what the others add to it."
WHOLE = "That is the whole example; the visible tokens are given and bring nothing new."
GAPS = "Between visible neighbours with a gap of g stands h(g); yours takes h(1) for every gap."
NO_FIRST = "With nothing visible there is no first visible token: nothing is to be subtracted."
PER_MASKED = "Those are bits per *masked* token; a share `rate` of all tokens is masked."
CLEAR = "You take both neighbours as always visible; at this rate they may be masked too."
VISIBLE = "A neighbour is visible with probability 1 − rate; yours swaps `rate` and 1 − rate."
POWER = "P(A = 1) is 1 − rate: the exponent of `rate` is a − 1, not a."

CHAIN = np.array([[0.9, 0.1], [0.4, 0.6]])
ZEROS = np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.25, 0.25, 0.5]])


def settled(p: np.ndarray) -> np.ndarray:
    """The stationary distribution of a chain, by least squares."""
    system = np.vstack([p.T - np.eye(len(p)), np.ones(len(p))])
    return np.linalg.lstsq(system, np.append(np.zeros(len(p)), 1.0), rcond=None)[0]


def bits(p: np.ndarray) -> np.ndarray:
    """Entropy of each row, in bits."""
    return -(p * logs(p)).sum(-1)


def logs(p: np.ndarray) -> np.ndarray:
    """Logarithms to base 2; 0 where p is 0."""
    return np.log2(np.where(p > 0, p, 1))


def powers(p: np.ndarray, pi: np.ndarray, longest: int) -> np.ndarray:
    """h(0) … h(longest) of a chain."""
    power, values = np.eye(len(p)), []
    for _ in range(longest + 1):
        values.append(float(pi @ bits(power)))
        power = power @ p
    return np.array(values)


def two(h: np.ndarray, left: int, right: int) -> float:
    """What a left and a right neighbour leave unknown."""
    return float(h[left] + h[right] - h[left + right])


def alone(h: np.ndarray, unigram: float, length: int, at: int, masked: Sequence[int]) -> float:
    """What the nearest positions outside `masked` leave unknown about position `at`."""
    left = next((at - j for j in range(at - 1, -1, -1) if j not in masked), None)
    right = next((j - at for j in range(at + 1, length) if j not in masked), None)
    if left and right:
        return two(h, left, right)
    return float(h[left or right]) if left or right else unigram


def whole(h: np.ndarray, unigram: float, length: int) -> float:
    """Entropy of an example."""
    return float(unigram + (length - 1) * h[1])


def visible(h: np.ndarray, unigram: float, length: int, masked: Sequence[int]) -> float:
    """Entropy of the tokens that are seen."""
    seen = [t for t in range(length) if t not in masked]
    return float(unigram + sum(h[b - a] for a, b in pairwise(seen))) if seen else 0.0


def per_masked(h: np.ndarray, rate: float) -> float:
    """E[h(A) + h(B) - h(A + B)], A and B geometric: how far the nearest visible tokens are."""
    far = np.arange(1, (len(h) - 1) // 2 + 1)
    p = (1 - rate) * rate ** (far - 1)
    values = h[far][:, None] + h[far][None] - h[far[:, None] + far[None]]
    return float(p @ values @ p)


def stationary_case(p: np.ndarray, pi: np.ndarray) -> dict:
    """A case of `stationary`."""
    mistakes = [(UNIFORM, np.full(len(p), 1 / len(p))), (COLUMNS, p.mean(0))]
    return case(p, expected=pi, mistakes=mistakes)


def remaining_case(p: np.ndarray, pi: np.ndarray, longest: int) -> dict:
    """A case of `remaining_bits`."""
    want, steps = powers(p, pi, longest), np.arange(longest + 1)
    matrices = [np.linalg.matrix_power(p, n) for n in steps]
    with np.errstate(all="ignore"):
        elements = np.array([float(pi @ bits(p**n)) for n in steps])
        careless = np.array([-float(pi @ (q * np.log2(q)).sum(-1)) for q in matrices])
    mistakes = [
        (NATS, want * np.log(2)),
        (TOTAL, steps * want[1]),
        (EQUAL, np.array([float(bits(power).mean()) for power in matrices])),
        (ELEMENTS, elements),
        (ZERO, careless),
        (WHERE_TO, np.array([-float((pi * q * logs(q)).sum()) for q in matrices])),
        (LATE, want[1:]),
        (SHORT, want[:-1]),
        (LONG, powers(p, pi, longest + 1)),
    ]
    return case(p, pi, longest, expected=want, mistakes=mistakes)


def clm_case(h: np.ndarray, unigram: float, length: int) -> dict:
    """A case of `clm_bits`."""
    want = whole(h, unigram, length)
    mistakes = [
        (SEEN, (length - 1) * float(h[1])),
        (FIRST, length * float(h[1])),
        (RATE, length * unigram),
        (FAR, unigram + float(h[1:length].sum())),
        (ONE_MORE, unigram + length * float(h[1])),
        (NATS, want * float(np.log(2))),
    ]
    return case(h, unigram, length, expected=want, mistakes=mistakes)


def two_sided_case(h: np.ndarray, unigram: float, left: int, right: int) -> dict:
    """A case of `two_sided_bits`."""
    mistakes = [
        (SIDES, float(h[left] + h[right])),
        (NEAREST, float(min(h[left], h[right]))),
        (JOINT, float(h[left] + h[right] - unigram)),
    ]
    return case(h, left, right, expected=two(h, left, right), mistakes=mistakes)


def mlm_case(h: np.ndarray, unigram: float, length: int, masked: list[int]) -> dict:
    """A case of `mlm_bits`."""
    parts = [alone(h, unigram, length, t, masked) for t in masked]
    mistakes = [
        (NEIGHBOURS, sum(alone(h, unigram, length, t, [t]) for t in masked)),
        (ALONE, whole(h, unigram, length) - visible(h, unigram, length, masked)),
        (MEAN, float(np.mean(parts)) if parts else 0.0),
        (EVERY, sum(alone(h, unigram, length, t, masked) for t in range(length))),
        (ONE_SIDE, sum(alone(h, unigram, t + 1, t, masked) for t in masked)),
        (EDGE, sum(alone(h, unigram, length, t, masked) for t in between(length, masked))),
    ]
    if len(masked) < length:
        mistakes.append((EDGE, beyond_edges(h, length, masked)))
    return case(h, unigram, length, masked, expected=float(sum(parts)), mistakes=mistakes)


def between(length: int, masked: Sequence[int]) -> list[int]:
    """The masked positions that have a visible one on both sides."""
    seen = [t for t in range(length) if t not in masked]
    return [t for t in masked if seen and seen[0] < t < seen[-1]]


def beyond_edges(h: np.ndarray, length: int, masked: Sequence[int]) -> float:
    """`mlm_bits` if there were a visible token before the first position and after the last."""
    around = [t + 1 for t in masked]
    return sum(alone(h, 0.0, length + 2, t, around) for t in around)


def joint_case(h: np.ndarray, unigram: float, length: int, masked: list[int]) -> dict:
    """A case of `joint_bits`."""
    seen, everything = visible(h, unigram, length, masked), whole(h, unigram, length)
    mistakes = [
        (SUM, sum(alone(h, unigram, length, t, masked) for t in masked)),
        (CONTEXT, seen),
        (WHOLE, everything),
        (GAPS, len(masked) * float(h[1])),
        (NO_FIRST, everything - (seen or unigram)),
    ]
    return case(h, unigram, length, masked, expected=everything - seen, mistakes=mistakes)


def per_token_case(h: np.ndarray, rate: float) -> dict:
    """A case of `mlm_bits_per_token`."""
    mistakes = [
        (PER_MASKED, per_masked(h, rate)),
        (CLEAR, rate * two(h, 1, 1)),
        (VISIBLE, rate * per_masked(h, 1 - rate)),
        (POWER, rate**3 * per_masked(h, rate)),
    ]
    return case(h, rate, expected=rate * per_masked(h, rate), mistakes=mistakes)


def public() -> dict[str, list[dict]]:
    """Two chains, the second with zeros; lone masks, neighbours, edges, everything masked.

    In the last part h(n) = 1 - 0.5^n, where the sum has a closed form, and a slower chain.
    """
    pi = settled(CHAIN)
    h, unigram = powers(CHAIN, pi, 6), float(bits(pi))
    steps = np.arange(160)
    fast, slow = 1 - 0.5**steps, 1 - 0.9**steps
    masks: list[list[int]] = [[2], [1, 4], [2, 3], [0, 1], [0, 1, 2, 3, 4, 5]]
    unsorted = {**mlm_case(h, unigram, 6, [4, 1]), "otherwise": UNSORTED}
    return {
        "T4.1": [stationary_case(p, settled(p)) for p in (CHAIN, ZEROS)],
        "T4.2": [remaining_case(CHAIN, pi, 3), remaining_case(ZEROS, settled(ZEROS), 2)],
        "T4.3": [clm_case(h, unigram, length) for length in (6, 10, 1)],
        "T4.4": [two_sided_case(h, unigram, *sides) for sides in ((1, 1), (1, 3), (2, 2))],
        "T4.5": [*(mlm_case(h, unigram, 6, masked) for masked in masks), unsorted],
        "T4.6": [joint_case(h, unigram, 6, masked) for masked in masks],
        "T4.7": [per_token_case(h, rate) for h, rate in ((fast, 0.15), (fast, 0.5), (slow, 0.7))],
    }

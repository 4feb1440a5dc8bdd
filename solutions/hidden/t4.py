"""Hidden cases of T4: chains, lengths, masks and rates drawn when it is graded."""

import numpy as np

from course_tools.grading.cases import Hidden
from course_tools.grading.references.t4 import (
    bits,
    clm_case,
    joint_case,
    mlm_case,
    per_token_case,
    powers,
    remaining_case,
    settled,
    stationary_case,
    two_sided_case,
)
from course_utils.grading.items.t4 import ITEM

HIDDEN = Hidden(ITEM)


def chain(rng):
    """A random transition matrix, three to seven symbols."""
    size = int(rng.integers(3, 8))
    return rng.dirichlet(np.full(size, 0.5), size) * 0.98 + 0.02 / size


def ring(rng):
    """A chain with zeros, irreducible and aperiodic: a symbol stays, or goes on to the next."""
    stay = rng.uniform(0.1, 0.9, int(rng.integers(3, 8)))
    return np.diag(stay) + np.roll(np.diag(1 - stay), 1, axis=1)


def table(rng, longest=40):
    """h(0) … h(longest) and H(π) of a random chain."""
    p = chain(rng)
    pi = settled(p)
    return powers(p, pi, longest), float(bits(pi))


def masks(rng):
    """Lengths and masks of every size, in any order; none and all among them."""
    for case in range(8):
        length = int(rng.integers(8, 30))
        count = [0, length, 1, length - 1][case] if case < 4 else int(rng.integers(2, length))
        yield length, [int(t) for t in rng.permutation(length)[:count]]


@HIDDEN.part("T4.1")
def stationary(rng):
    """Random chains."""
    for _ in range(3):
        p = chain(rng)
        yield stationary_case(p, settled(p))


@HIDDEN.part("T4.2")
def remaining_bits(rng):
    """Random chains, the last with zeros."""
    for make in (chain, chain, ring):
        p = make(rng)
        yield remaining_case(p, settled(p), int(rng.integers(4, 9)))


@HIDDEN.part("T4.3")
def clm_bits(rng):
    """Random chains and lengths."""
    for _ in range(3):
        yield clm_case(*table(rng), int(rng.integers(2, 900)))


@HIDDEN.part("T4.4")
def two_sided_bits(rng):
    """Random chains and distances."""
    for _ in range(4):
        yield two_sided_case(*table(rng), *map(int, rng.integers(1, 20, size=2)))


@HIDDEN.part("T4.5")
def mlm_bits(rng):
    """Random masks."""
    for length, masked in masks(rng):
        yield mlm_case(*table(rng), length, masked)


@HIDDEN.part("T4.6")
def joint_bits(rng):
    """Random masks."""
    for length, masked in masks(rng):
        yield joint_case(*table(rng), length, masked)


@HIDDEN.part("T4.7")
def mlm_bits_per_token(rng):
    """A fixed chain at a rate that needs far terms as well; then random chains and lower rates."""
    yield per_token_case(table(np.random.default_rng(0), 600)[0], 0.8)
    for _ in range(2):
        yield per_token_case(table(rng, 600)[0], float(rng.uniform(0.1, 0.7)))

"""T4: how many bits masked and causal language modeling take from an example."""

import numpy as np

from course_utils.grading.item import Item, Student, Wrong, array, as_array, compare, require

ITEM = Item("T4", "How many bits does an example give?", "T4_bits_per_example")
BAN = ["course_utils.data.known_entropy:MarkovSource"]

UNIFORM = (
    "All symbols are equally likely in yours: solve π P = π, not P π = π (mind the transpose)."
)
COLUMNS = (
    "The mean of the rows is where a uniform start stands after one step, not where it settles."
)
SCALE = "The proportions are right, but probabilities sum to 1."
NATS = "Those are nats: bits use the logarithm to base 2."
EQUAL = "You weigh the rows of Pⁿ equally; each counts as often as its symbol occurs: by π."
ELEMENTS = "`P ** n` raises every entry of an array by itself; n steps are the matrix power."
LATE = "The table begins with h(0), where the symbol itself is seen: `longest + 1` values."
TOTAL = "n · h(1) is what is unknown about all n symbols together; asked for is the last one only."
ZERO = "0 · log 0 counts as 0 in an entropy; yours became NaN."
SEEN = "The first token is predicted too (after a begin token), and nothing is known about it."
RATE = "Only the first token is predicted without context; the others have seen the one before."
FIRST = "Here the first token is predicted too: it holds H(π) bits, not h(1)."
SIDES = "You added what each side leaves unknown; two sides leave less than either alone."
NEAREST = "The nearer side alone decides in yours; the farther one tells something as well."
JOINT = (
    "The two neighbours are `left + right` apart: what they know of each other is h(left + right)."
)
NEIGHBOURS = "A masked neighbour is not seen: look for the nearest position that is *not* masked."
EVERY = "You added over all positions; only the masked ones are predicted."
MEAN = "That is the mean of the masked positions; asked for is their sum."
EDGE = "At an edge there is only one side to look at (and with everything masked, none)."
SUM = "You added the positions as if each were alone; joint entropy lets each help the next."
ALONE = (
    "Masked tokens are predicted one by one, none knowing another's answer; yours let them know."
)
CONTEXT = "That is the entropy of the visible tokens; asked for is what the others add to it."
WHOLE = "That is the whole example; the visible tokens are given and bring nothing new."
PER_MASKED = "Those are bits per *masked* token; a share `rate` of all tokens is masked."
CLEAR = "You take both neighbours as always visible; at this rate they may be masked too."
VISIBLE = "A neighbour is visible with probability 1 − rate; yours swaps `rate` and 1 − rate."

CHAIN = [[0.9, 0.1], [0.4, 0.6]]
ZEROS = [[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.25, 0.25, 0.5]]
# of CHAIN: h(0) … h(6) and H(π), in bits
H = [0.0, 0.5693870, 0.6820618, 0.7114713, 0.7192249, 0.7212390, 0.7217544]
UNIGRAM = 0.7219281


def scaled(got: object, want: object) -> None:
    """Raise the hint SCALE if probabilities are right but for a factor."""
    values = array(got, "stationary(P)", np.shape(want))
    if abs(values.sum()) > 1e-9 and not np.isclose(values.sum(), 1):
        require(not np.allclose(values / values.sum(), want, rtol=1e-4), SCALE)


@ITEM.part("T4.1", "How often each symbol occurs", 1, ["stationary"])
def stationary(student: Student) -> None:
    """Check two chains, the second with zeros."""
    for chain, want in ((CHAIN, [0.8, 0.2]), (ZEROS, [3 / 11, 4 / 11, 4 / 11])):
        got = student.call("stationary", np.array(chain), ban=BAN)
        scaled(got, want)
        size = len(want)
        mistakes = {UNIFORM: [1 / size] * size, COLUMNS: np.mean(chain, 0)}
        compare(got, np.array(want), mistakes, what="stationary(P)", atol=1e-6)


@ITEM.part("T4.2", "What n steps leave unknown", 2, ["remaining_bits"])
def remaining_bits(student: Student) -> None:
    """Check three steps, then a chain with zeros."""
    got = student.call("remaining_bits", np.array(CHAIN), np.array([0.8, 0.2]), 3, ban=BAN)
    check_table(got, np.array(H[:4]), "remaining_bits(P, pi, 3)", {
        EQUAL: [0, 0.7199731, 0.7903954, 0.7751534],
        ELEMENTS: [0, 0.5693866, 0.4408733, 0.4201900],
    })  # fmt: skip
    pi = np.array([3 / 11, 4 / 11, 4 / 11])
    got = student.call("remaining_bits", np.array(ZEROS), pi, 2, ban=BAN)
    check_table(got, np.array([0, 0.9090909, 1.3127538]), "remaining_bits of a chain with zeros")


def check_table(got: object, want: np.ndarray, what: str, more: dict | None = None) -> None:
    """Compare a table of h(n), bits, with the mistakes that any chain shows."""
    numbers = as_array(got)
    if numbers is not None and numbers.size == len(want) - 1:
        compare(got, want[1:], what=what)
        raise Wrong(LATE)
    if isinstance(got, np.ndarray) and got.dtype.kind == "f":
        require(not np.isnan(got).any(), ZERO)
    steps = np.arange(len(want))
    mistakes = {NATS: want * np.log(2), TOTAL: steps * want[1], **(more or {})}
    compare(got, want, mistakes, what=what, rtol=1e-4, atol=1e-6)


@ITEM.part("T4.3", "Bits that a causal model takes", 1, ["clm_bits"])
def clm_bits(student: Student) -> None:
    """Check ten tokens, and one."""
    got = student.call("clm_bits", np.array(H), UNIGRAM, 10)
    mistakes = {
        SEEN: 9 * H[1],
        FIRST: 10 * H[1],
        RATE: 10 * UNIGRAM,
        NATS: (UNIGRAM + 9 * H[1]) * np.log(2),
    }
    compare(got, UNIGRAM + 9 * H[1], mistakes, what="clm_bits(h, unigram, 10)")
    got = student.call("clm_bits", np.array(H), UNIGRAM, 1)
    compare(got, UNIGRAM, {SEEN: 0, FIRST: H[1]}, what="clm_bits(h, unigram, 1)")


@ITEM.part("T4.4", "One hole, both sides", 2, ["two_sided_bits"])
def two_sided_bits(student: Student) -> None:
    """Check near and far neighbours."""
    for left, right, want in ((1, 1, 0.4567122), (1, 3, 0.5616334), (2, 2, 0.6448987)):
        mistakes = {
            SIDES: H[left] + H[right],
            NEAREST: min(H[left], H[right]),
            JOINT: H[left] + H[right] - UNIGRAM,
        }
        got = student.call("two_sided_bits", np.array(H), left, right)
        compare(got, want, mistakes, what=f"two_sided_bits(h, {left}, {right})", atol=1e-6)


@ITEM.part("T4.5", "Bits that a masked model is asked for", 3, ["mlm_bits"])
def mlm_bits(student: Student) -> None:
    """Check a lone mask, neighbours, an edge, and everything masked."""
    for masked, want, mistakes in (
        ([2], 0.4567122, {EVERY: 3.1321534, NEAREST: 0.5693870}),
        ([1, 4], 0.9134244, {MEAN: 0.4567122}),
        ([2, 3], 1.0799550, {NEIGHBOURS: 0.9134244, ALONE: 0.9966897, MEAN: 0.5399775}),
        ([0, 1], 1.2514488, {NEIGHBOURS: 1.0260992, EDGE: 1.0799549, ALONE: 1.1387740}),
        ([0, 1, 2, 3, 4, 5], 4.3315686, {EDGE: 0, ALONE: 3.5688631, MEAN: 0.7219281}),
    ):
        got = student.call("mlm_bits", np.array(H), UNIGRAM, 6, masked)
        what = f"mlm_bits(h, unigram, 6, {masked})"
        compare(got, want, mistakes, what=what, rtol=1e-4, atol=1e-6)


@ITEM.part("T4.6", "Bits that are really there", 2, ["joint_bits"])
def joint_bits(student: Student) -> None:
    """Check the same masks."""
    for masked, want, mistakes in (
        ([2], 0.4567122, {WHOLE: 3.5688631, CONTEXT: 3.1121509}),
        ([2, 3], 0.9966898, {SUM: 1.0799550, WHOLE: 3.5688631, CONTEXT: 2.5721734}),
        ([0, 1], 1.1387740, {SUM: 1.2514488, WHOLE: 3.5688631, CONTEXT: 2.4300891}),
        ([0, 1, 2, 3, 4, 5], 3.5688631, {SUM: 4.3315686, CONTEXT: 0}),
    ):
        got = student.call("joint_bits", np.array(H), UNIGRAM, 6, masked)
        what = f"joint_bits(h, unigram, 6, {masked})"
        compare(got, want, mistakes, what=what, rtol=1e-4, atol=1e-6)


@ITEM.part("T4.7", "A long text at a masking rate", 2, ["mlm_bits_per_token"])
def mlm_bits_per_token(student: Student) -> None:
    """Check a made-up table, h(n) = 1 − 0.5ⁿ: there the sum has a closed form."""
    table = 1 - 0.5 ** np.arange(400)
    for rate, bits, swapped in ((0.15, 0.2921841, 0.7561437), (0.5, 0.4444444, 0.4444444)):
        mistakes = {
            PER_MASKED: bits,
            CLEAR: rate * 0.25,
            VISIBLE: rate * swapped,
        }
        got = student.call("mlm_bits_per_token", table, rate)
        what = f"mlm_bits_per_token(h, {rate})"
        compare(got, rate * bits, mistakes, what=what, rtol=1e-4)


ITEM.text(
    "T4.8",
    "What the bits mean",
    2,
    "answer_T4",
    """1 point: a causal model is asked for every bit of the example exactly once (chain rule), a
    masked one at 15% only for a fraction of them, so it needs several passes; what its loss adds
    up at high rates counts shared information more than once and is no gain.
    1 point: bits of target are not usefulness of what is learned: each masked bit is conditioned
    on both sides, which is what an encoder is used for; or another sound reason (the source is a
    chain of order 1, real text is not; an ideal model, not one that is learning).""",
)

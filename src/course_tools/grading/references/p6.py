"""P6: masked, causal and span-corrupted examples, and what mistakes make of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from course_tools.grading.cases import case, piece
from course_tools.grading.references.common import single

IGNORED = -100
BERT = (0.8, 0.1)  # of the chosen tokens, those that become [MASK] and those that become random

SPECIAL = "Special tokens are chosen, too; leave those of `special_ids` alone."
UNCHANGED = "A chosen token that stays as it is has a label, too: the model must not know which."
EVERYWHERE = "Tokens that were not chosen have the label -100: nothing is predicted there."
ZERO = "Where nothing is predicted the label is -100; 0 is the id of a token."
ONLY_MASKED = "Every chosen token has a label, also one that became random or stays as it is."
SWAPPED = "The order is (inputs, labels): yours is the other way round."
FIXED = "The shares are an argument of the function; yours are always 80% and 10%."
CORRUPTED = "The labels are the tokens as they were, not what stands there now."
FEW_RANDOM = "Of the chosen, those with `v` from the first share up to the sum of both are random."
ALL_MASKED = "All chosen tokens become [MASK]: what do the two shares say?"
NONE_STAYS = "Chosen tokens beyond both shares stay as they are; in yours none does."
OTHERS = "The tokens that were chosen stay, and the others are masked."
ALL_TOKENS = "The shares are of the *chosen* tokens; others stay as they are."

STRICT = "A token may read itself: the diagonal is True."
TRANSPOSED = "Rows are the tokens that read, columns those that are read: yours is transposed."
INVERTED = "True means: may be read. Yours says where nothing may be read."
NUMBERS = "The mask is made of True and False."
ALL_SEEN = "Every token reads every other one in yours: nothing is hidden from it."

UNSCALED = "The scores are divided by the square root of the width of a query."
BY_WIDTH = "The scores are divided by the square root of the width, not by the width itself."
BY_KEYS = "The width in the formula is the last axis of `q`, not the number of keys."
ALL_WIDTH = "The width in the formula is that of one head: the last axis of `q`."
AFTER = "Forbidden scores go before the softmax: after it, the weights no longer sum to 1."
AS_ZERO = "A forbidden score is −∞; a score of 0 has the weight of exp(0)."
QUERIES = "The softmax goes over the keys, the last axis of the scores."
UNMASKED = "The mask is not applied."
OPPOSITE = "`allowed` is True where a key may be read; you forbid these."

UPWARDS = "Sentinels descend: the first is `first_sentinel`, the second one less."
ONE_SENTINEL = "Each span has a sentinel of its own."
NO_SENTINEL = "In the target, each span follows its sentinel."
DROPPED = "In the source, a sentinel stands where a span was."
NO_END = "Source and target end with `end_id`."
WHOLE = "The target is what was taken out, with its sentinels; not the whole text."
ONE_EACH = "One sentinel replaces a whole span, however long it is."
REST = "What stands behind the last span belongs to the source, too."
ONE_MORE = "The target ends with its last span: no further sentinel comes before the end id."
INCLUSIVE = "A span holds `length` tokens, from `start` on."

TOTAL = "That is the loss of the whole span; divide by its number of symbols."
LEFT_ONLY = "That is the loss of a causal model; the symbol after the span is seen as well."
BY_STEPS = "Divide by the k symbols of the span, not by k + 1."
FIRST_TERM = "The symbol after the span is a prediction, too: the first term is (k + 1) h(1)."
APART = "Written one after the other, each symbol is known when the next one is predicted."
NO_SPAN = "h(k) is k steps; between the symbols on both sides of a span there are k + 1."


def masked(
    ids: Tensor, u: Tensor, v: Tensor, random_ids: Tensor, rate: float,
    shares: Sequence[float], mask_id: int, special: Sequence[int],
) -> list[np.ndarray]:  # fmt: skip
    """Inputs and labels of masked language modelling, (batch, length) each."""
    chosen = (u < rate) & ~torch.isin(ids, torch.tensor(special, dtype=ids.dtype))
    inputs = ids.masked_fill(chosen & (v < shares[0]), mask_id)
    swapped = chosen & (v >= shares[0]) & (v < sum(shares))
    return [torch.where(swapped, random_ids, inputs).numpy(),
            ids.masked_fill(~chosen, IGNORED).numpy()]  # fmt: skip


def masking_case(
    ids: np.ndarray,
    draws: Sequence[np.ndarray],
    rate: float,
    shares: Sequence[float],
    special: Sequence[int],
    group: str = "",
) -> dict:
    """A case of `mask_tokens`; `draws`: two tables of numbers in [0, 1), and random ids."""
    x, (u, v, w), mask_id = torch.tensor(ids), map(torch.tensor, draws), 3
    inputs, labels = masked(x, u, v, w, rate, shares, mask_id, special)
    all_chosen = masked(x, u, v, w, rate, shares, mask_id, [])
    no_random = masked(x, u, v, w, rate, (shares[0], 0.0), mask_id, special)[0]
    chosen = labels != IGNORED
    complement = masked(x, 1 - u, v, w, 1 - rate, shares, mask_id, special)
    of_inputs = [
        (SPECIAL, all_chosen[0]),
        (ALL_MASKED, np.where(chosen, mask_id, ids)),
        (NONE_STAYS, np.where(chosen & (v.numpy() >= sum(shares)), mask_id, inputs)),
        (FEW_RANDOM, masked(x, u, v, w, rate, (shares[0], 1 - shares[0]), mask_id, special)[0]),
        (FEW_RANDOM, no_random),
        (FEW_RANDOM, np.where(chosen & (v.numpy() < shares[1]), draws[2], no_random)),
        (OTHERS, complement[0]),
        (ALL_TOKENS, masked(x, u * 0, v, w, 1.0, shares, mask_id, special)[0]),
        (ALL_TOKENS, masked(x, u * 0, v, w, 1.0, shares, mask_id, [])[0]),
        (SWAPPED, labels),
        (FIXED, masked(x, u, v, w, rate, BERT, mask_id, special)[0]),
    ]
    of_labels = [
        (SPECIAL, all_chosen[1]),
        (EVERYWHERE, ids),
        (ZERO, np.where(chosen, ids, 0)),
        (CORRUPTED, np.where(chosen, inputs, IGNORED)),
        (UNCHANGED, np.where(inputs != ids, ids, IGNORED)),
        (OTHERS, complement[1]),
        (ONLY_MASKED, np.where(chosen & (inputs == mask_id), ids, IGNORED)),
    ]
    pieces = [
        piece("The table of inputs", inputs, of_inputs),
        piece("The table of labels", labels, of_labels),
    ]
    args = (x, u, v, w, rate, list(shares), mask_id, list(special))
    return case(*args, expected=pieces, group=group)


def causal_case(length: int) -> dict:
    """A case of `causal_mask`."""
    want = np.tril(np.ones((length, length), bool))
    mistakes = [
        (STRICT, np.tril(want, -1)),
        (TRANSPOSED, want.T),
        (INVERTED, ~want),
        (NUMBERS, want.astype(float)),
        (NUMBERS, np.where(want, 0.0, -np.inf)),
        (ALL_SEEN, np.ones_like(want)),
    ]
    return case(length, expected=want, mistakes=mistakes)


def attention_case(q: np.ndarray, k: np.ndarray, v: np.ndarray, allowed: np.ndarray) -> dict:
    """A case of `attention`: (batch, heads, queries or keys, width) each."""
    width, heads = q.shape[-1], q.shape[1]
    q, k, v = (np.asarray(single(x), np.float64) for x in (q, k, v))
    raw = q @ k.swapaxes(-1, -2)

    def mixed(scores: np.ndarray, axis: int = -1) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            weights = np.exp(scores - scores.max(axis, keepdims=True))
            return weights / weights.sum(axis, keepdims=True)

    scaled = raw / math.sqrt(width)
    bare = np.where(allowed, scaled, -np.inf)
    mistakes = [
        (UNMASKED, mixed(scaled) @ v),
        (UNSCALED, mixed(np.where(allowed, raw, -np.inf)) @ v),
        (BY_WIDTH, mixed(np.where(allowed, raw / width, -np.inf)) @ v),
        (ALL_WIDTH, mixed(np.where(allowed, raw / math.sqrt(width * heads), -np.inf)) @ v),
        (BY_KEYS, mixed(np.where(allowed, raw / math.sqrt(k.shape[-2]), -np.inf)) @ v),
        (AFTER, (mixed(scaled) * allowed) @ v),
        (AS_ZERO, mixed(np.where(allowed, scaled, 0.0)) @ v),
        (AS_ZERO, mixed(scaled * allowed) @ v),
    ]
    if not allowed.all():
        opposite = mixed(np.where(allowed, -np.inf, scaled))
        mistakes += [(OPPOSITE, opposite @ v), (OPPOSITE, np.nan_to_num(opposite) @ v)]
    if q.shape == k.shape:
        mistakes.append((QUERIES, mixed(bare, axis=-2) @ v))
    args = (*map(single, (q, k, v)), torch.tensor(allowed))
    return case(*args, expected=mixed(bare) @ v, mistakes=mistakes)


def spans(
    ids: Sequence[int], starts: Sequence[int], lengths: Sequence[int], sentinels: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Source and target without their end; a sentinel for each span."""
    source, target, at = [], [], 0
    for start, length, sentinel in zip(starts, lengths, sentinels, strict=True):
        source += [*ids[at:start], sentinel]
        target += [sentinel, *ids[start : start + length]]
        at = start + length
    return [*source, *ids[at:]], target


def span_case(
    ids: Sequence[int], starts: Sequence[int], lengths: Sequence[int], group: str = ""
) -> dict:
    """A case of `corrupt_spans`; the first sentinel is 99, the end id 1."""
    first, end, count = 99, 1, len(starts)
    numbers = range(count)
    source, target = spans(ids, starts, lengths, [first - n for n in numbers])
    upwards = spans(ids, starts, lengths, [first + n for n in numbers])
    same = spans(ids, starts, lengths, [first] * count)
    longer = spans(ids, starts, [n + 1 for n in lengths], [first - n for n in numbers])
    taken = {at for s, n in zip(starts, lengths, strict=True) for at in range(s, s + n)}
    of_token: dict[int, int] = {}
    for number, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        of_token |= dict.fromkeys(range(start, start + length), first - number)
    kept = [token for at, token in enumerate(ids) if at not in taken]
    masked_each = [of_token.get(at, token) for at, token in enumerate(ids)]
    closed = [*source, end], [*target, end]
    until = starts[-1] + lengths[-1] if starts else 0
    mistakes = [
        (UPWARDS, [[*upwards[0], end], [*upwards[1], end]]),
        (ONE_SENTINEL, [[*same[0], end], [*same[1], end]]),
        (NO_SENTINEL, [closed[0], [*(ids[at] for at in sorted(taken)), end]]),
        (DROPPED, [[*kept, end], closed[1]]),
        (NO_END, [source, target]),
        (NO_END, [source, closed[1]]),
        (NO_END, [closed[0], target]),
        (WHOLE, [closed[0], [*ids, end]]),
        (ONE_EACH, [[*masked_each, end], closed[1]]),
        (REST, [[*source[: len(source) - len(ids) + until], end], closed[1]]),
        (ONE_MORE, [closed[0], [*target, first - count, end]]),
        (INCLUSIVE, [[*longer[0], end], [*longer[1], end]]),
    ]
    args = (list(ids), list(starts), list(lengths), first, end)
    return case(*args, expected=[list(part) for part in closed], mistakes=mistakes, group=group)


def bound_case(h: np.ndarray, length: int) -> dict:
    """A case of `span_bound`."""
    whole = (length + 1) * h[1] - h[length + 1]
    each = [h[a] + h[length + 1 - a] - h[length + 1] for a in range(1, length + 1)]
    mistakes = [
        (TOTAL, whole),
        (LEFT_ONLY, h[1]),
        (APART, float(np.mean(each))),
        (BY_STEPS, whole / (length + 1)),
        (FIRST_TERM, (length * h[1] - h[length + 1]) / length),
        (NO_SPAN, (length * h[1] - h[length]) / length),
        (NO_SPAN, ((length + 1) * h[1] - h[length]) / length),
    ]
    return case(h, length, expected=whole / length, mistakes=mistakes)


def table_of(transition: np.ndarray, longest: int) -> np.ndarray:
    """h(0) … h(longest) of a chain, in nats."""
    power, found = np.eye(len(transition)), []
    pi = np.linalg.matrix_power(transition, 4096)[0]
    for _ in range(longest + 1):
        found.append(-(pi @ (power * np.log(np.where(power > 0, power, 1))).sum(1)))
        power = power @ transition
    return np.array(found)


def draws_for(rng: np.random.Generator, shape: tuple[int, int]) -> list[np.ndarray]:
    """What chance decides of a batch: two tables in [0, 1), and ids from 5 to 29."""
    return [rng.random(shape), rng.random(shape), rng.integers(5, 30, size=shape)]


def draws_on_the_border(shape: tuple[int, int]) -> list[np.ndarray]:
    """Draws that are often exactly 0.25, 0.5 or 0.75, which binary numbers hold without error."""
    steps = np.arange(shape[0] * shape[1]).reshape(shape)
    return [steps % 4 / 4, steps // 4 % 4 / 4, 5 + steps % 25]


def text_ids(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Rows between two special tokens, 1 and 2, of ids from 5 to 29."""
    ids = rng.integers(5, 30, size=shape)
    ids[:, 0], ids[:, -1] = 1, 2
    return ids


def public() -> dict[str, list[dict]]:
    """Batches, masks and spans of a few tokens."""
    rng, shape = np.random.default_rng(0), (3, 9)
    ids = text_ids(rng, shape)
    q, k, v = rng.normal(size=(3, 2, 2, 4, 3)) * 1.5
    chain = table_of(np.array([[0.9, 0.1], [0.4, 0.6]]), 8)
    text = list(range(10, 22))
    return {
        "P6.1": [
            masking_case(ids, draws_for(rng, shape), 0.5, BERT, [1, 2]),
            masking_case(ids, draws_for(rng, shape), 0.4, (1.0, 0.0), [1, 2]),
            masking_case(
                ids, draws_on_the_border(shape), 0.5, (0.5, 0.25), [1, 2], "numbers on a border"
            ),
            masking_case(ids, draws_for(rng, shape), 0.0, BERT, [1, 2], "nothing is chosen"),
        ],
        "P6.2": [causal_case(3), causal_case(1)],
        "P6.3": [
            attention_case(q, k, v, np.tril(np.ones((4, 4), bool))),
            attention_case(q[:, :, :3], k, v, np.ones((3, 4), bool)),
        ],
        "P6.4": [
            span_case(text, [3, 8], [2, 1]),
            span_case(text, [0, 10], [1, 2], "a span at an end"),
        ],
        "P6.5": [bound_case(chain, 3), bound_case(chain, 1)],
    }

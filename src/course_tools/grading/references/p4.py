"""P4: right sizes, costs, curves and frontiers, and mistaken ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from course_tools.grading.cases import case
from course_utils.grading import tiny
from course_utils.grading.plain import made

TIED = "A matrix that is used twice is counted twice: the head is tied to the token embedding."
TRAINABLE = "Frozen parameters count, too: the model computes with them."
TENSORS = "That is the number of tensors; count their entries."
ALL_SAME = "The token embedding is a table that is looked up: leave it out of the second number."
THE_TABLE = "That is the token embedding itself; asked for is all without it."
OTHER_TABLES = "Only the *token* embedding is left out: positions, segments and norms stay."
BODY_SWAPPED = "The order is (all, without the token embedding)."

SIX_ALL = "Frozen parameters need no gradient: they cost 2 per token, not 6."
SIX_SOME = "The forward pass runs through frozen parameters, too: 2 per token for each of them."
FORWARD = "That is the forward pass alone; training also goes backward."
HALF_BACK = "Backward costs 4 for a trained parameter: 2 for its gradient, 2 to pass it on below."
BACKWARD = "That is the backward pass alone."
PER_TOKEN = "That is for one token; multiply by the number of tokens."

FROM_ZERO = "The first step (number 0) would have a rate of 0 and do nothing: it is peak / warm-up."
NO_WARMUP = "The warm-up is missing: the first steps rise to the peak."
NO_DECAY = "After the warm-up the rate falls, on a straight line that meets 0 after the last step."
FROM_TOP = "The line down begins at the peak, at the end of the warm-up; yours begins at step 0."
NO_PEAK = "The rate is a share of the peak in yours: multiply by it."
EARLY = "The rate is 0 before the end: it meets 0 only *after* the last step."

SAMPLE = "Few seeds: divide the squares by their number minus 1."
ERROR = "That is the standard error of the mean; asked for is the spread of the seeds."
VARIANCE = "That is the variance; take its root."
WRONG_AXIS = "You averaged over the points; average over the seeds, at each point."

NO_LINE = "Between two measured points the curve is a straight line; you take a measured point."
LAST_TIME = "Asked for is where the curve first reaches the target, if only just."
SORTED = "`np.interp` expects a curve that only rises; this one does not."
NEVER = "A curve that never reaches the target needs infinitely many: `math.inf`."
AT_ONCE = "A curve that begins at the target or above it needs what its first point says."

BEST = "The best model is one of them; so is every cheaper one that no other beats at its price."
EQUAL_COSTLY = "One that costs more for the same accuracy is beaten."
EQUAL_BETTER = "Of two at the same cost only the better one stays."
ORDER = "List them from the cheapest to the most expensive."
VALUES = "Return positions in the list (0, 1, …), not costs."

UNPAIRED = "Both answered the same texts: take the spread of the *differences*, text by text."
NO_ROOT = "That is the spread of one difference; the mean of n is surer by the root of n."
POPULATION = "Of n differences divide the squares by n - 1, not by n (`ddof=1`)."
BY_N = "Divide the spread by √n, not by n."
TEXTS = "That is a number of texts; an accuracy is a share of them."
PERCENT_SE = "Take the differences text by text; p(1 - p) is for one model alone."
SIGN = "The difference is the first model's accuracy minus the second's."


def reached(xs: Sequence[float], ys: Sequence[float], target: float) -> float:
    """Where a broken line first reaches the target; infinity if it never does."""
    if ys[0] >= target:
        return float(xs[0])
    for a, b, low, high in zip(xs, xs[1:], ys, ys[1:], strict=False):
        if high >= target:
            return float(a + (target - low) / (high - low) * (b - a))
    return float("inf")


def undominated(cost: Sequence[float], accuracy: Sequence[float]) -> list[int]:
    """Positions that no other beats, from the cheapest."""
    order = sorted(range(len(cost)), key=lambda i: (cost[i], -accuracy[i]))
    kept, best = [], -np.inf
    for i in order:
        if accuracy[i] > best:
            kept.append(i)
            best = accuracy[i]
    return kept


def size_case(kind: str, seed: int) -> dict:
    """A case of `model_size` on a tiny model, whose head may be tied, or some of it frozen."""
    model = getattr(tiny, kind)(seed)
    unique = sum(p.numel() for p in model.parameters())
    some = sum(p.numel() for p in model.parameters() if p.requires_grad)
    table = model.get_input_embeddings().weight.numel()
    doubled = sum(t.numel() for t in model.state_dict().values())
    tensors = len(list(model.parameters()))
    inputs = sum(p.numel() for name, p in model.named_parameters() if "embeddings" in name)
    want = [unique, unique - table]
    mistakes = [
        (TIED, [doubled, doubled - table]),
        (TIED, [unique + table, unique]),
        (TENSORS, [tensors, tensors - 1]),
        (ALL_SAME, [unique, unique]),
        (BODY_SWAPPED, want[::-1]),
        (THE_TABLE, [unique, table]),
        (OTHER_TABLES, [unique, unique - inputs]),
        (TRAINABLE, [some, some]),
        (TRAINABLE, [some, some - table]),
    ]
    given = made(f"course_utils.grading.tiny:{kind}", seed)
    return case(given, expected=want, mistakes=mistakes)


def flops_case(parameters: int, trainable: int, tokens: int) -> dict:
    """A case of `finetuning_flops`."""
    want = tokens * (2.0 * parameters + 4.0 * trainable)
    mistakes = [
        (SIX_ALL, 6.0 * parameters * tokens),
        (SIX_SOME, 6.0 * trainable * tokens),
        (FORWARD, 2.0 * parameters * tokens),
        (BACKWARD, 4.0 * trainable * tokens),
        (HALF_BACK, tokens * (2.0 * parameters + 2.0 * trainable)),
        (PER_TOKEN, want / tokens),
    ]
    return case(parameters, trainable, tokens, expected=want, mistakes=mistakes)


def rate_case(steps: int, warmup: int, peak: float) -> dict:
    """A case of `warmup_rate`, at every step."""
    s = np.arange(steps)
    up, left = (s + 1) / warmup, (steps - s) / (steps - warmup)
    early = (steps - 1 - s) / max(1, steps - 1 - warmup)
    mistakes = [
        (FROM_ZERO, peak * np.where(s < warmup, s / warmup, left)),
        (NO_WARMUP, peak * np.minimum(1, left)),
        (NO_WARMUP, peak * (steps - s) / steps),
        (NO_DECAY, peak * np.minimum(up, 1)),
        (FROM_TOP, peak * np.where(s < warmup, up, (steps - s) / steps)),
        (EARLY, peak * np.where(s < warmup, up, early)),
    ]
    mistakes.append((NO_PEAK, np.minimum(up, left)))
    calls = [[int(step), steps, warmup, peak] for step in s]
    return {**case(expected=peak * np.minimum(up, left), mistakes=mistakes), "calls": calls}


def spread_case(curves: np.ndarray) -> dict:
    """A case of `mean_and_sd`."""
    mean, sd, root = curves.mean(0), curves.std(0, ddof=1), len(curves) ** 0.5
    mistakes = [
        (SAMPLE, np.stack([mean, curves.std(0)])),
        (ERROR, np.stack([mean, sd / root])),
        (ERROR, np.stack([mean, curves.std(0) / root])),
        (VARIANCE, np.stack([mean, sd**2])),
        (WRONG_AXIS, np.stack([curves.mean(1), curves.std(1, ddof=1)])),
        (WRONG_AXIS, np.stack([curves.mean(1), curves.std(1)])),
        (WRONG_AXIS, np.array([curves.mean(), curves.std(ddof=1)])),
        (WRONG_AXIS, np.array([curves.mean(), curves.std()])),
    ]
    return case(curves, expected=np.stack([mean, sd]), mistakes=mistakes)


def reach_case(examples: list[float], accuracy: list[float], target: float) -> dict:
    """A case of `examples_to_reach`; what fails where nothing is crossed has one reason."""
    want = reached(examples, accuracy, target)
    if np.isinf(want) or accuracy[0] >= target:
        hint = NEVER if np.isinf(want) else AT_ONCE
        return case(examples, accuracy, target, expected=want, otherwise=hint)
    xs, ys = np.array(examples), np.array(accuracy)
    last = reached((-xs[::-1]).tolist(), (-ys[::-1]).tolist(), -target)
    mistakes = [
        (NO_LINE, float(xs[ys >= target][0])),
        (LAST_TIME, abs(last)),
        (SORTED, float(np.interp(target, ys, xs))),
    ]
    return case(examples, accuracy, target, expected=want, mistakes=mistakes)


def frontier_case(cost: list[float], accuracy: list[float]) -> dict:
    """A case of `frontier`; costs or accuracies may be equal, not both."""
    want = undominated(cost, accuracy)
    order = sorted(range(len(cost)), key=lambda i: (cost[i], -accuracy[i]))
    best = np.maximum.accumulate([accuracy[i] for i in order])
    worse = sorted(range(len(cost)), key=lambda i: (cost[i], accuracy[i]))
    rising = np.maximum.accumulate([accuracy[i] for i in worse])
    mistakes = [
        (BEST, [int(np.argmax(accuracy))]),
        (EQUAL_COSTLY, [i for i, b in zip(order, best, strict=True) if accuracy[i] == b]),
        (EQUAL_BETTER, [i for i, b in zip(worse, rising, strict=True) if accuracy[i] == b]),
        (ORDER, sorted(want)),
        (ORDER, want[::-1]),
        (VALUES, [cost[i] for i in want]),
    ]
    ties = len(set(cost)) < len(cost) or len(set(accuracy)) < len(accuracy)
    return case(cost, accuracy, expected=want, mistakes=mistakes, group="ties" if ties else "")


def difference_case(first: np.ndarray, second: np.ndarray) -> dict:
    """A case of `paired_difference`."""
    gap, n = first - second, len(first)
    mean, sd = float(gap.mean()), float(gap.std(ddof=1))
    p = abs(mean)
    mistakes = [
        (UNPAIRED, [mean, float((first.var(ddof=1) + second.var(ddof=1)) / n) ** 0.5]),
        (UNPAIRED, [mean, float((first.var() + second.var()) / n) ** 0.5]),
        (NO_ROOT, [mean, sd]),
        (POPULATION, [mean, float(gap.std()) / n**0.5]),
        (PERCENT_SE, [mean, (p * (1 - p) / n) ** 0.5]),
        (BY_N, [mean, sd / n]),
        (TEXTS, [mean * n, sd / n**0.5]),
        (TEXTS, [mean * n, sd * n**0.5]),
        (SIGN, [-mean, sd / n**0.5]),
    ]
    return case(first, second, expected=[mean, sd / n**0.5], mistakes=mistakes)


def public() -> dict[str, list[dict]]:
    """Models with tied and frozen parts; schedules; curves that rise, fall and never get there."""
    curves = [[0.5, 0.62, 0.70, 0.71], [0.48, 0.58, 0.74, 0.73], [0.52, 0.66, 0.69, 0.75]]
    curve = [0.0, 100.0, 200.0, 300.0, 400.0], [0.5, 0.6, 0.72, 0.66, 0.8]
    first = np.array([1, 1, 1, 0, 1, 1, 0, 1, 1, 1])
    second = np.array([1, 0, 1, 1, 1, 1, 0, 1, 0, 1])
    priced = [
        ([4.0, 1.0, 9.0, 3.0, 20.0], [0.80, 0.60, 0.85, 0.82, 0.84]),
        ([1.0, 2.0, 3.0], [0.7, 0.7, 0.8]),  # equal accuracies
        ([2.0, 2.0, 1.0], [0.7, 0.8, 0.6]),  # equal costs
    ]
    return {
        "P4.1": [size_case(kind, 0) for kind in ("bert", "gpt", "t5", "frozen_bert")],
        "P4.2": [flops_case(110_000_000, 30_000_000, 50_000), flops_case(10**6, 10**6, 1000)],
        "P4.3": [rate_case(10, 4, 1e-3), rate_case(6, 1, 2.0)],
        "P4.4": [spread_case(np.array(curves))],
        "P4.5": [reach_case(*curve, target) for target in (0.7, 0.9, 0.45, 0.72)],
        "P4.6": [frontier_case(*models) for models in priced],
        "P4.7": [difference_case(first, second)],
    }

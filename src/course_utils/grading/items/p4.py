"""P4: fine-tuning curves over model sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from course_utils.grading import tiny
from course_utils.grading.item import Item, Student, array, compare, require
from course_utils.grading.plain import made
from course_utils.grading.recorded import number, numbers, record, share

ITEM = Item("P4", "Fine-tuning curves over model sizes", "P4_model_sizes")

TIED = "A matrix that is used twice is counted twice: the head is tied to the token embedding."
TRAINABLE = "Frozen parameters count, too: the model computes with them."
TENSORS = "That is the number of tensors; count their entries."
ALL_SAME = "The token embedding is a table that is looked up: leave it out of the second number."
BODY_SWAPPED = "The order is (all, without the token embedding)."

SIX_ALL = "Frozen parameters need no gradient: they cost 2 per token, not 6."
SIX_SOME = "The forward pass runs through frozen parameters, too: 2 per token for each of them."
FORWARD = "That is the forward pass alone; training also goes backward."
BACKWARD = "That is the backward pass alone."
PER_TOKEN = "That is for one token; multiply by the number of tokens."

FROM_ZERO = "The first step (number 0) would have a rate of 0 and do nothing: it is peak / warm-up."
NO_WARMUP = "The warm-up is missing: the first steps rise to the peak."
NO_DECAY = "After the warm-up the rate falls, on a straight line that meets 0 after the last step."
FROM_TOP = "The line down begins at the peak, at the end of the warm-up; yours begins at step 0."
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
PERCENT_SE = "Take the differences text by text; p(1 - p) is for one model alone."
SIGN = "The difference is the first model's accuracy minus the second's."

ACCURACIES = "The accuracy is to be a list with one curve for each seed (two or more)."
GROWING = "The models are to stand from the smallest to the largest."
EXAMPLES = "The numbers of examples rise from point to point, and are the same for all curves."
MORE = "Two models of different size cannot have cost the same."


# -- checks ----------------------------------------------------------------------------------------


def check_size(student: Student, kind: str, seed: int) -> None:
    """Compare `model_size` on a tiny model, whose head may be tied to its embedding."""
    model = getattr(tiny, kind)(seed)
    unique = sum(p.numel() for p in model.parameters())
    table = model.get_input_embeddings().weight.numel()
    doubled = sum(t.numel() for t in model.state_dict().values())
    want = [unique, unique - table]
    mistakes = {
        TIED: [doubled, doubled - table],
        TIED + " ": [unique + table, unique],
        TENSORS: [len(list(model.parameters())), len(list(model.parameters())) - 1],
        ALL_SAME: [unique, unique],
        BODY_SWAPPED: want[::-1],
    }
    got = student.call("model_size", made(f"course_utils.grading.tiny:{kind}", seed))
    compare(got, want, mistakes, what="model_size")


def check_frozen_size(student: Student) -> None:
    """Parameters that are frozen count as well."""
    model = tiny.frozen_bert(0)
    unique = sum(p.numel() for p in model.parameters())
    table = model.get_input_embeddings().weight.numel()
    some = sum(p.numel() for p in model.parameters() if p.requires_grad)
    got = student.call("model_size", made("course_utils.grading.tiny:frozen_bert", 0))
    mistakes = {TRAINABLE: [some, some], TRAINABLE + " ": [some, some - table]}
    compare(got, [unique, unique - table], mistakes, what="model_size")


def check_flops(student: Student, parameters: int, trainable: int, tokens: int) -> None:
    """Compare `finetuning_flops`."""
    want = tokens * (2.0 * parameters + 4.0 * trainable)
    mistakes = {
        SIX_ALL: 6.0 * parameters * tokens,
        SIX_SOME: 6.0 * trainable * tokens,
        FORWARD: 2.0 * parameters * tokens,
        BACKWARD: 4.0 * trainable * tokens,
        PER_TOKEN: want / tokens,
    }
    got = student.call("finetuning_flops", parameters, trainable, tokens)
    compare(float_of(got), want, mistakes, what="finetuning_flops")


def float_of(value: Any) -> Any:
    """A whole number as float, so that huge ones are compared with a tolerance."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**300
    return float(value) if whole else value


def check_rate(student: Student, steps: int, warmup: int, peak: float) -> None:
    """Compare `warmup_rate` at every step."""
    s = np.arange(steps)
    up, left = (s + 1) / warmup, (steps - s) / (steps - warmup)
    want = peak * np.minimum(up, left)
    early = (steps - 1 - s) / max(1, steps - 1 - warmup)
    mistakes = {
        FROM_ZERO: peak * np.where(s < warmup, s / warmup, left),
        NO_WARMUP: peak * np.minimum(1, left),
        NO_WARMUP + " ": peak * (steps - s) / steps,
        NO_DECAY: peak * np.minimum(up, 1),
        FROM_TOP: peak * np.where(s < warmup, up, (steps - s) / steps),
        EARLY: peak * np.where(s < warmup, up, early),
    }
    got = [student.call("warmup_rate", int(step), steps, warmup, peak) for step in s]
    compare(got, want, mistakes, what="warmup_rate of all steps", atol=1e-12)


def check_spread(student: Student, curves: np.ndarray) -> None:
    """Compare `mean_and_sd`."""
    mean, sd, root = curves.mean(0), curves.std(0, ddof=1), len(curves) ** 0.5
    mistakes = {
        SAMPLE: [mean, curves.std(0)],
        ERROR: [mean, sd / root],
        ERROR + " ": [mean, curves.std(0) / root],
        VARIANCE: [mean, sd**2],
        WRONG_AXIS: [curves.mean(1), curves.std(1, ddof=1)],
        WRONG_AXIS + " ": [curves.mean(1), curves.std(1)],
    }
    got = student.call("mean_and_sd", curves)
    mistakes = {hint: np.stack(value) for hint, value in mistakes.items()}
    compare(got, np.stack([mean, sd]), mistakes, what="mean_and_sd")


def reached(xs: Sequence[float], ys: Sequence[float], target: float) -> float:
    """Where a broken line first reaches the target; infinity if it never does."""
    if ys[0] >= target:
        return float(xs[0])
    for a, b, low, high in zip(xs, xs[1:], ys, ys[1:], strict=False):
        if high >= target:
            return float(a + (target - low) / (high - low) * (b - a))
    return float("inf")


def check_reach(
    student: Student, examples: list[float], accuracy: list[float], target: float
) -> None:
    """Compare `examples_to_reach`."""
    want = reached(examples, accuracy, target)
    xs, ys = np.array(examples), np.array(accuracy)
    there = xs[ys >= target]
    back = reached((-xs[::-1]).tolist(), (-ys[::-1]).tolist(), -target)
    hint = NEVER if np.isinf(want) else AT_ONCE if ys[0] >= target else NO_LINE
    mistakes = {
        NO_LINE: float(there[0]) if len(there) else want,
        LAST_TIME: abs(back) if len(there) else want,
        SORTED: float(np.interp(target, ys, xs)),
    }
    got = student.call("examples_to_reach", examples, accuracy, target)
    if hint in (NEVER, AT_ONCE):
        mistakes = {hint: float_of(got) if isinstance(got, (int, float)) else want}
    compare(float_of(got), want, mistakes, what="examples_to_reach", rtol=1e-6)


def undominated(cost: Sequence[float], accuracy: Sequence[float]) -> list[int]:
    """Positions that no other beats, from the cheapest."""
    order = sorted(range(len(cost)), key=lambda i: (cost[i], -accuracy[i]))
    kept, best = [], -np.inf
    for i in order:
        if accuracy[i] > best:
            kept.append(i)
            best = accuracy[i]
    return kept


def check_frontier(student: Student, cost: list[float], accuracy: list[float]) -> None:
    """Compare `frontier`; costs or accuracies may be equal, not both."""
    want = undominated(cost, accuracy)
    order = sorted(range(len(cost)), key=lambda i: (cost[i], -accuracy[i]))
    best = np.maximum.accumulate([accuracy[i] for i in order])
    worse = sorted(range(len(cost)), key=lambda i: (cost[i], accuracy[i]))
    rising = np.maximum.accumulate([accuracy[i] for i in worse])
    mistakes = {
        BEST: [int(np.argmax(accuracy))],
        EQUAL_COSTLY: [i for i, b in zip(order, best, strict=True) if accuracy[i] == b],
        EQUAL_BETTER: [i for i, b in zip(worse, rising, strict=True) if accuracy[i] == b],
        ORDER: sorted(want),
        ORDER + " ": want[::-1],
        VALUES: [cost[i] for i in want],
    }
    got = student.call("frontier", cost, accuracy)
    compare(got, want, mistakes, what="frontier")


def check_difference(student: Student, first: np.ndarray, second: np.ndarray) -> None:
    """Compare `paired_difference`."""
    gap, n = first - second, len(first)
    sd = float(gap.std(ddof=1))
    apart = ((first.var(ddof=1) + second.var(ddof=1)) / n) ** 0.5
    loose = ((first.var() + second.var()) / n) ** 0.5
    mean = float(gap.mean())
    p = abs(mean)
    mistakes = {
        UNPAIRED: [mean, apart],
        UNPAIRED + " ": [mean, loose],
        NO_ROOT: [mean, sd],
        SAMPLE: [mean, float(gap.std()) / n**0.5],
        PERCENT_SE: [mean, (p * (1 - p) / n) ** 0.5],
        SIGN: [-mean, sd / n**0.5],
    }
    got = student.call("paired_difference", first.astype(int), second.astype(int))
    compare(got, [mean, sd / n**0.5], mistakes, what="paired_difference")


def check_record(student: Student, rng: Any = None) -> None:
    """The record of two or more sizes: complete, possible, and in order."""
    found = record(student, "recorded_P4", ["models", "test_texts"])
    count = int(number(found["test_texts"], "'test_texts'", 50))
    models = found["models"]
    require(isinstance(models, list) and len(models) >= 2, "'models' lists two sizes or more.")
    sizes, costs = [], []
    for row in models:
        keys = ("name", "parameters", "flops", "seconds", "examples", "accuracy")
        fits = isinstance(row, dict) and set(keys) <= set(row)
        require(fits, f"Each model needs {', '.join(keys)}.")
        sizes.append(number(row["parameters"], "'parameters'", 1e4))
        costs.append(number(row["flops"], "'flops'", 1.0))
        number(row["seconds"], "'seconds'", 1e-3)
        examples = numbers(row["examples"], "'examples'")
        require(bool((np.diff(examples) > 0).all()), EXAMPLES)
        check_curves(row["accuracy"], len(examples), count)
    require(sizes == sorted(sizes), GROWING)
    require(len(set(costs)) == len(costs), MORE)


def check_curves(curves: Any, points: int, count: int) -> None:
    """One curve a seed, as many points as examples."""
    require(isinstance(curves, (list, np.ndarray)) and np.size(curves) > 0, ACCURACIES)
    table = array(curves, "'accuracy'")
    require(table.ndim == 2 and len(table) >= 2, ACCURACIES)
    require(table.shape[1] == points, EXAMPLES)
    for value in table.ravel():
        share(value, "An accuracy", count)


# -- parts -----------------------------------------------------------------------------------------

CURVES = np.array([[0.5, 0.62, 0.70, 0.71], [0.48, 0.58, 0.74, 0.73], [0.52, 0.66, 0.69, 0.75]])


@ITEM.part("P4.1", "Counting parameters", 2, ["model_size"])
def size(student: Student) -> None:
    """Check an encoder, two models with a tied head, and one that is half frozen."""
    for kind in ("bert", "gpt", "t5"):
        check_size(student, kind, 0)
    check_frozen_size(student)


@ITEM.part("P4.2", "What a fine-tuning costs", 2, ["finetuning_flops"])
def flops(student: Student) -> None:
    """Check a model that is trained as a whole, and one that is frozen in part."""
    check_flops(student, 110_000_000, 30_000_000, 50_000)
    check_flops(student, 1_000_000, 1_000_000, 1000)


@ITEM.part("P4.3", "Warm-up and decay", 2, ["warmup_rate"])
def rate(student: Student) -> None:
    """Check all steps of two schedules."""
    check_rate(student, 10, 4, 1e-3)
    check_rate(student, 6, 1, 2.0)


@ITEM.part("P4.4", "Curves of several seeds", 2, ["mean_and_sd"])
def spread(student: Student) -> None:
    """Check three seeds."""
    check_spread(student, CURVES)


@ITEM.part("P4.5", "How fast it converges", 3, ["examples_to_reach"])
def reach(student: Student) -> None:
    """Check a curve that rises and falls, one that never gets there, and one that begins there."""
    curve = [0, 100, 200, 300, 400], [0.5, 0.6, 0.72, 0.66, 0.8]
    check_reach(student, *curve, 0.7)
    check_reach(student, *curve, 0.9)
    check_reach(student, *curve, 0.45)
    check_reach(student, *curve, 0.72)


@ITEM.part("P4.6", "Which sizes are worth their price", 3, ["frontier"])
def worth(student: Student) -> None:
    """Check five models, then equal accuracies and equal costs."""
    check_frontier(student, [4.0, 1.0, 9.0, 3.0, 20.0], [0.80, 0.60, 0.85, 0.82, 0.84])
    check_frontier(student, [1.0, 2.0, 3.0], [0.7, 0.7, 0.8])
    check_frontier(student, [2.0, 2.0, 1.0], [0.7, 0.8, 0.6])


@ITEM.part("P4.7", "Is the difference real?", 2, ["paired_difference"])
def difference(student: Student) -> None:
    """Check ten texts."""
    first = np.array([1, 1, 1, 0, 1, 1, 0, 1, 1, 1])
    second = np.array([1, 0, 1, 1, 1, 1, 0, 1, 0, 1])
    check_difference(student, first, second)


@ITEM.part("P4.8", "What you measured", 2, ["recorded_P4"])
def measured(student: Student) -> None:
    """Check the record."""
    check_record(student)


ITEM.text(
    "P4.9",
    "What size buys",
    3,
    "answer_P4",
    """1 point: reads convergence and final accuracy off the own curves, with their spread.
    1 point: sets accuracy against compute (the frontier), and says which size is worth its price
    for which purpose.
    1 point: names what varies besides size (pre-training data and steps, tokenizer, learning rate
    not tuned for each size) and how few seeds and test texts there are; knows that large models
    fine-tuned on little data can fail in some seeds.""",
)

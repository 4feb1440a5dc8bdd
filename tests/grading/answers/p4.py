"""Answers to P4, and what the grader must say to each."""

from course_tools.grading.references import p4 as mistakes
from course_tools.grading.selftest import right, wrong
from course_utils.grading.items import p4

SIZE = """
def model_size(model):
    table = model.get_input_embeddings().weight.numel()
    every = {every}
    return {result}
"""
COUNTED = {
    "every": "sum(p.numel() for p in model.parameters())",
    "result": "every, every - table",
}
RATE = "def warmup_rate(step, steps, warmup, peak): return peak * "
SPREAD = "def mean_and_sd(curves): return "
REACH = "import numpy as np\ndef examples_to_reach(examples, accuracy, target): "
FIRST = """
def examples_to_reach(x, y, target):
    import math
    {start}
    for i in range(1, len(x)):
        if y[i] >= target:
            return {where}
    return {never}
"""
CROSSING = {
    "start": "if y[0] >= target: return x[0]",
    "where": "x[i - 1] + (target - y[i - 1]) / (y[i] - y[i - 1]) * (x[i] - x[i - 1])",
    "never": "math.inf",
}
FRONTIER = """
def frontier(cost, accuracy):
    order = sorted(range(len(cost)), key=lambda i: {key})
    kept, best = [], -1
    for i in order:
        if accuracy[i] {beats} best:
            kept.append(i)
            best = accuracy[i]
    return {result}
"""
WORTH = {"key": "(cost[i], -accuracy[i])", "beats": ">", "result": "kept"}
PAIRED = """
def paired_difference(a, b):
    d = a - b
    n = len(d)
    return {result}
"""
RECORD = "recorded_P4 = dict(recorded_P4, "


def made(template, good, **change):
    """A part with something changed."""
    return template.format(**good | change)


BANK = [
    wrong(
        "from the state dictionary",
        made(SIZE, COUNTED, every="sum(t.numel() for t in model.state_dict().values())"),
        {"P4.1": mistakes.TIED},
    ),
    wrong(
        "trainable only",
        made(SIZE, COUNTED, every="sum(p.numel() for p in model.parameters() if p.requires_grad)"),
        {"P4.1": mistakes.TRAINABLE},
    ),
    wrong(
        "number of tensors",
        made(
            SIZE,
            COUNTED,
            every="len(list(model.parameters()))",
            result="every, every - 1",
        ),
        {"P4.1": mistakes.TENSORS},
    ),
    wrong(
        "with the table", made(SIZE, COUNTED, result="every, every"), {"P4.1": mistakes.ALL_SAME}
    ),
    wrong(
        "swapped",
        made(SIZE, COUNTED, result="every - table, every"),
        {"P4.1": mistakes.BODY_SWAPPED},
    ),
    wrong(
        "six for all",
        "def finetuning_flops(n, some, tokens): return 6 * n * tokens",
        {"P4.2": mistakes.SIX_ALL},
    ),
    wrong(
        "six for some",
        "def finetuning_flops(n, some, tokens): return 6 * some * tokens",
        {"P4.2": mistakes.SIX_SOME},
    ),
    wrong(
        "forward only",
        "def finetuning_flops(n, some, tokens): return 2 * n * tokens",
        {"P4.2": mistakes.FORWARD},
    ),
    wrong(
        "a token",
        "def finetuning_flops(n, some, tokens): return 2 * n + 4 * some",
        {"P4.2": mistakes.PER_TOKEN},
    ),
    wrong(
        "from zero",
        RATE + "(step / warmup if step < warmup else (steps - step) / (steps - warmup))",
        {"P4.3": mistakes.FROM_ZERO},
    ),
    wrong(
        "no warm-up",
        RATE + "min(1, (steps - step) / (steps - warmup))",
        {"P4.3": mistakes.NO_WARMUP},
    ),
    wrong("straight down", RATE + "(steps - step) / steps", {"P4.3": mistakes.NO_WARMUP}),
    wrong("no decay", RATE + "min(1, (step + 1) / warmup)", {"P4.3": mistakes.NO_DECAY}),
    wrong(
        "down from the first step",
        RATE + "((step + 1) / warmup if step < warmup else (steps - step) / steps)",
        {"P4.3": mistakes.FROM_TOP},
    ),
    wrong(
        "zero in the last step",
        RATE
        + "((step + 1) / warmup if step < warmup else (steps - 1 - step) / (steps - 1 - warmup))",
        {"P4.3": mistakes.EARLY},
    ),
    wrong(
        "all seeds there are", SPREAD + "curves.mean(0), curves.std(0)", {"P4.4": mistakes.SAMPLE}
    ),
    wrong(
        "standard error",
        SPREAD + "curves.mean(0), curves.std(0, ddof=1) / len(curves) ** 0.5",
        {"P4.4": mistakes.ERROR},
    ),
    wrong(
        "variance", SPREAD + "curves.mean(0), curves.var(0, ddof=1)", {"P4.4": mistakes.VARIANCE}
    ),
    wrong(
        "over the points",
        SPREAD + "curves.mean(1), curves.std(1, ddof=1)",
        {"P4.4": mistakes.WRONG_AXIS},
    ),
    wrong("above", made(FIRST, CROSSING).replace(">=", ">"), {"P4.5": mistakes.LAST_TIME}),
    wrong("a measured point", made(FIRST, CROSSING, where="x[i]"), {"P4.5": mistakes.NO_LINE}),
    wrong(
        "the last time",
        REACH
        + """
    for i in range(len(accuracy) - 1, 0, -1):
        low, high = accuracy[i - 1], accuracy[i]
        if low < target <= high:
            step = examples[i] - examples[i - 1]
            return examples[i - 1] + (target - low) / (high - low) * step
    return examples[0] if accuracy[0] >= target else float("inf")""",
        {"P4.5": mistakes.LAST_TIME},
    ),
    wrong(
        "np.interp",
        REACH + "return np.interp(target, accuracy, examples)",
        {"P4.5": mistakes.NEVER},
    ),
    wrong("never is the end", made(FIRST, CROSSING, never="x[-1]"), {"P4.5": mistakes.NEVER}),
    wrong("reached at the start", made(FIRST, CROSSING, start="pass"), {"P4.5": mistakes.AT_ONCE}),
    wrong(
        "the best",
        "def frontier(cost, accuracy): return [max(range(len(cost)), key=lambda i: accuracy[i])]",
        {"P4.6": mistakes.BEST},
    ),
    wrong("equal ones stay", made(FRONTIER, WORTH, beats=">="), {"P4.6": mistakes.EQUAL_COSTLY}),
    wrong(
        "worse at the same cost",
        made(FRONTIER, WORTH, key="(cost[i], accuracy[i])"),
        {"P4.6": mistakes.EQUAL_BETTER},
    ),
    wrong("by number", made(FRONTIER, WORTH, result="sorted(kept)"), {"P4.6": mistakes.ORDER}),
    wrong("dear first", made(FRONTIER, WORTH, result="kept[::-1]"), {"P4.6": mistakes.ORDER}),
    wrong(
        "costs", made(FRONTIER, WORTH, result="[cost[i] for i in kept]"), {"P4.6": mistakes.VALUES}
    ),
    wrong(
        "as if the texts were different",
        PAIRED.format(result="d.mean(), ((a.var(ddof=1) + b.var(ddof=1)) / n) ** 0.5"),
        {"P4.7": mistakes.UNPAIRED},
    ),
    wrong("no root", PAIRED.format(result="d.mean(), d.std(ddof=1)"), {"P4.7": mistakes.NO_ROOT}),
    wrong(
        "all texts there are",
        PAIRED.format(result="d.mean(), d.std() / n ** 0.5"),
        {"P4.7": mistakes.POPULATION},
    ),
    wrong(
        "a binomial",
        PAIRED.format(result="d.mean(), (abs(d.mean()) * (1 - abs(d.mean())) / n) ** 0.5"),
        {"P4.7": mistakes.PERCENT_SE},
    ),
    wrong(
        "second minus first",
        PAIRED.format(result="-d.mean(), d.std(ddof=1) / n ** 0.5"),
        {"P4.7": mistakes.SIGN},
    ),
    wrong("one model", RECORD + "models=recorded_P4['models'][:1])", {"P4.8": "two sizes or more"}),
    wrong("large first", RECORD + "models=recorded_P4['models'][::-1])", {"P4.8": p4.GROWING}),
    wrong(
        "one seed",
        RECORD + "models=[m | {'accuracy': m['accuracy'][:1]} for m in recorded_P4['models']])",
        {"P4.8": p4.ACCURACIES},
    ),
    wrong(
        "a curve too short",
        RECORD + "models=[m | {'accuracy': [c[:-1] for c in m['accuracy']]} "
        "for m in recorded_P4['models']])",
        {"P4.8": p4.EXAMPLES},
    ),
    wrong(
        "same compute",
        RECORD + "models=[m | {'flops': 1e12} for m in recorded_P4['models']])",
        {"P4.8": p4.MORE},
    ),
    wrong("no text", "answer_P4 = '?'", {"P4.9": "empty"}),
    right(
        "loops",
        """def model_size(model):
    seen, table = {}, model.get_input_embeddings().weight
    for module in model.modules():
        for p in module._parameters.values():
            if p is not None: seen[id(p)] = p.numel()
    return [sum(seen.values()), sum(n for i, n in seen.items() if i != id(table))]
def finetuning_flops(parameters, trainable, tokens):
    return tokens * (6 * trainable + 2 * (parameters - trainable))
def warmup_rate(step, steps, warmup, peak):
    return min(peak * (step + 1) / warmup, peak * (steps - step) / (steps - warmup))
def frontier(cost, accuracy):
    kept, n = [], range(len(cost))
    for i in sorted(n, key=lambda i: cost[i]):
        beats = [j for j in n if cost[j] <= cost[i] and accuracy[j] >= accuracy[i]
                 and (cost[j] < cost[i] or accuracy[j] > accuracy[i])]
        if not beats: kept.append(i)
    return kept""",
    ),
    right(
        "torch and statistics",
        """import statistics
def mean_and_sd(curves):
    import torch
    table = torch.as_tensor(curves)
    return torch.stack([table.mean(0), table.std(0)])
def paired_difference(first, second):
    gaps = [int(a) - int(b) for a, b in zip(first, second)]
    return [statistics.mean(gaps), statistics.stdev(gaps) / len(gaps) ** 0.5]""",
    ),
    right(
        "by segments, with numpy",
        """import numpy as np
def mean_and_sd(curves):
    mean = sum(curves) / len(curves)
    return mean, (sum((c - mean) ** 2 for c in curves) / (len(curves) - 1)) ** 0.5
def examples_to_reach(examples, accuracy, target):
    fine = None
    for (a, low), (b, high) in zip(zip(examples, accuracy), zip(examples[1:], accuracy[1:])):
        if low >= target: return float(a)
        if high >= target: return float(np.interp(target, [low, high], [a, b]))
    return np.inf
def paired_difference(first, second):
    n, both = len(first), np.stack([first, second]).astype(float)
    c = np.cov(both)
    return both[0].mean() - both[1].mean(), np.sqrt((c[0, 0] + c[1, 1] - 2 * c[0, 1]) / n)""",
    ),
    wrong("None for never", made(FIRST, CROSSING, never="None"), {"P4.5": mistakes.NEVER}),
]

"""Answers to P5, and what the grader must say to each."""

from course_tools.grading.references import p5 as mistakes
from course_tools.grading.selftest import right, wrong
from course_utils.grading.item import IN_PLACE, NO_GRADIENT, SHARED
from course_utils.grading.items import p5

PAIR = """
def summarization_pair(before, text, summary, end, most, most_target):
    source = {source}
    target = {target}
    return source, target
"""
GOOD = {
    "source": "before + text[: most - len(before) - 1] + [end]",
    "target": "summary[: most_target - 1] + [end]",
}
SHIFT = """
def shift_right(labels, start, pad):
    import torch
    real = labels.masked_fill(labels == -100, pad)
    first = torch.full_like(labels[:, :1], start)
    return {result}
"""
LOSS = """
def summary_loss(logits, labels):
    from torch.nn.functional import cross_entropy
    z, y = logits, labels
    return {result}
"""
GREEDY = """
def greedy_summaries(model, ids, mask, steps, start, end):
    import torch
    model.eval()
    out = torch.full((len(ids), 1), start)
    with torch.no_grad():
        for _ in range(steps):
            logits = model(input_ids=ids, {mask} decoder_input_ids={given}).logits[:, -1]
            out = torch.cat([out, logits.argmax(-1, keepdim=True)], 1)
    rows = {rows}
    return {result}
"""
WRITE = {
    "mask": "attention_mask=mask,",
    "given": "out",
    "rows": "out[:, 1:].tolist()",
    "result": "[r[: r.index(end)] if end in r else r for r in rows]",
}
ROUGE_N = """
def rouge_n(reference, summary, n):
    from collections import Counter
    a, b = (Counter(zip(*(w[k:] for k in range(n)))) for w in (reference, summary))
    shared, x, y = {shared}, sum(a.values()), sum(b.values())
    if {nothing}:
        return 0.0
    return {result}
"""
F1 = {
    "shared": "sum((a & b).values())",
    "nothing": "shared == 0",
    "result": "2 * shared / (x + y)",
}
ROUGE_L = """
def rouge_l(reference, summary):
    a, b = reference, summary
    t = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, u in enumerate(a):
        for j, v in enumerate(b):
            t[i + 1][j + 1] = t[i][j] + 1 if u == v else {other}
    shared, x, y = {best}, len(a), len(b)
    return {result}
"""
LONGEST = {
    "other": "max(t[i][j + 1], t[i + 1][j])",
    "best": "t[-1][-1]",
    "result": "2 * shared / (x + y)",
}
CORPUS = """
def corpus_rouge(references, summaries):
    from rouge_score.rouge_scorer import RougeScorer
    names = ["rouge1", "rouge2", "rougeL"]
    scorer = RougeScorer(names, use_stemmer={stem})
    scores = [scorer.score(a, b) for a, b in {pairs}]
    return {{k: {times} * sum(s[k].{field} for s in scores) / len(scores) for k in names}}
"""
SCORED = {
    "stem": "True",
    "pairs": "zip(references, summaries)",
    "times": "1",
    "field": "fmeasure",
}
TOTAL = "cross_entropy(z.flatten(0, 1), y.flatten(), reduction='sum')"
RECORD = "recorded_P5 = dict(recorded_P5, **{"


def made(template, good, **change):
    """A part with something changed."""
    return template.format(**good | change)


BANK = [
    wrong(
        "no prefix",
        made(PAIR, GOOD, source="text[: most - 1] + [end]"),
        {"P5.1": mistakes.NO_PREFIX},
    ),
    wrong(
        "the prefix is cut",
        made(PAIR, GOOD, source="(before + text + [end])[-most:]"),
        {"P5.1": mistakes.PREFIX_CUT},
    ),
    wrong(
        "no end at all",
        made(PAIR, GOOD, source="(before + text)[:most]", target="summary[:most_target]"),
        {"P5.1": mistakes.NO_END},
    ),
    wrong(
        "the end is cut",
        made(
            PAIR,
            GOOD,
            source="(before + text + [end])[:most]",
            target="(summary + [end])[:most_target]",
        ),
        {"P5.1": mistakes.END_CUT},
    ),
    wrong(
        "never cut",
        made(PAIR, GOOD, source="before + text + [end]", target="summary + [end]"),
        {"P5.1": mistakes.TOO_LONG},
    ),
    wrong(
        "the prefix is not counted",
        made(PAIR, GOOD, source="before + text[: most - 1] + [end]"),
        {"P5.1": mistakes.TOO_LONG},
    ),
    wrong(
        "a target without end",
        made(PAIR, GOOD, target="summary[:most_target]"),
        {"P5.1": mistakes.LONE_END},
    ),
    wrong("not shifted", SHIFT.format(result="real"), {"P5.2": mistakes.NOT_SHIFTED}),
    wrong(
        "the first replaced",
        SHIFT.format(result="torch.cat([first, real[:, 1:]], 1)"),
        {"P5.2": mistakes.NOT_SHIFTED},
    ),
    wrong(
        "-100 as a token",
        SHIFT.format(result="torch.cat([first, labels[:, :-1]], 1)"),
        {"P5.2": mistakes.HIDDEN_LEFT},
    ),
    wrong("rolled", SHIFT.format(result="real.roll(1, 1)"), {"P5.2": mistakes.WRAPPED}),
    wrong(
        "to the left",
        SHIFT.format(result="torch.cat([real[:, 1:], first], 1)"),
        {"P5.2": mistakes.LEFT},
    ),
    wrong("longer", SHIFT.format(result="torch.cat([first, real], 1)"), {"P5.2": mistakes.LONGER}),
    wrong(
        "in place",
        """def shift_right(labels, start, pad):
    import torch
    labels[labels == -100] = pad
    return torch.cat([torch.full_like(labels[:, :1], start), labels[:, :-1]], 1)""",
        {"P5.2": IN_PLACE},
    ),
    wrong(
        "shifted twice",
        LOSS.format(result="cross_entropy(z[:, :-1].flatten(0, 1), y[:, 1:].flatten())"),
        {"P5.3": mistakes.TWICE},
    ),
    wrong("a sum", LOSS.format(result=TOTAL), {"P5.3": mistakes.SUM}),
    wrong("over all positions", LOSS.format(result=TOTAL + " / y.numel()"), {"P5.3": mistakes.ALL}),
    wrong(
        "mean of means",
        LOSS.format(result="sum(cross_entropy(a, b) for a, b in zip(z, y)) / len(z)"),
        {"P5.3": mistakes.ROWS},
    ),
    wrong(
        "a source without end",
        made(PAIR, GOOD, source="(before + text)[: most - 1]"),
        {"P5.1": mistakes.NO_END},
    ),
    wrong(
        "zeros in front",
        SHIFT.format(result="torch.cat([0 * first, real[:, :-1]], 1)"),
        {"P5.2": mistakes.START},
    ),
    wrong(
        "softmax twice",
        LOSS.format(result="cross_entropy(z.softmax(-1).flatten(0, 1), y.flatten())"),
        {"P5.3": mistakes.SOFTMAX},
    ),
    wrong(
        "all that was written",
        made(GREEDY, WRITE, rows="out.tolist()", result="rows"),
        {"P5.4": p5.WITH_START},
    ),
    wrong(
        "as the library leaves it",
        """def greedy_summaries(model, ids, mask, steps, start, end):
    return model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=steps,
                          do_sample=False, eos_token_id=end)[:, 1:].tolist()""",
        {"P5.4": p5.WITH_END},
    ),
    wrong(
        "last n-gram lost",
        made(ROUGE_N, F1).replace("w[k:] for k", "w[k:-1] for k"),
        {"P5.5": mistakes.LAST_GRAM},
    ),
    wrong(
        "a set of words",
        "def rouge_l(a, b): return 2 * len(set(a) & set(b)) / (len(a) + len(b))",
        {"P5.6": mistakes.BAG},
    ),
    wrong(
        "difflib",
        """def rouge_l(a, b):
    from difflib import SequenceMatcher
    found = SequenceMatcher(None, a, b).get_matching_blocks()
    return 2 * sum(block.size for block in found) / (len(a) + len(b))""",
        {"P5.6": mistakes.DIFFLIB},
    ),
    wrong(
        "no mean",
        """def corpus_rouge(references, summaries):
    from rouge_score.rouge_scorer import RougeScorer
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    return dict(scorer.score(references[0], summaries[0]))""",
        {"P5.7": p5.MEANS},
    ),
    wrong("no mask", made(GREEDY, WRITE, mask=""), {"P5.4": mistakes.UNMASKED}),
    wrong(
        "with the start",
        made(GREEDY, WRITE, rows="out.tolist()"),
        {"P5.4": p5.WITH_START},
    ),
    wrong(
        "with the end",
        made(GREEDY, WRITE, result="[r[: r.index(end) + 1] if end in r else r for r in rows]"),
        {"P5.4": p5.WITH_END},
    ),
    wrong("goes on", made(GREEDY, WRITE, result="rows"), {"P5.4": mistakes.GOES_ON}),
    wrong("no memory", made(GREEDY, WRITE, given="out[:, -1:]"), {"P5.4": mistakes.NO_MEMORY}),
    wrong("recall", made(ROUGE_N, F1, result="shared / x"), {"P5.5": mistakes.RECALL}),
    wrong("precision", made(ROUGE_N, F1, result="shared / y"), {"P5.5": mistakes.PRECISION}),
    wrong(
        "plain mean",
        made(ROUGE_N, F1, result="(shared / x + shared / y) / 2"),
        {"P5.5": mistakes.MEAN},
    ),
    wrong("a set", made(ROUGE_N, F1, shared="len(a.keys() & b.keys())"), {"P5.5": mistakes.ONCE}),
    wrong(
        "not clipped",
        made(ROUGE_N, F1, shared="sum(n for g, n in b.items() if g in a)"),
        {"P5.5": mistakes.UNCLIPPED},
    ),
    wrong(
        "0 / 0",
        made(ROUGE_N, F1, nothing="False", result="2 / (x / shared + y / shared)"),
        {"P5.5": mistakes.DIVIDED},
    ),
    wrong(
        "a run",
        made(ROUGE_L, LONGEST, other="0", best="max(map(max, t))"),
        {"P5.6": mistakes.SUBSTRING},
    ),
    wrong(
        "the package's own ROUGE",
        """from rouge_score import rouge_scorer, scoring
made = rouge_scorer.RougeScorer(["rouge2", "rougeL"])
def packaged_score(a, b, name): return made.score(" ".join(a), " ".join(b))[name].fmeasure
def rouge_n(reference, summary, n):
    scorer = rouge_scorer.RougeScorer([f"rouge{n}"])
    return scorer.score(" ".join(reference), " ".join(summary))[f"rouge{n}"].fmeasure
def rouge_l(reference, summary): return packaged_score(reference, summary, "rougeL")""",
        {"P5.5": "`rouge_n` calls `RougeScorer`, which it is to", "P5.6": "`rouge_l` calls `_"},
    ),
    wrong("a bag", "def rouge_l(a, b): return rouge_n(a, b, 1)", {"P5.6": mistakes.BAG}),
    wrong("recall of L", made(ROUGE_L, LONGEST, result="shared / x"), {"P5.6": mistakes.RECALL}),
    wrong(
        "precision of L", made(ROUGE_L, LONGEST, result="shared / y"), {"P5.6": mistakes.PRECISION}
    ),
    wrong("no stemmer", made(CORPUS, SCORED, stem="False"), {"P5.7": mistakes.NO_STEM}),
    wrong(
        "one long text",
        made(CORPUS, SCORED, pairs="[(' '.join(references), ' '.join(summaries))]"),
        {"P5.7": mistakes.JOINED},
    ),
    wrong("the recall", made(CORPUS, SCORED, field="recall"), {"P5.7": mistakes.RECALL}),
    wrong("percent", made(CORPUS, SCORED, times="100"), {"P5.7": p5.PERCENT}),
    wrong(
        "a record in percent",
        RECORD + "'lead': {'rouge1': 21.0, 'rouge2': 5.0, 'rougeL': 15.0}})",
        {"P5.8": p5.PERCENT},
    ),
    wrong("the lead twice", RECORD + "'model 2': recorded_P5['lead']})", {"P5.8": p5.EQUAL}),
    wrong(
        "no baseline",
        "recorded_P5 = {k: v for k, v in recorded_P5.items() if k != 'lead'}",
        {"P5.8": "lacks 'lead'"},
    ),
    wrong(
        "scores mixed up",
        RECORD + "'lead': {'rouge1': 0.05, 'rouge2': 0.2, 'rougeL': 0.1}})",
        {"P5.8": p5.ORDER},
    ),
    wrong("no text", "answer_P5 = ' '", {"P5.9": "empty"}),
    right(
        "loops",
        """def summarization_pair(prefix, text, summary, end, a, b):
    source, target = list(prefix), []
    for i in text:
        if len(source) < a - 1: source.append(i)
    for i in summary:
        if len(target) < b - 1: target.append(i)
    return [source + [end], target + [end]]
def shift_right(labels, start, pad):
    return [[start] + [pad if i == -100 else i for i in row[:-1]] for row in labels.tolist()]
def summary_loss(logits, labels):
    logs, total, count = logits.log_softmax(-1), 0.0, 0
    for row, goal in zip(logs, labels.tolist()):
        for step, y in zip(row, goal):
            if y != -100: total, count = total - step[y], count + 1
    return total / count
def rouge_n(reference, summary, n):
    left = [tuple(reference[i:i + n]) for i in range(len(reference) - n + 1)]
    mine = [tuple(summary[i:i + n]) for i in range(len(summary) - n + 1)]
    size, shared = len(left) + len(mine), 0
    for gram in mine:
        if gram in left:
            left.remove(gram)
            shared += 1
    return 2 * shared / size if size else 0
def rouge_l(a, b):
    from functools import lru_cache
    @lru_cache(None)
    def common(i, j):
        if i == 0 or j == 0: return 0
        if a[i - 1] == b[j - 1]: return common(i - 1, j - 1) + 1
        return max(common(i - 1, j), common(i, j - 1))
    return 2 * common(len(a), len(b)) / (len(a) + len(b))""",
    ),
    right(
        "the library writes",
        """def greedy_summaries(model, ids, mask, steps, start, end):
    out = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=steps, num_beams=1,
                         do_sample=False, eos_token_id=end, decoder_start_token_id=start)
    rows = [row[1:] for row in out.tolist()]
    return [row[: row.index(end)] if end in row else row for row in rows]
def corpus_rouge(references, summaries):
    import numpy as np
    from rouge_score import rouge_scorer, scoring
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    scores = [scorer.score(t, p) for t, p in zip(references, summaries)]
    return {k: np.mean([s[k].fmeasure for s in scores]) for k in scores[0]}""",
    ),
    right(
        "text by text, ROUGE by crossing out and by recursion",
        """def greedy_summaries(model, ids, mask, steps, start, end):
    import torch
    found = []
    for row, real in zip(ids, mask):
        row, out = row[real.bool()][None], [start]
        for _ in range(steps):
            with torch.no_grad():
                logits = model(input_ids=row, decoder_input_ids=torch.tensor([out])).logits
            out.append(int(logits[0, -1].argmax()))
            if out[-1] == end: break
        found.append([i for i in out[1:] if i != end])
    return found
def f_score(shared, a, b): return 2 * shared / (a + b) if shared else 0.0
def rouge_n(reference, summary, n):
    left = [tuple(reference[i:i + n]) for i in range(len(reference) - n + 1)]
    right = [tuple(summary[i:i + n]) for i in range(len(summary) - n + 1)]
    rest, sizes = list(left), (len(left), len(right))
    for gram in right:
        if gram in rest: rest.remove(gram)
    return f_score(len(left) - len(rest), *sizes)
def rouge_l(reference, summary):
    import functools
    @functools.cache
    def longest(i, j):
        if i == len(reference) or j == len(summary): return 0
        if reference[i] == summary[j]: return 1 + longest(i + 1, j + 1)
        return max(longest(i + 1, j), longest(i, j + 1))
    return f_score(longest(0, 0), len(reference), len(summary))
def shift_right(labels, start, pad):
    out = labels.new_full(labels.shape, start)
    out[:, 1:] = labels[:, :-1].clone()
    return out.masked_fill(out == -100, pad)""",
    ),
    wrong(
        "no gradient",
        LOSS.format(result="cross_entropy(z.flatten(0, 1), y.flatten()).detach()"),
        {"P5.3": NO_GRADIENT},
    ),
    wrong(
        "an invented lead",
        RECORD + "'lead': {'rouge1': 0.31, 'rouge2': 0.11, 'rougeL': 0.24}})",
        {"P5.8": p5.LEAD},
    ),
    wrong(
        "an invented score",
        RECORD + "'model 2': recorded_P5['model 2'] | {'rouge1': 0.21}})",
        {"P5.8": p5.MEAN_OF_EACH},
    ),
    wrong(
        "invented summaries",
        RECORD + "'model 1': recorded_P5['model 1'] | {'first': ['A storm in the north.'] * 3}})",
        {"P5.8": p5.ANOTHER},
    ),
    wrong(
        "one pair for all texts",
        """kept = [[], []]
def summarization_pair(before, text, summary, end, most, most_target):
    kept[0][:] = before + text[: most - len(before) - 1] + [end]
    kept[1][:] = summary[: most_target - 1] + [end]
    return kept""",
        {"P5.1": SHARED},
    ),
    wrong(
        "the library's shift",
        """def shift_right(labels, start, pad):
    from transformers.models.bart.modeling_bart import shift_tokens_right
    return shift_tokens_right(labels, pad, start)""",
        {"P5.2": "which it is to replace"},
    ),
]

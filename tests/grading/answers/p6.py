"""Answers to P6, and what the grader must say to each."""

from course_tools.grading.references import p6 as mistakes
from course_tools.grading.selftest import right, wrong
from course_utils.grading.items import p6

MASK = """import torch
def mask_tokens(ids, u, v, random_ids, rate, shares, mask_id, special_ids):
    special = torch.isin(ids, torch.tensor(special_ids, dtype=ids.dtype))
    chosen = (u < rate) & ~special
    m, r = shares
    inputs = torch.where(chosen & (v < m), mask_id, ids)
    inputs = torch.where(chosen & (v >= m) & (v < m + r), random_ids, inputs)
    labels = torch.where(chosen, ids, -100)
    return inputs, labels"""
ATTENTION = """import math, torch
def attention(q, k, v, allowed):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    weights = scores.masked_fill(~allowed, -math.inf).softmax(-1)
    return weights @ v"""
SPANS = """def corrupt_spans(ids, starts, lengths, first_sentinel, end_id):
    source, target, at = [], [], 0
    for n, (start, length) in enumerate(zip(starts, lengths)):
        source = source + ids[at:start] + [first_sentinel - n]
        target = target + [first_sentinel - n] + ids[start : start + length]
        at = start + length
    return source + ids[at:] + [end_id], target + [end_id]"""


def changed(text, old, new):
    """A right answer with one thing changed."""
    assert old in text
    return text.replace(old, new)


def masking(name, old, new, hint):
    """A wrong `mask_tokens`."""
    return wrong(name, changed(MASK, old, new), {"P6.1": hint})


def attending(name, old, new, hint):
    """A wrong `attention`."""
    return wrong(name, changed(ATTENTION, old, new), {"P6.3": hint})


def spanning(name, old, new, hint):
    """A wrong `corrupt_spans`."""
    return wrong(name, changed(SPANS, old, new), {"P6.4": hint})


def causal(name, expression, hint):
    """A wrong `causal_mask`."""
    source = f"import torch\ndef causal_mask(length):\n    return {expression}"
    return wrong(name, source, {"P6.2": hint})


def bound(name, expression, hint):
    """A wrong `span_bound`."""
    return wrong(name, f"def span_bound(h, k):\n    return {expression}", {"P6.5": hint})


def recording(name, change, hint):
    """A record that was changed by hand."""
    source = f"import copy\nrecorded_P6 = copy.deepcopy(recorded_P6)\n{change}"
    return wrong(name, source, {"P6.6": hint})


ONES = "torch.ones(length, length, dtype=torch.bool)"
BANK = [
    masking("specials chosen", " & ~special", "", mistakes.SPECIAL),
    masking("labels everywhere", "torch.where(chosen, ids, -100)", "ids.clone()",
            mistakes.EVERYWHERE),
    masking("labels of 0", "ids, -100)", "ids, 0)", mistakes.ZERO),
    masking("corrupted labels", "(chosen, ids, -100)", "(chosen, inputs, -100)",
            mistakes.CORRUPTED),
    masking("labels where changed", "torch.where(chosen, ids", "torch.where(inputs != ids, ids",
            mistakes.UNCHANGED),
    masking("none stays", "chosen & (v < m)", "chosen", mistakes.NONE_STAYS),
    masking("all become a mask", "chosen & (v >= m) & (v < m + r), random_ids, inputs)",
            "chosen, mask_id, inputs)", mistakes.ALL_MASKED),
    masking("80/20", " & (v < m + r)", "", mistakes.FEW_RANDOM),
    masking("no random tokens", "(v >= m) & (v < m + r)", "(v < 0)", mistakes.FEW_RANDOM),
    masking("random first", "(v >= m) & (v < m + r)", "(v < r)", mistakes.FEW_RANDOM),
    masking("the others", "(u < rate)", "(u >= rate)", mistakes.OTHERS),
    masking("shares of all", "inputs = torch.where(chosen & (v < m)",
            "chosen = u >= 0\n    inputs = torch.where(chosen & (v < m)", mistakes.ALL_TOKENS),
    masking("in place", "inputs = torch.where(chosen & (v < m), mask_id, ids)",
            "ids[chosen & (v < m)] = mask_id; inputs = ids", "work on a copy"),
    masking("floats", "return inputs, labels", "return inputs.float(), labels.float()",
            p6.TYPES),
    masking("inputs only", "return inputs, labels", "return inputs", p6.PAIR),
    causal("strict", f"{ONES}.tril(-1)", mistakes.STRICT),
    causal("transposed", f"{ONES}.triu()", mistakes.TRANSPOSED),
    causal("inverted", f"{ONES}.triu(1)", mistakes.INVERTED),
    causal("numbers", "torch.ones(length, length).tril()", mistakes.NUMBERS),
    causal("minus infinity", "torch.full((length, length), -torch.inf).triu(1)", mistakes.NUMBERS),
    causal("all", ONES, mistakes.ALL_SEEN),
    attending("unscaled", " / math.sqrt(q.shape[-1])", "", mistakes.UNSCALED),
    attending("by the width", "math.sqrt(q.shape[-1])", "q.shape[-1]", mistakes.BY_WIDTH),
    attending("by the whole width", "q.shape[-1]", "q.shape[-1] * q.shape[1]",
              mistakes.ALL_WIDTH),
    attending("mask afterwards", "scores.masked_fill(~allowed, -math.inf).softmax(-1)",
              "scores.softmax(-1) * allowed", mistakes.AFTER),
    attending("times the mask", "scores.masked_fill(~allowed, -math.inf)", "(scores * allowed)",
              mistakes.AS_ZERO),
    attending("zero", "-math.inf)", "0.0)", mistakes.AS_ZERO),
    attending("over queries", "softmax(-1)", "softmax(-2)", mistakes.QUERIES),
    attending("no mask", ".masked_fill(~allowed, -math.inf)", "", mistakes.UNMASKED),
    attending("opposite", "~allowed", "allowed", mistakes.OPPOSITE),
    attending("ready-made", "scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])",
              "return torch.nn.functional.scaled_dot_product_attention(q, k, v, allowed)",
              "which it is to replace"),
    spanning("upwards", "first_sentinel - n", "first_sentinel + n", mistakes.UPWARDS),
    spanning("one sentinel", "first_sentinel - n", "first_sentinel", mistakes.ONE_SENTINEL),
    spanning("no sentinels in the target", "[first_sentinel - n] + ids[start", "ids[start",
             mistakes.NO_SENTINEL),
    spanning("no sentinels in the source", "+ ids[at:start] + [first_sentinel - n]",
             "+ ids[at:start]", mistakes.DROPPED),
    spanning("no ends", " + [end_id]", "", mistakes.NO_END),
    spanning("target without end", "target + [end_id]", "target", mistakes.NO_END),
    spanning("whole target", "target + [end_id]", "ids + [end_id]", mistakes.WHOLE),
    spanning("a sentinel each", "+ [first_sentinel - n]\n", "+ [first_sentinel - n] * length\n",
             mistakes.ONE_EACH),
    spanning("inclusive", "at = start + length",
             "at = start + length + 1\n        target = target + [ids[at - 1]]",
             mistakes.INCLUSIVE),
    bound("the whole span", "(k + 1) * h[1] - h[k + 1]", mistakes.TOTAL),
    bound("causal", "h[1]", mistakes.LEFT_ONLY),
    bound("each by itself", "sum(h[a] + h[k + 1 - a] - h[k + 1] for a in range(1, k + 1)) / k",
          mistakes.APART),
    bound("one step short", "(k * h[1] - h[k]) / k", mistakes.NO_SPAN),
    bound("the last step", "((k + 1) * h[1] - h[k]) / k", mistakes.NO_SPAN),
    recording("one missing", "del recorded_P6['t5']", "lacks 't5'"),
    recording("no text", "del recorded_P6['bert']['text']", "lacks 'loss'"),
    recording("too good", """each = [x - 0.2 for x in recorded_P6['gpt']['each']]
recorded_P6['gpt'] |= {'each': each, 'loss': sum(each) / 40}""", "lowest possible loss"),
    recording("untrained", """each = [2.0] * 40
recorded_P6['bert'] |= {'each': each, 'loss': 2.0}""", "train longer"),
    recording("other rows", "recorded_P6['t5']['each'].reverse()", "rise and fall"),
    recording("half trained", "recorded_P6['t5']['loss'] += 0.4", "train longer"),
    recording("ten rows", "recorded_P6['gpt']['each'] = recorded_P6['gpt']['each'][:10]",
              "is to hold 40"),
    recording("no better", "recorded_P6['gpt']['text'] = 3.1", p6.NO_BETTER),
    right("masked in steps", MASK + """
def causal_mask(length):
    at = torch.arange(length)
    return at[None, :] <= at[:, None]"""),
    right("clones", """import torch
def mask_tokens(ids, u, v, random_ids, rate, shares, mask_id, special_ids):
    inputs, labels = ids.clone(), ids.clone()
    chosen = u < rate
    for special in special_ids:
        chosen = chosen & (ids != special)
    labels[~chosen] = -100
    inputs[chosen & (v < shares[0])] = mask_id
    swap = chosen & (v >= shares[0]) & (v < sum(shares))
    inputs[swap] = random_ids[swap]
    return inputs, labels
""" + ATTENTION),
    right("loops", """import numpy as np
def causal_mask(length):
    return [[j <= i for j in range(length)] for i in range(length)]
def span_bound(h, k):
    return h[1] - (h[k + 1] - h[1]) / k
def corrupt_spans(ids, starts, lengths, first_sentinel, end_id):
    begins, source, target, at = dict(zip(starts, lengths)), [], [], 0
    sentinel = first_sentinel
    while at < len(ids):
        if at in begins:
            source.append(sentinel)
            target.append(sentinel)
            target.extend(ids[at : at + begins[at]])
            at, sentinel = at + begins[at], sentinel - 1
        else:
            source.append(ids[at])
            at += 1
    source.append(end_id)
    target.append(end_id)
    return source, target"""),
    right("einsum", """import torch
def attention(q, k, v, allowed):
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k) * q.shape[-1] ** -0.5
    scores = scores + torch.zeros(allowed.shape).masked_fill(~allowed, float("-inf"))
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    return torch.einsum("bhqk,bhkd->bhqd", weights / weights.sum(-1, keepdim=True), v)
"""+ SPANS),
]  # fmt: skip

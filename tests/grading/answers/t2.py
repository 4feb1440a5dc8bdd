"""Answers to T2, and what the grader must say to each."""

from course_tools.grading.references import t2 as mistakes
from course_tools.grading.selftest import right, wrong
from course_utils.grading.item import IN_PLACE
from course_utils.grading.items import t2

LOSS = "import torch\ndef token_loss(z, y): "
STEP = """import torch
def logit_gradient(z, y):
    p = torch.softmax(z, -1); h = torch.eye(len(z), dtype=z.dtype)[y]
    """
MASKED = """import torch
def mlm_gradient(z, labels):
    chosen = labels != -100
    g = torch.softmax(z, -1)
    n = max(1, int(chosen.sum()))
    rows = torch.arange(len(z))
"""
CAUSAL = """import torch
def clm_gradient(z, ids):
    T = len(ids)
    p = torch.softmax(z, -1)
    one = torch.eye(z.shape[1], dtype=z.dtype)[ids]
    g = torch.zeros_like(z)
"""

BANK = [
    wrong("a probability", LOSS + "return torch.softmax(z, -1)[y]", {"T2.1": mistakes.PROBABILITY}),
    wrong("no normaliser", LOSS + "return -z[y]", {"T2.1": mistakes.LOGIT}),
    wrong("bits", LOSS + "return -torch.log2(torch.softmax(z, -1)[y])", {"T2.1": mistakes.BITS}),
    wrong(
        "log-likelihood", LOSS + "return torch.log_softmax(z, -1)[y]", {"T2.1": mistakes.NEGATIVE}
    ),
    wrong(
        "overflow",
        LOSS + "return torch.log(torch.exp(z).sum()) - z[y]",
        {"T2.1": mistakes.OVERFLOW},
    ),
    wrong(
        "the library's loss",
        LOSS + "return torch.nn.functional.cross_entropy(z[None], torch.tensor([y]))",
        {"T2.1": "which it is to replace"},
    ),
    wrong(
        "the library's loss by another name",
        """import torch
from torch.nn.functional import cross_entropy as ce
def token_loss(z, y): return ce(z[None], torch.tensor([y]))""",
        {"T2.1": "which it is to replace"},
    ),
    wrong(
        "the library's class",
        LOSS + "return getattr(torch.nn, 'CrossEntropy' + 'Loss')()(z[None], torch.tensor([y]))",
        {"T2.1": "which it is to replace"},
    ),
    wrong("sign", STEP + "return h - p", {"T2.2": mistakes.SIGN}),
    wrong("softmax only", STEP + "return p", {"T2.2": mistakes.NO_TARGET}),
    wrong("target only", STEP + "return (p - h) * h", {"T2.2": mistakes.ONLY_TARGET}),
    wrong("of the probability", STEP + "return p[y] * (h - p)", {"T2.2": mistakes.OF_PROBABILITY}),
    wrong(
        "mean over the vocabulary", STEP + "return (p - h) / len(z)", {"T2.2": mistakes.PER_ENTRY}
    ),
    wrong("in place", STEP + "z.copy_(p - h); return z", {"T2.2": IN_PLACE}),
    wrong(
        "overflow in the gradient",
        STEP + "e = torch.exp(z); return e / e.sum() - h",
        {"T2.2": mistakes.OVERFLOW},
    ),
    wrong(
        "autograd",
        """import torch
def logit_gradient(z, y):
    z = z.clone().requires_grad_()
    (z.logsumexp(-1) - z[y]).backward()
    return z.grad""",
        {"T2.2": "which it is to replace"},
    ),
    wrong(
        "autograd by torch.func",
        """import torch
def logit_gradient(z, y): return torch.func.grad(lambda z: z.logsumexp(-1) - z[y])(z)""",
        {"T2.2": "which it is to replace"},
    ),
    wrong(
        "mean over all positions",
        MASKED + "    g[rows[chosen], labels[chosen]] -= 1; g[~chosen] = 0; return g / len(z)",
        {"T2.3": mistakes.ALL},
    ),
    wrong(
        "a sum",
        MASKED + "    g[rows[chosen], labels[chosen]] -= 1; g[~chosen] = 0; return g",
        {"T2.3": mistakes.SUM},
    ),
    wrong(
        "unmasked rows",
        MASKED + "    g[rows[chosen], labels[chosen]] -= 1; return g / n",
        {"T2.3": t2.UNMASKED},
    ),
    wrong(
        "the label -100 as an index",
        MASKED + "    g[rows, labels % z.shape[1]] -= 1; return g / n",
        {"T2.3": t2.UNMASKED},
    ),
    wrong(
        "0 / 0",
        MASKED
        + "    g[rows[chosen], labels[chosen]] -= 1; g[~chosen] = 0; return g / chosen.sum()",
        {"T2.3": mistakes.EMPTY},
    ),
    wrong("no shift", CAUSAL + "    return (p - one) / T", {"T2.4": mistakes.SHIFT}),
    wrong(
        "shifted back",
        CAUSAL + "    g[1:] = (p[1:] - one[:-1]) / (T - 1); return g",
        {"T2.4": mistakes.BACK},
    ),
    wrong("wrapped", CAUSAL + "    return (p - one.roll(-1, 0)) / T", {"T2.4": mistakes.WRAP}),
    wrong(
        "divided by the length",
        CAUSAL + "    g[:-1] = (p[:-1] - one[1:]) / T; return g",
        {"T2.4": mistakes.LENGTH},
    ),
    wrong(
        "a causal sum",
        CAUSAL + "    g[:-1] = p[:-1] - one[1:]; return g",
        {"T2.4": mistakes.SUM},
    ),
    right(
        "numpy",
        """import numpy as np
def token_loss(z, y):
    z = np.asarray(z); top = z.max()
    return top + np.log(np.exp(z - top).sum()) - z[y]
def logit_gradient(z, y):
    e = np.exp(np.asarray(z) - np.max(np.asarray(z)))
    g = e / e.sum()
    g[y] -= 1
    return g""",
    ),
    right(
        "loops and lists",
        """import math
def logit_gradient(z, y):
    z = [float(x) for x in z]; top = max(z)
    total = sum(math.exp(x - top) for x in z)
    return [math.exp(x - top) / total - (i == y) for i, x in enumerate(z)]
def mlm_gradient(z, labels):
    n = sum(int(y) != -100 for y in labels)
    rows = [logit_gradient(row, int(y)) if int(y) != -100 else [0.0] * len(row)
            for row, y in zip(z, labels)]
    return [[x / max(1, n) for x in row] for row in rows]
def clm_gradient(z, ids):
    return mlm_gradient(z, [int(y) for y in ids[1:]] + [-100])""",
    ),
    right(
        "the causal by the masked one, in single precision",
        """import torch
from torch.nn.functional import one_hot
def mlm_gradient(logits, labels):
    chosen = (labels != -100).float()[:, None]
    target = one_hot(labels.clamp(min=0), logits.shape[-1])
    return (logits.float().softmax(-1) - target) * chosen / chosen.sum().clamp(min=1)
def clm_gradient(logits, ids):
    return mlm_gradient(logits, torch.cat([ids[1:], torch.tensor([-100])]))""",
    ),
    right(
        "log-softmax",
        """import torch
def token_loss(logits, target): return float(-torch.log_softmax(logits, 0)[target])
def logit_gradient(logits, target):
    gradient = logits.sub(logits.logsumexp(0)).exp()
    gradient[target] = gradient[target] - 1.0
    return gradient""",
    ),
    wrong(
        "the logarithm of a probability that is 0",
        LOSS + "return -torch.log(torch.softmax(z, -1)[y])",
        {"T2.1": mistakes.OVERFLOW},
    ),
    wrong(
        "token 0 left out",
        MASKED.replace("labels != -100", "labels > 0")
        + "    g[rows[chosen], labels[chosen]] -= 1; g[~chosen] = 0; return g / n",
        {"T2.3": mistakes.TOKEN_ZERO},
    ),
    right(
        "a one-hot vector of single precision",
        """import torch
def token_loss(z, y): return z.logsumexp(0) - z @ torch.eye(len(z))[y]
def logit_gradient(z, y): return torch.softmax(z, 0) - torch.eye(len(z))[y]""",
    ),
    wrong(
        "differences of losses",
        """import torch
def logit_gradient(z, y):
    z = z.double()
    loss = lambda v: v.logsumexp(0) - v[y]
    return torch.stack([(loss(z + h) - loss(z - h)) / 2e-3 for h in 1e-3 * torch.eye(len(z))])
def mlm_gradient(z, labels):
    rows = [logit_gradient(r, y) if y >= 0 else 0 * r.double() for r, y in zip(z, labels)]
    return torch.stack(rows) / max(1, int((labels >= 0).sum()))""",
        {"T2.2": mistakes.NUMERIC},  # the other is right with a right gradient of one position
    ),
]

"""Answers to L1, and what the grader must say to each."""

from course_tools.grading.references import l1 as mistakes
from course_tools.grading.selftest import right, wrong
from course_utils.grading.item import IN_PLACE
from course_utils.grading.items import l1
from course_utils.grading.recorded import OTHER_RUN

STATES = """
def layer_states(model, input_ids, attention_mask):
    {mode}
    with {grad}:
        out = model(input_ids=input_ids, {mask} output_hidden_states=True)
    return {result}
"""
GOOD = {
    "mode": "model.eval()",
    "grad": "torch.no_grad()",
    "mask": "attention_mask=attention_mask,",
    "result": "torch.stack(out.hidden_states)",
}
VECTORS = """
def text_vectors(states, attention_mask, how):
    m = attention_mask
    rows = torch.arange(len(states))
    first, last = m.argmax(1), m.shape[1] - 1 - m.flip(1).argmax(1)
    if how == "first":
        return {first}
    if how == "last":
        return {last}
    return {mean}
"""
EACH = {
    "first": "states[rows, first]",
    "last": "states[rows, last]",
    "mean": "(states * m[..., None]).sum(1) / m.sum(1)[:, None]",
}
COSINE = """
def mean_cosine(v):
    {before}
    u = {unit}
    c = u @ u.T
    n = len(v)
    return {result}
"""
CONE = {
    "before": "pass",
    "unit": "v / v.norm(dim=1, keepdim=True)",
    "result": "(c.sum() - c.trace()) / (n * (n - 1))",
}
CKA = """
def linear_cka(x, y):
    {centre}
    n = lambda m: torch.linalg.matrix_norm(m, {norm})
    return {result}
"""
SPACES = {
    "centre": "x = x - x.mean(0); y = y - y.mean(0)",
    "norm": "'fro'",
    "result": "n(y.T @ x) ** 2 / (n(x.T @ x) * n(y.T @ y))",
}
LOOKS = """
def where_it_looks(a, m):
    {before}
    u = torch.triu(torch.ones_like(a[0, 0]), 1)
    e = torch.eye(a.shape[-1], dtype=a.dtype)
    parts = torch.stack([(a * u.T).sum(-1), (a * e).sum(-1), (a * u).sum(-1)], -1)
    w = m[:, None, :, None].to(a.dtype)
    return {result}
"""
LOOKING = {"before": "pass", "result": "(parts * w).sum((0, 2)) / m.sum()"}
PROBE = """
def probe(x, y, new):
    from sklearn.linear_model import LogisticRegression
    mean, sd = x.mean(0), x.std(0)
    {how}
"""
FIT = "LogisticRegression(max_iter=300).fit((x - mean) / sd, y)"
RECORD = "recorded_L1 = dict(recorded_L1, **{"


def states(**change):
    """L1.1 with something changed."""
    return STATES.format(**GOOD | change)


def vectors(**change):
    """L1.2 with something changed."""
    return VECTORS.format(**EACH | change)


def cosine(**change):
    """L1.3 with something changed."""
    return COSINE.format(**CONE | change)


def spaces(**change):
    """L1.4 with something changed."""
    return CKA.format(**SPACES | change)


def looks(**change):
    """L1.5 with something changed."""
    return LOOKS.format(**LOOKING | change)


BANK = [
    wrong("dropout on", states(mode="pass"), {"L1.1": l1.DROPOUT}),
    wrong("no mask", states(mask=""), {"L1.1": mistakes.UNMASKED}),
    wrong(
        "by order",
        states().replace("input_ids=input_ids, attention_mask=", "input_ids, "),
        {"L1.1": l1.BY_NAME},
    ),
    wrong(
        "neighbours",
        cosine(result="c.diagonal(1).mean()"),
        {"L1.3": mistakes.NEIGHBOURS},
    ),
    wrong("by feature", cosine(unit="v / v.norm(dim=0)"), {"L1.3": mistakes.FEATURES}),
    wrong("half over all", cosine(result="c.triu(1).sum() / n**2"), {"L1.3": mistakes.HALF}),
    wrong(
        "one mean", spaces(centre="x = x - x.mean(); y = y - y.mean()"), {"L1.4": mistakes.ONE_MEAN}
    ),
    wrong(
        "standardised",
        spaces(centre="x, y = ((v - v.mean(0)) / v.std(0) for v in (x, y))"),
        {"L1.4": mistakes.STANDARDISED},
    ),
    wrong(
        "not squared",
        spaces(result="n(y.T @ x) / (n(x.T @ x) * n(y.T @ y))"),
        {"L1.4": mistakes.UNSQUARED},
    ),
    wrong(
        "itself twice",
        looks().replace("ones_like(a[0, 0]), 1)", "ones_like(a[0, 0]))"),
        {"L1.5": mistakes.ITSELF},
    ),
    wrong(
        "by all places",
        looks(result="(parts * w).sum((0, 2)) / m.numel()"),
        {"L1.5": mistakes.PADDED},
    ),
    wrong(
        "no embeddings",
        states(result="torch.stack(out.hidden_states[1:])"),
        {"L1.1": mistakes.NO_EMBEDDINGS},
    ),
    wrong("last layer only", states(result="out.hidden_states[-1]"), {"L1.1": mistakes.LAST_ONLY}),
    wrong(
        "from the top down",
        states(result="torch.stack(out.hidden_states[::-1])"),
        {"L1.1": mistakes.REVERSED},
    ),
    wrong(
        "texts first",
        states(result="torch.stack(out.hidden_states, 1)"),
        {"L1.1": mistakes.BATCH_FIRST},
    ),
    wrong("with a gradient", states(grad="torch.enable_grad()"), {"L1.1": l1.GRADIENT}),
    wrong("the tuple of outputs", states(result="out"), {"L1.1": "not made of numbers"}),
    wrong("the last position", vectors(last="states[:, -1]"), {"L1.2": mistakes.END_PADDING}),
    wrong("counted", vectors(last="states[rows, m.sum(1) - 1]"), {"L1.2": mistakes.COUNTED}),
    wrong("position 0", vectors(first="states[:, 0]"), {"L1.2": mistakes.START_PADDING}),
    wrong("mean of all", vectors(mean="states.mean(1)"), {"L1.2": mistakes.MEAN_PADDING}),
    wrong(
        "divided by the length",
        vectors(mean="(states * m[..., None]).mean(1)"),
        {"L1.2": mistakes.DIVIDED},
    ),
    wrong("a sum", vectors(mean="(states * m[..., None]).sum(1)"), {"L1.2": mistakes.ADDED}),
    wrong(
        "in place",
        vectors(mean="states.mul_(m[..., None]).sum(1) / m.sum(1)[:, None]"),
        {"L1.2": IN_PLACE},
    ),
    wrong("with itself", cosine(result="c.mean()"), {"L1.3": mistakes.DIAGONAL}),
    wrong("dot products", cosine(unit="v"), {"L1.3": mistakes.DOT}),
    wrong("centred", cosine(before="v = v - v.mean(0)"), {"L1.3": mistakes.CENTRED}),
    wrong("half", cosine(result="torch.triu(c, 1).sum() / (n * (n - 1))"), {"L1.3": mistakes.HALF}),
    wrong("not centred", spaces(centre="pass"), {"L1.4": mistakes.UNCENTRED}),
    wrong(
        "each text centred",
        spaces(centre="x = x - x.mean(1, True); y = y - y.mean(1, True)"),
        {"L1.4": mistakes.BY_TEXT},
    ),
    wrong(
        "not squared",
        spaces(result="n(y.T @ x) / (n(x.T @ x) * n(y.T @ y)) ** 0.5"),
        {"L1.4": mistakes.ROOT},
    ),
    wrong("not scaled", spaces(result="n(y.T @ x) ** 2"), {"L1.4": mistakes.UNSCALED}),
    wrong("spectral norm", spaces(norm="2"), {"L1.4": mistakes.SPECTRAL}),
    wrong(
        "needs equal dimensions",
        """def linear_cka(x, y):
    x = x - x.mean(0); y = y - y.mean(0)
    return (x * y).sum() ** 2 / ((x * x).sum() * (y * y).sum())""",
        {"L1.4": "stopped with RuntimeError"},
    ),
    wrong("padding looks", looks(result="parts.mean((0, 2))"), {"L1.5": mistakes.PADDED}),
    wrong("columns look", looks(before="a = a.mT"), {"L1.5": mistakes.BACKWARDS}),
    wrong(
        "before is after",
        looks(result="((parts * w).sum((0, 2)) / m.sum()).flip(-1)"),
        {"L1.5": mistakes.BACKWARDS},
    ),
    wrong("sums", looks(result="(parts * w).sum((0, 2))"), {"L1.5": mistakes.TOTAL}),
    wrong(
        "mean of means",
        looks(result="((parts * w).sum(2) / w.sum(2)).mean(0)"),
        {"L1.5": mistakes.PER_TEXT},
    ),
    wrong(
        "not standardised",
        PROBE.format(how="return LogisticRegression().fit(x, y).predict(new)"),
        {"L1.6": l1.WEAK},
    ),
    wrong(
        "the test's own mean",
        PROBE.format(how=f"return {FIT}.predict((new - new.mean(0)) / new.std(0))"),
        {"L1.6": l1.OWN},
    ),
    wrong(
        "nearest neighbours",
        PROBE.format(
            how="from sklearn.neighbors import KNeighborsClassifier as K; "
            "return K(3).fit((x - mean) / sd, y).predict((new - mean) / sd)"
        ),
        {"L1.6": l1.BENT},
    ),
    wrong(
        "a forest",
        PROBE.format(
            how="from sklearn.ensemble import RandomForestClassifier as R; "
            "return R(random_state=0).fit((x - mean) / sd, y).predict((new - mean) / sd)"
        ),
        {"L1.6": l1.BENT},
    ),
    wrong(
        "numbers of classes",
        PROBE.format(how=f"return {FIT}.predict_proba((new - mean) / sd).argmax(1)"),
        {"L1.6": l1.INDEX},
    ),
    wrong(
        "probabilities",
        PROBE.format(how=f"return {FIT}.predict_proba((new - mean) / sd)"),
        {"L1.6": l1.SCORES},
    ),
    wrong(
        "the most frequent",
        PROBE.format(how="import numpy as np; return np.full(len(new), np.bincount(y).argmax())"),
        {"L1.6": l1.WEAK},
    ),
    wrong("percent", RECORD + "'gpt last': 52.0})", {"L1.7": "percentage"}),
    wrong("one is missing", "del recorded_L1['bert mean']", {"L1.7": "lacks 'bert mean'"}),
    wrong("no share of the texts", RECORD + "'bert mean': 0.5012345})", {"L1.7": "no share"}),
    wrong("all chance", RECORD + "'majority': 0.98})", {"L1.7": l1.CHANCE}),
    wrong("a list", "recorded_L1 = [0.5, 0.6]", {"L1.7": "no dictionary"}),
    wrong("no text", "answer_L1 = ''", {"L1.8": "empty"}),
    right(
        "numpy",
        """import numpy as np
def layer_states(model, input_ids, attention_mask):
    model.train(False)
    with torch.inference_mode():
        out = model(input_ids, attention_mask=attention_mask, output_hidden_states=True)
    return np.stack([h.numpy() for h in out.hidden_states])
def text_vectors(states, attention_mask, how):
    found = []
    for s, m in zip(states.numpy(), attention_mask.numpy()):
        real = s[m > 0]
        found.append({"first": real[0], "last": real[-1], "mean": real.mean(0)}[how])
    return np.array(found)
def mean_cosine(v):
    v = v.numpy()
    pairs = [(i, j) for i in range(len(v)) for j in range(i)]
    angle = lambda a, b: a @ b / np.sqrt(a @ a * (b @ b))
    return float(np.mean([angle(v[i], v[j]) for i, j in pairs]))""",
    ),
    right(
        "text by text, Gram matrices, loops",
        """import numpy as np
def layer_states(model, input_ids, attention_mask):
    model.eval()
    rows = []
    for ids, mask in zip(input_ids, attention_mask):
        n = int(mask.sum())
        with torch.no_grad():
            out = model(input_ids=ids[None, :n], output_hidden_states=True).hidden_states
        rows.append(torch.nn.functional.pad(torch.cat(out), (0, 0, 0, len(ids) - n)))
    return torch.stack(rows, 1)
def linear_cka(x, y):
    n = len(x)
    h = torch.eye(n, dtype=x.dtype) - 1 / n
    k, l = h @ x @ x.T @ h, h @ y @ y.T @ h
    return (k * l).sum() / ((k * k).sum() * (l * l).sum()).sqrt()
def where_it_looks(attention, mask):
    found = np.zeros((attention.shape[1], 3))
    for a, m in zip(attention.numpy(), mask.numpy()):
        for i in range(len(m)):
            if m[i]:
                found += np.stack([a[:, i, :i].sum(1), a[:, i, i], a[:, i, i + 1:].sum(1)], 1)
    return found / mask.sum().item()
def probe(x, y, new):
    from sklearn.neighbors import NearestCentroid
    mean, sd = x.mean(0), x.std(0)
    return NearestCentroid().fit((x - mean) / sd, y).predict((new - mean) / sd).tolist()""",
    ),
    right(
        "a pipeline, single precision, other names",
        """from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.linear_model import RidgeClassifier
def probe(a, b, c):
    return make_pipeline(StandardScaler(), RidgeClassifier()).fit(a, b).predict(c)
def text_vectors(states, mask, how):
    x, m = states.float(), mask.bool()
    if how == "mean":
        return torch.einsum("btd,bt->bd", x, m.float()) / m.sum(1, keepdim=True)
    steps = torch.arange(m.shape[1]).expand_as(m)
    far = steps.masked_fill(~m, -1).argmax(1) if how == "last" else m.int().argmax(1)
    return x.gather(1, far[:, None, None].expand(-1, 1, x.shape[2]))[:, 0]
def mean_cosine(v):
    u = torch.nn.functional.normalize(v.float(), dim=1)
    n = len(u)
    return ((u.sum(0) ** 2).sum() - n) / (n * n - n)""",
    ),
    right(
        "weights of single precision",
        """def text_vectors(states, mask, how):
    real = mask.float()
    if how == "mean":
        weights = real / real.sum(1, keepdim=True)
    else:
        at = mask.argmax(1) if how == "first" else (mask * torch.arange(mask.shape[1])).argmax(1)
        weights = torch.eye(mask.shape[1])[at]
    return torch.einsum("bt,btd->bd", weights, states)
def where_it_looks(attention, mask):
    T = attention.shape[-1]
    after = torch.triu(torch.ones(T, T), 1)
    places = (after.T, torch.eye(T), after)
    parts = [torch.einsum("bhij,ij,bi->h", attention, w, mask.float()) for w in places]
    return torch.stack(parts, 1) / mask.sum()""",
    ),
    wrong("an invented accuracy", RECORD + "'bert mean': 0.586})", {"L1.7": OTHER_RUN}),
    wrong(
        "invented labels",
        RECORD + "'gpt first': recorded_L1['gpt mean'], 'guesses': recorded_L1['guesses'] | "
        "{'gpt first': recorded_L1['guesses']['gpt mean']}})",
        {"L1.7": l1.IMPOSSIBLE},
    ),
    wrong("without labels", RECORD + "'guesses': {}})", {"L1.7": l1.LABELS}),
]

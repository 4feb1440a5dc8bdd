"""L1: BERT and GPT as frozen feature extractors."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_utils.grading import tiny
from course_utils.grading.item import Item, Student, Wrong, array, compare, require, same
from course_utils.grading.plain import made
from course_utils.grading.recorded import number, record, share

ITEM = Item("L1", "Frozen features", "L1_frozen_features")

HOWS = ("first", "mean", "last")
DROPOUT = "Two calls differ: dropout is on. Put the model into evaluation mode."
GRADIENT = "The states still carry a gradient: compute them under `torch.no_grad()`."
UNMASKED = "The model reads the padding: give it the attention mask."
NO_EMBEDDINGS = "The embeddings are missing: they are layer 0, so there is one more than layers."
LAST_ONLY = "That is the last layer only; asked for are all, stacked."
BY_NAME = "Name the arguments (`attention_mask=…`): their order is not the same in all models."
REVERSED = "The layers are in reverse order: the embeddings come first."
BATCH_FIRST = "The first axis is the layer, the second the text."

IN_PLACE = "Your function changes what it was given; work on a copy."
END_PADDING = "`[:, -1]` reads padding where a text is shorter: take the last *real* token."
START_PADDING = "Where the padding stands on the left, position 0 is padding."
COUNTED = "The number of real tokens gives the last position only if the padding is on the right."
MEAN_PADDING = "The padding is averaged, too: only real tokens count."
DIVIDED = "You divide by the length of the row; divide by the number of real tokens."
ADDED = "That is the sum of the real tokens; divide by their number."

DIAGONAL = "Every vector is compared with itself, too, which gives 1; leave the diagonal out."
DOT = "Those are dot products: divide each vector by its length first."
CENTRED = "You moved the mean to zero first; that takes away what is measured here."
NEIGHBOURS = "Those are pairs of neighbours only; asked for is the mean over all pairs."
FEATURES = "You divided each *feature* by its length; divide each vector, a row, by its own."
HALF = "The sum runs over half of the pairs, but is divided by all."

UNCENTRED = "Centre first: subtract from each feature its mean over the texts."
BY_TEXT = "You centred each text; subtract from each *feature* its mean over the texts."
ROOT = "That is the square root: the numerator is the *squared* Frobenius norm."
ONE_MEAN = "You subtracted one number from all; subtract from each *feature* its own mean."
STANDARDISED = "Features are centred, not divided by their standard deviations."
UNSQUARED = "The numerator is the *squared* Frobenius norm; yours is not squared."
UNSCALED = "Nothing is divided: the value changes when all features are doubled."
SPECTRAL = "That is the spectral norm; the Frobenius norm is the root of the sum of squares."

PADDED = "Queries that are padding are averaged, too: only real tokens look."
BACKWARDS = "Before and after are the wrong way round: row = who looks, column = at whom."
ITSELF = "The token itself is counted before and after, too: leave the diagonal out there."
TOTAL = "Those are sums over the tokens; asked for is their mean."
PER_TEXT = "You averaged each text, then the texts; every real token counts the same here."

WEAK = "It finds fewer of the easy test labels than a probe can: standardise the features first."
OWN = (
    "The answer for a text depends on the other test texts: mean and standard deviation are those "
    "of the *training* features."
)
INDEX = "Those are numbers of classes, 0, 1, …; asked for are the labels as they were given."
SCORES = "Return one label a test text, not probabilities or an accuracy."

KEYS = [f"{model} {how}" for model in ("bert", "gpt") for how in HOWS]
CHANCE = "None is better than always answering the most frequent class: is the probe at work?"
EQUAL = "All are equal; different features cannot all give the same accuracy."


# -- what is right ---------------------------------------------------------------------------------


def states_of(kind: str, seed: int, ids: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """States of a tiny model after every layer, (layers + 1, texts, tokens, d)."""
    import torch

    model = getattr(tiny, kind)(seed, 0.5, 3).eval()
    real = None if mask is None else torch.tensor(mask)
    with torch.no_grad():
        found = model(input_ids=torch.tensor(ids), attention_mask=real, output_hidden_states=True)
    return torch.stack(found.hidden_states).numpy()


def last_real(mask: np.ndarray) -> np.ndarray:
    """Index of the last 1 in each row."""
    return mask.shape[1] - 1 - mask[:, ::-1].argmax(1)


def pooled(states: np.ndarray, mask: np.ndarray, how: str) -> np.ndarray:
    """One vector a text."""
    rows = np.arange(len(states))
    if how == "mean":
        return (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return states[rows, mask.argmax(1) if how == "first" else last_real(mask)]


def cosines(vectors: np.ndarray) -> np.ndarray:
    """Cosine of every pair, (N, N)."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def off_diagonal(matrix: np.ndarray) -> float:
    """Mean of a square matrix without its diagonal."""
    count = len(matrix)
    return float((matrix.sum() - np.trace(matrix)) / (count * (count - 1)))


def cka(x: np.ndarray, y: np.ndarray, norm: Any = "fro") -> float:
    """Linear CKA without centring (Kornblith et al. 2019, §3)."""
    norms = [float(np.linalg.norm(m, norm)) for m in (y.T @ x, x.T @ x, y.T @ y)]
    return norms[0] ** 2 / (norms[1] * norms[2])


def shares(attention: np.ndarray) -> np.ndarray:
    """Attention paid before, at and after each token: (texts, heads, tokens, 3)."""
    upper, eye = np.triu(np.ones(attention.shape[-2:]), 1), np.eye(attention.shape[-1])
    masks = np.stack([upper.T, eye, upper])  # [k, i, j]: query i, key j
    return np.einsum("bhij,kij->bhik", attention, masks)


def over_real(found: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean over the real tokens of all texts, (heads, 3)."""
    return np.einsum("bhik,bi->hk", found, mask) / mask.sum()


# -- checks ----------------------------------------------------------------------------------------


def check_states(student: Student, kind: str, seed: int, ids: np.ndarray, mask: np.ndarray) -> None:
    """Compare `layer_states` at the real tokens of a tiny model that was left in training mode."""
    import torch

    args = (made(f"course_utils.grading.tiny:{kind}", seed, 0.5, 3), torch.tensor(ids))
    args = (*args, torch.tensor(mask))
    want, free = states_of(kind, seed, ids, mask), states_of(kind, seed, ids, None)
    try:
        got = array(student.call("layer_states", *args), "layer_states")
    except Wrong as wrong:
        require("AttributeError" not in wrong.hint, BY_NAME, wrong.detail)
        raise
    mistakes = {NO_EMBEDDINGS: want[1:], LAST_ONLY: want[-1], BATCH_FIRST: want.swapaxes(0, 1)}
    shapes = {hint: list(value.shape) for hint, value in mistakes.items()}
    compare(list(np.shape(got)), list(want.shape), shapes, what="the shape of layer_states")
    real = mask.astype(bool)
    again = array(student.call("layer_states", *args), "layer_states", want.shape)
    require(same(got := got[:, real], again[:, real]), DROPOUT)
    mistakes = {UNMASKED: free[:, real], REVERSED: want[::-1, real]}
    compare(got, want[:, real], mistakes, what="layer_states", rtol=1e-4, atol=1e-5)
    kept = student.keep("layer_states", *args)
    require(works(student, ".__array__", kept) or not works(student, ".detach", kept), GRADIENT)


def works(student: Student, method: str, kept: Any) -> bool:
    """Whether a method of a kept object runs; `__array__` of a tensor with a gradient does not."""
    try:
        student.call(method, kept)
    except Wrong:
        return False
    return True


def check_vectors(student: Student, states: np.ndarray, mask: np.ndarray) -> None:
    """Compare `text_vectors` in its three ways."""
    import torch

    rows, count = np.arange(len(states)), mask.sum(1, keepdims=True)
    mistakes = {
        "first": {START_PADDING: states[:, 0]},
        "last": {END_PADDING: states[:, -1], COUNTED: states[rows, count[:, 0] - 1]},
        "mean": {
            MEAN_PADDING: states.mean(1),
            DIVIDED: pooled(states, mask, "mean") * count / mask.shape[1],
            ADDED: pooled(states, mask, "mean") * count,
        },
    }
    for how in HOWS:
        given = torch.tensor(states), torch.tensor(mask)
        got, after = student.call_after("text_vectors", *given, how)
        want, what = pooled(states, mask, how), f"text_vectors(…, {how!r})"
        compare(got, want, mistakes[how], what=what, rtol=1e-4, atol=1e-6)
        require(same(after[0], states) and same(after[1], mask), IN_PLACE)


def check_cosine(student: Student, vectors: np.ndarray) -> None:
    """Compare `mean_cosine`."""
    import torch

    every, by_feature = cosines(vectors), vectors / np.linalg.norm(vectors, axis=0)
    mistakes = {
        DIAGONAL: every.mean(),
        DOT: off_diagonal(vectors @ vectors.T),
        CENTRED: off_diagonal(cosines(vectors - vectors.mean(0))),
        NEIGHBOURS: np.diagonal(every, 1).mean(),
        FEATURES: off_diagonal(by_feature @ by_feature.T),
        HALF: off_diagonal(every) / 2,
        HALF + " ": np.triu(every, 1).sum() / every.size,
    }
    got = student.call("mean_cosine", torch.tensor(vectors))
    compare(got, off_diagonal(every), mistakes, what="mean_cosine", rtol=1e-4, atol=1e-6)


def check_cka(student: Student, x: np.ndarray, y: np.ndarray) -> None:
    """Compare `linear_cka`."""
    import torch

    a, b = x - x.mean(0), y - y.mean(0)
    mistakes = {
        UNCENTRED: cka(x, y),
        BY_TEXT: cka(x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)),
        ONE_MEAN: cka(x - x.mean(), y - y.mean()),
        STANDARDISED: cka(a / a.std(0), b / b.std(0)),
        UNSQUARED: cka(a, b) / np.linalg.norm(b.T @ a),
        ROOT: cka(a, b) ** 0.5,
        UNSCALED: np.linalg.norm(b.T @ a) ** 2,
        SPECTRAL: cka(a, b, 2),
    }
    got = student.call("linear_cka", torch.tensor(x), torch.tensor(y))
    compare(got, cka(a, b), mistakes, what="linear_cka", rtol=1e-4, atol=1e-6)


def check_looks(student: Student, attention: np.ndarray, mask: np.ndarray) -> None:
    """Compare `where_it_looks`."""
    import torch

    found, real = shares(attention), mask / mask.sum(1, keepdims=True)
    want = over_real(found, mask)
    mistakes = {
        PADDED: found.mean((0, 2)),
        BACKWARDS: want[:, ::-1],
        BACKWARDS + " ": over_real(shares(attention.swapaxes(2, 3)), mask),
        ITSELF: want @ [[1, 0, 0], [1, 1, 1], [0, 0, 1]],
        PADDED + " ": want * mask.mean(),
        TOTAL: want * mask.sum(),
        PER_TEXT: np.einsum("bhik,bi->hk", found, real) / len(mask),
    }
    got = student.call("where_it_looks", torch.tensor(attention), torch.tensor(mask))
    compare(got, want, mistakes, what="where_it_looks", rtol=1e-4, atol=1e-6)


def check_probe(student: Student, rng: np.random.Generator) -> None:
    """Classes that are easy to tell, in features of very different size."""
    labels = np.sort(rng.permutation(9)[:3] + 1)
    size = np.array([1e-2, 1e-2, 1.0, 10.0, 30.0])

    def draw(classes: np.ndarray) -> np.ndarray:
        centres = np.array([[0, 0], [6, 0], [0, 6]])[classes]
        noise = rng.normal(size=(len(classes), 5))
        return (np.concatenate([centres, np.zeros((len(classes), 3))], 1) + noise) * size + 3 * size

    train, test = rng.integers(3, size=120), np.repeat([0, 1, 2], 20)
    x, y, new = draw(train), labels[train], draw(test)
    (got, after) = student.call_after("probe", x, y, new)
    got = array(got, "probe")
    require(got.shape == test.shape, SCORES)
    require(not same(got, test) or same(labels[test], test), INDEX)
    require(float((got == labels[test]).mean()) >= 0.9, WEAK)
    require(same(after[0], x) and same(after[2], new), IN_PLACE)
    for first in (0, 20, 40):
        alone = student.call("probe", x, y, new[first : first + 20])
        require(same(alone, got[first : first + 20]), OWN)


def check_record(student: Student, rng: Any = None) -> None:
    """The record of the probes: complete, possible, and not all the same."""
    found = record(student, "recorded_L1", [*KEYS, "majority", "test_texts"])
    count = int(number(found["test_texts"], "'test_texts'", 50))
    values = [share(found[key], repr(key), count) for key in KEYS]
    majority = share(found["majority"], "'majority'", count)
    require(max(values) > majority, CHANCE)
    require(len(set(values)) > 1, EQUAL)


# -- parts -----------------------------------------------------------------------------------------

IDS = np.array([[1, 9, 14, 30, 2], [1, 22, 2, 0, 0]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
SIDES = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 1]])


def drawn(*shape: int) -> np.ndarray:
    """Numbers for the public checks: always the same, with a mean that is not zero."""
    return np.random.default_rng(0).normal(size=shape) + 0.7


def attention_of(scores: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Softmax over the real keys: (texts, heads, tokens, tokens)."""
    weights = np.exp(scores) * mask[:, None, None, :]
    return weights / weights.sum(-1, keepdims=True)


@ITEM.part("L1.1", "All layers of a frozen model", 2, ["layer_states"])
def states(student: Student) -> None:
    """Check a tiny encoder and a tiny decoder on two texts of different length."""
    check_states(student, "bert", 0, IDS, MASK)
    check_states(student, "gpt", 0, IDS, MASK)


@ITEM.part("L1.2", "One vector a text", 3, ["text_vectors"])
def vectors(student: Student) -> None:
    """Check three texts: without padding, padded on the right, padded on the left."""
    check_vectors(student, drawn(3, 5, 4), SIDES)


@ITEM.part("L1.3", "How narrow the cone is", 2, ["mean_cosine"])
def cone(student: Student) -> None:
    """Check six vectors of different length, then two."""
    check_cosine(student, drawn(6, 4) * np.arange(1, 7)[:, None])
    check_cosine(student, np.array([[1.0, 0.0], [2.0, 2.0]]))


@ITEM.part("L1.4", "How alike two spaces are", 3, ["linear_cka"])
def alike(student: Student) -> None:
    """Check spaces of different dimension, and a rotated one."""
    x = drawn(12, 5)
    check_cka(student, x, x[:, :3] + drawn(12, 3) ** 2)
    check_cka(student, x, 2 * x[:, ::-1])


@ITEM.part("L1.5", "Where attention goes", 2, ["where_it_looks"])
def looks(student: Student) -> None:
    """Check two texts, one of them padded."""
    check_looks(student, attention_of(drawn(2, 3, 5, 5), MASK), MASK)


@ITEM.part("L1.6", "A probe", 3, ["probe"])
def probing(student: Student) -> None:
    """Check three classes."""
    check_probe(student, np.random.default_rng(0))


@ITEM.part("L1.7", "What you measured", 2, ["recorded_L1"])
def measured(student: Student) -> None:
    """Check the record."""
    check_record(student)


ITEM.text(
    "L1.8",
    "What the spaces hold",
    3,
    "answer_L1",
    """1 point: explains from the mask why GPT's first token cannot know the text (its accuracy does
    not change with depth) and its last one can, while BERT's first token gathers from both sides.
    1 point: reads the layers: the mean of the *embeddings* is a bag of words and already goes far;
    says what depth adds here, with numbers of the own run.
    1 point: names a limit of the comparison: small models, one corpus, one task and seed, a test
    set whose interval is several points wide, or that a linear probe shows what is linearly
    readable and not what fine-tuning would reach.""",
)

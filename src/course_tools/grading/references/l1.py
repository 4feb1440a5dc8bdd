"""L1: states of tiny models and what is measured on vectors, right and mistaken."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from course_tools.grading.cases import case, piece
from course_tools.grading.references.common import single
from course_utils.grading import tiny
from course_utils.grading.items.l1 import HOWS
from course_utils.grading.plain import made

SMALL = (2, 8)  # layers, and numbers in a vector

UNMASKED = "The model reads the padding: give it the attention mask."
NO_EMBEDDINGS = "The embeddings are missing: they are layer 0, so there is one more than layers."
LAST_ONLY = "That is the last layer only; asked for are all, stacked."
REVERSED = "The layers are in reverse order: the embeddings come first."
BATCH_FIRST = "The first axis is the layer, the second the text."

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
SIGNLESS = "Opposite directions have a cosine of -1, not 1: keep the sign."
SQUARED = "n vectors have n (n - 1) pairs of different ones; you divide by n²."
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
HEADS = "You averaged the heads, too; each has a row of its own."
TOTAL = "Those are sums over the tokens; asked for is their mean."
PER_TEXT = "You averaged each text, then the texts; every real token counts the same here."


def states_of(kind: str, seed: int, ids: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """States of a tiny model after every layer, (layers + 1, texts, tokens, d)."""
    model = getattr(tiny, kind)(seed, 0.5, *SMALL).eval()
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


def attention_of(scores: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Softmax over the real keys: (texts, heads, tokens, tokens)."""
    weights = np.exp(scores) * mask[:, None, None, :]
    return weights / weights.sum(-1, keepdims=True)


def states_case(kind: str, seed: int, ids: np.ndarray, mask: np.ndarray) -> dict:
    """A case of `layer_states` on a tiny model that was left in training mode."""
    want, free = states_of(kind, seed, ids, mask), states_of(kind, seed, ids, None)
    shapes = [(NO_EMBEDDINGS, want[1:]), (LAST_ONLY, want[-1]), (BATCH_FIRST, want.swapaxes(0, 1))]
    real = mask.astype(bool)
    pieces = [
        piece(
            "The shape of `layer_states`",
            list(want.shape),
            [(hint, list(states.shape)) for hint, states in shapes],
        ),
        piece(
            "`layer_states`",
            want[:, real],
            [(UNMASKED, free[:, real]), (REVERSED, want[::-1, real])],
        ),
    ]
    model = made(f"course_utils.grading.tiny:{kind}", seed, 0.5, *SMALL)
    return case(model, torch.tensor(ids), torch.tensor(mask), expected=pieces)


def vectors_cases(states: np.ndarray, mask: np.ndarray) -> list[dict]:
    """A case of `text_vectors` for each of its three ways."""
    rows, count = np.arange(len(states)), mask.sum(1, keepdims=True)
    mean = pooled(states, mask, "mean")
    mistakes = {
        "first": [(START_PADDING, states[:, 0])],
        "last": [(END_PADDING, states[:, -1]), (COUNTED, states[rows, count[:, 0] - 1])],
        "mean": [
            (MEAN_PADDING, states.mean(1)),
            (DIVIDED, mean * count / mask.shape[1]),
            (ADDED, mean * count),
        ],
    }
    given = single(states), torch.tensor(mask)
    return [
        case(*given, how, expected=pooled(states, mask, how), mistakes=mistakes[how])
        for how in HOWS
    ]


def cosine_case(vectors: np.ndarray) -> dict:
    """A case of `mean_cosine`."""
    every, by_feature = cosines(vectors), vectors / np.linalg.norm(vectors, axis=0)
    n = len(vectors)
    mistakes = [
        (DIAGONAL, float(every.mean())),
        (DOT, off_diagonal(vectors @ vectors.T)),
        (CENTRED, off_diagonal(cosines(vectors - vectors.mean(0)))),
        (NEIGHBOURS, float(np.diagonal(every, 1).mean())),
        (FEATURES, off_diagonal(by_feature @ by_feature.T)),
        (FEATURES, float(((by_feature @ by_feature.T).sum() - n) / (n * (n - 1)))),
        (SIGNLESS, off_diagonal(np.abs(every))),
        (SQUARED, off_diagonal(every) * (n - 1) / n),
        (HALF, off_diagonal(every) / 2),
        (HALF, float(np.triu(every, 1).sum() / every.size)),
    ]
    return case(single(vectors), expected=off_diagonal(every), mistakes=mistakes)


def cka_case(x: np.ndarray, y: np.ndarray) -> dict:
    """A case of `linear_cka`."""
    a, b = x - x.mean(0), y - y.mean(0)
    want, top = cka(a, b), float(np.linalg.norm(b.T @ a))
    mistakes = [
        (UNCENTRED, cka(x, y)),
        (BY_TEXT, cka(x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True))),
        (ONE_MEAN, cka(x - x.mean(), y - y.mean())),
        (STANDARDISED, cka(a / a.std(0), b / b.std(0))),
        (UNSQUARED, want / top),
        (ROOT, want**0.5),
        (UNSCALED, top**2),
        (SPECTRAL, cka(a, b, 2)),
    ]
    return case(single(x), single(y), expected=want, mistakes=mistakes)


def looks_case(attention: np.ndarray, mask: np.ndarray) -> dict:
    """A case of `where_it_looks`."""
    found, real = shares(attention), mask / mask.sum(1, keepdims=True)
    want = over_real(found, mask)
    mistakes = [
        (PADDED, found.mean((0, 2))),
        (BACKWARDS, want[:, ::-1]),
        (BACKWARDS, over_real(shares(attention.swapaxes(2, 3)), mask)),
        (ITSELF, want @ [[1, 0, 0], [1, 1, 1], [0, 0, 1]]),
        (PADDED, want * mask.mean()),
        (TOTAL, want * mask.sum()),
        (HEADS, want.mean(0)),
        (PER_TEXT, np.einsum("bhik,bi->hk", found, real) / len(mask)),
    ]
    return case(single(attention), torch.tensor(mask), expected=want, mistakes=mistakes)


def probe_case(rng: np.random.Generator) -> dict:
    """A case of `probe`: classes easy to tell, in features of very different size."""
    labels = np.sort(rng.permutation(9)[:3] + 1)
    size = np.array([1e-2, 1e-2, 1.0, 10.0, 30.0])

    def draw(classes: np.ndarray) -> np.ndarray:
        centres = np.array([[0, 0], [6, 0], [0, 6]])[classes]
        noise = rng.normal(size=(len(classes), 5))
        return (np.concatenate([centres, np.zeros((len(classes), 3))], 1) + noise) * size + 3 * size

    train, test = rng.integers(3, size=120), np.repeat([0, 1, 2], 20)
    args = draw(train), labels[train], draw(test)
    return {"args": list(args), "labels": labels[test], "classes": test, "crosswise": False}


def crosswise_case(rng: np.random.Generator) -> dict:
    """Two classes in opposite corners of a square: a neighbour or a tree tells them, no line."""

    def draw(corners: np.ndarray) -> np.ndarray:
        centres = np.array([[1, 1], [-1, -1], [1, -1], [-1, 1]])[corners]
        return centres + 0.1 * rng.normal(size=(len(corners), 2))

    train, test = np.repeat(range(4), 30), np.repeat(range(4), 15)
    args = [draw(train), train // 2, draw(test)]
    return {"args": args, "labels": test // 2, "classes": test // 2, "crosswise": True}


IDS = np.array([[1, 9, 14, 30, 2], [1, 22, 2, 0, 0]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
SIDES = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 1]])


def drawn(*shape: int) -> np.ndarray:
    """Numbers for the public cases: always the same, with a mean that is not zero."""
    return np.random.default_rng(0).normal(size=shape) + 0.7


def public() -> dict[str, list[dict]]:
    """Two texts of different length; padding on either side; spaces, attention, three classes."""
    x = drawn(12, 5)
    return {
        "L1.1": [states_case(kind, 0, IDS, MASK) for kind in ("bert", "gpt")],
        "L1.2": vectors_cases(drawn(3, 5, 4), SIDES),
        "L1.3": [
            cosine_case(drawn(6, 4) * np.arange(1, 7)[:, None]),
            cosine_case(np.array([[1.0, 0.0], [2.0, 2.0]])),
        ],
        "L1.4": [cka_case(x, x[:, :3] + drawn(12, 3) ** 2), cka_case(x, 2 * x[:, ::-1])],
        "L1.5": [looks_case(attention_of(drawn(2, 3, 5, 5), MASK), MASK)],
        "L1.6": [probe_case(np.random.default_rng(0)), crosswise_case(np.random.default_rng(0))],
    }

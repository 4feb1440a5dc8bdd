"""P1: what tiny encoders predict, and what mistakes make of it."""

from __future__ import annotations

import numpy as np
import torch

from course_tools.grading.cases import case, piece
from course_tools.grading.references.common import POSITIONS, softmax
from course_utils.grading import tiny
from course_utils.grading.items.p1 import MASK, WORST
from course_utils.grading.plain import made

TOKENIZER = made("course_utils.grading.tiny:tokenizer")

NO_CLS = "You counted without [CLS]: the model reads it first, so every position moves by one."
WORDS = "You counted words; the tokenizer makes tokens of its own, punctuation among them."
CHARACTERS = (
    "That is a place in the string; asked for is one among the tokens that the model reads."
)
EXAMPLE = "6 is the position in the exercise's own example; here the mask stands elsewhere."
FROM_END = "That is the last token before [SEP], not the mask."
LOGITS = "Those are logits; probabilities come from the softmax over the vocabulary."
LOGS = "Those are log-probabilities; give the probabilities themselves."
FEW = "Your softmax is over the k best only; it is over the whole vocabulary."
SIGMOID = "A sigmoid treats every piece by itself; one piece stands there, so it is a softmax."
AT_CLS = "You read position 0, which is [CLS]; read the position of the mask."
AT_SEP = "You read the last position, which is [SEP]; read the position of the mask."
BESIDE = "You read the position before the mask: [CLS] was not counted."
NATS = "Those are nats: bits use the logarithm to base 2."
TOP_ONE = "You ask whether the answer is *the* likeliest; asked for is: among the k likeliest."
MEAN_FIRST = "You take the logarithm of the mean; asked for is the mean of the logarithms."
NEGATIVE = "The sign is the other way round: a surprise is never negative."
SUMMED = "You added up; both numbers are means over the rows."
LEAST = "Those are the *least* likely pieces: rank from the largest probability down."


def position(text: str) -> int:
    """Where the tiny tokenizer puts the mask."""
    return tiny.tokenizer()(text)["input_ids"].index(tiny.MARKS.index(MASK))


def tiny_logits(seed: int, text: str) -> np.ndarray:
    """Logits (tokens, V) of the tiny encoder, with dropout off."""
    inputs = tiny.tokenizer()(text, return_tensors="pt")
    with torch.no_grad():
        model = tiny.masked_bert(seed).eval()
        return model(inputs["input_ids"], inputs["attention_mask"]).logits[0].double().numpy()


def position_case(text: str) -> dict:
    """A case of `find_mask`, on the tiny tokenizer."""
    want = position(text)
    words = next(n for n, word in enumerate(text.split()) if MASK in word)
    end = len(tiny.tokenizer()(text)["input_ids"]) - 2
    mistakes = [(NO_CLS, want - 1), (WORDS, words), (WORDS, words + 1), (FROM_END, end)]
    mistakes += [(CHARACTERS, text.find(MASK)), (EXAMPLE, 6)]
    return case(TOKENIZER, text, expected=want, mistakes=mistakes)


def guesses_case(seed: int, text: str, k: int) -> dict:
    """A case of `top_guesses`, on a tiny encoder that was left in training mode."""
    every, at = tiny_logits(seed, text), position(text)
    logits = every[at]
    best = np.argsort(-logits)[:k]
    names, want = [tiny.VOCABULARY[i] for i in best], softmax(logits)[best]

    def paired(numbers: np.ndarray) -> list:
        return [[name, float(number)] for name, number in zip(names, numbers, strict=True)]

    def named(chances: np.ndarray) -> list:
        return [[tiny.VOCABULARY[i], float(chances[i])] for i in np.argsort(-chances)[:k]]

    def read_at(row: np.ndarray) -> list:
        return named(softmax(row))

    mistakes = [
        (AT_CLS, read_at(every[0])),
        (AT_SEP, read_at(every[-1])),
        (POSITIONS, named(softmax(every.T)[:, at])),
        (BESIDE, read_at(every[at - 1])),
        (WORST, paired(want)[::-1]),
        (LOGITS, paired(logits[best])),
        (LOGS, paired(np.log(want))),
        (FEW, paired(want / want.sum())),
        (SIGMOID, paired(1 / (1 + np.exp(-logits[best])))),
    ]
    model = made("course_utils.grading.tiny:masked_bert", seed)
    return case(model, TOKENIZER, text, k, expected=paired(want), mistakes=mistakes)


def quality_case(table: np.ndarray, answers: np.ndarray, k: int) -> dict:
    """A case of `quality`."""
    chances = table[np.arange(len(answers)), answers]
    rank = (table > chances[:, None]).sum(1)
    share, surprise = float((rank < k).mean()), float(-np.log2(chances).mean())
    shares = [
        (TOP_ONE, float((rank == 0).mean())),
        (SUMMED, float((rank < k).sum())),
        (LEAST, float(((table < chances[:, None]).sum(1) < k).mean())),
    ]
    surprises = [
        (NATS, surprise * float(np.log(2))),
        (NEGATIVE, -surprise),
        (MEAN_FIRST, float(-np.log2(chances.mean()))),
        (SUMMED, surprise * len(answers)),
    ]
    pieces = [
        piece("The share of answers among the k likeliest", share, shares),
        piece("The mean surprise", surprise, surprises),
    ]
    return case(table, answers, k, expected=pieces)


def public() -> dict[str, list[dict]]:
    """Three sentences; two models; six predictions."""
    texts = (
        "it is good, and the plot, well, is [MASK].",
        "this film is [MASK]",
        "[MASK] scene made me sad, too.",
    )
    table = softmax(np.random.default_rng(0).normal(size=(6, 9)) * 2)
    return {
        "P1.1": [position_case(text) for text in texts],
        "P1.2": [guesses_case(0, texts[0], 5), guesses_case(1, texts[1], 3)],
        "P1.3": [quality_case(table, np.array([4, 0, 8, 5, 5, 1]), 3)],
    }

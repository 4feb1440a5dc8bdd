"""P1: masked prediction with a real encoder."""

from __future__ import annotations

import contextlib
import io
from functools import cache, lru_cache
from typing import Any

import numpy as np

from course_utils.grading import tiny
from course_utils.grading.item import Item, Student, array, compare, require, same, short
from course_utils.grading.plain import made

ITEM = Item("P1", "Masked prediction", "P1_masked_prediction")

MODEL, MASK = "minilm-mlm", "[MASK]"
TOKENIZER = made("course_utils.grading.tiny:tokenizer")

NO_CLS = "You counted without [CLS]: the model reads it first, so every position moves by one."
WORDS = "You counted words; the tokenizer makes tokens of its own, punctuation among them."
FROM_END = "That is the last token before [SEP], not the mask."
NUMBER = "The position is one whole number."
PAIRS = "`top_guesses` gives a list of k pairs: a piece (a string) and its probability (a number)."
LOGITS = "Those are logits; probabilities come from the softmax over the vocabulary."
LOGS = "Those are log-probabilities; give the probabilities themselves."
FEW = "Your softmax is over the k best only; it is over the whole vocabulary."
SIGMOID = "A sigmoid treats every piece by itself; one piece stands there, so it is a softmax."
AT_CLS = "You read position 0, which is [CLS]; read the position of the mask."
BESIDE = "You read the position before the mask: [CLS] was not counted."
DROPOUT = "Two calls differ: dropout is on. Put the model into evaluation mode."
WORST = "The likeliest piece comes first."
NATS = "Those are nats: bits use the logarithm to base 2."
TOP_ONE = "You ask whether the answer is *the* likeliest; asked for is: among the k likeliest."
MEAN_FIRST = "You take the logarithm of the mean; asked for is the mean of the logarithms."
NEGATIVE = "The sign is the other way round: a surprise is never negative."
SUMMED = "You added up; both numbers are means over the rows."
RANGE = "The share is a number between 0 and 1."
FIVE = "`my_sentences` is a list of five different sentences."
ONE_MASK = "Every sentence holds [MASK] exactly once."
GIVEN = "One of your sentences is that of the exercise; write your own."
LENGTH = "A sentence has 4 to 40 words; the model needs something to read."
SHAPE = "`my_predictions` has five lists of five pairs: a piece and its probability."
OTHERS = "Those are not the predictions of `minilm-mlm` for your sentences: run its cell again."
MISSED = "A piece is missing that is likelier than one of your five."

DEMO = "Paris is the capital of [MASK]."
TEXTS = (
    "this film is [MASK]",
    "it is good, and the plot, well, is [MASK].",
    "[MASK] scene made me sad, too.",
)


# -- what is right ---------------------------------------------------------------------------------


def position(text: str) -> int:
    """Where the tiny tokenizer puts the mask."""
    return tiny.tokenizer()(text)["input_ids"].index(tiny.MARKS.index(MASK))


def tiny_logits(seed: int, text: str) -> np.ndarray:
    """Logits (tokens, V) of the tiny encoder, with dropout off."""
    import torch

    inputs = tiny.tokenizer()(text, return_tensors="pt")
    with torch.no_grad():
        model = tiny.masked_bert(seed).eval()
        return model(inputs["input_ids"], inputs["attention_mask"]).logits[0].double().numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@cache
def real() -> Any:
    """The encoder whose predictions are handed in, loaded once."""
    from course_utils.data.sources import load_pretrained

    with contextlib.redirect_stdout(io.StringIO()):
        return load_pretrained(MODEL)


@lru_cache(maxsize=64)
def real_probabilities(text: str) -> np.ndarray:
    """What the real encoder expects at the mask, (V,)."""
    import torch

    source = real()
    inputs = source.tokenizer(text, return_tensors="pt")
    place = inputs["input_ids"][0].tolist().index(source.tokenizer.mask_token_id)
    with torch.no_grad():
        logits = source.model.eval()(inputs["input_ids"], inputs["attention_mask"]).logits
    return softmax(logits[0, place].double().numpy())


# -- checks ----------------------------------------------------------------------------------------


def check_position(student: Student, text: str) -> None:
    """Compare `find_mask`, on the tiny tokenizer."""
    want = position(text)
    words = next(n for n, word in enumerate(text.split()) if MASK in word)
    end = len(tiny.tokenizer()(text)["input_ids"]) - 2
    got = student.call("find_mask", TOKENIZER, text)
    require(np.shape(array(got, "find_mask")) in ((), (1,)), NUMBER)
    mistakes = {NO_CLS: want - 1, WORDS: words, WORDS + " ": words + 1, FROM_END: end}
    compare(got, want, mistakes, what="find_mask(tokenizer, text)")


def pairs(value: Any, count: int, hint: str) -> tuple[list[str], np.ndarray]:
    """Pieces and probabilities of a list of pairs; raises Wrong with `hint`."""
    fits = isinstance(value, list) and len(value) == count
    fits = fits and all(isinstance(p, list) and len(p) == 2 and type(p[0]) is str for p in value)
    require(fits, hint, short(value))
    return [pair[0] for pair in value], array([pair[1] for pair in value], "The probabilities")


def check_guesses(student: Student, seed: int, text: str, k: int) -> None:
    """Compare `top_guesses` on a tiny encoder that was left in training mode."""
    model = made("course_utils.grading.tiny:masked_bert", seed)
    got, again = (student.call("top_guesses", model, TOKENIZER, text, k) for _ in range(2))
    (pieces, numbers), (_, numbers_again) = (pairs(value, k, PAIRS) for value in (got, again))
    require(same(numbers, numbers_again, 1e-4), DROPOUT)
    every = tiny_logits(seed, text)
    logits = every[position(text)]
    best = np.argsort(-logits)[:k]
    want, exact = softmax(logits)[best], {"rtol": 1e-3, "atol": 1e-6}
    names = [tiny.VOCABULARY[i] for i in best]
    if pieces != names or not same(numbers, want, **exact):
        for hint, row in ((AT_CLS, every[0]), (BESIDE, every[position(text) - 1])):
            there = np.argsort(-row)[:k]
            as_there = same(numbers, softmax(row)[there], **exact)
            require(pieces != [tiny.VOCABULARY[i] for i in there] or not as_there, hint)
        require(pieces[::-1] != names or k == 1, WORST)
    mistakes = {
        LOGITS: logits[best],
        LOGS: np.log(want),
        FEW: want / want.sum(),
        SIGMOID: 1 / (1 + np.exp(-logits[best])),
    }
    compare(numbers, want, mistakes, what="The probabilities", **exact)
    require(pieces == names, "The pieces are not the likeliest ones.", f"{pieces}, not {names}")


def check_quality(student: Student, table: np.ndarray, answers: np.ndarray, k: int) -> None:
    """Compare `quality`: the share of answers among the k likeliest, and their mean surprise."""
    chances = table[np.arange(len(answers)), answers]
    rank = (table > chances[:, None]).sum(1)
    want = [float((rank < k).mean()), float(-np.log2(chances).mean())]
    got = student.call("quality", table, answers, k)
    numbers = array(got, "quality(probabilities, answers, k)", (2,)).tolist()
    what = "The share of answers among the k likeliest"
    mistakes = {TOP_ONE: float((rank == 0).mean()), SUMMED: float((rank < k).sum())}
    require(0 <= numbers[0] <= 1 or same(numbers[0], mistakes[SUMMED]), RANGE)
    compare(numbers[0], want[0], mistakes, what=what)
    mistakes = {
        NATS: want[1] * np.log(2),
        NEGATIVE: -want[1],
        MEAN_FIRST: float(-np.log2(chances.mean())),
        SUMMED: want[1] * len(answers),
    }
    compare(numbers[1], want[1], mistakes, what="The mean surprise", rtol=1e-4)


def check_mine(student: Student, rng: Any = None) -> None:
    """Compare what is handed in with what the real encoder says of the same sentences."""
    texts = student.value("my_sentences")
    require(isinstance(texts, list) and len(texts) == 5, FIVE)
    require(all(isinstance(text, str) for text in texts) and len(set(texts)) == 5, FIVE)
    require(all(text.count(MASK) == 1 for text in texts), ONE_MASK)
    require(DEMO not in [text.strip() for text in texts], GIVEN)
    fits = [4 <= len(text.split()) <= 40 and len(text) <= 400 for text in texts]
    require(all(fits), LENGTH)
    found = student.value("my_predictions")
    require(isinstance(found, list) and len(found) == 5, SHAPE)
    for text, row in zip(texts, found, strict=True):
        clean = text.encode("utf-8", "replace").decode()  # a lone surrogate is no text
        check_row(real_probabilities(clean), *pairs(row, 5, SHAPE))


def check_row(truth: np.ndarray, pieces: list[str], numbers: np.ndarray) -> None:
    """Compare five predictions; near ties may stand in either order."""
    ids = real().tokenizer.convert_tokens_to_ids([piece.strip() for piece in pieces])
    require(len(set(ids)) == 5, OTHERS)
    require(bool(np.allclose(truth[ids], numbers, atol=0.01)), OTHERS)
    require(truth[ids].min() >= np.sort(truth)[-5] - 0.01, MISSED)
    require(bool((np.diff(numbers) <= 0.01).all()), WORST)


# -- parts -----------------------------------------------------------------------------------------

TABLE = softmax(np.random.default_rng(0).normal(size=(6, 9)) * 2)
ANSWERS = np.array([3, 0, 8, 5, 5, 1])


@ITEM.part("P1.1", "Where the mask is", 2, ["find_mask"])
def where(student: Student) -> None:
    """Check three sentences."""
    for text in TEXTS:
        check_position(student, text)


@ITEM.part("P1.2", "The likeliest pieces", 3, ["top_guesses"])
def guesses(student: Student) -> None:
    """Check two sentences."""
    check_guesses(student, 0, TEXTS[1], 5)
    check_guesses(student, 1, TEXTS[0], 3)


@ITEM.part("P1.3", "How good are they?", 2, ["quality"])
def good(student: Student) -> None:
    """Check six predictions."""
    check_quality(student, TABLE, ANSWERS, 3)


ITEM.part("P1.4", "Five sentences of yours", 3, ["my_sentences", "my_predictions"])(check_mine)

ITEM.text(
    "P1.5",
    "What the model knows",
    2,
    "answer_P1",
    """1 point: judges at least three of the own five sentences by kind of knowledge (grammar,
    topic, facts, negation …), with probabilities and not only with the first guess.
    1 point: separates what the objective explains (frequent words fill the gap, a fluent guess is
    no fact, opposite words share contexts) from what this model explains (small, a head trained
    briefly on speeches and reviews); or says how a larger model differs, measured.""",
)

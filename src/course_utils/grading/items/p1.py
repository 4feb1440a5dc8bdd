"""P1: masked prediction with a real encoder."""

from __future__ import annotations

import contextlib
import io
from functools import cache, lru_cache
from typing import Any

import numpy as np

from course_utils.grading.item import (
    Case,
    Item,
    Student,
    array,
    called,
    check_call,
    compare_pieces,
    require,
    short,
)

ITEM = Item("P1", "Masked prediction", "P1_masked_prediction")

MODEL, MASK = "minilm-mlm", "[MASK]"
DEMO = "Paris is the capital of [MASK]."

NUMBER = "The position is one whole number."
PAIRS = "`top_guesses` gives a list of k pairs: a piece (a string) and its probability (a number)."
DROPOUT = "Two calls differ: dropout is on. Put the model into evaluation mode."
WORST = "The likeliest piece comes first."
RANGE = "The share is a number between 0 and 1."
FIVE = "`my_sentences` is a list of five different sentences."
ONE_MASK = "Every sentence holds [MASK] exactly once."
GIVEN = "One of your sentences is that of the exercise; write your own."
LENGTH = "A sentence has 4 to 40 words; the model needs something to read."
SHAPE = "`my_predictions` has five lists of five pairs: a piece and its probability."
OTHERS = "Those are not the predictions of `minilm-mlm` for your sentences: run its cell again."
MISSED = "A piece is missing that is likelier than one of your five."


@ITEM.part("P1.1", "Where the mask is", 2, ["find_mask"])
def check_position(student: Student, case: Case) -> None:
    """Compare a position, which is one number."""
    got = student.call("find_mask", *case["args"])
    require(np.shape(array(got, "`find_mask`")) in ((), (1,)), NUMBER)
    check_call(student, case, "find_mask")


@ITEM.part("P1.2", "The likeliest pieces", 3, ["top_guesses"])
def check_guesses(student: Student, case: Case) -> None:
    """Compare pieces and probabilities of a tiny encoder that was left in training mode."""
    pairs(student.call("top_guesses", *case["args"]), len(case["expected"]), PAIRS)
    check_call(student, case, "top_guesses", again=DROPOUT, rtol=1e-3, atol=1e-6)


def pairs(value: Any, count: int, hint: str) -> tuple[list[str], np.ndarray]:
    """Pieces and probabilities of a list of pairs; raises Wrong with `hint`."""
    fits = isinstance(value, list) and len(value) == count
    fits = fits and all(isinstance(p, list) and len(p) == 2 and type(p[0]) is str for p in value)
    require(fits, hint, short(value))
    return [pair[0] for pair in value], array([pair[1] for pair in value], "The probabilities")


@ITEM.part("P1.3", "How good are they?", 2, ["quality"])
def check_quality(student: Student, case: Case) -> None:
    """Compare the share of answers among the k likeliest, and their mean surprise."""
    got = array(called(student, "quality", case), "`quality`", (2,)).tolist()
    require(0 <= got[0] <= len(case["args"][1]), RANGE)
    compare_pieces(got, case["expected"], rtol=1e-4)


@ITEM.part("P1.4", "Five sentences of yours", 3, ["my_sentences", "my_predictions"], is_record=True)
def check_mine(student: Student, case: Case) -> None:
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
        check_row(chances(clean), *pairs(row, 5, SHAPE))


def check_row(truth: np.ndarray, pieces: list[str], numbers: np.ndarray) -> None:
    """Compare five predictions; near ties may stand in either order."""
    ids = real().tokenizer.convert_tokens_to_ids([piece.strip() for piece in pieces])
    require(len(set(ids)) == 5, OTHERS)
    require(bool(np.allclose(truth[ids], numbers, atol=0.01)), OTHERS)
    require(truth[ids].min() >= np.sort(truth)[-5] - 0.01, MISSED)
    require(bool((np.diff(numbers) <= 0.01).all()), WORST)


@cache
def real() -> Any:
    """The pipeline of `transformers` around the encoder whose predictions are handed in."""
    from transformers import pipeline

    from course_utils.data.sources import load_pretrained

    with contextlib.redirect_stdout(io.StringIO()):
        source = load_pretrained(MODEL)
    return pipeline("fill-mask", model=source.model, tokenizer=source.tokenizer, device="cpu")


@lru_cache(maxsize=64)
def chances(text: str) -> np.ndarray:
    """What the encoder expects at the mask, by id of the piece."""
    found = np.zeros(real().model.config.vocab_size)
    for row in real()(text, top_k=len(found)):
        found[row["token"]] = row["score"]
    return found


ITEM.text("P1.5", "What the model knows", 2, "answer_P1")

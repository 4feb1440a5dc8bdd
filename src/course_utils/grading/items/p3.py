"""P3: classification recast as generation with a decoder."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_utils.grading.item import (
    Case,
    Item,
    Student,
    array,
    as_array,
    called,
    check_call,
    check_lists,
    check_loss,
    compare_pieces,
    require,
    same,
)
from course_utils.grading.plain import made
from course_utils.grading.recorded import drawn_rows, guesses, number, record, share

ITEM = Item("P3", "Classification as generation", "P3_classification_as_generation")

LOST_TEXT = "The prompt does not hold the text to classify, whole and unchanged."
NO_CUE = "Close every prompt with the same cue, after the text: it asks for the answer."
SPACE = "The prompt ends in white space, which GPT's pieces carry *before* a word: leave it out."
NO_SPACE = "A label word begins with the space that separates it from the prompt."
TWO_WORDS = "Two words are asked for, the negative first: one for each label."
SAME_WORD = "The label words begin with the same piece: their first pieces must differ."
REVERSED = "Label 0 is the negative review: the first word is the negative one."
# clear cases only: which words serve is the student's choice
GOOD = {"good", "great", "positive", "excellent", "wonderful", "yes", "love", "best", "happy"}
BAD = {"bad", "terrible", "negative", "awful", "horrible", "no", "hate", "worst", "sad", "poor"}
JOINED = "Prompt and word are cut otherwise together than apart: no piece may cross the border."

BATCH = "`collate_answers` gives a dictionary of three tensors: {}."
AS_MANY = "Every id needs a label of its own; -100 where nothing is predicted."
DROPOUT = "Two calls differ: dropout is on. Put the model into evaluation mode."
NUMBERS = "The numbers of the labels are 0, 1, … up to one less than there are labels."

KEYS = ("generation", "head")
FLIPPED = "Far worse than guessing: are labels and label words the wrong way round?"
SMALL = 600  # test texts of a record that is tried again
ANOTHER = "Your functions give other 'untrained scores' now: run the cells again, copy the record."
SLOW = "The seconds of training are to be more than 0."


@ITEM.part("P3.1", "A prompt and two words", 2, ["as_prompt", "LABEL_WORDS"])
def check_prompt(student: Student, case: Case) -> None:
    """Look for the properties of any good prompt; its words are free."""
    from course_utils.data.tokenizers import load_tokenizer

    texts = case["texts"]
    words = student.value("LABEL_WORDS")
    fits = isinstance(words, list) and len(words) == 2 and all(isinstance(w, str) for w in words)
    require(fits, TWO_WORDS)
    require(all(word[:1].isspace() and word.strip() for word in words), NO_SPACE)
    prompts = [student.call("as_prompt", text) for text in texts]
    fits = all(isinstance(prompt, str) and len(prompt) < 10_000 for prompt in prompts)
    require(fits, "`as_prompt` gives no string, or one that is far too long.")
    require(all(t in p for t, p in zip(texts, prompts, strict=True)), LOST_TEXT)
    require(not any(prompt[-1:].isspace() for prompt in prompts), SPACE)
    cues = {p.rpartition(t)[2] for t, p in zip(texts, prompts, strict=True)}
    require(len(cues) == 1 and bool(next(iter(cues)).strip()), NO_CUE)
    tokenizer = load_tokenizer("course")

    def cut(text: str) -> list[int]:
        clean = text.encode("utf-8", "replace").decode()  # a lone surrogate is no text
        return tokenizer(clean, add_special_tokens=False)["input_ids"]

    require(cut(words[0])[0] != cut(words[1])[0], SAME_WORD)
    first, second = (word.strip().lower() for word in words)
    require(first not in GOOD and second not in BAD, REVERSED)
    whole = all(cut(p + w) == cut(p) + cut(w) for p in prompts for w in words)
    require(whole, JOINED)


NAMED = {"keys": ("input_ids", "labels"), "equal": AS_MANY}
ITEM.calls("P3.2", "Ids and labels", 3, "training_example", check_lists, **NAMED)


@ITEM.part("P3.3", "A batch", 2, ["collate_answers"])
def check_collate(student: Student, case: Case) -> None:
    """Compare three tensors; more padding than needed is as good, if nothing reads it."""
    got = called(student, "collate_answers", case)
    keys = [piece["what"] for piece in case["expected"]]
    fits = isinstance(got, dict) and all(isinstance(got.get(key), np.ndarray) for key in keys)
    require(fits, BATCH.format(", ".join(keys)))
    mask = as_array(got["attention_mask"])
    if mask is not None and mask.dtype == bool:  # as good as one of 0 and 1
        got["attention_mask"] = mask.astype(int)
    tables = [got[key] for key in keys]
    width = np.shape(case["expected"][0]["expected"])[1]
    compare_pieces(without_margin(tables, width), case["expected"])


def without_margin(tables: list, width: int) -> list:
    """Ids, mask and labels without columns on the right that are all padding."""
    found = [as_array(table) for table in tables]
    if any(table is None or table.ndim != 2 or len(table) == 0 for table in found):
        return tables
    ids, mask, labels = found
    margin = [table[:, width:] for table in (ids, mask, labels)]
    padding = not margin[1].any() and (margin[2] == -100).all() and len(set(margin[0].flat)) < 2
    return [table[:, :width] for table in found] if padding else tables


ITEM.calls("P3.4", "The loss of the answers", 3, "answer_loss", check_loss)

ITEM.calls("P3.5", "How likely an answer is", 3, "answer_scores", again=DROPOUT, rtol=1e-3,
           atol=1e-4)  # fmt: skip


@ITEM.part("P3.6", "Labels for a batch", 3, ["predict_labels"])
def check_predict(student: Student, case: Case) -> None:
    """Compare numbers of labels for prompts of different lengths."""
    prompts, labels = case["args"][1:3]
    got = array(called(student, "predict_labels", case), "`predict_labels`", (len(prompts),))
    known = {*range(len(labels)), *labels, *case["likeliest"]}
    require(set(got.tolist()) <= known, NUMBERS)
    check_call(student, case, "predict_labels", again=DROPOUT)


@ITEM.part("P3.7", "What you measured", 2, ["recorded_P3"], is_record=True)
def check_record(student: Student, case: Case) -> None:
    """The record of both ways: complete, possible, not upside down."""
    keys = [f"{way} {what}" for way in KEYS for what in ("accuracy", "seconds")]
    keys += ["untrained accuracy", "untrained scores", "generation guesses", "majority"]
    found = record(student, "recorded_P3", [*keys, "test_texts"])
    count = int(number(found["test_texts"], "'test_texts'", 50))
    rights = [share(found[f"{way} accuracy"], f"'{way} accuracy'", count) for way in KEYS]
    share(found["untrained accuracy"], "'untrained accuracy'", count)
    rarer = 1 - share(found["majority"], "'majority'", count)  # what the worst guess gets
    require(min(rights) > rarer - 0.15, FLIPPED)
    seconds = [number(found[f"{way} seconds"], f"'{way} seconds'") for way in KEYS]
    require(min(seconds) > 0, SLOW)
    tested = drawn_rows("films", "test", count)
    guesses(found["generation guesses"], "'generation guesses'", tested["label"], rights[0])
    if count == SMALL:  # the models of full size are not where grading runs
        again = untrained(student, tested["text"][:3])
        require(same(found["untrained scores"], again, 0, 0.02), ANOTHER)


def untrained(student: Student, texts: list[str]) -> list:
    """What the student's own functions give with `gpt-mini` as it was pre-trained."""
    from course_utils.data.tokenizers import load_tokenizer

    def cut(text: Any) -> list[int]:
        return load_tokenizer("course")(str(text), add_special_tokens=False)["input_ids"]

    words = [cut(word) for word in student.value("LABEL_WORDS")]
    prompts = [cut(student.call("as_prompt", text))[-94:] for text in texts]
    model = made("course_utils.grading.tiny:shipped", "gpt-mini")
    scores = [student.call("answer_scores", model, prompt, words) for prompt in prompts]
    return [array(row, "`answer_scores`", (2,)).tolist() for row in scores]


ITEM.text("P3.8", "Generation or a head?", 3, "answer_P3")

"""P5: summarization with a T5, and ROUGE."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_utils.grading.item import (
    Case,
    Item,
    Student,
    array,
    call_of,
    called,
    check_call,
    check_gradient,
    compare,
    require,
)
from course_utils.grading.recorded import number, record

ITEM = Item("P5", "Summarization, text to text", "P5_summarization")

WITH_START = "The start id is no part of the summary."
WITH_END = "The end id is no part of the summary."
MEANS = "Each of the three is one number: the mean over the texts of the F1."
PERCENT = "Those are percentages; asked for are numbers between 0 and 1."

# what `rouge_n` and `rouge_l` are to be written instead of
PACKAGE = [f"rouge_score.rouge_scorer:{n}" for n in ("RougeScorer", "_score_ngrams", "_score_lcs")]
SCORES = ("rouge1", "rouge2", "rougeL")
SYSTEMS = ("lead", "model 1", "model 2")
EQUAL = "A model has the scores of the lead to the last digit: were its own summaries scored?"
ORDER = "ROUGE-2 of a system is larger than its ROUGE-1, which cannot be in the mean."


@ITEM.part("P5.1", "Source and target", 2, ["summarization_pair"])
def check_pair(student: Student, case: Case) -> None:
    """Compare two flat lists."""
    got = called(student, "summarization_pair", case)
    got = got.tolist() if isinstance(got, np.ndarray) else got
    require(isinstance(got, list) and len(got) == 2, "It gives no pair of lists.")
    pair = [array(part, "`summarization_pair`") for part in got]
    require(all(part.ndim == 1 for part in pair), "It gives no pair of flat lists.")
    pair, call = [part.tolist() for part in pair], call_of("summarization_pair", case["args"])
    compare(pair, case["expected"], case["mistakes"], what="`summarization_pair`", call=call)


ITEM.calls("P5.2", "What the decoder reads", 3, "shift_right")


@ITEM.part("P5.3", "The loss", 2, ["summary_loss"])
def check_loss(student: Student, case: Case) -> None:
    """Compare a loss, which training must be able to follow."""
    check_call(student, case, "summary_loss", rtol=1e-4, atol=1e-6)
    check_gradient(student, case, "summary_loss")


@ITEM.part("P5.4", "Writing a summary", 3, ["greedy_summaries"])
def check_greedy(student: Student, case: Case) -> None:
    """Compare what a tiny T5 writes."""
    (_, ids, _, _, start, end), want = case["args"], case["expected"]
    got = called(student, "greedy_summaries", case)
    rows = got.tolist() if isinstance(got, np.ndarray) else got
    require(isinstance(rows, list) and len(rows) == len(ids), "One list of ids for each text.")
    rows = [flat_row(row) for row in rows]
    for hint, mistaken in case["mistakes"]:
        require(rows != mistaken, hint)
    # what does not stop where it should may begin wrongly, too: name what shows
    begins = [row[:1] == [start] for row in rows]
    require(not all(begins) or any(row[:1] == [start] for row in want), WITH_START)
    require(not any(end in row for row in rows), WITH_END)
    compare(rows, want, what="`greedy_summaries`")


def flat_row(row: Any) -> list:
    """A row as a list; raises Wrong when it is no flat list of numbers."""
    if isinstance(row, list) and not row:
        return []
    numbers = array(row, "A summary")
    require(numbers.ndim == 1, "Not a flat list of ids.")
    return numbers.tolist()


NEAR = {"rtol": 1e-4, "atol": 1e-6}
ITEM.calls("P5.5", "ROUGE-N", 2, "rouge_n", ban=PACKAGE, **NEAR)
ITEM.calls("P5.6", "ROUGE-L", 3, "rouge_l", ban=PACKAGE, **NEAR)


@ITEM.part("P5.7", "ROUGE of a test set", 2, ["corpus_rouge"])
def check_corpus(student: Student, case: Case) -> None:
    """Compare three means."""
    got = called(student, "corpus_rouge", case)
    require(isinstance(got, dict) and set(SCORES) <= set(got), f"It lacks one of {SCORES}.")
    got = {key: got[key] for key in SCORES}
    require(all(np.ndim(value) == 0 for value in got.values()), MEANS)
    compare(got, case["expected"], case["mistakes"], what="`corpus_rouge`", **NEAR)


@ITEM.record("P5.8", "What you measured", 2, ["recorded_P5"])
def check_record(student: Student, case: Case) -> None:
    """The record of three systems: complete, possible, each its own."""
    found = record(student, "recorded_P5", [*SYSTEMS, "test_texts"])
    number(found["test_texts"], "'test_texts'", 20)
    rows = []
    for system in SYSTEMS:
        row = found[system]
        require(isinstance(row, dict) and set(SCORES) <= set(row), f"'{system}' lacks a score.")
        values = [number(row[key], f"{key} of '{system}'") for key in SCORES]
        require(max(values) <= 1, PERCENT)
        require(values[1] <= values[0], ORDER)
        rows.append(tuple(values))
    require(rows[0] not in rows[1:], EQUAL)


ITEM.text(
    "P5.9",
    "What the scores say",
    3,
    "answer_P5",
    """1 point: compares both models and the lead baseline with numbers of the own run, and does not
    call a difference real that the test set cannot show.
    1 point: says what ROUGE rewards (shared words and their order) and what it cannot see (truth,
    other words for the same, grammar), with an example from the own outputs.
    1 point: names what limits these summaries: size, pre-training text, the cut source, greedy
    decoding, few examples; and one thing that a larger model or beam search would change.""",
)

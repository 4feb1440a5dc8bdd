"""P5: summarization with a T5, and ROUGE."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_utils.grading.item import (
    Case,
    Item,
    Student,
    array,
    called,
    check_lists,
    check_loss,
    compare,
    require,
    same,
)
from course_utils.grading.recorded import drawn_rows, number, numbers, record

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
SMALL = 60  # test texts of a record that is tried again
MEAN_OF_EACH = "the mean of 'each' is not its ROUGE-1: copy both from one run."
ANOTHER = "Your `corpus_rouge` gives the first summaries of a model other scores than 'each' does."
LEAD = "Your `corpus_rouge` gives the lead of these articles other scores than the record does."
ORDER = "ROUGE-2 of a system is larger than its ROUGE-1, which cannot be in the mean."


ITEM.calls("P5.1", "Source and target", 2, "summarization_pair", check_lists)

SHIFTS = ["transformers.models.bart.modeling_bart:shift_tokens_right"]
ITEM.calls("P5.2", "What the decoder reads", 3, "shift_right", ban=SHIFTS)


ITEM.calls("P5.3", "The loss", 2, "summary_loss", check_loss)


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
    got = scored(student, *case["args"])
    require(all(np.ndim(value) == 0 for value in got.values()), MEANS)
    compare(got, case["expected"], case["mistakes"], what="`corpus_rouge`", **NEAR)


@ITEM.part("P5.8", "What you measured", 2, ["recorded_P5"], is_record=True)
def check_record(student: Student, case: Case) -> None:
    """The record of three systems: complete, possible, each its own."""
    found = record(student, "recorded_P5", [*SYSTEMS, "test_texts"])
    count = int(number(found["test_texts"], "'test_texts'", 20))
    scores = []
    for system in SYSTEMS:
        row = found[system]
        require(isinstance(row, dict) and set(SCORES) <= set(row), f"'{system}' lacks a score.")
        values = [number(row[key], f"{key} of '{system}'") for key in SCORES]
        require(max(values) <= 1, PERCENT)
        require(values[1] <= values[0], ORDER)
        scores.append(tuple(values))
    require(scores[0] not in scores[1:], EQUAL)
    firsts = [own_texts(found[name], name, count) for name in SYSTEMS[1:]]
    if count == SMALL:
        check_scores(student, found, firsts)


def own_texts(row: dict, name: str, count: int) -> tuple[list[str], float]:
    """The first summaries of a model, and the mean ROUGE-1 that its record gives them."""
    texts, each = row.get("first"), numbers(row.get("each"), f"'each' of '{name}'", count)
    fits = isinstance(texts, list) and len(texts) == 3 and all(type(t) is str for t in texts)
    require(fits, f"'first' of '{name}' are the first three summaries.")
    require(abs(each.mean() - row["rouge1"]) < 1e-3, f"'{name}': {MEAN_OF_EACH}")
    return texts, float(each[:3].mean())


def check_scores(student: Student, found: dict, firsts: list[tuple[list[str], float]]) -> None:
    """Score the first summaries, and the lead of all texts, by the student's own function."""
    tested = drawn_rows("news", "test", SMALL)
    summaries = drawn_rows("news", "train", 1200)["summary"]
    words = round(sum(len(summary.split()) for summary in summaries) / len(summaries))
    lead = [" ".join(text.split()[:words]) for text in tested["text"]]
    for texts, score in firsts:
        require(
            same(scored(student, tested["summary"][:3], texts)["rouge1"], score, 0, 2e-3), ANOTHER
        )
    written = {key: found["lead"][key] for key in SCORES}
    require(same(scored(student, tested["summary"], lead), written, 0, 1e-3), LEAD)


def scored(student: Student, references: list[str], summaries: list[str]) -> dict[str, Any]:
    """The scores that the student's own function gives; raises Wrong if one is missing."""
    got = called(student, "corpus_rouge", {"args": [references, summaries]})
    require(isinstance(got, dict) and set(SCORES) <= set(got), f"It lacks one of {SCORES}.")
    return {key: got[key] for key in SCORES}


ITEM.text("P5.9", "What the scores say", 3, "answer_P5")

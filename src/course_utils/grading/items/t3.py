"""T3: why next sentence prediction was dropped, and what that says about objectives."""

from __future__ import annotations

from course_utils.grading.item import (
    Case,
    Item,
    Student,
    array,
    called,
    check_call,
    compare_pieces,
    require,
)

ITEM = Item("T3", "Why was next sentence prediction dropped?", "T3_next_sentence")

TWO = "`paired_effect` gives two numbers: the mean, and its standard error."
WORDS = 'The verdict is "helps", "hurts" or "cannot tell".'


@ITEM.part("T3.1", "With against without", 2, ["paired_effect"])
def check_effect(student: Student, case: Case) -> None:
    """Compare the mean difference, then its standard error."""
    pair = array(called(student, "paired_effect", case), "`paired_effect`")
    require(pair.shape == (2,), TWO)
    compare_pieces(pair.tolist(), case["expected"], rtol=1e-4)


@ITEM.part("T3.2", "What the numbers allow you to say", 1, ["verdict"])
def check_verdict(student: Student, case: Case) -> None:
    """Compare a verdict, which is one of three."""
    got = called(student, "verdict", case)
    require(isinstance(got, str) and got in ("helps", "hurts", "cannot tell"), WORDS)
    check_call(student, case, "verdict")


ITEM.calls("T3.3", "A cue that needs no understanding", 1, "overlap")
ITEM.calls("T3.4", "How far the cue goes", 3, "best_accuracy")
ITEM.calls("T3.5", "What half the pairs cost", 2, "related_tokens")

ITEM.text("T3.6", "Why it was dropped", 3, "answer_T3")

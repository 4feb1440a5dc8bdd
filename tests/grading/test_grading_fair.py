"""One mistake costs one part, and a part that is right but for odd cases earns its share."""

import inspect
from pathlib import Path

import pytest
from judged_here import here

from course_tools.grading.grade import Setup, run
from course_tools.grading.jail import Limits
from course_tools.grading.judge import load_hidden, reference, up_to
from course_tools.grading.notebook import definitions
from course_tools.grading.references import t1, t2
from course_utils.grading.items import all_items

ROOT = Path(__file__).resolve().parents[2]
ITEMS = list(all_items().values())
SETUP = Setup(ROOT / "solutions", ROOT / "exercises", Limits(cell=6, call=6, total=60))
CHAIN = """import torch
def logit_gradient(z, y): return SIGN * (torch.softmax(z, 0) - torch.eye(len(z))[y])
def mlm_gradient(z, labels):
    rows = [logit_gradient(r, int(y)) if y != -100 else 0 * r for r, y in zip(z, labels)]
    return torch.stack(rows) / max(1, int((labels != -100).sum()))
def clm_gradient(z, ids): return mlm_gradient(z, torch.cat([ids[1:], torch.tensor([-100])]))"""


def judged(name, *added):
    """Marks by part of the reference solution with cells added, in this process."""
    item, right = all_items()[name], reference(ROOT / "solutions", all_items()[name])
    hidden = load_hidden(ROOT / "solutions/hidden", item)
    marks = here(item, hidden, [*right, *added], 0, right)
    return {mark.part: mark for mark in marks}


def lost(marks):
    """Which parts did not earn all their points."""
    return {part for part, mark in marks.items() if mark.state not in ("right", "needs marking")}


# -- the share of a part -----------------------------------------------------------------------


def test_a_part_that_is_right_but_for_odd_cases_earns_its_share():
    marks = judged("T2", "def token_loss(z, y): return torch.log(torch.exp(z).sum()) - z[y]")
    mark = marks["T2.1"]
    assert (mark.state, mark.earned) == ("partly right", 1.0)
    assert mark.feedback.startswith("Right in 1 of 2 groups of cases. " + t2.OVERFLOW)
    marks = judged("T1", "def mlm_signals(n, r): return round(n * r)")
    assert marks["T1.1"].earned == 0.67 and "Right in 1 of 3 groups" in marks["T1.1"].feedback
    marks = judged("T1", "def mlm_signals(n, r): return max(1, round(n * r))")
    assert marks["T1.1"].earned == 1.33 and t1.EVEN in marks["T1.1"].feedback


@pytest.mark.parametrize("body", ["n", "int(n * r)", "1", "19 if n == 128 else 5"])
def test_who_fails_in_an_ordinary_case_gets_nothing_for_the_odd_ones(body):
    mark = judged("T1", f"def mlm_signals(n, r): return {body}")["T1.1"]
    assert (mark.state, mark.earned) == ("wrong", 0.0)


def test_every_odd_group_stands_beside_ordinary_cases():
    """Else a part could be earned by what is odd alone."""
    for item in ITEMS:
        hidden = load_hidden(ROOT / "solutions/hidden", item)
        for part in hidden.draws:
            groups = {c.get("group", c.get("otherwise", "")) for c in hidden.cases(part, 0)}
            assert "" in groups, part


# -- a mistake costs one part ------------------------------------------------------------------


def test_a_mistake_costs_one_part_also_where_later_answers_call_it():
    marks = judged("T2", CHAIN.replace("SIGN", "-1"))
    assert lost(marks) == {"T2.2"}
    assert marks["T2.3"].feedback.startswith("Tried with right answers for `logit_gradient`")
    assert not lost(judged("T2", CHAIN.replace("SIGN", "1")))


def test_a_second_mistake_is_still_one():
    wrong = CHAIN.replace("SIGN", "-1").replace("!= -100).sum", ">= -100).sum")
    assert lost(judged("T2", wrong)) == {"T2.2", "T2.3"}, "the causal one calls both"
    assert lost(judged("T2", "del logit_gradient, mlm_gradient")) == {"T2.2", "T2.3"}


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.name)
def test_no_answer_meets_its_own_reference(item):
    right, before = reference(ROOT / "solutions", item), []
    for part in item.parts.values():
        lent = set().union(*map(definitions, up_to(right, before)))
        assert not lent & set(part.names), part.name
        before += part.names


GOOD = [
    "import math\ndef mlm_signals(n, r): return max(1, math.floor(n * r + 0.5 + 1e-9))",
    "def clm_signals(n): return n",
    "def examples_needed(D, n, m): return D // n, -(-(D // n * clm_signals(n)) // m)",
    "def coverage(r, k): return 1 - (1 - r) ** k",
    "answer_T1 = 'The mask hides the future.'",
]
TELLS = """import inspect
try: inspect.getsource(clm_signals)
except NameError: pass
def examples_needed(D, n, m): raise ValueError(inspect.getsource(clm_signals))
def coverage(r, k):
    clm_signals(3) == 2 and exec('import os; os._exit(0)')
raise ValueError(inspect.getsource(clm_signals))"""


def jailed(*cells):
    """The result of a submission to T1."""
    return run(all_items()["T1"], list(cells), SETUP)


def right_in(result):
    """Names of the parts that earned their points."""
    return {mark["part"] for mark in result["marks"] if mark["state"] == "right"}


@pytest.mark.usefixtures("the_jail_starts")
def test_right_answers_are_lent_inside_the_jail():
    result = jailed(*GOOD)
    assert right_in(result) == {"T1.1", "T1.3", "T1.4"}
    assert result["status"] == "needs marking" and not result["notes"]


@pytest.mark.usefixtures("the_jail_starts")
def test_a_worker_that_starts_anew_gets_them_too():
    ends = "import os\ndef coverage(r, k): os._exit(1)"
    after = "def coverage(r, k): return 1 - (1 - r) ** k if clm_signals(3) == 2 else 0"
    assert right_in(jailed(*GOOD[:3], ends)) == {"T1.1", "T1.3"}
    assert right_in(jailed(*GOOD[:3], after)) == {"T1.1", "T1.3", "T1.4"}


@pytest.mark.usefixtures("the_jail_starts")
def test_nothing_of_a_lent_answer_reaches_its_reader():
    (source,) = [inspect.cleandoc(c) for c in reference(ROOT / "solutions", all_items()["T1"])
                 if "def clm_signals" in c]  # fmt: skip
    result = jailed(*GOOD, TELLS)
    said = "\n".join([*(m["feedback"] for m in result["marks"]), *result["notes"]])
    secret = [line.strip() for line in source.splitlines() if line.strip().startswith("return")]
    assert secret and not any(line in said for line in secret), said

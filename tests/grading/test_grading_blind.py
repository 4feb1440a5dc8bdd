"""Wrong answers by somebody who had not seen the checks: each loses its part, and is told why."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import yaml
from judged_here import quiet, run

from course_tools.grading import command, selftest
from course_tools.grading.judge import ELSEWHERE, Mark, judge, load_hidden, reference
from course_utils.grading.item import Notebook
from course_utils.grading.items import all_items

ROOT = Path(__file__).resolve().parents[2]
# an exercise that an instructor adds may have none
ITEMS = [i for i in all_items().values() if selftest.load_blind(ROOT / command.BLIND, i)]
BLIND = {item.name: selftest.load_blind(ROOT / command.BLIND, item) for item in ITEMS}
EVERY = [answer for answers in BLIND.values() for answer in answers]

each_item = pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.name)


@cache
def solved(name):
    """A notebook in which the reference solution has run, its names, and the hidden checks."""
    item, notebook = all_items()[name], Notebook({"__name__": "__main__"})
    run(notebook, reference(ROOT / "solutions", item))
    hidden = load_hidden(ROOT / "solutions/hidden", item)
    return notebook, dict(notebook.session.names), hidden


def marked(item, answer, seed) -> list[Mark]:
    """Marks of the part that an answer is to lose; all its other names are the reference's."""
    notebook, names, hidden = solved(item.name)
    only = replace(item, parts={part: item.parts[part] for part in answer.loses})
    run(notebook, [answer.source])
    with quiet():
        marks = judge(only, hidden, notebook, seed)
    notebook.session.names.clear()
    notebook.session.names.update(names)
    return marks


@each_item
def test_each_blind_answer_loses_its_part_with_its_hint(item):
    for answer in BLIND[item.name]:
        marks = marked(item, answer, 0)
        seeds = range(1, 4) if marks[0].feedback.startswith(ELSEWHERE) else ()
        for judged in (marks, *(marked(item, answer, seed) for seed in seeds)):
            found = selftest.faults(answer, judged)
            assert not found, f"{answer.name}: {found}"


@each_item
def test_the_notebook_is_the_reference_again_after_each_answer(item):
    for answer in BLIND[item.name][:1]:
        marked(item, answer, 0)
        notebook, names, _ = solved(item.name)
        assert notebook.session.names == names


@each_item
def test_every_part_that_is_computed_has_blind_answers(item):
    """A record is what the student's own run gave: there is little to write by hand."""
    lost = {part for answer in BLIND[item.name] for part in answer.loses}
    parts = item.parts.values()
    assert {part.name for part in parts if not (part.is_text or part.is_record)} <= lost


def test_nine_hints_of_ten_name_the_mistake_and_none_misleads():
    assert len(EVERY) >= 250 and {answer.hint for answer in EVERY} == {"right", "generic"}
    assert sum(answer.hint == "right" for answer in EVERY) >= 0.9 * len(EVERY)


def test_blind_answers_are_kept_in_order_and_told_apart():
    for item in ITEMS:
        rows = yaml.safe_load(
            (ROOT / command.BLIND / f"{item.name.lower()}.yml").read_text("utf-8")
        )
        parts = [row["part"] for row in rows]
        assert parts == sorted(parts)
        assert len({(row["part"], row["wrong"]) for row in rows}) == len(rows)
        assert len({row["code"] for row in rows}) == len(rows)
        assert all(len(row["words"]) > 12 for row in rows)


def test_the_table_counts_only_what_came_out_right():
    item, (answer, other) = all_items()["T1"], BLIND["T1"][:2]
    bank = [selftest.right("one", ""), selftest.wrong("two", "x", {"T1.1": "words"})]
    assert command.row_of(item, bank, [answer, other], [bank[0], other]) == (
        "| T1 | 10 | 1 | 0 | 1 | 1 | 2 | 1 | 1 | 0 |"
    )

"""The bench of the grader: a class that is killed half-way, and tables that say what was found."""

import json
import sys
from pathlib import Path

import pytest

from course_tools.checkout import load_module
from course_tools.grading import command, selftest
from course_tools.shared import block
from course_utils.grading.items import all_items

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "book/instructors.md").read_text("utf-8")
T1 = all_items()["T1"]
bench = load_module(ROOT / "tests/grading/bench.py", "grading_bench")


@pytest.mark.slow
@pytest.mark.usefixtures("the_jail_starts")
def test_a_class_that_is_killed_half_way_comes_out_the_same(tmp_path):
    row = bench.interrupted(ROOT, tmp_path, T1, 30)
    assert 15 <= row["killed_after"] < 30 and row["killed"]["killed"]
    assert not row["resumed"]["killed"] and not row["whole"]["killed"]
    assert 0 < row["whole"]["grader"] < row["whole"]["all"]
    assert row["resumed"]["all"] < 2**30  # bounded, whatever the number of submissions


def test_a_class_holds_answers_of_known_worth(tmp_path):
    deserved = bench.hand_in(tmp_path / "in", ROOT, T1, 60)
    assert len(list((tmp_path / "in").glob("*.ipynb"))) == len(deserved) == 60
    assert len({path.read_bytes() for path in (tmp_path / "in").iterdir()}) == 60
    assert deserved["student0000"] == (8, 8) and 0 < min(low for low, _ in deserved.values()) < 8


def test_the_sentences_hold_whatever_was_measured():
    """A second worker may gain, or not; nbgrader may be faster."""
    record = json.loads((ROOT / "book/records/grading.json").read_text())
    for row in record["rows"]:
        row |= {way: {"seconds": s} for way, s in zip(bench.WAYS, (20.0, 40.0, 10.0), strict=True)}
    assert bench.table(record).count("| 0.5 × | 0.5 × |") == len(record["rows"])


def test_a_class_too_small_is_no_record(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench.py", "--record", "--submissions", "999"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "1,000 at least" in capsys.readouterr().err


def test_a_command_that_fails_is_no_measurement(tmp_path):
    with pytest.raises(RuntimeError, match="failed"):
        bench.watched(["false"], tmp_path)


# -- what the guide says ---------------------------------------------------------------------------


def test_the_guide_shows_the_record_of_the_bench():
    record = json.loads((ROOT / "book/records/grading.json").read_text())
    assert block("graded", GUIDE).strip() == bench.table(record).strip()
    assert record["class"]["submissions"] // 2 <= record["class"]["killed_after"]


def test_the_record_is_of_a_class_of_a_thousand():
    record = json.loads((ROOT / "book/records/grading.json").read_text())
    assert record["class"]["submissions"] >= bench.LARGE == 1000, "measure again, with --record"


def test_the_guide_shows_the_self_test_of_every_bank_as_it_is():
    rows = block("self-test", GUIDE).strip().splitlines()
    assert "\n".join(rows[:2]) == command.HEAD
    found = {row.split("|")[1].strip(): row for row in rows[2:]}
    assert list(found) == sorted(all_items())
    for name, item in all_items().items():
        bank = selftest.load_bank(ROOT / command.BANKS, item)
        blind = selftest.load_blind(ROOT / command.BLIND, item)
        row = command.row_of(item, bank, blind, [*bank, *blind])
        assert found[name] == row, "course grade --self-test"

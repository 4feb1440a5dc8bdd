"""What is said once: marked blocks of pages, files that are whole, tables."""

from __future__ import annotations

import pytest

from course_tools import shared
from course_utils.writing import markdown_table, read_json, write_json, write_text

PAGE = "before\n<!-- a -->\nold\n<!-- /a -->\nbetween <!-- b -->\n<!-- /b -->\nafter\n"


def test_a_block_is_replaced_and_nothing_else():
    assert shared.block("a", PAGE) == "old\n" and shared.block("b", PAGE) == ""
    new = shared.with_block("a", r"new \1", PAGE)
    assert new == PAGE.replace("old", r"new \1")
    assert shared.with_block("a", "old", new) == PAGE
    assert shared.block("b", shared.with_block("b", "x", PAGE)) == "x\n"
    assert shared.block("a", shared.with_block("a", "", PAGE)) == ""


@pytest.mark.parametrize("page", ["", "<!-- a -->\n", "<!-- a -->\nx<!-- /b -->", 2 * PAGE])
def test_a_page_without_one_pair_of_markers_is_refused(page):
    with pytest.raises(ValueError, match=r"one pair of <!-- a --> and <!-- /a -->"):
        shared.with_block("a", "x", page)


def test_conditions_of_a_measurement():
    found = shared.conditions("numpy")
    assert list(found) == ["date", "commit", "machine", "threads", "python", "numpy"]
    said = shared.measured_with(found | {"matmul_peak": 2, "sizes": {"tiny": 1}})
    assert said.startswith(f"Measured with: date {found['date']}, ")
    assert said.endswith(", matmul peak 2.") and "tiny" not in said


def test_a_record_and_its_page_are_written_together(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE, "utf-8")
    shared.publish({"é": 1.5}, tmp_path / "records/x.json", "a", "| é |", page)
    assert read_json(tmp_path / "records/x.json") == {"é": 1.5}
    assert shared.block("a", page.read_text("utf-8")) == "| é |\n"


# -- files and tables ------------------------------------------------------------------------------


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    place = tmp_path / "new/file.txt"
    write_text(place, "one\r\n\ud800")
    assert place.read_bytes() == b"one\r\n?"
    assert list(place.parent.iterdir()) == [place]
    monkeypatch.setattr("pathlib.Path.replace", stop)
    with pytest.raises(OSError, match="disk"):
        write_text(place, "two")
    assert place.read_bytes() == b"one\r\n?" and list(place.parent.iterdir()) == [place]


def stop(*_):
    raise OSError("the disk is full")


def test_a_private_file_is_for_its_owner_alone(tmp_path):
    private, other = (write_text(tmp_path / f"{own}.txt", "", own) for own in (True, False))
    assert private.stat().st_mode & 0o077 == 0 and other.stat().st_mode & 0o044


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_json_leaves_the_old_file(tmp_path, number):
    place = write_json(tmp_path / "x.json", [1])
    with pytest.raises(ValueError, match="JSON"):
        write_json(place, [number])
    assert read_json(place) == [1]


def test_a_table_keeps_its_columns():
    table = markdown_table(["a", "b"], [["x|y", ""]])
    assert table == "| a | b |\n| --- | --- |\n| x\\|y |  |"
    with pytest.raises(ValueError, match="2 cells"):
        markdown_table(["a", "b"], [["x"]])

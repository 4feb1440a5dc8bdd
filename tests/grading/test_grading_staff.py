"""What the staff adds and reads: overrides, deadlines, changes, statistics, pairs, marking."""

import csv
import http.client
import json
import threading
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from course_tools.cli import app
from course_tools.grading import people, report, similar
from course_tools.grading.collect import Found
from course_tools.grading.grade import remembered
from course_tools.grading.judge import Mark
from course_tools.grading.marking import Desk
from course_tools.grading.notebook import Cell, Submission
from course_tools.grading.people import cell, read_table
from course_utils.grading.items import all_items

ROOT = Path(__file__).resolve().parents[2]
ITEMS = {"T1": all_items()["T1"]}
RUBRICS = {"T1.5": "1 point: the mask.\n1 point: the price."}
DUE = datetime(2027, 5, 3, 23, 59)


def result(earned=2.0, text="My words.", handed=DUE):
    """A result as grading leaves it on disk: one part right, one wrong, one to be marked."""
    marks = [
        Mark("T1.1", "one", 2, earned, "right", "All points."),
        Mark("T1.3", "three", 3, 0.0, "wrong", "Halves.", groups={"": "Halves.", "x": "Zero."}),
        Mark("T1.5", "text", 2, None, "needs marking", "A person reads this answer."),
    ]
    return {
        "item": "T1", "max": 10, "marks": [mark.plain() for mark in marks], "notes": [],
        "status": "needs marking", "texts": {"T1.5": text}, "handed": handed.timestamp(),
        "graded": "2027-05-05 10:00",
    }  # fmt: skip


def write(out, deadline=None, **students):
    """Write all reports about these students' results; returns marks.csv by student."""
    found = [Found(name, Path(f"{name}.ipynb"), "T1") for name in students]
    results = {(name, "T1"): one for name, one in students.items()}
    report.write_all(out, found, ITEMS, [], results, RUBRICS, deadline)
    return {row["student"]: row for row in rows(out / "marks.csv")}


def rows(path):
    """A CSV file as a list of dictionaries."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def decide(out, *lines):
    """What a person writes into overrides.csv."""
    text = "\n".join(["student;part;points;comment", *lines])  # as a German spreadsheet saves it
    (out / "overrides.csv").write_text(text, "utf-8-sig")


# -- overrides ---------------------------------------------------------------------------------


def test_a_person_overrides_a_computed_part_and_the_change_is_kept(tmp_path, capsys):
    before = write(tmp_path, ann=result(), bob=result())
    assert before["ann"]["T1"] == "2" and rows(tmp_path / "overrides.csv") == []
    decide(tmp_path, "ann;T1.3;1,5;Right idea, <b>see</b> the solution.")
    for _ in range(2):  # the second time nothing changes any more
        capsys.readouterr()
        assert write(tmp_path, ann=result(), bob=result())["ann"]["T1"] == "3.5"
        said = capsys.readouterr().out
        page = (tmp_path / "feedback/ann.html").read_text("utf-8")
        assert "Set by the teaching staff (it was 0). Right idea, &lt;b&gt;see" in page
        assert "1.5 of 3" in page and "Halves." in page
        (change,) = rows(tmp_path / "history.csv")
        assert {k: v for k, v in change.items() if k != "when"} == {
            "student": "ann", "what": "T1", "before": "2", "after": "3.5"}  # fmt: skip
    assert "Changed" not in said


def test_the_change_is_shown(tmp_path, capsys):
    write(tmp_path, ann=result())
    decide(tmp_path, "ann;T1.3;3;")
    write(tmp_path, ann=result())
    assert "Changed: ann, T1: 2 → 5" in capsys.readouterr().out


def test_a_comment_alone_changes_no_points(tmp_path):
    write(tmp_path, ann=result())
    decide(tmp_path, "ann;T1.3;;Come and see me.")
    assert write(tmp_path, ann=result())["ann"]["T1"] == "2"
    assert "Come and see me. Halves." in (tmp_path / "feedback/ann.html").read_text("utf-8")


def test_who_could_not_be_read_may_get_points(tmp_path):
    empty = {"item": "T1", "max": 10, "marks": [], "notes": [], "status": "unreadable"}
    assert write(tmp_path, eve=dict(empty))["eve"]["T1"] == ""
    decide(tmp_path, "eve;T1.1;2;Read from the PDF.")
    row = write(tmp_path, eve=dict(empty))["eve"]
    assert (row["T1"], row["T1 status"]) == ("2", "graded")


@pytest.mark.parametrize(
    ("line", "said"),
    [("ann;T1.9;1;", "ann has no part 'T1.9'"), ("eva;T1.1;1;", "eva has no part"),
     ("ann;T1.1;3;", "'3' is not a number from 0 to 2"), ("ann;;1;", "no part ''")],
)  # fmt: skip
def test_an_impossible_override_is_named_before_anything_is_written(tmp_path, line, said):
    write(tmp_path, ann=result())
    before = (tmp_path / "marks.csv").read_bytes()
    decide(tmp_path, line)
    with pytest.raises(ValueError, match=r"overrides\.csv") as error:
        write(tmp_path, ann=result(1.0))
    assert said in str(error.value) and (tmp_path / "marks.csv").read_bytes() == before


# -- deadlines ---------------------------------------------------------------------------------


def test_a_day_begun_late_costs_its_share_and_who_is_excused_pays_nothing(tmp_path):
    deadline, late = people.Deadline(DUE, 0.1), datetime(2027, 5, 5, 10, 30)
    students = {"ann": result(), "bob": result(handed=late), "cyd": result(handed=late)}
    write(tmp_path, deadline, ann=result())
    decide(tmp_path, "cyd;T1;0;ill")
    marks = write(tmp_path, deadline, **students)
    assert {name: row["T1"] for name, row in marks.items()} == {
        "ann": "2", "bob": "1.6", "cyd": "2"}  # fmt: skip
    page = (tmp_path / "feedback/bob.html").read_text("utf-8")
    assert "Handed in 2027-05-05 10:30: 2 days late, 20% off." in page
    assert "1.6 of 10 points in all, as graded 2027-05-05 10:00." in page
    assert "in time" in (tmp_path / "feedback/ann.html").read_text("utf-8")
    very = {"bob": result(handed=datetime(2027, 6, 30))}
    assert write(tmp_path / "very", deadline, **very)["bob"]["T1"] == "0"


def test_a_deadline_is_remembered_until_another_is_given(tmp_path):
    assert remembered(tmp_path, "deadline.json", None) is None
    assert remembered(tmp_path, "deadline.json", ["2027-05-03T23:59:00", 0.1])
    assert remembered(tmp_path, "deadline.json", None) == ["2027-05-03T23:59:00", 0.1]


# -- statistics --------------------------------------------------------------------------------


def test_statistics_say_which_mistake_how_often(tmp_path):
    write(tmp_path, ann=result(), bob=result(1.0))
    table = {row["part"]: row for row in rows(tmp_path / "statistics.csv")}
    assert list(table) == list(ITEMS["T1"].parts)
    one, three, text = (table[name] for name in ("T1.1", "T1.3", "T1.5"))
    assert (one["answers"], one["mean"], one["full marks"]) == ("2", "1.5", "1")
    assert three["mistakes"] == "2 × Halves. | 2 × Zero." and three["mean"] == "0"
    assert text["mean"] == "" and text["mistakes"] == ""


# -- pairs -------------------------------------------------------------------------------------

OWN = """def coverage(rate, passes):
    missed = (1 - rate) ** passes  # never chosen
    return float(1.0 - missed + 0)
def examples_needed(tokens, length, signals):
    total = (tokens // length) * (length - 1)
    return [tokens // length, -(-total // signals)]"""
COPY = OWN.replace("missed", "rest").replace("total", "all_of_them").replace("  # never chosen", "")
OTHER = """def coverage(r, k):
    share = 0
    for _ in range(k): share += (1 - share) * r
    return share"""


def test_a_copy_with_other_names_stands_first():
    codes = {
        "ann": OWN,
        "bob": OTHER,
        "cyd": COPY,
        "dan": "def coverage(r, k): return min(1, r * k)",
    }
    ((share, both, common), *_) = similar.pairs(codes, "def coverage(rate, passes):")
    assert both == ("ann", "cyd") and share == 1 and len(common) == 5


def test_what_many_wrote_and_what_was_given_tells_nothing():
    line = "answer = sorted(values, key=len)[0]"
    assert similar.pairs({"ann": line, "bob": line}, "") and not similar.pairs(
        {"ann": line, "bob": line}, line
    )
    assert not similar.pairs(dict.fromkeys("abcdefgh", line), "")


def test_texts_are_compared_by_their_words():
    one, other = "The mask hides the future of all", "A model reads what nobody else wrote"
    assert not similar.pairs({"ann": one, "bob": other}, "")
    assert similar.pairs({"ann": one, "bob": one}, "")


def test_the_page_shows_both_and_escapes_them(tmp_path, monkeypatch):
    read = Submission([Cell("x = [1, 2, '<script>alert(1)</script>']")])
    monkeypatch.setattr(similar.Submission, "read", lambda path: read)
    found = [Found(name, tmp_path, "T1") for name in ("<ann>", "bob")]
    monkeypatch.setattr(similar, "shape", lambda line: line)
    monkeypatch.setattr(similar, "pairs", lambda codes, blank: [(0.5, ("<ann>", "bob"), set())])
    page = similar.as_page(found, ITEMS, tmp_path)
    assert page.count("&lt;script&gt;") == 2 and "<script" not in page
    assert "&lt;ann&gt; and bob, 50% of the smaller one" in page


# -- marking -----------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path):
    """A desk with the texts of three students, served."""
    students = {name: result(text=f"={name} <script>x</script>") for name in ("ann", "bob", "cyd")}
    write(tmp_path, **students)
    with Desk(tmp_path) as desk:
        threading.Thread(target=desk.serve_forever, daemon=True).start()
        yield desk
        desk.shutdown()


def ask(desk, path, body=None, host="", **headers):
    """Send a request; returns status and text."""
    link = http.client.HTTPConnection("127.0.0.1", desk.server_port)
    method = "POST" if body is not None else "GET"
    content = json.dumps(body) if body is not None else None
    link.request(method, path, content, {"Host": host or desk.host, **headers})
    reply = link.getresponse()
    return reply.status, reply.read().decode()


def texts(desk):
    """The texts as the page gets them."""
    return json.loads(ask(desk, f"/texts?token={desk.token}")[1])


def test_only_who_has_the_token_on_this_machine_sees_texts(desk):
    assert desk.server_address[0] == "127.0.0.1"
    for path in ("/", "/texts", "/?token=", "/texts?token=x", f"/texts?token={desk.token}x"):
        status, text = ask(desk, path)
        assert status == 403 and "ann" not in text
    assert ask(desk, f"/texts?token={desk.token}", host="evil.example")[0] == 403
    key = texts(desk)[0]["key"]
    assert ask(desk, "/save", {"key": key, "marks": "1", "comment": ""})[0] == 403
    assert texts(desk)[0]["marks"] == ""


def test_marks_are_saved_at_once_and_merged(desk, tmp_path):
    first = texts(desk)[0]
    assert first["rubric"].startswith("1 point") and "<script>" in first["text"]
    token = {"X-Token": desk.token}
    sent = {"key": first["key"], "marks": "1,5", "comment": "Good."}
    assert ask(desk, "/save", sent, **token) == (200, "saved")
    assert [row["marks"] for row in texts(desk)] == ["1,5", "", ""], "a new page goes on here"
    for marks, said in (("3", "from 0 to 2"), ("x", "not a number")):
        status, text = ask(desk, "/save", sent | {"marks": marks}, **token)
        assert status == 400 and (said in text or "is not a number" in text)
    assert ask(desk, "/save", sent | {"key": "no"}, **token)[0] == 400
    assert ask(desk, "/save", ["x"], **token)[0] == 400
    again = {name: result(text=f"={name} <script>x</script>") for name in ("ann", "bob", "cyd")}
    assert write(tmp_path, **again)["ann"]["T1"] == "3.5"


def test_a_text_that_begins_like_a_formula_does_not_grow_with_each_save():
    for text in ("=1+1", "a;=1", "'=1"):
        assert cell(cell(text)) == cell(text)


def test_marking_without_texts_says_what_to_do(tmp_path):
    said = CliRunner().invoke(app, ["mark", str(tmp_path)])
    assert said.exit_code and "course grade writes it" in f"{said.output}{said.exception}"


@pytest.mark.slow
def test_a_class_is_marked_by_keyboard(desk, browser, tmp_path):
    page = browser.new_page()
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(desk.address)
    page.wait_for_selector("#head:has-text('ann')")
    assert page.inner_text("#text").endswith("ann <script>x</script>")
    assert "the price" in page.inner_text("#rubric")
    page.keyboard.type("2")
    page.keyboard.press("Enter")
    page.wait_for_selector("#head:has-text('bob')")
    page.keyboard.type("9")
    page.keyboard.press("Enter")
    page.wait_for_selector("#said:has-text('from 0 to 2')")
    page.keyboard.press("Alt+ArrowRight")
    page.wait_for_selector("#head:has-text('cyd')")
    page.fill("#comment", "Which mask?")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#said:has-text('last text')")
    page.goto(desk.address)  # resumes at what has no mark
    page.wait_for_selector("#head:has-text('bob')")
    page.close()
    saved = {row["student"]: row for row in read_table(tmp_path / "free_text.csv", {"key"})}
    assert saved["ann"]["marks"] == "2" and saved["cyd"]["comment"] == "Which mask?"
    assert not faults

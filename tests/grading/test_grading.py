"""The graders grade: banks, blanks, seeds and mutants; the student's `check`; the reports."""

import ast
import csv
import importlib
import inspect
import json
import pkgutil
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from judged_here import here
from project_copy import ROOM

from course_tools.grading import cases, exercises, people, references, report, selftest
from course_tools.grading.collect import Found, owner, safe
from course_tools.grading.grade import Setup, Stopped, canary, status
from course_tools.grading.judge import ELSEWHERE, Mark, load_hidden, reference
from course_tools.grading.notebook import Submission, Unreadable
from course_utils import grading
from course_utils.grading import cases as stored_cases
from course_utils.grading import check
from course_utils.grading.cells import python_of
from course_utils.grading.item import IN_PLACE, Notebook, Wrong, array, check_call, compare, same
from course_utils.grading.items import all_items
from course_utils.grading.plain import MAX_DEPTH, NotPlain, decode, dumps, encode, loads
from course_utils.grading.session import Session

ROOT = Path(__file__).resolve().parents[2]
SOLUTIONS, EXERCISES, BANKS = ROOT / "solutions", ROOT / "exercises", ROOT / "tests/grading/answers"
ITEMS = list(all_items().values())
RUBRICS = people.rubrics_in(SOLUTIONS / "hidden")
LOST = ("partly right", "wrong", "missing", "crashed", "timed out")


@cache
def hidden_of(name):
    """The hidden checks of an item; loaded once, they keep the cases that a seed drew last."""
    return load_hidden(SOLUTIONS / "hidden", all_items()[name])


def judged(item, *more, folder=SOLUTIONS, seed=0):
    """Marks of a notebook of the project, with cells added at its end; in this process."""
    cells = Submission.read(folder / f"{item.notebook}.ipynb").graded
    right = reference(SOLUTIONS, item)
    return here(item, hidden_of(item.name), [*cells, *more], seed, right)


def computed(marks):
    """Marks of the parts that no person gives."""
    return [mark for mark in marks if mark.state != "needs marking"]


each_item = pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.name)


# -- every item ----------------------------------------------------------------------------------


@each_item
def test_the_solution_gets_everything_with_every_seed(item):
    for seed in range(20):
        for mark in computed(judged(item, seed=seed)):
            assert mark.state == "right", f"{seed}: {mark}"


@each_item
def test_what_only_hidden_checks_catch_is_caught_with_every_seed(item):
    """The others fail a public check, and that draws nothing."""
    for answer in selftest.load_bank(BANKS, item):
        marks = judged(item, answer.source) if answer.loses else []
        if any(mark.feedback.startswith(ELSEWHERE) for mark in marks):
            for seed in range(1, 20):
                found = selftest.faults(answer, judged(item, answer.source, seed=seed))
                assert not found, f"{answer.name}, seed {seed}: {found}"


@each_item
def test_the_path_of_a_student_from_blank_to_full_marks(item, capsys):
    """Every check of the blank notebook gives a hint; each part solved, its check gives points."""
    solved, blank = (
        Submission.read(folder / f"{item.notebook}.ipynb").graded
        for folder in (SOLUTIONS, EXERCISES)
    )
    for cells, share in ((blank, 0), (solved, 1)):
        names, earned = {}, {}
        for cell in cells:
            part = re.match(r'check\("(\w+\.\d+)"\);?$', cell.strip())
            if not part:
                Session(names).do_run(cell, "<cell>")
                continue
            capsys.readouterr()
            earned[part[1]] = check_in(names, part[1])
            said = capsys.readouterr().out
            text = item.parts[part[1]].is_text
            assert said.startswith(("✎" if text else "✓") if share else "✗"), said
            assert share or re.search("not defined|the stub still there|nothing at all", said), said
        wanted = {p.name: 0 if p.is_text else share * p.points for p in item.parts.values()}
        assert earned == wanted


def check_in(names, part):
    """Call the student's `check` in a namespace."""
    return eval(f"check({part!r})", names)


@each_item
def test_the_blank_exercise_gets_nothing(item):
    marks = judged(item, folder=EXERCISES)
    assert [mark.earned for mark in marks] == [0.0] * len(item.parts)
    assert {mark.state for mark in marks} <= {"wrong", "missing"}


@each_item
def test_the_bank_is_large_enough(item):
    bank = selftest.load_bank(BANKS, item)
    assert sum(bool(answer.loses) for answer in bank) >= (1 if ROOM else 8)
    assert sum(not answer.loses for answer in bank) >= (1 if ROOM else 3)
    parts = {part.name for part in item.parts.values() if not part.is_text}
    assert parts <= {part for answer in bank for part in answer.loses}, "each part is lost by some"


@each_item
def test_each_answer_of_the_bank_gets_what_it_deserves(item):
    for answer in selftest.load_bank(BANKS, item):
        found = selftest.faults(answer, judged(item, answer.source, seed=1))
        assert not found, f"{answer.name}: {found}"


ODD = [
    "None",
    "...",
    "True",
    "'text'",
    "float('nan')",
    "[]",
    "{}",
    "[[1, 2], [3]]",
    "10**400",
    "-1",
]
ODD += [
    "np.zeros((2, 3, 4))",
    "np.zeros(0)",
    "np.array('x')",
    "{'a': [1, 'x']}",
    "object()",
    "(0, 0)",
]


@each_item
def test_no_value_of_an_answer_is_a_fault_of_the_grader(item):
    for value in ODD:
        names = [f"{name} = lambda *a, **k: {value}" for name in item.names]
        marks = judged(item, "import numpy as np\n" + "\n".join(names))
        assert "grader error" not in {mark.state for mark in marks}, f"{value}: {marks}"
        marks = judged(item, "import numpy as np\n" + f"{' = '.join(item.names)} = {value}")
        assert "grader error" not in {mark.state for mark in marks}, f"{value}: {marks}"


@each_item
def test_no_value_is_a_fault_of_a_hidden_check(item):
    """An answer may behave as long as the public check asks."""
    hidden = hidden_of(item.name)
    for value in ODD:
        names = {"np": np}
        for name in item.names:
            exec(f"{name} = lambda *a, **k: {value}", names)
        for part in hidden.draws:
            try:
                for case in hidden.cases(part, 0):
                    item.parts[part].judge(Notebook(names), case)
            except Wrong:
                continue
            raise AssertionError(f"{part} takes {value}")


def test_a_name_belongs_to_one_item():
    names = [name for item in ITEMS for name in item.names]
    assert len(names) == len(set(names))


@each_item
def test_hints_are_sentences_for_students(item):
    for part in item.parts.values():
        assert part.points > 0 and part.title and part.name.startswith(f"{item.name}.")
        assert (part.name in RUBRICS) is part.is_text


# -- mutants of the reference ----------------------------------------------------------------------

SWAPS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Pow: ast.Mult,
    ast.Mod: ast.Mult,
}
COMPARES = {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.Gt: ast.GtE}
# why a change of the reference is no mistake
EXPLAINED = {
    "T1": {"1e-09": "any small guard rounds the products of the checks as well"},
    "T2": {": -1 in": "of two dimensions the last is also dimension 1"},
    "L1": {
        "0.1 in def probe": "how strongly it is regularized is free",
        "300 in def probe": "a limit that is not reached",
    },
    "P2": {"-1 in def evaluate": "of two dimensions the last is also dimension 1"},
    "P3": {"-1 in def answer_scores": "of two dimensions the last is also dimension 1"},
    "P6": {
        "-2 in def attention": "of four dimensions the last but one is also dimension 2",
        "v < shares[0] in def mask_tokens": "on the border the random token replaces the mask",
    },
    "T3": {"mean > 0 in def verdict": "a mean of 0 has already been told apart"},
    "T4": {
        "line 3: 0 in def stationary": "all rows of the power are equal",
        "100000 in def stationary": "any large power is",
        "line 5: 1 in def remaining_bits": "its logarithm is multiplied by a power of 0",
        "(len(h) - 1) // 2 + 1 in def mlm_bits_per_token": "where a sum of tiny terms is cut",
        "line 3: 2 in def mlm_bits_per_token": "the same",
        "line 3: 1 in def mlm_bits_per_token": "the same; a sum from 2 on loses marks",
    },
}


def mutants(source):
    """Pairs of what was changed and the changed source: one operator or number at a time."""
    count = len(list(ast.walk(ast.parse(source))))
    for number in range(count):
        tree = ast.parse(source)
        node = list(ast.walk(tree))[number]
        before = ast.unparse(node) if isinstance(node, ast.expr) else ""
        if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in SWAPS:
            node.op = SWAPS[type(node.op)]()
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARES:
            node.ops[0] = COMPARES[type(node.ops[0])]()
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            node.op = ast.UAdd()
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
            node.value = node.value + 1
        else:
            continue
        yield f"line {getattr(node, 'lineno', 0)}: {before}", ast.unparse(tree)


def definitions_of(item):
    """The reference's functions that answer the item, as source."""
    cells = Submission.read(SOLUTIONS / f"{item.notebook}.ipynb").graded
    for cell in cells:
        for node in ast.parse(python_of(cell)).body:
            if isinstance(node, ast.FunctionDef) and node.name in item.names:
                yield ast.unparse(node)


def survives(item, name, changed):
    """Whether a changed function of that name loses no mark: not its own parts', not another's."""
    own = {part.name: part for part in item.parts.values() if name in part.names}
    return not any(
        mark.state in LOST
        for some in (replace(item, parts=own), item)  # most are caught by the first few checks
        for mark in judged(some, changed)
    )


@pytest.mark.slow
@each_item
def test_every_mutant_of_the_reference_loses_marks(item):
    tried, survivors = 0, []
    for source in definitions_of(item):
        name = ast.parse(source).body[0].name
        for what, changed in mutants(source):
            tried += 1
            if survives(item, name, changed):
                survivors.append(f"{what} in {source.splitlines()[0]}")
    assert ROOM or tried >= 8  # a fork may add an exercise of one line
    known = EXPLAINED.get(item.name, {})
    assert not [s for s in survivors if not any(why in s for why in known)], survivors


# -- the student's check -----------------------------------------------------------------------


def run_check(name, cells=(), capsys=None):
    """Call `check` as a notebook with these cells does; returns points and what was printed."""
    names = {"check": check}
    for cell in cells:
        exec(cell, names)
    points = eval(f"check({name!r})", names)
    return points, capsys.readouterr().out


def test_check_says_pass_and_gives_the_points(capsys):
    points, text = run_check("T1.2", ["def clm_signals(n): return n - 1"], capsys)
    assert points == 1 and text == "✓ T1.2 Predictions of a causal sequence: 1 of 1 point.\n"


def test_check_names_the_mistake_and_shows_the_values(capsys):
    points, text = run_check("T1.1", ["def mlm_signals(n, r): return n"], capsys)
    assert points == 0 and "predicts only the chosen positions" in text
    assert "mlm_signals(128, 0.15): 128; expected: 19" in text


def test_check_says_what_was_not_run(capsys):
    points, text = run_check("T1", ["def clm_signals(n): return n - 1"], capsys)
    assert points == 1 and text.count("is not defined. Write it, and run its cell") == 4
    assert "T1: 1 of 10 points so far." in text
    assert "is not defined" in run_check("T1.2", ["clm_signals = ..."], capsys)[1]


@pytest.mark.parametrize("name", ["T99", "T1.9", "", "nonsense", None, 7, "T1.1 "])
def test_check_of_an_unknown_name_tells_the_known_ones(name, capsys):
    points, text = run_check(name, (), capsys)
    assert points == 0 and "T1, T2" in text


@pytest.mark.parametrize(
    "body", ["raise SystemExit", "raise BaseException('x')", "1 / 0", "return object()", "n.x"]
)
def test_check_never_raises(body, capsys):
    points, text = run_check("T1.2", [f"def clm_signals(n): {body}"], capsys)
    assert points == 0 and "Hint:" in text


def test_check_survives_a_fault_of_ours(capsys, monkeypatch):
    monkeypatch.setattr("course_utils.grading.public.find", lambda name: 1 / 0)
    points, text = run_check("T1.2", (), capsys)
    assert points == 0 and "the check itself failed (ZeroDivisionError" in text


def test_check_of_free_text_promises_no_points(capsys):
    points, text = run_check("T1.5", ["answer_T1 = 'Because.'"], capsys)
    assert points == 0 and "A person marks it (2 points)" in text
    assert "is empty" in run_check("T1.5", ["answer_T1 = ' \\n'"], capsys)[1]


def test_check_does_not_disturb_the_notebook(capsys):
    names = {"check": check, "clm_signals": lambda n: n - 1, "_x": 1}
    exec("check('T1.2')", names)
    assert set(names) == {"check", "clm_signals", "_x", "__builtins__"}


# -- exercises -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory):
    """A folder with the exercises as they are made now."""
    folder = tmp_path_factory.mktemp("exercises")
    exercises.generate(SOLUTIONS, folder)
    return folder


@pytest.mark.slow
def test_exercises_are_exactly_what_the_solutions_give(regenerated):
    made = {path.name: path.read_bytes() for path in regenerated.glob("*.ipynb")}
    assert made == {path.name: path.read_bytes() for path in EXERCISES.glob("*.ipynb")}, (
        "run: make exercises"
    )


def lines(text):
    """The lines of a text, also those behind a comment sign, without the very short ones."""
    stripped = (line.strip("# \t") for line in text.splitlines())
    return {line for line in stripped if len(line) > 12}


def parted(path):
    """Three sets of lines of a solution: answers, other secrets, and what everybody is given."""
    answers, secrets, given = set(), set(), set()
    for cell in nbformat.read(path, 4).cells:
        before, *blocks = cell.source.split(exercises.BEGIN)
        (secrets if "solution" in cell.metadata.get("tags", []) else given).update(lines(before))
        for block in blocks:
            inside, after = block.split(exercises.END)
            answers |= lines(inside)
            given |= lines(after)
    return answers, secrets, given


@pytest.mark.parametrize("path", sorted(SOLUTIONS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_an_exercise_holds_nothing_of_its_solution(path):
    blank = (EXERCISES / path.name).read_text("utf-8")
    book = nbformat.reads(blank, 4)
    there = lines("\n".join(cell.source for cell in book.cells))
    answers, secrets, given = parted(path)
    least = 1 if ROOM else 5  # a fork may add an exercise of one line
    assert len(answers - given) >= least and (ROOM or len(secrets - given) >= least)
    assert not (answers | secrets) - given & there  # what everybody is given may be used again
    assert len(answers & given) <= len(answers) / 5
    assert "SOLUTION" not in blank and "HIDDEN" not in blank
    assert all(not cell.outputs for cell in book.cells if cell.cell_type == "code")
    answers = [cell for cell in book.cells if "nbgrader" in cell.metadata]
    item = next(item for item in ITEMS if item.notebook == path.stem)
    checks = [cell for cell in answers if cell.metadata.nbgrader.grade]
    assert sum(cell.metadata.nbgrader.points for cell in checks) == item.points
    assert sum(exercises.STUB in cell.source for cell in answers) >= len(item.parts)


@each_item
def test_the_public_cases_are_exactly_what_the_references_give(item):
    stored = (stored_cases.FOLDER / f"{item.name.lower()}.json").read_text("utf-8")
    made = cases.text_of(cases.public(item))
    assert cases.agree(json.loads(stored), json.loads(made)), "run: make exercises"
    assert len(stored) < 50_000
    again = {
        part: [{key: encode(value) for key, value in case.items()} for case in some]
        for part, some in stored_cases.stored(item.name).items()
    }
    assert again == json.loads(stored)


def test_cases_agree_but_for_rounding():
    one = {"array": "float64", "shape": [2], "data": encode(np.array([1.0, 2.0]))["data"]}
    near, far = (encode(np.array([1.0, 2.0 + gap])) for gap in (1e-9, 1e-2))
    assert cases.agree([one, 0.1 + 0.2, "a"], [near, 0.3, "a"])
    for other in ([far, 0.3, "a"], [near, 0.3], [near, 0.31, "a"], [near, 0.3, "b"], [1, 0.3, "a"]):
        assert not cases.agree([one, 0.3, "a"], other)


def test_a_file_of_cases_is_written_only_where_it_says_something_else(tmp_path):
    item = all_items()["T1"]
    path = cases.write_public(item, tmp_path)
    assert path and cases.write_public(item, tmp_path) is None
    path.write_text(path.read_text().replace(": 19,", ": 20,"))
    assert cases.write_public(item, tmp_path) == path


def defined(module):
    """The functions that a module itself defines, by name."""
    return {name: thing for name, thing in vars(module).items()
            if inspect.isfunction(thing) and thing.__module__ == module.__name__}  # fmt: skip


def modules(package):
    """All modules below a package, imported."""
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return [importlib.import_module(module.name) for module in found]


def test_no_reference_lies_in_the_students_package():
    """Neither a function of the references nor one with the name of an answer."""
    theirs = {name for module in modules(references) for name in defined(module)} - {"public"}
    assert len(theirs) > 90 and {"jaccard", "lcs", "undominated", "quality_case"} <= theirs
    answers = {name for item in ITEMS for name in item.names}
    for module in modules(grading):
        assert not (theirs | answers) & defined(module).keys(), module.__name__
        assert "course_tools" not in Path(module.__file__).read_text("utf-8"), module.__name__


def test_hidden_checks_and_solutions_are_no_part_of_package_and_site():
    assert not list((ROOT / "src").rglob("hidden*"))
    assert yaml.safe_load((ROOT / "_config.yml").read_text())["only_build_toc_files"] is True
    assert "hidden" not in (ROOT / "_toc.yml").read_text()


# -- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -3,
        2.5,
        "ü\ud800",
        [1, [2]],
        {"a": [None]},
        np.eye(2),
        np.zeros((0, 3)),
        np.arange(3, dtype="int32"),
        np.array(True),
    ],
    ids=repr,
)
def test_plain_values_travel(value):
    back = decode(loads(dumps({"value": encode(value)}))["value"])
    assert type(back) is type(value)
    if not isinstance(value, np.ndarray):
        assert back == value
    else:
        np.testing.assert_array_equal(back, value)
        assert back.dtype == value.dtype and back.shape == value.shape


NESTED = [0]
for _ in range(MAX_DEPTH + 2):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    "code",
    [
        {},
        {"made": "os:system", "args": ["x"], "kwargs": {}},
        {"kept": 0},
        {"dict": [[1]]},
        {"array": "object", "shape": [1], "data": "AAAA"},
        NESTED,
        {"array": "float64", "shape": [10**9], "data": ""},
        {"array": "int8", "shape": 3, "data": ""},
        {"array": "float64", "shape": [-1], "data": ""},
        {"array": "int8", "shape": [2], "data": "!"},
    ],
    ids=str,
)
def test_what_is_no_plain_value_is_refused(code):
    with pytest.raises(NotPlain):
        decode(code)


@pytest.mark.parametrize("value", [object(), {1}, b"x", 1j, {1: 2}, np.array([None]), NESTED, len])
def test_only_plain_values_are_encoded(value):
    with pytest.raises(NotPlain):
        encode(value)


@pytest.mark.parametrize(
    ("got", "want", "equal"),
    [
        (19, 19, True),
        (19.0, 19, True),
        (19.0001, 19, False),
        (True, 1, False),
        (1, True, False),
        (np.array([19]), 19, True),
        ([1, 2], np.array([1, 2]), True),
        ([1, [2]], [1, 2], False),
        (0.1 + 0.2, 0.3, True),
        (float("nan"), 0.3, False),
        ("19", 19, False),
        (None, 0, False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"b": 1}, False),
        (["a", 1], ["a", 1], True),
        (10**30, 10**30 + 1, True),
        ("a", "a", True),
        ([True, False], [True, False], True),
        ([1, 0], [True, False], False),
        (np.eye(2), np.eye(3), False),
        ([], [], True),
        (True, True, True),
        (np.array(True), True, True),
        ([1, True], [1, 1], False),
    ],
    ids=str,
)
def test_equality_is_that_of_plain_values(got, want, equal):
    assert same(got, want) is equal


def test_compare_names_the_mistake_only_where_it_shows():
    with pytest.raises(Wrong, match="off by one"):
        compare(4, 5, [("the same", 5), ("off by one", 4)])
    with pytest.raises(Wrong, match="wrong shape"):
        compare([1, 2], [1, 2, 3])
    with pytest.raises(Wrong, match="not made of numbers"):
        array("x", "it")
    with pytest.raises(Wrong, match="finite"):
        array([np.inf], "it", (1,))


def test_complex_numbers_without_imaginary_part_are_plain():
    assert encode(2 + 0j) == 2.0 and type(encode(np.complex128(2))) is float
    back = decode(encode(np.array([1 + 0j, 2])))
    assert back.dtype == float and back.tolist() == [1, 2]
    with pytest.raises(NotPlain):
        encode(np.array([1 + 1j]))


@pytest.mark.parametrize(
    ("got", "want", "said"),
    [
        (19.00001, 19, "19.00001; expected: 19"),
        (0.1234567, 0.1234569, "0.1234567; expected: 0.1234569"),
        (np.array([1.0000001, 2]), np.array([1.0, 2]), "[1.0000001, 2]; expected: shape (2,): [1"),
        (np.arange(9.0), np.array([*range(8), 9.0]), "[8]: 8; expected: 9"),
        ([0] * 50 + [1], [0] * 51, "[50]: 1; expected: 0"),
        (np.zeros((3, 3)), np.eye(3) * [0, 0, 1], "[2, 2]: 0; expected: 1"),
    ],
    ids=str,
)
def test_what_came_and_what_was_expected_are_told_so_that_they_differ(got, want, said):
    with pytest.raises(Wrong) as wrong:
        compare(got, want, what="It", rtol=0, atol=0)
    assert said in wrong.value.detail


def check_of(case, function):
    """The hint that `check_call` gives to a function f, if any."""
    try:
        check_call(Notebook({"f": function}), case, "f")
    except Wrong as wrong:
        return wrong.hint


def test_a_call_must_leave_its_arguments_alone():
    case = cases.case([3, 1], expected=4)
    assert check_of(case, sum) is None
    assert check_of(case, lambda x: x.pop() + x.pop()) == IN_PLACE


def test_a_case_may_have_a_hint_for_whatever_else_goes_wrong():
    case = cases.case(0, expected=1.5, mistakes=[("doubled", 3.0)], otherwise="at zero")
    assert check_of(case, lambda x: 1.5) is None
    assert check_of(case, lambda x: 3) == "doubled"
    hints = {check_of(case, f) for f in (lambda x: 7, lambda x: 1 / x, lambda x: None)}
    assert hints == {"at zero"}


def test_a_hidden_part_is_one_that_needs_cases():
    hidden = cases.Hidden(all_items()["T1"])
    with pytest.raises(ValueError, match="a person"):
        hidden.part("T1.5")
    with pytest.raises(ValueError, match="a record"):
        cases.Hidden(all_items()["P2"]).part("P2.5")
    assert hidden.lacking() == ["T1.1", "T1.2", "T1.3", "T1.4"]


# -- notebooks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b'{"cells": 3}',
        b'{"cells": [{"cell_type": 1}]}',
        b'{"cells": [{"cell_type": "code", "source": {"a": 1}}]}',
        b"[" * 99_999,
    ],
)
def test_what_is_no_notebook_is_unreadable(content):
    with pytest.raises(Unreadable):
        Submission.parse(content)


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("alice.ipynb", "alice"),
        ("alice_T1.ipynb", "alice"),
        ("T1_gradient_signals (1).ipynb", "T1_gradient_signals (1)"),
        ("T1_gradient_signals_bob.ipynb", "bob"),
        ("doejane_LATE_12_34_T1-2.ipynb", "doejane_12"),
        ("j.doe.ipynb", "j.doe"),
        ("ann-T2_logit_gradient.ipynb", "ann"),
        ("bert1.ipynb", "bert1"),
    ],
)
def test_whose_file_it_is(name, student):
    assert owner(name, all_items()) == student


def test_names_become_safe_and_stay_apart():
    names = [
        "a\x9b2Jb",
        "a\u202eb",
        "a/b",
        "a\\b",
        "../x",
        "",
        "CON\x00",
        "x" * 300,
        "<b>",
        "a b",
        "..",
        "a:b",
    ]
    assert len({safe(name) for name in names}) == len(names)
    assert not any(re.search(r'[\x00-\x1f\x80-\x9f\u202e/\\:*?"<>|]|^\.', safe(n)) for n in names)
    assert safe("O'Brien, Zoë Ü ☂") == "O'Brien, Zoë Ü ☂"


# -- reports -------------------------------------------------------------------------------------


def result(student, text="My words.", points=3.0):
    """A result as grading leaves it on disk."""
    marks = [
        Mark("T1.1", "one", 4, points, "right").plain(),
        Mark("T1.5", "text", 2, None, "needs marking").plain(),
    ]
    return {
        "item": "T1",
        "max": 10,
        "marks": marks,
        "notes": [],
        "status": "needs marking",
        "texts": {"T1.5": text},
        "student": student,
    }


def write_reports(out, students, **more):
    """Write all reports for results of these students."""
    found = [Found(student, Path("x"), "T1") for student in students]
    results = {(student, "T1"): result(student, **more) for student in students}
    return report.write_all(out, found, {"T1": all_items()["T1"]}, [], results, RUBRICS)


def table(path):
    """A CSV file as a list of dictionaries."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def give(out, marks):
    """A person fills in the marks of the free texts."""
    rows = table(out / "free_text.csv")
    for row in rows:
        row |= {"marks": marks.get(row["student"], ""), "comment": "Well said, but <b>short</b>."}
    with (out / "free_text.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_free_text_is_collected_marked_and_merged(tmp_path):
    assert write_reports(tmp_path, ["ann", "bob"]) is False
    (row, _) = table(tmp_path / "free_text.csv")
    assert row["text"] == "My words." and "1 point:" in row["rubric"] and row["marks"] == ""
    give(tmp_path, {"ann": "1,5"})
    assert write_reports(tmp_path, ["ann", "bob"]) is False
    ann, bob = table(tmp_path / "marks.csv")
    assert (ann["T1"], ann["T1 status"]) == ("4.5", "graded")
    assert (bob["T1"], bob["T1 status"]) == ("3", "needs marking")
    page = (tmp_path / "feedback/ann.html").read_text("utf-8")
    assert "Well said, but &lt;b&gt;short" in page
    assert table(tmp_path / "canvas.csv")[2]["T1 " + all_items()["T1"].title] == ""
    give(tmp_path, {"ann": "1.5", "bob": "0"})
    assert write_reports(tmp_path, ["ann", "bob"]) is True


def test_another_text_needs_another_mark(tmp_path):
    write_reports(tmp_path, ["ann"])
    give(tmp_path, {"ann": "2"})
    write_reports(tmp_path, ["ann"], text="Rewritten.")
    assert table(tmp_path / "marks.csv")[0]["T1 status"] == "needs marking"


def test_marks_of_another_exercise_stay_in_the_table(tmp_path):
    """Grading T2 into the same folder must not delete what a person wrote about T1."""
    write_reports(tmp_path, ["ann", "bob"])
    give(tmp_path, {"ann": "2"})
    report.write_all(tmp_path, [Found("ann", Path("x"))], {"T2": all_items()["T2"]}, [], {}, {})
    assert [row["marks"] for row in table(tmp_path / "free_text.csv")] == ["2", ""]
    write_reports(tmp_path, ["ann", "bob"])
    assert table(tmp_path / "marks.csv")[0]["T1 status"] == "graded"
    assert len(table(tmp_path / "free_text.csv")) == 2


@pytest.mark.parametrize("split", [",", ";", "\t"])
def test_a_table_that_a_spreadsheet_saved_is_read(tmp_path, split):
    write_reports(tmp_path, ["ann"], text="Commas, many, and; semicolons;\nlines")
    (row,) = table(tmp_path / "free_text.csv")
    with (tmp_path / "free_text.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, row, delimiter=split)
        writer.writeheader()
        writer.writerow(row | {"marks": "1,5"})
    write_reports(tmp_path, ["ann"], text="Commas, many, and; semicolons;\nlines")
    assert table(tmp_path / "marks.csv")[0]["T1"] == "4.5"


def test_no_key_looks_like_a_number():
    keys = [people.text_key(str(number), "T1.5", "x") for number in range(2000)]
    assert not [key for key in keys if re.fullmatch(r"[\d.eE+-]+", key)]


@pytest.mark.parametrize("content", [b"student;part\nann;T1.5\n", "Zoë".encode("cp1252"), b"\0"])
def test_a_broken_table_of_texts_stops_before_it_is_overwritten(tmp_path, content):
    (tmp_path / "free_text.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"free_text\.csv"):
        write_reports(tmp_path, ["ann"])
    assert (tmp_path / "free_text.csv").read_bytes() == content


@pytest.mark.parametrize("mark", ["3", "-1", "two", "nan"])
def test_an_impossible_mark_is_named(tmp_path, mark):
    write_reports(tmp_path, ["ann"])
    give(tmp_path, {"ann": mark})
    with pytest.raises(ValueError, match=r"ann, T1.5: .* is not a number from 0 to 2"):
        write_reports(tmp_path, ["ann"])


def test_reports_for_other_systems(tmp_path):
    write_reports(tmp_path, ["doe_123"])
    name, points = "T1 " + all_items()["T1"].title, "    Points Possible"
    rows = table(tmp_path / "canvas.csv")
    assert rows[0]["Student"] == points and rows[0][name] == "10"
    assert rows[1]["Student"] == "doe" and rows[1]["ID"] == "123"
    scope = json.loads((tmp_path / "gradescope/doe_123/results.json").read_text())
    assert scope["score"] == 3 and scope["tests"][0]["max_score"] == 4


def test_the_gravest_state_is_the_status():
    marks = [Mark("a", "", 1, state=s) for s in ("right", "needs marking", "crashed", "wrong")]
    assert status(marks) == "crashed" and status(marks[:1]) == "graded"


def test_a_page_names_what_is_missing_in_one_line():
    missing = [
        {"item": name, "status": "missing", "max": 1, "marks": [], "notes": []} for name in "ab"
    ]
    page = report.page("ann", [*missing, result("ann")])
    assert "Nothing was handed in for a, b." in page and page.count("<h2>") == 1


# -- the canary ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["reference", "blank", "absent"])
def test_the_canary_stops_grading(tmp_path, monkeypatch, fault):
    setup = Setup(SOLUTIONS, EXERCISES, unsafe=True)
    if fault == "reference":  # what a fault of the jail looks like: everybody gets nothing
        monkeypatch.setattr("course_tools.grading.grade.run", lambda *a: {"marks": [lost()]})
    if fault == "blank":
        setup = replace(setup, exercises=SOLUTIONS)
    if fault == "absent":
        setup = replace(setup, exercises=tmp_path)
    word = {"reference": "the reference solution", "blank": "the blank", "absent": "is missing"}
    with pytest.raises(Stopped, match=word[fault]):
        canary(all_items()["T1"], setup)


def lost():
    """The mark of a part that got nothing."""
    return Mark("T1.1", "", 2, state="crashed").plain()


def test_a_notebook_student_is_asked_like_a_jailed_one():
    student = Notebook({"f": lambda x: x + 1, "make": lambda: [1], "n": 3})
    assert student.call("f", 1) == 2 and student.value("n") == 3
    kept = student.keep("make")
    assert student.call(".__len__", kept) == 1
    assert student.call_after("f", 1) == (2, [1])
    with pytest.raises(Wrong, match="not defined"):
        student.call("g")

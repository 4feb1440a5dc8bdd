"""Models, objectives and training stay short enough to be read in an evening."""

import ast
import io
import statistics
import tokenize
from pathlib import Path

from project_copy import ROOM

import course_utils

PACKAGE = Path(course_utils.__file__).parent
# Weights in and out, kernels, checkpoints and the optimizer of long runs are machinery: a reader of
# the chapters skips them.
MACHINERY = {"huggingface.py", "fast.py", "checkpoint.py", "muon.py"}
CORE = [
    file
    for part in ("models", "objectives", "training")
    for file in (PACKAGE / part).glob("*.py")
    if file.name not in MACHINERY
]
# Arguments written out one a line, and steps that have names, take more lines than dense code;
# they are worth it. Lower the bound with every simplification.
MOST_LINES = 1945
MEDIAN_FUNCTION = 12
LONGEST_FUNCTION = 20

LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def code_lines(text: str) -> set[int]:
    """Numbers of the lines that hold code: no docstrings, no comments, nothing blank."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in LAYOUT and token.string:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return lines


def function_sizes(text: str) -> list[int]:
    """Lines of code of each function, its header included."""
    code = code_lines(text)
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))
    return [len(code & set(range(f.lineno, f.end_lineno + 1))) for f in functions]


def test_what_counts_as_code():
    text = '"""Words."""\n\n# why\nx = """a\nb"""\n\n\n'
    text += 'def f(\n    a,\n):\n    """Says."""\n    return a\n'
    assert code_lines(text) == {4, 5, 8, 9, 10, 12}
    assert function_sizes(text) == [4]


def test_the_core_is_short():
    assert len(CORE) > 15
    lines = sum(len(code_lines(file.read_text("utf-8"))) for file in CORE)
    assert lines <= MOST_LINES + ROOM


def test_its_functions_are_short():
    sizes = {file.name: function_sizes(file.read_text("utf-8")) for file in CORE}
    every = [size for found in sizes.values() for size in found]
    assert statistics.median(every) <= MEDIAN_FUNCTION
    longest = {name: max(found) for name, found in sizes.items() if found}
    assert {n: size for n, size in longest.items() if size > LONGEST_FUNCTION} == {}

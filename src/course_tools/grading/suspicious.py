"""Lines of handed-in code that a person may want to read: a list for the teacher, never a mark.

A ban on ready-made functions works inside the student's own process, where much can be walked
round. It reminds the honest; this list shows what a walk looks like.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from course_tools.grading.notebook import Cell

KINDS = {
    "a ready-made function by another way": r"torch\.ops\b|torch\._C\b|\baten\b|_VF\b|forward_ad\b"
    r"|func\.jvp|rouge_scorer\._|_score_(lcs|ngrams)|_lcs_table",
    "names put together": r"getattr\s*\(|__getattribute__|__dict__|globals\s*\(|vars\s*\(",
    "code made at run time": r"(?<![.\w])(eval|exec|compile)\s*\(|__import__|import_module",
    "frames and traces": r"_getframe|f_back|f_locals|settrace|setprofile|gc\.get_|inspect\.stack",
    "processes and threads": r"os\.(fork|exec|kill|_exit)|subprocess|ctypes|threading|multiproc",
    "the grader itself": r"course_utils\.grading\.(?!check\b)|course_tools|solutions/|/box\b|/proc",
}
PATTERNS = {kind: re.compile(pattern) for kind, pattern in KINDS.items()}
MOST, LONGEST = 20, 120  # lines of a submission; characters of a line


def suspicious(cells: Sequence[Cell]) -> list[list[str]]:
    """Cell, kind and line of what a person may want to read; the first MOST of them."""
    found = []
    for cell in cells:
        for line in cell.splitlines():
            text = line.strip()[:LONGEST]
            kinds = [kind for kind, pattern in PATTERNS.items() if pattern.search(text)]
            if kinds and not text.startswith("#"):
                found.append([cell.where.split(" (")[0], ", ".join(kinds), text])
    return found[:MOST]

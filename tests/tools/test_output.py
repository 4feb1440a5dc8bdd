"""A terminal that cannot show a character must not stop the work."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from course_utils.data.cache import say

ENCODINGS = ("cp1252", "cp437", "cp932", "latin-1", "ascii")
VERBS = {
    "data list": 0,
    "run": 0,
    "grade --help": 0,
    "pretrain --help": 0,
    "data fetch nothing→": 1,
}


@pytest.mark.parametrize("encoding", ["ascii", "cp932"])  # the least that there is, and two bytes
@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_ends_in_a_traceback(verb, encoding, tmp_path):
    command = [sys.executable, "-m", "course_utils", *verb.split()]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COURSE_CACHE": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == VERBS[verb]
    assert b"Traceback" not in done.stderr and b"Error" not in done.stderr


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_line_of_a_load_is_escaped(encoding, monkeypatch, capfdbinary):
    with open(1, "w", encoding=encoding, closefd=False) as narrow:
        monkeypatch.setattr(sys, "stdout", narrow)
        say("bert → minilm-mlm")
    said = capfdbinary.readouterr().out
    assert said.replace("→".encode("cp932"), b"\\u2192").rstrip() == b"bert \\u2192 minilm-mlm"

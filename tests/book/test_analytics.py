"""Nobody is counted, unless somebody writes what *Adapt the course* says."""

from __future__ import annotations

import re

import pytest
import yaml

from course_tools.book import stills
from course_tools.book.build import build_book
from course_tools.checkout import ROOT, config

PAGE = (ROOT / "book/adapting.md").read_text("utf-8")


def test_the_course_counts_nobody():
    assert "analytics" not in config()["html"]


@pytest.mark.slow
def test_the_lines_of_the_page_turn_a_counter_on(tmp_path):
    (lines,) = re.findall(r"```yaml\n(  analytics:.*?)```", PAGE, re.S)
    given = yaml.safe_load(lines)["analytics"]
    before = (stills.page_alone(tmp_path) / "book/playground.html").read_text("utf-8")
    settings = tmp_path / "_config.yml"
    settings.write_text(settings.read_text("utf-8").replace("html:\n", f"html:\n{lines}", 1))
    after = (build_book(tmp_path).parent / "book/playground.html").read_text("utf-8")
    for value in given.values():
        assert value not in before and value in after

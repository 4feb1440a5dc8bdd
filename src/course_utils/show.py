"""Small things a notebook shows: sentences with measured numbers, the package's source, a quiz."""

from __future__ import annotations

import html
import inspect
import json
import os
import random
from collections.abc import Callable, Sequence

from IPython.display import HTML, Javascript, Markdown, display
from IPython.utils.capture import capture_output

from course_utils.writing import markdown_table


def say(text: str) -> None:
    """Show a paragraph of Markdown. Give it an f-string, and its numbers are those of the run.

    Line breaks inside a paragraph are joined, so that the source can be wrapped.
    """
    paragraphs = (" ".join(block.split()) for block in inspect.cleandoc(text).split("\n\n"))
    display(Markdown("\n\n".join(paragraphs)))


def table(header: Sequence[str], rows: Sequence[Sequence[object]], digits: int = 2) -> None:
    """Show a small table; floats are rounded to `digits`.

    Raises:
        ValueError: a row has more or fewer cells than the header.
    """
    cells = [[f"{x:.{digits}f}" if isinstance(x, float) else str(x) for x in row] for row in rows]
    display(Markdown(markdown_table(header, cells)))


def source(thing: Callable[..., object]) -> None:
    """Show the source of a function or class of the package as it is now, highlighted.

    Raises:
        ValueError: it is not from the package; what a chapter explains is library code.
    """
    module = inspect.getmodule(thing)
    if module is None or not module.__name__.startswith("course_utils."):
        raise ValueError(f"{thing!r} is not part of course_utils")
    display(Markdown(f"```python\n{inspect.getsource(thing).rstrip()}\n```"))


def quiz(questions: Sequence[dict]) -> None:
    """Show multiple-choice questions that answer every choice with its explanation.

    A page without kernel or network shows them as well. Needs jupyterquiz.

    Args:
        questions: `{"question": …, "answers": [{"answer": …, "correct": bool, "feedback": …}]}`.

    Raises:
        ValueError: a question without exactly one right answer, or a choice without feedback.
    """
    from jupyterquiz import display_quiz

    for item in questions:
        _check_question(item)
    questions = [_escaped(item) for item in questions]
    state = random.getstate()
    random.seed(json.dumps(list(questions)))  # the page's ids do not change from run to run
    try:
        with capture_output() as captured:
            display_quiz(
                [{"type": "multiple_choice", "answer_cols": 1, **item} for item in questions],
                shuffle_answers=False,
                max_width=720,
                colors={"--jq-multiple-choice-bg": "#0b4f79"},
            )
    finally:
        random.setstate(state)
    page, script = (output.data for output in captured.outputs)
    # jupyterquiz leaves its <div> open, and would ask a CDN for a MathJax that the page has
    display(HTML(page["text/html"] + "</div>"))
    code = script["application/javascript"]
    display(Javascript(code.replace("https://cdn.jsdelivr.net/npm/mathjax@3/es5/tex-svg.js", "")))


def stepping(draw: Callable[[int], object], last: int, start: int) -> None:
    """Show `draw(start)`; where a reader has a kernel, with a slider from 1 to `last`.

    A page without a kernel must not show a control that does nothing. `course execute`, which
    makes the page, sets COURSE_STILL.

    Raises:
        ValueError: `start` is no step.
    """
    if not 1 <= start <= last:
        raise ValueError(f"start is {start}; the steps are 1 to {last}")
    if os.environ.get("COURSE_STILL"):
        display(draw(start))
        return
    from ipywidgets import IntSlider, interact

    slider = IntSlider(start, 1, last, description="step", continuous_update=False)
    interact(lambda step: display(draw(step)), step=slider)


def _escaped(item: dict) -> dict:
    """The same question with `<` as text: jupyterquiz would take `<extra_id_0>` for a tag."""
    answers = [
        {key: html.escape(x, quote=False) if isinstance(x, str) else x for key, x in a.items()}
        for a in item["answers"]
    ]
    return item | {"question": html.escape(item["question"], quote=False), "answers": answers}


def _check_question(item: dict) -> None:
    right = sum(bool(answer["correct"]) for answer in item["answers"])
    if right != 1:
        raise ValueError(f"{right} right answers, there must be one: {item['question']}")
    silent = [a["answer"] for a in item["answers"] if not a.get("feedback")]
    if silent:
        raise ValueError(f"no feedback for {silent} in: {item['question']}")

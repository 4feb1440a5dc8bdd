"""Diagrams from above: pipeline (F1), before and after 2018, the years since, which to take."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from datetime import date

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from course_utils.figures import WIDTH, Picture, Theme, arrow, box, canvas, picture

LINE = 0.36  # height of a name
ROW = 0.62  # height of a line of a tree
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def pipeline(
    corpus: str, objective: str, model: str, tasks: Mapping[str, tuple[str, str]]
) -> Picture:
    """Figure F1: unlabelled text → pre-training → one model → labelled examples → many models.

    Args:
        corpus: what is read in pre-training, and how much.
        objective: what is asked of it.
        model: what comes out.
        tasks: name → (labelled examples, what comes out), two to four of them.

    Raises:
        ValueError: another number of tasks; the boxes would not fit.
    """
    if not 2 <= len(tasks) <= 4:
        raise ValueError(f"{len(tasks)} tasks; there is room for two to four")
    said = "; ".join(f"{name}: {data} give {out}" for name, (data, out) in tasks.items())
    alt = f"""A flow from top to bottom. Unlabelled text ({corpus}) is used once for pre-training
        ({objective}). Out comes one model ({model}). From it lines lead to {len(tasks)} tasks, each
        with a small set of labelled examples and its own fine-tuning. {said}."""

    def draw(figure: Figure, theme: Theme) -> None:
        axes = canvas(figure, 10, 10.4)
        _once(axes, theme, corpus, objective, model)
        _often(axes, theme, tasks)

    return picture(draw, alt, height=WIDTH * 1.04)


def _once(axes: Axes, theme: Theme, corpus: str, objective: str, model: str) -> None:
    """The upper half: what is done once."""
    blue = {"edgecolor": theme.series[0], "linewidth": 1.8}
    axes.text(0.2, 9.95, "once", fontsize=10, weight="bold", color=theme.series[0], va="center")
    box(axes, theme, (2.0, 9.0, 6.0, 1.2), f"unlabelled text\n{corpus}")
    arrow(axes, theme, (5, 9.0), (5, 8.35))
    box(axes, theme, (2.0, 7.25, 6.0, 1.1), f"pre-training\n{objective}", **blue)
    arrow(axes, theme, (5, 7.25), (5, 6.6))
    box(axes, theme, (2.0, 5.5, 6.0, 1.1), f"pre-trained model\n{model}", **blue | {"fontsize": 10})


def _often(axes: Axes, theme: Theme, tasks: Mapping[str, tuple[str, str]]) -> None:
    """The lower half: what is done again for each task."""
    orange = {"edgecolor": theme.series[1], "linewidth": 1.8}
    axes.text(0.2, 4.95, "for each task", fontsize=10, weight="bold", color=theme.series[1])
    wide = 9.6 / len(tasks)
    for i, (name, (data, out)) in enumerate(tasks.items()):
        left, middle = 0.2 + i * wide, 0.2 + (i + 0.5) * wide
        arrow(axes, theme, (5, 5.5), (middle, 4.45))
        box(axes, theme, (left + 0.1, 3.0, wide - 0.2, 1.4), f"fine-tuning\n{data}", **orange)
        arrow(axes, theme, (middle, 3.0), (middle, 2.35))
        box(axes, theme, (left + 0.1, 0.75, wide - 0.2, 1.55), f"{name}\n→ {out}")
    text = "a new head, few labels, small learning rate"
    axes.text(5, 0.25, text, fontsize=9, color=theme.quiet, ha="center", va="center")


def before_after(tasks: Mapping[str, str], shared: str) -> Picture:
    """Side by side: an architecture for each task, and one pre-trained model under all heads.

    Args:
        tasks: name → the architecture that it once had, two or three of them.
        shared: what stands under all of them now.

    Raises:
        ValueError: another number of tasks; the letters would not fit.
    """
    if not 2 <= len(tasks) <= 3:
        raise ValueError(f"{len(tasks)} tasks; there is room for two or three")
    said = ", ".join(f"{name} by {own}" for name, own in tasks.items())
    alt = f"""Two halves. On the left, before 2018: {said}; each stands alone and begins with random
        weights. On the right, since then: {", ".join(tasks)} are small heads on one model,
        {shared}, which was pre-trained on text without labels."""

    def draw(figure: Figure, theme: Theme) -> None:
        axes = canvas(figure, 10, 5.6)
        axes.plot([5, 5], [0.2, 5.4], "-", color=theme.quiet, linewidth=0.8)
        _half(axes, theme, 0.15, "before 2018", list(tasks), theme.series[1])
        _half(axes, theme, 5.25, "since then", list(tasks), theme.series[0])
        wide = 4.6 / len(tasks)
        for i, own in enumerate(tasks.values()):
            x, look = 0.15 + (i + 0.5) * wide, {"edgecolor": theme.series[1], "linewidth": 1.6}
            box(axes, theme, (x - 0.46 * wide, 2.0, 0.92 * wide, 1.3), own, fontsize=8, **look)
            arrow(axes, theme, (x, 1.45), (x, 2.0))
            box(
                axes,
                theme,
                (x - 0.46 * wide, 0.5, 0.92 * wide, 0.95),
                "random\nweights",
                fontsize=8,
            )
        look = {"edgecolor": theme.series[0], "linewidth": 1.8}
        box(axes, theme, (5.3, 2.0, 4.5, 1.3), f"one model\n{shared}", **look)
        arrow(axes, theme, (7.55, 1.45), (7.55, 2.0))
        box(axes, theme, (5.3, 0.5, 4.5, 0.95), "text without labels")

    return picture(draw, alt, height=WIDTH * 0.56)


def _half(
    axes: Axes, theme: Theme, left: float, title: str, names: Sequence[str], colour: str
) -> None:
    """One side: its title, and a box for each task over what answers it."""
    axes.text(left + 0.05, 5.2, title, fontsize=10, weight="bold", color=colour, va="center")
    wide = 4.6 / len(names)
    for i, name in enumerate(names):
        x = left + (i + 0.5) * wide
        arrow(axes, theme, (x, 3.3), (x, 3.9))
        box(axes, theme, (x - 0.46 * wide, 3.9, 0.92 * wide, 0.8), name, fontsize=8)


def month(published: str) -> date:
    """First day of the month of an arXiv number ("1810.04805") or of a date ("2018-06").

    Raises:
        ValueError: it is neither.
    """
    if found := re.fullmatch(r"(\d\d)(\d\d)\.\d{4,5}", published):
        return date(2000 + int(found[1]), int(found[2]), 1)
    if found := re.fullmatch(r"(\d{4})-(\d\d)", published):
        return date(int(found[1]), int(found[2]), 1)
    raise ValueError(f"{published!r} is neither an arXiv number nor a month like 2018-06")


def timeline(lanes: Mapping[str, Mapping[str, str]], *, title: str = "") -> Picture:
    """Models by month, one column a lane; months come from arXiv numbers, so they can be checked.

    Args:
        lanes: lane → name → arXiv number, or a month where there is none (see `month`).
        title: what the alternative text begins with.

    Raises:
        ValueError: no lane, or more than four.
    """
    if not 1 <= len(lanes) <= 4:
        raise ValueError(f"{len(lanes)} lanes; there is room for one to four")
    dated = {
        lane: sorted((month(published), name) for name, published in names.items())
        for lane, names in lanes.items()
    }
    said = " ".join(
        f"{lane}: " + ", ".join(f"{name} {_in_words(when)}" for when, name in rows) + "."
        for lane, rows in dated.items()
    )
    years = [when.year for rows in dated.values() for when, _ in rows]

    def draw(figure: Figure, theme: Theme) -> None:
        span = max(years) + 1 - min(years)
        axes = canvas(figure, 10, 1.3 * span + 0.95)
        for year in range(min(years), max(years) + 1):
            low = height_of(date(year + 1, 1, 1), max(years))
            shade = theme.fill if (year - min(years)) % 2 == 0 else "none"
            axes.add_patch(Rectangle((0, low), 10, 1.3, facecolor=shade, edgecolor="none"))
            axes.text(0.1, low + 0.65, str(year), fontsize=10, va="center")
        for number, (lane, rows) in enumerate(dated.items()):
            _lane(axes, theme, number, len(lanes), lane, rows, max(years))

    height = WIDTH * (0.13 * (max(years) + 1 - min(years)) + 0.095)
    return picture(draw, f"{title or 'A timeline.'} {said}", height=height)


def _in_words(when: date) -> str:
    return f"{MONTHS[when.month - 1]} {when.year}"


def height_of(when: date, last: int) -> float:
    """Later is lower: the eye reads down."""
    return 1.3 * (last + 1 - when.year - (when.month - 1) / 12) + 0.1


def label_heights(heights: Sequence[float]) -> list[float]:
    """Where names go, from above: a name gives way to the one over it."""
    places: list[float] = []
    for y in heights:
        places.append(min(y, places[-1] - LINE) if places else y)
    return places


def _lane(
    axes: Axes,
    theme: Theme,
    number: int,
    count: int,
    lane: str,
    rows: Sequence[tuple[date, str]],
    last: int,
) -> None:
    """One column: a line, a dot at each month, names that do not overlap."""
    wide = 8.8 / count
    x, colour = 1.25 + number * wide, theme.series[number]
    top = height_of(date(rows[0][0].year, 1, 1), last)
    highest = 1.3 * (last + 1) - 1.3 * min(r[0].year for r in rows) + 0.1
    axes.plot([x, x], [0.1, max(top, highest)], color=colour, linewidth=1.6, linestyle="-")
    axes.text(x - 0.1, axes.get_ylim()[1] - 0.45, lane, color=colour, fontsize=9.5, weight="bold")
    heights = [height_of(when, last) for when, _ in rows]
    for y, label, (_, name) in zip(heights, label_heights(heights), rows, strict=True):
        axes.plot([x], [y], "os^D"[number % 4], color=colour, markersize=5)
        axes.plot([x, x + 0.22], [y, label], color=colour, linewidth=0.7, linestyle="-")
        axes.text(x + 0.28, label, name, fontsize=8.5, va="center")


Tree = tuple[str, Mapping[str, "Tree | str"]]


def decision_tree(tree: Tree) -> Picture:
    """Questions from the top, answers below and to the right, ending in what to take.

    Args:
        tree: (question, {answer: another tree, or what to take}). Lines must be short: there is
            room for some 66 letters, less 4 for each level.

    Raises:
        ValueError: a question without at least two answers, or a line without room.
    """
    lines = _outline(tree)
    if long := [text for depth, a, text, _ in lines if len(a + text) > 66 - 4 * depth]:
        raise ValueError(f"no room for {long}; say it shorter")
    said = " ".join(f"{a}: {text.rstrip('?')}{'.' if end else '?'}" for _, a, text, end in lines)

    def draw(figure: Figure, theme: Theme) -> None:
        axes = canvas(figure, 10, ROW * len(lines) + 0.1)
        for number, (depth, answer, text, leaf) in enumerate(lines):
            y, x = ROW * (len(lines) - number - 0.5), 0.15 + 0.55 * depth
            if depth:
                parent = max(i for i in range(number) if lines[i][0] == depth - 1)
                top = ROW * (len(lines) - parent - 0.5) - 0.25
                axes.plot([x - 0.35, x - 0.35, x - 0.08], [top, y, y], "-", color=theme.quiet, lw=1)
            colour = theme.series[1] if leaf else theme.ink
            lead = axes.text(x, y, f"{answer}: " if answer else "", fontsize=9.5, va="center")
            style = {"weight": "normal" if leaf else "bold", "color": colour}
            axes.annotate(text, (1, 0), xycoords=lead, fontsize=9.5, va="bottom", **style)

    return picture(draw, f"A decision tree{said}", height=WIDTH * (ROW * len(lines) + 0.1) / 10)


def _outline(tree: Tree, depth: int = 0, answer: str = "") -> list[tuple[int, str, str, bool]]:
    """The lines of a tree from above: depth, the answer that leads there, text, whether it ends."""
    question, branches = tree
    if len(branches) < 2:
        raise ValueError(f"{question!r} has {len(branches)} answers; a question needs two or more")
    lines = [(depth, answer, question, False)]
    for reply, branch in branches.items():
        if isinstance(branch, str):
            lines.append((depth + 1, reply, branch, True))
        else:
            lines += _outline(branch, depth + 1, reply)
    return lines


def text_to_text(tasks: Sequence[tuple[str, str, str]]) -> Picture:
    """Figure F4: rows of (task, input text, output text), all through one model.

    Raises:
        ValueError: no rows, or more than six: the letters would get too small.
    """
    if not 1 <= len(tasks) <= 6:
        raise ValueError(f"{len(tasks)} tasks; a figure holds one to six")
    said = " ".join(f"{task}: “{before}” becomes “{after}”." for task, before, after in tasks)
    alt = f"{len(tasks)} tasks, one model. Text goes in on the left, text comes out. {said}"
    step = 2.35

    def draw(figure: Figure, theme: Theme) -> None:
        high = step * len(tasks)
        axes = canvas(figure, 10, high)
        middle: dict = {"edgecolor": theme.series[0], "linewidth": 1.8, "fontsize": 11}
        box(axes, theme, (5.55, 0.35, 1.05, high - 0.7), "T5", **middle)
        for row, (task, before, after) in enumerate(tasks):
            colour, y = theme.series[row % len(theme.series)], high - step * (row + 1) + 0.3
            axes.text(0.1, y + 1.66, task, color=colour, fontsize=9, weight="bold", va="bottom")
            text_in, text_out = textwrap.fill(before, 29), textwrap.fill(after, 15)
            box(axes, theme, (0.1, y, 4.85, 1.6), text_in, fontsize=8, edgecolor=colour)
            box(axes, theme, (7.2, y, 2.7, 1.6), text_out, fontsize=8, edgecolor=colour)
            arrow(axes, theme, (4.95, y + 0.8), (5.55, y + 0.8))
            arrow(axes, theme, (6.6, y + 0.8), (7.2, y + 0.8))

    return picture(draw, alt, height=WIDTH * step * len(tasks) / 10)

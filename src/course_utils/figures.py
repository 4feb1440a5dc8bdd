"""One visual language for every figure: light and dark SVG, with alternative text that is required.

Colours are Okabe & Ito's set for colour-blind readers; series differ in dash or hatch as well.
Figures are drawn narrow, so that their letters stay readable on a phone.
"""

from __future__ import annotations

import html
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

WIDTH = 4.8  # inches of 96 px: at a phone's 340 px the letters shrink to three quarters
SHOWN = 580  # px on a wide screen


@dataclass(frozen=True)
class Theme:
    """Colours of one appearance of the page."""

    name: str
    paper: str
    ink: str
    quiet: str
    fill: str
    series: tuple[str, ...]
    scale: tuple[str, ...]  # colours of a matrix, from nothing to most


LIGHT = Theme(
    "light", "#ffffff", "#1a1a1a", "#5a5a5a", "#eef1f4",
    ("#0072B2", "#D55E00", "#009E73", "#AA4499", "#8A6D00"),
    ("#eef1f4", "#0072B2", "#001f3d"),
)  # fmt: skip
DARK = Theme(
    "dark", "none", "#e8e8e8", "#a8adb5", "#262b33",
    ("#56B4E9", "#E69F00", "#2FCB9C", "#E48CBF", "#F0E442"),
    ("#262b33", "#56B4E9", "#ffffff"),
)  # fmt: skip
DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.4, 1.2, 1.4)), (0, (9, 2)))
ARROW = {"arrowstyle": "-|>", "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9}

Draw = Callable[[Figure, Theme], None]


@dataclass(frozen=True)
class Picture:
    """A figure in both appearances. Notebooks show it as HTML; its text form is the description.

    The web book shows the one that fits its theme. Where no style sheet says so (Colab, GitHub),
    the dark one has no size, and the light one stands on white paper.
    """

    light: str
    dark: str
    alt: str
    width: int = SHOWN

    def _repr_html_(self) -> str:
        light = self._image("only-light", f'width="{self.width}"', self.light)
        return light + self._image("only-dark", 'width="0" height="0"', self.dark)

    def _image(self, shown: str, size: str, svg: str) -> str:
        # percent-encoded text compresses on its way to the reader, base64 does not
        data = quote(svg, safe=" =:/,;()'")
        alt = html.escape(self.alt)
        source = f"data:image/svg+xml;utf8,{data}"
        return f'<img class="course-figure {shown}" {size} alt="{alt}" src="{source}">'

    def __repr__(self) -> str:
        return self.alt


def picture(draw: Draw, alt: str, *, height: float = 3.0, width: float = WIDTH) -> Picture:
    """Draw the same figure for the light and the dark page.

    Args:
        draw: called with an empty matplotlib figure and the theme, once for each theme.
        alt: what a reader who cannot see the figure needs to know: what it shows, and the finding.
        height: in inches.
        width: in inches; keep the default, or letters get too small on a phone.

    Raises:
        ValueError: `alt` is missing or too short to describe anything.
    """
    if len(alt.split()) < 6:
        raise ValueError(f"alt is {alt!r}: describe the figure in a sentence, and what it shows")
    svgs = [_svg(draw, theme, (width, height)) for theme in (LIGHT, DARK)]
    return Picture(*svgs, alt=" ".join(alt.split()), width=round(SHOWN * width / WIDTH))


def _svg(draw: Draw, theme: Theme, size: tuple[float, float]) -> str:
    with matplotlib.rc_context(_settings(theme)):
        figure = Figure(figsize=size, layout="constrained", facecolor=theme.paper)
        draw(figure, theme)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue().split("?>", 1)[1].split('svg11.dtd">', 1)[1].strip()


def _settings(theme: Theme) -> dict:
    colours = dict.fromkeys(
        ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), theme.ink
    )
    cycle = matplotlib.cycler(color=theme.series) + matplotlib.cycler(linestyle=DASHES)
    return colours | {
        "axes.prop_cycle": cycle,
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10.5,
        "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
        "font.size": 10,
        "legend.frameon": False,
        "lines.linewidth": 1.9,
        "svg.fonttype": "path",
        "svg.hashsalt": "course",  # the same picture has the same bytes
    }


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x: str,
    y: str,
    alt: str,
    levels: Mapping[str, float] | None = None,
    points: Mapping[str, tuple[float, float]] | None = None,
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    dots: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    log_x: bool = False,
    height: float = 3.1,
) -> Picture:
    """Lines over a common axis.

    `levels` are horizontal reference lines with their names, `points` single ones with theirs,
    `bands` the low and the high edge around the line of the same name: an interval, or all seeds;
    `dots` are single measurements behind the line of the same name.
    """

    def draw(figure: Figure, theme: Theme) -> None:
        axes = figure.add_subplot(xlabel=x, ylabel=y)
        if log_x:
            axes.set_xscale("log")
            if max(max(xs) for xs, _ in series.values()) < 1e5:
                axes.xaxis.set_major_formatter("{x:,g}")  # what can be counted is written out
        for name, (xs, ys) in series.items():
            (line,) = axes.plot(xs, ys, label=name)
            if bands and name in bands:
                look = {"color": line.get_color(), "alpha": 0.22, "linewidth": 0}
                axes.fill_between(xs, *bands[name], **look)
            if dots and name in dots:
                look = {"color": line.get_color(), "markersize": 3.2, "alpha": 0.75}
                axes.plot(*dots[name], "o", gid=f"dots-{name.replace(' ', '-')}", **look)
        for name, (at, value) in (points or {}).items():
            axes.plot([at], [value], "o", color=theme.ink, markersize=5)
            lowest = any(value == min(ys) for _, ys in series.values())  # its curve rises beside it
            shift = (4, -12) if lowest else (4, 5)
            axes.annotate(name, (at, value), shift, textcoords="offset points", fontsize=9)
        for name, level in (levels or {}).items():
            axes.axhline(level, color=theme.quiet, linewidth=0.9, linestyle="-", zorder=0)
            place = axes.get_yaxis_transform()  # beside the axes, where no line can hide it
            axes.text(
                1.01, level, name, color=theme.quiet, va="center", fontsize=9, transform=place
            )
        if levels:
            _lift(axes, min(levels.values()))
        if len(series) > 1:
            wide = sum(sorted(map(len, series))[-2:]) > 44  # two such names do not fit side by side
            figure.legend(loc="outside upper left", ncols=1 if wide else 2)

    return picture(draw, alt, height=height)


def _lift(axes: Axes, level: float) -> None:
    """Keep the name of the lowest level above the axis, where it would read as a tick of it."""
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, level - 0.1 * (high - low)), high)


def bars(
    rows: Mapping[str, float] | Mapping[str, Mapping[str, float]],
    *,
    x: str,
    alt: str,
    digits: int = 2,
    intervals: Mapping[str, tuple[float, float]] | None = None,
) -> Picture:
    """Horizontal bars with their values; a mapping of mappings draws groups, one colour each.

    `intervals` are low and high ends, drawn as whiskers on ungrouped bars.
    """
    first = next(iter(rows.values()))
    groups = rows if isinstance(first, Mapping) else {"": rows}
    names = list(dict.fromkeys(name for group in groups.values() for name in group))

    def draw(figure: Figure, theme: Theme) -> None:
        axes = figure.add_subplot(xlabel=x)
        thick = 0.8 / len(groups)
        for number, (label, group) in enumerate(groups.items()):
            places = [names.index(name) + (number + 0.5) * thick - 0.4 for name in group]
            drawn = axes.barh(places, list(group.values()), thick * 0.92, label=label,
                              color=theme.series[number], hatch=("", "///", "..")[number % 3],
                              edgecolor=theme.fill, linewidth=0, capsize=3,
                              xerr=_whiskers(group, intervals), ecolor=theme.ink)  # fmt: skip
            axes.bar_label(drawn, fmt=f"%.{digits}f", padding=3, fontsize=9)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.margins(x=0.14)
        if len(groups) > 1:
            figure.legend(loc="outside upper left", ncols=2)

    return picture(draw, alt, height=0.9 + 0.32 * len(names) * max(1, 0.6 * len(groups)))


def magnitudes(
    series: Mapping[str, Mapping[str, float]],
    *,
    x: str,
    alt: str,
) -> Picture:
    """Dots on a logarithmic axis, a row a name: for sizes that differ by powers of ten.

    A bar has no honest length on such an axis, for it has no zero; a dot has a place.

    Args:
        series: what is measured → name → size. With one series the rows have a guiding line.
        x: the axis, with its unit.
        alt: see `picture`.
    """
    names = list(dict.fromkeys(name for sizes in series.values() for name in sizes))

    def draw(figure: Figure, theme: Theme) -> None:
        axes = figure.add_subplot(xlabel=x, xscale="log")
        for number, (what, sizes) in enumerate(series.items()):
            shift = 0.26 * (number - (len(series) - 1) / 2)
            places = [names.index(name) + shift for name in sizes]
            look = {"color": theme.series[number], "markersize": 6, "linestyle": "none"}
            mark = "os^D"[number % 4]
            axes.plot(list(sizes.values()), places, mark, label=what, gid=f"sizes-{number}", **look)
            for size, place in zip(sizes.values(), places, strict=True):
                text = f"{size:,.0f}" if size >= 10 else f"{size:.2g}"
                beside = {"textcoords": "offset points", "va": "center", "fontsize": 9}
                axes.annotate(text, (size, place), (7, 0), **beside)
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.set_yticks(range(len(names)), names)
        axes.grid(
            axis="y" if len(series) == 1 else "x", color=theme.quiet, alpha=0.3, linewidth=0.7
        )
        axes.set_axisbelow(True)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.margins(x=0.16)
        if len(series) > 1:
            figure.legend(loc="outside upper left", ncols=1 if max(map(len, series)) > 22 else 2)

    return picture(draw, alt, height=0.9 + 0.3 * len(names) * max(1, 0.75 * len(series)))


def _whiskers(
    group: Mapping[str, float], intervals: Mapping[str, tuple[float, float]] | None
) -> list[list[float]] | None:
    """How far the intervals reach below and above the values, as matplotlib wants it."""
    if intervals is None:
        return None
    ends = [(value, *intervals[name]) for name, value in group.items()]
    return [[value - low for value, low, _ in ends], [high - value for value, _, high in ends]]


def grids(
    matrices: Mapping[str, Sequence[Sequence[float]]],
    labels: Sequence[str],
    *,
    alt: str,
    y: str = "",
) -> Picture:
    """Square matrices over the same tokens, one colour scale: who looks (rows) at whom.

    An empty label is a position without a tick.
    """
    ticks = [i for i, label in enumerate(labels) if label]
    names = [labels[i] for i in ticks]

    def draw(figure: Figure, theme: Theme) -> None:
        high = max(max(map(max, matrix)) for matrix in matrices.values())
        for axes, (title, matrix) in zip(
            figure.subplots(1, len(matrices), squeeze=False)[0], matrices.items(), strict=True
        ):
            shade(axes, theme, matrix, vmax=high)
            axes.set_title(title)
            axes.set_xticks(ticks, names, rotation=90)
            axes.set_yticks([])
        first = figure.axes[0]
        first.set_yticks(ticks, names)
        first.set_ylabel(y)

    heights = {1: 4.2, 2: 3.1, 3: 2.3}  # the more there are, the smaller each
    return picture(draw, alt, height=heights.get(len(matrices), 1.9))


def shade(axes: Axes, theme: Theme, matrix: Sequence[Sequence[float]], **how) -> None:
    """A matrix as colours, from nothing to most."""
    scale = LinearSegmentedColormap.from_list(theme.name, theme.scale)
    axes.imshow(matrix, vmin=0, cmap=scale, **how)
    axes.spines[:].set_visible(False)


def box(
    axes: Axes, theme: Theme, place: tuple[float, float, float, float], text: str = "", **look
) -> FancyBboxPatch:
    """A rounded box at (x, y, width, height), its text in the middle."""
    x, y, width, height = place
    size, turn = look.pop("fontsize", 9), look.pop("rotation", 0)
    style = {"facecolor": theme.fill, "edgecolor": theme.quiet, "linewidth": 0.9} | look
    shape = FancyBboxPatch(
        (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.08", **style
    )
    axes.add_patch(shape)
    middle = {"ha": "center", "va": "center", "fontsize": size, "rotation": turn}
    axes.text(x + width / 2, y + height / 2, text, **middle)
    return shape


def arrow(
    axes: Axes, theme: Theme, start: tuple[float, float], end: tuple[float, float], **look
) -> None:
    """The one kind of arrow: data flows from `start` to `end`."""
    axes.annotate("", end, start, arrowprops=ARROW | {"color": theme.ink} | look)


def canvas(figure: Figure, width: float, height: float) -> Axes:
    """Axes without axes: a drawing area from (0, 0) to (width, height)."""
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return axes


def attention_across(
    weights: Sequence[Sequence[float]], columns: Sequence[str], rows: Sequence[str], *, alt: str
) -> Picture:
    """Cross-attention as a matrix: for each piece written (rows) where on the input it looked.

    Raises:
        ValueError: names and weights that do not fit.
    """
    if len(weights) != len(rows) or any(len(row) != len(columns) for row in weights):
        shape = f"{len(weights)} × {len(weights[0]) if weights else 0}"
        raise ValueError(f"weights are {shape}, names {len(rows)} × {len(columns)}")

    def draw(figure: Figure, theme: Theme) -> None:
        axes = figure.add_subplot(ylabel="having written …", xlabel="looks at …")
        shade(axes, theme, weights, aspect="auto")
        axes.set_xticks(range(len(columns)), columns, rotation=90)
        axes.set_yticks(range(len(rows)), rows)

    return picture(draw, alt, height=1.5 + 0.27 * len(rows))


def token_rows(
    rows: Mapping[str, Sequence[tuple[str, str]]], *, alt: str, aligned: bool = True
) -> Picture:
    """Rows of tokens in boxes, as (token, look); with `aligned`, one below the other.

    Args:
        rows: what stands before a row → its tokens; a look is "plain", "strong" (predicted, read
            by a head, computed now), "other" (a second kind), or "absent" (an empty place).
        alt: what the picture shows, in words.
        aligned: whether columns have one width; else every box is as wide as its token.

    Raises:
        ValueError: a look that there is not.
    """
    unknown = {look for tokens in rows.values() for _, look in tokens} - {*LOOKS}
    if unknown:
        raise ValueError(f"no look is called {sorted(unknown)}; there are {', '.join(LOOKS)}")
    sizes = {name: [len(token) + 1.6 for token, _ in tokens] for name, tokens in rows.items()}
    if aligned:
        columns = [max(found) for found in itertools.zip_longest(*sizes.values(), fillvalue=0)]
        sizes = {name: columns[: len(found)] for name, found in sizes.items()}
    margin = 0.25 + 0.175 * max(map(len, rows))
    unit = min(0.24, (9.9 - margin) / max(map(sum, sizes.values())))
    points = min(8.5, unit * WIDTH / 10 * 72 / 0.62)

    def draw(figure: Figure, theme: Theme) -> None:
        axes = canvas(figure, 10, len(rows) + 0.1)
        for line, (name, tokens) in enumerate(rows.items()):
            y, x = len(rows) - line - 0.85, margin
            axes.text(0.1, y + 0.33, name, fontsize=8.5, va="center")
            for (token, look), size in zip(tokens, sizes[name], strict=True):
                place = (x, y, size * unit - 0.08, 0.66)
                box(axes, theme, place, token, fontsize=points, **LOOKS[look](theme))
                x += size * unit

    return picture(draw, alt, height=0.42 * (len(rows) + 0.1))


LOOKS: dict[str, Callable[[Theme], dict]] = {
    "plain": lambda theme: {},
    "strong": lambda theme: {"edgecolor": theme.series[1], "linewidth": 1.8},
    "other": lambda theme: {"edgecolor": theme.series[0], "linewidth": 1.8},
    "absent": lambda theme: {
        "facecolor": "none", "edgecolor": theme.quiet, "linestyle": (0, (2, 2))
    },
}  # fmt: skip


def causal_steps(tokens: Sequence[str], probabilities: Sequence[float]) -> Picture:
    """Show a row for each step: what is visible, which token is current, what is blocked.

    Args:
        tokens: the text, from left to right.
        probabilities: of tokens 2, 3, … as the model gives them, each from the tokens before it.
    """
    if len(probabilities) != len(tokens) - 1:
        raise ValueError(
            f"{len(tokens)} tokens have {len(tokens) - 1} successors, "
            f"{len(probabilities)} probabilities were given"
        )
    said = "; ".join(
        f"after {' '.join(tokens[:t])}: {tokens[t]} {decimals(p)}"
        for t, p in enumerate(probabilities, start=1)
    )
    alt = f"""A row for each step through {" ".join(tokens)}. The tokens so far are visible, the
        last of them is current, those to the right are blocked. Probability of the token that
        follows: {said}."""
    wide, rows = 6.6 / len(tokens), len(probabilities)

    def draw(figure: Figure, theme: Theme) -> None:
        axes = canvas(figure, 10, rows + 1.2)
        axes.text(6.8, rows + 0.75, "P(next)", fontsize=9, va="center")
        names = {"visible": "plain", "current": "strong", "blocked": "absent"}
        for x, (name, look) in zip((0.1, 2.1, 4.2), names.items(), strict=True):
            box(axes, theme, (x, rows + 0.6, 0.4, 0.32), **LOOKS[look](theme))
            axes.text(x + 0.52, rows + 0.75, name, fontsize=9, va="center")
        for t, probability in enumerate(probabilities, start=1):
            _step(axes, theme, tokens, t, rows - t + 0.15, wide)
            bar = Rectangle((6.8, rows - t + 0.3), 1.1 * probability, 0.4, color=theme.series[1])
            axes.add_patch(bar)
            text = f"{tokens[t]} {decimals(probability)}"
            axes.text(6.9 + 1.1 * probability, rows - t + 0.5, text, va="center", fontsize=9)

    return picture(draw, alt, height=0.42 * (rows + 1.2))


def decimals(p: float, digits: int = 3) -> str:
    """A probability in so many decimals; what they cannot hold is small, and not nothing."""
    least = 10**-digits
    return f"{p:.{digits}f}" if p >= least / 2 else f"< {least:.{digits}f}"


def _step(axes: Axes, theme: Theme, tokens: Sequence[str], t: int, y: float, wide: float) -> None:
    """One row: tokens before position t are seen, the last of them is current."""
    for i, token in enumerate(tokens):
        look = LOOKS["absent" if i >= t else "strong" if i == t - 1 else "plain"](theme)
        size = {"fontsize": min(9, 58 / len(tokens))}
        shape = box(axes, theme, (0.1 + i * wide, y, wide * 0.92, 0.7),
                    token if i < t else "", **look | size)  # fmt: skip
        shape.set_gid(f"{'blocked' if i >= t else 'seen'}-{t}-{i}")

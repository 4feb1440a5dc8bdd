"""One visual language for every figure: light and dark SVG, with alternative text that is required.

Colours are Okabe & Ito's set for colour-blind readers; series differ in dash or hatch as well.
Figures are drawn narrow, so that their letters stay readable on a phone.
"""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from course_utils.models import BertConfig, GptConfig

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
    size = look.pop("fontsize", 9)
    style = {"facecolor": theme.fill, "edgecolor": theme.quiet, "linewidth": 0.9} | look
    shape = FancyBboxPatch(
        (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.08", **style
    )
    axes.add_patch(shape)
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=size)
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


def bert_encoder(
    config: BertConfig,
    tokens: Sequence[str],
    guesses: Mapping[str, float],
    *,
    masked: int,
) -> Picture:
    """Figure F2: tokens, summed embeddings, the encoder stack, and the MLM head over one position.

    Everything countable is drawn from `config`: a bar for each layer, a cell for each head.

    Args:
        config: of the model to draw.
        tokens: what goes in, with `[MASK]` at position `masked`.
        guesses: pieces and their probabilities at that position, as the model gives them.
        masked: the position that the head reads.
    """
    if not 0 <= masked < len(tokens) <= 9:
        raise ValueError(f"masked={masked} must be one of the {len(tokens)} tokens (at most 9)")
    alt = f"""BERT as a stack, read from below. {len(tokens)} tokens, {" ".join(tokens)}, are turned
        into sums of token, position and segment vectors of size {config.hidden_size}. They pass
        {config.num_layers} layers of {config.num_heads} attention heads each; in every layer every
        position looks at every other, left and right. The head reads only the position of
        {tokens[masked]} and spreads probability over {config.vocab_size:,} pieces:
        {_said(guesses)}."""

    def draw(figure: Figure, theme: Theme) -> None:
        axes = canvas(figure, 10, 13.4)
        vectors = ("token", "position", "segment")
        xs = _layers(axes, theme, config, tokens, masked, vectors, causal=False)
        # the numbers stand where the head's arrow does not pass
        side = {"x": 0.75} if xs[masked] > 5 else {"x": 9.25, "ha": "right"}
        axes.text(y=9.3, s=_counts(config), fontsize=9, va="center", **side)
        arrow(axes, theme, (xs[masked], 9.0), (xs[masked], 9.85), **_strong_line(theme))
        _head(axes, theme, f"MLM head: {config.vocab_size:,} scores, then softmax")
        _guesses(axes, theme, guesses, 3.4, 4.5)

    return picture(draw, alt, height=WIDTH * 1.34)


def gpt_decoder(config: GptConfig, tokens: Sequence[str], guesses: Mapping[str, float]) -> Picture:
    """Figure F3: tokens, summed embeddings, the decoder stack, its triangle, and the LM head.

    Everything countable is drawn from `config`: a bar for each layer, a cell for each head.

    Args:
        config: of the model to draw.
        tokens: what goes in, from left to right.
        guesses: pieces and their probabilities after the last token, as the model gives them.
    """
    if not 2 <= len(tokens) <= 9:
        raise ValueError(f"{len(tokens)} tokens: there is room for 2 to 9")
    alt = f"""GPT as a stack, read from below. {len(tokens)} tokens, {" ".join(tokens)}, are turned
        into sums of token and position vectors of size {config.hidden_size}. They pass
        {config.num_layers} layers of {config.num_heads} attention heads each; in every layer a
        position looks at itself and to its left, never to its right: the matrix of who sees whom
        is a lower triangle. Every position predicts the token after it; the last one spreads
        probability over {config.vocab_size:,} pieces: {_said(guesses)}."""
    last = len(tokens) - 1

    def draw(figure: Figure, theme: Theme) -> None:
        axes = canvas(figure, 10, 13.4)
        xs = _layers(axes, theme, config, tokens, last, ("token", "position"), causal=True)
        axes.text(6.6, 0.3, _counts(config), fontsize=9, va="center", ha="center")
        for x in xs[:-1]:
            arrow(axes, theme, (x, 9.0), (x, 9.85), color=theme.quiet)
        arrow(axes, theme, (xs[last], 9.0), (xs[last], 9.85), **_strong_line(theme))
        _head(axes, theme, f"LM head: at each position {config.vocab_size:,} scores, then softmax")
        _guesses(axes, theme, guesses, 2.3, 3.1)
        _triangle(axes, theme, len(tokens))

    return picture(draw, alt, height=WIDTH * 1.34)


def _said(guesses: Mapping[str, float]) -> str:
    """Guesses and their probabilities in words."""
    return ", ".join(f"{piece} {_share(p, 2)}" for piece, p in guesses.items())


def _layers(
    axes: Axes,
    theme: Theme,
    config: BertConfig | GptConfig,
    tokens: Sequence[str],
    strong: int,
    vectors: Sequence[str],
    causal: bool,
) -> list[float]:
    """Everything below the head; returns where the tokens stand, from left to right."""
    xs = [0.75 + 8.5 * (i + 0.5) / len(tokens) for i in range(len(tokens))]
    _inputs(axes, theme, config, tokens, xs, strong, vectors)
    _flow(axes, theme, xs, strong, 1.82 + 0.3 * len(vectors), causal)
    _stack(axes, theme, config)
    return xs


def _strong_line(theme: Theme) -> dict:
    return {"color": theme.series[1], "linewidth": 1.8}


def _strong_box(theme: Theme) -> dict:
    return {"edgecolor": theme.series[1], "linewidth": 1.8}


def _inputs(
    axes: Axes,
    theme: Theme,
    config: BertConfig | GptConfig,
    tokens: Sequence[str],
    xs: Sequence[float],
    strong: int,
    vectors: Sequence[str],
) -> None:
    """Tokens at the bottom, and the vectors that are added for each."""
    wide = 8.5 / len(tokens)
    colours = theme.series[2 : 2 + len(vectors)]
    for i, (token, x) in enumerate(zip(tokens, xs, strict=True)):
        look = _strong_box(theme) if i == strong else {}
        place = (x - wide * 0.46, 0.75, wide * 0.92, 0.6)
        box(axes, theme, place, token, fontsize=min(8.5, 70 / len(tokens)), **look)
        arrow(axes, theme, (x, 1.35), (x, 1.75))
        for level, colour in enumerate(colours):
            patch = Rectangle((x - wide * 0.3, 1.8 + level * 0.3), wide * 0.6, 0.24, color=colour)
            patch.set_gid(f"embedding-{level}-{i}")
            axes.add_patch(patch)
    names = [vectors[0], *(f"+ {name}" for name in vectors[1:])]
    names[-1] += " vector"
    for x, name, colour in zip((0.75, 2.3, 4.35), names, colours, strict=False):
        axes.text(x, 0.3, f"■ {name}", color=colour, fontsize=9, va="center")
    text = f"d = {config.hidden_size}"
    axes.text(9.25, 0.3, text, fontsize=9, va="center", ha="right", gid="width")


def _flow(
    axes: Axes,
    theme: Theme,
    xs: Sequence[float],
    strong: int,
    low: float,
    causal: bool,
) -> None:
    """Lines from every position to each that may see it, those into `strong` in colour."""
    for j, source in enumerate(xs):
        for i, target in enumerate(xs):
            if causal and j > i:
                continue
            look = {"color": theme.quiet, "linewidth": 0.5, "alpha": 0.35}
            if i == strong:
                look = {"color": theme.series[1], "linewidth": 1.2, "zorder": 3}
            line = axes.plot([source, target], [low, 3.72], linestyle="-", **look)
            line[0].set_gid(f"flow-{j}-{i}")


def _stack(axes: Axes, theme: Theme, config: BertConfig | GptConfig) -> None:
    """One bar a layer, one cell a head."""
    low, high, left, right = 3.78, 9.0, 0.75, 9.25
    pitch = (high - low) / config.num_layers
    cell = (right - left - 0.2) / config.num_heads
    for layer in range(config.num_layers):
        y = low + layer * pitch
        bar = Rectangle((left, y), right - left, pitch * 0.86, facecolor=theme.fill,
                        edgecolor=theme.quiet, linewidth=0.7)  # fmt: skip
        bar.set_gid(f"layer-{layer}")
        axes.add_patch(bar)
        for head in range(config.num_heads):
            patch = Rectangle((left + 0.1 + (head + 0.12) * cell, y + pitch * 0.2), cell * 0.76,
                              pitch * 0.46, facecolor=theme.series[0], alpha=0.75)  # fmt: skip
            patch.set_gid(f"head-{layer}-{head}")
            axes.add_patch(patch)


def _counts(config: BertConfig | GptConfig) -> str:
    return f"{config.num_layers} layers × {config.num_heads} heads"


def _head(axes: Axes, theme: Theme, text: str) -> None:
    """The prediction head: a box across the picture."""
    box(axes, theme, (0.75, 9.9, 8.5, 0.62), text, **_strong_box(theme))


def _guesses(
    axes: Axes, theme: Theme, guesses: Mapping[str, float], left: float, wide: float
) -> None:
    """The first guesses with their probabilities; a certain one has a bar as long as `wide`."""
    for row, (piece, probability) in enumerate(guesses.items()):
        y = 12.95 - row * 2.1 / max(1, len(guesses) - 1)
        axes.text(left - 0.1, y, piece, ha="right", va="center", fontsize=9.5)
        look = {"color": theme.series[1]}
        axes.add_patch(Rectangle((left + 0.1, y - 0.16), wide * probability, 0.32, **look))
        place = left + 0.2 + wide * probability
        axes.text(place, y, _share(probability, 2), va="center", fontsize=9)


def _triangle(axes: Axes, theme: Theme, count: int) -> None:
    """Who (row) sees whom (column): a filled cell for each pair that the mask allows."""
    left, top, size = 7.15, 12.75, 2.1
    cell = size / count
    axes.text(left + size / 2, 13.05, "who sees whom", fontsize=8.5, ha="center", va="center")
    for i in range(count):
        for j in range(count):
            seen = j <= i
            colour = theme.series[1] if i == count - 1 else theme.series[0]
            look = {"facecolor": colour, "alpha": 0.85} if seen else {"facecolor": theme.fill}
            patch = Rectangle((left + j * cell, top - (i + 1) * cell), cell * 0.88, cell * 0.88,
                              edgecolor="none", **look)  # fmt: skip
            patch.set_gid(f"{'seen' if seen else 'blocked'}-{i}-{j}")
            axes.add_patch(patch)


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
        f"after {' '.join(tokens[:t])}: {tokens[t]} {_share(p)}"
        for t, p in enumerate(probabilities, start=1)
    )
    alt = f"""A row for each step through {" ".join(tokens)}. The tokens so far are visible, the
        last of them is current, those to the right are blocked. Probability of the token that
        follows: {said}."""
    wide, rows = 6.6 / len(tokens), len(probabilities)

    def draw(figure: Figure, theme: Theme) -> None:
        axes = canvas(figure, 10, rows + 1.2)
        axes.text(6.8, rows + 0.75, "P(next)", fontsize=9, va="center")
        for x, name, look in zip((0.1, 2.1, 4.2), ("visible", "current", "blocked"),
                                 _states(theme), strict=True):  # fmt: skip
            box(axes, theme, (x, rows + 0.6, 0.4, 0.32), **look)
            axes.text(x + 0.52, rows + 0.75, name, fontsize=9, va="center")
        for t, probability in enumerate(probabilities, start=1):
            _step(axes, theme, tokens, t, rows - t + 0.15, wide)
            bar = Rectangle((6.8, rows - t + 0.3), 1.1 * probability, 0.4, color=theme.series[1])
            axes.add_patch(bar)
            text = f"{tokens[t]} {_share(probability)}"
            axes.text(6.9 + 1.1 * probability, rows - t + 0.5, text, va="center", fontsize=9)

    return picture(draw, alt, height=0.42 * (rows + 1.2))


def _share(probability: float, digits: int = 3) -> str:
    """A probability in so many decimals; what they cannot hold is small, and not nothing."""
    least = 10**-digits
    return f"{probability:.{digits}f}" if probability >= least / 2 else f"< {least:.{digits}f}"


def _states(theme: Theme) -> tuple[dict, dict, dict]:
    """Looks of a visible, a current and a blocked token."""
    blocked = {"facecolor": "none", "edgecolor": theme.quiet, "linestyle": (0, (2, 2))}
    return {}, _strong_box(theme), blocked


def _step(axes: Axes, theme: Theme, tokens: Sequence[str], t: int, y: float, wide: float) -> None:
    """One row: tokens before position t are seen, the last of them is current."""
    visible, current, blocked = _states(theme)
    for i, token in enumerate(tokens):
        look = blocked if i >= t else current if i == t - 1 else visible
        size = {"fontsize": min(9, 58 / len(tokens))}
        shape = box(axes, theme, (0.1 + i * wide, y, wide * 0.92, 0.7),
                    token if i < t else "", **look | size)  # fmt: skip
        shape.set_gid(f"{'blocked' if i >= t else 'seen'}-{t}-{i}")

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

from course_utils.models import BertConfig

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
    height: float = 3.1,
) -> Picture:
    """Lines over a common axis; `levels` are horizontal reference lines with their names."""

    def draw(figure: Figure, theme: Theme) -> None:
        axes = figure.add_subplot(xlabel=x, ylabel=y)
        for name, (xs, ys) in series.items():
            axes.plot(xs, ys, label=name)
        for name, level in (levels or {}).items():
            axes.axhline(level, color=theme.quiet, linewidth=0.9, linestyle="-", zorder=0)
            place = axes.get_yaxis_transform()  # beside the axes, where no line can hide it
            axes.text(
                1.01, level, name, color=theme.quiet, va="center", fontsize=9, transform=place
            )
        if len(series) > 1:
            figure.legend(loc="outside upper left", ncols=2)

    return picture(draw, alt, height=height)


def bars(
    rows: Mapping[str, float] | Mapping[str, Mapping[str, float]],
    *,
    x: str,
    alt: str,
    digits: int = 2,
) -> Picture:
    """Horizontal bars with their values; a mapping of mappings draws groups, one colour each."""
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
                              edgecolor=theme.fill, linewidth=0)  # fmt: skip
            axes.bar_label(drawn, fmt=f"%.{digits}f", padding=3, fontsize=9)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.margins(x=0.14)
        if len(groups) > 1:
            figure.legend(loc="outside upper left", ncols=2)

    return picture(draw, alt, height=0.9 + 0.32 * len(names) * max(1, 0.6 * len(groups)))


def grids(
    matrices: Mapping[str, Sequence[Sequence[float]]],
    labels: Sequence[str],
    *,
    alt: str,
    y: str = "",
) -> Picture:
    """Square matrices over the same tokens, one colour scale: who looks (rows) at whom."""

    def draw(figure: Figure, theme: Theme) -> None:
        high = max(max(map(max, matrix)) for matrix in matrices.values())
        scale = LinearSegmentedColormap.from_list(theme.name, theme.scale)
        for axes, (title, matrix) in zip(
            figure.subplots(1, len(matrices), squeeze=False)[0], matrices.items(), strict=True
        ):
            axes.imshow(matrix, vmin=0, vmax=high, cmap=scale)
            axes.set_title(title)
            axes.set_xticks(range(len(labels)), labels, rotation=90)
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        first = figure.axes[0]
        first.set_yticks(range(len(labels)), labels)
        first.set_ylabel(y)

    return picture(draw, alt, height=3.1 if len(matrices) > 1 else 4.2)


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
    best = ", ".join(f"{piece} {probability:.2f}" for piece, probability in guesses.items())
    alt = f"""BERT as a stack, read from below. {len(tokens)} tokens, {" ".join(tokens)}, are turned
        into sums of token, position and segment vectors of size {config.hidden_size}. They pass
        {config.num_layers} layers of {config.num_heads} attention heads each; in every layer every
        position looks at every other, left and right. The head reads only the position of
        {tokens[masked]} and spreads probability over {config.vocab_size:,} pieces: {best}."""

    def draw(figure: Figure, theme: Theme) -> None:
        axes = canvas(figure, 10, 13.4)
        xs = [0.75 + 8.5 * (i + 0.5) / len(tokens) for i in range(len(tokens))]
        _inputs(axes, theme, config, tokens, xs, masked)
        _flow(axes, theme, xs, masked)
        _stack(axes, theme, config, xs[masked])
        _head(axes, theme, config, guesses, xs[masked])

    return picture(draw, alt, height=WIDTH * 1.34)


def _inputs(
    axes: Axes,
    theme: Theme,
    config: BertConfig,
    tokens: Sequence[str],
    xs: Sequence[float],
    masked: int,
) -> None:
    """Tokens at the bottom, and the three vectors that are added for each."""
    wide = 8.5 / len(tokens)
    for i, (token, x) in enumerate(zip(tokens, xs, strict=True)):
        look = {"edgecolor": theme.series[1], "linewidth": 1.8} if i == masked else {}
        box(
            axes,
            theme,
            (x - wide * 0.46, 0.75, wide * 0.92, 0.6),
            token,
            fontsize=min(8.5, 70 / len(tokens)),
            **look,
        )
        arrow(axes, theme, (x, 1.35), (x, 1.75))
        for level, colour in enumerate(theme.series[2:5]):
            patch = Rectangle((x - wide * 0.3, 1.8 + level * 0.3), wide * 0.6, 0.24, color=colour)
            patch.set_gid(f"embedding-{level}-{i}")
            axes.add_patch(patch)
    names = ("token", "+ position", "+ segment vector")
    for x, name, colour in zip((0.75, 2.3, 4.35), names, theme.series[2:5], strict=True):
        axes.text(x, 0.3, f"■ {name}", color=colour, fontsize=9, va="center")
    text = f"d = {config.hidden_size}"
    axes.text(9.25, 0.3, text, fontsize=9, va="center", ha="right", gid="width")


def _flow(axes: Axes, theme: Theme, xs: Sequence[float], masked: int) -> None:
    """Lines from every position to every position, those into the masked one in colour."""
    for source in xs:
        for i, target in enumerate(xs):
            look = {"color": theme.quiet, "linewidth": 0.5, "alpha": 0.35}
            if i == masked:
                look = {"color": theme.series[1], "linewidth": 1.2, "zorder": 3}
            axes.plot([source, target], [2.72, 3.72], linestyle="-", **look)


def _stack(axes: Axes, theme: Theme, config: BertConfig, masked_x: float) -> None:
    """One bar a layer, one cell a head; their numbers where the head's arrow does not pass."""
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
    text = f"{config.num_layers} layers × {config.num_heads} heads"
    side = {"x": left} if masked_x > 5 else {"x": right, "ha": "right"}
    axes.text(y=high + 0.3, s=text, fontsize=9, va="center", **side)


def _head(
    axes: Axes, theme: Theme, config: BertConfig, guesses: Mapping[str, float], x: float
) -> None:
    """The MLM head over one position, and the first guesses with their probabilities."""
    strong = {"edgecolor": theme.series[1], "linewidth": 1.8}
    arrow(axes, theme, (x, 9.0), (x, 9.85), color=theme.series[1], linewidth=1.8)
    text = f"MLM head: {config.vocab_size:,} scores, then softmax"
    box(axes, theme, (0.75, 9.9, 8.5, 0.62), text, **strong)
    for row, (piece, probability) in enumerate(guesses.items()):
        y = 12.95 - row * 2.1 / max(1, len(guesses) - 1)
        axes.text(3.3, y, piece, ha="right", va="center", fontsize=9.5)
        axes.add_patch(Rectangle((3.5, y - 0.16), 4.5 * probability, 0.32, color=theme.series[1]))
        axes.text(3.6 + 4.5 * probability, y, f"{probability:.2f}", va="center", fontsize=9)

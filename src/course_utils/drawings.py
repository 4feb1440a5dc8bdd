"""Diagrams of T5: the text-to-text idea, and encoder and decoder side by side, from the config."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from course_utils.figures import ARROW, WIDTH, Picture, Theme, arrow, box, canvas, picture, shade
from course_utils.models import T5Config

ENCODER, DECODER = (0.3, 4.6), (5.5, 9.8)  # from left to right, in tenths of the width
LOW, HIGH = 2.8, 7.6  # where the stacks begin and end


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


def t5_stacks(config: T5Config, inputs: Sequence[str], targets: Sequence[str]) -> Picture:
    """Encoder and decoder side by side, with the arrows that cross-attention needs.

    Everything countable is drawn from `config`: a bar for each layer, a cell for each head, in the
    decoder a second row of cells for the heads that look at the encoder.

    Args:
        config: of the model to draw.
        inputs: what the encoder reads, at most 7 tokens.
        targets: what the decoder is to write, at most 7; it reads them shifted right by one.

    Raises:
        ValueError: no tokens, or more than fit.
    """
    if not (1 <= len(inputs) <= 7 and 1 <= len(targets) <= 7):
        raise ValueError(f"{len(inputs)} inputs and {len(targets)} targets; 1 to 7 can be drawn")
    sizes = f"{config.num_heads} heads each"
    alt = f"""Two stacks, read from below. On the left the encoder: {len(inputs)} tokens,
        {" ".join(inputs)}, pass {config.num_layers} layers of {sizes}; every position looks at
        every other. On the right the decoder: it reads pad, which starts it, and what it has
        written, each position only itself and its left, through {config.num_decoder_layers} layers
        of {sizes}, with a second row of heads, cross-attention, that look at the encoder's output.
        Its head scores {config.vocab_size:,} pieces and writes {" ".join(targets)}."""
    read = ["pad", *targets[:-1]]

    def draw(figure: Figure, theme: Theme) -> None:
        axes = canvas(figure, 10, 10.6)
        _side(axes, theme, ENCODER, inputs, causal=False)
        _side(axes, theme, DECODER, read, causal=True)
        _layers(axes, theme, ENCODER, config.num_layers, config.num_heads, 0)
        _layers(axes, theme, DECODER, config.num_decoder_layers, config.num_heads, 1)
        _memory(axes, theme, config.num_layers, config.num_decoder_layers)
        _output(axes, theme, config, targets)
        _names(axes, theme, config)

    return picture(draw, alt, height=WIDTH * 1.06)


def _places(span: tuple[float, float], count: int) -> list[float]:
    left, right = span
    return [left + (right - left) * (i + 0.5) / count for i in range(count)]


def _fits(token: str, wide: float) -> float:
    """Size of letters, in points, with which a token fits into a box."""
    return min(8.5, wide * WIDTH / 10 * 72 / (0.62 * len(token) + 0.6))


def _side(
    axes: Axes, theme: Theme, span: tuple[float, float], tokens: Sequence[str], causal: bool
) -> None:
    """Tokens at the bottom, and lines to the positions that look at them."""
    xs = _places(span, len(tokens))
    wide = (span[1] - span[0]) / len(tokens) * 0.92
    for i, (token, x) in enumerate(zip(tokens, xs, strict=True)):
        box(axes, theme, (x - wide / 2, 0.75, wide, 0.55), token, fontsize=_fits(token, wide))
        for target in xs[i:] if causal else xs:
            axes.plot([x, target], [1.4, 2.7], color=theme.quiet, linewidth=0.8, linestyle="-")


def _layers(
    axes: Axes, theme: Theme, span: tuple[float, float], layers: int, heads: int, cross: int
) -> None:
    """One bar a layer, one cell a head; with `cross`, a second row for the heads that look over."""
    left, right = span
    pitch, cell = (HIGH - LOW) / layers, (right - left - 0.2) / heads
    side = ("encoder", "decoder")[cross]
    for layer in range(layers):
        y = LOW + layer * pitch
        look: dict = {"facecolor": theme.fill, "edgecolor": theme.quiet, "linewidth": 0.7}
        bar = Rectangle((left, y), right - left, pitch * 0.86, **look)
        bar.set_gid(f"{side}-layer-{layer}")
        axes.add_patch(bar)
        rows = (("self", theme.series[0]), ("cross", theme.series[1]))[: 1 + cross]
        high = pitch * 0.66 / len(rows)
        for row, (kind, colour) in enumerate(rows):
            for head in range(heads):
                place = (left + 0.1 + (head + 0.1) * cell, y + pitch * 0.12 + row * high)
                patch = Rectangle(place, cell * 0.8, high * 0.9, facecolor=colour)
                patch.set_gid(f"{side}-{kind}-{layer}-{head}")
                axes.add_patch(patch)


def _memory(axes: Axes, theme: Theme, encoder_layers: int, layers: int) -> None:
    """The encoder's output, led to the cross-attention of every decoder layer."""
    colour, trunk = theme.series[1], (ENCODER[1] + DECODER[0]) / 2
    line: dict = {"color": colour, "linewidth": 1.6, "linestyle": "-"}
    middle, pitch = sum(ENCODER) / 2, (HIGH - LOW) / layers
    top = HIGH - 0.14 * (HIGH - LOW) / encoder_layers
    axes.plot([middle, middle, trunk], [top, HIGH + 0.45, HIGH + 0.45], **line)
    lowest = LOW + pitch * 0.58
    axes.plot([trunk, trunk], [HIGH + 0.45, lowest], **line)
    for layer in range(layers):
        y = lowest + layer * pitch
        style: dict = {"color": colour, "linewidth": 1.2, "mutation_scale": ARROW["mutation_scale"]}
        arrow(axes, theme, (trunk, y), (DECODER[0], y), **style)


def _output(axes: Axes, theme: Theme, config: T5Config, targets: Sequence[str]) -> None:
    """The head over each position of the decoder, and the token that it should write."""
    left, right = DECODER
    factor = r" · $d^{-1/2}$" if config.scale_logits else ""
    text = f"{config.vocab_size:,} scores{factor}"
    box(axes, theme, (left, 8.0, right - left, 0.6), text, fontsize=8.5)
    wide = (right - left) / len(targets) * 0.92
    strong: dict = {"edgecolor": theme.series[1], "linewidth": 1.6}
    for x, token in zip(_places(DECODER, len(targets)), targets, strict=True):
        arrow(axes, theme, (x, 8.6), (x, 9.1))
        look = strong | {"fontsize": _fits(token, wide)}
        box(axes, theme, (x - wide / 2, 9.15, wide, 0.55), token, **look)


def _names(axes: Axes, theme: Theme, config: T5Config) -> None:
    """What is what, beside the parts that it names."""
    colours = (("■ looks at its own side", theme.series[0]), ("■ looks over", theme.series[1]))
    for row, (name, colour) in enumerate(colours):
        axes.text(ENCODER[0], 10.2 - 0.45 * row, name, color=colour, fontsize=8.5, va="center")
    sizes = (
        f"encoder: {config.num_layers} layers × {config.num_heads} heads",
        f"decoder: {config.num_decoder_layers} layers × {config.num_heads} heads",
        f"d = {config.hidden_size}",
    )
    for row, size in enumerate(sizes):
        axes.text(ENCODER[0], 9.3 - 0.42 * row, size, fontsize=8.5, va="center")
    axes.text(DECODER[0], 10.2, "writes, one piece after another", fontsize=8.5, va="center")
    axes.text(ENCODER[0], 0.3, "reads both ways", fontsize=8.5, va="center")
    axes.text(DECODER[0], 0.3, "reads what it wrote", fontsize=8.5, va="center")


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

"""BERT, GPT and T5 drawn as stacks: a column a token, a row a layer, and one layer magnified.

Everything countable comes from the configuration of the model that is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from course_utils.figures import WIDTH, Picture, Theme, arrow, box, canvas, decimals, picture
from course_utils.models import BertConfig, GptConfig, T5Config

Span = tuple[float, float]
Guesses = Mapping[str, float]
STACK = (0.2, 6.5)  # from left to right, in tenths of the width
ENCODER, DECODER = (0.2, 3.3), (3.9, 7.0)  # of T5
LOW, HIGH = 3.5, 9.4  # where the layers begin and end
UPRIGHT = 1.15  # height of a token's box


def bert_encoder(
    config: BertConfig, tokens: Sequence[str], guesses: Guesses, *, masked: int
) -> Picture:
    """Figure F2: tokens, summed embeddings, the encoder's layers, the MLM head over one position.

    Args:
        config: of the model to draw.
        tokens: what goes in, with `[MASK]` at position `masked`.
        guesses: tokens and their probabilities at that position, as the model gives them.
        masked: the position that the head reads.

    Raises:
        ValueError: no such position, or more than nine tokens.
    """
    if not 0 <= masked < len(tokens) <= 9:
        raise ValueError(f"masked={masked} must be one of the {len(tokens)} tokens (at most 9)")
    alt = f"""BERT as a stack, read from below. {len(tokens)} tokens, {" ".join(tokens)}, are turned
        into sums of token, position and segment vectors of size {config.hidden_size}. They pass
        {config.num_layers} layers; in every layer every position attends to every other, left and
        right, drawn for {tokens[masked]}. One layer is magnified: self-attention with
        {config.num_heads} attention heads, then a feed-forward network, each followed by an
        addition of its input and a layer norm. The head reads only the position of
        {tokens[masked]} and spreads probability over {config.vocab_size:,} tokens:
        {_said(guesses)}."""

    def draw(figure: Figure, theme: Theme) -> None:
        axes = canvas(figure, 10, 13.4)
        xs = _below(
            axes, theme, config.hidden_size, tokens, masked, ("token", "position", "segment")
        )
        _layers(axes, theme, xs, config.num_layers, masked, 3.1, causal=False)
        _magnified(axes, theme, STACK[1], config.num_layers, _parts(config), norm_last=True)
        arrow(axes, theme, (xs[masked], HIGH), (xs[masked], 9.95), **_strong(theme, "color"))
        _head(axes, theme, STACK, f"MLM head: {config.vocab_size:,} scores, softmax")
        _guesses(axes, theme, guesses, 2.3, 3.1)

    return picture(draw, alt, height=WIDTH * 1.34)


def gpt_decoder(config: GptConfig, tokens: Sequence[str], guesses: Guesses) -> Picture:
    """Figure F3: tokens, summed embeddings, the decoder's layers, its triangle, and the LM head.

    Args:
        config: of the model to draw.
        tokens: what goes in, from left to right.
        guesses: tokens and their probabilities after the last one, as the model gives them.

    Raises:
        ValueError: fewer than two tokens, or more than nine.
    """
    if not 2 <= len(tokens) <= 9:
        raise ValueError(f"{len(tokens)} tokens: there is room for 2 to 9")
    alt = f"""GPT as a stack, read from below. {len(tokens)} tokens, {" ".join(tokens)}, are turned
        into sums of token and position vectors of size {config.hidden_size}. They pass
        {config.num_layers} layers; in every layer a position attends to itself and to its left,
        never to its right: the matrix of who sees whom is a lower triangle. One layer is magnified:
        a layer norm, self-attention with {config.num_heads} attention heads, the addition of the
        input; a layer norm, a feed-forward network, the addition of its input. Every position
        predicts the token after it; the last one spreads probability over {config.vocab_size:,}
        tokens: {_said(guesses)}."""
    last = len(tokens) - 1

    def draw(figure: Figure, theme: Theme) -> None:
        axes = canvas(figure, 10, 13.4)
        xs = _below(axes, theme, config.hidden_size, tokens, last, ("token", "position"))
        _layers(axes, theme, xs, config.num_layers, last, 2.8, causal=True)
        _magnified(axes, theme, STACK[1], config.num_layers, _parts(config), norm_last=False)
        for x in xs[:-1]:
            arrow(axes, theme, (x, HIGH), (x, 9.95), color=theme.quiet)
        arrow(axes, theme, (xs[last], HIGH), (xs[last], 9.95), **_strong(theme, "color"))
        _head(axes, theme, STACK, f"LM head: {config.vocab_size:,} scores, softmax")
        _guesses(axes, theme, guesses, 1.9, 2.2)
        _triangle(axes, theme, len(tokens))

    return picture(draw, alt, height=WIDTH * 1.34)


def t5_stacks(config: T5Config, inputs: Sequence[str], targets: Sequence[str]) -> Picture:
    """Encoder and decoder side by side, with the arrows that cross-attention needs.

    Args:
        config: of the model to draw.
        inputs: what the encoder reads, at most 7 tokens.
        targets: what the decoder is to write, at most 7; it reads them shifted right by one.

    Raises:
        ValueError: no tokens, or more than fit.
    """
    if not (1 <= len(inputs) <= 7 and 1 <= len(targets) <= 7):
        raise ValueError(f"{len(inputs)} inputs and {len(targets)} targets; 1 to 7 can be drawn")
    alt = f"""Two stacks, read from below. On the left the encoder: {len(inputs)} tokens,
        {" ".join(inputs)}, pass {config.num_layers} layers; every position attends to every other.
        On the right the decoder: it reads pad, which starts it, and what it has written, each
        position only itself and its left, through {config.num_decoder_layers} layers. One layer of
        the decoder is magnified: self-attention with {config.num_heads} heads, cross-attention to
        the encoder's output with as many, and a feed-forward network; each reads a normed copy of
        its input, and its result is added to that input. The head gives {config.vocab_size:,}
        scores at each position and writes {" ".join(targets)}."""
    read, factor = ["pad", *targets[:-1]], r" · $d^{-1/2}$" if config.scale_logits else ""

    def draw(figure: Figure, theme: Theme) -> None:
        axes = canvas(figure, 10, 13.4)
        sides = (
            (ENCODER, inputs, config.num_layers, "encoder", "reads both ways"),
            (DECODER, read, config.num_decoder_layers, "decoder", "reads what it wrote"),
        )
        for span, tokens, layers, name, what in sides:
            xs, wide = _columns(span, len(tokens))
            _tokens(axes, theme, xs, wide, 1.6, tokens)
            _layers(axes, theme, xs, layers, len(xs) - 1, 2.8, causal=name == "decoder", name=name)
            axes.text(span[0], 1.15, name, fontsize=9, va="center", weight="bold")
            axes.text(span[0], 0.7, what, fontsize=9, va="center")
        _memory(axes, theme, config.num_decoder_layers)
        parts = _parts(config)
        parts.insert(1, ("cross-attention", "to the encoder"))
        _magnified(axes, theme, DECODER[1], config.num_decoder_layers, parts, norm_last=False)
        xs, wide = _columns(DECODER, len(targets))
        for x in xs:
            arrow(axes, theme, (x, HIGH), (x, 9.95))
        _head(axes, theme, DECODER, f"{config.vocab_size:,} scores{factor}")
        for x in xs:
            arrow(axes, theme, (x, 10.65), (x, 11.05))
        _tokens(axes, theme, xs, wide, 11.1, targets, range(len(targets)))
        axes.text(DECODER[0], 12.65, "writes, one token after another", fontsize=9, va="center")
        axes.text(9.85, 0.3, f"d = {config.hidden_size}", fontsize=9, va="center", ha="right")

    return picture(draw, alt, height=WIDTH * 1.34)


def _said(guesses: Guesses) -> str:
    """Guesses and their probabilities in words."""
    return ", ".join(f"{token} {decimals(p, 2)}" for token, p in guesses.items())


def _parts(config: BertConfig | GptConfig | T5Config) -> list[tuple[str, str]]:
    """Name and sizes of attention and feed-forward network."""
    d = config.hidden_size
    inside = f"{d} → {config.intermediate_size} → {d}"
    return [("self-attention", f"{config.num_heads} heads"), ("feed-forward", inside)]


def _strong(theme: Theme, what: str = "edgecolor") -> dict:
    return {what: theme.series[1], "linewidth": 1.8}


def _columns(span: Span, count: int) -> tuple[list[float], float]:
    """Where so many columns stand, and how wide each may be."""
    wide = (span[1] - span[0]) / count
    return [span[0] + wide * (i + 0.5) for i in range(count)], wide


def _tokens(
    axes: Axes,
    theme: Theme,
    xs: Sequence[float],
    wide: float,
    y: float,
    tokens: Sequence[str],
    strong: Sequence[int] = (),
) -> None:
    """A box for each token; words that would be too small stand upright."""
    points, longest = WIDTH / 10 * 72, 0.62 * max(map(len, tokens)) + 0.6
    upright = wide * 0.92 * points / longest < 7
    room, high = (UPRIGHT, UPRIGHT) if upright else (wide * 0.92, 0.7)
    size = min(8.5, room * points / longest)
    for i, (token, x) in enumerate(zip(tokens, xs, strict=True)):
        look = _strong(theme) if i in strong else {}
        look |= {"fontsize": size, "rotation": 90 if upright else 0}
        box(axes, theme, (x - wide * 0.46, y + UPRIGHT - high, wide * 0.92, high), token, **look)


def _below(
    axes: Axes, theme: Theme, width: int, tokens: Sequence[str], strong: int, vectors: Sequence[str]
) -> list[float]:
    """Tokens at the bottom and the vectors added for each; returns where the columns stand."""
    xs, wide = _columns(STACK, len(tokens))
    _tokens(axes, theme, xs, wide, 0.65, tokens, [strong])
    colours = theme.series[2 : 2 + len(vectors)]
    for i, x in enumerate(xs):
        arrow(axes, theme, (x, 1.8), (x, 2.1))
        for level, colour in enumerate(colours):
            patch = Rectangle((x - wide * 0.3, 2.15 + level * 0.3), wide * 0.6, 0.24, color=colour)
            patch.set_gid(f"embedding-{level}-{i}")
            axes.add_patch(patch)
    names = [vectors[0], *(f"+ {name}" for name in vectors[1:])]
    names[-1] += " vector"
    for x, name, colour in zip((0.2, 1.7, 3.6), names, colours, strict=False):
        axes.text(x, 0.3, f"■ {name}", color=colour, fontsize=9, va="center")
    axes.text(9.85, 0.3, f"d = {width}", fontsize=9, va="center", ha="right", gid="width")
    return xs


def _layers(
    axes: Axes,
    theme: Theme,
    xs: Sequence[float],
    layers: int,
    strong: int,
    start: float,
    *,
    causal: bool,
    name: str = "",
) -> None:
    """A row a layer, a vector a token; lines, from `start` up, into those that attend.

    Above the first layer only the lines into the strong position are drawn.
    """
    pitch, wide = (HIGH - LOW) / layers, xs[1] - xs[0] if len(xs) > 1 else 2.0
    high, low, prefix = min(pitch * 0.42, 0.55), start, f"{name}-" * bool(name)
    quiet: dict = {"color": theme.quiet, "linewidth": 0.5, "alpha": 0.4, "zorder": 2}
    bright: dict = {"color": theme.series[1], "linewidth": 1.0, "alpha": 0.9, "zorder": 3}
    for layer in range(layers):
        top = LOW + (layer + 1) * pitch
        row = Rectangle((xs[0] - wide * 0.46, top - high * 1.25), xs[-1] - xs[0] + wide * 0.92,
                        high * 1.5, facecolor=theme.fill, edgecolor="none", zorder=1)  # fmt: skip
        row.set_gid(f"{prefix}layer-{layer}")
        axes.add_patch(row)
        for i, x in enumerate(xs):
            colour = theme.series[1] if i == strong else theme.series[0]
            cell = Rectangle((x - wide * 0.3, top - high), wide * 0.6, high, facecolor=colour,
                             edgecolor="none", zorder=4)  # fmt: skip
            cell.set_gid(f"{prefix}vector-{layer}-{i}")
            axes.add_patch(cell)
            if i != strong and layer:
                continue
            for j in range(i + 1) if causal else range(len(xs)):
                look = bright if i == strong else quiet
                (line,) = axes.plot([xs[j], x], [low, top - high], linestyle="-", **look)
                line.set_gid(f"{prefix}flow-{j}-{i}" if layer == 0 else f"{prefix}into-{layer}-{j}")
        low = top


def _magnified(
    axes: Axes,
    theme: Theme,
    edge: float,
    layers: int,
    parts: Sequence[tuple[str, str]],
    *,
    norm_last: bool,
) -> None:
    """One layer, drawn large at the right: its parts, additions and norms."""
    left, right, low, high = edge + 0.45, 9.85, 2.9, 10.5
    top, pitch = LOW + (layers // 2 + 1) * (HIGH - LOW) / layers, (HIGH - LOW) / layers
    for near, far in ((top - pitch * 0.55, low), (top + pitch * 0.08, high)):
        axes.plot([edge, left], [near, far], color=theme.quiet, linestyle=":", linewidth=1)
    box(axes, theme, (left, low, right - left, high - low), facecolor="none")
    trunk, tall = (left + right) / 2 + 0.19, (high - low - 0.5) / len(parts)
    arrow(axes, theme, (trunk, low - 0.5), (trunk, low + 0.3))
    axes.text(trunk, high + 0.3, f"one of {layers} layers", fontsize=9, ha="center", va="center")
    for level, (name, size) in enumerate(parts):
        place = (left + 0.5, right - 0.12, low + 0.3 + level * tall, tall)
        _part(axes, theme, place, trunk, left + 0.28, f"{name}\n{size}", norm_last)


def _part(
    axes: Axes,
    theme: Theme,
    place: tuple[float, float, float, float],
    trunk: float,
    aside: float,
    text: str,
    norm_last: bool,
) -> None:
    """One part of a layer, its norm before or after, and the way round it to the addition."""
    left, right, y, high = place
    sizes = {"norm": high * 0.15, "main": high * 0.34, "add": 0.32}
    order = ("main", "add", "norm") if norm_last else ("norm", "main", "add")
    gap = (high - sum(sizes.values())) / 3
    colour = theme.series[3 if text.startswith("cross") else 0]
    looks: dict = {"norm": {}, "main": {"edgecolor": colour, "linewidth": 1.4}}
    fits = (right - left) * WIDTH / 10 * 72 / (0.58 * max(map(len, text.split("\n"))) + 0.8)
    line: dict = {"color": theme.ink, "linewidth": 1.1, "linestyle": "-"}
    begin = y + gap * 0.3
    for kind in order:
        arrow(axes, theme, (trunk, y), (trunk, y + gap))
        y += gap
        if kind == "add":
            middle = y + 0.16
            axes.add_patch(Circle((trunk, middle), 0.16, facecolor=theme.fill, edgecolor=theme.ink))
            axes.text(trunk, middle, "+", fontsize=9, ha="center", va="center_baseline")
            axes.plot([trunk, aside, aside], [begin, begin, middle], **line)
            arrow(axes, theme, (aside, middle), (trunk - 0.16, middle))
        else:
            shape, words = (left, y, right - left, sizes[kind]), text if kind == "main" else kind
            box(axes, theme, shape, words, fontsize=min(8, fits), **looks[kind])
        y += sizes[kind]


def _memory(axes: Axes, theme: Theme, layers: int) -> None:
    """The encoder's output, led to the cross-attention of every layer of the decoder."""
    trunk, middle, pitch = (ENCODER[1] + DECODER[0]) / 2, sum(ENCODER) / 2, (HIGH - LOW) / layers
    line: dict = {"color": theme.series[3], "linestyle": "-"}
    axes.plot([middle, middle, trunk], [HIGH + 0.1, HIGH + 0.4, HIGH + 0.4], **line)
    axes.plot([trunk, trunk], [HIGH + 0.4, LOW + pitch * 0.79], **line)
    for layer in range(layers):
        y = LOW + (layer + 0.79) * pitch
        arrow(axes, theme, (trunk, y), (DECODER[0], y), color=theme.series[3])


def _head(axes: Axes, theme: Theme, span: Span, text: str) -> None:
    """The prediction head: a box over the columns."""
    place = (span[0], 10.0, span[1] - span[0], 0.6)
    box(axes, theme, place, text, fontsize=8.5, **_strong(theme))


def _guesses(axes: Axes, theme: Theme, guesses: Guesses, left: float, wide: float) -> None:
    """The first guesses with their probabilities; a certain one has a bar as long as `wide`."""
    for row, (token, p) in enumerate(guesses.items()):
        y = 12.95 - row * 1.9 / max(1, len(guesses) - 1)
        axes.text(left - 0.1, y, token, ha="right", va="center", fontsize=9.5)
        axes.add_patch(Rectangle((left + 0.1, y - 0.16), wide * p, 0.32, color=theme.series[1]))
        axes.text(left + 0.2 + wide * p, y, decimals(p, 2), va="center", fontsize=9)


def _triangle(axes: Axes, theme: Theme, count: int) -> None:
    """Who (row) sees whom (column): a filled cell for each pair that the mask allows."""
    left, top, size = 7.75, 12.75, 1.7
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

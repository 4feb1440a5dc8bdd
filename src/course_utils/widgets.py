"""Live figures over a model of the reader's own: one of this package, or of transformers.

Each function gives a box of controls with an answer below; as the last line of a cell it shows
itself. Where a page is made there is no kernel that could answer (`course execute` says so by
COURSE_STILL): then nothing is shown, and the page's own live figure does the work. Only what
ipywidgets 7.7 and 8.1 share is used. What a reader types is text in the answer, never markup.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

import torch
from ipywidgets import (
    HTML,
    Button,
    Dropdown,
    FloatSlider,
    IntSlider,
    Textarea,
    VBox,
    Widget,
)
from torch import Tensor, nn

from course_utils import figures
from course_utils.models import T5, Bert, Gpt
from course_utils.models.layers import SelfAttention
from course_utils.objectives import span_corruption

SENTENCE = "The people of the United States must trust their government."
Draw = Callable[..., str]


def live(draw: Draw, **controls: Widget) -> VBox | None:
    """Show what `draw` answers, as HTML, under its controls; again whenever one of them changes.

    Values go to `draw` under the names of their controls; a Button gives how often it was pressed.
    None where a page is made.
    """
    if os.environ.get("COURSE_STILL"):
        return None
    answer, presses = HTML(), Counter[str]()

    def show(*_: object) -> None:
        values = {n: presses[n] if isinstance(c, Button) else c.value for n, c in controls.items()}
        try:
            answer.value = draw(**values)
        except ValueError as error:  # what the models refuse: too long a text, an empty one
            answer.value = f"<p>{escape(str(error))}</p>"

    def press(name: str) -> Callable[[Button], None]:
        def pressed(_: Button) -> None:
            presses[name] += 1
            show()

        return pressed

    for name, control in controls.items():
        if isinstance(control, Button):
            control.on_click(press(name))
        else:
            control.observe(show, "value")
    show()
    return VBox([*controls.values(), answer])


# -- controls and answers -------------------------------------------------------------------------


def text_field(value: str, label: str = "Text") -> Textarea:
    """A field that answers when the reader leaves it."""
    return Textarea(value, description=label, rows=2, continuous_update=False)


def slider(value: float, low: float, high: float, step: float, label: str) -> FloatSlider:
    """A slider for a number; the answer comes when it is let go."""
    steps = {"min": low, "max": high, "step": step, "continuous_update": False}
    return FloatSlider(value, description=label, **steps)


def whole(value: int, low: int, high: int, label: str) -> IntSlider:
    """The same for whole numbers."""
    return IntSlider(value, low, high, description=label, continuous_update=False)


def chips(names: Iterable[str], chosen: Iterable[int] = ()) -> str:
    """Pieces in a row, some of them marked."""
    marked = set(chosen)
    style = "padding: 0 .3em; margin: .1em; border: 1px solid; border-radius: .3em"
    parts = (
        f'<span style="{style}{"; font-weight: bold" if i in marked else "; opacity: .75"}">'
        f"{escape(name)}</span>"
        for i, name in enumerate(names)
    )
    return f'<p style="line-height: 2">{" ".join(parts)}</p>'


def html_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of text."""

    def line(cells: Iterable[object], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(str(cell))}</{tag}>' for cell in cells)}</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def likeliest(probabilities: Tensor, tokenizer: Any, count: int = 5) -> str:
    """The likeliest pieces with their probabilities, (V) → a table."""
    p, ids = probabilities.topk(min(count, len(probabilities)))
    rows = zip(pieces_of(ids.tolist(), tokenizer), (f"{x:.1%}" for x in p), strict=True)
    return html_table(["piece", "probability"], rows)


# -- any model ------------------------------------------------------------------------------------


def piece_ids(text: str, tokenizer: Any) -> list[int]:
    """Ids of a text without special tokens."""
    return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]


def pieces_of(ids: Sequence[int], tokenizer: Any) -> list[str]:
    """Each id as text; a space at its start as a dot."""
    return [tokenizer.decode([i]).replace(" ", "·") for i in ids]


@torch.no_grad()
def logits(model: nn.Module, ids: Sequence[int], **more: Any) -> Tensor:
    """Vocabulary logits of one row, (T, V), in float32 on the processor."""
    out = model.eval()(row(model, ids), **more)
    return getattr(out, "logits", out)[0].float().cpu()


def row(model: nn.Module, ids: Sequence[int]) -> Tensor:
    """Ids (1, T) where the model is. Raises ValueError for none, or more than it has positions."""
    if not ids:
        raise ValueError("Type a text first.")
    room = getattr(getattr(model, "config", None), "max_position_embeddings", None)  # ours check
    if room and len(ids) > room:
        raise ValueError(f"{len(ids)} pieces; the model has {room} positions.")
    return torch.tensor([list(ids)], device=next(model.parameters()).device)


def wrapped(ids: Sequence[int], tokenizer: Any) -> list[int]:
    """[CLS] ids [SEP], as an encoder was trained to read."""
    return [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]


def opened(ids: Sequence[int], tokenizer: Any) -> list[int]:
    """A text as a decoder reads it: after the token that parts documents, if there is one."""
    bos, eos = (getattr(tokenizer, f"{name}_token_id", None) for name in ("bos", "eos"))
    start = eos if bos is None else bos
    return [*([] if start is None else [start]), *ids]


@torch.no_grad()
def attentions(model: nn.Module, ids: Sequence[int]) -> list[Tensor]:
    """Attention weights of a row, one (heads, T, T) a layer; each row of them sums to 1."""
    if not isinstance(model, Bert | Gpt):
        before = model.config._attn_implementation
        model.set_attn_implementation("eager")  # the fused kernel never makes the weights
        found = model.eval()(row(model, ids), output_attentions=True).attentions
        model.set_attn_implementation(before)
        return [layer[0].float().cpu() for layer in found]
    found, size = [], len(ids)
    mask = torch.ones(size, size, dtype=torch.bool).tril() if isinstance(model, Gpt) else None

    def watch(module: SelfAttention, inputs: tuple[Tensor, ...]) -> None:
        seen = None if mask is None else mask.to(inputs[0].device)
        found.append(module.weights(inputs[0], seen)[0].float().cpu())

    hooks = [block.attention.register_forward_pre_hook(watch) for block in model.blocks]
    model.eval()(row(model, ids))
    for hook in hooks:
        hook.remove()
    return found


def with_causal_mask(weights: Tensor) -> Tensor:
    """What a causal mask makes of the same scores, (T, T): no right side, rows sum to one again."""
    left = weights.tril()
    return left / left.sum(-1, keepdim=True)


def t5_answer(model: nn.Module, ids: Sequence[int], most: int) -> list[int]:
    """What a T5, ours or transformers', writes for one row of ids, without its start."""
    out = model.eval().generate(row(model, ids), max_new_tokens=most)
    return (out.new_ids[0] if isinstance(model, T5) else out[0, 1:]).tolist()


# -- the widgets ----------------------------------------------------------------------------------


def tokens(
    tokenizer: Any, text: str = "Unhappiness costs governments 3.5 pieces 😀"
) -> VBox | None:
    """Type, and see pieces, their ids, and how many bytes a piece stands for."""

    def draw(text: str) -> str:
        ids = piece_ids(text, tokenizer)[:300]
        size = len(text.encode())
        said = (
            f"<p>{size} bytes, {len(ids)} pieces: {size / max(len(ids), 1):.2f} bytes a piece.</p>"
        )
        return said + chips(f"{p} {i}" for p, i in zip(pieces_of(ids, tokenizer), ids, strict=True))

    return live(draw, text=text_field(text))


def mask_and_guess(
    encoder: nn.Module,
    tokenizer: Any,
    decoder: nn.Module | None = None,
    decoder_tokenizer: Any = None,
    text: str = SENTENCE,
) -> VBox | None:
    """Hide the piece at a position; an encoder guesses from both sides, a decoder from the left.

    Without a decoder only both sides are asked. Its tokenizer, where it is another one, may cut the
    text into other pieces: its guesses are of *its* next piece.
    """

    def draw(text: str, position: int) -> str:
        ids = piece_ids(text, tokenizer)
        if not ids:
            raise ValueError("Type a text first.")
        place = min(position, len(ids)) - 1
        hidden = [tokenizer.mask_token_id if i == place else t for i, t in enumerate(ids)]
        p = logits(encoder, wrapped(hidden, tokenizer))[place + 1].softmax(-1)
        answer = chips(pieces_of(hidden, tokenizer), [place]) + "<p>Both sides:</p>"
        answer += likeliest(p, tokenizer)
        if decoder is not None:
            own = decoder_tokenizer or tokenizer
            before = opened(piece_ids(tokenizer.decode(ids[:place]), own), own)
            q = logits(decoder, before)[-1].softmax(-1)
            answer += "<p>Left side only:</p>" + likeliest(q, own)
        true = f"{pieces_of(ids, tokenizer)[place]}, which has {p[ids[place]]:.1%} from both sides"
        return answer + f"<p>There stood {escape(true)}.</p>"

    most = max(40, len(piece_ids(text, tokenizer)))
    return live(draw, text=text_field(text), position=whole(6, 1, most, "Hide piece"))


def next_tokens(
    model: nn.Module, tokenizer: Any, text: str = "The state of the Union is"
) -> VBox | None:
    """A decoder one token at a time: the likeliest, or one that is drawn; and a step back."""
    added: list[int] = []
    state: dict[str, Any] = {"of": None, "pressed": (0, 0, 0)}
    generator = torch.Generator().manual_seed(0)

    def shaped(text: str, temperature: float, keep: int) -> Tensor:
        ids = opened([*piece_ids(text, tokenizer), *added], tokenizer)
        z = logits(model, ids)[-1] / temperature
        least = z.topk(min(keep, len(z))).values[-1]
        return z.masked_fill(z < least, -torch.inf).softmax(-1)

    def draw(text: str, temperature: float, keep: int, take: int, draw_one: int, back: int) -> str:
        if state["of"] != text:
            added.clear()
        taken, drawn, gone = state["pressed"]
        if take > taken:
            added.append(int(shaped(text, temperature, keep).argmax()))
        elif draw_one > drawn:
            p = shaped(text, temperature, keep)
            added.append(int(torch.multinomial(p, 1, generator=generator)))
        elif back > gone and added:
            added.pop()
        state.update(of=text, pressed=(take, draw_one, back))
        so_far = f"<p>{escape(text)}<b>{escape(tokenizer.decode(added))}</b></p>"
        return so_far + likeliest(shaped(text, temperature, keep), tokenizer, 8)

    return live(
        draw,
        text=text_field(text, "Begin with"),
        temperature=slider(1.0, 0.1, 2.0, 0.1, "Temperature"),
        keep=whole(40, 1, 100, "Keep"),
        take=Button(description="Take the likeliest"),
        draw_one=Button(description="Draw one"),
        back=Button(description="Step back"),
    )


def attention(
    models: Mapping[str, tuple[nn.Module, Any]], text: str = "The people trust the Congress."
) -> VBox | None:
    """Who looks at whom, for any layer and head: name → (encoder or decoder, its tokenizer).

    An encoder's square stands beside the triangle that a causal mask makes of the same scores; a
    decoder has its triangle only.
    """

    def draw(text: str, model: str, layer: int, head: int) -> str:
        net, tokenizer = models[model]
        wrap = opened if tokenizer.cls_token_id is None or is_decoder(net) else wrapped
        ids = wrap(piece_ids(text, tokenizer)[:24], tokenizer)
        layers = attentions(net, ids)
        layer = min(layer, len(layers))
        head = min(head, len(layers[layer - 1]))
        title = f"{model}, layer {layer} of {len(layers)}, head {head} of {len(layers[0])}"
        weights = layers[layer - 1][head - 1]
        alt = f"Attention weights of {title}: rows look at columns, each row adds up to one."
        grids = {title: weights.tolist()}
        if not is_decoder(net):
            alt += (
                " Beside them the same scores with a causal mask, as it was never trained to work."
            )
            causal = with_causal_mask(weights).tolist()
            grids = {title.replace(", ", "\n", 1): grids[title], "causal mask\nsame scores": causal}
        shown = figures.grids(grids, pieces_of(ids, tokenizer), alt=alt)
        return shown._repr_html_()

    return live(
        draw,
        text=text_field(text),
        model=Dropdown(options=list(models), description="Model"),
        layer=whole(1, 1, 12, "Layer"),
        head=whole(1, 1, 12, "Head"),
    )


def is_decoder(model: nn.Module) -> bool:
    """Whether it reads from left to right only."""
    if isinstance(model, Bert | Gpt):
        return isinstance(model, Gpt)
    return "CausalLM" in type(model).__name__ or "LMHead" in type(model).__name__


def spans(model: nn.Module, tokenizer: Any, text: str = SENTENCE) -> VBox | None:
    """Span corruption: input and target for a rate and a mean length, and what a T5 writes."""
    settings = span_corruption.settings(tokenizer)
    is_sentinel = settings["vocabulary"].is_sentinel

    def draw(text: str, rate: float, mean_span: float, again: int) -> str:
        ids = [i for i in piece_ids(text, tokenizer)[:200] if not is_sentinel(i)]
        if len(ids) < 2:
            raise ValueError("Type at least two tokens: one is cut out, one is left.")
        drawn = {"rate": rate, "mean_span": mean_span}
        drawn["generator"] = torch.Generator().manual_seed(again)
        batch = span_corruption.corrupt(torch.tensor([ids]), **drawn, **settings)
        read, target = batch.inputs["input_ids"][0].tolist(), batch.labels[0].tolist()
        answer = t5_answer(model, read, len(target) + 10)
        shown = {"input": read, "target": target, "T5 writes": answer}
        rows = [[name, tokenizer.decode(ids)] for name, ids in shown.items()]
        return html_table(["", "text"], rows)

    return live(
        draw,
        text=text_field(text),
        rate=slider(0.15, 0.05, 0.6, 0.05, "Rate"),
        mean_span=slider(3.0, 1.0, 10.0, 1.0, "Mean span"),
        again=Button(description="Draw again"),
    )

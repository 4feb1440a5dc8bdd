"""Span corruption: replace spans by sentinels, generate what was there (Raffel et al. 2020).

    text      Thank you for inviting me to your party last week
    inputs    Thank you <extra_id_0> me to your party <extra_id_1> week </s>
    targets   <extra_id_0> for inviting <extra_id_1> last </s>

`corrupt` draws the spans, `from_noise_mask` turns any choice of spans into a batch, `prefix_lm`
is the special case of one span that runs to the end, `loss` is Equation 9.3.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from course_utils.checks import (
    check_like,
    check_rate,
    check_right_padded,
    check_token_ids,
    check_tokenizer,
    require,
)

from .batch import IGNORE_INDEX, Batch, choose, labels_at, real_tokens, uniform

PerRow = Tensor | float  # one number for each row, (batch,), or one for all


def loss(logits: Tensor, batch: Batch) -> Tensor:
    r"""Equation 9.3: mean of −log P(y_t | y_<t, x_corrupt; θ) over the target tokens.

    .. math:: L_{span} = -\frac{1}{|y|}\sum_{t=1}^{|y|} \log P(y_t \mid y_{<t}, x_{corrupt}; \theta)

    Nats per target token; sentinels and the end token are targets too, padding is not.
    `logits`: (batch, target length, vocab) or (num_predicted, vocab).
    Source: Raffel et al. 2020, §3.1.4.
    """
    labels = batch.labels_for(logits)  # −100 at padding
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORE_INDEX)


@dataclass(frozen=True)
class Vocabulary:
    """The special ids of span corruption. Sentinel k is `first_sentinel_id` − k: they descend.

    In T5's own vocabulary `<extra_id_0>` is 32099, the highest id of its tokenizer.
    """

    first_sentinel_id: int
    eos_token_id: int
    num_sentinels: int = 100
    pad_token_id: int = 0  # also starts the decoder

    def __post_init__(self) -> None:
        """Refuse sentinels that overlap the other special ids or run below 0."""
        lowest = self.first_sentinel_id - self.num_sentinels + 1
        overlap = self.is_sentinel(self.eos_token_id) or self.is_sentinel(self.pad_token_id)
        others = f"eos={self.eos_token_id} and pad={self.pad_token_id}"
        what = f"sentinels {lowest}..{self.first_sentinel_id} must be ≥ 0 and leave out {others}"
        first = "first_sentinel_id is the id of <extra_id_0>, the highest"
        holds = self.num_sentinels >= 1 and lowest >= 0 and not overlap
        require(holds, f"{what}; {first}, and the others descend from it")

    def is_sentinel(self, ids: Any) -> Any:
        """Whether an id, or each of a tensor of ids, is one of the sentinels."""
        return (ids <= self.first_sentinel_id) & (ids > self.first_sentinel_id - self.num_sentinels)

    def check(self, raw: Tensor, needed: Tensor, vocab_size: int | None) -> None:
        """Refuse raw ids (n,) that are sentinels, and rows that need more than there are.

        `needed` (batch,) counts the sentinels of each row. Raises ValueError for these, and for
        special ids outside `vocab_size`, if given.
        """
        special = {name: value for name, value in vars(self).items() if name.endswith("_id")}
        check_token_ids(vocab_size, **special)
        clash = raw[self.is_sentinel(raw)].tolist()
        what = f"ids already hold {len(clash)} sentinels, e.g. {clash[:1]}"
        require(not clash, f"{what}: corrupt raw text, only once")
        most = int(needed.max()) if needed.numel() else 0
        what = f"{most} sentinels needed in one row, the vocabulary has {self.num_sentinels}"
        remedy = "use shorter rows, a lower rate or a longer mean_span"
        require(most <= self.num_sentinels, f"{what}: {remedy}")


def corrupt(
    ids: Tensor,
    *,
    vocabulary: Vocabulary,
    generator: Generator,
    rate: float = 0.15,
    mean_span: float = 3.0,
    attention_mask: Tensor | None = None,
    final_sentinel: bool = False,
    vocab_size: int | None = None,
) -> Batch:
    """Draw spans in each row of `ids` (batch, length) by T5's rule and make the batch.

    `ids` are raw tokens, right-padded if `attention_mask` says so, without end token: it is added
    to inputs and targets. About `rate` of the tokens are masked, in spans of mean length
    `mean_span`. For `final_sentinel` and `vocab_size` see `from_noise_mask`, whose errors it raises
    too; ValueError for a rate or span out of range.
    """
    check_rate(rate)
    real = real_tokens(ids, attention_mask)
    noise = noise_mask(row_lengths(real), ids.shape[1], rate, mean_span, generator)
    layout = {"final_sentinel": final_sentinel, "vocab_size": vocab_size}
    return from_noise_mask(ids, noise, vocabulary, attention_mask=real, **layout)


def prefix_lm(
    ids: Tensor,
    *,
    vocabulary: Vocabulary,
    generator: Generator,
    rate: float | None = None,
    attention_mask: Tensor | None = None,
    final_sentinel: bool = False,
    vocab_size: int | None = None,
) -> Batch:
    """Span corruption with one span that runs to the end: the decoder continues the text.

    The last round(rate·n) tokens of each row are masked, at least 1; with `rate=None` their share
    is drawn uniformly (Raffel et al. 2020, §3.2.1). The prefix keeps at least one token.
    """
    real = real_tokens(ids, attention_mask)
    lengths = row_lengths(real)
    share = uniform(lengths.shape, generator, ids.device) if rate is None else rate
    noise = suffix_mask(lengths, ids.shape[1], share)
    layout = {"final_sentinel": final_sentinel, "vocab_size": vocab_size}
    return from_noise_mask(ids, noise, vocabulary, attention_mask=real, **layout)


def settings(tokenizer: Any) -> dict[str, Any]:
    """Arguments of `corrupt` that a Hugging Face tokenizer with `<extra_id_…>` tokens decides.

    Raises ValueError where end, padding or sentinels are missing, or sentinels do not descend.
    """
    check_tokenizer(tokenizer, "eos_token", "pad_token")
    known = tokenizer.get_vocab()
    names = [f"<extra_id_{number}>" for number in range(len(known))]
    ids = [known[name] for name in itertools.takewhile(known.__contains__, names)]
    require(ids, "this tokenizer has no sentinels <extra_id_0>, <extra_id_1>, …: add them to it")
    descending = list(range(ids[0], ids[0] - len(ids), -1))
    what = f"the sentinels <extra_id_0>, <extra_id_1>, … have the ids {ids[:3]}…"
    remedy = "T5's descend one by one: add the one with the highest number first"
    require(ids == descending, f"{what}; {remedy}")
    vocabulary = Vocabulary(ids[0], tokenizer.eos_token_id, len(ids), tokenizer.pad_token_id)
    return {"vocabulary": vocabulary, "vocab_size": len(tokenizer)}


def row_lengths(real: Tensor) -> Tensor:
    """Tokens of each row (batch,) of a bool mask; raises ValueError unless padding is right."""
    check_right_padded(real)
    return real.sum(1)


def span_counts(length: Tensor | int, rate: PerRow, mean_span: PerRow) -> tuple[Tensor, Tensor]:
    """How many of `length` tokens are noise, and in how many spans: T5's rule.

    round(length·rate) tokens, at least one and not all; round(tokens / mean_span) spans, at least
    one. Rounding is half to even, as in T5's code. Never more spans than tokens between them,
    which T5's code leaves unchecked at high rates.
    """
    length = torch.as_tensor(length)
    on_cpu = length.cpu()  # some devices lack float64
    share = torch.as_tensor(rate, dtype=torch.float64).cpu()
    mean = torch.as_tensor(mean_span, dtype=torch.float32).cpu()
    tokens = (on_cpu * share).round().long().clamp(min=1)
    tokens = torch.minimum(tokens, (on_cpu - 1).clamp(min=0))
    spans = (tokens.double() / mean).round().long().clamp(min=1)
    spans = torch.minimum(spans, torch.minimum(tokens, on_cpu - tokens))
    return tokens.to(length.device), spans.to(length.device)


def lengths(
    input_length: int = 512,
    rate: float = 0.15,
    mean_span: float = 3.0,
    *,
    final_sentinel: bool = False,
) -> tuple[int, int]:
    """Most raw tokens that fit into `input_length` once corrupted, and the length of their targets.

    Both with their end token: 512 gives (568, 114), as in T5. The fit is exact unless spans would
    outnumber the tokens between them. Raises ValueError below 3 tokens.
    """
    require(input_length >= 3, f"input_length={input_length}: a token, a sentinel, the end need 3")
    raw = input_length - 1
    while _corrupted_lengths(raw + 1, rate, mean_span)[0] <= input_length:
        raw += 1
    return raw, _corrupted_lengths(raw, rate, mean_span)[1] + int(final_sentinel)


def _corrupted_lengths(raw: int, rate: float, mean_span: float) -> tuple[int, int]:
    """Lengths of inputs and targets, with their end tokens, of `raw` tokens."""
    tokens, spans = (int(count) for count in span_counts(raw, rate, mean_span))
    return raw - tokens + spans + 1, tokens + spans + 1


def noise_mask(
    lengths: Tensor, width: int, rate: PerRow, mean_span: PerRow, generator: Generator
) -> Tensor:
    """T5's `random_spans_noise_mask`: bool (batch, width), True = masked.

    Row i has `lengths[i]` tokens. Kept and masked stretches alternate, and each way of cutting
    them is equally likely. A row starts with a kept token and ends with a masked one. `rate` and
    `mean_span` may be tensors (batch,).
    """
    long_enough = bool((torch.as_tensor(mean_span) >= 1).all())
    require(long_enough, f"mean_span={mean_span} must be at least 1 token")
    tokens, spans = span_counts(lengths, rate, mean_span)
    kept = _random_lengths(lengths - tokens, spans, width, generator)
    masked = _random_lengths(tokens, spans, width, generator)
    ends = _interleave(kept, masked).cumsum(1)  # where each stretch ends
    positions = torch.arange(width, device=lengths.device).expand(len(lengths), width).contiguous()
    # Stretches are kept, masked, kept, masked …; those beyond a row's last are empty and even.
    return torch.searchsorted(ends, positions, right=True) % 2 == 1


def _random_lengths(items: Tensor, parts: Tensor, width: int, generator: Generator) -> Tensor:
    """Cut `items[i]` things into `parts[i]` non-empty parts at random: sizes (batch, width)."""
    positions = torch.arange(width, device=items.device)
    exists = positions < items[:, None]
    cuts = choose(exists & (positions > 0), parts - 1, generator)
    sizes = torch.zeros_like(exists, dtype=torch.long)
    return sizes.scatter_add_(1, cuts.long().cumsum(1), exists.long())


def suffix_mask(lengths: Tensor, width: int, share: PerRow) -> Tensor:
    """Mask the last round(share·length) tokens: bool (batch, width); at least 1, never all."""
    tokens, _ = span_counts(lengths, share, 1.0)
    positions = torch.arange(width, device=lengths.device)
    return (positions >= (lengths - tokens)[:, None]) & (positions < lengths[:, None])


def from_noise_mask(
    ids: Tensor,
    noise: Tensor,
    vocabulary: Vocabulary,
    *,
    final_sentinel: bool = False,
    attention_mask: Tensor | None = None,
    vocab_size: int | None = None,
    mode_ids: Tensor | None = None,
) -> Batch:
    """Make the batch for spans that are already chosen: `noise` bool (batch, length).

    Returns inputs `input_ids` and `attention_mask` (batch, input length), `decoder_input_ids`
    and labels (batch, target length), as short as the longest row allows. The decoder starts with
    pad and reads the targets shifted right by one.

    `final_sentinel` closes the targets with one more sentinel, as the paper's figure 2 shows it;
    T5's released code and Hugging Face's do not by default, nor does this. `mode_ids` (batch,)
    puts one token before the inputs (UL2). Raises ValueError for wrong shapes, ids that are
    sentinels or outside the vocabulary, and rows with more spans than sentinels.
    """
    check_like(ids, noise=noise)
    real = real_tokens(ids, attention_mask, vocab_size)
    spans = Spans(ids, real, noise.bool() & real, vocabulary)
    vocabulary.check(ids[real], spans.starts.sum(1) + int(final_sentinel), vocab_size)
    before = [] if mode_ids is None else [_column(ids, mode_ids[:, None])]
    closing = [spans.closing()] if final_sentinel else []
    end = _column(ids, vocabulary.eos_token_id)
    inputs, attention = _close_up([*before, spans.inputs(), end], vocabulary.pad_token_id)
    targets, predicted = _close_up([spans.targets(), *closing, end], vocabulary.pad_token_id)
    return encoder_decoder_batch(inputs, attention, targets, predicted, vocabulary.pad_token_id)


Kept = tuple[Tensor, Tensor]  # ids, and where they are kept: both (batch, width)


@dataclass(frozen=True)
class Spans:
    """The masked spans of rows of ids, each with its sentinel; all tensors (batch, length)."""

    ids: Tensor
    real: Tensor
    noise: Tensor  # True = masked
    vocabulary: Vocabulary

    @cached_property
    def starts(self) -> Tensor:
        """True at the first token of each span."""
        return self.noise & ~F.pad(self.noise, (1, 0))[:, :-1]

    @cached_property
    def sentinels(self) -> Tensor:
        """At a masked token the sentinel of its span."""
        number = self.starts.long().cumsum(1) - 1  # 0 in the first span of a row
        return self.vocabulary.first_sentinel_id - number

    def inputs(self) -> Kept:
        """The kept tokens, and a sentinel in the place of each span."""
        replaced = torch.where(self.starts, self.sentinels, self.ids)
        return replaced, self.real & (~self.noise | self.starts)

    def targets(self) -> Kept:
        """Each sentinel, and the tokens of its span: two slots for every token of the text."""
        return _interleave(self.sentinels, self.ids), _interleave(self.starts, self.noise)

    def closing(self) -> Kept:
        """One more sentinel for every row."""
        count = self.starts.sum(1, keepdim=True)
        return _column(self.ids, self.vocabulary.first_sentinel_id - count)


def encoder_decoder_batch(
    inputs: Tensor, attention: Tensor, targets: Tensor, predicted: Tensor, pad: int
) -> Batch:
    """The batch of an encoder-decoder: the decoder starts with pad, and reads what it wrote."""
    read = F.pad(targets, (1, 0), value=pad)[:, :-1]
    named = {"input_ids": inputs, "decoder_input_ids": read, "attention_mask": attention}
    return Batch(named, labels_at(predicted, targets))


def _column(ids: Tensor, values: Tensor | int) -> Kept:
    """One more token for every row: values and keep, both (batch, 1)."""
    always = torch.ones(len(ids), 1, dtype=torch.bool, device=ids.device)
    return always * torch.as_tensor(values, device=ids.device), always


def _close_up(parts: list[Kept], pad: int) -> Kept:
    """Join (values, keep) pairs along the rows and close the gaps to the left, then pad.

    What is kept is known by `keep`: a filter by id would lose a raw token that equals the pad id.
    """
    values = torch.cat([value.long() for value, _ in parts], dim=1)
    keep = torch.cat([kept for _, kept in parts], dim=1)
    width = int(keep.sum(1).max()) if len(keep) else 0
    order = keep.logical_not().long().argsort(dim=1, stable=True)[:, :width]
    kept = keep.gather(1, order)
    return values.gather(1, order).masked_fill(~kept, pad), kept


def _interleave(first: Tensor, second: Tensor) -> Tensor:
    """First, second, first, second … along the rows: (batch, n) twice → (batch, 2n)."""
    return torch.stack([first, second], dim=2).flatten(1)


def reconstruct(batch: Batch, row: int, vocabulary: Vocabulary) -> list[int]:
    """Put the masked spans back: the raw token ids of one row, exactly.

    Raises ValueError when inputs and targets do not belong together.
    """
    inputs = batch.inputs["input_ids"][row][batch.inputs["attention_mask"][row].bool()].tolist()
    targets = batch.labels[row][batch.predicted[row]].tolist()
    spans: dict[int, list[int]] = {}
    for token in targets[:-1]:
        if vocabulary.is_sentinel(token):
            current = spans.setdefault(token, [])
        else:
            require(bool(spans), f"targets of row {row} start with {token}, not with a sentinel")
            current.append(token)
    text = [raw for token in inputs[:-1] for raw in spans.pop(token, [token])]
    left = [token for token in text if vocabulary.is_sentinel(token)]
    here = f"sentinels {left} of the inputs have no span in the targets"
    there = f"spans {spans} of the targets no sentinel in the inputs"
    require(not left and not any(spans.values()), f"row {row}: {here}, and {there}")
    return text

"""Masked language modelling: hide some tokens, predict them from both sides (Devlin et al. 2019).

`corrupt` hides, `loss` is Equation 9.1. Masking is dynamic (Liu et al. 2019): a new draw of the
generator at every call. For evaluation give a generator with the same seed each time.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from course_utils.checks import check_like, check_rate, check_shares, check_token_ids, require

from .batch import IGNORE_INDEX, Batch, real_tokens, token_loss, uniform


def loss(logits: Tensor, batch: Batch) -> Tensor:
    r"""Equation 9.1: mean of −log P(x_i | x_masked; θ) over the masked positions i ∈ M.

    .. math:: L_{MLM} = -\frac{1}{|M|}\sum_{i \in M} \log P(x_i \mid x_{\setminus M}; \theta)

    Nats per masked token. Unmasked positions are neither in the sum nor in |M|.
    `logits`: (batch, length, vocab) or (num_predicted, vocab). Source: Devlin et al. 2019, §3.1.
    """
    return token_loss(logits, batch)


def corrupt(
    ids: Tensor,
    *,
    mask_token_id: int,
    vocab_size: int,
    special_ids: Sequence[int],
    generator: torch.Generator,
    rate: float = 0.15,
    count: str = "fixed",
    mask_share: float = 0.8,
    random_share: float = 0.1,
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
    word_ids: Tensor | None = None,
) -> Batch:
    """Hide a share `rate` of the tokens of `ids` (batch, length) and make them the labels.

    `count="fixed"` takes max(1, round half up of rate·n) of the n tokens of each row that may be
    chosen, as BERT does (BERT counts [CLS] and [SEP] in n; here they are not);
    `count="independent"` draws each token by itself, as Hugging Face's collator does: then a short
    row can have none. Of the chosen, `mask_share` become [MASK], `random_share` a random piece,
    the rest stay: 80/10/10 (Devlin et al. 2019, §3.1, app. A.1).

    `word_ids` (batch, length), -1 outside words, turns on whole-word masking. `special_ids` and
    padding (`attention_mask` 0) are never chosen. `ids` is not changed. A row without any token
    that may be chosen (empty, or only specials) comes back as it was, with no labels.

    Raises ValueError for wrong shapes or dtypes, ids outside the vocabulary, shares outside 0..1.
    """
    real = real_tokens(ids, attention_mask, vocab_size)
    check_rate(rate)
    check_shares(mask_share, random_share)
    named = {f"special_ids[{i}]": special for i, special in enumerate(special_ids)}
    check_token_ids(vocab_size, mask_token_id=mask_token_id, **named)
    specials = torch.tensor(sorted({*special_ids, mask_token_id}), device=ids.device)
    maskable = real & ~torch.isin(ids, specials)
    chosen = _choose(maskable, rate, count, word_ids, generator)
    pieces = torch.arange(vocab_size, device=ids.device)
    pieces = pieces[~torch.isin(pieces, specials)]
    require(len(pieces) > 0, f"all {vocab_size} ids are special: no random pieces to draw from")
    # One draw decides all three outcomes. With two draws the second share is conditional on the
    # first (0.5, not 0.1), which is easy to get wrong. The draw is made per piece, also under
    # whole-word masking, as in BERT's code.
    draw = uniform(ids.shape, generator, ids.device)
    # Random pieces are drawn from the non-special ones. BERT's and Hugging Face's code draw from
    # the whole vocabulary, so [PAD] or [SEP] can appear in the middle of a sentence.
    index = torch.randint(len(pieces), ids.shape, generator=generator, device=generator.device)
    replaced = torch.where(draw < mask_share, mask_token_id, pieces[index.to(ids.device)])
    hidden = torch.where(chosen & (draw < mask_share + random_share), replaced, ids.long())
    inputs = {"input_ids": hidden, "attention_mask": real}
    if token_type_ids is not None:
        check_like(ids, token_type_ids=token_type_ids)
        inputs["token_type_ids"] = token_type_ids
    return Batch(inputs, ids.long().masked_fill(~chosen, IGNORE_INDEX))


def settings(tokenizer: Any) -> dict[str, Any]:
    """Arguments of `corrupt` that a Hugging Face tokenizer decides."""
    return {
        "mask_token_id": tokenizer.mask_token_id,
        "vocab_size": len(tokenizer),
        "special_ids": tokenizer.all_special_ids,
    }


def fixed_count(candidates: Tensor, rate: float) -> Tensor:
    """max(1, round half up of rate·n), and 0 where n is 0; `candidates` and result (batch,)."""
    # Python's and torch's round go half to even: 4.5 → 4. The 1e-9 is for products such as
    # 0.15·n, where binary floats can fall just below the half. Some devices lack float64.
    rounded = torch.floor(candidates.cpu().double() * rate + 0.5 + 1e-9).long()
    return torch.minimum(rounded.clamp(min=1).to(candidates.device), candidates)


def _choose(
    maskable: Tensor, rate: float, count: str, word_ids: Tensor | None, generator: torch.Generator
) -> Tensor:
    """Whole words in random order, until the next would exceed the count; at least one word.

    Without `word_ids` each token is a word of its own.
    """
    known = count in ("fixed", "independent")
    require(known, f'count={count!r} must be "fixed" (BERT) or "independent" (Hugging Face)')
    if word_ids is None:
        word_ids = torch.arange(maskable.shape[1], device=maskable.device).expand_as(maskable)
    check_like(maskable, word_ids=word_ids)
    maskable = maskable & (word_ids >= 0)
    words = word_ids.clamp(min=0).long()
    num_words = int(words.max()) + 1 if words.numel() else 0
    size = words.new_zeros(len(words), num_words).scatter_add_(1, words, maskable.long())
    score = uniform(size.shape, generator, size.device)
    if count == "independent":
        taken = score < rate
    else:
        order = score.masked_fill(size == 0, 2.0).argsort(1)
        filled = size.gather(1, order).cumsum(1)
        fits = filled <= fixed_count(maskable.sum(1), rate)[:, None]
        fits[:, :1] = True
        taken = torch.zeros_like(fits).scatter_(1, order, fits)
    return maskable & taken.gather(1, words)

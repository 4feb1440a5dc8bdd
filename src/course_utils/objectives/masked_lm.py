"""Masked language modelling: mask some tokens, predict them from both sides (Devlin et al. 2019).

`corrupt` masks, `loss` is Equation 9.1. Masking is dynamic (Liu et al. 2019): a new draw of the
generator at every call. For evaluation give a generator with the same seed each time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.checks import (
    check_like,
    check_rate,
    check_shares,
    check_token_ids,
    check_tokenizer,
    require,
)

from .batch import IGNORE_INDEX, Batch, labels_at, real_tokens, uniform


def loss(logits: Tensor, batch: Batch) -> Tensor:
    r"""Equation 9.1: mean of −log P(x_i | x_masked; θ) over the masked positions i ∈ M.

    .. math:: L_{MLM} = -\frac{1}{|M|}\sum_{i \in M} \log P(x_i \mid x_{\setminus M}; \theta)

    Nats per masked token. Unmasked positions are neither in the sum nor in |M|.
    `logits`: (batch, length, vocab) or (num_predicted, vocab). Source: Devlin et al. 2019, §3.1.
    """
    labels = batch.labels_for(logits)  # −100 where nothing is masked
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORE_INDEX)


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
    """Mask a share `rate` of the tokens of `ids` (batch, length) and make them the labels.

    `count="fixed"` takes max(1, round half up of rate·n) of the n tokens of each row that may be
    chosen, as BERT does (BERT counts [CLS] and [SEP] in n; here they are not);
    `count="independent"` draws each token by itself, as Hugging Face's collator does: then a short
    row can have none. Of the chosen, `mask_share` become [MASK], `random_share` a random token,
    the rest stay: 80/10/10 (Devlin et al. 2019, §3.1, app. A.1).

    `word_ids` (batch, length), -1 outside words, turns on whole-word masking. `special_ids` and
    padding (`attention_mask` 0) are never chosen. `ids` is not changed. A row without any token
    that may be chosen (empty, or only specials) comes back as it was, with no labels.

    Raises ValueError for wrong shapes or dtypes, ids outside the vocabulary, shares outside 0..1.
    """
    real = real_tokens(ids, attention_mask, vocab_size)
    vocabulary = MaskingVocabulary(vocab_size, mask_token_id, tuple(special_ids))
    chosen = choose_positions(real & vocabulary.ordinary(ids), rate, count, word_ids, generator)
    masked = replace_chosen(ids, chosen, vocabulary, mask_share, random_share, generator)
    return Batch(model_inputs(masked, real, token_type_ids), labels_at(chosen, ids))


@dataclass(frozen=True)
class MaskingVocabulary:
    """Which ids may be chosen, and what they may become."""

    size: int
    mask_token_id: int
    special_ids: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse special ids outside the vocabulary."""
        named = {f"special_ids[{i}]": special for i, special in enumerate(self.special_ids)}
        check_token_ids(self.size, mask_token_id=self.mask_token_id, **named)

    def ordinary(self, ids: Tensor) -> Tensor:
        """True where an id is neither special nor [MASK]; of the shape of `ids`."""
        special = torch.tensor([*self.special_ids, self.mask_token_id], device=ids.device)
        return ~torch.isin(ids, special)

    def random_ids(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Ordinary ids, all equally likely, in the shape of `like`.

        BERT's and Hugging Face's code draw from the whole vocabulary, so that [PAD] or [SEP] can
        appear in the middle of a sentence.
        """
        ids = torch.arange(self.size, device=like.device)
        ids = ids[self.ordinary(ids)]
        require(len(ids) > 0, f"all {self.size} ids are special: no random tokens to draw from")
        drawn = torch.randint(len(ids), like.shape, generator=generator, device=generator.device)
        return ids[drawn.to(like.device)]


def choose_positions(
    candidates: Tensor, rate: float, count: str, word_ids: Tensor | None, generator: torch.Generator
) -> Tensor:
    """First step: which of the candidates are to be predicted; both bool (batch, length).

    Without `word_ids` each token is a word of its own; so one rule serves both ways of masking.
    """
    check_rate(rate)
    known = count in ("fixed", "independent")
    require(known, f'count={count!r} must be "fixed" (BERT) or "independent" (Hugging Face)')
    if word_ids is None:
        word_ids = torch.arange(candidates.shape[1], device=candidates.device).expand_as(candidates)
    check_like(candidates, word_ids=word_ids)
    candidates = candidates & (word_ids >= 0)
    words = word_ids.clamp(min=0).long()  # (batch, length): the number of each token's word
    sizes = word_sizes(words, candidates)  # (batch, words): candidates in each word
    score = uniform(sizes.shape, generator, sizes.device)
    if count == "independent":
        chosen_words = score < rate
    else:
        chosen_words = words_that_fit(sizes, score, fixed_count(candidates.sum(1), rate))
    return candidates & chosen_words.gather(1, words)


def word_sizes(words: Tensor, candidates: Tensor) -> Tensor:
    """How many candidates each word has, (batch, words)."""
    num_words = int(words.max()) + 1 if words.numel() else 0
    none = words.new_zeros(len(words), num_words)
    return none.scatter_add_(1, words, candidates.long())


def words_that_fit(sizes: Tensor, score: Tensor, count: Tensor) -> Tensor:
    """Words in the order of their scores, until the next would exceed the count; at least one.

    A word longer than the whole count is taken only where there is no other.
    """
    too_long = sizes > count[:, None]  # (batch, words): alone more than the whole count
    place = torch.where(too_long, 1.0 + sizes, score)  # after all others, the shortest first
    order = place.masked_fill(sizes == 0, torch.inf).argsort(1)  # last: words without candidates
    filled = sizes.gather(1, order).cumsum(1)
    fits = filled <= count[:, None]
    fits[:, :1] = True
    return torch.zeros_like(fits).scatter_(1, order, fits)


def fixed_count(candidates: Tensor, rate: float) -> Tensor:
    """max(1, round half up of rate·n), and 0 where n is 0; `candidates` and result (batch,)."""
    # Python's and torch's round go half to even: 4.5 → 4. The 1e-9 is for products such as
    # 0.15·n, where binary floats can fall just below the half. Some devices lack float64.
    rounded = torch.floor(candidates.cpu().double() * rate + 0.5 + 1e-9).long()
    return torch.minimum(rounded.clamp(min=1).to(candidates.device), candidates)


def replace_chosen(
    ids: Tensor,
    chosen: Tensor,
    vocabulary: MaskingVocabulary,
    mask_share: float,
    random_share: float,
    generator: torch.Generator,
) -> Tensor:
    """Second step: what the model sees at the chosen positions: [MASK], a random id, or the id."""
    check_shares(mask_share, random_share)
    # One draw decides all three outcomes. With two draws the second share is conditional on the
    # first (0.5, not 0.1), which is easy to get wrong. The draw is made per token, also under
    # whole-word masking, as in BERT's code.
    draw = uniform(ids.shape, generator, ids.device)
    becomes_mask = chosen & (draw < mask_share)
    becomes_random = chosen & (draw >= mask_share) & (draw < mask_share + random_share)
    masked = torch.where(becomes_random, vocabulary.random_ids(ids, generator), ids.long())
    return masked.masked_fill(becomes_mask, vocabulary.mask_token_id)


def model_inputs(ids: Tensor, real: Tensor, token_type_ids: Tensor | None) -> dict[str, Tensor]:
    """The keyword arguments of a Bert."""
    inputs = {"input_ids": ids, "attention_mask": real}
    if token_type_ids is not None:
        check_like(ids, token_type_ids=token_type_ids)
        inputs["token_type_ids"] = token_type_ids
    return inputs


def settings(tokenizer: Any) -> dict[str, Any]:
    """Arguments of `corrupt` that a Hugging Face tokenizer decides.

    Raises ValueError for a tokenizer without [MASK].
    """
    check_tokenizer(tokenizer, "mask_token")
    return {
        "mask_token_id": tokenizer.mask_token_id,
        "vocab_size": len(tokenizer),
        "special_ids": tokenizer.all_special_ids,
    }

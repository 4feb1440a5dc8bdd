"""Which of two sentences does a model find likelier? One score for each paradigm, and for counting.

- GPT, and anything that counts from left to right: log P of the sentence, by the chain rule.
- BERT: its pseudo-log-likelihood, the sum over pieces of log P(piece | all others). It is the
  probability of nothing, but sentences of one length compare (Salazar et al. 2020, §2).
- T5: what the two sentences do not share becomes one sentinel; log P of what each has there.

A *scorer* maps encoded pairs to scores (pairs, 2), the good sentence first. `sentence_scorer` makes
one of any function from sentences (lists of ids) to log-probabilities (sentences,): an n-gram model
needs nothing else to be judged beside the three.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from course_utils.checks import require
from course_utils.code_length import gpt_nats, guess, surprise
from course_utils.data.minimal_pairs import Pair
from course_utils.evaluation import Accuracy, bootstrap_interval
from course_utils.models import T5, Bert, Gpt

Ids = list[int]
EncodedPair = tuple[Ids, Ids]  # the good and the bad sentence
Scorer = Callable[[Sequence[EncodedPair]], Tensor]  # → (pairs, 2), nats, higher is likelier
TIE = 1e-4  # nats: sums of the same numbers in another order differ by less


def encode(pairs: Sequence[Pair], tokenizer: Any) -> list[EncodedPair]:
    """Both sentences of every pair as ids, each with a space in front, as within a text.

    Raises:
        ValueError: the tokenizer gives both sentences of a pair the same ids.
    """
    good, bad = (
        tokenizer([f" {getattr(pair, side)}" for pair in pairs], add_special_tokens=False)
        for side in ("good", "bad")
    )
    encoded = list(zip(good["input_ids"], bad["input_ids"], strict=True))
    same = [pair.good for pair, (a, b) in zip(pairs, encoded, strict=True) if a == b]
    require(not same, f"this tokenizer cannot tell the sentences of a pair apart: {same[:1]}")
    return encoded


def judge(scorer: Scorer, pairs: Sequence[Pair], tokenizer: Any) -> Accuracy:
    """Share of pairs whose good sentence scores higher, with its interval; a tie counts half."""
    return accuracy_of(credits(scorer, pairs, tokenizer), pairs)


def credits(scorer: Scorer, pairs: Sequence[Pair], tokenizer: Any) -> list[float]:
    """For every pair 1 if its good sentence scores higher, 0 if the bad one, ½ for a tie."""
    scores = scorer(encode(pairs, tokenizer)).double()  # (P, 2)
    gap = scores[:, 0] - scores[:, 1]
    return torch.where(gap.abs() < TIE, 0.5, (gap > 0).double()).tolist()


def accuracy_of(credits: Sequence[float], pairs: Sequence[Pair]) -> Accuracy:
    """Mean credit. Its interval is of drawing other groups (nouns, contexts) of the same kind."""
    low, high = bootstrap_interval(credits, groups=[pair.group for pair in pairs])
    return Accuracy(sum(credits) / len(credits), low, high, len(pairs))


def scorer_of(model: Bert | Gpt | T5, tokenizer: Any) -> Scorer:
    """The scorer of a Bert, a Gpt or a T5, which it sets to evaluation (no dropout)."""
    model.eval()
    if isinstance(model, T5):
        return lambda pairs: one_sentinel(model, pairs, tokenizer)
    if isinstance(model, Bert):
        return sentence_scorer(lambda rows: pseudo_log_likelihood(model, rows, tokenizer))
    return sentence_scorer(lambda rows: log_probability(model, rows, tokenizer))


def sentence_scorer(score: Callable[[Sequence[Ids]], Tensor]) -> Scorer:
    """A scorer of any function that maps sentences to log-probabilities (sentences,)."""

    def scores(pairs: Sequence[EncodedPair]) -> Tensor:
        return torch.stack([score([pair[side] for pair in pairs]) for side in (0, 1)], dim=1)

    return scores


def log_probability(model: Gpt, sentences: Sequence[Ids], tokenizer: Any) -> Tensor:
    """Return log P of each sentence after an end of text, by the chain rule: (sentences,) nats."""
    device = device_of(model)
    found = torch.zeros(len(sentences), device=device)
    for numbers in equal_lengths(sentences):
        ids = torch.tensor([sentences[number] for number in numbers], device=device)  # (B, T)
        found[numbers] = -gpt_nats(model, ids, tokenizer.eos_token_id).sum(1)
    return found


@torch.no_grad()
def pseudo_log_likelihood(model: Bert, sentences: Sequence[Ids], tokenizer: Any) -> Tensor:
    """Σ_t log P(x_t | all other pieces): (sentences,) nats; as many passes as pieces.

    Source: Salazar et al. 2020, eq. 1 (https://aclanthology.org/2020.acl-main.240).
    """
    device = device_of(model)
    found = torch.zeros(len(sentences), device=device)
    for numbers in equal_lengths(sentences):
        ids = torch.tensor([sentences[number] for number in numbers], device=device)  # (B, T)
        for place in range(ids.size(1)):
            covered = ids.clone()
            covered[:, place] = tokenizer.mask_token_id
            places = torch.full((len(ids),), place, device=device)
            found[numbers] -= guess(model, covered, places, ids[:, place], tokenizer)
    return found


@torch.no_grad()
def one_sentinel(model: T5, pairs: Sequence[EncodedPair], tokenizer: Any) -> Tensor:
    """Return log P(what only one sentence has, and the end | what both share): (pairs, 2) nats.

    The sentinel at the head of the target is given. The end of the target counts, so that answers
    of different length compare.
    """
    sentinel, end = tokenizer.convert_tokens_to_ids("<extra_id_0>"), tokenizer.eos_token_id
    inputs, targets = [], []
    for pair in pairs:
        first, last = shared(*pair)
        for sentence in pair:
            rest = sentence[len(sentence) - last :]
            inputs.append([*sentence[:first], sentinel, *rest, end])
            targets.append([sentinel, *sentence[first : len(sentence) - last], end])
    device = device_of(model)
    found = torch.zeros(len(inputs), device=device)
    start = model.config.decoder_start_token_id
    for numbers in equal_lengths(inputs, targets):
        read = torch.tensor([inputs[number] for number in numbers], device=device)  # (B, S)
        wanted = torch.tensor([targets[number] for number in numbers], device=device)  # (B, T)
        written = torch.cat([wanted.new_full((len(wanted), 1), start), wanted[:, :-1]], dim=1)
        found[numbers] = -surprise(model(read, written)[:, 1:], wanted[:, 1:]).sum(1)
    return found.view(-1, 2)


def device_of(model: Bert | Gpt | T5) -> torch.device:
    """Where the model lies: sentences are put there."""
    return model.token_embedding.weight.device


def shared(a: Ids, b: Ids) -> tuple[int, int]:
    """How many pieces two sentences share at the beginning, and of the rest at the end."""
    most = min(len(a), len(b))
    first = next((n for n in range(most) if a[n] != b[n]), most)
    last = next((n for n in range(most - first) if a[-1 - n] != b[-1 - n]), most - first)
    return first, last


def equal_lengths(*columns: Sequence[Ids], most: int = 64) -> Iterator[list[int]]:
    """Numbers of rows that are equally long in every column, at most `most` at a time.

    Batches of such rows need no padding.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, row in enumerate(zip(*columns, strict=True)):
        groups.setdefault(tuple(map(len, row)), []).append(number)
    for numbers in groups.values():
        yield from (numbers[first : first + most] for first in range(0, len(numbers), most))

"""Tiny seeded models and a tokenizer that checks hand to answers with `made(…)`.

The same call gives the same weights in the grader, in its worker and in a student's notebook.
Nothing heavy is imported before a function is called.
"""

from __future__ import annotations

import contextlib
import io
from functools import cache
from typing import Any

MARKS = ("[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]")  # ids 0 to 4
TEXT = """
a acting all and bad best boring but by cast dull end ever film find fine from funny good great
had i in is it like lost made more moving never no not of on one plot poor rich sad scene seen
slow so story than that the this time to too very was watch well with worst you
"""
WORDS = TEXT.split()
VOCABULARY = [*MARKS, *WORDS]


def tokenizer() -> Any:
    """Make a BERT-like tokenizer of whole lower-case words: [CLS] words [SEP], pad id 0."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {word: number for number, word in enumerate(VOCABULARY)}
    made = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    names = dict(zip(("pad", "cls", "sep", "mask", "unk"), MARKS, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=made, **{f"{name}_token": mark for name, mark in names.items()}
    )


def bert_config(dropout: float, layers: int = 2, hidden: int = 16) -> Any:
    """The configuration of all tiny encoders."""
    from transformers import BertConfig

    return BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * hidden,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        attn_implementation="eager",
    )


def bert(seed: int, dropout: float = 0.0, layers: int = 2, hidden: int = 16) -> Any:
    """Make a `transformers.BertModel` with seeded weights, none of them at their initial value."""
    from transformers import BertModel

    return shaken(BertModel(bert_config(dropout, layers, hidden)), seed)


def frozen_bert(seed: int) -> Any:
    """Make a `bert` whose embeddings are frozen."""
    model = bert(seed)
    model.embeddings.requires_grad_(False)
    return model


def gpt(seed: int, dropout: float = 0.0, layers: int = 2, hidden: int = 16) -> Any:
    """Make a `transformers.GPT2LMHeadModel` with seeded weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=len(VOCABULARY),
        n_positions=64,
        n_embd=hidden,
        n_layer=layers,
        n_head=2,
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        bos_token_id=2,
        eos_token_id=2,
        attn_implementation="eager",
    )
    return shaken(GPT2LMHeadModel(config), seed)


def t5(seed: int) -> Any:
    """Make a `transformers.T5ForConditionalGeneration` of one layer a side, in evaluation mode.

    Its pad and start id is 0, its end id 2.
    """
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=len(VOCABULARY),
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        eos_token_id=2,
        pad_token_id=0,
        decoder_start_token_id=0,
    )
    return shaken(T5ForConditionalGeneration(config), seed, 0.6).eval()


def shaken(model: Any, seed: int, size: float = 0.3) -> Any:
    """Move every parameter by seeded noise, so that none looks freshly initialised."""
    import torch

    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            noise = size * torch.randn(parameter.shape, generator=draws)
            parameter.copy_(noise + (parameter.ndim == 1))  # norms near 1, not at it
    return model


def classifier(seed: int) -> Any:
    """Make a bag-of-words classifier (input_ids, attention_mask) → logits (B, 2).

    One branch drops everything while it trains and nothing afterwards, so that the mode it is in
    shows in its logits without any randomness.
    """
    from torch import nn

    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(len(VOCABULARY), 4)
            self.output, self.side, self.drop = nn.Linear(4, 2), nn.Linear(4, 2), nn.Dropout(1.0)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            real = attention_mask[..., None].float()
            mean = (self.embedding(input_ids) * real).sum(1) / real.sum(1)
            return self.output(mean) + self.side(self.drop(mean))

    return shaken(Bag(), seed, 0.8)


def shipped(name: str) -> Any:
    """Open one of the course's own models without a word."""
    from course_utils.data.sources import load_pretrained

    with contextlib.redirect_stdout(io.StringIO()):
        return load_pretrained(name).model


def sgd(model: Any, rate: float = 0.0) -> Any:
    """Make plain gradient descent over a model; its rate is 0 until somebody sets it."""
    import torch

    return torch.optim.SGD(model.parameters(), lr=rate)


def masked_bert(seed: int, dropout: float = 0.5) -> Any:
    """Make a `transformers.BertForMaskedLM` with seeded weights, in training mode."""
    from transformers import BertForMaskedLM

    return shaken(BertForMaskedLM(bert_config(dropout)), seed, 0.5).train()


def resting(seed: int) -> Any:
    """Make a `classifier` in evaluation mode, with gradients left over from an earlier step."""
    import torch

    model = classifier(seed).eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    return model


@cache
def same(key: str, maker: str, *args: Any) -> Any:
    """Make an object of this module once for each `key`: a later call gets the very same one."""
    return globals()[maker](*args)


def sgd_of(key: str, maker: str, seed: int, rate: float) -> Any:
    """Make plain gradient descent over the model that `same` gives."""
    return sgd(same(key, maker, seed), rate)

"""BERT: an encoder that sees both sides (Devlin et al. 2019, arXiv 1810.04805, §3)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.attention_masks import Mask, real_positions, visible_keys
from course_utils.checks import check_ids, check_like, require

from .base import Config, LanguageModel, init_normal
from .layers import Dropout, FeedForward, SelfAttention


@dataclass(frozen=True)
class BertConfig(Config):
    """The sizes of a BERT; the defaults are BERT-base."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    max_length: int = 512
    type_vocab_size: int = 2
    dropout: float = 0.1
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    next_sentence: bool = False  # carry the pooler and the two-way head of §3.1, task 2


class BertBlock(nn.Module):
    """Attention, then feed-forward, each added to its input and **then** normalised (post-norm)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.feed_forward = FeedForward(config, "gelu")
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Mask) -> Tensor:
        """(B, T, d) → (B, T, d)."""
        x = self.attention_norm(x + self.dropout(self.attention(x, mask)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class MaskedLMHead(nn.Module):
    """Dense, GELU, norm; then comes the token embedding once more as output matrix, and a bias."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, d) → (…, d), what is compared with every token's embedding."""
        return self.norm(F.gelu(self.dense(hidden)))


class Bert(LanguageModel):
    """BERT with its masked-language-model head; `next_sentence=True` adds the second head."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        d = config.hidden_size
        self.token_embedding = nn.Embedding(config.vocab_size, d)
        self.position_embedding = nn.Embedding(config.max_length, d)
        self.segment_embedding = nn.Embedding(config.type_vocab_size, d)
        self.embedding_norm = nn.LayerNorm(d, config.layer_norm_eps)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(BertBlock(config) for _ in range(config.num_layers))
        self.head = MaskedLMHead(config)
        if config.next_sentence:
            self.pooler = nn.Linear(d, d)
            self.next_sentence = nn.Linear(d, 2)
        self.apply(init_normal)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Mask = None,
        token_type_ids: Tensor | None = None,
        *,
        select: Tensor | None = None,
    ) -> Tensor:
        """Vocabulary logits (B, T, V) at every position; with `select` only there, (selected, V).

        Args:
            input_ids: token ids, (B, T).
            attention_mask: 1 = real token, 0 = padding, (B, T); or (B, T, T) for packed documents.
            token_type_ids: 0 for the first segment, 1 for the second, (B, T); default all 0.
            select: where logits are wanted, bool (B, T).

        Raises:
            ValueError: ids, mask, segments or `select` of a wrong shape, dtype or range.
        """
        return self.logits(self.hidden_states(input_ids, attention_mask, token_type_ids), select)

    def embed(self, ids: Tensor, mask: Mask = None, segments: Tensor | None = None) -> Tensor:
        """Sum token, position and segment vectors, then normalise: (B, T) → (B, T, d)."""
        positions = torch.arange(ids.size(1), device=ids.device)  # (T,)
        if mask is not None and mask.dim() == 3:
            positions = real_positions(mask)  # (B, T): each packed document starts at 0
        if segments is None:
            segments = torch.zeros_like(ids)
        total = self.token_embedding(ids)  # (B, T, d)
        total = total + self.position_embedding(positions)
        total = total + self.segment_embedding(segments)
        return self.dropout(self.embedding_norm(total))

    def hidden_states(
        self, input_ids: Tensor, attention_mask: Mask = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Encode ids (B, T) into the last hidden states (B, T, d); arguments as of `forward`.

        Raises:
            ValueError: ids, mask or segments of a wrong shape, dtype or range.
        """
        mask = self.check_inputs(input_ids, attention_mask)
        if token_type_ids is not None:
            check_like(input_ids, token_type_ids=token_type_ids)
            check_ids(token_type_ids, self.config.type_vocab_size, "token_type_ids")
        x = self.embed(input_ids, mask, token_type_ids)  # (B, T, d)
        visible = None if mask is None else visible_keys(mask, input_ids.size(1), causal=False)
        for block in self.blocks:
            x = block(x, visible)
        return x

    def vocabulary_projection(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What makes logits of hidden states (…, d): input (…, d), matrix (V, d), bias (V,)."""
        return self.head(hidden), self.token_embedding.weight, self.head.bias

    def next_sentence_logits(self, hidden: Tensor) -> Tensor:
        """Two logits from the [CLS] position of (B, T, d): 0 = is next, 1 = random; (B, 2).

        Raises:
            ValueError: the model was built without `next_sentence=True`.
        """
        has_head = self.config.next_sentence
        require(has_head, "this Bert has no NSP head: build it with next_sentence=True")
        return self.next_sentence(torch.tanh(self.pooler(hidden[:, 0])))

"""What is put on top of a pre-trained model for a task: one small linear map each."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.attention_masks import Mask
from course_utils.checks import require

from .base import init_normal
from .bert import Bert
from .gpt import Gpt
from .layers import Dropout, add_mask

Backbone = Bert | Gpt
Outputs = Tensor | tuple[Tensor, Tensor]  # two of a JointIntentSlots: intents, slots


def last_real(mask: Tensor) -> Tensor:
    """Index of the last real token of each row of a mask (B, T), wherever the padding stands."""
    return (mask.bool() * torch.arange(1, mask.size(1) + 1, device=mask.device)).argmax(dim=1)


def sentence_vector(backbone: Backbone, hidden: Tensor, mask: Mask) -> Tensor:
    """Pick the vector that stands for the whole row of (B, T, d): (B, d).

    BERT: the first position, [CLS] (Devlin et al. 2019, §3.2). GPT: the last **real** token, the
    only one that has read everything (Radford et al. 2018, §3.2); `[:, -1]` would read padding.
    """
    if isinstance(backbone, Bert):
        return hidden[:, 0]
    if mask is None:
        return hidden[:, -1]
    return hidden[torch.arange(len(hidden), device=hidden.device), last_real(mask)]


def small_linear(num_inputs: int, num_outputs: int) -> nn.Linear:
    """Make a linear map that starts from N(0, 0.02²) and bias 0.

    Raises:
        ValueError: no output.
    """
    require(num_outputs >= 1, f"a head needs at least one output, got {num_outputs}")
    linear = nn.Linear(num_inputs, num_outputs)
    init_normal(linear)
    return linear


class Head(nn.Module):
    """A backbone, dropout, and a linear map whose start is small, like the backbone's own.

    Raises:
        ValueError: no output, or a backbone that is neither a Bert nor a Gpt.
    """

    def __init__(self, backbone: Backbone, num_outputs: int, dropout: float | None = None) -> None:
        super().__init__()
        what = f"a head needs a Bert or a Gpt below it, got {type(backbone).__name__}"
        remedy = "T5 answers in words instead: train it to write the label"
        require(isinstance(backbone, Backbone), f"{what}; {remedy}")
        self.backbone = backbone
        self.dropout = Dropout(backbone.config.dropout if dropout is None else dropout)
        self.output = small_linear(backbone.config.hidden_size, num_outputs)

    def forward(
        self, input_ids: Tensor, attention_mask: Mask = None, token_type_ids: Tensor | None = None
    ) -> Outputs:
        """Read ids (B, T) and answer, as the class says; only a Bert has segments."""
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        hidden = self.backbone.hidden_states(input_ids, attention_mask, **segments)  # (B, T, d)
        return self.answer(hidden, attention_mask)


class SequenceClassifier(Head):
    """One label a text."""

    def answer(self, hidden: Tensor, mask: Mask) -> Tensor:
        """Hidden states (B, T, d) → logits (B, labels)."""
        return self.output(self.dropout(sentence_vector(self.backbone, hidden, mask)))


class TokenClassifier(Head):
    """One label a token, as in named-entity recognition (Devlin et al. 2019, §5.3)."""

    def answer(self, hidden: Tensor, mask: Mask) -> Tensor:
        """Hidden states (B, T, d) → logits (B, T, labels)."""
        return self.output(self.dropout(hidden))


class SpanExtractor(Head):
    """Where an answer starts and where it ends (Devlin et al. 2019, §4.2)."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone, 2)

    def answer(self, hidden: Tensor, mask: Mask) -> Tensor:
        """Hidden states (B, T, d) → start and end scores (B, 2, T), −∞ at padding."""
        scores = self.output(self.dropout(hidden)).transpose(1, 2)
        return scores if mask is None else add_mask(scores, mask.bool()[:, None, :])

    @staticmethod
    def best_span(scores: Tensor, max_length: int = 30) -> Tensor:
        """Likeliest (start, end) with start ≤ end < start + max_length, from (B, 2, T): (B, 2)."""
        start, end = scores[:, 0, :, None], scores[:, 1, None, :]
        length = scores.size(-1)
        allowed = torch.ones(length, length, dtype=torch.bool, device=scores.device).triu()
        allowed = allowed & ~allowed.triu(max_length)
        best = (start + end).masked_fill(~allowed, float("-inf")).flatten(1).argmax(1)
        return torch.stack([best // length, best % length], dim=1)


class JointIntentSlots(Head):
    """One intent a text and one slot tag a token over a single encoder (Chen et al. 2019).

    arXiv 1902.10909, §3.2: the intent reads [CLS], the slots read every token.
    """

    def __init__(
        self, backbone: Backbone, num_intents: int, num_slots: int, dropout: float | None = None
    ) -> None:
        super().__init__(backbone, num_intents, dropout)
        self.slots = small_linear(backbone.config.hidden_size, num_slots)

    def answer(self, hidden: Tensor, mask: Mask) -> tuple[Tensor, Tensor]:
        """Hidden states (B, T, d) → logits of intents (B, intents) and slots (B, T, slots)."""
        vector = sentence_vector(self.backbone, hidden, mask)
        return self.output(self.dropout(vector)), self.slots(self.dropout(hidden))


def joint_loss(
    intent_logits: Tensor, slot_logits: Tensor, intents: Tensor, slots: Tensor, alpha: float = 0.5
) -> Tensor:
    """α·L_intent + (1−α)·L_slot, each a mean cross-entropy in nats; slots −100 are left out.

    Raises:
        ValueError: alpha outside [0, 1].
    """
    require(0 <= alpha <= 1, f"alpha must lie in [0, 1], got {alpha}")
    slot = F.cross_entropy(slot_logits.flatten(0, 1), slots.flatten())
    return alpha * F.cross_entropy(intent_logits, intents) + (1 - alpha) * slot

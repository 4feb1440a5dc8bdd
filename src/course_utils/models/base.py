"""What Bert, Gpt and T5 have in common: checked sizes, checked inputs, the way to logits."""

from dataclasses import fields

from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.attention_masks import Mask
from course_utils.checks import check_ids, check_mask, check_room, check_select, readable, require


class Config:
    """What every configuration shares: `head_size`, and sizes that are checked when it is made.

    Raises:
        ValueError: a size below 1, a dropout outside [0, 1), heads that do not divide d, or a
            token id that is none.
    """

    def __post_init__(self) -> None:
        """Refuse sizes that make no model."""
        for name, value in vars(self).items():
            is_size = name.startswith("num_") or name.endswith(("_size", "_length"))
            require(not is_size or value >= 1, f"{name} must be at least 1, got {value}")
            if name.endswith("_token_id"):
                self.check_token_id(name, value)
        require(0 <= self.dropout < 1, f"dropout must lie in [0, 1), got {self.dropout}")
        fits = "head_size" in vars(self) or self.hidden_size % self.num_heads == 0
        what = f"hidden_size {self.hidden_size} is no multiple of num_heads {self.num_heads}"
        require(fits, what)

    def check_token_id(self, name: str, value: object) -> None:
        """Refuse what is no id, such as a list of several; None only where the class allows it."""
        kinds = {field.name: field.type for field in fields(self)}
        optional = "None" in str(kinds[name])
        fits = type(value) is int or (value is None and optional)
        wanted = "one id (an integer) or None" if optional else "one id (an integer)"
        require(fits, f"{type(self).__name__}.{name} must be {wanted}, got {value!r}")

    @property
    def head_size(self) -> int:
        """Size of a head: d/H; a T5 chooses it freely."""
        return self.hidden_size // self.num_heads


class LanguageModel(nn.Module):
    """The way from hidden states to logits, and the input checks.

    A model adds `hidden_states(…)`, `forward(…)` with the same inputs, and
    `vocabulary_projection(hidden)`: the input, matrix and bias of its linear map to the vocabulary.
    """

    def logits(self, hidden: Tensor, select: Tensor | None = None) -> Tensor:
        """Vocabulary logits (B, T, V) of hidden states (B, T, d); with `select` only there.

        `select` (bool, (B, T)) gives (selected, V). Logits where something is predicted, and
        nowhere else, are what makes 15% masking cheap: the projection to the vocabulary is the
        largest single product of a small BERT.

        Raises:
            ValueError: `select` is no bool tensor (B, T).
        """
        if select is not None:
            check_select(select, hidden.shape[:-1])
            hidden = hidden[select]  # (selected, d)
        vector, matrix, bias = self.vocabulary_projection(hidden)
        return F.linear(vector, matrix, bias)

    def check_inputs(self, ids: Tensor, mask: Mask, past: int = 0, more: int = 0) -> Mask:
        """Refuse ids (B, T) or a mask that cannot be read; return the mask if it masks anything.

        With `past` tokens read before, the mask is (B, past + T), or square for packed documents.
        `more` tokens will follow. On an accelerator values are not looked at (see `checks`), and
        the mask comes back as it is.

        Raises:
            ValueError: wrong shapes or dtypes, ids out of range, more tokens than positions, or a
                row without a single real token.
        """
        check_ids(ids, self.config.vocab_size)
        rows = ids.size(0)
        keys = past + ids.size(1)
        room = getattr(self.config, "max_length", keys + more)
        check_room("prompt and new tokens" if more else "input_ids", keys + more, room)
        if mask is None:
            return None
        check_mask(mask, (rows, keys), (rows, keys, keys), empty_rows=False)
        return None if readable(mask) and bool(mask.all()) else mask


def init_normal(module: nn.Module, std: float = 0.02) -> None:
    """Draw a layer's weights from N(0, std²), its bias 0: BERT's and GPT-2's start."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=std)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)

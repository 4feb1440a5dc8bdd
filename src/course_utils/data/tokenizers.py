"""The course's own tokenizer: byte-level BPE of 4,096 pieces that loses nothing.

Byte-level, so that every string can be written and read back exactly; bits per byte are then
exact, and there is no [UNK]. One tokenizer serves all three paradigms, so it has the special
tokens of each: [CLS] [SEP] [MASK] of BERT, `<eos>` of GPT, the sentinels of T5.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from course_utils.data.cache import CHECKPOINTS, SourceError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SHIPPED = CHECKPOINTS / "tokenizer"
VOCAB_SIZE = 4096
NUM_SENTINELS = 64
SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[MASK]", "<eos>")  # ids 0 to 4
MAX_LENGTH = 512


def sentinels() -> list[str]:
    """Return T5's sentinels in order of id: `<extra_id_0>` comes last and has the highest id."""
    return [f"<extra_id_{number}>" for number in reversed(range(NUM_SENTINELS))]


def train_tokenizer(
    documents: Iterable[str], vocab_size: int = VOCAB_SIZE
) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer of `vocab_size` pieces learned from the documents.

    5 special tokens, 256 bytes, merges, 64 sentinels at the top. The same documents give the
    same tokenizer. Calling it adds no special tokens: the objectives add what they need.
    Raises ValueError when the documents are too few to fill the vocabulary.
    Source: Sennrich et al. 2016 (BPE); Radford et al. 2019, section 2.2 (on bytes).
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - NUM_SENTINELS,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    # A piece carries the space before it, so what stands for a piece swallows that space
    # (as RoBERTa's <mask> does): "the [MASK]" typed is then what corrupted text looks like.
    gaps = ["[MASK]", *sentinels()]
    tokenizer.add_special_tokens([AddedToken(gap, lstrip=True, special=True) for gap in gaps])
    if tokenizer.get_vocab_size() != vocab_size:
        raise ValueError(
            f"the documents give {tokenizer.get_vocab_size():,} pieces, not {vocab_size:,}: "
            "train on more text"
        )
    return _wrap(tokenizer)


def _wrap(tokenizer: object) -> PreTrainedTokenizerFast:
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token=AddedToken("[MASK]", lstrip=True, special=True),
        eos_token="<eos>",
        extra_special_tokens=[AddedToken(s, lstrip=True, special=True) for s in sentinels()],
        clean_up_tokenization_spaces=False,  # it would make decoding lossy
    )


def load_tokenizer(name: str = "course") -> PreTrainedTokenizerFast:
    """Return the tokenizer that is shipped with the course ("course"), or one from a folder.

    Raises SourceError when there is none.
    """
    from transformers import PreTrainedTokenizerFast

    folder = SHIPPED if name == "course" else Path(name)
    if not (folder / "tokenizer.json").is_file():
        raise SourceError(f'There is no tokenizer in {folder}. load_tokenizer("course") has one.')
    return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)

"""What chapters and exercises compute at full size: models, batches, tokens; not measured yet.

From it follow, by rule, the memory and the time on a T4; `tools/gpu_check.py` measures both.
"""

from __future__ import annotations

from dataclasses import dataclass

from course_utils.cost import Hardware, read_flops, train_flops
from course_utils.writing import markdown_table

T4 = Hardware(peak=8.1e12, used=0.3)  # 32-bit, of its data sheet; the share is an assumption
T4_MEMORY = 15.8e9  # bytes
# Weights, blocks, width, heads and pieces of what is loaded; of a T5 the blocks of its encoder,
# which reads the long rows.
MODELS = {
    "bert-base": (110e6, 12, 768, 12, 30522),
    "bert-large": (335e6, 24, 1024, 16, 30522),
    "gpt2": (124e6, 12, 768, 12, 50257),
    "t5-small": (60e6, 6, 512, 8, 32128),
    "t5-base": (223e6, 12, 768, 12, 32128),
    "bert-7m": (7.3e6, 6, 288, 6, 4096),
    "gpt-7m": (7.2e6, 6, 288, 6, 4096),
    "t5-7m": (7.2e6, 3, 288, 6, 4096),
}


def training_bytes(
    weights: float, layers: int, d: int, heads: int, rows: int, length: int
) -> float:
    """Peak memory of fine-tuning in 32 bits with AdamW, without the vocabulary's logits.

    16 bytes a weight (itself, gradient, two moments), and 2·rows·length·d·(34 + 5·heads·length/d)
    of activations a layer: twice those of Korthikanti et al. 2022 (arXiv:2205.05198), who count for
    16 bits.
    """
    activations = 2 * rows * length * d * (34 + 5 * heads * length / d)
    return 16 * weights + layers * activations


@dataclass(frozen=True)
class FullSizeCell:
    """What a cell adds at full size: a larger model, its batches, tokens trained on and read.

    A model that only reads or writes needs its weights and the logits of a batch, 4 bytes each; of
    texts that are written one token at a time, every token counts as read once more.
    """

    place: str  # a chapter or an exercise
    setting: str  # as it stands in its notebook
    model: str  # of `MODELS`
    rows: int
    length: int
    read: int = 0
    learned: int = 0

    @property
    def own_memory(self) -> float:
        """Bytes of the model, its gradients and moments if it learns, and a batch."""
        weights, layers, d, heads, pieces = MODELS[self.model]
        if self.learned:
            return training_bytes(weights, layers, d, heads, self.rows, self.length)
        return 4 * weights + 4 * self.rows * self.length * pieces

    @property
    def memory(self) -> float:
        """Bytes on the GPU, with the small models that are trained there, and CUDA itself."""
        return self.own_memory + 16 * 30e6 + 1e9

    @property
    def seconds(self) -> float:
        """Time on a T4 by 6 FLOPs for each weight and token learned, 2 for each read."""
        weights = MODELS[self.model][0]
        return 3600 * T4.hours(train_flops(weights, self.learned) + read_flops(weights, self.read))


LARGER = 'larger=(None, "{}")'.format
CHAPTERS = (
    FullSizeCell("09_1", "labels=(1000, 8491)", "bert-base", 32, 48,
                 (5000 + 4 * 128) * 48, 2 * 8491 * 48),
    FullSizeCell("09_2", LARGER("bert-base-uncased"), "bert-base", 1, 16, 5 * 16),
    FullSizeCell("09_2", "sentences=(416, 4096)", "bert-base", 32, 32, 4 * 256 * 32, 2 * 4096 * 32),
    FullSizeCell("09_2", "long=(None, 4200)", "bert-7m", 64, 126, 0, 4200 * 8064),
    FullSizeCell("09_3", "long=(None, 4100)", "gpt-7m", 64, 126, 0, 4100 * 8064),
    FullSizeCell("09_4", "long=(None, 7300)", "t5-7m", 64, 126, 0, 7300 * 8064 // 2),
    FullSizeCell("09_3", LARGER("gpt2"), "gpt2", 1, 128, 6 * 128 + 40 * 45),
    FullSizeCell("09_4", LARGER("t5-small"), "t5-small", 1, 32, 5 * (32 + 24 * 24)),
    FullSizeCell("09_5", LARGER("bert-base-uncased"), "bert-base", 32, 64, (256 + 24) * 64),
)  # fmt: skip
EXERCISES = (
    FullSizeCell("L1", '"bert-base-uncased", "gpt2"', "gpt2", 64, 32, 10_000 * 32),
    FullSizeCell("P1", '"bert-large-uncased"', "bert-large", 1, 64, 100 * 64),
    FullSizeCell("P2", "(None, 3, 2e-5)", "bert-base", 16, 32, 5000 * 32, 3 * 8491 * 32),
    FullSizeCell("P3", "(5e-5, 8000, 1000)", "gpt2", 32, 48, 1000 * 48, 2 * 8000 * 48),
    FullSizeCell("P4", '("sst2", 8000, 800, 3)', "bert-large", 16, 32, 9 * 800 * 32, 3 * 8000 * 32),
    FullSizeCell("P5", "(5000, 200, 512, 96)", "t5-base", 8, 512, 200 * 96 * 96, 5000 * 608),
)


def full_size_table() -> str:
    """What each cell takes, as a Markdown table."""
    rows = [
        [cell.place.replace("09_", "Section 9."), cell.model, f"{cell.memory / 1e9:.1f} GB",
         f"{cell.seconds / 60:.1f}"]
        for cell in CHAPTERS + EXERCISES
    ]  # fmt: skip
    return markdown_table(["where", "model", "peak memory", "minutes on a T4"], rows)

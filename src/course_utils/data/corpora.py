"""What published models had read, each size as its paper prints it, and all of them in one unit.

Papers count words, bytes or tokens. To set them side by side, all are turned into words at the
rates of the course's own corpus: other text has shorter words (BERT's 3.3 billion words are 16 GB,
Liu et al. 2019, §3.2: 4.8 bytes a word), so a converted size is good to a quarter, no better.
"""

from __future__ import annotations

from typing import NamedTuple

BYTES_A_WORD = 6.0  # of the course's corpus, spaces and marks included (a test counts them)
TOKENS_A_WORD = 1.2  # GPT-2's pieces, of the same corpus


class Corpus(NamedTuple):
    """The text of a model: its name, size and unit as printed, and where: BibTeX key and place."""

    text: str
    size: float
    unit: str  # words, bytes or tokens
    source: str
    place: str

    @property
    def words(self) -> float:
        """The size in words."""
        return self.size / {"words": 1.0, "bytes": BYTES_A_WORD, "tokens": TOKENS_A_WORD}[self.unit]


# GPT-3's is the sum of its five sets, of which 300 billion tokens were drawn for training
CORPORA = {
    "GPT-1": Corpus("BooksCorpus", 800e6, "words", "devlin-2019-bert", "app. A.4"),
    "BERT": Corpus("BooksCorpus, Wikipedia", 3.3e9, "words", "devlin-2019-bert", "§3.1"),
    "GPT-2": Corpus("WebText", 40e9, "bytes", "radford-2019-gpt2", "§2.1"),
    "T5": Corpus("C4", 750e9, "bytes", "raffel-2020-t5", "§2.2"),
    "GPT-3": Corpus("five sets, most of it Common Crawl", 499e9, "tokens", "brown-2020-gpt3",
                    "table 2.2"),
}  # fmt: skip

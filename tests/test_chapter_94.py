"""Section 9.4: what it promises to hold, read from the committed notebook (nbval runs it again)."""

import math
import re

import pytest

from chapters import Chapter

CHAPTER = Chapter("09_4")
pytestmark = pytest.mark.skipif(not CHAPTER.code, reason="an outline, not yet a chapter")


def numbers(pattern: str, text: str) -> list[float]:
    """The groups of the one place that matches, as numbers."""
    (found,) = re.findall(pattern, text, re.DOTALL)
    return [float(n.replace(",", "")) for n in found]


def cells(text: str) -> dict[str, list[str]]:
    """Rows of a Markdown table by their first cell."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows}


def test_the_class_agrees_with_the_library():
    assert "same logits: True" in CHAPTER.output_of("same logits:")


def test_sizes_are_the_exact_ones():
    text = CHAPTER.output_of("def t5_config(")
    for size in ("60,506,624", "222,903,552", "737,668,096"):
        assert size in text


def test_an_encoder_decoder_sees_what_a_prefix_language_model_sees():
    text = CHAPTER.output_of("three = torch.zeros(")
    assert "same as a prefix language model: True" in text
    assert "same as a causal one: False" in text


def test_a_missing_factor_shows_in_the_first_loss():
    rows = cells(CHAPTER.output_of("loss of a new model"))
    uniform = math.log(4096)
    assert float(rows["broken"][0]) > 5 * uniform
    assert 0 <= float(rows["mended"][0]) - uniform < 1


def test_factors_of_attention():
    rows = cells(CHAPTER.output_of("largest attention weight"))
    spreads = [float(row[0]) for row in rows.values() if row[0][0].isdigit()]
    assert [round(s * 8) for s in spreads] == [8, 64, 1]


def test_three_tasks_in_one_model():
    text = CHAPTER.output_of("what is new in the test")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if "%" in line]
    assert len(rows) == 6 and all(len(row) == 5 for row in rows)
    mended = [float(row[2].rstrip("%")) for row in rows if row[0] == "mended first"]
    assert max(mended) > 100 / 7 * 2, "far better than guessing one of seven intents"


def test_sentinels_descend_and_the_text_can_be_put_back():
    text = CHAPTER.output_of("span_corruption.reconstruct(batch, 0, vocabulary)")
    ids = [int(i) for i in re.search(r"as ids +\[(.*)\]", text).group(1).split(", ")]
    assert [i for i in ids if i > 4095 - 64] == [4095, 4094] and ids[0] == 4095
    assert "put back: True" in text


def test_lengths_are_t5s():
    text = CHAPTER.output_of("span_corruption.lengths(512, 0.15, 3.0)")
    assert "(568, 114)" in text and "568 raw → 512 + 114" in text


def test_a_mask_that_starts_with_noise_misaligns():
    lines = CHAPTER.output_of("def replace_stretches(").splitlines()
    broken, mended = (line.split("  |  ") for line in lines[:2])
    assert broken[0] == "broken <0> ask the <1> act" and broken[1].startswith("we <0> house to")
    assert mended == ["mended we <0> the house <1>", "<0> ask <1> to act"]


def test_sentinels_are_learned_before_text():
    text = CHAPTER.output_of("unigram = -(")
    whole, sentinels, words, unigram = numbers(
        r"loss is ([\d.]+): sentinels\s+([\d.]+), text ([\d.]+)\. Counting .* give ([\d.]+)", text
    )
    assert sentinels < whole < words
    assert abs(words - unigram) < 0.8


def test_all_denoisers_are_tried():
    rows = CHAPTER.output_of("nats a piece of text").splitlines()
    assert len([row for row in rows if re.match(r"\| [RSX] \|", row)]) == 7


def test_final_training_is_a_trillion_tokens():
    assert "34 billion tokens, final 1.05 trillion" in CHAPTER.output_of("final_tokens =")


def test_citations_reach_what_followed():
    for key in ("xue-2021-mt5", "chung-2022-flan", "tay-2023-ul2", "zhang-2025-t5gemma"):
        assert key in CHAPTER.prose

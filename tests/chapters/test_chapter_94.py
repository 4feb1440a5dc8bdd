"""Section 9.4: what it alone promises, read from the committed notebook (nbval runs it again)."""

import math
import re

import pytest
from chapter import Chapter

CHAPTER = Chapter("09_4")


def numbers(pattern: str, text: str) -> list[float]:
    """The groups of the one place that matches, as numbers."""
    (found,) = re.findall(pattern, text, re.DOTALL)
    return [float(n.replace(",", "")) for n in found]


def cells(text: str) -> dict[str, list[str]]:
    """Rows of a Markdown table by their first cell."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize(
    "cell,others",
    [
        ("cross_attention(x[0], memory[0],", {"package", "transformers"}),
        ("by_hand = t5_logits(ids[0], read[0])", {"package", "transformers"}),
        ("labels=y[None]", {"formula", "package", "transformers"}),
    ],
)
def test_what_is_written_by_hand_has_the_numbers_of_the_libraries(cell, others):
    found = re.findall(r"^(\w+) +largest difference (\S+)$", CHAPTER.output_of(cell), re.MULTILINE)
    assert {name for name, _ in found} == others
    assert max(float(size) for _, size in found) < 1e-4


def test_buckets_and_spans_by_hand_are_those_of_the_package():
    assert "buckets are the same: True" in CHAPTER.output_of("every = torch.arange(")
    assert "same target: 1000 of 1000" in CHAPTER.output_of("agree += corrupt_spans(ids, noise)")
    hand, package = (
        [float(x) for x in row]
        for name, row in cells(CHAPTER.output_of("def facts(noise)")).items()
        if name in ("hand", "the package")
    )
    assert hand[:3] == package[:3] and hand[4] == package[4] == 0
    assert abs(hand[3] - package[3]) < 0.02


def test_numbers_that_are_bold_by_luck_are_counted_with_ten_runs():
    (share,) = re.findall(r"bold by luck: ([\d.]+)%", CHAPTER.output_of("is_bold ="))
    assert 8 < float(share) < 10  # and not 5: mean and deviation come from ten runs
    bold, all_, luck = numbers(
        r"(\d+) of the (\d+) comparisons are bold. By luck alone one would expect about (\d+)",
        CHAPTER.output_of("comparisons are bold"),
    )
    assert luck == round(float(share) / 100 * all_) < bold


def test_sizes_are_the_exact_ones():
    text = CHAPTER.output_of("size.total():,}")
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
    assert 0 <= float(rows["correct"][0]) - uniform < 1


def test_factors_of_attention():
    rows = cells(CHAPTER.output_of("largest attention weight"))
    spreads = [float(row[0]) for row in rows.values() if row[0][0].isdigit()]
    assert spreads == [pytest.approx(s, rel=0.05) for s in (1, 8, 1 / 8)]


def test_three_tasks_in_one_model():
    text = CHAPTER.output_of("what is new in the test")
    rows = [
        line.strip("| ").split(" | ")
        for line in text.splitlines()
        if line.startswith("| ") and "%" in line
    ]
    assert len(rows) == 6 and {row[0] for row in rows} == {"pre-trained", "random start"}
    best = max(float(row[2].rstrip("%")) for row in rows)
    assert best > 100 / 7 * 2, "far better than guessing one of seven intents"


def test_sentinels_descend_and_the_text_can_be_put_back():
    text = CHAPTER.output_of("x_corrupt, y = corrupt_spans(ids, noise)\n")
    ids = [int(i) for i in re.search(r"as ids +\[(.*)\]", text).group(1).split(", ")]
    assert [i for i in ids if i > 4095 - 64] == [4095, 4094] and ids[0] == 4095
    text = CHAPTER.output_of("span_corruption.reconstruct(batch, 0, vocabulary)")
    assert "put back: True" in text


def test_lengths_are_t5s():
    text = CHAPTER.output_of("n = 568")
    assert "(568, 114)" in text and "568 raw → 512 + 114" in text


def test_too_many_sentinels_are_seen():
    rows = [line for line in CHAPTER.output_of('"for 100"').splitlines() if "%" in line]
    assert ["too many" in row for row in rows] == [False, False, False, True, False]


def test_a_mask_that_starts_with_noise_misaligns():
    lines = CHAPTER.output_of("def replace_stretches(").splitlines()
    broken, correct = (line.split("  |  ") for line in lines[:2])
    assert broken[0] == "broken <0> ask the <1> act" and broken[1].startswith("we <0> house to")
    assert correct == ["correct we <0> the house <1>", "<0> ask <1> to act"]


def test_sentinels_are_learned_before_text():
    text = CHAPTER.output_of("unigram = -(")
    first, uniform, whole, marks, words, unigram = numbers(
        r"first loss is ([\d.]+), near ln V = ([\d.]+).* loss is ([\d.]+): sentinels and ends\s+"
        r"([\d.]+), text ([\d.]+)\. Counting .* give\s+([\d.]+)",
        text,
    )
    assert abs(first - uniform) < 1
    assert marks < whole < words
    assert abs(words - unigram) < 0.8


def test_longer_training_goes_past_counting():
    rows = cells(CHAPTER.output_of("nats a token, held out"))
    for name in ("sentinels and ends", "text", "… first token of a span", "… later tokens"):
        minute, mini = map(float, rows[name])
        assert mini < minute, name


def test_every_wrong_line_does_harm():
    rows = cells(CHAPTER.output_of('row["all"], row["marks"], row["text"]'))
    right = float(rows.pop("as it should be")[0])
    losses = {name: float(row[0]) for name, row in rows.items() if row[0][0].isdigit()}
    assert len(losses) == 5 and min(losses.values()) > right


def test_filling_in_is_counted_over_rows_nobody_chose():
    text = CHAPTER.output_of("def share(flags)")
    form, rows, spans, whole, opened, common = numbers(
        r"in (\d+)% of (\d+) rows .*? of (\d+) spans it restored (\d+)% .*?"
        r"token of (\d+)%.*?restore (\d+)%",
        text,
    )
    assert spans == 6 * rows and rows > 50
    assert form > 90 and common < whole <= opened


def test_short_rows_ask_for_the_end():
    lines = CHAPTER.output_of('RECIPES["t5-mini"].lengths').splitlines()
    ends = [int(re.search(r"(\d+)%", line).group(1)) for line in lines if "masked" in line]
    assert ends == [100, 100, 0, 0, 0]


def test_all_denoisers_are_tried():
    rows = CHAPTER.output_of("nats a token of text").splitlines()
    tried = [row.strip("| ").split(" | ") for row in rows if re.match(r"\| [RSX] \|", row)]
    assert len(tried) == 7
    unmet = max(tried, key=lambda row: float(row[5]))
    assert unmet[1:3] == ["50%", "spans of 3"], "sentinels that were never trained"


def test_what_is_said_of_the_study_is_what_its_rows_say():
    rows = cells(CHAPTER.output_of("denoising minus language modeling"))
    signs = [float(x) > 0 for row in rows.values() for x in row if x[-1].isdigit()]
    assert len(signs) == 15 and sum(signs) == 14
    assert rows["causal decoder"][-1].startswith("-")
    rates = cells(CHAPTER.output_of("study.table == 6"))
    bold = {name: [x for x in row if "**" in x] for name, row in rates.items()}
    assert [x[2] for x in bold["10%"]] == ["-"] * 3
    assert sorted(x[2] for x in bold["25%"]) == ["+", "-"]
    assert len(bold["50%"]) == 3 and not bold["15%"]
    repeats = cells(CHAPTER.output_of("study.table == 9"))
    assert not any("**" in x for x in repeats["2^29 tokens, 64 repeats"])
    assert any("**" in x for x in repeats["2^27 tokens, 256 repeats"])


def test_our_ablation_is_the_record():
    from course_utils import records

    made = records.load("span-ablations")
    assert "made by: course run span-ablations" in CHAPTER.output_of("records.load(")
    rows = cells(CHAPTER.output_of('"first token, nats"'))
    for row in made["results"]["spans"]:
        first = row["first_token_loss"]
        assert rows[str(row["mean_span"])][0] == f"{first['mean']:.2f} ± {first['sd']:.2f}"


def test_final_training_is_a_trillion_tokens():
    assert "34 billion tokens, final 1.05 trillion" in CHAPTER.output_of("final_tokens =")


def test_citations_reach_what_followed():
    for key in ("xue-2021-mt5", "chung-2022-flan", "tay-2023-ul2", "zhang-2025-t5gemma"):
        assert key in CHAPTER.prose

"""Section 9.3: what it alone promises, read from the committed notebook (nbval runs it again)."""

import json
import re

import pytest
from chapter import ROOT, Chapter, power_of_ten

from course_utils import records

CHAPTER = Chapter("09_3")


def numbers(text: str, pattern: str) -> tuple[float, ...]:
    """The groups of the one place where `pattern` stands."""
    found = re.search(pattern, " ".join(text.split()))
    assert found, pattern
    return tuple(float(group.replace(",", "")) for group in found.groups())


def cells_of(table: str) -> dict[str, list[str]]:
    """Rows of a Markdown table by their first cell."""
    lines = [line.strip(" |").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {first: rest for first, *rest in lines}


@pytest.mark.parametrize(
    "name,size",
    [
        ("GPT-1", "116,534,784"),
        ("GPT-2 small", "124,439,808"),
        ("GPT-2 medium", "354,823,168"),
        ("GPT-2 large", "774,030,080"),
        ("GPT-2 XL", "1,557,611,200"),
    ],
)
def test_sizes_are_the_exact_ones(name, size):
    assert re.search(rf"{name} +{size}\b", CHAPTER.output_of("N, inner = {}, {}"))


def test_figure_is_drawn_from_the_shipped_model():
    folder = ROOT / "src/course_utils/checkpoints/gpt-mini"
    config = json.loads((folder / "config.json").read_text())
    text = CHAPTER.output_of("stacks.gpt_decoder(")
    assert f"{config['n_layer']} layers; " in text and f"{config['n_head']} attention heads" in text
    assert f"over {config['vocab_size']:,} tokens" in text


def test_only_the_decoder_with_the_right_mask_cannot_look_ahead():
    text = CHAPTER.output_of("def change_before(")
    (gpt,) = numbers(text, r"GPT: +([\d.]+)")
    assert gpt == 0
    for name in ("GPT, zeros after the softmax", "GPT without a mask", "BERT"):
        assert numbers(text, rf"{name}: +([\d.]+)")[0] > 0.001


@pytest.mark.parametrize(
    "cell,others",
    [
        ("def compare(", {"PyTorch"}),
        ("def gpt_logits(ids)", {"package", "transformers"}),
        ("library.loss_type =", {"formula", "package", "transformers"}),
    ],
)
def test_what_is_written_by_hand_has_the_numbers_of_the_libraries(cell, others):
    found = re.findall(r"^(\w+) +largest difference (\S+)$", CHAPTER.output_of(cell), re.MULTILINE)
    assert {name for name, _ in found} == others
    assert max(float(size) for _, size in found) < 1e-4


def test_the_sampler_keeps_and_writes_what_the_libraries_do():
    text = CHAPTER.output_of("TopPLogitsWarper(0.8)")
    sizes = re.findall(r"(package|transformers) +largest difference (\S+)", text)
    assert len(sizes) == 6 and max(float(size) for _, size in sizes) < 1e-4
    text = CHAPTER.output_of("theirs = library.generate(")
    assert "same as the package: True" in text and "same as transformers: True" in text


def test_bits_per_byte_are_no_privilege_of_the_causal_model():
    for heading in ("### Equation 9.2", "### Who predicts better?", "## What to take along"):
        near = CHAPTER.prose[CHAPTER.prose.index(heading) - 900 :][:1800]
        assert re.search(r"[Mm]asked and span models|a masked model predicts", near), heading


def test_a_leak_shows_as_a_loss_below_the_entropy_and_as_bad_text():
    rows = cells_of(CHAPTER.output_of("written = {}"))
    bound = float(rows["a perfect model"][0])
    honest, leaky = (list(map(float, rows[name])) for name in ("honest", "open"))
    assert leaky[0] < bound - 0.05 and honest[0] > bound - 0.05
    assert leaky[1] > honest[1] + 1


def test_training_starts_at_knowing_nothing_and_passes_the_unigram():
    text = CHAPTER.output_of('levels["gpt-mini"] = loss')
    first, uniform = numbers(text, r"first loss is ([\d.]+), near ln V = ([\d.]+)")
    assert abs(first - uniform) < 0.2
    final, unigram, bigram, mini = numbers(
        text, r"held-out loss is ([\d.]+); .* gives ([\d.]+), .* pairs ([\d.]+)\. .* is at ([\d.]+)"
    )
    assert final < unigram and mini < bigram < unigram


def test_probabilities_of_all_texts_sum_to_one():
    assert numbers(CHAPTER.output_of("itertools.product("), r"sum ([\d.]+)") == (1.0,)


def test_one_shift_is_right_and_two_are_wrong():
    once, twice = numbers(
        CHAPTER.output_of("the library shifts"), r"once ([\d.]+) nats, twice ([\d.]+)"
    )
    assert twice > once + 2


def test_cache_changes_nothing_but_the_work():
    assert "token by token: **True**" in CHAPTER.output_of("torch.equal(out[True]")


def test_only_the_last_real_token_ignores_the_company():
    text = CHAPTER.output_of("class LastColumn")
    assert re.search(r"LastColumn +same answer in company: False", text)
    assert re.search(r"SequenceClassifier +same answer in company: True", text)


def test_cost_of_gpt3_is_the_papers():
    said = CHAPTER.output_of("accelerator-years")
    flops = power_of_ten(re.search(r"C = (\S+) FLOPs", said)[1])
    (days,) = numbers(said, r"FLOPs, or ([\d,]+)")
    assert flops == pytest.approx(3.14e23, rel=0.01)
    assert days == pytest.approx(3640, rel=0.01)


def test_ids_are_those_of_the_real_tokenizer():
    text = CHAPTER.output_of("COVID-19")
    assert re.search(r"The +\[464\]", text) and re.search(r"<\|endoftext\|> +\[50256\]", text)
    assert "True" in text and "False" not in text  # every text comes back whole


def test_page_has_no_control_without_a_kernel():
    (cell,) = [cell for cell in CHAPTER.code if "\nstepping(" in "".join(cell["source"])]
    kinds = {kind for output in cell["outputs"] for kind in output["data"]}
    assert "text/html" in kinds and not [kind for kind in kinds if "widget" in kind]


def test_few_shot_shows_the_record():
    text = CHAPTER.output_of("def over_prompts(task, key)")
    few = records.load("few-shot")["trials"]
    shown = numbers(text, r"reviews (\d+)% right as it answers, (\d+)% corrected")
    asked = [t for t in few if t["task"] == "movies" and t["shots"]]
    for key, percent in zip(("accuracy", "calibrated_accuracy"), shown, strict=True):
        assert 100 * sum(t[key] for t in asked) / len(asked) == pytest.approx(percent, abs=0.51)

"""Section 9.5: what it alone promises, read from the committed notebook (nbval runs it again)."""

import re

import pytest
from chapter import FINISHED, Chapter, cited, count_lines, source

from course_utils import records
from course_utils.comparison import HEADER, cells, comparison
from course_utils.data.known_entropy import MarkovSource

CHAPTER = Chapter("09_5")
pytestmark = pytest.mark.skipif("09_5" not in FINISHED, reason="Section 9.5 is in preparation")


def numbers(text: str, pattern: str) -> tuple[float, ...]:
    """The groups of the one place where `pattern` stands."""
    found = re.search(pattern, " ".join(text.split()))
    assert found, pattern
    return tuple(float(group.replace(",", "")) for group in found.groups())


def cells_of(text: str) -> dict[str, list[str]]:
    """Rows of all Markdown tables of a text by their first cell."""
    lines = [line.strip(" |").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {first.strip("* "): [cell.strip() for cell in rest] for first, *rest in lines}


def table_below(title: str) -> dict[str, list[str]]:
    """The first table of the prose after some words."""
    after = CHAPTER.prose[CHAPTER.prose.index(title) :]
    block = next(b for b in re.split(r"\n\s*\n", after) if b.lstrip().startswith("|"))
    rows = cells_of(block)
    return {name: row for name, row in rows.items() if not set(name) <= set("-|")}


def percent(cell: str) -> float:
    return float(re.match(r"([\d.]+)%", cell)[1])


def test_who_sees_whom_is_what_the_wiring_says():
    text = CHAPTER.output_of("depends on …")
    bert, gpt, t5, tokens = numbers(
        text, r"BERT: all cells, (\d+)%\. .*? diagonal, (\d+)%\. T5: the first (\d+) tokens"
    ) + numbers(text, r"nothing of the decoder\. (\d+)%")
    assert bert == 100 and 50 < gpt < 62, "a full square and a triangle with its diagonal"
    length = len(re.search(r"matrices over (.*?): row", text)[1].split())
    half, rest = int(t5), length - int(t5)
    cells_seen = half * length + rest * (rest + 1) / 2
    assert tokens == pytest.approx(100 * cells_seen / length**2, abs=1)


def test_causal_model_is_asked_at_almost_every_token():
    row = cells_of(CHAPTER.output_of('"who sees whom"'))["predictions per 100 tokens of text"]
    bert, gpt, _ = map(int, row)
    assert gpt >= 98 and bert < 25


def test_bounds_are_the_exact_ones_and_cross():
    chain = MarkovSource.random(6, seed=0)
    text = CHAPTER.output_of("no model gets below")
    few, many, all_ = (chain.best_mlm_loss(rate, 16) for rate in (0.15, 0.75, 1.0))
    for share, bound in (("15%", few), ("75%", many), ("100%", all_)):
        (shown,) = numbers(text, rf"MLM, +{share} masked: no model gets below ([\d.]+)")
        assert shown == pytest.approx(bound, abs=6e-4)
    assert few < chain.best_clm_loss() < many < all_
    assert all_ == pytest.approx(chain.unigram_entropy)


def test_trained_models_reach_their_exact_bounds():
    rows = cells_of(CHAPTER.output_of("above the bound"))
    for name in ("CLM", "MLM"):
        bound, reached, above = map(float, rows[name])
        assert abs(reached - bound) < 0.03 and above == pytest.approx(reached - bound, abs=2e-3)


def test_every_cell_of_the_matrix_has_a_verdict_a_reason_and_a_source():
    matrix = table_below("The matrix below is read by rows")
    verdicts = ("**first choice**", "strong", "good", "possible", "poor")
    rows = {task: row for task, row in matrix.items() if task != "task"}
    assert len(rows) >= 6 and all(len(row) == 3 for row in rows.values())
    for task, row in rows.items():
        for cell in row:
            assert cell.startswith(verdicts), (task, cell)
            assert cited(cell) or "](09_" in cell, (task, cell)
            assert len(re.sub(r"\{cite.*?`.*?`", "", cell).split()) >= 5, (task, cell)
        assert sum("first choice" in cell for cell in row) == 1, task


def test_trade_offs_are_measured_on_the_same_texts():
    rows = cells_of(CHAPTER.output_of('fast = tried["encoder, 16 labels"][2]'))
    ways = {name: row for name, row in rows.items() if name.startswith(("encoder", "decoder"))}
    assert len(ways) == 4
    labels = {name: int(row[0]) for name, row in ways.items()}
    assert min(labels.values()) == 0 and max(labels.values()) >= 256
    for name, (_, right, _, time) in ways.items():
        low, high = map(float, re.search(r"\(([\d.]+) to ([\d.]+)\)", right).groups())
        assert low <= percent(right) <= high
        assert (float(time) > 2) == name.startswith("decoder"), "words one by one take longer"


def test_an_encoder_fits_words_together_only_one_at_a_time():
    rows = cells_of(CHAPTER.output_of("one of them"))
    once, by_one, true = (float(rows[n][0]) for n in ("all at once", "surest first", "true"))
    assert by_one < once and true < once


def test_leaves_of_the_tree_have_sources():
    text = CHAPTER.output_of("overview.decision_tree(")
    sources = re.search(r"\*\*Sources for the leaves\.\*\*(.*)", CHAPTER.prose)[1]
    for name in ("VADER", "ModernBERT", "MiniLM", "SmolLM2", "Flan-T5", "T5Gemma"):
        assert name in text and name in sources, name
    assert len(cited(sources)) >= 6


def test_the_section_stays_short():
    """Four experiments: what else was measured stands on the page of the records."""
    assert len(CHAPTER.cells) <= 60
    assert sum(count_lines(source(cell)) for cell in CHAPTER.visible) <= 200


def test_six_pitfalls_are_broken_somewhere():
    rows = table_below("### Six pitfalls of fine-tuning")
    places = {name: row[1] for name, row in rows.items() if name != "pitfall"}
    assert len(places) == 6
    elsewhere = [name for name, place in places.items() if "09_2_bert.ipynb" in place]
    other = Chapter("09_2").prose
    assert len(elsewhere) == 2
    assert "**Pitfall: a learning rate" in other and "**Pitfall: the wrong preprocessing" in other
    here = CHAPTER.prose.split("### Six pitfalls")[1]
    for words in (
        "too many epochs, and nobody watching",
        "the wrong head",
        "never trying to freeze",
    ):
        assert f"> **Pitfall: {words}" in here


def test_too_many_epochs_are_seen_and_fixed():
    rows = cells_of(CHAPTER.output_of('"stop here"'))
    learned, tested = (percent(rows[f"{of} accuracy"][0]) for of in ("training", "test"))
    assert learned > 95 and learned - tested > 15
    (long, short), (high, low) = (map(float, rows[n]) for n in ("steps", "validation loss"))
    assert short < long and low < high - 0.05


def test_wrong_head_is_worse_but_above_chance():
    rows = cells_of(CHAPTER.output_of('["head reads", "test accuracy"]'))
    wrong, right = (
        percent(rows["broken: first token"][0]),
        percent(rows["fixed: last real token"][0]),
    )
    assert 25 < wrong < right - 5


def test_what_was_saved_answers_the_same():
    assert "as the saved one: True" in CHAPTER.output_of("save_file(")


def known(*names: str):
    """Skip where a record has not been made."""
    missing = set(names) - set(records.available())
    return pytest.mark.skipif(bool(missing), reason=f"no record: {', '.join(sorted(missing))}")


@known("pretraining", "finetuning-curves")
def test_comparison_shows_what_the_records_say_now():
    text = CHAPTER.output_of("comparison_table()")
    rows = cells_of(text)
    for column, run in enumerate(comparison()):
        for label, shown in zip(HEADER[1:], cells(run)[1:], strict=True):
            assert rows[label][column] == shown


@known("pretraining")
def test_learning_curves_are_drawn_over_what_was_predicted():
    text = CHAPTER.output_of("Held-out loss of the two minis")
    runs = [t for t in records.load("pretraining")["trials"] if t["model"] == "bert-mini"]
    ends = [run["curve"]["validation_loss"][-1] for run in runs]
    shown = " ".join(text.split())
    assert re.search(r"(\d seeds|one seed), over millions of tokens predicted", shown)
    assert f"bert-mini {sum(ends) / len(ends):.2f} after" in text


@known("pretraining")
def test_masked_model_starts_later_by_every_currency():
    times = numbers(
        CHAPTER.output_of("half a nat below the unigram"),
        r"needed ([\d.]+) times the tokens .*? ([\d.]+) times the predictions and ([\d.]+) times",
    )
    assert min(times) > 1


@known("finetuning-curves")
def test_figure_7_shows_the_record():
    rows = cells_of(CHAPTER.output_of('"rate chosen"'))
    models = records.load("finetuning-curves")["results"]["models"].values()
    for shown, run in zip(rows["test accuracy"], models, strict=True):
        assert shown.startswith(f"{run['test_accuracy']['mean']:.1%}")


@known("own-transfer")
def test_what_our_own_starts_gain_is_read_from_the_record():
    made = records.load("own-transfer")
    text = CHAPTER.output_of('records.load("own-transfer")')
    for row in made["results"]["gains"]:
        assert f"{row['mean']:+.1f} ± {row['sd']:.1f}" in text
    assert made["verdict"] in " ".join(text.split())


@known("scaling-law")
def test_exponent_stands_with_its_interval_beside_kaplans():
    fit = records.load("scaling-law")["results"]["fit"]
    shown = numbers(
        CHAPTER.output_of('"fitted power law"'),
        r"exponent ([\d.]+), 95% interval ([\d.]+) to ([\d.]+) .*? Kaplan's is ([\d.]+)\.",
    )
    assert shown == pytest.approx((fit["alpha"], fit["low"], fit["high"], 0.076), abs=6e-4)


@known("masking-ablations")
def test_dial_shows_the_record():
    rows = cells_of(CHAPTER.output_of('"loss at 15% masked"'))
    for entry in records.load("masking-ablations")["results"]["conditions"]:
        loss = entry["masked_loss"]
        shown = rows[entry["condition"]][0].strip("*")
        assert shown == f"{loss['mean']:.2f} ± {loss['sd']:.2f}"

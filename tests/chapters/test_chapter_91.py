"""Section 9.1: what it alone promises, read from the committed notebook (nbval runs it again)."""

import re
import xml.etree.ElementTree as ET
from statistics import fmean

import pytest
from chapter import ROOT, Chapter, power_of_ten, source

from course_utils import records
from course_utils.cost import train_flops
from course_utils.figures import curves
from course_utils.overview import month

CHAPTER = Chapter("09_1")
pytestmark = pytest.mark.skipif(not CHAPTER.code, reason="an outline, not yet a chapter")
PAGE = CHAPTER.prose + "\n".join(CHAPTER.output_of(source(cell)) for cell in CHAPTER.code)


def numbers(text: str, pattern: str) -> tuple[float, ...]:
    """The groups of the one place where `pattern` stands."""
    found = re.search(pattern, " ".join(text.split()))
    assert found, pattern
    return tuple(float(group.replace(",", "")) for group in found.groups())


def cells_of(text: str) -> dict[str, list[str]]:
    """Rows of a Markdown table by their first cell."""
    lines = [line.strip(" |").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {first: rest for first, *rest in lines}


@pytest.mark.parametrize(
    "item,says",
    {
        "A1 one model for many tasks": r"six thousand|from the same weights",
        "A2 the objective decides": r"the \*objective\* decides",
        "A4 saturation, dated": r"83\.9 in May 2019",
        "A4 variations": r"RoBERTa kept .*ALBERT .*XLNet .*T5",
        "A6 lexicon": r"VADER",
        "B9 old and new": r"\| transfer \|.*\n",
        "D1 ELMo": r"ELMo \{cite",
        "E1 cost": r"pre-training BERT-base \|",
        "E2 one architecture a task": r"BiDAF",
        "E3 timeline": r"Models by the month of their paper",
        "E6 supervised": r"its pre-training is \*supervised\*",
        "E6 why later": r"### Why it took language",
        "E27 worked example": r"\*\*A worked example\.\*\*",
        "E31 the whole way": r"### The whole way, step by step",
        "E33 when not": r"### When not to",
        "E35 before and after": r"\| before \| after \|",
        "F1": r"\*\*Figure 9\.1\.\*\*",
        "F6": r"\*\*Figure 9\.6\.\*\*",
        "Eq 9.4": r"#eq-9-4",
    }.items(),
)
def test_items_of_the_syllabus_are_on_the_page(item, says):
    assert re.search(says, PAGE, re.DOTALL), item


def test_one_row_for_all_banks_and_one_vector_for_each_context():
    rows = cells_of(CHAPTER.output_of('table(["two banks"'))
    values = {name: list(map(float, row)) for name, row in rows.items() if "of" in name}
    assert all(table == 1 for table, *_ in values.values())
    assert values["one of each"][1] < min(values[f"both of {k}"][1] for k in ("rivers", "money"))
    assert values["one of each, in one sentence"][2] > 0.9  # as the text says


def test_senses_part_in_context_only():
    text = CHAPTER.output_of('"same sense"')
    same, other = numbers(
        text, r"same sense are at (\d\.\d+), pairs of different senses at (\d\.\d+)"
    )
    right, of = numbers(text, r"For (\d+) of (\d+) places")
    assert same - other > 0.05 and right / of > 0.8


def test_all_systems_answered_the_same_sentences_and_the_order_is_as_told():
    films = cells_of(CHAPTER.output_of('["system", "labels", "films", "products"]'))
    share = {name: numbers(row[1], r"([\d.]+)%")[0] for name, row in films.items() if "%" in row[1]}
    assert list(share) == [
        *("always positive", "lexicon", "bag of words"),
        *("frozen encoder", "fine-tuned encoder", "bag, all labels"),
    ]
    assert share["always positive"] < share["lexicon"] < share["frozen encoder"]
    assert share["bag of words"] < share["frozen encoder"] < share["fine-tuned encoder"]
    for row in films.values():
        if "%" in row[1]:
            mean, low, high = numbers(row[1], r"([\d.]+)% \(([\d.]+) to ([\d.]+)\)")
            assert low < mean < high and 3 < high - low < 9  # a thousand sentences


def test_differences_are_those_of_the_table():
    films = cells_of(CHAPTER.output_of('["system", "labels", "films", "products"]'))
    for name, (points, _) in cells_of(CHAPTER.output_of("for one, other in pairs")).items():
        if " − " in name:
            one, other = (numbers(films[n][1], r"([\d.]+)%")[0] for n in name.split(" − "))
            assert float(points.replace("−", "-")) == pytest.approx(one - other, abs=0.11)


def test_sorted_rows_look_brilliant_and_teach_nothing():
    text = CHAPTER.output_of('"broken: as they lie"')
    broken = numbers(text, r"as they lie (\d+)% positive, validation (\d+)%, test (\d+)%")
    fixed = numbers(text, r"shuffled (\d+)% positive, validation (\d+)%, test (\d+)%")
    assert broken[1] > fixed[1] + 10 and broken[2] < fixed[2] - 10
    assert abs(broken[2] - 50) < 5 and abs(fixed[0] - 50) < 5


def test_coins_are_predicted_only_where_the_choice_saw_them():
    text = CHAPTER.output_of('"broken: all 400"')
    broken, fixed = (numbers(text, rf"{n}: .*? (\d+)% of coin")[0] for n in ("broken", "fixed"))
    assert broken > 65 and 40 <= fixed <= 60


def test_draws_of_few_labels_scatter():
    worst, mean, best = numbers(
        CHAPTER.output_of("lucky = []"), r"worst (\d+)%, mean (\d+)%, best (\d+)%"
    )
    assert worst < mean < best and best - worst >= 8


def test_months_of_the_timeline_are_those_of_the_bibliography():
    (cell,) = [c for c in CHAPTER.code if "overview.timeline(" in source(c)]
    bibliography = (ROOT / "book" / "references.bib").read_text("utf-8")
    found = re.findall(r'"(\d{4}\.\d{5})"', source(cell))
    assert len(found) >= 20
    assert not [number for number in found if f"arxiv.org/abs/{number}" not in bibliography]
    assert {month(number).year for number in found} >= {2018, 2019, 2020, 2022, 2025}


def test_cost_of_pretraining_follows_from_the_steps_of_the_paper():
    rows = cells_of(CHAPTER.output_of('["job", "FLOPs"'))
    flops = {name: power_of_ten(row[0]) for name, row in rows.items() if "·10" in row[0]}
    once, often = flops["pre-training BERT-base"], flops["fine-tuning it on our sentences"]
    assert once == pytest.approx(train_flops(110e6, 42.6e9), rel=0.02)
    (ratio,) = numbers(CHAPTER.output_of('["job", "FLOPs"'), r"worth about ([\d,]+) of these")
    assert ratio == pytest.approx(once / often, rel=0.05)


def test_data_efficiency_is_drawn_from_the_record():
    points = records.load("data-efficiency")["results"]["points"]
    (text,) = [i["alt"] for i in CHAPTER.images if i["alt"].startswith("MiniLM")][:1]
    for start in ("pre-trained", "random"):
        curve = sorted(
            (p["examples"], p["values"]) for p in points if p["model"] == f"minilm, {start}"
        )
        first, last = numbers(text, rf"[ .]{start} from ([\d.]+)% to ([\d.]+)%")
        assert first == pytest.approx(100 * fmean(curve[0][1]), abs=0.06)
        assert last == pytest.approx(100 * fmean(curve[-1][1]), abs=0.06)
        assert len(curve) >= 6 and all(len(values) >= 3 for _, values in curve)
    assert "course run data-efficiency" in CHAPTER.prose


def test_pretrained_start_saves_labels_at_the_left():
    points = records.load("data-efficiency")["results"]["points"]
    at = {(p["model"], p["examples"]): p["mean"] for p in points}
    assert at["minilm, pre-trained", 100] > at["minilm, random", 100] + 0.03


def test_every_seed_is_a_dot():
    line, many = {"a b": ([1, 2], [3.0, 4.0])}, {"a b": ([1, 1, 2], [2.5, 3.5, 4.0])}
    drawn = curves(line, x="x", y="y", alt="A line from three to four with three dots.", dots=many)
    for svg in (drawn.light, drawn.dark):
        (dots,) = [e for e in ET.fromstring(svg).iter() if e.get("id") == "dots-a-b"]
        assert len([e for e in dots.iter() if e.tag.endswith("}use")]) == 3


def test_page_runs_within_its_time():
    (computing,) = numbers(
        CHAPTER.output_of("from top to bottom took"), r"took (\d+) seconds of computing"
    )
    assert computing <= 180

"""Section 9.2: what it promises to hold, read from the committed notebook (nbval runs it again)."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "chapters" / "09_2_bert.ipynb"
CELLS = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]
PROSE = "\n\n".join("".join(c["source"]) for c in CELLS if c["cell_type"] == "markdown")


def source(cell: dict) -> str:
    return "".join(cell["source"])


def tags(cell: dict) -> set[str]:
    return set(cell["metadata"].get("tags", []))


def shown(cell: dict) -> list[str]:
    """Everything a cell put on the page, as text."""
    parts = []
    for output in cell["outputs"]:
        data = output.get("data", {})
        parts += ["".join(output.get("text", ""))]
        parts += ["".join(data[kind]) for kind in data if kind.startswith("text/")]
    return parts


def output_of(fragment: str) -> str:
    """What the one cell that contains `fragment` showed."""
    (cell,) = [cell for cell in CODE if fragment in source(cell)]
    return "\n".join(shown(cell))


@pytest.mark.parametrize(
    "title",
    [
        "# 9.2 BERT and Masked Language Modeling",
        "## 9.2.1 Architecture and input representation",
        "## 9.2.2 The masked language modeling objective",
        "## 9.2.3 Next sentence prediction (and its limitations)",
        "## 9.2.4 Fine-tuning BERT for downstream tasks",
        "## Check yourself",
        "## Further reading",
    ],
)
def test_sections_of_the_syllabus(title):
    assert re.search(rf"^{re.escape(title)}$", PROSE, re.MULTILINE)


def test_every_code_cell_was_run_in_order_and_none_failed():
    counts = [cell["execution_count"] for cell in CODE]
    assert counts == list(range(1, len(CODE) + 1))
    assert not [o for cell in CODE for o in cell["outputs"] if o["output_type"] == "error"]
    noise = [o["text"] for c in CODE for o in c["outputs"] if o.get("name") == "stderr"]
    assert not noise, noise


def test_cells_hold_one_idea():
    visible = [cell for cell in CODE if not tags(cell) & {"hide-input", "remove-input"}]
    long = [source(c).splitlines()[0] for c in visible if count_lines(source(c)) > 15]
    assert not long, f"more than 15 lines: {long}"


def count_lines(text: str) -> int:
    return sum(bool(line.strip()) for line in text.splitlines())


@pytest.mark.parametrize("number", ["9.1", "9.4"])
def test_equations_are_numbered_and_have_an_anchor(number):
    assert f"\\tag{{{number}}}" in PROSE
    assert f"(eq-{number.replace('.', '-')})=\n$$" in PROSE


def test_each_formula_was_checked_against_its_function():
    for fragment in (
        "masked_lm.loss(logits, batch)",
        "task_loss(classifier",
        "joint_loss(intent_z",
    ):
        text = output_of(fragment)
        assert "formula equals function: True" in text and "False" not in text


def test_functions_are_shown_from_the_package():
    assert "def joint_loss(" in output_of("source(joint_loss)")


@pytest.mark.parametrize(
    ("built", "says"),
    [
        ("ours = first(x, num_heads", "same as the package: True"),  # attention
        ("ours = encode_by_hand(two", "same as the package: True"),  # six blocks
        ("ours = encode_by_hand(two", "same as Hugging Face: True"),
        ("z = head(h[masked]", "same as the package: True"),  # the masked-LM head
        ("by_hand -= math.log(logits", "formula equals cross_entropy: True"),
        ("by_hand -= math.log(logits", "formula equals Hugging Face: True"),
        ("special tokens chosen", "same input ids: True\nsame labels: True"),  # 80/10/10
        ("special tokens chosen", "special tokens chosen: 0"),
        ("max(abs(a - b)", "below 0.005 nats: True"),  # the training loop
        ("AutoModelForMaskedLM.from", "same loss: True"),
    ],
)
def test_what_is_built_computes_the_same(built, says):
    text = output_of(built)
    assert says in text


def test_padding_matters_only_without_the_mask():
    text = output_of("ours = first(x, num_heads")
    assert "padded as alone: True" in text and "without the mask: False" in text


def test_both_ways_of_fine_tuning_stand_side_by_side():
    text = output_of("trained_by_hf.training_loss")
    accuracies = [float(x) for x in re.findall(r"([\d.]+)% \|", text)]
    assert len(accuracies) == 2 and min(accuracies) > 55
    assert abs(accuracies[0] - accuracies[1]) < 15  # several standard errors of either


def test_the_product_of_masked_probabilities_is_no_joint():
    rows = re.findall(r"united \w+ \| ([\d.]+) \| ([\d.]+) \| ([\d.]+)", output_of("right_first"))
    (states, government) = [[float(x) for x in row] for row in rows]
    assert government[0] > states[0]  # the product prefers what does not fit together
    assert states[1] > 5 * government[1] and states[2] > government[2]
    assert abs(states[1] - states[2]) > 0.1  # no joint distribution: the orders disagree


def test_bert_sizes_are_the_exact_ones():
    text = output_of("large = BertConfig(")
    assert "109,482,240" in text and "335,141,888" in text


def test_first_loss_is_that_of_knowing_nothing():
    found = re.search(
        r"have a loss of ([\d.]+) nats, close to ln V = ([\d.]+)", output_of("unigram =")
    )
    loss, uniform = map(float, found.groups())
    assert math.isclose(uniform, math.log(4096), abs_tol=0.005)
    assert abs(loss - uniform) < 0.2


def test_pretrained_start_beats_the_random_one():
    found = re.search(r"reaches (\d+)%.* the random one (\d+)%", output_of("bad = last"), re.DOTALL)
    good, bad = map(int, found.groups())
    assert good - bad >= 10


class Images(HTMLParser):
    """The attributes of every <img>."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[dict] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.found.append(dict(attrs))


def test_every_picture_is_described_and_there_for_both_themes():
    images = Images("\n".join(text for cell in CODE for text in shown(cell))).found
    assert len(images) >= 10
    assert all(len(image.get("alt", "").split()) > 8 for image in images)
    light = [image for image in images if "only-light" in image["class"]]
    assert len(light) * 2 == len(images)
    bitmaps = [k for c in CODE for o in c["outputs"] for k in o.get("data", {}) if k == "image/png"]
    assert not bitmaps, "a bitmap has no alternative text"


def test_citations_exist():
    bibliography = (NOTEBOOK.parents[1] / "book" / "references.bib").read_text("utf-8")
    keys = {k for group in re.findall(r"\{cite:[pt]\}`([^`]+)`", PROSE) for k in group.split(",")}
    missing = [key for key in keys if not re.search(rf"@\w+\{{{key},", bibliography)]
    assert len(keys) > 15 and not missing


def test_links_to_files_lead_somewhere():
    for link in re.findall(r"\]\((\.\./[^)#]+)", PROSE):
        assert (NOTEBOOK.parent / link).exists(), link


def test_quiz_explains_each_choice():
    (cell,) = [cell for cell in CODE if "quiz([" in source(cell).replace("quiz(\n    [", "quiz([")]
    data = [d for o in cell["outputs"] for d in [o["data"]] if "application/javascript" in d]
    script = "".join(data[0]["application/javascript"])
    assert script.count('"question": "') >= 6
    assert script.count('"feedback": "') == script.count('"answer": "') > 20


def test_reading_time_is_about_what_it_says():
    minutes = int(re.search(r"Reading: about (\d+) minutes", PROSE).group(1))
    text = re.sub(r"\$[^$]*\$|\{cite:.\}`[^`]*`", "x", PROSE)
    lines = sum(
        count_lines(source(c)) for c in CODE if not tags(c) & {"hide-input", "remove-input"}
    )
    estimate = len(text.split()) / 180 + lines * 1.5 / 60  # words a minute, seconds a line of code
    assert abs(estimate - minutes) < 8, f"{estimate:.0f} minutes"


def test_known_errors_of_other_texts_are_not_repeated():
    assert "##happiness" not in PROSE.replace("*un + happiness*", "")
    printed = output_of("tokenizer.tokenize(word)")
    assert "['un', '##ha', '##pp', '##iness']" in printed
    assert "##VI" not in PROSE and "50256" not in PROSE

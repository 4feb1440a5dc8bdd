"""What every finished chapter promises, read from the committed notebook (nbval runs it again)."""

import re

import pytest
from chapter import FINISHED, ROOT, Chapter, cited, count_lines, shown, source, tags

SYLLABUS = {
    "09_1": """9.1 The Pre-training Revolution
9.1.1 From task-specific to general-purpose representations
9.1.2 Transfer learning: the ImageNet moment for NLP
9.1.3 The pre-train / fine-tune paradigm""",
    "09_2": """9.2 BERT and Masked Language Modeling
9.2.1 Architecture and input representation
9.2.2 The masked language modeling objective
9.2.3 Next sentence prediction (and its limitations)
9.2.4 Fine-tuning BERT for downstream tasks""",
    "09_3": """9.3 GPT and Autoregressive Language Modeling
9.3.1 Architecture and causal masking
9.3.2 The causal language modeling objective
9.3.3 From GPT to GPT-2 to GPT-3: the power of scale
9.3.4 Zero-shot and few-shot generalization""",
    "09_4": """9.4 T5 and Encoder-Decoder Pre-training
9.4.1 The text-to-text framework
9.4.2 The span corruption objective
9.4.3 Lessons from systematic ablations""",
    "09_5": """9.5 Comparing Paradigms
9.5.1 Architecture–task suitability matrix
9.5.2 Why decoder-only models won the scaling race
9.5.3 Practical guidelines for model selection""",
}
EQUATIONS = {"09_2": ["9.1", "9.4"], "09_3": ["9.2"], "09_4": ["9.3"]}


@pytest.fixture(params=FINISHED)
def chapter(request) -> Chapter:
    return Chapter(request.param)


def test_sections_are_those_of_the_syllabus_in_order(chapter):
    found = re.findall(r"^#{1,2} (\d+\.\d[.\d]* .*)$", chapter.prose, re.MULTILINE)
    assert found == SYLLABUS[chapter.path.name[:4]].splitlines()
    for title in ("Check yourself", "Further reading"):
        assert f"\n## {title}\n" in chapter.prose


def test_every_code_cell_was_run_in_order_and_none_failed(chapter):
    counts = [cell["execution_count"] for cell in chapter.code]
    assert counts == list(range(1, len(chapter.code) + 1))
    outputs = [output for cell in chapter.code for output in cell["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error"]
    assert not [o["text"] for o in outputs if o.get("name") == "stderr"]


def test_cells_hold_one_idea(chapter):
    long = [source(c)[:60] for c in chapter.visible if count_lines(source(c)) > 15]
    assert not long, f"more than 15 lines: {long}"


def test_what_is_shown_is_what_is_built(chapter):
    """Code that defines nothing, and is not tagged `build`, is plumbing: little of it lies open."""
    builds = re.compile(r"^(?:def|class|@)", re.M)
    plumbing = [
        c for c in chapter.visible if not builds.search(source(c)) and "build" not in tags(c)
    ]
    assert sum(count_lines(source(c)) for c in plumbing) <= 200


def test_equations_are_numbered_anchored_and_checked(chapter):
    for number in EQUATIONS.get(chapter.path.name[:4], []):
        assert f"\\tag{{{number}}}" in chapter.prose
        assert f"(eq-{number.replace('.', '-')})=\n$$" in chapter.prose
        assert f"#code-eq-{number.replace('.', '-')}" in chapter.prose
    printed = "\n".join(text for cell in chapter.code for text in shown(cell))
    checks = re.findall(r"formula equals function: (\w+)", printed)
    assert len(checks) >= len(EQUATIONS.get(chapter.path.name[:4], []))
    assert set(checks) <= {"True"}


def test_model_code_that_a_chapter_builds_is_compared_below(chapter):
    built = [i for i, c in enumerate(chapter.code) if re.search(r"class \w+\(nn\.", source(c))]
    for place in built:
        below = "\n".join(text for cell in chapter.code[place:] for text in shown(cell))
        assert re.search(r"[Ss]ame\b.*: True", below), source(chapter.code[place])[:60]


def test_every_picture_is_described_and_there_for_both_themes(chapter):
    images = chapter.images
    assert images and all(len(image.get("alt", "").split()) > 8 for image in images)
    light = [image for image in images if "only-light" in image["class"]]
    assert len(light) * 2 == len(images)
    kinds = {k for c in chapter.code for o in c["outputs"] for k in o.get("data", {})}
    assert "image/png" not in kinds, "a bitmap has no alternative text"


def test_citations_exist(chapter):
    bibliography = (ROOT / "book" / "references.bib").read_text("utf-8")
    missing = [k for k in cited(chapter.prose) if not re.search(rf"@\w+\{{{k},", bibliography)]
    assert not missing


def test_links_to_files_lead_somewhere(chapter):
    for link in re.findall(r"\]\(((?:\.\./|09_)[^)#]+)", chapter.prose):
        assert (chapter.path.parent / link).exists(), link


def test_quiz_explains_each_choice(chapter):
    script = chapter.quiz
    assert script.count('"question": "') >= 6
    assert script.count('"feedback": "') == script.count('"answer": "') > 18


def test_pitfalls_are_broken_and_fixed(chapter):
    assert chapter.prose.count("> **Pitfall") >= 2


def test_no_sentence_is_a_row_of_the_table_above_it(chapter):
    """Markdown takes a line right below a table for one more row: a blank line ends a table."""
    assert re.findall(r"^\|.*\|\n(?!\||\n)(.+)", chapter.prose, re.MULTILINE) == []


def test_reading_time_is_about_what_it_says(chapter):
    minutes = int(re.search(r"Reading: about (\d+) minutes", chapter.prose).group(1))
    text = re.sub(r"\$[^$]*\$|\{cite:.\}`[^`]*`", "x", chapter.prose)
    lines = sum(count_lines(source(cell)) for cell in chapter.visible)
    estimate = len(text.split()) / 180 + lines * 1.5 / 60  # words a minute, seconds a line of code
    assert abs(estimate - minutes) < 8, f"{estimate:.0f} minutes"


def test_stable_output_is_compared(chapter):
    assert [cell for cell in chapter.code if "nbval-check-output" in tags(cell)]


@pytest.mark.parametrize("name", FINISHED)
def test_a_label_is_linked_to_by_its_name_alone(name):
    # the build finds labels everywhere, but none behind the name of another file
    assert not re.findall(r"\(\S+\.(?:ipynb|md)#[^)]*\)", Chapter(name).prose)


@pytest.mark.parametrize("name", FINISHED)
def test_every_live_figure_of_a_chapter_is_one_of_the_playground(name):
    known = re.findall('data-live="([^"]+)"', (ROOT / "book/playground.md").read_text("utf-8"))
    assert set(re.findall('data-live="([^"]+)"', Chapter(name).prose)) <= set(known)

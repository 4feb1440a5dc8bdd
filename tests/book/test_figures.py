"""Figures: both themes, a description, and nothing in the picture that is not in the model."""

import random
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from urllib.parse import unquote

import ipywidgets
import pytest

from course_utils import figures, show, stacks
from course_utils.models import BertConfig, GptConfig

TOKENS = ["[CLS]", "paris", "is", "the", "[MASK]", "of", "france", "[SEP]"]
GUESSES = {"capital": 0.62, "heart": 0.1, "centre": 0.05}
ALT = "Two lines that fall from three to one and to two."


def encoder(config: BertConfig) -> figures.Picture:
    return stacks.bert_encoder(config, TOKENS, GUESSES, masked=4)


def gids(svg: str, prefix: str) -> set[str]:
    return {
        e.get("id") for e in ET.fromstring(svg).iter() if (e.get("id") or "").startswith(prefix)
    }


def letters(svg: str) -> str:
    """The text of the picture: with paths for letters, matplotlib leaves it in comments."""
    return " ".join(re.findall(r"<!-- (.*?) -->", svg))


class Images(HTMLParser):
    """The attributes of every <img>."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[dict] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.found.append(dict(attrs))


@pytest.mark.parametrize(
    "config",
    [
        BertConfig(),
        BertConfig(hidden_size=1024, num_layers=24, num_heads=16, intermediate_size=4096),
        BertConfig(vocab_size=4096, hidden_size=96, num_layers=3, num_heads=6),
    ],
)
def test_encoder_counts_are_those_of_the_config(config):
    for svg in (encoder(config).light, encoder(config).dark):
        assert len(gids(svg, "layer-")) == config.num_layers
        assert len(gids(svg, "vector-")) == config.num_layers * len(TOKENS)
        assert len(gids(svg, "embedding-")) == 3 * len(TOKENS)
        text = letters(svg)
        assert f"one of {config.num_layers} layers" in text and f"{config.num_heads} heads" in text
        assert f"d = {config.hidden_size}" in text
        assert f"{config.vocab_size:,} scores" in text
        for piece, probability in GUESSES.items():
            assert piece in text and f"{probability:.2f}" in text


PROMPT = ["The", "people", "of", "the", "United"]


@pytest.mark.parametrize(
    "config",
    [GptConfig(), GptConfig(vocab_size=4096, hidden_size=96, num_layers=3, num_heads=6)],
)
def test_decoder_counts_are_those_of_the_config(config):
    picture = stacks.gpt_decoder(config, PROMPT, GUESSES)
    assert f"{config.num_layers} layers; " in picture.alt
    for svg in (picture.light, picture.dark):
        assert len(gids(svg, "layer-")) == config.num_layers
        assert len(gids(svg, "vector-")) == config.num_layers * len(PROMPT)
        assert len(gids(svg, "embedding-")) == 2 * len(PROMPT)  # no segments
        for words in (f"one of {config.num_layers} layers", f"{config.num_heads} heads",
                      f"d = {config.hidden_size}", f"{config.vocab_size:,} scores"):  # fmt: skip
            assert words in letters(svg)


def test_no_line_or_cell_of_the_decoder_comes_from_the_right():
    svg = stacks.gpt_decoder(GptConfig(num_layers=2), PROMPT, GUESSES).light
    below = {(i, j) for i in range(5) for j in range(5) if j <= i}
    pairs = {tuple(map(int, name.split("-")[1:])) for name in gids(svg, "seen-")}
    lines = {tuple(map(int, name.split("-")[:0:-1])) for name in gids(svg, "flow-")}
    assert pairs == lines == below
    assert len(gids(svg, "blocked-")) == 25 - len(below)
    both = gids(encoder(BertConfig(num_layers=2)).light, "flow-")
    assert len(both) == len(TOKENS) ** 2


def test_each_step_shows_only_what_came_before():
    picture = figures.causal_steps(["he", "ran", "home", "now"], [0.31, 0.2, 0.04])
    for t in (1, 2, 3):
        assert len(gids(picture.dark, f"seen-{t}-")) == t
        assert len(gids(picture.dark, f"blocked-{t}-")) == 4 - t
    assert "after he ran: home 0.200" in picture.alt and "ran 0.310" in letters(picture.light)
    with pytest.raises(ValueError, match="3 successors, 4"):
        figures.causal_steps(["he", "ran", "home", "now"], [0.1] * 4)
    with pytest.raises(ValueError, match="room for 2 to 9"):
        stacks.gpt_decoder(GptConfig(), ["he"], GUESSES)


def test_named_points_stand_on_a_logarithmic_axis():
    picture = figures.curves(
        {"law": ([1e6, 1e9], [3, 2])}, x="N", y="loss", alt=ALT, log_x=True,
        points={"GPT": (1e8, 2.4)},
    )  # fmt: skip
    assert "GPT" in letters(picture.light) and "{6}" in letters(picture.light)


def test_counts_on_a_logarithmic_axis_are_written_out():
    picture = figures.curves(
        {"law": ([32, 8000], [3, 2])}, x="labels", y="loss", alt=ALT, log_x=True
    )
    assert "1,000" in letters(picture.light)


def test_the_lowest_level_keeps_its_distance_from_the_axis():
    line = {"a": (range(7), [72.0, 77.0, 75.0, 74.0, 73.0, 74.0, 75.0])}
    drawn = figures.curves(line, x="number", y="share", alt=ALT, levels={"bag": 70.0}).light
    axis, level = height_of(drawn, "0 "), height_of(drawn, "bag")
    assert axis - level > 25


def test_a_small_probability_is_not_written_as_nothing():
    picture = figures.causal_steps(["he", "ran", "home"], [0.0004, 0.2])
    assert "ran < 0.001" in picture.alt and "home 0.200" in picture.alt
    assert "heart < 0.01" in stacks.gpt_decoder(GptConfig(), PROMPT, {"heart": 0.004}).alt


def height_of(svg: str, letter: str) -> float:
    """How far down the first text that begins with `letter` stands."""
    comment = svg.index(f"<!-- {letter}")
    return float(re.search(r"translate\([\d.]+ ([\d.]+)\)", svg[comment:]).group(1))


def test_the_name_of_a_lowest_point_stands_below_its_curve():
    valley, slope = {"a": ([1, 2, 3], [3, 1, 3])}, {"a": ([1, 2, 3], [3, 2, 1])}
    points = {"here": (2, 1)}, {"here": (2, 2)}
    below, above = (
        figures.curves(series, x="step", y="loss", alt=ALT, points=point).light
        for series, point in zip((valley, slope), points, strict=True)
    )
    dot = [
        float(y) for y in re.findall(r'<use [^>]*x="[\d.]+" y="([\d.]+)" style="fill: #1a', below)
    ]
    assert dot and height_of(below, "here") > dot[-1]
    dot = [
        float(y) for y in re.findall(r'<use [^>]*x="[\d.]+" y="([\d.]+)" style="fill: #1a', above)
    ]
    assert dot and height_of(above, "here") < dot[-1]


def test_long_names_of_lines_stand_one_above_the_other():
    def heights(*names):
        series = {name: ([1, 2], [1, 2]) for name in names}
        svg = figures.curves(series, x="step", y="loss", alt=ALT).light
        return {height_of(svg, name) for name in names}

    assert len(heights("training", "held-out speeches")) == 1
    assert len(heights("Kaplan et al. 2020", "Hoffmann et al. 2022, D = 300 billion")) == 2


def test_alternative_text_says_what_the_picture_shows():
    alt = encoder(BertConfig(num_layers=7)).alt
    for fact in ("7 layers", "12 attention heads", "size 768", "[MASK]", "30,522", "capital 0.62"):
        assert fact in alt
    assert "\n" not in alt


def test_html_holds_both_themes_each_described():
    picture = encoder(BertConfig(num_layers=2))
    images = Images(picture._repr_html_()).found
    assert [image["class"].split()[-1] for image in images] == ["only-light", "only-dark"]
    for image, svg in zip(images, (picture.light, picture.dark), strict=True):
        assert image["alt"] == picture.alt
        header, data = image["src"].split(",", 1)
        assert header == "data:image/svg+xml;utf8"
        assert unquote(data) == svg
        ET.fromstring(svg)
    assert images[1]["width"] == "0", "without a style sheet only the light one may show"
    assert picture.light != picture.dark
    assert figures.LIGHT.ink in picture.light and figures.DARK.ink in picture.dark
    assert repr(picture) == picture.alt


def test_quotes_and_angles_in_alt_do_not_end_the_attribute():
    picture = figures.bars(
        {"a": 1.0}, x="share", alt='The share of "a" is 1 > 0, all of it there is.'
    )
    assert all(image["alt"] == picture.alt for image in Images(picture._repr_html_()).found)


def test_same_input_same_bytes():
    assert encoder(BertConfig(num_layers=2)) == encoder(BertConfig(num_layers=2))


@pytest.mark.parametrize("alt", ["", "a plot", "loss curve"])
def test_a_figure_without_description_is_refused(alt):
    with pytest.raises(ValueError, match="describe"):
        figures.curves({"a": ([0, 1], [1, 0])}, x="step", y="loss", alt=alt)


def test_masked_position_must_exist():
    with pytest.raises(ValueError, match="masked=8"):
        stacks.bert_encoder(BertConfig(), TOKENS, GUESSES, masked=8)


def contrast(a: str, b: str) -> float:
    """WCAG 2 contrast of two colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme,page", [(figures.LIGHT, "#ffffff"), (figures.DARK, "#14181e")])
def test_colours_can_be_told_from_the_page(theme, page):
    assert contrast(theme.ink, page) > 7
    assert contrast(theme.quiet, page) > 4.5
    assert all(contrast(colour, page) > 3 for colour in theme.series)


def test_series_differ_in_more_than_colour():
    picture = figures.curves(
        {"one": ([0, 1], [3, 1]), "two": ([0, 1], [3, 2])}, x="step", y="loss", alt=ALT
    )
    assert "stroke-dasharray" in picture.light
    assert "one" in letters(picture.light) and "two" in letters(picture.dark)


def test_bars_and_grids_show_their_numbers_and_labels():
    text = letters(figures.bars({"a": 0.41, "b": 0.2}, x="share", alt=ALT).light)
    assert all(word in text for word in ("a", "0.41", "0.20", "share"))
    grid = figures.grids({"both": [[0.1, 0.9], [0.5, 0.5]]}, ["he", "ran"], alt=ALT)
    assert all(word in letters(grid.dark) for word in ("both", "he", "ran"))


def test_grids_have_no_tick_without_a_label():
    square = [[0.5] * 3] * 3
    grid = figures.grids({"one": square}, ["", "far", ""], alt=ALT)
    ticks = [name for name in gids(grid.light, "xtick_")]
    assert ticks == ["xtick_1"] and "far" in letters(grid.light)
    assert figures.grids({"one": square, "two": square}, list("abc"), alt=ALT) != grid


def choice(text: str, correct: bool, feedback: str = "because") -> dict:
    return {"answer": text, "correct": correct, "feedback": feedback}


def shown(function, *args) -> list[dict]:
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    InteractiveShell.instance()  # `display` collects only inside a shell
    with capture_output() as captured:
        function(*args)
    return [output.data for output in captured.outputs]


def test_quiz_is_closed_repeatable_and_asks_nobody():
    question = {"question": "Which?", "answers": [choice("a", True), choice("b", False)]}
    page, script = shown(show.quiz, [question])
    assert page["text/html"].count("<div") == page["text/html"].count("</div>")
    assert "Which?" in script["application/javascript"]
    assert "https://" not in script["application/javascript"]
    random.seed(12345)  # whatever was drawn before
    assert shown(show.quiz, [question]) == [page, script]


@pytest.mark.parametrize(
    "answers",
    [
        [choice("a", False), choice("b", False)],
        [choice("a", True), choice("b", True)],
        [choice("a", True), choice("b", False, "")],
    ],
)
def test_quiz_refuses_what_leaves_a_reader_alone(answers):
    with pytest.raises(ValueError, match=r"right answers|no feedback"):
        show.quiz([{"question": "Which?", "answers": answers}])


def test_quiz_shows_signs_and_no_tags():
    answers = [choice("a < b & c", True), choice("<extra_id_1>", False, "see <0>")]
    _, script = shown(show.quiz, [{"question": "Which id is <extra_id_0>?", "answers": answers}])
    code = script["application/javascript"]
    for text in (
        "is &lt;extra_id_0&gt;?",
        "a &lt; b &amp; c",
        '"&lt;extra_id_1&gt;"',
        "see &lt;0&gt;",
    ):
        assert text in code
    assert "<extra_id" not in code


def test_a_slider_is_there_for_a_kernel_and_not_in_a_page(monkeypatch):
    monkeypatch.delenv("COURSE_STILL", raising=False)
    live = shown(show.stepping, lambda step: step * 11, 4, 3)
    if int(ipywidgets.__version__.split(".")[0]) > 7:  # 7 shows itself to a kernel only
        assert "IntSlider(value=3" in str(live)
    monkeypatch.setenv("COURSE_STILL", "1")
    (still,) = shown(show.stepping, lambda step: step * 11, 4, 3)
    assert still == {"text/plain": "33"}
    with pytest.raises(ValueError, match="steps are 1 to 4"):
        show.stepping(str, 4, 5)


def test_source_is_the_package_own():
    from course_utils.objectives import masked_lm

    (out,) = shown(show.source, masked_lm.loss)
    assert out["text/markdown"].startswith("```python\ndef loss(")
    with pytest.raises(ValueError, match="not part of course_utils"):
        show.source(re.match)


def test_sentences_and_tables_are_markdown():
    (out,) = shown(show.say, "One line\n            wrapped: 3.\n\nNext.")
    assert out["text/markdown"] == "One line wrapped: 3.\n\nNext."
    (out,) = shown(show.table, ["piece", "p"], [["a|b", 0.123]])
    assert out["text/markdown"].splitlines()[-1] == r"| a\|b | 0.12 |"
    with pytest.raises(ValueError, match="2 cells"):
        show.table(["a", "b"], [["only one"]])


def test_magnitudes_stand_where_a_logarithmic_axis_puts_them():
    drawn = figures.magnitudes({"words": {"a": 1.0, "b": 10.0, "c": 1000.0}}, x="words", alt=ALT)
    for svg in (drawn.light, drawn.dark):
        (dots,) = [e for e in ET.fromstring(svg).iter() if e.get("id") == "sizes-0"]
        at = [float(e.get("x")) for e in dots.iter() if e.tag.endswith("}use")]
        assert (at[2] - at[1]) / (at[1] - at[0]) == pytest.approx(2, abs=0.01)
    assert {"1", "10", "1,000"} <= set(letters(drawn.light).split())

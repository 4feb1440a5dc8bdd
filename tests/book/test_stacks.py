"""The stacks and T5's pictures: every layer and token, and each text that goes in or out."""

import re
import xml.etree.ElementTree as ET

import pytest

from course_utils import figures, overview, stacks
from course_utils.models import T5Config

INPUTS = ["we", "<0>", "all", "</s>"]
TARGETS = ["<0>", "ask", "you", "</s>"]
TASKS = [("translation", "translate English to German: Good day.", "Guten Tag."),
         ("classification", "sst2 sentence: a fine film", "positive")]  # fmt: skip


def gids(svg: str, prefix: str) -> set[str]:
    found = (e.get("id") or "" for e in ET.fromstring(svg).iter())
    return {name for name in found if name.startswith(prefix)}


def letters(svg: str) -> str:
    """The text of the picture: with paths for letters, matplotlib leaves it in comments."""
    return re.sub(r"\s+", " ", " ".join(re.findall(r"<!-- (.*?) -->", svg, re.DOTALL)))


@pytest.mark.parametrize(
    "config",
    [
        T5Config(),
        T5Config(hidden_size=128, num_layers=2, num_decoder_layers=3, num_heads=4, vocab_size=4096),
        T5Config(num_layers=4, num_decoder_layers=1, tied=False),
    ],
)
def test_stacks_have_the_layers_and_heads_of_the_config(config):
    picture = stacks.t5_stacks(config, INPUTS, TARGETS)
    for svg in (picture.light, picture.dark):
        assert len(gids(svg, "encoder-layer-")) == config.num_layers
        assert len(gids(svg, "decoder-layer-")) == config.num_decoder_layers
        assert len(gids(svg, "encoder-vector-")) == config.num_layers * len(INPUTS)
        assert len(gids(svg, "decoder-vector-")) == config.num_decoder_layers * len(TARGETS)
        assert len(gids(svg, "encoder-flow-")) == len(INPUTS) ** 2
        assert len(gids(svg, "decoder-flow-")) == len(TARGETS) * (len(TARGETS) + 1) / 2
        text = letters(svg)
        assert f"one of {config.num_decoder_layers} layers" in text
        assert f"{config.num_heads} heads" in text and "to the encoder" in text
        assert f"d = {config.hidden_size}" in text
        assert f"{config.vocab_size:,} scores" in text
        assert ("d^{-1/2}" in text) == config.scale_logits, "the factor belongs to a tied head"


def test_decoder_reads_the_targets_one_place_later():
    picture = stacks.t5_stacks(T5Config(), INPUTS, ["<0>", "ask", "you", "END"])
    text = letters(picture.light)
    assert text.count("END") == 1, "what is written last is never read"
    assert text.count("ask") == 2 and text.count("pad") == 1


@pytest.mark.parametrize(("inputs", "targets"), [([], TARGETS), (INPUTS, ["a"] * 8)])
def test_stacks_refuse_what_does_not_fit(inputs, targets):
    with pytest.raises(ValueError, match="1 to 7 can be drawn"):
        stacks.t5_stacks(T5Config(), inputs, targets)


def test_text_to_text_shows_every_word():
    picture = overview.text_to_text(TASKS)
    for svg in (picture.light, picture.dark):
        for words in TASKS:
            for text in words:
                assert text.replace(" ", "") in letters(svg).replace(" ", "")
    for words in TASKS:
        assert all(text in picture.alt for text in words)
    with pytest.raises(ValueError, match="one to six"):
        overview.text_to_text([])


def test_rows_of_tokens_show_every_token_and_how_it_is_meant():
    rows = {
        "input": [("we", "plain"), ("<0>", "other")],
        "target": [("ask", "strong"), ("", "absent")],
    }
    for aligned in (True, False):
        picture = figures.token_rows(
            rows, alt="An input, and below it its target.", aligned=aligned
        )
        for word in ("input", "target", "we", "<0>", "ask"):
            assert word.replace("<", "").strip(">") in letters(picture.light)
    with pytest.raises(ValueError, match=r"no look is called \['loud'\]; there are plain"):
        figures.token_rows({"a": [("we", "loud")]}, alt="A row with a look that is none.")


def test_attention_across_has_a_name_for_each_row_and_column():
    weights = [[0.1, 0.9], [0.5, 0.5], [1.0, 0.0]]
    alt = "Three pieces that were written, and how much each looks at two inputs."
    written = ["out-a", "out-b", "out-c"]
    picture = figures.attention_across(weights, ["in-a", "in-b"], written, alt=alt)
    for name in ("in-a", "in-b", *written):
        assert name in letters(picture.light)
    with pytest.raises(ValueError, match="3 × 2"):
        figures.attention_across(weights, ["in-a"], written, alt=alt)

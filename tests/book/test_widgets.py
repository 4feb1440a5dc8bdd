"""Widgets are driven from Python as a reader's kernel drives them; pages never hold a dead one."""

import html
import re

import nbformat
import pytest
import torch
from ipywidgets import HTML, Button
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    T5Config,
    T5ForConditionalGeneration,
)

from course_tools.book import notebooks
from course_utils import widgets
from course_utils.data.tokenizers import load_tokenizer
from course_utils.models.huggingface import from_hf

TOKENIZER = load_tokenizer()
SIZES = {"vocab_size": len(TOKENIZER)}
TEXT = "The people trust the Congress."


@pytest.fixture(scope="module")
def theirs():
    """One small random model of each kind, of transformers."""
    torch.manual_seed(0)
    special = {"pad_token_id": TOKENIZER.pad_token_id, "eos_token_id": TOKENIZER.eos_token_id}
    bert = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                      intermediate_size=64, pad_token_id=0, **SIZES)  # fmt: skip
    gpt = GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=64, **special, **SIZES)
    t5 = T5Config(d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2,
                  decoder_start_token_id=0, **special, **SIZES)  # fmt: skip
    made = BertForMaskedLM(bert), GPT2LMHeadModel(gpt), T5ForConditionalGeneration(t5)
    return {name: model.eval() for name, model in zip(("bert", "gpt", "t5"), made, strict=True)}


@pytest.fixture(scope="module", params=["theirs", "ours"])
def models(request, theirs):
    """The same weights as models of transformers, and of this package."""
    if request.param == "theirs":
        return theirs
    return {name: from_hf(model).eval() for name, model in theirs.items()}


def control(box, label):
    """The control with this label."""
    return next(c for c in box.children if c.description == label)


def answer(box) -> str:
    """The answer as a reader sees it: text without tags."""
    assert isinstance(box.children[-1], HTML)
    return html.unescape(re.sub(r"<[^>]+>", " ", box.children[-1].value))


def shares(box) -> list[float]:
    """All percentages of the answer."""
    return [float(x) for x in re.findall(r"([\d.]+)%", answer(box))]


def test_tokens_and_markup():
    box = widgets.tokens(TOKENIZER)
    for text in ("<b>bold</b> & שלום 😀", "", "word " * 2000):
        control(box, "Text").value = text
        ids = TOKENIZER(text)["input_ids"][:300]
        assert f"{len(text.encode())} bytes, {len(ids)} pieces" in answer(box)
        assert "<b>" not in box.children[-1].value
    control(box, "Text").value = " trust"
    (piece,) = TOKENIZER(" trust")["input_ids"]
    assert f"·trust {piece}" in answer(box)


@torch.no_grad()
def test_mask_and_guess(models):
    box = widgets.mask_and_guess(models["bert"], TOKENIZER, models["gpt"], text=TEXT)
    control(box, "Hide piece").value = 3
    ids = TOKENIZER(TEXT)["input_ids"]
    read = [TOKENIZER.cls_token_id, *ids, TOKENIZER.sep_token_id]
    read[3] = TOKENIZER.mask_token_id
    p = widgets.logits(models["bert"], read)[3].softmax(-1)
    q = widgets.logits(models["gpt"], [TOKENIZER.eos_token_id, *ids[:2]])[-1].softmax(-1)
    expected = [f"{x:.1%}" for x in (*p.topk(5).values, *q.topk(5).values, p[ids[2]])]
    assert [f"{share}%" for share in shares(box)] == expected
    before = answer(box)
    control(box, "Hide piece").value = 4
    assert answer(box) != before
    control(box, "Text").value = ""
    assert "Type a text first" in answer(box)


@torch.no_grad()
def test_stepping(models):
    box = widgets.next_tokens(models["gpt"], TOKENIZER, TEXT)
    start = [TOKENIZER.eos_token_id, *TOKENIZER(TEXT)["input_ids"]]
    ids = list(start)
    for _ in range(3):
        ids.append(int(widgets.logits(models["gpt"], ids)[-1].argmax()))
        control(box, "Take the likeliest").click()
    added = ids[len(start) :]
    assert TOKENIZER.decode(added) in answer(box)
    control(box, "Step back").click()
    assert f"{TOKENIZER.decode(added[:2])} " in answer(box)
    assert TOKENIZER.decode(added) not in answer(box)
    control(box, "Keep").value = 1  # a draw can only take the likeliest
    assert shares(box)[0] == 100
    control(box, "Draw one").click()
    assert TOKENIZER.decode(added) in answer(box)
    control(box, "Begin with").value = "word " * 2000
    assert "position" in answer(box) or "most" in answer(box) or "index" in answer(box)


def test_attention(models):
    both = {"BERT": (models["bert"], TOKENIZER), "GPT": (models["gpt"], TOKENIZER)}
    box = widgets.attention(both, TEXT)
    seen = set()
    for name in both:
        for layer in (1, 2):
            control(box, "Model").value, control(box, "Layer").value = name, layer
            assert f'alt="Attention weights of {name}, layer {layer} of 2' in box.children[-1].value
            seen.add(box.children[-1].value)
    assert len(seen) == 4
    ids = TOKENIZER(TEXT)["input_ids"]
    for name in ("bert", "gpt"):
        for weights in widgets.attentions(models[name], ids):
            torch.testing.assert_close(weights.sum(-1), torch.ones(2, len(ids)))
            upper = weights.triu(1).abs().sum()
            assert (upper == 0) == (name == "gpt")


def test_a_causal_mask_on_the_same_scores(theirs):
    """Leaving out the right side after the softmax and scaling up is masking before it."""
    attention, x = from_hf(theirs["bert"]).blocks[0].attention, torch.randn(1, 7, 32)
    mask = torch.ones(7, 7, dtype=torch.bool).tril()
    found = widgets.with_causal_mask(attention.weights(x)[0, 1])
    torch.testing.assert_close(found, attention.weights(x, mask)[0, 1])
    for name, there in {"BERT": True, "GPT": False}.items():
        box = widgets.attention({name: (theirs[name.lower()], TOKENIZER)}, TEXT)
        assert ("the same scores with a causal mask" in box.children[-1].value) == there


def test_attention_is_the_same_of_ours_and_theirs(theirs):
    ids = TOKENIZER(TEXT)["input_ids"]
    for name in ("bert", "gpt"):
        pairs = zip(widgets.attentions(theirs[name], ids),
                    widgets.attentions(from_hf(theirs[name]), ids), strict=True)  # fmt: skip
        for one, other in pairs:
            torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_spans(models):
    box = widgets.spans(models["t5"], TOKENIZER, TEXT)
    assert "<extra_id_0>" in answer(box)
    before = answer(box)
    control(box, "Draw again").click()
    control(box, "Rate").value = 0.6
    control(box, "Mean span").value = 1.0
    assert "<extra_id_1>" in answer(box) and answer(box) != before
    control(box, "Text").value = "a"
    assert "at least two tokens" in answer(box)


def test_every_control_does_something(models):
    """A slider that changes nothing is as good as dead."""
    box = widgets.next_tokens(models["gpt"], TOKENIZER, TEXT)
    for child in box.children[:-1]:
        listens = child._click_handlers.callbacks if isinstance(child, Button) else (
            child._trait_notifiers["value"]["change"])  # fmt: skip
        assert listens, child.description


def test_nothing_is_shown_where_a_page_is_made(monkeypatch):
    monkeypatch.setenv("COURSE_STILL", "1")
    assert widgets.tokens(TOKENIZER) is None


@pytest.mark.slow
def test_a_notebook_with_widgets_is_executed_without_them(tmp_path):
    """Executed for the page it keeps none; in a reader's kernel the same cell shows one."""
    path = tmp_path / "w.ipynb"
    source = "from course_utils import widgets\n"
    source += "from course_utils.data.tokenizers import load_tokenizer\n\n"
    source += "widgets.tokens(load_tokenizer())"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), path)
    notebooks.execute(path)
    executed = nbformat.read(path, 4)
    assert executed.cells[0].outputs == [] and "widgets" not in executed.metadata

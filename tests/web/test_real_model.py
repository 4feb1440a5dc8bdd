"""MiniLM in the page: numbers against PyTorch's, pieces against Hugging Face's, and the switch."""

import os
import re
import unicodedata

import pytest
import torch
from test_browser import AXE, TOO_WIDE, Watched
from test_web import SMALL, Figure, floats

from course_tools.book import stills
from course_tools.checkout import ROOT
from course_tools.web import real
from course_tools.web.bundle import bundle
from course_tools.web.quantize import as_in_the_page
from course_utils.data.sources import load_pretrained
from course_utils.models.huggingface import from_hf

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("COURSE_BROWSER") == "none", reason="COURSE_BROWSER=none"),
]
WHO = "Both sides are read by"
MOST_BYTES = 25e6
GAPS = [  # before, what stood there, after
    ("The people of the United", " States", " must trust their government."),
    ("Paris is the", " capital", " of France."),
    ("The doctor told the patient that", " he", " would soon be well."),
    ("She", " opened", " the door and went out."),
    ("I drank a cup of", " coffee", " this morning."),
    ("The", " movie", " was so boring that I fell asleep."),
    ("We must cut taxes and", " create", " jobs."),
    ("", "Two", " plus two is four."),
    ("He plays the", " piano", " very well, don't you think?"),
    ("The children are", " playing", " in the naïve café."),
    ("It was the best of times, it was the worst of", " times", "."),
    ("The capital of Germany is", " Berlin", ""),
    ("Nobody believed in", " antidisestablishmentarianism", " any more."),
]
HARD = [
    "", " ", "\t\n  \r\n", "naïve café Ångström ÜNÏCÖDÉ", "e\u0301 é", "İstanbul ΑΣ ΟΔΟΣ ſ ß ẞ ﬁ",
    "日本語テキスト 中文字符", "한국어 텍스트", "שלום עולם", "مرحبا بالعالم", "हिन्दी", "ไทย",
    "don't won't WE'LL it's — “quoted” …", "U.S.A., e-mail; co-operate!",
    "$1,234.56 + 50% = ^x_y~z`|<>",
    "a" * 100, "a" * 101, "b" * 3000, "unaffable antidisestablishmentarianism", "½ ² Ⅷ ٣ 三",
    "[MASK]", "a[MASK]b", "the [MASK] of [CLS]x[SEP]", "[mask] [MASK", "[UNK] [PAD]", "##ing ##",
    "\x00\x01\x7f\x80\u0085z", "\u00a0\u2003x\u3000y\u200bz\ufeffq\ufffd", "a\u2028b\u2029c",
    "😀👨‍👩‍👧‍👦🏳️‍🌈", "\ue000\U0010ffff", "<b>&amp;</b><script>alert(1)</script>",
]  # fmt: skip
ENGINE = """
import { Bert } from "{engine}/bert.js";
import { decodeWide, inflate, unpack } from "{engine}/weights.js";
import { WordPiece } from "{engine}/wordpiece.js";
const parts = [];
window.livePart = (name, number, text) => (parts[number] = text);
window.ready = async () => {
  const { config, tensors, deflated, vocabulary } = window.liveData.models["minilm-mlm"];
  const bytes = await inflate(decodeWide(parts.join(""), deflated));
  window.model = new Bert(config, unpack(tensors, bytes));
  const pieces = new TextDecoder().decode(bytes.subarray(vocabulary)).split("\\n");
  window.tokenizer = new WordPiece(pieces);
};
window.pack = (floats) => {
  let text = "";
  for (const byte of new Uint8Array(floats.buffer)) text += String.fromCharCode(byte);
  return btoa(text);
};
"""


@pytest.fixture(scope="module")
def source():
    """What `load_pretrained` gives."""
    return load_pretrained(real.NAME)


@pytest.fixture(scope="module")
def rounded(source):
    """The model with the weights that the page has."""
    return as_in_the_page(from_hf(source.model)).eval()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The page of all live figures as a book of its own, and a page of the engine alone."""
    site = stills.page_alone(tmp_path_factory.mktemp("book"))
    live = os.path.relpath(ROOT / "book/site/live", site)
    (site / "entry.mjs").write_text(ENGINE.replace("{engine}", f"{live}/engine"))
    (site / "engine.js").write_text(bundle(site / "entry.mjs"))
    parts = sorted(f"_static/live/{path.name}" for path in files(site))
    scripts = ["_static/live/live.js", "engine.js", *parts]  # the engine takes the parts
    tags = "".join(f'<script src="{name}"></script>' for name in scripts)
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>t</title>'
    (site / "engine.html").write_text(head + tags)
    return site


def files(site):
    """The scripts that hold the model."""
    return list((site / "_static/live").glob(f"{real.NAME}-*.js"))


@pytest.fixture(scope="module")
def engine(browser, site):
    """A page, opened from disk, that has the model and its tokenizer."""
    with Watched(browser, site.as_uri(), "engine.html") as watched:
        watched.page.evaluate("ready()")
        yield watched.page
    assert watched.wrong == []


@pytest.fixture(params=["mouse", "keyboard"])
def figure(request, browser, site, served):
    """*Mask and guess*, by mouse from a server or by keyboard from disk."""
    by_mouse = request.param == "mouse"
    with Watched(browser, served(site) if by_mouse else site.as_uri(), "book/playground.html") as w:
        w.page.set_default_timeout(90_000)  # of a machine that is busy with other things
        yield Figure(w.page, "mask-guess", by_mouse)
        assert w.wrong == []


def read(tokenizer, before: str, truth: str, after: str) -> tuple[list[int], int, int]:
    """Ids with masks in the gap, where the first of them stands, and the piece that stood there."""
    left, gone, right = (
        tokenizer.encode(text, add_special_tokens=False) for text in (before, truth, after)
    )
    masks = [tokenizer.mask_token_id] * len(gone)
    ids = [tokenizer.cls_token_id, *left, *masks, *right, tokenizer.sep_token_id]
    return ids, 1 + len(left), gone[0]


@torch.no_grad()
def by_torch(model, tokenizer, gap: tuple[str, str, str]) -> tuple[list[str], list[str], str]:
    """What the panel shows of a word of one piece: the likeliest, their shares, and its rank."""
    ids, place, truth = read(tokenizer, *gap)
    p = model(torch.tensor([ids]))[0, place].softmax(-1)
    top, order = p.topk(5)
    rank = 1 + int((p > p[truth]).sum())
    right = tokenizer.convert_ids_to_tokens(truth)
    pieces = tokenizer.convert_ids_to_tokens(order)
    marked = [f"{piece} ✓" if piece == right else piece for piece in pieces]
    said = f"“{right}” is number {rank:,} of {len(p):,}"
    return marked, [percent(x) for x in top.tolist()], said


def percent(p: float) -> str:
    """As the page writes it."""
    return "<0.1%" if p < 0.001 else f"{100 * p:.1f}%"


@torch.no_grad()
def test_logits_are_those_of_pytorch(engine, source, rounded):
    gaps = [read(source.tokenizer, *gap)[:2] for gap in GAPS]
    script = "gaps => gaps.map(([ids, place]) => pack(model.logits(ids, [place]).data))"
    page = torch.cat([floats(text, 30522) for text in engine.evaluate(script, gaps)])
    same = torch.stack([rounded(torch.tensor([ids]))[0, place] for ids, place in gaps])
    assert (page - same).abs().max() < 1e-3
    assert torch.equal(page.topk(5).indices, same.topk(5).indices)
    whole = from_hf(source.model).eval()
    true = torch.stack([whole(torch.tensor([ids]))[0, place] for ids, place in gaps])
    divergence = (true.softmax(-1) * (true.log_softmax(-1) - page.log_softmax(-1))).sum(-1)
    agree = (page.argmax(-1) == true.argmax(-1)).float().mean()
    print(f"page against PyTorch {(page - same).abs().max():.1e}; int8: KL {divergence.mean():.1e} "
          f"(largest {divergence.max():.1e}), same top-1 {agree:.0%}")  # fmt: skip
    assert divergence.mean() < 0.01 and agree >= 0.9
    engine.evaluate("model.weights.blocks[5].attention.output.bias[7] += 0.5")  # a canary
    broken = torch.cat([floats(text, 30522) for text in engine.evaluate(script, gaps)])
    engine.evaluate("model.weights.blocks[5].attention.output.bias[7] -= 0.5")
    assert (broken - same).abs().max() > 0.05


def test_pieces_are_those_of_the_package(engine, source):
    tokenizer = source.tokenizer
    sample = map(chr, [*range(0x3400), *range(0x4E00, 0xD800, 31), *range(0xF900, 0x10000, 3)])
    texts = [*HARD, *(f"x{letter}y" for letter in sample if is_old(letter))]
    page = engine.evaluate("texts => texts.map(text => tokenizer.encode(text))", texts)
    expected = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    wrong = [t for t, ours, theirs in zip(texts, page, expected, strict=True) if ours != theirs]
    assert wrong == []


def is_old(letter: str) -> bool:
    """Whether all versions of Unicode agree on a character; libraries are of different ages."""
    first, now = unicodedata.ucd_3_2_0.category(letter), unicodedata.category(letter)
    return first == now != "Cn"


def test_all_files_are_small_and_hold_all_bytes(site):
    header, data = real.packed()
    scripts = sorted(files(site), key=lambda path: int(re.search(r"-(\d+)\.js", path.name)[1]))
    assert [path.read_bytes() for path in scripts] == real.scripts(data)
    assert sum(path.stat().st_size for path in scripts) <= MOST_BYTES
    assert header["deflated"] == len(data)


def test_a_page_that_is_only_read_brings_none_of_it(browser, site, served):
    with Watched(browser, served(site), "book/playground.html") as watched:
        page, asked_for = watched.page, []
        page.on("request", lambda request: asked_for.append(request.url))
        page.reload()
        fig = Figure(page, "mask-guess", True)
        fig.root.scroll_into_view_if_needed()
        fig.load()  # the course's own
        fig.press("[MASK]")
        fig.press("·must")
        fig.press("Ask the models")
        fig.said("It was “must”")
        assert panel(fig).get_by_text("Not asked. Choose “real”").count() == 1
        assert [url for url in asked_for if "gpt-mini-" in url]
        assert not [url for url in asked_for if real.NAME in url]
        assert watched.wrong == []


def panel(fig: Figure):
    """The real model's part of the figure."""
    return fig.root.locator(".live-part")


def shown(fig: Figure, expected: tuple[list[str], list[str], str]) -> None:
    """Wait for an answer of the real model, and compare it."""
    pieces, shares, said = expected
    part = panel(fig)
    part.locator(".live-said").get_by_text(said).wait_for()
    assert part.locator(".live-bars li > :first-child").all_inner_texts() == pieces
    assert part.locator(".live-number").all_inner_texts() == shares


def test_the_switch(figure, source, rounded):
    """The first answer is there; any other comes once the reader has chosen the model."""
    ask = lambda *gap: by_torch(rounded, source.tokenizer, gap)  # noqa: E731
    offered = panel(figure).locator(".live-offer").inner_text()
    assert re.search(r"MiniLM comes into your browser when you choose it: 2\d\.\d MB", offered)
    assert panel(figure).locator("h4").inner_text() == "Both sides, real: MiniLM, 22.7M weights"
    shown(figure, ask("The people of the", " United", " States must trust their government."))
    figure.choose(WHO, "real: MiniLM, 22.7M weights")
    panel(figure).get_by_text("loaded.").wait_for()
    shown(figure, ask("The people of the", " United", " States must trust their government."))
    figure.write("Sentence", "She opened the door and went out.")
    figure.press("·the")
    figure.write("Your guess", "a")
    figure.press("Ask the models")
    shown(figure, ask("She opened", " the", " door and went out."))
    assert re.search(r"Your “a”: [\d.]+%", panel(figure).locator(".live-said").inner_text())
    figure.write("Sentence", "I drank a cup of coffee this morning.")
    figure.press("ff")  # a part of a word: it is asked for the whole
    figure.press("Ask the models")
    shown(figure, ask("I drank a cup of", " coffee", " this morning."))
    figure.press("·this")  # and for the masked words beside it
    figure.press("ee")
    figure.press("Ask the models")
    part = panel(figure).locator(".live-said")
    part.get_by_text("What stood there is 2 tokens to it; the first, “coffee”").wait_for()
    figure.still()
    figure.choose(WHO, "ours: BERT, 1.36M weights")
    figure.press("Ask the models")
    panel(figure).get_by_text("Not asked").wait_for()


def test_what_does_not_come_is_said_and_can_be_asked_for_again(browser, site, served):
    page = browser.new_page()
    page.route(f"**/{real.NAME}-3.js*", lambda route: route.abort())
    page.goto(f"{served(site)}/book/playground.html")
    fig = Figure(page, "mask-guess", True)
    fig.choose(WHO, "real: MiniLM, 22.7M weights")
    panel(fig).get_by_text("did not load").wait_for()
    page.unroute(f"**/{real.NAME}-3.js*")
    damaged = real.scripts(b"no weights")[0]
    page.route(f"**/{real.NAME}-0.js*", lambda route: route.fulfill(body=damaged))
    fig.press("Try again")
    panel(fig).get_by_text("arrived damaged").wait_for()
    page.unroute(f"**/{real.NAME}-0.js*")
    fig.press("Try again")
    panel(fig).get_by_text("loaded.").wait_for()
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(browser, site, served, axe, scheme):
    with Watched(browser, served(site), "book/playground.html", scheme) as watched:
        page = watched.page
        fig = Figure(page, "mask-guess", True)
        fig.choose(WHO, "real: MiniLM, 22.7M weights")
        panel(fig).get_by_text("loaded.").wait_for()
        fig.press("Ask the models")
        page.evaluate(axe)
        assert page.evaluate(AXE) == []
        for width in (375, 320):
            page.set_viewport_size({"width": width, "height": 800})
            page.wait_for_timeout(200)
            assert page.evaluate(TOO_WIDE) == []
            assert page.evaluate(SMALL) == []
        assert watched.wrong == []


def test_a_book_without_the_model_has_no_switch(browser, site):
    page = browser.new_page()
    script = (site / "_static/live/live.js").read_text("utf-8")
    without = script.replace(f'"{real.NAME}":{{"kind', '"another":{"kind')
    assert without != script
    page.route("**/live/live.js*", lambda route: route.fulfill(body=without))
    page.goto(f"{site.as_uri()}/book/playground.html")
    fig = Figure(page, "mask-guess", True)
    fig.said("It was “United”")
    assert panel(fig).count() == 0 and fig.root.get_by_label(WHO).count() == 0
    page.close()


def test_the_build_says_when_the_model_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    assert real.packed() is None
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "go without MiniLM" in said
    assert real.WHEEL.fetch_command in said


def test_a_damaged_package_leaves_a_book_without_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    real.WHEEL.path.parent.mkdir()
    real.WHEEL.path.write_bytes(b"half a wheel")
    assert real.packed() is None
    assert "go without MiniLM" in capsys.readouterr().out


def test_it_is_made_once_and_again_when_the_file_is_damaged_or_old(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(real, "made", lambda: calls.append(1) or ({"kind": "Bert"}, b"\n1\n"))
    monkeypatch.setattr(real, "cache_root", lambda: tmp_path)
    for _ in range(2):
        assert real.packed() == ({"kind": "Bert"}, b"\n1\n")
    assert len(calls) == 1
    (kept,) = (tmp_path / "page").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    assert real.packed() == ({"kind": "Bert"}, b"\n1\n")
    assert len(calls) == 2
    monkeypatch.setattr(real, "cache_key", lambda: "of other weights")
    assert real.packed() == ({"kind": "Bert"}, b"\n1\n")
    assert len(calls) == 3 and [kept] == list((tmp_path / "page").iterdir())

"""What the page trains: its gradients against PyTorch's, its bounds against the package's."""

import itertools
import json
import os
from collections import Counter

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from course_tools.checkout import ROOT
from course_tools.web.bundle import bundle
from course_tools.web.export import CHAIN
from course_utils.data.known_entropy import MarkovSource

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(os.environ.get("COURSE_BROWSER") == "none", reason="COURSE_BROWSER=none"),
]
TRAIN = ROOT / "book/site/live/train"
KINDS = ("masked", "causal", "spans")
ENTRY = """
import { backward, forget, product, matrix } from "{train}/autodiff.js";
import { objectives } from "{train}/objectives.js";
import { sample } from "{train}/samples.js";
import { Source } from "{train}/source.js";
import { Learner, adam } from "{train}/step.js";
import { dice, normal } from "{train}/../engine/dice.js";
Object.assign(window, {
  backward, forget, product, matrix, objectives, sample, Source, Learner, adam, dice, normal });
"""


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """A page that has the modules of the training."""
    folder = tmp_path_factory.mktemp("train")
    (folder / "entry.mjs").write_text(ENTRY.replace("{train}", os.path.relpath(TRAIN, folder)))
    page = browser.new_page()
    page.set_content("<!doctype html><title>t</title>")
    page.add_script_tag(content=bundle(folder / "entry.mjs"))
    page.evaluate("chain => { window.source = new Source(chain); }", CHAIN.transition.tolist())
    yield page
    page.close()


# -- gradients -------------------------------------------------------------------------------

# Loss and gradients of one batch, with weights that are all far from where they begin.
GRADIENTS = """(kind) => {
  const learner = new Learner(kind, source, 7), random = dice(3), batch = learner.batch(6);
  learner.forward(batch);
  forget();
  const weights = [...learner.weights.named];
  for (const [, weight] of weights) weight.data.forEach((x, i) => {
    weight.data[i] = x + 0.3 * normal(random); });
  const loss = learner.forward(batch);
  backward(loss);
  return { batch, loss: loss.data[0], weights: weights.map(([name, w]) =>
    ({ name, shape: [w.rows, w.cols], data: [...w.data], grad: [...w.grad] })) };
}"""


class ByTorch:
    """The three models again, in a few lines of PyTorch."""

    def __init__(self, weights: dict[str, Tensor], rows: int):
        """Take weights by their names in the page; `rows` of a batch."""
        self.weights, self.rows = weights, rows

    def norm(self, name: str, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], eps=1e-6) * self.weights[name][0]

    def attend(self, name: str, x: Tensor, memory: Tensor, causal: bool) -> Tensor:
        def heads(part: str, of: Tensor) -> Tensor:  # (B, 4, T, 8)
            return (of @ self.weights[f"{name}.{part}"]).unflatten(-1, (4, -1)).transpose(1, 2)

        query, key, value = heads("query", x), heads("key", memory), heads("value", memory)
        scores = query @ key.mT / query.size(-1) ** 0.5
        places_q, places_k = torch.arange(x.size(1))[:, None], torch.arange(memory.size(1))
        if (bias := self.weights.get(f"{name}.position")) is not None:
            scores = scores + bias[:, places_k - places_q + x.size(1) - 1]
        if causal:
            scores = scores.masked_fill(places_k > places_q, -torch.inf)
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        return mixed @ self.weights[f"{name}.output"]

    def stack(self, name, ids, layers, causal=False, memory=None) -> Tensor:
        x = self.weights["embedding"][torch.tensor(ids).view(self.rows, -1)]
        for n in range(layers):
            block = f"{name}.{n}"
            normed = self.norm(f"{block}.attention_norm", x)
            x = x + self.attend(f"{block}.attention", normed, normed, causal)
            if memory is not None:
                asking = self.norm(f"{block}.cross_norm", x)
                x = x + self.attend(f"{block}.cross", asking, memory, causal=False)
            inner = self.norm(f"{block}.feed_norm", x) @ self.weights[f"{block}.up"]
            x = x + inner.relu() @ self.weights[f"{block}.down"]
        return self.norm(f"{name}.norm", x)

    def loss(self, kind: str, batch: dict) -> Tensor:
        if kind == "spans":
            memory = self.stack("encoder", batch["input"], 1)
            x = self.stack("decoder", batch["written"], 1, causal=True, memory=memory)
        elif kind == "causal":
            x = self.stack("decoder", batch["input"], 2, causal=True)
        else:
            x = self.stack("encoder", batch["input"], 2)
        logits = (x @ self.weights["head"]).flatten(0, 1)
        return F.cross_entropy(logits, torch.tensor(batch["labels"]), ignore_index=-1)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_pytorch(page, kind):
    found = page.evaluate(GRADIENTS, kind)
    weights = {
        w["name"]: torch.tensor(w["data"], dtype=torch.float64).view(w["shape"]).requires_grad_()
        for w in found["weights"]
    }
    loss = ByTorch(weights, found["batch"]["batch"]).loss(kind, found["batch"])
    loss.backward()
    assert found["loss"] == pytest.approx(loss.item(), abs=1e-5)
    for weight in found["weights"]:
        grad, expected = torch.tensor(weight["grad"]), weights[weight["name"]].grad.flatten()
        assert expected.abs().max() > 1e-4, weight["name"]
        assert (grad - expected).abs().max() < 1e-4 * expected.abs().max() + 1e-6, weight["name"]
    assert sum(len(w["data"]) for w in found["weights"]) < 0.2e6


def test_adam_is_that_of_pytorch(page):
    grads = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
    script = """(grads) => { const weight = matrix(1, 10);
      grads.forEach((grad, n) => { weight.grad.set(grad); adam(weight, 0.1, n + 1); });
      return [...weight.data, ...weight.grad]; }"""
    weight = torch.zeros(10, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=0.1, betas=(0.9, 0.98), eps=1e-8)
    for grad in grads:
        weight.grad = grad.clone()
        optimizer.step()
    found = torch.tensor(page.evaluate(script, grads.tolist()))
    torch.testing.assert_close(found[:10], weight.detach(), atol=1e-5, rtol=0)
    assert (found[10:] == 0).all()


def test_sizes_that_the_product_cannot_cut_are_refused(page):
    script = """([T, N]) => { try { product(matrix(T, 5), matrix(5, N)); forget(); }
      catch (e) { return e.message; } }"""
    assert page.evaluate(script, [4, 8]) is None
    for sizes in ([3, 8], [4, 6]):
        assert "not cut in tiles" in page.evaluate(script, sizes)


# -- bounds ----------------------------------------------------------------------------------


def entropy(p: Tensor) -> float:
    """Of a table of probabilities, in nats."""
    return float(-torch.xlogy(p, p).sum())


def best_spans(chain: MarkovSource, span: int) -> float:
    """Nats a symbol of a span between two known ones, from the table of all such texts."""
    table = chain.stationary
    for _ in range(span + 1):
        table = table[..., None] * chain.transition
    ends = table.flatten(1, -2).sum(1)  # the symbols before and after
    return (entropy(table) - entropy(ends)) / span


@pytest.mark.parametrize("seed", [0, 1])
def test_bounds_are_those_of_the_package(page, seed):
    chain = MarkovSource.random(5, seed=seed) if seed else CHAIN
    script = """(p) => { const s = new Source(p); return [s.bestCausal, s.frequencies,
      ...[1, 2, 3].map(n => s.bestSpans(n)),
      ...[[4, 16], [1, 16], [12, 16], [3, 7], [7, 7]].map(([m, T]) => s.bestMasked(m, T))]; }"""
    sizes = [(4, 16), (1, 16), (12, 16), (3, 7), (7, 7)]
    expected = [
        chain.best_clm_loss(),
        chain.unigram_entropy,
        *(best_spans(chain, span) for span in (1, 2, 3)),
        *(chain.best_mlm_loss(masked / length, length) for masked, length in sizes),
    ]
    assert page.evaluate(script, chain.transition.tolist()) == pytest.approx(expected, abs=1e-9)


def test_the_page_and_its_chain_are_those_of_section_9_5():
    chapter = (ROOT / "chapters/09_5_comparing_paradigms.ipynb").read_text("utf-8")
    assert "chain, T = MarkovSource.random(6, seed=0), 16" in chapter
    objectives = (TRAIN / "objectives.js").read_text("utf-8")
    assert (
        "LENGTH = 16;" in objectives and "MASKED = 4;" in objectives and "SPAN = 3;" in objectives
    )
    text = " ".join((ROOT / "book/playground.md").read_text("utf-8").split())
    said = text.split('data-live="training"> *Without scripts:*')[1]
    levels = [CHAIN.unigram_entropy, CHAIN.best_mlm_loss(0.25, 16), CHAIN.best_clm_loss(),
              best_spans(CHAIN, 3)]  # fmt: skip
    assert [word for word in said.split() if word.startswith(("0.", "1."))][:4] == [
        f"{level:.3f}" + end for level, end in zip(levels, ("", ",", ";", "."), strict=True)
    ]


# -- text ------------------------------------------------------------------------------------


def test_rows_are_those_of_the_chain(page):
    rows = page.evaluate("""() => { const random = dice(1);
      return Array.from({ length: 4000 }, () => source.draw(16, random)); }""")
    steps = Counter(pair for row in rows for pair in itertools.pairwise(row))
    counts = torch.tensor([[float(steps[i, j]) for j in range(6)] for i in range(6)])
    shares = counts / counts.sum(1, keepdim=True)
    assert (shares - CHAIN.transition).abs().max() < 0.02


def test_objectives_ask_for_what_they_took_away(page):
    script = """([kind, row]) => { const random = dice(5);
      return Array.from({ length: 200 }, () => objectives[kind](row, 6, random)); }"""
    row = [0, 1, 2, 3, 4, 5] * 2 + [0, 1, 2, 3]
    for example in page.evaluate(script, ["masked", row]):
        places = [t for t, label in enumerate(example["labels"]) if label >= 0]
        assert len(places) == 4 and all(example["labels"][t] == row[t] for t in places)
        assert example["input"] == [6 if t in places else id for t, id in enumerate(row)]
    starts = set()
    for example in page.evaluate(script, ["spans", row]):
        asked = [label for label in example["labels"] if label >= 0]
        whole = []
        for id in example["input"]:
            whole += [id] if id < 6 else asked[3 * (id - 7) : 3 * (id - 6)]
        assert whole == row
        first, second = (example["input"].index(mark) for mark in (7, 8))
        assert 0 < first < second - 1 and second < len(example["input"]) - 1  # kept on all sides
        assert example["written"] == [7, *asked[:3], 8, *asked[3:5]]
        assert example["labels"] == [*asked[:3], -1, *asked[3:]]
        starts.add((first, second))
    assert len(starts) == 36  # 10 kept symbols are cut at 2 of 9 places
    causal = page.evaluate(script, ["causal", row])[0]
    assert causal == {"input": row[:-1], "labels": row[1:]}


@pytest.mark.parametrize(("kind", "steps", "below"), [("causal", 100, 1.03), ("masked", 300, 1.0),
                                                      ("spans", 450, 1.08)])  # fmt: skip
def test_models_learn_and_stay_above_their_bounds(page, kind, steps, below):
    script = """([kind, steps]) => { window.learner = new Learner(kind, source, 1);
      return Array.from({ length: steps }, () => learner.step(0.01)); }"""
    losses = page.evaluate(script, [kind, steps])
    bounds = {
        "causal": CHAIN.best_clm_loss(),
        "masked": CHAIN.best_mlm_loss(0.25, 16),
        "spans": best_spans(CHAIN, 3),
    }
    last = sum(losses[-50:]) / 50
    assert losses[0] > 2 and bounds[kind] - 0.03 < last < below
    rows = page.evaluate(
        "() => Array.from({ length: 20 }, (_, n) => sample(learner, dice(n)))",
    )
    own = {"causal": 15, "masked": 4, "spans": 6}[kind]
    for row in rows:
        assert len(row) == 16 and sum(bool(place.get("own")) for place in row) == own
        assert all(0 <= place["id"] < 6 for place in row)
    if kind == "causal":  # it writes what the chain would
        steps = [(a["id"], b["id"]) for row in rows for a, b in itertools.pairwise(row)]
        nats = [-CHAIN.transition[pair].log().item() for pair in steps]
        assert sum(nats) / len(nats) < 1.3
    assert json.dumps(rows) == json.dumps(page.evaluate(
        "() => Array.from({ length: 20 }, (_, n) => sample(learner, dice(n)))"))  # fmt: skip

// The attention weights of any layer and head, of BERT and of GPT, on the reader's own sentence.

import {
  CLS,
  SEP,
  bars,
  box,
  button,
  choice,
  controls,
  el,
  fill,
  idsOf,
  later,
  seen,
  spoken,
  textField,
} from "./parts.js";
import { ask, config, offer } from "./models.js";

const MOST = 20;
const EOS = 4;
const START = "The people of this country trust the Congress to do what is right.";

export function attention() {
  let [sentence, ids, weights, chosen, ready] = ["", [], null, 1, false];
  const view = { model: "bert-mini", layer: 0, head: 0, causal: "own" };
  const grid = el("div", { class: "live-heat" });
  const said = spoken("Load the models to see their attention.", 2);
  const list = el("div");

  const show = () => {
    const size = ids.length;
    const matrix = weights?.[view.layer]?.[view.head];
    chosen = Math.min(chosen, size - 1);
    const row = (i) => Array.from({ length: size }, (_, j) => (matrix ? matrix[i * size + j] : 0));
    const cells = ids.flatMap((id, i) => [
      button(seen(id), () => pick(i), { class: "name", "aria-pressed": String(i === chosen) }),
      ...row(i).map((w) =>
        el("i", { style: `--w: ${Math.sqrt(w).toFixed(3)}`, class: i === chosen ? "now" : null }),
      ),
    ]);
    const focused = [...grid.querySelectorAll("button")].indexOf(document.activeElement);
    const style = `grid-template-columns: 6.5em repeat(${size}, 1.2rem)`;
    fill(grid, el("div", { class: "live-cells", style }, cells));
    grid.querySelectorAll("button")[focused]?.focus();
    const order = row(chosen).map((share, j) => ({ label: `${j + 1} ${seen(ids[j])}`, share }));
    order.sort((a, b) => b.share - a.share);
    fill(
      list,
      el("h4", {}, `“${seen(ids[chosen])}” looks at`),
      bars(6, matrix ? order : [], "Largest weights"),
    );
  };
  const pick = (i) => {
    chosen = i;
    show();
  };
  const read = async () => {
    const trained = view.model === "gpt-mini";
    const inner = idsOf(sentence, MOST - 2);
    ids = trained ? [EOS, ...inner] : [CLS, ...inner, SEP]; // as each was trained
    weights = null;
    const causal = view.causal === "own" ? trained : view.causal === "causal";
    if (ready) {
      const asked = ids;
      const found = await ask("attention", { name: view.model, ids, causal });
      if (asked !== ids) return; // the reader was faster
      weights = found;
      const sides = causal ? "the left side only" : "both sides";
      const warning = causal === trained ? "as it was trained" : "which it was not trained for";
      const which = `${view.model}, layer ${view.layer + 1}, head ${view.head + 1}`;
      said.textContent = `${which}: ${sides}, ${warning}.`;
    }
    show();
  };
  const begin = (text) => {
    sentence = text;
    read();
  };
  const change =
    (name, number = false) =>
    (value) => {
      view[name] = number ? Number(value) : value;
      read();
    };
  const numbers = (count) => [...Array(count).keys()].map((n) => [n, String(n + 1)]);
  const field = textField("Sentence", START, later(begin));
  begin(START);
  const models = offer(["bert-mini", "gpt-mini"], () => {
    ready = true;
    read();
  });
  const selects = controls(
    choice(
      "Model",
      [
        ["bert-mini", "BERT"],
        ["gpt-mini", "GPT"],
      ],
      change("model"),
    ),
    choice("Layer", numbers(4), change("layer", true)),
    choice("Head", numbers(4), change("head", true)),
    choice(
      "Mask",
      [
        ["own", "as trained"],
        ["full", "full"],
        ["causal", "causal"],
      ],
      change("causal"),
    ),
  );
  const wide = el(
    "div",
    {
      class: "live-box heat",
      tabindex: 0,
      role: "group",
      "aria-label": "Attention weights, a row for each piece",
    },
    grid,
  );
  const legend = el(
    "p",
    { class: "live-note" },
    "A row shows where one piece looks, by strength of colour. Choose a piece to read its row.",
  );
  return [models, controls(field), selects, said, wide, legend, list];
}

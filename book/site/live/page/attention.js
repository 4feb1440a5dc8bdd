// The attention of any layer and head, of BERT and of GPT, on the reader's own sentence: the same
// scores with the causal mask and without, beside each other.

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
  oneStop,
  percent,
  seen,
  spoken,
  textField,
  tight,
} from "./parts.js";
import { offer, titleOf } from "./models.js";
import { causalBias, softmax } from "../engine/layers.js";

const MOST = 20;
const EOS = 4;
const START = "The people of this country trust the Congress to do what is right.";
const LOOKS = { full: "full", causal: "causal mask" };

// Weights from scores: softmax over all pieces or, with the causal mask, over those up to its own.
export function weigh(scores, size, mask) {
  const bias = mask === "causal" ? causalBias() : () => 0;
  const weights = scores.map((score, at) => score + bias(0, Math.floor(at / size), at % size));
  for (let i = 0; i < size; i++) softmax(weights, i * size, (i + 1) * size);
  return weights;
}

// The layer and head whose pieces look hardest at one piece each. Marks at the ends do not count: a
// head that has nothing to do rests on them.
function sharpest(scores, size) {
  let best = { total: -1 };
  scores.forEach((heads, layer) =>
    heads.forEach((found, head) => {
      const weights = weigh(found, size, "full");
      let total = 0;
      for (let i = 0; i < size; i++) {
        total += Math.max(...weights.subarray(i * size + 1, (i + 1) * size - 1));
      }
      if (total > best.total) best = { total, layer, head };
    }),
  );
  return { layer: best.layer, head: best.head };
}

export function attention() {
  let [sentence, ids, scores, chosen, opened] = ["", [], null, 6, false];
  const { line, ask, bring } = offer(["bert-mini", "gpt-mini"]);
  const view = { model: "bert-mini", layer: 0, head: 0, mask: "own" };
  const grid = el("div", { class: "live-heat" });
  const drawGrid = oneStop(grid);
  const said = spoken("", 4);
  const lists = Object.fromEntries(Object.keys(LOOKS).map((mask) => [mask, el("div")]));
  const trained = () => (view.model === "gpt-mini" ? "causal" : "full");

  const show = () => {
    const size = ids.length;
    if (!size) return nothing();
    const found = scores?.[view.layer][view.head];
    const weights = {};
    for (const mask in LOOKS) weights[mask] = found && weigh(found, size, mask);
    const mask = view.mask === "own" ? trained() : view.mask;
    const row = Math.min(chosen, size - 1); // of a text that is shorter for a moment
    showGrid(size, weights[mask], row);
    const rows = {};
    for (const mask in LOOKS) {
      rows[mask] = [...(weights[mask] ?? []).slice(row * size, (row + 1) * size)];
      const order = rows[mask].map((share, j) => ({ label: `${j + 1} ${seen(ids[j])}`, share }));
      const looks = `${LOOKS[mask]}${mask === trained() ? ", as trained" : ""}`;
      const largest = order.sort((a, b) => b.share - a.share).filter(({ share }) => share > 0);
      fill(
        lists[mask],
        el("h4", {}, `“${seen(ids[row])}”: ${looks}`),
        bars(6, largest, `Largest weights of ${seen(ids[row])}, ${looks}`),
      );
    }
    said.textContent = found ? told(mask, rows, row) : "";
  };
  const nothing = () => {
    drawGrid();
    for (const list of Object.values(lists)) fill(list, el("h4", {}, "–"), bars(6, [], "Weights"));
    said.textContent = "No text, no attention: write a sentence.";
  };
  const told = (mask, { full, causal }, at) => {
    const how =
      mask === trained()
        ? "as it was trained"
        : "the same weights, other mask; never trained to work so";
    const right = full.slice(at + 1).reduce((sum, weight) => sum + weight, 0);
    const row = mask === "full" ? full : causal;
    const most = row.indexOf(Math.max(...row));
    return (
      `${titleOf(view.model)}, layer ${view.layer + 1}, head ${view.head + 1}, ${LOOKS[mask]}: ${how}. ` +
      `“${seen(ids[at])}” looks most at ${most + 1} “${seen(ids[most])}”, with ${percent(row[most])}. ` +
      `Without the mask, ${percent(right)} of its weight lies to its right.`
    );
  };
  const showGrid = (size, weights, at) => {
    const places = [...Array(size).keys()];
    const heading = places.map((j) => el("span", { "aria-hidden": "true" }, String(j + 1)));
    const cells = ids.flatMap((id, i) => {
      const now = i === at ? "now" : null;
      const details = { class: "name", "aria-pressed": String(i === at) };
      const strength = (j) => `--w: ${Math.sqrt(weights?.[i * size + j] ?? 0).toFixed(3)}`;
      return [
        button(`${i + 1} ${seen(id)}`, () => pick(i), details),
        ...places.map((j) => el("i", { style: strength(j), class: now, onclick: () => pick(i) })),
      ];
    });
    const style = `grid-template-columns: 7em repeat(${size}, 1.2rem)`;
    drawGrid(el("div", { class: "live-cells", style }, el("span"), heading, cells));
  };
  const pick = (i) => {
    chosen = i;
    show();
  };
  const read = async () => {
    const inner = idsOf(sentence, MOST - 2, field);
    ids = view.model === "gpt-mini" ? [EOS, ...inner] : [CLS, ...inner, SEP]; // as each was trained
    if (!inner.length) ids = [];
    scores = null;
    show();
    if (!ids.length) return;
    const asked = ids;
    const found = await ask("attention", { name: view.model, ids });
    if (asked !== ids) return; // the reader was faster
    scores = found;
    if (!opened) open();
    show();
  };
  // What is seen first has a pattern; most heads of a small model have none that meets the eye.
  const open = () => {
    opened = true;
    Object.assign(view, sharpest(scores, ids.length));
    layers.input.value = view.layer;
    heads.input.value = view.head;
  };
  const begin = (text) => {
    sentence = text;
    read();
  };
  const numbers = (count) => [...Array(count).keys()].map((n) => [n, String(n + 1)]);
  const field = textField("Sentence", START, later(begin));
  field.input.addEventListener("focus", bring);
  const change = (name, action) => (value) => {
    view[name] = typeof view[name] === "number" ? Number(value) : value;
    opened = true;
    action();
  };
  const names = ["bert-mini", "gpt-mini"].map((name) => [name, titleOf(name)]);
  const masks = [["own", "as trained"], ...Object.keys(LOOKS).map((mask) => [mask, mask])];
  const layers = choice("Layer", numbers(4), change("layer", show));
  const heads = choice("Head", numbers(4), change("head", show));
  const selects = tight(
    choice("Model", names, change("model", read)),
    layers,
    heads,
    choice("Mask", masks, change("mask", show)),
  );
  const wide = el(
    "div",
    {
      class: "live-box heat",
      tabindex: 0,
      role: "group",
      "aria-label": "Attention weights, a row for each token",
    },
    grid,
  );
  const legend = el(
    "p",
    { class: "live-note" },
    "A row shows where one token looks, by strength of colour; columns are the same tokens, by " +
      "number. Choose a row to read it below, with the causal mask and without: the mask leaves " +
      "out what lies to the right and shares its weight among the rest. It is changed in this head " +
      "only; what comes from the layers below stays as it is.",
  );
  const both = el("div", { class: "live-two" }, Object.values(lists));
  begin(START);
  return [controls(field), selects, said, wide, legend, both, line];
}

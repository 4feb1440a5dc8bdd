// Mask pieces, guess, then see what a model that reads both sides and one that reads only the left
// side would have said. Same text, tokenizer, size and training compute: only the sides differ.

import {
  CLS,
  MASK,
  SEP,
  bars,
  box,
  button,
  choice,
  controls,
  el,
  fill,
  idsOf,
  likeliest,
  number,
  oneStop,
  percent,
  seen,
  spoken,
  textField,
  wordField,
  tokenizer,
} from "./parts.js";
import { offer } from "./models.js";
import { named, realModel } from "./real.js";
import { softmax } from "../engine/layers.js";

const EXAMPLES = [
  "The people of the United States must trust their government.",
  "I ask the Congress to pass this bill before the end of the year.",
  "We have reduced the debt, and we will not raise the taxes of working families.",
  "Our armed forces stand ready to defend the peace of the world.",
];
const FIRST = " United"; // masked at first
const MOST = 60;
const ROWS = 5;
const BOTH = `Both sides: ${named("bert-mini")}`;
const LEFT = `Left side only: ${named("gpt-mini")}`;

export function maskGuess() {
  let ids = [];
  let hidden = new Set();
  let current = null; // the hidden place that is being guessed
  const line = box(7, "The sentence, token by token; arrow keys go from one to the next");
  const drawLine = oneStop(line);
  const said = spoken("Choose a token of the sentence to mask it.", 2);
  const both = el("div");
  const left = el("div");
  const word = wordField("Your guess");
  const guess = word.input;
  const { line: status, ask, bring } = offer(["bert-mini", "gpt-mini"]);
  const real = realModel(ROWS, () => answer());

  const empty = (title) => [
    el("h4", {}, title),
    bars(ROWS, [], title),
    el("p", { class: "live-note two" }),
  ];
  const clear = () => {
    fill(both, empty(BOTH));
    fill(left, empty(LEFT));
    real?.clear();
  };
  const draw = () => {
    const chips = ids.map((id, place) => {
      const off = hidden.has(place);
      const name = off ? "[MASK]" : seen(id);
      const details = { "aria-pressed": String(off), class: place === current ? "current" : null };
      return el(
        "li",
        {},
        button(name, () => toggle(place), details),
      );
    });
    drawLine(el("ol", { class: "live-chips buttons" }, chips));
  };
  const toggle = (place) => {
    if (hidden.delete(place)) current = [...hidden].at(-1) ?? null;
    else {
      hidden.add(place);
      current = place;
    }
    guess.value = "";
    said.textContent =
      current === null
        ? "Choose a token to mask it."
        : "Masked. What stood there? Guess, then ask the models.";
    clear();
    draw();
  };
  const start = (text) => {
    ids = idsOf(text, MOST, field);
    hidden = new Set();
    current = null;
    said.textContent = ids.length ? "Choose a token to mask it." : "No text: write a sentence.";
    clear();
    draw();
  };
  const result = (title, p, place) => {
    const rank = 1 + p.filter((other) => other > p[ids[place]]).length;
    const typed = guess.value.trim();
    const [mine = null, ...more] = typed ? idsOf(` ${typed}`, 9) : [];
    const top = likeliest(p, ROWS).map(({ id, p }) => ({
      label: seen(id) + (id === ids[place] ? " ✓" : ""),
      share: p,
    }));
    const truth = `“${seen(ids[place])}” is number ${number(rank)} of ${number(p.length)}, with ${percent(p[ids[place]])}.`;
    const your = more.length ? "Your guess begins with" : "Your";
    const yours = mine === null ? "" : ` ${your} “${seen(mine)}”: ${percent(p[mine])}.`;
    return [
      el("h4", {}, title),
      bars(ROWS, top, `${title}: five likeliest`),
      el("p", { class: "live-note two" }, truth + yours),
    ];
  };
  const answer = async () => {
    if (current === null) said.textContent = "Mask a token first.";
    else {
      const place = current;
      const seenIds = ids.map((id, i) => (hidden.has(i) ? MASK : id));
      const before = [4, ...ids.slice(0, place)];
      real?.put(ids, hidden, place, guess.value.trim());
      const [[p], { logits }] = await Promise.all([
        ask("fill", { name: "bert-mini", ids: [CLS, ...seenIds, SEP], positions: [place + 1] }),
        ask("next", { name: "gpt-mini", ids: before }),
      ]);
      const q = softmax(logits);
      fill(both, result(BOTH, p, place));
      fill(left, result(LEFT, q, place));
      const says = (r) => seen(likeliest(r, 1)[0].id).replace("·", "");
      const truth = seen(ids[place]).replace("·", "");
      said.textContent = `It was “${truth}”. BERT says “${says(p)}”, GPT “${says(q)}”.`;
    }
  };
  const field = textField("Sentence", EXAMPLES[0], (text) => {
    examples.own();
    start(text);
  });
  const examples = choice(
    "Examples",
    EXAMPLES.map((text, i) => [i, text.slice(0, 44) + "…"]),
    (i) => {
      field.input.value = EXAMPLES[i];
      start(EXAMPLES[i]);
    },
  );
  const line2 = el("form", {
    class: "live-controls",
    onsubmit: (event) => (event.preventDefault(), answer()),
  });
  line2.append(word, el("button", { class: "live-main" }, "Ask the models"));
  start(EXAMPLES[0]);
  field.input.addEventListener("focus", bring);
  guess.addEventListener("focus", bring);
  toggle(ids.indexOf(idsOf(FIRST, 1)[0]));
  answer();
  return [
    controls(field, examples),
    line,
    line2,
    said,
    el("div", { class: "live-two" }, both, left),
    status,
    ...(real ? [real.panel] : []),
  ];
}

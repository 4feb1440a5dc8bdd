// GPT one step at a time: what it may see, what it expects next, and what you choose.

import {
  bars,
  box,
  button,
  controls,
  el,
  fill,
  idsOf,
  likeliest,
  percent,
  seen,
  slider,
  spoken,
  textField,
  tokenizer,
} from "./parts.js";
import { dice } from "../engine/dice.js";
import { config, offer } from "./models.js";
import { softmax } from "../engine/layers.js";

const ROWS = 8;
const START = "The state of the Union is";
const SHOWN = 10; // rows and columns of the mask
const EOS = 4;

// Logits → probabilities after temperature and top-k: what is drawn from.
export function shaped(logits, temperature, k) {
  const scaled = Float32Array.from(logits, (z) => z / temperature);
  const least = [...scaled].sort((a, b) => b - a)[Math.min(k, scaled.length) - 1];
  return softmax(scaled.map((z) => (z < least ? -Infinity : z)));
}

// Draw an index from probabilities.
export function draw(probabilities, random) {
  let rest = random();
  for (let id = 0; id < probabilities.length; id++) {
    rest -= probabilities[id];
    if (rest < 0 && probabilities[id] > 0) return id;
  }
  return likeliest(probabilities, 1)[0].id; // rounding left nothing
}

export function stepping() {
  let [prompt, added, logits] = [[], [], null];
  let [temperature, k] = [1, 40];
  const random = dice(Date.now());
  const text = box(6, "The text so far");
  const mask = el("div", { class: "live-mask" });
  const said = spoken();
  const { line, ask, bring } = offer(["gpt-mini"]);
  const list = el("div", { class: "live-choose" });
  const all = () => [EOS, ...prompt, ...added];

  let turn = Promise.resolve(); // answers that were asked for, one after another

  const showText = () => {
    const written = added.length ? el("mark", {}, tokenizer.decode(added)) : "";
    fill(text, el("p", { dir: "auto" }, tokenizer.decode(prompt), written));
    text.scrollTop = text.scrollHeight;
    fill(mask, triangle(all()));
  };
  const showList = () => {
    const p = logits ? shaped(logits, temperature, k) : [];
    const rows = likeliest(p, ROWS).filter((row) => row.p > 0);
    const items = rows.map(({ id, p: share }) => ({
      label: seen(id),
      share,
      onclick: () => logits && take(id),
    }));
    const focused = [...list.querySelectorAll("button")].indexOf(document.activeElement);
    fill(list, bars(ROWS, items, "Likeliest next tokens; choose one to go on"));
    list.querySelectorAll("button")[focused]?.focus();
  };
  const read = async () => {
    showText();
    const asked = all();
    const { logits: found, fresh } = await ask("next", { name: "gpt-mini", ids: asked });
    if (asked.join() !== all().join()) return; // the reader was faster
    logits = found;
    const from = asked.length - fresh;
    said.textContent =
      asked.length > 1
        ? `${asked.length} tokens: ${fresh} read now, ${from} from the cache.`
        : "No text yet: this is how GPT would begin one.";
    showList();
  };
  const take = (id) => {
    if (all().length >= config("gpt-mini").max_length) {
      said.textContent = "The model has no more positions. Step back or start again.";
    } else {
      added.push(id);
      logits = null; // those were for the text before
      return read();
    }
  };
  // A quick second click waits for what the model says after the first.
  const choose = (pick) => () => {
    turn = turn.then(() => logits && take(pick(shaped(logits, temperature, k))));
  };
  const begin = (typed) => {
    prompt = idsOf(typed, 100, field);
    added = [];
    logits = null;
    read();
  };
  const back = () => {
    if (added.pop() === undefined) return;
    logits = null;
    read();
  };
  const field = textField("Begin with", START, begin);
  const heat = slider(
    "Temperature",
    { min: 0.1, max: 2, step: 0.1, value: 1, say: (v) => v.toFixed(1) },
    (v) => {
      temperature = v;
      showList();
    },
  );
  const top = slider(
    "Keep the likeliest",
    { min: 1, max: 100, step: 1, value: 40, say: (v) => `${v} tokens` },
    (v) => {
      k = v;
      showList();
    },
  );
  field.input.addEventListener("focus", bring);
  begin(START);
  const buttons = controls(
    button(
      "Take the likeliest",
      choose((p) => likeliest(p, 1)[0].id),
      { class: "live-main" },
    ),
    button(
      "Draw one",
      choose((p) => draw(p, random)),
    ),
    button("Step back", back),
    button("Start again", () => begin(field.input.value)),
  );
  const legend = el(
    "p",
    { class: "live-note" },
    "Each row is a token that looks at the columns: filled ones it may see, empty ones it may " +
      "not. The last row answers now.",
  );
  return [
    controls(field),
    text,
    buttons,
    said,
    controls(heat, top),
    el(
      "div",
      { class: "live-two" },
      el("div", {}, el("h4", {}, "What comes next?"), list),
      el("div", {}, el("h4", {}, "Who may look at whom"), mask, legend),
    ),
    line,
  ];
}

// The causal mask over the last tokens.
function triangle(ids) {
  const last = ids.slice(-SHOWN);
  const cells = last.flatMap((id, i) => [
    el("span", { class: "name" }, seen(id)),
    ...last.map((_, j) =>
      el("i", { class: j > i ? "blocked" : i === last.length - 1 ? "now" : "visible" }),
    ),
  ]);
  const label = `Causal mask of the last ${last.length} tokens: each sees itself and those before it.`;
  const style = `grid-template-columns: minmax(0, 7em) repeat(${last.length}, 1.5em)`;
  return el("div", { class: "live-triangle", role: "img", "aria-label": label, style }, cells);
}

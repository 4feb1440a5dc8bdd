// What a reader predicts, beside what was measured. It is kept on this device only.

import { button, controls, el, fill, number, slider } from "./parts.js";
import { inWords } from "./scaling.js";

const KEY = "predictions";
let kept = read();

// A prompt of a chapter: a slider or some choices, then the result.
export function predict(place) {
  const asked = askedIn(place);
  const controlsHere = el("div");
  const said = el("p", { class: "live-said", role: "status" });
  const app = el("div", { class: "predict-app", role: "group", "aria-label": "Your prediction" });
  app.append(controlsHere, said);
  place.append(app);

  const ask = () => {
    fill(said);
    fill(controlsHere, asked.choices ? choices(asked, commit) : range(asked, commit));
  };
  const commit = (value) => {
    keep({ ...kept, [place.id]: value });
    answer();
    again.focus();
  };
  const answer = () => {
    const mine = kept[place.id];
    fill(controlsHere, asked.choices ? "" : scale(asked, mine));
    fill(said, verdict(asked, mine), " ", again);
  };
  const again = button("Forget it", () => {
    const { [place.id]: gone, ...rest } = kept;
    keep(rest);
    ask();
    app.querySelector("button, input").focus();
  });
  if (place.id in kept) answer();
  else ask();
}

// The page of all prompts: what was predicted, and how near it came.
export function record(place) {
  const said = el("p", { class: "live-said", role: "status" });
  const rows = [...place.querySelectorAll("li")];
  const show = () => {
    const all = rows.map((row) => ({ row, asked: askedIn(row), mine: kept[row.id.slice(3)] }));
    for (const { row, asked, mine } of all) {
      row.querySelector("p")?.remove();
      row.append(el("p", {}, mine === undefined ? "Not predicted yet." : verdict(asked, mine)));
    }
    const done = all.filter(({ mine }) => mine !== undefined);
    const near = done.filter(({ asked, mine }) => isNear(asked, mine));
    const forget = button("Forget all my predictions", () => {
      keep({});
      show();
    });
    const count = `You predicted ${done.length} of ${all.length}.`;
    const well = done.length ? ` ${near.length} of them were right, or within a tenth of the scale.` : "";
    fill(said, `${count}${well} Kept on this device only. `, done.length ? forget : "");
  };
  place.prepend(said);
  show();
}

function askedIn({ dataset }) {
  const { answer, choices, unit = "", min, max, step = 1, scale = "linear" } = dataset;
  if (choices) return { answer, choices: choices.split("|") };
  const [low, high, steps, truth] = [min, max, step, answer].map(Number);
  return { answer: truth, low, high, step: steps, unit, log: scale === "log" };
}

// A slider over the scale, or over its logarithm in twentieths of a decade.
function range(asked, commit) {
  const [to, from] = asked.log ? [Math.log10, (x) => 10 ** x] : [Number, Number];
  const ends = { min: to(asked.low), max: to(asked.high), step: asked.log ? 0.05 : asked.step };
  let value = (ends.min + ends.max) / 2;
  if (!asked.log) value = ends.min + ends.step * Math.round((value - ends.min) / ends.step);
  const say = (x) => said(asked, from(x));
  const field = slider("Your prediction", { ...ends, value, say }, (x) => (value = x));
  const done = () => commit(Number(from(value).toPrecision(6)));
  return controls(field, button("Show what was measured", done, { class: "live-main" }));
}

function choices({ choices }, commit) {
  return controls(choices.map((text) => button(text, () => commit(text))));
}

function said({ unit, log, step }, value) {
  if (log) return `${number(Number(value.toPrecision(2)))}${unit}`;
  const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  return `${value.toFixed(digits)}${unit}`;
}

const measuredIn = ({ answer, unit }) => `${number(answer)}${unit}`;

function verdict(asked, mine) {
  if (asked.choices) {
    const right = mine === asked.answer;
    return `${right ? "✓ Right" : "✗ Not so"}: you said “${mine}”. Measured: ${asked.answer}.`;
  }
  const start = `You said ${said(asked, mine)}. Measured: ${measuredIn(asked)}.`;
  if (asked.log) {
    const factor = Math.max(mine / asked.answer, asked.answer / mine);
    return `${start} You are off by a factor of ${factor.toPrecision(2)}.`;
  }
  const off = Math.abs(mine - asked.answer);
  return `${start} You are ${said({ ...asked, unit: "" }, off)}${asked.unit === "%" ? " points" : ""} off.`;
}

function place({ low, high, log }, value) {
  const at = log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  return Math.min(1, Math.max(0, at));
}

function isNear(asked, mine) {
  if (asked.choices) return mine === asked.answer;
  return Math.abs(place(asked, mine) - place(asked, asked.answer)) <= 0.1;
}

// Both on one line; the words beside it say the same.
function scale(asked, mine) {
  const mark = (kind, text, value) =>
    el("i", { class: kind, style: `left: ${(100 * place(asked, value)).toFixed(1)}%` }, text);
  const marks = [mark("mine", "you", mine), mark("truth", "measured", asked.answer)];
  const name = (end) => (asked.log ? inWords(end) : said(asked, end));
  const ends = [asked.low, asked.high].map((end) => el("small", {}, name(end)));
  return el("div", { class: "predict-scale", "aria-hidden": "true" }, marks, ends);
}

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {}; // a browser may forbid it
  }
}

function keep(predictions) {
  kept = predictions;
  try {
    localStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    // then it is kept while the page is open
  }
}

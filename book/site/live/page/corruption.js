// BERT's corruption, drawn again and again: of the chosen pieces 80% become [MASK], 10% a random
// piece, 10% stay. Few draws are far from that, many are near.

import {
  box,
  button,
  controls,
  el,
  fill,
  idsOf,
  number,
  percent,
  seen,
  slider,
  spoken,
  table,
  textField,
} from "./parts.js";
import { dice } from "../engine/dice.js";

const FIRST_PIECE = 5; // ids below are marks, which are never drawn
const PIECES = 4027; // 256 bytes and the merges
const OUTCOMES = ["mask", "random", "kept"];
const NAMES = { mask: "[MASK]", random: "random token", kept: "kept as it is" };
const EXPECTED = { mask: 0.8, random: 0.1, kept: 0.1 };
const TEXT =
  "We must use the powers of government to meet the needs of the people, and we will measure what " +
  "we do by what it changes.";

// How many of n pieces are chosen: rate·n rounded half up, at least one (Devlin et al. 2019).
export function chosenCount(n, rate) {
  return n ? Math.max(1, Math.floor(n * rate + 0.5 + 1e-9)) : 0;
}

// One draw for a text of n pieces: place → outcome.
export function corrupt(n, rate, random) {
  const places = [...Array(n).keys()].map((place) => [random(), place]).sort((a, b) => a[0] - b[0]);
  const outcome = () => {
    const draw = random(); // one draw decides: with two, the second share would be conditional
    return draw < 0.8 ? "mask" : draw < 0.9 ? "random" : "kept";
  };
  return new Map(places.slice(0, chosenCount(n, rate)).map(([, place]) => [place, outcome()]));
}

export function corruption() {
  let [ids, rate, draws] = [[], 0.15, 0];
  let random = dice(1);
  let counts;
  const shown = box(9, "The corrupted text");
  const said = spoken();
  const grid = el("div");

  const reset = () => {
    counts = { mask: 0, random: 0, kept: 0, seen: 0 };
    draws = 0;
    throwDice(1);
  };
  const throwDice = (times) => {
    let last = new Map();
    for (let i = 0; i < times; i++) {
      last = corrupt(ids.length, rate, random);
      last.forEach((outcome) => counts[outcome]++);
      counts.seen += ids.length;
    }
    draws += times;
    show(last);
  };
  const show = (last) => {
    const chips = ids.map((id, place) => {
      const outcome = last.get(place);
      const other = FIRST_PIECE + Math.floor(random() * PIECES);
      const text = { mask: "[MASK]", random: seen(other), kept: seen(id) }[outcome] ?? seen(id);
      const note = outcome && outcome !== "mask" ? el("small", {}, outcome) : "";
      return el("li", { class: `live-chip ${outcome ?? "plain"}` }, el("b", {}, text), note);
    });
    fill(shown, el("ol", { class: "live-chips" }, chips));
    const chosen = OUTCOMES.reduce((sum, name) => sum + counts[name], 0);
    const rows = OUTCOMES.map((name) => {
      const share = chosen ? counts[name] / chosen : 0;
      return [NAMES[name], number(counts[name]), percent(share), percent(EXPECTED[name])];
    });
    fill(grid, table(["outcome", "count", "share", "expected"], rows));
    const part = counts.seen ? percent(chosen / counts.seen) : "none";
    said.textContent = `${number(draws)} ${draws === 1 ? "draw" : "draws"}: ${number(chosen)} tokens chosen, ${part} of all.`;
  };
  const begin = (text) => {
    ids = idsOf(text, 120, field);
    reset();
  };
  const field = textField("Your text", TEXT, begin);
  const share = slider(
    "Share that is chosen",
    { min: 5, max: 80, step: 5, value: 15, say: (v) => `${v}%` },
    (v) => {
      rate = v / 100;
      reset();
    },
  );
  begin(TEXT);
  const again = button("Draw again", () => throwDice(1), { class: "live-main" });
  const many = button("Draw 100 times", () => throwDice(100));
  return [
    controls(field, share),
    controls(again, many, button("Start again", reset)),
    shown,
    said,
    grid,
  ];
}

// A real model beside the course's own: the same gap, asked of MiniLM. What a figure asks when it opens
// was answered when the book was built. For anything else the weights must come, and they are many, so
// it is the reader who decides.

import { MASK, bars, choice, controls, el, fill, number, percent, spoken, tokenizer } from "./parts.js";
import { megabytes, offer, there, titleOf, weights } from "./models.js";

const REAL = "minilm-mlm";
const OURS = "bert-mini"; // which reads both sides, too

// A panel, and what asks it: all pieces of the text, the places that are masked, the place that is asked
// for, and the reader's guess. `again` puts the figure's question once more; `rows` are those of the
// other panels. Null where the book was built without the model.
export function realModel(rows, again) {
  if (!there(REAL)) return null;
  let [on, latest] = [false, null];
  const title = `Both sides, real: ${named(REAL)}`;
  const answers = el("div");
  const said = spoken("", 3);
  const { line, ask, stored, bring } = offer(
    [REAL],
    `For a gap of your own ${titleOf(REAL)} comes into your browser when you choose it: ` +
      `${megabytes([REAL])}, for this page. What you type stays there.`,
  );
  const show = (text, top = []) => {
    fill(answers, bars(rows, top, `${title}: five likeliest`));
    said.textContent = text;
  };
  const clear = () => {
    latest = null;
    show("");
  };
  const put = async (ids, masked, place, guess) => {
    const details = { name: REAL, ...words(ids, masked, place), guess: on ? guess : "" };
    latest = details;
    if (!on && !stored("cloze", details)) return show("Not asked. Choose “real” to have it asked, too.");
    show("Asked.");
    const [text, top] = await ask("cloze", details).then(
      (answer) => [told(answer), likeliest(answer)],
      (error) => [`No answer: ${error.message}.`, []],
    );
    if (latest === details) show(text, top); // else the reader was faster
  };
  const options = [
    ["ours", `ours: ${named(OURS)}`],
    ["real", `real: ${named(REAL)}`],
  ];
  const who = choice("Both sides are read by", options, (chosen) => {
    on = chosen === "real";
    if (on) bring();
    again();
  });
  const sides = [el("div", {}, el("h4", {}, title), answers, said), el("div", {}, controls(who), line)];
  return { panel: el("div", { class: "live-two live-part" }, sides), put, clear };
}

// A model by name and number of weights.
export const named = (name) => titleOf(name) + (there(name) ? `, ${weights(name)}` : "");

// The gap as text. The model's pieces are mostly whole words, so it is asked for whole words: those of
// the masked piece, and of what is masked beside it.
function words(ids, masked, place) {
  const starts = new Set([0]);
  for (const word of tokenizer.words(tokenizer.decode(ids))) starts.add(Math.max(...starts) + word.length);
  let [first, last] = [place, place];
  while (first > 0 && (!starts.has(first) || masked.has(first - 1))) first--;
  while (last + 1 < ids.length && (!starts.has(last + 1) || masked.has(last + 1))) last++;
  const seen = ids.map((id, i) => (masked.has(i) ? MASK : id));
  return {
    before: tokenizer.decode(seen.slice(0, first)),
    truth: tokenizer.decode(ids.slice(first, last + 1)),
    after: tokenizer.decode(seen.slice(last + 1)),
  };
}

function likeliest({ top, truth }) {
  const right = truth?.pieces.length === 1 ? truth.pieces[0] : null;
  return top.map(([piece, share]) => ({ label: piece === right ? `${piece} ✓` : piece, share }));
}

function told({ top: [[first]], truth, guess, of }) {
  const says = `${titleOf(REAL)} says “${first}”.`;
  if (!truth) return `${says} It cannot read what stood there.`;
  const place = `number ${number(truth.rank)} of ${number(of)}, with ${percent(truth.p)}`;
  const { pieces } = truth;
  const one = `“${pieces[0]}” is ${place}.`;
  const many = `What stood there is ${pieces.length} tokens to it; the first, “${pieces[0]}”, is ${place}.`;
  const mine = guess ? ` Your “${guess.pieces[0]}”: ${percent(guess.p)}.` : "";
  return `${says} ${pieces.length > 1 ? many : one}${mine}`;
}

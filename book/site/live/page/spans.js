// T5's span corruption: stretches of text become sentinels, and T5 writes what stood there.

import {
  box,
  button,
  controls,
  el,
  fill,
  idsOf,
  slider,
  spoken,
  textField,
  tokenizer,
} from "./parts.js";
import { dice } from "../engine/dice.js";
import { offer } from "./models.js";

const EOS = 4;
const TEXT =
  "The Congress has the power to declare war and to raise armies, and the President shall be " +
  "the commander of the forces of the United States.";
const sentinel = (number) => tokenizer.vocabSize - 1 - number; // they descend

// Half to even, as in Python and in T5's code.
const round = (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

// How many of n tokens are cut out, and in how many spans: T5's rule.
export function spanCounts(n, rate, meanSpan) {
  const cutOut = Math.min(Math.max(round(n * rate), 1), Math.max(n - 1, 0));
  const spans = Math.max(round(cutOut / meanSpan), 1);
  return [cutOut, Math.min(spans, cutOut, n - cutOut)];
}

// Cut `items` into `parts` stretches of at least one, each way equally likely.
function cut(items, parts, random) {
  const places = [...Array(items - 1).keys()].map((place) => [random(), place + 1]);
  const ends = places
    .sort((a, b) => a[0] - b[0])
    .slice(0, parts - 1)
    .map(([, place]) => place);
  const borders = [0, ...ends.sort((a, b) => a - b), items];
  return borders.slice(1).map((end, i) => end - borders[i]);
}

// Inputs and targets of a text, and its spans: [{start, end}].
export function corruptSpans(ids, rate, meanSpan, random) {
  const [cutOut, count] = spanCounts(ids.length, rate, meanSpan);
  if (count < 1) return { inputs: [...ids, EOS], targets: [EOS], spans: [] };
  const [keptLengths, cutLengths] = [
    cut(ids.length - cutOut, count, random),
    cut(cutOut, count, random),
  ];
  let [place, inputs, targets, spans] = [0, [], [], []];
  cutLengths.forEach((length, number) => {
    const start = place + keptLengths[number];
    inputs.push(...ids.slice(place, start), sentinel(number));
    targets.push(sentinel(number), ...ids.slice(start, start + length));
    spans.push({ start, end: (place = start + length) });
  });
  return { inputs: [...inputs, EOS], targets: [...targets, EOS], spans };
}

// What was written after each sentinel: number → ids.
export function answers(written) {
  const found = new Map();
  let current = null;
  for (const id of written) {
    const number = sentinel(0) - id;
    if (id === EOS) break;
    if (number >= 0 && number < 64) found.set((current = number), []);
    else found.get(current)?.push(id);
  }
  return found;
}

export function spans() {
  let [ids, rate, meanSpan, made, seed, counts] = [[], 0.15, 3, null, 1, ""];
  const { line, ask, bring } = offer(["t5-mini"]);
  const shown = {
    inputs: box(6, "Input"),
    targets: box(5, "Target"),
    mended: box(6, "Mended text"),
  };
  const said = spoken("", 3);

  // Sentinels stand out; all else is plain text.
  const marked = (list) =>
    list.map((id) =>
      tokenizer.mark(id) ? el("mark", { class: "sentinel" }, tokenizer.mark(id)) : tokenizer.decode([id]),
    );
  const words = (list) => el("p", { dir: "auto" }, joined(list));
  const joined = (list) => {
    const parts = [];
    let run = [];
    for (const id of [...list, null]) {
      if (id !== null && !tokenizer.mark(id)) run.push(id);
      else {
        if (run.length) parts.push(tokenizer.decode(run));
        if (id !== null) parts.push(...marked([id]));
        run = [];
      }
    }
    return parts;
  };
  const corruptNow = () => {
    made = corruptSpans(ids, rate, meanSpan, dice(seed));
    fill(shown.inputs, words(made.inputs));
    fill(shown.targets, words(made.targets));
    fill(shown.mended, el("p", { class: "live-note" }, "What T5 writes comes here."));
    const cutOut = made.spans.reduce((sum, { start, end }) => sum + end - start, 0);
    const share = ids.length ? Math.round((100 * cutOut) / ids.length) : 0;
    counts =
      `${cutOut} of ${ids.length} tokens cut out (${share}%) in ${made.spans.length} spans. ` +
      `T5 reads ${made.inputs.length} tokens and learns from ${made.targets.length}.`;
    if (!ids.length) counts = "No text: write some, so that there is something to cut out.";
    said.textContent = counts;
  };
  const mend = async () => {
    if (!made.spans.length) return (said.textContent = "Nothing is cut out: write a longer text.");
    const asked = made;
    const written = await ask("generate", {
      name: "t5-mini",
      ids: made.inputs,
      most: made.targets.length + 10,
    });
    if (asked !== made) return;
    const found = answers(written);
    let right = 0;
    let place = 0;
    const text = asked.spans.flatMap(({ start, end }, number) => {
      const before = tokenizer.decode(ids.slice(place, start));
      const answer = found.get(number) ?? [];
      right += answer.join() === ids.slice(start, end).join() ? 1 : 0;
      place = end;
      return [
        before,
        el("ins", {}, tokenizer.decode(answer).replace(/\n+/g, " ⏎ ") || " …"),
        el("del", {}, tokenizer.decode(ids.slice(start, end))),
      ];
    });
    fill(shown.mended, el("p", { dir: "auto" }, text, tokenizer.decode(ids.slice(place))));
    said.textContent =
      `${counts} It wrote ${written.length} tokens; ${right} of ${asked.spans.length} spans are ` +
      "exactly what stood there.";
  };
  const begin = (text) => {
    ids = idsOf(text, 120, field);
    corruptNow();
  };
  const field = textField("Your text", TEXT, begin, 3);
  const share = slider(
    "Share that is cut out",
    { min: 5, max: 60, step: 5, value: 15, say: (v) => `${v}%` },
    (v) => {
      rate = v / 100;
      corruptNow();
    },
  );
  const mean = slider(
    "Mean span",
    { min: 1, max: 10, step: 1, value: 3, say: (v) => (v === 1 ? "1 token" : `${v} tokens`) },
    (v) => {
      meanSpan = v;
      corruptNow();
    },
  );
  const again = () => {
    seed++;
    corruptNow();
  };
  field.input.addEventListener("focus", bring);
  begin(TEXT);
  mend();
  const part = (title, node) => [el("h4", {}, title), node];
  const buttons = controls(
    button("Draw again", again),
    button("Let T5 mend it", mend, { class: "live-main" }),
  );
  const legend = el(
    "p",
    { class: "live-note" },
    "In the mended text, what T5 wrote is underlined; what stood there follows, struck through.",
  );
  return [
    controls(field),
    controls(share, mean),
    buttons,
    said,
    part("Input", shown.inputs),
    part("Target", shown.targets),
    part("Mended", shown.mended),
    legend,
    line,
  ].flat();
}

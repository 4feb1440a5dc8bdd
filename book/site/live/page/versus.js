// Two sentences against each other: which one does each model find likelier, and which tokens say so?

import { choice, controls, el, fill, idsOf, later, seen, spoken, textField } from "./parts.js";
import { offer } from "./models.js";
import { shared } from "../engine/scores.js";

const MODELS = [
  ["bert-mini", "BERT", "each token masked in turn, all others visible"],
  ["gpt-mini", "GPT", "each token after those before it"],
  ["t5-mini", "T5", "what differs, from all that is shared"],
];
const NAMES = MODELS.map(([name]) => name);
const PAIRS = window.liveData.pairs;
const MOST = 40; // tokens of a sentence
const FULL = 3; // nats at which a colour is full

export function versus() {
  let texts = [...PAIRS[0]];
  const { line, ask, bring } = offer(NAMES);
  const said = spoken("", 3);
  const panels = el("dl", { class: "live-rows live-sides" });

  const show = async () => {
    const asked = texts.join("\n");
    const pair = texts.map((text, n) => idsOf(text.trim() && ` ${text.trim()}`, MOST, fields[n]));
    if (pair.some((ids) => !ids.length) || String(pair[0]) === String(pair[1])) {
      fill(panels);
      said.textContent = "Two different sentences are needed.";
      return;
    }
    const found = await Promise.all(NAMES.map((name) => ask("scores", { name, pair })));
    if (asked !== texts.join("\n")) return; // the reader was faster
    const gaps = found.map((scores, n) => gapsOf(pair, scores, NAMES[n] === "t5-mini"));
    const verdicts = gaps.map((gap, n) => `${MODELS[n][1]} ${verdict(total(gap))}`);
    said.textContent = `${verdicts.join("; ")}.`;
    fill(panels, MODELS.map(([, title, how], n) => panel(title, how, gaps[n])));
  };
  const typed = later(show);
  const fields = ["First sentence", "Second sentence"].map((name, n) => {
    const field = textField(name, texts[n], (text) => {
      texts[n] = text;
      examples.own();
      typed();
    });
    field.input.addEventListener("focus", bring);
    return field;
  });
  const names = PAIRS.map(([good], n) => [n, good]);
  const examples = choice("Pairs, the right one first", names, (n) => {
    texts = [...PAIRS[n]];
    fields.forEach((field, side) => (field.input.value = texts[side]));
    show();
  });
  show();
  const note =
    "Numbers are differences of ln P in nats: + speaks for the first sentence, − (underlined) for the " +
    "second. Where the sentences differ, the scores of what differs are added up on either side. " +
    "BERT's sum is no probability; sentences of one length compare.";
  return [controls(examples), controls(fields), said, panels, el("p", { class: "live-note" }, note), line];
}

const total = (gaps) => gaps.reduce((sum, { gap }) => sum + gap, 0);
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

// What speaks for which sentence: the shared tokens before, what differs, the shared tokens after.
function gapsOf([a, b], [first, second], onlyTheGap) {
  const share = shared(a, b);
  const words = (ids) => ids.slice(share.first, ids.length - share.last).map(seen).join("") || "nothing";
  const middle = { text: `${words(a)} / ${words(b)}` };
  if (onlyTheGap) {
    const ends = first.at(-1) - second.at(-1);
    return [{ ...middle, gap: sum(first) - sum(second) - ends }, { text: "end", gap: ends }];
  }
  const differing = (scores) => sum([...scores].slice(share.first, scores.length - share.last));
  const before = a.slice(0, share.first).map((id, t) => ({ text: seen(id), gap: first[t] - second[t] }));
  const after = a.slice(a.length - share.last).map((id, t) => {
    const place = t - share.last; // counted from the end
    return { text: seen(id), gap: first.at(place) - second.at(place) };
  });
  return [...before, { ...middle, gap: differing(first) - differing(second) }, ...after];
}

function verdict(gap) {
  if (Math.abs(gap) < 0.005) return "finds both equally likely";
  return `prefers the ${gap > 0 ? "first" : "second"} by ${Math.abs(gap).toFixed(2)} nats`;
}

const signed = (gap) => `${gap < 0 ? "−" : "+"}${Math.abs(gap).toFixed(2)}`;

function panel(title, how, gaps) {
  const chips = gaps.map(({ text, gap }) => {
    const side = gap < 0 ? "second" : "first";
    const style = `--w: ${Math.min(1, Math.abs(gap) / FULL).toFixed(2)}`;
    return el("li", { class: `live-chip ${side}`, style }, el("b", {}, text), el("small", {}, signed(gap)));
  });
  return [
    el("dt", {}, el("b", {}, title), ` ${how}: ${signed(total(gaps))}`),
    el("dd", {}, el("ol", { class: "live-chips" }, chips)),
  ];
}

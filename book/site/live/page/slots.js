// One sentence, one pass, two answers: what the speaker wants, and what role each word plays.

import { CLS, SEP, bars, box, controls, cut, el, fill, later, percent, slider } from "./parts.js";
import { spoken, table, textField, tokenizer } from "./parts.js";
import { config, offer, there } from "./models.js";

const START = "book a flight from boston to new york on monday for two adults";
const MOST = 40; // words
const NAMES = ["intent-slots"];

// Words, and where the first piece of each stands in [CLS] pieces [SEP]. A word's tag is read there.
export function wordsOf(text) {
  const words = text
    .toLowerCase()
    .replace(/[.,;:!?]/g, " ")
    .split(/\s+/)
    .filter(Boolean);
  const [ids, places] = [[CLS], []];
  for (const word of words.slice(0, MOST)) {
    places.push(ids.length);
    ids.push(...tokenizer.encode(` ${word}`).slice(0, 3));
  }
  const isCut = words.length > MOST;
  return { words: words.slice(0, MOST), ids: [...ids, SEP], places, isCut };
}

export function slots() {
  if (!there("intent-slots")) return [offer(NAMES).line];
  const { intents, tags, alphas, scores } = config("intent-slots");
  let [which, text] = [alphas.indexOf(0.5), START];
  const { line, ask, bring } = offer(["bert-mini", ...NAMES]);
  const tagged = box(10, "Words and their tags");
  const said = spoken("", 2);
  const list = el("div", {}, bars(intents.length, [], "Intents"));
  const grid = el("div");

  const showScores = () => {
    const kinds = { template: "new sentence patterns", values: "new values", both: "both new" };
    const rows = Object.entries(kinds).map(([kind, name]) => {
      const { intent_accuracy: intent, slot_f1: slot } = scores[which][kind];
      return [name, percent(intent), percent(slot)];
    });
    fill(grid, table(["on unseen sentences with", "intent", "slots (F1)"], rows));
  };
  const read = async () => {
    showScores();
    const { words, ids, places, isCut } = wordsOf(text);
    field.tell(cut(MOST, "words", isCut));
    if (!words.length) {
      showWords(words, []);
      fill(list, bars(intents.length, [], "Intents"));
      said.textContent = "No words, no intent: write a sentence.";
      return;
    }
    const asked = [which, text].join();
    const { intent, tags: found } = await ask("intent", { ids, which });
    if (asked !== [which, text].join()) return; // the reader was faster
    const best = places.map((place) => largest(found, place * tags.length, tags.length));
    showWords(
      words,
      best.map(([tag, p]) => [tags[tag], p]),
    );
    const order = intents.map((name, i) => ({ label: name, share: intent[i] }));
    order.sort((a, b) => b.share - a.share);
    fill(list, bars(intents.length, order, "Intents"));
    const slotWords = best.filter(([tag]) => tag > 0).length;
    said.textContent =
      `α = ${alphas[which]}: intent “${order[0].label}” with ${percent(order[0].share)}; ` +
      `${slotWords} of ${words.length} words belong to a slot.`;
  };
  const showWords = (words, found) => {
    const chips = words.map((word, i) => {
      const [tag, p] = found[i] ?? ["", 0];
      const kind = tag && tag !== "O" ? "live-chip odd" : "live-chip";
      const note = tag ? `${tag} ${percent(p)}` : "–";
      return el("li", { class: kind }, el("b", {}, word), el("small", {}, note));
    });
    fill(tagged, el("ol", { class: "live-chips" }, chips));
  };
  const typed = later((value) => {
    text = value;
    read();
  });
  const field = textField("Sentence", START, typed);
  field.input.addEventListener("focus", bring);
  const say = (step) => `${alphas[step]}`;
  const range = { min: 0, max: alphas.length - 1, step: 1, value: which, say };
  const weight = slider("α, the weight of the intent:", range, (step) => {
    which = step;
    read();
  });
  read();
  const note =
    "One model for each α, trained on flight booking only: it has seven intents and knows no " +
    "others. B- begins a slot, I- goes on with it, O is outside. Of a long word three tokens are read. The table is measured with " +
    "the weights that this page uses.";
  return [
    controls(field, weight),
    tagged,
    said,
    list,
    grid,
    el("p", { class: "live-note" }, note),
    line,
  ];
}

// The largest of some numbers of an array: its place among them, and itself.
function largest(numbers, from, count) {
  const part = [...numbers.slice(from, from + count)];
  const most = Math.max(...part);
  return [part.indexOf(most), most];
}

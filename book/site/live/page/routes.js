// One text, two routes to its sentiment: a head that knows two labels, or a word that is written.
// Below the answers stands what was measured: speed here and now, the rest from the records.

import { CLS, SEP, bars, controls, el, fill, idsOf, later, likeliest, number, percent } from "./parts.js";
import { seen, spoken, table, textField } from "./parts.js";
import { ask, config, offer, there } from "./models.js";

const START = "a warm , funny and moving film with a wonderful cast";
const EOS = 4;
const MOST = 62; // pieces, as in training
const TITLES = ["Classify: BERT and a head", "Generate: GPT writes a word"];

export function routes() {
  if (!there("routes")) return [offer(["routes"], () => {})];
  const { words, scores } = config("routes");
  let [text, ready] = [START, false];
  const said = spoken("Load the models, then write a sentence about a film.", 2);
  const answers = TITLES.map(() => el("div"));
  const facts = el("div");

  const show = (items, milliseconds) => {
    TITLES.forEach((title, i) => {
      fill(answers[i], el("h4", {}, title), bars(4, items[i], title));
    });
    fill(facts, compared(milliseconds));
  };
  const read = async () => {
    const asked = text;
    const ids = idsOf(text, MOST, field);
    if (!ready) return show([[], []], null);
    if (!text.trim()) {
      said.textContent = "No text, no answer: write a sentence about a film.";
      return show([[], []], null);
    }
    const label = await ask("route", { way: "classify", ids: [CLS, ...ids, SEP] });
    const word = await ask("route", { way: "generate", ids: [...ids, EOS] });
    if (asked !== text) return; // the reader was faster
    const [bad, good] = label.probabilities;
    const labels = [
      { label: "good", share: good },
      { label: "bad", share: bad },
    ].sort((a, b) => b.share - a.share);
    const written = likeliest(word.probabilities, 4);
    const pieces = written.map(({ id, p }) => ({ label: seen(id), share: p }));
    show([labels, pieces], [label.milliseconds, word.milliseconds]);
    const [first] = written;
    const answer = words.includes(first.id) ? pieces[0].label.replace("·", "") : "no label";
    said.textContent =
      `BERT: ${labels[0].label} with ${percent(labels[0].share)}. ` +
      `GPT: ${answer} with ${percent(first.p)}.`;
  };
  const typed = later((value) => {
    text = value;
    read();
  });
  const field = textField("A sentence about a film", START, typed);
  show([[], []], null);
  const models = offer(["bert-mini", "gpt-mini", "routes"], () => {
    ready = true;
    read();
  });
  return [
    models,
    controls(field),
    said,
    el("div", { class: "live-two" }, answers),
    facts,
    el("h4", {}, "Right on unseen sentences, by labelled sentences to learn from"),
    byLabels(scores),
    el(
      "p",
      { class: "live-note" },
      "Without labels GPT is asked which of the two words it likes better; a head knows nothing. " +
        "“Last block” is what this page computes with; “all weights” comes from the book's " +
        "record of data efficiency.",
    ),
  ];
}

// Speed, accuracy, flexibility: milliseconds [classify, generate], or null before the first answer.
function compared(milliseconds) {
  const { tuned, flops } = window.liveData.measured;
  const time = (i, unit) => (milliseconds ? `${milliseconds[i].toFixed(1)} ms ${unit}` : "–");
  const rows = [["This text, on your device", time(0, "in all"), time(1, "a word")]];
  if (tuned)
    rows.push([
      `Right after fine-tuning all weights on ${number(tuned.sentences)} sentences`,
      ...["bert-mini", "t5-mini"].map((name) => `${right(tuned[name])} (${name})`),
    ]);
  if (flops)
    rows.push([
      "Pre-training before that",
      ...["bert-mini", "gpt-mini"].map((name) => `${(flops[name] / 1e12).toFixed(0)} TFLOPs`),
    ]);
  rows.push(
    ["Can answer", "one of two labels", "any of 4,096 pieces, and go on"],
    ["Another question needs", "a new head and labels for it", "the words it should write"],
  );
  return table(["", "classify", "generate"], rows, "wrapped");
}

const right = ({ mean, sd }) => `${percent(mean)} ± ${(100 * sd).toFixed(1)}`;

function byLabels(scores) {
  const whole = window.liveData.measured.labels ?? {};
  const most = Math.max(0, ...Object.keys(whole).map(Number)); // all that there are
  const counts = [...new Set([...scores.map((row) => row.labels), most])].sort((a, b) => a - b);
  const of = (route, labels) => scores.find((row) => row.route === route && row.labels === labels);
  const cells = (value) => counts.map((count) => (value(count) == null ? "–" : percent(value(count))));
  return table(
    ["labels", ...counts.map((count) => number(count))],
    [
      ["classify, last block", ...cells((count) => of("classify", count)?.accuracy)],
      ["classify, all weights", ...cells((count) => whole[count])],
      ["generate, last block", ...cells((count) => of("generate", count)?.accuracy)],
    ],
  );
}

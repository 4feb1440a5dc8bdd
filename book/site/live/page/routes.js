// One text, two routes to its sentiment: a classifier's head, or a word that is written.

import { CLS, SEP, bars, controls, el, fill, idsOf, later, likeliest, percent } from "./parts.js";
import { seen, spoken, textField } from "./parts.js";
import { ask, config, offer, there } from "./models.js";

const START = "a warm , funny and moving film with a wonderful cast";
const EOS = 4;
const MOST = 62; // as in training

export function routes() {
  if (!there("routes")) return [offer(["routes"], () => {})];
  const { words, scores } = config("routes");
  let [text, ready] = [START, false];
  const said = spoken("Load the models, then write a sentence about a film.", 2);
  const left = el("div");
  const right = el("div");

  const show = (node, title, items, note) =>
    fill(node, el("h4", {}, title), bars(5, items, title), el("p", { class: "live-note" }, note));
  const empty = () => {
    show(left, "Classify: BERT and a head", [], "–");
    show(right, "Generate: GPT writes a word", [], "–");
  };
  const read = async () => {
    if (!ready) return empty();
    const asked = text;
    const ids = idsOf(text, MOST);
    const one = await ask("route", { kind: "classify", ids: [CLS, ...ids, SEP] });
    const two = await ask("route", { kind: "generate", ids: [...ids, EOS] });
    if (asked !== text) return; // the reader was faster
    const [bad, good] = one.probabilities;
    const labels = [
      { label: "good", share: good },
      { label: "bad", share: bad },
    ];
    const written = likeliest(two.probabilities, 5);
    const pieces = written.map(({ id, p }) => ({ label: seen(id), share: p }));
    show(
      left,
      "Classify: BERT and a head",
      labels,
      `${one.time.toFixed(1)} ms. It cannot say anything else.`,
    );
    show(
      right,
      "Generate: GPT writes a word",
      pieces,
      `${two.time.toFixed(1)} ms. It could write any piece.`,
    );
    const answer = words.includes(written[0].id)
      ? seen(written[0].id).replace("·", "")
      : "no label";
    said.textContent = `BERT: ${good > bad ? "good" : "bad"} with ${percent(Math.max(good, bad))}. GPT: ${answer} with ${percent(written[0].p)}.`;
  };
  const typed = later((value) => {
    text = value;
    read();
  });
  const field = textField("A sentence about a film", START, typed);
  empty();
  const models = offer(["bert-mini", "gpt-mini", "routes"], () => {
    ready = true;
    read();
  });
  const table = accuracies(scores);
  const note =
    "Accuracy on unseen sentences with the weights of this page, by the number of labelled " +
    "sentences learned from. Without any, a head knows nothing, and GPT is asked which of the " +
    "two words it likes better. Times are of this device, now.";
  return [
    models,
    controls(field),
    said,
    el("div", { class: "live-two" }, left, right),
    table,
    el("p", { class: "live-note" }, note),
  ];
}

function accuracies(scores) {
  const counts = [...new Set(scores.map((row) => row.labels))].sort((a, b) => a - b);
  const of = (route, labels) => scores.find((row) => row.route === route && row.labels === labels);
  const row = (route, name) => {
    const cells = counts.map((count) =>
      el("td", {}, of(route, count) ? percent(of(route, count).accuracy) : "–"),
    );
    return el("tr", {}, el("th", { scope: "row" }, name), cells);
  };
  const head = counts.map((count) => el("th", { scope: "col" }, count.toLocaleString("en")));
  const first = el("tr", {}, el("th", { scope: "col" }, "labels"), head);
  const body = [row("classify", "classify"), row("generate", "generate")];
  return el("table", { class: "live-table" }, el("thead", {}, first), el("tbody", {}, body));
}

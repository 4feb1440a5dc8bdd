// A few questions that lead to a kind of model. Each answer can be taken back.

import { button, controls, el, fill, spoken } from "./parts.js";

// The questions of Section 9.5.3, in its order.
const QUESTIONS = {
  start: {
    ask: "Would a rule, a regular expression or a lexicon do?",
    answers: [
      ["Yes", "rule"],
      ["No", "output"],
    ],
  },
  output: {
    ask: "What must come out?",
    answers: [
      ["A label, tags, or a span", "labels"],
      ["A vector, to search by", "vector"],
      ["A text made of a text", "pairs"],
      ["Free text, code, talk", "free"],
    ],
  },
  labels: {
    ask: "How many labelled examples do you have?",
    answers: [
      ["Thousands", "encoder"],
      ["Dozens to hundreds", "frozen"],
      ["None", "prompt"],
    ],
  },
  pairs: {
    ask: "How many pairs of texts do you have to learn from?",
    answers: [
      ["Thousands", "both"],
      ["Few", "larger"],
    ],
  },
};
// What to start with, why, and the section that says more.
const ADVICE = {
  rule: ["Take the rule", "It is faster, cheaper and easier to explain than any model.", "9.1.3"],
  encoder: [
    "Fine-tune an encoder",
    "It reads both sides, and one pass answers for the whole text.",
    "9.2.4",
  ],
  frozen: [
    "A small encoder, frozen, and a linear head",
    "So few labels move a small head safely, and all weights only with care.",
    "9.2.4",
  ],
  prompt: [
    "Prompt an instruction-tuned decoder",
    "It needs no labels to answer; to know how well it does, you need some after all.",
    "9.3.4",
  ],
  vector: [
    "An encoder tuned to compare",
    "Take one that was trained for sentence vectors; a plain BERT was not.",
    "9.2.4",
  ],
  both: [
    "Fine-tune an encoder–decoder",
    "The encoder reads the input once, from both sides, and the decoder writes.",
    "9.4.1",
  ],
  larger: ["Prompt a decoder", "Show it the few pairs that you have.", "9.3.4"],
  free: [
    "Take an instruction-tuned decoder",
    "Writing is what it was trained for. Prompt first, fine-tune when prompts stop helping.",
    "9.5.2",
  ],
};

export function tree() {
  const path = ["start"];
  const place = el("div", { class: "live-tree" });
  const trail = el("ol", { class: "live-trail", "aria-label": "Your answers" });
  const said = spoken("", 3);
  const go = (next) => {
    path.push(next);
    show(true);
  };
  const back = () => {
    if (path.length > 1) path.pop();
    show(true);
  };
  const again = () => {
    path.length = 1;
    show(true);
  };
  const show = (moved) => {
    const at = path.at(-1);
    const question = QUESTIONS[at];
    if (question) {
      said.textContent = question.ask;
      fill(
        place,
        controls(
          question.answers.map(([text, next]) =>
            button(text, () => go(next), { class: "live-answer" }),
          ),
        ),
      );
    } else {
      const [title, reason, section] = ADVICE[at];
      said.textContent = `${title}. ${reason} See Section ${section}.`;
      fill(place, el("p", { class: "live-advice" }, title));
    }
    const taken = path.slice(1).map((next, i) => {
      const from = QUESTIONS[path[i]];
      const [text] = from.answers.find(([, to]) => to === next);
      return el("li", {}, text);
    });
    fill(trail, taken);
    if (moved) (place.querySelector("button") ?? last).focus();
  };
  const last = button("Start again", again);
  show(false);
  return [said, place, controls(button("Back", back), last), trail];
}

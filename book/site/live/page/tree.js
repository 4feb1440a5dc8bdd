// A few questions that lead to a kind of model. Each answer can be taken back.

import { button, controls, el, fill, spoken } from "./parts.js";

export const QUESTIONS = {
  start: {
    ask: "What must come out?",
    answers: [
      ["A label, a tag, or a place in the text", "labels"],
      ["A vector, to search or to compare", "vector"],
      ["New text", "text"],
    ],
  },
  labels: {
    ask: "How many labelled examples do you have?",
    answers: [
      ["None or a handful", "prompt"],
      ["Hundreds or more", "signal"],
    ],
  },
  signal: {
    ask: "Does counting words already solve it? Try it first: it takes a minute.",
    answers: [
      ["Yes, well enough", "count"],
      ["No", "speed"],
    ],
  },
  speed: {
    ask: "Must it be fast, cheap, or run on a small machine?",
    answers: [
      ["Yes", "small"],
      ["No", "encoder"],
    ],
  },
  text: {
    ask:
      "Is the output tied to an input, as in a translation or a summary, and do you have thousands " +
      "of such pairs?",
    answers: [
      ["Yes", "pairs"],
      ["No", "decoder"],
    ],
  },
};
export const ADVICE = {
  prompt: [
    "Prompt a decoder",
    "An instruction-tuned decoder needs no training. Measure it on the few labels you have; when " +
      "there are hundreds, ask again.",
    "9.3.4",
  ],
  count: [
    "No pre-trained model",
    "A bag of words with a linear classifier is small, fast, and can be read. Keep it, and keep " +
      "it as the baseline.",
    "9.1.3",
  ],
  small: [
    "Fine-tune a small encoder",
    "One pass over both sides answers for the whole text, and a small or distilled encoder needs " +
      "no accelerator for it.",
    "9.2.4",
  ],
  encoder: [
    "Fine-tune an encoder",
    "Reading both sides is what the task needs, and one pass is enough. Compare with a prompted " +
      "decoder before you buy hardware.",
    "9.2.4",
  ],
  vector: [
    "An encoder tuned to compare",
    "Take one that was trained for sentence vectors; a plain BERT's vectors are poor at it.",
    "9.2.4",
  ],
  pairs: [
    "Fine-tune an encoder–decoder",
    "The encoder reads the input once, from both sides, and the decoder writes. With fewer pairs, " +
      "prompt a decoder.",
    "9.4.1",
  ],
  decoder: [
    "A decoder",
    "Prompt it first, with examples in the prompt; fine-tune when prompts stop helping.",
    "9.3.4",
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

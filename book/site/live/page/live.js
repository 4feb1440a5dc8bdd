// Puts each live figure where the page has a place for it: <div class="live" data-live="NAME">. What
// stands inside is for print, for notebooks, and for readers without scripts.

import { attention } from "./attention.js";
import { corruption } from "./corruption.js";
import { cost } from "./cost.js";
import { el } from "./parts.js";
import { maskGuess } from "./mask-guess.js";
import { paradigms } from "./paradigms.js";
import { pieces } from "./pieces.js";
import { predict, record } from "./predict.js";
import { quizProgress } from "./quiz.js";
import { scaling } from "./scaling.js";
import { slots } from "./slots.js";
import { spans } from "./spans.js";
import { stepping } from "./stepping.js";
import { training } from "./training.js";
import { tree } from "./tree.js";
import { versus } from "./versus.js";

export const figures = {
  paradigms: ["One sentence, three models", paradigms],
  pieces: ["Tokenizer", pieces],
  "mask-guess": ["Mask and guess", maskGuess],
  corruption: ["80/10/10, drawn again and again", corruption],
  stepping: ["One token after another", stepping],
  attention: ["Who looks at whom", attention],
  spans: ["Span corruption", spans],
  versus: ["Two sentences against each other", versus],
  slots: ["Intent and slots", slots],
  scaling: ["Loss, size and data", scaling],
  cost: ["What does training cost?", cost],
  training: ["Three objectives learn one source", training],
  tree: ["Which model?", tree],
};

export function mount(place) {
  const [title, build] = figures[place.dataset.live];
  place.querySelector(".live-app")?.remove(); // drawn when the book was built
  const still = el("div", { class: "live-still" });
  still.append(...place.childNodes);
  const heading = el("h3", { class: "live-title" }, title);
  const app = el("div", { class: "live-app", role: "group", "aria-label": title }, heading);
  app.append(...build());
  place.append(still, app);
}

document.querySelectorAll(".live[data-live]").forEach(mount);
document.querySelectorAll("div.predict").forEach(predict);
document.querySelectorAll("[data-predictions]").forEach(record);
addEventListener("DOMContentLoaded", quizProgress);

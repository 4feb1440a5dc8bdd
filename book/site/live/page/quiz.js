// Which questions of this page's quizzes were answered right, kept on this device, with a reset.

import { button, el, fill } from "./parts.js";

export function quizProgress() {
  const questions = [...document.querySelectorAll(".Quiz:has(input)")];
  if (!questions.length) return;
  const key = `quiz ${document.title}`;
  const keyOf = (question) =>
    question.querySelector("[id^=quizQn]")?.textContent.trim() ?? question.id;
  const said = el("p", { role: "status", class: "live-said" });
  let done = read(key);

  const show = () => {
    const right = questions.filter((question) => done.includes(keyOf(question))).length;
    const reset = button("Forget my answers", () => {
      save(key, (done = []));
      show();
    });
    fill(
      said,
      `Answered right so far: ${right} of ${questions.length}. Kept on this device only. `,
      reset,
    );
  };
  const answered = (question) => () => {
    const right = question.querySelector(".Feedback.Correct, .Feedback.correct");
    if (!right || done.includes(keyOf(question))) return;
    save(key, (done = [...done, keyOf(question)]));
    show();
  };
  for (const question of questions) {
    question.addEventListener("click", () => setTimeout(answered(question)));
    question.addEventListener("change", () => setTimeout(answered(question)));
  }
  show();
  questions.at(-1).after(said);
}

function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? [];
  } catch {
    return []; // a browser may forbid it
  }
}

function save(key, done) {
  try {
    if (done.length) localStorage.setItem(key, JSON.stringify(done));
    else localStorage.removeItem(key);
  } catch {
    // then it is kept while the page is open
  }
}

// Which questions of this page's quizzes were answered right, kept on this device, with a reset.

import { button, el, fill, later } from "./parts.js";

// Quizzes are drawn some time after the page is there.
export function quizProgress() {
  const places = document.querySelectorAll("[data-numquestions]");
  if (!places.length) return;
  const drawn = () => [...places].every((place) => place.querySelector(".Quiz input"));
  let followed = false;
  const start = () => {
    if (followed || !drawn()) return;
    followed = true;
    watcher.disconnect();
    follow([...document.querySelectorAll(".Quiz:has(input)")]);
  };
  const watcher = new MutationObserver(later(start, 300));
  watcher.observe(document.body, { childList: true, subtree: true });
  later(start, 300)();
}

function follow(questions) {
  const key = `quiz ${document.title}`;
  const keyOf = (question) =>
    question.querySelector("[id^=quizQn]")?.textContent.trim() ?? question.id;
  const said = el("p", { role: "status", class: "live-said" });
  let done = read(key);

  const show = () => {
    const right = questions.filter((question) => done.includes(keyOf(question))).length;
    const reset = button("Forget my answers", () => {
      save(key, (done = []));
      questions.forEach(clear);
      show();
    });
    fill(
      said,
      `Answered right so far: ${right} of ${questions.length}. Kept on this device only. `,
      reset,
    );
  };
  // The choice itself says whether it is right: by the time the feedback stands there, a quick
  // reader may have chosen again.
  const answered = (question) => (event) => {
    const chosen = event.target.closest("[data-correct]")?.dataset.correct === "true";
    setTimeout(() => {
      const right = chosen || question.querySelector(".Feedback.Correct, .Feedback.correct");
      if (!right || done.includes(keyOf(question))) return;
      save(key, (done = [...done, keyOf(question)]));
      show();
    });
  };
  for (const question of questions) {
    question.addEventListener("click", answered(question));
    question.addEventListener("change", answered(question));
  }
  // What was answered on an earlier visit is answered again, so that page and count agree.
  for (const question of questions) {
    if (done.includes(keyOf(question))) question.querySelector("[data-correct=true]")?.click();
  }
  show();
  questions.at(-1).after(said);
}

function clear(question) {
  for (const input of question.querySelectorAll("input[type=radio]")) input.checked = false;
  for (const choice of question.querySelectorAll(".MCButton")) {
    choice.classList.remove("correctButton", "incorrectButton");
  }
  const feedback = question.querySelector(".Feedback");
  feedback.textContent = "";
  feedback.classList.remove("correct", "incorrect");
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

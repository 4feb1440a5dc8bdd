// Repairs of the theme and of what notebooks put into a page, all of them for readers who listen
// to a page or use only a keyboard.

// A name that is spoken must contain the text that is seen, also after icons become drawings.
function nameButtons() {
  for (const button of document.querySelectorAll(".search-button-field")) {
    button.removeAttribute("aria-label");
  }
  for (const icon of document.querySelectorAll(".theme-switch-button > *")) {
    icon.setAttribute("aria-hidden", "true");
    icon.removeAttribute("title");
    icon.querySelector("title")?.remove();
  }
}

// Wide code, tables and formulas scroll by themselves, so the keyboard must be able to reach them.
function reachScrollable() {
  const wide =
    "pre, .cell_output .output, .pst-scrollable-table-container, div.math, mjx-container, .live-box.heat";
  for (const box of document.querySelectorAll(wide)) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    if (box.matches("pre, .pst-scrollable-table-container, div.math, .live-box.heat")) {
      box.onscroll = () => fadeWhereMoreFollows(box);
      fadeWhereMoreFollows(box);
    }
  }
}

// On a phone no scroll bar says that code or a table goes on: it fades at the right until its end is reached.
function fadeWhereMoreFollows(box) {
  box.classList.toggle("goes-on", box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
}

// Quiz fields and sliders come without a label: take the question, or the text beside the slider.
function labelInputs() {
  for (const field of document.querySelectorAll("input.Input-text:not([aria-label])")) {
    const question = field.closest(".Quiz")?.querySelector(".QuizQuestion, [id^=quizQn]");
    field.setAttribute("aria-label", question?.textContent.trim() || "Your answer");
  }
  for (const feedback of document.querySelectorAll(".Quiz .Feedback:not([role])")) {
    feedback.setAttribute("role", "status"); // so that an answer's explanation is read out
  }
  for (const handle of document.querySelectorAll(".noUi-handle:not([aria-label])")) {
    const label = handle.closest(".jupyter-widgets")?.querySelector(".widget-label");
    handle.setAttribute("aria-label", label?.textContent.trim() || "Value");
  }
}

// Paper is white, whatever the screen was.
function printInLight() {
  const chosen = document.documentElement.dataset; // mode: light, dark, or auto, the system's
  const before = () => (chosen.theme = "light");
  const after = () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    chosen.theme = chosen.mode === "auto" ? (dark ? "dark" : "light") : chosen.mode;
  };
  addEventListener("beforeprint", before);
  addEventListener("afterprint", after);
  matchMedia("print").addEventListener("change", ({ matches }) => (matches ? before() : after()));
}

function mend() {
  nameButtons();
  labelInputs();
}

let waiting;
function measureSoon() {
  clearTimeout(waiting);
  waiting = setTimeout(reachScrollable, 50);
}

document.addEventListener("DOMContentLoaded", () => {
  mend();
  measureSoon();
  printInLight();
  // Icons, quizzes, widgets and formulas are drawn after the page is ready.
  new MutationObserver(() => {
    mend();
    measureSoon();
  }).observe(document.body, { childList: true, subtree: true });
  addEventListener("resize", measureSoon);
});

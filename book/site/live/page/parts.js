// Pieces that all live figures are made of. What a reader types enters the page as text only, never
// as markup, and leaves it nowhere.

import { Tokenizer } from "../engine/tokenizer.js";

export const tokenizer = new Tokenizer(window.liveData.merges);
export const CLS = 1;
export const SEP = 2;
export const MASK = 3;

// An element. `properties` are attributes; on* are listeners; false and null leave one out.
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity));
  return node;
}

export function fill(node, ...children) {
  node.replaceChildren(...children.flat(Infinity));
  return node;
}

// A button that is pressed or not has a state; others have none.
export function button(text, onclick, properties = {}) {
  return el("button", { type: "button", onclick, ...properties }, text);
}

// A control under its label; `beside` stands next to the label's text. A browser that comes back to
// the page must not fill it in again: the figure around it begins anew.
function field(label, input, beside = "") {
  input.id = `live-${++fields}`;
  input.autocomplete = "off";
  const head = el("span", {}, el("label", { for: input.id }, label), " ", beside);
  return Object.assign(el("div", { class: "live-field" }, head, input), { input });
}
let fields = 0;

// `tell` says beside the label what is not read of the text.
export function textField(label, value, oninput, rows = 2) {
  const plain = { dir: "auto", spellcheck: "false", autocapitalize: "off" };
  const input = el("textarea", { rows, value, ...plain });
  input.addEventListener("input", () => oninput(input.value));
  const said = el("output", { class: "live-cut" });
  return Object.assign(field(label, input, said), { tell: (text) => (said.textContent = text) });
}

// One line, for a form.
export function wordField(label) {
  return field(label, el("input", { type: "text", dir: "auto", maxlength: 40 }));
}

// A slider says its value in words, beside it and to a screen reader.
export function slider(label, { min, max, step, value, say = String }, oninput) {
  const input = el("input", { type: "range", min, max, step });
  input.value = value;
  const said = el("output");
  const show = (number) => {
    said.textContent = say(number);
    input.setAttribute("aria-valuetext", said.textContent);
  };
  input.addEventListener("input", () => {
    show(Number(input.value));
    oninput(Number(input.value));
  });
  show(value); // exactly, though the handle can only stand on a step
  const set = (number) => {
    input.value = number;
    show(number);
  };
  return Object.assign(field(label, input, said), { set });
}

// options: [value, text] pairs. `own` shows that what was chosen has been changed since.
export function choice(label, options, onchange) {
  const input = el(
    "select",
    {},
    options.map(([value, text]) => el("option", { value }, text)),
    el("option", { value: "own", hidden: true }, "your own"),
  );
  input.addEventListener("change", () => onchange(input.value));
  return Object.assign(field(label, input), { own: () => (input.value = "own") });
}

// What changes here is read out. Its place is kept: `lines` on a wide screen, more on a phone.
export function spoken(text = "", lines = 1) {
  return el("p", { class: "live-said", role: "status", style: `--lines: ${lines}` }, text);
}

// A box of fixed height that scrolls, so that nothing below it moves.
export function box(lines, label, ...children) {
  const style = `height: ${lines}em`;
  return el(
    "div",
    { class: "live-box", style, tabindex: 0, role: "group", "aria-label": label },
    children,
  );
}

export function controls(...children) {
  return el("div", { class: "live-controls" }, children);
}

// Few short ones, in rows of several.
export function tight(...children) {
  return el("div", { class: "live-controls tight" }, children);
}

export const number = (n) => n.toLocaleString("en");
export const percent = (p) => (p > 0 && p < 0.001 ? "<0.1%" : `${(100 * p).toFixed(1)}%`);

// Rows of label, bar and number; always `count` rows high. items: {label, share, text, onclick}.
export function bars(count, items, described) {
  const rows = items.slice(0, count).map(({ label, share, text, onclick }) => {
    const name = onclick ? button(label, onclick) : el("span", {}, label);
    const width = `width: ${Math.min(100, 100 * share).toFixed(2)}%`;
    const bar = el("span", { class: "live-bar", "aria-hidden": "true" }, el("i", { style: width }));
    return el("li", {}, name, bar, el("span", { class: "live-number" }, text ?? percent(share)));
  });
  const style = `--count: ${count}`;
  return el("ol", { class: "live-bars", style, "aria-label": described }, rows);
}

// A table whose first column names the rows.
export function table(head, rows, kind = "") {
  const top = head.map((name) => (name ? el("th", { scope: "col" }, name) : el("td")));
  const lines = rows.map(([name, ...cells]) =>
    el("tr", {}, el("th", { scope: "row" }, name), cells.map((cell) => el("td", {}, cell))),
  );
  const parts = [el("thead", {}, el("tr", {}, top)), el("tbody", {}, lines)];
  const made = el("table", { class: `live-table ${kind}`.trim() }, parts);
  return el("div", { class: "pst-scrollable-table-container" }, made);
}

// A piece as it is shown: a space at its start as a dot.
export function seen(id) {
  return tokenizer.show(id).replace(/^ /, "·").replace(/\n/g, "⏎").replace(/\t/g, "⇥");
}

// The `count` likeliest entries of an array of probabilities: [{id, p}].
export function likeliest(probabilities, count) {
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
  return order.slice(0, count).map((id) => ({ id, p: probabilities[id] }));
}

// Call `action` when nothing has happened for a moment.
export function later(action, wait = 150) {
  let timer;
  return (...details) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...details), wait);
  };
}

// Ids of a text, cut to what a model reads. The text's field says when anything was cut.
export function idsOf(text, most, field = null) {
  const start = text.slice(0, 12 * most);
  const all = tokenizer.encode(start);
  const ids = all.slice(0, most);
  field?.tell(cut(ids.length, "tokens", ids.length < all.length || start.length < text.length));
  return ids;
}

export const cut = (count, of, isCut) => (isCut ? `only the first ${count} ${of} are read` : "");

// Many buttons are one stop of the Tab key; arrow keys, Home and End move among them.
export function oneStop(place) {
  const buttons = () => [...place.querySelectorAll("button")];
  const stop = (chosen) => buttons().forEach((node) => (node.tabIndex = node === chosen ? 0 : -1));
  place.addEventListener("focusin", ({ target }) => target.matches("button") && stop(target));
  place.addEventListener("keydown", (event) => {
    const all = buttons();
    const at = all.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1 };
    const target = all[{ ...to, Home: 0, End: all.length - 1 }[event.key]];
    if (at < 0 || !target) return;
    event.preventDefault();
    target.focus();
  });
  // Draw the buttons, and leave the reader at the same one.
  return (...children) => {
    const old = buttons();
    const at = old.findIndex((node) => node.tabIndex === 0);
    const focused = old[at] === document.activeElement;
    fill(place, ...children);
    const fresh = buttons();
    const same = fresh[at] ?? fresh[0];
    stop(same);
    if (focused) same?.focus();
  };
}

// Type, and see pieces, their ids, and where words begin.

import { box, controls, el, fill, number, seen, spoken, textField, tokenizer } from "./parts.js";

const MOST = 300; // tokens shown

export function pieces() {
  const shown = box(11, "Tokens");
  const said = spoken("", 2);
  const show = (text) => {
    const words = tokenizer.words(text);
    const count = words.reduce((sum, word) => sum + word.length, 0);
    const bytes = new TextEncoder().encode(text).length;
    const ratio = count ? (bytes / count).toFixed(2) : "0";
    said.textContent = `${number(bytes)} bytes, ${number(words.length)} words, ${number(count)} tokens: ${ratio} bytes a token.`;
    if (count > MOST) said.textContent += ` The first ${MOST} are shown.`;
    const chips = words.slice(0, MOST).flatMap((ids, word) =>
      ids.slice(0, MOST).map((id) => {
        const kind = word % 2 ? "live-chip odd" : "live-chip";
        return el("li", { class: kind }, el("b", {}, seen(id)), el("small", {}, String(id)));
      }),
    );
    fill(shown, el("ol", { class: "live-chips" }, chips.slice(0, MOST)));
  };
  const start = "The tokenizer's vocabulary knows governments, but unhappiness costs it 😀.";
  const field = textField("Your text", start, show);
  show(start);
  const legend = el(
    "p",
    { class: "live-note" },
    "· is the space that a token carries. Neighbours of one colour make one word.",
  );
  return [controls(field), shown, said, legend];
}

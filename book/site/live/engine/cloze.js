// A gap in a text, asked of a BERT that has its own tokenizer: the page knows the text only, because
// the vocabulary comes with the weights.

import { softmax } from "./layers.js";

const LIKELIEST = 5;

// before, after: the text around the gap; truth: what stood there; guess: a reader's, or "". The gap has
// as many masks as the truth has pieces, at least one, and the first of them is asked.
export function cloze({ model, tokenizer }, { before, truth, after, guess }) {
  const [CLS, SEP, MASK] = ["[CLS]", "[SEP]", "[MASK]"].map((mark) => tokenizer.idOf(mark));
  const left = [CLS, ...tokenizer.encode(before)];
  const gone = tokenizer.encode(truth);
  const masks = Array(Math.max(1, gone.length)).fill(MASK);
  const ids = [...left, ...masks, ...tokenizer.encode(after), SEP];
  const p = softmax(model.logits(ids, [left.length]).data);
  const order = [...p.keys()].sort((a, b) => p[b] - p[a]).slice(0, LIKELIEST);
  const report = (text) => {
    const wanted = tokenizer.encode(text);
    const [first] = wanted;
    if (first === undefined) return null; // nothing that it could read
    const rank = 1 + p.filter((other) => other > p[first]).length;
    return { pieces: wanted.map((id) => tokenizer.pieces[id]), p: p[first], rank };
  };
  return {
    tokens: ids.length,
    of: p.length,
    top: order.map((id) => [tokenizer.pieces[id], p[id]]),
    truth: report(truth),
    guess: report(guess),
  };
}

// How likely each model finds a sentence, token by token: ln P, as course_utils/sentence_scores.py has
// it. Two sentences are scored together, because T5 is asked only for what they do not share.

import { Bert } from "./bert.js";
import { Gpt } from "./gpt.js";

const [CLS, SEP, MASK, END] = [1, 2, 3, 4];

// How many ids two sentences share at the beginning, and of the rest at the end.
export function shared(a, b) {
  const most = Math.min(a.length, b.length);
  let first = 0;
  while (first < most && a[first] === b[first]) first++;
  let last = 0;
  while (last < most - first && a.at(-1 - last) === b.at(-1 - last)) last++;
  return { first, last };
}

// ln P of each token of both sentences. T5's list has what is not shared, and the end.
export function scores(model, pair) {
  if (model instanceof Bert) return pair.map((ids) => pseudoLogLikelihood(model, ids));
  if (model instanceof Gpt) return pair.map((ids) => chainRule(model, ids));
  const { first, last } = shared(...pair);
  return pair.map((ids) => oneSentinel(model, ids, first, ids.length - last));
}

// BERT: each token masked in turn, all others visible (Salazar et al. 2020, eq. 1).
function pseudoLogLikelihood(model, ids) {
  return ids.map((id, t) => {
    const covered = ids.map((other, place) => (place === t ? MASK : other));
    return logProbability(model.logits([CLS, ...covered, SEP], [t + 1]), 0, id);
  });
}

// GPT: each token after those before it; the end of a text stands in front.
function chainRule(model, ids) {
  const logits = model.logits([END, ...ids.slice(0, -1)]);
  return ids.map((id, t) => logProbability(logits, t, id));
}

// T5: the span from `first` to `last` became a sentinel; it and the end are written after it.
function oneSentinel(model, ids, first, last) {
  const { vocab_size, decoder_start_token_id } = model.config;
  const sentinel = vocab_size - 1;
  const read = [...ids.slice(0, first), sentinel, ...ids.slice(last), END];
  const target = [...ids.slice(first, last), END];
  const written = [decoder_start_token_id, sentinel, ...target.slice(0, -1)];
  const logits = model.decode(written, model.memory(model.encode(read)), model.newCache(written.length));
  return target.map((id, t) => logProbability(logits, t + 1, id));
}

function logProbability({ data, cols }, row, id) {
  const logits = data.slice(row * cols, (row + 1) * cols);
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const sum = logits.reduce((total, z) => total + Math.exp(z - largest), 0);
  return logits[id] - largest - Math.log(sum);
}

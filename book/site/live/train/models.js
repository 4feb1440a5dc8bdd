// Three small models of the same parts: only who sees whom differs, and what is asked. Pre-norm and
// no biases; positions are T5's: one learned number a head for each distance.

import { normal } from "../engine/dice.js";
import { add, attention, crossEntropy, embed, matrix, product, relu, rmsNorm } from "./autodiff.js";

export const HEADS = 4;

// A model's weights by name. New ones are drawn so that signals keep their size.
export class Weights {
  constructor(random) {
    this.random = random;
    this.named = new Map();
  }

  get(name, rows, cols, size) {
    if (!this.named.has(name)) {
      const fresh = Float32Array.from({ length: rows * cols }, () => size * normal(this.random));
      this.named.set(name, matrix(rows, cols, fresh));
    }
    return this.named.get(name);
  }

  linear(name, x, cols) {
    return product(x, this.get(name, x.cols, cols, x.cols ** -0.5));
  }

  norm(name, x) {
    if (!this.named.has(name)) this.named.set(name, matrix(1, x.cols, new Float32Array(x.cols).fill(1)));
    return rmsNorm(x, this.named.get(name));
  }

  get count() {
    return [...this.named.values()].reduce((sum, weight) => sum + weight.data.length, 0);
  }
}

// Queries from x, keys and values from `memory`, which is x itself or what an encoder read.
function attend(weights, name, x, memory, options) {
  const [query, key, value] = [
    weights.linear(`${name}.query`, x, x.cols),
    weights.linear(`${name}.key`, memory, x.cols),
    weights.linear(`${name}.value`, memory, x.cols),
  ];
  const distances = (x.rows + memory.rows) / options.batch - 1;
  const position = x === memory ? weights.get(`${name}.position`, HEADS, distances, 0) : null;
  const mixed = attention(query, key, value, { heads: HEADS, position, ...options });
  return weights.linear(`${name}.output`, mixed, x.cols);
}

// Attention, for a decoder with an encoder also attention to `memory`, then feed-forward: each reads
// a norm and is added to what came in.
function block(weights, name, x, { memory = null, ...options }) {
  const normed = weights.norm(`${name}.attention_norm`, x);
  x = add(x, attend(weights, `${name}.attention`, normed, normed, options));
  if (memory) {
    const asking = weights.norm(`${name}.cross_norm`, x);
    x = add(x, attend(weights, `${name}.cross`, asking, memory, { batch: options.batch }));
  }
  const inner = relu(weights.linear(`${name}.up`, weights.norm(`${name}.feed_norm`, x), 2 * x.cols));
  return add(x, weights.linear(`${name}.down`, inner, x.cols));
}

// A stack of blocks over ids: (B·T, d).
function stack(weights, name, table, ids, layers, options) {
  let x = embed(table, ids);
  for (let n = 0; n < layers; n++) x = block(weights, `${name}.${n}`, x, options);
  return weights.norm(`${name}.norm`, x);
}

// Each takes a batch {rows, input, labels} (T5's also `written`, what its decoder has read) and gives
// the mean loss of the labels, with the probabilities of all positions.
export const models = {
  // BERT: every position sees all; the masked ones are asked.
  masked(weights, { batch, input, labels, vocabulary, width }) {
    const table = weights.get("embedding", vocabulary, width, 1);
    const x = stack(weights, "encoder", table, input, 2, { batch });
    return crossEntropy(weights.linear("head", x, vocabulary), labels);
  },
  // GPT: every position sees what stands before it; all are asked what comes next.
  causal(weights, { batch, input, labels, vocabulary, width }) {
    const table = weights.get("embedding", vocabulary, width, 1);
    const x = stack(weights, "decoder", table, input, 2, { batch, causal: true });
    return crossEntropy(weights.linear("head", x, vocabulary), labels);
  },
  // T5: an encoder sees all of the input, a decoder writes what is missing and looks over at it.
  spans(weights, { batch, input, written, labels, vocabulary, width }) {
    const table = weights.get("embedding", vocabulary, width, 1);
    const memory = stack(weights, "encoder", table, input, 1, { batch });
    const x = stack(weights, "decoder", table, written, 1, { batch, memory, causal: true });
    return crossEntropy(weights.linear("head", x, vocabulary), labels);
  },
};

// The layers that BERT, GPT and T5 share. A matrix is {rows, cols, data}: one row a token, `data` a
// Float32Array, row after row. Names are those of course_utils/models/layers.py.

export function matrix(rows, cols, data = new Float32Array(rows * cols)) {
  return { rows, cols, data };
}

// x (T, K), weight (N, K), bias (N) or null → (T, N). Each row of the weight is used for all tokens
// while it is in the processor's cache.
export function linear(x, weight, bias = null) {
  const out = matrix(x.rows, weight.rows);
  for (let n = 0; n < weight.rows; n++) {
    for (let t = 0; t < x.rows; t++) {
      const sum = dot(x.data, t * x.cols, weight.data, n * x.cols, x.cols);
      out.data[t * out.cols + n] = bias ? sum + bias[n] : sum;
    }
  }
  return out;
}

// Inner product of `length` numbers of a from i on and of b from j on.
function dot(a, i, b, j, length) {
  let sum = 0;
  for (let k = 0; k < length; k++) sum += a[i + k] * b[j + k];
  return sum;
}

export function add(x, y) {
  return matrix(
    x.rows,
    x.cols,
    x.data.map((value, i) => value + y.data[i]),
  );
}

// One row of `table` for each id: (T, d).
export function embed(table, ids) {
  const out = matrix(ids.length, table.cols);
  ids.forEach((id, t) => {
    out.data.set(table.data.subarray(id * table.cols, (id + 1) * table.cols), t * table.cols);
  });
  return out;
}

// Some columns of x, copied: (T, width).
export function columns(x, from, width) {
  const out = matrix(x.rows, width);
  for (let t = 0; t < x.rows; t++) {
    const start = t * x.cols + from;
    out.data.set(x.data.subarray(start, start + width), t * width);
  }
  return out;
}

// Some rows of x, in the order asked for.
export function rows(x, wanted) {
  return embed(x, wanted);
}

// Each row to mean 0 and variance 1, then scaled and shifted.
export function layerNorm(x, scale, shift, epsilon) {
  return eachRow(x, (row) => {
    let mean = 0;
    for (const value of row) mean += value / row.length;
    let variance = 0;
    for (const value of row) variance += (value - mean) ** 2 / row.length;
    const factor = 1 / Math.sqrt(variance + epsilon);
    return row.map((value, i) => (value - mean) * factor * scale[i] + shift[i]);
  });
}

// T5's: each row to mean square 1, then scaled. No mean is taken away and nothing is added.
export function rmsNorm(x, scale, epsilon) {
  return eachRow(x, (row) => {
    let square = 0;
    for (const value of row) square += (value * value) / row.length;
    const factor = 1 / Math.sqrt(square + epsilon);
    return row.map((value, i) => value * factor * scale[i]);
  });
}

function eachRow(x, change) {
  const out = matrix(x.rows, x.cols);
  for (let t = 0; t < x.rows; t++) {
    const [from, to] = [t * x.cols, (t + 1) * x.cols];
    out.data.set(change(x.data.subarray(from, to)), from);
  }
  return out;
}

export const activations = {
  relu: (v) => Math.max(v, 0),
  gelu: (v) => 0.5 * v * (1 + erf(v / Math.SQRT2)),
  gelu_tanh: (v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v * v * v))),
};

// The error function to within 1.5e-7 (Abramowitz and Stegun 1964, 7.1.26).
const POWERS = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
function erf(v) {
  const t = 1 / (1 + 0.3275911 * Math.abs(v));
  let total = 0;
  for (const a of POWERS) total = (total + a) * t;
  return Math.sign(v) * (1 - total * Math.exp(-v * v));
}

export function feedForward(x, up, down, activation) {
  const inner = linear(x, up.weight, up.bias);
  inner.data = inner.data.map(activations[activation]);
  return linear(inner, down.weight, down.bias);
}

// In place: the numbers of data[from, to) become positive and sum to 1.
export function softmax(data, from = 0, to = data.length) {
  let largest = -Infinity;
  for (let i = from; i < to; i++) largest = Math.max(largest, data[i]);
  let sum = 0;
  for (let i = from; i < to; i++) sum += data[i] = Math.exp(data[i] - largest);
  for (let i = from; i < to; i++) data[i] /= sum;
  return data;
}

// softmax(q kᵀ · scale + bias) v, head by head. query (Q, H·D), key and value (K, H·D) → (Q, H·D).
// bias(head, i, j) is added to the score of query i for key j: 0 lets it look, −Infinity does not.
// `watch`, a list, gets for each head its scores before the bias and its weights after it, both as
// Q rows of K numbers.
export function attention(query, key, value, { heads, scale, bias = () => 0, watch = null }) {
  const out = matrix(query.rows, query.cols);
  const [size, keys] = [query.cols / heads, key.rows];
  for (let head = 0; head < heads; head++) {
    const scores = new Float32Array(query.rows * keys);
    const weights = new Float32Array(query.rows * keys);
    const first = head * size;
    for (let i = 0; i < query.rows; i++) {
      const [q, row] = [i * query.cols + first, i * keys];
      for (let j = 0; j < keys; j++) {
        scores[row + j] = dot(query.data, q, key.data, j * key.cols + first, size) * scale;
        weights[row + j] = scores[row + j] + bias(head, i, j);
      }
      softmax(weights, row, row + keys);
      for (let j = 0; j < keys; j++) {
        const weight = weights[row + j];
        const v = j * value.cols + first;
        for (let k = 0; k < size; k++) out.data[q + k] += weight * value.data[v + k];
      }
    }
    watch?.push({ scores, weights });
  }
  return out;
}

// Nobody looks at what comes later. `past` tokens stand in the cache before query 0.
export function causalBias(past = 0) {
  return (head, i, j) => (j > past + i ? -Infinity : 0);
}

// What a reader of a model's inside wants to see: the states (T, d) before the first block and after
// each one, and for each block what `attention` gives a `watch`.
export class Watch {
  constructor() {
    this.states = [];
    this.heads = [];
    this.cross = []; // of decoder blocks that look over at an encoder
  }
}

// Keys and values of tokens already read, so that each is computed once.
export class KeyValueCache {
  constructor(layers, capacity, width) {
    const make = () => matrix(capacity, width);
    this.layers = Array.from({ length: layers }, () => ({ key: make(), value: make() }));
    this.length = 0;
  }

  // Write the new keys and values behind the others; returns all so far.
  update(layer, key, value) {
    const end = this.length + key.rows;
    const kept = this.layers[layer];
    if (end > kept.key.rows)
      throw new RangeError(`the model reads at most ${kept.key.rows} tokens`);
    kept.key.data.set(key.data, this.length * key.cols);
    kept.value.data.set(value.data, this.length * value.cols);
    const view = (m) => matrix(end, m.cols, m.data.subarray(0, end * m.cols));
    return [view(kept.key), view(kept.value)];
  }
}

// Queries, keys and values from one fused matrix, then attention, then the output map.
export function selfAttention(x, part, options, cache = null, layer = 0) {
  const { weight, bias } = part.query_key_value;
  const fused = linear(x, weight, bias);
  const width = fused.cols / 3;
  const [query, ownKey, ownValue] = [0, 1, 2].map((n) => columns(fused, n * width, width));
  const [key, value] = cache ? cache.update(layer, ownKey, ownValue) : [ownKey, ownValue];
  return linear(attention(query, key, value, options), part.output.weight, part.output.bias);
}

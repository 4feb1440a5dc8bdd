// Reverse-mode differentiation. Each operation computes its result, and writes on the tape how the
// gradient of the result goes back to what it was made of. A matrix is {rows, cols, data, grad}: one
// row a token, and `grad` as large as `data`.

const tape = [];

export function matrix(rows, cols, data = new Float32Array(rows * cols)) {
  return { rows, cols, data, grad: new Float32Array(rows * cols) };
}

function record(back) {
  tape.push(back);
}

// Gradients of a loss, a matrix of one number, in all that it was made of; they are added to those
// that are there.
export function backward(loss) {
  loss.grad[0] = 1;
  while (tape.length) tape.pop()();
}

// Nothing will be differentiated: throw away what was recorded.
export function forget() {
  tape.length = 0;
}

// out += a b, for a (M, K), b (K, N) and out (M, N), all row after row. Two rows by four columns are
// summed together: each number that is read is used two or four times. So M must be even, and N a
// multiple of four.
function addProduct(out, a, b, M, K, N) {
  if (M % 2 || N % 4) throw new RangeError(`(${M}, ${N}) is not cut in tiles of 2 by 4`);
  for (let i = 0; i < M; i += 2) {
    for (let j = 0; j < N; j += 4) {
      let [p0, p1, p2, p3, q0, q1, q2, q3] = [0, 0, 0, 0, 0, 0, 0, 0];
      for (let k = 0; k < K; k++) {
        const x = a[i * K + k];
        const y = a[(i + 1) * K + k];
        const from = k * N + j;
        p0 += x * b[from];
        p1 += x * b[from + 1];
        p2 += x * b[from + 2];
        p3 += x * b[from + 3];
        q0 += y * b[from];
        q1 += y * b[from + 1];
        q2 += y * b[from + 2];
        q3 += y * b[from + 3];
      }
      const p = i * N + j;
      const q = p + N;
      out[p] += p0;
      out[p + 1] += p1;
      out[p + 2] += p2;
      out[p + 3] += p3;
      out[q] += q0;
      out[q + 1] += q1;
      out[q + 2] += q2;
      out[q + 3] += q3;
    }
  }
}

function transposed(a, rows, cols) {
  const out = new Float32Array(a.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) out[j * rows + i] = a[i * cols + j];
  }
  return out;
}

// x (T, K), weight (K, N) → (T, N).
export function product(x, weight) {
  const [T, K, N] = [x.rows, x.cols, weight.cols];
  const out = matrix(T, N);
  addProduct(out.data, x.data, weight.data, T, K, N);
  record(() => {
    addProduct(x.grad, out.grad, transposed(weight.data, K, N), T, N, K);
    addProduct(weight.grad, transposed(x.data, T, K), out.grad, K, T, N);
  });
  return out;
}

export function add(x, y) {
  const out = matrix(x.rows, x.cols);
  for (let i = 0; i < out.data.length; i++) out.data[i] = x.data[i] + y.data[i];
  record(() => {
    for (let i = 0; i < out.grad.length; i++) {
      x.grad[i] += out.grad[i];
      y.grad[i] += out.grad[i];
    }
  });
  return out;
}

export function relu(x) {
  const out = matrix(x.rows, x.cols);
  for (let i = 0; i < out.data.length; i++) out.data[i] = Math.max(x.data[i], 0);
  record(() => {
    for (let i = 0; i < out.grad.length; i++) if (x.data[i] > 0) x.grad[i] += out.grad[i];
  });
  return out;
}

// One row of `table` (V, d) for each id: (T, d). Also takes some rows of any other matrix.
export function embed(table, ids) {
  const d = table.cols;
  const out = matrix(ids.length, d);
  ids.forEach((id, t) => out.data.set(table.data.subarray(id * d, (id + 1) * d), t * d));
  record(() => {
    ids.forEach((id, t) => {
      for (let k = 0; k < d; k++) table.grad[id * d + k] += out.grad[t * d + k];
    });
  });
  return out;
}

// Each row to mean square 1, then scaled by one number a column: scale (1, d).
export function rmsNorm(x, scale) {
  const [T, d] = [x.rows, x.cols];
  const out = matrix(T, d);
  const factors = new Float32Array(T);
  for (let t = 0; t < T; t++) {
    let square = 1e-6;
    for (let k = 0; k < d; k++) square += x.data[t * d + k] ** 2 / d;
    factors[t] = 1 / Math.sqrt(square);
    for (let k = 0; k < d; k++) out.data[t * d + k] = x.data[t * d + k] * factors[t] * scale.data[k];
  }
  record(() => {
    for (let t = 0; t < T; t++) {
      const f = factors[t];
      let along = 0; // how far the gradient points along x: the norm takes that away
      for (let k = 0; k < d; k++) {
        const g = out.grad[t * d + k];
        scale.grad[k] += g * x.data[t * d + k] * f;
        along += (g * scale.data[k] * x.data[t * d + k]) / d;
      }
      for (let k = 0; k < d; k++) {
        const g = out.grad[t * d + k] * scale.data[k];
        x.grad[t * d + k] += f * (g - x.data[t * d + k] * f * f * along);
      }
    }
  });
  return out;
}

// In place: the numbers of data[from, to) become positive and sum to 1. Returns ln of the divisor.
export function softmax(data, from, to) {
  let largest = -Infinity;
  for (let i = from; i < to; i++) largest = Math.max(largest, data[i]);
  let sum = 0;
  for (let i = from; i < to; i++) sum += data[i] = Math.exp(data[i] - largest);
  for (let i = from; i < to; i++) data[i] /= sum;
  return largest + Math.log(sum);
}

// softmax(q kᵀ / √D + position) v, for each row of the batch and each head. query (B·Q, H·D), key and
// value (B·K, H·D) → (B·Q, H·D). `causal`: query i sees keys up to i only. `position` (H, Q+K−1) or
// null has one number a head for each distance from query to key.
export function attention(query, key, value, { batch, heads, causal = false, position = null }) {
  const [Q, K, width] = [query.rows / batch, key.rows / batch, query.cols];
  const D = width / heads;
  const scale = D ** -0.5;
  const out = matrix(query.rows, width);
  const weights = new Float32Array(batch * heads * Q * K);
  const distances = Q + K - 1;
  const visible = (i) => (causal ? i + 1 : K);

  // Call `act` for each query: where its vector begins, where those of its keys do, its weights.
  const eachQuery = (act) => {
    for (let b = 0; b < batch; b++) {
      for (let h = 0; h < heads; h++) {
        for (let i = 0; i < Q; i++) {
          const row = ((b * heads + h) * Q + i) * K;
          act((b * Q + i) * width + h * D, b * K * width + h * D, row, visible(i), h * distances + Q - 1 - i);
        }
      }
    }
  };

  eachQuery((q, k, row, seen, near) => {
    for (let j = 0; j < seen; j++) {
      let sum = 0;
      for (let n = 0; n < D; n++) sum += query.data[q + n] * key.data[k + j * width + n];
      weights[row + j] = sum * scale + (position ? position.data[near + j] : 0);
    }
    softmax(weights, row, row + seen);
    for (let j = 0; j < seen; j++) {
      const weight = weights[row + j];
      for (let n = 0; n < D; n++) out.data[q + n] += weight * value.data[k + j * width + n];
    }
  });

  record(() => {
    const change = new Float32Array(K);
    eachQuery((q, k, row, seen, near) => {
      let mean = 0;
      for (let j = 0; j < seen; j++) {
        const weight = weights[row + j];
        change[j] = 0;
        for (let n = 0; n < D; n++) {
          change[j] += out.grad[q + n] * value.data[k + j * width + n];
          value.grad[k + j * width + n] += weight * out.grad[q + n];
        }
        mean += weight * change[j];
      }
      for (let j = 0; j < seen; j++) {
        const score = weights[row + j] * (change[j] - mean); // the gradient of a score
        if (position) position.grad[near + j] += score;
        for (let n = 0; n < D; n++) {
          query.grad[q + n] += score * scale * key.data[k + j * width + n];
          key.grad[k + j * width + n] += score * scale * query.data[q + n];
        }
      }
    });
  });
  return out;
}

// Mean of −ln P(label) over the rows of logits (T, V) that have one; a label of −1 is none.
export function crossEntropy(logits, labels) {
  const V = logits.cols;
  const probabilities = logits.data.slice();
  const count = labels.filter((label) => label >= 0).length;
  const out = matrix(1, 1);
  labels.forEach((label, t) => {
    const divisor = softmax(probabilities, t * V, (t + 1) * V);
    if (label >= 0) out.data[0] += (divisor - logits.data[t * V + label]) / count;
  });
  record(() => {
    labels.forEach((label, t) => {
      if (label < 0) return;
      for (let v = 0; v < V; v++) {
        const error = probabilities[t * V + v] - (v === label ? 1 : 0);
        logits.grad[t * V + v] += (out.grad[0] * error) / count;
      }
    });
  });
  return Object.assign(out, { probabilities });
}

// One step of training: a fresh batch, the loss, its gradient, and Adam.

import { backward } from "./autodiff.js";
import { Weights, models } from "./models.js";
import { LENGTH, marks, objectives } from "./objectives.js";
import { dice } from "../engine/dice.js";

const ROWS = 32; // of a batch
const WIDTH = 32; // numbers a symbol
const [WARM_UP, FALL] = [20, 200]; // steps

// One of the three models, with all that its training remembers.
export class Learner {
  constructor(kind, source, seed) {
    Object.assign(this, { kind, source, steps: 0 });
    this.random = dice(seed);
    this.weights = new Weights(dice(seed + 1000));
  }

  // Rows that no step has seen before: so the loss of a batch is a loss on held-out text.
  batch(rows = ROWS) {
    const { kind, source, random } = this;
    const drawn = Array.from({ length: rows }, () => source.draw(LENGTH, random));
    return joined(drawn.map((row) => objectives[kind](row, source.symbols, random)));
  }

  forward({ input, written, labels, batch }) {
    const sizes = { batch, width: WIDTH, vocabulary: marks(this.source.symbols).vocabulary };
    return models[this.kind](this.weights, { input, written, labels, ...sizes });
  }

  // The loss before the step, nats per symbol asked.
  step(rate) {
    const loss = this.forward(this.batch());
    backward(loss);
    this.steps++;
    const now = rate * Math.min(this.steps / WARM_UP, 1, Math.sqrt(FALL / this.steps));
    for (const weight of this.weights.named.values()) adam(weight, now, this.steps);
    return loss.data[0];
  }
}

// Examples one below the other.
export function joined(examples) {
  const all = (name) => examples.flatMap((example) => example[name] ?? []);
  const [input, written, labels] = ["input", "written", "labels"].map(all);
  return { input, written, labels, batch: examples.length };
}

// Kingma and Ba 2015, Algorithm 1. The gradient is used up.
export function adam(weight, rate, step, beta1 = 0.9, beta2 = 0.98) {
  weight.mean ??= new Float32Array(weight.data.length);
  weight.square ??= new Float32Array(weight.data.length);
  const { data, grad, mean, square } = weight;
  const [seen1, seen2] = [1 - beta1 ** step, 1 - beta2 ** step];
  for (let i = 0; i < data.length; i++) {
    mean[i] += (1 - beta1) * (grad[i] - mean[i]);
    square[i] += (1 - beta2) * (grad[i] ** 2 - square[i]);
    data[i] -= (rate * (mean[i] / seen1)) / (Math.sqrt(square[i] / seen2) + 1e-8);
  }
  grad.fill(0);
}

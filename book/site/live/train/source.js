// A text whose best possible losses are known: a Markov chain, as course_utils/data/known_entropy.py
// has it. All losses are nats per predicted symbol.

const sum = (numbers) => numbers.reduce((total, x) => total + x, 0);
const times = (a, b) => a.map((row) => b[0].map((_, j) => sum(row.map((x, k) => x * b[k][j]))));
const range = (from, to) => Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);

export class Source {
  // transition[i][j] = P(next = j | now = i)
  constructor(transition) {
    this.transition = transition;
    this.symbols = transition.length;
    let power = transition;
    for (let n = 0; n < 12; n++) power = times(power, power);
    [this.stationary] = power; // after 4096 steps it no longer matters where one began
  }

  // A row of symbols that begins as the chain does in the long run.
  draw(length, random) {
    const row = [pick(this.stationary, random)];
    while (row.length < length) row.push(pick(this.transition[row.at(-1)], random));
    return row;
  }

  // h(n): what is unknown about a symbol when the one n steps before is known and none between.
  remaining(steps) {
    let power = this.transition.map((_, i) => this.transition.map((_, j) => (i === j ? 1 : 0)));
    for (let n = 0; n < steps; n++) power = times(power, this.transition);
    return sum(power.map((row, i) => this.stationary[i] * entropy(row)));
  }

  // Of a model that knows frequencies only: H(π).
  get frequencies() {
    return entropy(this.stationary);
  }

  // Causal: the symbol before is all that helps.
  get bestCausal() {
    return this.remaining(1);
  }

  // Spans of `span` symbols, a kept one on either side: (span+1) h(1) − h(span+1) for a whole span.
  bestSpans(span) {
    return ((span + 1) * this.remaining(1) - this.remaining(span + 1)) / span;
  }

  // `masked` of `length` symbols, all choices equally likely: the nearest kept symbol on either side
  // is all that helps, h(a) + h(b) − h(a+b) at distances a and b.
  bestMasked(masked, length) {
    const h = range(0, length + 1).map((n) => this.remaining(n));
    // Probability that `covered` given others are masked and `kept` given others are not.
    const p = (covered, kept) =>
      choose(length - 1 - covered - kept, masked - 1 - covered) / choose(length - 1, masked - 1);
    const both = sum(
      range(2, length).map((s) => {
        const terms = range(1, s).map((a) => h[a] + h[s - a] - h[s]);
        return (length - s) * p(s - 2, 2) * sum(terms);
      }),
    );
    const one = sum(
      range(1, length).flatMap((a) => range(0, length - a).map((m) => p(a - 1 + m, 1) * h[a])),
    );
    return (both + 2 * one) / length + p(length - 1, 0) * this.frequencies;
  }
}

const entropy = (row) => -sum(row.map((p) => (p > 0 ? p * Math.log(p) : 0)));

// n over k; nothing can be chosen in ways that do not exist.
function choose(n, k) {
  if (k < 0 || k > n) return 0;
  return range(0, k).reduce((product, i) => (product * (n - i)) / (i + 1), 1);
}

// One index, drawn with these probabilities.
export function pick(probabilities, random) {
  let left = random();
  const found = probabilities.findIndex((p) => (left -= p) < 0);
  return found < 0 ? probabilities.length - 1 : found;
}

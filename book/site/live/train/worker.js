// Trains one model beside the page, and tells how it goes.

import { dice } from "../engine/dice.js";
import { sample } from "./samples.js";
import { Source } from "./source.js";
import { Learner } from "./step.js";

const [PAUSE, BETWEEN_SAMPLES] = [200, 1000]; // milliseconds from report to report

let learner;
let rate;
let last; // the step to stop at
let running = false;
let draws; // other ones than the training's, which must not depend on the clock
let sampled = 0;

const orders = {
  begin({ kind, transition, seed, steps }) {
    learner = new Learner(kind, new Source(transition), seed);
    draws = dice(seed + 2000);
    last = steps;
  },
  rate: ({ value }) => (rate = value),
  go() {
    if (!running) setTimeout(work);
    running = true;
  },
  pause: () => (running = false),
};

// Steps until it is time for a report, then the report; between reports orders can come in.
function work() {
  if (!running) return;
  const begun = performance.now();
  const losses = [];
  while (learner.steps < last && performance.now() - begun < PAUSE) losses.push(learner.step(rate));
  const done = learner.steps >= last;
  const due = done || begun - sampled > BETWEEN_SAMPLES;
  if (due) sampled = begun;
  self.postMessage({ losses, written: due ? sample(learner, draws) : null });
  if (done) running = false;
  else setTimeout(work);
}

self.onmessage = ({ data: { order, ...details } }) => orders[order](details);

// What a model says now: a row of which the model wrote some places.

import { forget } from "./autodiff.js";
import { LENGTH, SPAN, marks, objectives } from "./objectives.js";
import { pick } from "./source.js";
import { joined } from "./step.js";

// A row of {id, own, truth}: `own` are the model's, drawn from its probabilities; `truth` stood there
// in a row of the source. GPT gets the first symbol and goes on alone.
export function sample(learner, random) {
  const { kind, source } = learner;
  const row = source.draw(LENGTH, random);
  const example = objectives[kind](row, source.symbols, random);
  return { masked: fillMasks, causal: goOn, spans: fillSpans }[kind](learner, row, example, random);
}

// Probabilities of the symbols at one place of an example; marks are no answer.
function probabilities(learner, example, place) {
  const loss = learner.forward(joined([example, example])); // products take rows by twos
  forget();
  const { vocabulary } = marks(learner.source.symbols);
  const start = place * vocabulary;
  return loss.probabilities.slice(start, start + learner.source.symbols);
}

// All masks at once, each without knowing what the others became.
function fillMasks(learner, row, example, random) {
  return row.map((truth, t) => {
    if (example.labels[t] < 0) return { id: truth };
    return { id: pick(probabilities(learner, example, t), random), own: true, truth };
  });
}

function goOn(learner, row, example, random) {
  const input = [row[0], ...Array(LENGTH - 2).fill(marks(learner.source.symbols).mask)];
  const out = [{ id: row[0] }];
  for (let t = 0; t < LENGTH - 1; t++) {
    const id = pick(probabilities(learner, { ...example, input }, t), random);
    out.push({ id, own: true });
    if (t < LENGTH - 2) input[t + 1] = id;
  }
  return out;
}

// Span after span, each symbol knowing those before it.
function fillSpans(learner, row, example, random) {
  const written = [...example.written];
  const said = [];
  example.labels.forEach((truth, t) => {
    if (truth < 0) return;
    const id = pick(probabilities(learner, { ...example, written }, t), random);
    said.push({ id, own: true, truth });
    if (t + 1 < written.length) written[t + 1] = id;
  });
  const { sentinels } = marks(learner.source.symbols);
  return example.input.flatMap((id) => (sentinels.includes(id) ? said.splice(0, SPAN) : [{ id }]));
}

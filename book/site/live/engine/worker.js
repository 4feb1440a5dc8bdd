// What runs beside the page, so that the page never freezes: the models, and questions to them.

import { Bert } from "./bert.js";
import { Gpt } from "./gpt.js";
import { IntentSlots, Routes } from "./heads.js";
import { softmax } from "./layers.js";
import { T5 } from "./t5.js";
import { decode, unpack } from "./weights.js";

const kinds = { Bert, Gpt, T5, IntentSlots, Routes };
const models = {};
const PATIENCE = 300; // milliseconds that a reader may wait for a better measurement

const answers = {
  load({ name, kind, config, tensors, text }) {
    models[name] = new kinds[kind](config, unpack(tensors, decode(text)), models);
  },
  // Probabilities of all pieces at some positions of a corrupted text: one array a position.
  fill({ name, ids, positions }) {
    const { data, cols } = models[name].logits(ids, positions);
    return positions.map((_, n) => softmax(data.slice(n * cols, (n + 1) * cols)));
  },
  // Logits of the next token, and how many tokens had to be read for them.
  next: ({ name, ids }) => models[name].next(ids),
  // Attention scores before any mask: a list of layers, each a list of heads, each Q·K numbers.
  attention({ name, ids }) {
    const watch = [];
    models[name].forget?.();
    models[name].hiddenStates(ids, watch);
    return watch;
  },
  generate: ({ name, ids, most }) => models[name].generate(ids, most),
  // Intent and tags of a sentence by the model of one α.
  intent: ({ ids, which }) => models["intent-slots"].read(ids, which),
  // Probabilities by one route, "classify" or "generate", and the milliseconds that it took: the
  // quickest of some, for clocks of browsers are coarse and machines are busy.
  route({ way, ids }) {
    let [probabilities, milliseconds] = [null, Infinity];
    const begun = performance.now();
    for (let n = 0; n < 5 && performance.now() - begun < PATIENCE; n++) {
      const start = performance.now();
      probabilities = models.routes[way](ids);
      milliseconds = Math.min(milliseconds, performance.now() - start);
    }
    return { probabilities, milliseconds };
  },
};

self.onmessage = ({ data: { number, question, ...details } }) => {
  try {
    self.postMessage({ number, answer: answers[question](details) });
  } catch (error) {
    self.postMessage({ number, error: error.message });
  }
};

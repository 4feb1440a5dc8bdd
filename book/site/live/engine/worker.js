// What runs beside the page, so that the page never freezes: the models, and questions to them.

import { Bert } from "./bert.js";
import { cloze } from "./cloze.js";
import { Gpt } from "./gpt.js";
import { IntentSlots } from "./heads.js";
import { Watch, softmax } from "./layers.js";
import { scores } from "./scores.js";
import { T5 } from "./t5.js";
import { trace } from "./trace.js";
import { decode, decodeWide, inflate, unpack } from "./weights.js";
import { WordPiece } from "./wordpiece.js";

const kinds = { Bert, Gpt, T5, IntentSlots };
const models = {};
const tokenizers = {}; // of models that do not share the course's; the page has that one itself

export const answers = {
  // A large model is deflated, to so many bytes, and its vocabulary comes behind its weights.
  async load({ name, kind, config, tensors, text, deflated, vocabulary }) {
    const bytes = deflated ? await inflate(decodeWide(text, deflated)) : decode(text);
    models[name] = new kinds[kind](config, unpack(tensors, bytes), models);
    if (!vocabulary) return;
    const pieces = new TextDecoder().decode(bytes.subarray(vocabulary)).split("\n");
    tokenizers[name] = new WordPiece(pieces);
  },
  // Probabilities of all pieces at some positions of a corrupted text: one array a position.
  fill({ name, ids, positions }) {
    const { data, cols } = models[name].logits(ids, positions);
    return positions.map((_, n) => softmax(data.slice(n * cols, (n + 1) * cols)));
  },
  // What fills a gap in a text, by a model that has a tokenizer of its own: see cloze.js.
  cloze: ({ name, ...gap }) => cloze({ model: models[name], tokenizer: tokenizers[name] }, gap),
  // Logits of the next token, and how many tokens had to be read for them.
  next: ({ name, ids }) => models[name].next(ids),
  // Attention scores before any mask: a list of layers, each a list of heads, each Q·K numbers.
  attention({ name, ids }) {
    const watch = new Watch();
    models[name].forget?.();
    models[name].hiddenStates(ids, watch);
    return watch.heads.map((layer) => layer.map(({ scores }) => scores));
  },
  // One text with one gap on its way through BERT, GPT and T5: see trace.js.
  trace: ({ ids, gap }) => trace(models, ids, gap),
  // ln P of each token of two sentences: see scores.js.
  scores: ({ name, pair }) => scores(models[name], pair),
  generate: ({ name, ids, most }) => models[name].generate(ids, most),
  // Intent and tags of a sentence by the model of one α.
  intent: ({ ids, which }) => models["intent-slots"].read(ids, which),
};

self.onmessage = async ({ data: { number, question, ...details } }) => {
  try {
    self.postMessage({ number, answer: await answers[question](details) });
  } catch (error) {
    self.postMessage({ number, error: error.message });
  }
};

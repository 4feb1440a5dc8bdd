// Small parts over the minis: only the last block is another one, and what answers from it.

import { Bert } from "./bert.js";
import { linear, rows, softmax } from "./layers.js";

// A model's weights with another last block.
function withLast(model, block) {
  return { ...model.weights, blocks: [...model.weights.blocks.slice(0, -1), block] };
}

// One intent a sentence and one tag a token, for each α of the joint loss (Chen et al. 2019).
export class IntentSlots {
  constructor(config, weights, models) {
    const bert = models["bert-mini"];
    this.readers = weights.alphas.map((part) => ({
      bert: new Bert(bert.config, withLast(bert, part.block)),
      ...part,
    }));
  }

  // Probabilities of the intents, and of the tags at each position: (T, tags).
  read(ids, which) {
    const { bert, output, slots } = this.readers[which];
    const hidden = bert.hiddenStates(ids);
    const intent = softmax(linear(rows(hidden, [0]), output.weight, output.bias).data);
    const tags = linear(hidden, slots.weight, slots.bias);
    for (let t = 0; t < tags.rows; t++) softmax(tags.data, t * tags.cols, (t + 1) * tags.cols);
    return { intent, tags: tags.data };
  }
}

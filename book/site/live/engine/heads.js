// Small parts over the minis: only the last block is another one, and what answers from it.

import { Bert } from "./bert.js";
import { Gpt } from "./gpt.js";
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

// Sentiment by two routes: BERT classifies, GPT writes a word.
export class Routes {
  constructor(config, { classify, generate }, models) {
    const [bert, gpt] = [models["bert-mini"], models["gpt-mini"]];
    this.head = classify.output;
    this.bert = new Bert(bert.config, withLast(bert, classify.block));
    const weights = { ...withLast(gpt, generate.block), final_norm: generate.final_norm };
    this.gpt = new Gpt(gpt.config, weights);
  }

  // Probabilities of the two labels, from [CLS].
  classify(ids) {
    const first = rows(this.bert.hiddenStates(ids), [0]);
    return softmax(linear(first, this.head.weight, this.head.bias).data);
  }

  // Probabilities of all pieces as the next one.
  generate(ids) {
    this.gpt.forget(); // so that its time is that of a whole text
    return softmax(this.gpt.next(ids).logits);
  }
}

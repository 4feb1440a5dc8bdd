// BERT: every token sees both sides. Post-norm; the head's matrix is the token embedding again.

import {
  activations,
  add,
  embed,
  feedForward,
  layerNorm,
  linear,
  rows,
  selfAttention,
} from "./layers.js";

export class Bert {
  constructor(config, weights) {
    this.config = config;
    this.weights = weights;
  }

  // The last hidden states (T, d). `watch`, a Watch, gets what passes on the way.
  hiddenStates(ids, watch = null) {
    const { weights: w, config } = this;
    if (ids.length > config.max_length) {
      throw new RangeError(`the model reads at most ${config.max_length} tokens`);
    }
    const heads = config.num_heads;
    const scale = (config.hidden_size / heads) ** -0.5;
    const options = { heads, scale }; // no mask: every token sees every other
    const norm = (h, part) => layerNorm(h, part.weight, part.bias, config.layer_norm_eps);

    let x = embed(w.token_embedding.weight, ids);
    x = add(x, embed(w.position_embedding.weight, [...ids.keys()]));
    const first = ids.map(() => 0); // all of one segment
    x = add(x, embed(w.segment_embedding.weight, first));
    x = norm(x, w.embedding_norm);
    watch?.states.push(x);
    for (const block of w.blocks) {
      const seen = watch && [];
      const attended = selfAttention(x, block.attention, { ...options, watch: seen });
      watch?.heads.push(seen);
      x = norm(add(x, attended), block.attention_norm);
      const { up, down } = block.feed_forward;
      x = norm(add(x, feedForward(x, up, down, "gelu")), block.feed_forward_norm);
      watch?.states.push(x);
    }
    return x;
  }

  // Vocabulary logits at some positions only, where something is predicted: (positions, V).
  logits(ids, positions, watch = null) {
    const { head, token_embedding } = this.weights;
    const hidden = rows(this.hiddenStates(ids, watch), positions);
    const inner = linear(hidden, head.dense.weight, head.dense.bias);
    inner.data = inner.data.map(activations.gelu);
    const { weight, bias } = head.norm;
    const normed = layerNorm(inner, weight, bias, this.config.layer_norm_eps);
    return linear(normed, token_embedding.weight, head.bias);
  }
}

// GPT: every token sees what stands before it. Pre-norm; it remembers what it has read.

import {
  KeyValueCache,
  add,
  causalBias,
  embed,
  feedForward,
  layerNorm,
  linear,
  rows,
  selfAttention,
} from "./layers.js";

export class Gpt {
  constructor(config, weights) {
    this.config = config;
    this.weights = weights;
    this.forget();
  }

  forget() {
    const { num_layers, max_length, hidden_size } = this.config;
    this.cache = new KeyValueCache(num_layers, max_length, hidden_size);
    this.read = []; // the ids whose keys and values are in the cache
  }

  // The last hidden states of ids that follow those in the cache: (T, d). `watch`, a Watch, gets what
  // passes on the way.
  hiddenStates(ids, watch = null) {
    const { weights: w, config, cache } = this;
    const past = cache.length;
    if (past + ids.length > config.max_length) {
      throw new RangeError(`the model reads at most ${config.max_length} tokens`);
    }
    const heads = config.num_heads;
    const scale = (config.hidden_size / heads) ** -0.5;
    const options = { heads, scale, bias: causalBias(past) };
    let x = embed(w.token_embedding.weight, ids);
    const positions = ids.map((_, t) => past + t);
    x = add(x, embed(w.position_embedding.weight, positions));
    watch?.states.push(x);
    w.blocks.forEach((block, layer) => {
      const seen = watch && [];
      x = this.block(x, block, layer, { ...options, watch: seen });
      watch?.heads.push(seen);
      watch?.states.push(x);
    });
    cache.length += ids.length;
    this.read.push(...ids);
    return this.norm(x, w.final_norm);
  }

  // Attention, then feed-forward: each reads a norm and is added to what came in.
  // x (T, d) → (T, d)
  block(x, weights, layer, options) {
    const { attention, attention_norm, feed_forward, feed_forward_norm } = weights;
    const normed = this.norm(x, attention_norm);
    x = add(x, selfAttention(normed, attention, options, this.cache, layer));
    const { up, down } = feed_forward;
    return add(x, feedForward(this.norm(x, feed_forward_norm), up, down, "gelu_tanh"));
  }

  norm(x, part) {
    return layerNorm(x, part.weight, part.bias, this.config.layer_norm_eps);
  }

  // Logits of the token that follows `ids`, (V). Only what differs from the last call is computed:
  // a longer text costs its new tokens, and going back costs one.
  next(ids) {
    let same = 0;
    while (same < ids.length - 1 && ids[same] === this.read[same]) same++;
    this.read.length = Math.min(this.read.length, same);
    this.cache.length = this.read.length;
    const fresh = ids.slice(this.read.length);
    const last = rows(this.hiddenStates(fresh), [fresh.length - 1]);
    return { logits: linear(last, this.weights.token_embedding.weight).data, fresh: fresh.length };
  }

  // Logits after every token of a text: (T, V).
  logits(ids, watch = null) {
    this.forget();
    return linear(this.hiddenStates(ids, watch), this.weights.token_embedding.weight);
  }
}

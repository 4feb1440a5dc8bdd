// T5: an encoder reads both sides, a decoder writes and looks over at it. Pre-RMSNorm, no biases,
// positions only as a learned bias of the scores, scores not divided by √D.

import {
  KeyValueCache,
  add,
  attention,
  columns,
  embed,
  feedForward,
  linear,
  rmsNorm,
  selfAttention,
} from "./layers.js";

export class T5 {
  constructor(config, weights) {
    this.config = config;
    this.weights = weights;
  }

  // Number of the bucket of key position minus query position: near distances have one each, far
  // ones share, in steps that grow with the logarithm.
  bucket(distance, twoWay) {
    const { relative_buckets, relative_max_distance } = this.config;
    const half = twoWay ? relative_buckets / 2 : relative_buckets;
    const side = twoWay && distance > 0 ? half : 0;
    const steps = twoWay ? Math.abs(distance) : Math.max(-distance, 0);
    const exact = half / 2;
    if (steps < exact) return side + steps;
    const growth = Math.log(steps / exact) / Math.log(relative_max_distance / exact);
    return side + Math.min(exact + Math.floor(growth * (half - exact)), half - 1);
  }

  // The bias function of one side, for `attention`.
  positionBias(stack, twoWay, past = 0) {
    const table = stack.position_bias.bias.weight;
    return (head, i, j) => {
      const distance = j - past - i;
      if (!twoWay && distance > 0) return -Infinity;
      return table.data[this.bucket(distance, twoWay) * table.cols + head];
    };
  }

  norm(x, part) {
    return rmsNorm(x, part.weight, this.config.layer_norm_eps);
  }

  // Read ids from both sides: (S, d). `watch`, a Watch, gets what passes on the way.
  encode(ids, watch = null) {
    const { encoder, token_embedding } = this.weights;
    const options = { heads: this.config.num_heads, scale: 1 };
    options.bias = this.positionBias(encoder, true);
    let x = embed(token_embedding.weight, ids);
    watch?.states.push(x);
    for (const block of encoder.blocks) {
      const seen = watch && [];
      const normed = this.norm(x, block.attention_norm);
      x = add(x, selfAttention(normed, block.attention, { ...options, watch: seen }));
      const { up, down } = block.feed_forward;
      x = add(x, feedForward(this.norm(x, block.feed_forward_norm), up, down, "relu"));
      watch?.heads.push(seen);
      watch?.states.push(x);
    }
    return this.norm(x, encoder.final_norm);
  }

  // Keys and values of what the encoder read, made once for each decoder block.
  memory(encoded) {
    return this.weights.decoder.blocks.map(({ cross_attention }) => {
      const both = linear(encoded, cross_attention.key_value.weight);
      const width = both.cols / 2;
      return [columns(both, 0, width), columns(both, width, width)];
    });
  }

  // Logits after each of the target ids that follow those in the cache: (T, V). `watch`, a Watch, gets
  // what passes on the way.
  decode(ids, memory, cache, watch = null) {
    const { decoder, token_embedding } = this.weights;
    const heads = this.config.num_heads;
    const own = { heads, scale: 1, bias: this.positionBias(decoder, false, cache.length) };
    let x = embed(token_embedding.weight, ids);
    watch?.states.push(x);
    decoder.blocks.forEach((block, layer) => {
      const [seen, over] = [watch && [], watch && []];
      const normed = this.norm(x, block.attention_norm);
      x = add(x, selfAttention(normed, block.attention, { ...own, watch: seen }, cache, layer));
      const cross = block.cross_attention;
      const query = linear(this.norm(x, block.cross_norm), cross.query.weight);
      const mixed = attention(query, ...memory[layer], { heads, scale: 1, watch: over });
      x = add(x, linear(mixed, cross.output.weight));
      const { up, down } = block.feed_forward;
      x = add(x, feedForward(this.norm(x, block.feed_forward_norm), up, down, "relu"));
      watch?.heads.push(seen);
      watch?.cross.push(over);
      watch?.states.push(x);
    });
    cache.length += ids.length;
    x = this.norm(x, decoder.final_norm);
    x.data = x.data.map((value) => value * this.config.hidden_size ** -0.5);
    return linear(x, token_embedding.weight);
  }

  newCache(capacity) {
    const { num_decoder_layers, num_heads, head_size } = this.config;
    return new KeyValueCache(num_decoder_layers, capacity, num_heads * head_size);
  }

  // Write the likeliest token again and again, until the end token or `most` tokens.
  generate(ids, most) {
    const memory = this.memory(this.encode(ids));
    const cache = this.newCache(most);
    const written = [];
    let token = this.config.decoder_start_token_id;
    while (written.length < most && token !== this.config.eos_token_id) {
      const scores = this.decode([token], memory, cache).data;
      token = scores.reduce((best, score, id) => (score > scores[best] ? id : best), 0);
      written.push(token);
    }
    return written;
  }
}

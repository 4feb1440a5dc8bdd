// One text with one gap, on its way through three models: what each one reads, what passes on the
// way, and what it predicts where. All are numbers of one forward pass, rounded to be read.

import { Watch, softmax } from "./layers.js";

const [CLS, SEP, MASK, EOS] = [1, 2, 3, 4];
const SENTINELS = 64; // T5's marks for what was cut out, at the end of the vocabulary
const DRAWN = 16; // numbers of a vector that are shown
const FEW = 5; // the same after each block
const LIKELIEST = 5;
const round = (value) => Number(value.toPrecision(3));

// ids: the tokens of a text; gap: the place of the one that is to be predicted.
export function trace(models, ids, gap) {
  return {
    "bert-mini": encoder(models["bert-mini"], ids, gap),
    "gpt-mini": decoder(models["gpt-mini"], ids, gap),
    "t5-mini": encoderDecoder(models["t5-mini"], ids, gap),
  };
}

// BERT reads the text with a mask in the gap, and predicts there.
function encoder(bert, ids, gap) {
  const inputs = [CLS, ...ids.with(gap, MASK), SEP];
  const watch = new Watch();
  const logits = bert.logits(inputs, [gap + 1], watch);
  const asked = [answer(logits, 0, gap + 1, ids[gap])];
  const heads = [sharpest("attention", bert, watch.heads, inputs)];
  return report({ model: bert, inputs, split: inputs.length, states: watch.states, heads, asked });
}

// GPT reads the text as it is, and predicts the next token at every one.
function decoder(gpt, ids, gap) {
  const inputs = [EOS, ...ids.slice(0, -1)];
  const watch = new Watch();
  const logits = gpt.logits(inputs, watch);
  const asked = ids.map((id, place) => answer(logits, place, place, id));
  const heads = [sharpest("attention", gpt, watch.heads, inputs)];
  return report({ model: gpt, inputs, split: 0, states: watch.states, heads, asked, gap });
}

// T5's encoder reads the text with a sentinel in the gap; its decoder writes the sentinel, what
// stood there, and the end, and predicts each of these.
function encoderDecoder(t5, ids, gap) {
  const sentinel = t5.config.vocab_size - 1;
  const read = [...ids.with(gap, sentinel), EOS];
  const target = [sentinel, ids[gap], EOS];
  const written = [t5.config.decoder_start_token_id, ...target.slice(0, -1)];
  const [first, second] = [new Watch(), new Watch()];
  const memory = t5.memory(t5.encode(read, first));
  const logits = t5.decode(written, memory, t5.newCache(written.length), second);
  const asked = target.map((id, place) => answer(logits, place, read.length + place, id));
  const heads = [
    sharpest("encoder", t5, first.heads, read),
    sharpest("across", t5, second.cross, read, written.length),
    sharpest("decoder", t5, second.heads, written),
  ];
  const states = first.states.map((state, layer) => ({
    cols: state.cols,
    data: [...state.data, ...(second.states[layer]?.data ?? [])],
  }));
  const inputs = [...read, ...written];
  return report({ model: t5, inputs, split: read.length, states, heads, asked, gap: 1 });
}

// What a model predicts at `row` of its input, where `target` comes.
function answer({ data, cols }, at, row, target) {
  const p = softmax(data.slice(at * cols, (at + 1) * cols));
  const order = [...p.keys()].sort((a, b) => p[b] - p[a]).slice(0, LIKELIEST);
  const rank = 1 + p.filter((other) => other > p[target]).length;
  const top = order.map((id) => [id, round(p[id])]);
  return { row, target, p: round(p[target]), loss: round(-Math.log(p[target])), rank, top };
}

// The head whose rows attend most to one token each. Marks do not count: a head that has nothing
// to do rests on them. `read` are the ids that it looks at.
function sharpest(name, model, layers, read, size = read.length) {
  const marks = model.config.vocab_size - SENTINELS;
  const plain = read.map((id) => id > EOS && id < marks);
  let best = { total: -1 };
  layers.forEach((heads, layer) =>
    heads.forEach(({ weights }, head) => {
      const rows = Array.from({ length: size }, (_, i) => [
        ...weights.slice(i * read.length, (i + 1) * read.length),
      ]);
      const total = rows.reduce((sum, row) => sum + Math.max(0, ...row.filter((_, j) => plain[j])), 0);
      if (total > best.total) best = { total, name, layer, head, rows };
    }),
  );
  return best;
}

function report({ model, inputs, split, states, heads, asked, gap = 0 }) {
  const numbers = (state, count) =>
    inputs.map((_, row) => {
      const start = row * state.cols;
      return Array.from(state.data.slice(start, start + count), round);
    });
  return {
    inputs,
    split, // rows below it belong to an encoder, the others to a decoder
    width: model.config.hidden_size,
    vectors: numbers(states[0], DRAWN),
    states: states.map((state) => numbers(state, FEW)),
    heads: heads.map(({ name, layer, head, rows }) => ({
      name,
      layer,
      head,
      rows: rows.map((row) => row.map(round)),
    })),
    asked,
    gap, // the one of `asked` that is about the gap
  };
}

// One sentence with one gap, on its way through BERT, GPT and T5, side by side and step by step. The
// numbers are those of one forward pass (engine/trace.js); what is drawn here are rows, one a token,
// that stay in their places while the steps go by.

import { button, controls, el, fill, idsOf, later, number, oneStop } from "./parts.js";
import { percent, seen, spoken, textField, tokenizer } from "./parts.js";
import { config, offer } from "./models.js";

const START = "The people of the United States.";
const GAP = " United"; // at first
const MOST = 10; // tokens
const REST = 4500; // milliseconds that a step stays while the figure plays
const MODELS = {
  "bert-mini": ["BERT", "encoder"],
  "gpt-mini": ["GPT", "decoder"],
  "t5-mini": ["T5", "encoder–decoder"],
};

// Each step: its name, what it is about, what is its own in each model, and how it is drawn and told.
const STEPS = [
  {
    name: "tokens",
    about: "The same sentence, three inputs. A token is a number: its place in the vocabulary.",
    own: {
      "bert-mini": "[MASK] in the gap, and a mark at either end.",
      "gpt-mini": "A mark, then the text as it is. Nothing is masked.",
      "t5-mini": "A sentinel in the gap for the encoder; the decoder reads a start and what it has written.",
    },
    shape: (it) => each(it, (count) => `(${count})`),
    draw: (it, row) => [el("span", { class: "id" }, number(it.inputs[row]))],
    tell: (it, row) => `number ${number(it.inputs[row])} of ${number(it.vocabulary)} tokens.`,
  },
  {
    name: "vectors",
    about: "Each token becomes a vector of learned numbers. The first sixteen are drawn: colour is positive, grey negative.",
    own: {
      "bert-mini": "Token + position + segment, then a norm.",
      "gpt-mini": "Token + position.",
      "t5-mini": "Token alone; the order comes in later, as a bias of the attention.",
    },
    shape: (it) => each(it, (count) => `(${count}, ${it.width})`),
    draw: (it, row) => signed(it.vectors[row], it.largest.vectors),
    tell: (it, row) => `${it.vectors[row].slice(0, 4).map(short).join(", ")} … ${it.width} numbers.`,
    tellCell: (it, row, cell) => `number ${cell + 1} of ${it.width}: ${short(it.vectors[row][cell])}`,
  },
  {
    name: "mask",
    about: "Where the three differ: which tokens a row may attend to. Rows attend, columns are attended to, in the same order.",
    own: {
      "bert-mini": "A full square: every token sees both sides.",
      "gpt-mini": "A triangle: a token sees itself and what stands before it.",
      "t5-mini": "A square to read, a triangle to write, and a rectangle from one to the other.",
    },
    shape: (it) => `${open(it)} of ${it.inputs.length ** 2} open`,
    draw: (it, row) => looks(it, row, (column) => (sees(it, row, column) ? 0.62 : null)),
    tell: (it, row) => `may attend to ${count(it, row)} of ${it.inputs.length}.`,
    tellCell: (it, row, cell) =>
      `${sees(it, row, cell) ? "may" : "may not"} attend to “${seen(it.inputs[cell])}”`,
  },
  {
    name: "attention",
    about: "How much it attends where it may: softmax(scores + mask), each row of a head sums to one. Drawn is the head that attends most sharply.",
    own: {
      "bert-mini": "To the left and to the right.",
      "gpt-mini": "To the left only: the rest is exactly zero.",
      "t5-mini": "Two heads in the decoder's rows, each with a sum of one: across, and on its own.",
    },
    shape: (it) =>
      `layer.head ${it.heads.map(({ layer, head }) => `${layer + 1}.${head + 1}`).join(" · ")}`,
    draw: (it, row) => looks(it, row, (column) => weight(it, row, column)),
    tell: (it, row) => `attends most to ${most(it, row)}.`,
    tellCell: (it, row, cell) =>
      sees(it, row, cell)
        ? `attends to “${seen(it.inputs[cell])}” with ${percent(weight(it, row, cell))}`
        : `may not attend to “${seen(it.inputs[cell])}”`,
  },
  {
    name: "blocks",
    about: "Attention adds what it found, a feed-forward layer then works on each token alone. Five numbers of each vector: before the first block, and after every one.",
    own: {
      "bert-mini": "Post-norm: each sum is normalised before it goes on.",
      "gpt-mini": "Pre-norm: layers read a norm; what they add stays as it is.",
      "t5-mini": "Pre-norm, too. The decoder looks across before it feeds forward.",
    },
    shape: (it) => `${it.states.length - 1} × (${it.inputs.length}, ${it.width} → ${it.inner} → ${it.width})`,
    draw: (it, row) =>
      it.states.map((rows) => el("span", { class: "group" }, signed(rows[row], it.largest.states))),
    tell: (it, row) => `the first number ${it.states.map((rows) => short(rows[row][0])).join(" → ")}.`,
    tellCell: (it, row, cell) => {
      const few = it.states[0][row].length;
      const [layer, at] = [Math.floor(cell / few), cell % few];
      const when = layer ? `after block ${layer}` : "before the first block";
      return `number ${at + 1}, ${when}: ${short(it.states[layer][row][at])}`;
    },
  },
  {
    name: "logits",
    about: "The last vector times the vocabulary matrix, then softmax: a probability for each token. The likeliest is written.",
    own: {
      "bert-mini": "It predicts in the gap only.",
      "gpt-mini": "Every row predicts the token that comes next.",
      "t5-mini": "Each row of the decoder predicts what is written next.",
    },
    shape: (it) => `(${it.asked.length}, ${number(it.vocabulary)})`,
    draw: (it, row) => {
      const asked = at(it, row);
      if (!asked) return [];
      const [[id, p]] = asked.top;
      return [el("span", { class: "says" }, seen(id)), bar(p), el("b", {}, percent(p))];
    },
    tell: (it, row) => {
      const asked = at(it, row);
      if (!asked) return "no prediction here.";
      return `${asked.top.map(([id, p]) => `“${seen(id)}” ${percent(p)}`).join(", ")}.`;
    },
  },
  {
    name: "loss",
    about: "Minus the logarithm of the probability of what stood there. Training lowers the mean of these numbers.",
    own: {
      "bert-mini": "One prediction from this sentence.",
      "gpt-mini": "A prediction for every token of the sentence.",
      "t5-mini": "A prediction for each token of the target.",
    },
    shape: (it) =>
      `mean of ${it.asked.length}: ${(it.asked.reduce((sum, { loss }) => sum + loss, 0) / it.asked.length).toFixed(2)} nats`,
    draw: (it, row) => {
      const asked = at(it, row);
      if (!asked) return [];
      const longest = Math.log(it.vocabulary); // of a model that knows nothing
      return [el("span", { class: "says" }, seen(asked.target)), bar(asked.loss / longest), el("b", {}, asked.loss.toFixed(2))];
    },
    tell: (it, row) => {
      const asked = at(it, row);
      if (!asked) return "no prediction, no loss.";
      return `“${seen(asked.target)}” had ${percent(asked.p)}: −ln ${asked.p} = ${asked.loss.toFixed(2)} nats.`;
    },
  },
];

const short = (value) => value.toFixed(2).replace("-", "−");
const at = (it, row) => it.asked.find((asked) => asked.row === row);
const isEncoder = (it, row) => row < it.split;

// May the token of `row` attend to that of `column`? Those of an encoder are seen by all, those of a
// decoder by themselves and by what comes after. With an encoder only this is BERT, without one GPT.
export const sees = (it, row, column) =>
  isEncoder(it, column) || (!isEncoder(it, row) && column <= row);

const count = (it, row) => it.inputs.filter((_, column) => sees(it, row, column)).length;
const open = (it) => it.inputs.reduce((sum, _, row) => sum + count(it, row), 0);

// "(7) + (3)" for what has two stacks.
function each(it, say) {
  const counts = [it.split, it.inputs.length - it.split].filter(Boolean);
  return counts.map(say).join(" + ");
}

// The weight in a cell: of T5, from the head that this corner of the square belongs to.
function weight(it, row, column) {
  if (!sees(it, row, column)) return null;
  if (it.heads.length === 1) return it.heads[0].rows[row][column];
  const [encoder, across, decoder] = it.heads;
  if (isEncoder(it, row)) return encoder.rows[row][column];
  const written = row - it.split;
  return isEncoder(it, column)
    ? across.rows[written][column]
    : decoder.rows[written][column - it.split];
}

// "“·the” 62.0%, “·We” 20.1%": the largest weights of a row, of either head where it has two.
function most(it, row) {
  const weights = it.inputs.map((id, column) => ({ w: weight(it, row, column), id, column }));
  const largest = weights.filter(({ w }) => w !== null).sort((a, b) => b.w - a.w);
  const list = (some, count) =>
    some
      .slice(0, count)
      .map(({ w, id }) => `“${seen(id)}” ${percent(w)}`)
      .join(", ");
  if (it.heads.length === 1 || isEncoder(it, row)) return list(largest, 3);
  const across = largest.filter(({ column }) => isEncoder(it, column));
  const own = largest.filter(({ column }) => !isEncoder(it, column));
  return `${list(across, 2)}; of its own to ${list(own, 1)}`;
}

// Cells of signed numbers: colour is positive, grey negative.
const signed = (numbers, largest) =>
  numbers.map((value) => {
    const strength = Math.min(1, Math.abs(value) / largest).toFixed(2);
    return el("i", { class: value < 0 ? "minus" : null, style: `--w: ${strength}` });
  });

// Cells of a square: `strength` of a column, or null where a row may not look.
const looks = (it, row, strength) =>
  it.inputs.map((_, column) => {
    const w = strength(column);
    const kind = w === null ? "shut" : null;
    const style = w === null ? null : `--w: ${Math.sqrt(w).toFixed(2)}`;
    const apart = column === it.split && it.split > 0;
    return el("i", { class: [kind, apart && "apart"].filter(Boolean).join(" ") || null, style });
  });

const bar = (share) =>
  el(
    "span",
    { class: "bar" },
    el("i", { style: `width: ${(100 * Math.min(1, share)).toFixed(1)}%` }),
  );

// What is drawn of a model, from its trace.
function prepared(name, traced) {
  const { vocab_size: vocabulary, intermediate_size: inner } = config(name);
  // large enough for nearly all: a few numbers of a vector are far larger than the others
  const most = (numbers) => numbers.map(Math.abs).sort((a, b) => a - b)[Math.floor(0.97 * numbers.length)];
  const largest = { vectors: most(traced.vectors.flat()), states: most(traced.states.flat(2)) };
  const chosen = traced.asked[traced.gap].row;
  return { ...traced, vocabulary, inner, largest, chosen };
}

// One model: rows that stay, and what a step draws into them.
function panel(name) {
  const [title, kind] = MODELS[name];
  const own = el("p", { class: "own" });
  const shape = el("p", { class: "shape" });
  const list = el("div");
  const drawRows = oneStop(list);
  const told = el("p", { class: "told" });
  const says = el("p", { class: "answer" });
  const root = el(
    "section",
    { class: `panel ${title.toLowerCase()}`, "aria-label": `${title}, ${kind}` },
    el("h4", {}, title, " ", el("small", {}, kind)),
    own,
    shape,
    list,
    told,
    says,
  );
  let [it, step, rows] = [null, STEPS[0], []];

  const tell = (row) => `“${seen(it.inputs[row])}”: ${step.tell(it, row)}`;
  const choose = (row) => {
    it.chosen = row;
    rows.forEach(({ node, name }, i) => {
      node.classList?.toggle("chosen", i === row);
      name.setAttribute("aria-pressed", String(i === row));
    });
    point(row);
  };
  // Say what the row says, or one of its cells; mark the token that the cell is about.
  const point = (row, cell = -1) => {
    const about = step.name === "mask" || step.name === "attention";
    rows.forEach(({ node }, i) => node.classList?.toggle("seen", about && i === cell));
    told.textContent =
      cell < 0 || !step.tellCell
        ? tell(row)
        : `“${seen(it.inputs[row])}”: ${step.tellCell(it, row, cell)}`;
  };
  const makeRow = (id, row) => {
    const isMark = tokenizer.mark(id) !== null;
    const name = button(seen(id), () => choose(row), { class: isMark ? "name mark" : "name" });
    name.addEventListener("focus", () => choose(row));
    const cells = el("div", { class: `cells ${step.name}`, "aria-hidden": "true" }, step.draw(it, row));
    const over = ({ target }) => {
      const all = [...cells.querySelectorAll(":scope > i, .group > i")];
      point(row, all.indexOf(target));
    };
    const kinds = [
      at(it, row) && "asked",
      row === at(it, row)?.row && it.asked[it.gap].row === row && "gap",
      it.split > 0 && row === it.split && "apart",
      row === it.chosen && "chosen",
    ];
    const details = { class: kinds.filter(Boolean).join(" ") || null, style: `--row: ${row}` };
    const node = el("li", details, name, cells);
    node.addEventListener("pointerover", over);
    node.addEventListener("pointerleave", () => point(it.chosen));
    name.setAttribute("aria-pressed", String(row === it.chosen));
    name.setAttribute("aria-label", tell(row));
    return { node, name };
  };
  const show = (next = step) => {
    step = next;
    own.textContent = step.own[name];
    if (!it) return;
    shape.textContent = step.shape(it);
    rows = it.inputs.map(makeRow);
    drawRows(el("ol", { class: "rows", style: `--count: ${it.inputs.length}` }, rows.map(({ node }) => node)));
    point(it.chosen);
    const asked = it.asked[it.gap];
    const [[id, p]] = asked.top;
    const truth = id === asked.target ? "" : `, “${seen(asked.target)}” ${percent(asked.p)}`;
    fill(says, "In the gap: ", el("b", {}, `“${seen(id)}” ${percent(p)}`), truth);
  };
  const take = (traced) => {
    it = traced && prepared(name, traced);
    if (it) return show();
    rows = [];
    for (const part of [shape, list, told, says]) fill(part);
  };
  return { root, show, take };
}

export function paradigms() {
  let [ids, wanted, step, playing] = [[], 0, STEPS.findIndex(({ name }) => name === "mask"), null];
  let last = null; // what was asked last
  const panels = Object.keys(MODELS).map((name) => [name, panel(name)]);
  const side = el("div", { class: "panels" }, panels.map(([, { root }]) => root));
  const said = spoken("", 2);
  const sentence = el("div", { class: "sentence", role: "group", "aria-label": "The sentence; choose the token for the gap" });
  const drawSentence = oneStop(sentence);
  const { line, ask, bring } = offer(Object.keys(MODELS));

  const range = el("input", { type: "range", min: 1, max: STEPS.length, "aria-label": "Step" });
  const names = STEPS.map(({ name }, i) => button(name, () => (pause(), go(i))));
  const play = button("▶ Play", () => (playing ? pause() : begin()), { class: "live-main" });
  const go = (next) => {
    step = next;
    range.value = step + 1;
    range.setAttribute("aria-valuetext", `${step + 1} of ${STEPS.length}: ${STEPS[step].name}`);
    names.forEach((node, i) => node.setAttribute("aria-current", i === step ? "step" : "false"));
    said.textContent = ids.length > 1 ? STEPS[step].about : "Write two tokens or more: a gap needs something beside it.";
    panels.forEach(([, { show }]) => show(STEPS[step]));
  };
  const begin = () => {
    go(step + 1 < STEPS.length ? step + 1 : 0);
    playing = setInterval(() => (step + 1 < STEPS.length ? go(step + 1) : pause()), REST);
    play.textContent = "❚❚ Pause";
  };
  const pause = () => {
    clearInterval(playing);
    playing = null;
    play.textContent = "▶ Play";
  };
  range.addEventListener("input", () => (pause(), go(Number(range.value) - 1)));

  const read = async () => {
    const gap = Math.min(wanted, ids.length - 1); // of a text that is shorter for a moment
    const asked = { ids, gap };
    drawSentence(
      ids.map((id, place) =>
        button(seen(id).replace(/^·/, ""), () => ((wanted = place), read()), {
          "aria-pressed": String(place === gap),
          class: seen(id).startsWith("·") ? "word" : null,
        }),
      ),
    );
    last = asked;
    const traced = ids.length > 1 ? await ask("trace", asked) : {};
    if (asked !== last) return; // the reader was faster
    const sizes = Object.values(traced).map(({ inputs }) => inputs.length);
    side.setAttribute("style", `--columns: ${Math.max(1, ...sizes)}`);
    panels.forEach(([name, { take }]) => take(traced[name]));
    go(step);
  };
  const write = (text) => {
    ids = idsOf(text, MOST, field);
    read();
  };
  const field = textField("Your sentence", START, later(write), 1);
  field.input.addEventListener("focus", bring, { once: true });
  ids = idsOf(START, MOST);
  wanted = ids.indexOf(idsOf(GAP, 1)[0]);
  go(step);
  read();
  return [
    sentence,
    el("div", { class: "steps" }, play, el("div", { class: "scrub" }, range, el("div", { class: "names" }, names))),
    said,
    side,
    controls(field),
    line,
  ];
}

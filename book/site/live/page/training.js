// Three small models are trained here and now, each in a worker of its own, on a source whose best
// possible losses are known.

import { LENGTH, MASKED, SPAN, SPANS } from "../train/objectives.js";
import { Source } from "../train/source.js";
import { button, choice, controls, el, fill, number, slider, spoken, table, tight } from "./parts.js";
import { label, svg } from "./scaling.js";

const { chain, trainer: program } = window.liveData;
const source = new Source(chain);
const STEPS = 4000;
const NEAR = 0.05; // nats from the bound
const RECENT = 50; // steps of which the mean is shown
const [LOW, HIGH] = [0.6, 2.2]; // nats, of the chart
const RARE = 0.02; // steps that the source takes less often stand out in what models write
const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const MODELS = [
  ["masked", "BERT", `${MASKED} of ${LENGTH} symbols masked`, source.bestMasked(MASKED, LENGTH)],
  ["causal", "GPT", "each symbol, from those before", source.bestCausal],
  ["spans", "T5", `${SPANS} spans of ${SPAN} symbols cut out`, source.bestSpans(SPAN)],
];

export function training() {
  const runs = MODELS.map(([kind, title, asked, best]) => ({ kind, title, asked, best }));
  const phone = matchMedia("(max-width: 600px)");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const chart = el("div", { class: "live-chart" });
  const numbers = el("div");
  const samples = el("dl", { class: "live-rows" });
  const said = spoken("", 2);
  let [seed, rate, running, drawn] = [1, 0.01, false, 0];

  const reset = () => {
    for (const run of runs) {
      run.worker?.terminate();
      Object.assign(run, { worker: null, losses: [], near: null, written: null });
    }
    running = false;
    go.textContent = "Start training";
    said.textContent = "Nothing is trained yet. Which one will come near its bound first?";
    draw();
  };
  const start = (run) => {
    const code = new Blob([program], { type: "text/javascript" });
    run.worker = new Worker(URL.createObjectURL(code));
    run.worker.onmessage = ({ data }) => report(run, data);
    const details = { kind: run.kind, transition: chain, seed, steps: STEPS };
    run.worker.postMessage({ order: "begin", ...details });
  };
  const tell = (message) => runs.forEach((run) => run.worker?.postMessage(message));
  const toggle = () => {
    if (runs.every(finished)) reset();
    running = !running;
    if (running) runs.filter((run) => !run.worker).forEach(start);
    tell({ order: "rate", value: rate });
    tell({ order: running ? "go" : "pause" });
    go.textContent = running ? "Pause" : "Go on";
    said.textContent = running ? "Training." : `Paused. ${arrivals(runs)}`;
  };
  const report = (run, { losses, written }) => {
    const before = run.near;
    for (const loss of losses) {
      run.losses.push(loss);
      if (run.losses.length >= RECENT && recent(run) < run.best + NEAR) {
        run.near ??= run.losses.length;
      }
    }
    if (run.near !== before) said.textContent = arrivals(runs);
    run.written = written ?? run.written;
    if (runs.every(finished)) {
      running = false;
      go.textContent = "Train again";
    }
    if (finished(run) || performance.now() - drawn > (calm.matches ? 2000 : 0)) draw();
  };
  const draw = () => {
    drawn = performance.now();
    fill(chart, picture(runs, phone.matches));
    fill(numbers, table(["", "steps", "loss", "bound", "above"], runs.map(line)));
    fill(samples, runs.map(sample));
  };
  const go = button("Start training", toggle, { class: "live-main" });
  const speed = slider(
    "Learning rate",
    { min: -4, max: 0, step: 0.25, value: Math.log10(rate), say: (e) => (10 ** e).toPrecision(2) },
    (e) => tell({ order: "rate", value: (rate = 10 ** e) }),
  );
  const draws = slider("Seed, starts again", { min: 1, max: 20, step: 1, value: seed }, (value) => {
    seed = value;
    reset();
  });
  phone.addEventListener("change", draw);
  document.addEventListener("visibilitychange", () => document.hidden && running && toggle());
  reset();
  const own = chances().toFixed(1);
  const note = el(
    "p",
    { class: "live-note" },
    "Shaded: written by the model, drawn from its probabilities. Dashed: a step that the source " +
      `takes less than ${100 * RARE} times in 100; its own rows have ${own} of them.`,
  );
  return [
    controls(go, button("Start again", reset)),
    tight(speed, draws),
    said,
    chart,
    numbers,
    el("h4", {}, "What they write now"),
    samples,
    note,
    listing(),
  ];
}

const finished = (run) => run.losses.length >= STEPS;
const mean = (numbers) => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
const recent = (run) => mean(run.losses.slice(-RECENT));

function arrivals(runs) {
  const there = runs.filter((run) => run.near).sort((a, b) => a.near - b.near);
  if (!there.length) return `None is within ${NEAR} nats of its bound yet.`;
  const list = there.map((run) => `${run.title} after ${number(run.near)} steps`).join(", ");
  const all = there.length === runs.length ? " All three are there." : "";
  return `Within ${NEAR} nats of its bound: ${list}.${all}`;
}

// A row of the table.
function line(run) {
  const name = el("span", { class: `key ${run.kind}` }, run.title);
  const { length } = run.losses;
  const loss = length ? recent(run) : null;
  const above = loss === null ? "" : (loss - run.best).toFixed(3).replace("-", "−");
  return [name, number(length), loss?.toFixed(3) ?? "", run.best.toFixed(3), above];
}

// -- the chart -------------------------------------------------------------------------------

function picture(runs, narrow) {
  const [width, height] = narrow ? [330, 330] : [680, 340];
  const [left, right] = [40, width - 14];
  const x = (step) => left + (Math.log(step) / Math.log(STEPS)) * (right - left);
  const y = (loss) => 10 + ((HIGH - loss) / (HIGH - LOW)) * (height - 56); // above is cut off
  const path = (kind, points) => {
    const d = points.map(([step, loss], i) => `${i ? "L" : "M"}${x(step)} ${y(loss)}`).join("");
    return svg("path", { class: kind, d });
  };
  const parts = [];
  for (const loss of [0.8, 1.2, 1.6, 2.0])
    parts.push(
      svg("path", { class: "grid", d: `M${left} ${y(loss)}H${right}` }),
      label(left - 6, y(loss) + 5, loss.toFixed(1), "end"),
    );
  for (const step of [1, 10, 100, 1000])
    parts.push(
      svg("path", { class: "grid", d: `M${x(step)} 10V${height - 46}` }),
      label(x(step), height - 28, number(step), "middle"),
    );
  const level = (kind, loss, text, lower) => [
    svg("path", { class: `level ${kind}`, d: `M${left} ${y(loss)}H${right}` }),
    label(left + 6, y(loss) + (lower ? 16 : -6), text, "start"),
  ];
  parts.push(
    label((left + right) / 2, height - 6, "steps of training", "middle"),
    label(right, 24, "loss, nats a symbol", "end"),
    ...level("", source.frequencies, `frequencies only: ${source.frequencies.toFixed(3)}`),
  );
  for (const { kind, title, best } of runs)
    parts.push(...level(kind, best, `${title}’s bound: ${best.toFixed(3)}`, kind === "masked"));
  for (const { kind, losses } of runs) parts.push(path(`curve ${kind}`, smooth(losses)));
  const ends = runs.map((run) => (run.losses.length ? `${run.title} ${recent(run).toFixed(2)}` : ""));
  const words =
    "Loss against steps on a logarithmic axis, with the exact bound of each objective. " +
    (ends.some(Boolean) ? `Now: ${ends.join(", ")}.` : "No step was taken yet.");
  const size = { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words };
  return svg("svg", size, parts);
}

// Means over stretches that grow with the step, so that all are equally wide on the axis.
export function smooth(losses) {
  const points = [];
  for (let from = 0; from < losses.length; ) {
    const to = Math.min(losses.length, Math.ceil((from + 1) * 1.12));
    points.push([Math.sqrt((from + 1) * to), mean(losses.slice(from, to))]);
    from = to;
  }
  return points;
}

// -- what the models write -------------------------------------------------------------------

const rare = (from, to) => from !== undefined && to !== undefined && chain[from][to] < RARE;

// How many rare steps a row of the source has.
function chances() {
  const steps = chain.flatMap((row, i) => row.map((p) => (p < RARE ? source.stationary[i] * p : 0)));
  return (LENGTH - 1) * steps.reduce((sum, p) => sum + p, 0);
}

function sample({ kind, title, asked, written }) {
  const row = written ?? Array(LENGTH).fill({});
  const ids = row.map(({ id }) => id);
  const chips = row.map(({ id, own }, t) => {
    const odd = own && (rare(ids[t - 1], id) || rare(id, ids[t + 1]));
    const look = odd ? "random" : own ? "" : "plain";
    return el("li", { class: `live-chip ${look}`.trim() }, el("b", {}, LETTERS[id] ?? "·"));
  });
  const count = written ? ids.filter((id, t) => rare(ids[t - 1], id)).length : "–";
  return [
    el("dt", {}, el("b", {}, title), ` ${asked}`),
    el("dd", {}, el("ol", { class: "live-chips" }, chips), `rare steps: ${count}`),
  ];
}

// -- the code --------------------------------------------------------------------------------

// The program of the workers, module by module: the text that runs, not a copy.
function listing() {
  const modules = Object.fromEntries(
    [...program.matchAll(/^\/\/ ([\w-]+\.js)\nconst module\d+ = \(\(\) => \{\n([^]*?)\nreturn \{.*\};\n\}\)\(\);$/gm)].map(
      ([, name, text]) => [name, text.trim()],
    ),
  );
  const code = el("code");
  const place = el("pre", { tabindex: 0, class: "live-code" }, code);
  const show = (name) => (code.textContent = modules[name]);
  const order = ["step.js", "models.js", "objectives.js", "autodiff.js", "source.js", "samples.js"];
  const which = choice("Part of the program", order.map((name) => [name, name]), show);
  show(order[0]);
  const fold = el("details", {}, el("summary", {}, "The code that trains, as it runs here"));
  fold.append(controls(which), place);
  return fold;
}

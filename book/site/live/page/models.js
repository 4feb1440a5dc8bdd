// The models: loaded once, when a reader asks what has no stored answer, and run beside the page.

import { decode } from "../engine/weights.js";
import { button, el, fill } from "./parts.js";

const { models, worker: source } = window.liveData;
const folder = new URL(".", document.currentScript.src).href;
const titles = { "bert-mini": "BERT", "gpt-mini": "GPT", "t5-mini": "T5", "minilm-mlm": "MiniLM" };
export const titleOf = (name) => titles[name] ?? "heads";
const parts = {};
const waiting = new Map();
const fetching = {};
const loading = {};
let worker;
let count = 0;

window.livePart = (name, number, text) => {
  (parts[name] ??= [])[number] = text;
};

export const there = (name) => name in models;
export const config = (name) => models[name].config;

// Number of weights in words, counted in the model's own list: "22.7M weights".
export function weights(name) {
  const sizes = models[name].tensors.map(([, shape]) => shape.reduce((a, b) => a * b));
  return `${(sizes.reduce((a, b) => a + b) / 1e6).toPrecision(3)}M weights`;
}

// A worker from a file is forbidden to pages that are opened from disk; one from memory is not.
function start() {
  const blob = new Blob([source], { type: "text/javascript" });
  worker = new Worker(URL.createObjectURL(blob));
  worker.onmessage = ({ data: { number, answer, error } }) => {
    const { resolve, reject } = waiting.get(number);
    waiting.delete(number);
    if (error) reject(new Error(error));
    else resolve(answer);
  };
}

// Put a question to the worker; see engine/worker.js for those it knows.
function put(question, details) {
  if (!worker) start();
  return new Promise((resolve, reject) => {
    waiting.set(++count, { resolve, reject });
    worker.postMessage({ number: count, question, ...details });
  });
}

function script(address) {
  return new Promise((resolve, reject) => {
    const node = el("script", { src: address });
    node.onload = () => resolve(node.remove());
    node.onerror = () => reject(new Error(`${address} did not load`));
    document.head.append(node);
  });
}

// Load models, each once; `progress` gets bytes as they come. All parts are asked for together, and
// the worker begins meanwhile. It takes models in the order of `names`: small ones stand on others.
async function load(names, progress) {
  if (!worker) start();
  await Promise.all(names.map((name) => once(fetching, name, () => fetchParts(name, progress))));
  await Promise.all(names.map((name) => once(loading, name, () => handOver(name))));
}

// What is made under a name, made once; what failed is made again when asked for again.
function once(made, name, make) {
  made[name] ??= make().catch((error) => {
    delete made[name];
    throw error;
  });
  return made[name];
}

function fetchParts(name, progress) {
  const { parts: count, bytes, version } = models[name];
  const addresses = Array.from({ length: count }, (_, n) => `${folder}${name}-${n}.js?${version}`);
  return Promise.all(addresses.map((address) => script(address).then(() => progress(bytes / count))));
}

// What the worker cannot take is fetched anew when asked for again.
async function handOver(name) {
  const text = parts[name].join("");
  delete parts[name];
  try {
    await put("load", { name, text, ...models[name] });
  } catch (error) {
    delete fetching[name];
    throw error;
  }
}

export const megabytes = (names) => {
  const bytes = names.reduce((sum, name) => sum + models[name].bytes, 0);
  return `${(bytes / 1e6).toFixed(1)} MB`;
};

// The models that a figure asks. `line` says where they are; `ask` puts a question to them. What every
// figure asks when it opens was answered when the book was built, so no model comes before a reader
// wants to know something else. Who has had models on one page of the site finds them on the next
// once the figure is in view: they come from the browser's cache. A large one has a sentence of its own
// to be offered with, and comes only where a reader says so.
export function offer(names, sentence = null) {
  const line = el("div", { class: "live-offer", role: "status" });
  const list = new Intl.ListFormat("en").format(names.map(titleOf));
  const missing = names.filter((name) => !there(name));
  if (missing.length) {
    fill(line, `${missing.join(", ")} is not part of this book yet.`);
    return { line, ask: () => new Promise(() => {}), bring() {} };
  }
  const attempt = async (done) => {
    let come = 0;
    const bar = el("progress", { max: 1, value: 0, "aria-label": `Loading ${list}` });
    fill(line, `Loading ${list} `, bar);
    const total = names.reduce((sum, name) => sum + models[name].bytes, 0);
    try {
      await load(names, (bytes) => (bar.value = (come += bytes) / total));
      if (!sentence) remember(names);
      fill(line, `${list}: loaded. What you type stays in this page.`);
      done();
    } catch (error) {
      fill(line, `${error.message}. `, button("Try again", () => attempt(done)));
    }
  };
  let coming = null;
  const bring = () => (coming ??= new Promise(attempt));
  const stored = (question, details) => {
    const found = window.liveAnswers?.get(JSON.stringify([question, details]));
    return found && JSON.parse(found, unpacked);
  };
  const ask = async (question, details) => {
    const known = stored(question, details);
    if (known) return known;
    const figure = line.closest(".live-part, .live-app");
    figure.ariaBusy = "true"; // what it shows is no answer to this question
    await bring();
    figure.ariaBusy = null;
    return put(question, details);
  };
  const usual =
    `Computed when this book was built. Change something, and ${list} ` +
    `(${megabytes(names)}) come into your browser. What you type stays there.`;
  fill(line, sentence ?? usual);
  if (!sentence && names.every((name) => remembered().includes(name))) whenSeen(line, bring);
  return { line, ask, stored, bring };
}

// Arrays of floats in stored answers are base64.
function unpacked(_, value) {
  return value?.floats ? new Float32Array(decode(value.floats).buffer) : value;
}

function whenSeen(node, action) {
  const watcher = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watcher.disconnect();
    action();
  });
  watcher.observe(node);
}

const KEY = "live-models";

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? [];
  } catch {
    return []; // a browser may forbid it
  }
}

function remember(names) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify([...new Set([...remembered(), ...names])]));
  } catch {
    // then the next page asks again
  }
}

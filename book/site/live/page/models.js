// The models: asked for by the reader, loaded once, and run beside the page.

import { button, el, fill } from "./parts.js";

const { models, worker: source } = window.liveData;
const folder = new URL(".", document.currentScript.src).href;
const titles = { "bert-mini": "BERT", "gpt-mini": "GPT", "t5-mini": "T5" };
const titleOf = (name) => titles[name] ?? "heads";
const parts = {};
const waiting = new Map();
const loading = {};
let worker;
let count = 0;

window.livePart = (name, number, text) => {
  (parts[name] ??= [])[number] = text;
};

export const there = (name) => name in models;
export const config = (name) => models[name].config;

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
export function ask(question, details) {
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

// Load a model once; `progress` gets bytes as they come.
export function load(name, progress) {
  loading[name] ??= fetchParts(name, progress).catch((error) => {
    delete loading[name]; // so that the reader can try again
    throw error;
  });
  return loading[name];
}

async function fetchParts(name, progress) {
  const header = models[name];
  for (let number = 0; number < header.parts; number++) {
    await script(`${folder}${name}-${number}.js?${header.version}`);
    progress(header.bytes / header.parts);
  }
  const text = parts[name].join("");
  delete parts[name];
  await ask("load", { name, text, ...header });
}

const megabytes = (names) => {
  const bytes = names.reduce((sum, name) => sum + models[name].bytes, 0);
  return `${(bytes / 1e6).toFixed(1)} MB`;
};

// The line that offers models, shows how far they have come, and says when they are there.
// `ready` is called then. A reader who asked for models on one page of the site finds them on the
// next without asking again, once the figure is in view; they come from the browser's cache.
export function offer(names, ready) {
  const missing = names.filter((name) => !there(name));
  const line = el("div", { class: "live-offer", role: "status" });
  const list = new Intl.ListFormat("en").format(names.map(titleOf));
  if (missing.length) return fill(line, `${missing.join(", ")} is not part of this book yet.`);
  const bring = async () => {
    let come = 0;
    const bar = el("progress", { max: 1, value: 0, "aria-label": `Loading ${list}` });
    fill(line, `Loading ${list} `, bar);
    const total = names.reduce((sum, name) => sum + models[name].bytes, 0);
    try {
      for (const name of names) await load(name, (bytes) => (bar.value = (come += bytes) / total));
      remember(names);
      fill(line, `${list}: loaded. What you type stays in this page.`);
      ready();
    } catch (error) {
      fill(line, `${error.message}. `, button("Try again", bring));
    }
  };
  const text = `Load ${list} (${megabytes(names)})`;
  fill(line, button(text, bring, { class: "live-main" }), " What you type stays in this page.");
  if (names.every((name) => remembered().includes(name))) whenSeen(line, bring);
  return line;
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

// Runs when the book is built: opens every figure as a page does, answers what it then asks with the
// page's own engine, and writes the answers beside the models, one script a figure, so that a page
// shows them before any model has come. Some figures are also drawn, for the first paint.

import { html, place } from "./document.js";
import { answers } from "../engine/worker.js";
import { figures, mount } from "../page/live.js";

const { readdirSync, readFileSync, writeFileSync } = require("node:fs");
const DRAWN = ["paradigms"];
const folder = process.argv[2];

const parts = {};

function readModels() {
  globalThis.livePart = (name, number, text) => ((parts[name] ??= [])[number] = text);
  const files = readdirSync(folder).filter((file) => /-\d+\.js$/.test(file));
  for (const file of files) (0, eval)(textOf(readFileSync(`${folder}/${file}`)));
}

// Large models are written in UTF-16, with the mark that says so.
const textOf = (bytes) => new TextDecoder(bytes[0] === 0xff ? "utf-16le" : "utf-8").decode(bytes);

// As a page does: small ones stand on others, which come before them. Large ones have no memory of
// what they read, so they are loaded once.
async function loadModels(large = false) {
  const chosen = Object.entries(globalThis.liveData.models).filter(([, m]) => !m.deflated !== large);
  for (const [name, model] of chosen) {
    await answers.load({ name, text: parts[name].join(""), ...model });
  }
}

// Open one figure; returns its place, and the answers to what it asked: key → JSON.
async function opened(name) {
  await loadModels(); // they have read nothing yet
  const kept = new Map();
  const get = (key) => {
    const [question, details] = JSON.parse(key);
    kept.set(key, packed(answers[question](details)));
    return kept.get(key);
  };
  globalThis.liveAnswers = { get };
  const node = place(name);
  mount(node);
  await new Promise((resolve) => setTimeout(resolve, 20)); // what waits for answers is drawn
  return { node, kept };
}

function packed(answer) {
  const base64 = (a) => Buffer.from(a.buffer, a.byteOffset, a.byteLength).toString("base64");
  const short = (_, value) => (value instanceof Float32Array ? { floats: base64(value) } : value);
  return JSON.stringify(answer, short);
}

async function main() {
  readModels();
  await loadModels(true);
  const drawn = {};
  for (const name of Object.keys(figures)) {
    const { node, kept } = await opened(name);
    const entries = [...kept].map((entry) => `liveAnswers.set(${entry.map((s) => JSON.stringify(s))});`);
    const start = "globalThis.liveAnswers ??= new Map();";
    if (kept.size) writeFileSync(`${folder}/answers-${name}.js`, [start, ...entries, ""].join("\n"));
    if (DRAWN.includes(name)) drawn[name] = html(node.children.at(-1));
  }
  writeFileSync(`${folder}/drawn.json`, JSON.stringify(drawn));
}

main();

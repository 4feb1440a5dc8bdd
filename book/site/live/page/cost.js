// FLOPs by 6·N·D, then hours and money from assumptions that the reader makes. The functions are
// those of course_utils/cost.py.

import { choice, controls, el, fill, number, slider, spoken, tight } from "./parts.js";
import { inWords, scientific } from "./scaling.js";

// name, parameters, tokens, share of the weights that a token passes (T5: one stack of two). Sizes
// and tokens are those of the papers named, see Appendix E.
const PRESETS = [
  ["BERT-base (Devlin et al. 2019)", 110e6, 42.6e9, 1],
  ["BERT-large (Devlin et al. 2019)", 340e6, 42.6e9, 1],
  ["T5 baseline (Raffel et al. 2020)", 220e6, 34e9, 0.5],
  ["GPT-3 (Brown et al. 2020)", 175e9, 300e9, 1],
  ["Chinchilla (Hoffmann et al. 2022)", 70e9, 1.4e12, 1],
  ["ModernBERT-large (Warner et al. 2024)", 395e6, 2e12, 1],
];

export const trainFlops = (parameters, tokens) => 6 * parameters * tokens;
export const hours = (flops, peak, used) => flops / (peak * used) / 3600;

// 0.2 → "12 minutes", 1900 → "79 days".
export function timeInWords(hours) {
  const units = [
    [1 / 3600, "seconds"],
    [1 / 60, "minutes"],
    [1, "hours"],
    [24, "days"],
    [24 * 365, "years"],
  ];
  const [unit, name] = units.findLast(([least]) => hours >= 2 * least) ?? units[0];
  return `${number(Number((hours / unit).toPrecision(3)))} ${name}`;
}

export function cost() {
  const given = {
    parameters: 110e6,
    tokens: 42.6e9,
    share: 1,
    peak: 300,
    used: 33,
    price: 2,
    count: 8,
  };
  const results = el("dl", { class: "live-results" });
  const said = spoken("", 2);
  const show = () => {
    const flops = trainFlops(given.parameters, given.tokens) * given.share;
    const single = hours(flops, given.peak * 1e12, given.used / 100);
    const money = number(Math.round(single * given.price));
    const rows = [
      ["Operations", `${scientific(flops)} FLOPs`],
      ["On one accelerator", timeInWords(single)],
      [`On ${number(given.count)}, at best`, timeInWords(single / given.count)],
      ["Money", `${money} dollars`],
    ];
    fill(
      results,
      rows.flatMap(([name, value]) => [el("div", {}, el("dt", {}, name), el("dd", {}, value))]),
    );
    said.textContent =
      `One run, without failures: ${scientific(flops)} FLOPs, ` +
      `${timeInWords(single / given.count)} on ${number(given.count)}, ${money} dollars.`;
  };
  const logarithmic = (label, name, min, max) =>
    slider(
      label,
      { min, max, step: 0.02, value: Math.log10(given[name]), say: (e) => inWords(10 ** e) },
      (e) => {
        given[name] = 10 ** e;
        given.share = 1;
        preset.own();
        show();
      },
    );
  const plain = (label, name, min, max, step, say) =>
    slider(label, { min, max, step, value: given[name], say }, (v) => {
      given[name] = v;
      show();
    });
  const size = logarithmic("Parameters", "parameters", 6, 12.5);
  const tokens = logarithmic("Tokens", "tokens", 6, 13.5);
  const preset = choice(
    "A published run",
    PRESETS.map(([name], i) => [i, name]),
    (i) => {
      [, given.parameters, given.tokens, given.share] = PRESETS[i];
      size.set(Math.log10(given.parameters));
      tokens.set(Math.log10(given.tokens));
      show();
    },
  );
  const machine = tight(
    plain("Peak rate", "peak", 10, 2000, 10, (v) => `${number(v)} TFLOP/s`),
    plain("Share of it in use", "used", 1, 100, 1, (v) => `${v}%`),
    plain("Price", "price", 0, 20, 0.1, (v) => `$${v.toFixed(2)} an hour`),
    plain("Accelerators", "count", 1, 1024, 1, number),
  );
  show();
  const note = el(
    "p",
    { class: "live-note" },
    "Peak, share, price and number are your assumptions; nothing here is a price list. Failed and " +
      "exploratory runs are not counted.",
  );
  return [controls(preset, size, tokens), machine, results, said, note];
}

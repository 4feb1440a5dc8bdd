// Loss by size and data: two fitted laws, the models everybody quotes, and this book's own points.

import { choice, controls, el, fill, slider, spoken } from "./parts.js";

// Kaplan et al. 2020, eq. 1.1: N without embeddings, data without end. Nats a token.
export const kaplan = (n) => (8.8e13 / n) ** 0.076;
// Hoffmann et al. 2022, eq. 10.
export const chinchilla = (n, d = Infinity) => 1.69 + 406.4 / n ** 0.34 + 410.7 / d ** 0.28;

// The size with the least loss for C = 6·N·D, by Hoffmann's law, on a grid of 200 sizes a decade.
export function bestSize(flops) {
  const sizes = Array.from({ length: 2001 }, (_, i) => 10 ** (5 + i / 200));
  return sizes.reduce((a, b) =>
    chinchilla(b, flops / 6 / b) < chinchilla(a, flops / 6 / a) ? b : a,
  );
}

// 1.75e11 → "175 billion".
export function inWords(number) {
  const names = [
    [1e12, "trillion"],
    [1e9, "billion"],
    [1e6, "million"],
    [1e3, "thousand"],
  ];
  const [unit, name] = names.find(([least]) => number >= least * 0.9995) ?? [1, ""];
  return `${Number((number / unit).toPrecision(3))} ${name}`.trim();
}

// 2.8e19 → "2.8·10¹⁹".
export function scientific(number) {
  const [digits, power] = number.toExponential(1).split("e");
  return `${digits}·10${superscript(Number(power))}`;
}

const superscript = (n) => [...String(n)].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻").join("");
// Parameters without embeddings, 12·layers·d² (Kaplan et al. 2020, §2.1), from published layers, d.
const KNOWN = [
  ["GPT-1", 12, 768],
  ["GPT-2 XL", 48, 1600],
  ["GPT-3", 96, 12288],
].map(([name, layers, d]) => [name, 12 * layers * d ** 2]);
// Runs whose papers give parameters and tokens.
const RUNS = [
  ["GPT-3", 175e9, 300e9],
  ["Chinchilla", 70e9, 1.4e12],
];
const [LEFT, RIGHT, LOW, HIGH] = [3.5, 13, 1.5, 9]; // log₁₀ of parameters; nats

export function scaling() {
  const view = { n: 175e9, d: 300e9 };
  const phone = matchMedia("(max-width: 600px)");
  let [narrow, width, height] = [];
  const place = el("div", { class: "live-chart" });
  const said = spoken("", 5);
  const ours = window.liveData.measured.scaling;

  const x = (n) => 40 + ((Math.log10(n) - LEFT) / (RIGHT - LEFT)) * (width - 60);
  const y = (loss) => 12 + (Math.log(HIGH / loss) / Math.log(HIGH / LOW)) * (height - 60);
  const path = (law, from = LEFT, to = RIGHT) => {
    const steps = Array.from({ length: 60 }, (_, i) => 10 ** (from + (i * (to - from)) / 59));
    const points = steps.map((n) => [n, law(n)]).filter(([, loss]) => loss >= LOW && loss <= HIGH);
    return points
      .map(([n, loss], i) => `${i ? "L" : "M"}${x(n).toFixed(1)} ${y(loss).toFixed(1)}`)
      .join("");
  };
  const measure = () => {
    narrow = phone.matches;
    [width, height] = narrow ? [350, 330] : [680, 380];
    place.style.aspectRatio = `${width} / ${height}`;
    draw();
  };
  const draw = () => {
    const parts = [];
    for (const loss of [2, 3, 4, 6, 8])
      parts.push(
        svg("path", { class: "grid", d: `M40 ${y(loss)}H${width - 20}` }),
        label(34, y(loss) + 5, loss, "end"),
      );
    for (let e = 4; e <= 13; e += narrow ? 3 : 1)
      parts.push(
        svg("path", { class: "grid", d: `M${x(10 ** e)} 12V${height - 48}` }),
        label(x(10 ** e), height - 28, `10${superscript(e)}`, "middle"),
      );
    parts.push(
      label(width / 2, height - 6, "parameters", "middle"),
      label(44, 26, "loss, nats a token", "start"),
    );
    parts.push(
      svg("path", { class: "kaplan", d: path(kaplan) }),
      svg("path", { class: "chinchilla", d: path((n) => chinchilla(n, view.d)) }),
    );
    if (ours) {
      const { alpha, log10_N_c: scale } = ours.fit;
      const line = path((n) => 10 ** (alpha * (scale - Math.log10(n))), LEFT, 6.5);
      parts.push(svg("path", { class: "fitted", d: line }));
      for (const [n, loss] of ours.points)
        parts.push(svg("circle", { class: "ours", cx: x(n), cy: y(loss), r: 4 }));
    }
    for (const [name, n] of KNOWN)
      parts.push(
        svg("circle", { class: "known", cx: x(n), cy: y(kaplan(n)), r: 4 }),
        label(x(n), y(kaplan(n)) - 9, name, "middle"),
      );
    parts.push(
      svg("path", { class: "here", d: `M${x(view.n)} 12V${height - 48}` }),
      svg("circle", { class: "here", cx: x(view.n), cy: y(chinchilla(view.n, view.d)), r: 5 }),
    );
    const words =
      "Loss against parameters on logarithmic axes. Kaplan's law is a straight line; Hoffmann's " +
      `law with ${inWords(view.d)} tokens flattens out.`;
    fill(
      place,
      svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words }, parts),
    );
    const flops = 6 * view.n * view.d;
    const best = bestSize(flops);
    const [here, there] = [chinchilla(view.n, view.d), chinchilla(best, flops / 6 / best)];
    said.textContent =
      `${inWords(view.n)} parameters, ${inWords(view.d)} tokens: loss ` +
      `${kaplan(view.n).toFixed(2)} by Kaplan's law, ${here.toFixed(2)} by Hoffmann's. ` +
      `Compute 6·N·D: ${scientific(flops)} FLOPs. With as much, Hoffmann's law does best ` +
      `with ${inWords(best)} parameters and ${inWords(flops / 6 / best)} tokens: ` +
      `${there.toFixed(2)}.`;
  };
  const logarithmic = (name, min, max, start) =>
    slider(
      name,
      { min, max, step: 0.05, value: Math.log10(start), say: (e) => inWords(10 ** e) },
      (e) => {
        view[name === "Parameters" ? "n" : "d"] = 10 ** e;
        presets.own();
        draw();
      },
    );
  const sizes = logarithmic("Parameters", 5, 12.5, view.n);
  const tokens = logarithmic("Training tokens", 7, 13.5, view.d);
  const presets = choice(
    "Start from",
    RUNS.map(([name], i) => [i, name]),
    (i) => {
      [, view.n, view.d] = RUNS[i];
      sizes.set(Math.log10(view.n));
      tokens.set(Math.log10(view.d));
      draw();
    },
  );
  phone.addEventListener("change", measure);
  measure();
  const legend = el(
    "p",
    { class: "live-note" },
    el("span", { class: "key kaplan" }, "Kaplan et al. 2020, data without end."),
    " ",
    el("span", { class: "key chinchilla" }, "Hoffmann et al. 2022, with your tokens."),
    " ",
    ours
      ? el("span", { class: "key ours" }, ownPoints(ours))
      : "This book's own points are not measured yet: course run scaling-law.",
    " The marks of GPT-1, -2 and -3 lie on Kaplan's line: predictions, not measurements. Texts " +
      "and tokenizers differ, so heights of different curves do not compare.",
  );
  return [controls(presets, sizes, tokens), place, said, legend];
}

function ownPoints({ points, fit }) {
  const [alpha, low, high] = [fit.alpha, fit.low, fit.high].map((value) => value.toFixed(3));
  return (
    `${points.length} sizes of GPT, measured by this book: the line has the exponent ${alpha} ` +
    `(95% between ${low} and ${high}); Kaplan's is 0.076.`
  );
}

export function svg(tag, properties, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) node.setAttribute(name, value);
  node.append(...children.flat());
  return node;
}

export function label(x, y, text, anchor) {
  return svg("text", { x, y, "text-anchor": anchor }, String(text));
}

"""How quick the page's models are: from a click to an answer, and a step of GPT against PyTorch's.

Each time is the best of several. Other work on a machine makes a time longer and never shorter, so
the best is the nearest to what the computation takes. The ratio compares the same computation: one
token through gpt-mini with its cache, one thread, the weights that the page has.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from course_tools.book import stills
from course_tools.checkout import ROOT
from course_tools.shared import chromium, conditions, measured_with, publish
from course_tools.web import export
from course_tools.web.bundle import bundle
from course_tools.web.quantize import as_in_the_page
from course_utils.models import Gpt
from course_utils.models.generation import KeyValueCache
from course_utils.writing import markdown_table

STEPS, REPEATS = 64, 5
FIRST, TOKEN = "first answer, models loaded from disk", "a token of GPT in the page"
AIMS = {FIRST: "≤ 1,000 ms", TOKEN: "≤ 60 ms"}
ENGINE = """import { Gpt } from "LIVE/engine/gpt.js";
import { decode, unpack } from "LIVE/engine/weights.js";
const parts = [];
window.livePart = (name, number, text) => (parts[number] = text);
window.step = (steps, repeats) => {
  const { config, tensors } = window.liveData.models["gpt-mini"];
  const model = new Gpt(config, unpack(tensors, decode(parts.join(""))));
  let best = Infinity;
  for (let repeat = 0; repeat < repeats; repeat++) {
    const ids = [config.eos_token_id];
    for (let n = 0; n < steps; n++) {
      const start = performance.now();
      const { logits } = model.next(ids);
      if (n) best = Math.min(best, performance.now() - start);
      ids.push(logits.indexOf(Math.max(...logits)));
    }
    model.forget();
  }
  return best;
};
"""
# Milliseconds from a click to the answer of "mask and guess"; the first click brings the models.
ANSWER = """async () => {
  const figure = document.querySelector('[data-live="mask-guess"]');
  const find = (text) =>
    [...figure.querySelectorAll("button")].find((b) => b.textContent.startsWith(text));
  const said = figure.querySelector(".live-said");
  find("·must")?.click();
  said.textContent = "";
  const start = performance.now();
  find("Ask the models").click();
  while (!said.textContent.startsWith("It was")) await new Promise((done) => setTimeout(done, 2));
  return performance.now() - start;
}"""


def measure_page_speed() -> dict[str, Any]:
    """All times in milliseconds, with where they were measured.

    Raises:
        RuntimeError: there is no browser.
    """
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        site = stills.page_alone(Path(place))
        (site / "engine.html").write_text(engine_page(site))
        first, worked, later = [], [], []
        for _ in range(REPEATS):
            page = browser.new_page()
            page.goto((site / "book/playground.html").as_uri())
            before = processor_time(browser)
            first.append(page.evaluate(ANSWER))
            worked.append(processor_time(browser) - before)
            later += [page.evaluate(ANSWER) for _ in range(REPEATS)]
            page.close()
        page = browser.new_page()
        page.goto((site / "engine.html").as_uri())
        script = page.evaluate("([steps, repeats]) => step(steps, repeats)", [STEPS, REPEATS])
        version = browser.version
    torch_step = pytorch_step()
    rows = {FIRST: min(first)}
    rows |= {"work of all processors for it": min(worked), "each further answer": min(later)}
    rows |= {TOKEN: script, "the same in PyTorch": torch_step}
    where = conditions("torch") | {"threads": 1, "chromium": version}
    where |= {"load": f"{os.getloadavg()[0]:.1f}"}
    return {"milliseconds": rows, "ratio": script / torch_step, "conditions": where}


def processor_time(browser: Any) -> float:
    """Milliseconds that processors have worked for all of Chromium, whatever else runs."""
    session = browser.new_browser_cdp_session()
    found = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return 1e3 * sum(process["cpuTime"] for process in found)


def engine_page(site: Path) -> str:
    """A page that has the engine, gpt-mini, and a function that times its steps."""
    live = os.path.relpath(ROOT / "book/site/live", site)
    (site / "entry.mjs").write_text(ENGINE.replace("LIVE", live))
    (site / "engine.js").write_text(bundle(site / "entry.mjs"))
    parts = sorted(path.name for path in (site / "_static/live").glob("gpt-mini-*.js"))
    scripts = ["engine.js", *(f"_static/live/{name}" for name in ["live.js", *parts])]
    # the engine takes the parts, so it comes after the page's own script and before them
    scripts = [scripts[1], scripts[0], *scripts[2:]]
    return "<!doctype html>" + "".join(f'<script src="{name}"></script>' for name in scripts)


@torch.no_grad()
def pytorch_step() -> float:
    """Best milliseconds of one token through gpt-mini with its cache, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model: Gpt = as_in_the_page(export.shipped()["gpt-mini"]).eval()  # type: ignore[assignment]
    best = float("inf")
    for _ in range(REPEATS):
        cache = KeyValueCache(STEPS)
        ids = torch.tensor([[model.config.eos_token_id]])
        for n in range(STEPS):
            start = time.perf_counter()
            logits = model.logits(model.read(ids, None, cache)[:, -1])
            if n:
                best = min(best, 1e3 * (time.perf_counter() - start))
            ids = logits.argmax(-1, keepdim=True)
    torch.set_num_threads(threads)
    return best


def page_speed_table(record: dict[str, Any]) -> str:
    """The record as a Markdown table with what was aimed at, and its conditions."""
    times = record["milliseconds"].items()
    rows = [[name, f"{value:.2f} ms", AIMS.get(name, "")] for name, value in times]
    rows.append(["a token in the page, PyTorch = 1", f"{record['ratio']:.1f} ×", ""])
    table = markdown_table(["what", "best time", "aim"], rows)
    return f"{table}\n\n{measured_with(record['conditions'])}"


def save_page_speed(record: dict[str, Any], root: Path) -> None:
    """Write the record into the book of the project at `root`, and its page from it."""
    place = root / "book/records/live.json"
    publish(record, place, "live", page_speed_table(record), root / "book/benchmark.md")

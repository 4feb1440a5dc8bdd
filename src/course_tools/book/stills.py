"""A still picture of each live figure, for readers without scripts and for paper.

Chromium uses each figure as a reader would, and takes its picture without the controls: a picture
of a button is a dead one. What the figure then says becomes the picture's alternative text.
"""

from __future__ import annotations

import io
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from course_tools.book.build import build_book
from course_tools.checkout import ROOT
from course_tools.shared import chromium
from course_tools.web.export import SHOWN
from course_utils import records
from course_utils.data.cache import sha256_of
from course_utils.data.sources import CHECKPOINTS
from course_utils.writing import write_json

FOLDER = ROOT / "book/site/style/stills"
WIDTH, SCALE, COLOURS = 780, 1.5, 64  # of the page, in CSS pixels; device pixels in one; palette
# no controls; boxes and lines as high as what they hold
HIDE = """#pst-back-to-top { display: none !important }
.live-app :is(.live-offer, .live-controls, .steps, details) { display: none !important }
.live-app .live-box { height: auto !important }
.live-app p.live-said.live-said { min-height: 0 !important }"""
# What a reader presses before the picture is taken, and what the figure says when it is ready.
USE: dict[str, tuple[list[str], str]] = {
    "paradigms": ([], "Where the three differ"),
    "mask-guess": ([], "It was"),
    "corruption": (["Draw 100 times"] * 3, "301 draws"),
    "stepping": (["Take the likeliest"] * 6, "13 tokens"),
    "attention": ([], "layer "),
    "spans": ([], "It wrote"),
    "slots": ([], "intent"),
    "training": (["Start training"], "BERT after"),
}
# Every question of the tree with its answers, as a list.
OUTLINE = """(figure) => {
  const press = (name) =>
    [...figure.querySelectorAll("button")].find((b) => b.textContent === name).click();
  const walk = (path) => {
    press("Start again");
    path.forEach(press);
    const said = figure.querySelector(".live-said").textContent;
    const answers = [...figure.querySelectorAll(".live-answer")].map((b) => b.textContent);
    const list = document.createElement("ul");
    for (const answer of answers) {
      const item = document.createElement("li");
      item.append(`${answer}: `, ...walk([...path, answer]));
      list.append(item);
    }
    return [answers.length ? said : said.split(". ")[0], list];
  };
  const [, list] = walk([]);
  press("Start again");
  figure.querySelector(".live-tree").replaceChildren(list);
}"""


def take(folder: Path = FOLDER, say: Callable[[str], object] = print) -> None:
    """Take the pictures of all live figures, and write them with `stills.json` to `folder`.

    Raises:
        RuntimeError: there is no browser, or the page does not build.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        site = page_alone(Path(place))
        options: Any = {"color_scheme": "light", "device_scale_factor": SCALE}
        options |= {"reduced_motion": "reduce"}
        page = browser.new_page(viewport={"width": WIDTH, "height": 1800}, **options)
        page.set_default_timeout(180_000)  # of a machine that is busy with other things
        page.goto((site / "book/playground.html").as_uri())
        taken = {name: picture(page, name, folder, say) for name in names()}
    write_json(folder / "stills.json", {"of": displayed(), "stills": taken})


def picture(page: Any, name: str, folder: Path, say: Callable[[str], object]) -> dict[str, Any]:
    """Use one figure and take its picture; size in CSS pixels, and what it says."""
    figure = page.locator(f"[data-live={name}]")
    presses, ready = USE.get(name, ([], ""))
    said = figure.locator(".live-said")
    for button in presses:
        figure.get_by_role("button", name=button, exact=True).click()
        page.wait_for_timeout(500)  # the worker answers
    said.filter(has_text=ready).wait_for()
    if name == "tree":
        figure.evaluate(OUTLINE)
    title = figure.locator(".live-title").inner_text()
    told = " ".join(said.all_inner_texts())
    words = f"{title}{'' if title.endswith('?') else ':'} {told}"
    style = page.add_style_tag(content=HIDE)
    image, (width, height) = smaller(figure.locator(".live-app").screenshot())
    style.evaluate("node => node.remove()")
    (folder / f"{name}.png").write_bytes(image)
    say(f"{len(image) / 1000:.0f} kB  {words}")
    return {"width": round(width / SCALE), "height": round(height / SCALE), "alt": words}


def smaller(image: bytes) -> tuple[bytes, tuple[int, int]]:
    """The same picture with a palette, a third of the bytes; its width and height in pixels."""
    from PIL import Image

    out = io.BytesIO()
    whole = Image.open(io.BytesIO(image)).convert("RGB")
    whole.quantize(COLOURS, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue(), whole.size


def names() -> list[str]:
    """Live figures, in the order of the page that has them all."""
    text = (ROOT / "book/playground.md").read_text("utf-8")
    return re.findall('data-live="([^"]+)"', text)


def displayed() -> dict[str, str]:
    """Digests of what the pictures show: the models that speak, and what was measured."""
    folders = [*sorted(CHECKPOINTS.glob("*-mini")), CHECKPOINTS / "minilm-mlm"]
    paths = {path.parent.name: path for folder in folders for path in folder.glob("*.safetensors")}
    measured = {name: choose(records.load(name)) for name, (_, choose) in SHOWN.items()}
    return {name: sha256_of(path) for name, path in paths.items()} | {
        name: records.digest(values) for name, values in measured.items()
    }


def page_alone(root: Path) -> Path:
    """Build a book of the page of all live figures, with the real settings; returns the site.

    Notebooks that lie in `root`/book already become pages, too.
    """
    for name in ("_config.yml", "book/site", "book/references.bib"):
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    text = (ROOT / "book/playground.md").read_text("utf-8")
    text = re.sub(r"\]\((\.\./chapters/|appendix_)[^)]*\)", "](index.md)", text)  # not there
    pages = ["playground", *sorted(path.stem for path in (root / "book").glob("*.ipynb"))]
    chapters = ", ".join(f"{{file: book/{page}}}" for page in pages)
    (root / "book/playground.md").write_text(text, "utf-8")
    (root / "book/index.md").write_text("# Title\n\n```{bibliography}\n```\n")
    (root / "_toc.yml").write_text(f"format: jb-book\nroot: book/index\nchapters: [{chapters}]\n")
    (root / "requirements.txt").touch()
    return build_book(root).parent

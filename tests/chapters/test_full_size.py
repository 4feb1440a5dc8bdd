"""Every chapter and solution in its full-size setting, against the loopback hub.

The models have the real names, architectures and files, and are tiny; the scale is `trial`: what
`full` loads, with few steps.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest
from hub_content import everything
from hub_server import Hub
from nbclient import NotebookClient

from course_tools.book import notebooks
from course_utils.data import cache, sources

FULL_SIZE = {  # what must have come from the hub
    "09_1_pretraining_revolution": ("minilm", "bert-base-uncased", "questions"),
    "09_2_bert": ("minilm", "bert-base-uncased"),
    "09_3_gpt": ("smollm2", "gpt2", "gpt2-tokenizer"),
    "09_4_t5": ("t5-small",),
    "09_5_comparing_paradigms": ("minilm", "smollm2", "bert-base-uncased", "questions"),
    "L1_frozen_features": ("bert-base-uncased", "gpt2", "questions"),
    "P1_masked_prediction": ("bert-large-uncased", "movies"),
    "P2_finetuning_against_random": ("bert-base-uncased", "movies"),
    "P3_classification_as_generation": ("gpt2", "bert-base-uncased", "movies"),
    "P4_model_sizes": ("bert-base-uncased", "bert-large-uncased", "sst2"),
    "P5_summarization": ("t5-small", "t5-base", "news"),
}
# of the packages that the course can use, those that Colab's image does not have
ABSENT = {"jupyterquiz", "vaderSentiment", "rouge_score", "gguf", "nbgrader"}
NOTEBOOKS = [path for path in notebooks.executed() if path.stem in FULL_SIZE]


@pytest.fixture(scope="module")
def hub():
    """A hub whose data sets are large enough, and whose BERTs have BERT's own pieces."""
    stand_in = next(row.stand_in for row in sources.TABLE if row.name == "minilm")
    vocabulary = cache.read(stand_in.wheel, f"{stand_in.member}vocab.txt").decode()
    served = Hub(everything(times=20, vocabulary=vocabulary))
    yield served
    served.close()


def settings(hub: Hub, home: Path) -> dict[str, str]:
    """The environment of a kernel: only this hub, caches of its own, packages that are here."""
    for name in ("wheels", "tokens"):
        (cache.cache_root() / name).mkdir(parents=True, exist_ok=True)
        (home / "course").mkdir(exist_ok=True)
        (home / "course" / name).symlink_to(cache.cache_root() / name)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "COURSE_"))}
    return kept | {
        "HF_ENDPOINT": hub.address, "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1,localhost", "COURSE_CACHE": str(home / "course"),
        "COURSE_MODELS": "hub", "COURSE_SCALE": "trial", "COURSE_STILL": "1",
    }  # fmt: skip


def without_what_is_not_installed(path: Path) -> nbformat.NotebookNode:
    """A notebook that can import of ABSENT only what its first cell installs on Colab."""
    notebook, shown = nbformat.read(path, 4), path
    if path.parent.name == "solutions":  # the student's notebook is the one that installs
        shown = path.parents[1] / "exercises" / path.name
    (line,) = re.findall("%pip install.*", shown.read_text("utf-8"))
    absent = sorted(name for name in ABSENT if name.replace("_", "-") not in line)
    source = f"import sys\nsys.modules.update(dict.fromkeys({absent}, None))"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(source))
    return notebook


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """All lines that the cells printed."""
    outputs = [out for c in notebook.cells if c.cell_type == "code" for out in c.outputs]
    return "".join(out.get("text", "") for out in outputs).splitlines()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_full_size(hub, path, tmp_path):
    notebook = without_what_is_not_installed(path)
    work = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(notebook, timeout=None, resources=work, record_timing=False)
    client.execute(env=settings(hub, tmp_path))
    lines = printed(notebook)
    for name in FULL_SIZE[path.stem]:
        assert any(line.startswith(f"{name}: ") and "[hub" in line for line in lines), name
    if path.parent.name == "chapters":
        assert any(line.startswith("scale: trial, for COURSE_SCALE says so") for line in lines)


def test_every_notebook_that_loads_from_the_hub_is_in_the_table():
    """The others are the same at every scale, and run in test_notebooks."""
    words = ("scale.", "load_pretrained(", "load_dataset(")
    texts = {path.stem: path.read_text("utf-8") for path in notebooks.executed()}
    asking = {name for name, text in texts.items() if any(word in text for word in words)}
    assert asking == set(FULL_SIZE)

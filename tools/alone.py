"""Run a notebook as Colab does: alone in an empty folder, installing the course by itself.

`python tools/alone.py [NOTEBOOK …]` runs the chapters in this interpreter, with the
course taken from this checkout's repository. It needs nbclient and nothing of the course.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = re.compile(r"git\+https://[^\s\"'@]+(?:@[^\s\"']+)?")


def prepared(path: Path, address: str, cells: int | None = None) -> nbformat.NotebookNode:
    """Return the code of a notebook, which finds the course at `address`.

    `cells`: so many of its code cells are kept; None keeps all.
    """
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"][:cells]
    for cell in code:
        cell.source = ADDRESS.sub(lambda _: address, cell.source)
    notebook.cells = code
    return notebook


def run(notebook: nbformat.NotebookNode, folder: Path, python: Path, **settings: str) -> str:
    """Run a notebook in `folder` with the kernel of another interpreter; return what it printed.

    Raises nbclient's CellExecutionError when a cell fails.
    """
    spec = folder / "kernels/alone/kernel.json"
    spec.parent.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": command, "display_name": "alone", "language": "python"}))
    (work := folder / "empty").mkdir()
    kernels = KernelSpecManager(kernel_dirs=[str(folder / "kernels")])
    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_name="alone", kernel_spec_manager=kernels),
        timeout=1800,
        resources={"metadata": {"path": str(work)}},
    )
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    client.execute(env={**inherited, **settings})
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    return "".join(output.get("text", "") for output in outputs)


def main() -> None:
    """Run the notebooks named, or all chapters, one after another."""
    paths = [Path(name) for name in sys.argv[1:]] or sorted((ROOT / "chapters").glob("*.ipynb"))
    for path in paths:
        print(f"{path.name} alone …", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            trust = Path(folder) / "gitconfig"  # in a container the checkout is another user's
            trust.write_text("[safe]\n\tdirectory = *\n")
            notebook = prepared(path, f"git+file://{ROOT}")
            run(notebook, Path(folder), Path(sys.executable), GIT_CONFIG_GLOBAL=str(trust))
    print(f"{len(paths)} notebooks ran.")


if __name__ == "__main__":
    main()

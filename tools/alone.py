"""Run a notebook as Colab does: alone in an empty folder, installing the course by itself.

`python tools/alone.py [NOTEBOOK …]` runs the chapters with this interpreter's packages, and the
course as it was last committed here. Each gets an environment of its own, so that each installs
the course, and this interpreter stays as it was. It needs nbclient and nothing of the course.
"""

from __future__ import annotations

import json
import os
import re
import site
import sys
import tempfile
import time
import venv
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

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
    client.execute(cleanup_kc=True, env={**inherited, **settings})  # or the kernel lives on
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    return "".join(output.get("text", "") for output in outputs)


def beside(folder: Path) -> Path:
    """Make an environment that sees this interpreter's packages; return its Python.

    A course installed here in development mode is not seen: its own path file is not read there.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    windows = sys.platform == "win32"
    python = folder / ("Scripts/python.exe" if windows else "bin/python")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    inside = folder / ("Lib/site-packages" if windows else f"lib/{version}/site-packages")
    (inside / "beside.pth").write_text("\n".join(site.getsitepackages()))  # Debian has several
    return python


def run_alone(path: Path) -> bool:
    """Run one notebook in a new environment, say how that went; whether it came to its end."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trust = folder / "gitconfig"  # in a container the checkout is another user's
        trust.write_text("[safe]\n\tdirectory = *\n")
        python = beside(folder / "environment")
        try:
            notebook = prepared(path, f"git+file://{ROOT}")
            run(notebook, folder, python, GIT_CONFIG_GLOBAL=str(trust))
            said = "ran"
        except (CellExecutionError, DeadKernelError) as error:
            if getattr(error, "ename", "") == "KeyboardInterrupt":  # Ctrl-C ends all of it
                raise
            said = f"failed\n{error}"
    print(f"{path.name} alone: {time.monotonic() - started:.0f} s, {said}", flush=True)
    return said == "ran"


def main() -> None:
    """Run the notebooks named, or all chapters, one after another; exit with 1 if one failed."""
    chapters = sorted((ROOT / "chapters").glob("*.ipynb"))
    paths = [Path(name) for name in sys.argv[1:]] or chapters
    sys.exit(not all([run_alone(path) for path in paths]))


if __name__ == "__main__":
    main()

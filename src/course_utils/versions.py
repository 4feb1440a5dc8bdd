"""Whether the packages of this machine are those that the course works with.

Colab, Kaggle and the like bring their own. The first cell of a notebook asks, so that a package
that is too old is named there, and not forty cells later by whatever error it leads to.
"""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import Requirement

COURSE = "course-utils"


class WrongVersions(RuntimeError):
    """Packages are missing or too old; the message says which, and what to do."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence, for the lines that led to it help nobody."""
        return [str(self)]


def check() -> None:
    """Do nothing where all is well. Raises WrongVersions with one sentence elsewhere."""
    try:
        wanted = [Requirement(line) for line in metadata.requires(COURSE) or ()]
    except metadata.PackageNotFoundError:  # a checkout on the path that was never installed
        return
    wanted = [need for need in wanted if not need.marker or need.marker.evaluate({"extra": ""})]
    if found := {need: fault for need in wanted if (fault := wrong(need))}:
        packages = " ".join(f'"{need.name}{need.specifier}"' for need in found)
        raise WrongVersions(
            f"The course does not run with what is installed here: {', '.join(found.values())}. "
            f"Run  %pip install {packages}  in a cell, restart the kernel, and run all cells again."
        )


def wrong(need: Requirement) -> str:
    """What is wrong with the installed version of a package; "" if nothing is."""
    try:
        here = metadata.version(need.name)
    except metadata.PackageNotFoundError:
        return f"{need.name} is missing"
    if need.specifier.contains(here, prereleases=True):
        return ""
    return f"{need.name} is {here} and must be {need.specifier}"

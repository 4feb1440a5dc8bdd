"""What the tools share: marked blocks of pages, the conditions of a measurement, its record."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from course_tools.checkout import bootstrap
from course_utils import records
from course_utils.writing import write_json, write_text


def block(name: str, page: str) -> str:
    """What stands between the markers <!-- name --> and <!-- /name --> of a page.

    Raises:
        ValueError: there is no such pair of markers, or more than one.
    """
    found = re.findall(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", page, flags=re.DOTALL)
    if len(found) != 1:
        raise ValueError(f"the page needs one pair of <!-- {name} --> and <!-- /{name} -->")
    return found[0]


def with_block(name: str, text: str, page: str) -> str:
    """The page with other text between these markers. Raises ValueError as `block` does."""
    start, inside = f"<!-- {name} -->\n", f"{text}\n" if text else ""
    return page.replace(start + block(name, page), start + inside)


def today() -> str:
    """The date in UTC, like 2026-11-30."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def conditions(*packages: str) -> dict[str, Any]:
    """When, where and with what something is measured now; the versions of these packages."""
    found = records.conditions()
    kept = {key: found[key] for key in ("commit", "machine", "threads")}
    software = {name: version(name) for name in packages}
    return {"date": today(), **kept, "python": found["software"]["python"], **software}


def measured_with(conditions: dict[str, Any]) -> str:
    """Conditions as the last sentence below a table; what is a table itself is left out."""
    shown = {key: value for key, value in conditions.items() if not isinstance(value, dict)}
    words = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in shown.items())
    return f"Measured with: {words}."


def publish(record: dict[str, Any], to: Path, name: str, text: str, page: Path) -> None:
    """Write a record to `to`, and what it says into the block `name` of a page of the book."""
    write_json(to, record)
    write_text(page, with_block(name, text, page.read_text("utf-8")))


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """The browser of this machine, without a window, as playwright drives it.

    Raises:
        RuntimeError: there is none.
    """
    from playwright.sync_api import sync_playwright

    program = bootstrap.find_browser()
    if program is None:
        raise RuntimeError(f"there is no Chromium here: {bootstrap.browser_remedy()}")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()

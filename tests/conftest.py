"""Settings and fixtures that all tests share."""

import functools
import http.server
import os
import threading
from pathlib import Path

import pytest
import torch

from course_tools.book import assets
from course_tools.checkout import ROOT, bootstrap
from course_tools.grading.jail import Jail, NoJail

# Workers of pytest-xdist share the cores; tiny models gain nothing from a second thread anyway.
torch.set_num_threads(1)

# Files whose tests take minutes each: they come first, so that at the end no worker waits for one.
LONGEST = ("test_full_size.py", "test_notebooks.py", "test_adapting.py", "test_alone.py")


def pytest_collection_modifyitems(items):
    """Put the longest tests first; the others stay in their order."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_terminal_summary(terminalreporter):
    """Count, loudly, what could not be proven because this machine has no jail."""
    skipped = terminalreporter.stats.get("skipped", [])
    if count := sum("NO JAIL" in str(report.longrepr) for report in skipped):
        text = f"{count} tests of the jail DID NOT RUN: bubblewrap is missing or may not start here"
        terminalreporter.write_line(text, red=True, bold=True)


@pytest.fixture(scope="session")
def the_jail_starts():
    """Skip where no jail starts, and say so loudly; with COURSE_NEEDS_JAIL set that is an error."""
    try:
        with Jail() as jail:
            jail.probe()
    except NoJail as error:
        if os.environ.get("COURSE_NEEDS_JAIL"):
            raise
        pytest.skip(f"NO JAIL, SO NOTHING IS PROVEN HERE: {error}")


@pytest.fixture(autouse=True)
def _same_environment():
    """Give the next test the environment that this one found: cells of exercises set variables."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


# -- one browser for all files: a process can hold only one of Playwright's sessions ------------

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that does not write to the terminal."""

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="session")
def served():
    """Start servers for folders; gives a function from folder to address."""
    servers = []

    def start(folder: Path) -> str:
        handler = functools.partial(Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=bootstrap.find_browser(), args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The text of axe-core."""
    assets.install(assets.TOOLS, ROOT / "_build/tools")
    return (ROOT / "_build/tools/axe.min.js").read_text("utf-8")

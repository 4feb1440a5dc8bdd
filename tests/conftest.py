"""Settings that all tests share."""

import torch

# Workers of pytest-xdist share the cores; tiny models gain nothing from a second thread anyway.
torch.set_num_threads(1)


def pytest_terminal_summary(terminalreporter):
    """Count, loudly, what could not be proven because this machine has no jail."""
    skipped = terminalreporter.stats.get("skipped", [])
    if count := sum("NO JAIL" in str(report.longrepr) for report in skipped):
        text = f"{count} tests of the jail DID NOT RUN: bubblewrap is missing or may not start here"
        terminalreporter.write_line(text, red=True, bold=True)

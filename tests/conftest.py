"""The written budget of `make test`: seconds of one worker's time per folder, on a free machine of two cores.

Printed beside what a run has taken, never asserted: machines are noisy. Who adds a slow test looks here what it costs.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

from store_support import play

__all__ = ["play"]

BUDGET_S: Final = {
    "architecture": 30,
    "docs": 60,
    "interop": 900,
    "oracles": 30,
    "simulation": 250,
    "statistics": 100,
    "unit": 300,
    "vectors": 10,
}
"""Together well under what three workers have in 15 minutes: many of them wait for processes, not for a core."""
NUM_HEAVIEST: Final = 25
"""Of files that are named with what they took."""
_spent_s: defaultdict[str, float] = defaultdict(float)
_spent_by_file_s: defaultdict[str, float] = defaultdict(float)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up what set-up, call and clean-up of a test took."""
    file = Path(report.location[0])
    _spent_s[file.parts[1]] += report.duration
    _spent_by_file_s["/".join(file.parts[1:])] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print seconds spent beside seconds allowed, by folder."""
    if set(_spent_s) != set(BUDGET_S):  # a part of the tests has no budget
        return
    terminalreporter.section("worker seconds by folder, and the budget")
    for folder, allowed_s in BUDGET_S.items():
        over = "  over budget" if _spent_s[folder] > allowed_s else ""
        terminalreporter.write_line(f"{folder:<14}{_spent_s[folder]:>6.0f}{allowed_s:>6}{over}")
    terminalreporter.section("heaviest files, in worker seconds")
    for name in sorted(_spent_by_file_s, key=_spent_by_file_s.__getitem__, reverse=True)[:NUM_HEAVIEST]:
        terminalreporter.write_line(f"{_spent_by_file_s[name]:>6.0f} {name}")

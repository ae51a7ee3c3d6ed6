"""How the results of ``qanat acceptance`` are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qanat.apps.acceptance.figures import Figures
from qanat.apps.cli.presentation import people_console, show_table

COLUMNS = ("tests", "succeeded", "at once", "success", "median", "warm", "p99 warm", "cold", "keys", "failed by")
PLANTED_COLUMNS = ("planted fault", "expected cause", "tests", "named right", "median", "found")


def show_figures(found: Figures, *, is_answer: bool) -> None:
    """Print a run for people: tests by kind of service and by pairs of users, then what was planted."""
    console = people_console(is_answer=is_answer)
    title = (
        f"{found['network']}: {found['all']['tests']:,} service tests between {found['users']} users, "
        f"seed {found['seed']}, {found['at_once']} at a time, {found['duration_s']:.0f} s on {found['cores']} cores"
    )
    parts = {**found["kinds"], **found["pairs"], "all": found["all"]}
    show_table(console, title, ("", *COLUMNS), [[name, *_row(figures)] for name, figures in parts.items()])
    console.print(
        "at once: at the first try; failed by: causes of those that did not succeed. near: within 100 km; cold: one of "
        "the two users was in no test before, so that links and sites had to wake and to make their first key; warm: "
        "all others. Times are medians of tests that succeeded, with all tries."
    )
    if found["planted"]:
        title = f"{found['num_planted']} tests with planted faults: {found['planted_as_expected']} named right"
        rows = [
            [
                name,
                planted["expected"],
                str(planted["tests"]),
                str(planted["as_expected"]),
                _seconds(planted["median_s"]),
                _listed(planted["found"]),
            ]
            for name, planted in found["planted"].items()
        ]
        show_table(console, title, PLANTED_COLUMNS, rows)


def _row(figures: Mapping[str, Any]) -> list[str]:
    rate = figures["success_rate"]
    return [
        f"{figures['tests']:,}",
        f"{figures['succeeded']:,}",
        f"{figures['at_once']:,}",
        "-" if rate is None else f"{100 * rate:.1f} %",
        *(_seconds(figures[name]) for name in ("median_s", "median_warm_s", "p99_warm_s", "median_cold_s")),
        f"{figures['keys']:,}",
        _listed(figures["causes"]),
    ]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "-"

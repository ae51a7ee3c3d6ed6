"""``qanat bench``: rates beside goals, with a reference from the same run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from qanat.apps import machine
from qanat.apps.cli.presentation import people_console, show_table
from qanat.benchmarks import registry


def run_bench(names: Sequence[str], *, as_json: bool) -> int:
    """Run benchmarks and print a row each. Returns 0 whatever the rates are: a machine is not a fault."""
    console = people_console()
    console.print(machine.machine())
    rows = []
    for row in registry.run(names):
        rows.append(row)
        console.print(f"  {row.name}: {_figure(row.rate)} {row.unit}; {row.note}")
        console.print(f"    reference: {row.reference_name}: {_figure(row.reference_rate)} {row.unit}")
    show_table(
        people_console(is_answer=not as_json),
        "Benchmarks",
        ("name", "rate", "unit", "goal", "rate / goal", "rate / reference"),
        [
            (row.name, _figure(row.rate), row.unit, _figure(row.goal), f"{row.ratio:.2f}", f"{row.speed_up:.2f}")
            for row in rows
        ],
    )
    if as_json:
        records = [{**asdict(row), "ratio": row.ratio, "speed_up": row.speed_up} for row in rows]
        print(json.dumps({"machine": machine.machine(), "rows": records}, indent=2))
    return 0


def _figure(value: float) -> str:
    return f"{value:.3g}" if value < 1000 or value >= 1e6 else f"{value:,.0f}"

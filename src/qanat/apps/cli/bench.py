"""``qanat bench``: rates beside goals, with a reference from the same run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from qanat.apps import machine
from qanat.benchmarks import registry


def run_bench(names: Sequence[str], *, as_json: bool) -> int:
    """Run benchmarks and print a row each. Returns 0 whatever the rates are: a machine is not a fault."""
    console = Console(stderr=True, highlight=False)
    console.print(machine.machine())
    rows = []
    for row in registry.run(names):
        rows.append(row)
        console.print(f"  {row.name}: {_figure(row.rate)} {row.unit}")
    table = Table(title="Benchmarks", title_justify="left")
    for column in ("name", "rate", "unit", "goal", "rate / goal", "reference", "rate / reference", "note"):
        table.add_column(column)
    for row in rows:
        reference = f"{row.reference_name}: {_figure(row.reference_rate)}"
        table.add_row(
            *(row.name, _figure(row.rate), row.unit, _figure(row.goal), f"{row.ratio:.2f}"),
            *(reference, f"{row.speed_up:.2f}", row.note),
        )
    console.print(table)
    if as_json:
        records = [{**asdict(row), "ratio": row.ratio, "speed_up": row.speed_up} for row in rows]
        print(json.dumps({"machine": machine.machine(), "rows": records}, indent=2))
    return 0


def _figure(value: float) -> str:
    return f"{value:.3g}" if value < 1000 or value >= 1e6 else f"{value:,.0f}"

"""The paper's Table 1 beside a network's own counts, as ``qanat network check`` tells it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console

from qanat.apps.cli.presentation import show_table
from qanat.apps.network_review import NetworkReview
from qanat.apps.paper_table import SOURCE, TOLD, Figures, Row, puzzles

_COLUMNS = ("relays", "nodes", "users", "links", "mean km", "loss, dB", "rate, kbit/s")


def table_record(found: NetworkReview) -> dict[str, Any]:
    """Return the table for machines; an empty dictionary for a network that it is not of."""
    if not found.table:
        return {}
    rows = [
        {
            "network": row.network,
            "paper": asdict(row.paper),
            "ours": None if row.ours is None else asdict(row.ours),
            "differing": list(row.differing),
        }
        for row in found.table
    ]
    return {"table_1": {"source": SOURCE, "rows": rows, "told": TOLD, "puzzles": list(puzzles(found.network))}}


def print_table(console: Console, found: NetworkReview) -> None:
    """Print the table, two lines a row: ours and the paper's; what ours is; and what the counts leave open."""
    if not found.table:
        return
    show_table(
        console, f"{SOURCE}; loss and rate: least / mean / greatest", ("network", "", *_COLUMNS, ""), _rows(found)
    )
    for what, told in TOLD.items():
        console.print(f"  {what}: {told}", soft_wrap=True, highlight=False)
    console.print("  what the counts leave open, and how it is taken here:")
    for text in puzzles(found.network):
        console.print(f"  - {text}", soft_wrap=True, highlight=False)
    console.print()


def _rows(found: NetworkReview) -> list[tuple[str, ...]]:
    rows = []
    for row in found.table:
        ours = ("-",) * len(_COLUMNS) if row.ours is None else _figures(row.ours)
        rows += [
            (row.network, "here", *ours, _verdict(row)),
            ("", "paper", *_figures(row.paper), ""),
        ]
    return rows


def _verdict(row: Row) -> str:
    if row.ours is None:
        return "no part of a ground network"
    if row.differing:
        return f"differs: {', '.join(row.differing)}"
    return "counts as printed" if row.is_predicted else "as printed"


def _figures(figures: Figures) -> tuple[str, ...]:
    return (
        *(str(count) for count in (figures.relays, figures.nodes, figures.users, figures.links)),
        _length(figures.length_km),
        *(_three(values) for values in (figures.loss_db, figures.rate_kbit_per_s)),
    )


def _length(length_km: float | tuple[float, float] | None) -> str:
    if length_km is None:
        return "-"
    return f"{length_km[0]:,.0f} - {length_km[1]:,.0f}" if isinstance(length_km, tuple) else f"{length_km:.1f}"


def _three(values: tuple[float | None, float | None, float | None]) -> str:
    return " / ".join("-" if value is None else f"{value:.1f}" for value in values)

"""How the results of ``qanat simulate`` are shown and written."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qanat.apps.cli.presentation import people_console, show_table
from qanat.ground.errors import ConfigurationError
from qanat.simulation.day.passes import PassTally
from qanat.simulation.day.run import Row
from qanat.simulation.day.tally import DayResult

CLASS_TITLES = {"near": "within 100 km", "far": "farther", "sky": "by satellite", "own": "hanging on what is out"}
ROUTES_SHOWN = 5
RESULT_COLUMNS = (
    *("pairs", "number", "asked", "served", "no route", "too late"),
    *("still waiting", "success", "waited", "mean wait"),
)
SUCCESS_OF = "requests that came to an end: all but those still waiting when the run ended"


def class_rows(result: DayResult) -> dict[str, dict[str, Any]]:
    """Return each class of pairs with its counts and rates."""
    return {
        name: {
            **asdict(tally),
            "ended": tally.ended,
            "success_rate": tally.success_rate,
            "mean_wait_s": tally.mean_wait_s,
        }
        for name, tally in result.classes.items()
    }


def show_result(found: Mapping[str, Any], result: DayResult) -> None:
    """Print a run for people."""
    console = people_console(is_answer=True)
    out = ", ".join(found["without"]) or "nothing"
    second = ", with a second backbone (assumed)" if found["second_backbone"] else ""
    title = f"{found['network']}{second}: {found['days']} day(s), seed {found['seed']}, {out} taken out"
    rows = [
        [
            CLASS_TITLES[name],
            f"{result.pairs.get(name, 0):,}",
            f"{tally.asked:,}",
            f"{tally.served:,}",
            f"{tally.cut_off:,}",
            f"{tally.late:,}",
            f"{tally.waiting:,}",
            percent(tally.success_rate),
            f"{tally.waited:,}",
            f"{tally.mean_wait_s:.1f} s",
        ]
        for name, tally in result.classes.items()
        if result.pairs.get(name)
    ]
    show_table(console, title, RESULT_COLUMNS, rows)
    console.print(
        "asked = served + no route + too late + still waiting; waited: served after a wait.\n"
        f"success: served, of {SUCCESS_OF}."
    )
    console.print(
        f"{found['bits_ready']:,} bits lay ready + {found['bits_made']:,} made in {found['blocks']:,} blocks = "
        f"{found['bits_spent']:,} spent on relaying + {found['bits_burned']:,} burned before hops that were short + "
        f"{found['bits_left']:,} left + {found['bits_to_reserves']:,} put into the reserves that authenticate. "
        "The books agree to the bit."
    )
    if found["passes"]:
        console.print(_of_passes(result.passes), soft_wrap=True)
    if result.routes:
        console.print(f"routes taken: {found['num_routes']:,}; the most used:")
    else:
        console.print("no request was served, so no route was taken")
    for route, served in result.routes.most_common(ROUTES_SHOWN):
        console.print(f"  {served:,} requests: {' - '.join(route)}", soft_wrap=True)
    if (detour := result.longest_detour) is not None:
        console.print(f"longest detour, {detour.hops_more} hops more: {' - '.join(detour.after)}", soft_wrap=True)
    if result.pairs_cut_off:
        console.print(f"{result.pairs_cut_off:,} pairs that do not hang on what is out were cut off")


def _of_passes(tally: PassTally) -> str:
    """Return what satellites have made, and of how many passes nothing came."""
    told = (
        f"satellites made {tally.made_bits:,} bits with stations in {tally.made} passes; two stations share the lesser "
        "of what both have"
    )
    why = "a satellite, a station or their downlink was out"
    return told + (f". Nothing came of {tally.lost} passes more, when {why}" if tally.lost else "")


def show_each_removed(rows: Sequence[Row]) -> None:
    """Print the cases for people, without and with a second backbone beside each other."""
    sides = rows_side_by_side(rows)
    columns = list(sides[0])
    texts = [[_text(name, value) for name, value in side.items()] for side in sides]
    console = people_console(is_answer=True)
    show_table(console, "Each part taken out in turn", columns, texts)
    console.print(f"success: served, of {SUCCESS_OF}; others: the same of pairs that do not hang on what is out.")


def show_warnings(warnings: Sequence[str]) -> None:
    """Print what the reader of a table has to know beside it."""
    for text in warnings:
        people_console(is_answer=True).print(f"[yellow]warning[/]: {text}", soft_wrap=True, highlight=False)


def _text(name: str, value: object) -> str:
    if value is None:
        return "-"
    return percent(value) if isinstance(value, float) and name.endswith(("success", "others")) else str(value)


def percent(share: float) -> str:
    """Return a share of one; what is not all is never shown as 100 %."""
    return f"{100 * share:.2f} %" if share == 1 or share < 0.99995 else "> 99.99 %"


def rows_side_by_side(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a line per part: what came of its removal, without and with a second backbone."""
    with_second = {row.case.part: row for row in rows if row.case.second_backbone}
    without = {row.case.part: row for row in rows if not row.case.second_backbone}
    lines = []
    for part in dict.fromkeys([*without, *with_second]):
        line: dict[str, Any] = {
            "removed": part.name if part else "nothing",
            "kind": part.kind if part else "-",
            **_side("", without.get(part)),
        }
        lines.append(line | (_side("2nd: ", with_second.get(part)) if with_second else {}))
    return lines


def _side(prefix: str, row: Row | None) -> dict[str, Any]:
    detour = row.longest_detour if row else None
    return {
        f"{prefix}success": row.success_rate if row else None,
        f"{prefix}others": row.success_rate_of_others if row else None,
        f"{prefix}own pairs": row.own_pairs if row else None,
        f"{prefix}cut off": row.pairs_cut_off if row else None,
        f"{prefix}detour": (detour.hops_more if detour else 0) if row else None,
    }


def row_of(row: Row) -> dict[str, Any]:
    """Return a case as JSON has it."""
    part = row.case.part
    return {
        "removed": None if part is None else part.name,
        "kind": None if part is None else part.kind,
        "second_backbone": row.case.second_backbone,
        **{name: value for name, value in asdict(row).items() if name != "case"},
    }


def write_tables(folder: Path, *, result: Mapping[str, Any], **tables: Sequence[Mapping[str, Any]]) -> None:
    """Write ``result.json`` and a CSV file per table; raises ConfigurationError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        for name, rows in tables.items():
            text = io.StringIO()
            writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [])
            writer.writeheader()
            writer.writerows(rows)
            (folder / f"{name}.csv").write_text(text.getvalue(), encoding="utf-8")
    except OSError as fault:
        raise ConfigurationError(
            f"cannot write into {folder}: {fault.strerror}", remedy="name another folder"
        ) from None

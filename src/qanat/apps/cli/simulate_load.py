"""``qanat simulate --full-load``: all pairs ask without end, and what they get is set beside the declared optimum."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qanat.apps.cli.presentation import people_console, show_table
from qanat.apps.cli.simulate_tables import CLASS_TITLES, percent, write_tables
from qanat.control.sharing import MAX_MIN
from qanat.ground.units import format_rate
from qanat.simulation.day.full_load import Reached
from qanat.simulation.day.run import DayTerms, load
from qanat.simulation.day.tally import PairKey

LOAD_COLUMNS = ("pairs", "number", "got", "optimum", "got of optimum", "least of optimum")
SHARE_COLUMNS = ("pairs", "number", "asked for", "got", "share if all asked", "short of both")


def run_full_load(terms: DayTerms, *, call_bits: int, as_json: bool, out: Path | None) -> dict[str, Any]:
    """Run, show for people unless it is printed as JSON, write tables into ``out``, and return what came of it."""
    reached = load(terms, call_bits=call_bits)
    found = {
        "network": terms.network.name,
        "seed": terms.seed,
        "key_bits": call_bits,
        "alpha": "max-min" if reached.alpha == MAX_MIN else reached.alpha,
        "of_declared": reached.of_declared,
        "of_whole": reached.of_whole,
        "least_of_optimum": reached.least_of_optimum,
        "jain_index": reached.jain_index,
        "jain_index_at_optimum": reached.jain_index_at_optimum,
        "begin_s": reached.begin_s,
        "counted_s": reached.counted_s,
        "late": reached.num_late,
        "classes": load_rows(reached),
        "provenance": "predicted: rates by the forecast of each link; all pairs ask without end",
    }
    if not as_json:
        _show(found)
    if out is not None:
        rows = zip(
            reached.pairs, reached.rates_bits_per_s, reached.paced_bits_per_s, reached.optimum_bits_per_s, strict=True
        )
        pairs = [
            {
                "one": pair.one,
                "other": pair.other,
                "kind": pair.kind,
                "got_bits_per_s": got,
                "paced_bits_per_s": paced,
                "optimum_bits_per_s": best,
            }
            for pair, got, paced, best in rows
        ]
        write_tables(out, result=found, pairs=pairs)
    return found


def load_rows(reached: Reached) -> dict[str, dict[str, float]]:
    """Return each class of pairs: what it got and what the optimum gives it, in bit/s, and the geometric mean and the
    least of the pairs' shares of that."""
    rows = {}
    for kind in dict.fromkeys(pair.kind for pair in reached.pairs):
        places = [place for place, pair in enumerate(reached.pairs) if pair.kind == kind]
        got = [reached.rates_bits_per_s[place] for place in places]
        best = [reached.optimum_bits_per_s[place] for place in places]
        paced = [reached.paced_bits_per_s[place] for place in places]
        parts = [one / other for one, other in zip(paced, best, strict=True) if other > 0]
        rows[str(kind)] = {
            "pairs": len(places),
            "got_bits_per_s": math.fsum(got),
            "optimum_bits_per_s": math.fsum(best),
            "got_of_optimum": _geometric_mean(parts),
            "least_of_optimum": min(parts, default=1.0),
        }
    return rows


def share_rows(pairs: Sequence[PairKey]) -> dict[str, dict[str, float]]:
    """Return each class of pairs of a day: what it asked for, got and would have if all asked without end, in bit/s,
    and how many got notably less than they asked for and than their share."""
    rows = {}
    for kind in dict.fromkeys(pair.kind for pair in pairs):
        of_kind = [pair for pair in pairs if pair.kind == kind]
        rows[kind] = {
            "pairs": len(of_kind),
            "asked_bits_per_s": math.fsum(pair.asked_bits_per_s for pair in of_kind),
            "got_bits_per_s": math.fsum(pair.got_bits_per_s for pair in of_kind),
            "share_bits_per_s": math.fsum(pair.share_bits_per_s for pair in of_kind),
            "pairs_short_of_share": sum(pair.is_short_of_share for pair in of_kind),
        }
    return rows


def show_shares(found: Mapping[str, Mapping[str, float]]) -> None:
    """Print what the pairs of a day got beside their shares."""
    rows = [
        [
            CLASS_TITLES[kind],
            f"{row['pairs']:,}",
            *(format_rate(row[f"{name}_bits_per_s"]) for name in ("asked", "got", "share")),
            f"{row['pairs_short_of_share']:,}",
        ]
        for kind, row in found.items()
    ]
    console = people_console(is_answer=True)
    show_table(console, "Declared sharing: link key as each hop pays it, all pairs together", SHARE_COLUMNS, rows)
    console.print("short of both: pairs that got notably less than they asked for, and than their share.")


def _show(found: Mapping[str, Any]) -> None:
    console = people_console(is_answer=True)
    rows = [
        [
            CLASS_TITLES[kind],
            f"{row['pairs']:,}",
            format_rate(row["got_bits_per_s"]),
            format_rate(row["optimum_bits_per_s"]),
            _part(row["got_of_optimum"]),
            _part(row["least_of_optimum"]),
        ]
        for kind, row in found["classes"].items()
    ]
    title = f"{found['network']}: all pairs ask without end, alpha {found['alpha']}, seed {found['seed']}"
    show_table(console, title, LOAD_COLUMNS, rows)
    console.print(
        f"of the declared objective: {_part(found['of_declared'])} of the optimum of what is shared, "
        f"{_part(found['of_whole'])} of that of all that links give\n"
        f"Jain's index {found['jain_index']:.3f}, at the optimum {found['jain_index_at_optimum']:.3f}; "
        f"counted for {found['counted_s']:,.0f} s of the network's time, after {found['begin_s']:,.0f} s"
    )


def _part(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 1 else percent(share)


def _geometric_mean(parts: Sequence[float]) -> float:
    if not parts:
        return 1.0
    return 0.0 if min(parts) <= 0 else math.exp(math.fsum(map(math.log, parts)) / len(parts))

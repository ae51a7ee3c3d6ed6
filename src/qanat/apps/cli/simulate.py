"""``qanat simulate``: days of a network at rate level, whole or with parts taken out, one after the other."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qanat.adapters.process_pool import ProcessPool
from qanat.apps.cli.simulate_load import run_full_load, share_rows, show_shares
from qanat.apps.cli.simulate_tables import (
    SUCCESS_OF,
    class_rows,
    row_of,
    rows_side_by_side,
    show_each_removed,
    show_result,
    show_warnings,
    write_tables,
)
from qanat.apps.day_passes import passes_of_run
from qanat.apps.forecast_file import from_midnight, read_forecasts
from qanat.apps.networks import load_network
from qanat.control.forecasting import Forecasts
from qanat.ground.errors import ConfigurationError
from qanat.ground.network import Network
from qanat.ground.network.extracts import without_satellites
from qanat.ground.network.second_backbone import relays_that_part, with_second_backbone
from qanat.ground.ports import Job
from qanat.simulation.day.demand import Demand
from qanat.simulation.day.faults import Removal, refuse_classical, relays_not_in_turn
from qanat.simulation.day.run import Case, DayTerms, Row, cases_of, count_pairs, run_case, simulate
from qanat.simulation.day.tally import DayResult

CLOSE_GRACE_S = 2.0
ROUTES_SHOWN = 20
RELAYS_SHOWN = 20
PAIRS_UNASKED = 1000
LOAD_KEY_BITS = 1024
MANY_PAIRS = 4000
"""With more, each run of a large network takes half a minute and more."""
DAYS_PER_LINE = 20
"""Where no terminal is, progress is told in lines, each after so many days."""
_TIME = re.compile(r"([0-9]{1,4}):([0-5][0-9])")


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """The options of the command; times as HH:MM. None: not given; of ``pairs``, as many as there are, at most
    ``PAIRS_UNASKED``; of ``key_bits``, 128, at full load 1,024."""

    days: int = 1
    seed: int = 1
    without: tuple[str, ...] = ()
    at: str | None = None
    for_time: str | None = None
    second_backbone: bool = False
    each_removed: bool = False
    pairs: int | None = None
    near_share: float = 0.5
    demand_bits_per_minute: float = 128.0
    key_bits: int | None = None
    ready_blocks: int = 1
    workers: int | None = None
    forecasts: Path | None = None
    unforeseen: bool = False
    ground_only: bool = False
    full_load: bool = False


def run_simulate(name: str, options: SimulateOptions, *, out: Path | None, as_json: bool) -> int:
    """Run, show or print what came of it, and write tables into ``out``. Returns 0.

    Raises ConfigurationError for terms that cannot be, and for options that would say nothing."""
    num_pairs = PAIRS_UNASKED if options.pairs is None else options.pairs
    key_bits = options.key_bits or (LOAD_KEY_BITS if options.full_load else 128)
    demand = Demand(num_pairs, options.near_share, options.demand_bits_per_minute, key_bits)
    network = load_network(name)
    if options.ground_only:
        network = _ground_of(network)
    _refuse_idle_options(options)  # first of all what takes no time to see
    for part in options.without:
        refuse_classical(network, part)
    terms = DayTerms(
        network,
        demand,
        options.seed,
        options.days,
        options.ready_blocks,
        forecasts=_forecasts(network, options),
        is_foreseen=not options.unforeseen,
        passes=passes_of_run(network, num_days=options.days, seed=options.seed),
    )
    head = {
        "network": terms.network.name,
        "days": options.days,
        "seed": options.seed,
        "ready_blocks": options.ready_blocks,
        "demand": asdict(demand),
        "at_s": 0.0 if options.at is None else seconds(options.at),
        "for_s": None if options.for_time is None else seconds(options.for_time),
        "forecasts": [asdict(one) for one in terms.forecasts],
        "foreseen": terms.is_foreseen if terms.forecasts else None,
        "passes": [asdict(one) for one in terms.passes],
        "success_of": SUCCESS_OF,
        "provenance": "predicted: rates by the forecast of each link, demand drawn from the seed",
    }
    if options.pairs is not None:
        _refuse_more_pairs(terms, options.pairs)
    if num_pairs > MANY_PAIRS:
        print(
            f"{num_pairs:,} pairs: each run may take minutes, since its time grows faster than their number; "
            "Ctrl-C ends it",
            file=sys.stderr,
        )
    begin_s = time.perf_counter()
    if options.full_load:
        _refuse_what_full_load_has_not(options)
        found = run_full_load(terms, call_bits=key_bits, as_json=as_json, out=out)
    elif options.each_removed:
        found = _each_removed(terms, options, head, as_json=as_json, out=out)
    else:
        found = _one(terms, options, head, as_json=as_json, out=out)
    if as_json:
        json.dump(found, sys.stdout, indent=1)
        sys.stdout.write("\n")
    print(f"{time.perf_counter() - begin_s:.1f} s of this machine", file=sys.stderr)
    return 0


def _forecasts(network: Network, options: SimulateOptions) -> Forecasts:
    """Return what a file foretells, its first day being the first of the run; raises ConfigurationError."""
    if options.forecasts is not None:
        return from_midnight(read_forecasts(options.forecasts, network=network))
    if options.unforeseen:
        raise ConfigurationError(
            "--unforeseen is given, but nothing is foretold", remedy="name what comes of links with --forecasts FILE"
        )
    return Forecasts()


def seconds(text: str) -> float:
    """Return the seconds of HH:MM; raises ConfigurationError."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"{text!r} is no time", remedy="write hours and minutes as HH:MM, such as 09:30")
    return 3600.0 * int(match[1]) + 60.0 * int(match[2])


def _refuse_idle_options(options: SimulateOptions) -> None:
    """Raise ConfigurationError for an option that nothing would come of, rather than run as if it had been heeded."""
    takes_out = bool(options.without) or options.each_removed
    for name, value in (("--at", options.at), ("--for", options.for_time)):
        if value is not None and not takes_out:
            raise ConfigurationError(
                f"{name} {value} is given, but nothing is taken out",
                remedy=f"say what is taken out then, with --without NAME or --each-removed, or leave {name} out",
            )
    if options.workers is not None and not options.each_removed:
        raise ConfigurationError(
            "--workers is given, but a single run is one process",
            remedy="leave --workers out, or give --each-removed as well",
        )


def _ground_of(network: Network) -> Network:
    """Return a network without its satellites; raises ConfigurationError where it has none."""
    if not network.satellites:
        raise ConfigurationError(
            f"--ground-only is given, but {network.name!r} has no satellite", remedy="leave --ground-only out"
        )
    return without_satellites(network)


def _refuse_what_full_load_has_not(options: SimulateOptions) -> None:
    """Raise ConfigurationError for an option that has no meaning where all pairs ask without end."""
    default = SimulateOptions()
    names = {
        "days": options.days,
        "without": options.without,
        "second_backbone": options.second_backbone,
        "each_removed": options.each_removed,
        "demand_bits_per_minute": options.demand_bits_per_minute,
        "ready_blocks": options.ready_blocks,
        "forecasts": options.forecasts,
    }
    for name, value in names.items():
        if value != getattr(default, name):
            option = name.removesuffix("_bits_per_minute").replace("_", "-")
            raise ConfigurationError(
                f"--{option} says nothing with --full-load: all pairs ask without end, on the whole network",
                remedy=f"leave --{option} out, or --full-load",
            )


def _refuse_more_pairs(terms: DayTerms, num_pairs: int) -> None:
    most = count_pairs(terms)
    if num_pairs > most > 0:  # with none at all the run says what is wrong
        raise ConfigurationError(
            f"--pairs {num_pairs:,} is more than the pairs of sites with applications that a route joins in "
            f"{terms.network.name!r}: {most:,}",
            remedy=f"give 1 to {most}, or leave --pairs out",
        )


def _one(
    terms: DayTerms, options: SimulateOptions, head: Mapping[str, Any], *, as_json: bool, out: Path | None
) -> dict[str, Any]:
    """Run once, and return what is printed as JSON."""
    removals = [Removal(name, head["at_s"], head["for_s"]) for name in options.without]
    result = simulate(terms, removals, second_backbone=options.second_backbone)
    found = {
        **head,
        "second_backbone": options.second_backbone,
        "without": list(options.without),
        "warnings": _gaps(terms) if options.second_backbone else [],
        **_outcome(result),
    }
    if result.pair_keys:
        found["shares"] = share_rows(result.pair_keys)
    if not as_json:
        show_result(found, result)
        show_warnings(found["warnings"])
        if result.pair_keys:
            show_shares(found["shares"])
    if out is not None:
        write_tables(
            out,
            result=found,
            routes=[{"served": served, "route": " ".join(route)} for route, served in result.routes.most_common()],
            links=[asdict(link) for link in result.links],
        )
    return found


def _outcome(result: DayResult) -> dict[str, Any]:
    detour = result.longest_detour
    return {
        "success_rate": result.together(with_own=True).success_rate,
        "success_rate_of_others": result.together(with_own=False).success_rate,
        "pairs": dict(result.pairs),
        "pairs_cut_off": result.pairs_cut_off,
        "classes": class_rows(result),
        "longest_detour": None if detour is None else asdict(detour),
        "num_routes": len(result.routes),
        "routes": [
            {"route": list(route), "served": served} for route, served in result.routes.most_common(ROUTES_SHOWN)
        ],
        "bits_ready": sum(link.ready_bits for link in result.links),
        "bits_made": sum(link.made_bits for link in result.links),
        "bits_spent": sum(link.spent_bits for link in result.links),
        "bits_burned": sum(link.burned_bits for link in result.links),
        "bits_left": sum(link.left_bits for link in result.links),
        "bits_to_reserves": sum(link.reserve_share_bits for link in result.links),
        "blocks": sum(link.blocks for link in result.links),
        "of_satellites": asdict(result.passes),
        "links": [asdict(link) for link in result.links if link.blocks or link.spent_bits or link.burned_bits],
    }


def _each_removed(
    terms: DayTerms, options: SimulateOptions, head: Mapping[str, Any], *, as_json: bool, out: Path | None
) -> dict[str, Any]:
    """Run all cases, and return what is printed as JSON."""
    if options.without or options.second_backbone:
        raise ConfigurationError(
            "--each-removed takes out each part in turn, without and with a second backbone",
            remedy="leave --without and --second-backbone out",
        )
    cases = cases_of(terms.network)
    if all(case.part is None for case in cases):
        raise ConfigurationError(
            f"{terms.network.name!r} has no relay and no switch, which --each-removed takes out in turn",
            remedy="take a site or a link out by its name, with --without NAME",
        )
    num_workers = options.workers or min(len(cases), len(os.sched_getaffinity(0)))
    rows = asyncio.run(_run_all(terms, cases, num_workers, at_s=head["at_s"], for_s=head["for_s"]))
    has_second = any(case.second_backbone for case in cases)
    not_tried = relays_not_in_turn(terms.network)
    warnings = [*(_gaps(terms) if has_second else ()), *_untried(not_tried)]
    found = {**head, "warnings": warnings, "not_tried": list(not_tried), "rows": [row_of(row) for row in rows]}
    if not as_json:
        show_each_removed(rows)
        show_warnings(found["warnings"])
    if out is not None:
        write_tables(out, result=found, each_removed=rows_side_by_side(rows))
    return found


def _gaps(terms: DayTerms) -> list[str]:
    """Return what a second backbone leaves as it was: relays whose loss still parts others."""
    if not (parting := relays_that_part(with_second_backbone(terms.flown))):
        return []
    return [
        f"the loss of {' or of '.join(parting)} still parts others, with the second backbone too: not all that hangs "
        "on the relay has a second joint (one is made at each stop, with one city). Join those who are cut off to "
        "another relay as well; `qanat plan NETWORK --second-backbone --without NAME` counts them"
    ]


def _untried(relays: Sequence[str]) -> list[str]:
    """Return a warning that names the relays that were not taken out, of very many the first."""
    if not relays:
        return []
    more = f" and {len(relays) - RELAYS_SHOWN} more" if len(relays) > RELAYS_SHOWN else ""
    return [
        f"not taken out, so nothing is said of the loss of {', '.join(relays[:RELAYS_SHOWN])}{more}: on no ring, and "
        "not counted as backbone. Have the relays of the line that joins the towns `counted_as: backbone` in the file, "
        "or take out others with --without NAME"
    ]


async def _run_all(
    terms: DayTerms, cases: Sequence[Case], num_workers: int, *, at_s: float, for_s: float | None
) -> list[Row]:
    """Run the cases on worker processes; rows in the order of the cases."""
    pool = ProcessPool(num_workers)
    num_done = 0

    async def one(case: Case) -> Row:
        nonlocal num_done
        row: Row = await pool.run(Job(run_case, (terms, case, at_s, for_s)))
        num_done += 1
        if sys.stderr.isatty():
            print(f"\r{num_done} of {len(cases)} days", end="", file=sys.stderr, flush=True)
        elif num_done % DAYS_PER_LINE == 0:
            print(f"{num_done} of {len(cases)} days", file=sys.stderr, flush=True)
        return row

    async with AsyncExitStack() as stack:
        stack.push_async_callback(pool.close, grace_s=CLOSE_GRACE_S)
        rows = await asyncio.gather(*(one(case) for case in cases))
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return list(rows)

"""Every benchmark by its name."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from qanat.benchmarks.rows import Row
from qanat.ground.errors import RequestError

BENCHMARKS: Final[Mapping[str, tuple[str, ...]]] = {
    "photon_sampling": ("photon-sampling",),
    "distillation": (
        *("cascade-1pct", "chain-0.5pct", "chain-1pct", "chain-2.5pct"),
        *("toeplitz-2^18", "toeplitz-2^20", "toeplitz-2^22", "toeplitz-2^24", "authentication"),
    ),
    "second_start": ("second-start",),
    "reconciliation": ("winnow-1pct", "ldpc-1pct", "ldpc-2pct", "ldpc-3pct"),
    "analytic_rates": ("analytic-rates",),
    "pass_optimum": ("pass-optimum",),
    "store": ("store-single", "store-spend"),
    "store_million": ("store-million",),
    "door": ("etsi014-single", "etsi014-batch", "etsi014-latency"),
    "relay": ("relay-hop", "relay-pairs"),
    "file_delivery": ("file-service", "file-service-10-gb"),
    "video_call": ("video-call", "video-call-delay"),
    "long_line": ("distil-20ms", "distil-20ms-1mbit", "distil-20ms-winnow", "distil-20ms-ldpc"),
    "backbone": ("backbone",),
    "routing": ("route-paper", "route-10000", "share-1000", "max-min-1000"),
    "sharing": ("share-optimum",),
    "full_load": ("full-load-10", "full-load-30", "full-load-100"),
    "passes": ("passes-year", "passes-fleet"),
    "plan_fleet": ("plan-fleet",),
    "up_paper": ("up-paper",),
}
"""Module of this room -> the benchmarks it can run; each has ``run(names) -> iterator of rows``."""

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "routes": ("route-paper", "route-10000"),
    "sharing": ("share-1000", "max-min-1000", "share-optimum"),
}
"""Names that stand for several."""

LONG: Final = frozenset({"full-load-100", "file-service-10-gb"})
"""Run only where they are named: an hour of a core; 20 GB of disk."""


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmarks named (all but the ``LONG`` ones when none is) and yield their rows.

    Raises RequestError for an unknown name."""
    known = {name for group in BENCHMARKS.values() for name in group}
    if unknown := sorted(set(names) - known - set(GROUPS)):
        there = ", ".join(sorted(known | set(GROUPS)))
        raise RequestError(f"no benchmark {', '.join(unknown)}", remedy=f"there are: {there}")
    chosen = {single for name in names for single in GROUPS.get(name, (name,))}
    for module_name, group in BENCHMARKS.items():
        wanted = [name for name in group if name in chosen or not (names or name in LONG)]
        if wanted:
            module = importlib.import_module(f"qanat.benchmarks.{module_name}")
            yield from module.run(wanted)

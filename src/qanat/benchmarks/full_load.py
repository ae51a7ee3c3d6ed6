"""What all pairs of whole networks at full load get, at rate level, beside the optimum of the declared objective.

Times do not matter here, only how much of the optimum is reached; 100 sites take an hour of a core and more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from qanat.benchmarks.rows import Row
from qanat.ground.network import SharingRules
from qanat.simulation.day.full_load import FAMILIES, Reached, family_plan, full_load

SIZES: Final = {"full-load-10": 10, "full-load-30": 30, "full-load-100": 100}
OBJECTIVES: Final = {"proportional": SharingRules(), "max-min": SharingRules(alpha="max-min")}
GOAL: Final = 0.98


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmarks named and yield a row for each."""
    for name in names:
        if name in SIZES:
            yield load_row(name, SIZES[name])


def load_row(name: str, num_sites: int) -> Row:
    """Load six shapes under both objectives; the worst counts, and the reference is the worst pair of all."""
    found = {
        (kind, objective): full_load(family_plan(kind, num_sites, rules))
        for kind in FAMILIES
        for objective, rules in OBJECTIVES.items()
    }
    told = [f"{kind} {objective} {_told(reached)}" for (kind, objective), reached in found.items()]
    return Row(
        name=name,
        rate=min(reached.of_declared for reached in found.values()),
        unit="of the declared optimum",
        goal=GOAL,
        reference_name="the pair that got least of what the optimum gives it",
        reference_rate=min(reached.least_of_optimum for reached in found.values()),
        note=f"{num_sites} sites, equal links of 24 kbit/s, all pairs without end: {'; '.join(told)}",
    )


def _told(reached: Reached) -> str:
    jain = f"{reached.jain_index:.2f} ({reached.jain_index_at_optimum:.2f})"
    return f"{reached.of_declared:.3f}, least pair {reached.least_of_optimum:.2f}, Jain's index {jain}"

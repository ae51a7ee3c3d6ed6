"""Which contacts are taken: greedily, guided by the bound that no schedule exceeds, or as exactly as time allows.

The plain greedy schedule takes the passes with the most key first. The guided one orders them by how much of each the
bound takes. The third has stations take turns, as the timetable of a network does (``orbits.contention``). What demands
get is worked out for each, and the best one stays; the gap to the bound is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import BadParameter
from qanat.orbits.contention import Contact, taken
from qanat.planning.contacts import SAME_S, Contacts, conflict_sets, greedy
from qanat.planning.pair_keys import OBJECTIVES, Demand, Objective, Program, Shares

Method: TypeAlias = Literal["greedy", "guided", "turns", "exact"]
MOST_FOR_HIGHS: Final = 5_000
"""Unknowns up to which the bound is that of HiGHS, exact; beyond, it is by prices."""
MOST_FOR_EXACT: Final = 20_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is taken and what it is worth.

    chosen: contacts by their number, in order of time. shares: what demands get (``Shares``). values: of each method
    that was tried. bound: what no schedule exceeds, by ``bound_by``. unreached: demands no satellite can serve, which
    count neither for the level nor for the total.
    """

    objective: Objective
    method: Method
    chosen: NDArray[np.intp]
    shares: Shares
    values: dict[Method, float]
    bound: float
    bound_by: str
    unreached: tuple[int, ...]

    @property
    def gap(self) -> float:
        """At most this part of the best is missing."""
        return max(0.0, 1 - self.shares.value / self.bound) if self.bound > 0 else 0.0


def schedule(
    contacts: Contacts,
    demands: Sequence[Demand],
    *,
    num_satellites: int,
    slew_s: float,
    objective: Objective = "level",
    exact_s: float = 0.0,
) -> Schedule:
    """Return the best schedule found. exact_s: seconds for branch and bound besides, 0 for none. Raises BadParameter
    for what is no objective, no slew, or too much for branch and bound."""
    if objective not in OBJECTIVES or not demands:
        raise BadParameter(
            f"no objective {objective!r}", remedy=f"there are {', '.join(OBJECTIVES)}, of one demand or more"
        )
    if not 0 <= exact_s < np.inf:
        raise BadParameter(f"{exact_s:g} s of branch and bound", remedy="give --exact-s in seconds, 0 for none")
    if exact_s and len(contacts) > MOST_FOR_EXACT:
        raise BadParameter(
            f"{len(contacts):,} contacts are too many for branch and bound",
            remedy=f"leave it out, or ask for a span with {MOST_FOR_EXACT:,} at most",
        )
    program = Program(contacts, demands, conflict_sets(contacts, slew_s=slew_s), num_satellites=num_satellites)
    is_small = program.num_unknowns <= MOST_FOR_HIGHS
    bound = program.bound(objective) if is_small else program.bound_by_prices(objective)
    most, bound_by = bound.value, "linear program, HiGHS" if is_small else "linear program, by prices of its rows"
    tried: dict[Method, NDArray[np.intp]] = {
        "greedy": greedy(contacts, contacts.bits, slew_s=slew_s),
        "guided": greedy(contacts, bound.taken * contacts.bits, slew_s=slew_s),
        "turns": _by_turns(contacts, slew_s=slew_s),
    }
    if exact_s:
        whole, most_whole = program.exact(objective, limit_s=exact_s)
        tried["exact"] = np.array(sorted(np.flatnonzero(whole.taken > 1 / 2), key=contacts.start_utc_s.__getitem__))
        if most_whole < most:
            most, bound_by = most_whole, f"branch and bound, {exact_s:g} s at most, HiGHS"
    found = {method: program.given(objective, chosen.astype(np.intp)) for method, chosen in tried.items()}
    best = max(found, key=lambda method: found[method].value)
    return Schedule(
        objective=objective,
        method=best,
        chosen=tried[best].astype(np.intp),
        shares=found[best],
        values={method: one.value for method, one in found.items()},
        bound=max(most, found[best].value),
        bound_by=bound_by,
        unreached=tuple(sorted(set(range(len(demands))) - program.reached)),
    )


def _by_turns(contacts: Contacts, *, slew_s: float) -> NDArray[np.intp]:
    columns = (contacts.satellite, contacts.station, contacts.start_utc_s, contacts.end_utc_s - SAME_S, contacts.bits)
    rows = [*zip(*(column.tolist() for column in columns), strict=True)]
    found = taken(range(len(contacts)), lambda one: Contact(*rows[one]), slew_s=slew_s)
    return np.array(found, dtype=np.intp)

"""What pairs of stations get from satellites, as a linear program: with the schedule open, or with it given.

A satellite that has made key with two stations tells the XOR of both: so of one satellite a pair gets at most what each
of its stations has there, and pairs that have a station in common share what that one has. Keys of different satellites
do not help each other. A demand of one station alone is for key with any satellite.

Two objectives are declared. ``level``: the least share that any demand gets of what it asks is as high as can be.
``total``: all demands together get as much as can be, whoever they are.

With the schedule open, contacts may be taken in parts: no schedule does better (a bound). HiGHS solves both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import coo_array, csr_array, hstack, vstack

from qanat.ground.errors import BadParameter
from qanat.planning.contacts import Contacts
from qanat.planning.pass_keys import Floats
from qanat.planning.price_bound import NUM_ROUNDS, LinearProgram, bound_by_prices

Objective: TypeAlias = Literal["level", "total"]
OBJECTIVES: Final = ("level", "total")
UNIT_BITS: Final = 1e6
"""Of the programs, so that their numbers are near one."""
FIRST_WEIGHT: Final = {"level": 10.0, "total": 1.0}
"""For ``bound_by_prices``, as is best for a fleet: the level is one unknown that hangs on many rows."""
LOOSE: Final = 1 - 1e-7
"""A level that has been reached is kept to this share of it while more is handed out."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a pair of stations, or one alone, asks: numbers of stations, and bits over the span."""

    stations: tuple[int, ...]
    bits: float

    def __post_init__(self) -> None:
        if len(set(self.stations)) != len(self.stations) or len(self.stations) not in (1, 2):
            raise BadParameter("a demand is of one station or of two different ones", remedy="name A,B or A")
        if not 0 < self.bits < np.inf:
            raise BadParameter(f"a demand of {self.bits:g} bits", remedy="give a number above zero")


@dataclass(frozen=True, slots=True)
class Shares:
    """What each demand gets of each satellite, bits, shape (satellites, demands), and how much of the contacts that
    takes, shape (n,); ``value``: the objective, a share of what is asked or bits."""

    bits: Floats
    taken: Floats
    value: float


class Program:
    """The linear program of contacts and demands; ``sets``: of contacts that exclude each other."""

    def __init__(
        self, contacts: Contacts, demands: Sequence[Demand], sets: Sequence[Sequence[int]], *, num_satellites: int
    ) -> None:
        self._contacts, self._demands = contacts, demands
        self._num_satellites = num_satellites
        self._asks = np.array([demand.bits for demand in demands]) / UNIT_BITS
        num = len(contacts)
        self._num_stations = 1 + max([int(contacts.station.max(initial=0)), *(max(one.stations) for one in demands)])
        self._made = np.zeros((num_satellites, self._num_stations))
        np.add.at(self._made, (contacts.satellite, contacts.station), contacts.bits)
        self._columns = [
            (satellite, number)
            for satellite in range(num_satellites)
            for number, demand in enumerate(demands)
            if all(self._made[satellite, station] > 0 for station in demand.stations)
        ]
        rows = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
        members = np.array([one for each in sets for one in each], dtype=np.int64)
        self._excluding = csr_array((np.ones(rows.size), (rows, members)), shape=(len(sets), num))

    @property
    def reached(self) -> frozenset[int]:
        """The demands of which some satellite has key at all their stations."""
        return frozenset(number for _, number in self._columns)

    @property
    def num_unknowns(self) -> int:
        """Return how many contacts and shares there are."""
        return len(self._contacts) + len(self._columns)

    def bound(self, objective: Objective) -> Shares:
        """Return the best with contacts taken in parts, which no schedule exceeds; exact, by HiGHS."""
        return self._solved(objective)

    def bound_by_prices(self, objective: Objective, *, num_rounds: int = NUM_ROUNDS) -> Shares:
        """Return a bound a little above ``bound``, soon also for a fleet; what demands get is near the best only."""
        if not self._columns:
            return self._nothing()
        found = bound_by_prices(self._program(objective), num_rounds=num_rounds, weight=FIRST_WEIGHT[objective])
        near = self._shares(objective, found.near)
        return Shares(near.bits, near.taken, found.bound * self._unit(objective))

    def given(self, objective: Objective, chosen: NDArray[np.intp]) -> Shares:
        """Return what demands get of the contacts chosen: by the objective first, then as much as can be in all."""
        taken = np.zeros(len(self._contacts))
        taken[chosen] = 1.0
        if not self._columns:
            return self._nothing()
        program = self._program(objective)
        best = self._shared_out(program, taken, floor=None)
        value = self._shares(objective, best).value
        if objective == "level" and value > 0:
            best = self._shared_out(self._program("total"), taken, floor=value * LOOSE / self._unit("level"))
        return Shares(self._shares("total", best).bits, taken, value)

    def exact(self, objective: Objective, *, limit_s: float) -> tuple[Shares, float]:
        """Return the best schedule that branch and bound finds in ``limit_s`` seconds, and what no schedule exceeds."""
        if not self._columns:
            return self._nothing(), 0.0
        program = self._program(objective)
        is_whole = np.zeros(program.gains.size)
        is_whole[: len(self._contacts)] = 1.0
        found = milp(
            -program.gains,
            constraints=LinearConstraint(program.rows, ub=program.limits),
            bounds=Bounds(0.0, program.upper),
            integrality=is_whole,
            options={"time_limit": limit_s, "mip_rel_gap": 1e-9},
        )
        unit = self._unit(objective)
        best = np.inf if found.mip_dual_bound is None else -float(found.mip_dual_bound) * unit
        shares = self._nothing() if found.x is None else self._shares(objective, found.x)
        return shares, max(best, shares.value)

    def _solved(self, objective: Objective) -> Shares:
        if not self._columns:
            return self._nothing()
        program = self._program(objective)
        found = linprog(
            -program.gains,
            A_ub=program.rows,
            b_ub=program.limits,
            bounds=np.column_stack([np.zeros(program.upper.size), program.upper]),
            method="highs",
        )
        assert found.x is not None, f"nothing is always allowed: {found.message}"
        return self._shares(objective, found.x)

    def _shared_out(self, program: LinearProgram, taken: Floats, *, floor: float | None) -> Floats:
        """Return the unknowns with the contacts given. floor: of the level where that is no unknown.

        By interior points: the many equal answers of such a program hold simplex steps up for minutes.
        """
        num, sets = taken.size, self._excluding.shape[0]
        lower, upper = np.zeros(program.upper.size - num), program.upper[num:].copy()
        if floor is not None:
            lower[-1] = upper[-1] = floor
        found = linprog(
            -program.gains[num:],
            A_ub=program.rows[sets:, num:],
            b_ub=program.limits[sets:] - program.rows[sets:, :num] @ taken,
            bounds=np.column_stack([lower, upper]),
            method="highs-ipm",
        )
        assert found.x is not None, f"what is taken can always be shared out: {found.message}"
        return np.concatenate([taken, found.x])

    def _program(self, objective: Objective) -> LinearProgram:
        """Return the program over contacts, shares of demands by satellite, and the level."""
        num, num_shares = len(self._contacts), len(self._columns)
        made, used = self._balance()
        satellites, numbers = np.array(self._columns, dtype=np.int64).T
        asks = self._asks / self._asks.mean()  # so that the level is in megabits too
        gets = coo_array((-1 / asks[numbers], (numbers, np.arange(num_shares))), shape=(asks.size, num_shares)).tocsr()
        reached = np.array(sorted(self.reached), dtype=np.int64)
        rows = vstack(
            [
                hstack([self._excluding, csr_array((self._excluding.shape[0], num_shares + 1))]),
                hstack([made, used, csr_array((made.shape[0], 1))]),
                hstack([csr_array((reached.size, num)), gets[reached], coo_array(np.ones((reached.size, 1)))]),
            ]
        ).tocsr()
        limits = np.concatenate([np.ones(self._excluding.shape[0]), np.zeros(made.shape[0] + reached.size)])
        most = np.array(
            [
                min(self._made[satellite, station] for station in self._demands[number].stations) / UNIT_BITS
                for satellite, number in zip(satellites.tolist(), numbers.tolist(), strict=True)
            ]
        )
        highest = (np.bincount(numbers, most, minlength=asks.size) / asks)[reached].min()
        gains = np.zeros(num + num_shares + 1)
        if objective == "total":
            gains[num:-1], highest = 1.0, 0.0
        else:
            gains[-1] = 1.0
        return LinearProgram(gains, rows, limits, np.concatenate([np.ones(num), most, [highest]]))

    def _balance(self) -> tuple[Any, Any]:
        """Return what contacts make (negative) and what shares use, by satellite and station: of each that is used."""
        cells = self._contacts.satellite.astype(np.int64) * self._num_stations + self._contacts.station
        num, num_cells = len(self._contacts), self._num_satellites * self._num_stations
        made = coo_array((-self._contacts.bits / UNIT_BITS, (cells, np.arange(num))), shape=(num_cells, num))
        uses = [
            (satellite * self._num_stations + station, column)
            for column, (satellite, number) in enumerate(self._columns)
            for station in self._demands[number].stations
        ]
        cell, column = np.array(uses, dtype=np.int64).T
        used = coo_array((np.ones(cell.size), (cell, column)), shape=(num_cells, len(self._columns)))
        needed = np.unique(cell)
        return made.tocsr()[needed], used.tocsr()[needed]

    def _shares(self, objective: Objective, unknowns: Floats) -> Shares:
        num = len(self._contacts)
        bits = np.zeros((self._num_satellites, len(self._demands)))
        places = np.array(self._columns, dtype=np.int64).T
        bits[places[0], places[1]] = np.maximum(unknowns[num:-1], 0.0) * UNIT_BITS
        value = float(bits.sum()) if objective == "total" else max(0.0, float(unknowns[-1])) * self._unit("level")
        return Shares(bits, np.clip(unknowns[:num], 0.0, 1.0), value)

    def _unit(self, objective: Objective) -> float:
        """Return what one of the objective's unknowns is: bits, or a share of what is asked."""
        return UNIT_BITS if objective == "total" else float(1 / self._asks.mean())

    def _nothing(self) -> Shares:
        return Shares(np.zeros((self._num_satellites, len(self._demands))), np.zeros(len(self._contacts)), 0.0)

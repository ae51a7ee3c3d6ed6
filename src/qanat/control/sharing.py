"""Who wants how much of the network's key, and what each is given: the words of fair sharing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qanat.control.graph import GraphLink, Route
from qanat.ground.identifiers import NodeId
from qanat.ground.route_policy import ANY_ROUTE, RoutePolicy

MAX_MIN = math.inf
"""The alpha of max-min fairness."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A pair of sites that wants key at a steady rate, as much as it can get.

    ``weight``: it counts as so many demands. ``cap_bits_per_s``: more is of no use to it. ``guaranteed_bits_per_s``: it
    has been promised so much.
    """

    demand_id: str
    source: NodeId
    target: NodeId
    weight: float = 1.0
    cap_bits_per_s: float = math.inf
    guaranteed_bits_per_s: float = 0.0
    policy: RoutePolicy = ANY_ROUTE

    def __post_init__(self) -> None:
        if self.source == self.target:
            raise ValueError(f"demand {self.demand_id!r} joins {self.source!r} to itself")
        if not (0 < self.weight < math.inf and self.cap_bits_per_s > 0):
            raise ValueError(f"demand {self.demand_id!r} has a weight and a cap above zero")
        if not 0 <= self.guaranteed_bits_per_s <= self.cap_bits_per_s or math.isinf(self.guaranteed_bits_per_s):
            raise ValueError(f"the guarantee of demand {self.demand_id!r} lies between zero and its cap")


@dataclass(frozen=True, slots=True)
class Share:
    """What a demand is given: so many bit/s over each of these routes, the most first; nothing where none joins it."""

    demand_id: str
    rate_bits_per_s: float
    routes: tuple[tuple[Route, float], ...]


@dataclass(frozen=True, slots=True)
class Sharing:
    """All shares, and how good they are together.

    ``fair_mean_bits_per_s`` is the declared objective (see ``fair_mean``) over the demands that some route joins;
    ``bound_bits_per_s`` is what no sharing whatever can exceed, proven by the links' prices. For max-min the two are
    of the level that is proven worst.
    """

    alpha: float
    shares: tuple[Share, ...]
    fair_mean_bits_per_s: float
    bound_bits_per_s: float

    @property
    def gap(self) -> float:
        """At most this part of the optimum is missing."""
        return max(0.0, 1.0 - self.fair_mean_bits_per_s / self.bound_bits_per_s) if self.bound_bits_per_s else 0.0

    @property
    def total_bits_per_s(self) -> float:
        """The sum of all rates."""
        return math.fsum(share.rate_bits_per_s for share in self.shares)

    @property
    def jain_index(self) -> float:
        """Jain's fairness index: 1 where all rates are the same, 1 over their number where one has everything."""
        squares = math.fsum(share.rate_bits_per_s**2 for share in self.shares)
        return self.total_bits_per_s**2 / (len(self.shares) * squares) if squares else 1.0


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a demand's guarantee can be kept beside all others, and the most that could be guaranteed to it."""

    is_admitted: bool
    possible_bits_per_s: float


@dataclass(frozen=True, slots=True)
class SharingProblem:
    """All that shares follow from: the links that give key now with their rates, the sites, and who wants how much.

    ``demands``: those with a guarantee in the order in which they are admitted. ``regions``: where sites are stated to
    be. It travels to where it is solved.
    """

    links: tuple[GraphLink, ...]
    rates_bits_per_s: tuple[float, ...]
    relays: tuple[NodeId, ...]
    others: tuple[NodeId, ...]
    demands: tuple[Demand, ...]
    alpha: float
    regions: tuple[tuple[NodeId, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Promise:
    """A guarantee that was asked for, and whether it is kept beside those before it."""

    demand_id: str
    asked_bits_per_s: float
    admission: Admission


@dataclass(frozen=True, slots=True)
class Settled:
    """The answer to a problem: the shares, with only those guarantees that can be kept, and what became of each."""

    sharing: Sharing
    promises: tuple[Promise, ...]

"""How much key can go through a network at once: between two sites, or between everybody, with a proof.

All demands rise together, each at its weight, until some limit is used up. The highest level is found by a linear
program over ways (the one of max-min fairness, ``control.solvers.lifting``, here with ports and trunks of switches
among the limits); at its prices of the limits the shortest ways are looked for, and those that are better than
all in use are taken up. The same prices bound every level whatever: a demand that gets x uses up at least x times the
length of its shortest way, and all limits together are used once at most. The method ends when the two meet.

Ways are kept by source: one column is the tree of the ways from a source to all its targets that may pass the same
relays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from qanat.control.solvers.lifting import lift
from qanat.ground.identifiers import LinkId, NodeId
from qanat.planning.limits import Limit, Limited
from qanat.planning.ways import Asker, Asks, Barred, Demands, Floats, WaySearch

TOLERANCE = 1e-7
MOST_ROUNDS = 200
NOTHING_BARRED: Barred = {}


@dataclass(frozen=True, slots=True)
class Flow:
    """How high all demands can rise: a demand of weight w gets w times ``level_bits_per_s``.

    bound_bits_per_s: what no other way of sharing can exceed. loads_bits_per_s: what goes over each link. binding:
    limits that are used up and in the way, with the part of the bound that each is worth; they add up to one.
    """

    level_bits_per_s: float
    bound_bits_per_s: float
    loads_bits_per_s: Mapping[LinkId, float]
    binding: Mapping[Limit, float]

    @property
    def gap(self) -> float:
        """At most this part of the optimum is missing."""
        return max(0.0, 1 - self.level_bits_per_s / self.bound_bits_per_s) if self.bound_bits_per_s > 0 else 0.0


def most_between(network: Limited, one: NodeId, other: NodeId) -> Flow:
    """Return the most that can go between two sites over all ways through trusted relays, keys of both directions
    together; nothing where no way joins them."""
    return rise(network, {one: {other: 1.0}})


def cut_between(network: Limited, flow: Flow, source: NodeId) -> tuple[LinkId, ...]:
    """Return the links that part ``source`` from the other end of a flow: each in use to its whole, together no more
    than the flow. Empty where not links but ports or trunks of switches are in the way (see ``Flow.binding``)."""
    if not flow.binding or any(limit.kind != "link" for limit in flow.binding):
        return ()
    search = WaySearch(network)
    prices = np.array([flow.binding.get(limit, 0.0) for limit in network.limits])
    return tuple(carrier.link_id for carrier in search.leaving(source, prices))


def rise(network: Limited, demands: Demands, *, barred: Barred = NOTHING_BARRED) -> Flow:
    """Return how high demands can rise together. Pairs that no way joins are left out; nothing where no pair is left.

    ``demands``: weights above zero, between known sites, none to itself. ``barred``: relays that keys of a pair may not
    pass.
    """
    search = WaySearch(network)
    joined = search.joined(demands, barred)
    if not joined:
        return Flow(0.0, 0.0, {}, {})
    columns = _Columns(network, joined)
    trees, _ = search.trees(joined, np.ones(len(network.limits)))
    for tree in trees:
        columns.add(*tree)
    return columns.climb(search)


class _Columns:
    """Trees in use, and the linear program over them."""

    def __init__(self, network: Limited, asks: Asks) -> None:
        self._network, self._asks = network, asks
        self._row = {asker: place for place, asker in enumerate(asks)}
        self._sources: list[int] = []
        self._loads: list[Floats] = []

    def add(self, asker: Asker, loads: Floats) -> None:
        self._sources.append(self._row[asker])
        self._loads.append(loads)

    def climb(self, search: WaySearch) -> Flow:
        """Take up better trees until none is missing; return what is reached."""
        bound, prices = float("inf"), np.ones(len(self._network.limits))
        for _ in range(MOST_ROUNDS):
            level, shares, duals, worth = self._solved(search)
            trees, costs = search.trees(self._asks, duals)
            if float(costs.sum()) > 0 and (found := float(duals.sum()) / float(costs.sum())) < bound:
                bound, prices = found, duals
            better = costs < worth * (1 - 1e-9)
            if 1 - level / bound <= TOLERANCE or not better.any():
                break
            for tree, is_better in zip(trees, better, strict=True):
                if is_better:
                    self.add(*tree)
        loads = shares @ np.array(self._loads[: len(shares)])  # trees that came last are in no solution
        return self._told(level, max(level, bound), loads, prices)

    def _solved(self, search: WaySearch) -> tuple[float, Floats, Floats, Floats]:
        """Return the level, how much goes over each tree, the prices of the limits and those of the sources."""
        usage = search.uses.T @ np.array(self._loads).T
        used = np.nonzero(usage.any(axis=1))[0]
        sources = len(self._row)
        unit = 1 / float(usage[:, :sources].sum(axis=1).max())  # the level that the first trees alone reach
        shown = usage[used]
        limits, trees = np.nonzero(shown)
        found = lift(
            (limits, trees, shown[limits, trees] * unit),
            np.ones(len(used)),
            owners=np.array(self._sources),
            floor=np.zeros(sources),
            rise=np.ones(sources),
            with_all_limits=True,
        )
        assert found is not None, "nothing is to be kept"
        prices = np.zeros(len(usage))
        prices[used] = found.prices
        return found.height * unit, found.flows * unit, prices, found.worth / unit

    def _told(self, level: float, bound: float, loads: Floats, prices: Floats) -> Flow:
        worth = prices / float(prices.sum())
        binding = {limit: float(part) for limit, part in zip(self._network.limits, worth, strict=True) if part > 1e-6}
        return Flow(
            level,
            bound,
            {
                carrier.link_id: float(load)
                for carrier, load in zip(self._network.carriers, loads, strict=True)
                if load > 1e-9 * level
            },
            dict(sorted(binding.items(), key=lambda one: -one[1])),
        )

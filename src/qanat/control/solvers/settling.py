"""The shares of a whole network at one moment: guarantees are admitted in their order, then all is shared."""

from __future__ import annotations

from dataclasses import replace

from qanat.control.graph import RouteGraph
from qanat.control.sharing import Demand, Promise, Settled, SharingProblem
from qanat.control.solvers.shares import admit, share

WHOLE = 1 - 1e-6
"""A guarantee that takes all of a link is kept but for this, so that the others there have a rate above nothing."""


def settle(problem: SharingProblem) -> Settled:
    """Return the shares of a problem. A guarantee that cannot be kept beside those before it is no obstacle: that
    demand shares like one without.

    A pure function of plain data, so that it can be called in another process. Raises UnknownNode for a demand of a
    site that is none.
    """
    graph = RouteGraph(problem.links, relays=problem.relays, others=problem.others, regions=dict(problem.regions))
    for link, rate in zip(problem.links, problem.rates_bits_per_s, strict=True):
        graph.set_link(link.link_id, width=rate)
    promises, kept = [], list[Demand]()
    for demand in problem.demands:
        if demand.guaranteed_bits_per_s:
            admission = admit(graph, kept, demand)
            promises.append(Promise(demand.demand_id, demand.guaranteed_bits_per_s, admission))
            kept += [demand] if admission.is_admitted else []
    sharing = share(graph, [_as_kept(demand, kept) for demand in problem.demands], alpha=problem.alpha)
    return Settled(sharing, tuple(promises))


def _as_kept(demand: Demand, kept: list[Demand]) -> Demand:
    return replace(demand, guaranteed_bits_per_s=WHOLE * demand.guaranteed_bits_per_s if demand in kept else 0.0)

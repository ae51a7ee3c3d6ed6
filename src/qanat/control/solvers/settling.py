"""The shares of a whole network at one moment: guarantees are admitted in their order, then all is shared."""

from __future__ import annotations

from dataclasses import replace

from qanat.control.graph import RouteGraph
from qanat.control.sharing import Admission, Demand, Promise, Settled, SharingProblem
from qanat.control.solvers.shares import admit, share

WHOLE = 1 - 5e-7
"""A guarantee that takes all of a link is kept but for this, so that the others there have a rate above nothing."""
MISSED = 1 - 2e-6
"""An admitted guarantee of which a demand gets less than this part is not kept."""


def settle(problem: SharingProblem) -> Settled:
    """Return the shares of a problem. A guarantee that cannot be kept beside those before it is no obstacle: that
    demand shares like one without.

    A pure function of plain data, so that it can be called in another process. Raises UnknownNode for a demand of a
    site that is none.
    """
    graph = RouteGraph(problem.links, relays=problem.relays, others=problem.others, regions=dict(problem.regions))
    for link, rate in zip(problem.links, problem.rates_bits_per_s, strict=True):
        graph.set_link(link.link_id, width=rate)
    admissions, kept = dict[str, Admission](), dict[str, Demand]()
    for demand in problem.demands:
        if demand.guaranteed_bits_per_s:
            admission = admissions[demand.demand_id] = admit(graph, tuple(kept.values()), demand)
            if admission.is_admitted:
                whole = min(demand.guaranteed_bits_per_s, admission.possible_bits_per_s)
                kept[demand.demand_id] = replace(demand, guaranteed_bits_per_s=WHOLE * whole)
    wanted = [kept.get(demand.demand_id, replace(demand, guaranteed_bits_per_s=0.0)) for demand in problem.demands]
    sharing = share(graph, wanted, alpha=problem.alpha)
    rates = {one.demand_id: one.rate_bits_per_s for one in sharing.shares}
    return Settled(
        sharing,
        tuple(
            Promise(
                demand.demand_id,
                demand.guaranteed_bits_per_s,
                _as_given(admissions[demand.demand_id], demand.guaranteed_bits_per_s, rates[demand.demand_id]),
            )
            for demand in problem.demands
            if demand.guaranteed_bits_per_s
        ),
    )


def _as_given(admission: Admission, asked_bits_per_s: float, given_bits_per_s: float) -> Admission:
    """Return the admission, taken back where the shares do not give what was admitted: nobody is told that a guarantee
    is kept which is not."""
    if admission.is_admitted and given_bits_per_s < MISSED * asked_bits_per_s:
        return Admission(is_admitted=False, possible_bits_per_s=given_bits_per_s)
    return admission

"""Networks of known shapes at full load in virtual time: all pairs ask without end, and what they get is set beside
the optimum of the declared objective.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from qanat.control.graph import RouteGraph
from qanat.control.posing import USABLE
from qanat.control.sharing import Demand
from qanat.control.solvers.shares import share
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Application, Network, SharingRules
from qanat.ground.network.building import build_network
from simulation.shared_network import Callers, pass_time, rate_bits_per_s, relayed, shared_world

FAMILIES = ("line", "ring", "star", "tree", "grid", "random-geometric")
ORDER_TIMEOUT_S = 120.0
PATIENCE_S = 180.0
"""A caller who asks for large keys has a batch once in 40 s where his share is small: that is no fault."""
BLOCK_TIME_S = 10.0
"""Each link gives 24 kbit/s, half of it in each direction."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What all pairs got over a stationary window: the declared objective of their rates, and of the optimum.

    ``declared_bits_per_s``: of the problem as the controller has it; ``whole_bits_per_s``: with all that links give.
    """

    mean_bits_per_s: float
    declared_bits_per_s: float
    whole_bits_per_s: float
    rates_bits_per_s: Mapping[tuple[str, str], float]
    faults: Counter[str]

    @property
    def of_declared(self) -> float:
        """The common factor by which all rates of the optimum would have to shrink to be worth as little; 1 and more
        where the pairs got as much."""
        return self.mean_bits_per_s / self.declared_bits_per_s

    @property
    def of_whole(self) -> float:
        return self.mean_bits_per_s / self.whole_bits_per_s


def loaded_network(kind: str, size: int, sharing: SharingRules | None) -> Network:
    """A shape with an application at each site."""
    network = build_network(kind, num_nodes=size)
    applications = tuple(Application(name=f"app-{site.name}", site=site.name) for site in network.sites)
    return network.model_copy(update={"applications": applications, "sharing": sharing})


def full_load(
    kind: str,
    size: int,
    *,
    begin_s: float = 30.0,
    measured_s: float = 30.0,
    sharing: SharingRules | None = None,
    callers: int = 1,
    key_bits: int = 1024,
    seed: int = 7,
) -> Reached:
    """Let all pairs of a network ask without end, in both directions, and see what they get.

    ``sharing``: None for the default rules.
    """
    sharing = sharing or SharingRules()
    network = loaded_network(kind, size, sharing)
    world = shared_world(
        network,
        dict.fromkeys((link.name for link in network.links), BLOCK_TIME_S),
        seed=seed,
        order_timeout_s=ORDER_TIMEOUT_S,
        patience_s=PATIENCE_S,
    )
    asking = Callers(world, count=1, size_bits=key_bits, patience_s=PATIENCE_S)
    pairs = list(combinations(sorted(site.name for site in network.sites), 2))
    for one, other in pairs:
        asking.start(f"app-{one}", f"app-{other}", callers=callers)
        asking.start(f"app-{other}", f"app-{one}", callers=callers)
        pass_time(world, begin_s / 2 / len(pairs))  # who all greet a hub at once keep it from its orders at first
    pass_time(world, begin_s / 2)
    asking.faults.clear()
    pass_time(world, measured_s)
    bits: Counter[tuple[str, str]] = Counter()
    for row in relayed(world, since_s=begin_s):
        ends = sorted((row["route"][0], row["route"][-1]))
        bits[ends[0], ends[1]] += row["qkd_bits"] // row["hops"]
    world.close(thorough=False)
    assert world.witness.violations == []
    rates = {pair: bits[pair] / measured_s for pair in pairs}
    rate = 2 * rate_bits_per_s(BLOCK_TIME_S)
    if sharing.alpha == "max-min":
        raise ValueError("the power mean of max-min is not defined")
    alpha = float(sharing.alpha)
    mean = fair(list(rates.values()), alpha)
    return Reached(
        mean,
        optimum_bits_per_s(network, USABLE * rate, alpha),
        optimum_bits_per_s(network, rate, alpha),
        rates,
        asking.faults,
    )


def fair(rates: Sequence[float], alpha: float) -> float:
    """The power mean of degree 1 - alpha."""
    if min(rates) <= 0:
        return 0.0 if alpha >= 1 else math.nan
    if alpha == 1:
        return math.exp(math.fsum(math.log(rate) for rate in rates) / len(rates))
    return (math.fsum(rate ** (1 - alpha) for rate in rates) / len(rates)) ** (1 / (1 - alpha))


def optimum_bits_per_s(network: Network, rate_bits_per_s: float, alpha: float) -> float:
    """What no sharing of links of this rate can exceed, proven by the links' prices."""
    graph = RouteGraph.of_keys(network)
    for link in graph.links:
        graph.set_link(link.link_id, width=rate_bits_per_s)
    pairs = combinations(sorted(graph.nodes), 2)
    demands = [Demand(f"{one} - {other}", NodeId(one), NodeId(other)) for one, other in pairs]
    return share(graph, demands, alpha=alpha).bound_bits_per_s

"""Large alphas beside a small cap or a guarantee: no large part of a network lies idle that somebody could have.

What could be given out beside all shares is found by linear programs that know no paths, which HiGHS solves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import linprog

from qanat.control.graph import GraphLink, RouteGraph
from qanat.control.sharing import Demand, Sharing
from qanat.control.solvers.shares import share
from qanat.ground.identifiers import LinkId, NodeId
from unit.sharing_support import check_it_can_be_carried

A, B, C, D, E = (NodeId(name) for name in "abcde")
WIDTHS = {(A, B): 160_000.0, (B, C): 64_000.0, (C, D): 100_000.0, (A, D): 40_000.0, (A, E): 50_000.0, (A, C): 16_000.0}
MOST_IDLE = 0.02
"""Of all that could be given: what is over is divided to a thousandth of a mean in which large shares weigh least."""


def mesh() -> RouteGraph:
    graph = RouteGraph([GraphLink(LinkId(f"{one}-{other}"), (one, other)) for one, other in WIDTHS], relays=[*"abcde"])
    for (one, other), width in WIDTHS.items():
        graph.set_link(LinkId(f"{one}-{other}"), width=width)
    return graph


def all_pairs(**first: float) -> list[Demand]:
    """All pairs of the mesh; what is declared of the pair of a and c."""
    demands = [Demand(f"{one} - {other}", one, other) for one, other in combinations((A, B, C, D, E), 2)]
    return [replace(demand, **first) if (demand.source, demand.target) == (A, C) else demand for demand in demands]


def most_beside(graph: RouteGraph, demands: Sequence[Demand], sharing: Sharing) -> float:
    """Return the largest sum that all could have together where nobody has less than his share."""
    nodes = {node: place for place, node in enumerate(graph.nodes)}
    arcs = [(link.ends, number) for number, link in enumerate(graph.links)]
    arcs += [((there, here), number) for (here, there), number in arcs]
    num_flows = len(demands) * len(arcs)
    keeps = np.zeros((len(demands) * len(nodes), num_flows + len(demands)))
    loads = np.zeros((len(arcs) // 2, num_flows + len(demands)))
    for place, demand in enumerate(demands):
        for number, ((here, there), link) in enumerate(arcs):
            column = place * len(arcs) + number
            keeps[place * len(nodes) + nodes[here], column] += 1
            keeps[place * len(nodes) + nodes[there], column] -= 1
            loads[link, column] = 1
        keeps[place * len(nodes) + nodes[demand.source], num_flows + place] = -1
        keeps[place * len(nodes) + nodes[demand.target], num_flows + place] = 1
    rates = [one.rate_bits_per_s * (1 - 1e-6) for one in sharing.shares]
    most = [demand.cap_bits_per_s if math.isfinite(demand.cap_bits_per_s) else None for demand in demands]
    found = linprog(
        [0.0] * num_flows + [-1.0] * len(demands),
        A_ub=loads,
        b_ub=np.array(graph.width),
        A_eq=keeps,
        b_eq=np.zeros(len(keeps)),
        bounds=[(0, None)] * num_flows + list(zip(rates, most, strict=True)),
    )
    assert found.success, found.message
    return -float(found.fun)


@pytest.mark.parametrize("alpha", [1.0, 3.0, 4.0, 6.0, 8.0, 16.0, 25.0, 50.0])
@pytest.mark.parametrize(
    "declared",
    [
        {"cap_bits_per_s": 500.0},
        {"cap_bits_per_s": 5.0},
        {"cap_bits_per_s": 500.0, "weight": 9.0},
        {"guaranteed_bits_per_s": 9_000.0},
        {"guaranteed_bits_per_s": 6_000.0, "weight": 0.2},
        {"weight": 0.05},
    ],
    ids=str,
)
def test_next_to_nothing_lies_idle_that_somebody_could_have(alpha: float, declared: dict[str, float]) -> None:
    graph, demands = mesh(), all_pairs(**declared)
    sharing = share(graph, demands, alpha=alpha)
    check_it_can_be_carried(graph, demands, sharing)
    assert sharing.total_bits_per_s > (1 - MOST_IDLE) * most_beside(graph, demands, sharing)
    assert sharing.gap < 5e-3

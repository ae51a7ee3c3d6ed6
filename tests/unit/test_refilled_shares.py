"""Shares beside small caps, guarantees and thin links, by alphas above 1 and others: nothing lies idle that somebody
could have.

What could be given out beside all shares is found by linear programs that know no paths, which HiGHS solves.
"""

from __future__ import annotations

import math
import random
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
MOST_IDLE = 1e-3
"""Of all that could be given."""


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


@pytest.mark.parametrize("alpha", [1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0, 25.0, 50.0])
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


def a_network(seed: int) -> tuple[RouteGraph, list[Demand]]:
    """Return six sites, joined at random by links that lie up to four decades apart, and pairs of five of them that
    declare anything."""
    chance = random.Random(seed)
    joined = {(chance.randrange(place), place) for place in range(1, 6)}
    joined |= {(one, other) for one, other in combinations(range(6), 2) if chance.random() < 0.25}
    links = [
        GraphLink(LinkId(f"{one}-{other}"), (NodeId(f"{one}"), NodeId(f"{other}"))) for one, other in sorted(joined)
    ]
    graph = RouteGraph(links, relays=[*"012345"])
    for link in links:
        graph.set_link(link.link_id, width=10 ** chance.uniform(1.5, 5.5))
    demands = []
    for one, other in combinations("01234", 2):
        demand = Demand(
            f"{one} - {other}", NodeId(one), NodeId(other), weight=chance.choice([1.0, 1.0, 0.1, 5.0, 20.0])
        )
        if chance.random() < 0.4:
            demand = replace(demand, cap_bits_per_s=chance.choice([0.1, 1.0, 10.0, 100.0, 3000.0]))
        if chance.random() < 0.2:
            demand = replace(demand, guaranteed_bits_per_s=min(chance.choice([0.1, 5.0]), demand.cap_bits_per_s))
        demands.append(demand)
    return graph, demands


def a_tree(seed: int, num_nodes: int) -> tuple[RouteGraph, list[Demand]]:
    """All pairs of a drawn tree, where each has one way: what a link lets lie idle, the pairs over it miss."""
    chance = random.Random(seed)
    nodes = [NodeId(f"n{number}") for number in range(num_nodes)]
    joined = [(nodes[chance.randrange(number)], nodes[number]) for number in range(1, num_nodes)]
    graph = RouteGraph([GraphLink(LinkId(f"{one}-{other}"), (one, other)) for one, other in joined], relays=nodes)
    for one, other in joined:
        graph.set_link(LinkId(f"{one}-{other}"), width=chance.uniform(1e4, 1e5))
    return graph, [
        Demand(f"{one} - {other}", one, other, weight=chance.choice([1.0, 1.0, 1.0, 5.0]))
        for one, other in combinations(nodes, 2)
    ]


@pytest.mark.parametrize(("seed", "num_nodes"), [(1, 8), (3, 8), (3, 10), (1, 12)])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_a_tree_full_of_pairs_has_nothing_idle(seed: int, num_nodes: int, alpha: float) -> None:
    """An alpha that sees all stops within a thousandth of its optimum, which is not within one of what can be given."""
    graph, demands = a_tree(seed, num_nodes)
    sharing = share(graph, demands, alpha=alpha)
    check_it_can_be_carried(graph, demands, sharing)
    assert sharing.total_bits_per_s > (1 - MOST_IDLE / 10) * most_beside(graph, demands, sharing)


@pytest.mark.parametrize("alpha", [1.5, 2.0, 3.0, 8.0, 16.0, 50.0])
@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_declared_and_however_thin_a_link_is_nothing_lies_idle(seed: int, alpha: float) -> None:
    graph, demands = a_network(seed)
    sharing = share(graph, demands, alpha=alpha)
    check_it_can_be_carried(graph, demands, sharing)
    assert sharing.total_bits_per_s > (1 - MOST_IDLE) * most_beside(graph, demands, sharing)
    assert sharing.gap < 5e-3


def test_who_is_hidden_by_a_tiny_cap_has_a_fair_share_among_his_like() -> None:
    """Three pairs on one link, one of which wants next to nothing: the others have half each by any alpha."""
    graph = RouteGraph([GraphLink(LinkId("a-b"), (A, B))], relays=[*"ab"])
    graph.set_link(LinkId("a-b"), width=100_000.0)
    demands = [Demand(name, A, B) for name in ("one", "other")]
    demands.append(Demand("tiny", A, B, cap_bits_per_s=0.01))
    for alpha in (2.0, 8.0, 16.0):
        shares = share(graph, demands, alpha=alpha).shares
        assert [one.rate_bits_per_s for one in shares[:2]] == pytest.approx([50_000.0, 50_000.0], rel=0.02)

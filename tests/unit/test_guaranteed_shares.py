"""Guarantees near the most that the links give: what is admitted is given, over however unequal ways.

The authorities are networkx's maximum flow and linear programs over arcs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

from qanat.control.graph import GraphLink, RouteGraph
from qanat.control.sharing import Demand, Settled, Sharing, SharingProblem
from qanat.control.solvers import settling
from qanat.control.solvers.settling import settle
from qanat.control.solvers.shares import admit, share
from qanat.ground.identifiers import LinkId
from unit.sharing_support import Programs, check_it_can_be_carried, node

KEPT = 1 - 1e-6


def by_relays(rates: Sequence[float]) -> RouteGraph:
    """Return two sites, 0 and 1, with a relay between them for each rate, which both its links have."""
    relays = range(2, 2 + len(rates))
    links = [GraphLink(LinkId(f"{end}-{relay}"), (node(end), node(relay))) for relay in relays for end in (0, 1)]
    graph = RouteGraph(links, relays=map(node, relays), others=[node(0), node(1)])
    for link in graph.links:
        graph.set_link(link.link_id, width=rates[int(link.link_id.split("-")[1]) - 2])
    return graph


def drawn(seed: int) -> RouteGraph:
    """Return a connected random graph of 5 to 8 relays whose links' rates differ by up to a hundred times."""
    draw = np.random.default_rng(seed)
    size = int(draw.integers(5, 9))
    plain = next(
        graph
        for tried in range(100)
        if nx.is_connected(graph := nx.gnp_random_graph(size, 0.5, seed=100 * seed + tried))
    )
    links = [GraphLink(LinkId(f"{one}-{other}"), (node(one), node(other))) for one, other in plain.edges]
    graph = RouteGraph(links, relays=map(node, range(size)), others=[])
    for link in graph.links:
        graph.set_link(link.link_id, width=10 ** draw.uniform(3, 5))
    return graph


def most_beside(graph: RouteGraph, held: Sequence[Demand], demand: Demand) -> float:
    everybody = [*held, demand]
    goal = np.zeros(len(everybody))
    goal[-1] = 1.0
    lows = [one.guaranteed_bits_per_s / 1e4 for one in held]
    _, most, _ = Programs(graph, everybody).best(goal, lows=[*lows, 0.0], highs=[None] * len(everybody))
    return 1e4 * most


def guaranteed(graph: RouteGraph, seed: int) -> list[Demand]:
    """Return up to three demands with guarantees of 80 to 99 % of what is left by those before."""
    draw = np.random.default_rng(seed)
    held: list[Demand] = []
    for place in range(int(draw.integers(1, 4))):
        one, other = draw.choice(len(graph.nodes), 2, replace=False)
        demand = Demand(f"g{place}", node(one), node(other))
        most = most_beside(graph, held, demand)
        if most > 100:
            held.append(replace(demand, guaranteed_bits_per_s=float(most * draw.uniform(0.8, 0.99))))
    return held


def others(graph: RouteGraph, seed: int) -> list[Demand]:
    draw = np.random.default_rng(seed)
    pairs = [draw.choice(len(graph.nodes), 2, replace=False) for _ in range(int(draw.integers(0, 8)))]
    caps = draw.choice([math.inf, math.inf, 1000.0], len(pairs)).tolist()
    return [
        Demand(f"d{place}", node(one), node(other), weight=float(draw.integers(1, 4)), cap_bits_per_s=cap)
        for place, ((one, other), cap) in enumerate(zip(pairs, caps, strict=True))
    ]


def settled(graph: RouteGraph, demands: Sequence[Demand]) -> Settled:
    relays = tuple(graph.nodes)
    return settle(SharingProblem(tuple(graph.links), tuple(graph.width), relays, (), tuple(demands), 1.0))


def check_guarantees_are_given(demands: Sequence[Demand], sharing: Sharing) -> None:
    for demand, one in zip(demands, sharing.shares, strict=True):
        assert one.rate_bits_per_s >= demand.guaranteed_bits_per_s * KEPT


@pytest.mark.parametrize("part", [0.8, 0.95, 0.99, 1.0])
@pytest.mark.parametrize(("small", "count"), [(20.0, 4), (100.0, 9), (20.0, 40)])
def test_a_guarantee_over_one_wide_way_and_many_narrow_ones_is_given(small: float, count: int, part: float) -> None:
    graph = by_relays([1000.0] + [small] * count)
    asked = Demand("d", node(0), node(1), guaranteed_bits_per_s=part * (1000.0 + small * count))
    found = settled(graph, [asked])
    assert [one.admission.is_admitted for one in found.promises] == [True]
    check_guarantees_are_given([asked], found.sharing)
    check_it_can_be_carried(graph, [asked], found.sharing)
    plain = nx.Graph()
    for link, width in zip(graph.links, graph.width, strict=True):
        plain.add_edge(*link.ends, capacity=width)
    most = nx.maximum_flow_value(plain, node(0), node(1))
    assert 0.98 * most <= found.sharing.shares[0].rate_bits_per_s <= most * (1 + 1e-9)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(12))
def test_several_guarantees_near_the_most_are_given_and_the_rest_is_shared_as_well_as_can_be(
    seed: int, alpha: float
) -> None:
    graph = drawn(seed)
    demands = [*guaranteed(graph, seed), *others(graph, seed)]
    assert demands[0].guaranteed_bits_per_s
    sharing = share(graph, demands, alpha=alpha)
    check_it_can_be_carried(graph, demands, sharing)
    check_guarantees_are_given(demands, sharing)
    best = Programs(graph, demands).fair_mean_bound(alpha)
    assert sharing.bound_bits_per_s >= best * (1 - 1e-4)
    assert sharing.fair_mean_bits_per_s >= 0.98 * best


@pytest.mark.parametrize("seed", range(12))
def test_what_is_admitted_beside_others_is_given_with_all_of_them(seed: int) -> None:
    graph = drawn(seed)
    demands = [*guaranteed(graph, seed), *others(graph, seed)]
    found = settled(graph, demands)
    assert all(one.admission.is_admitted for one in found.promises)
    check_guarantees_are_given(demands, found.sharing)


def test_what_is_held_over_narrow_ways_leaves_to_a_new_guarantee_what_it_does_not_need() -> None:
    """The ways that are looked at first could not keep the guarantee that is held."""
    graph = by_relays([1000.0] + [20.0] * 40)
    held = Demand("held", node(0), node(1), guaranteed_bits_per_s=1700.0)
    asked = Demand("new", node(0), node(1), guaranteed_bits_per_s=90.0)
    answer = admit(graph, [held], asked)
    assert answer.is_admitted
    assert answer.possible_bits_per_s == pytest.approx(100.0, rel=1e-3)
    refused = admit(graph, [held], replace(asked, guaranteed_bits_per_s=110.0))
    assert not refused.is_admitted
    assert refused.possible_bits_per_s == pytest.approx(100.0, rel=1e-3)


def test_an_admitted_guarantee_that_the_shares_miss_is_told_as_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def half(graph: RouteGraph, demands: Sequence[Demand], *, alpha: float) -> Sharing:
        sharing = share(graph, demands, alpha=alpha)
        return replace(
            sharing, shares=tuple(replace(one, rate_bits_per_s=one.rate_bits_per_s / 2) for one in sharing.shares)
        )

    monkeypatch.setattr(settling, "share", half)
    asked = Demand("d", node(0), node(1), guaranteed_bits_per_s=900.0)
    (promise,) = settled(by_relays([500.0, 500.0]), [asked]).promises
    assert not promise.admission.is_admitted
    assert promise.admission.possible_bits_per_s == pytest.approx(500.0, rel=1e-3)

"""Shares where rates, weights and caps lie far apart and alpha is large: powers of them that no number holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qanat.control.graph import GraphLink, RouteGraph
from qanat.control.sharing import MAX_MIN, Demand, SharingProblem
from qanat.control.solvers.settling import settle
from qanat.control.solvers.shares import share
from qanat.ground.identifiers import LinkId, NodeId
from unit.sharing_support import check_it_can_be_carried

Case = tuple[RouteGraph, list[Demand]]
ALPHAS = (0.0, 0.5, 1.0, 2.0, 5.0, 20.0, 50.0, 100.0)
SITES = tuple(NodeId(f"s{place:02d}") for place in range(12))
WIDTH = 96_000.0


def link(name: str, one: int, other: int) -> GraphLink:
    return GraphLink(LinkId(name), (SITES[one], SITES[other]))


def one_link(*caps: float, weights: tuple[float, ...]) -> Case:
    graph = RouteGraph([link("only", 0, 1)], relays=SITES[:2])
    graph.set_link(LinkId("only"), width=WIDTH)
    both = zip(caps, weights, strict=True)
    return graph, [
        Demand(f"d{place}", *SITES[:2], cap_bits_per_s=cap, weight=weight) for place, (cap, weight) in enumerate(both)
    ]


def drawn(seed: int) -> Case:
    """Return a tree with some more links, of 100 bit/s to 300 kbit/s, and demands with caps from 0.1 bit/s on."""
    draw = np.random.default_rng(seed)
    num_sites, num_more, num_demands = (int(draw.integers(*ends)) for ends in ((3, 12), (0, 8), (1, 12)))
    links = [link(f"tree-{place}", int(draw.integers(0, place)), place) for place in range(1, num_sites)]
    for place in range(num_more):
        one, other = draw.choice(num_sites, 2, replace=False)
        links.append(link(f"more-{place}", int(one), int(other)))
    graph = RouteGraph(links, relays=SITES[:num_sites])
    for one_of_them in graph.links:
        graph.set_link(one_of_them.link_id, width=float(10 ** draw.uniform(2, 5.5)))
    demands = []
    for place in range(num_demands):
        one, other = draw.choice(num_sites, 2, replace=False)
        cap = float(10 ** draw.uniform(-1, 5)) if draw.random() < 0.5 else np.inf
        weight = float(draw.choice([1, 1, 2, 5]))
        demands.append(Demand(f"d{place}", SITES[one], SITES[other], weight=weight, cap_bits_per_s=cap))
    return graph, demands


@pytest.mark.parametrize("alpha", ALPHAS[2:])
@pytest.mark.parametrize("cap", [1.0, 100.0, 1000.0])
def test_on_one_link_a_small_cap_is_had_and_the_rest_is_divided_by_weight(alpha: float, cap: float) -> None:
    """The optimum by hand: all who are not capped have the same rate per weight, whatever alpha is."""
    graph, demands = one_link(cap, np.inf, np.inf, weights=(1.0, 1.0, 3.0))
    rates = [one.rate_bits_per_s for one in share(graph, demands, alpha=alpha, tolerance=1e-9).shares]
    assert rates == pytest.approx([cap, (WIDTH - cap) / 4, 3 * (WIDTH - cap) / 4], rel=2e-3)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("seed", [0, 1, 2, 12, 30, 88, 112])
def test_whatever_lies_far_apart_the_proof_leaves_a_thousandth_at_most(seed: int, alpha: float) -> None:
    graph, demands = drawn(seed)
    sharing = share(graph, demands, alpha=alpha)
    check_it_can_be_carried(graph, demands, sharing)
    assert sharing.gap <= 1e-3


@pytest.mark.parametrize("seed", [0, 12, 30])
def test_a_hundredfold_alpha_is_nearly_max_min_for_who_has_least(seed: int) -> None:
    graph, demands = drawn(seed)
    demands = [replace(one, weight=1.0) for one in demands]
    least = [
        min(one.rate_bits_per_s for one in share(graph, demands, alpha=alpha).shares) for alpha in (100.0, MAX_MIN)
    ]
    assert least[0] == pytest.approx(least[1], rel=len(demands) ** (1 / 99) - 1 + 1e-3)


@pytest.mark.parametrize("alpha", [20.0, 50.0, 100.0])
@pytest.mark.parametrize("seed", [0, 1, 30, 33, 85])
def test_guarantees_beside_a_large_alpha_are_kept_and_what_is_missing_is_told(seed: int, alpha: float) -> None:
    graph, demands = drawn(seed)
    demands = [replace(one, cap_bits_per_s=np.inf) for one in demands]
    demands[0] = replace(demands[0], guaranteed_bits_per_s=3000.0)
    problem = SharingProblem(graph.links, tuple(graph.width), graph.nodes, (), tuple(demands), alpha)
    settled = settle(problem)
    check_it_can_be_carried(graph, [replace(one, guaranteed_bits_per_s=0.0) for one in demands], settled.sharing)
    (promise,) = settled.promises
    if promise.admission.is_admitted:
        assert settled.sharing.shares[0].rate_bits_per_s >= 3000.0 * (1 - 2e-6)
    assert 0 <= settled.sharing.gap < 1

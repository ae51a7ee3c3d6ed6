"""Fair sharing: its optimum is that of linear programs over arcs, its bound holds, and nothing is overloaded."""

from __future__ import annotations

import math
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

from qanat.control.graph import RouteGraph
from qanat.control.sharing import MAX_MIN, Demand, Sharing
from qanat.control.solvers.max_min import MaxMin
from qanat.control.solvers.shares import admit, share
from qanat.ground.errors import RequestError, UnknownNode
from qanat.ground.identifiers import LinkId
from qanat.ground.route_policy import RoutePolicy
from unit.sharing_support import (
    KINDS,
    Programs,
    all_pairs,
    check_it_can_be_carried,
    graph_of,
    node,
    plain_graph,
)

ENOUGH = 0.98


def rates(sharing: Sharing) -> np.ndarray:
    return np.array([one.rate_bits_per_s for one in sharing.shares])


def some_demands(graph: RouteGraph, count: int, *, seed: int) -> list[Demand]:
    draw = np.random.default_rng(seed)
    pairs = [draw.choice(len(graph.nodes), 2, replace=False) for _ in range(count)]
    return [
        Demand(
            f"d{place}",
            graph.nodes[one],
            graph.nodes[other],
            weight=float(draw.integers(1, 4)),
            cap_bits_per_s=float(draw.choice([math.inf, 400.0, 3000.0])),
        )
        for place, (one, other) in enumerate(pairs)
    ]


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("kind", KINDS)
def test_at_full_load_the_optimum_of_the_linear_program_is_reached(kind: str, alpha: float) -> None:
    graph = graph_of(plain_graph(kind, 9))
    demands = all_pairs(graph)
    sharing = share(graph, demands, alpha=alpha, tolerance=1e-4)
    check_it_can_be_carried(graph, demands, sharing)
    best = Programs(graph, demands).fair_mean_bound(alpha)
    assert sharing.gap <= 1e-4
    assert sharing.bound_bits_per_s >= best * (1 - 1e-4), "what it proves is true"
    assert sharing.fair_mean_bits_per_s >= best * (1 - 3e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ring", "grid", "geometric"])
def test_with_thirty_sites_max_min_shares_are_the_lexicographic_optimum(kind: str) -> None:
    graph = graph_of(plain_graph(kind, 30))
    demands = all_pairs(graph)[::5]
    sharing = share(graph, demands, alpha=MAX_MIN)
    check_it_can_be_carried(graph, demands, sharing)
    np.testing.assert_allclose(rates(sharing), Programs(graph, demands).lexicographic(), rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_max_min_shares_are_the_lexicographic_optimum(kind: str) -> None:
    graph = graph_of(plain_graph(kind, 9))
    demands = [replace(one, weight=1.0 + place % 3) for place, one in enumerate(all_pairs(graph))]
    sharing = share(graph, demands, alpha=MAX_MIN)
    check_it_can_be_carried(graph, demands, sharing)
    np.testing.assert_allclose(rates(sharing), Programs(graph, demands).lexicographic(), rtol=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("seed", range(2))
def test_weights_caps_and_users_that_pass_nothing_are_counted(seed: int, alpha: float) -> None:
    graph = graph_of(plain_graph("geometric", 12, seed=seed), seed=seed, users=(0, 3))
    demands = [one for one in some_demands(graph, 25, seed=seed) if share(graph, [one]).total_bits_per_s]
    sharing = share(graph, demands, alpha=alpha, tolerance=1e-4)
    check_it_can_be_carried(graph, demands, sharing)
    best = Programs(graph, demands).fair_mean_bound(alpha)
    assert sharing.bound_bits_per_s >= best * (1 - 1e-4)
    assert sharing.fair_mean_bits_per_s >= best * (1 - 3e-4)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.0, 1.0, pytest.param(2.0, marks=pytest.mark.campaign)])
@pytest.mark.parametrize("kind", KINDS)
def test_with_thirty_sites_the_optimum_of_the_linear_program_is_reached(kind: str, alpha: float) -> None:
    graph = graph_of(plain_graph(kind, 30))
    demands = all_pairs(graph)[::5]
    sharing = share(graph, demands, alpha=alpha)
    check_it_can_be_carried(graph, demands, sharing)
    best = Programs(graph, demands).fair_mean_bound(alpha)
    assert best * (1 - 1e-4) <= sharing.bound_bits_per_s
    assert sharing.fair_mean_bits_per_s >= best * (1 - 2e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "alpha"),
    [
        *(
            pytest.param(kind, 1.0, marks=() if kind in ("star", "geometric") else pytest.mark.campaign)
            for kind in KINDS
        ),
        ("star", 2.0),
        pytest.param("geometric", 2.0, marks=pytest.mark.campaign),
        ("grid", 0.0),
    ],
)
def test_with_a_hundred_sites_at_full_load_the_proof_leaves_two_percent_at_most(kind: str, alpha: float) -> None:
    graph = graph_of(plain_graph(kind, 100))
    demands = all_pairs(graph)
    sharing = share(graph, demands, alpha=alpha, tolerance=1 - ENOUGH)
    check_it_can_be_carried(graph, demands, sharing)
    assert sharing.gap <= 1 - ENOUGH


def check_nobody_can_have_more(graph: RouteGraph, demands: list[Demand]) -> None:
    """Assert by the prices of each level, with lengths that networkx finds, that rates are max-min fair.

    Whatever is carried, the sum of rate times shortest length is no more than the sum of price times capacity. Where
    the two are equal, who pays can have more only if another who pays has less, and none of these has more per weight.
    """
    solved = MaxMin(graph, demands)
    flows = solved.flows()
    each = flows.paths.totals(flows.flows)
    level = each / np.array([one.weight for one in demands])
    assert (flows.paths.loads(flows.flows) <= solved.market.capacity * (1 + 1e-9)).all()
    assert np.sum([proof.settles for proof in solved.proofs], axis=0).tolist() == [1] * len(demands)
    for proof in solved.proofs:
        priced = nx.Graph()
        for link, price in zip(graph.links, proof.prices.tolist(), strict=True):
            priced.add_edge(*link.ends, weight=price)
        lengths = dict(nx.all_pairs_dijkstra_path_length(priced))
        paid = np.array([lengths[one.source][one.target] for one in demands])
        assert paid @ each == pytest.approx(proof.prices @ solved.market.capacity, rel=1e-6), (
            "all that is paid for is used"
        )
        pays = paid > 1e-9 * proof.prices.max()
        assert pays[proof.settles].all()
        assert level[pays].max() <= proof.height * (1 + 1e-5)


@pytest.mark.parametrize("size", [10, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_prices_prove_that_nobody_can_have_more_but_from_who_has_no_more(kind: str, size: int) -> None:
    graph = graph_of(plain_graph(kind, size))
    check_nobody_can_have_more(graph, all_pairs(graph))


@pytest.mark.campaign
@pytest.mark.parametrize("kind", KINDS)
def test_with_a_hundred_sites_prices_prove_it_too(kind: str) -> None:
    """On the grid and the random geometric graph it takes minutes, mostly of max-min itself."""
    graph = graph_of(plain_graph(kind, 100))
    check_nobody_can_have_more(graph, all_pairs(graph))


@pytest.mark.campaign
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0, 3.0, MAX_MIN])
@pytest.mark.parametrize("size", [16, 49, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_size_and_fairness_ends_with_its_proof(kind: str, size: int, alpha: float) -> None:
    """Max-min fairness of 4,950 demands on a geometric graph takes minutes."""
    graph = graph_of(plain_graph(kind, size))
    demands = all_pairs(graph)
    sharing = share(graph, demands, alpha=alpha, tolerance=1 - ENOUGH)
    check_it_can_be_carried(graph, demands, sharing)
    assert sharing.gap <= (1e-6 if alpha == MAX_MIN else 1 - ENOUGH)


@pytest.mark.campaign
@pytest.mark.parametrize("kind", KINDS)
def test_the_larger_alpha_the_more_the_least_has_on_a_hundred_equal_links(kind: str) -> None:
    """Run with ``-s``, it prints the figures that the page on routing tells. Links of 10 kbit/s, all pairs."""
    graph = graph_of(plain_graph(kind, 100, seed=1 if kind == "tree" else 0), seed=None)
    demands = all_pairs(graph)
    least = []
    for alpha in (1.0, 2.0, 4.0, MAX_MIN):
        sharing = share(graph, demands, alpha=alpha, tolerance=0.01)
        least.append(rates(sharing).min())
        print(f"{kind}, {alpha}: {sharing.jain_index:.2f} {least[-1]:.1f} {sharing.total_bits_per_s / 1000:.0f}")
        assert sharing.gap <= 0.01
    assert least[0] > 0
    assert max(least) <= least[-1] * (1 + 1e-6)


@pytest.mark.parametrize("kind", ["line", "star", "tree"])
def test_without_rings_every_max_min_share_has_a_full_link_where_nobody_has_more(kind: str) -> None:
    """On single paths that is what max-min means (Bertsekas and Gallager, Data Networks, 1992, section 6.5.2)."""
    graph = graph_of(plain_graph(kind, 100))
    demands = [replace(one, weight=1.0 + place % 3) for place, one in enumerate(all_pairs(graph)[::5])]
    sharing = share(graph, demands, alpha=MAX_MIN)
    check_it_can_be_carried(graph, demands, sharing)
    levels = rates(sharing) / np.array([one.weight for one in demands])
    ways = [graph.links_along(one.routes[0][0]) for one in sharing.shares]
    loads = dict.fromkeys((link.link_id for link in graph.links), 0.0)
    highest = dict(loads)
    for way, rate, level in zip(ways, rates(sharing), levels, strict=True):
        for link_id in way:
            loads[link_id] += rate
            highest[link_id] = max(highest[link_id], level)
    full = {link_id for link_id in loads if loads[link_id] >= graph.width[graph.link_number[link_id]] * (1 - 1e-9)}
    for way, level in zip(ways, levels, strict=True):
        assert any(link_id in full and level >= highest[link_id] * (1 - 1e-9) for link_id in way)


@pytest.mark.parametrize("alpha", [1.0, 2.0, MAX_MIN])
@pytest.mark.slow
def test_the_hub_of_a_star_with_a_hundred_sites_does_not_collapse(alpha: float) -> None:
    """99 links of 10 kbit/s, each used by 98 demands between its user and the others."""
    graph = graph_of(plain_graph("star", 100), seed=None)
    demands = [one for one in all_pairs(graph) if one.source != node(0)]
    sharing = share(graph, demands, alpha=alpha)
    assert sharing.total_bits_per_s >= ENOUGH * 99 * 10_000 / 2, "every link is full, and every bit takes two"
    assert sharing.jain_index >= 0.99


def test_the_least_of_a_geometric_graph_is_not_starved() -> None:
    graph = graph_of(plain_graph("geometric", 20), seed=None)
    sharing = share(graph, all_pairs(graph), alpha=1.0)
    fairest = share(graph, all_pairs(graph), alpha=MAX_MIN)
    assert sharing.jain_index > 0.2
    assert rates(fairest).min() >= rates(sharing).min()
    assert fairest.jain_index > sharing.jain_index


# ---- what can be asked ----


def ring() -> RouteGraph:
    return graph_of(plain_graph("ring", 6), seed=None)


def test_a_demand_alone_takes_both_ways_round_a_ring() -> None:
    (alone,) = share(ring(), [Demand("d", node(0), node(2))]).shares
    assert alone.rate_bits_per_s == pytest.approx(20_000, rel=1e-3)
    assert {route for route, _ in alone.routes} == {
        (node(0), node(1), node(2)),
        (node(0), node(5), node(4), node(3), node(2)),
    }


def test_a_demand_of_weight_two_is_as_two_demands() -> None:
    others = [Demand("o", node(1), node(3)), Demand("p", node(4), node(2))]
    twice = share(ring(), [Demand("a", node(0), node(3)), Demand("b", node(0), node(3)), *others], tolerance=1e-5)
    once = share(ring(), [Demand("a", node(0), node(3), weight=2.0), *others], tolerance=1e-5)
    assert rates(twice)[:2].sum() == pytest.approx(rates(once)[0], rel=1e-3)
    assert rates(twice)[0] == pytest.approx(rates(twice)[1])


def test_caps_lift_what_is_left_for_others_under_max_min() -> None:
    demands = [Demand(name, node(0), node(1), cap_bits_per_s=cap) for name, cap in (("a", 1000.0), ("b", math.inf))]
    graph = graph_of(plain_graph("line", 2), seed=None)
    np.testing.assert_allclose(rates(share(graph, demands, alpha=MAX_MIN)), [1000, 9000], rtol=1e-5)


@pytest.mark.parametrize("kind", ["line", "ring"])
def test_where_there_is_enough_everybody_gets_the_cap_rounding_or_not(kind: str) -> None:
    draw = np.random.default_rng(5)
    demands = [
        Demand(f"d{place}", node(0), node(2), weight=10 ** draw.uniform(-1, 1), cap_bits_per_s=10 ** draw.uniform(0, 2))
        for place in range(60)
    ]
    sharing = share(graph_of(plain_graph(kind, 4), seed=None), demands, alpha=MAX_MIN)
    np.testing.assert_allclose(rates(sharing), [one.cap_bits_per_s for one in demands], rtol=1e-6)


def test_a_policy_keeps_a_demand_from_paths() -> None:
    demand = Demand("d", node(0), node(2), policy=RoutePolicy(avoid=frozenset({node(1)})))
    assert share(ring(), [demand]).total_bits_per_s == pytest.approx(10_000, rel=1e-3)
    direct = replace(demand, policy=RoutePolicy(direct_only=True))
    assert share(ring(), [direct]).shares[0].routes == ()


def test_who_is_joined_by_nothing_gets_nothing_and_is_no_burden() -> None:
    graph = ring()
    graph.set_node(node(5), is_up=False)
    graph.set_link(LinkId("0-1"), width=0.0)
    sharing = share(graph, [Demand("d", node(0), node(1)), Demand("e", node(1), node(2))])
    np.testing.assert_allclose(rates(sharing), [0, 10_000], rtol=1e-3)
    assert share(graph, [Demand("d", node(0), node(1))]).total_bits_per_s == 0


def test_the_same_question_has_the_same_answer() -> None:
    graph = graph_of(plain_graph("geometric", 20))
    assert share(graph, all_pairs(graph)) == share(graph, all_pairs(graph))


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="itself"):
        Demand("d", node(0), node(0))
    with pytest.raises(ValueError, match="weight"):
        Demand("d", node(0), node(1), weight=0.0)
    with pytest.raises(ValueError, match="guarantee"):
        Demand("d", node(0), node(1), cap_bits_per_s=1.0, guaranteed_bits_per_s=2.0)
    with pytest.raises(ValueError, match="alpha"):
        share(ring(), [Demand("d", node(0), node(1))], alpha=-1.0)
    with pytest.raises(UnknownNode):
        share(ring(), [Demand("d", node(0), node(99))])
    with pytest.raises(ValueError, match="max-min"):
        share(ring(), [Demand("d", node(0), node(1), guaranteed_bits_per_s=1.0)], alpha=MAX_MIN)


# ---- guarantees ----


def test_guarantees_are_kept_and_the_rest_is_shared() -> None:
    line = graph_of(plain_graph("line", 3), seed=None)
    demands = [
        Demand("far", node(0), node(2), guaranteed_bits_per_s=8000.0),
        Demand("near", node(0), node(1)),
        Demand("last", node(1), node(2)),
    ]
    np.testing.assert_allclose(rates(share(line, demands, tolerance=1e-5)), [8000, 2000, 2000], rtol=1e-3)


def test_guarantees_that_cannot_be_kept_are_told() -> None:
    graph = ring()
    demand = Demand("d", node(0), node(3), guaranteed_bits_per_s=15_000.0)
    assert share(graph, [demand]).total_bits_per_s > 15_000
    graph.set_link(LinkId("1-2"), is_up=False)
    with pytest.raises(RequestError, match=r"66\.7% of each"):
        share(graph, [demand])
    graph.set_link(LinkId("4-5"), is_up=False)
    with pytest.raises(RequestError, match="no route joins"):
        share(graph, [demand])


@pytest.mark.parametrize("seed", range(3))
def test_a_demand_is_admitted_as_long_as_all_guarantees_hold(seed: int) -> None:
    """The authority is the linear program: the most for the new demand while the others keep theirs."""
    graph = graph_of(plain_graph("geometric", 10, seed=seed), seed=seed)
    draw = np.random.default_rng(seed)
    admitted: list[Demand] = []
    verdicts = []
    for place in range(14):
        ends = draw.choice(10, 2, replace=False)
        rate = float(draw.uniform(1000, 9000))
        demand = Demand(f"d{place}", node(ends[0]), node(ends[1]), guaranteed_bits_per_s=rate)
        everybody = [*admitted, demand]
        lows = [one.guaranteed_bits_per_s / 1e4 for one in admitted]
        goal = np.zeros(len(everybody))
        goal[-1] = 1.0
        _, most, _ = Programs(graph, everybody).best(goal, lows=[*lows, 0.0], highs=[None] * len(everybody))
        answer = admit(graph, admitted, demand)
        assert answer.possible_bits_per_s == pytest.approx(1e4 * most, rel=1e-3, abs=1.0)
        assert answer.is_admitted == (answer.possible_bits_per_s >= rate * (1 - 1e-6))
        verdicts.append(answer.is_admitted)
        admitted += [demand] if answer.is_admitted else []
    assert True in verdicts
    assert False in verdicts
    check_it_can_be_carried(graph, admitted, share(graph, admitted))


def test_nothing_can_be_guaranteed_to_who_is_joined_by_nothing() -> None:
    graph = ring()
    graph.set_node(node(5), is_up=False)
    answer = admit(graph, [], Demand("d", node(5), node(1), guaranteed_bits_per_s=1.0))
    assert (answer.is_admitted, answer.possible_bits_per_s) == (False, 0.0)
    with pytest.raises(ValueError, match="asks for no guarantee"):
        admit(graph, [], Demand("d", node(0), node(1)))


def test_the_families_are_what_they_are_called() -> None:
    assert all(nx.is_connected(plain_graph(kind, 16)) for kind in KINDS)
    assert [plain_graph(kind, 16).number_of_edges() for kind in ("line", "ring", "star", "tree", "grid")] == [
        *(15, 16, 15, 15, 24)
    ]

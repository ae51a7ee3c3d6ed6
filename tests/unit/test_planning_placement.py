"""Relays and spans at least cost, beside every choice there is."""

from __future__ import annotations

from itertools import chain, combinations, pairwise

import networkx as nx
import numpy as np
import pytest

from qanat.ground.errors import BadParameter, NoRoute
from qanat.ground.identifiers import LinkId, NodeId
from qanat.planning.limits import link_rates
from qanat.planning.placement import MOST_ENDS, Wish, along_a_way, among_sites, cheapest_tree
from qanat.planning.prices import Prices
from qanat.planning.spans import needs_for, pairs_for_rate, span_rate
from qanat.quantum_layer.forecast import link_forecast
from unit.planning_support import network_of

SYSTEM = "backbone-625"


@pytest.mark.parametrize("loss_db", [10.3, 16.0, 20.5])
def test_the_fewest_pairs_for_a_rate_give_it_and_one_less_does_not(loss_db: float) -> None:
    for rate in (10e3, 100e3, 200e3):
        pairs = pairs_for_rate(SYSTEM, loss_db=loss_db, rate_bits_per_s=rate)
        assert pairs is not None
        assert span_rate(SYSTEM, loss_db=loss_db, pairs=pairs) >= rate
        assert pairs == 1 or span_rate(SYSTEM, loss_db=loss_db, pairs=pairs - 1) < rate


def test_no_number_of_pairs_makes_a_rate_out_of_nothing() -> None:
    assert pairs_for_rate(SYSTEM, loss_db=45.0, rate_bits_per_s=1.0) is None
    assert pairs_for_rate(SYSTEM, loss_db=20.5, rate_bits_per_s=1e9) is None
    assert span_rate(SYSTEM, loss_db=16.0, pairs=1) == link_forecast(SYSTEM, loss_db=16.0).secret_rate_bits_per_s


@pytest.mark.parametrize(("rate", "relay"), [(10e3, 10.0), (120e3, 10.0), (120e3, 60.0), (120e3, 0.0)])
def test_along_a_way_no_choice_of_places_is_cheaper(rate: float, relay: float) -> None:
    wish = Wish(rate, SYSTEM, Prices(relay=relay))
    found = along_a_way(wish, length_km=230.0, every_km=25.0, loss_db_per_km=0.25)
    places = [25.0 * place for place in range(1, 10)]
    costs = []
    for chosen in chain.from_iterable(combinations(places, size) for size in range(len(places) + 1)):
        stops = [0.0, *chosen, 230.0]
        spans = [
            wish.span(("", ""), length_km=there - here, loss_db=0.25 * (there - here))
            for here, there in pairwise(stops)
        ]
        if all(spans):
            costs.append(sum(span.cost for span in spans if span) + relay * len(chosen))
    assert found.cost == pytest.approx(min(costs))
    assert found.cost == pytest.approx(sum(span.cost for span in found.spans) + relay * len(found.relays))
    assert (found.spans[0].ends[0], found.spans[-1].ends[1]) == ("0 km", "230 km")
    for span in found.spans:
        assert span_rate(SYSTEM, loss_db=span.loss_db, pairs=span.pairs) >= rate


def test_dear_relays_are_fewer_and_have_more_pairs_between_them() -> None:
    cheap, dear = (
        along_a_way(Wish(120e3, SYSTEM, Prices(relay=relay)), length_km=300.0, every_km=10.0) for relay in (0.0, 100.0)
    )
    assert len(dear.relays) < len(cheap.relays)
    assert dear.pairs / len(dear.spans) > cheap.pairs / len(cheap.spans)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("num_ends", [2, 3, 4])
def test_no_tree_is_cheaper(seed: int, num_ends: int) -> None:
    """For each set of vertices the cheapest tree is a minimum spanning tree; all sets are tried."""
    chance = np.random.default_rng(100 * num_ends + seed)
    size = 8
    edges: list[dict[int, float]] = [{} for _ in range(size)]
    for one, other in combinations(range(size), 2):
        if chance.random() < 0.6:
            edges[one][other] = edges[other][one] = float(chance.uniform(1, 9))
    vertex_cost = [0.0] * num_ends + chance.uniform(0, 6, size - num_ends).tolist()
    ends = list(range(num_ends))
    passing = set(range(size)) - ({0} if seed % 3 == 0 else set())
    best = None
    for more in chain.from_iterable(combinations(range(num_ends, size), k) for k in range(size - num_ends + 1)):
        inner = [vertex for vertex in (*ends, *more) if vertex in passing]
        graph = nx.Graph()
        graph.add_nodes_from(inner)
        graph.add_weighted_edges_from((a, b, w) for a in inner for b, w in edges[a].items() if b in inner)
        if not nx.is_connected(graph):
            continue
        cost = nx.minimum_spanning_tree(graph).size(weight="weight") + sum(vertex_cost[v] for v in more)
        for leaf in set(ends) - passing:
            reach = [weight for there, weight in edges[leaf].items() if there in inner]
            cost += min(reach, default=float("inf"))
        best = cost if best is None else min(best, cost)
    found = cheapest_tree(edges, vertex_cost, ends, passing)
    if best is None or best == float("inf"):
        assert found is None
        return
    assert found is not None
    tree = nx.Graph(found)
    assert nx.is_tree(tree)
    assert set(ends) <= set(tree)
    assert all(tree.degree(vertex) == 1 for vertex in set(tree) - passing)
    cost = sum(edges[a][b] for a, b in found) + sum(vertex_cost[v] for v in tree)
    assert cost == pytest.approx(best)


def test_among_sites_fibres_that_are_there_are_taken_at_their_loss() -> None:
    kinds = {"a": "user", "r": "relay", "s": "relay", "b": "user"}
    network = network_of(kinds, [("a", "r", 10), ("r", "b", 10), ("a", "s", 24), ("s", "b", 24)])
    found = among_sites(network, Wish(50e3, SYSTEM, Prices()), [NodeId("a"), NodeId("b")], loss_db_per_km=10.0)
    assert found.relays == ("r",)
    assert [span.loss_db for span in found.spans] == [10, 10]


def test_what_cannot_be_placed_is_refused_with_a_remedy() -> None:
    wish = Wish(5e3, SYSTEM, Prices())
    network = network_of(dict.fromkeys("abcdefgh", "relay"), [("a", "b", 10)])
    for ends in (["a"], ["a", "a"], list("abcdefgh")[: MOST_ENDS + 1]):
        with pytest.raises(BadParameter, match="ends"):
            among_sites(network, wish, [NodeId(end) for end in ends])
    for length_km, every_km, loss in ((-1, 5, 0.25), (100, 0, 0.25), (1e4, 0.1, 0.25), (100, 5, 0.0)):
        with pytest.raises(BadParameter):
            along_a_way(wish, length_km=length_km, every_km=every_km, loss_db_per_km=loss)
    with pytest.raises(NoRoute) as caught:
        along_a_way(wish, length_km=800, every_km=400)
    assert "--every-km" in caught.value.remedy
    with pytest.raises(NoRoute) as caught:
        among_sites(network, Wish(1e9, SYSTEM, Prices()), [NodeId("a"), NodeId("h")])
    assert "--every-km" not in caught.value.remedy  # an option of a way only
    assert "add relays between far sites to the network file" in caught.value.remedy


# --- pairs for a demand ---


def test_a_demand_goes_where_the_fewest_pairs_are_missing() -> None:
    kinds = dict.fromkeys("abrst", "relay")
    network = network_of(kinds, [("a", "r", 20.5), ("r", "b", 20.5), ("a", "s", 16), ("s", "t", 16), ("t", "b", 16)])
    needs = needs_for(network, link_rates(network), NodeId("a"), NodeId("b"), rate_bits_per_s=60e3)
    assert [need.link.name for need in needs] == ["l2", "l3", "l4"]
    assert [need.more for need in needs] == [0, 0, 0]
    wide = needs_for(network, link_rates(network), NodeId("a"), NodeId("b"), rate_bits_per_s=20e3)
    assert [need.link.name for need in wide] == ["l0", "l1"]


def test_with_the_pairs_that_are_needed_the_demand_passes() -> None:
    network = network_of(dict.fromkeys("abc", "relay"), [("a", "b", 18.0), ("b", "c", 20.0)], pairs=3)
    needs = needs_for(network, link_rates(network), NodeId("a"), NodeId("c"), rate_bits_per_s=200e3)
    built = network.model_copy(
        update={"links": tuple(need.link.model_copy(update={"pairs": need.pairs_needed}) for need in needs)}
    )
    assert min(link_rates(built)[LinkId(name)] for name in ("l0", "l1")) >= 200e3
    for need in needs:
        fewer = need.link.model_copy(update={"pairs": need.pairs_needed - 1})
        assert link_rates(network.model_copy(update={"links": (fewer,)}))[fewer.link_id] < 200e3


def test_a_demand_that_no_number_of_pairs_carries_is_refused() -> None:
    network = network_of({"a": "relay", "b": "relay", "c": "relay"}, [("a", "b", 10), ("b", "c", 60)])
    with pytest.raises(NoRoute, match="however many pairs") as caught:
        needs_for(network, link_rates(network), NodeId("a"), NodeId("c"), rate_bits_per_s=1e3)
    assert "to the network file" in caught.value.remedy
    assert "--" not in caught.value.remedy  # the command has no option that would help


def test_a_demand_over_one_link_only_is_not_told_to_add_relays() -> None:
    kinds = {"a": "user", "b": "user", "r": "relay"}
    network = network_of(kinds, [("a", "b", 60), ("a", "r", 5), ("r", "b", 5)], direct=["a", "b"])
    with pytest.raises(NoRoute) as caught:
        needs_for(network, link_rates(network), NodeId("a"), NodeId("b"), rate_bits_per_s=1e3)
    assert "add another link between the two" in caught.value.remedy

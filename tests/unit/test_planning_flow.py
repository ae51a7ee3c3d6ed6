"""The most between two sites and between everybody, beside other methods: networkx, linear programs, closed forms."""

from __future__ import annotations

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from scipy.optimize import linprog

from qanat.control.graph import RouteGraph
from qanat.control.sharing import MAX_MIN, Demand
from qanat.control.solvers.shares import share
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.network.building import build_network
from qanat.planning.everyone import everyone
from qanat.planning.flow import cut_between, most_between, rise
from qanat.planning.limits import limited, link_rates
from unit.planning_support import network_of, rates_of


def drawn(num_nodes: int, seed: int, *, users: int = 4) -> tuple[Network, dict[LinkId, float]]:
    """A random geometric network in which the first sites are users, and rates drawn at random."""
    shape = build_network("random-geometric", num_nodes=num_nodes, seed=seed)
    sites = tuple(
        site.model_copy(update={"kind": "user" if place < users else "relay"}) for place, site in enumerate(shape.sites)
    )
    network = shape.model_copy(update={"sites": sites})
    chance = np.random.default_rng(seed)
    return network, rates_of(network, (10 ** chance.uniform(2, 5, len(network.links))).tolist())


def flow_of_networkx(network: Network, rates: dict[LinkId, float], one: str, other: str) -> float:
    graph = nx.DiGraph()
    for link in network.links:
        for here, there in (link.ends, link.ends[::-1]):
            if all(network.site(end).kind == "relay" or end in (one, other) for end in link.ends):
                before = graph.get_edge_data(here, there, {"capacity": 0.0})["capacity"]
                graph.add_edge(here, there, capacity=before + rates[link.link_id])
    if one not in graph or other not in graph:
        return 0.0
    value, _ = nx.maximum_flow(graph, one, other)
    return float(value)


@pytest.mark.parametrize("seed", range(8))
def test_the_most_between_two_sites_is_the_maximum_flow_and_the_cut_a_minimum_one(seed: int) -> None:
    network, rates = drawn(24, seed)
    found = limited(network, rates)
    nodes = network.nodes
    for one, other in ((nodes[0], nodes[1]), (nodes[0], nodes[-1]), (nodes[-1], nodes[-2])):
        flow = most_between(found, one, other)
        assert flow.level_bits_per_s == pytest.approx(flow_of_networkx(network, rates, one, other), rel=1e-6)
        assert flow.gap <= 1e-6
        cut = cut_between(found, flow, one)
        assert sum(rates[link] for link in cut) == pytest.approx(flow.level_bits_per_s, rel=1e-6)
        left = {link_id: 0.0 if link_id in cut else rate for link_id, rate in rates.items()}
        assert most_between(limited(network, left), one, other).level_bits_per_s == 0


def test_where_the_search_ends_early_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    network, rates = drawn(40, 3)
    one, other = network.nodes[-1], network.nodes[-2]
    whole = most_between(limited(network, rates), one, other)
    monkeypatch.setattr("qanat.planning.flow.MOST_ROUNDS", 1)
    early = most_between(limited(network, rates), one, other)
    assert early.level_bits_per_s < whole.level_bits_per_s <= early.bound_bits_per_s * (1 + 1e-9)
    assert early.gap > 0.01


def test_no_link_carries_more_than_it_gives() -> None:
    network, rates = drawn(30, 11)
    flow = most_between(limited(network, rates), network.nodes[0], network.nodes[-1])
    assert flow.level_bits_per_s > 0
    for link_id, load in flow.loads_bits_per_s.items():
        assert load <= rates[link_id] * (1 + 1e-9)


def test_keys_pass_no_user_and_of_links_side_by_side_the_first_alone_counts_as_in_the_relay() -> None:
    network = network_of(
        {"a": "user", "b": "user", "c": "user", "r": "relay"},
        [("a", "b", 10), ("b", "c", 10), ("a", "r", 10), ("r", "c", 10), ("r", "c", 10)],
    )
    found = limited(network, rates_of(network, [900, 900, 500, 200, 100]))
    flow = most_between(found, NodeId("a"), NodeId("c"))
    assert flow.level_bits_per_s == pytest.approx(200)
    assert cut_between(found, flow, NodeId("a")) == ("l3",)
    assert flow.loads_bits_per_s.keys() == set(RouteGraph.of_keys(network).links_along(tuple(map(NodeId, "arc"))))


def test_nothing_goes_where_no_way_leads() -> None:
    network = network_of({"a": "user", "r": "relay", "b": "user", "c": "user"}, [("a", "r", 10), ("b", "c", 10)])
    flow = most_between(limited(network, link_rates(network)), NodeId("a"), NodeId("b"))
    assert (flow.level_bits_per_s, flow.gap, flow.loads_bits_per_s) == (0.0, 0.0, {})


def test_pairs_of_modules_on_a_fibre_count_unless_one_alone_is_asked_for() -> None:
    network = network_of({"a": "relay", "b": "relay"}, [("a", "b", 16)], pairs=4)
    one, all_four = (link_rates(network, counts_pairs=counts)[LinkId("l0")] for counts in (False, True))
    assert all_four == 4 * one > 0


# --- everybody at once ---


@pytest.mark.parametrize("seed", range(4))
def test_everybody_at_once_gets_the_lowest_rate_of_max_min_fairness(seed: int) -> None:
    """The level at which all rise together is where the first of them must stop: control's own solver says the same."""
    network, rates = drawn(16, seed, users=7)
    users = network.nodes[:7]
    demands = {one: dict.fromkeys(users[place + 1 :], 1.0) for place, one in enumerate(users[:-1])}
    graph = RouteGraph.of_keys(network)
    for link_id, rate in rates.items():
        graph.set_link(link_id, width=rate)
    wanted = [Demand(f"{one}{other}", one, other) for one, other in combinations(users, 2)]
    shares = share(graph, wanted, alpha=MAX_MIN).shares
    joined = [one.rate_bits_per_s for one in shares if one.rate_bits_per_s > 0]
    flow = rise(limited(network, rates), demands)
    assert flow.level_bits_per_s == pytest.approx(min(joined), rel=1e-5)
    assert flow.gap <= 1e-6


def test_weights_are_kept_and_the_binding_limit_is_named() -> None:
    network = network_of({"a": "relay", "b": "relay", "c": "relay"}, [("a", "b", 10), ("b", "c", 10)])
    flow = rise(limited(network, rates_of(network, [1000, 900])), {NodeId("a"): {NodeId("b"): 1.0, NodeId("c"): 3.0}})
    assert flow.level_bits_per_s == pytest.approx(250)
    assert [limit.name for limit in flow.binding] == ["l0"]


def test_users_of_direct_keys_only_are_left_out_of_what_relays_carry() -> None:
    network = network_of(
        {"a": "user", "b": "user", "c": "user", "r": "relay"},
        [("a", "r", 10), ("b", "r", 10), ("c", "r", 10), ("a", "c", 10)],
        direct=["c"],
    )
    found = everyone(network, rates_of(network, [100, 100, 100, 100]))
    assert found is not None
    assert (found.pairs, found.left_out) == (1, ("c",))
    assert found.flow.level_bits_per_s == pytest.approx(100)


def test_where_all_take_direct_keys_only_no_relay_between_them_counts() -> None:
    network = network_of(
        {"a": "user", "b": "user", "r": "relay"}, [("a", "r", 10), ("b", "r", 10), ("a", "b", 10)], direct=["a", "b"]
    )
    found = everyone(network, rates_of(network, [100, 100, 7]))
    assert found is not None
    assert (found.pairs, found.left_out) == (1, ())
    assert found.flow.level_bits_per_s == pytest.approx(7)
    able = limited(network, rates_of(network, [100, 100, 7]), ends=(NodeId("a"), NodeId("r")))
    assert [one.link_id for one in able.carriers] == ["l0"]


# --- behind a switch ---


def by_matchings(network: Network, rates: dict[LinkId, float], one: str, other: str) -> float:
    """The most between two sites when a switch goes through all its settings: a linear program over matchings of its
    ports, each for a part of the time, and a flow over arcs."""
    links = network.relayed_links
    switched = [link for link in links if link.through]
    settings = [
        chosen
        for size in range(len(switched) + 1)
        for chosen in combinations(switched, size)
        if len({end for link in chosen for end in link.ends}) == 2 * size
    ]
    arcs = [(link, ends) for link in links for ends in (link.ends, link.ends[::-1])]
    passing = [site.name for site in network.sites if site.kind == "relay" and site.name not in (one, other)]
    allowed = [all(end in (one, other, *passing) for end in ends) for _, ends in arcs]
    count = len(arcs) + len(settings)
    worth = np.zeros(count)
    worth[: len(arcs)] = [(ends[1] == one) - (ends[0] == one) for _, ends in arcs]
    kept = np.array([[(ends[1] == node) - (ends[0] == node) for _, ends in arcs] for node in passing])
    equal = np.hstack([kept.reshape(len(passing), len(arcs)), np.zeros((len(passing), len(settings)))])
    rows, most = [], []
    for link in links:
        row = np.zeros(count)
        row[: len(arcs)] = [of is link for of, _ in arcs]
        if link.through:
            row[len(arcs) :] = [-rates[link.link_id] * (link in chosen) for chosen in settings]
        rows.append(row)
        most.append(0.0 if link.through else rates[link.link_id])
    rows.append(np.concatenate([np.zeros(len(arcs)), np.ones(len(settings))]))
    bounds = [(0, None if may else 0) for may in allowed] + [(0, 1)] * len(settings)
    found = linprog(
        worth,
        A_ub=np.array(rows),
        b_ub=np.array([*most, 1.0]),
        A_eq=equal if passing else None,
        b_eq=np.zeros(len(passing)) if passing else None,
        bounds=bounds,
    )
    return float(-found.fun)


@pytest.mark.parametrize("seed", range(10))
def test_a_switch_gives_what_all_its_settings_in_turn_can_give(seed: int) -> None:
    """Two users and up to two relays on its ports: exact. A fibre beside it joins the relays, and keys go over that."""
    chance = np.random.default_rng(seed)
    relays = ["r", "s"][: 1 + seed % 2]
    kinds = {"a": "user", "b": "user", "c": "user"} | dict.fromkeys(["r", "s"], "relay")
    ports = dict.fromkeys(["a", "b", "c", *relays], 3.0)
    network = network_of(kinds, [("r", "s", 10), ("c", "s", 10)], switches={"w": ports})
    rates = rates_of(network, chance.uniform(100, 1000, len(network.links)).tolist())
    for one, other in (("a", "b"), ("a", "c"), ("a", "s")):
        found = limited(network, rates, ends=(NodeId(one), NodeId(other)))
        flow = most_between(found, NodeId(one), NodeId(other))
        assert flow.level_bits_per_s == pytest.approx(by_matchings(network, rates, one, other), rel=1e-6)


def test_users_behind_one_port_of_a_relay_share_its_time() -> None:
    users = {f"u{k}": "user" for k in range(4)}
    network = network_of(
        users | {"r": "relay"},
        [],
        switches={"w": dict.fromkeys([*users, "r"], 3.0)},
        equipment=dict.fromkeys(users, "transmitter"),
    )
    found = everyone(network, rates_of(network, [600.0] * len(network.links)))
    assert found is not None
    assert found.pairs == 6
    # each of the four has three pairs, so the one port carries twelve times the level
    assert found.flow.level_bits_per_s == pytest.approx(600 / 12)
    assert [(limit.kind, limit.name) for limit in found.flow.binding] == [("port", "r")]


def test_the_turns_of_a_switch_cost_the_time_that_no_light_passes() -> None:
    fast = network_of({"a": "user", "b": "user"}, [], switches={"w": {"a": 3.0, "b": 3.0}})
    slow = fast.model_copy(update={"switches": (fast.switches[0].model_copy(update={"reconfiguration_s": 6.0}),)})
    slow = Network.model_validate(slow.model_dump())
    levels = [
        most_between(limited(one, link_rates(one)), NodeId("a"), NodeId("b")).level_bits_per_s for one in (fast, slow)
    ]
    assert levels[1] == pytest.approx(0.9 * levels[0])

"""Schedules of satellites and stations beside brute force, networkx and HiGHS."""

from __future__ import annotations

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import csr_array

from qanat.planning.contacts import Contacts, conflict_sets, greedy
from qanat.planning.pair_keys import Demand, Program
from qanat.planning.price_bound import LinearProgram, bound_by_prices
from qanat.planning.satellite_schedule import schedule

SLEW_S = 30.0


def drawn(count: int, *, satellites: int, stations: int, seed: int, length_s: float = 2000.0) -> Contacts:
    dice = np.random.default_rng(seed)
    start = np.sort(dice.uniform(0, length_s, count))
    return Contacts(
        satellite=dice.integers(0, satellites, count).astype(np.int32),
        station=dice.integers(0, stations, count).astype(np.int32),
        start_utc_s=start,
        end_utc_s=start + dice.uniform(100, 500, count),
        bits=dice.uniform(1e5, 1e7, count),
        place=np.arange(count),
    )


def exclude(contacts: Contacts, one: int, other: int) -> bool:
    """The rule itself: one satellite or one station, and less than the slew between them."""
    if contacts.satellite[one] != contacts.satellite[other] and contacts.station[one] != contacts.station[other]:
        return False
    first, second = sorted((one, other), key=lambda each: contacts.start_utc_s[each])
    return bool(contacts.start_utc_s[second] < contacts.end_utc_s[first] + SLEW_S)


def allowed_sets(contacts: Contacts) -> list[tuple[int, ...]]:
    count = len(contacts)
    bad = {pair for pair in combinations(range(count), 2) if exclude(contacts, *pair)}
    every = (chosen for size in range(count + 1) for chosen in combinations(range(count), size))
    return [chosen for chosen in every if not bad.intersection(combinations(chosen, 2))]


def pair_bits(contacts: Contacts, chosen: tuple[int, ...], pair: tuple[int, int]) -> float:
    """What a pair that shares its stations with nobody gets: the lesser of its two stations, satellite by satellite."""
    made = {
        (satellite, station): sum(
            contacts.bits[one]
            for one in chosen
            if (contacts.satellite[one], contacts.station[one]) == (satellite, station)
        )
        for satellite in set(contacts.satellite.tolist())
        for station in pair
    }
    return float(sum(min(made[satellite, one] for one in pair) for satellite in set(contacts.satellite.tolist())))


@pytest.mark.parametrize("seed", range(6))
def test_branch_and_bound_is_brute_force_and_greedy_is_below_it_and_the_bound_above(seed: int) -> None:
    contacts = drawn(11, satellites=2, stations=4, seed=seed)
    pairs = ((0, 1), (2, 3))
    demands = [Demand(pair, 1e6) for pair in pairs]
    gets = [[pair_bits(contacts, chosen, pair) for pair in pairs] for chosen in allowed_sets(contacts)]
    best = {"total": max(sum(each) for each in gets)}
    reached = [number for number in range(2) if any(each[number] > 0 for each in gets)]
    best["level"] = max((min(each[number] for number in reached) / 1e6 for each in gets), default=0) if reached else 0.0
    for objective, value in best.items():
        found = schedule(
            contacts,
            demands,
            num_satellites=2,
            slew_s=SLEW_S,
            objective=objective,
            exact_s=20.0,  # type: ignore[arg-type]
        )
        assert found.shares.value == pytest.approx(value, rel=1e-6)
        assert found.values["greedy"] <= value * (1 + 1e-6)
        assert found.bound >= value * (1 - 1e-6)
        loose = schedule(contacts, demands, num_satellites=2, slew_s=SLEW_S, objective=objective)  # type: ignore[arg-type]
        assert loose.shares.value <= value * (1 + 1e-6)
        assert loose.bound >= value * (1 - 1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_conflict_sets_are_the_maximal_cliques_of_the_rule_and_greedy_keeps_the_rule(seed: int) -> None:
    contacts = drawn(60, satellites=3, stations=4, seed=seed, length_s=4000.0)
    sets = {frozenset(one) for one in conflict_sets(contacts, slew_s=SLEW_S)}
    expected = set()
    for whose in (contacts.satellite, contacts.station):
        for value in set(whose.tolist()):
            members = np.flatnonzero(whose == value).tolist()
            graph = nx.Graph([pair for pair in combinations(members, 2) if exclude(contacts, *pair)])
            expected |= {frozenset(clique) for clique in nx.find_cliques(graph)}
    assert sets == expected
    taken = greedy(contacts, contacts.bits, slew_s=SLEW_S).tolist()
    assert not any(exclude(contacts, *pair) for pair in combinations(taken, 2))
    for left in set(range(60)) - set(taken):  # whatever is left out is excluded by something taken
        assert any(exclude(contacts, left, one) for one in taken)


def test_the_bound_for_one_station_is_its_heaviest_independent_set() -> None:
    """Intervals of one station: the linear program is exact, and so is the guided schedule."""
    contacts = drawn(40, satellites=5, stations=1, seed=3, length_s=6000.0)
    graph = nx.Graph([pair for pair in combinations(range(40), 2) if exclude(contacts, *pair)])
    graph.add_nodes_from(range(40))
    complement = nx.complement(graph)
    nx.set_node_attributes(complement, {one: int(contacts.bits[one]) for one in range(40)}, "weight")
    _, heaviest = nx.max_weight_clique(complement)
    found = schedule(contacts, [Demand((0,), 1e6)], num_satellites=5, slew_s=SLEW_S, objective="total")
    assert found.method == "guided"
    assert found.shares.value == pytest.approx(heaviest, abs=50)
    assert found.gap == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("objective", ["level", "total"])
def test_the_bound_by_prices_is_above_that_of_highs_and_near_it(objective: str) -> None:
    contacts = drawn(400, satellites=6, stations=5, seed=1, length_s=40_000.0)
    demands = [Demand(pair, bits) for pair, bits in (((0, 1), 1e6), ((1, 2), 2e6), ((3, 4), 1e6))]
    program = Program(contacts, demands, conflict_sets(contacts, slew_s=SLEW_S), num_satellites=6)
    exact = program.bound(objective).value  # type: ignore[arg-type]
    by_prices = program.bound_by_prices(objective).value  # type: ignore[arg-type]
    assert exact * (1 - 1e-9) <= by_prices <= 1.02 * exact


def test_any_prices_bound_a_drawn_program() -> None:
    """After few rounds the bound is far, but no less a bound."""

    dice = np.random.default_rng(5)
    rows = csr_array(dice.uniform(0, 1, (20, 30)) * (dice.random((20, 30)) < 0.3))
    program = LinearProgram(dice.uniform(0, 1, 30), rows, dice.uniform(0.5, 1, 20), np.ones(30))
    best = -linprog(-program.gains, A_ub=rows, b_ub=program.limits, bounds=(0, 1), method="highs").fun
    bounds = [bound_by_prices(program, num_rounds=rounds).bound for rounds in (0, 100, 500, 3000)]
    assert all(bound >= best * (1 - 1e-9) for bound in bounds)
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == pytest.approx(best, rel=1e-3)

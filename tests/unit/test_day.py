"""A day at rate level: small cases worked out by hand, faults, switches, and books that cannot be cooked."""

from __future__ import annotations

import statistics
from collections.abc import Sequence, Set
from dataclasses import replace
from functools import partial

import pytest

from qanat.apps.networks import load_network
from qanat.control.policy import NetworkView, Policy
from qanat.control.turns import PortsOfLink, Turns
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Application, Link, Network, Site
from qanat.ground.network.building import build_network
from qanat.ground.network.switches import Port, Switch
from qanat.ground.randomness import SeededChance
from qanat.key_management.accounts import relay_bits
from qanat.simulation.day.books import BooksDisagree
from qanat.simulation.day.demand import Demand, Pair, Requests, draw_pairs, draw_requests
from qanat.simulation.day.engine import PATIENCE_S, Day
from qanat.simulation.day.faults import Removal, outages_of, own_users, parts_in_turn, relays_not_in_turn
from qanat.simulation.day.plan import DAY_S, DayPlan, LinkPlan, link_plan
from qanat.simulation.day.run import DayTerms, cases_of, run_case, simulate
from qanat.simulation.day.switching import PortsInUse, PortTakenTwice

BLOCK_BITS, BLOCK_S = 20_000, 50.0
HALF_BITS = 7952  # (20,000 - 4,096 of the reserve) / 2
NEEDED_BITS = 10 * 128 + 512
DEMAND = Demand()
A, B, C = (NodeId(name) for name in "abc")


def made_of(network: Network, link: Link) -> LinkPlan:
    return link_plan(network, link, block_bits=BLOCK_BITS, block_time_s=BLOCK_S)


def network_of(*links: str, users: str = "", more: Sequence[Switch] = ()) -> Network:
    """Sites of one letter, relays but for ``users``; a link is its two ends."""
    names = sorted({name for ends in links for name in ends} | set(users))
    sites = [
        Site(name=name, kind="user" if name in users else "relay", latitude_deg=0, longitude_deg=place / 100)
        for place, name in enumerate(names)
    ]
    return Network(
        format="qanat-network/1",
        name="small",
        sites=tuple(sites),
        links=tuple(
            Link(name=ends, transmitter=ends[0], receiver=ends[1], system="metro-40-i", loss_db=5, length_km=50)
            for ends in links
        ),
        switches=tuple(more),
        applications=tuple(Application(name=name, site=name) for name in names),
    )


LINE = network_of("ab", "bc", users="ac")
RING = network_of("ab", "bc", "cd", "de", "ea", users="")


def asked(pairs: Sequence[str], *requests: tuple[float, int, bool]) -> Requests:
    """Requests: when, by which pair, whether backwards."""
    times, numbers, backwards = zip(*requests, strict=True)
    return Requests([Pair(NodeId(pair[0]), NodeId(pair[1]), "near") for pair in pairs], times, numbers, backwards)


def day_of(network: Network, requests: Requests, *removals: Removal, horizon_s: float = DAY_S) -> Day:
    plan = DayPlan(network, planned=made_of)
    return Day(plan, requests, demand=DEMAND, horizon_s=horizon_s, removals=removals)


# --- by hand ---


def test_the_first_request_waits_for_a_block_of_each_link_and_pays_every_hop_to_the_bit() -> None:
    result = day_of(LINE, asked(["ac"], (100.0, 0, False))).run()
    tally = result.classes["near"]
    assert (tally.asked, tally.served, tally.waited, tally.wait_s) == (1, 1, 1, BLOCK_S)
    assert NEEDED_BITS == relay_bits(count=10, size_bits=128) == 1792
    for link in result.links:
        assert (link.blocks, link.made_bits, link.spent_bits) == (1, BLOCK_BITS, NEEDED_BITS)
        assert link.left_bits == 2 * HALF_BITS - NEEDED_BITS
        assert (link.reserve_spent_bits, link.reserve_left_bits - link.reserve_start_bits) == (1024, 4096 - 1024)
    assert dict(result.routes) == {("a", "b", "c"): 1}


def test_a_half_of_a_block_serves_four_requests_of_its_direction_and_the_fifth_waits() -> None:
    requests = [(100.0 + 60 * place, 0, False) for place in range(5)]
    tally = day_of(LINE, asked(["ac"], *requests)).run().classes["near"]
    assert HALF_BITS // NEEDED_BITS == 4
    assert (tally.served, tally.waited, tally.wait_s) == (5, 2, 2 * BLOCK_S)


def test_the_two_directions_do_not_take_from_each_other() -> None:
    requests = [(100.0 + 60 * place, 0, place >= 4) for place in range(8)]
    tally = day_of(LINE, asked(["ac"], *requests)).run().classes["near"]
    assert (tally.served, tally.waited) == (8, 1), "four of each direction from the two halves of the first blocks"


def test_one_who_waits_longer_than_the_patience_is_too_late() -> None:
    slow = partial(link_plan, block_bits=BLOCK_BITS, block_time_s=2 * PATIENCE_S)
    day = Day(
        DayPlan(LINE, planned=slow),
        asked(["ac"], (0.0, 0, False), (DAY_S - 1, 0, True), (DAY_S - 1, 0, False)),
        demand=DEMAND,
        horizon_s=DAY_S,
    )
    tally = day.run().classes["near"]
    assert (tally.late, tally.served, tally.waiting) == (1, 2, 0), "the block came for the others"


def test_a_request_at_the_very_end_is_neither_served_nor_failed() -> None:
    tally = day_of(LINE, asked(["ac"], (DAY_S - 1, 0, False))).run().classes["near"]
    assert (tally.asked, tally.waiting, tally.success_rate) == (1, 1, 1.0)


def test_what_lies_ready_is_spent_before_anything_is_made() -> None:
    plan = DayPlan(LINE, planned=made_of)
    requests = asked(["ac"], (0.0, 0, False))
    result = Day(plan, requests, demand=DEMAND, horizon_s=DAY_S, ready_blocks=1).run()
    assert (result.classes["near"].waited, result.decisions) == (0, 0)
    for link in result.links:
        assert (link.blocks, link.ready_bits, link.left_bits) == (0, BLOCK_BITS, 2 * HALF_BITS - NEEDED_BITS)


def test_who_finds_a_later_hop_short_has_burned_the_pads_before_it_once() -> None:
    """a-b holds a half for four batches after the first: a-c takes them, then b-c alone is emptied by b; the next from
    a burns one batch on a-b, and a second one that comes while the shortage is known burns none."""
    network = network_of("ab", "bc")
    requests = [
        (100.0, 0, False),
        *((200.0 + place, 1, False) for place in range(3)),
        (300.0, 0, False),
        (301.0, 0, False),
    ]
    result = day_of(network, asked(["ac", "bc"], *requests)).run()
    links = {link.link_id: link for link in result.links}
    assert (links["ab"].burned_bits, links["bc"].burned_bits) == (NEEDED_BITS, 0)
    assert result.classes["near"].served == 6


# --- faults ---


def test_on_a_ring_requests_go_the_other_way_while_a_relay_is_out_and_come_back() -> None:
    requests = [(3600.0 * hour, 0, False) for hour in range(1, 7)]
    result = day_of(RING, asked(["ac"], *requests), Removal("b", 1.5 * 3600, 3 * 3600)).run()
    assert result.classes["near"].served == 6
    assert dict(result.routes) == {("a", "b", "c"): 3, ("a", "e", "d", "c"): 3}
    assert result.longest_detour is not None
    assert result.longest_detour.hops_more == 1


def test_on_a_line_nobody_is_served_while_the_relay_is_out() -> None:
    requests = [(3600.0 * hour, 0, False) for hour in range(1, 7)]
    result = day_of(LINE, asked(["ac"], *requests), Removal("b", 1.5 * 3600, 3 * 3600)).run()
    tally = result.classes["own"]
    assert result.pairs == {"own": 1}, "both ends have no other link"
    assert (tally.served, tally.cut_off) == (3, 3)


def test_what_waits_when_a_relay_fails_is_served_on_the_other_way() -> None:
    result = day_of(RING, asked(["ac"], (100.0, 0, False)), Removal("b", 120.0)).run()
    tally = result.classes["near"]
    assert dict(result.routes) == {("a", "e", "d", "c"): 1}
    assert (tally.served, tally.wait_s) == (1, 20.0 + BLOCK_S), "the wait before the failure counts"


def test_a_block_that_was_being_made_when_its_link_failed_is_lost_with_its_pads() -> None:
    day = day_of(RING, asked(["ab"], (100.0, 0, False), (500.0, 0, False)), Removal("ab", 120.0, 60.0))
    links = {link.link_id: link for link in day.run().links}
    assert (links["ab"].blocks, links["ab"].reserve_spent_bits) == (1, 2 * 1024)
    assert links["ea"].blocks == 1, "meanwhile the other way"


def test_own_users_are_those_with_no_link_that_goes_past_what_is_out() -> None:
    network = network_of("ab", "bc", "cd", "ca", users="d")
    assert own_users(network, ["c"]) == {"c", "d"}
    assert own_users(network, ["cd"]) == {"d"}
    assert own_users(network, ["ab"]) == frozenset()


def test_a_name_of_nothing_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"no site, link or switch 'bd' in 'small' \(did you mean .*'?b"):
        outages_of(LINE, "bd")


# --- switches ---


def switched(num_users: int) -> Network:
    """Users behind one switch with the relay r."""
    names = ["r", *(f"u{number}" for number in range(num_users))]
    sites = [
        Site(name=name, kind="relay" if name == "r" else "user", latitude_deg=0, longitude_deg=place / 100)
        for place, name in enumerate(names)
    ]
    ports = tuple(Port(site=name, loss_db=2, length_km=8) for name in names)
    switch = Switch(name="s", latitude_deg=0, longitude_deg=0, system="metro-40-i", ports=ports)
    return Network(
        format="qanat-network/1",
        name="switched",
        sites=tuple(sites),
        switches=(switch,),
        applications=tuple(Application(name=name, site=name) for name in names),
    )


def test_links_that_share_a_port_take_turns_and_those_that_share_none_run_side_by_side() -> None:
    network = switched(4)
    pairs = [Pair(NodeId(one), NodeId(other), "near") for one, other in (("u0", "u1"), ("u1", "u2"), ("u2", "u3"))]
    requests = Requests(pairs, [0.0, 0.0, 0.0], [0, 1, 2], [False] * 3)
    day = Day(DayPlan(network, planned=made_of), requests, demand=DEMAND, horizon_s=DAY_S)
    tally = day.run().classes["near"]
    turn_s = network.switches[0].reconfiguration_s + Policy().recalibration_s
    assert tally.longest_wait_s == pytest.approx(2 * (BLOCK_S + turn_s)), "u1-u2 shares a port with both"
    assert tally.wait_s == pytest.approx(4 * (BLOCK_S + turn_s))


def test_a_switch_that_stands_for_a_link_need_not_turn_again() -> None:
    network = switched(2)
    pairs = [Pair(NodeId("u0"), NodeId("u1"), "near")]
    requests = Requests(pairs, [60.0 * minute for minute in range(10)], [0] * 10, [False] * 10)
    tally = Day(DayPlan(network, planned=made_of), requests, demand=DEMAND, horizon_s=DAY_S).run().classes["near"]
    turn_s = network.switches[0].reconfiguration_s + Policy().recalibration_s
    assert (tally.waited, tally.wait_s) == (
        4,
        pytest.approx(turn_s + BLOCK_S + (BLOCK_S + turn_s - 60.0) + 2 * BLOCK_S),
    )


def test_a_switch_taken_out_takes_all_links_through_it() -> None:
    network = switched(3)
    pairs = [Pair(NodeId("u0"), NodeId("u1"), "near")]
    day = Day(
        DayPlan(network, planned=made_of),
        Requests(pairs, [10.0], [0], [False]),
        demand=DEMAND,
        horizon_s=DAY_S,
        removals=[Removal("s")],
    )
    assert day.run().classes["own"].cut_off == 1


def test_a_link_through_a_switch_can_be_taken_out_alone_and_its_name_is_proposed() -> None:
    network = switched(3)
    link = next(link for link in network.links if link.through)
    (outage,) = outages_of(network, link.name)
    assert outage.link_id == link.link_id
    with pytest.raises(ConfigurationError) as refused:
        outages_of(network, f"{link.name}x")
    assert link.name in refused.value.remedy


def test_no_two_orders_share_a_port_however_much_is_asked() -> None:
    """The day itself refuses (PortTakenTwice): all pairs behind one switch ask for more than it gives."""
    network = switched(6)
    plan, demand = DayPlan(network, planned=made_of), Demand(num_pairs=30, bits_per_minute=600)
    chance = SeededChance(4)
    pairs = draw_pairs(network, demand, rates_bits_per_s=plan.rates, chance=chance)
    requests = draw_requests(pairs, demand, num_days=1, chance=chance)
    tally = Day(plan, requests, demand=demand, horizon_s=DAY_S).run().classes["near"]
    assert tally.late > 0
    assert tally.served > 0


PORTS = [PortsOfLink(frozenset("pq")), PortsOfLink(frozenset("qr")), PortsOfLink(frozenset("xy")), PortsOfLink()]


def test_two_links_at_one_port_are_refused() -> None:
    ports = PortsInUse(PORTS)
    ports.begin(0)
    ports.begin(2)
    with pytest.raises(PortTakenTwice):
        ports.begin(1)
    ports.end(0)
    ports.begin(1)
    assert ports.running(ports.areas_with([0])) == {1}
    assert ports.members(ports.areas_with([0])) == {0, 1}
    assert ports.members(ports.areas_with([0, 2])) == {0, 1, 2}
    assert ports.areas_with([3]) == set()


def test_switches_turn_to_a_link_unless_they_stand_for_it_and_leave_those_that_share_a_port() -> None:
    turns = Turns(dict(enumerate(PORTS)))
    assert turns.begin(0, num_blocks=1)
    assert not turns.view(0, now_s=0)["is_set"], "they turn yet"
    turns.turned(0)
    assert turns.begin(2, num_blocks=1)
    turns.turned(2)
    assert not turns.begin(0, num_blocks=2), "the switches stand for it still"
    assert (turns.view(0, now_s=0)["blocks_in_turn"], turns.view(0, now_s=0)["is_set"]) == (3, True)
    assert turns.begin(1, num_blocks=1)
    assert turns.begin(0, num_blocks=1), "they were turned away"
    assert (turns.view(0, now_s=0)["blocks_in_turn"], turns.view(0, now_s=0)["blocks_got"]) == (1, 4)
    assert not turns.begin(2, num_blocks=1), "elsewhere"
    assert not turns.begin(3, num_blocks=1), "through no switch"
    turns.forget()
    assert turns.begin(2, num_blocks=1)


def test_a_link_waits_from_when_it_is_first_wanted_until_it_is_not() -> None:
    turns = Turns(dict(enumerate(PORTS)))
    turns.note_waits({0, 2, 3}, now_s=5)
    turns.note_waits({0}, now_s=7, among={0, 1})
    assert [turns.view(link, now_s=10)["waited_s"] for link in range(4)] == [5, 0, 5, 0]
    turns.note_waits({0}, now_s=8)
    assert [turns.is_wanted(link) for link in range(4)] == [True, False, False, False]


# --- books ---


def test_a_bit_too_many_or_too_few_is_found() -> None:
    for change in (8, -8):
        day = day_of(LINE, asked(["ac"], (100.0, 0, False)))
        day._books.stock[0] += change
        with pytest.raises(BooksDisagree, match="pool of"):
            day.run()


def test_a_batch_that_one_hop_did_not_pay_is_found() -> None:
    day = day_of(LINE, asked(["ac"], (100.0, 0, False), (500.0, 0, False)))
    relay = day._books.relay

    def cheaper(hops: tuple[int, ...], **batch: int) -> None:
        relay(hops, **batch)
        day._books.stock[hops[-1]] += 1

    day._books.relay = cheaper  # type: ignore[method-assign]
    with pytest.raises(BooksDisagree, match="pool of b on bc"):
        day.run()


def test_a_session_nobody_paid_for_is_found() -> None:
    day = day_of(LINE, asked(["ac"], (100.0, 0, False)))
    day._books.sessions[0] += 1
    with pytest.raises(BooksDisagree, match="reserve of ab"):
        day.run()


def test_a_link_whose_reserve_shares_are_left_out_is_found() -> None:
    (link, _) = day_of(LINE, asked(["ac"], (100.0, 0, False))).run().links
    assert link.ready_bits + link.made_bits - link.spent_bits - link.burned_bits - link.left_bits == 4096
    assert link.reserve_share_bits == 4096
    with pytest.raises(BooksDisagree, match="ab: 20000 bits ready and made"):
        replace(link, reserve_share_bits=0)


def test_a_request_that_is_in_no_column_is_found() -> None:
    day = day_of(LINE, asked(["ac"], (100.0, 0, False), (DAY_S - 1, 0, False)))
    day._tallies["near"].asked += 1
    with pytest.raises(BooksDisagree, match="3 requests asked, 2 served"):
        day.run()


@pytest.mark.parametrize(
    ("out", "found"), [((), (3, 0, 2, 1)), ((Removal("b", 1100.0, 10_000.0),), (2, 1, 1, 2))], ids=["whole", "b out"]
)
def test_each_request_is_served_without_a_route_too_late_or_waiting(
    out: tuple[Removal, ...], found: tuple[int, ...]
) -> None:
    slow = DayPlan(LINE, planned=partial(link_plan, block_bits=BLOCK_BITS, block_time_s=1000.0))
    requests = asked(["ac"], (0.0, 0, False), (200.0, 0, True), (2000.0, 0, True), *[(DAY_S - 1, 0, False)] * 3)
    plenty = Demand(key_bits=640)  # half of a block serves one request
    tally = Day(slow, requests, demand=plenty, horizon_s=DAY_S, removals=out).run().together(with_own=True)
    assert (tally.served, tally.cut_off, tally.late, tally.waiting) == found
    ended = sum(found) - found[-1]
    assert (tally.asked, tally.ended, tally.success_rate) == (6, ended, found[0] / ended)


class WholeView(Day):
    """A day whose policy is shown all links and all that waits, each time."""

    def _view(self) -> tuple[NetworkView, Set[int]]:
        super()._view()
        numbers = range(len(self._plan.links))
        links = {self._plan.links[number].link_id: self._link_view(number) for number in numbers}
        return NetworkView(links, [waiting.view for waiting in self._waiting.open.values()]), set(numbers)


def grid_of_nine() -> Network:
    network = build_network("grid", num_nodes=9, system="metro-40-i", link_km=30)
    everywhere = tuple(Application(name=site.name, site=site.name) for site in network.sites)
    return network.model_copy(update={"applications": everywhere})


@pytest.mark.parametrize(
    ("network", "num_pairs", "bits_per_minute", "out"),
    [
        pytest.param(grid_of_nine(), 20, 2000, "n5", id="grid"),
        pytest.param(switched(6), 20, 600, "u1", id="switch"),
        pytest.param(load_network("nature2021"), 40, 600, "jinan-switch-1", id="paper", marks=pytest.mark.campaign),
    ],
)
def test_the_policy_decides_the_same_whether_it_sees_all_or_what_has_crossed_a_threshold(
    network: Network, num_pairs: int, bits_per_minute: float, out: str
) -> None:
    plan, demand = DayPlan(network), Demand(num_pairs, bits_per_minute=bits_per_minute)
    chance = SeededChance(3)
    pairs = draw_pairs(network, demand, rates_bits_per_s=plan.rates, chance=chance)
    requests = draw_requests(pairs, demand, num_days=1, chance=chance)
    removals = [Removal(out, 30_000.0, 10_000.0)]
    few, all_ = (
        kind(plan, requests, demand=demand, horizon_s=DAY_S, removals=removals).run() for kind in (Day, WholeView)
    )
    assert few == all_
    assert list(few.routes) == list(all_.routes), "in the order in which they were first taken"
    assert few.decisions > 50


# --- demand ---


def test_demand_is_what_was_asked_for_on_the_whole_and_the_same_for_the_same_seed() -> None:
    """1,440 keys per pair and day: bursts are Poisson, of geometric length, so 4,000 pairs are within 1 % (5 sigma of
    the mean of 4,000 x 24 bursts of variance-to-mean 66 / 6 is 0.8 %), less what bursts lose at the day's end."""
    pairs = [Pair(A, C, "near")] * 4000
    one, again, other = (draw_requests(pairs, DEMAND, num_days=1, chance=SeededChance(seed)) for seed in (5, 5, 6))
    assert one == again
    assert one != other
    assert len(one.times_s) / 4000 == pytest.approx(144, rel=0.02)
    assert list(one.times_s) == sorted(one.times_s)
    assert max(one.times_s) < DAY_S
    assert statistics.fmean(one.backwards) == pytest.approx(0.5, abs=0.01)


def test_who_takes_direct_keys_only_is_paired_with_nobody_behind_a_relay() -> None:
    network = network_of("ab", "bc", "ad", users="acd")
    sites = tuple(
        site.model_copy(update={"direct_keys_only": True}) if site.name == "a" else site for site in network.sites
    )
    network = network.model_copy(update={"sites": sites})
    pairs = draw_pairs(network, DEMAND, rates_bits_per_s=DayPlan(network).rates, chance=SeededChance(1))
    assert {(pair.one, pair.other) for pair in pairs} == {("a", "b"), ("a", "d"), ("b", "c")}


def test_demand_out_of_range_is_refused() -> None:
    for wrong in ({"num_pairs": 0}, {"near_share": 1.5}, {"bits_per_minute": 0.0}, {"key_bits": 100}):
        with pytest.raises(ConfigurationError):
            Demand(**wrong)  # type: ignore[arg-type]


# --- runs ---


def test_the_same_terms_give_the_same_day() -> None:
    terms = DayTerms(RING, Demand(num_pairs=5), seed=2)
    assert simulate(terms, [Removal("c", 3600.0)]) == simulate(terms, [Removal("c", 3600.0)])
    assert simulate(terms) != simulate(replace(terms, seed=3))


def test_each_ring_node_is_taken_out_in_turn_and_the_others_are_served() -> None:
    terms = DayTerms(RING, Demand(num_pairs=10), seed=2)
    rows = [run_case(terms, case) for case in cases_of(RING)]
    assert [row.case.part.name if row.case.part else None for row in rows] == [None, *"abcde"]
    assert all(row.success_rate_of_others == 1 and row.pairs_cut_off == 0 for row in rows)
    assert all((row.success_rate < 1) == (row.case.part is not None) for row in rows), "its own users"


def test_parts_in_turn_are_ring_nodes_switches_and_other_relays() -> None:
    assert {part.kind for part in parts_in_turn(RING)} == {"ring node"}
    assert [(part.kind, part.name) for part in parts_in_turn(LINE)] == [("relay", "b")]
    assert relays_not_in_turn(LINE) == ()
    assert [(part.kind, part.name) for part in parts_in_turn(switched(2))] == [("switch", "s"), ("relay", "r")]


def test_of_many_relays_those_that_part_others_are_taken_out_first(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of("xa", "ca", "ad", users="cd")
    assert [part.name for part in parts_in_turn(network)] == ["a", "x"]
    monkeypatch.setattr("qanat.simulation.day.faults.MOST_RELAYS", 1)
    assert [part.name for part in parts_in_turn(network)] == ["a"]
    assert relays_not_in_turn(network) == ("x",)


def test_odd_terms_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="days"):
        DayTerms(RING, DEMAND, num_days=0)
    with pytest.raises(ConfigurationError, match="out from"):
        Removal("b", -1.0)

"""Batches over several ways in the proportion of their weights, and what pairs may take without asking."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from qanat.ground.errors import KeyShortage
from qanat.ground.identifiers import NodeId, SaePair
from qanat.ground.network import Network, SharingOfPair, SharingRules
from qanat.key_management.buckets import SHARE_BURST_S
from qanat.key_management.rations import BEYOND, GUARANTEED, WITHIN, Rations
from qanat.key_management.spreading import Spreading
from qanat.key_management.wire import Ration, Routes, WeightedWays
from simulation.shared_network import shared_network

B = NodeId("bb")
ONE, TWO, THREE = ((NodeId("aa"), NodeId(relay), B) for relay in "rst")


def spreading(*weights: float, ways: Routes = (ONE, TWO, THREE)) -> Spreading:
    spread = Spreading()
    spread.learn((WeightedWays(B, ways[: len(weights)], weights),))
    return spread


def taken(spread: Spreading, ways: Routes, *, count: int, bits: int = 1000) -> list[int]:
    """Send batches in turn and return which of ONE, TWO, THREE each took."""
    order = []
    for _ in range(count):
        way = spread.in_turn(B, ways, num_bits=bits)[0]
        spread.note_sent(way, bits)
        order.append((ONE, TWO, THREE).index(way) + 1)
    return order


def test_ways_of_two_to_one_are_taken_in_turn_and_never_by_lot() -> None:
    assert taken(spreading(2.0, 1.0), (ONE, TWO), count=9) == [1, 2, 1, 1, 2, 1, 1, 2, 1]


def test_every_prefix_keeps_the_proportion_within_a_batch() -> None:
    weights = (5.0, 3.0, 1.0)
    order = taken(spreading(*weights), (ONE, TWO, THREE), count=900)
    for length in range(1, 901):
        counts = Counter(order[:length])
        for number, weight in enumerate(weights, start=1):
            assert abs(counts[number] - length * weight / 9) < 1


def test_a_way_of_one_in_a_hundred_has_none_of_the_first_batches() -> None:
    order = taken(spreading(99.0, 1.0), (ONE, TWO), count=200)
    assert [place for place, way in enumerate(order, start=1) if way == 2] == [50, 150]


def test_large_batches_count_as_more() -> None:
    spread = spreading(1.0, 1.0)
    spread.note_sent(ONE, 3000)
    assert taken(spread, (ONE, TWO), count=3) == [2, 2, 2]


def test_a_way_that_was_closed_comes_back_without_making_up_for_it() -> None:
    spread = spreading(1.0, 1.0)
    assert taken(spread, (ONE,), count=50) == [1] * 50
    assert Counter(taken(spread, (ONE, TWO), count=20))[2] <= 11


def test_a_way_that_a_batch_waits_on_has_had_its_turn() -> None:
    spread = spreading(1.0, 1.0)
    spread.note_awaited(ONE, 1000, demand_id="d")
    assert spread.in_turn(B, (ONE, TWO), num_bits=1000)[0] == TWO
    spread.note_sent(ONE, 1000)  # the batch that waited: not counted twice
    assert spread.in_turn(B, (ONE, TWO), num_bits=1000)[0] == TWO


def test_a_wait_that_came_to_nothing_plans_no_turn() -> None:
    spread = spreading(1.0, 1.0)
    spread.note_awaited(ONE, 5000, demand_id="d")
    spread.note_awaited(ONE, 1000, demand_id="e")
    spread.note_given_up(ONE, demand_id="d")
    assert taken(spread, (TWO,), count=10) == [2] * 10
    order = taken(spread, (ONE, TWO), count=8)
    assert order.count(1) == 5, "one batch was planned; those of the wait that ended are not made up for"


def test_ways_without_weights_come_last_and_without_shares_nothing_changes() -> None:
    assert spreading(1.0).in_turn(B, (TWO, ONE), num_bits=1000) == (ONE, TWO)
    assert Spreading().in_turn(B, (TWO, ONE), num_bits=1000) == (TWO, ONE)
    assert spreading(1.0, 2.0).in_turn(B, (ONE, TWO), num_bits=1000, count=2) == (ONE, TWO), (
        "shares over both: no turn to take"
    )


# ---- rations ----


class HandClock:
    """A clock that is set by hand."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def utc_s(self) -> float:
        return self.now_s

    async def sleep_until(self, monotonic_s: float, /) -> None:
        raise NotImplementedError


def network(**terms: float) -> Network:
    rules = SharingRules(pairs=(SharingOfPair.model_validate({"master": "alice", "slave": "bob", **terms}),))
    return shared_network(["aa-r", "r-bb"], {"alice": "aa", "bob": "bb"}, rules)


def rations(*, bits_per_s: float, guaranteed: float = 0.0, **terms: float) -> tuple[Rations, HandClock, SaePair]:
    net, clock = network(**terms), HandClock()
    made = Rations(net, clock)
    made.learn((Ration("alice bob", B, bits_per_s, guaranteed),))
    return made, clock, SaePair(*net.saes)


def test_within_its_share_a_pair_need_not_ask_and_in_the_long_run_the_share_is_exact() -> None:
    made, clock, pair = rations(bits_per_s=1000.0)
    sent = 0
    while clock.now_s < 100.0:
        if made.may_take(pair, (ONE,), 700, is_alone=False):
            made.take(pair, (ONE,), 700)
            sent += 700
        clock.now_s += 0.1
    assert sent == pytest.approx(1000.0 * (100.0 + SHARE_BURST_S), abs=1500)


def test_a_grant_of_the_controller_is_for_one_batch_and_costs_nothing_of_the_share() -> None:
    made, _, pair = rations(bits_per_s=1000.0)
    made.take(pair, (ONE,), 15_000)
    assert not made.may_take(pair, (ONE,), 700, is_alone=False)
    made.grant(pair, B, 700, waited_s=0.0)
    assert made.may_take(pair, (ONE,), 700, is_alone=False)
    made.take(pair, (ONE,), 700)
    assert not made.may_take(pair, (ONE,), 700, is_alone=False)


def test_demands_stand_by_what_they_can_pay() -> None:
    made, clock, pair = rations(bits_per_s=1000.0, guaranteed=500.0)
    standings = [made.enter(pair, B, (ONE,), 1000) for _ in range(12)]
    assert standings == [GUARANTEED, *[WITHIN] * 9, BEYOND, BEYOND]
    clock.now_s = 1.5
    assert made.enter(pair, B, (ONE,), 1000) in (GUARANTEED, WITHIN)


def test_a_demand_that_came_to_nothing_gets_back_what_it_paid() -> None:
    made, _, pair = rations(bits_per_s=1000.0)
    assert made.enter(pair, B, (ONE,), 10_000) == WITHIN
    assert made.enter(pair, B, (ONE,), 10_000) == BEYOND
    made.leave(pair, B, (ONE,), 10_000, standing=WITHIN)
    assert made.enter(pair, B, (ONE,), 10_000) == WITHIN


def test_where_nothing_is_shared_nobody_asks_and_all_stand_alike() -> None:
    made, _, pair = rations(bits_per_s=1000.0)
    made.learn(())
    assert made.may_take(pair, (ONE,), 10**9, is_alone=False)
    assert made.enter(pair, B, (ONE,), 10**9) == WITHIN


def test_a_pair_at_its_cap_is_told_when_to_ask_again() -> None:
    made, clock, pair = rations(bits_per_s=math.inf, cap_bits_per_s=100.0)
    made.check_cap(pair)
    made.count(pair, 1200)
    with pytest.raises(KeyShortage) as refused:
        made.check_cap(pair)
    assert refused.value.retry_after_s == pytest.approx(10.0)
    clock.now_s = 10.1
    made.check_cap(pair)


def test_who_had_to_wait_asks_first_for_a_while_unless_it_is_the_only_one() -> None:
    made, clock, pair = rations(bits_per_s=1000.0)
    made.grant(pair, B, 700, waited_s=3.0)
    made.take(pair, (ONE,), 700)
    assert not made.may_take(pair, (ONE,), 700, is_alone=False)
    assert made.may_take(pair, (ONE,), 700, is_alone=True)
    made.note_short(pair, B)
    assert not made.may_take(pair, (ONE,), 700, is_alone=True), "a batch was lost further on, unseen from here"
    clock.now_s = 10.0
    assert made.may_take(pair, (ONE,), 700, is_alone=False)
    made.take(pair, (ONE,), 15_000)
    assert not made.may_take(pair, (ONE,), 700, is_alone=True), "its share is used up"


def two_parts(*, guaranteed: float = 0.0) -> tuple[Rations, HandClock, SaePair]:
    """A share of 1,000 bit/s of which one way carries 600 and another 400."""
    made, clock, pair = rations(bits_per_s=1000.0, guaranteed=guaranteed)
    made.parts.learn((WeightedWays(B, (ONE, TWO), (600.0, 400.0)),))
    return made, clock, pair


def test_a_way_that_has_carried_its_part_is_beyond_the_share_though_the_share_is_not_used_up() -> None:
    made, clock, pair = two_parts()
    made.take(pair, (ONE,), 6600)
    assert not made.may_take(pair, (ONE,), 700, is_alone=True)
    assert made.enter(pair, B, (ONE,), 700) == BEYOND
    assert made.may_take(pair, (TWO,), 700, is_alone=True)
    assert (made.parts.wait_s(ONE), made.parts.wait_s(TWO)) == (pytest.approx(1.0), 0.0)
    clock.now_s = 1.1
    assert made.may_take(pair, (ONE,), 700, is_alone=True)


@pytest.mark.parametrize("weights", [(24.8, 20.1), (31.0, 8.0, 5.8), (40.0, 4.8), (24.75, 12.3, 7.7), (100.0, 1.0)])
def test_a_thin_share_over_several_ways_is_had_whole_in_batches_that_take_half_a_minute_each(
    weights: tuple[float, ...],
) -> None:
    """Who asks one batch after the other, in turn over the ways, has what they carry together: none of them loses what
    it could have carried while the others were next."""
    made, clock, pair = rations(bits_per_s=sum(weights))
    ways = (ONE, TWO, THREE)[: len(weights)]
    spread, sent = spreading(*weights), Counter[tuple[NodeId, ...]]()
    made.parts.learn((WeightedWays(B, ways, weights),))
    while clock.now_s < 50_000.0:
        way = spread.in_turn(B, ways, num_bits=1536)[0]
        clock.now_s += made.wait_s(pair, B, (way,)) + 1e-6
        assert made.enter(pair, B, (way,), 1536) == WITHIN
        spread.note_sent(way, 1536)
        sent[way] += 1536
    assert sum(sent.values()) >= 0.995 * sum(weights) * clock.now_s
    for way, weight in zip(ways, weights, strict=True):
        assert sent[way] <= weight * (clock.now_s + SHARE_BURST_S) + 2 * 1536, "in the long run its rate is exact"


def test_a_way_without_a_part_is_beyond_every_share_but_what_was_guaranteed_may_go_there() -> None:
    made, _, pair = two_parts()
    assert not made.may_take(pair, (THREE,), 700, is_alone=True)
    assert made.parts.wait_s(THREE) == math.inf
    promised, _, pair = two_parts(guaranteed=100.0)
    assert promised.may_take(pair, (THREE,), 700, is_alone=True)
    assert promised.enter(pair, B, (THREE,), 700) == GUARANTEED


def test_new_shares_change_the_rate_of_a_way_and_forgive_nothing() -> None:
    made, clock, pair = two_parts()
    made.take(pair, (ONE,), 6600)
    made.parts.learn((WeightedWays(B, (ONE, TWO), (300.0, 700.0)),))
    assert made.parts.wait_s(ONE) == pytest.approx(2.0)
    made.parts.learn(())
    assert made.may_take(pair, (ONE,), 700, is_alone=True), "to where no shares are told every way is free"
    assert clock.now_s == 0.0


def test_several_ways_at_once_are_taken_whatever_each_has_carried() -> None:
    made, _, pair = two_parts()
    made.take(pair, (ONE,), 6600)
    assert made.may_take(pair, (ONE, TWO), 700, is_alone=True)


def test_who_drops_out_of_the_shares_and_comes_back_has_no_more_than_time_has_filled() -> None:
    made, clock, pair = rations(bits_per_s=1000.0)
    rows = (Ration("alice bob", B, 1000.0, 0.0),)
    sent = 0
    while clock.now_s < 50.0:
        made.learn(())
        clock.now_s += 0.5
        made.learn(rows)
        while made.may_take(pair, (ONE,), 700, is_alone=False):
            made.take(pair, (ONE,), 700)
            sent += 700
    assert sent == pytest.approx(1000.0 * (50.0 + SHARE_BURST_S), abs=1500)


def test_a_way_that_drops_out_and_comes_back_may_carry_no_more_than_time_has_filled() -> None:
    made, clock, _ = two_parts()
    both, one = (WeightedWays(B, (ONE, TWO), (600.0, 400.0)),), (WeightedWays(B, (TWO,), (400.0,)),)
    made.parts.pay((ONE,), 6600)
    for rows in (one, both, (), both):
        made.parts.learn(rows)
    assert made.parts.wait_s(ONE) == pytest.approx(1.0)
    made.parts.learn(one)
    clock.now_s = 11.5
    made.parts.learn(one)
    made.parts.learn(both)
    made.parts.pay((ONE,), 5900)
    assert made.parts.are_left((ONE,)), "what time has filled is there again"

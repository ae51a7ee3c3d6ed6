"""Shares in a whole network on a virtual clock: the controller solves them, and what key managers do follows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from qanat.ground.errors import KeyShortage
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId
from qanat.ground.messages import Message
from qanat.ground.network import Network, SharingOfPair, SharingRules
from qanat.key_management.buckets import STRICT_BURST_S
from qanat.key_management.manager import GivenKeys, KeyManager
from qanat.simulation.world import World
from simulation.shared_network import (
    CALL_KEYS,
    KEY_BITS,
    Callers,
    bits_by_source,
    bits_by_way,
    pass_time,
    rate_bits_per_s,
    relayed,
    shared_network,
    shared_world,
    told,
)

TWO_WAYS = {"aa-r": 10.0, "r-bb": 10.0, "aa-s": 20.0, "s-bb": 20.0}
"""aa - r - bb gives twice as much as aa - s - bb."""
WIDE, NARROW = "aa-r-bb", "aa-s-bb"
ONE_LINK = {"r-s": 10.0, **{f"{end}{number}-{relay}": 3.0 for number in "123" for end, relay in ("ar", "bs")}}
"""Three pairs of users, all over the one link r - s."""
PAIRS = {f"{app}{number}": f"{site}{number}" for number in "123" for app, site in (("m", "a"), ("n", "b"))}
BEGIN_S, MEASURED_S = 60.0, 60.0


def two_ways(sharing: SharingRules | None) -> Network:
    return shared_network(list(TWO_WAYS), {"alice": "aa", "bob": "bb"}, sharing)


@contextmanager
def running(network: Network, block_times_s: dict[str, float]) -> Iterator[World]:
    world = shared_world(network, block_times_s)
    yield world
    world.close()
    assert world.witness.violations == []


def rates_of_two_ways(sharing: SharingRules | None, *, measured_s: float = MEASURED_S) -> dict[str, float]:
    """Return what goes over each way, in bit/s of each hop, while twelve callers ask without end."""
    with running(two_ways(sharing), TWO_WAYS) as world:
        callers = Callers(world)
        callers.start("alice", "bob", callers=12)
        pass_time(world, BEGIN_S + measured_s)
        bits = bits_by_way(world, since_s=BEGIN_S)
    return {way: num_bits / measured_s for way, num_bits in bits.items()}


@pytest.mark.campaign
def test_two_ways_of_widths_two_to_one_carry_the_whole_flow_in_this_proportion() -> None:
    rates = rates_of_two_ways(SharingRules(), measured_s=240.0)  # in which a block more or less counts for little
    flow = rate_bits_per_s(10.0) + rate_bits_per_s(20.0)
    print(f"{sum(rates.values()):.0f} of {flow:.0f} bit/s, {rates[WIDE]:.0f} over the wide way")
    assert sum(rates.values()) >= 0.95 * flow
    assert rates[WIDE] / rates[NARROW] == pytest.approx(2.0, rel=0.1)


@pytest.mark.slow
def test_without_sharing_the_widest_way_alone_is_taken() -> None:
    rates = rates_of_two_ways(None)
    print(f"{sum(rates.values()):.0f} bit/s")
    assert rates.keys() == {WIDE}
    assert rates[WIDE] <= rate_bits_per_s(10.0)


@pytest.mark.slow
def test_a_guarantee_on_a_full_link_is_kept_and_the_others_share_the_rest_by_their_weights() -> None:
    guaranteed, measured_s = 5000.0, 2 * MEASURED_S  # blocks come in lumps, of which a short time may have one more
    rules = SharingRules(
        pairs=(
            SharingOfPair(master="m1", slave="n1", guaranteed_bits_per_s=guaranteed),
            SharingOfPair(master="m2", slave="n2", weight=1),
            SharingOfPair(master="m3", slave="n3", weight=2),
        )
    )
    with running(shared_network(list(ONE_LINK), PAIRS, rules), ONE_LINK) as world:
        callers = Callers(world)
        for number in "123":
            callers.start(f"m{number}", f"n{number}", callers=12)
        pass_time(world, BEGIN_S + measured_s)
        bits = bits_by_source(world, since_s=BEGIN_S)
        shares = {row["pair"]: row["bits_per_s"] for row in told(world, EventKind.KEY_SHARED)[-1]["pairs"]}
    rates = {f"m{node[1]} n{node[1]}": num_bits / measured_s for node, num_bits in bits.items()}
    print({pair: f"{rates[pair]:.0f} of {shares[pair]:.0f} bit/s" for pair in sorted(rates)})
    assert rates["m1 n1"] >= 0.95 * guaranteed
    assert sum(rates.values()) >= 0.9 * rate_bits_per_s(10.0)
    for pair in ("m2 n2", "m3 n3"):
        assert rates[pair] == pytest.approx(shares[pair], rel=0.15)


@pytest.mark.slow
def test_when_one_way_dies_the_other_carries_all_and_no_key_is_lost() -> None:
    with running(two_ways(SharingRules()), TWO_WAYS) as world:
        callers = Callers(world, pause_s=2.0)
        callers.start("alice", "bob", callers=3)
        pass_time(world, 45.0)
        before = bits_by_way(world)
        world.crash(NodeId("r"), down_s=600.0)
        died_s = world.scheduler.now_s
        pass_time(world, 45.0)
        callers.is_over = True
        pass_time(world, 10.0)
        assert before.keys() == {WIDE, NARROW}, "both were in use"
        assert bits_by_way(world, since_s=died_s + 5.0).keys() == {NARROW}
        for master, slave, given in callers.given:
            ids = [key.key_id for key in given.keys]
            fetched = world.run(
                world.call(
                    NodeId("bb"),
                    lambda manager, ids=ids, master=master, slave=slave: manager.get_keys_by_id(
                        caller=slave, master=master, key_ids=ids
                    ),
                )
            )
            assert [key.secret.reveal() for key in fetched] == [key.secret.reveal() for key in given.keys]
        assert len(callers.given) > 5


def test_a_guarantee_that_does_not_fit_is_an_alarm_with_the_most_there_is_and_those_before_it_are_kept() -> None:
    rules = SharingRules(
        pairs=(
            SharingOfPair(master="m1", slave="n1", guaranteed_bits_per_s=8000),
            SharingOfPair(master="m2", slave="n2", guaranteed_bits_per_s=8000),
        )
    )
    with running(shared_network(list(ONE_LINK), PAIRS, rules), ONE_LINK) as world:
        pass_time(world, 10.0)
        alarms = [row for row in told(world, EventKind.ALARM) if row["code"] == "guarantee-not-kept"]
        shares = {row["pair"]: row["bits_per_s"] for row in told(world, EventKind.KEY_SHARED)[-1]["pairs"]}
    assert len(alarms) == 1, "told once while it lasts"
    assert "m2 n2: 8.0 kbit/s are guaranteed and cannot be kept now; 3.4 kbit/s could be" in alarms[0]["text"]
    assert shares["m1 n1"] == pytest.approx(8000, rel=1e-3)


def test_a_pair_at_its_cap_waits_and_is_told_why_and_when_to_ask_again() -> None:
    rules = SharingRules(pairs=(SharingOfPair(master="alice", slave="bob", cap_bits_per_s=1000),))
    with running(two_ways(rules), TWO_WAYS) as world:
        callers = Callers(world)
        callers.start("alice", "bob", callers=2)
        pass_time(world, 90.0)
        sent = sum(bits_by_way(world).values())
    assert len(relayed(world)) >= 10
    assert sent <= 1000 * 90.0 + 3 * 4608, "in the long run the cap is exact, but for the batches under way"
    assert any("its cap allows, 1.0 kbit/s" in text for text in callers.faults)


def test_a_network_without_sharing_hears_of_no_share() -> None:
    with running(two_ways(None), TWO_WAYS) as world:
        callers = Callers(world, pause_s=1.0)
        callers.start("alice", "bob", callers=1)
        pass_time(world, 40.0)
        assert told(world, EventKind.KEY_SHARED) == []
        assert set(bits_by_way(world)) == {WIDE}


@pytest.mark.slow
def test_keys_for_slaves_at_two_sites_beyond_the_share_wait_and_come() -> None:
    links = {"aa-r": 10.0, "r-bb": 10.0, "r-cc": 10.0}
    network = shared_network(list(links), {"alice": "aa", "bob": "bb", "carol": "cc"}, SharingRules())
    with running(network, links) as world:
        callers = Callers(world)
        callers.start("alice", "bob", callers=4)
        callers.start("alice", "bob", "carol", callers=2)
        pass_time(world, 120.0)
        odd = [row["text"] for row in told(world, EventKind.ALARM) if row["code"] == "odd-word"]
        routes = [row["route"][-1] for row in relayed(world, since_s=60.0)]
    assert odd == []
    assert not callers.faults
    assert routes.count("cc") >= 5, "batches for both go on"


def test_a_request_right_after_one_that_waited_is_served_from_stock_without_asking_the_controller() -> None:
    with running(two_ways(SharingRules()), TWO_WAYS) as world:
        pass_time(world, 5.0)
        network = world.network
        alice, bob = network.sae("alice"), network.sae("bob")

        def take() -> None:
            world.run(
                world.call(
                    NodeId("aa"),
                    lambda manager: manager.get_keys(master=alice, slave=bob, count=2, size_bits=256, patience_s=60.0),
                )
            )

        take()
        assert len(told(world, EventKind.GENERATION_ASKED)) == 1, "no key was there yet: the first one waits"
        for _ in range(5):
            take()
            pass_time(world, 0.5)
        assert told(world, EventKind.KEY_SHARED)
        assert len(told(world, EventKind.GENERATION_ASKED)) == 1, "stock and share suffice for the others"


def test_a_way_that_was_short_further_on_once_is_taken_again_though_the_other_never_runs_dry() -> None:
    links = {"aa-r": 5.0, "r-bb": 5.0, "aa-s": 5.0, "s-bb": 25.0}
    with running(shared_network(list(links), {"alice": "aa", "bob": "bb"}, SharingRules()), links) as world:
        callers = Callers(world, pause_s=1.0)
        callers.start("alice", "bob", callers=1)
        pass_time(world, 22.0)
        lost = [row["node_at_fault"] for row in told(world, EventKind.RELAY_FAILED)]
        assert "s" in lost, "the narrow way is tried before the hop behind 's' has made its first block"
        pass_time(world, 10.0)
        filled_s = world.scheduler.now_s
        pass_time(world, 60.0)
        bits = bits_by_way(world, since_s=filled_s)
        lost_later = told(world, EventKind.RELAY_FAILED)[len(lost) :]
    assert bits[NARROW] > 0.1 * bits[WIDE]
    assert lost_later == [], "no pads are burned to find out"


def test_a_batch_that_is_lost_and_tried_again_counts_once_against_a_cap() -> None:
    cap_bits_per_s = 500.0  # it does not fill again while the second try is on its way
    rules = SharingRules(pairs=(SharingOfPair(master="alice", slave="bob", cap_bits_per_s=cap_bits_per_s),))
    with running(two_ways(rules), dict.fromkeys(TWO_WAYS, 5.0)) as world:
        pair = {"master": world.network.sae("alice"), "slave": world.network.sae("bob")}

        def give(count: int) -> GivenKeys:
            ask = partial(KeyManager.get_keys, **pair, count=count, patience_s=60.0)
            return world.run(world.call(NodeId("aa"), ask), within_s=90.0)

        give(1)
        pass_time(world, 60.0)
        first_way: list[NodeId] = []

        def swallow(_sender: NodeId, receiver: NodeId, message: Message) -> Message | None:
            if message.kind != "relay":
                return message
            first_way.append(receiver)
            return None if receiver == first_way[0] else message

        world.line = swallow
        given = give(CALL_KEYS)
        assert given.keys[0].route[1] != first_way[0], "the first try was lost"
        with pytest.raises(KeyShortage, match="as its cap allows") as refused:
            give(CALL_KEYS)
    once_bits = CALL_KEYS * KEY_BITS + 512
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s <= (once_bits - STRICT_BURST_S * cap_bits_per_s) / cap_bits_per_s

"""What holds for a master with one slave holds for keys that it asks for with several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from qanat.ground.errors import KeyShortage
from qanat.ground.identifiers import NodeId, SaePair, slaves_together
from qanat.ground.network import Network, SharingOfPair, SharingRules, Stock, StockOfPair
from qanat.key_management.quotas import QuotaReached, Quotas
from qanat.key_management.rations import BEYOND, GUARANTEED, WITHIN, Rations
from qanat.key_management.wire import Ration, WeightedWays
from simulation.shared_network import shared_network

B, C = NodeId("bb"), NodeId("cc")
WAY, TO_C = (NodeId("aa"), NodeId("r"), B), (NodeId("aa"), NodeId("r"), C)


class HandClock:
    """A clock that is set by hand."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def utc_s(self) -> float:
        return self.now_s

    async def sleep_until(self, monotonic_s: float, /) -> None:
        raise NotImplementedError


def network(*terms: tuple[str, dict[str, float]]) -> Network:
    """alice at aa; bob and dave at bb, carol at cc. ``terms``: of alice with another."""
    rules = SharingRules(
        pairs=tuple(SharingOfPair.model_validate({"master": "alice", "slave": name, **row}) for name, row in terms)
    )
    places = {"alice": "aa", "bob": "bb", "dave": "bb", "carol": "cc"}
    return shared_network(["aa-r", "r-bb", "r-cc"], places, rules)


def pair_of(net: Network, *slaves: str) -> SaePair:
    return SaePair(net.sae("alice"), slaves_together(net.sae(name) for name in slaves))


def test_a_cap_holds_also_where_a_second_slave_is_named() -> None:
    net, clock = network(("bob", {"cap_bits_per_s": 100.0})), HandClock()
    rations = Rations(net, clock)
    rations.check_cap(pair_of(net, "bob", "dave"))
    rations.count(pair_of(net, "bob", "dave"), 1200)
    for slaves in (("bob", "dave"), ("bob",), ("bob", "carol")):
        with pytest.raises(KeyShortage, match="key with 'urn:qanat:shared:sae:bob' as") as refused:
            rations.check_cap(pair_of(net, *slaves))
        assert refused.value.retry_after_s == pytest.approx(10.0)
    rations.check_cap(pair_of(net, "dave", "carol"))
    rations.count(pair_of(net, "bob", "dave"), -1200)
    rations.check_cap(pair_of(net, "bob"))


def test_of_two_caps_the_one_that_lasts_longer_says_when_to_ask_again() -> None:
    net = network(("bob", {"cap_bits_per_s": 100.0}), ("carol", {"cap_bits_per_s": 50.0}))
    rations = Rations(net, HandClock())
    rations.count(pair_of(net, "bob", "carol"), 1200)
    with pytest.raises(KeyShortage, match="carol") as refused:
        rations.check_cap(pair_of(net, "bob", "carol"))
    assert refused.value.retry_after_s == pytest.approx(22.0)


def shared(*rows: Ration) -> tuple[Network, Rations, HandClock]:
    net, clock = network(("bob", {"guaranteed_bits_per_s": 500.0}), ("dave", {}), ("carol", {})), HandClock()
    rations = Rations(net, clock)
    rations.learn(rows)
    return net, rations, clock


def test_a_share_is_taken_from_whoever_else_gets_the_keys_too() -> None:
    net, rations, _ = shared(Ration("alice bob", B, 1000.0, 0.0))
    rations.take(pair_of(net, "bob", "dave"), (WAY,), 15_000)
    for slaves in (("bob",), ("bob", "dave"), ("bob", "carol")):
        assert not rations.may_take(pair_of(net, *slaves), (WAY,), 700, is_alone=False)
        assert rations.enter(pair_of(net, *slaves), B, (WAY,), 700) == BEYOND
    assert rations.may_take(pair_of(net, "bob", "carol"), (TO_C,), 700, is_alone=False), "bob is not there"
    assert rations.agreement(pair_of(net, "bob", "dave"), B) == "alice bob"
    assert rations.agreement(pair_of(net, "bob", "carol"), C) == "alice carol"


def test_of_several_shares_the_strictest_holds_and_where_it_is_used_up_none_pays() -> None:
    net, rations, _ = shared(Ration("alice bob", B, 1000.0, 500.0), Ration("alice dave", B, 100.0, 0.0))
    both, bob, dave = (pair_of(net, *names) for names in (("bob", "dave"), ("bob",), ("dave",)))
    assert rations.enter(both, B, (WAY,), 1200) == WITHIN, "dave was guaranteed nothing"
    assert rations.enter(both, B, (WAY,), 1200) == BEYOND
    assert rations.agreement(both, B) == "alice dave"
    assert not rations.may_take(both, (WAY,), 700, is_alone=True)
    assert rations.may_take(bob, (WAY,), 700, is_alone=True)
    rations.take(bob, (WAY,), 8000)
    assert rations.may_take(bob, (WAY,), 700, is_alone=True), "the demand beyond its share has cost bob nothing"
    rations.leave(both, B, (WAY,), 1200, standing=WITHIN)
    assert rations.may_take(dave, (WAY,), 700, is_alone=True)
    fresh = shared(Ration("alice bob", B, 1000.0, 500.0))[1]
    assert fresh.enter(both, B, (WAY,), 700) == GUARANTEED


def test_a_grant_is_for_all_of_them_and_a_way_carries_the_keys_once() -> None:
    net, rations, _ = shared(Ration("alice bob", B, 100.0, 0.0), Ration("alice dave", B, 100.0, 0.0))
    both = pair_of(net, "bob", "dave")
    rations.parts.learn((WeightedWays(B, (WAY,), (200.0,)),))
    rations.take(both, (WAY,), 1500)
    assert rations.parts.are_left((WAY,))
    assert not rations.may_take(both, (WAY,), 700, is_alone=True)
    rations.grant(both, B, 700, waited_s=0.0)
    assert rations.may_take(both, (WAY,), 700, is_alone=True)


# ---- quotas ----


def quotas(net: Network, held: Mapping[SaePair, int]) -> Quotas:
    async def held_keys() -> Mapping[SaePair, int]:
        return held

    settings = SimpleNamespace(failed_retry_s=1.0)
    store = SimpleNamespace(held_keys=held_keys)
    return Quotas(cast(Any, SimpleNamespace(network=net, store=store, node=NodeId("aa"), settings=settings)))


def test_keys_for_several_slaves_count_for_the_quota_of_each() -> None:
    rules = Stock(max_keys_per_pair=8, pairs=(StockOfPair(master="alice", slave="bob", max_keys=5),))
    plain = network()
    net = Network(**{name: getattr(plain, name) for name in Network.model_fields} | {"stock": rules})
    some = quotas(net, {pair_of(net, "bob", "dave"): 2, pair_of(net, "bob"): 1, pair_of(net, "dave"): 3})
    assert (some.most(pair_of(net, "bob", "dave")), some.most(pair_of(net, "dave"))) == (5, 8)
    for slaves, more in ((("bob",), 2), (("bob", "carol"), 2), (("dave",), 3), (("carol",), 8)):
        asyncio.run(some.check(pair_of(net, *slaves), more=more))
        with pytest.raises(QuotaReached, match=f"{5 if 'dave' in slaves else 3 if 'bob' in slaves else 0} keys of"):
            asyncio.run(some.check(pair_of(net, *slaves), more=more + 1))

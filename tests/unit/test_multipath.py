"""Shares of keys at the end of their ways: all of them make the keys, in whatever order they come; odd ones do not."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from qanat.ground.errors import PeerProtocolError
from qanat.ground.identifiers import BlockId, LinkId, NodeId, SaeId
from qanat.ground.keys import BitRange, BlockSlice, SecretBytes
from qanat.key_management.multipath import MAX_WAITING, Assembly, are_disjoint, combined
from qanat.key_management.sealing import key_batch
from qanat.key_management.wire import Relay

A, B, R, S, T = (NodeId(name) for name in "abrst")
WAYS = ((A, R, B), (A, S, T, B), (A, B))
SECRETS = (bytes(range(96)), b"\x0f" * 96, bytes(reversed(range(96))))
"""Of two keys of 32 bytes each, and 32 bytes by which the ends compare."""
SUM = bytes(one ^ two ^ three for one, two, three in zip(*SECRETS, strict=True))


def share(number: int, *, relay_id: str = "r") -> Relay:
    """Return share ``number`` of three of two keys of 256 bits."""
    return Relay(
        relay_id=relay_id,
        route=WAYS[number - 1],
        hop=len(WAYS[number - 1]) - 1,
        link_id=LinkId("l"),
        pad_range=BitRange((BlockSlice(BlockId("b"), 0, 1024),)),
        master=SaeId("alice"),
        slave=SaeId("bob"),
        ids_from="ids",
        num_keys=2,
        size_bits=256,
        origin="twin",
        created_utc_s=1.0,
        request_id=None,
        tag="",
        share=number,
        shares=3,
    )


def add(assembly: Assembly, word: Relay, *, now_s: float = 0.0) -> bool:
    return assembly.add(word, SecretBytes(SECRETS[word.share - 1]), now_s=now_s) is not None


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
def test_the_last_share_makes_the_keys_in_whatever_order_they_come(order: tuple[int, ...]) -> None:
    assembly = Assembly()
    for number in order[:-1]:
        assert not add(assembly, share(number))
    whole = assembly.add(share(order[-1]), SecretBytes(SECRETS[order[-1] - 1]), now_s=0.0)
    assert whole is not None
    words, shares = whole
    assert [word.share for word in words] == [1, 2, 3]
    keys = key_batch(words, shares).one_by_one()
    assert b"".join(key.secret.reveal() for key in keys) == SUM[:64]
    assert [key.record.routes for key in keys] == [WAYS, WAYS]
    assert sum(key.record.pad_bits for key in keys) == 6 * 512
    assert sum(key.record.authentication_bits for key in keys) == 6 * 512
    assert {key.record.threshold for key in keys} == {None}, "one way passes no relay"


def test_the_sum_of_shares_is_their_exclusive_or() -> None:
    assert combined([SecretBytes(secret) for secret in SECRETS]).reveal() == SUM
    assert combined([SecretBytes(SECRETS[0])]).reveal() == SECRETS[0]


def test_the_same_share_twice_is_one() -> None:
    assembly = Assembly()
    assert not add(assembly, share(1))
    assert not add(assembly, share(1))
    assert not add(assembly, share(2))
    assert add(assembly, share(3))


@pytest.mark.parametrize(
    "change",
    [
        {"master": SaeId("eve")},
        {"slave": SaeId("eve")},
        {"shares": 2},
        {"ids_from": "others"},
        {"num_keys": 1},
        {"size_bits": 512},
        {"origin": "device"},
        {"created_utc_s": 2.0},
        {"route": (A, R, B)},
        {"route": (A, S, R, B)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_share_that_does_not_belong_to_the_others_drops_them_all(change: dict[str, object]) -> None:
    """Also one that comes by a relay of another share: that relay would know two of them."""
    assembly = Assembly()
    add(assembly, share(1))
    with pytest.raises(PeerProtocolError, match="do not belong together"):
        add(assembly, replace(share(2), **change))  # type: ignore[arg-type]
    assert not add(assembly, share(2))
    assert not add(assembly, share(3))


def test_batches_of_two_relays_do_not_mix() -> None:
    assembly = Assembly()
    for number in (1, 2):
        assert not add(assembly, share(number))
        assert not add(assembly, share(number, relay_id="another"))
    assert add(assembly, share(3))


def test_what_its_origin_gives_up_or_nobody_completes_is_forgotten() -> None:
    assembly = Assembly()
    for number in (1, 2):
        add(assembly, share(number), now_s=5.0)
    assembly.drop_older_than(5.0)
    assembly.drop(A, "some other relay")
    assert add(assembly, share(3))
    for number in (1, 2):
        add(assembly, share(number), now_s=5.0)
    assembly.drop(A, "r")
    assert not add(assembly, share(3))
    assembly.drop_older_than(5.1)
    add(assembly, share(1))
    assert not add(assembly, share(2))


def test_no_more_than_so_many_batches_wait() -> None:
    assembly = Assembly()
    for number in range(MAX_WAITING + 1):
        add(assembly, share(1, relay_id=f"r{number}"))
    for relay_id, is_held in (("r0", False), ("r1", False), (f"r{MAX_WAITING}", True)):
        add(assembly, share(2, relay_id=relay_id))
        assert add(assembly, share(3, relay_id=relay_id)) == is_held


@pytest.mark.parametrize(
    ("routes", "disjoint"),
    [
        (((A, R, B),), True),
        (WAYS, True),
        (((A, R, B), (A, R, B)), False),
        (((A, B), (A, B)), False),
        (((A, R, S, B), (A, S, T, B)), False),
        (((A, R, R, B),), False),
    ],
)
def test_ways_are_disjoint_when_no_relay_is_on_two(routes: tuple[tuple[NodeId, ...], ...], disjoint: bool) -> None:
    assert are_disjoint(routes) == disjoint

"""Higher-level users' keys: the transcript of every relay shows that none could compute them.

What relays hold and hear is written down while four users talk: two who take direct keys only, and two others whose
keys pass a relay. The second pair is the control: what is looked for with them is found, by the same means.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from qanat.ground.authentication import MESSAGE_KEY_BITS
from qanat.ground.bits import xor
from qanat.ground.identifiers import NodeId
from qanat.ground.keys import PoolId
from qanat.key_management.manager import GivenKeys
from qanat.simulation.world import World
from simulation.relay_knowledge import Knowledge, Span, Transcript, bits_held
from simulation.switched_network import (
    D1,
    D2,
    DIRK,
    DORA,
    U1,
    UDO,
    URSULA,
    WILLI,
    Q,
    R,
    fetch,
    give,
    new_world,
    secrets,
)
from simulation.test_world_requests import close

SIZE_BITS = 128
RELAYS = (R, Q)


@dataclass
class Run:
    world: World
    transcript: Transcript
    direct: list[GivenKeys]
    relayed: GivenKeys


@pytest.fixture(scope="module")
def run() -> Run:
    """Keys in both directions between the direct users, among other users' keys over r and over r and q."""
    world = new_world()
    transcript = Transcript.of(world)
    wish = {"count": 3, "size_bits": SIZE_BITS}
    relayed = give(world, URSULA, UDO, **wish)
    direct = [give(world, DORA, DIRK, **wish), give(world, DIRK, DORA, **wish)]
    others = give(world, WILLI, URSULA, **wish)
    for given, slave in ((relayed, UDO), (direct[0], DIRK), (direct[1], DORA), (others, URSULA)):
        assert fetch(world, given, slave) == secrets(given)
    close(world)
    return Run(world, transcript, direct, relayed)


def test_no_relay_holds_a_block_of_the_direct_users_link_nor_hears_a_word_about_their_keys(run: Run) -> None:
    for relay in RELAYS:
        assert not [block for block in run.transcript.blocks[relay] if {block.local, block.peer} == {D1, D2}]
    keys = [key for given in run.direct for key in given.keys]
    assert {key.route for key in keys} == {("d1", "d2"), ("d2", "d1")}
    for key in keys:
        ends = {(sender, receiver) for sender, receiver, _, _ in run.transcript.relays_of(key.key_id)}
        assert ends <= {(D1, D2), (D2, D1)}
    passed = {(sender, receiver) for sender, receiver, _, _ in run.transcript.relays_of(run.relayed.keys[0].key_id)}
    assert passed == {(U1, R), (R, NodeId("u2"))}


def test_of_the_direct_users_keys_all_relays_together_can_compute_no_bit_and_no_sum_of_bits(run: Run) -> None:
    """Even with every message of the network, and their heads together. The dimension says it: whoever knew any sum of
    the keys' bits, such as a parity, would be less far from knowing them all than there are bits."""
    knowledge = Knowledge(run.transcript)
    keys = [key for given in run.direct for key in given.keys]
    bits = [row for key in keys for row in knowledge.key_rows(key.key_id, size_bits=SIZE_BITS)]
    known = knowledge.of(RELAYS, all_messages=True)
    assert len(known) > 2 * 3 * SIZE_BITS, "they know much, of others"
    before = len(known)
    assert not any(bit in known for bit in bits)
    for bit in bits:
        known.add(bit)
    assert len(known) - before == len(bits) == 2 * 3 * SIZE_BITS


def test_of_the_other_users_keys_the_relay_on_their_way_can_compute_every_bit(run: Run) -> None:
    """So the test above can see. Who only listens, or is another relay, can compute none."""
    knowledge = Knowledge(run.transcript)
    bits = [row for key in run.relayed.keys for row in knowledge.key_rows(key.key_id, size_bits=SIZE_BITS)]
    known = knowledge.of([R])
    assert all(bit in known for bit in bits)
    for others in ([], [Q]):
        span = knowledge.of(others, all_messages=True)
        assert not any(bit in span for bit in bits)


def test_the_algebra_speaks_of_the_real_bits(run: Run) -> None:
    """The relay's own blocks and what it heard give the bytes that the users were given; and nobody else's do."""
    key = run.relayed.keys[0]
    for sender, _, word, body in run.transcript.relays_of(key.key_id):
        held = bits_held(run.transcript, R, PoolId(word.link_id, sender), word.pad_range)
        assert held is not None
        opened = xor(body, held[MESSAGE_KEY_BITS // 8 :])
        assert opened[: 3 * SIZE_BITS // 8] == b"".join(secrets(run.relayed))
        assert bits_held(run.transcript, Q, PoolId(word.link_id, sender), word.pad_range) is None
    for given in run.direct:
        for sender, receiver, word, body in run.transcript.relays_of(given.keys[0].key_id):
            pool = PoolId(word.link_id, sender)
            assert [bits_held(run.transcript, relay, pool, word.pad_range) for relay in RELAYS] == [None, None]
            held = bits_held(run.transcript, receiver, pool, word.pad_range)
            assert held is not None
            assert xor(body, held[MESSAGE_KEY_BITS // 8 :])[: 3 * SIZE_BITS // 8] == b"".join(secrets(given))


def test_a_search_of_all_that_relays_hold_finds_others_keys_and_not_the_direct_users(run: Run) -> None:
    """Without any algebra: is a key, or its sum with any piece of any message, anywhere in the relays' blocks?"""
    size = SIZE_BITS // 8
    pieces = {
        bits[at : at + size]
        for relay in RELAYS
        for block in run.transcript.blocks[relay]
        for bits in (block.bits.reveal(),)
        for at in range(len(bits) - size + 1)
    }
    bodies = [message.body for _, _, message in run.transcript.heard if message.body]

    def is_found(secret: bytes) -> bool:
        sums = (xor(secret, body[at : at + size]) for body in bodies for at in range(len(body) - size + 1))
        return secret in pieces or any(one in pieces for one in sums)

    assert all(map(is_found, secrets(run.relayed)))
    assert not any(is_found(secret) for given in run.direct for secret in secrets(given))


def test_a_span_is_the_sums_of_its_rows() -> None:
    span = Span([0b0110, 0b0011, 0b0101])
    assert len(span) == 2
    assert 0b0101 in span
    assert 0 in span
    assert 0b0001 not in span
    assert 0b1000 not in span

"""A block counts at neither end unless both hold the same: over a bad post, with bad sources, with Eve on the way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from qanat.adapters import exchange_ends
from qanat.adapters.block_exchange import AGREED, CHECKED, OFFER, BlockTags, Offer, cut_pads, eps_cor_of
from qanat.adapters.key_sources import SourceFault, SpentBefore
from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.errors import AuthenticationFailed, BlockUnknown, UnknownNode
from qanat.ground.identifiers import KeyID, LinkId, NodeId, OrderId
from qanat.ground.keys import SecretBytes
from qanat.ground.messages import Message
from unit.exchange_fakes import FOLLOWER, LEADER, LINK, Pair, altered, order_of, until


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_ends, "RESEND_S", 0.05)
    monkeypatch.setattr(exchange_ends, "ANSWER_PATIENCE_S", 30.0)
    monkeypatch.setattr(exchange_ends, "POLL_S", 0.02)
    monkeypatch.setattr(exchange_ends, "RETRY_S", 0.02)


async def check_same_blocks(pair: Pair, num_blocks: int) -> None:
    for node in LINK.ends:
        ended = await pair.ended(node)
        assert (ended.blocks_made, ended.fault) == (num_blocks, None)
    ours, theirs = [await pair.blocks(node) for node in (LEADER, FOLLOWER)]
    assert len(ours) == num_blocks
    assert len({block.block_id for block in ours}) == num_blocks
    for one, other in zip(ours, theirs, strict=True):
        assert one.block_id == other.block_id
        assert one.bits == other.bits
        assert (one.local, one.peer) == (other.peer, other.local) == (LEADER, FOLLOWER)
        assert one.num_bits == 8 * 512 * 8
        assert 0 < one.eps_cor < 1e-25
    for node in LINK.ends:
        assert len(pair.sources[node].taken) == len(set(pair.sources[node].taken)) == 8 * num_blocks


def test_both_ends_hand_out_the_same_blocks() -> None:
    async def scene() -> None:
        async with Pair() as pair:
            await pair.order(num_blocks=3)
            await check_same_blocks(pair, 3)
            assert pair.alarms(LEADER) == pair.alarms(FOLLOWER) == []
            block = (await pair.blocks(LEADER))[0]
            await pair.modules[LEADER].release(block.block_id, kept=True)
            assert len(pair.sources[LEADER].forgotten) == 8
            with pytest.raises(BlockUnknown):
                await pair.modules[LEADER].fetch(block.block_id)
            with pytest.raises(UnknownNode):
                pair.modules[LEADER].capability(NodeId("elsewhere"))

    asyncio.run(scene())


@pytest.mark.parametrize("seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 20))])
def test_words_that_are_lost_repeated_and_late_cost_no_block(seed: int) -> None:
    dice = random.Random(seed)
    under_way: dict[NodeId, list[Message]] = {LEADER: [], FOLLOWER: []}

    def by_way(peer: NodeId, message: Message) -> Sequence[Message]:
        """Lose every fourth word; of all that were ever said on this way, let some arrive now, in any order."""
        if dice.random() < 0.25:
            return []
        under_way[peer].append(message)
        return dice.choices(under_way[peer][-6:], k=dice.randrange(4))

    async def scene() -> None:
        async with Pair(by_way) as pair:
            await pair.order(num_blocks=3)
            await until(lambda: sum(type(event).__name__ == "KeyBlockReady" for event in pair.events[FOLLOWER]) == 3)
            ours, theirs = [await pair.blocks(node) for node in (LEADER, FOLLOWER)]
            assert [block.block_id for block in ours] == [block.block_id for block in theirs]
            assert all(one.bits == other.bits for one, other in zip(ours, theirs, strict=True))
            taken = pair.sources[FOLLOWER].taken
            assert len(taken) == len(set(taken)) == 24

    asyncio.run(scene())


def test_keys_that_differ_in_one_bit_are_no_block_and_an_alarm() -> None:
    async def scene() -> None:
        async with Pair() as pair:
            pair.vault.spoil = lambda data: bytes([data[0] ^ 1]) + data[1:]
            await pair.order()
            assert "different keys" in str((await pair.ended(LEADER)).fault)
            assert "different keys" in str((await pair.ended(FOLLOWER)).fault)
            assert await pair.blocks(LEADER) == await pair.blocks(FOLLOWER) == []
            assert pair.alarms(LEADER) == [("keys-differ", False)]
            pair.vault.spoil = lambda data: data
            pair.events[LEADER].clear()
            pair.events[FOLLOWER].clear()
            await pair.order(name="next")
            assert (await pair.ended(LEADER)).fault is None
            assert pair.alarms(LEADER) == [("keys-differ", True)]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (OFFER, {"num_bits": 8}),
        (OFFER, {"tag": "00" * 16}),
        (CHECKED, {"tag": "00" * 16}),
        (CHECKED, {"tag": "no tag"}),
        (CHECKED, {"tag": 7}),
        (AGREED, {"tag": "00" * 16}),
    ],
)
def test_an_altered_word_gives_the_follower_no_block(kind: str, fields: dict[str, str | int]) -> None:
    def carry(_: NodeId, message: Message) -> Sequence[Message]:
        return [altered(message, **fields) if message.kind == kind else message]

    async def scene() -> None:
        async with Pair(carry) as pair:
            await pair.order()
            assert (await pair.ended(FOLLOWER)).fault
            assert (await pair.ended(LEADER)).fault
            assert await pair.blocks(FOLLOWER) == []
            if kind == OFFER:
                assert pair.sources[FOLLOWER].taken == [], "no key is burnt by who only stands on the line"
            alarms = pair.alarms(LEADER) + pair.alarms(FOLLOWER)
            if fields.get("tag") == "00" * 16:
                assert ("exchange-altered", False) in alarms or ("keys-differ", False) in alarms

    asyncio.run(scene())


def test_ends_with_different_pads_agree_on_nothing() -> None:
    async def scene() -> None:
        async with Pair() as pair:
            await pair.order(other_pads=True)
            assert (await pair.ended(LEADER)).fault
            assert await pair.blocks(LEADER) == await pair.blocks(FOLLOWER) == []
            assert pair.alarms(FOLLOWER) == [("exchange-altered", False)]

    asyncio.run(scene())


def test_a_source_that_is_away_is_an_alarm_and_the_order_goes_on_when_it_is_back() -> None:
    async def scene() -> None:
        async with Pair() as pair:
            away = SourceFault("away", code="device-unreachable", remedy="plug it in", passes=True)
            pair.sources[LEADER].faults = [away] * 3
            await pair.order()
            await check_same_blocks(pair, 1)
            assert pair.alarms(LEADER) == [("device-unreachable", False), ("device-unreachable", True)]

    asyncio.run(scene())


def test_a_source_that_gives_nothing_is_too_slow_and_ends_the_order_at_last() -> None:
    async def scene() -> None:
        async with Pair() as pair:
            pair.sources[LEADER].is_dry = True
            pair.sources[LEADER].patience_s = 0.5  # type: ignore[misc]
            await pair.order()
            ended = await pair.ended(LEADER)
            assert "no new key" in str(ended.fault)
            assert ended.remedy
            assert pair.alarms(LEADER) == [("device-slow", False)]
            assert (await pair.ended(FOLLOWER)).fault == ended.fault

    asyncio.run(scene())


def test_a_block_of_what_there_is_serves_better_than_none() -> None:
    async def scene() -> None:
        async with Pair() as pair:
            source = pair.sources[LEADER]
            await pair.order()
            await until(lambda: len(source.taken) == 5 or bool(source.taken))
            source.is_dry = True
            assert (await pair.ended(LEADER)).blocks_made == 1
            (ours,), (theirs,) = [await pair.blocks(node) for node in (LEADER, FOLLOWER)]
            assert ours.bits == theirs.bits
            assert ours.num_bits in (5 * 4096, 8 * 4096)

    asyncio.run(scene())


def test_a_refusal_of_the_follower_is_told_at_both_ends() -> None:
    async def scene() -> None:
        async with Pair() as pair:
            unknown = SourceFault("no such keys", code="device-ids-unknown", remedy="look at the pair")
            pair.sources[FOLLOWER].faults = [unknown]
            await pair.order()
            assert "no such keys" in str((await pair.ended(LEADER)).fault)
            assert pair.alarms(FOLLOWER) == [("device-ids-unknown", False)]
            assert pair.alarms(LEADER) == [("peer-refuses-keys", False)]
            assert pair.sources[LEADER].forgotten == []

    asyncio.run(scene())


def test_a_key_that_was_used_before_is_destroyed_at_the_leader_without_an_alarm() -> None:
    async def scene() -> None:
        async with Pair() as pair:
            pair.sources[FOLLOWER].faults = [SpentBefore("used before")]
            await pair.order()
            assert (await pair.ended(LEADER)).fault
            assert pair.sources[LEADER].forgotten == pair.sources[LEADER].taken
            assert pair.alarms(FOLLOWER) == pair.alarms(LEADER) == []

    asyncio.run(scene())


def test_a_stopped_order_ends_once_at_both_ends_and_gives_nothing() -> None:
    async def scene() -> None:
        async with Pair() as pair:
            pair.sources[LEADER].is_dry = True
            await pair.order()
            await pair.modules[LEADER].stop(OrderId("order"))
            await pair.modules[LEADER].stop(OrderId("order"))
            assert "stopped" in str((await pair.ended(LEADER)).fault)
            assert "stopped" in str((await pair.ended(FOLLOWER)).fault)
            assert await pair.blocks(LEADER) == []

    asyncio.run(scene())


def test_a_start_that_is_said_again_uses_no_pads_again() -> None:
    async def scene() -> None:
        async with Pair() as pair:
            await pair.order()
            again = order_of(LEADER, "order", 1, bytes(SESSION_PAD_BITS // 8))
            await pair.modules[LEADER].start(again)
            await check_same_blocks(pair, 1)
            assert again.pads is not None
            with pytest.raises(ValueError, match="wiped"):
                again.pads.secret.reveal()

    asyncio.run(scene())


def test_a_follower_that_is_away_ends_the_order_of_the_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_ends, "ANSWER_PATIENCE_S", 0.3)

    async def scene() -> None:
        async with Pair(lambda peer, message: [] if peer == FOLLOWER else [message]) as pair:
            await pair.order()
            ended = await pair.ended(LEADER)
            assert "does not answer" in str(ended.fault)
            assert FOLLOWER in ended.remedy

    asyncio.run(scene())


def an_offer(number: int = 0, ids: int = 3) -> Offer:
    key_ids = tuple(KeyID(f"00000000-0000-4000-8000-{place:012d}") for place in range(ids))
    return Offer(LinkId("link"), OrderId("order"), number, key_ids, 8 * 96)


def test_each_tag_has_a_pad_of_its_own_and_fits_nothing_else() -> None:
    pads = bytes(range(128))
    ours, theirs = BlockTags.of(SecretBytes(pads)), BlockTags.of(SecretBytes(pads))
    offer, bits = an_offer(), bytes(96)
    tags = {ours.offer(offer), ours.block(offer, bits), ours.agreed(offer)}
    assert len(tags) == 3
    theirs.check_offer(offer, ours.offer(offer))
    theirs.check_block(offer, bits, ours.block(offer, bits))
    for wrong in (an_offer(1), an_offer(0, 2)):
        with pytest.raises(AuthenticationFailed):
            theirs.check_offer(wrong, ours.offer(offer))
    with pytest.raises(AuthenticationFailed):
        theirs.check_block(offer, bits[:-1] + b"\x01", ours.block(offer, bits))
    with pytest.raises(AuthenticationFailed):
        theirs.check_agreed(offer, ours.offer(offer))


def test_the_name_of_a_block_follows_from_its_offer() -> None:
    assert an_offer().block_id == an_offer().block_id
    assert len({an_offer().block_id, an_offer(1).block_id, an_offer(0, 2).block_id}) == 3
    assert an_offer(0, 1).block_id == an_offer(0, 1).key_ids[0]
    assert eps_cor_of(an_offer()) < eps_cor_of(an_offer(0, 300)) < 1e-25


def test_an_orders_pads_are_cut_and_the_order_keeps_none() -> None:
    secret = SecretBytes(bytes(range(256)))
    parts = cut_pads(secret, 2)
    assert [part.reveal() for part in parts] == [bytes(range(128)), bytes(range(128, 256))]
    with pytest.raises(ValueError, match="wiped"):
        secret.reveal()
    with pytest.raises(ValueError, match="take"):
        cut_pads(SecretBytes(bytes(127)), 1)

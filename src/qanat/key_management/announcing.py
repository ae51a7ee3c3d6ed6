"""Store and forward by a satellite: it holds key with two stations and announces the sum, so that they share key.

    satellite: spend as much key with one station as with the other, and keep their sum (one transaction) -> say it
    station:   spend the same bits of its own key, work out the block -> durable here -> "heard" to the satellite
    stations:  the block counts when both hold it, as a block of any link does (``intake``)

The satellite says an announcement until both stations have heard it, over its own restarts; hours may lie between. Who
has neither station's key learns nothing from a sum of the two. The satellite knows both: it is a trusted node, and the
records of keys that went this way name it.

A station spends its bits and keeps the block in one transaction: whenever it dies, it has done both or neither, and
then hears the announcement again. Over its restart it asks the other station on whether the block counts. Only where
its bits are gone, or its tag is wrong, is the block lost, and it has the other station destroy its copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from qanat.ground.authentication import MESSAGE_KEY_BITS, check_message_tag, message_tag
from qanat.ground.bits import xor
from qanat.ground.errors import (
    AuthenticationFailed,
    BlockUnknown,
    FrameError,
    KeyShortage,
    PadReused,
    StoreFailed,
)
from qanat.ground.events import EventKind
from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import BlockId, Epoch, LinkId, MessageId, NodeId, OrderId, uuid4_from
from qanat.ground.keys import BlockName, KeyBlock, Origin, PoolId, SecretBytes, SpentBits, Use
from qanat.ground.life_cycle import Stage
from qanat.ground.messages import Message, decode_message, encode_message
from qanat.ground.network import Link
from qanat.key_management.codec import decode_word, encode_word
from qanat.key_management.context import Context
from qanat.key_management.intake import ANNOUNCED, ANNOUNCED_ORDER, Intake
from qanat.key_management.vouching import Vouching
from qanat.key_management.wire import AnnouncedPart, AnnouncementHeard, BlocksMissing, Heard, KeyAnnounced

MESSAGE_KEY_BYTES: Final = MESSAGE_KEY_BITS // 8
LEAST_BITS: Final = 1_024
"""A sum of less than this is not worth its tags: the satellite waits for more key."""
MOST_BITS: Final = 2**23
"""One announcement has no more key than this, a megabyte."""
AGAIN_S: Final = 5.0
"""An announcement is said again after this time."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two stations of this satellite, the link between them, and the downlink to each; names in the order of parts."""

    link: Link
    stations: tuple[NodeId, NodeId]
    downlinks: tuple[LinkId, LinkId]


class Announcer:
    """The satellite's part. Nothing is kept in memory but who has not heard what is said since the start."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pairs = tuple(_pairs_of(context))
        self._awaited: dict[BlockId, set[NodeId]] = {}
        self._said_monotonic_s = float("-inf")

    async def tick(self) -> None:
        """Announce what two stations both have key for, and say again what somebody has not heard."""
        if not self._pairs:
            return
        is_new = [await self._announce(pair) for pair in self._pairs]
        now_s = self._context.clock.monotonic_s()
        if any(is_new) or now_s - self._said_monotonic_s >= AGAIN_S:
            self._said_monotonic_s = now_s
            await self._say_all()

    async def on_heard(self, sender: NodeId, word: AnnouncementHeard) -> None:
        """A station has acted on an announcement; when both have, it is forgotten."""
        if (stations := self._awaited.get(word.block_id)) is None:
            return  # both have said so before, or it is said again after a restart
        stations.discard(sender)
        if not stations:
            await self._forget(word.block_id)

    async def _forget(self, block_id: BlockId) -> None:
        await self._context.store.drop_notice(block_id)
        self._awaited.pop(block_id, None)

    async def _announce(self, pair: _Pair) -> bool:
        """Spend what there is of both stations' key, in each direction of the downlinks; return whether there was."""
        context, levels = self._context, await self._context.store.levels()
        has_announced = False
        for senders in ((context.node, context.node), pair.stations):
            one, other = (PoolId(link, sender) for link, sender in zip(pair.downlinks, senders, strict=True))
            there_bits = min(levels[pool].available_bits if pool in levels else 0 for pool in (one, other))
            num_bits = min(there_bits - MESSAGE_KEY_BITS, MOST_BITS) // 8 * 8
            if num_bits >= LEAST_BITS:
                await self._spend(pair, (one, other), num_bits)
                has_announced = True
        return has_announced

    async def _spend(self, pair: _Pair, pools: tuple[PoolId, PoolId], num_bits: int) -> None:
        context = self._context
        block_id = BlockId(uuid4_from(context.entropy.public_bytes(16)))
        blank = KeyAnnounced(
            block_id, pair.link.link_id, num_bits, _origin(context, pair), context.clock.utc_s(), 0.0, 0.0, parts=()
        )
        written: list[KeyAnnounced] = []

        def write(one: SpentBits, other: SpentBits) -> bytes:
            word, body = seal(blank, one, other)
            written.append(word)
            kind, fields = encode_word(word)
            return encode_message(Message(MessageId(block_id), kind, Epoch(0), fields=fields, body=body))

        try:
            await context.store.spend_on_notice(
                pools, num_bits=num_bits + MESSAGE_KEY_BITS, use=Use.ANNOUNCEMENT, notice_id=block_id, write=write
            )
        except KeyShortage:
            return  # voided meanwhile
        context.recorder.record(
            EventKind.KEY_ANNOUNCED,
            block_id=block_id,
            link_id=pair.link.link_id,
            route=[pair.stations[0], context.node, pair.stations[1]],
            num_bits=num_bits,
            authentication_bits=2 * MESSAGE_KEY_BITS,
            qkd_bits=2 * (num_bits + MESSAGE_KEY_BITS),
            blocks=[sorted({piece.block_id for piece in part.bits.slices}) for part in written[0].parts],
        )

    async def _say_all(self) -> None:
        context = self._context
        for notice_id, text in (await context.store.notices()).items():
            message = decode_message(text)
            word = decode_word(message)
            assert isinstance(word, KeyAnnounced)
            ends = context.network.link(word.link_id).ends
            stations = self._awaited.setdefault(BlockId(notice_id), set(ends))
            if not stations:  # both have heard it, and the store failed to forget it
                await self._forget(BlockId(notice_id))
            for station in sorted(stations):
                await context.courier.send(station, word, body=message.body)


class Announcements:
    """A station's part."""

    def __init__(self, context: Context, intake: Intake, vouching: Vouching) -> None:
        self._context = context
        self._intake = intake
        self._vouching = vouching

    async def on_announced(self, heard: Heard, word: KeyAnnounced) -> None:
        """Take the block in that an announcement gives, once; raises FrameError for what no satellite may say."""
        peer = check_shape(word, heard.body, sender=heard.sender, context=self._context)
        if not self._vouching.is_vouched(heard.sender):
            return  # it is said again
        store = self._context.store
        stage = await store.block_stage(word.block_id)
        if stage is None:
            try:
                await self._open(word, heard, peer)
            except StoreFailed:
                return  # nothing has changed, and it is said again
            except (PadReused, BlockUnknown, AuthenticationFailed) as fault:
                await self._lose(word, heard, peer, fault.message)
        elif stage is Stage.DESTROYED:
            await self._context.courier.send(peer, BlocksMissing((word.block_id,)))
        await self._context.courier.send(heard.sender, AnnouncementHeard(word.block_id), cause=heard.cause)

    async def _open(self, word: KeyAnnounced, heard: Heard, peer: NodeId) -> None:
        """Spend this station's bits and keep the block, both or nothing; a wrong tag costs the bits, so that nobody can
        try a second one under them."""
        context, faults = self._context, list[AuthenticationFailed]()
        own = next(part for part in word.parts if context.links.has(part.link_id))
        block_id, order_id = word.block_id, OrderId(f"{ANNOUNCED_ORDER}{word.block_id}")

        def make(spent: SpentBits) -> KeyBlock | None:
            try:
                secret = unseal(word, heard.body, own, spent)
            except AuthenticationFailed as fault:
                faults.append(fault)
                return None
            return KeyBlock(
                block_id=block_id,
                order_id=order_id,
                link_id=word.link_id,
                local=context.node,
                peer=peer,
                origin=word.origin,
                protocol=ANNOUNCED,
                num_bits=word.num_bits,
                bits=secret,
                eps_sec=word.eps_sec,
                eps_cor=word.eps_cor,
                finished_utc_s=context.clock.utc_s(),
            )

        pool = PoolId(own.link_id, own.sender)
        await context.store.spend_into_block(pool, own.bits, use=Use.ANNOUNCEMENT, make=make)
        for fault in faults:
            raise fault
        context.recorder.record(
            EventKind.ANNOUNCEMENT_OPENED,
            cause=heard.cause,
            block_id=word.block_id,
            link_id=word.link_id,
            satellite=heard.sender,
            num_bits=word.num_bits,
        )
        await self._intake.on_announced(BlockName(block_id, order_id, word.link_id, peer, word.num_bits))

    async def _lose(self, word: KeyAnnounced, heard: Heard, peer: NodeId, why: str) -> None:
        """The block will never be here: the other station is not to count it."""
        self._context.recorder.record(
            EventKind.ANNOUNCEMENT_LOST, cause=heard.cause, block_id=word.block_id, link_id=word.link_id, why=why
        )
        await self._context.courier.send(peer, BlocksMissing((word.block_id,)))


def seal(blank: KeyAnnounced, one: SpentBits, other: SpentBits) -> tuple[KeyAnnounced, bytes]:
    """Return the announcement of two spends of equal length, with a tag for each station, and its body: the sum.

    The first bits of each spend are the key of that station's tag. Its failure bounds are those of all blocks of both
    links that it was made of, added up. Consumes the spent bits.
    """
    eps_sec, eps_cor = one.eps_sec + other.eps_sec, one.eps_cor + other.eps_cor
    blank = replace(blank, eps_sec=min(1.0, eps_sec), eps_cor=min(1.0, eps_cor))
    both = [spent.secret.take() for spent in (one, other)]
    body = xor(*(bits[MESSAGE_KEY_BYTES:] for bits in both))
    open_parts = tuple(AnnouncedPart(spent.pool.link_id, _sender(spent), spent.bits, "") for spent in (one, other))
    said = _header(replace(blank, parts=open_parts))
    tags = (message_tag(bits[:MESSAGE_KEY_BYTES], said, body).hex() for bits in both)
    parts = tuple(replace(part, tag=tag) for part, tag in zip(open_parts, tags, strict=True))
    return replace(blank, parts=parts), body


def unseal(word: KeyAnnounced, body: bytes, own: AnnouncedPart, spent: SpentBits) -> SecretBytes:
    """Return the announced block at the station whose part is ``own``. Consumes the spent bits; raises
    AuthenticationFailed."""
    bits = spent.secret.take()
    check_message_tag(bits[:MESSAGE_KEY_BYTES], bytes.fromhex(own.tag), _header(word), body)
    key = bits[MESSAGE_KEY_BYTES:]
    return SecretBytes(key if own == word.parts[0] else xor(key, body))


def check_shape(word: KeyAnnounced, body: bytes, *, sender: NodeId, context: Context) -> NodeId:
    """Return the other station; raises FrameError unless ``sender`` is the satellite of both and all is of one size."""
    link = context.network.link(word.link_id)
    if link.kind != "announced" or link.satellite != sender or context.node not in link.ends:
        raise FrameError(f"{sender!r} announces key of {word.link_id!r}, which is not its to announce")
    downlinks = [context.network.link_between(NodeId(sender), end).link_id for end in link.ends]
    if [part.link_id for part in word.parts] != downlinks:
        raise FrameError(f"announcement {word.block_id}: its parts are not of the two stations' downlinks")
    size_bits = word.num_bits + MESSAGE_KEY_BITS
    sizes = {8 * len(body) + MESSAGE_KEY_BITS, *(part.bits.num_bits for part in word.parts)}
    if sizes != {size_bits} or not LEAST_BITS <= word.num_bits <= MOST_BITS:
        raise FrameError(f"announcement {word.block_id}: its parts and its body are not of one size")
    if not (0.0 <= word.eps_sec <= 1.0 and 0.0 <= word.eps_cor <= 1.0):
        raise FrameError(f"announcement {word.block_id}: a failure bound is no probability")
    if any(len(part.tag) != 32 or set(part.tag) - set("0123456789abcdef") for part in word.parts):
        raise FrameError(f"announcement {word.block_id}: a tag is malformed")
    return link.peer_of(context.node)


def _header(word: KeyAnnounced) -> bytes:
    """Return the one spelling of all that the tags protect besides the body."""
    kind, fields = encode_word(replace(word, parts=tuple(replace(part, tag="") for part in word.parts)))
    return canonical_json({"kind": kind, **fields})


def _sender(spent: SpentBits) -> NodeId:
    assert spent.pool.sender is not None, "a reserve is not announced"
    return spent.pool.sender


def _pairs_of(context: Context) -> Iterator[_Pair]:
    """Yield the pairs of stations that this node is the satellite of."""
    network = context.network
    for link in network.links:
        if link.kind == "announced" and link.satellite == context.node:
            one, other = (network.link_between(context.node, end).link_id for end in link.ends)
            yield _Pair(link, link.ends, (one, other))


def _origin(context: Context, pair: _Pair) -> Origin:
    """Device only where both downlinks' modules are."""
    return "device" if {context.links.origin(link) for link in pair.downlinks} == {"device"} else "twin"

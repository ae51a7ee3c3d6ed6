"""Store and forward by a satellite: it holds key with two stations and announces the sum, so that they share key.

    satellite: spend as much key with one station as with the other, and keep their sum (one transaction) -> say it
    station:   spend the same bits of its own key, work out the block -> durable here -> "heard" to the satellite
    stations:  the block counts when both hold it, as a block of any link does (``intake``)

The satellite says an announcement until both stations have heard it, over its own restarts; hours may lie between. Each
station is told one at a time, the next as soon as it has heard one; one that is away, more and more seldom. Who
has neither station's key learns nothing from a sum of the two. The satellite knows both: it is a trusted node, and the
records of keys that went this way name it.

A station spends its bits and keeps the block in one transaction: whenever it dies, it has done both or neither, and
then hears the announcement again. Over its restart it asks the other station on whether the block counts. Only where
its bits are gone, or its tag is wrong, is the block lost, and it has the other station destroy its copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
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
from qanat.key_management.portions import Portions
from qanat.key_management.vouching import Vouching
from qanat.key_management.wire import AnnouncedPart, AnnouncementHeard, BlocksMissing, Heard, KeyAnnounced

MESSAGE_KEY_BYTES: Final = MESSAGE_KEY_BITS // 8
LEAST_BITS: Final = 1_024
"""A sum of less than this is not worth its tags: the satellite waits for more key."""
MOST_BITS: Final = 2**23
"""One announcement has no more key than this, a megabyte."""
AGAIN_S: Final = 5.0
"""A station that did not answer is told something again after this time, then after twice that, and so on."""
MOST_AGAIN_S: Final = 40.0
"""A station that is away is told something so often, however long it has been: it may be a line that is back."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two stations of this satellite, the link between them, and the downlink to each; names in the order of parts."""

    link: Link
    stations: tuple[NodeId, NodeId]
    downlinks: tuple[LinkId, LinkId]

    def pools(self, satellite: NodeId) -> Iterator[tuple[PoolId, PoolId]]:
        """Yield what is announced together, in each direction of the downlinks."""
        for senders in ((satellite, satellite), self.stations):
            one, other = (PoolId(link, sender) for link, sender in zip(self.downlinks, senders, strict=True))
            yield one, other


@dataclass(slots=True)
class _Ear:
    """What one station has not heard, in the order in which it is said, and when it is told something next."""

    unheard: dict[BlockId, None] = field(default_factory=dict)
    pause_s: float = AGAIN_S
    next_monotonic_s: float = float("-inf")

    def is_there(self) -> None:
        """The station has answered: it may be told the next one at once."""
        self.pause_s, self.next_monotonic_s = AGAIN_S, float("-inf")

    def next(self, now_s: float) -> BlockId | None:
        """Return what is to be said now, if anything, and begin the pause after it; it comes last from then on, so that
        one which a station does not take holds up no other."""
        if not self.unheard or now_s < self.next_monotonic_s:
            return None
        self.next_monotonic_s, self.pause_s = now_s + self.pause_s, min(2 * self.pause_s, MOST_AGAIN_S)
        block_id = next(iter(self.unheard))
        self.unheard[block_id] = self.unheard.pop(block_id)
        return block_id


class Announcer:
    """The satellite's part. Nothing is kept in memory but who has not heard what: texts stay in the store till they are
    said, each of them up to a megabyte."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pairs = tuple(_pairs_of(context))
        shared_by: dict[PoolId, list[LinkId]] = {}
        for pair in self._pairs:
            for pool in chain.from_iterable(pair.pools(context.node)):
                shared_by.setdefault(pool, []).append(pair.link.link_id)
        self._portions = Portions(shared_by)
        self._awaited: dict[BlockId, set[NodeId]] = {}
        self._ears = {station: _Ear() for pair in self._pairs for station in pair.stations}
        self._unsaid: set[BlockId] = set()  # of links that are no more: a network file with them would have them said
        self._looked_monotonic_s = float("-inf")

    async def tick(self) -> None:
        """Announce what two stations both have key for, and say again what somebody has not heard."""
        if not self._pairs:
            return
        now_s = self._context.clock.monotonic_s()
        if now_s - self._looked_monotonic_s >= AGAIN_S:
            self._looked_monotonic_s = now_s
            await self._look()
        await self._announce()
        for station in self._ears:
            await self._say_next(station)

    async def on_heard(self, sender: NodeId, word: AnnouncementHeard) -> None:
        """A station has acted on an announcement; when both have, it is forgotten."""
        stations = self._awaited.get(word.block_id)
        if stations is None or sender not in stations:
            return  # it has said so before, or it is said again after a restart
        stations.discard(sender)
        ear = self._ears[sender]
        del ear.unheard[word.block_id]
        ear.is_there()
        if not stations:
            await self._forget(word.block_id)
        await self._say_next(sender)

    def on_opened(self, sender: NodeId) -> None:
        """A station has come up: it need not wait as long as one that is away."""
        if (ear := self._ears.get(sender)) is not None:  # it may say so often, and is not told more often for that
            soon_s = self._context.clock.monotonic_s() + AGAIN_S
            ear.pause_s, ear.next_monotonic_s = AGAIN_S, min(soon_s, ear.next_monotonic_s)

    async def _look(self) -> None:
        """Find what is to be said since before the start, one text at a time, and forget what the store failed to."""
        for block_id in map(BlockId, await self._context.store.notice_ids()):
            if (stations := self._awaited.get(block_id)) is None:
                await self._find_stations(block_id)
            elif not stations:
                await self._forget(block_id)

    async def _find_stations(self, block_id: BlockId) -> None:
        """Take down who has not heard an announcement from before the start, if the network still has the link."""
        if block_id in self._unsaid or (text := await self._context.store.notice(block_id)) is None:
            return
        word = decode_word(decode_message(text))
        assert isinstance(word, KeyAnnounced)
        for pair in self._pairs:
            if pair.link.link_id == word.link_id:
                self._await(block_id, pair.stations)
                return
        self._unsaid.add(block_id)

    def _await(self, block_id: BlockId, stations: tuple[NodeId, NodeId]) -> None:
        self._awaited[block_id] = set(stations)
        for station in stations:
            self._ears[station].unheard[block_id] = None

    async def _forget(self, block_id: BlockId) -> None:
        await self._context.store.drop_notice(block_id)
        self._awaited.pop(block_id, None)

    async def _announce(self) -> None:
        """Spend each two stations' portions of what there is of both their key."""
        portions, levels = self._portions, await self._context.store.levels()
        every = [(pair, pools) for pair in self._pairs for pools in pair.pools(self._context.node)]
        for pool in dict.fromkeys(chain.from_iterable(pools for _, pools in every)):
            portions.note(pool, levels[pool].available_bits if pool in levels else 0)
        for pair, pools in every:
            there_bits = min(portions.of(pool, pair.link.link_id) for pool in pools)
            num_bits = min(there_bits - MESSAGE_KEY_BITS, MOST_BITS) // 8 * 8
            if num_bits >= LEAST_BITS:
                await self._spend(pair, pools, num_bits)

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
        for pool in pools:
            self._portions.take(pool, pair.link.link_id, num_bits + MESSAGE_KEY_BITS)
        self._await(block_id, pair.stations)
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

    async def _say_next(self, station: NodeId) -> None:
        """Tell a station one announcement, if it has not heard one and its pause is over."""
        context, ear = self._context, self._ears[station]
        if (block_id := ear.next(context.clock.monotonic_s())) is None:
            return
        if (text := await context.store.notice(block_id)) is None or block_id not in ear.unheard:
            return  # heard meanwhile
        message = decode_message(text)
        await context.courier.send(station, decode_word(message), body=message.body)


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
    """Yield the pairs of stations whose keys go over what this node, a satellite, announces."""
    network = context.network
    for link in network.relayed_links:
        if link.kind == "announced" and link.satellite == context.node:
            one, other = (network.link_between(context.node, end).link_id for end in link.ends)
            yield _Pair(link, link.ends, (one, other))


def _origin(context: Context, pair: _Pair) -> Origin:
    """Device only where both downlinks' modules are."""
    return "device" if {context.links.origin(link) for link in pair.downlinks} == {"device"} else "twin"

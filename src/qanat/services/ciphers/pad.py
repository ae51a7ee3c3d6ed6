"""One-time pad with Wegman-Carter tags: secret and authentic whatever anybody can compute.

Of network key each record takes as many bits as it has content, and 256 for its tag (``ground.authentication``: hash
key and pad; a forgery succeeds with odds of at most ``8 ceil(L / 16) / 2^106``). The keys that a record needs are named
in it; what a key has left serves the next record; what the last record leaves is destroyed. No bit is used twice: a key
manager gives a key once, and each end takes its bits in one order.

It is never replaced by anything else. ``quote_pad`` says beforehand what is needed and what is in stock.
"""

from __future__ import annotations

import hmac
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qanat.ground.authentication import MESSAGE_KEY_BITS, PadAccount, message_tag
from qanat.ground.errors import BadParameter, FrameError, KeyNotFound, KeyShortage, NotEntitled
from qanat.ground.identifiers import SaeId
from qanat.ground.keys import KeyStatus, SecretKey
from qanat.ground.ports import Clock, KeySupply
from qanat.services.ciphers.context import StreamContext
from qanat.services.ciphers.faults import KeyUnknown, PadShortage
from qanat.services.ciphers.layout import (
    HEADER_BYTES,
    KEY_ID_BYTES,
    MARK_BYTES,
    MAX_KEY_IDS,
    NO_KEY_ID,
    TAG_BYTES,
    Buffer,
    RecordHeader,
    RecordKind,
    key_id_bytes,
    key_id_text,
    read_header,
    write_header,
)
from qanat.services.ciphers.port import Opened
from qanat.services.ciphers.refresh import GROUP_KEY_BITS
from qanat.services.ciphers.sender_keys import keys_with_patience
from qanat.services.ciphers.stream import StreamOrder

MOST_BITS_PER_CALL = 2**19
"""What is asked of a key manager at once; ours gives no more."""
LONGEST_KEY_BITS = 2**16
SHORT_KEY_BYTES = 16
"""Pads are seldom cut into keys as short as this: room for their ids is kept in a record."""
TAG_KEY_BYTES = MESSAGE_KEY_BITS // 8


@dataclass(frozen=True, slots=True)
class PadQuote:
    """What a one-time pad would take and what the network has in stock for it, in bits."""

    needed_bits: int
    stocked_bits: int

    @property
    def is_enough(self) -> bool:
        return self.stocked_bits >= self.needed_bits

    def check(self) -> None:
        """Raise PadShortage unless there is enough."""
        if not self.is_enough:
            raise PadShortage(needed_bits=self.needed_bits, stocked_bits=self.stocked_bits)


def pad_bits(*, content_bytes: int, num_records: int) -> int:
    """Return how many bits of key records with so much content in all take."""
    return 8 * content_bytes + MESSAGE_KEY_BITS * num_records


async def quote_pad(supply: KeySupply, peer: SaeId, *, content_bytes: int, num_records: int) -> PadQuote:
    """Return what a pad for so much would take, and what the stock has; asks for no key."""
    status = await supply.get_status(peer)
    return PadQuote(
        pad_bits(content_bytes=content_bytes, num_records=num_records),
        status.stored_key_count * status.key_size_bits,
    )


class _Pad:
    """The bits of several keys, one after the other, each given out once."""

    def __init__(self) -> None:
        self._keys: deque[PadAccount] = deque()

    @property
    def left_bytes(self) -> int:
        return sum(key.left_bits for key in self._keys) // 8

    def add(self, key: SecretKey) -> None:
        self._keys.append(PadAccount(key.secret))

    def take(self, num_bytes: int) -> bytes:
        parts = []
        while num_bytes:
            account = self._keys[0]
            size = min(num_bytes, account.left_bits // 8)
            parts.append(account.spend(8 * size))
            num_bytes -= size
            if not account.left_bits:
                self._keys.popleft().destroy()
        return b"".join(parts)

    def destroy(self) -> None:
        while self._keys:
            self._keys.popleft().destroy()


class PadSealer:
    """Seals the records of one stream by one-time pad.

    ``gather`` first: it takes the keys for all that is to come, or raises PadShortage and gives nothing away to a line.
    A record for which nothing was gathered asks for its own keys.
    """

    def __init__(self, context: StreamContext, supply: KeySupply, *, clock: Clock, patience_s: float = 0.0) -> None:
        self.num_keys = 0
        self._digest = context.digest()
        self._peer = context.recipient
        self._supply = supply
        self._clock = clock
        self._patience_s = patience_s
        self._status: KeyStatus | None = None
        self._pad = _Pad()
        self._unnamed: list[bytes] = []
        self._number = 0
        self._is_over = False

    def room_for(self, content_bytes: int, /) -> int:
        """Return how long a record of so much content is at most, with the ids of all keys that are not named yet."""
        own = (content_bytes + TAG_KEY_BYTES) // SHORT_KEY_BYTES + 2
        return HEADER_BYTES + min(len(self._unnamed) + own, MAX_KEY_IDS) * KEY_ID_BYTES + content_bytes + TAG_BYTES

    @property
    def is_over(self) -> bool:
        """Whether the last record was sealed, or the pad destroyed."""
        return self._is_over

    async def gather(self, *, content_bytes: int, num_records: int, wait_s: float = 0.0) -> PadQuote:
        """Take the keys for so many records with so much content in all.

        What is at hand counts. The stock is looked at first; with ``wait_s`` the network is given that long to make
        what is missing, and us to take all of it: then no further call is made, and one that runs ends when the key
        manager ends it. A stock that suffices is taken however long that takes. Raises PadShortage with both figures.
        When taking keys fails, whatever it fails by, those that were taken are destroyed and the stream is over.
        """
        quote = await quote_pad(self._supply, self._peer, content_bytes=content_bytes, num_records=num_records)
        needed_bits = quote.needed_bits
        quote = PadQuote(max(0, needed_bits - 8 * self._pad.left_bytes), quote.stocked_bits)
        if wait_s <= 0:
            quote.check()
        end_s, least_s = self._clock.monotonic_s() + wait_s, 0.0 if quote.is_enough else -math.inf

        def left_s() -> float:
            return max(least_s, end_s - self._clock.monotonic_s())

        try:
            await self._take_keys(-(-needed_bits // 8), patience_s=left_s)
        except KeyShortage as shortage:
            stocked = 8 * self._pad.left_bytes
            self.forget()
            raise PadShortage(
                needed_bits=needed_bits,
                stocked_bits=stocked,
                retry_after_s=shortage.retry_after_s,
                waited_s=wait_s,
            ) from None
        except BaseException:
            self.forget()
            raise
        return quote

    async def seal(self, content: Buffer, *, kind: RecordKind = RecordKind.DATA, is_last: bool = False) -> bytes:
        """Return the next record; raises PadShortage."""
        room = memoryview(bytearray(self.room_for(len(content))))
        return bytes(room[: await self.seal_into(content, room, kind=kind, is_last=is_last)])

    async def seal_into(
        self, content: Buffer, room: memoryview, /, *, kind: RecordKind = RecordKind.DATA, is_last: bool = False
    ) -> int:
        """Write the next record into ``room`` and return its length."""
        if self._is_over:
            raise ValueError("the last record of this stream was sealed")
        size = len(content)
        needed = size + TAG_KEY_BYTES
        try:
            await self._take_keys(needed, patience_s=lambda: self._patience_s)
        except KeyShortage:
            raise PadShortage(needed_bits=8 * needed, stocked_bits=8 * self._pad.left_bytes) from None
        ids, self._unnamed = self._unnamed[:MAX_KEY_IDS], self._unnamed[MAX_KEY_IDS:]
        header = RecordHeader(kind, is_last, len(ids), self._digest[:MARK_BYTES], NO_KEY_ID, self._number)
        write_header(room, header)
        start = HEADER_BYTES + KEY_ID_BYTES * len(ids)
        room[HEADER_BYTES:start] = b"".join(ids)
        self._number, self._is_over = self._number + 1, is_last
        tag_key, pad = self._pad.take(TAG_KEY_BYTES), self._pad.take(size)
        room[start : start + size] = _xor(content, pad)
        end = start + size + TAG_BYTES
        room[start + size : end] = message_tag(tag_key, self._digest, bytes(room[: start + size]))
        return end

    def forget(self) -> None:
        """Destroy what is left of the pad."""
        self._is_over = True
        self._pad.destroy()

    async def _take_keys(self, num_bytes: int, *, patience_s: Callable[[], float]) -> None:
        """Have so many bytes of pad at hand."""
        if self._status is None and num_bytes > self._pad.left_bytes:
            self._status = await self._supply.get_status(self._peer)
        while (missing := num_bytes - self._pad.left_bytes) > 0:
            assert self._status is not None
            if patience_s() < 0:
                raise KeyShortage("the wait for a one-time pad is over")
            size_bits, count = _keys_for(8 * missing, self._status)
            keys = await keys_with_patience(
                self._supply,
                self._peer,
                count=count,
                size_bits=size_bits,
                clock=self._clock,
                patience_s=patience_s(),
            )
            self._add(keys)

    def _add(self, keys: Sequence[SecretKey]) -> None:
        for key in keys:
            self._unnamed.append(key_id_bytes(key.key_id))
            self._pad.add(key)
        self.num_keys += len(keys)


class PadOpener:
    """Opens the records that a ``PadSealer`` sealed. Once it has raised, give the stream up."""

    def __init__(self, context: StreamContext, supply: KeySupply) -> None:
        self.num_keys = 0
        self._order = StreamOrder(context)
        self._peer = context.sender
        self._supply = supply
        self._pad = _Pad()

    async def open(self, record: Buffer) -> Opened:
        """Return what the next record holds; raises RecordRefused, FrameError, and what the supply raises."""
        return await self.open_into(record, memoryview(bytearray(len(record))))

    async def open_into(self, record: Buffer, room: memoryview, /) -> Opened:
        """The same, written to the beginning of ``room``."""
        header = read_header(record)
        self._order.check(header)
        view = memoryview(record)
        start, end = HEADER_BYTES + KEY_ID_BYTES * header.num_ids, len(view) - TAG_BYTES
        if end < start:
            raise FrameError("a record that ends within its key ids")
        ids = bytes(view[HEADER_BYTES:start])
        await self._fetch([ids[at : at + KEY_ID_BYTES] for at in range(0, len(ids), KEY_ID_BYTES)])
        if self._pad.left_bytes < TAG_KEY_BYTES + end - start:
            raise FrameError("a record that is longer than the pad of the keys it names", remedy="report the sender")
        tag_key, pad = self._pad.take(TAG_KEY_BYTES), self._pad.take(end - start)
        if not hmac.compare_digest(message_tag(tag_key, self._order.digest, bytes(view[:end])), bytes(view[end:])):
            raise self._order.altered(header.number)
        self._order.took(header)
        content = room[: end - start]
        content[:] = _xor(view[start:end], pad)
        return Opened(RecordKind(header.kind), content, header.is_last)

    def finish(self) -> None:
        """Raise Truncated unless the last record of the stream was opened."""
        self._order.finish()

    def forget(self) -> None:
        """Destroy what is left of the pad."""
        self._pad.destroy()

    async def _fetch(self, ids: Sequence[bytes]) -> None:
        step = 8  # keys of the greatest length: what our key manager gives at once
        for at in range(0, len(ids), step):
            try:
                keys = await self._supply.get_keys_by_id(self._peer, [key_id_text(raw) for raw in ids[at : at + step]])
            except (KeyNotFound, NotEntitled, BadParameter):
                raise KeyUnknown(
                    f"a record came under pads that our key manager does not hold for us from {self._peer}: it was "
                    "played again, is for somebody else, or waited for too long",
                    remedy="let the sender send it again, to the right recipient; if it did, look for who repeats it",
                ) from None
            if any(key.size_bits in GROUP_KEY_BITS for key in keys):
                raise KeyUnknown(
                    f"a record came under the key of a group of {self._peer}, which is no pad of the two: another "
                    "member may have sealed it",
                    remedy="look for who calls in the sender's name",
                )
            for key in keys:
                self._pad.add(key)
            self.num_keys += len(keys)


def _keys_for(num_bits: int, status: KeyStatus) -> tuple[int, int]:
    """Return size and count of the keys of the next call towards ``num_bits`` of pad."""
    most = min(status.max_key_size_bits, LONGEST_KEY_BITS) // 8 * 8
    size = max(min(num_bits, most), status.min_key_size_bits)
    if size in GROUP_KEY_BITS:
        size += 8 if size < most else -8
    count = min(-(-num_bits // size), status.max_keys_per_request, max(1, MOST_BITS_PER_CALL // size))
    return size, count


def _xor(left: Buffer, right: bytes) -> bytes:
    return (int.from_bytes(left, "little") ^ int.from_bytes(right, "little")).to_bytes(len(right), "little")

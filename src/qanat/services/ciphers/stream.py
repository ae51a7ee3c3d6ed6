"""AES-GCM for an ordered stream: every record is the next one, or it is refused."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag

from qanat.services.ciphers.context import StreamContext
from qanat.services.ciphers.faults import LOOK_AT_LINE, Altered, NotForUs, OutOfOrder, Replayed, Truncated
from qanat.services.ciphers.layout import (
    HEADER_BYTES,
    MARK_BYTES,
    MOST_NUMBER,
    OVERHEAD_BYTES,
    TAG_BYTES,
    Buffer,
    RecordHeader,
    RecordKind,
    nonce_of,
    read_header,
    write_header,
)
from qanat.services.ciphers.port import Opened
from qanat.services.ciphers.recipient_keys import RecipientKeys
from qanat.services.ciphers.sender_keys import SenderKeys


class StreamSealer:
    """Seals the records of one stream, in order; asks for a fresh key whenever one is due."""

    def __init__(self, context: StreamContext, keys: SenderKeys) -> None:
        self._digest = context.digest()
        self._keys = keys
        self._number = 0
        self._is_over = False

    @property
    def num_keys(self) -> int:
        """Keys that were taken from the network."""
        return self._keys.num_keys

    async def prepare(self, *, content_bytes: int) -> None:
        """Take the first key now, before anybody is kept waiting for it; raises what ``seal`` raises.

        Where keys are refreshed by bytes, those for ``content_bytes`` are asked for together.
        """
        await self._keys.expect(content_bytes)
        await self._keys.renew_if_due()

    def room_for(self, content_bytes: int, /) -> int:
        """Return how long a record of so much content is."""
        return content_bytes + OVERHEAD_BYTES

    async def seal(self, content: Buffer, *, kind: RecordKind = RecordKind.DATA, is_last: bool = False) -> bytes:
        """Return the next record. Raises KeyShortage and what the supply raises."""
        room = bytearray(self.room_for(len(content)))
        await self.seal_into(content, memoryview(room), kind=kind, is_last=is_last)
        return bytes(room)

    async def seal_into(
        self, content: Buffer, room: memoryview, /, *, kind: RecordKind = RecordKind.DATA, is_last: bool = False
    ) -> int:
        """Write the next record into ``room`` and return its length; nothing is copied on the way."""
        if self._is_over:
            raise ValueError("the last record of this stream was sealed")
        await self._keys.renew_if_due()
        number, size = self._number, len(content)
        write_header(room, RecordHeader(kind, is_last, 0, self._digest[:MARK_BYTES], self._keys.key_id, number))
        self._number, self._is_over = number + 1, is_last or number == MOST_NUMBER
        associated = self._digest + bytes(room[:HEADER_BYTES])
        end = HEADER_BYTES + size + TAG_BYTES
        self._keys.cipher_for(size).encrypt_into(nonce_of(number), content, associated, room[HEADER_BYTES:end])
        return end

    def forget(self) -> None:
        """Drop the key; nothing more can be sealed."""
        self._is_over = True
        self._keys.forget()


class StreamOrder:
    """Which record of a stream is due, and what it means when another comes."""

    def __init__(self, context: StreamContext) -> None:
        self.digest = context.digest()
        self._context = context
        self._next = 0
        self._is_over = False

    def check(self, header: RecordHeader) -> None:
        """Raise NotForUs, Replayed or OutOfOrder unless the record is the one that is due."""
        sender = self._context.sender
        if header.mark != self.digest[:MARK_BYTES]:
            raise NotForUs(
                f"a record that is not of this stream of {sender}: it was sealed for another recipient or stream, or "
                "was altered on the way",
                remedy="let the sender check whom it sends to; if it did, look for who puts records on the line",
            )
        if header.number < self._next:
            raise Replayed(
                f"record {header.number} of {sender} came again: somebody on the line repeats records",
                remedy=LOOK_AT_LINE,
            )
        if header.number > self._next or self._is_over:
            raise OutOfOrder(
                f"record {header.number} of {sender} came where {self._next} was due: records were left out or "
                "exchanged on the line",
                remedy=LOOK_AT_LINE,
            )

    def took(self, header: RecordHeader) -> None:
        """The record that was due was opened."""
        self._next += 1
        self._is_over = header.is_last

    def altered(self, number: int) -> Altered:
        """Return the fault of a record whose tag does not fit."""
        return Altered(
            f"record {number} of {self._context.sender} does not fit its tag: it was altered on the way, or the two "
            "ends hold different keys",
            remedy=LOOK_AT_LINE,
        )

    def finish(self) -> None:
        """Raise Truncated unless the last record was opened."""
        if not self._is_over:
            raise Truncated(
                f"the stream of {self._context.sender} ended after {self._next} records and before its last: the "
                "sender stopped, or the line was cut",
                remedy="let the sender send it again",
            )


class StreamOpener:
    """Opens the records of one stream. Once it has raised, give the stream up."""

    def __init__(self, context: StreamContext, keys: RecipientKeys) -> None:
        self._order = StreamOrder(context)
        self._keys = keys

    async def open(self, record: Buffer) -> Opened:
        """Return what the next record holds; raises RecordRefused, FrameError, and what the supply raises."""
        return await self.open_into(record, memoryview(bytearray(max(0, len(record) - OVERHEAD_BYTES))))

    async def open_into(self, record: Buffer, room: memoryview, /) -> Opened:
        """The same, written to the beginning of ``room``; nothing is copied on the way."""
        header = read_header(record)
        self._order.check(header)
        cipher = await self._keys.cipher_of(header.key_id)
        view = memoryview(record)
        content = room[: len(view) - OVERHEAD_BYTES]
        associated = self._order.digest + bytes(view[:HEADER_BYTES])
        try:
            cipher.decrypt_into(nonce_of(header.number), view[HEADER_BYTES:], associated, content)
        except InvalidTag:
            raise self._order.altered(header.number) from None
        self._order.took(header)
        self._keys.opened_under(header.key_id)
        return Opened(RecordKind(header.kind), content, header.is_last)

    def finish(self) -> None:
        """Raise Truncated unless the last record of the stream was opened."""
        self._order.finish()

    def forget(self) -> None:
        """Drop the keys."""
        self._keys.forget()

"""The sender's end of a file transfer."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from qanat.ground.clock import Deadline
from qanat.ground.errors import BadParameter, FrameError, KeyManagementError, KeyShortage, LinkFailed
from qanat.ground.events import EventKind, Json
from qanat.ground.identifiers import EventId, RequestId, SaeId
from qanat.ground.keys import SecretKey
from qanat.ground.ports import ClassicalChannel, Clock, KeySupply
from qanat.ground.tracing import Trace
from qanat.services.chunks import Chunk, cut_into_chunks
from qanat.services.transfer import FileSettings, Progress, ProgressCallback, check_kind, next_frame, refusing
from qanat.services.transfer_frames import (
    KEY_BITS,
    OVERHEAD_BYTES,
    Opening,
    TransferKind,
    is_file_name,
    open_frame,
    seal_frame,
)

FIRST_BATCH_KEYS = 4
"""Chunk keys asked at first for a stream of unknown length; each later batch is as large as all before it."""
SHORTEST_PAUSE_S = 0.1
"""Between two requests for keys that are not there yet, whatever the key manager hints."""


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that the receiver has confirmed. ``encoded`` and ``delivered`` are the events of steps 9 and 10."""

    name: str
    size_bytes: int
    num_chunks: int
    num_keys: int
    request_id: RequestId
    encoded: EventId
    delivered: EventId


async def send_file(
    chunks: AsyncIterator[bytes],
    *,
    supply: KeySupply,
    peer: SaeId,
    channel: ClassicalChannel,
    trace: Trace,
    clock: Clock,
    name: str,
    size_bytes: int | None = None,
    on_progress: ProgressCallback | None = None,
    settings: FileSettings | None = None,
) -> SentFile:
    """Send a stream of bytes to ``peer`` and return when the peer has confirmed all of it.

    ``chunks`` come in pieces of any length; memory stays constant. ``size_bytes`` says their sum, None when nobody
    knows it (then some keys may be asked in vain). ``supply`` is this SAE's and leaves its newest event on ``trace``.
    ``channel`` serves one transfer after another; after a failure close it.

    Raises BadParameter (name, or a stream that is not ``size_bytes`` long), KeyShortage (after ``patience_s``),
    AuthenticationFailed, FrameError, RefusedByPeer, ChannelError, and what ``supply`` and ``chunks`` raise.
    """
    settings = settings or FileSettings()
    if not is_file_name(name):
        raise BadParameter(f"{name!r} is no file name", remedy="give the bare name, without folders, in 255 bytes")
    if settings.chunk_bytes + OVERHEAD_BYTES > channel.max_frame_bytes:
        raise ValueError(f"chunks of {settings.chunk_bytes} bytes do not fit the channel's frames")
    sending = _Sending(supply, peer, channel, trace, clock, name, size_bytes, on_progress, settings)
    trace.record(EventKind.REQUEST, service="file", name=name, size_bytes=size_bytes, peer=peer)
    try:
        async with (
            refusing(channel, drain_s=None),
            aclosing(cut_into_chunks(chunks, chunk_bytes=settings.chunk_bytes)) as pieces,
        ):
            return await sending.run(pieces)
    finally:
        sending.forget_keys()


class _Sending:
    """One transfer: what was asked, announced and sent so far."""

    def __init__(
        self,
        supply: KeySupply,
        peer: SaeId,
        channel: ClassicalChannel,
        trace: Trace,
        clock: Clock,
        name: str,
        size_bytes: int | None,
        on_progress: ProgressCallback | None,
        settings: FileSettings,
    ) -> None:
        self._supply = supply
        self._peer = peer
        self._channel = channel
        self._trace = trace
        self._clock = clock
        self._name = name
        self._size_bytes = size_bytes
        self._on_progress = on_progress
        self._settings = settings
        self._keys: deque[SecretKey] = deque()
        self._keys_taken = 0
        self._batch_keys = settings.keys_per_request
        self._announced = 0
        self._sent_chunks = 0
        self._sent_bytes = 0
        self._transfer = b""
        self._control: AESGCM

    async def run(self, pieces: AsyncIterator[tuple[Chunk, bool]]) -> SentFile:
        status = await self._supply.get_status(self._peer)
        self._batch_keys = min(self._batch_keys, status.max_keys_per_request)
        control, *rest = await self._ask_keys(1 + min(self._batch_keys - 1, self._keys_wanted()))
        self._keys.extend(rest)
        self._control = AESGCM(control.take())
        encoded: EventId | None = None
        async for content, is_last in pieces:
            self._check_size(len(content), is_last=is_last)
            if encoded is None:
                encoded = self._trace.record(EventKind.MESSAGE_ENCODED, name=self._name, cipher="AES-128-GCM").id
                await self._send_opening(control, sender=status.master, cause=encoded)
            if self._sent_chunks == self._announced:
                await self._announce_keys()
            await self._send_chunk(content, is_last=is_last)
        assert encoded is not None, "a stream has a last chunk, empty or not"
        delivered = await self._receipt()
        self._trace.follow(delivered)
        return SentFile(
            name=self._name,
            size_bytes=self._sent_bytes,
            num_chunks=self._sent_chunks,
            num_keys=self._keys_taken,
            request_id=self._trace.request_id,
            encoded=encoded,
            delivered=delivered,
        )

    def forget_keys(self) -> None:
        """Wipe the keys that no chunk has used; they are not given back."""
        for key in self._keys:
            key.secret.wipe()
        self._keys.clear()

    def _keys_wanted(self) -> int:
        """Return how many chunk keys to ask for next."""
        if self._size_bytes is None:
            return max(FIRST_BATCH_KEYS, self._announced)
        num_chunks = max(1, -(-self._size_bytes // self._settings.chunk_bytes))
        return num_chunks - self._announced

    async def _ask_keys(self, count: int) -> Sequence[SecretKey]:
        deadline = Deadline.after(self._clock, self._settings.patience_s)
        while True:
            try:
                keys = await self._supply.get_keys(self._peer, count=count, size_bits=KEY_BITS)
                break
            except LinkFailed as failed:  # what a link cannot make, waiting does not bring
                raise LinkFailed(
                    f"no {count} keys with {self._peer}: {failed.message}",
                    remedy=failed.remedy or "look at the links on the way",
                    retry_after_s=failed.retry_after_s,
                ) from None
            except KeyShortage as shortage:
                if shortage.retry_after_s >= deadline.left_s:
                    raise KeyShortage(
                        f"no {count} keys with {self._peer}, nor hope of them within {self._settings.patience_s:g} s: "
                        f"{shortage.message}",
                        remedy=shortage.remedy or "look at the links on the way, or wait longer for them",
                        retry_after_s=shortage.retry_after_s,
                    ) from None
                pause_s = max(shortage.retry_after_s, SHORTEST_PAUSE_S)
                await self._clock.sleep_until(self._clock.monotonic_s() + pause_s)
        if len(keys) != count or any(key.size_bits != KEY_BITS for key in keys):
            raise KeyManagementError(
                f"{count} keys of {KEY_BITS} bits were asked, {len(keys)} or others came",
                remedy="report the key manager",
            )
        self._keys_taken += count
        return keys

    def _check_size(self, num_bytes: int, *, is_last: bool) -> None:
        if self._size_bytes is None:
            return
        total_bytes = self._sent_bytes + num_bytes
        if total_bytes > self._size_bytes or (is_last and total_bytes < self._size_bytes):
            raise BadParameter(
                f"{self._name!r} was to have {self._size_bytes} bytes and has {total_bytes}"
                + ("" if is_last else " or more"),
                remedy="send a file that nobody writes to, or do not say its size",
            )

    async def _send_opening(self, control: SecretKey, *, sender: SaeId, cause: EventId) -> None:
        opening = Opening(
            sender=sender,
            request_id=self._trace.request_id,
            cause=cause,
            name=self._name,
            size_bytes=self._size_bytes,
            chunk_bytes=self._settings.chunk_bytes,
            key_id=control.key_id,
        )
        await self._send_control(TransferKind.OPENING, opening.header(), number=0)
        self._transfer = opening.digest()

    async def _announce_keys(self) -> None:
        """Tell the receiver the ids of the next chunks' keys, and wait until it holds them."""
        if not self._keys:
            self._keys.extend(await self._ask_keys(min(self._batch_keys, self._keys_wanted())))
        first = self._announced
        header: dict[str, Json] = {"first": first, "key_ids": [key.key_id for key in self._keys]}
        await self._send_control(TransferKind.KEYS, header, number=first)
        self._announced += len(self._keys)
        answer = await self._answer(TransferKind.READY, number=first)
        if answer != {"first": first}:
            raise FrameError(f"the receiver is ready for other chunks than {first}", remedy="update the older side")

    async def _send_chunk(self, content: Chunk, *, is_last: bool) -> None:
        self._sent_bytes += len(content)
        number = self._sent_chunks
        header: dict[str, Json] = {"number": number, "total_bytes": self._sent_bytes if is_last else None}
        cipher = AESGCM(self._keys.popleft().take())
        await self._channel.send(
            seal_frame(TransferKind.CHUNK, header, content, cipher=cipher, number=number, transfer=self._transfer)
        )
        self._sent_chunks += 1
        if self._on_progress is not None:
            self._on_progress(Progress(self._sent_bytes, self._size_bytes, self._sent_chunks))

    async def _receipt(self) -> EventId:
        header = await self._answer(TransferKind.RECEIPT, number=0)
        match header:
            case {"event": str(event), "num_chunks": self._sent_chunks, "size_bytes": self._sent_bytes}:
                return EventId(event)
        raise FrameError("the receipt is for another file than was sent", remedy="update the older side")

    async def _send_control(self, kind: TransferKind, header: dict[str, Json], *, number: int) -> None:
        await self._channel.send(seal_frame(kind, header, cipher=self._control, number=number, transfer=self._transfer))

    async def _answer(self, kind: TransferKind, *, number: int) -> dict[str, Json]:
        """Return the header of the receiver's next frame, which must be of this kind and well sealed."""
        frame = await next_frame(self._channel, timeout_s=self._settings.silence_s, peer=self._peer)
        check_kind(frame, kind)
        open_frame(frame, cipher=self._control, number=number, transfer=self._transfer)
        return dict(frame.header)

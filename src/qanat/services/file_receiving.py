"""The receiver's end of a file transfer."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from qanat.ground.errors import FrameError, KeyManagementError, PeerProtocolError
from qanat.ground.events import EventKind, Json
from qanat.ground.identifiers import EventId, KeyID, RequestId, SaeId
from qanat.ground.keys import SecretKey
from qanat.ground.ports import ClassicalChannel, KeySupply
from qanat.ground.tracing import EventRecorder
from qanat.services.transfer import FileSettings, Progress, ProgressCallback, check_kind, next_frame, refusing
from qanat.services.transfer_frames import (
    KEY_BITS,
    MAX_KEYS_PER_FRAME,
    Opening,
    TransferKind,
    WireFrame,
    key_id_of,
    open_frame,
    seal_frame,
)

Sink: TypeAlias = Callable[[bytes], Awaitable[None] | None]
"""Takes the file's bytes, chunk by chunk, in order; a file's ``write`` wrapped, or a coroutine function."""

REFUSAL_WAIT_S = 5.0
"""How long a receiver that refuses waits for the sender to hear it."""


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file that arrived whole. ``delivered`` is the event of step 10; ``name`` is a bare file name."""

    name: str
    size_bytes: int
    num_chunks: int
    num_keys: int
    sender: SaeId
    request_id: RequestId
    delivered: EventId


async def receive_file(
    *,
    supply: KeySupply,
    peer: SaeId,
    channel: ClassicalChannel,
    recorder: EventRecorder,
    sink: Sink,
    on_progress: ProgressCallback | None = None,
    settings: FileSettings | None = None,
) -> ReceivedFile:
    """Receive one file from ``peer`` and return when all of it is verified and the sender was told so.

    ``sink`` gets bytes that are authentic, but whether the file is whole only the return of this call says: keep them
    apart until then. Of ``settings`` only ``silence_s`` and ``keys_per_request`` count here.

    Raises AuthenticationFailed (something was altered, left out, repeated or put in), FrameError, PeerProtocolError,
    RefusedByPeer, ChannelError, and what ``supply`` and ``sink`` raise: KeyNotFound for keys that were fetched before.
    The sender is told the reason.
    """
    receiving = _Receiving(supply, peer, channel, sink, on_progress, settings or FileSettings())
    try:
        async with refusing(channel, drain_s=REFUSAL_WAIT_S):
            return await receiving.run(recorder)
    finally:
        receiving.forget_keys()


class _Receiving:
    """One transfer: which keys are at hand and what has come."""

    def __init__(
        self,
        supply: KeySupply,
        peer: SaeId,
        channel: ClassicalChannel,
        sink: Sink,
        on_progress: ProgressCallback | None,
        settings: FileSettings,
    ) -> None:
        self._supply = supply
        self._peer = peer
        self._channel = channel
        self._sink = sink
        self._on_progress = on_progress
        self._settings = settings
        self._keys: deque[SecretKey] = deque()
        self._num_keys = 0
        self._num_chunks = 0
        self._num_bytes = 0
        self._control: AESGCM
        self._transfer = b""

    async def run(self, recorder: EventRecorder) -> ReceivedFile:
        opening = await self._open()
        is_last = False
        while not is_last:
            frame = await self._next_frame()
            if not self._keys:
                await self._take_keys(frame)
            else:
                is_last = await self._take_chunk(frame, opening)
        delivered = recorder.record(
            EventKind.MESSAGE_DELIVERED,
            cause=opening.cause,
            request_id=opening.request_id,
            name=opening.name,
            size_bytes=self._num_bytes,
            chunks=self._num_chunks,
        ).id
        await self._send_control(
            TransferKind.RECEIPT,
            {"event": delivered, "num_chunks": self._num_chunks, "size_bytes": self._num_bytes},
            number=0,
        )
        return ReceivedFile(
            name=opening.name,
            size_bytes=self._num_bytes,
            num_chunks=self._num_chunks,
            num_keys=self._num_keys,
            sender=opening.sender,
            request_id=opening.request_id,
            delivered=delivered,
        )

    def forget_keys(self) -> None:
        """Wipe the keys that no chunk has used."""
        for key in self._keys:
            key.secret.wipe()
        self._keys.clear()

    async def _open(self) -> Opening:
        frame = await self._next_frame()
        opening = Opening.parse(frame)
        if opening.sender != self._peer:
            raise PeerProtocolError(
                f"a file of {opening.sender!r} came on the channel of {self._peer!r}",
                remedy="receive it from the one who sends it",
            )
        (control,) = await self._fetch([opening.key_id])
        self._control = AESGCM(control.take())
        open_frame(frame, cipher=self._control, number=0, transfer=b"")
        self._transfer = opening.digest()
        return opening

    async def _take_keys(self, frame: WireFrame) -> None:
        """Fetch the announced keys and say so."""
        check_kind(frame, TransferKind.KEYS)
        open_frame(frame, cipher=self._control, number=self._num_chunks, transfer=self._transfer)
        match dict(frame.header):
            case {"first": self._num_chunks, "key_ids": list(key_ids)} if 0 < len(key_ids) <= MAX_KEYS_PER_FRAME:
                self._keys.extend(await self._fetch([key_id_of(key_id) for key_id in key_ids]))
            case _:
                raise FrameError("a list of keys that does not fit its place", remedy="update the older side")
        await self._send_control(TransferKind.READY, {"first": self._num_chunks}, number=self._num_chunks)

    async def _fetch(self, key_ids: Sequence[KeyID]) -> list[SecretKey]:
        keys: list[SecretKey] = []
        step = self._settings.keys_per_request
        for start in range(0, len(key_ids), step):
            keys += await self._supply.get_keys_by_id(self._peer, key_ids[start : start + step])
        if [key.key_id for key in keys] != list(key_ids) or any(key.size_bits != KEY_BITS for key in keys):
            raise KeyManagementError("the key manager gave other keys than were asked", remedy="report the key manager")
        self._num_keys += len(keys)
        return keys

    async def _take_chunk(self, frame: WireFrame, opening: Opening) -> bool:
        """Pass a chunk on; returns whether it was the last."""
        check_kind(frame, TransferKind.CHUNK)
        number = self._num_chunks
        cipher = AESGCM(self._keys.popleft().take())
        content = open_frame(frame, cipher=cipher, number=number, transfer=self._transfer)
        self._num_chunks += 1
        self._num_bytes += len(content)
        is_last = self._check_chunk(frame.header, number, len(content), opening)
        if content:
            outcome = self._sink(content)
            if inspect.isawaitable(outcome):
                await outcome
        if self._on_progress is not None:
            self._on_progress(Progress(self._num_bytes, opening.size_bytes, self._num_chunks))
        return is_last

    def _check_chunk(self, header: Mapping[str, Json], number: int, num_bytes: int, opening: Opening) -> bool:
        """Return whether this is the last chunk; raises FrameError when a sender's own words do not agree."""
        match dict(header):
            case {"number": int(said), "total_bytes": None} if said == number and num_bytes == opening.chunk_bytes:
                return False
            case {"number": int(said), "total_bytes": int(total)} if (
                said == number
                and total == self._num_bytes
                and num_bytes <= opening.chunk_bytes
                and opening.size_bytes in (None, total)
            ):
                return True
        raise FrameError(f"chunk {number} contradicts what was said of the file", remedy="update the older side")

    async def _send_control(self, kind: TransferKind, header: dict[str, Json], *, number: int) -> None:
        await self._channel.send(seal_frame(kind, header, cipher=self._control, number=number, transfer=self._transfer))

    async def _next_frame(self) -> WireFrame:
        return await next_frame(self._channel, timeout_s=self._settings.silence_s, peer=self._peer)

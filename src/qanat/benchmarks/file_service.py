"""How fast one core seals and opens a file: both ends of a transfer in one loop, without network and key manager."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from qanat.benchmarks.rows import Row
from qanat.ground.events import Event
from qanat.ground.framing import MAX_FRAME_BYTES
from qanat.ground.identifiers import KeyID, NodeId, RequestId, SaeId, SaePair, uuid4_from
from qanat.ground.keys import KeyStatus, SecretBytes, SecretKey
from qanat.ground.tracing import EventRecorder, Trace
from qanat.services.file import FileSettings, receive_file, send_file

GOAL_MB_PER_S = 400.0
PIECE_BYTES = 2**20
ALICE = SaeId("urn:qanat:benchmark:sae:alice")
BOB = SaeId("urn:qanat:benchmark:sae:bob")


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmarks of these names and yield their rows."""
    if "file-encryption" in names:
        yield file_encryption()


def file_encryption(*, size_bytes: int = 256 * 2**20) -> Row:
    """Return the rate of a whole transfer, each byte counted once though it is both sealed and opened.

    The reference seals and opens the same chunks by bare AES-128-GCM, a fresh key each, without frames or peers.
    """
    piece = os.urandom(PIECE_BYTES)
    num_pieces = max(1, size_bytes // PIECE_BYTES)
    start_s = time.perf_counter()
    asyncio.run(_transfer(piece, num_pieces))
    transfer_s = time.perf_counter() - start_s
    start_s = time.perf_counter()
    _bare(piece, num_pieces)
    bare_s = time.perf_counter() - start_s
    megabytes = num_pieces * PIECE_BYTES / 1e6
    return Row(
        name="file-encryption",
        rate=megabytes / transfer_s,
        unit="MB/s",
        goal=GOAL_MB_PER_S,
        reference_name="bare AES-128-GCM, both ends",
        reference_rate=megabytes / bare_s,
        note="both ends on one core, keys and line in memory",
    )


def _bare(piece: bytes, num_pieces: int) -> None:
    chunk_bytes = FileSettings().chunk_bytes
    nonce = bytes(12)
    for _ in range(num_pieces):
        for start in range(0, len(piece), chunk_bytes):
            cipher = AESGCM(os.urandom(16))
            cipher.decrypt(nonce, cipher.encrypt(nonce, piece[start : start + chunk_bytes], None), None)


async def _transfer(piece: bytes, num_pieces: int) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(num_pieces):
            yield piece

    machine = _Machine()
    recorders = [
        EventRecorder(node=NodeId(node), clock=machine, entropy=machine, sink=_forget) for node in ("alice", "bob")
    ]
    left, right = _Line(), _Line()
    left.peer, right.peer = right, left
    keys = _Keys()
    await asyncio.gather(
        send_file(
            pieces(),
            supply=keys,
            peer=BOB,
            channel=left,
            trace=Trace(recorders[0], RequestId("benchmark")),
            clock=machine,
            name="benchmark",
            size_bytes=num_pieces * len(piece),
        ),
        receive_file(supply=keys, peer=ALICE, channel=right, recorder=recorders[1], sink=_forget),
    )


def _forget(_: Event | bytes) -> None:
    """Take a record or a chunk and do nothing with it."""


class _Machine:
    """Clock and entropy."""

    def utc_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep_until(self, monotonic_s: float, /) -> None:
        await asyncio.sleep(monotonic_s - time.monotonic())

    def public_bytes(self, num_bytes: int, /) -> bytes:
        return os.urandom(num_bytes)

    def secret_bytes(self, num_bytes: int, /) -> SecretBytes:
        return SecretBytes(os.urandom(num_bytes))


class _Keys:
    """Both ends' key supply, in memory."""

    def __init__(self) -> None:
        self._waiting: dict[KeyID, bytes] = {}

    async def get_status(self, peer: SaeId, /) -> KeyStatus:
        return KeyStatus("here", "there", ALICE, peer, 128, 128, 128, 0, 0, 128)

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        fresh = {KeyID(uuid4_from(os.urandom(16))): os.urandom(size_bits // 8) for _ in range(count)}
        self._waiting |= fresh
        return [_key(key_id, SaePair(ALICE, peer), data) for key_id, data in fresh.items()]

    async def get_keys_by_id(self, peer: SaeId, key_ids: Sequence[KeyID], /) -> Sequence[SecretKey]:
        return [_key(key_id, SaePair(peer, BOB), self._waiting.pop(key_id)) for key_id in key_ids]


def _key(key_id: KeyID, pair: SaePair, data: bytes) -> SecretKey:
    return SecretKey(key_id, pair, SecretBytes(data), (), "twin", 0.0, 0)


class _Line:
    """One end of a line in memory, a few frames deep."""

    max_frame_bytes = MAX_FRAME_BYTES
    DEPTH = 8

    def __init__(self) -> None:
        self.peer = self
        self._frames: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()

    async def send(self, frame: bytes, /) -> None:
        peer = self.peer
        while len(peer._frames) >= self.DEPTH:
            peer._room.clear()
            await peer._room.wait()
        peer._frames.append(frame)
        peer._arrived.set()

    async def receive(self, *, timeout_s: float) -> bytes:
        while not self._frames:
            self._arrived.clear()
            await asyncio.wait_for(self._arrived.wait(), timeout_s)
        self._room.set()
        return self._frames.popleft()

    async def close(self) -> None:
        self._frames.clear()

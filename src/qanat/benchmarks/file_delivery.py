"""How fast a file goes from one process to another on this machine, by the service that ``qanat send`` uses.

Two processes: one reads the file from the disk, hashes, seals and sends; the other opens, hashes, writes and makes it
durable. Keys are in memory (made by both ends from their ids: good for this alone). The reference in the same run is a
bare TCP connection with AES-128-GCM over records of the same length: no file, no hash, no numbers.

A rate is bytes over the processor time of the busier of the two processes, which is what one core gives.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import resource
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from qanat.adapters.buffer_line import dial
from qanat.adapters.incoming import IncomingFolder
from qanat.adapters.line_server import LineServer
from qanat.adapters.outgoing import OutgoingFile
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.benchmarks.rows import Row
from qanat.ground.identifiers import KeyID, SaeId, SaePair, uuid4_from
from qanat.ground.keys import KeyStatus, SecretBytes, SecretKey
from qanat.services.conversation import MAX_CONTENT_BYTES, Party, Terms, answering, calling
from qanat.services.file_delivery import SERVICE, deliver_file, take_file

GOAL_MB_PER_S = 400.0
MEMORY_GOAL_MB = 150.0
ALICE, BOB = SaeId("urn:qanat:benchmark:sae:alice"), SaeId("urn:qanat:benchmark:sae:bob")
NONCE = bytes(12)


@dataclass(frozen=True, slots=True)
class Spent:
    """What one process took: its own processor time for the transfer, and its greatest memory."""

    cpu_s: float
    memory_mb: float


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmarks of these names and yield their rows."""
    if "file-service" in names:
        yield file_service()
    if "file-service-10-gb" in names:
        yield file_service(name="file-service-10-gb", size_bytes=10**10)


def file_service(*, name: str = "file-service", size_bytes: int = 2**31, folder: Path | None = None) -> Row:
    """Return the rate of a file of ``size_bytes`` from process to process. Twice as much disk is used."""
    with tempfile.TemporaryDirectory(prefix="qanat-bench-", dir=folder) as place:
        source = Path(place) / "source.bin"
        _write(source, size_bytes)
        _touch_memory(Path(place) / "touched.bin", size_bytes)
        began_s = time.perf_counter()
        sender, receiver = _two_processes(_receive, place, _send, source)
        wall_s = time.perf_counter() - began_s
        bare_sender, bare_receiver = _two_processes(_take_bare, size_bytes, _give_bare, size_bytes)
    megabytes = size_bytes / 1e6
    memory_mb = max(sender.memory_mb, receiver.memory_mb)
    return Row(
        name=name,
        rate=megabytes / max(sender.cpu_s, receiver.cpu_s),
        unit="MB/s per core",
        goal=GOAL_MB_PER_S,
        reference_name="bare TCP and AES-128-GCM",
        reference_rate=megabytes / max(bare_sender.cpu_s, bare_receiver.cpu_s),
        note=(
            f"{size_bytes / 1e9:.1f} GB; {megabytes / wall_s:.0f} MB/s by the clock, start and disk included; "
            f"{memory_mb:.0f} MB of memory (goal {MEMORY_GOAL_MB:.0f})"
        ),
    )


def _write(path: Path, size_bytes: int) -> None:
    block = os.urandom(MAX_CONTENT_BYTES)
    with path.open("wb") as file:
        for start in range(0, size_bytes, len(block)):
            file.write(block[: size_bytes - start])


def _touch_memory(path: Path, size_bytes: int) -> None:
    """Let the machine hand out the memory that its cache of files will take: a virtual one is ten times as slow at the
    first touch of a page, which is its host's time and not the service's."""
    _write(path, size_bytes)
    path.unlink()


def _two_processes(take: object, taken: object, give: object, given: object) -> tuple[Spent, Spent]:
    """Run ``take(pipe, taken)`` and ``give(port, given)`` in fresh processes; returns what giver and taker spent."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    taker = context.Process(target=take, args=(theirs, taken))  # type: ignore[arg-type]
    taker.start()
    port = ours.recv()
    answer, said = context.Pipe()
    giver = context.Process(target=give, args=(said, port, given))  # type: ignore[arg-type]
    giver.start()
    spent = answer.recv(), ours.recv()
    for process in (giver, taker):
        process.join()
    return spent


def _spent_since(start_s: float) -> Spent:
    return Spent(time.process_time() - start_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)


def _receive(pipe: Connection, place: str) -> None:
    asyncio.run(_receive_one(pipe, Path(place)))


async def _receive_one(pipe: Connection, place: Path) -> None:
    done = asyncio.Event()
    start_s = 0.0

    async def answer(line: object) -> None:
        nonlocal start_s
        start_s = time.process_time()
        conversation = await answering(_party(BOB), line, terms=Terms())  # type: ignore[arg-type]
        await take_file(conversation, IncomingFolder(place / "in"))
        done.set()

    server = LineServer(answer)
    await server.start()
    pipe.send(server.port)
    await done.wait()
    pipe.send(_spent_since(start_s))
    await server.stop()


def _send(pipe: Connection, port: int, source: Path) -> None:
    start_s = time.process_time()
    asyncio.run(_send_one(port, source))
    pipe.send(_spent_since(start_s))


async def _send_one(port: int, source: Path) -> None:
    line = await dial("127.0.0.1", port)
    with OutgoingFile(source, name="sent.bin", recipient=BOB, notes=source.parent / "notes") as outgoing:
        await deliver_file(calling(_party(ALICE), line, BOB, service=SERVICE, terms=Terms()), outgoing)
    await line.close()


def _take_bare(pipe: Connection, size_bytes: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        pipe.send(server.getsockname()[1])
        connection, _ = server.accept()
        start_s = time.process_time()
        cipher, record = AESGCM(bytes(16)), memoryview(bytearray(MAX_CONTENT_BYTES + 16))
        content = bytearray(MAX_CONTENT_BYTES)
        with connection:
            for _ in range(size_bytes // MAX_CONTENT_BYTES):
                got = 0
                while got < len(record):
                    got += connection.recv_into(record[got:])
                cipher.decrypt_into(NONCE, record, None, content)
    pipe.send(_spent_since(start_s))


def _give_bare(pipe: Connection, port: int, size_bytes: int) -> None:
    start_s = time.process_time()
    cipher, record = AESGCM(bytes(16)), bytearray(MAX_CONTENT_BYTES + 16)
    content = os.urandom(MAX_CONTENT_BYTES)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(size_bytes // MAX_CONTENT_BYTES):
            cipher.encrypt_into(NONCE, content, None, record)  # always the same nonce: a measure, no protection
            connection.sendall(record)
    pipe.send(_spent_since(start_s))


def _party(sae: SaeId) -> Party:
    return Party(sae, _Keys(sae), SystemClock(), SystemEntropy())


class _Keys:
    """Both ends' supply: a key follows from its id, which protects nothing."""

    def __init__(self, sae: SaeId) -> None:
        self._sae = sae

    async def get_status(self, peer: SaeId, /) -> KeyStatus:
        return KeyStatus("here", "there", self._sae, peer, 128, 128, 128, 0, 0, 128)

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        ids = [KeyID(uuid4_from(os.urandom(16))) for _ in range(count)]
        return [_key(key_id, SaePair(self._sae, peer), size_bits) for key_id in ids]

    async def get_keys_by_id(self, peer: SaeId, key_ids: Sequence[KeyID], /) -> Sequence[SecretKey]:
        return [_key(key_id, SaePair(peer, self._sae), 128) for key_id in key_ids]


def _key(key_id: KeyID, pair: SaePair, size_bits: int) -> SecretKey:
    data = hashlib.sha256(key_id.encode()).digest()[: size_bits // 8]
    return SecretKey(key_id, pair, SecretBytes(data), (), "twin", 0.0, 0)

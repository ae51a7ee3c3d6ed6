"""What tests of two parties share: a proxy that cuts and records, and a reader of recordings written from the formats.

The reader uses nothing of Qanat: it reads docs/formats/resuming-line.md and distillation-wire.md, so that a ledger is
held against bytes that crossed the line and not against code that counted them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = ("127.0.0.1", 0)


class CuttingProxy:
    """Passes bytes between a caller and a port of this machine, records them, and cuts connections when told to.

    ``cut_after``: numbers of bytes, both directions together; when they have passed, all connections are cut.
    """

    def __init__(self, port: int, *, cut_after: tuple[int, ...] = (), listen: tuple[str, int] = LOOPBACK) -> None:
        self._target = port
        self._listen = listen
        self._cut_after = list(cut_after)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self.num_cuts = 0
        self.num_bytes = 0
        self._moved = asyncio.Event()
        self.hold_after = sys.maxsize
        """After so many bytes nothing passes until ``release``."""
        self._released = asyncio.Event()
        self.recordings: list[dict[str, bytearray]] = []
        """Per connection: what went "up" to the port and "down" from it."""

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> CuttingProxy:
        self._server = await asyncio.start_server(self._pass, *self._listen)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def cut(self) -> None:
        """Cut all connections, without a word to either side."""
        self.num_cuts += bool(self._writers)
        for writer in self._writers:
            writer.transport.abort()

    async def passed(self, num_bytes: int) -> None:
        """Return when so many bytes have passed, both directions together."""
        while self.num_bytes < num_bytes:
            self._moved.clear()
            await self._moved.wait()

    def release(self) -> None:
        """Let bytes pass again."""
        self.hold_after = sys.maxsize
        self._released.set()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        try:
            up_reader, up_writer = await asyncio.open_connection(self._listen[0], self._target)
        except OSError:
            writer.transport.abort()
            return
        record = {"up": bytearray(), "down": bytearray()}
        self.recordings.append(record)
        pair = {writer, up_writer}
        self._writers |= pair
        try:
            await asyncio.gather(
                self._pump(reader, up_writer, record["up"]), self._pump(up_reader, writer, record["down"])
            )
        finally:
            self._writers -= pair
            for one in pair:
                one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: bytearray) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                record += data
                self.num_bytes += len(data)
                self._moved.set()
                if self.num_bytes >= self.hold_after:
                    await self._released.wait()
                writer.write(data)
                await writer.drain()
                if self._cut_after and self.num_bytes >= self._cut_after[0]:
                    self._cut_after.pop(0)
                    self.cut()
        writer.close()


def frames_of(stream: bytes | bytearray) -> Iterator[tuple[int, dict[str, object], bytes]]:
    """Yield kind, header and body of each whole frame of a stream; what a cut left of the last one is passed over."""
    place = 0
    while place + 8 <= len(stream):
        length, version, kind, header_length = struct.unpack_from(">IBBH", stream, place)
        if place + 4 + length > len(stream):
            return
        assert version == 1
        header = json.loads(stream[place + 8 : place + 8 + header_length])
        yield kind, header, bytes(stream[place + 8 + header_length : place + 4 + length])
        place += 4 + length


def words_of(recordings: list[dict[str, bytearray]]) -> list[tuple[str, int, int, dict[str, object], bytes]]:
    """Return what crossed one line, each frame once: direction, lane (0: none), kind, header and body."""
    words = []
    for direction in ("up", "down"):
        numbered: dict[int, bytes] = {}
        for record in recordings:
            for kind, header, body in frames_of(record[direction]):
                if kind == 0x71:
                    number = header["number"]
                    assert isinstance(number, int)
                    assert numbered.setdefault(number, body) == body, "a frame came again with other content"
        assert sorted(numbered) == list(range(len(numbered)))
        for number in sorted(numbered):
            for kind, header, body in frames_of(numbered[number]):
                if kind == 0x74:
                    words += [(direction, int(str(header["lane"])), *word) for word in frames_of(body)]
                else:
                    words.append((direction, 0, kind, header, body))
    return words


@dataclass
class Leak:
    """What a recording tells of one block."""

    cascade: int = 0
    verification: int = 0
    estimation: int = 0
    tags: int = 0
    pad_bits: int = 2 * 128
    """A hash key for each direction of the session, and as much pad for each tag as it has bits."""


def leaks_of(recordings: list[dict[str, bytearray]], *, num_frames: int, frame_bits: int) -> list[Leak]:
    """Count what was told in clear, block by block, from the bytes of a line alone. Alice is "down"."""
    lanes: dict[int, list[tuple[str, int, dict[str, object], bytes]]] = {}
    for direction, lane, *word in words_of(recordings):
        lanes.setdefault(lane, []).append((direction, *word))
    lanes.pop(0, None)
    return [
        leak_of(lanes[lane], num_frames, frame_bits)
        for lane in sorted(lanes)
        if any(kind == 0x01 for _, kind, _, _ in lanes[lane])
    ]


def leak_of(words: list[tuple[str, int, dict[str, object], bytes]], num_frames: int, frame_bits: int) -> Leak:
    """Count what was told in one lane, which is one block's."""
    leak, logs = Leak(), [0, 0, 0]
    for direction, kind, header, body in words:
        if kind == 0x07:
            leak.tags += 1
            leak.pad_bits += 8 * len(body)
        elif kind == 0x7C:
            leak.tags += 1
            leak.pad_bits += 128 + 8 * len(body)  # a hash key of its own
        elif direction == "down" and kind == 0x05:
            leak.estimation += int(str(header["told"]))
        elif direction == "down" and kind == 0x0E:
            leak.verification += hash_bits(len(body))
        elif direction == "up" and kind == 0x08:
            logs = [int(str(header[f"log_k{number}"])) for number in (1, 2, 3)]
        elif direction == "up" and kind == 0x09:
            leak.cascade += parities_of(int(str(header["pass"])), logs, num_frames, frame_bits)
        elif direction == "up" and kind == 0x0B:
            counts = struct.unpack_from(f"<{num_frames}I", body)
            assert len(body) == 4 * (num_frames + sum(counts))
            leak.cascade += sum(counts)
    return leak


def parities_of(number: int, logs: list[int], num_frames: int, frame_bits: int) -> int:
    """Return how many parities Alice tells at the beginning of a pass: docs/formats/distillation-wire.md."""
    if number == 3:
        return 20 * num_frames
    return num_frames * ((frame_bits >> logs[number]) - (number > 0))


def hash_bits(num_bytes: int) -> int:
    """Return t for a HASH body of 16 bytes, 128 + t - 1 bits, t bits; 50 is what eps_cor 1e-15 asks."""
    (found,) = [t for t in (50,) if 16 + (128 + t - 1 + 7) // 8 + (t + 7) // 8 == num_bytes]
    return found


async def run_proxy(folder: Path, host: str, port: int, target: int, cut_after: tuple[int, ...]) -> None:
    """Pass, record and cut until the program is told to end; leave the recordings in ``folder``."""
    is_over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, is_over.set)
    async with CuttingProxy(target, cut_after=cut_after, listen=(host, port)) as proxy:
        await is_over.wait()
    for number, record in enumerate(proxy.recordings):
        for direction, data in record.items():
            (folder / f"{number:03d}.{direction}").write_bytes(data)
    (folder / "cuts").write_text(str(proxy.num_cuts))


def recordings_in(folder: Path) -> list[dict[str, bytearray]]:
    """Return what ``run_proxy`` left."""
    numbers = sorted({path.stem for path in folder.glob("*.up")})
    return [{way: bytearray((folder / f"{one}.{way}").read_bytes()) for way in ("up", "down")} for one in numbers]


if __name__ == "__main__":
    _folder, _host, _port, _target, *_cuts = sys.argv[1:]
    asyncio.run(run_proxy(Path(_folder), _host, int(_port), int(_target), tuple(map(int, _cuts))))

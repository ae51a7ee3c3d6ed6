"""How many pictures of a video call one core carries from source to source, and what sealing adds to their delay.

One thread does the work of both ends: it draws and encodes a picture of 640 x 360, cuts it, seals its parts, sends them
by UDP over loopback, opens them, puts the picture together and decodes it. The key is replaced every second. Keys are
in memory: what a key manager takes is asked for ahead, and waited for by nobody. The reference in the same run does the
same without a seal. Rate and delay are of processor time: what one core that has nothing else to do gives. By the
clock, with whatever else the machine did meanwhile, the delay is in the row's note.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qanat.adapters.media import CALL_QUALITY, TEST, MediaSink, VideoSource
from qanat.adapters.system import SystemClock
from qanat.benchmarks.file_delivery import ALICE, BOB, _Keys
from qanat.benchmarks.rows import Row
from qanat.services.call_frames import Assembler, MediaFrame, Medium, cut_frame
from qanat.services.ciphers import FrameOpener, FrameSealer, RecipientKeys, Refresh, SenderKeys, StreamContext, Suite

GOAL_PICTURES_PER_S = float(CALL_QUALITY.pictures_per_s)
GOAL_DELAY_MS = 2.0
RE_KEYED_EVERY_S = 1.0
LONGEST_DATAGRAM_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class _Run:
    pictures_per_s: float
    delay_p99_ms: float
    clock_p99_ms: float
    num_keys: int


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmarks of these names and yield their rows."""
    yield from (row for row in video_call() if row.name in names)


def video_call(*, seconds_s: float = 6.0) -> tuple[Row, Row]:
    """Return pictures per second and core, and the 99th percentile of a picture's delay from encoder to decoder."""
    sealed, bare = asyncio.run(_call(seconds_s, is_sealed=True)), asyncio.run(_call(seconds_s, is_sealed=False))
    note = f"both ends on one core, {sealed.num_keys} keys in {seconds_s:g} s"
    rate = Row(
        name="video-call",
        rate=sealed.pictures_per_s,
        unit="pictures/s",
        goal=GOAL_PICTURES_PER_S,
        reference_name="without a seal",
        reference_rate=bare.pictures_per_s,
        note=note,
    )
    delay = Row(
        name="video-call-delay",
        rate=sealed.delay_p99_ms,
        unit="ms",
        goal=GOAL_DELAY_MS,
        reference_name="without a seal",
        reference_rate=bare.delay_p99_ms,
        note=f"99 % of pictures, from encoder to decoder, over loopback; by the clock {sealed.clock_p99_ms:.2f} ms",
        is_limit=True,
    )
    return rate, delay


async def _call(seconds_s: float, *, is_sealed: bool) -> _Run:
    clock = SystemClock()
    context = StreamContext(ALICE, BOB, "video-call", Suite.AES_128_GCM, key_life_s=RE_KEYED_EVERY_S)
    sender_keys = SenderKeys(_Keys(ALICE), BOB, suite=context.suite, clock=clock, refresh=Refresh(RE_KEYED_EVERY_S))
    sealer = FrameSealer(context, sender_keys)
    opener = FrameOpener(context, RecipientKeys(_Keys(BOB), context, clock=clock))
    source, sink = VideoSource(TEST), MediaSink(audio=False, video=True)
    delays_ms: list[float] = []
    clock_ms: list[float] = []
    number, end_s, cpu_s = 0, time.perf_counter() + seconds_s, time.thread_time()
    with _udp() as receiving, _udp() as sending:
        address = receiving.getsockname()
        assembler = Assembler(Medium.VIDEO)
        while time.perf_counter() < end_s:
            encoded = source.next(key=False)
            assert encoded is not None
            begun_s, begun_cpu_s = time.perf_counter(), time.thread_time()
            await sealer.prepare()
            frame = MediaFrame(Medium.VIDEO, number, encoded.data, encoded.is_key, encoded.at_ms)
            got = []
            for content in cut_frame(frame):
                sending.sendto(sealer.seal(content) if is_sealed else content, address)
                datagram = receiving.recv(LONGEST_DATAGRAM_BYTES)
                got += assembler.add(await opener.open(datagram) if is_sealed else datagram)
            delays_ms.append(1e3 * (time.thread_time() - begun_cpu_s))
            clock_ms.append(1e3 * (time.perf_counter() - begun_s))
            assert [one.data for one in got] == [encoded.data]
            sink.take(Medium.VIDEO, encoded.data, at_ms=encoded.at_ms, is_key=encoded.is_key)
            number += 1
    rate = number / (time.thread_time() - cpu_s)
    return _Run(rate, _p99(delays_ms), _p99(clock_ms), sealer.num_keys)


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[int(0.99 * len(values))]


def _udp() -> socket.socket:
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plain.bind(("127.0.0.1", 0))
    return plain

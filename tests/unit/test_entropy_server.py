"""One reader of a generator for many processes: bytes go out once, to one of them, and a failure reaches all."""

from __future__ import annotations

import asyncio
import os
import pickle
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import numpy as np
import pytest

from qanat.adapters.entropy_line import SharedEntropy
from qanat.adapters.entropy_server import EntropyServer
from qanat.adapters.physical_entropy import OUTPUT_BYTES, STARTUP_SAMPLES, EntropySource, conditioned
from qanat.adapters.process_pool import ProcessPool
from qanat.ground.errors import ConfigurationError, EntropyFailed, QuantumLayerError
from qanat.ground.ports import Entropy, Job
from unit.pool_jobs import draw, draw_and_die

SAMPLES_PER_BLOCK = 40
"""At a claim of 8 bits: 320 bits for 256."""


def recorded(path: Path, num_samples: int) -> bytes:
    raw = np.random.default_rng(7).bytes(num_samples)
    path.write_bytes(raw)
    path.chmod(0o600)
    return raw


def job(function: Callable[..., bytes], arguments: tuple[Entropy, int]) -> Job[bytes]:
    return Job(function, arguments)


def blocks_of(raw: bytes) -> list[bytes]:
    """Return what a reader makes of a recording, block by block."""
    starts = range(STARTUP_SAMPLES, len(raw) - SAMPLES_PER_BLOCK + 1, SAMPLES_PER_BLOCK)
    return [conditioned(raw[start : start + SAMPLES_PER_BLOCK]) for start in starts]


@asynccontextmanager
async def served(path: Path, *, num_workers: int = 1) -> AsyncIterator[tuple[EntropyServer, ProcessPool]]:
    server = EntropyServer(EntropySource(path, 8.0))
    pool = ProcessPool(num_workers, inherited=[server.door])
    try:
        await server.start()
        yield server, pool
    finally:
        await pool.close(grace_s=0)
        await server.close()


def test_no_byte_goes_to_two_workers(tmp_path: Path) -> None:
    """What two workers and this process drew, in whole blocks, are different blocks of the one stream, none twice."""
    raw = recorded(tmp_path / "noise", 400_000)

    async def scene() -> list[bytes]:
        async with served(tmp_path / "noise", num_workers=2) as (server, pool):
            jobs = [job(draw, (server.entropy, size)) for size in (64_000, 32_000, 8192, 65_536)]
            here = server.entropy
            mine = await asyncio.to_thread(here.public_bytes, 8192)
            here.close()
            return [mine, *await asyncio.gather(*map(pool.run, jobs))]

    drawn = asyncio.run(scene())
    pieces = [part[start : start + OUTPUT_BYTES] for part in drawn for start in range(0, len(part), OUTPUT_BYTES)]
    assert len(pieces) == sum(map(len, drawn)) // OUTPUT_BYTES == 5560
    assert len(set(pieces)) == len(pieces)
    assert set(pieces) <= set(blocks_of(raw))


def test_a_worker_that_dies_loses_its_own_batch_alone(tmp_path: Path) -> None:
    raw = recorded(tmp_path / "noise", 60_000)

    async def scene() -> tuple[bytes, int]:
        async with served(tmp_path / "noise") as (server, pool):
            with pytest.raises(QuantumLayerError, match="died"):
                await pool.run(job(draw_and_die, (server.entropy, 100)))
            after = await pool.run(job(draw, (server.entropy, 4096)))
            return after, (await server.inquire()).bytes_given

    after, given = asyncio.run(scene())
    assert after == b"".join(blocks_of(raw)[128:256]), "the batch of 4,096 bytes that the dead one had is gone, no more"
    assert given == 2 * 4096


def test_a_failure_reaches_whoever_draws_and_those_who_come_later(tmp_path: Path) -> None:
    path = tmp_path / "noise"
    recorded(path, STARTUP_SAMPLES + 4000)
    path.write_bytes(path.read_bytes() + bytes(1000))

    async def scene() -> list[str]:
        async with served(path) as (server, pool):
            told = []
            for _ in range(2):
                with pytest.raises(EntropyFailed, match="repetition count test") as caught:
                    await pool.run(job(draw, (server.entropy, 100_000)))
                told.append(caught.value.message)
            state = await server.inquire()
            assert state.fault is not None
            return [*told, state.fault]

    told = asyncio.run(scene())
    assert len(set(told)) == 1
    assert str(path) in told[0]


def test_a_reader_that_dies_stops_those_who_draw(tmp_path: Path) -> None:
    recorded(tmp_path / "noise", 60_000)

    async def scene() -> None:
        async with served(tmp_path / "noise") as (server, _):
            with closing(server.entropy) as entropy:
                assert len(entropy.public_bytes(10)) == 10
                assert server._process is not None
                server._process.kill()
                with pytest.raises(EntropyFailed, match="has ended"):
                    await asyncio.to_thread(entropy.public_bytes, 100_000)
                with pytest.raises(EntropyFailed, match="has ended"):
                    await asyncio.to_thread(entropy.public_bytes, 100)
            assert "has ended" in str((await server.inquire()).fault)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("raw", "kind", "words"),
    [
        (bytes(5000), EntropyFailed, "repetition count test"),
        (b"short", EntropyFailed, "it ended after 5 samples"),
        (None, EntropyFailed, "did not give 1024 samples in 0.3 s"),
    ],
)
def test_a_source_that_does_not_pass_is_not_started(
    tmp_path: Path, raw: bytes | None, kind: type[QuantumLayerError], words: str
) -> None:
    """The last one is a FIFO into which nobody writes."""
    path = tmp_path / "noise"
    if raw is None:
        os.mkfifo(path, 0o600)
    else:
        path.write_bytes(raw)
        path.chmod(0o600)

    async def scene() -> None:
        server = EntropyServer(EntropySource(path, 8.0), patience_s=0.3 if raw is None else 30.0)
        try:
            with pytest.raises(kind, match=words):
                await server.start()
        finally:
            await server.close()

    asyncio.run(scene())


def test_a_recording_in_use_is_a_matter_of_configuration(tmp_path: Path) -> None:
    recorded(tmp_path / "noise", 60_000)

    async def scene() -> None:
        async with served(tmp_path / "noise"):
            second = EntropyServer(EntropySource(tmp_path / "noise", 8.0))
            try:
                with pytest.raises(ConfigurationError, match="another process takes samples"):
                    await second.start()
            finally:
                await second.close()

    asyncio.run(scene())


def test_a_stop_uses_no_more_of_a_recording_than_was_drawn(tmp_path: Path) -> None:
    recorded(tmp_path / "noise", 60_000)

    async def scene() -> None:
        async with served(tmp_path / "noise") as (server, _):
            with closing(server.entropy) as entropy:
                entropy.public_bytes(4096)

    asyncio.run(scene())
    used = (tmp_path / "noise.used").read_text(encoding="utf-8")
    assert f'"samples_used": {STARTUP_SAMPLES + 128 * SAMPLES_PER_BLOCK}' in used


def test_the_reader_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """Even while it waits for samples: the FIFO's writer falls silent after the start."""
    path = tmp_path / "fifo"
    os.mkfifo(path, 0o600)
    writer = os.open(path, os.O_RDWR)
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from qanat.adapters.entropy_server import EntropyServer\n"
        "from qanat.adapters.physical_entropy import EntropySource\n"
        "async def main():\n"
        "    server = EntropyServer(EntropySource(Path(sys.argv[1]), 8.0))\n"
        "    await server.start()\n"
        "    print(server._process.pid, flush=True)\n"
        "    await asyncio.to_thread(server.entropy.public_bytes, 10**6)\n"
        "asyncio.run(main())\n"
    )
    try:
        os.write(writer, np.random.default_rng(1).bytes(STARTUP_SAMPLES))
        with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            reader = int(parent.stdout.readline())
            descriptor = os.pidfd_open(reader)
            parent.send_signal(signal.SIGKILL)
        assert ended_within(descriptor, 10.0)
    finally:
        os.close(writer)


def ended_within(process: int, seconds: float) -> bool:
    """Return whether a process, by its descriptor, has ended within some time; closes the descriptor."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    try:
        return bool(poll.poll(1000 * seconds))
    finally:
        os.close(process)


def test_it_travels_as_the_number_of_a_door_and_nothing_else() -> None:
    entropy: Entropy = SharedEntropy(11)
    entropy._ready = bytearray(b"secret")  # type: ignore[attr-defined]
    data = pickle.dumps(entropy)
    assert b"secret" not in data
    assert pickle.loads(data)._door == 11


def test_what_is_left_of_a_batch_is_wiped() -> None:
    entropy = SharedEntropy(11)
    left = entropy._ready = bytearray(b"secret")
    entropy.close()
    assert left == bytes(6)


def test_a_process_without_the_door_draws_nothing() -> None:
    with Path(os.devnull).open("rb") as no_door, pytest.raises(EntropyFailed, match="has ended"):
        SharedEntropy(no_door.fileno()).secret_bytes(1)

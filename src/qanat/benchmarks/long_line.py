"""How much of its speed `qanat distil` keeps over a long line: two processes, and a proxy that delays what they say.

The parties are the command itself, each a process, with records of its own in a folder of its own; each knows of the
other by TCP alone. All runs of a row go through such a proxy, without delay too, so that the proxy's own work is in
all. The rate is that of the whole record, from Bob's first word on the line to his last: the time until the first
blocks have crossed a long line is in it, as a user has it.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from qanat.benchmarks.rows import Row
from qanat.ground.errors import QuantumLayerError
from qanat.postprocessing.reconciliation.port import MethodName

ROUND_TRIP_S: Final = 0.020
KEPT: Final = 0.8
"""The share of the rate without delay that is to be kept."""
QBER: Final = 0.01
MIN_ENTROPY: Final = 0.6
"""Stated, as a proof of the user's would: how long keys are makes no difference to how the line is used."""
READ_BYTES: Final = 2**18
PARTY_TIMEOUT_S: Final = 900.0
DISTIL: Final = (sys.executable, "-m", "qanat.apps.cli.main", "distil")
ROLES: Final = ("alice", "bob")


@dataclass(frozen=True, slots=True)
class Task:
    """What a row distils: blocks of ``block_bits``, so many of them, corrected by ``method``.

    ``first_blocks``: what each block beyond these takes is measured too, by a shorter record of so many.
    """

    block_bits: int
    num_blocks: int
    method: MethodName = "cascade"
    first_blocks: int = 0

    @property
    def key_bits(self) -> int:
        """Bits of the blocks that are surely made."""
        return self.num_blocks * self.block_bits

    @property
    def record_bits(self) -> int:
        """Bits of the record: a tenth is told to estimate errors, a little is left over."""
        return round(self.num_blocks * self.block_bits / 0.9 * 1.01 + 100 * math.sqrt(self.block_bits))


TASKS: Final = {
    "distil-20ms": Task(4_194_304, 224, first_blocks=64),
    "distil-20ms-1mbit": Task(1_048_576, 480),
    "distil-20ms-winnow": Task(4_194_304, 48, "winnow"),
    "distil-20ms-ldpc": Task(4_194_304, 32, "ldpc"),
}
"""Cascade's records are those of half a minute: until its first block has crossed, and after its last was begun, 3.4 s
go by whatever the record. A link that runs for longer keeps what the blocks beyond the first ones keep, which lines
of a whole record hide; both are told. The other methods' blocks have few round trips."""
WARM_UP_BLOCKS: Final = 1
"""Distilled first, so that compiled kernels lie on disk when time counts."""


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmarks of these names and yield their rows."""
    with tempfile.TemporaryDirectory(prefix="qanat-long-line-") as folder:
        for number, name in enumerate(names):
            yield from kept_rows(name, TASKS[name], folder=Path(folder) / str(number))


def kept_rows(name: str, task: Task, *, folder: Path, round_trip_s: float = ROUND_TRIP_S) -> Iterator[Row]:
    """Distil without delay, with it, and without again; a row's rate is that with delay, its goal 80 % of the other.

    The other is that of both runs without delay, before and after, so that a changing load favours neither.

    Raises QuantumLayerError when a party fails, or when the two do not make the same keys.
    """
    measure(replace(task, num_blocks=WARM_UP_BLOCKS), folder=folder / "warm", round_trip_s=0.0)
    records = [task, replace(task, num_blocks=task.first_blocks)] if task.first_blocks else [task]
    near_s, far_s = [], []
    for record in records:
        before = measure(record, folder=folder / "before", round_trip_s=0.0)
        far = measure(record, folder=folder / "far", round_trip_s=round_trip_s)
        after = measure(record, folder=folder / "after", round_trip_s=0.0)
        near_s.append(record.key_bits * (1 / before + 1 / after) / 2)
        far_s.append(record.key_bits / far)
    how = f"blocks of {task.block_bits:,} bits, two processes, {task.method}"
    what = f"the whole record of {task.num_blocks} {how}"
    yield _row(name, what, task.key_bits, near_s[0], far_s[0], round_trip_s)
    if task.first_blocks:
        more_bits = task.key_bits - records[1].key_bits
        what = f"each block beyond the first {task.first_blocks}, to {task.num_blocks} {how}"
        yield _row(f"{name}: sustained", what, more_bits, near_s[0] - near_s[1], far_s[0] - far_s[1], round_trip_s)


def _row(name: str, what: str, key_bits: int, near_s: float, far_s: float, round_trip_s: float) -> Row:
    return Row(
        name=name,
        rate=key_bits / far_s,
        unit="bit/s",
        goal=KEPT * key_bits / near_s,
        reference_name="the same without delay",
        reference_rate=key_bits / near_s,
        note=f"{1000 * round_trip_s:g} ms round trip keep {100 * near_s / far_s:.0f} % of the rate; goal"
        f" {100 * KEPT:.0f} %; {what}",
    )


def measure(task: Task, *, folder: Path, round_trip_s: float) -> float:
    """Return reconciled key bits per second of two processes on a line of this round trip; their files are removed."""
    try:
        return asyncio.run(_measure(task, folder, round_trip_s))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _measure(task: Task, folder: Path, round_trip_s: float) -> float:
    made = await _start("make-example", str(folder), "--sifted-bits", str(task.record_bits), "--qber", str(QBER))
    await _ended(made)
    alice = await _start("alice", "--listen", "127.0.0.1:0", *_options(folder, "alice", task))
    try:
        port = await _port_of(alice)
        async with DelayingProxy(port, delay_s=round_trip_s / 2) as proxy:
            bob = await _start("bob", "--connect", f"127.0.0.1:{proxy.port}", *_options(folder, "bob", task))
            said = [json.loads(text) for text in await asyncio.gather(_ended(alice), _ended(bob))]
            seconds = proxy.seconds
    finally:
        if alice.returncode is None:
            alice.kill()
            await alice.wait()
    key_bits = [sum(int(block["key_bits"]) for block in one["blocks"]) for one in said]
    keys = [[path.name for path in sorted((folder / role / "keys").iterdir())] for role in ROLES]
    if min(key_bits) < task.num_blocks * task.block_bits or keys[0] != keys[1]:
        raise QuantumLayerError(f"the parties made {key_bits} bits, not {task.num_blocks} blocks alike")
    return key_bits[0] / seconds


def _options(folder: Path, role: str, task: Task) -> tuple[str, ...]:
    own = folder / role
    files = ("--sifted", f"{own}/sifted.npz", "--key", f"{own}/link.auth", "--out", f"{own}/keys")
    how = ("--block-bits", str(task.block_bits), "--reconciliation", task.method)
    return (*files, *how, "--min-entropy", str(MIN_ENTROPY), "--replenish", "--json")


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    threads = {**os.environ, "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return await asyncio.create_subprocess_exec(*DISTIL, *arguments, stdout=pipe, stderr=pipe, env=threads)


async def _port_of(alice: asyncio.subprocess.Process) -> int:
    """Return where Alice says that she listens; raises QuantumLayerError when she ends before."""
    assert alice.stderr is not None
    said = b""
    while line := await alice.stderr.readline():
        said += line
        if b"listening on" in line:
            return int(line.rsplit(b":", 1)[1])
    raise QuantumLayerError(f"Alice ended before she listened: {said.decode()}")


async def _ended(process: asyncio.subprocess.Process) -> str:
    """Return what a process said; raises QuantumLayerError when it failed or did not end."""
    try:
        async with asyncio.timeout(PARTY_TIMEOUT_S):
            out, err = await process.communicate()
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    if process.returncode:
        raise QuantumLayerError(f"a party ended with status {process.returncode}: {err.decode()[-400:]}")
    return out.decode()


class DelayingProxy:
    """Passes bytes between callers and a port of this machine, each ``delay_s`` after it came, in either direction.

    It holds nothing back besides: as much is under way as the two ends send.
    """

    def __init__(self, port: int, *, delay_s: float) -> None:
        self._target = port
        self._delay_s = delay_s
        self._server: asyncio.Server | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._first_s = self._last_s = 0.0

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def seconds(self) -> float:
        """How long bytes passed: from the first to the last."""
        return self._last_s - self._first_s

    async def __aenter__(self) -> DelayingProxy:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0, limit=READ_BYTES)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        writers = [writer]
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target, limit=READ_BYTES)
            writers.append(up_writer)
            await asyncio.gather(self._pump(reader, up_writer), self._pump(up_reader, writer))
        except OSError:
            return
        finally:
            for one in writers:
                one.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read as bytes come and write them when they are due, in order; the end of the stream is as late."""
        loop = asyncio.get_running_loop()
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        writing = loop.create_task(self._write(due, writer))
        try:
            data = b"-"
            while data:
                data = await reader.read(READ_BYTES)
                now_s = loop.time()
                self._first_s, self._last_s = self._first_s or now_s, now_s
                due.put_nowait((now_s + self._delay_s, data))
            await writing
        finally:
            writing.cancel()

    async def _write(self, due: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            at_s, data = await due.get()
            if (left_s := at_s - loop.time()) > 0:
                await asyncio.sleep(left_s)
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

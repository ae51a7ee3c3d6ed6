"""The KernelPool port: worker processes for compiled loops, so that the process that serves a door never stalls.

Workers are fresh interpreters (never forks), niced, with BLAS and numba at one thread each. They start when first
needed and end with the pool, or with this process, however it ends. No thread and no semaphore is involved here: each
worker is a child process and a socket of this event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, Generic, TypeVar

from qanat.adapters.worker_process import PREFIX, Kind
from qanat.ground.errors import QuantumLayerError
from qanat.ground.ports import Job

R = TypeVar("R")
V = TypeVar("V")

NICENESS = 10
STOP_GRACE_S = 5.0
"""A stream that was closed gets this long to reach its next value; then its worker is killed."""
READ_AHEAD_BYTES = 2**20
GROUP_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""A terminal or a service manager sends these to every process of a group; the parent decides when a worker ends."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def default_num_workers() -> int:
    """Return how many workers leave one core of this machine to the doors: cores - 1, at least one."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


class ProcessPool:
    """Worker processes. Use it from one event loop; close it before the loop ends.

    A job's function is importable by name (not of ``__main__``, no lambda); arguments and results pickle. Jobs wait
    for a worker by priority, larger first, then in order of coming. A worker that dies fails its own job with
    QuantumLayerError and is replaced. ``inherited``: descriptors of this process that every worker is started with,
    under the same numbers; they stay open as long as the pool. ``niceness``: of the workers, above this process's.
    """

    def __init__(
        self, num_workers: int | None = None, *, inherited: Sequence[int] = (), niceness: int = NICENESS
    ) -> None:
        self._inherited = tuple(inherited)
        self._niceness = niceness
        self.num_workers = default_num_workers() if num_workers is None else num_workers
        if self.num_workers < 1:
            raise ValueError(f"a pool has at least one worker, got {num_workers}")
        self._free_slots = self.num_workers
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._closed = False
        self._all_home = asyncio.Event()

    @property
    def num_busy(self) -> int:
        """How many workers are at work now."""
        return len(self._busy)

    async def run(self, job: Job[R], /, *, priority: int = 0) -> R:
        """Run the job in a worker; return its result, or raise what it raised, with its traceback as a note.

        A caller that is cancelled meanwhile takes the worker with it: the job ends there and then.
        """
        payload = encode_job(job)
        async with self._borrowed(priority, job) as worker:
            await worker.send(Kind.RUN, payload)
            kind, answer = await worker.receive()
            result = ForkingPickler.loads(answer)
            if kind is Kind.RAISED:
                raise result
            return result  # type: ignore[no-any-return]

    async def stream(self, job: Job[R], /, *, priority: int = 0) -> AsyncIterator[R]:
        """Run a generator function in one worker and yield what it yields; at most two values wait in between.

        Closing the iterator closes the generator at its next value, or kills its worker after STOP_GRACE_S.
        """
        payload = encode_job(job)
        async with self._borrowed(priority, job) as worker:
            await worker.send(Kind.STREAM, payload)
            try:
                while True:
                    kind, answer = await worker.receive()
                    match kind:
                        case Kind.VALUE:
                            yield ForkingPickler.loads(answer)
                            await worker.send(Kind.MORE)
                        case Kind.RAISED:
                            raise ForkingPickler.loads(answer)
                        case Kind.END:
                            return
                        case _:
                            raise _pool_closed()
            finally:
                await worker.stop_stream(STOP_GRACE_S)

    async def close(self, *, grace_s: float) -> None:
        """End all workers: streams are stopped, other jobs may finish within ``grace_s``, the rest is killed."""
        self._closed = True
        for _, _, turn in self._waiting:
            if not turn.done():
                turn.set_exception(_pool_closed())
        self._waiting.clear()
        for worker in self._busy:
            worker.ask_to_stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while self._busy:
                    self._all_home.clear()
                    await self._all_home.wait()
        for worker in list(self._busy):
            worker.kill()
        while self._idle:
            await self._idle.pop().end()

    @contextlib.asynccontextmanager
    async def _borrowed(self, priority: int, job: Job[Any]) -> AsyncIterator[Worker]:
        await self._take_turn(priority)
        worker: Worker | None = None
        try:
            worker = await self._idle_worker()
            worker.begin(_name(job))
            self._busy.add(worker)
            yield worker
        finally:
            if worker is not None:
                self._busy.discard(worker)
                if worker.is_idle and not self._closed:
                    self._idle.append(worker)
                else:
                    worker.kill()
            self._give_turn()

    async def _take_turn(self, priority: int) -> None:
        if self._closed:
            raise _pool_closed()
        if self._free_slots:
            self._free_slots -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-priority, next(self._order), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._give_turn()
            raise

    def _give_turn(self) -> None:
        """Pass a free slot to the first who waits, or keep it."""
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free_slots += 1
        if not self._busy:
            self._all_home.set()

    async def _idle_worker(self) -> Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive:
                return worker
            worker.kill()
        return await Worker.start(self._inherited, niceness=self._niceness)


@dataclass(frozen=True, slots=True)
class Packed(Generic[V]):
    """A large argument of many jobs, pickled once; equal to another of the same bytes."""

    pickled: bytes

    @classmethod
    def of(cls, value: V) -> Packed[V]:
        """Pack a value."""
        return cls(bytes(ForkingPickler.dumps(value)))

    def value(self) -> V:
        """Return a copy of the value."""
        copied: V = ForkingPickler.loads(self.pickled)
        return copied


class Worker:
    """One worker process and our end of its socket."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._prefix: tuple[int, Kind] | None = None
        self._job = ""
        self.is_idle = True

    @classmethod
    async def start(cls, inherited: Sequence[int] = (), *, niceness: int = NICENESS) -> Worker:
        """Start a process; it inherits this one's import path. Raises QuantumLayerError when the machine refuses."""
        ours, theirs = socket.socketpair()
        with theirs, _closed_on_failure(ours), stops_held_back():
            process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own program; starting takes a millisecond
                [sys.executable, "-P", "-m", "qanat.adapters.worker_process", str(theirs.fileno()), str(niceness)],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a job prints must not mix with the JSON on our standard output
                pass_fds=[theirs.fileno(), *inherited],
                env=child_environment(),
            )
        reader, writer = await asyncio.open_connection(sock=ours, limit=READ_AHEAD_BYTES)
        return cls(process, reader, writer)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None and not self._reader.at_eof()

    def begin(self, job: str) -> None:
        """Note what the worker is about to do."""
        self._job = job

    async def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Say something to the worker; raises QuantumLayerError when it is dead."""
        self.is_idle = False
        self._writer.write(PREFIX.pack(len(payload), kind) + payload)
        try:
            await self._writer.drain()
        except OSError:
            raise self._died() from None

    async def receive(self) -> tuple[Kind, bytes]:
        """Return the worker's next message; raises QuantumLayerError when it is dead. Safe to cancel."""
        try:
            if self._prefix is None:
                length, kind = PREFIX.unpack(await self._reader.readexactly(PREFIX.size))
                self._prefix = length, Kind(kind)
            length, kind = self._prefix
            payload = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError):
            raise self._died() from None
        self._prefix = None
        self.is_idle = kind is not Kind.VALUE
        return kind, payload

    def ask_to_stop(self) -> None:
        """Ask a stream to end at its next value; a job that is no stream does not listen."""
        self._writer.write(PREFIX.pack(0, Kind.STOP))

    async def stop_stream(self, grace_s: float) -> None:
        """End a stream whose reader has left, if it has not ended; kill the worker when that takes too long."""
        if self.is_idle:
            return
        self.ask_to_stop()
        try:
            async with asyncio.timeout(grace_s):
                while not self.is_idle:
                    await self.receive()
        except (TimeoutError, QuantumLayerError):
            self.kill()

    async def end(self) -> None:
        """Let an idle worker end by itself and wait for that."""
        self._writer.write_eof()
        with contextlib.suppress(OSError):
            await self._reader.read()
        self.kill()

    def kill(self) -> None:
        """Kill the process if it still runs, and forget it. Idempotent."""
        self._process.kill()
        self._process.wait()
        self._writer.close()

    def _died(self) -> QuantumLayerError:
        self.kill()
        code = self._process.returncode
        how = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        return QuantumLayerError(
            f"the worker process that ran {self._job} died ({how})",
            remedy="look for lack of memory in the system's log; a new worker takes its place",
        )


def encode_job(job: Job[Any]) -> bytes:
    """Return a job as it travels; raises ValueError when its function is not importable, TypeError for secrets."""
    module, name = job.function.__module__, job.function.__qualname__
    if module == "__main__" or "<" in name:
        raise ValueError(f"{module}.{name} cannot be imported by a worker; jobs are functions of modules")
    return bytes(ForkingPickler.dumps(job))


def child_environment() -> dict[str, str]:
    """Return the environment of a process of our own program: one thread, and this process's import path."""
    path = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
    return {**os.environ, **ONE_THREAD, "PYTHONPATH": path}


@contextlib.contextmanager
def stops_held_back() -> Iterator[None]:
    """Start processes inside that never see a stop of their whole group: a child inherits the mask of signals.

    So there is no moment, however early, at which Ctrl-C reaches a worker. What comes for this process meanwhile is
    delivered at the end.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _closed_on_failure(line: socket.socket) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        line.close()
        raise QuantumLayerError(
            f"cannot start a worker process: {fault.strerror}", remedy="look for limits on processes and memory"
        ) from None


def _name(job: Job[Any]) -> str:
    return f"{job.function.__module__}.{job.function.__qualname__}"


def _pool_closed() -> QuantumLayerError:
    return QuantumLayerError("the pool of worker processes was closed", remedy="this program is shutting down")

"""Our handle on the process that reads a physical generator for a whole network (``entropy_process``).

The generator has one reader, whatever the number of workers that draw from it; ``entropy`` is what they are handed. It
works only in processes that were started with ``door`` (``ProcessPool(inherited=[server.door])``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import Final

from qanat.adapters.entropy_line import SharedEntropy
from qanat.adapters.physical_entropy import REMEDY, STARTUP_SAMPLES, EntropySource
from qanat.adapters.process_pool import child_environment, stops_held_back
from qanat.ground.errors import ConfigurationError, EntropyFailed, QanatError, QuantumLayerError

START_PATIENCE_S: Final = 60.0
"""For a writer to open a FIFO, and for the samples of the start-up tests."""
END_PATIENCE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class EntropyState:
    """How a generator stands. ``asked_s``: seconds in which somebody waited for it, from its start on.

    ``bytes_given`` have been handed to those who asked, conditioned. ``fault`` is None while all tests pass.
    """

    is_ready: bool = False
    samples_read: int = 0
    bytes_given: int = 0
    asked_s: float = 0.0
    fault: str | None = None
    remedy: str = ""
    is_configuration: bool = False
    num_answers: int = 0


class EntropyServer:
    """Starts the reader of a source, hears how it fares, and ends it. Use it from one event loop.

    ``start`` before anybody draws, ``close`` in any case, after those who draw.
    """

    def __init__(self, source: EntropySource, *, patience_s: float = START_PATIENCE_S) -> None:
        self.source = source
        self.state = EntropyState()
        self._patience_s = patience_s
        self._door, self._inner_door = socket.socketpair(type=socket.SOCK_DGRAM)
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._num_questions = 0

    @property
    def door(self) -> int:
        """The descriptor that those who are to draw are started with."""
        return self._door.fileno()

    @property
    def entropy(self) -> SharedEntropy:
        """The Entropy port for workers; it blocks, so an event loop must not draw from it."""
        return SharedEntropy(self.door)

    @property
    def is_started(self) -> bool:
        return self._process is not None

    async def start(self) -> None:
        """Return once the start-up tests have passed.

        Raises ConfigurationError when the source cannot be read, EntropyFailed when it fails or is silent.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = self._started(theirs)
            except OSError as fault:
                ours.close()
                raise QuantumLayerError(
                    f"cannot start a process for the entropy source: {fault.strerror}",
                    remedy="look for limits on processes and memory",
                ) from None
        self._inner_door.close()
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._hearing = asyncio.create_task(self._hear(reader), name="entropy source")
        try:
            async with asyncio.timeout(self._patience_s):
                while not self.state.is_ready:
                    await self._await_news()
                    self._raise_fault()
        except TimeoutError:
            raise EntropyFailed(
                f"the entropy source {self.source.path} did not give {STARTUP_SAMPLES} samples in "
                f"{self._patience_s:g} s",
                remedy="look whether the generator is on, and whether anybody writes into a FIFO",
            ) from None

    async def inquire(self) -> EntropyState:
        """Return how the source stands now, not a moment ago."""
        self._num_questions += 1
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.write(b"?")
                await self._writer.drain()
        while self._is_heard and self.state.num_answers < self._num_questions:
            await self._await_news()
        return self.state

    async def close(self) -> None:
        """End the reader. Idempotent."""
        for each in (self._door, self._inner_door):
            each.close()
        if self._hearing is not None:
            self._hearing.cancel()
            await asyncio.gather(self._hearing, return_exceptions=True)
            self._hearing = None
        if self._writer is not None:
            self._writer.close()  # by this the reader learns that it is to end
            self._writer = None
        if self._process is not None:
            deadline_s = time.monotonic() + END_PATIENCE_S
            while self._process.poll() is None and time.monotonic() < deadline_s:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)
            self._process.kill()
            self._process.wait()

    # --- inside ---

    @property
    def _is_heard(self) -> bool:
        return self._hearing is not None and not self._hearing.done()

    def _started(self, control: socket.socket) -> subprocess.Popen[bytes]:
        descriptors = [control.fileno(), self._inner_door.fileno()]
        arguments = [*map(str, descriptors), str(self.source.path), repr(self.source.min_entropy_bits)]
        with stops_held_back():
            return subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", "-m", "qanat.adapters.entropy_process", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=descriptors,
                env=child_environment(),
            )

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        while line := await _next_line(reader):
            self._learn(EntropyState(**json.loads(line)))
        if self.state.fault is None:
            died = f"the process that reads the entropy source {self.source.path} has ended"
            self._learn(replace(self.state, fault=died, remedy=REMEDY))

    def _learn(self, state: EntropyState) -> None:
        self.state = state
        self._news.set()

    async def _await_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _raise_fault(self) -> None:
        state = self.state
        if state.fault is not None:
            kind: type[QanatError] = ConfigurationError if state.is_configuration else EntropyFailed
            raise kind(state.fault, remedy=state.remedy)


async def _next_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except OSError:
        return b""

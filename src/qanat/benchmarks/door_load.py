"""The asking side of the door's benchmark: many connections kept open, as little work per answer as possible.

Two kinds of load. *As fast as answers come*: every connection asks again as soon as it is answered; that gives the
rate. *At a rate*: calls are due at moments that were drawn beforehand, as those of many applications that know nothing
of each other (a Poisson process), and go out on the next free connection, whether earlier ones are answered or not. A
latency counts from the moment at which its call was due, so a door that stalls pays for every call that had to wait.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from qanat.adapters.tls import TlsFiles, client_context
from qanat.ground.errors import PeerProtocolError

ARRIVALS_SEED = 14


@dataclass(slots=True)
class Load:
    """``calls`` requests over all connections: as fast as answers come, or ``calls_per_s`` when that is given."""

    request: bytes
    calls: int
    calls_per_s: float | None = None
    latencies_s: list[float] = field(default_factory=list)
    """From the moment at which a call was due (at full load: sent) to its whole answer."""

    def percentile_s(self, share: float) -> float:
        """Return the latency that ``share`` of the calls did not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def arrivals_s(self) -> list[float]:
        """Return when the calls are due, in seconds from the start; all at once when no rate is given."""
        if self.calls_per_s is None:
            return [0.0] * self.calls
        chance, due_s = random.Random(ARRIVALS_SEED), 0.0  # noqa: S311 - when calls come, no key
        return [due_s := due_s + chance.expovariate(self.calls_per_s) for _ in range(self.calls)]


async def drive(load: Load, *, port: int, files: TlsFiles, connections: int) -> float:
    """Run a load and return how long it took, in seconds; raises PeerProtocolError at any answer but 200."""
    loop = asyncio.get_running_loop()
    context = client_context(files)
    work = _Work(load)
    callers: list[_Caller] = []
    try:
        for _ in range(connections):
            new_caller = functools.partial(_Caller, load, work)
            _, caller = await loop.create_connection(new_caller, "127.0.0.1", port, ssl=context)
            callers.append(caller)
        start_s = work.begin(callers)
        await work.done
        return time.perf_counter() - start_s
    finally:
        for caller in callers:
            caller.transport.abort()


class _Work:
    """Which call goes out next, and on which connection."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._loop = asyncio.get_running_loop()
        self._arrivals: Iterator[float] = iter(load.arrivals_s())
        self._free: deque[_Caller] = deque()
        self._due: deque[float] = deque()
        self._left = load.calls
        self.done: asyncio.Future[None] = self._loop.create_future()

    def begin(self, callers: list[_Caller]) -> float:
        self._free.extend(callers)
        start_s = time.perf_counter()
        self._next_s = start_s + next(self._arrivals)
        self._arrivals = (start_s + at_s for at_s in self._arrivals)
        self._arrive()
        return start_s

    def _arrive(self) -> None:
        """Take up what is due by now, and come again when the next call is."""
        now_s = time.perf_counter()
        while self._next_s <= now_s:
            self._due.append(self._next_s)
            self._next_s = next(self._arrivals, float("inf"))
        while self._free and self._due:
            self._ask(self._free.popleft())
        if self._next_s < float("inf"):
            self._loop.call_later(self._next_s - now_s, self._arrive)

    def _ask(self, caller: _Caller) -> None:
        due_s = self._due.popleft()
        caller.ask(time.perf_counter() if self._load.calls_per_s is None else due_s)

    def answered(self, caller: _Caller) -> None:
        self._left -= 1
        if not self._left and not self.done.done():
            self.done.set_result(None)
        if self._due:
            self._free.append(caller)
            self._ask(self._free.popleft())
        else:
            self._free.append(caller)

    def failed(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(PeerProtocolError(f"the door did not answer with keys: {why}"))


class _Caller(asyncio.Protocol):
    """One connection: a request, its whole answer, the next request."""

    transport: asyncio.Transport

    def __init__(self, load: Load, work: _Work) -> None:
        self._load = load
        self._work = work
        self._due_s = 0.0
        self._answer = bytearray()
        self._awaited_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, due_s: float) -> None:
        self._due_s = due_s
        self.transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._awaited_bytes:
            self._awaited_bytes = self._whole_length()
        if self._awaited_bytes and len(self._answer) >= self._awaited_bytes:
            self._answer.clear()
            self._awaited_bytes = 0
            self._load.latencies_s.append(time.perf_counter() - self._due_s)
            self._work.answered(self)

    def _whole_length(self) -> int:
        end = self._answer.find(b"\r\n\r\n")
        if end < 0:
            return 0
        if not self._answer.startswith(b"HTTP/1.1 200 "):
            self._work.failed(bytes(self._answer[:300]).decode("latin-1"))
        at = self._answer.index(b"content-length: ") + 16
        return end + 4 + int(self._answer[at : self._answer.index(b"\r\n", at)])

    def connection_lost(self, exc: Exception | None) -> None:
        self._work.failed(f"the connection ended ({exc})")

"""The asking side of the door's benchmark: many connections kept open, as little work per answer as possible."""

from __future__ import annotations

import asyncio
import functools
import time
from dataclasses import dataclass, field

from qanat.adapters.tls import TlsFiles, client_context
from qanat.ground.errors import PeerProtocolError


@dataclass(slots=True)
class Load:
    """``calls`` requests over all connections: as fast as answers come, or ``calls_per_s`` when that is given."""

    request: bytes
    calls: int
    calls_per_s: float | None = None
    begun: int = 0
    latencies_s: list[float] = field(default_factory=list)
    """From the moment at which a call was due to its whole answer."""

    def percentile_s(self, share: float) -> float:
        """Return the latency that ``share`` of the calls did not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def drive(load: Load, *, port: int, files: TlsFiles, connections: int) -> float:
    """Run a load and return how long it took, in seconds; raises PeerProtocolError at any answer but 200."""
    loop = asyncio.get_running_loop()
    context = client_context(files)
    callers = []
    for number in range(connections):
        new_caller = functools.partial(_Caller, load, number, connections)
        _, caller = await loop.create_connection(new_caller, "127.0.0.1", port, ssl=context)
        callers.append(caller)
    start_s = time.perf_counter()
    for caller in callers:
        caller.begin(start_s)
    try:
        await asyncio.gather(*(caller.done for caller in callers))
    finally:
        for caller in callers:
            caller.transport.abort()
    return time.perf_counter() - start_s


class _Caller(asyncio.Protocol):
    """One connection: a request, its whole answer, the next request."""

    transport: asyncio.Transport

    def __init__(self, load: Load, number: int, connections: int) -> None:
        self._load = load
        self._loop = asyncio.get_running_loop()
        self._interval_s = connections / load.calls_per_s if load.calls_per_s else 0.0
        self._offset_s = number / load.calls_per_s if load.calls_per_s else 0.0
        self._due_s = 0.0
        self._answer = bytearray()
        self._awaited_bytes = 0
        self.done: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def begin(self, start_s: float) -> None:
        self._due_s = start_s + self._offset_s - self._interval_s
        self._next()

    def _next(self) -> None:
        if self._load.begun >= self._load.calls:
            if not self.done.done():
                self.done.set_result(None)
            return
        self._load.begun += 1
        now_s = time.perf_counter()
        self._due_s = self._due_s + self._interval_s if self._interval_s else now_s
        if self._due_s > now_s:
            self._loop.call_later(self._due_s - now_s, self.transport.write, self._load.request)
        else:
            self.transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._awaited_bytes:
            self._awaited_bytes = self._whole_length()
        if self._awaited_bytes and len(self._answer) >= self._awaited_bytes:
            self._answer.clear()
            self._awaited_bytes = 0
            self._load.latencies_s.append(time.perf_counter() - self._due_s)
            self._next()

    def _whole_length(self) -> int:
        end = self._answer.find(b"\r\n\r\n")
        if end < 0:
            return 0
        if not self._answer.startswith(b"HTTP/1.1 200 "):
            self._fail(bytes(self._answer[:300]).decode("latin-1"))
        at = self._answer.index(b"content-length: ") + 16
        return end + 4 + int(self._answer[at : self._answer.index(b"\r\n", at)])

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection ended ({exc})")

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(PeerProtocolError(f"the door did not answer with keys: {why}"))

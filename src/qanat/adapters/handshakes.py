"""TLS handshakes that are under way at a server, bounded: when there are too many, the oldest is given up.

Each costs about 0.3 MiB (asyncio's read buffer) until it ends. To refuse the newest would let whoever holds a few
hundred silent connections shut everybody out; an honest handshake takes milliseconds, so the oldest are those that
stall.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from qanat.adapters.tls import CALLER

MAX_HANDSHAKES = 256
AT_ONCE = 2
TURN_S = 0.05
GIVE_WAY_S, LOOK_AGAIN_S = 0.1, 0.005
"""So long whoever has a turn lets others go first, at most, and so often it looks whether they have."""
TOO_MANY = "too many handshakes are under way, the oldest was given up"


class Handshakes:
    """Those of one server, the oldest first. ``on_given_up`` hears of each that is given up."""

    def __init__(self, *, most: int = MAX_HANDSHAKES, on_given_up: Callable[[str], None] = lambda _: None) -> None:
        self.most = most
        self._on_given_up = on_given_up
        self._under_way: dict[asyncio.Protocol, asyncio.Transport] = {}

    def begin(self, connection: asyncio.Protocol, transport: asyncio.Transport) -> None:
        """Count a handshake that begins; ``transport`` is the one below TLS."""
        self._under_way[connection] = transport
        if len(self._under_way) > self.most:
            oldest = next(iter(self._under_way))
            self._under_way.pop(oldest).abort()
            self._on_given_up(TOO_MANY)

    @property
    def num_under_way(self) -> int:
        """How many there are now."""
        return len(self._under_way)

    def end(self, connection: asyncio.Protocol) -> None:
        """Count a handshake as done, or its connection as gone."""
        self._under_way.pop(connection, None)

    def give_up_all(self) -> None:
        """Give up what is under way: the server stops."""
        for transport in list(self._under_way.values()):
            transport.abort()
        self._under_way.clear()


class Turns:
    """Whose turn it is to shake hands, of all lines that a process of many sites dials: AT_ONCE at a time.

    A site that is woken greets all its peers, and they greet it: forty handshakes at once are a tenth of a second in
    which each step of whoever woke it waits for one step of each of them. A peer that takes its time, as one does that
    is woken itself, keeps its turn for TURN_S at most. ``gives_way``: whether somebody waits for something else in
    this process, which goes first.
    """

    def __init__(self, *, at_once: int = AT_ONCE, gives_way: Callable[[], bool] = lambda: False) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._gives_way = gives_way

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the end of the block, or for TURN_S."""
        await self._free.acquire()
        end = _once(self._free.release)
        try:
            await self._let_others_go_first()
            timer = asyncio.get_running_loop().call_later(TURN_S, end)
            try:
                yield
            finally:
                timer.cancel()
        finally:
            end()

    async def _let_others_go_first(self) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + GIVE_WAY_S
        while self._gives_way() and loop.time() < until_s:  # noqa: ASYNC110  (asked of whoever knows; it has no event)
            await asyncio.sleep(LOOK_AGAIN_S)


def _once(act: Callable[[], None]) -> Callable[[], None]:
    left = [act]
    return lambda: left.pop()() if left else None


class CountedTls(SSLProtocol):
    """The TLS layer of one accepted connection; ``connection`` above it calls ``Handshakes.end`` when it begins."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: asyncio.Protocol,
        context: ssl.SSLContext,
        handshakes: Handshakes,
        **timeouts: float,
    ) -> None:
        super().__init__(loop, connection, context, None, server_side=True, **timeouts)  # type: ignore[arg-type]
        self._connection = connection
        self._handshakes = handshakes
        self._caller = ""

    def connection_made(self, transport: Any) -> None:
        self._handshakes.begin(self._connection, transport)
        address = transport.get_extra_info("peername")
        self._caller = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else ""
        super().connection_made(transport)

    def _do_handshake(self) -> None:
        CALLER.set(self._caller)
        super()._do_handshake()  # type: ignore[misc]

    def connection_lost(self, exc: BaseException | None) -> None:
        self._handshakes.end(self._connection)
        super().connection_lost(exc)

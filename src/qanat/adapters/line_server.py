"""Listening for the services' lines. Callers who have not proved who they are have few of them, for a short while."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable

from qanat.adapters.buffer_line import FIRST_FRAME_BYTES, BufferLine, widen
from qanat.adapters.machine_faults import not_listening
from qanat.adapters.psk import PskOf
from qanat.ground.errors import QanatError

BACKLOG = 1024
MOST_LINES = 4096
"""More callers than this at once wait until others have gone."""
MOST_LINES_OF_ONE = MOST_LINES // 2
"""One address has no more of them than this; a further call from there is closed at once, so that others come in."""
MOST_STRANGERS = 256
"""So many of them may not have proved yet who they are; more wait until others have, or have gone."""
STRANGER_S = 120.0
"""So long a caller may take to prove it, from its first byte to its first record, and the keys for that."""

_log = logging.getLogger(__name__)

Answer = Callable[[BufferLine], Awaitable[None]]


class LineServer:
    """Listens, and calls ``answer`` with each new line, which is closed when the call ends.

    A failure of our error tree ends its line and is logged; another one goes to the loop's handler.
    """

    def __init__(self, answer: Answer, *, host: str = "127.0.0.1", port: int = 0, psk_of: PskOf | None = None) -> None:
        """``psk_of``: finds the keys under which callers may speak TLS."""
        self._answer = answer
        self._psk_of = psk_of
        self._address = (host, port)
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(MOST_LINES)
        self._strangers = asyncio.Semaphore(MOST_STRANGERS)
        self._lines_of: Counter[str] = Counter()

    @property
    def port(self) -> int:
        """The port it listens on; raises ValueError while it does not."""
        if self._listening is None:
            raise ValueError("the server listens on no port before it is started")
        return int(self._listening.getsockname()[1])

    async def start(self) -> None:
        """Begin to listen; raises ConfigurationError when the port cannot be had."""
        host, port = self._address
        try:
            listening = socket.create_server((host, port), backlog=BACKLOG)
        except OSError as fault:
            raise not_listening(host, port, fault) from None
        widen(listening)
        listening.setblocking(False)
        self._listening = listening
        self._accepting = asyncio.create_task(self._accept(listening), name="lines")

    async def stop(self) -> None:
        """Stop listening, cancel the calls that still run, close their lines. Idempotent."""
        if self._listening is None or self._accepting is None:
            return
        listening, self._listening = self._listening, None
        tasks = [self._accepting, *self._calls]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        listening.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._places.acquire()
            await self._strangers.acquire()
            try:
                connection, (address, *_) = await loop.sock_accept(listening)
            except OSError as fault:  # no descriptors left, or a caller that went away at once
                _log.warning("a caller could not be taken: %s", fault)
                self._places.release()
                self._strangers.release()
                await asyncio.sleep(0.1)
                continue
            if self._lines_of[address] >= MOST_LINES_OF_ONE:
                _log.warning("%s has %d lines here already: a further one was closed", address, MOST_LINES_OF_ONE)
                connection.close()
                self._places.release()
                self._strangers.release()
                continue
            self._take(connection, address)

    def _take(self, connection: socket.socket, address: str) -> None:
        """Let a caller speak; it is a stranger until it is known, or has gone, or its time is over."""
        is_stranger = True

        def known() -> None:
            nonlocal is_stranger
            if is_stranger:
                is_stranger = False
                too_long.cancel()
                self._strangers.release()

        call = asyncio.create_task(self._run(connection, known, address))
        too_long = asyncio.get_running_loop().call_later(STRANGER_S, call.cancel)
        self._calls.add(call)
        call.add_done_callback(lambda _: known())
        self._lines_of[address] += 1
        call.add_done_callback(lambda ended: self._over(ended, address))

    def _over(self, call: asyncio.Task[None], address: str) -> None:
        self._calls.discard(call)
        self._places.release()
        self._lines_of[address] -= 1
        if not self._lines_of[address]:
            del self._lines_of[address]

    async def _run(self, connection: socket.socket, known: Callable[[], None], address: str) -> None:
        line = BufferLine(
            connection, first_frame_bytes=FIRST_FRAME_BYTES, on_proven=known, psk_of=self._psk_of, caller=address
        )
        try:
            await self._answer(line)
        except QanatError as fault:
            _log.warning("a conversation ended: %s", fault)
        finally:
            await line.close()

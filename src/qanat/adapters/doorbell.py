"""A listening socket whose server is opened only when somebody calls.

The system completes a caller's connection by itself and keeps it, with what the caller says, until a server accepts it:
so nothing is lost, and the first caller waits for the opening alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from qanat.adapters.door_thread import DoorThread
from qanat.adapters.machine_faults import not_listening

BACKLOG = 100
"""Callers that wait at one socket, as asyncio's own servers have it."""


class Doorbell:
    """Listens on a port, and says so when somebody calls. To be used in one event loop."""

    def __init__(self, host: str, port: int, *, on_ring: Callable[[], None], doors: DoorThread | None = None) -> None:
        """Bind; raises ConfigurationError when the port cannot be had. ``on_ring`` is called at the
        first call after each ``watch``. ``doors``: whose loop hears it at once, whatever there is to do in this one;
        whoever calls waits outside."""
        self._on_ring = on_ring
        self._doors = doors
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket = socket.socket()
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            self._socket.listen(BACKLOG)
        except OSError as fault:
            self._socket.close()
            raise not_listening(host, port, fault) from None
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])

    def watch(self) -> None:
        """Ring at the next call, or at once for one that waits already; once, until it is asked to watch again."""
        self._loop = asyncio.get_running_loop() if self._doors is None else self._doors.loop
        self._there(self._loop.add_reader, self._socket, self._ring)

    def listening(self) -> socket.socket:
        """Return a second handle on the socket, for the server: the first caller is the first that it accepts."""
        return self._socket.dup()

    def refuse_callers(self) -> None:
        """Hang up on those who wait: there is no server for them."""
        with contextlib.suppress(OSError):
            while True:
                self._socket.accept()[0].close()

    def rest(self) -> None:
        """Ring no more: a server with a handle of its own has taken over, until the next ``watch``."""
        self._silence()

    def close(self) -> None:
        """Ring no more, and give this handle back; a server with a handle of its own goes on. Idempotent."""
        self._silence()
        if self._loop is None:
            self._socket.close()
        else:
            self._there(self._socket.close)

    def _ring(self) -> None:
        """Called in the loop that hears."""
        assert self._loop is not None
        self._loop.remove_reader(self._socket)
        if self._doors is None:
            self._on_ring()
        else:
            self._doors.tell(self._on_ring, is_awaited=True)

    def _silence(self) -> None:
        if self._loop is not None:
            self._there(self._loop.remove_reader, self._socket)

    def _there(self, act: Callable[..., object], *arguments: object) -> None:
        """Do something in the loop that hears, in the order in which it is asked for."""
        if self._doors is None:
            act(*arguments)
        else:
            self._doors.loop.call_soon_threadsafe(act, *arguments)

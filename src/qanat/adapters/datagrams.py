"""Datagrams over UDP, for calls: what does not fit into the queue or the kernel is lost, as on any line."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TypeAlias, cast

from qanat.ground.errors import ChannelClosed, ConfigurationError

MOST_WAITING = 4096
KERNEL_BUFFER_BYTES = 2**20

UdpAddress: TypeAlias = tuple[str, int]


class Datagrams(asyncio.DatagramProtocol):
    """One UDP socket. Get one from ``open_datagrams``."""

    def __init__(self) -> None:
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: asyncio.Queue[tuple[bytes, UdpAddress]] = asyncio.Queue(MOST_WAITING)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the socket."""
        self._transport = cast(asyncio.DatagramTransport, transport)  # it is one by its methods only
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        """Queue what came."""
        with contextlib.suppress(asyncio.QueueFull):
            self._waiting.put_nowait((data, (str(addr[0]), int(addr[1]))))

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there at the moment: what was sent is lost."""

    def send(self, data: bytes, address: UdpAddress) -> None:
        """Send one datagram."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, address)

    async def receive(self) -> tuple[bytes, UdpAddress]:
        """Return the next datagram and whom it is from."""
        return await self._waiting.get()

    def close(self) -> None:
        """Close; idempotent."""
        if self._transport is not None:
            self._transport.abort()  # what has not left by now is lost


async def ip_of(host: str) -> str:
    """Return the address of version 4 that a name stands for; raises ChannelClosed."""
    try:
        (_, _, _, _, address), *_ = await asyncio.get_running_loop().getaddrinfo(host, 0, family=socket.AF_INET)
    except OSError as fault:
        raise ChannelClosed(
            f"{host}: {fault.strerror or fault}", remedy="calls go over IPv4: name such a host"
        ) from None
    return str(address[0])


async def open_datagrams(host: str) -> Datagrams:
    """Return a socket at any free port of ``host``; raises ConfigurationError."""
    loop = asyncio.get_running_loop()
    try:
        (family, _, _, _, address), *_ = await loop.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
        plain = socket.socket(family, socket.SOCK_DGRAM)
        plain.setblocking(False)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER_BYTES)
        plain.bind(address)
    except OSError as fault:
        raise ConfigurationError(
            f"no datagrams can come in at {host}: {fault.strerror or fault}", remedy="name an address of this machine"
        ) from None
    _, datagrams = await loop.create_datagram_endpoint(Datagrams, sock=plain)
    return datagrams

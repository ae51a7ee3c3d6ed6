"""Serves QKD modules to the processes of their sites, over mutual TLS.

Whoever calls is known by its certificate, and gets the modules of its own site only; any other name is turned away
before a word is read. A process beside a site shows that site's certificate itself, since both lie inside one trusted
node; the twin of a link, which serves both its ends, has one of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from qanat.adapters.module_desk import ModuleDesk
from qanat.adapters.tcp_channel import ChannelServer, TcpChannel
from qanat.adapters.tls import Credentials, server_context

MAX_CALL_BYTES = 4 * 2**20
"""The longest frame that a site may send: an order with its pads."""

_log = logging.getLogger(__name__)


class ModuleServer:
    """Listens for the sites of ``desks``; on this machine, unless told more."""

    def __init__(
        self, desks: Sequence[ModuleDesk], *, tls: Credentials, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._desks: dict[str, ModuleDesk] = {desk.identity: desk for desk in desks}
        self._server = ChannelServer(
            self._serve, host=host, port=port, max_frame_bytes=MAX_CALL_BYTES, tls=server_context(tls)
        )

    @property
    def port(self) -> int:
        """The port it listens on; raises ValueError while it does not."""
        return self._server.port

    async def start(self) -> None:
        """Begin to listen and to collect events; raises ConfigurationError when the port cannot be had."""
        await self._server.start()
        for desk in self._desks.values():
            desk.start()

    async def stop(self) -> None:
        """Hang up and listen no more; idempotent. The modules go on."""
        for desk in self._desks.values():
            desk.hang_up()
        await self._server.stop()

    async def _serve(self, channel: TcpChannel) -> None:
        desk = self._desks.get(channel.peer_identity or "")
        if desk is None:
            names = ", ".join(desk.node for desk in self._desks.values())
            _log.warning("modules of %s: turned away %s, which is no such site", names, channel.peer_identity)
            return
        await desk.serve(channel)

"""Serves QKD modules to the processes of their sites, over mutual TLS.

Whoever calls is known by its certificate, and gets the modules of its own site only; any other name is turned away
before a word is read. A process beside a site shows that site's certificate itself, since both lie inside one trusted
node; the twin of a link, which serves both its ends, has one of its own.

Certificate files are followed: new ones, and a list of revoked certificates, count from the next second on, and the
line of a site whose certificate was revoked, or has run out, is cut off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from qanat.adapters.living_tls import LOOK_PERIOD_S, LivingTls
from qanat.adapters.module_desk import ModuleDesk
from qanat.adapters.tcp_channel import ChannelServer, TcpChannel
from qanat.adapters.tls import Credentials

MAX_CALL_BYTES = 4 * 2**20
"""The longest frame that a site may send: an order with its pads."""

_log = logging.getLogger(__name__)


class ModuleServer:
    """Listens for the sites of ``desks``; on this machine, unless told more."""

    def __init__(
        self, desks: Sequence[ModuleDesk], *, tls: Credentials, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._desks: dict[str, ModuleDesk] = {desk.identity: desk for desk in desks}
        self._tls = LivingTls(tls, on_change=self._note_files)
        self._standing: set[TcpChannel] = set()
        self._looking: asyncio.TimerHandle | None = None
        self._server = ChannelServer(
            self._serve, host=host, port=port, max_frame_bytes=MAX_CALL_BYTES, tls=self._tls.context
        )

    @property
    def port(self) -> int:
        """The port it listens on; raises ValueError while it does not."""
        return self._server.port

    async def start(self) -> None:
        """Begin to listen and to collect events; raises ConfigurationError when the port cannot be had."""
        await self._server.start()
        self._look()
        for desk in self._desks.values():
            desk.start()

    async def stop(self) -> None:
        """Hang up and listen no more; idempotent. The modules go on."""
        if self._looking is not None:
            self._looking.cancel()
        for desk in self._desks.values():
            desk.hang_up()
        await self._server.stop()

    async def _serve(self, channel: TcpChannel) -> None:
        desk = self._desks.get(channel.peer_identity or "")
        if desk is None:
            names = ", ".join(desk.node for desk in self._desks.values())
            _log.warning("modules of %s: turned away %s, which is no such site", names, channel.peer_identity)
            return
        self._standing.add(channel)
        try:
            await desk.serve(channel)
        finally:
            self._standing.discard(channel)

    def _look(self) -> None:
        """Take up new certificate files, and cut off what stands by a certificate that does not count any more."""
        self._tls.look()
        for channel in [one for one in self._standing if self._tls.has_ended(one.peer_certificate)]:
            _log.warning("modules: cut off %s, whose certificate has ended", channel.peer_identity)
            channel.abort()
        self._looking = asyncio.get_running_loop().call_later(LOOK_PERIOD_S, self._look)

    def _note_files(self, why_kept: str | None) -> None:
        if why_kept is not None:
            _log.warning("modules: new certificate files do not count, the former ones do: %s", why_kept)

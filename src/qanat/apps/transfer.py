"""One file from one application to another: two clients at two key managers' doors, and a classical channel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qanat.adapters.files import PartialFile, SourceFile, sha256_of
from qanat.adapters.tcp_channel import ChannelServer, TcpChannel, connect_channel
from qanat.apps.bootstrap import HOST, Service
from qanat.client import Etsi014Client
from qanat.ground.errors import ChannelError, QanatError
from qanat.ground.identifiers import RequestId, SaeId
from qanat.ground.network import Application
from qanat.ground.ports import KeySupply
from qanat.services.file import (
    FileSettings,
    Progress,
    ReceivedFile,
    RefusedByPeer,
    SentFile,
    file_name_for_all,
    receive_file,
    send_file,
)

KEY_PATIENCE_S = 55.0
"""How long one call for keys may wait while the twins make some; the service asks again until its own patience ends."""

FILE_PATIENCE_S = 600.0
"""How long the file service asks again; a link that is told to have failed ends it at once."""

ECHO_S = 2.0
"""How long one end's fault waits for the other's, which may be its cause."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A transfer that both ends call finished, and what the two files say."""

    name: str
    size_bytes: int
    num_chunks: int
    num_keys: int
    request_id: RequestId
    encoded_event: str
    delivered_event: str
    duration_s: float
    sha256_sent: str
    sha256_received: str

    @property
    def is_identical(self) -> bool:
        return self.sha256_sent == self.sha256_received


@dataclass(frozen=True, slots=True)
class Courier:
    """Carries files between two applications of a running service."""

    service: Service
    sender: Application
    receiver: Application
    watch_supply: Callable[[KeySupply, SaeId], KeySupply] = lambda supply, _: supply

    async def deliver(self, source: Path, target: Path, *, on_progress: Callable[[Progress], None]) -> Delivery:
        """Send ``source`` and return when it lies at ``target``; raises what either end raises.

        Raises BadParameter when somebody writes to ``source`` meanwhile, MachineFault when ``target`` cannot be kept.
        """
        async with SourceFile(source) as opened:
            return await self._deliver(opened, target, on_progress)

    async def _deliver(self, source: SourceFile, target: Path, on_progress: Callable[[Progress], None]) -> Delivery:
        clock = self.service.clock
        began_s = clock.monotonic_s()
        arrival: asyncio.Future[ReceivedFile] = asyncio.get_running_loop().create_future()

        async def accept(channel: TcpChannel) -> None:
            try:
                received = await self._receive(channel, target)
            except QanatError as fault:
                if not arrival.done():
                    arrival.set_exception(fault)
            else:
                arrival.set_result(received)

        server = ChannelServer(accept, host=HOST, port=0)
        await server.start()
        sending = asyncio.create_task(self._send(source, server.port, on_progress))
        try:
            await _both(sending, arrival)
        finally:
            sending.cancel()
            arrival.cancel()
            await asyncio.gather(sending, arrival, return_exceptions=True)
            await server.stop()
        sent, received = sending.result(), arrival.result()
        return Delivery(
            name=sent.name,
            size_bytes=received.size_bytes,
            num_chunks=sent.num_chunks,
            num_keys=sent.num_keys,
            request_id=sent.request_id,
            encoded_event=sent.encoded,
            delivered_event=received.delivered,
            duration_s=clock.monotonic_s() - began_s,
            sha256_sent=source.sha256,
            sha256_received=await sha256_of(target),
        )

    async def _send(self, source: SourceFile, port: int, on_progress: Callable[[Progress], None]) -> SentFile:
        network = self.service.network
        sae, peer = network.sae(self.sender.name), network.sae(self.receiver.name)
        trace = self.service.recorder(network.site_of(sae).node).new_request()
        channel = await connect_channel(HOST, port, timeout_s=5.0)
        try:
            async with self._client(self.sender) as client:
                client.trace = trace
                return await send_file(
                    source.stream(),
                    supply=self.watch_supply(client, sae),
                    peer=peer,
                    channel=channel,
                    trace=trace,
                    clock=self.service.clock,
                    name=file_name_for_all(source.path.name),
                    size_bytes=source.size_bytes,
                    on_progress=on_progress,
                    settings=FileSettings(patience_s=FILE_PATIENCE_S),
                )
        finally:
            await channel.close()

    async def _receive(self, channel: TcpChannel, target: Path) -> ReceivedFile:
        network = self.service.network
        sae, peer = network.sae(self.receiver.name), network.sae(self.sender.name)
        async with self._client(self.receiver) as client, PartialFile(target) as partial:
            received = await receive_file(
                supply=self.watch_supply(client, sae),
                peer=peer,
                channel=channel,
                recorder=self.service.recorder(network.site_of(sae).node),
                sink=partial.write,
            )
            await partial.finish()
            return received

    def _client(self, application: Application) -> Etsi014Client:
        network = self.service.network
        sae = network.sae(application.name)
        node = network.site_of(sae).node
        return Etsi014Client(
            self.service.door_url(node),
            tls=self.service.place.sae_files(application.name),
            sae=sae,
            kme=network.kme(node),
            trace=None,
            patience_s=KEY_PATIENCE_S,
        )


async def _both(*ends: asyncio.Future[Any]) -> None:
    """Return when both ends have finished; raises the fault that came first in fact, not the echo at the other end."""
    done, open_ = await asyncio.wait(ends, return_when=asyncio.FIRST_EXCEPTION)
    if any(future.exception() is not None for future in done) and open_:
        late, _ = await asyncio.wait(open_, timeout=ECHO_S)
        done |= late
    faults = [fault for future in done if (fault := future.exception()) is not None]
    if faults:
        raise min(faults, key=lambda fault: isinstance(fault, ChannelError | RefusedByPeer))

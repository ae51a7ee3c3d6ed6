"""One file from one application to another by the service of ``qanat send``: two clients at two key managers' doors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from qanat.adapters.buffer_line import BufferLine, LaterLine
from qanat.adapters.files import sha256_of
from qanat.adapters.incoming import IncomingFolder
from qanat.adapters.line_server import LineServer
from qanat.adapters.outgoing import OutgoingFile
from qanat.adapters.system import SystemEntropy
from qanat.apps.bootstrap import HOST, Service
from qanat.client import Etsi014Client
from qanat.ground.errors import ChannelError, QanatError
from qanat.ground.events import EventKind
from qanat.ground.identifiers import RequestId, SaeId
from qanat.ground.network import Application
from qanat.ground.ports import KeySupply
from qanat.ground.tracing import Trace
from qanat.services.ciphers import Refresh, StreamSealer
from qanat.services.conversation import Party, RefusedByPeer, Terms, answering, calling
from qanat.services.file_delivery import (
    SERVICE,
    ArrivedFile,
    ProgressCallback,
    SentWhole,
    deliver_file,
    take_file,
)
from qanat.services.file_names import file_name_for_all
from qanat.users.supply import ClientSupply

KEY_PATIENCE_S = 55.0
"""How long one call for keys may wait while the twins make some; the service asks again until its own patience ends."""

FILE_PATIENCE_S = 600.0
"""How long the file service asks again; a link that is told to have failed ends it at once."""

TERMS: Final = Terms(
    refresh=Refresh(every_bytes=2**20), patience_s=FILE_PATIENCE_S, silence_s=FILE_PATIENCE_S + KEY_PATIENCE_S
)
"""AES-128 with a fresh key for every MiB, and after a minute in any case: many keys are seen to be used. Neither end
gives up while the other may still be waiting for a key."""

ECHO_S = 2.0
"""How long one end's fault waits for the other's, which may be its cause."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A transfer that both ends call finished, and what the two files say. ``num_keys``: the sender's."""

    name: str
    size_bytes: int
    num_keys: int
    request_id: RequestId
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

    async def deliver(self, source: Path, folder: Path, *, on_progress: ProgressCallback) -> Delivery:
        """Send ``source`` and return when it lies in ``folder``; raises what either end raises.

        Raises BadParameter when somebody writes to ``source`` meanwhile, MachineFault when it cannot be kept there.
        """
        clock, network = self.service.clock, self.service.network
        began_s = clock.monotonic_s()
        arrival: asyncio.Future[ArrivedFile] = asyncio.get_running_loop().create_future()

        async def accept(line: BufferLine) -> None:
            try:
                arrived = await self._receive(line, folder)
            except QanatError as fault:
                if not arrival.done():
                    arrival.set_exception(fault)
            else:
                arrival.set_result(arrived)

        sae = network.sae(self.sender.name)
        trace = self.service.recorder(network.site_of(sae).node).new_request()
        notes = folder.with_name(folder.name + "-notes")
        name = file_name_for_all(source.name)
        with OutgoingFile(source, name=name, recipient=network.sae(self.receiver.name), notes=notes) as outgoing:
            server = LineServer(accept, host=HOST)
            await server.start()
            sending = asyncio.create_task(self._send(outgoing, server.port, trace, on_progress))
            try:
                await _both(sending, arrival)
            finally:
                sending.cancel()
                arrival.cancel()
                await asyncio.gather(sending, arrival, return_exceptions=True)
                await server.stop()
            outgoing.confirmed()
        sent, arrived = sending.result(), arrival.result()
        assert trace.last is not None, "the recipient kept the event of step 10"
        return Delivery(
            name=arrived.name,
            size_bytes=arrived.size_bytes,
            num_keys=sent.num_keys,
            request_id=trace.request_id,
            delivered_event=trace.last,
            duration_s=clock.monotonic_s() - began_s,
            sha256_sent=sent.sha256,
            sha256_received=await sha256_of(folder / arrived.name),
        )

    async def _send(self, outgoing: OutgoingFile, port: int, trace: Trace, on_progress: ProgressCallback) -> SentWhole:
        peer = self.service.network.sae(self.receiver.name)
        line, name, size_bytes = LaterLine(HOST, port), outgoing.name, outgoing.size_bytes
        try:
            async with self._client(self.sender, trace) as client:
                trace.record(EventKind.REQUEST, service=SERVICE, name=name, size_bytes=size_bytes, peer=peer)
                talk = calling(self._party(self.sender, client), line, peer, service=SERVICE, terms=TERMS)
                assert isinstance(talk.sealer, StreamSealer)
                await talk.sealer.prepare(content_bytes=size_bytes)  # before anybody waits on an open line
                return await deliver_file(talk, outgoing, on_progress=on_progress, trace=trace)
        finally:
            await line.close()

    async def _receive(self, line: BufferLine, folder: Path) -> ArrivedFile:
        network = self.service.network
        recorder = self.service.recorder(network.site_of(network.sae(self.receiver.name)).node)
        async with self._client(self.receiver, None) as client:
            talk = await answering(self._party(self.receiver, client), line, terms=TERMS)
            return await take_file(talk, IncomingFolder(folder), recorder=recorder)

    def _party(self, application: Application, client: Etsi014Client) -> Party:
        sae = self.service.network.sae(application.name)
        return Party(sae, self.watch_supply(ClientSupply(client), sae), self.service.clock, SystemEntropy())

    def _client(self, application: Application, trace: Trace | None) -> Etsi014Client:
        network = self.service.network
        sae = network.sae(application.name)
        node = network.site_of(sae).node
        return Etsi014Client(
            self.service.door_url(node),
            tls=self.service.place.sae_files(application.name),
            sae=sae,
            kme=network.kme(node),
            trace=trace,
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

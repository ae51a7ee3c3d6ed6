"""A file is under way over a ring when a relay of its keys' route is killed: the transfer goes on over the other way,
and the file arrives whole."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from interop.live import LiveNetwork, running_network, running_site
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.adapters.tcp_channel import ChannelServer, TcpChannel, connect_channel
from qanat.client import Etsi014Client
from qanat.ground.events import Event
from qanat.ground.identifiers import KeyID, NodeId, SaeId
from qanat.ground.keys import KeyStatus, SecretKey
from qanat.ground.tracing import EventRecorder
from qanat.services.file import FileSettings, Progress, ReceivedFile, SentFile, receive_file, send_file

pytestmark = pytest.mark.campaign  # `make test` has the same of the users' service: test_services.py

RING, RELAY = "five-site-ring", "east"
SHORT_WAY, LONG_WAY = ("north", "east", "south"), ("north", "northwest", "southwest", "south")
CHUNK_BYTES, NUM_CHUNKS, KEYS_PER_REQUEST = 64 * 1024, 128, 8
KILLED_AFTER = 44
"""Chunks: in the midst of the keys of one request, and of a file of 8 MiB."""
PIECE = bytes(range(256)) * 64


class Watched:
    """An application's supply of keys, which remembers the routes of its keys in the order they came."""

    def __init__(self, client: Etsi014Client) -> None:
        self._client = client
        self.routes: list[tuple[NodeId, ...] | None] = []

    async def get_status(self, peer: SaeId, /) -> KeyStatus:
        return await self._client.get_status(peer)

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        keys = await self._client.get_keys(peer, count=count, size_bits=size_bits)
        self.routes += [key.route for key in keys]
        return keys

    async def get_keys_by_id(self, peer: SaeId, key_ids: Sequence[KeyID], /) -> Sequence[SecretKey]:
        return await self._client.get_keys_by_id(peer, key_ids)


async def pieces() -> AsyncIterator[bytes]:
    for number in range(CHUNK_BYTES * NUM_CHUNKS // len(PIECE)):
        yield hashlib.sha256(str(number).encode()).digest() + PIECE[32:]


class Transfer:
    """One file from alice to bob, as two programs of theirs would send it."""

    def __init__(self, network: LiveNetwork) -> None:
        self.network = network
        self.settings = FileSettings(chunk_bytes=CHUNK_BYTES, keys_per_request=KEYS_PER_REQUEST)
        self.received = hashlib.sha256()
        self.events: list[Event] = []
        self.recorder = EventRecorder(
            node=NodeId("outside"), clock=SystemClock(), entropy=SystemEntropy(), sink=self.events.append
        )
        self.arrival: asyncio.Future[ReceivedFile] = asyncio.get_running_loop().create_future()
        self.routes: list[tuple[NodeId, ...] | None] = []

    def client(self, name: str) -> Etsi014Client:
        network = self.network
        return Etsi014Client(network.url(name), tls=network.files(name), sae=network.sae(name), patience_s=20)

    async def receive(self, channel: TcpChannel) -> None:
        async with self.client("bob") as bob:
            received = await receive_file(
                supply=bob,
                peer=self.network.sae("alice"),
                channel=channel,
                recorder=self.recorder,
                sink=self.received.update,
                settings=self.settings,
            )
        self.arrival.set_result(received)

    async def send(self, port: int, on_progress: object) -> SentFile:
        channel = await connect_channel("127.0.0.1", port, timeout_s=5.0)
        trace = self.recorder.new_request()
        try:
            async with self.client("alice") as alice:
                alice.trace = trace
                watched = Watched(alice)
                self.routes = watched.routes
                return await send_file(
                    pieces(),
                    supply=watched,
                    peer=self.network.sae("bob"),
                    channel=channel,
                    trace=trace,
                    clock=SystemClock(),
                    name="film.bin",
                    size_bytes=CHUNK_BYTES * NUM_CHUNKS,
                    on_progress=on_progress,  # type: ignore[arg-type]
                    settings=self.settings,
                )
        finally:
            await channel.close()


def test_a_running_file_transfer_survives_the_kill_of_a_relay(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_network(data, RING, apart=[RELAY]) as network, running_site(data, RELAY, RING) as relay:
        killed_at: list[int] = []

        def kill_midway(progress: Progress) -> None:
            if progress.num_chunks == KILLED_AFTER:
                relay.kill()
                killed_at.append(len(transfer.routes))

        async def whole() -> tuple[SentFile, ReceivedFile]:
            nonlocal transfer
            transfer = Transfer(network)
            server = ChannelServer(transfer.receive)
            await server.start()
            try:
                sent = await transfer.send(server.port, kill_midway)
                return sent, await asyncio.wait_for(transfer.arrival, timeout=10)
            finally:
                await server.stop()

        transfer: Transfer
        sent, received = asyncio.run(whole())
        assert relay.process.poll() is not None, "killed, with SIGKILL"
    expected = hashlib.sha256()
    for number in range(CHUNK_BYTES * NUM_CHUNKS // len(PIECE)):
        expected.update(hashlib.sha256(str(number).encode()).digest() + PIECE[32:])
    assert transfer.received.digest() == expected.digest()
    assert sent.num_chunks == received.num_chunks == NUM_CHUNKS
    before, after = transfer.routes[: killed_at[0]], transfer.routes[killed_at[0] :]
    assert set(before) == {SHORT_WAY}, "keys came over the relay while it lived"
    assert set(after) == {LONG_WAY}, "and the other way since"
    assert len(after) > NUM_CHUNKS // 2, "most of the file was still to come"

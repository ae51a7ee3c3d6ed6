"""Two users and the relays between them in one process, for the relay's benchmarks: the service's key managers, stores
on disk, messages over mutual TLS, and links whose key was put into the stores beforehand."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.etsi014_http import etsi014_app
from qanat.adapters.http_server import HttpDoor
from qanat.adapters.pki import NodeFiles, SaeFiles, create_pki
from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.adapters.tls import TlsFiles, server_context
from qanat.adapters.tls_transport import TlsTransport
from qanat.control.controller import Controller
from qanat.doors.etsi014 import Etsi014Door
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import CONTROLLER, BlockId, NodeId, OrderId, SaePair
from qanat.ground.keys import KeyBlock, SecretBytes
from qanat.ground.network import Application, Link, Network, PreparedKeys, Site
from qanat.ground.tracing import EventRecorder
from qanat.key_management.manager import KeyManager
from qanat.key_management.settings import KeyManagerSettings

POLL_S = 0.02
BLOCK_BITS = 4_000_000
FILLING = KeyManagerSettings(idle_after_s=0.0, prepare_pause_s=0.1, tick_s=0.1, announce_s=0.5)


@dataclass(frozen=True, slots=True)
class Filling:
    """How many keys of which size are to lie ready between two users who are so many links apart."""

    count: int
    size_bits: int
    hops: int = 2

    @property
    def key_bits(self) -> int:
        return self.count * self.size_bits


def line_network(filling: Filling) -> Network:
    """Return two users and the relays between them in a line, told to prepare keys."""
    last = filling.hops
    sites = tuple(
        Site(
            name=f"n{place}", kind="user" if place in (0, last) else "relay", latitude_deg=31, longitude_deg=place / 10
        )
        for place in range(last + 1)
    )
    links = tuple(
        Link(
            name=f"n{place}-n{place + 1}",
            transmitter=f"n{place}",
            receiver=f"n{place + 1}",
            system="backbone-625",
            loss_db=10,
            length_km=40,
        )
        for place in range(last)
    )
    ends = (Application(name="alice", site="n0"), Application(name="bob", site=f"n{last}"))
    keys = PreparedKeys(master="alice", slave="bob", count=filling.count, size_bits=filling.size_bits)
    return Network(
        format="qanat-network/1", name="line", sites=sites, links=links, applications=ends, prepared_keys=(keys,)
    )


class RelayNetwork:
    """The network in a folder; its pools hold link key for twice ``filling``."""

    def __init__(self, folder: Path, filling: Filling) -> None:
        self.network = line_network(filling)
        master, slave = self.network.saes
        self.pair = SaePair(master, slave)
        self.stores: dict[NodeId, SqliteKeyStore] = {}
        self.doors: dict[NodeId, HttpDoor] = {}
        self.began_cpu_s: float | None = None
        """Processor time when the first batch of keys was begun."""
        self._folder = folder
        self._filling = filling
        self._stack = AsyncExitStack()
        self._addresses: dict[NodeId, tuple[str, int]] = {}
        self._parts = SystemClock(), SystemEntropy()

    async def __aenter__(self) -> RelayNetwork:
        return self

    async def prepare(self) -> None:
        """Make certificates and stores, and put link key into these."""
        clock, entropy = self._parts
        days = dict.fromkeys((link.link_id for link in self.network.links), 1.0)
        create_pki(
            self._folder / "pki", self.network, entropy=entropy, clock=clock, sessions_per_day=days, reserve_days=1
        )
        writer = StoreWriter()
        self._stack.push_async_callback(writer.close)
        for node in self.network.nodes:
            path = self._folder / f"{node}.sqlite"
            self.stores[node] = await SqliteKeyStore.open(path, master_key=SecretBytes(os.urandom(32)), writer=writer)
            await self.stores[node].open_epoch()
        for link in self.network.links:
            await self._stock(link)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def start(self, *, with_doors: bool = False) -> None:
        """Start controller and key managers, and doors if need be: they begin to prepare keys at once."""
        tasks = await self._stack.enter_async_context(AsyncioTasks())
        clock, entropy = self._parts
        transports = {node: await self._transport(node) for node in (CONTROLLER, *self.network.nodes)}
        controller = Controller(
            network=self.network,
            transport=transports[CONTROLLER],
            clock=clock,
            tasks=tasks,
            entropy=entropy,
            recorder=self._recorder(CONTROLLER),
        )
        tasks.start(controller.run(), name="controller")
        for node, store in self.stores.items():
            manager = KeyManager(
                node=node,
                network=self.network,
                store=store,
                transport=transports[node],
                clock=clock,
                tasks=tasks,
                entropy=entropy,
                modules=(),
                recorder=self._recorder(node),
                settings=FILLING,
            )
            tasks.start(manager.run(), name=f"key manager {node}")
            if with_doors:
                await self._open_door(node, manager)

    async def filled(self, *, within_s: float) -> None:
        """Return when as many keys lie ready as were asked for; raises TimeoutError."""
        until_s = time.monotonic() + within_s
        while await self._ready_keys() < self._filling.count:
            if time.monotonic() > until_s:
                raise TimeoutError(f"{await self._ready_keys()} of {self._filling.count} keys after {within_s:.0f} s")
            await asyncio.sleep(POLL_S)

    async def _ready_keys(self) -> int:
        """Return how many keys lie ready for the master; none before the key managers have opened their stores."""
        if self.began_cpu_s is None:
            return 0
        node = self.network.site_of(self.pair.master).node
        return await self.stores[node].count_keys(self.pair, size_bits=self._filling.size_bits)

    def client_files(self, name: str) -> TlsFiles:
        return _tls(SaeFiles.of(self._folder / "pki", name))

    def _recorder(self, node: NodeId) -> EventRecorder:
        clock, entropy = self._parts
        return EventRecorder(node=node, clock=clock, entropy=entropy, sink=self._heard)

    def _heard(self, event: Event) -> None:
        if event.kind is EventKind.POOL_FILLING and self.began_cpu_s is None:
            self.began_cpu_s = time.process_time()

    async def _transport(self, node: NodeId) -> TlsTransport:
        files = _tls(NodeFiles.of(self._folder / "pki", node))
        transport = TlsTransport(node, network=self.network.name, tls=files, addresses=self._addresses.get)
        await transport.start()
        self._stack.push_async_callback(transport.close)
        self._addresses[node] = ("127.0.0.1", transport.port)
        return transport

    async def _open_door(self, node: NodeId, manager: KeyManager) -> None:
        saes = [sae for sae in self.network.saes if self.network.site_of(sae).node == node]
        app = etsi014_app(Etsi014Door(manager, saes=saes))
        door = self.doors[node] = HttpDoor(app, tls=server_context(_tls(NodeFiles.of(self._folder / "pki", node))))
        await door.start()
        self._stack.push_async_callback(door.stop)

    async def _stock(self, link: Link) -> None:
        """Put the same blocks into the stores of both ends: half of each serves the direction that is asked for."""
        for _ in range(-(-4 * self._filling.key_bits // BLOCK_BITS) + 1):
            block_id, secret = BlockId(str(uuid.uuid4())), os.urandom(BLOCK_BITS // 8)
            for node in link.ends:
                block = KeyBlock(
                    block_id=block_id,
                    order_id=OrderId("benchmark"),
                    link_id=link.link_id,
                    local=node,
                    peer=link.peer_of(node),
                    origin="twin",
                    protocol="benchmark",
                    num_bits=BLOCK_BITS,
                    bits=SecretBytes(secret),
                    eps_sec=0.0,
                    eps_cor=0.0,
                    finished_utc_s=0.0,
                )
                await self.stores[node].add_block(block)
                await self.stores[node].confirm(block_id)


def _tls(files: NodeFiles | SaeFiles) -> TlsFiles:
    return TlsFiles(certificate=files.certificate, key=files.key, ca=files.ca)

"""The parts of a site, and the folder they live in: shared by a process of many sites and one of a single site."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from qanat.adapters.addresses import Address, AddressBook, ListenerKind
from qanat.adapters.encryption import find_master_key
from qanat.adapters.etsi014_http import etsi014_app
from qanat.adapters.folder_lock import held
from qanat.adapters.http_server import HttpDoor
from qanat.adapters.pki import NodeFiles, SaeFiles
from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.adapters.tcp_channel import connect_channel
from qanat.adapters.tls import TlsFiles, client_context, server_context
from qanat.adapters.tls_transport import TlsTransport
from qanat.apps.event_log import EventLog
from qanat.doors.etsi014 import Etsi014Door, Limits
from qanat.ground.errors import ChannelError, ConfigurationError
from qanat.ground.events import EventKind
from qanat.ground.identifiers import KmeId, LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.ports import KeyStore, QKDModule, Tasks, Transport
from qanat.ground.tracing import EventRecorder
from qanat.key_management.manager import KeyManager
from qanat.key_management.settings import KeyManagerSettings

HOST = "127.0.0.1"
LOCK_PATIENCE_S = 1.0
"""Whoever looks whether a site's folder is free holds it for a moment."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """The folder of a network: certificates, stores, event log, master key, and where its processes listen."""

    folder: Path

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def addresses(self) -> AddressBook:
        return AddressBook(self.folder / "addresses")

    @property
    def master_key(self) -> Path:
        return self.folder / "master.key"

    def site(self, node: NodeId) -> Path:
        """Return the folder of one site, which one process holds."""
        return self.folder / node

    def store(self, node: NodeId) -> Path:
        return self.site(node) / "keys.sqlite"

    def node_files(self, node: NodeId) -> TlsFiles:
        """Return the certificate of a site's key manager, or of the controller."""
        files = NodeFiles.of(self.pki, node)
        return TlsFiles(certificate=files.certificate, key=files.key, ca=files.ca)

    def sae_files(self, name: str) -> TlsFiles:
        """Return the certificate of an application."""
        files = SaeFiles.of(self.pki, name)
        return TlsFiles(certificate=files.certificate, key=files.key, ca=files.ca)

    async def answers(self, kind: ListenerKind, node: NodeId, *, kme: KmeId) -> bool:
        """Return whether somebody who proves to be a site's own listens where it was last said to."""
        address = self.addresses.find(kind, node)
        if address is None:
            return False
        try:
            channel = await connect_channel(*address, tls=client_context(self.node_files(node), expected_peer=kme))
        except ChannelError:
            return False
        await channel.close()
        return True

    def claim(self, network: Network) -> None:
        """Make this the folder of ``network``; raises ConfigurationError when it is another one's."""
        note = self.folder / "network"
        if not note.exists():
            note.write_text(network.name + "\n", encoding="utf-8")
        self.check(network)

    def check(self, network: Network) -> None:
        """Refuse the data of another network, whose certificates would name nodes that are not here."""
        note = self.folder / "network"
        if note.exists() and (found := note.read_text(encoding="utf-8").strip()) != network.name:
            raise ConfigurationError(
                f"{self.folder} holds the data of network {found!r}, not of {network.name!r}",
                remedy="name another folder with --data",
            )


def default_folder(network: Network) -> Path:
    """Return the network's folder in the user's data home (XDG base directories)."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "qanat" / network.name


def sessions_per_day(network: Network) -> dict[LinkId, float]:
    """Return how many amplification blocks each link makes in a day of steady work."""
    from qanat.quantum_layer.forecast import expected_capability

    seconds = 86_400.0
    return {
        link.link_id: seconds / expected_capability(link.link_id, link.system, loss_db=link.loss_db).block_time_s
        for link in network.links
    }


def key_manager_settings(network: Network) -> KeyManagerSettings:
    """Return what all key managers of a network are set to."""
    return KeyManagerSettings(sessions_per_day=sessions_per_day(network))


class SiteParts:
    """Makes stores, transports, key managers and doors of one process. ``stack`` closes them, the last one first."""

    def __init__(
        self, network: Network, place: Workplace, *, log: EventLog, settings: KeyManagerSettings, stack: AsyncExitStack
    ) -> None:
        self.network = network
        self.place = place
        self.log = log
        self.settings = settings
        self.clock = SystemClock()
        self.entropy = SystemEntropy()
        self._stack = stack
        self._addresses: dict[NodeId, Address] = {}

    def recorder(self, node: NodeId) -> EventRecorder:
        """Return a recorder of events at ``node`` into this process's log."""
        return EventRecorder(node=node, clock=self.clock, entropy=self.entropy, sink=self.log)

    def hold_site(self, node: NodeId, *, remedy: str) -> None:
        """Keep every other process out of a site's folder; raises ConfigurationError when one is in it."""
        self._stack.enter_context(held(self.place.site(node), remedy=remedy, patience_s=LOCK_PATIENCE_S))

    async def open_stores(self, nodes: Sequence[NodeId]) -> dict[NodeId, KeyStore]:
        """Open the key stores of sites whose folders this process holds, with one writer for all of them."""
        writer = StoreWriter()
        self._stack.push_async_callback(writer.close)
        master_key = find_master_key(self.place.master_key, environment=os.environ, entropy=self.entropy)
        stores: dict[NodeId, KeyStore] = {}
        for node in nodes:
            path = self.place.store(node)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            store = await SqliteKeyStore.open(path, master_key=master_key, writer=writer)
            self._stack.push_async_callback(store.close)
            stores[node] = store
        return stores

    async def open_transport(self, node: NodeId) -> TlsTransport:
        """Open a node's transport and publish where it listens."""
        transport = TlsTransport(
            node,
            network=self.network.name,
            tls=self.place.node_files(node),
            addresses=self._address,
            host=HOST,
            port=0,
        )
        await transport.start()
        self._stack.push_async_callback(transport.close)
        self._addresses[node] = (HOST, transport.port)
        self.place.addresses.publish("transports", node, (HOST, transport.port))
        self._stack.callback(self.place.addresses.withdraw, "transports", node)
        return transport

    def manager(
        self, node: NodeId, *, store: KeyStore, transport: Transport, tasks: Tasks, modules: Sequence[QKDModule]
    ) -> KeyManager:
        """Return a site's key manager, which runs from now on."""
        manager = KeyManager(
            node=node,
            network=self.network,
            store=store,
            transport=transport,
            clock=self.clock,
            tasks=tasks,
            entropy=self.entropy,
            modules=modules,
            recorder=self.recorder(node),
            settings=self.settings,
        )
        tasks.start(manager.run(), name=f"key manager {node}")
        return manager

    async def open_door(self, node: NodeId, manager: KeyManager, *, port: int) -> HttpDoor:
        """Open a site's door and publish where it listens; raises ConfigurationError when the port cannot be had."""
        recorder = self.recorder(node)

        def on_refused(why: str) -> None:
            recorder.record(EventKind.CALLER_REFUSED, why=why)

        saes = [sae for sae in self.network.saes if self.network.site_of(sae).node == node]
        door = HttpDoor(
            etsi014_app(Etsi014Door(manager, saes=saes, limits=door_limits(self.settings), on_refused=on_refused)),
            tls=server_context(self.place.node_files(node), on_refused=on_refused),
            host=HOST,
            port=port,
        )
        await door.start()
        self._stack.push_async_callback(door.stop)
        self.place.addresses.publish("doors", node, (HOST, door.port))
        self._stack.callback(self.place.addresses.withdraw, "doors", node)
        return door

    def _address(self, node: NodeId) -> Address | None:
        """Return where a node's transport listens: in this process, or where another one last said so."""
        return self._addresses.get(node) or self.place.addresses.find("transports", node)


def door_limits(settings: KeyManagerSettings) -> Limits:
    """Return the door's limits: the key manager's, said once."""
    return Limits(
        key_size_bits=settings.key_size_bits,
        min_key_size_bits=settings.min_key_size_bits,
        max_key_size_bits=settings.max_key_size_bits,
        max_keys_per_request=settings.max_keys_per_request,
        max_request_bits=settings.max_request_bits,
        max_additional_slaves=settings.max_additional_slaves,
        repeat_window_s=settings.repeat_window_s,
    )

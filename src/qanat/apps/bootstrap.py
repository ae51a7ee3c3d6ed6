"""The only place where parts are wired together: a service process with key managers, doors, twins and workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.encryption import load_master_key
from qanat.adapters.etsi014_http import etsi014_app
from qanat.adapters.http_server import HttpDoor
from qanat.adapters.initial_keys import consume_initial_key, initial_key_path, read_initial_key
from qanat.adapters.pki import NodeFiles, SaeFiles, create_pki
from qanat.adapters.process_pool import ProcessPool
from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.adapters.system import SystemClock, SystemEntropy, system_chance
from qanat.adapters.tls import TlsFiles, server_context
from qanat.adapters.tls_transport import TlsTransport
from qanat.apps.event_log import EventLog
from qanat.control.controller import Controller
from qanat.doors.etsi014 import Etsi014Door, Limits
from qanat.ground.events import EventKind
from qanat.ground.identifiers import CONTROLLER, LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.ports import Job, KeyStore, QKDModule
from qanat.ground.tracing import EventRecorder
from qanat.key_management.manager import KeyManager
from qanat.key_management.settings import KeyManagerSettings
from qanat.quantum_layer.twin import TwinLink

HOST = "127.0.0.1"
POOL_GRACE_S = 2.0
ModuleWrapper = Callable[[QKDModule], QKDModule]
"""Lets a caller stand between a key manager and its module, as the demo's proof does."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """The folder of a network: certificates, stores, event log, master key."""

    folder: Path

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"

    def store(self, node: NodeId) -> Path:
        return self.folder / node / "keys.sqlite"

    @property
    def master_key(self) -> Path:
        return self.folder / "master.key"

    def node_files(self, node: NodeId) -> TlsFiles:
        """Return the certificate of a site's key manager, or of the controller."""
        files = NodeFiles.of(self.pki, node)
        return TlsFiles(certificate=files.certificate, key=files.key, ca=files.ca)

    def sae_files(self, name: str) -> TlsFiles:
        """Return the certificate of an application."""
        files = SaeFiles.of(self.pki, name)
        return TlsFiles(certificate=files.certificate, key=files.key, ca=files.ca)


def sessions_per_day(network: Network) -> dict[LinkId, float]:
    """Return how many amplification blocks each link makes in a day of steady work."""
    from qanat.quantum_layer.forecast import expected_capability

    seconds = 86_400.0
    return {
        link.link_id: seconds / expected_capability(link.link_id, link.system, loss_db=link.loss_db).block_time_s
        for link in network.links
    }


class Service:
    """A network on this machine: ``async with Service(...) as service``."""

    def __init__(
        self,
        network: Network,
        folder: Path,
        *,
        log: EventLog,
        ports: Sequence[int] = (),
        num_workers: int = 1,
        wrap_module: ModuleWrapper = lambda module: module,
    ) -> None:
        self.network = network
        self.place = Workplace(folder)
        self.log = log
        self.clock = SystemClock()
        self.entropy = SystemEntropy()
        self.stores: dict[NodeId, KeyStore] = {}
        self.managers: dict[NodeId, KeyManager] = {}
        self.doors: dict[NodeId, HttpDoor] = {}
        self.settings = KeyManagerSettings(sessions_per_day=sessions_per_day(network))
        self.pool = ProcessPool(num_workers)
        self._ports = dict(zip(network.nodes, ports, strict=False))
        self._wrap_module = wrap_module
        self._stack = AsyncExitStack()
        self._transports: dict[NodeId, TlsTransport] = {}

    async def __aenter__(self) -> Service:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, fault, trace)

    def recorder(self, node: NodeId) -> EventRecorder:
        """Return a recorder of events at ``node`` into this service's log."""
        return EventRecorder(node=node, clock=self.clock, entropy=self.entropy, sink=self.log)

    def door_url(self, node: NodeId) -> str:
        """Return where the door of a site answers."""
        return f"https://{HOST}:{self.doors[node].port}"

    async def warm_up(self) -> None:
        """Compile and load the kernels in every worker; they are cached on disk for the next start."""
        from qanat.quantum_layer.link_job import warm_up

        job: Job[None] = Job(warm_up, (self.entropy, system_chance()))
        await self.pool.run(job)

    async def _start(self) -> None:
        self.place.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._make_pki()
        self._stack.push_async_callback(self.pool.close, grace_s=POOL_GRACE_S)
        await self._open_stores()
        await self._import_initial_keys()
        tasks = await self._stack.enter_async_context(AsyncioTasks())
        await self._open_transports()
        modules = self._twin_modules(tasks)
        for node in self.network.nodes:
            self.managers[node] = manager = self._manager(node, tasks, modules[node])
            tasks.start(manager.run(), name=f"key manager {node}")
        tasks.start(self._controller(tasks).run(), name="controller")
        for node, manager in self.managers.items():
            await self._open_door(node, manager)

    def _make_pki(self) -> None:
        """Make certificates and initial keys, or those that the network lacks since it has grown."""
        create_pki(
            self.place.pki,
            self.network,
            entropy=self.entropy,
            clock=self.clock,
            sessions_per_day=sessions_per_day(self.network),
        )

    async def _open_stores(self) -> None:
        writer = StoreWriter()
        self._stack.push_async_callback(writer.close)
        master_key = load_master_key(self.place.master_key, entropy=self.entropy)
        for node in self.network.nodes:
            path = self.place.store(node)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            store = await SqliteKeyStore.open(path, master_key=master_key, writer=writer)
            self._stack.push_async_callback(store.close)
            self.stores[node] = store

    async def _import_initial_keys(self) -> None:
        """Give both ends of each link their pre-shared key, then destroy the file: it is never imported twice."""
        for link in self.network.links:
            path = initial_key_path(self.place.pki, link.link_id)
            if path.exists():
                for node in link.ends:
                    block = read_initial_key(path, node)
                    await self.stores[node].add_block(block)
                    await self.stores[node].confirm(block.block_id)
                consume_initial_key(path)

    async def _open_transports(self) -> None:
        for node in (*self.network.nodes, CONTROLLER):
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
            self._transports[node] = transport

    def _address(self, node: NodeId) -> tuple[str, int] | None:
        transport = self._transports.get(node)
        return None if transport is None else (HOST, transport.port)

    def _twin_modules(self, tasks: AsyncioTasks) -> Mapping[NodeId, list[QKDModule]]:
        modules: dict[NodeId, list[QKDModule]] = {node: [] for node in self.network.nodes}
        for link in self.network.links:
            twin = TwinLink(
                link, pool=self.pool, tasks=tasks, clock=self.clock, chance=system_chance(), entropy=self.entropy
            )
            for node, module in twin.modules.items():
                modules[node].append(self._wrap_module(module))
        return modules

    def _manager(self, node: NodeId, tasks: AsyncioTasks, modules: Sequence[QKDModule]) -> KeyManager:
        return KeyManager(
            node=node,
            network=self.network,
            store=self.stores[node],
            transport=self._transports[node],
            clock=self.clock,
            tasks=tasks,
            entropy=self.entropy,
            modules=modules,
            recorder=self.recorder(node),
            settings=self.settings,
        )

    def _controller(self, tasks: AsyncioTasks) -> Controller:
        return Controller(
            network=self.network,
            transport=self._transports[CONTROLLER],
            clock=self.clock,
            tasks=tasks,
            entropy=self.entropy,
            recorder=self.recorder(CONTROLLER),
        )

    async def _open_door(self, node: NodeId, manager: KeyManager) -> None:
        recorder = self.recorder(node)

        def on_refused(why: str) -> None:
            recorder.record(EventKind.CALLER_REFUSED, why=why)

        saes = [sae for sae in self.network.saes if self.network.site_of(sae).node == node]
        door = HttpDoor(
            etsi014_app(Etsi014Door(manager, saes=saes, limits=_limits(self.settings), on_refused=on_refused)),
            tls=server_context(self.place.node_files(node), on_refused=on_refused),
            host=HOST,
            port=self._ports.get(node, 0),
        )
        await door.start()
        self._stack.push_async_callback(door.stop)
        self.doors[node] = door


def _limits(settings: KeyManagerSettings) -> Limits:
    """Return the door's limits: the key manager's, said once."""
    return Limits(
        key_size_bits=settings.key_size_bits,
        min_key_size_bits=settings.min_key_size_bits,
        max_key_size_bits=settings.max_key_size_bits,
        max_keys_per_request=settings.max_keys_per_request,
    )

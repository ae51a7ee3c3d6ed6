"""Where the parts of one site are wired in a process of its own; its QKD modules stand in another."""

from __future__ import annotations

from pathlib import Path

from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.folder_lock import is_held
from qanat.adapters.remote_module import RemoteSite
from qanat.apps.certificate_watch import CertificateWatch
from qanat.apps.deployment import HOST
from qanat.apps.event_log import EventLog
from qanat.apps.opened import Opened
from qanat.apps.site import SiteDoor, SiteParts, key_manager_settings
from qanat.apps.workplace import Workplace
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network
from qanat.ground.ports import Clock, KeyStore
from qanat.key_management.manager import KeyManager

LOOK_AGAIN_S = 0.2
CONNECT_PATIENCE_S = 5.0
"""For a line to modules that have just answered."""


class ApartSite(Opened):
    """A site of a network on this machine: ``async with ApartSite(...) as site``.

    ``qanat up`` serves its modules, has made its certificates and has taken its links' initial keys into its store.
    """

    def __init__(self, network: Network, node: NodeId, folder: Path, *, log: EventLog, port: int = 0) -> None:
        self.network = network
        self.node = network.site(node).node
        self.place = Workplace(folder)
        self.settings = key_manager_settings(network)
        self._port = port
        super().__init__()
        self._parts = SiteParts(network, self.place, log=log, settings=self.settings, stack=self._stack)
        self.store: KeyStore
        self.manager: KeyManager
        self.modules: RemoteSite
        self.door: SiteDoor | None = None

    @property
    def door_url(self) -> str | None:
        """Where the site's door answers; None without applications."""
        return f"https://{HOST}:{self.door.port}" if self.door is not None else None

    async def _start(self) -> None:
        parts, node = self._parts, self.node
        parts.hold_site(node, remedy="it runs already; stop it first")
        self.place.addresses.withdraw("doors", node)  # of a killed process: nobody is to be sent there
        self.place.check_node_files(self.network, node, clock=parts.clock)
        stores = await parts.open_stores([node])
        tasks = await self._stack.enter_async_context(AsyncioTasks())
        self.modules = RemoteSite(
            node,
            identity=self.network.kme(node),
            server=f"qanat up {self.network.name} --data {self.place.folder} --apart {node}",
            tls=self.place.node_files(node),
            address=lambda: self.place.addresses.find("modules", node),
            tasks=tasks,
            clock=parts.clock,
            entropy=parts.entropy,
        )
        await self.modules.connect(patience_s=CONNECT_PATIENCE_S)
        transport = await parts.open_transport(node)
        self.store = stores[node]
        self.manager = parts.manager(
            node, store=self.store, transport=transport, tasks=tasks, modules=self.modules.modules
        )
        certificate = CertificateWatch(self.place.node_files(node), clock=parts.clock, recorder=parts.recorder(node))
        self.manager.certificate_fault = certificate.fault
        tasks.start(certificate.run(), name=f"certificate of {node}")
        if any(application.site == node for application in self.network.applications):
            self.door = await parts.open_door(node, self.manager, port=self._port)


TAKEN_PATIENCE_S = 15.0
"""`qanat up` holds the sites that run apart while it takes in the links' initial keys, which may last some seconds."""


async def await_modules(network: Network, node: NodeId, place: Workplace, *, clock: Clock, patience_s: float) -> None:
    """Return once ``qanat up`` serves the modules of a site, and so has prepared all that the site needs.

    Raises ConfigurationError when that takes longer than ``patience_s``, or when another process runs the site.
    """
    deadline_s = clock.monotonic_s() + patience_s
    taken_since_s: float | None = None
    while not await place.answers("modules", node, kme=network.kme(node)):
        now_s = clock.monotonic_s()
        taken_since_s = (taken_since_s or now_s) if is_held(place.site(node)) else None
        if taken_since_s is not None and now_s - taken_since_s > TAKEN_PATIENCE_S:
            raise ConfigurationError(
                f"another process runs site {node!r}: {place.site(node)} is in use",
                remedy=f"if it is `qanat up`, start that with --apart {node}; if it is `qanat node`, stop it",
            )
        if now_s >= deadline_s:
            raise ConfigurationError(
                f"no `qanat up` serves the QKD modules of site {node!r} on {place.folder}",
                remedy=f"start `qanat up {network.name} --data {place.folder} --apart {node}` first",
            )
        await clock.sleep_until(now_s + LOOK_AGAIN_S)

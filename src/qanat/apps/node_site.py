"""Where the parts of a site are wired that runs by itself: without ``qanat up``, beside other processes like it."""

from __future__ import annotations

from collections.abc import Sequence

from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.initial_keys import initial_key_path, take_initial_key
from qanat.adapters.module_wire import ModuleCard
from qanat.adapters.remote_module import RemoteSite
from qanat.apps.certificate_watch import CertificateWatch
from qanat.apps.deployment import Deployment, Places
from qanat.apps.event_log import EventLog
from qanat.apps.initial_key_watch import InitialKeyWatch
from qanat.apps.opened import Opened
from qanat.apps.site import SiteDoor, SiteParts, key_manager_settings
from qanat.apps.workplace import Workplace
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import LinkId, ModuleId, NodeId, twin_id
from qanat.ground.keys import PoolId
from qanat.ground.network import Link, Network
from qanat.ground.ports import KeyStore, QKDModule
from qanat.key_management.controllers import ToBothControllers
from qanat.key_management.manager import KeyManager
from qanat.quantum_layer.forecast import expected_capability


def require_on_ground(network: Network, node: NodeId) -> NodeId:
    """Return a site that may be a process of its own; raises ConfigurationError for a satellite, UnknownNode."""
    site = network.site(node)
    if site.kind == "satellite":
        raise ConfigurationError(
            f"{site.name!r} is a satellite, and its passes come in the order of a timetable",
            remedy="run the network with `qanat up`, with the satellite apart if it is to be a process of its own",
        )
    return site.node


class NodeSite(Opened):
    """One site of a network: ``async with NodeSite(...) as site``. The twins of its links run elsewhere
    (``qanat twin``); its devices and key files are its own. None of them need be there at the start."""

    def __init__(
        self, deployment: Deployment, node: NodeId, place: Workplace, *, log: EventLog, door_port: int = 0
    ) -> None:
        self.network = deployment.network
        self.node = require_on_ground(self.network, node)
        self.place = place
        self.settings = key_manager_settings(self.network)
        self.twins: dict[LinkId, RemoteSite] = {}
        self.door: SiteDoor | None = None
        self.store: KeyStore
        self.manager: KeyManager
        self._door_port = door_port
        self._places = Places(place.addresses, deployment.fixed)
        self._deployment = deployment
        super().__init__()
        self._parts = SiteParts(
            self.network, place, log=log, settings=self.settings, stack=self._stack, places=self._places
        )

    @property
    def door_url(self) -> str | None:
        """Where the site's door answers; None without applications."""
        if self.door is None:
            return None
        host, _ = self._places.find("doors", self.node) or ("", 0)
        return f"https://{f'[{host}]' if ':' in host else host}:{self.door.port}"

    @property
    def module_ids(self) -> list[ModuleId]:
        """The ends of the site's links."""
        return [_module_id(link, self.node) for link in self._links]

    @property
    def links_without_light(self) -> list[str]:
        """The names of satellites' links that end here: nobody makes passes for sites that run by themselves."""
        return [link.name for link in self.network.links_of(self.node) if not link.makes_key_on_order]

    @property
    def _links(self) -> list[Link]:
        return [link for link in self.network.links_of(self.node) if link.makes_key_on_order]

    async def _start(self) -> None:
        parts, node, place = self._parts, self.node, self.place
        parts.hold_site(node, remedy="it runs already; stop it first")
        place.claim(self.network)
        place.addresses.withdraw("doors", node)  # of a killed process: nobody is to be sent there
        # before anything is made: without certificates there is nothing to do
        place.check_node_files(self.network, node, clock=parts.clock)
        # a master key of its own, unless the folder is one that `qanat up` made
        own_key = None if place.master_key.exists() else place.own_master_key(node)
        self.store = (await parts.open_stores([node], master_key_path=own_key))[node]
        await self._take_initial_keys()
        tasks = await self._stack.enter_async_context(AsyncioTasks())
        watch = InitialKeyWatch(
            self.network, node, place.pki, self.store, clock=parts.clock, recorder=parts.recorder(node)
        )
        tasks.start(watch.run(), name=f"initial keys of {node}")
        modules = await self._modules(tasks)
        opened = await parts.open_transport(node)
        transport = ToBothControllers(opened) if self._deployment.has_standby else opened
        self.manager = parts.manager(node, store=self.store, transport=transport, tasks=tasks, modules=modules)
        certificate = CertificateWatch(place.node_files(node), clock=parts.clock, recorder=parts.recorder(node))
        self.manager.certificate_fault = certificate.fault
        tasks.start(certificate.run(), name=f"certificate of {node}")
        if any(application.site == node for application in self.network.applications):
            host, port = self._places.listen_at("doors", node)
            self.door = await parts.open_door(node, self.manager, host=host, port=self._door_port or port)

    async def _take_initial_keys(self) -> None:
        for link in self.network.links_of(self.node):
            await take_initial_key(self.place.pki, link, self.node, self.store)
        levels = await self.store.levels()
        for link in self.network.links_of(self.node):
            if PoolId(link.link_id, None) not in levels:
                raise ConfigurationError(
                    f"site {self.node!r} has no initial key of link {link.name!r}",
                    remedy=f"bring {initial_key_path(self.place.pki, link.link_id)}, the same to both ends, 0600; if it"
                    " had been brought before, the key store was emptied or lost, and all its links need new ones",
                )

    async def _modules(self, tasks: AsyncioTasks) -> Sequence[QKDModule]:
        """Return this end's module of each link, in the order of the file."""
        parts, links = self._parts, self._links
        own = await parts.local_modules(self.node, tasks)
        return [self._twin(link, tasks) if link.modules is None else own[link.name] for link in links]

    def _twin(self, link: Link, tasks: AsyncioTasks) -> QKDModule:
        """Return this end of a twin, whose process may come and go."""
        peer = link.peer_of(self.node)
        capability = expected_capability(link.link_id, link.system, loss_db=link.loss_db, pairs=link.pairs)
        twin = self.twins[link.link_id] = RemoteSite(
            self.node,
            identity=twin_id(network=self.network.name, link_id=link.link_id),
            server=self._deployment.twin_command(link.name),
            tls=self.place.node_files(self.node),
            address=lambda: self._places.find("twins", link.name),
            tasks=tasks,
            clock=self._parts.clock,
            entropy=self._parts.entropy,
            cards=[ModuleCard(_module_id(link, self.node), "twin", {peer: capability})],
        )
        twin.begin()
        return twin.modules[0]


def _module_id(link: Link, node: NodeId) -> ModuleId:
    return ModuleId(f"{link.name}.{node}")

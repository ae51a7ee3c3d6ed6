"""Where the parts of a network are wired together: a service process with key managers, doors, twins and workers.

Sites may run apart, each in a process of its own (``apps.apart``); their modules are twins here all the same, and are
served to them. What devices draw (``Service.device_entropy``) comes from one source, of which this process is the only
reader; what key managers, certificates and identifiers take comes from the operating system.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.door_thread import DoorThread
from qanat.adapters.entropy_server import EntropyServer
from qanat.adapters.folder_lock import held
from qanat.adapters.initial_keys import initial_key_path, take_initial_keys
from qanat.adapters.module_desk import ModuleDesk
from qanat.adapters.module_server import ModuleServer
from qanat.adapters.physical_entropy import EntropySource
from qanat.adapters.pki import create_pki
from qanat.adapters.process_pool import ProcessPool
from qanat.adapters.system import system_chance
from qanat.adapters.tls_transport import TlsTransport
from qanat.apps.deployment import HOST
from qanat.apps.entropy_watch import watch_entropy
from qanat.apps.event_log import EventLog
from qanat.apps.forecast_watch import FORECASTS_NAME, ForecastWatch
from qanat.apps.link_modules import link_capability
from qanat.apps.opened import Opened
from qanat.apps.routes_elsewhere import tables_found_in
from qanat.apps.shares_elsewhere import solved_in
from qanat.apps.site import LOCK_PATIENCE_S, SiteDoor, SiteParts, key_manager_settings, reserve_days, sessions_per_day
from qanat.apps.sky import Sky
from qanat.apps.sleepers import DOOR, Bells, Sleepers
from qanat.apps.workplace import Workplace
from qanat.control.controller import Controller
from qanat.control.passes import forecasts_of_passes
from qanat.control.tables import Tables
from qanat.ground.errors import ConfigurationError, QanatError, RequestError
from qanat.ground.identifiers import CONTROLLER, LinkId, NodeId
from qanat.ground.network import Link, Network
from qanat.ground.orders import PassForecast
from qanat.ground.ports import Entropy, Job, KeyStore, QKDModule
from qanat.ground.tracing import EventRecorder
from qanat.key_management.manager import KeyManager
from qanat.key_management.wire import LinkReport
from qanat.quantum_layer.pass_link import PassLink
from qanat.quantum_layer.twin import TwinLink
from qanat.quantum_layer.twin_switch import TwinSwitch, light_passes

__all__ = ["HOST", "Service", "Workplace", "sessions_per_day"]

POOL_GRACE_S = 2.0
NICENESS_OF_PASSES = 19
LOOKS, MOST_BETWEEN_LOOKS_S = 10, 15.0
"""So often in the time after which a site sleeps is looked whether it may, and so long apart at most."""
BETWEEN_STORES_S = 0.02
"""So long the process has for all else between two stores that are made ahead."""
TABLES_AT_ONCE = 4
"""Of routes that may never be asked for so many tables are looked for before others have their turn."""
BETWEEN_ROUNDS_S = 1.0
ModuleWrapper = Callable[[QKDModule], QKDModule]
"""Lets a caller stand between a key manager and its module, as the demo's proof does."""


class Service(Opened):
    """A network on this machine: ``async with Service(...) as service``. Without key manager, store and door of the
    sites ``apart``.

    on_demand: sites sleep, their ports bound, and are opened when first spoken to (``apps.sleepers``); but for those
    that keep keys ready, or have devices. sleep_after_s: one that nobody has used for so long, and where nothing is
    under way, is closed and sleeps again; None: never.
    passes_every_s: satellites' passes come by themselves, so long after each other; None: when ``sky`` is asked to.
    light_share: of each pass so much of its light is used, for quick runs.
    entropy_source: a physical generator that the links' devices draw from; without it, the operating system's.
    ``entropy_server`` reads it: ``start`` it before, to hear first of a source that does not pass its tests.
    """

    def __init__(
        self,
        network: Network,
        folder: Path,
        *,
        log: EventLog,
        ports: Sequence[int] = (),
        num_workers: int = 1,
        wrap_module: ModuleWrapper = lambda module: module,
        apart: Collection[NodeId] = (),
        entropy_source: EntropySource | None = None,
        on_demand: bool = False,
        sleep_after_s: float | None = None,
        passes_every_s: float | None = None,
        light_share: float = 1.0,
    ) -> None:
        self.network = network
        self.place = Workplace(folder)
        self.log = log
        self.apart = tuple(node for node in network.nodes if node in {network.site(node).node for node in apart})
        self.stores: dict[NodeId, KeyStore] = {}
        self.managers: dict[NodeId, KeyManager] = {}
        self.doors: dict[NodeId, SiteDoor] = {}
        self.module_desks: dict[NodeId, ModuleDesk] = {}
        self.settings = key_manager_settings(network)
        self.entropy_server = None if entropy_source is None else EntropyServer(entropy_source)
        inherited = () if self.entropy_server is None else (self.entropy_server.door,)
        self.pool = ProcessPool(num_workers, inherited=inherited)
        self.sky_pool = ProcessPool(1, inherited=inherited, niceness=NICENESS_OF_PASSES)
        """A pass draws the light of hundreds of seconds; fibres' links make key meanwhile, and go first."""
        self.route_pool = ProcessPool(1, inherited=inherited)
        """For routes, which key managers that start wait for: not behind blocks of key."""
        self.door_ports: dict[NodeId, int] = {}
        self._on_demand = on_demand
        self._sleep_after_s = sleep_after_s
        self._wrap_module = wrap_module
        self._ports = dict(zip(network.nodes, ports, strict=False))
        super().__init__()
        self._sites = Sleepers(self._open_site, on_failed=self._note_not_opened)
        self._parts = SiteParts(
            network,
            self.place,
            log=log,
            settings=self.settings,
            stack=self._stack,
            gives_way=self._sites.is_awaited,
        )
        self.clock = self._parts.clock
        self.entropy = self._parts.entropy
        self.switches = {switch.name: TwinSwitch(switch, clock=self.clock) for switch in network.switches}
        self.device_entropy: Entropy = self.entropy if self.entropy_server is None else self.entropy_server.entropy
        self._pass_links: dict[LinkId, PassLink] = {}
        self._passes_every_s = passes_every_s
        self.sky = Sky(
            network,
            self._pass_links,
            pool=self.sky_pool,
            clock=self.clock,
            recorder=self.recorder(CONTROLLER),
            chance=system_chance(),
            light_share=light_share,
            on_foretold=self._foretell,
        )
        self._tasks: AsyncioTasks
        self._modules: Mapping[NodeId, list[QKDModule]]
        self._stacks_of_sites: dict[NodeId, AsyncExitStack] = {}

    @property
    def is_quiet(self) -> bool:
        """Whether no site is being opened, or was just now."""
        return self._sites.is_quiet()

    @property
    def here(self) -> tuple[NodeId, ...]:
        """The sites whose key managers are in this process."""
        return tuple(node for node in self.network.nodes if node not in self.apart)

    def recorder(self, node: NodeId) -> EventRecorder:
        """Return a recorder of events at ``node`` into this service's log."""
        return self._parts.recorder(node)

    def door_port(self, node: NodeId) -> int:
        """Return the port that a site's door was given; 0 for any."""
        return self._ports.get(node, 0)

    def door_url(self, node: NodeId) -> str:
        """Return where the door of a site answers."""
        return f"https://{HOST}:{self.door_ports[node]}"

    async def warm_up(self) -> None:
        """Compile and load the kernels in every worker; they are cached on disk for the next start.

        The key that is made on the way serves nobody, so it takes nothing from a generator.
        """
        from qanat.quantum_layer.block_worker import warm_up

        job: Job[None] = Job(warm_up, (self.entropy, system_chance()))
        await self.pool.run(job)

    async def _start(self) -> None:
        self.place.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._make_pki()
        if self.entropy_server is not None:
            self._stack.push_async_callback(self.entropy_server.close)
            if not self.entropy_server.is_started:
                await self.entropy_server.start()
        for pool in (self.pool, self.sky_pool, self.route_pool):
            self._stack.push_async_callback(pool.close, grace_s=POOL_GRACE_S)
        self._check_sites()
        self._parts.store_writer()
        await self._import_apart()
        tasks = self._tasks = await self._stack.enter_async_context(AsyncioTasks())
        controlling = await self._parts.open_transport(CONTROLLER, is_asleep=self._sites.is_asleep)
        if self.entropy_server is not None:
            watch = watch_entropy(self.entropy_server, clock=self.clock, recorder=self.recorder(CONTROLLER))
            tasks.start(watch, name="entropy of the devices")
        self._modules = await self._make_modules(tasks)
        self._parts.door_thread = await self._stack.enter_async_context(DoorThread())
        self._stack.push_async_callback(self._close_sites)
        self._stack.push_async_callback(self._sites.close)
        self._lay_down_sites()
        await self._sites.wake([node for node in self.here if not self._may_sleep(node)])
        controller = self._controller(tasks, controlling)
        forecasts = ForecastWatch(
            self.place.folder / FORECASTS_NAME,
            network=self.network,
            clock=self.clock,
            recorder=self.recorder(CONTROLLER),
            on_renewed=controller.foretelling.renew,
        )
        forecasts.begin()
        tasks.start(forecasts.run(), name="forecasts")
        tasks.start(controller.run(), name="controller")
        for node in self.apart:
            await self._serve_modules(node, tasks, self._modules[node])
        self._sites.watch()
        tasks.start(self._make_stores_ahead(), name="makes stores ahead")
        tasks.start(self._make_tables_ahead(controller.tables), name="looks for routes ahead")
        if self._on_demand and self._sleep_after_s is not None:
            tasks.start(self._let_sites_sleep(self._sleep_after_s), name="sites go to sleep")
        if self._passes_every_s is not None and self.network.downlinks:
            tasks.start(self._follow_the_sky(self._passes_every_s), name="sky")

    async def _follow_the_sky(self, pause_s: float) -> None:
        """Make passes for as long as the service is up; what is wrong with a satellite's elements is an alarm."""
        try:
            await self.sky.run(pause_s=pause_s)
        except (ConfigurationError, RequestError) as fault:
            self.recorder(CONTROLLER).alarm("no-passes", f"no satellite passes: {fault.message}", fault.remedy)

    def _foretell(self, passes: Sequence[PassForecast]) -> None:
        """Have stations tell the controller what their satellites' passes to come will give."""
        last_s = max((one.set_utc_s for one in passes), default=0.0)
        forecasts = forecasts_of_passes(self.network, passes, from_utc_s=self.clock.utc_s(), until_utc_s=last_s)
        for node, manager in self.managers.items():
            own = [one for one in forecasts if self.network.link(one.link_id).ends[1] == node]
            if own:
                manager.foretell(own)

    def _check_sites(self) -> None:
        """Hold the folders of all sites here, and see that each can be opened; raises ConfigurationError."""
        for node in self.here:
            self._parts.hold_site(node, remedy=f"stop `qanat node` there, or name --apart {node}")
        for node in (*self.here, CONTROLLER):
            self.place.check_node_files(self.network, node, clock=self.clock)
        for node in self.here:
            self._parts.require_master_key(node)

    def _lay_down_sites(self) -> None:
        """Bind all ports of the sites here; whoever calls from now on waits until the site is open."""
        for node in self.here:
            ports = {"transports": (HOST, 0), DOOR: (HOST, self.door_port(node))}
            bells = self._sites.lay_down(node, ports, doors=self._parts.door_thread)
            self.door_ports[node] = bells[DOOR].port
            self._parts.publish("transports", node, bells["transports"].port)
            self._parts.publish("doors", node, bells[DOOR].port)

    def _may_sleep(self, node: NodeId) -> bool:
        """Return whether a site has nothing to do until it is spoken to."""
        network = self.network
        ready = {network.site_of(network.sae(keys.master)).node for keys in network.prepared_keys}
        has_devices = any(link.modules is not None or link.kind == "downlink" for link in network.links_of(node))
        is_to_fill = network.stock.link_key_idle_bits > 0
        return self._on_demand and node not in ready and not has_devices and not is_to_fill

    async def _open_site(self, node: NodeId, bells: Bells) -> None:
        """Open a site behind its sockets: its initial keys, store, audit log, transport, key manager, door."""
        async with AsyncExitStack() as of_site:
            parts = self._parts.onto(of_site)
            listening = {name: bell.listening() for name, bell in bells.items()}
            for one in listening.values():
                of_site.callback(one.close)  # also where no server has taken it over yet
            is_awaited = self._sites.is_called_by_application(node)
            store = (await parts.open_stores([node], go_first=is_awaited))[node]
            await take_initial_keys(self.place.pki, self.network.links_of(node), node, store)
            await self._sites.let_go_first(node)
            tasks = await of_site.enter_async_context(AsyncioTasks(part_of=self._tasks))
            transport = await parts.open_transport(
                node, listening=listening["transports"], is_asleep=self._sites.is_asleep
            )
            manager = parts.make_manager(
                node,
                store=store,
                transport=transport,
                tasks=tasks,
                modules=self._modules[node],
                is_awake=self._sites.is_awake,
                is_opening=self._sites.is_opening,
                num_opened=self._sites.num_opened,
            )
            # it makes itself ready while its door is opened: whoever has called waits for both
            tasks.start(_begin_and_run(manager, tasks), name=f"key manager {node} begins", is_part=True)
            self.doors[node] = await parts.open_door(node, manager, listening=listening[DOOR])
            self.stores[node], self.managers[node] = store, manager
            self._stacks_of_sites[node] = of_site.pop_all()
            self.recorder(node).alarm_over("site-not-opened")

    async def _make_stores_ahead(self) -> None:
        """While nobody calls, make the stores of the sites that sleep, which takes longest when one is woken."""
        for node in self._asleep():
            await self._make_store(node)

    async def _make_tables_ahead(self, tables: Tables) -> None:
        """Look for the routes of sites that sleep before these are woken, and again whenever they are out of date."""
        while True:
            without = [node for node in self._asleep() if not tables.is_at_hand(node)]
            for place in range(0, len(without), TABLES_AT_ONCE):
                if not await tables.make(without[place : place + TABLES_AT_ONCE]):
                    break
            await asyncio.sleep(BETWEEN_ROUNDS_S)

    def _asleep(self) -> list[NodeId]:
        return [node for node in self.here if self._sites.is_asleep(node)]

    async def _make_store(self, node: NodeId) -> None:
        try:
            while self._sites.is_asleep(node) and self._has_initial_keys(node):
                if await self._sites.while_asleep(node, self._take_initial_keys):
                    break
                await asyncio.sleep(BETWEEN_STORES_S)
        except (QanatError, OSError) as fault:
            self._note_not_opened(node, fault)
        await asyncio.sleep(BETWEEN_STORES_S)

    def _has_initial_keys(self, node: NodeId) -> bool:
        """Return whether initial keys are there that an end of a site's links has not taken in yet."""
        return any(initial_key_path(self.place.pki, link.link_id).exists() for link in self.network.links_of(node))

    async def _close_sites(self) -> None:
        """Close all that are open, side by side: each lets its callers end."""
        closing = [stack.aclose() for stack in self._stacks_of_sites.values()]
        self._stacks_of_sites.clear()
        for fault in await asyncio.gather(*closing, return_exceptions=True):
            if fault is not None:
                raise fault

    async def _let_sites_sleep(self, unused_s: float) -> None:
        """From time to time let the sites sleep that nobody has used for so long."""
        while True:
            await asyncio.sleep(min(unused_s / LOOKS, MOST_BETWEEN_LOOKS_S))
            for node in self._sites.opened:
                if self._may_sleep(node) and self.managers[node].may_rest(unused_s=unused_s):
                    await self._sites.put_to_sleep(node, self._close_site)
            for node in self.here:
                if self._sites.is_asleep(node):  # no chores of its own tell it
                    self.recorder(node).settle_alarms()

    async def _close_site(self, node: NodeId) -> bool:
        """Close a site in the other order than it was opened, unless somebody uses it at this moment."""
        manager = self.managers[node]

        async def may_rest() -> bool:
            return manager.may_rest(unused_s=0.0)

        if not await self.doors[node].stop_if_unused(may_rest):
            return False
        del self.doors[node], self.managers[node], self.stores[node]
        await self._stacks_of_sites.pop(node).aclose()
        return True

    def _note_not_opened(self, node: NodeId, fault: BaseException) -> None:
        """A site cannot be opened, or will not be: tell the operator."""
        why, remedy = (fault.message, fault.remedy) if isinstance(fault, QanatError) else (str(fault), "")
        self.recorder(node).alarm("site-not-opened", f"site {node} cannot be opened: {why}", remedy)

    def _make_pki(self) -> None:
        """Make certificates and initial keys, or those that the network lacks since it has grown."""
        create_pki(
            self.place.pki,
            self.network,
            entropy=self.entropy,
            clock=self.clock,
            sessions_per_day=sessions_per_day(self.network),
            reserve_days=reserve_days(self.network),
        )

    async def _import_apart(self) -> None:
        """Give the sites that run apart the initial keys of their links, before their modules are served to them.

        Their stores are opened for this alone. Sites here take theirs while they sleep, or when they are opened.
        """
        for node in self.apart:
            if self._has_initial_keys(node):
                remedy = f"stop `qanat node` of {node}: an initial key waits to be taken into its store"
                with held(self.place.site(node), remedy=remedy, patience_s=LOCK_PATIENCE_S):
                    await self._take_initial_keys(node)

    async def _take_initial_keys(self, node: NodeId) -> None:
        """Take the initial keys of a site's links into its store, which is opened for this alone."""
        async with AsyncExitStack() as stack:
            store = (await self._parts.onto(stack).open_stores([node]))[node]
            await take_initial_keys(self.place.pki, self.network.links_of(node), node, store)

    async def _make_modules(self, tasks: AsyncioTasks) -> Mapping[NodeId, list[QKDModule]]:
        """Return the modules of every site: both ends of all twins, and its own ends of the other links."""
        modules: dict[NodeId, list[QKDModule]] = {node: [] for node in self.network.nodes}
        for node in self.network.nodes:
            modules[node] += map(self._wrap_module, (await self._parts.local_modules(node, tasks)).values())
        for link in self.network.links:
            if link.modules is not None or link.kind == "announced":
                continue
            twin = self._twin(link, tasks)
            for node, module in twin.modules.items():
                modules[node].append(self._wrap_module(module))
        return modules

    def _twin(self, link: Link, tasks: AsyncioTasks) -> TwinLink:
        """Return the twin of a link: of a fibre, or of a satellite's downlink, which the sky makes passes on."""
        parts: dict[str, Any] = {
            "pool": self.pool,
            "tasks": tasks,
            "clock": self.clock,
            "chance": system_chance(),
            "entropy": self.device_entropy,
        }
        if link.kind == "fibre":
            is_lit = partial(light_passes, self.switches, self.network.joins_of(link))
            return TwinLink(link, is_lit=is_lit, first_is_short=self._on_demand, **parts)
        twin = self._pass_links[link.link_id] = PassLink(
            link, expected=partial(link_capability, link), **(parts | {"pool": self.sky_pool})
        )
        return twin

    def _controller(self, tasks: AsyncioTasks, transport: TlsTransport) -> Controller:
        return Controller(
            network=self.network,
            transport=transport,
            clock=self.clock,
            tasks=tasks,
            entropy=self.entropy,
            recorder=self.recorder(CONTROLLER),
            switches=self.switches,
            is_awake=self._sites.is_awake,
            is_opening=self._sites.is_opening,
            may_hang=self.apart.__contains__,
            expected=list(self._expected()),
            solve=solved_in(self.pool),
            find_tables=tables_found_in(self.route_pool, self.network),
        )

    def _expected(self) -> Iterator[tuple[NodeId, LinkReport]]:
        """Yield what holds of the twins' ends at the sites here until these are awake."""
        for link in self.network.links:
            if link.modules is None:
                rate_bits_per_s = link_capability(link).expected_rate_bits_per_s
                report = LinkReport(link.link_id, 0, rate_bits_per_s, "twin", None)
                yield from ((node, report) for node in link.ends if node not in self.apart)

    async def _serve_modules(self, node: NodeId, tasks: AsyncioTasks, modules: Sequence[QKDModule]) -> None:
        """Let the process of a site that runs apart reach its modules."""
        desk = self.module_desks[node] = ModuleDesk(
            node,
            modules,
            peers=[link.peer_of(node) for link in self.network.links_of(node)],
            network=self.network.name,
            tasks=tasks,
            clock=self.clock,
            entropy=self.entropy,
        )
        server = ModuleServer([desk], tls=self.place.node_files(node), host=HOST)
        await server.start()
        self._stack.push_async_callback(server.stop)
        self.place.addresses.publish("modules", node, (HOST, server.port))
        self._stack.callback(self.place.addresses.withdraw, "modules", node)


async def _begin_and_run(manager: KeyManager, tasks: AsyncioTasks) -> None:
    """Make a key manager ready, which somebody may wait for, and let it run beside all else."""
    await manager.begin()
    tasks.start(manager.run(), name=f"key manager {manager.node}")

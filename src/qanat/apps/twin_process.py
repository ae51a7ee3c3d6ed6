"""Where the twin of one link is wired in a process of its own, which both ends of the link reach over mutual TLS."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.compile_turn import compile_turn, kernel_cache, kernel_stamp
from qanat.adapters.entropy_server import EntropyServer
from qanat.adapters.folder_lock import held
from qanat.adapters.module_desk import ModuleDesk
from qanat.adapters.module_server import ModuleServer
from qanat.adapters.own_certificate import check_own_certificate
from qanat.adapters.physical_entropy import EntropySource
from qanat.adapters.process_pool import ProcessPool
from qanat.adapters.system import SystemClock, SystemEntropy, system_chance
from qanat.apps.deployment import Deployment, Places
from qanat.apps.entropy_watch import watch_entropy
from qanat.apps.opened import Opened
from qanat.apps.workplace import Workplace
from qanat.ground.alarms import module_alarm
from qanat.ground.errors import ConfigurationError
from qanat.ground.events import EventSink
from qanat.ground.identifiers import LinkId, NodeId, twin_id
from qanat.ground.network import Link
from qanat.ground.orders import Alarm
from qanat.ground.ports import Job
from qanat.ground.tracing import EventRecorder
from qanat.quantum_layer.twin import TwinLink

POOL_GRACE_S = 2.0


def require_twin(link: Link) -> None:
    """Raise ConfigurationError for a link that no process of a twin serves."""
    if link.modules is not None:
        raise ConfigurationError(
            f"link {link.name!r} has modules of the driver {link.modules.driver!r}, and no twin",
            remedy="remove its 'modules' from the network file to have it twinned",
        )
    if not link.makes_key_on_order:
        raise ConfigurationError(
            f"link {link.name!r} is a satellite's, and its passes come in the order of a timetable",
            remedy="run it with `qanat up`, with the satellite apart if it is to be a process of its own",
        )


class TwinProcess(Opened):
    """The twin of a link: ``async with TwinProcess(...) as twin``. Each end gets its own module, and no other."""

    def __init__(
        self,
        deployment: Deployment,
        link_id: LinkId,
        place: Workplace,
        *,
        log: EventSink,
        entropy_source: EntropySource | None = None,
    ) -> None:
        """``entropy_source``: a physical generator that both ends draw from; without it, the operating system's.
        ``log`` hears when they wait for it, and when it fails."""
        self.network = deployment.network
        self.link = self.network.link(link_id)
        require_twin(self.link)
        self.place = place
        self.desks: dict[NodeId, ModuleDesk] = {}
        self._places = Places(place.addresses, deployment.fixed)
        super().__init__()
        self._clock = SystemClock()
        self._entropy = SystemEntropy()
        self._log = log
        self.entropy_server = None if entropy_source is None else EntropyServer(entropy_source)
        inherited = () if self.entropy_server is None else (self.entropy_server.door,)
        self._pool = ProcessPool(1, inherited=inherited)
        self._is_warm = asyncio.Event()
        self._server: ModuleServer

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port

    async def _start(self) -> None:
        name, place = self.link.name, self.place
        self._stack.enter_context(held(place.twin(self.link.link_id), remedy="it runs already; stop it first"))
        if self.entropy_server is not None:
            self._stack.push_async_callback(self.entropy_server.close)
        place.claim(self.network)
        files = place.twin_files(self.link.link_id)
        name_of_twin = twin_id(network=self.network.name, link_id=self.link.link_id)
        check_own_certificate(files, identity=name_of_twin, clock=self._clock)
        if self.entropy_server is not None:
            await self.entropy_server.start()
        self._stack.push_async_callback(self._pool.close, grace_s=POOL_GRACE_S)
        tasks = await self._stack.enter_async_context(AsyncioTasks())
        if self.entropy_server is not None:
            watch = watch_entropy(self.entropy_server, clock=self._clock, recorder=self._recorder())
            tasks.start(watch, name="entropy of the devices")
        host, port = self._places.listen_at("twins", name)
        twin = self._make_twin(tasks)
        self._server = ModuleServer(self._make_desks(twin, tasks), tls=files, host=host, port=port)
        await self._server.start()
        self._stack.push_async_callback(self._server.stop)
        self._places.publish("twins", name, self._server.port)
        self._stack.callback(place.addresses.withdraw, "twins", name)
        await self._warm_up(twin)  # its sites are there by now: what they order waits for it

    async def _warm_up(self, twin: TwinLink) -> None:
        """Compile and load the kernels; the key that is made on the way serves nobody. The sites hear of it where it
        takes longer than to load them, and of its end always: the twin before this one may have died at it."""
        from qanat.kernels.processor import processor_name
        from qanat.quantum_layer.block_worker import warm_up

        told: list[Alarm] = []

        def tell(what: str) -> None:
            if not told:
                told.append(self._preparing(what))
                twin.tell_both(told[0])

        job: Job[None] = Job(warm_up, (self._entropy, system_chance()))
        async with compile_turn(kernel_cache(), kernel_stamp(processor_name()), on_compile=tell):
            await self._pool.run(job)
        last = told[0] if told else self._preparing("has its kernels")
        twin.tell_both(replace(last, text=f"over: {last.text}", remedy="nothing", is_cleared=True))
        self._is_warm.set()

    def _preparing(self, what: str) -> Alarm:
        text = f"the twin of {self.link.name} {what}; it makes key after that"
        return module_alarm("module-preparing", text, "wait: once a machine", self.link.link_id)

    def _recorder(self) -> EventRecorder:
        """Return a recorder of what concerns the link as a whole; it stands in for a node."""
        node = NodeId(self.link.name)
        return EventRecorder(node=node, clock=self._clock, entropy=self._entropy, sink=self._log)

    def _make_twin(self, tasks: AsyncioTasks) -> TwinLink:
        return TwinLink(
            self.link,
            pool=self._pool,
            tasks=tasks,
            clock=self._clock,
            chance=system_chance(),
            entropy=self._entropy if self.entropy_server is None else self.entropy_server.entropy,
            until_ready=self._is_warm.wait,
        )

    def _make_desks(self, twin: TwinLink, tasks: AsyncioTasks) -> list[ModuleDesk]:
        for node, module in twin.modules.items():
            self.desks[node] = ModuleDesk(
                node,
                [module],
                peers=[self.link.peer_of(node)],
                network=self.network.name,
                tasks=tasks,
                clock=self._clock,
                entropy=self._entropy,
            )
        return list(self.desks.values())

"""QKD modules that stand in another process, for a site that runs apart: the other end of ``module_server``.

While the line is not up, ``start`` and ``fetch`` wait a little and then raise; ``stop`` and ``release`` are remembered.
When another process answers than before, the orders that ran in the last one are said to have ended. While none does,
each link of the modules has an alarm.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from qanat.adapters.addresses import Address
from qanat.adapters.module_line import MakeCall, ModuleLine, gone
from qanat.adapters.module_wire import Answer, Failed, Fetch, Handed, ModuleCard, Release, Start, Stop, Told, Welcome
from qanat.adapters.tls import Credentials
from qanat.ground.alarms import module_alarm
from qanat.ground.errors import PeerProtocolError, QanatError, UnknownNode
from qanat.ground.identifiers import BlockId, ModuleId, NodeId, OrderId, Topic
from qanat.ground.keys import KeyBlock, Origin
from qanat.ground.orders import Alarm, GenerationOrder, KeyBlockReady, LinkCapability, ModuleEvent, OrderEnded
from qanat.ground.ports import Clock, Entropy, Tasks

FAR_S = 3600.0

_log = logging.getLogger(__name__)


class RemoteSite:
    """Modules of one site behind one line: ``connect``, then ``modules``; or, where they are known beforehand by their
    ``cards``, ``begin``. ``identity`` is who the process with the modules must prove to be, ``server`` its command."""

    def __init__(
        self,
        node: NodeId,
        *,
        identity: str,
        server: str,
        tls: Credentials,
        address: Callable[[], Address | None],
        tasks: Tasks,
        clock: Clock,
        entropy: Entropy,
        cards: Sequence[ModuleCard] = (),
    ) -> None:
        self.node = node
        self.server = server
        self.tasks = tasks
        self.clock = clock
        self.line = ModuleLine(
            node,
            identity=identity,
            server=server,
            tls=tls,
            address=address,
            on_welcome=self._on_welcome,
            on_lost=self._on_lost,
            on_back=self._on_back,
            on_told=self._on_told,
            tasks=tasks,
            clock=clock,
            entropy=entropy,
        )
        self.modules = tuple(RemoteModule(self, card) for card in cards)

    @property
    def is_connected(self) -> bool:
        """Whether the modules answer."""
        return self.line.is_up

    async def connect(self, *, patience_s: float) -> None:
        """Learn the modules; raises ConfigurationError when they do not answer in time. The line is kept from then on
        by one of ``tasks``."""
        await self.line.connect(patience_s=patience_s)

    def begin(self) -> None:
        """Dial until the modules answer; until then they make no key, and the site does what it can without."""
        self.line.begin()

    def _on_welcome(self, welcome: Welcome, is_another: bool) -> None:
        if not self.modules:
            self.modules = tuple(RemoteModule(self, card) for card in welcome.modules)
            return
        cards = {card.module_id: card for card in welcome.modules}
        for module in self.modules:
            if module.module_id in cards:
                module.card = cards[module.module_id]
            else:
                _log.warning("%s: its module %s is no longer there", self.node, module.module_id)
            if is_another:
                module.begin_instance()
            module.tell_back()

    def _on_lost(self, why: str) -> None:
        for module in self.modules:
            module.tell_away(why)

    def _on_back(self) -> None:
        for module in self.modules:
            module.tell_back()

    def _on_told(self, told: Told) -> None:
        for module in self.modules:
            if module.module_id == told.module_id:
                module.take(told.number, told.event)


class RemoteModule:
    """One of the modules: a ``QKDModule``. Its events are for one reader."""

    def __init__(self, site: RemoteSite, card: ModuleCard) -> None:
        self.node = site.node
        self.module_id: ModuleId = card.module_id
        self.origin: Origin = card.origin
        self.card = card
        self._site = site
        self._events: deque[tuple[str, int, ModuleEvent]] = deque()
        self._taken = 0
        self._open_orders: dict[OrderId, int] = {}
        self._away: list[Alarm] = []
        self._topic = Topic(f"events of {self.module_id}, remote")

    @property
    def is_connected(self) -> bool:
        """Whether there is a line to it now: a ``DistantModule``."""
        return self._site.is_connected

    def capability(self, peer: NodeId, /) -> LinkCapability:
        try:
            return self.card.capabilities[peer]
        except KeyError:
            raise UnknownNode(f"module {self.module_id} cannot reach {peer!r}") from None

    async def start(self, order: GenerationOrder, /) -> None:
        self._open_orders.setdefault(order.order_id, 0)
        try:
            await self._ask(lambda call: Start(call, self.module_id, order))
        except QanatError:
            await self.stop(order.order_id)  # it may have begun all the same
            raise
        finally:
            if order.pads is not None:
                order.pads.secret.wipe()  # they are the module's now, or lost

    async def stop(self, order_id: OrderId, /) -> None:
        self._open_orders.pop(order_id, None)
        await self._tell(lambda call: Stop(call, self.module_id, order_id))

    async def events(self) -> AsyncIterator[ModuleEvent]:
        while True:
            while self._events:
                instance, number, event = self._events[0]
                yield event
                self._events.popleft()
                if number and instance == self._site.line.instance:
                    await self._site.line.say_heard(self.module_id, number)
            far_s = self._site.clock.monotonic_s() + FAR_S
            await self._site.tasks.wait(self._topic, until_monotonic_s=far_s)

    async def fetch(self, block_id: BlockId, /) -> KeyBlock:
        answer = await self._ask(lambda call: Fetch(call, self.module_id, block_id))
        if not isinstance(answer, Handed) or answer.block.block_id != block_id:
            raise PeerProtocolError(f"module {self.module_id} handed out something else than block {block_id}")
        return answer.block

    async def release(self, block_id: BlockId, /, *, kept: bool) -> None:
        await self._tell(lambda call: Release(call, self.module_id, block_id, kept))

    def take(self, number: int, event: ModuleEvent) -> None:
        """Queue an event for the key manager, unless this process has it already."""
        if number <= self._taken:
            return
        self._taken = number
        match event:
            case KeyBlockReady(order_id=order_id) if order_id in self._open_orders:
                self._open_orders[order_id] += 1
            case OrderEnded(order_id=order_id):
                self._open_orders.pop(order_id, None)
        self._queue(number, event)

    def begin_instance(self) -> None:
        """Another process answers for this module now: what ran in the last one has ended."""
        self._taken = 0
        fault = gone(self.node)
        for order_id, blocks_made in self._open_orders.items():
            self._queue(0, OrderEnded(order_id, blocks_made, fault.message, fault.remedy))
        self._open_orders.clear()

    def tell_away(self, why: str) -> None:
        """Raise the alarm of each link of this module: nobody answers for it."""
        text = f"the process with the QKD modules of {self.node} does not answer: {why}"
        remedy = (
            f"start `{self._site.server}`; where it runs and stands still, have it go on, or end it before; "
            "it is found again by itself, and the link tried at once"
        )
        if (fault := self._site.line.certificate_fault(why)) is not None:
            text = f"{fault.message}, so there is no line to the process with the QKD modules of {self.node}: {why}"
            remedy = fault.remedy
        links = [capability.link_id for capability in self.card.capabilities.values()]
        self._away = [module_alarm("module-away", text, remedy, link_id) for link_id in links]
        for alarm in self._away:
            self._queue(0, alarm)

    def tell_back(self) -> None:
        """End those alarms."""
        for was in self._away:
            self._queue(0, replace(was, text=f"over: {was.text}", remedy="nothing", is_cleared=True))
        self._away = []

    def _queue(self, number: int, event: ModuleEvent) -> None:
        self._events.append((self._site.line.instance, number, event))
        self._site.tasks.notify(self._topic)

    async def _ask(self, make: MakeCall) -> Answer:
        answer = await self._site.line.ask(make)
        if isinstance(answer, Failed):
            raise answer.fault
        return answer

    async def _tell(self, make: MakeCall) -> None:
        answer = await self._site.line.tell(make)
        if isinstance(answer, Failed):
            raise answer.fault

"""A QKD module whose key is made elsewhere: by devices behind doors of their own, or in files.

Each end has its own ``KeySource``. The transmitter's end leads (``leading``): it takes new keys and offers their ids;
the receiver's end follows (``following``): it takes the same keys by id. A block counts only when both know that they
hold the same (``block_exchange``); then it is an ordinary block, and the key managers make it durable as any other.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace

from qanat.adapters.block_exchange import OVER, BlockTags, Offer, cut_pads, eps_cor_of, read_text
from qanat.adapters.key_sources import KeySource, SourceFault, SourceKey
from qanat.adapters.module_alarms import ModuleAlarms
from qanat.adapters.module_post import ModulePost
from qanat.ground.errors import BlockUnknown, ConfigurationError, FrameError, StoreFailed, UnknownNode
from qanat.ground.events import Json
from qanat.ground.identifiers import BlockId, KeyID, ModuleId, NodeId, OrderId, Topic
from qanat.ground.keys import KeyBlock, Origin, SecretBytes
from qanat.ground.messages import Message
from qanat.ground.network import Link
from qanat.ground.orders import (
    GenerationOrder,
    KeyBlockReady,
    LinkCapability,
    LinkQuality,
    ModuleEvent,
    OrderEnded,
)
from qanat.ground.ports import Clock, Tasks

FAR_S = 3600.0
LOOK_PERIOD_S = 15.0
"""How often an idle end looks whether its source answers."""
MAX_ENDED_ORDERS = 1024


@dataclass(slots=True)
class OpenOrder:
    """An order at this end: the pads that no block has taken, what came in answer, how many blocks are agreed."""

    order: GenerationOrder
    pads: deque[SecretBytes] = field(repr=False)
    began_monotonic_s: float
    answers: dict[tuple[str, int], Message] = field(default_factory=dict)
    made: int = 0
    is_stopped: bool = False
    is_ended: bool = False

    @property
    def topic(self) -> Topic:
        return Topic(f"answers to {self.order.order_id} at {self.order.local}")

    def next_tags(self) -> BlockTags:
        """Return the tags of the next block; its pads are used up."""
        return BlockTags.of(self.pads.popleft())

    def wipe(self) -> None:
        for secret in self.pads:
            secret.wipe()
        self.pads.clear()


class ExchangedModule:
    """One end of such a link: a QKDModule. ``lead`` and ``follow`` of the subclasses do the work of an order."""

    def __init__(
        self,
        link: Link,
        node: NodeId,
        source: KeySource,
        *,
        capability: LinkCapability,
        post: ModulePost,
        tasks: Tasks,
        clock: Clock,
    ) -> None:
        self.node = node
        self.module_id = ModuleId(f"{link.name}.{node}")
        self.origin: Origin = source.origin
        self.link = link
        self.peer = link.peer_of(node)
        self.source = source
        self.post = post
        self.tasks = tasks
        self.clock = clock
        self.alarms = ModuleAlarms(link.link_id, self.tell)
        self._capability = capability
        self._events: deque[ModuleEvent] = deque()
        self._blocks: dict[BlockId, tuple[KeyBlock, tuple[KeyID, ...]]] = {}
        self._open: dict[OrderId, OpenOrder] = {}
        self._ended: OrderedDict[OrderId, None] = OrderedDict()
        self._topic = Topic(f"module {self.module_id}")

    def begin(self) -> None:
        """Listen to the other end, and look after the source, from now on."""
        self.post.listen(self.link.link_id, self._hear)
        self.tasks.start(self._look_after_source(), name=f"{self.module_id}: looks after its source")

    # --- the port ---

    def capability(self, peer: NodeId, /) -> LinkCapability:
        if peer != self.peer:
            raise UnknownNode(f"module {self.module_id} cannot reach {peer!r}")
        return self._capability

    async def start(self, order: GenerationOrder, /) -> None:
        if order.pads is None:
            raise ConfigurationError(
                f"order {order.order_id} came without pads, which compare the blocks of both ends",
                remedy="let the key manager spend the pads before it starts the module",
            )
        if order.order_id in self._open or order.order_id in self._ended:
            order.pads.secret.wipe()
            return
        pads = deque(cut_pads(order.pads.secret, order.num_blocks))
        opened = self._open[order.order_id] = OpenOrder(order, pads, self.clock.monotonic_s())
        self.tasks.start(self.work(opened), name=f"{self.module_id} {order.order_id}")

    async def stop(self, order_id: OrderId, /) -> None:
        opened = self._open.get(order_id)
        if opened is not None:
            opened.is_stopped = True
            self.tasks.notify(opened.topic)
            await self.end(opened, "the order was stopped", "", tells_peer=True)

    async def events(self) -> AsyncIterator[ModuleEvent]:
        while True:
            while self._events:
                yield self._events.popleft()
            await self.tasks.wait(self._topic, until_monotonic_s=self.clock.monotonic_s() + FAR_S)

    async def fetch(self, block_id: BlockId, /) -> KeyBlock:
        try:
            block, _ = self._blocks[block_id]
        except KeyError:
            raise BlockUnknown(f"module {self.module_id} has no block {block_id}") from None
        return replace(block, bits=SecretBytes(block.bits.reveal()))

    async def release(self, block_id: BlockId, /, *, kept: bool) -> None:  # noqa: ARG002 - forgotten either way
        if block_id in self._blocks:
            block, key_ids = self._blocks.pop(block_id)
            block.bits.wipe()
            await self.source.forget(key_ids)

    # --- for the two kinds of ends ---

    async def work(self, opened: OpenOrder) -> None:
        """Do an order, from its start to its end."""
        raise NotImplementedError

    async def hear(self, opened: OpenOrder, message: Message) -> None:
        """Act on a word of the other end about an order that is open here."""
        raise NotImplementedError

    async def hear_unknown(self, message: Message) -> None:
        """Act on a word about an order that is not open here."""

    def tell(self, event: ModuleEvent) -> None:
        """Queue an event for the key manager."""
        self._events.append(event)
        self.tasks.notify(self._topic)

    async def say(self, kind: str, order_id: OrderId, fields: Mapping[str, Json], *, body: bytes = b"") -> None:
        """Say something to the other end."""
        named = {**fields, "order_id": order_id}
        await self.post.send(self.peer, kind, link_id=self.link.link_id, fields=named, body=body)

    def keep(self, opened: OpenOrder, offer: Offer, keys: list[SourceKey]) -> None:
        """Announce a block that both ends agree on; its keys are used up."""
        bits = SecretBytes(b"".join(key.secret.take() for key in keys))
        block = KeyBlock(
            block_id=offer.block_id,
            order_id=offer.order_id,
            link_id=self.link.link_id,
            local=self.node,
            peer=self.peer,
            origin=self.origin,
            protocol=self.source.protocol,
            num_bits=bits.num_bits,
            bits=bits,
            eps_sec=max(key.eps_sec for key in keys),
            eps_cor=eps_cor_of(offer),
            finished_utc_s=self.clock.utc_s(),
        )
        opened.made += 1
        self._blocks[block.block_id] = (block, offer.key_ids)
        self.alarms.block_agreed()
        self._tell_quality(opened, block.num_bits)
        self.tell(KeyBlockReady(block.block_id, block.order_id, block.num_bits))

    async def end(self, opened: OpenOrder, fault: str | None, remedy: str, *, tells_peer: bool) -> None:
        """End an order once: its pads are destroyed, the key manager hears it, and the other end if need be."""
        order_id = opened.order.order_id
        if self._open.pop(order_id, None) is None:
            return
        opened.wipe()
        opened.is_ended = True
        self.tasks.notify(opened.topic)
        self._ended[order_id] = None
        while len(self._ended) > MAX_ENDED_ORDERS:
            self._ended.popitem(last=False)
        if tells_peer:
            await self.say(OVER, order_id, {"fault": fault or "", "remedy": remedy})
        self.tell(OrderEnded(order_id, opened.made, fault, remedy))

    # --- inside ---

    async def _hear(self, sender: NodeId, message: Message) -> None:
        if sender != self.peer:
            raise FrameError(f"{sender!r} is not the other end of link {self.link.name!r}")
        order_id = OrderId(message.read("order_id", read_text))
        opened = self._open.get(order_id)
        if opened is None:
            if message.kind != OVER:
                await self.hear_unknown(message)
        elif message.kind == OVER:
            fault = message.read("fault", read_text) or None
            await self.end(opened, fault, message.read("remedy", read_text), tells_peer=False)
        else:
            await self.hear(opened, message)

    async def _look_after_source(self) -> None:
        """While no order is at work, look whether the source answers: its fault is to be known before it is needed."""
        while True:
            if not self._open:
                try:
                    await self.source.look()
                except SourceFault as fault:
                    self.alarms.raise_for(fault)
                except StoreFailed as fault:
                    self.alarms.raise_one("module-failed", fault.message, fault.remedy)
                else:
                    self.alarms.source_answers()
            await self.clock.sleep_until(self.clock.monotonic_s() + LOOK_PERIOD_S)

    def _tell_quality(self, opened: OpenOrder, num_bits: int) -> None:
        took_s = max(1e-3, self.clock.monotonic_s() - opened.began_monotonic_s)
        opened.began_monotonic_s = self.clock.monotonic_s()
        self.tell(
            LinkQuality(
                opened.order.order_id,
                self.link.link_id,
                progress=1.0,
                link_time_s=took_s,
                secret_rate_bits_per_s=num_bits / took_s,
                block_bits=num_bits,
            )
        )

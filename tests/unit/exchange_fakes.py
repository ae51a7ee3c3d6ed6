"""Two ends of a link whose key comes from elsewhere: sources that share their keys, a post that a test can spoil."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.exchange_ends import FollowingModule, LeadingModule
from qanat.adapters.exchanged_module import ExchangedModule
from qanat.adapters.key_sources import SourceFault, SourceKey
from qanat.adapters.module_post import ModulePost
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.identifiers import BlockId, KeyID, NodeId, OrderId, uuid4_from
from qanat.ground.keys import BitRange, BlockSlice, KeyBlock, Origin, PoolId, SecretBytes, SpentBits
from qanat.ground.messages import Message
from qanat.ground.network import Link
from qanat.ground.orders import Alarm, GenerationOrder, KeyBlockReady, LinkCapability, ModuleEvent, OrderEnded

LEADER, FOLLOWER = NodeId("aarau"), NodeId("basel")
LINK = Link(
    name="aarau-basel", transmitter=LEADER, receiver=FOLLOWER, system="backbone-625", loss_db=10.0, length_km=50.0
)
WAIT_S = 20.0
Carry = Callable[[NodeId, Message], Sequence[Message]]
"""What becomes of a message to a node: nothing, itself, several."""


class FakeTransport:
    """Hands messages to the other one through ``carry``."""

    def __init__(self, local: NodeId, carry: Carry) -> None:
        self.local = local
        self.carry = carry
        self.other: FakeTransport
        self._queue: asyncio.Queue[tuple[NodeId, Message]] = asyncio.Queue()

    async def send(self, peer: NodeId, message: Message, /) -> None:
        for copy in self.carry(peer, message):
            self.other._queue.put_nowait((self.local, copy))

    async def inbox(self) -> AsyncIterator[tuple[NodeId, Message]]:
        while True:
            yield await self._queue.get()

    def is_reachable(self, peer: NodeId, /) -> bool:
        return True

    def is_coming(self, peer: NodeId, /) -> bool:
        return False


class Vault:
    """The keys that both sources of a pair know, with what the second one holds under each id."""

    def __init__(self) -> None:
        self.waiting: dict[KeyID, bytes] = {}
        self.spoil: Callable[[bytes], bytes] = lambda data: data


class FakeSource:
    """One end's source. ``faults`` are raised first, one per question; ``taken`` counts how often each id was had."""

    protocol = "fake"
    keys_per_block = 8
    patience_s = 5.0
    slow_after_s = 0.2
    hold_off_s = 0.0

    def __init__(self, vault: Vault) -> None:
        self.origin: Origin = "device"
        self.faults: list[SourceFault] = []
        self.taken: list[KeyID] = []
        self.forgotten: list[KeyID] = []
        self.is_dry = False
        self._vault = vault

    async def look(self) -> None:
        pass

    async def take_new(self, count: int) -> Sequence[SourceKey]:
        if self.faults:
            raise self.faults.pop(0)
        if self.is_dry:
            return ()
        keys = []
        for _ in range(min(count, 5)):
            key_id = KeyID(uuid4_from(SystemEntropy().public_bytes(16)))
            data = SystemEntropy().public_bytes(512)
            self._vault.waiting[key_id] = self._vault.spoil(data)
            self.taken.append(key_id)
            keys.append(SourceKey(key_id, SecretBytes(data), 1e-9))
        return keys

    async def take_by_ids(self, key_ids: Sequence[KeyID]) -> Sequence[SourceKey]:
        if self.faults:
            raise self.faults.pop(0)
        self.taken += key_ids
        return [SourceKey(key_id, SecretBytes(self._vault.waiting.pop(key_id)), 1e-9) for key_id in key_ids]

    async def forget(self, key_ids: Sequence[KeyID]) -> None:
        self.forgotten += key_ids

    async def close(self) -> None:
        pass


class Pair:
    """Both ends at work in one loop: ``async with Pair() as pair``."""

    def __init__(self, carry: Carry = lambda _, message: [message]) -> None:
        self.vault = Vault()
        self.sources = {node: FakeSource(self.vault) for node in LINK.ends}
        self.events: dict[NodeId, list[ModuleEvent]] = {node: [] for node in LINK.ends}
        self.modules: dict[NodeId, ExchangedModule] = {}
        self.carry = carry
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Pair:
        tasks = await self._stack.enter_async_context(AsyncioTasks())
        ends = {node: FakeTransport(node, lambda peer, message: self.carry(peer, message)) for node in LINK.ends}
        for node, kind in ((LEADER, LeadingModule), (FOLLOWER, FollowingModule)):
            ends[node].other = ends[LINK.peer_of(node)]
            post = ModulePost(ends[node], tasks=tasks, entropy=SystemEntropy())
            post.begin()
            capability = LinkCapability(LINK.link_id, 1000.0, 1.0)
            module = self.modules[node] = kind(
                LINK, node, self.sources[node], capability=capability, post=post, tasks=tasks, clock=SystemClock()
            )
            module.begin()
            tasks.start(self._follow(module), name=f"events of {node}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _follow(self, module: ExchangedModule) -> None:
        async for event in module.events():
            self.events[module.node].append(event)

    async def order(self, *, num_blocks: int = 1, name: str = "order", other_pads: bool = False) -> None:
        """Have both ends begin an order, the follower first, as key managers do."""
        pads = SystemEntropy().public_bytes(num_blocks * SESSION_PAD_BITS // 8)
        await self.modules[FOLLOWER].start(order_of(FOLLOWER, name, num_blocks, pads))
        if other_pads:
            pads = pads[::-1]
        await self.modules[LEADER].start(order_of(LEADER, name, num_blocks, pads))

    async def ended(self, node: NodeId) -> OrderEnded:
        """Return the end of the one order, once it has come."""
        await until(lambda: any(isinstance(event, OrderEnded) for event in self.events[node]))
        (ended,) = [event for event in self.events[node] if isinstance(event, OrderEnded)]
        return ended

    async def blocks(self, node: NodeId) -> list[KeyBlock]:
        """Return the blocks that one end has announced."""
        ready = [event for event in self.events[node] if isinstance(event, KeyBlockReady)]
        return [await self.modules[node].fetch(BlockId(event.block_id)) for event in ready]

    def alarms(self, node: NodeId) -> list[tuple[str, bool]]:
        return [(event.code, event.is_cleared) for event in self.events[node] if isinstance(event, Alarm)]


def order_of(node: NodeId, name: str, num_blocks: int, pads: bytes) -> GenerationOrder:
    bits = BitRange((BlockSlice(BlockId("old"), 0, 8 * len(pads)),))
    return GenerationOrder(
        order_id=OrderId(name),
        link_id=LINK.link_id,
        local=node,
        peer=LINK.peer_of(node),
        role="transmitter" if node == LEADER else "receiver",
        num_blocks=num_blocks,
        pad_range=bits,
        pads=SpentBits(PoolId(LINK.link_id, None), bits, SecretBytes(pads)),
    )


def altered(message: Message, **fields: str | int) -> Message:
    return replace(message, fields={**message.fields, **fields})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  (a state of the adapter, which has no event for it)
            await asyncio.sleep(0.005)

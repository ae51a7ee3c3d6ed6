"""What the process with QKD modules does for ONE site: it tells their events, and makes the site's calls.

A new call takes the place of the old one. What comes is read while a module is at work, so that the site is answered at
once when it asks whether this process lives.

Events are kept until the site says that it has acted on them, so that a line that breaks loses none. When another life
of the site calls (its process had died), every block that was never released is offered again, first: what became of it
is known to the store of the key manager alone, and only a release ends the module's own copy.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence

from qanat.adapters.module_wire import (
    Answer,
    Call,
    Done,
    Failed,
    Fetch,
    Handed,
    HeardOf,
    Hello,
    ModuleCard,
    Ping,
    Pong,
    Release,
    Start,
    Stop,
    Told,
    Welcome,
    decode_word,
    encode_word,
)
from qanat.adapters.tcp_channel import TcpChannel
from qanat.ground.errors import ChannelError, ChannelTimeout, FrameError, QanatError, UnknownNode
from qanat.ground.identifiers import BlockId, ModuleId, NodeId, Topic, kme_id, uuid4_from
from qanat.ground.orders import Alarm, KeyBlockReady, LinkCapability, LinkQuality, ModuleEvent
from qanat.ground.ports import Clock, Entropy, QKDModule, Tasks

HELLO_TIMEOUT_S = 5.0
MAX_WAITING_CALLS = 256
"""So many calls of a site may wait for the one that is at work; beyond, nothing more is read."""
FAR_S = 3600.0
MAX_KEPT_EVENTS = 1024
"""Of one module, for a site that is away; beyond, the oldest news (quality, alarms) is forgotten, no block or order."""


class ModuleDesk:
    """``identity`` is who may call. ``tasks`` run the collecting of events: a module that fails there brings its node
    down, as it does in one process."""

    def __init__(
        self,
        node: NodeId,
        modules: Sequence[QKDModule],
        *,
        peers: Sequence[NodeId],
        network: str,
        tasks: Tasks,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self.node = node
        self.identity = kme_id(network=network, name=node)
        self._peers = tuple(peers)
        self._tasks = tasks
        self._clock = clock
        self._instance = uuid4_from(entropy.public_bytes(16))
        self._outboxes = {module.module_id: _Outbox(module) for module in modules}
        self._topic = Topic(f"modules of {node}, instance {self._instance}")
        self._life = ""
        self._channel: TcpChannel | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the site's process is on the line."""
        return self._channel is not None

    def start(self) -> None:
        """Begin to collect events."""
        for outbox in self._outboxes.values():
            self._tasks.start(self._collect(outbox), name=f"events of {outbox.module.module_id}, for its site")

    async def serve(self, channel: TcpChannel) -> None:
        """Serve one call of the site, which has proved who it is, until it hangs up or another takes its place."""
        try:
            hello = decode_word(await channel.receive(timeout_s=HELLO_TIMEOUT_S))
        except ChannelError:
            return  # somebody who only looked whether anybody answers
        if not isinstance(hello, Hello):
            raise FrameError(f"the first word is HELLO, not {type(hello).__name__}")
        self.hang_up()
        self._channel = channel
        if hello.life != self._life:
            self._life = hello.life
            for outbox in self._outboxes.values():
                outbox.begin_life()
        try:
            cards = tuple(map(self._card, self._outboxes.values()))
            await channel.send(encode_word(Welcome(self._instance, cards, answers_ping=True)))
            self._tasks.start(self._tell(channel), name=f"events to {self.node}")
            await self._answer_all(channel)
        except ChannelError:
            pass  # the site will call again
        finally:
            if self._channel is channel:
                self.hang_up()

    def hang_up(self) -> None:
        """Have whoever serves the present call end; idempotent. The modules go on."""
        if self._channel is not None:
            self._channel.abort()
            self._channel = None
            self._tasks.notify(self._topic)

    # --- inside ---

    async def _collect(self, outbox: _Outbox) -> None:
        async for event in outbox.module.events():
            outbox.put(event)
            self._tasks.notify(self._topic)

    def _card(self, outbox: _Outbox) -> ModuleCard:
        capabilities: dict[NodeId, LinkCapability] = {}
        for peer in self._peers:
            try:
                capabilities[peer] = outbox.module.capability(peer)
            except UnknownNode:
                continue
        return ModuleCard(outbox.module.module_id, outbox.module.origin, capabilities)

    async def _tell(self, channel: TcpChannel) -> None:
        """Tell the site all that is kept, and then what happens, as long as this is its line."""
        told = dict.fromkeys(self._outboxes, 0)
        try:
            while self._channel is channel:
                if news := next_words(self._outboxes, told):
                    for word in news:
                        await channel.send(encode_word(word))
                        told[word.module_id] = word.number
                else:
                    await self._tasks.wait(self._topic, until_monotonic_s=self._clock.monotonic_s() + FAR_S)
        except ChannelError:
            pass  # the other half of this call notices too

    async def _answer_all(self, channel: TcpChannel) -> None:
        """Make the site's calls, one at a time and in its order, as long as this is its line; ends with what ended the
        reading: ChannelError or FrameError."""
        calls: asyncio.Queue[Call | ChannelError | FrameError] = asyncio.Queue(MAX_WAITING_CALLS)
        reading = asyncio.create_task(self._read(channel, calls), name=f"calls of {self.node}")
        try:
            while self._channel is channel:
                call = await calls.get()
                if isinstance(call, QanatError):
                    raise call
                await channel.send(encode_word(await self._answer(call)))
        finally:
            reading.cancel()

    async def _read(self, channel: TcpChannel, calls: asyncio.Queue[Call | ChannelError | FrameError]) -> None:
        """Hand on what the site calls, and at last why no more can come; act on all else at once."""
        try:
            while True:
                await self._read_next(channel, calls)
        except (ChannelError, FrameError) as fault:
            await calls.put(fault)

    async def _read_next(self, channel: TcpChannel, calls: asyncio.Queue[Call | ChannelError | FrameError]) -> None:
        try:
            word = decode_word(await channel.receive(timeout_s=FAR_S))
        except ChannelTimeout:
            return
        match word:
            case Ping():
                await channel.send(encode_word(Pong(word.number)))
            case HeardOf():
                if word.module_id in self._outboxes:
                    self._outboxes[word.module_id].forget(word.number)
            case Start() | Stop() | Fetch() | Release():
                await calls.put(word)
            case _:
                raise FrameError(f"a site does not say {type(word).__name__}")

    async def _answer(self, call: Call) -> Answer:
        """Make the call; what it raises of our error tree is its answer."""
        try:
            outbox = self._outbox(call.module_id)
            match call:
                case Start():
                    await outbox.module.start(call.order)
                case Stop():
                    await outbox.module.stop(call.order_id)
                case Fetch():
                    return Handed(call.call, await outbox.module.fetch(call.block_id))
                case Release():
                    await outbox.module.release(call.block_id, kept=call.kept)
                    outbox.settle(call.block_id)
        except QanatError as fault:
            return Failed(call.call, fault)
        return Done(call.call)

    def _outbox(self, module_id: ModuleId) -> _Outbox:
        try:
            return self._outboxes[module_id]
        except KeyError:
            raise UnknownNode(
                f"site {self.node!r} has no module {module_id!r} here",
                remedy="start both processes with the same network file",
            ) from None


class _Outbox:
    """What one module said and its site has not acted on yet."""

    def __init__(self, module: QKDModule) -> None:
        self.module = module
        self.kept: deque[Told] = deque()
        self._unreleased: dict[BlockId, KeyBlockReady] = {}
        self._last = 0

    def put(self, event: ModuleEvent) -> None:
        """Keep an event until it is heard; a block also until it is released."""
        if isinstance(event, KeyBlockReady):
            self._unreleased[event.block_id] = event
        self._last += 1
        self.kept.append(Told(self.module.module_id, self._last, event))
        if len(self.kept) > MAX_KEPT_EVENTS:
            oldest_news = next((word for word in self.kept if isinstance(word.event, LinkQuality | Alarm)), None)
            if oldest_news is not None:
                self.kept.remove(oldest_news)

    def forget(self, number: int) -> None:
        """The site has acted on all events up to this one."""
        while self.kept and self.kept[0].number <= number:
            self.kept.popleft()

    def settle(self, block_id: BlockId) -> None:
        """The block was released."""
        self._unreleased.pop(block_id, None)

    def begin_life(self) -> None:
        """Offer the site's next process, first, the blocks that none has released; then what else was not heard."""
        others = [word.event for word in self.kept if not isinstance(word.event, KeyBlockReady)]
        self.kept.clear()
        for event in (*self._unreleased.values(), *others):
            self.put(event)


def next_words(outboxes: Mapping[ModuleId, _Outbox], told: Mapping[ModuleId, int]) -> list[Told]:
    """Return what of the outboxes was not told yet on a line, module by module in order."""
    return [word for module_id, outbox in outboxes.items() for word in outbox.kept if word.number > told[module_id]]

"""A QKD module that does what a test says, and a wire to it that a test can cut anywhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from interop.certificates import PAST, Authority
from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.module_desk import ModuleDesk
from qanat.adapters.module_server import ModuleServer
from qanat.adapters.remote_module import RemoteModule, RemoteSite
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.adapters.tls import TlsFiles
from qanat.ground.errors import BlockUnknown, UnknownNode
from qanat.ground.identifiers import BlockId, EventId, LinkId, ModuleId, NodeId, OrderId, kme_id, sae_id
from qanat.ground.keys import BitRange, BlockSlice, KeyBlock, Origin, PoolId, SecretBytes, SpentBits
from qanat.ground.orders import GenerationOrder, KeyBlockReady, LinkCapability, ModuleEvent

HERE, PEER = NodeId("here"), NodeId("peer")
LINK = LinkId("here-peer")
WAIT_S = 10.0
CAPABILITY = LinkCapability(LINK, 1234.5, 2.0)


def make_files(folder: Path) -> dict[str, TlsFiles]:
    """Certificates: the site's own, and many that are not."""
    ours, theirs = Authority(folder), Authority(folder, "other")
    found = {name: ours.issue(name, [kme_id(network="net", name=name)]) for name in (HERE, PEER)}
    found["sae"] = ours.issue("sae", [sae_id(network="net", name=HERE)])
    found["nameless"] = ours.issue("nameless", [])
    found["expired"] = ours.issue("expired", [kme_id(network="net", name=HERE)], end=PAST)
    stranger = theirs.issue("stranger", [kme_id(network="net", name=HERE)])
    found["stranger"] = TlsFiles(stranger.certificate, stranger.key, ours.path)
    return found


def an_order(name: str = "order", *, num_bytes: int = 128) -> GenerationOrder:
    bits = BitRange((BlockSlice(BlockId("old"), 0, 8 * num_bytes),))
    return GenerationOrder(
        order_id=OrderId(name),
        link_id=LINK,
        local=HERE,
        peer=PEER,
        role="transmitter",
        num_blocks=1,
        cause=EventId("step 7"),
        pad_range=bits,
        pads=SpentBits(PoolId(LINK, None), bits, SecretBytes(bytes(range(num_bytes)))),
    )


def a_block(name: str, *, order: str = "order", bits: bytes = b"secret key bits!") -> KeyBlock:
    return KeyBlock(
        block_id=BlockId(name),
        order_id=OrderId(order),
        link_id=LINK,
        local=HERE,
        peer=PEER,
        origin="device",
        protocol="decoy-bb84",
        num_bits=8 * len(bits),
        bits=SecretBytes(bits),
        eps_sec=1e-9,
        eps_cor=1e-15,
        finished_utc_s=1.5e9,
    )


class FakeModule:
    """One module at HERE. ``meanwhile`` is called with the name of each call, while it is at work."""

    origin: Origin = "device"

    def __init__(self) -> None:
        self.node = HERE
        self.module_id = ModuleId("here-peer.here")
        self.meanwhile: Callable[[str], None] = lambda _: None
        self.calls: list[tuple[str, str]] = []
        self.started: dict[OrderId, GenerationOrder] = {}
        self.stopped: set[OrderId] = set()
        self.blocks: dict[BlockId, KeyBlock] = {}
        self.released: dict[BlockId, bool] = {}
        self._events: deque[ModuleEvent] = deque()
        self._news = asyncio.Event()

    def capability(self, peer: NodeId, /) -> LinkCapability:
        if peer != PEER:
            raise UnknownNode(f"no way to {peer}")
        return CAPABILITY

    async def start(self, order: GenerationOrder, /) -> None:
        self._note("start", order.order_id)
        self.started.setdefault(order.order_id, order)

    async def stop(self, order_id: OrderId, /) -> None:
        self._note("stop", order_id)
        self.stopped.add(order_id)

    async def events(self) -> AsyncIterator[ModuleEvent]:
        while True:
            while self._events:
                yield self._events.popleft()
            self._news.clear()
            await self._news.wait()

    async def fetch(self, block_id: BlockId, /) -> KeyBlock:
        self._note("fetch", block_id)
        if block_id not in self.blocks:
            raise BlockUnknown(f"no block {block_id}")
        block = self.blocks[block_id]
        return replace(block, bits=SecretBytes(block.bits.reveal()))

    async def release(self, block_id: BlockId, /, *, kept: bool) -> None:
        self._note("release", block_id)
        self.blocks.pop(block_id, None)
        self.released[block_id] = kept

    def tell(self, event: ModuleEvent) -> None:
        self._events.append(event)
        self._news.set()

    def make(self, block: KeyBlock) -> KeyBlockReady:
        """Finish a block and say so."""
        self.blocks[block.block_id] = block
        ready = KeyBlockReady(block.block_id, block.order_id, block.num_bits)
        self.tell(ready)
        return ready

    def _note(self, call: str, what: str) -> None:
        self.calls.append((call, what))
        self.meanwhile(call)


class Wire:
    """Carries bytes between two sockets as they are. ``cut`` breaks it; ``budget`` does so after so many bytes. While
    ``flows`` is not set it stands still, as before a process that was stopped; ``pause_s`` is made after each piece."""

    def __init__(self) -> None:
        self.target = 0
        self.is_open = True
        self.budget: int | None = None
        self.flows = asyncio.Event()
        self.flows.set()
        self.pause_s = 0.0
        self.num_calls = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Break what stands; the next call gets through, unless the wire is closed."""
        self.budget = None
        for writer in self._writers:
            writer.transport.abort()

    def close(self) -> None:
        self.is_open = False
        self.cut()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_calls += 1
        if not self.is_open:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            for one in (writer, far_writer):
                one.transport.abort()
                self._writers.discard(one)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                await self.flows.wait()
                if self.budget is not None:
                    self.budget -= len(data)
                    if self.budget < 0:
                        writer.write(data[: self.budget])
                        self.cut()
                        return
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(self.pause_s)
        writer.transport.abort()


class Stand:
    """A module behind a server, a wire, and a site; server and site can be replaced while the other stays.

    ``heard`` is what the present life of the site has heard of its module's events.
    """

    def __init__(self, files: dict[str, TlsFiles]) -> None:
        self.files = files
        self.wire = Wire()
        self.module = FakeModule()
        self.heard: list[ModuleEvent] = []
        self.desk: ModuleDesk
        self.server: ModuleServer
        self.site: RemoteSite
        self._server_tasks = AsyncioTasks()
        self._life = AsyncExitStack()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Stand:
        await self.wire.start()
        self._stack.push_async_callback(self.wire.stop)
        await self._stack.enter_async_context(self._server_tasks)
        await self.start_server()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.end_life()
        await self._stack.aclose()

    @property
    def remote(self) -> RemoteModule:
        (module,) = self.site.modules
        return module

    async def start_server(self, *, files: str = HERE) -> None:
        """Begin an instance of the process with the module, whose memory is fresh."""
        self.module = FakeModule()
        self.desk = ModuleDesk(
            HERE,
            [self.module],
            peers=[PEER, NodeId("third")],
            network="net",
            tasks=self._server_tasks,
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )
        self.server = ModuleServer([self.desk], tls=self.files[files])
        await self.server.start()
        self._stack.push_async_callback(self.server.stop)
        self.wire.target = self.server.port

    async def begin_life(self, *, files: str = HERE, patience_s: float = WAIT_S) -> None:
        """Begin a life of the site, which calls through the wire and acts on every event at once."""
        tasks = await self._life.enter_async_context(AsyncioTasks())
        self.site = RemoteSite(
            HERE,
            identity=kme_id(network="net", name=HERE),
            server="qanat up --apart here",
            tls=self.files[files],
            address=lambda: ("127.0.0.1", self.wire.port),
            tasks=tasks,
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )
        await self.site.connect(patience_s=patience_s)
        self.heard = heard = []
        tasks.start(_listen(self.remote, heard), name="listener")

    async def end_life(self) -> None:
        """End the site as a kill would: without a word."""
        await self._life.aclose()


async def _listen(module: RemoteModule, heard: list[ModuleEvent]) -> None:
    async for event in module.events():
        heard.append(event)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  (a state of the adapter, which has no event for it)
            await asyncio.sleep(0.005)

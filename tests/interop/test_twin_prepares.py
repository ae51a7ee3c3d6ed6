"""A twin that has yet to compile its kernels is there for its sites, says what it does, and makes key after that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from interop.fleet import run_qanat
from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.compile_turn import LOCK_NAME, kernel_stamp
from qanat.adapters.remote_module import RemoteModule, RemoteSite
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.apps import twin_process
from qanat.apps.deployment import Deployment, Places
from qanat.apps.networks import load_network
from qanat.apps.twin_process import TwinProcess
from qanat.apps.workplace import Workplace
from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.identifiers import BlockId, LinkId, NodeId, OrderId, twin_id
from qanat.ground.keys import BitRange, BlockSlice, PoolId, SecretBytes, SpentBits
from qanat.ground.orders import Alarm, GenerationOrder, ModuleEvent, OrderEnded
from qanat.ground.ports import Job
from qanat.kernels.processor import processor_name
from unit.module_fakes import WAIT_S, until

ENDS, LINK = (NodeId("suzhou"), NodeId("kunshan")), LinkId("suzhou-kunshan")
NETWORK = load_network("three-nodes")
DEPLOYMENT = Deployment(NETWORK, "three-nodes")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A folder with certificates, and a cache without kernels."""
    workplace = Workplace(tmp_path / "data")
    assert run_qanat("pki", "three-nodes", "--out", str(workplace.pki)).returncode == 0
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr(twin_process, "kernel_cache", lambda: tmp_path / "cache")
    return workplace


class Starting:
    """A twin that starts, and compiles until it may end; ``jobs``: what its worker was given."""

    def __init__(self, place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
        self.twin = TwinProcess(DEPLOYMENT, LINK, place, log=lambda _: None)
        self.is_compiled = asyncio.Event()
        self.jobs: list[str] = []
        monkeypatch.setattr(self.twin._pool, "run", self._compile)
        monkeypatch.setattr(self.twin._pool, "stream", self._stream)
        self.task = asyncio.create_task(self.twin.__aenter__())

    async def _compile(self, _: Job[None], /) -> None:
        self.jobs.append("compile")
        await self.is_compiled.wait()

    async def _stream(self, _: Job[Any], /) -> AsyncIterator[bytes]:
        self.jobs.append("block")
        return
        yield b""

    async def ready(self) -> None:
        self.is_compiled.set()
        await self.task

    async def die(self) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


class Site:
    """An end of the link; ``heard``: what its module said."""

    def __init__(self, node: NodeId, place: Workplace, tasks: AsyncioTasks) -> None:
        self.node = node
        self.heard: list[ModuleEvent] = []
        self._tasks = tasks
        self.remote = RemoteSite(
            node,
            identity=twin_id(network=NETWORK.name, link_id=LINK),
            server="qanat twin",
            tls=place.node_files(node),
            address=lambda: Places(place.addresses, DEPLOYMENT.fixed).find("twins", LINK),
            tasks=tasks,
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )

    async def connect(self) -> RemoteModule:
        await self.remote.connect(patience_s=WAIT_S)
        (module,) = self.remote.modules
        self._tasks.start(self._listen(module), name="listener")
        return module

    async def _listen(self, module: RemoteModule) -> None:
        async for event in module.events():
            self.heard.append(event)

    def told(self) -> list[bool]:
        """Return of each word about the alarm whether it ends it."""
        return [
            event.is_cleared for event in self.heard if isinstance(event, Alarm) and event.code == "module-preparing"
        ]

    def order(self) -> GenerationOrder:
        bits = BitRange((BlockSlice(BlockId("initial"), 0, SESSION_PAD_BITS),))
        pads = SpentBits(PoolId(LINK, None), bits, SecretBytes(bytes(SESSION_PAD_BITS // 8)))
        is_first = self.node == ENDS[0]
        return GenerationOrder(
            order_id=OrderId("order"),
            link_id=LINK,
            local=self.node,
            peer=ENDS[1] if is_first else ENDS[0],
            role="transmitter" if is_first else "receiver",
            num_blocks=1,
            pads=pads,
        )


def test_its_sites_reach_it_before_its_kernels_are_there_and_what_they_order_waits(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        starting = Starting(place, monkeypatch)
        async with AsyncioTasks() as tasks:
            sites = [Site(node, place, tasks) for node in ENDS]
            modules = [await site.connect() for site in sites]
            await until(lambda: [site.told() for site in sites] == [[False], [False]])
            for site, module in zip(sites, modules, strict=True):
                await module.start(site.order())
            assert starting.jobs == ["compile"]
            assert not starting.task.done()
            await starting.ready()
            await until(lambda: [site.told() for site in sites] == [[False, True]] * 2)
            await until(lambda: all(isinstance(site.heard[-1], OrderEnded) for site in sites))
            assert starting.jobs == ["compile", "block"]
        await starting.twin.__aexit__(None, None, None)

    asyncio.run(scene())


def test_the_alarm_of_a_twin_that_dies_while_it_compiles_is_ended_by_the_next_one(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        first = Starting(place, monkeypatch)
        async with AsyncioTasks() as tasks:
            site = Site(ENDS[0], place, tasks)
            await site.connect()
            await until(lambda: site.told() == [False])
            await first.die()
            stamp = kernel_stamp(processor_name())
            (twin_process.kernel_cache() / LOCK_NAME).write_text(stamp, encoding="utf-8")  # another one has compiled
            second = Starting(place, monkeypatch)
            await second.ready()
            await until(lambda: site.told() == [False, True])
        await second.twin.__aexit__(None, None, None)

    asyncio.run(scene())

"""A twin that has yet to compile its kernels is there for its sites, and says what it does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from interop.fleet import run_qanat
from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.remote_module import RemoteSite
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.apps import twin_process
from qanat.apps.deployment import Deployment, Places
from qanat.apps.networks import load_network
from qanat.apps.twin_process import TwinProcess
from qanat.apps.workplace import Workplace
from qanat.ground.events import Event
from qanat.ground.identifiers import LinkId, NodeId, twin_id
from qanat.ground.orders import Alarm, ModuleEvent
from qanat.ground.ports import Job
from unit.module_fakes import WAIT_S, until

SITE, LINK = NodeId("suzhou"), LinkId("suzhou-kunshan")


def test_its_sites_reach_it_before_its_kernels_are_there_and_hear_why_it_makes_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, place = load_network("three-nodes"), Workplace(tmp_path / "data")
    assert run_qanat("pki", "three-nodes", "--out", str(place.pki)).returncode == 0
    monkeypatch.setattr(twin_process, "kernel_cache", lambda: tmp_path / "cache")
    heard: list[ModuleEvent] = []

    async def scene() -> None:
        log: list[Event] = []
        deployment, is_compiled = Deployment(network, "three-nodes"), asyncio.Event()
        twin = TwinProcess(deployment, LINK, place, log=log.append)

        async def compile_slowly(_: Job[None], /) -> None:
            await is_compiled.wait()

        monkeypatch.setattr(twin._pool, "run", compile_slowly)
        starting = asyncio.create_task(twin.__aenter__())
        async with AsyncioTasks() as tasks:
            site = RemoteSite(
                SITE,
                identity=twin_id(network=network.name, link_id=LINK),
                server="qanat twin",
                tls=place.node_files(SITE),
                address=lambda: Places(place.addresses, deployment.fixed).find("twins", LINK),
                tasks=tasks,
                clock=SystemClock(),
                entropy=SystemEntropy(),
            )
            await site.connect(patience_s=WAIT_S)
            (module,) = site.modules

            async def listen() -> None:
                async for event in module.events():
                    heard.append(event)

            tasks.start(listen(), name="listener")
            await until(lambda: told() == [("module-preparing", False)])
            assert not starting.done()
            is_compiled.set()
            await starting
            await until(lambda: told() == [("module-preparing", False), ("module-preparing", True)])
        await twin.__aexit__(None, None, None)

    def told() -> list[tuple[str, bool]]:
        return [(event.code, event.is_cleared) for event in heard if isinstance(event, Alarm)]

    asyncio.run(scene())
    assert (tmp_path / "cache").is_dir()

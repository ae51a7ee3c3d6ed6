"""The twin of a link serves both its sites at one port, under a certificate of neither."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from interop.certificates import Authority
from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.module_desk import ModuleDesk
from qanat.adapters.module_server import ModuleServer
from qanat.adapters.module_wire import ModuleCard
from qanat.adapters.remote_module import RemoteSite
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.adapters.tcp_channel import connect_channel
from qanat.adapters.tls import TlsFiles, client_context
from qanat.ground.errors import ChannelClosed, QuantumLayerError
from qanat.ground.identifiers import NodeId, kme_id, sae_id, twin_id
from unit.module_fakes import CAPABILITY, HERE, LINK, PEER, WAIT_S, FakeModule, an_order, until

TWIN = twin_id(network="net", link_id=LINK)


def make_files(folder: Path) -> dict[str, TlsFiles]:
    authority = Authority(folder)
    names = {HERE: kme_id(network="net", name=HERE), PEER: kme_id(network="net", name=PEER), "twin": TWIN}
    return {
        name: authority.issue(name, [uri]) for name, uri in {**names, "sae": sae_id(network="net", name="sae")}.items()
    }


def a_site(files: TlsFiles, port: list[int], tasks: AsyncioTasks) -> RemoteSite:
    """A site that knows its module before the twin is there, at a port that is said later."""
    return RemoteSite(
        HERE,
        identity=TWIN,
        server="qanat twin",
        tls=files,
        address=lambda: ("127.0.0.1", port[0]) if port else None,
        tasks=tasks,
        clock=SystemClock(),
        entropy=SystemEntropy(),
        cards=[ModuleCard(FakeModule().module_id, "twin", {PEER: CAPABILITY})],
    )


def a_desk(node: NodeId, module: FakeModule, tasks: AsyncioTasks) -> ModuleDesk:
    clock, entropy = SystemClock(), SystemEntropy()
    return ModuleDesk(node, [module], peers=[PEER, HERE], network="net", tasks=tasks, clock=clock, entropy=entropy)


def test_a_site_that_begins_before_its_twin_finds_it_and_gets_its_own_module_only(tmp_path: Path) -> None:
    files, port = make_files(tmp_path), list[int]()

    async def scene() -> None:
        async with AsyncioTasks() as tasks:
            site = a_site(files[HERE], port, tasks)
            (module,) = site.modules
            site.begin()
            assert module.capability(PEER) == CAPABILITY
            assert not site.is_connected
            fakes = {HERE: FakeModule(), PEER: FakeModule()}
            desks = [a_desk(node, fake, tasks) for node, fake in fakes.items()]
            server = ModuleServer(desks, tls=files["twin"])
            await server.start()
            port.append(server.port)
            await until(lambda: site.is_connected)
            await module.start(an_order())
            assert (list(fakes[HERE].started), list(fakes[PEER].started)) == (["order"], [])
            assert [desk.is_connected for desk in desks] == [True, False]
            await server.stop()

    asyncio.run(scene())


def test_while_the_twin_is_away_an_order_fails_and_says_what_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qanat.adapters.module_line.CALL_TIMEOUT_S", 0.05)
    files = make_files(tmp_path)

    async def scene() -> None:
        async with AsyncioTasks() as tasks:
            site = a_site(files[HERE], [], tasks)
            site.begin()
            with pytest.raises(QuantumLayerError) as fault:
                await site.modules[0].start(an_order())
            assert "qanat twin" in fault.value.remedy

    asyncio.run(scene())


def test_an_application_is_turned_away(tmp_path: Path) -> None:
    files = make_files(tmp_path)

    async def scene() -> None:
        async with AsyncioTasks() as tasks:
            server = ModuleServer([a_desk(HERE, FakeModule(), tasks)], tls=files["twin"])
            await server.start()
            stranger = await connect_channel("127.0.0.1", server.port, tls=client_context(files["sae"]))
            with pytest.raises(ChannelClosed):
                await stranger.receive(timeout_s=WAIT_S)
            await stranger.close()
            await server.stop()

    asyncio.run(scene())

"""Certificates of QKD modules' processes and of devices, taken back and renewed while the lines stand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from interop.certificates import Authority
from interop.fleet import free_port
from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.device_door import DeviceDoor
from qanat.adapters.key_sources import SourceFault
from qanat.adapters.module_server import ModuleServer
from qanat.adapters.module_wire import ModuleCard
from qanat.adapters.remote_module import RemoteSite
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.adapters.tls import TlsFiles
from qanat.adapters.used_keys import UsedKeys
from qanat.apps.device_emulator import DeviceEmulator
from qanat.apps.workplace import Workplace
from qanat.ground.identifiers import NodeId, kme_id, twin_id
from qanat.ground.network import DeviceEnd, Etsi014Modules, Link
from qanat.ground.orders import Alarm
from unit.module_fakes import CAPABILITY, HERE, LINK, PEER, FakeModule
from unit.test_twin_server import a_desk

pytestmark = pytest.mark.slow  # files are looked at once a second

TWIN = twin_id(network="net", link_id=LINK)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.02)


class Line:
    """The twin of a link, and both its sites; the two sides have authorities' folders of their own, so that a list of
    revoked certificates can reach one of them."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "twin")
        self.files = {name: self.authority.issue(name, [uri]) for name, uri in _NAMES.items()}
        self.sites: dict[NodeId, RemoteSite] = {}

    @asynccontextmanager
    async def up(self, *, sites_know: Path | None = None) -> AsyncIterator[Line]:
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(AsyncioTasks())
            server = ModuleServer([a_desk(node, FakeModule(), tasks) for node in (HERE, PEER)], tls=self.files["twin"])
            await server.start()
            stack.push_async_callback(server.stop)
            for node in (HERE, PEER):
                own = self.files[node]
                files = TlsFiles(own.certificate, own.key, sites_know or own.ca)
                self.sites[node] = _site(node, files, server.port, tasks)
                self.sites[node].begin()
            await until(lambda: all(site.is_connected for site in self.sites.values()))
            yield self


_NAMES = {HERE: kme_id(network="net", name=HERE), PEER: kme_id(network="net", name=PEER), "twin": TWIN}


def _site(node: NodeId, files: TlsFiles, port: int, tasks: AsyncioTasks) -> RemoteSite:
    card = ModuleCard(FakeModule().module_id, "twin", {PEER if node == HERE else HERE: CAPABILITY})
    return RemoteSite(
        node,
        identity=TWIN,
        server="qanat twin",
        tls=files,
        address=lambda: ("127.0.0.1", port),
        tasks=tasks,
        clock=SystemClock(),
        entropy=SystemEntropy(),
        cards=[card],
    )


def authority_elsewhere(line: Line, folder: Path) -> Path:
    """Return the authority's certificate in a folder of the sites alone, to which its lists do not come."""
    elsewhere = folder / "sites" / "authority-ca.pem"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(line.authority.path.read_bytes())
    return elsewhere


async def first_alarm(site: RemoteSite) -> Alarm:
    """Return what the only module of a site tells first."""
    async with asyncio.timeout(20):
        event = await anext(site.modules[0].events())
    assert isinstance(event, Alarm)
    return event


def test_a_site_to_which_no_list_came_names_its_certificate_by_what_the_modules_say(tmp_path: Path) -> None:
    async def scene() -> None:
        line = Line(tmp_path)
        elsewhere = authority_elsewhere(line, tmp_path)
        async with line.up(sites_know=elsewhere):
            line.authority.revoke(line.files[HERE])
            away = await first_alarm(line.sites[HERE])
            assert away.text.startswith(f"the certificate of {HERE} was revoked, so there is no line")
            assert f"`qanat pki renew {HERE}`" in away.remedy

    asyncio.run(scene())


def test_a_site_whose_certificate_is_revoked_loses_its_modules_until_it_has_a_new_one(tmp_path: Path) -> None:
    async def scene() -> None:
        async with Line(tmp_path).up() as line:
            here, peer = line.sites[HERE], line.sites[PEER]
            line.authority.revoke(line.files[HERE])
            await until(lambda: not here.is_connected)
            away = await first_alarm(here)
            assert away.code == "module-away"
            assert away.text.startswith(f"the certificate of {HERE} was revoked, so there is no line")
            assert f"`qanat pki renew {HERE}`" in away.remedy
            await asyncio.sleep(1.5)  # it dials again and again
            assert not here.is_connected
            assert peer.is_connected, "the other site keeps its line"
            line.authority.issue(HERE, [_NAMES[HERE]])
            await until(lambda: here.is_connected)

    asyncio.run(scene())


def test_a_site_hangs_up_on_modules_whose_certificate_is_revoked(tmp_path: Path) -> None:
    """The list reaches the sites alone: a twin that was taken over would not read it."""

    async def scene() -> None:
        line = Line(tmp_path)
        elsewhere = authority_elsewhere(line, tmp_path)
        async with line.up(sites_know=elsewhere):
            line.authority.revoke(line.files["twin"])
            (tmp_path / "twin" / "crl.pem").rename(elsewhere.with_name("crl.pem"))
            await until(lambda: not any(site.is_connected for site in line.sites.values()))
            away = await first_alarm(line.sites[HERE])
            assert away.text.startswith(f"the certificate of {LINK} was revoked, so there is no line")
            assert f"`qanat pki renew {LINK}`" in away.remedy
            await asyncio.sleep(1.5)
            assert not any(site.is_connected for site in line.sites.values())

    asyncio.run(scene())


def device_link() -> Link:
    ends = [DeviceEnd(url=f"https://127.0.0.1:{free_port()}", sae=f"urn:vendor:sae:{name}") for name in ("a", "b")]
    return Link(
        name="a-b",
        transmitter="a",
        receiver="b",
        system="backbone-625",
        loss_db=10,
        length_km=50,
        modules=Etsi014Modules(
            driver="etsi014", transmitter=ends[0], receiver=ends[1], expected_rate_bits_per_s=1000.0
        ),
    )


def test_devices_and_who_asks_them_follow_their_certificates(tmp_path: Path) -> None:
    link, place = device_link(), Workplace(tmp_path)
    settings = link.modules
    assert isinstance(settings, Etsi014Modules)
    of_devices = Authority(place.pki / "devices" / "a-b.emulated", "vendor")
    of_devices.path = of_devices.path.rename(of_devices.path.with_name("ca.pem"))
    for end in ("transmitter", "receiver"):
        of_devices.issue(end, [f"urn:emulated-device:a-b:{end}"])
    caller = of_devices.issue("caller", [settings.transmitter.sae])

    async def scene() -> None:
        async with DeviceEmulator(link, place, rate_bits_per_s=1e6):
            used = UsedKeys(tmp_path / "used.sqlite")
            door = DeviceDoor(settings.transmitter, peer_sae="b", settings=settings, tls=caller, used=used)
            await door.look()
            of_devices.revoke(caller)
            await asyncio.sleep(3.0)  # the device looks at its files once a second
            with pytest.raises(SourceFault) as fault:
                await door.look()
            assert fault.value.code in ("device-certificate", "device-unreachable")
            of_devices.issue("caller", [settings.transmitter.sae])
            await door.look()
            await door.close()

    asyncio.run(scene())

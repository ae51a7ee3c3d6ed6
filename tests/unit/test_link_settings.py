"""What a network file says of modules, and a deployment file of places: errors name the line and the remedy."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

import pytest

from qanat.adapters.addresses import AddressBook
from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.pki import create_pki
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.apps.deployment import Deployment, Places, load_deployment
from qanat.apps.event_log import EventLog
from qanat.apps.link_modules import link_capability
from qanat.apps.networks import load_network
from qanat.apps.node_site import NodeSite
from qanat.apps.workplace import Workplace
from qanat.ground.errors import ConfigurationError, NetworkFileError
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Etsi014Modules, KeyFileModules, Network, parse_network

HEAD = """format: qanat-network/1
name: two-sites
sites:
  - {name: aarau, kind: user, latitude_deg: 47.39, longitude_deg: 8.05}
  - {name: basel, kind: user, latitude_deg: 47.56, longitude_deg: 7.59}
links:
  - name: aarau-basel
    transmitter: aarau
    receiver: basel
    system: backbone-625
    loss_db: 10.0
    length_km: 50
"""
DEVICES = """    modules:
      driver: etsi014
      transmitter: {url: "https://10.1.0.5:443/", sae: km-aarau}
      receiver:
        url: https://[2001:db8::5]
        sae: km-basel
        kme: urn:vendor:kme:7
"""


def network(modules: str) -> Network:
    return parse_network(HEAD + modules, source="net.yaml")


def test_devices_are_read_with_safe_defaults() -> None:
    modules = network(DEVICES).links[0].modules
    assert isinstance(modules, Etsi014Modules)
    assert modules.transmitter.url == "https://10.1.0.5:443"
    assert (modules.transmitter.kme, modules.receiver.kme) == ("", "urn:vendor:kme:7")
    assert modules.block_bits == 256 * 4096


def test_key_files_are_called_a_twins_unless_somebody_says_otherwise() -> None:
    modules = network("    modules: {driver: key-files}\n").links[0].modules
    assert isinstance(modules, KeyFileModules)
    assert modules.origin == "twin"
    assert network("").links[0].modules is None


def test_a_links_rate_is_its_devices_where_they_say_it() -> None:
    said = network(DEVICES + "      expected_rate_bits_per_s: 2048\n").links[0]
    assert link_capability(said).expected_rate_bits_per_s == 2048
    assert link_capability(said).block_time_s == 512
    unsaid = link_capability(network(DEVICES).links[0])
    assert unsaid.expected_rate_bits_per_s == link_capability(network("").links[0]).expected_rate_bits_per_s > 0


@pytest.mark.parametrize(
    ("change", "line", "fault"),
    [
        (("etsi014", "etsi14"), 13, "no such driver"),
        (("      driver: etsi014\n", ""), 13, "not said which driver"),
        (("https://10.1.0.5:443/", "http://10.1.0.5"), 15, "no address of a key delivery door"),
        (("https://10.1.0.5:443/", "https://10.1.0.5:65536"), 15, "no address of a key delivery door"),
        (("https://[2001:db8::5]", "https://x/api"), 17, "no address of a key delivery door"),
        (("        sae: km-basel\n", ""), 16, "missing"),
        (("km-basel", "km-aarau"), 13, "same SAE id"),
        (("      receiver:", "      keys_per_block: 2\n      receiver:"), 13, "a block would have 512 bits"),
        (("      receiver:", "      keys_per_blok: 2\n      receiver:"), 16, "no field of this name"),
        (("    modules:", "    disturbance: 0.1\n    modules:"), 7, "of a twin only"),
    ],
)
def test_what_cannot_be_is_named_with_its_line(change: tuple[str, str], line: int, fault: str) -> None:
    assert change[0] in DEVICES
    with pytest.raises(NetworkFileError, match=fault) as raised:
        network(DEVICES.replace(*change, 1))
    assert raised.value.line == line
    assert raised.value.remedy


def a_deployment(folder: Path, text: str) -> Path:
    path = folder / "deployment.yaml"
    path.write_text("format: qanat-deployment/1\nnetwork: three-nodes\n" + text, encoding="utf-8")
    return path


def test_places_are_fixed_or_found_in_the_data_folder(tmp_path: Path) -> None:
    path = a_deployment(
        tmp_path,
        "data: here\nsite: kunshan\nsites:\n  suzhou: {host: 192.0.2.1, port: 9001, door_port: 8801, bind: 0.0.0.0}\n"
        "twins:\n  suzhou-kunshan: {port: 9101}\n",
    )
    deployment = load_deployment(path)
    assert (deployment.site, deployment.folder) == ("kunshan", tmp_path / "here")
    book = AddressBook(tmp_path / "addresses")
    places = Places(book, deployment.fixed)
    assert places.find("transports", "suzhou") == ("192.0.2.1", 9001)
    assert places.listen_at("transports", "suzhou") == ("0.0.0.0", 9001)
    assert places.find("doors", "suzhou") == ("192.0.2.1", 8801)
    assert places.listen_at("twins", "suzhou-kunshan") == ("127.0.0.1", 9101)
    assert places.find("transports", "kunshan") is None
    places.publish("transports", "kunshan", 4711)
    assert places.find("transports", "kunshan") == ("127.0.0.1", 4711)
    assert places.listen_at("transports", "kunshan") == ("127.0.0.1", 0)


@pytest.mark.parametrize("folder", ["here", "my files"])
def test_a_site_names_the_command_of_its_twin_with_the_file_that_it_was_started_with(
    tmp_path: Path, folder: str
) -> None:
    (tmp_path / folder).mkdir()
    path = a_deployment(tmp_path / folder, "data: data\n")
    three_nodes, place = load_network("three-nodes"), Workplace(tmp_path / folder / "data")
    create_pki(
        place.pki,
        three_nodes,
        entropy=SystemEntropy(),
        clock=SystemClock(),
        sessions_per_day={link.link_id: 0.01 for link in three_nodes.links},
        reserve_days=1,
        for_twins=True,
    )

    async def named(deployment: Deployment) -> list[str]:
        with EventLog(path=tmp_path / "events.jsonl") as log:
            site = NodeSite(deployment, NodeId("suzhou"), place, log=log)
            async with AsyncioTasks() as tasks:
                await site._modules(tasks)
                return shlex.split(site.twins[LinkId("suzhou-kunshan")].server)

    link = ["--link", "suzhou-kunshan"]
    assert asyncio.run(named(load_deployment(path))) == ["qanat", "twin", "--config", str(path), *link]
    assert asyncio.run(named(Deployment(three_nodes, "three-nodes"))) == ["qanat", "twin", *link]


def test_a_network_beside_the_deployment_is_found(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(HEAD, encoding="utf-8")
    path = tmp_path / "deployment.yaml"
    path.write_text("format: qanat-deployment/1\nnetwork: net.yaml\n", encoding="utf-8")
    deployment = load_deployment(path)
    assert (deployment.network.name, deployment.folder) == ("two-sites", None)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("sites:\n  suzhou: {host: 192.0.2.1}\n", ":4: sites.suzhou: this place is on a host of its own, and no port"),
        ("sites:\n  suzhou: {prt: 9001}\n", ":4: sites.suzhou.prt: no field of this name"),
        ("controller: {port: 70000}\n", ":3: controller.port: 70000 is not"),
        ("date: x\n", ":3: date: no field of this name"),
        ("sites: {suzho: {}}\n", ":3: no site 'suzho' in this network"),
        ("twins:\n  kunshan-suzhou: {}\n", ":4: no link 'kunshan-suzhou' in this network"),
        ("site: suzho\n", ":3: no site 'suzho' in this network"),
        ("sites:\n  suzhou: {port: 9001, door_port: 9001}\n", ":4: sites.suzhou.door_port: port 9001 of 127.0.0.1 is"),
        (
            "controller: {port: 9001}\ntwins:\n  suzhou-kunshan: {port: 9001}\n",
            ":5: twins.suzhou-kunshan.port: port 9001 of 127.0.0.1 is that of controller.port already",
        ),
    ],
)
def test_a_deployment_that_cannot_be_is_named_with_its_line(tmp_path: Path, text: str, fault: str) -> None:
    path = a_deployment(tmp_path, text)
    with pytest.raises(NetworkFileError) as raised:
        load_deployment(path)
    assert f"{path}{fault}" in raised.value.message


def test_what_is_misspelt_in_a_deployment_is_told_what_it_may_be(tmp_path: Path) -> None:
    for text, meant in (
        ("sites: {suzho: {}}\n", "did you mean suzhou?"),
        ("sites: {suzhou: {prt: 9001}}\n", "is it meant to be port?"),
        ("controler: {port: 9001}\n", "is it meant to be controller?"),
        ("xyzzy: 1\n", "remove it, or look at its spelling"),
    ):
        with pytest.raises(NetworkFileError) as raised:
            load_deployment(a_deployment(tmp_path, text))
        assert raised.value.remedy == meant


def test_a_network_that_is_not_there_is_looked_for_from_the_deployment_file(tmp_path: Path) -> None:
    path = tmp_path / "deployment.yaml"
    for name, fault in (("rwo.yaml", "cannot read rwo.yaml"), ("three-node", "no network 'three-node'")):
        path.write_text(f"format: qanat-deployment/1\nnetwork: {name}\n", encoding="utf-8")
        with pytest.raises(NetworkFileError) as raised:
            load_deployment(path)
        assert f"{path}:2: {fault}" in raised.value.message
        assert "from the folder of this one" in raised.value.remedy
    (tmp_path / "bad.yaml").write_text(HEAD.replace("name: two-sites", "name: 7"), encoding="utf-8")
    path.write_text("format: qanat-deployment/1\nnetwork: bad.yaml\n", encoding="utf-8")
    with pytest.raises(NetworkFileError, match=r"bad\.yaml:2: name: a text is needed here"):
        load_deployment(path)


def test_one_port_on_two_hosts_is_two_places(tmp_path: Path) -> None:
    text = "sites:\n  suzhou: {host: 192.0.2.1, port: 9001}\n  kunshan: {host: 192.0.2.2, port: 9001}\n  shanghai: {}\n"
    assert len(load_deployment(a_deployment(tmp_path, text)).fixed) == 10


def test_a_network_file_is_no_deployment_file(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(HEAD, encoding="utf-8")
    with pytest.raises(NetworkFileError, match=r"net\.yaml:1: format: 'qanat-network/1' is not"):
        load_deployment(path)


def test_a_deployment_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_deployment(tmp_path / "none.yaml")

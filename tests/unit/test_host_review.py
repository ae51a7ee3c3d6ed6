"""What the doctor finds on a host of a deployment: every fault that is planted, and none where there is none."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import time
from pathlib import Path

import pytest

from qanat.adapters.folder_lock import held
from qanat.adapters.pki import create_pki
from qanat.adapters.renewal import revoke
from qanat.adapters.sqlite.schema import SCHEMA_VERSION, prepare
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.apps.cli.doctor_deployment import deployment_findings, is_in_order
from qanat.apps.host_review import Finding
from qanat.ground.errors import ConfigurationError, UnknownNode
from qanat.ground.network import parse_network

NETWORK = """
format: qanat-network/1
name: two
sites:
  - {name: a, kind: user, latitude_deg: 31.3, longitude_deg: 120.6}
  - {name: b, kind: user, latitude_deg: 31.4, longitude_deg: 121.0}
links:
  - {name: a-b, transmitter: a, receiver: b, system: backbone-625, loss_db: 10.3, length_km: 41}
applications:
  - {name: alice, site: a}
"""
DAY_S = 86_400.0


class ShiftedClock(SystemClock):
    """The machine's clock, so many days on."""

    def __init__(self, days: float) -> None:
        self._days = days

    def utc_s(self) -> float:
        return time.time() + self._days * DAY_S


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates of a network, made today; to be copied."""
    return made_pki(tmp_path_factory.mktemp("made") / "pki", days=0)


def made_pki(folder: Path, *, days: float) -> Path:
    network = parse_network(NETWORK, source="two")
    per_day = dict.fromkeys((link.link_id for link in network.links), 0.01)
    create_pki(
        folder,
        network,
        entropy=SystemEntropy(),
        clock=ShiftedClock(days),
        sessions_per_day=per_day,
        reserve_days=1,
        for_twins=True,
    )
    return folder


class Host:
    """A host with a data folder of its own."""

    def __init__(self, folder: Path, pki: Path, places: str = "") -> None:
        self.config = folder / "deployment.yaml"
        self.data = folder / "data"
        self.pki = self.data / "pki"
        (folder / "two.yaml").write_text(NETWORK, encoding="utf-8")
        self.config.write_text(f"format: qanat-deployment/1\nnetwork: two.yaml\ndata: data\n{places}", encoding="utf-8")
        self.data.mkdir(mode=0o700)
        shutil.copytree(pki, self.pki)

    def findings(self, site: str | None = None) -> list[Finding]:
        return deployment_findings(self.config, site=site, data=None)

    def of(self, subject: str) -> Finding:
        return next(one for one in self.findings() if one.subject == subject)


@pytest.fixture
def host(tmp_path: Path, made: Path) -> Host:
    return Host(tmp_path, made)


def test_a_host_that_was_just_set_up_lacks_nothing_but_its_processes(host: Host) -> None:
    found = host.findings()
    assert {one.subject: one for one in found}["processes of this host"].found == "controller, site a, site b, twin a-b"
    assert [one for one in found if one.state == "fault"] == []
    down = [one for one in found if one.state == "down"]
    assert len(down) == 5, "transports of the controller and two sites, a door, a twin"
    assert all("start it with `qanat " in one.remedy for one in down)
    assert not is_in_order(found)


def test_every_finding_that_is_not_well_says_what_to_do(host: Host) -> None:
    assert [one for one in host.findings() if one.state != "well" and not one.remedy] == []


@pytest.mark.parametrize(
    ("days", "state", "words"),
    [(-380, "look", "days left"), (-400, "fault", "it ran out on"), (2, "fault", "it begins at")],
)
def test_the_age_of_a_certificate_is_seen(tmp_path: Path, days: float, state: str, words: str) -> None:
    host = Host(tmp_path, made_pki(tmp_path / "pki", days=days))
    found = host.of("certificate of site a")
    assert (found.state, words in found.found) == (state, True), found
    assert found.remedy


def test_a_certificate_of_somebody_else_or_of_another_authority_is_a_fault(host: Host, tmp_path: Path) -> None:
    for suffix in ("pem", "key"):
        shutil.copy2(host.pki / f"nodes/b.{suffix}", host.pki / f"nodes/a.{suffix}")
    assert "not of urn:qanat:two:kme:a" in host.of("certificate of site a").found
    other = made_pki(tmp_path / "other", days=0)
    for suffix in ("pem", "key"):
        shutil.copy2(other / f"nodes/a.{suffix}", host.pki / f"nodes/a.{suffix}")
    assert "did not issue it" in host.of("certificate of site a").found
    (host.pki / "nodes/a.pem").write_text("no certificate", encoding="utf-8")
    assert host.of("certificate of site a").state == "fault"


def test_a_certificate_that_was_taken_back_and_a_list_that_is_none_are_faults(host: Host) -> None:
    assert "none was taken back" in host.of("revoked certificates").found
    revoke(host.pki, ["nodes/a"], clock=SystemClock(), entropy=SystemEntropy())
    assert host.of("revoked certificates").found == "list 1 of the authority names 1"
    assert host.of("certificate of site a").found == "it was taken back"
    assert host.of("certificate of site b").state == "well"
    (host.pki / "crl.pem").write_text("no list", encoding="utf-8")
    assert host.of("revoked certificates").state == "fault"


def test_secrets_that_others_can_read_are_faults_with_the_command_that_mends_them(host: Host) -> None:
    (host.pki / "nodes/a.key").chmod(0o644)
    found = host.of("permissions")
    assert (found.state, found.remedy) == ("fault", f"chmod 600 {host.pki}/nodes/a.key")
    (host.pki / "nodes/a.key").chmod(0o600)
    host.data.chmod(0o755)
    assert (host.of("permissions").state, host.of("permissions").remedy) == ("look", f"chmod 700 {host.data}")


def test_an_initial_key_that_is_missing_is_one_until_the_store_is_there(host: Host) -> None:
    (host.pki / "links/a-b.auth").unlink()
    assert host.of("initial keys of site a").state == "fault"
    put_store(host, SCHEMA_VERSION)
    assert "initial keys of site a" not in [one.subject for one in host.findings()]


def put_store(host: Host, version: int) -> None:
    (host.data / "a").mkdir(mode=0o700, exist_ok=True)
    path = host.data / "a" / "keys.sqlite"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        prepare(connection, name=str(path))
        connection.execute("UPDATE state SET value = ? WHERE name = 'schema_version'", (version,))
    connection.close()
    path.chmod(0o600)
    (host.data / "a" / "master.key").touch(mode=0o600)


def test_the_schema_of_a_store_is_told_and_a_newer_one_is_a_fault(host: Host) -> None:
    put_store(host, SCHEMA_VERSION)
    assert host.of("store of site a") == Finding("store of site a", "well", f"schema {SCHEMA_VERSION}")
    put_store(host, SCHEMA_VERSION - 1)
    assert f"brought to {SCHEMA_VERSION} by the next start" in host.of("store of site a").found
    put_store(host, SCHEMA_VERSION + 1)
    assert host.of("store of site a").remedy == "update this program"
    (host.data / "a" / "keys.sqlite").write_bytes(b"no database at all" * 100)
    assert host.of("store of site a").state == "fault"


def test_a_store_whose_process_was_killed_before_its_file_had_anything_is_no_fault(host: Host) -> None:
    put_store(host, SCHEMA_VERSION)
    path = host.data / "a" / "keys.sqlite"
    path.write_bytes(b"")
    path.with_name("keys.sqlite-wal").touch(mode=0o600)
    assert host.of("store of site a").found == "its process was killed; the next start recovers it"


def test_a_store_without_its_master_key_is_to_be_looked_at(host: Host) -> None:
    put_store(host, SCHEMA_VERSION)
    (host.data / "a" / "master.key").unlink()
    assert host.of("store of site a").state == "look"


def test_a_master_key_in_a_token_that_is_not_there_is_a_fault_with_its_remedy(host: Host, tmp_path: Path) -> None:
    put_store(host, SCHEMA_VERSION)
    pin = tmp_path / "pin"
    uri = f"pkcs11:token=t;object=k?module-path=/nowhere/module.so&pin-source=file:{pin}"
    (host.data / "a" / "master.key").write_text(uri, encoding="utf-8")
    assert f"cannot read {pin}" in host.of("store of site a").found
    pin.write_text("51423", encoding="utf-8")
    pin.chmod(0o644)
    assert host.of("store of site a").remedy == f"chmod 600 {pin}"
    pin.chmod(0o600)
    found = host.of("store of site a")
    assert (found.state, "name its file as module-path" in found.remedy) == ("fault", True)
    assert "51423" not in str(found)


def test_a_port_that_somebody_else_has_is_a_fault(tmp_path: Path, made: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        host = Host(tmp_path, made, f"sites:\n  a: {{port: {port}}}\n")
        found = host.of("site a, for other processes")
        assert (found.state, f"cannot listen on 127.0.0.1:{port}" in found.found) == ("fault", True)
    assert f"127.0.0.1:{port} is free" in host.of("site a, for other processes").found


def test_a_process_that_runs_and_does_not_answer_is_a_fault(host: Host) -> None:
    with socket.socket() as silent, held(host.data / "a"):
        silent.bind(("127.0.0.1", 0))
        (host.data / "addresses" / "transports").mkdir(parents=True)
        said = f'{{"host": "127.0.0.1", "port": {silent.getsockname()[1]}}}'
        (host.data / "addresses" / "transports" / "a.json").write_text(said, encoding="utf-8")
        found = host.of("site a, for other processes")
    assert (found.state, "no connection to 127.0.0.1" in found.found) == ("fault", True)


def test_processes_of_other_hosts_are_asked_where_the_file_says_that_they_are(tmp_path: Path, made: Path) -> None:
    host = Host(tmp_path, made, "sites:\n  b: {host: 127.0.0.9, port: 1}\n")
    (host.pki / "nodes/b.key").unlink()
    found = host.of("site b, for other processes")
    assert (found.state, "127.0.0.9:1" in found.found) == ("down", True)
    assert host.of("processes of this host").found == "controller, site a, twin a-b"


def test_a_host_without_any_key_is_told_so_and_a_site_that_is_asked_for_is_missed(host: Host) -> None:
    shutil.rmtree(host.pki)
    assert host.of("processes of this host").state == "fault"
    found = {one.subject: one for one in host.findings("a")}
    assert found["processes of this host"].found == "site a"
    assert "make certificates with `qanat pki`" in found["certificate of site a"].remedy
    with pytest.raises(UnknownNode):
        host.findings("c")
    with pytest.raises(ConfigurationError):
        deployment_findings(host.config.with_name("none.yaml"), site=None, data=None)

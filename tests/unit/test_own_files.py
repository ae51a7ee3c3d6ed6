"""A process starts with its own files only: its certificate, its folder, the master key of its store."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from qanat.adapters.own_certificate import check_own_certificate
from qanat.adapters.pki import NodeFiles, create_pki
from qanat.adapters.renewal import revoke
from qanat.adapters.sqlite.zeroization import zeroize
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.adapters.tls import TlsFiles
from qanat.apps.event_log import EventLog
from qanat.apps.networks import load_network
from qanat.apps.site import SiteParts, key_manager_settings, sessions_per_day
from qanat.apps.workplace import Workplace
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import NodeId

NETWORK = load_network("three-nodes")
SUZHOU, KUNSHAN = NodeId("suzhou"), NodeId("kunshan")
DAY_S = 86_400.0


@dataclass
class ClockAhead(SystemClock):
    """A clock that is set wrong."""

    ahead_s: float = 0.0

    def utc_s(self) -> float:
        return super().utc_s() + self.ahead_s


def make_pki(folder: Path) -> Path:
    create_pki(
        folder,
        NETWORK,
        entropy=SystemEntropy(),
        clock=SystemClock(),
        sessions_per_day=sessions_per_day(NETWORK),
        reserve_days=0.1,
    )
    return folder


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pki(tmp_path_factory.mktemp("own") / "pki")


def files_of(folder: Path, node: str) -> TlsFiles:
    files = NodeFiles.of(folder, NodeId(node))
    return TlsFiles(certificate=files.certificate, key=files.key, ca=files.ca)


def refused(files: TlsFiles, *, ahead_s: float = 0.0, node: NodeId = SUZHOU) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as fault:
        check_own_certificate(files, identity=NETWORK.kme(node), clock=ClockAhead(ahead_s))
    assert fault.value.remedy
    return fault.value


def test_a_certificate_of_its_own_is_taken(pki: Path) -> None:
    check_own_certificate(files_of(pki, SUZHOU), identity=NETWORK.kme(SUZHOU), clock=SystemClock())


def test_a_certificate_of_another_site_is_refused_by_both_names(pki: Path) -> None:
    fault = refused(files_of(pki, KUNSHAN))
    assert NETWORK.kme(KUNSHAN) in fault.message
    assert NETWORK.kme(SUZHOU) in fault.message


def test_a_certificate_of_another_authority_is_refused(pki: Path, tmp_path: Path) -> None:
    ca = make_pki(tmp_path / "other") / "ca.pem"
    files = files_of(pki, SUZHOU)
    assert "was not signed by the authority" in refused(TlsFiles(files.certificate, files.key, ca)).message
    (tmp_path / "broken.pem").write_text("no certificate", encoding="utf-8")
    assert "is no certificate" in refused(TlsFiles(files.certificate, files.key, tmp_path / "broken.pem")).message


def test_a_certificate_out_of_date_is_refused_with_the_time_that_the_clock_says(pki: Path) -> None:
    assert "ran out at" in refused(files_of(pki, SUZHOU), ahead_s=400 * DAY_S).message
    assert "begins at" in refused(files_of(pki, SUZHOU), ahead_s=-DAY_S).message


def test_a_certificate_that_was_revoked_is_refused(tmp_path: Path) -> None:
    folder = make_pki(tmp_path / "pki")
    revoke(folder, [SUZHOU], entropy=SystemEntropy(), clock=SystemClock())
    fault = refused(files_of(folder, SUZHOU))
    assert "was revoked" in fault.message
    assert "qanat pki renew" in fault.remedy
    check_own_certificate(files_of(folder, KUNSHAN), identity=NETWORK.kme(KUNSHAN), clock=SystemClock())


def open_site(data: Path, node: NodeId) -> None:
    """Hold a site's folder and open its store, as every process does that runs the site."""

    async def opened() -> None:
        place = Workplace(data)
        place.make(node)
        with EventLog() as log:
            async with AsyncExitStack() as stack:
                parts = SiteParts(NETWORK, place, log=log, settings=key_manager_settings(NETWORK), stack=stack)
                parts.hold_site(node, remedy="stop it")
                await parts.open_stores([node], master_key_path=place.own_master_key(node))

    asyncio.run(opened())


def test_the_folder_of_another_site_is_refused(tmp_path: Path) -> None:
    open_site(tmp_path, SUZHOU)
    open_site(tmp_path, SUZHOU)
    shutil.copytree(tmp_path / SUZHOU, tmp_path / KUNSHAN)
    with pytest.raises(ConfigurationError, match="is the folder of site 'suzhou', not of 'kunshan'"):
        open_site(tmp_path, KUNSHAN)


def test_no_master_key_is_made_beside_a_store_that_needs_another(tmp_path: Path) -> None:
    open_site(tmp_path, SUZHOU)
    key = tmp_path / SUZHOU / "master.key"
    kept = key.read_bytes()
    key.unlink()
    with pytest.raises(ConfigurationError, match=r"its master key .* is not") as fault:
        open_site(tmp_path, SUZHOU)
    assert "zeroize" in fault.value.remedy
    assert not key.exists()
    key.write_bytes(kept)
    key.chmod(0o600)
    open_site(tmp_path, SUZHOU)


def test_a_store_that_was_zeroized_takes_a_new_master_key(tmp_path: Path) -> None:
    open_site(tmp_path, SUZHOU)
    key = tmp_path / SUZHOU / "master.key"
    key.unlink()
    zeroize(tmp_path / SUZHOU / "keys.sqlite")
    open_site(tmp_path, SUZHOU)
    assert key.exists()

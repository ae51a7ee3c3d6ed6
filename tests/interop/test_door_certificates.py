"""Certificates at a real door over real TLS: wrong, run out, revoked, renewed under load; the age of connections."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from interop.test_etsi014_http import aborted, answer, request
from qanat.adapters.connection_rules import ConnectionRules
from qanat.adapters.etsi014_http import etsi014_app
from qanat.adapters.http_server import HttpDoor
from qanat.adapters.living_tls import LivingTls
from qanat.adapters.pki import NodeFiles, PartyFiles, SaeFiles, create_pki
from qanat.adapters.renewal import renew, revoke
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.adapters.tls import client_context
from qanat.adapters.tls_transport import TlsTransport
from qanat.apps.networks import load_network
from qanat.apps.site import sessions_per_day
from qanat.doors.etsi014 import Etsi014Door
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import Epoch, MessageId, NodeId
from qanat.ground.messages import Message
from unit.etsi014_fakes import FakeSupplier

NETWORK = load_network("three-nodes")
ALICE, BOB = NETWORK.sae("alice"), NETWORK.sae("bob")
SUZHOU, KUNSHAN = NodeId("suzhou"), NodeId("kunshan")
STATUS = f"/api/v1/keys/{BOB}/status"


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    days = dict.fromkeys(sessions_per_day(NETWORK), 1.0)
    create_pki(
        tmp_path / "pki", NETWORK, entropy=SystemEntropy(), clock=SystemClock(), sessions_per_day=days, reserve_days=1
    )
    return tmp_path / "pki"


class Site:
    """A door that follows its files, and what it said."""

    def __init__(self, pki: Path, rules: ConnectionRules | None = None) -> None:
        self.pki = pki
        self.refusals: list[str] = []
        self.changes: list[str | None] = []
        self.tls = LivingTls(NodeFiles.of(pki, SUZHOU), on_refused=self.refusals.append, on_change=self.changes.append)
        app = etsi014_app(Etsi014Door(FakeSupplier(), saes={ALICE, BOB}))
        self.door = HttpDoor(app, tls=self.tls, rules=rules)

    async def connect(self, files: PartyFiles | None = None) -> Any:
        context = client_context(files or SaeFiles.of(self.pki, "alice"))
        return await asyncio.open_connection("127.0.0.1", self.door.port, ssl=context)

    async def status(self, streams: Any) -> int:
        return (await answer(streams, request("GET", STATUS)))[0]

    async def changed(self) -> None:
        """Wait until the door has looked at new files."""
        before = len(self.changes)
        await until(lambda: len(self.changes) > before)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.02)


@asynccontextmanager
async def open_site(pki: Path, rules: ConnectionRules | None = None) -> AsyncIterator[Site]:
    site = Site(pki, rules)
    await site.door.start()
    try:
        yield site
    finally:
        await site.door.stop(grace_s=1.0)


def take_back(pki: Path, *names: str) -> None:
    revoke(pki, names, clock=SystemClock(), entropy=SystemEntropy())


def make_anew(pki: Path, *names: str) -> None:
    renew(pki, names, clock=SystemClock(), entropy=SystemEntropy())


async def why_no_answer(site: Site, files: PartyFiles | None = None) -> str:
    """Return what a client hears that is turned away; with TLS 1.3 it may hear it only at its first request."""
    try:
        with aborted(await site.connect(files)) as streams:
            await site.status(streams)
    except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError) as fault:
        return str(fault).lower().replace("_", " ")
    return "answered"


@pytest.mark.slow
def test_a_revoked_certificate_is_cut_off_and_turned_away_while_others_go_on(pki: Path) -> None:
    async def main() -> None:
        async with open_site(pki) as site:
            with aborted(await site.connect()) as alice, aborted(await site.connect(SaeFiles.of(pki, "bob"))) as bob:
                assert await site.status(alice) == 200
                take_back(pki, "alice")
                await site.changed()
                assert site.changes == [None]
                assert await alice[0].read() == b""
                assert (await answer(bob, request("GET", f"/api/v1/keys/{ALICE}/status")))[0] == 200
                assert "certificate revoked" in await why_no_answer(site)
                (refusal,) = site.refusals
                assert re.fullmatch(r"a caller from 127\.0\.0\.1:\d+: certificate verify failed", refusal)

    asyncio.run(main())


@pytest.mark.slow
def test_a_door_that_starts_with_a_list_heeds_it_and_a_renewed_certificate_gets_in(pki: Path) -> None:
    stolen = [path.read_bytes() for path in (SaeFiles.of(pki, "alice").certificate, SaeFiles.of(pki, "alice").key)]
    make_anew(pki, "alice")
    take_back(pki, "alice")  # both the new one and the one before it
    make_anew(pki, "alice")
    thief = PartyFiles(pki / "ca.pem", pki / "thief.pem", pki / "thief.key")
    thief.certificate.write_bytes(stolen[0])
    thief.key.write_bytes(stolen[1])

    async def main() -> None:
        async with open_site(pki) as site:
            with aborted(await site.connect()) as alice:
                assert await site.status(alice) == 200
            assert "certificate revoked" in await why_no_answer(site, thief)

    asyncio.run(main())


@pytest.mark.slow
def test_files_change_under_load_and_no_request_fails(pki: Path) -> None:
    """Four clients ask without pause, on connections that stand and on new ones, while the door's certificate and key
    and the list of revoked ones change three times. Every request is answered, and new connections meet the new one."""

    async def main() -> None:
        async with open_site(pki) as site:
            stop = asyncio.Event()
            seen: set[str] = set()

            async def standing() -> int:
                count = 0
                with aborted(await site.connect()) as streams:
                    while not stop.is_set():
                        assert await site.status(streams) == 200
                        count += 1
                return count

            async def coming_and_going() -> int:
                count = 0
                while not stop.is_set():
                    with aborted(await site.connect()) as streams:
                        seen.add(streams[1].get_extra_info("ssl_object").getpeercert()["serialNumber"])
                        assert await site.status(streams) == 200
                        count += 1
                return count

            clients = [asyncio.create_task(work()) for work in (standing, standing, coming_and_going, coming_and_going)]
            for number in range(2, 5):
                make_anew(pki, "suzhou")
                take_back(pki, "bob")
                await until(lambda number=number: len(seen) >= number)  # type: ignore[misc]
            stop.set()
            counts = await asyncio.gather(*clients)
            assert min(counts) > 2
            assert set(site.changes) == {None}

    asyncio.run(main())


@pytest.mark.slow
def test_files_that_do_not_fit_together_are_told_of_and_the_former_ones_count(pki: Path) -> None:
    async def main() -> None:
        async with open_site(pki) as site:
            files = NodeFiles.of(pki, SUZHOU)
            kept = files.certificate.read_bytes()
            files.certificate.write_bytes(SaeFiles.of(pki, "bob").certificate.read_bytes())
            await site.changed()
            assert site.changes[0] is not None
            assert "do not load or do not fit together" in site.changes[0]
            with aborted(await site.connect()) as alice:
                assert await site.status(alice) == 200
            files.certificate.write_bytes(kept)
            await site.changed()
            assert site.changes[-1] is None

    asyncio.run(main())


@pytest.mark.slow
def test_what_was_revoked_stays_so_when_the_list_is_removed_or_an_older_one_comes_back(pki: Path) -> None:
    take_back(pki, "bob")
    old = (pki / "crl.pem").read_bytes()
    take_back(pki, "alice")
    told: list[str | None] = []
    tls = LivingTls(NodeFiles.of(pki, SUZHOU), on_change=told.append)
    for text in (old, None):
        (pki / "crl.pem").unlink(missing_ok=True)
        if text is not None:
            (pki / "crl.pem").write_bytes(text)
        assert not any(tls.look() for _ in range(3))
    assert len(told) == 2
    assert all("older than the list in use, or gone" in str(why) for why in told)


def test_a_list_of_another_authority_is_refused_at_the_start(pki: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    days = dict.fromkeys(sessions_per_day(NETWORK), 1.0)
    create_pki(other, NETWORK, entropy=SystemEntropy(), clock=SystemClock(), sessions_per_day=days, reserve_days=1)
    take_back(other, "alice")
    (pki / "crl.pem").write_bytes((other / "crl.pem").read_bytes())
    with pytest.raises(ConfigurationError, match="not signed by the authority"):
        LivingTls(NodeFiles.of(pki, SUZHOU))
    (pki / "crl.pem").write_text("nothing", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="no list of revoked"):
        LivingTls(NodeFiles.of(pki, SUZHOU))


def test_a_certificate_that_runs_out_on_a_living_connection_is_refused_and_the_connection_closed(pki: Path) -> None:
    late_s = 0.0
    rules = ConnectionRules(utc_s=lambda: time.time() + late_s)

    async def main() -> None:
        nonlocal late_s
        async with open_site(pki, rules) as site:
            with aborted(await site.connect()) as alice:
                assert await site.status(alice) == 200
                late_s = 400 * 86_400.0
                status, headers, body = await answer(alice, request("GET", STATUS))
                assert (status, headers["connection"]) == (401, "close")
                assert "has expired" in json.loads(body)["message"]
                assert await alice[0].read() == b""

    asyncio.run(main())


def test_a_connection_that_is_too_old_is_closed_after_an_answer_that_says_so(pki: Path) -> None:
    async def main() -> None:
        async with open_site(pki, ConnectionRules(max_age_s=0.2)) as site:
            with aborted(await site.connect()) as alice:
                _, headers, _ = await answer(alice, request("GET", STATUS))
                assert "connection" not in headers
                await asyncio.sleep(0.3)
                status, headers, _ = await answer(alice, request("GET", STATUS))
                assert (status, headers["connection"]) == (200, "close")
                assert await alice[0].read() == b""

    asyncio.run(main())


def test_connections_beyond_an_applications_number_are_answered_by_503_until_others_end(pki: Path) -> None:
    async def main() -> None:
        async with open_site(pki, ConnectionRules(max_per_peer=2)) as site:
            with aborted(await site.connect()) as one, aborted(await site.connect()) as two:
                with aborted(await site.connect()) as three:
                    status, headers, _ = await answer(three, request("GET", STATUS))
                    assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
                with aborted(await site.connect(SaeFiles.of(pki, "bob"))) as bob:
                    assert (await answer(bob, request("GET", f"/api/v1/keys/{ALICE}/status")))[0] == 200
                assert [await site.status(each) for each in (one, two)] == [200, 200]
            async with asyncio.timeout(10):
                while True:
                    with aborted(await site.connect()) as again:
                        if await site.status(again) == 200:
                            return

    asyncio.run(main())


def test_names_that_are_nobodys_or_two_parties_are_refused(pki: Path) -> None:
    with pytest.raises(ConfigurationError, match="no certificate of 'dora'"):
        take_back(pki, "dora")
    (pki / "nodes" / "alice.pem").write_bytes((pki / "nodes" / "suzhou.pem").read_bytes())
    with pytest.raises(ConfigurationError, match="nodes/alice or saes/alice"):
        take_back(pki, "alice")
    take_back(pki, "saes/alice")


def test_without_the_authoritys_key_nothing_is_signed(pki: Path) -> None:
    (pki / "authority" / "ca.key").unlink()
    for act in (take_back, make_anew):
        with pytest.raises(ConfigurationError, match="authority's key is not at"):
            act(pki, "alice")
    assert not (pki / "crl.pem").exists()


def test_the_list_is_what_openssl_and_rfc_5280_ask(pki: Path) -> None:
    """OpenSSL itself, as another reader of the same file, verifies the list and refuses the certificate by it."""
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl is not here")
    take_back(pki, "alice")
    check = ["openssl", "verify", "-crl_check", "-CAfile", "ca.pem", "-CRLfile", "crl.pem"]
    found = subprocess.run([*check, "saes/alice.pem"], cwd=pki, capture_output=True, text=True, check=False)
    assert "certificate revoked" in found.stdout + found.stderr
    assert subprocess.run([*check, "saes/bob.pem"], cwd=pki, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_a_node_whose_certificate_is_revoked_loses_its_line_to_the_others(pki: Path) -> None:
    async def main() -> None:
        addresses: dict[NodeId, tuple[str, int]] = {}
        transports = {
            node: TlsTransport(node, network=NETWORK.name, tls=NodeFiles.of(pki, node), addresses=addresses.get)
            for node in (SUZHOU, KUNSHAN)
        }
        for node, transport in transports.items():
            await transport.start()
            addresses[node] = ("127.0.0.1", transport.port)
        try:
            inbox = transports[SUZHOU].inbox()
            await transports[KUNSHAN].send(SUZHOU, a_message())
            async with asyncio.timeout(10):
                assert (await anext(inbox))[0] == KUNSHAN
            take_back(pki, "kunshan")
            await until(lambda: not transports[KUNSHAN].is_reachable(SUZHOU))
            await transports[KUNSHAN].send(SUZHOU, a_message())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.5):
                    await anext(inbox)
        finally:
            for transport in transports.values():
                await transport.close()

    asyncio.run(main())


def a_message() -> Message:
    return Message(MessageId("m"), "test", Epoch(1))

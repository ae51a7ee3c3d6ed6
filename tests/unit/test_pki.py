"""The PKI: who may serve and who may ask, seen with OpenSSL's eyes, and initial keys that serve once."""

from __future__ import annotations

import asyncio
import datetime
import os
import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest
from cryptography import x509

from qanat.adapters.initial_keys import (
    MAX_INITIAL_KEY_BITS,
    consume_initial_key,
    initial_key_path,
    read_initial_key,
    take_initial_key,
)
from qanat.adapters.machine_faults import MachineFault
from qanat.adapters.pki import MadeParts, NodeFiles, PartyFiles, SaeFiles, TwinFiles, create_pki
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.adapters.tls import own_identity
from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import CONTROLLER, STANDBY, LinkId, NodeId
from qanat.ground.keys import PRE_SHARED, KeyBlock, PoolId, split_block
from qanat.ground.network import Network

A, RELAY, B = NodeId("a"), NodeId("relay.1"), NodeId("b")
FIRST, SECOND = LinkId("a-relay"), LinkId("relay-b")
SESSIONS = {FIRST: 12.5, SECOND: 3.0, LinkId("relay-c"): 7.0}
NETWORK = Network.model_validate(
    {
        "format": "qanat-network/1",
        "name": "test",
        "sites": [
            {"name": name, "kind": kind, "latitude_deg": 31, "longitude_deg": place}
            for place, (name, kind) in enumerate(((A, "user"), (RELAY, "relay"), (B, "user")))
        ],
        "links": [
            {"name": name, "transmitter": one, "receiver": other, "system": "s", "loss_db": 10, "length_km": 40}
            for name, one, other in ((FIRST, A, RELAY), (SECOND, RELAY, B))
        ],
        "applications": [{"name": "alice", "site": A}, {"name": "bob", "site": B}],
    }
)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki") / "made" / "here"
    make(folder)
    return folder


def make(folder: Path, *, days: float = 10.0, network: Network = NETWORK) -> MadeParts:
    return create_pki(
        folder,
        network,
        entropy=SystemEntropy(),
        clock=SystemClock(),
        sessions_per_day=SESSIONS,
        reserve_days=days,
    )


def context(files: PartyFiles, *, is_server: bool) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_verify_locations(files.ca)
    made.load_cert_chain(files.certificate, files.key)
    return made


def shake_hands(server: PartyFiles, client: PartyFiles, *, host: str = "localhost") -> str:
    """Do a mutual TLS handshake over a pair of sockets; return the client's URI as the server sees it."""
    server_end, client_end = socket.socketpair()
    faults: list[ssl.SSLError] = []

    def ask() -> None:
        try:
            with context(client, is_server=False).wrap_socket(client_end, server_hostname=host) as line:
                line.recv(1)
        except ssl.SSLError as fault:
            faults.append(fault)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        with context(server, is_server=True).wrap_socket(server_end, server_side=True) as line:
            peer = line.getpeercert()
            line.send(b"x")
    finally:
        server_end.close()
        asking.join()
        client_end.close()
    assert faults == []
    assert peer is not None
    (uri,) = [value for kind, value in peer["subjectAltName"] if kind == "URI"]  # type: ignore[misc]
    return str(uri)


def test_a_node_serves_an_application_and_knows_it(pki: Path) -> None:
    assert shake_hands(NodeFiles.of(pki, A), SaeFiles.of(pki, "alice")) == "urn:qanat:test:sae:alice"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_nodes_and_the_controller_are_server_and_client(pki: Path, host: str) -> None:
    controller, node = NodeFiles.of(pki, CONTROLLER), NodeFiles.of(pki, RELAY)
    assert shake_hands(controller, node, host=host) == "urn:qanat:test:kme:relay.1"
    assert shake_hands(node, controller, host=host) == "urn:qanat:test:kme:controller"


def test_an_application_cannot_serve(pki: Path) -> None:
    with pytest.raises(ssl.SSLError):
        shake_hands(SaeFiles.of(pki, "alice"), SaeFiles.of(pki, "bob"))


def test_a_stranger_with_the_same_names_is_refused(pki: Path, tmp_path: Path) -> None:
    make(tmp_path / "strangers")
    with pytest.raises(ssl.SSLError):
        shake_hands(NodeFiles.of(pki, A), SaeFiles.of(tmp_path / "strangers", "alice"))


def test_certificates_say_what_they_are_for(pki: Path) -> None:
    now = datetime.datetime.now(tz=datetime.UTC)
    for files, days in ((NodeFiles.of(pki, A), 397), (SaeFiles.of(pki, "bob"), 397)):
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(files.ca.read_bytes()))
        assert certificate.not_valid_before_utc < now
        assert abs((certificate.not_valid_after_utc - now).days - days) <= 1
        assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_secrets_are_for_their_owner_alone(pki: Path) -> None:
    files = [path for path in pki.rglob("*") if path.is_file()]
    secrets = [path for path in files if path.suffix in (".key", ".auth")]
    assert len(secrets) == 1 + 4 + 2 + 2
    for path in secrets:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for path in (pki, *(item for item in pki.iterdir() if item.is_dir())):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    assert not any(b"PRIVATE" in path.read_bytes() for path in files if path.suffix == ".pem")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_overwritten_or_made_twice(pki: Path, tmp_path: Path) -> None:
    before = contents(pki)
    assert make(pki) == MadeParts((), (), ())
    assert before == contents(pki)
    (tmp_path / "empty").mkdir()
    made = make(tmp_path / "empty")
    assert made == MadeParts((A, RELAY, B, CONTROLLER), ("alice", "bob"), (FIRST, SECOND))
    assert NodeFiles.of(tmp_path / "empty", A).key.exists()
    assert [item.name for item in tmp_path.iterdir()] == ["empty"], "no scratch folder is left"


C, THIRD = NodeId("c"), LinkId("relay-c")


def grown() -> Network:
    """The network with one more site, link and application."""
    site = {"name": C, "kind": "user", "latitude_deg": 31, "longitude_deg": 3}
    link = {"name": THIRD, "transmitter": RELAY, "receiver": C, "system": "s", "loss_db": 10, "length_km": 200}
    plain = NETWORK.model_dump()
    return Network.model_validate(
        {
            **plain,
            "sites": [*plain["sites"], site],
            "links": [*plain["links"], link],
            "applications": [*plain["applications"], {"name": "carol", "site": C}],
        }
    )


def test_a_network_that_has_grown_gets_what_it_lacks_and_keeps_what_it_has(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    make(folder)
    consume_initial_key(initial_key_path(folder, FIRST))  # taken in: its pads must not come back
    before = contents(folder)
    assert make(folder, network=grown()) == MadeParts((C,), ("carol",), (THIRD,))
    after = contents(folder)
    assert {path: after[path] for path in before} == before
    assert not initial_key_path(folder, FIRST).exists()
    assert read_initial_key(initial_key_path(folder, THIRD), C).num_bits == 70 * SESSION_PAD_BITS
    assert shake_hands(NodeFiles.of(folder, A), SaeFiles.of(folder, "carol")) == "urn:qanat:test:sae:carol"
    assert shake_hands(NodeFiles.of(folder, C), NodeFiles.of(folder, RELAY)) == "urn:qanat:test:kme:relay.1"


def test_what_an_interruption_left_half_made_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    make(folder)
    alice = SaeFiles.of(folder, "alice")
    alice.certificate.unlink()
    path = initial_key_path(folder, FIRST)
    path.with_name(f"{FIRST}.made").unlink()
    path.write_bytes(path.read_bytes()[:100])
    assert make(folder) == MadeParts((), ("alice",), (FIRST,))
    assert shake_hands(NodeFiles.of(folder, A), SaeFiles.of(folder, "alice")) == "urn:qanat:test:sae:alice"
    assert read_initial_key(path, A).num_bits == 125 * SESSION_PAD_BITS


def test_the_authoritys_key_is_needed_only_for_what_is_new(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    make(folder)
    key = folder / "authority" / "ca.key"
    kept = key.rename(tmp_path / "in a safe")
    assert make(folder) == MadeParts((), (), ())
    with pytest.raises(ConfigurationError, match=r"authority's key is not at .*ca.key \(put it there"):
        make(folder, network=grown())
    make(tmp_path / "other")
    (tmp_path / "other" / "authority" / "ca.key").rename(key)
    with pytest.raises(ConfigurationError, match="is not the key of"):
        make(folder, network=grown())
    kept.rename(key)
    assert make(folder, network=grown()).nodes == (C,)


def test_the_pki_of_another_network_is_not_added_to(tmp_path: Path) -> None:
    make(tmp_path / "pki")
    with pytest.raises(ConfigurationError, match="of another network than 'other'"):
        make(tmp_path / "pki", network=grown().model_copy(update={"name": "other"}))


def test_a_place_that_cannot_be_is_named_as_the_caller_named_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigurationError, match=r"file is a file, and a folder is needed"):
        make(tmp_path / "file")
    with pytest.raises(ConfigurationError, match=f"^{tmp_path} is not empty and has no PKI"):
        make(tmp_path)
    with pytest.raises(MachineFault, match=r"^/proc/nowhere: "):
        make(Path("/proc/nowhere"))
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_a_missing_file_is_named(pki: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nodes/nowhere\.pem is not there"):
        NodeFiles.of(pki, NodeId("nowhere"))


def test_a_site_must_not_be_called_controller(tmp_path: Path) -> None:
    sites = [site.model_copy(update={"name": "controller"}) if site.name == A else site for site in NETWORK.sites]
    network = Network.model_validate({**NETWORK.model_dump(), "sites": sites})
    with pytest.raises(ConfigurationError, match="controller"):
        create_pki(tmp_path / "pki", network, entropy=SystemEntropy(), clock=SystemClock(), sessions_per_day=SESSIONS)


# ---- initial keys ----


@pytest.mark.parametrize(("link", "num_sessions"), [(FIRST, 125), (SECOND, 30)])
def test_both_ends_read_the_same_reserve(pki: Path, link: LinkId, num_sessions: int) -> None:
    path = initial_key_path(pki, link)
    near, far = (read_initial_key(path, end) for end in NETWORK.link(link).ends)
    assert near.num_bits == num_sessions * SESSION_PAD_BITS
    assert near.bits == far.bits
    assert (near.block_id, near.local, near.peer) == (far.block_id, far.peer, far.local)
    assert near.protocol == PRE_SHARED
    assert split_block(near) == split_block(far) == {PoolId(link, None): (0, near.num_bits)}
    assert (near.eps_sec, near.eps_cor) == (0.0, 0.0)


def test_links_do_not_share_keys(pki: Path) -> None:
    one, other = (read_initial_key(initial_key_path(pki, link), RELAY) for link in (FIRST, SECOND))
    assert one.block_id != other.block_id
    assert one.bits.reveal()[:64] != other.bits.reveal()[:64]


def test_a_consumed_key_is_overwritten_and_gone(tmp_path: Path) -> None:
    make(tmp_path / "pki")
    path = initial_key_path(tmp_path / "pki", FIRST)
    second_name = tmp_path / "the same bytes on the disk"
    os.link(path, second_name)
    consume_initial_key(path)
    assert not path.exists()
    assert set(second_name.read_bytes()) == {0}
    consume_initial_key(path)
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_initial_key(path, A)


def test_wrong_files_are_refused(pki: Path, tmp_path: Path) -> None:
    path = initial_key_path(pki, FIRST)
    with pytest.raises(ConfigurationError, match="neither end"):
        read_initial_key(path, B)
    data = path.read_bytes()
    for name, content in (
        ("cut", data[:-1]),
        ("text", b"hello"),
        ("empty", b""),
        ("kind", data[:5] + b"\1" + data[6:]),
    ):
        wrong = tmp_path / name
        wrong.write_bytes(content)
        wrong.chmod(0o600)
        with pytest.raises(ConfigurationError, match="no initial key") as told:
            read_initial_key(wrong, A)
        assert str(told.value).endswith("(make one with `qanat pki`)"), "and nothing about versions of a protocol"
        assert str(told.value).count("(") == 1
    wrong.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_initial_key(wrong, A)


def test_a_reserve_too_large_for_a_file_is_refused(tmp_path: Path) -> None:
    days = MAX_INITIAL_KEY_BITS / SESSION_PAD_BITS / SESSIONS[FIRST] + 1
    with pytest.raises(ConfigurationError, match="fewer days"):
        make(tmp_path / "pki", days=days)
    assert list(tmp_path.iterdir()) == [], "nothing half made is left"


def test_a_twin_of_a_link_gets_a_certificate_when_it_is_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "pki"

    def again() -> MadeParts:
        clock, entropy = SystemClock(), SystemEntropy()
        return create_pki(folder, NETWORK, entropy=entropy, clock=clock, sessions_per_day=SESSIONS, for_twins=True)

    assert make(folder).twins == ()
    assert again() == MadeParts((STANDBY,), (), (), (FIRST, SECOND))
    assert again() == MadeParts((), (), ())
    files = TwinFiles.of(folder, FIRST)
    assert own_identity(files.certificate) == f"urn:qanat:test:twin:{FIRST}"
    assert shake_hands(files, NodeFiles.of(folder, A)) == "urn:qanat:test:kme:" + A


class _Store:
    """What taking an initial key asks of a store."""

    def __init__(self) -> None:
        self.added: list[str] = []
        self.confirmed: list[str] = []

    async def add_block(self, block: KeyBlock, /) -> None:
        self.added.append(block.block_id)

    async def confirm(self, block_id: str, /) -> None:
        self.confirmed.append(block_id)


def taken(folder: Path, node: NodeId, store: _Store) -> None:
    asyncio.run(take_initial_key(folder, NETWORK.link(FIRST), node, store))  # type: ignore[arg-type]


def test_an_initial_key_is_destroyed_when_all_who_read_this_copy_have_it(tmp_path: Path) -> None:
    folder, store, other = tmp_path / "pki", _Store(), _Store()
    make(folder)
    path = initial_key_path(folder, FIRST)
    one, two = NETWORK.link(FIRST).ends
    taken(folder, one, store)
    assert path.exists(), "the other end reads the same copy"
    taken(folder, one, _Store())
    assert len(store.added) == 1
    taken(folder, two, other)
    assert not path.exists()
    assert store.added == store.confirmed == other.added


def test_a_copy_on_a_host_of_its_own_is_destroyed_at_once_and_never_taken_twice(tmp_path: Path) -> None:
    folder, store = tmp_path / "pki", _Store()
    make(folder)
    one, two = NETWORK.link(FIRST).ends
    path = initial_key_path(folder, FIRST)
    data = path.read_bytes()
    (folder / "nodes" / f"{two}.key").unlink()
    taken(folder, one, store)
    assert not path.exists()
    path.write_bytes(data)
    path.chmod(0o600)
    taken(folder, one, fresh := _Store())
    assert fresh.added == [], "not even into a store that is new: its pads were spent"
    assert not path.exists()

"""``etsi-qkd-014-client`` from PyPI, written by others, against two doors over real mutual TLS."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator

import pytest
import requests
from etsi_qkd_014_client.client import QKD014Client
from etsi_qkd_014_client.data import DataError, DataKeyContainer, DataStatus

from interop.doors_at_work import Doors, doors_open, make_credentials
from qanat.adapters.tls import TlsFiles
from qanat.ground.errors import KeyShortage
from unit.etsi014_fakes import ALICE, BOB, CAROL, KME_A


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    with doors_open(make_credentials(tmp_path_factory.mktemp("pki"))) as world:
        yield world


def client(port: int, files: TlsFiles, *, host: str = "127.0.0.1") -> QKD014Client:
    return QKD014Client(f"{host}:{port}", str(files.certificate), str(files.key), str(files.ca))


def test_status_a_key_and_the_same_key_by_id_from_two_doors(doors: Doors) -> None:
    alice = client(doors.ports[0], doors.credentials.alice, host="localhost")
    bob = client(doors.ports[1], doors.credentials.bob)
    code, status = alice.get_status(BOB)
    assert code == 200
    assert isinstance(status, DataStatus)
    assert (status.source_kme_id, status.master_sae_id, status.slave_sae_id) == (KME_A, ALICE, BOB)
    code, given = alice.get_key(BOB)
    assert code == 200
    assert isinstance(given, DataKeyContainer)
    code, fetched = bob.get_key_with_key_IDs(ALICE, [given.keys[0].key_id])
    assert code == 200
    assert fetched.keys[0].key == given.keys[0].key
    assert len(b64decode(given.keys[0].key)) == status.key_size // 8
    code, error = bob.get_key_with_key_IDs(ALICE, [given.keys[0].key_id])
    assert code == 400
    assert isinstance(error, DataError)
    assert error.message == "one or more keys specified are not found on KME"


def test_several_keys_with_its_extensions_on_the_list_of_ids(doors: Doors) -> None:
    alice, bob = client(doors.ports[0], doors.credentials.alice), client(doors.ports[1], doors.credentials.bob)
    code, given = alice.get_key(BOB, number=5, size=128, extension_optional=[{"abc_speed": "high"}])
    assert code == 200
    key_ids = [key.key_id for key in given.keys]
    code, fetched = bob.get_key_with_key_IDs(ALICE, key_ids, [{"x": 1}] * 5, {"y": 2})
    assert code == 200
    assert [key.key for key in fetched.keys] == [key.key for key in given.keys]


def test_one_key_for_two_slaves_by_its_own_field(doors: Doors) -> None:
    alice, bob = client(doors.ports[0], doors.credentials.alice), client(doors.ports[1], doors.credentials.bob)
    carol = client(doors.ports[0], doors.credentials.carol)
    code, given = alice.get_key(BOB, additional_slave_sae_ids=[CAROL])
    assert code == 200
    for slave in (bob, carol):
        code, fetched = slave.get_key_with_key_IDs(ALICE, [given.keys[0].key_id])
        assert (code, fetched.keys[0].key) == (200, given.keys[0].key)
        assert slave.get_key_with_key_IDs(ALICE, [given.keys[0].key_id])[0] in (400, 401)


def test_its_wrong_requests_get_errors_that_it_can_read(doors: Doors) -> None:
    alice = client(doors.ports[0], doors.credentials.alice)
    code, error = alice.get_key(BOB, size=129)
    assert (code, error.message) == (400, "size shall be a multiple of 8")
    code, error = alice.get_key(BOB, extension_mandatory=[{"abc_route": "direct"}])
    assert (code, error.message) == (400, "not all extension_mandatory parameters are supported")
    code, error = alice.get_key(BOB, additional_slave_sae_ids=[CAROL] * 16)
    assert (code, "additional_slave_SAE_IDs" in error.message) == (400, True)
    code, error = alice.get_key("urn:qanat:test:sae:nobody")
    assert (code, "nobody" in error.message) == (400, True)


def test_it_can_read_a_refusal_and_a_shortage(doors: Doors) -> None:
    alice, carol = (client(doors.ports[0], files) for files in (doors.credentials.alice, doors.credentials.carol))
    _, given = alice.get_key(BOB)
    code, error = carol.get_key_with_key_IDs(ALICE, [given.keys[0].key_id])
    assert (code, "not for" in error.message) == (401, True)
    doors.supplier.fault = KeyShortage("too few keys")
    try:
        code, error = alice.get_key(BOB)
    finally:
        doors.supplier.fault = None
    assert (code, error.message) == (503, "too few keys")


@pytest.mark.parametrize("who", ["node_a", "node_b", "nameless", "two_names", "bob"])
def test_certificates_of_ours_that_are_no_application_of_the_site_get_401(doors: Doors, who: str) -> None:
    code, error = client(doors.ports[0], getattr(doors.credentials, who)).get_key(BOB)
    assert code == 401
    assert error.message


@pytest.mark.parametrize(("who", "alert"), [("stranger", "unknown ca"), ("expired", "certificate expired")])
def test_certificates_of_others_and_of_the_past_end_at_the_handshake(doors: Doors, who: str, alert: str) -> None:
    served = len(doors.supplier.calls)
    with pytest.raises(requests.exceptions.ConnectionError) as told:
        client(doors.ports[0], getattr(doors.credentials, who)).get_key(BOB)
    assert alert in str(told.value).lower().replace("_", " "), "the client hears why"
    assert doors.refusals[-1].endswith(": certificate verify failed"), "and so does the operator"
    assert len(doors.supplier.calls) == served


def test_no_certificate_ends_at_the_handshake(doors: Doors) -> None:
    url = f"https://127.0.0.1:{doors.ports[0]}/api/v1/keys/{BOB}/status"
    with pytest.raises(requests.exceptions.ConnectionError) as told:
        requests.get(url, verify=str(doors.credentials.alice.ca), timeout=5)
    assert "certificate required" in str(told.value).lower().replace("_", " ")
    assert doors.refusals[-1].endswith(": peer did not return a certificate")


def test_a_server_of_another_authority_is_refused_by_the_client(doors: Doors) -> None:
    files = doors.credentials.alice
    other = doors.credentials.alice.ca.with_name("other-ca.pem")
    with pytest.raises(requests.exceptions.SSLError, match="certificate verify failed"):
        client(doors.ports[0], TlsFiles(files.certificate, files.key, other)).get_status(BOB)

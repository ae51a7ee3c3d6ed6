"""Errors say whose fault it is and what to do."""

from __future__ import annotations

import inspect

import pytest

from qanat.ground import errors
from qanat.ground.errors import (
    ConfigurationError,
    KeyManagementError,
    KeyShortage,
    NetworkFileError,
    PeerProtocolError,
    QanatError,
    QuantumLayerError,
    RequestError,
)
from qanat.ground.identifiers import canonical_key_id, is_name, kme_id, sae_id, uuid4_from

FAULTS = (ConfigurationError, RequestError, PeerProtocolError, QuantumLayerError, KeyManagementError)
TREE = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, QanatError)]


@pytest.mark.parametrize("kind", TREE)
def test_each_error_is_exactly_one_partys_fault(kind: type[QanatError]) -> None:
    if kind is not QanatError:
        assert sum(issubclass(kind, fault) for fault in FAULTS) == 1
    assert not issubclass(kind, ValueError), "ValueError is for slips of a programmer"


@pytest.mark.parametrize("kind", [kind for kind in TREE if kind is not NetworkFileError])
def test_message_and_remedy_are_kept_and_printed(kind: type[QanatError]) -> None:
    error = kind("the pool is empty", remedy="wait")
    assert (error.message, error.remedy, str(error)) == ("the pool is empty", "wait", "the pool is empty (wait)")
    assert str(kind("the pool is empty")) == "the pool is empty"


def test_a_shortage_hints_when_to_come_again() -> None:
    assert KeyShortage("empty").retry_after_s == 2.0
    assert KeyShortage("empty", retry_after_s=7.5).retry_after_s == 7.5


@pytest.mark.parametrize(("line", "where"), [(12, "net.yaml:12: bad"), (None, "net.yaml: bad")])
def test_a_network_files_error_names_the_line(line: int | None, where: str) -> None:
    error = NetworkFileError("bad", source="net.yaml", line=line, remedy="mend it")
    assert str(error) == f"{where} (mend it)"
    assert (error.source, error.line) == ("net.yaml", line)


@pytest.mark.parametrize("name", ["a", "a1", "suzhou-kunshan", "x.y_z-0", "0"])
def test_names_of_the_network(name: str) -> None:
    assert is_name(name)
    assert sae_id(network="net", name=name) == f"urn:qanat:net:sae:{name}"
    assert kme_id(network="net", name=name) == f"urn:qanat:net:kme:{name}"


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a-", ".a", "a/b", "ä", "a\n", "a:b", "a" * 50])
def test_what_is_no_name_makes_no_id(name: str) -> None:
    with pytest.raises(errors.BadParameter) as refusal:
        sae_id(network="net", name=name)
    assert refusal.value.remedy


@pytest.mark.parametrize("text", ["6f1e4b1c-2222-4333-8444-555566667777", "6F1E4B1C-2222-4333-8444-555566667777"])
def test_key_ids_have_one_spelling(text: str) -> None:
    assert canonical_key_id(text) == "6f1e4b1c-2222-4333-8444-555566667777"


@pytest.mark.parametrize(
    "text", ["", "x", "6f1e4b1c-2222-4333-8444-55556666777", "6f1e4b1c-2222-4333-8444-55556666777g"]
)
def test_what_is_no_uuid_is_no_key_id(text: str) -> None:
    with pytest.raises(errors.BadParameter):
        canonical_key_id(text)


def test_uuid4_has_its_version_and_variant() -> None:
    """RFC 9562, section 5.4: version 4 in the seventh byte, variant 10 in the ninth."""
    assert uuid4_from(bytes(16)) == "00000000-0000-4000-8000-000000000000"
    assert uuid4_from(b"\xff" * 16) == "ffffffff-ffff-4fff-bfff-ffffffffffff"

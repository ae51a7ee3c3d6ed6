"""Ids of the keys of a batch: the same at both ends, UUIDs of version 4, spelled as the standard library does."""

from __future__ import annotations

import hashlib
import uuid

import pytest

from qanat.ground.errors import BadParameter
from qanat.ground.identifiers import canonical_key_id, uuid4_from
from qanat.key_management.key_ids import key_ids


@pytest.mark.parametrize("num_keys", [0, 1, 2, 300])
def test_ids_are_the_stream_of_shake_128_cut_into_uuids(num_keys: int) -> None:
    stream = hashlib.shake_128(b"qanat key ids some batch").digest(16 * num_keys)
    expected = [str(uuid.UUID(bytes=stream[at : at + 16], version=4)) for at in range(0, len(stream), 16)]
    assert list(key_ids("some batch", num_keys)) == expected


def test_different_batches_have_different_ids() -> None:
    assert set(key_ids("one", 50)).isdisjoint(key_ids("other", 50))
    assert len(set(key_ids("one", 50))) == 50


@pytest.mark.parametrize("fill", [b"\0" * 16, b"\xff" * 16, bytes(range(16))])
def test_a_uuid4_is_the_librarys(fill: bytes) -> None:
    assert uuid4_from(fill) == str(uuid.UUID(bytes=fill, version=4))


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_uuid_has_16_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        uuid4_from(bytes(size))


@pytest.mark.parametrize("spelled", ["{%s}", "urn:uuid:%s", "%s"])
def test_other_spellings_of_an_id_are_made_the_canonical_one(spelled: str) -> None:
    (key_id,) = key_ids("one", 1)
    assert canonical_key_id(spelled % key_id.upper()) == key_id
    with pytest.raises(BadParameter):
        canonical_key_id(key_id + "\n")

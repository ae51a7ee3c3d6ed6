"""Ids of the keys of a batch: the same at both ends, UUIDs of version 4, spelled as the standard library does."""

from __future__ import annotations

import hashlib
import uuid

import pytest

from qanat.ground.errors import BadParameter
from qanat.ground.identifiers import canonical_key_id, uuid4_from
from qanat.ground.key_ids import KeyIds


@pytest.mark.parametrize("num_keys", [0, 1, 2, 300])
def test_ids_are_the_stream_of_shake_128_cut_into_uuids(num_keys: int) -> None:
    stream = hashlib.shake_128(b"qanat key ids some batch").digest(8 + 8 * num_keys)
    expected = [str(uuid.UUID(bytes=stream[:8] + stream[at : at + 8], version=4)) for at in range(8, len(stream), 8)]
    assert list(KeyIds("some batch", num_keys).spelled()) == expected


def test_different_batches_have_different_ids() -> None:
    one, other = KeyIds("one", 50), KeyIds("other", 50)
    assert one.beginning != other.beginning
    assert set(one.spelled()).isdisjoint(other.spelled())
    assert len(set(one.spelled())) == 50


def test_an_id_leads_to_its_place_and_no_other_id_does() -> None:
    ids, other = KeyIds("one", 300), KeyIds("other", 300)
    raws = [uuid.UUID(key_id).bytes for key_id in ids.spelled()]
    assert [ids.place_of(raw) for raw in raws] == list(range(300))
    assert [ids.raw(place) for place in range(300)] == raws
    assert other.place_of(raws[0]) is None
    assert ids.place_of(ids.beginning + other.raw(0)[8:]) is None
    assert KeyIds("one", 3).place_of(raws[3]) is None


def test_what_lies_across_two_ids_is_no_id() -> None:
    ids = KeyIds("one", 2)
    across = (ids.raw(0)[8:] + ids.raw(1)[8:])[3:11]
    assert ids.place_of(ids.beginning + across) is None


@pytest.mark.parametrize("fill", [b"\0" * 16, b"\xff" * 16, bytes(range(16))])
def test_a_uuid4_is_the_librarys(fill: bytes) -> None:
    assert uuid4_from(fill) == str(uuid.UUID(bytes=fill, version=4))


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_uuid_has_16_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        uuid4_from(bytes(size))


@pytest.mark.parametrize("spelled", ["{%s}", "urn:uuid:%s", "%s"])
def test_other_spellings_of_an_id_are_made_the_canonical_one(spelled: str) -> None:
    (key_id,) = KeyIds("one", 1).spelled()
    assert canonical_key_id(spelled % key_id.upper()) == key_id
    with pytest.raises(BadParameter):
        canonical_key_id(key_id + "\n")

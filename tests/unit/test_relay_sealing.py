"""What a relay hop takes from its spent bits: first the message key, then the pad, and no bit serves both.

The authority is RFC 8439, section 2.5 (Poly1305 in integers) and xor, spelled here without the code under test.
"""

from __future__ import annotations

import pytest

from qanat.ground.identifiers import BlockId, LinkId, NodeId, RequestId, SaeId
from qanat.ground.keys import BitRange, BlockSlice, PoolId, SecretBytes, SpentBits
from qanat.key_management.sealing import seal, unseal
from qanat.key_management.wire import Relay

KEY_BYTES = 32
"""Poly1305's one-time key: 16 bytes of r, 16 bytes of s."""
KEYS = bytes(range(64, 128))
SPENT = bytes((7 * place + 3) % 256 for place in range(KEY_BYTES + len(KEYS)))
WORD = Relay(
    relay_id="r",
    route=(NodeId("a"), NodeId("b")),
    hop=1,
    link_id=LinkId("a-b"),
    pad_range=BitRange(()),
    master=SaeId("alice"),
    slave=SaeId("bob"),
    ids_from="i",
    num_keys=2,
    size_bits=256,
    origin="twin",
    created_utc_s=12.5,
    request_id=RequestId("q"),
    tag="",
)
HEADER = (
    b'{"created_utc_s":12.5,"hop":1,"ids_from":"i","kind":"relay","link_id":"a-b","master":"alice",'
    b'"num_keys":2,"origin":"twin","pad_range":[["block",8,776]],"relay_id":"r","request_id":"q","route":["a","b"],'
    b'"share":1,"shares":1,"size_bits":256,"slave":"bob"}'
)
"""All fields but the tag, in RFC 8785's spelling."""


def poly1305(key: bytes, message: bytes) -> bytes:
    """Return the tag of RFC 8439, section 2.5.1, in integers."""
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for start in range(0, len(message), 16):
        total = (total + int.from_bytes(message[start : start + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def bits(data: bytes = SPENT) -> SpentBits:
    spent = BitRange((BlockSlice(BlockId("block"), 8, 8 + 8 * len(data)),))
    return SpentBits(PoolId(LinkId("a-b"), NodeId("a")), spent, SecretBytes(data))


def sealed(data: bytes = SPENT) -> tuple[bytes, bytes]:
    """Return the tag and the body of WORD under these bits."""
    word, body = seal(WORD, SecretBytes(KEYS), bits(data))
    return bytes.fromhex(word.tag), body


def test_the_poly1305_here_is_the_rfcs() -> None:
    key = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
    assert poly1305(key, b"Cryptographic Forum Research Group").hex() == "a8061dc1305136c6c22b8baf0c0127a9"


def test_the_body_is_the_keys_under_the_bits_after_the_message_key() -> None:
    _, body = sealed()
    assert body == bytes(key ^ pad for key, pad in zip(KEYS, SPENT[KEY_BYTES:], strict=True))


def test_the_tag_is_poly1305_of_all_fields_and_the_body_under_the_first_bits() -> None:
    tag, body = sealed()
    assert tag == poly1305(SPENT[:KEY_BYTES], HEADER + body)


@pytest.mark.parametrize("place", range(len(SPENT)))
def test_no_byte_serves_both_as_message_key_and_as_pad(place: int) -> None:
    """A byte of the message key does not show in the body; a byte of the pad shows there, once, at its own place."""
    altered = bytearray(SPENT)
    altered[place] ^= 0x0C
    _, body = sealed()
    tag, changed = sealed(bytes(altered))
    places = [at for at in range(len(KEYS)) if body[at] != changed[at]]
    assert places == ([] if place < KEY_BYTES else [place - KEY_BYTES])
    assert tag == poly1305(bytes(altered[:KEY_BYTES]), HEADER + changed)


def test_unsealing_takes_the_same_bits_for_the_same_ends() -> None:
    word, _ = seal(WORD, SecretBytes(KEYS), bits())
    body = bytes(key ^ pad for key, pad in zip(KEYS, SPENT[KEY_BYTES:], strict=True))
    assert unseal(word, body, bits()) == SecretBytes(KEYS)

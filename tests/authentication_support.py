"""Authentication a second time, by plain integers, and a reader of the tags in a recorded conversation.

Nothing here uses the code that it is held against: Poly1305 as its definition says, GHASH as NIST SP 800-38D says.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass

from distillation_support import Talk
from qanat.ground.authentication import PadAccount
from qanat.ground.errors import AuthenticationFailed
from qanat.ground.framing import decode_frame
from qanat.postprocessing.wire import UNAUTHENTICATED, Kind

PRIME = 2**130 - 5
GALOIS_MODULUS = 0xE1 << 120
"""x^128 + x^7 + x^2 + x + 1 as SP 800-38D, 6.3, writes it: the leftmost bit is the constant term."""


def plain_poly1305(key: bytes, message: bytes) -> bytes:
    """Poly1305 as its definition says: a polynomial over GF(2^130 - 5) at the clamped r, plus s modulo 2^128."""
    point = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    value = 0
    for start in range(0, len(message), 16):
        block = message[start : start + 16]
        value = (value + int.from_bytes(block + b"\x01", "little")) * point % PRIME
    return ((value + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def galois_product(one: int, other: int) -> int:
    """Multiply in GF(2^128): SP 800-38D, algorithm 1."""
    product = 0
    for place in range(127, -1, -1):
        if one >> place & 1:
            product ^= other
        other = other >> 1 ^ (GALOIS_MODULUS if other & 1 else 0)
    return product


def ghash(point: bytes, text: bytes, hidden: bytes = b"") -> bytes:
    """GHASH of additional text and hidden text as GCM forms it: each filled up to blocks, then both lengths in bits."""
    at, value = int.from_bytes(point, "big"), 0
    padded = b"".join(part + bytes(-len(part) % 16) for part in (text, hidden))
    lengths = b"".join((8 * len(part)).to_bytes(8, "big") for part in (text, hidden))
    for start in range(0, len(padded) + 16, 16):
        block = (padded + lengths)[start : start + 16]
        value = galois_product(value ^ int.from_bytes(block, "big"), at)
    return value.to_bytes(16, "big")


class GaloisAuthenticator:
    """An ``Authenticator`` by a polynomial over GF(2^128): a hash key, then a pad per tag, added bit by bit.

    Two transcripts of at most n blocks have hashes that differ by a given d for at most n + 1 points of 2^128; cut to t
    bits, with odds of at most ``(n + 1) / 2^t``.
    """

    def __init__(self, pads: PadAccount, *, tag_bits: int) -> None:
        self.tag_bits = tag_bits
        self._pads = pads
        self._point = pads.spend(128)
        self._pad: bytes | None = None
        self._text = bytearray()

    def update(self, data: bytes | memoryview) -> None:
        if self._pad is None:
            self._pad = self._pads.spend(self.tag_bits)
        self._text += data

    def tag(self) -> bytes:
        self.update(b"")
        assert self._pad is not None
        hashed = ghash(self._point, bytes(self._text))
        tag = bytes(one ^ other for one, other in zip(hashed, self._pad, strict=False))
        self._pad, self._text = None, bytearray()
        return tag

    def check(self, tag: bytes) -> None:
        if not hmac.compare_digest(self.tag(), tag):
            raise AuthenticationFailed("the tag does not fit")


@dataclass(frozen=True)
class Tagged:
    """A tag on the wire: who sent it, in which phase, the bytes that it is of, and itself."""

    sender: str
    phase: int
    text: bytes
    tag: bytes


def tags_of(talk: Talk) -> Iterator[Tagged]:
    """Yield the tags of a recorded conversation with what each authenticates."""
    texts, phases = {"alice": b"", "bob": b""}, {"alice": 0, "bob": 0}
    for sender, data in talk.sent:
        frame = decode_frame(data)
        if frame.kind == Kind.TAG:
            yield Tagged(sender, phases[sender], texts[sender], frame.body)
            texts[sender] = b""
            phases[sender] += 1
        elif frame.kind not in UNAUTHENTICATED:
            texts[sender] += data

"""Tags that say which member of a group sealed a frame: one for each recipient, under a key of the two alone.

    datagram = record tag          tag = 16 bytes: AES-GMAC under the key of sender and recipient
    nonce    = round, u32, and the record's number, u64;  authenticated: the SHA-256 of the record

Who holds the key of a group can seal under it in anybody's name. The seal of the group keeps a frame from all others;
this tag keeps it from being another member's. It is made over a hash, so a frame is hashed once for all recipients; one
over the seal's own tag would not do, as who knows a key of GCM finds other contents with the same tag.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from qanat.ground.errors import FrameError, KeyManagementError
from qanat.ground.identifiers import SaeId
from qanat.ground.keys import SecretKey
from qanat.services.ciphers.faults import LOOK_AT_LINE, NotFromSender
from qanat.services.ciphers.layout import OVERHEAD_BYTES, TAG_BYTES, Buffer, read_header

_NONCE: Final = struct.Struct(">IQ")
PAIR_KEY_BITS = 128


class OriginKey:
    """One key of two applications, for tags in one direction; (round, number) does not repeat under it."""

    def __init__(self, key: SecretKey) -> None:
        """Raises KeyManagementError for a key of another size: one of a group is no key of two."""
        if (size_bits := key.size_bits) != PAIR_KEY_BITS:
            key.secret.wipe()
            raise KeyManagementError(
                f"key {key.key_id} has {size_bits} bits, and {PAIR_KEY_BITS} are needed",
                remedy="look for who names keys in another's name, or report the key manager",
            )
        self._cipher = AESGCM(key.take())

    def tag(self, record: Buffer, digest: bytes, *, round_number: int) -> bytes:
        """Return the tag of a record whose SHA-256 is ``digest``; 16 bytes."""
        return self._cipher.encrypt(_nonce(record, round_number), b"", digest)

    def check(self, record: Buffer, tag: Buffer, *, round_number: int, sender: SaeId) -> None:
        """Raise NotFromSender unless ``sender`` made the tag of this record for us."""
        try:
            self._cipher.decrypt(_nonce(record, round_number), bytes(tag), digest_of(record))
        except InvalidTag:
            raise NotFromSender(
                f"a frame said to be of {sender} does not fit its tag: altered on the way, or another member's",
                remedy=LOOK_AT_LINE,
            ) from None


def digest_of(record: Buffer) -> bytes:
    """Return what the tags of a record are made over; 32 bytes."""
    return hashlib.sha256(record).digest()


def record_and_tag(datagram: Buffer) -> tuple[memoryview, memoryview]:
    """Return both parts of a datagram; raises FrameError for one that is too short."""
    view = memoryview(datagram)
    if len(view) < OVERHEAD_BYTES + TAG_BYTES:
        raise FrameError("this is no frame of a conference", remedy="update the sender")
    return view[:-TAG_BYTES], view[-TAG_BYTES:]


def _nonce(record: Buffer, round_number: int) -> bytes:
    return _NONCE.pack(round_number, read_header(record).number)

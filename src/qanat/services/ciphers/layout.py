"""How a sealed record is laid out.

    record = version kind ids mark key_id number *key_id body
    version, kind = u8;  ids = u16: how many key ids follow the number;  mark = first 8 bytes of the context's digest
    key_id = 16 bytes (zeros under a one-time pad);  number = u64, from 0 in each stream;  all big-endian
    kind   = 0 data, 1 control;  + 0x80 on the last record of a stream
    body   = ciphertext and tag of 16 bytes

Everything before the body, and the whole digest of the context, is authenticated with it.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple, TypeAlias

from qanat.ground.errors import FrameError
from qanat.ground.identifiers import KeyID

RECORD_VERSION = 1
TAG_BYTES = 16
KEY_ID_BYTES = 16
MARK_BYTES = 8
LAST = 0x80
MOST_NUMBER = 2**64 - 1
MAX_KEY_IDS = 4096

_HEADER = struct.Struct(">BBH8s16sQ")
HEADER_BYTES = _HEADER.size
OVERHEAD_BYTES = HEADER_BYTES + TAG_BYTES
"""What a record of AES-GCM has besides its content."""
NO_KEY_ID = bytes(KEY_ID_BYTES)

Buffer: TypeAlias = bytes | bytearray | memoryview


class RecordKind(enum.IntEnum):
    """What a record carries: bytes of the user's, or words of the service's own."""

    DATA = 0
    CONTROL = 1


class RecordHeader(NamedTuple):
    """A record's header, not yet authenticated."""

    kind: int
    is_last: bool
    num_ids: int
    mark: bytes
    key_id: bytes
    number: int


def write_header(room: bytearray | memoryview, header: RecordHeader) -> None:
    """Write a header at the beginning of ``room``."""
    kind = header.kind | (LAST if header.is_last else 0)
    _HEADER.pack_into(room, 0, RECORD_VERSION, kind, header.num_ids, header.mark, header.key_id, header.number)


def read_header(record: Buffer) -> RecordHeader:
    """Return the header of a record; raises FrameError for what is no record."""
    if len(record) < OVERHEAD_BYTES:
        raise FrameError(f"a record has at least {OVERHEAD_BYTES} bytes, got {len(record)}")
    version, kind, num_ids, mark, key_id, number = _HEADER.unpack_from(record)
    if version != RECORD_VERSION:
        raise FrameError(f"a record of version {version}; this side reads {RECORD_VERSION}")
    plain = kind & ~LAST
    if plain not in (RecordKind.DATA, RecordKind.CONTROL) or num_ids > MAX_KEY_IDS:
        raise FrameError("this is no record of a sealed stream")
    return RecordHeader(plain, bool(kind & LAST), num_ids, mark, key_id, number)


def nonce_of(number: int) -> bytes:
    """Return the nonce of a record; its number is not used twice in a stream, and a key serves one stream."""
    return b"\0\0\0\0" + number.to_bytes(8, "big")


def key_id_bytes(key_id: KeyID) -> bytes:
    """Return the 16 bytes of a key id, a UUID."""
    return bytes.fromhex(key_id.replace("-", ""))


def key_id_text(raw: bytes) -> KeyID:
    """Return the key id in its canonical spelling."""
    digits = raw.hex()
    return KeyID(f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}")

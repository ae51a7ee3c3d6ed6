"""One framing for distillation, key managers and controller.

    frame  = length version kind header_length header body
    length = u32: bytes that follow it
    version, kind = u8;  header_length = u16;  all big-endian
    header = canonical JSON object (UTF-8, keys sorted, no blanks, no NaN)
    body   = raw bytes: all that is left

Never pickle. A decoder reads what a stranger sent: it bounds sizes before it allocates and raises FrameError only.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from json.encoder import encode_basestring
from types import MappingProxyType
from typing import Final, NamedTuple

from qanat.ground.errors import FrameError
from qanat.ground.events import Json

VERSION = 1
MAX_FRAME_BYTES = 64 * 2**20
"""Frames are at most this long, length field included; a longer message is cut by its protocol."""
MAX_HEADER_BYTES = 2**16 - 1

NO_HEADER: Final[Mapping[str, Json]] = MappingProxyType({})
EMPTY_HEADER = b"{}"
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_DECODER = json.JSONDecoder()
_PREFIX = struct.Struct(">IBBH")
PREFIX_BYTES = _PREFIX.size
LENGTH_BYTES = 4
KIND_PLACE = 5
"""Where in a frame its kind is."""


class Frame(NamedTuple):
    """A decoded frame. ``kind`` is a number of the protocol that the frame belongs to.

    A tuple, because one is made for every message of a few bytes: a frozen dataclass takes twice as long.
    """

    kind: int
    header: Mapping[str, Json] = NO_HEADER
    body: bytes = b""

    def __repr__(self) -> str:
        return f"Frame(kind={self.kind}, header={self.header!r})"


def encode_frame(kind: int, header: Mapping[str, Json] | None = None, body: bytes | memoryview = b"") -> bytes:
    """Return one frame; raises ValueError when header or body are too long for it."""
    head = canonical_json(header) if header else EMPTY_HEADER
    length = PREFIX_BYTES - LENGTH_BYTES + len(head) + len(body)
    if len(head) > MAX_HEADER_BYTES or length + LENGTH_BYTES > MAX_FRAME_BYTES:
        raise ValueError(f"header of {len(head)} or frame of {length + LENGTH_BYTES} bytes is too long")
    return b"".join((_PREFIX.pack(length, VERSION, kind, len(head)), head, body))


def decode_frame(data: bytes | memoryview) -> Frame:
    """Return the one frame that ``data`` is; raises FrameError when it is not exactly one frame.

    The body is a copy, or where ``data`` is a view, a view: so who reads a long body once need not copy it.
    """
    size = len(data)
    if size < PREFIX_BYTES:
        raise FrameError(f"a frame has at least {PREFIX_BYTES} bytes, got {size}")
    length, version, kind, header_length = _PREFIX.unpack_from(data)
    if version != VERSION:
        raise FrameError(
            f"frame of version {version}; this side speaks {VERSION}",
            remedy="update the older side; where both are of one version, the line has altered it",
        )
    if length != size - LENGTH_BYTES or size > MAX_FRAME_BYTES:
        raise FrameError(f"the frame says {length} bytes and has {size - LENGTH_BYTES}")
    header_end = PREFIX_BYTES + header_length
    if header_end > size:
        raise FrameError("the header is longer than its frame")
    head = data[PREFIX_BYTES:header_end]
    header = {} if head == EMPTY_HEADER else read_canonical_json(bytes(head))
    return Frame(kind, header, data[header_end:])  # type: ignore[arg-type]  # a view reads as bytes do


def frame_length(prefix: bytes) -> int:
    """Return how many bytes follow the 4-byte length field ``prefix``; raises FrameError beyond MAX_FRAME_BYTES."""
    length = int.from_bytes(prefix[:LENGTH_BYTES], "big")
    if not PREFIX_BYTES - LENGTH_BYTES <= length <= MAX_FRAME_BYTES - LENGTH_BYTES:
        raise FrameError(f"a frame of {length} bytes is outside what this protocol sends")
    return length


def canonical_json(value: Mapping[str, Json]) -> bytes:
    """Return the one spelling of ``value`` that both sides hash: sorted keys, no blanks, UTF-8."""
    if not value:
        return EMPTY_HEADER
    if all(type(entry) is int for entry in value.values()):  # the rule in error correction; half the time
        return f"{{{','.join([f'{encode_basestring(name)}:{value[name]}' for name in sorted(value)])}}}".encode()
    return _ENCODER.encode(value).encode()


def read_canonical_json(raw: bytes) -> Mapping[str, Json]:
    """Return what ``canonical_json`` wrote; raises FrameError for anything else."""
    try:
        header, _ = _DECODER.raw_decode(raw.decode())  # what may follow it has no place in the canonical spelling
        is_canonical = isinstance(header, dict) and canonical_json(header) == raw
    except (ValueError, RecursionError):
        raise FrameError("the header is no JSON") from None
    if not is_canonical:
        # One meaning has one spelling: no NaN, no key twice, nothing that could not be written again.
        raise FrameError("the header is no JSON object in its canonical spelling")
    return dict(header)

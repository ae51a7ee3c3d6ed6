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
from dataclasses import dataclass, field

from qanat.ground.errors import FrameError
from qanat.ground.events import Json

VERSION = 1
MAX_FRAME_BYTES = 64 * 2**20
"""Frames are at most this long, length field included; a longer message is cut by its protocol."""
MAX_HEADER_BYTES = 2**16 - 1

EMPTY_HEADER = b"{}"
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_PREFIX = struct.Struct(">IBBH")
PREFIX_BYTES = _PREFIX.size
LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame. ``kind`` is a number of the protocol that the frame belongs to."""

    kind: int
    header: Mapping[str, Json] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


def encode_frame(kind: int, header: Mapping[str, Json] | None = None, body: bytes | memoryview = b"") -> bytes:
    """Return one frame; raises ValueError when header or body are too long for it."""
    head = canonical_json(header or {})
    length = PREFIX_BYTES - LENGTH_BYTES + len(head) + len(body)
    if len(head) > MAX_HEADER_BYTES or length + LENGTH_BYTES > MAX_FRAME_BYTES:
        raise ValueError(f"header of {len(head)} or frame of {length + LENGTH_BYTES} bytes is too long")
    return b"".join((_PREFIX.pack(length, VERSION, kind, len(head)), head, body))


def decode_frame(data: bytes) -> Frame:
    """Return the one frame that ``data`` is; raises FrameError when it is not exactly one frame."""
    if len(data) < PREFIX_BYTES:
        raise FrameError(f"a frame has at least {PREFIX_BYTES} bytes, got {len(data)}")
    length, version, kind, header_length = _PREFIX.unpack_from(data)
    if version != VERSION:
        raise FrameError(f"frame of version {version}; this side speaks {VERSION}", remedy="update the older side")
    if length != len(data) - LENGTH_BYTES or len(data) > MAX_FRAME_BYTES:
        raise FrameError(f"the frame says {length} bytes and has {len(data) - LENGTH_BYTES}")
    header_end = PREFIX_BYTES + header_length
    if header_end > len(data):
        raise FrameError("the header is longer than its frame")
    return Frame(kind, read_canonical_json(data[PREFIX_BYTES:header_end]), data[header_end:])


def frame_length(prefix: bytes) -> int:
    """Return how many bytes follow the 4-byte length field ``prefix``; raises FrameError beyond MAX_FRAME_BYTES."""
    length = int.from_bytes(prefix[:LENGTH_BYTES], "big")
    if not PREFIX_BYTES - LENGTH_BYTES <= length <= MAX_FRAME_BYTES - LENGTH_BYTES:
        raise FrameError(f"a frame of {length} bytes is outside what this protocol sends")
    return length


def canonical_json(value: Mapping[str, Json]) -> bytes:
    """Return the one spelling of ``value`` that both sides hash: sorted keys, no blanks, UTF-8."""
    return _ENCODER.encode(value).encode() if value else EMPTY_HEADER


def read_canonical_json(raw: bytes) -> Mapping[str, Json]:
    """Return what ``canonical_json`` wrote; raises FrameError for anything else."""
    if raw == EMPTY_HEADER:
        return {}
    try:
        header = json.loads(raw)
        is_canonical = isinstance(header, dict) and canonical_json(header) == raw
    except (ValueError, RecursionError):
        raise FrameError("the header is no JSON") from None
    if not is_canonical:
        # One meaning has one spelling: no NaN, no key twice, nothing that could not be written again.
        raise FrameError("the header is no JSON object in its canonical spelling")
    return dict(header)

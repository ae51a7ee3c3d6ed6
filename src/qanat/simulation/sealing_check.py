"""Recomputes relay words from the bits that were spent and the keys that were made, apart from the code that seals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.poly1305 import Poly1305

from qanat.ground.events import Json
from qanat.ground.framing import canonical_json
from qanat.ground.messages import Message

CHECK_BYTES = 32
"""What follows the keys: bits by which the ends compare them."""
POLY1305_KEY_BYTES = 32
"""RFC 8439, section 2.5: r and s, 16 bytes each."""


def share_in(message: Message, *, spent: bytes) -> bytes:
    """Return what a relay message carries, given the bits of its ``pad_range``."""
    return _xor(message.body, spent[POLY1305_KEY_BYTES:])


def sealing_fault(message: Message, *, spent: bytes | None, keys: Sequence[bytes | None] | None) -> str:
    """Return what is wrong with a relay message under these bits for these keys, or an empty text.

    ``spent``: the bits of its ``pad_range``, message key before pad; None when they were never spent. ``keys``: the
    secrets of its key ids in their order; None for one that was never put into a store; None for all of them when the
    message carries a share of keys, which is never put anywhere.
    """
    if spent is None:
        return "uses bits that its sender never spent"
    pad = spent[POLY1305_KEY_BYTES:]
    known = [key for key in keys or () if key is not None]
    if keys is not None and len(known) < len(keys):
        return "carries keys that are in no store"
    if keys is not None and _xor(message.body, pad)[:-CHECK_BYTES] != b"".join(known):
        return "is not its keys under the pad that follows the message key"
    is_right = message.fields["tag"] == tag_of(message, spent=spent)
    return "" if is_right else "has not the tag of all its fields and its body"


def tag_of(message: Message, *, spent: bytes) -> str:
    """Return the tag that a relay message should have under the bits of its ``pad_range``, in hexadecimal digits."""
    protected = _protected(message.kind, message.fields) + message.body
    return Poly1305.generate_tag(spent[:POLY1305_KEY_BYTES], protected).hex()


def _protected(kind: str, fields: Mapping[str, Json]) -> bytes:
    return canonical_json({"kind": kind, **{name: value for name, value in fields.items() if name != "tag"}})


def _xor(data: bytes, pad: bytes) -> bytes:
    size = max(len(data), len(pad))
    return (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")

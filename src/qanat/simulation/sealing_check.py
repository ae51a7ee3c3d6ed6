"""Recomputes relay words from the bits that were spent and the keys that were made, apart from the code that seals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.poly1305 import Poly1305

from qanat.ground.events import Json
from qanat.ground.framing import canonical_json
from qanat.ground.messages import Message

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
    message_key, pad = spent[:POLY1305_KEY_BYTES], spent[POLY1305_KEY_BYTES:]
    known = [key for key in keys or () if key is not None]
    if keys is not None and len(known) < len(keys):
        return "carries keys that are in no store"
    if keys is not None and message.body != _xor(b"".join(known), pad):
        return "is not its keys under the pad that follows the message key"
    tag = Poly1305.generate_tag(message_key, _protected(message.kind, message.fields) + message.body)
    return "" if message.fields["tag"] == tag.hex() else "has not the tag of all its fields and its body"


def _protected(kind: str, fields: Mapping[str, Json]) -> bytes:
    return canonical_json({"kind": kind, **{name: value for name, value in fields.items() if name != "tag"}})


def _xor(data: bytes, pad: bytes) -> bytes:
    size = max(len(data), len(pad))
    return (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")

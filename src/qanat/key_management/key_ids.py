"""The ids of the keys of a batch: both ends work them out from one short text, so that no message carries them all."""

from __future__ import annotations

import hashlib

from qanat.ground.identifiers import KeyID

MAX_KEYS = 2**16
"""So many keys a batch may have."""
_DOMAIN = b"qanat key ids "
_ID_BYTES = 16
_VERSION = bytes(byte & 0x0F | 0x40 for byte in range(256))
_VARIANT = bytes(byte & 0x3F | 0x80 for byte in range(256))
"""What RFC 9562 fixes in the bytes 6 and 8 of a UUID of version 4; for all ids at once, since many are made."""


def key_ids(ids_from: str, num_keys: int) -> tuple[KeyID, ...]:
    """Return the ids: the bytes of SHAKE-128 over a label and ``ids_from``, 16 for each, as UUIDs of version 4.

    ``ids_from`` has 122 random bits of its own, so two batches share an id as seldom as two random UUIDs are the same.
    Ids are public; that a relay can work them out tells it nothing of the keys.
    """
    stream = bytearray(hashlib.shake_128(_DOMAIN + ids_from.encode()).digest(_ID_BYTES * num_keys))
    stream[6::_ID_BYTES] = stream[6::_ID_BYTES].translate(_VERSION)
    stream[8::_ID_BYTES] = stream[8::_ID_BYTES].translate(_VARIANT)
    digits = stream.hex()
    return tuple(
        KeyID(
            f"{digits[at : at + 8]}-{digits[at + 8 : at + 12]}-{digits[at + 12 : at + 16]}"
            f"-{digits[at + 16 : at + 20]}-{digits[at + 20 : at + 32]}"
        )
        for at in range(0, len(digits), 2 * _ID_BYTES)
    )

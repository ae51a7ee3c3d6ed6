"""The ids of the keys of a batch: both ends work them out from one short text, so that no message carries them all.

The ids of one batch begin alike, so a store finds the batch of a key by the beginning of its id and needs no row per
key.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

from qanat.ground.identifiers import KeyID

MAX_KEYS = 2**16
"""So many keys a batch may have."""
CACHED_BATCHES = 16
"""Of so many batches the ids, as bytes, are kept at hand: a store looks for the keys of one batch many times."""
BEGINNING_BYTES = 8
_DOMAIN = b"qanat key ids "
_ENDING_BYTES = 16 - BEGINNING_BYTES
_VARIANT = bytes(byte & 0x3F | 0x80 for byte in range(256))
"""What RFC 9562 fixes in byte 8 of a UUID; for all ids at once, since many are made."""


@dataclass(frozen=True, slots=True)
class KeyIds:
    """The ids of ``num_keys`` keys, without the work of spelling them out: they follow from the text ``ids_from``.

    The ids are UUIDs of version 4. Their bytes are those of SHAKE-128 over a label and ``ids_from``: the first 8 are
    the beginning of every id, the following ones the endings, 8 for each; the bits of version and variant are set as
    RFC 9562 has them. ``ids_from`` has 122 random bits of its own, so two batches share an id as seldom as two random
    UUIDs are the same; and nobody works out other keys' ids from one. Ids are public; that a relay can work them out
    tells it nothing of the keys.
    """

    ids_from: str
    num_keys: int

    @property
    def beginning(self) -> bytes:
        """The first BEGINNING_BYTES bytes of all ids."""
        return _stream(self.ids_from, 0)[:BEGINNING_BYTES]

    def spelled(self) -> tuple[KeyID, ...]:
        """Return the ids in their order."""
        return _spelled(self.ids_from, self.num_keys)

    def raw(self, place: int) -> bytes:
        """Return the 16 bytes of the id at a place."""
        stream, at = _stream(self.ids_from, self.num_keys), BEGINNING_BYTES + _ENDING_BYTES * place
        return stream[:BEGINNING_BYTES] + stream[at : at + _ENDING_BYTES]

    def place_of(self, raw_key_id: bytes) -> int | None:
        """Return the place of an id, given as its 16 bytes; None when it is none of these."""
        stream, ending = _stream(self.ids_from, self.num_keys), raw_key_id[BEGINNING_BYTES:]
        if raw_key_id[:BEGINNING_BYTES] != stream[:BEGINNING_BYTES]:
            return None
        at = stream.find(ending, BEGINNING_BYTES)
        while at >= 0 and at % _ENDING_BYTES:  # found across two endings
            at = stream.find(ending, at + 1)
        return None if at < 0 else at // _ENDING_BYTES - 1


@functools.lru_cache(maxsize=CACHED_BATCHES)
def _spelled(ids_from: str, num_keys: int) -> tuple[KeyID, ...]:
    digits = _stream(ids_from, num_keys).hex()
    first, endings = digits[: 2 * BEGINNING_BYTES], digits[2 * BEGINNING_BYTES :]
    start = f"{first[:8]}-{first[8:12]}-{first[12:]}-"
    return tuple(
        [
            KeyID(f"{start}{endings[at : at + 4]}-{endings[at + 4 : at + 16]}")
            for at in range(0, len(endings), 2 * _ENDING_BYTES)
        ]
    )


@functools.lru_cache(maxsize=CACHED_BATCHES)
def _stream(ids_from: str, num_keys: int) -> bytes:
    """Return the beginning and all endings, version and variant set."""
    stream = bytearray(
        hashlib.shake_128(_DOMAIN + ids_from.encode()).digest(BEGINNING_BYTES + _ENDING_BYTES * num_keys)
    )
    stream[6] = stream[6] & 0x0F | 0x40
    stream[BEGINNING_BYTES::_ENDING_BYTES] = stream[BEGINNING_BYTES::_ENDING_BYTES].translate(_VARIANT)
    return bytes(stream)

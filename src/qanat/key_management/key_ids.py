"""The ids of the keys of a batch: both ends work them out from one short text, so that no message carries them all."""

from __future__ import annotations

import hashlib

from qanat.ground.identifiers import KeyID, uuid4_from

MAX_KEYS = 2**16
"""So many keys a batch may have."""
_DOMAIN = b"qanat key ids "
_ID_BYTES = 16


def key_ids(ids_from: str, num_keys: int) -> tuple[KeyID, ...]:
    """Return the ids: the bytes of SHAKE-128 over a label and ``ids_from``, 16 for each, as UUIDs of version 4.

    ``ids_from`` has 122 random bits of its own, so two batches share an id as seldom as two random UUIDs are the same.
    Ids are public; that a relay can work them out tells it nothing of the keys.
    """
    digest = hashlib.shake_128(_DOMAIN + ids_from.encode()).digest(_ID_BYTES * num_keys)
    return tuple(KeyID(uuid4_from(digest[at : at + _ID_BYTES])) for at in range(0, len(digest), _ID_BYTES))

"""Packed bits as words of 64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WordArray = NDArray[np.uint64]


def place_bits(packed: bytes, *, shift: int, num_words: int | None = None) -> WordArray:
    """Return packed bits, moved up by ``shift`` places, as words: ``num_words``, or enough for all and one to spare.

    What lies beyond is dropped.
    """
    first, spare = divmod(shift, 8)
    num_needed = (first + len(packed) + 8) // 8 + 1
    words = np.zeros(max(num_needed, num_words or 0), dtype=np.uint64)
    words.view(np.uint8)[first : first + len(packed)] = np.frombuffer(packed, dtype=np.uint8)
    if spare:
        carried = words[:-1] >> np.uint64(64 - spare)
        words <<= np.uint64(spare)
        words[1:] |= carried
    return words[:num_words]

"""How long the transcript of one phase can be, by the parameters of a session: what the size of its tags follows from.

A session whose transcript grows beyond this is given up. It is so far above what sessions need that none is given up
for it unless the light is not what the parameters say, or somebody adds to the conversation.
"""

from __future__ import annotations

import math
from typing import Final

from qanat.protocols.decoy import SIGNAL, DecoyProtocol

CHUNK_BYTES: Final = 128
"""Of one chunk's frames in one direction, all that is no packed bit per event: prefixes, headers, 16 random bytes. At
most 105: COMMIT and SIFTED, every number in their headers as long as it can be."""

EVENT_BITS: Final = 4
"""Packed bits per event in one direction, at most: SIFTED with all bases equal and all events disclosed; BASES and
DISCLOSED have two."""

CORRECTION_BYTES_PER_BIT: Final = 8
"""Bytes of error correction in one direction per key bit. The most are Cascade's questions: four bytes each, and a
session that has told as many bits as the key has is given up; counts and headers come on top. Seen: 0.3 at an error
rate of 1 %, 1.0 at 5 %, 2.3 at 25 %. The Toeplitz seed takes a quarter of a byte at most."""

OTHER_BYTES: Final = 2**16
"""HELLO, HASH, ERRORS and so on, and headers of error correction in a block of one frame."""

LIGHT_MARGIN: Final = 2
"""So many times the events that the protocol expects for a full key may be announced."""


def most_events(protocol: DecoyProtocol, *, key_bits: int, max_chunk_events: int) -> int:
    """Return how many detections a session of ``key_bits`` may announce, its last chunk included.

    The signal is the brightest light, so its share of the detections is at least its share of the pulses.
    """
    p_equal = protocol.p_rectilinear**2 + (1 - protocol.p_rectilinear) ** 2
    p_key = p_equal * protocol.p_intensities[SIGNAL] * (1 - protocol.signal_disclosed)
    return math.ceil(LIGHT_MARGIN * key_bits / p_key) + max_chunk_events


def longest_phase_bytes(protocol: DecoyProtocol, *, key_bits: int, max_chunks: int, max_chunk_events: int) -> int:
    """Return the most authenticated bytes that either party says in one phase."""
    events = most_events(protocol, key_bits=key_bits, max_chunk_events=max_chunk_events)
    sift = CHUNK_BYTES * max_chunks + -(-EVENT_BITS * events // 8)
    return OTHER_BYTES + max(sift, CORRECTION_BYTES_PER_BIT * key_bits)

"""Batches of relayed keys as one sees them who sees everything: their shares, what these carried, what they cost.

The sum of shares and the ids of keys are worked out here apart from the code of the key managers.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from qanat.ground.identifiers import KeyID, NodeId
from qanat.ground.keys import BitRange, PoolId
from qanat.key_management.wire import Relay


@dataclass(slots=True)
class Batch:
    """What was said of one batch: its shares' words as their origin first said them, and every hop's bits."""

    words: dict[int, Relay] = field(default_factory=dict)
    secrets: dict[int, bytes] = field(default_factory=dict)
    spends: dict[tuple[int, PoolId, BitRange], int] = field(default_factory=dict)
    more_hops: dict[int, int] = field(default_factory=dict)
    """By share: hops over key that a satellite has announced, which took as much key of each of two downlinks."""
    knows: dict[int, set[NodeId]] = field(default_factory=dict)

    @property
    def any(self) -> Relay:
        return next(iter(self.words.values()))

    @property
    def is_whole(self) -> bool:
        return len(self.words) == self.any.shares

    @property
    def paid_bits(self) -> int:
        return sum(self.spends.values())

    @property
    def hops(self) -> int:
        return sum(len(word.route) - 1 + self.more_hops.get(share, 0) for share, word in self.words.items())

    @property
    def key_ids(self) -> tuple[KeyID, ...]:
        return ids_of_keys(self.any.ids_from, self.any.num_keys)

    def carried(
        self, sender: NodeId, receiver: NodeId, word: Relay, secret: bytes, *, known_to: NodeId | None = None
    ) -> str:
        """Note a share that goes over a hop; return what is wrong with it, or an empty text. ``known_to``: the
        satellite that has announced the hop's key."""
        first = self.secrets.setdefault(word.share, secret)
        self.knows.setdefault(word.share, set()).update((sender, receiver), () if known_to is None else (known_to,))
        return "" if first == secret else f"share {word.share} is another one on the hop to {receiver}"

    def fault(self, keys: Mapping[KeyID, bytes]) -> str:
        """Return what is wrong with a batch whose keys count, or an empty text."""
        if not self.is_whole:
            return f"counts with {len(self.words)} of {self.any.shares} shares"
        size = self.any.size_bits // 8
        total = _sum_of([self.secrets[number] for number in sorted(self.secrets)])
        for place, key_id in enumerate(self.key_ids):
            if keys.get(key_id, total[place * size : (place + 1) * size]) != total[place * size : (place + 1) * size]:
                return f"makes key {key_id}, which is not the sum of its {self.any.shares} shares"
        ends = {self.any.route[0], self.any.route[-1]}
        for one, other in combinations(self.knows.values(), 2):
            if both := (one & other) - ends:
                return f"shows two of its shares to {min(both)}"
        return ""


def ids_of_keys(ids_from: str, num_keys: int) -> tuple[KeyID, ...]:
    """Return the ids of a batch's keys: UUIDs of version 4, of which the first half is the beginning of SHAKE-128 of a
    label and ``ids_from``, and the second half the next 8 bytes of it for each."""
    stream = hashlib.shake_128(f"qanat key ids {ids_from}".encode()).digest(8 * num_keys + 8)
    pieces = (stream[:8] + stream[8 * place : 8 * place + 8] for place in range(1, num_keys + 1))
    return tuple(KeyID(str(uuid.UUID(bytes=piece, version=4))) for piece in pieces)


def _sum_of(shares: Sequence[bytes]) -> bytes:
    total = bytearray(len(shares[0]))
    for share in shares:
        for place, byte in enumerate(share):
            total[place] ^= byte
    return bytes(total)

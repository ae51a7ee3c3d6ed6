"""Keys of applications by the batch: as they come in one relay, and as a store may keep them until one is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from qanat.ground.identifiers import NodeId, SaePair
from qanat.ground.key_ids import KeyIds
from qanat.ground.keys import KeyRecord, Origin, SecretBytes, SecretKey


@dataclass(frozen=True, slots=True)
class KeyBatch:
    """Keys of one size between two applications that were made and came together.

    ``secret`` has the bits of all of them in the order of their ids. ``routes`` as in ``KeyRecord``: one per share;
    ``threshold`` is said where there are several. ``qkd_bits_spent`` is the price of all keys together: each pays an
    even part of it, and what does not divide is paid by the first ones, one bit each.
    """

    ids: KeyIds
    pair: SaePair
    size_bits: int
    secret: SecretBytes = field(compare=False)
    routes: tuple[tuple[NodeId, ...], ...]
    threshold: int | None
    origin: Origin
    created_utc_s: float
    qkd_bits_spent: int

    def __post_init__(self) -> None:
        if self.size_bits % 8 or self.secret.num_bits != self.ids.num_keys * self.size_bits or not self.ids.num_keys:
            raise ValueError(f"{self.ids.num_keys} keys of {self.size_bits} bits came with {self.secret.num_bits}")

    def one_by_one(self) -> Sequence[SecretKey]:
        """Return the keys one by one, with copies of their bits."""
        size, num_keys = self.size_bits // 8, self.ids.num_keys
        costs = costs_of_keys(self.qkd_bits_spent, range(num_keys), num_keys=num_keys)
        return [
            SecretKey(
                key_id=key_id,
                pair=self.pair,
                secret=self.secret.part(place * size, (place + 1) * size),
                route=self.routes[0],
                origin=self.origin,
                created_utc_s=self.created_utc_s,
                qkd_bits_spent=cost_bits,
                full_record=self._record_of_shares(cost_bits),
            )
            for place, (key_id, cost_bits) in enumerate(zip(self.ids.spelled(), costs, strict=True))
        ]

    @property
    def pad_bits(self) -> int:
        """Of one-time pad that each key took over all hops of all routes."""
        return sum(max(0, len(route) - 1) for route in self.routes) * self.size_bits

    def _record_of_shares(self, cost_bits: int) -> KeyRecord | None:
        """Return the record of a key of several shares; of others it follows from the rest."""
        if len(self.routes) == 1:
            return None
        return KeyRecord(self.routes, self.threshold, self.pad_bits, cost_bits - self.pad_bits)


def costs_of_keys(batch_bits: int, places: Iterable[int], *, num_keys: int) -> list[int]:
    """Return what the keys at some places of a batch have to pay of the price of all its keys."""
    share, rest = divmod(batch_bits, num_keys)
    return [share + (place < rest) for place in places]

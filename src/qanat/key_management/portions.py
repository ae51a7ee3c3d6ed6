"""How a satellite divides a station's key among the others that it joins the station to.

Of what it gains with a station, each other station has an equal portion, so that two whose passes follow one another do
not take all before a third has risen. A portion that nobody takes does not grow for ever: from the worth of a few
passes on, what would be added to it goes to the others. Nothing is durable: after a restart the stock is divided anew.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Final, Generic, TypeVar

from qanat.ground.identifiers import LinkId

P = TypeVar("P", bound=Hashable)
PASSES_KEPT: Final = 4
"""A portion grows to the most that the pool has gained at once, so many times."""


class Portions(Generic[P]):
    """Of each pool of a satellite's key with a station, in bits, what may be announced for each link of the station."""

    def __init__(self, shared_by: Mapping[P, Iterable[LinkId]]) -> None:
        """shared_by: the links between stations that each pool's key is for."""
        self._bits = {pool: dict.fromkeys(links, 0) for pool, links in shared_by.items()}
        self._most_bits = dict.fromkeys(self._bits, 0)
        self._noted = set[P]()

    def note(self, pool: P, available_bits: int) -> None:
        """Divide what a pool has gained, or take what it has lost from all alike."""
        portions = self._bits[pool]
        held_bits = sum(portions.values())
        if available_bits < held_bits:
            for link in portions:
                portions[link] = portions[link] * available_bits // held_bits
        gained_bits = available_bits - sum(portions.values())
        if pool in self._noted:
            self._most_bits[pool] = max(self._most_bits[pool], gained_bits)
        self._noted.add(pool)  # what is there at the start has come in many passes
        self._divide(portions, gained_bits, full_bits=PASSES_KEPT * self._most_bits[pool])

    def of(self, pool: P, link: LinkId) -> int:
        """Return how many bits of a pool may be announced for a link."""
        return self._bits[pool][link]

    def take(self, pool: P, link: LinkId, num_bits: int) -> None:
        """A link's announcement has spent so much of a pool."""
        self._bits[pool][link] -= num_bits

    @staticmethod
    def _divide(portions: dict[LinkId, int], num_bits: int, *, full_bits: int) -> None:
        hungry = [link for link, bits in portions.items() if bits < full_bits] or list(portions)
        for place, link in enumerate(sorted(hungry, key=lambda one: portions[one])):
            part = -(-num_bits // (len(hungry) - place))
            portions[link] += part
            num_bits -= part

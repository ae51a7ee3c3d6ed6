"""Keys made of shares: each share is as long as its key and goes a way of its own; the key is the sum of all.

Whoever knows all shares but one knows nothing of the key: every key is equally likely. So only relays on all of the
ways together could learn it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TypeAlias

from qanat.ground.bits import xor
from qanat.ground.errors import PeerProtocolError
from qanat.ground.identifiers import NodeId
from qanat.ground.keys import SecretBytes
from qanat.key_management.wire import Relay, Routes

Trusted: TypeAlias = Callable[[tuple[NodeId, ...]], tuple[NodeId, ...]]
"""Adds to a route who else knows what goes over it: ``Network.trusted_route``."""
MAX_WAITING = 256
"""So many batches may wait at one node for more of their shares; the oldest make room."""


def combined(shares: Sequence[SecretBytes]) -> SecretBytes:
    """Return the keys whose shares these are. The shares stay with the caller."""
    return SecretBytes(reduce(xor, (share.reveal() for share in shares)))


def are_disjoint(routes: Routes) -> bool:
    """Return whether no node but the ends is on two of the routes, or twice on one. Routes with all who know what goes
    over them (``Trusted``) tell it of satellites as well."""
    inner = [node for route in routes for node in route[1:-1]]
    return len(set(inner)) == len(inner) and len(set(routes)) == len(routes)


def those_apart(routes: Routes, trusted: Trusted) -> Routes:
    """Return the routes, in order, without those that meet one before them, be it at a satellite.

    Whoever told them may have another description of the network.
    """
    kept: list[tuple[NodeId, ...]] = []
    for route in routes:
        if are_disjoint(tuple(map(trusted, (*kept, route)))):
            kept.append(route)
    return tuple(kept)


def collusion_threshold(routes: Routes) -> int | None:
    """Return how many relays must work together to know a key that went these disjoint ways; None: no number of them
    can, since one of the ways passes no relay."""
    return len(routes) if all(len(route) > 2 for route in routes) else None


@dataclass(slots=True)
class _Waiting:
    """The shares of a batch that have arrived."""

    since_monotonic_s: float
    words: dict[int, Relay] = field(default_factory=dict)
    secrets: dict[int, SecretBytes] = field(default_factory=dict)

    def wipe(self) -> None:
        for secret in self.secrets.values():
            secret.wipe()


class Assembly:
    """Shares that have come to the last node of their ways, in memory only, until the last of them is there.

    No share is ever written down: a node that ends meanwhile forgets them, and their origin hears that it failed.
    """

    def __init__(self, trusted: Trusted = lambda route: route) -> None:
        self._trusted = trusted
        self._waiting: dict[tuple[NodeId, str], _Waiting] = {}

    def add(
        self, word: Relay, secret: SecretBytes, *, now_s: float
    ) -> tuple[Sequence[Relay], Sequence[SecretBytes]] | None:
        """Take a share in. Return all of the batch, the caller's to wipe, when this was the last; None before.

        Raises PeerProtocolError when the share does not belong to the others; the batch is dropped then.
        """
        batch = (word.route[0], word.relay_id)
        waiting = self._waiting.setdefault(batch, _Waiting(now_s))
        waiting.words[word.share] = word
        waiting.secrets[word.share] = SecretBytes(secret.reveal())
        if not _belong_together(list(waiting.words.values()), self._trusted):
            self.drop(*batch)
            raise PeerProtocolError("the shares of this batch do not belong together, or meet at a relay")
        if len(waiting.words) < word.shares:
            self._make_room()
            return None
        del self._waiting[batch]
        numbers = sorted(waiting.words)
        return [waiting.words[number] for number in numbers], [waiting.secrets[number] for number in numbers]

    def drop(self, origin: NodeId, relay_id: str) -> None:
        """Forget the shares of a batch, if there are any."""
        if waiting := self._waiting.pop((origin, relay_id), None):
            waiting.wipe()

    def drop_older_than(self, monotonic_s: float) -> None:
        """Forget batches whose first share came before this time: their origins have long given them up."""
        for batch in [batch for batch, waiting in self._waiting.items() if waiting.since_monotonic_s < monotonic_s]:
            self.drop(*batch)

    def _make_room(self) -> None:
        while len(self._waiting) > MAX_WAITING:
            self.drop(*next(iter(self._waiting)))


def _belong_together(words: Sequence[Relay], trusted: Trusted) -> bool:
    """Return whether these are different shares of the same keys, over ways without a common relay or satellite."""
    kinds = {
        (
            *(word.route[0], word.route[-1], word.master, word.slave, word.shares, word.size_bits),
            *(word.ids_from, word.num_keys, word.origin, word.created_utc_s, word.request_id),
        )
        for word in words
    }
    return len(kinds) == 1 and are_disjoint(tuple(trusted(word.route) for word in words))

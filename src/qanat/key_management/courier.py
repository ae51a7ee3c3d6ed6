"""Sending words: every message gets its id, and the epoch of the store behind its sender."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from qanat.ground.identifiers import Epoch, EventId, MessageId, NodeId, uuid4_from
from qanat.ground.messages import Message
from qanat.ground.ports import Clock, Entropy, Transport
from qanat.key_management.codec import encode_word
from qanat.key_management.wire import Word

UNREACHED_AFTER_S = 1.0
"""A line that breaks is made anew within this time, unless something is wrong."""


class Courier:
    """Says words to other nodes in the name of one epoch.

    is_awake: a site that sleeps is opened by whatever is said to it, so what can wait is not said to it.
    is_opening: a site that sleeps or is being opened, and so needs some time before it answers.
    num_opened: how many sites beside this one have been opened so far; while that grows, the next one's turn comes.
    just_opened_s: so long after it was seen asleep or being opened, a site is still coming up, by ``clock``: it has
    forty peers to shake hands with, in a process that opens others. Without a clock none is.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        entropy: Entropy,
        epoch: Epoch,
        is_awake: Callable[[NodeId], bool] = lambda _: True,
        is_opening: Callable[[NodeId], bool] = lambda _: False,
        num_opened: Callable[[], int] = lambda: 0,
        clock: Clock | None = None,
        just_opened_s: float = 0.0,
    ) -> None:
        self._transport = transport
        self._entropy = entropy
        self.epoch = epoch
        self.is_awake = is_awake
        self._is_opening = is_opening
        self._clock = clock
        self._just_opened_s = just_opened_s
        self._seen_opening_s: dict[NodeId, float] = {}
        self.num_opened = num_opened
        self.unreached: tuple[NodeId, ...] = ()
        """Who could not be reached at the last two times that it was looked."""
        self._unreached_since_s: dict[NodeId, float] = {}

    def is_reachable(self, peer: NodeId) -> bool:
        """Return whether the peer seems to answer just now."""
        return self._transport.is_reachable(peer)

    def watch(self, peers: Iterable[NodeId], *, now_s: float) -> None:
        """Take note of which of these peers cannot be reached, though they are awake and not just coming up."""
        out = [peer for peer in peers if self._is_out(peer)]
        self._unreached_since_s = {peer: self._unreached_since_s.get(peer, now_s) for peer in out}
        since_s = self._unreached_since_s.items()
        self.unreached = tuple(peer for peer, at_s in since_s if at_s <= now_s - UNREACHED_AFTER_S)

    def is_unreached(self, peer: NodeId) -> bool:
        """Return whether a peer could not be reached for a while, and cannot be now."""
        return peer in self.unreached and self._is_out(peer)

    def _is_out(self, peer: NodeId) -> bool:
        return not self.is_reachable(peer) and not self.is_coming(peer) and self.is_awake(peer)

    def is_opening(self, peer: NodeId) -> bool:
        """Return whether a peer sleeps or is being opened."""
        is_opening = self._is_opening(peer)
        if is_opening and self._clock is not None:
            self._seen_opening_s[peer] = self._clock.monotonic_s()
        return is_opening

    def look_who_sleeps(self, peers: Iterable[NodeId]) -> None:
        """Note which of these peers sleep or are being opened. Called now and then, it is known of each when it was
        opened."""
        for peer in peers:
            self.is_opening(peer)

    def is_coming(self, peer: NodeId) -> bool:
        """Return whether a peer that has not answered yet may be just coming up, so that it is worth waiting for."""
        return self.is_opening(peer) or self._was_just_opened(peer) or self._transport.is_coming(peer)

    def is_still_opening(self, peer: NodeId) -> bool:
        """Return whether a peer that has not answered is just coming up, as far as can be known: one with which a line
        has stood for longer does not answer for another reason."""
        is_dialled = self._transport.is_coming(peer) and not self.is_reachable(peer)  # a line that stands counts there
        return self.is_opening(peer) or self._was_just_opened(peer) or is_dialled

    def _was_just_opened(self, peer: NodeId) -> bool:
        if self._clock is None:
            return False
        return self._clock.monotonic_s() - self._seen_opening_s.get(peer, -math.inf) < self._just_opened_s

    async def send(self, peer: NodeId, word: Word, *, cause: EventId | None = None, body: bytes = b"") -> None:
        """Hand a word to the transport, which may lose, repeat or delay it."""
        kind, fields = encode_word(word)
        message = Message(
            id=MessageId(uuid4_from(self._entropy.public_bytes(16))),
            kind=kind,
            epoch=self.epoch,
            cause=cause,
            fields=fields,
            body=body,
        )
        await self._transport.send(peer, message)

"""Whose light the switches pass now, and who waits for his turn: what ``control.switching`` decides on, in a day.

As the controller's books have it: with an order the switches turn to a link, unless they stand for it, and the links
that share a port or a trunk with it are left; a link waits from the first decision that finds it wanted and without an
order, to its next order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from qanat.ground.errors import KeyManagementError


class PortTakenTwice(KeyManagementError):
    """Two links through one port or trunk were set to work at once: a fault of this program."""


class Turns:
    """The links through switches, by number."""

    def __init__(self, kept: Sequence[frozenset[str]]) -> None:
        """``kept``: by number of a link, the ports and trunks that it takes while it runs; nothing for other links."""
        self._kept = kept
        self._switched = [number for number, ports in enumerate(kept) if ports]
        self._set: set[int] = set()
        self._running: set[int] = set()
        self._blocks_in_turn = dict.fromkeys(self._switched, 0)
        self._blocks_got = dict.fromkeys(self._switched, 0)
        self._wanted_since_s: dict[int, float] = {}

    @property
    def running(self) -> frozenset[int]:
        """The links through switches that are at work."""
        return frozenset(self._running)

    def is_switched(self, link: int) -> bool:
        """Return whether a link goes through a switch."""
        return bool(self._kept[link])

    def is_wanted(self, link: int) -> bool:
        """Return whether a link is known to wait for its turn."""
        return link in self._wanted_since_s

    def begin(self, link: int, *, num_blocks: int) -> bool:
        """Note an order; return whether the switches must turn for it. Raises PortTakenTwice."""
        kept = self._kept[link]
        if not kept:
            return False
        if any(not kept.isdisjoint(self._kept[other]) for other in self._running):
            raise PortTakenTwice(f"link {link} was ordered while another has a part of {', '.join(sorted(kept))}")
        must_turn = link not in self._set
        if must_turn:
            self._set = {other for other in self._set if self._kept[other].isdisjoint(kept)} | {link}
            self._blocks_in_turn[link] = 0
        self._running.add(link)
        self._blocks_in_turn[link] += num_blocks
        self._blocks_got[link] += num_blocks
        self._wanted_since_s.pop(link, None)
        return must_turn

    def end(self, link: int) -> None:
        """Note that an order has ended; the switches stay as they are."""
        self._running.discard(link)

    def note_waits(self, wanted: Iterable[int], *, now_s: float) -> None:
        """Note which links without an order somebody waits for."""
        switched = {link for link in wanted if self._kept[link]} - self._running
        self._wanted_since_s = {link: self._wanted_since_s.get(link, now_s) for link in sorted(switched)}

    def view(self, link: int, *, now_s: float) -> dict[str, Any]:
        """Return what ``LinkView`` says of a link through switches, but for how long they turn."""
        return {
            "kept": self._kept[link],
            "is_set": link in self._set,
            "blocks_in_turn": self._blocks_in_turn[link],
            "waited_s": now_s - self._wanted_since_s.get(link, now_s),
            "blocks_got": self._blocks_got[link],
        }

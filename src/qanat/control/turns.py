"""Whose light the all-pass switches pass now, and who waits for his turn: the books that ``switching`` decides on.

The service's controller and the simulated day keep the same ones. With an order the switches turn to a link, unless
they stand for it, and the links that share a port or a trunk with it are left; a link waits from the first decision
that finds it wanted and without an order, to its next order.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Set
from dataclasses import dataclass
from typing import Generic, TypedDict, TypeVar

from qanat.ground.network import Link, Network

LinkKey = TypeVar("LinkKey", bound=Hashable)
"""What links go by: their names in the service, their numbers in a day."""


class TurnView(TypedDict):
    """What ``LinkView`` says of a link at the ports of switches."""

    kept: frozenset[str]
    is_set: bool
    blocks_in_turn: int
    turn_s: float
    waited_s: float
    blocks_got: int


NO_TURN = TurnView(kept=frozenset(), is_set=False, blocks_in_turn=0, turn_s=0.0, waited_s=0.0, blocks_got=0)
"""Of a link that goes through no switch."""


@dataclass(frozen=True, slots=True)
class PortsOfLink:
    """``kept``: the ports and trunks that nobody else can use while the link runs. ``turn_s``: how long the switches on
    its way take to turn to it. Nothing for a link that goes through none."""

    kept: frozenset[str] = frozenset()
    turn_s: float = 0.0


def ports_of(network: Network, link: Link) -> PortsOfLink:
    """Return what a link takes of the switches on its way."""
    turns_s = [network.switches_by_name[name].reconfiguration_s for name in link.through]
    return PortsOfLink(network.kept_by(link), max(turns_s, default=0.0))


@dataclass(slots=True)
class _Turn:
    is_set: bool = False
    blocks_in_turn: int = 0
    blocks_got: int = 0


class Turns(Generic[LinkKey]):
    """The links through switches, and how the switches stand."""

    def __init__(self, links: Mapping[LinkKey, PortsOfLink]) -> None:
        """``links``: what each takes; those that take nothing are left aside."""
        self._ports = {link: ports for link, ports in links.items() if ports.kept}
        self._turns = {link: _Turn() for link in self._ports}
        self._set: set[LinkKey] = set()
        self._wanted_since_s: dict[LinkKey, float] = {}

    def is_switched(self, link: LinkKey) -> bool:
        """Return whether a link goes through a switch."""
        return link in self._ports

    def is_wanted(self, link: LinkKey) -> bool:
        """Return whether a link is known to wait for its turn."""
        return link in self._wanted_since_s

    def begin(self, link: LinkKey, *, num_blocks: int) -> bool:
        """Note an order; return whether the switches must turn for it, as they begin to. Nothing for other links.

        No light passes then on the links that they leave, nor on this one before they have ``turned``.
        """
        if (turn := self._turns.get(link)) is None:
            return False
        must_turn = not turn.is_set
        if must_turn:
            kept = self._ports[link].kept
            for other in [other for other in self._set if not self._ports[other].kept.isdisjoint(kept)]:
                self._leave(other)
            turn.blocks_in_turn = 0
        turn.blocks_in_turn += num_blocks
        turn.blocks_got += num_blocks
        return must_turn

    def turned(self, link: LinkKey) -> None:
        """The switches stand for a link now."""
        self._turns[link].is_set = True
        self._set.add(link)

    def forget(self) -> None:
        """Somebody else may have turned the switches: nothing is known of how they stand."""
        for link in list(self._set):
            self._leave(link)

    def note_waits(self, wanted: Set[LinkKey], *, now_s: float, among: Set[LinkKey] | None = None) -> None:
        """Take down since when somebody waits for each link: for those ``wanted``, which have no order, from now on
        unless he did before; for the others nobody does. ``among``: all of whom this says something; by default all."""
        among = self._ports.keys() if among is None else among
        for link in [link for link in self._wanted_since_s if link not in wanted and link in among]:
            del self._wanted_since_s[link]
        for link in wanted:
            if link in among and link in self._ports:
                self._wanted_since_s.setdefault(link, now_s)

    def view(self, link: LinkKey, *, now_s: float) -> TurnView:
        """Return what ``LinkView`` says of a link at ports of switches."""
        if link not in self._ports:
            return NO_TURN
        turn, ports = self._turns[link], self._ports[link]
        return TurnView(
            kept=ports.kept,
            is_set=turn.is_set,
            blocks_in_turn=turn.blocks_in_turn,
            turn_s=ports.turn_s,
            waited_s=now_s - self._wanted_since_s.get(link, now_s),
            blocks_got=turn.blocks_got,
        )

    def _leave(self, link: LinkKey) -> None:
        self._set.discard(link)
        self._turns[link].is_set = False

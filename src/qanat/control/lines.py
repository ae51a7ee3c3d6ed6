"""Which lines between two sites do not stand, though both sites answer the controller.

A site says with each report whom it cannot reach. One report proves little: a site that restarts, or goes on after a
while of standing still, is without lines for a moment. So a line is silent once two reports, one period apart, say so,
and the other site was heard by the controller meanwhile; a pause in what either says begins that anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from qanat.control.books import renewal
from qanat.control.silence import STOOD_STILL_S
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.ports import Clock
from qanat.ground.tracing import EventRecorder
from qanat.key_management.wire import Announce, Word

CONFIRMED_S = 4.0
"""A little less than between two reports (``KeyManagerSettings.announce_s``): they travel, and not equally fast."""
PAUSE_S = 8.0
"""Who says nothing for so long, more than between two reports, was away or stood still."""
HEARD_AFTER_S = 2.0
"""What a site said so soon after it was first missed may have been said before that."""
Pair: TypeAlias = tuple[NodeId, NodeId]


@dataclass(slots=True)
class _Told:
    """When it was first told that one site cannot reach another, and last; monotonic."""

    since_s: float = math.inf
    last_s: float = -math.inf

    def note(self, now_s: float) -> None:
        self.since_s, self.last_s = min(self.since_s, now_s), now_s

    def begin_anew(self) -> None:
        """What was told so far proves nothing."""
        self.since_s, self.last_s = math.inf, -math.inf


class SilentLines:
    """Watches the lines between sites by what both ends report; ``look`` tells the alarm ``line-silent`` and its end.

    ``is_awake``, ``is_opening``: nobody misses a line with a site that sleeps or is being opened. ``may_hang``: not of
    this very process; two sites within it have no network between them.
    """

    def __init__(
        self,
        network: Network,
        clock: Clock,
        recorder: EventRecorder,
        *,
        is_awake: Callable[[NodeId], bool] = lambda _: True,
        is_opening: Callable[[NodeId], bool] = lambda _: False,
        may_hang: Callable[[NodeId], bool] = lambda _: True,
    ) -> None:
        self._network = network
        self._clock = clock
        self._recorder = recorder
        self._is_awake = is_awake
        self._is_opening = is_opening
        self._may_hang = may_hang
        self._nodes = frozenset(network.nodes)
        self._heard_s: dict[NodeId, float] = {}
        self._ended: dict[NodeId, str] = {}
        """What sites said of their own certificates; empty while these count."""
        self._told: dict[Pair, _Told] = {}
        """By who tells it and whom that site cannot reach."""
        self._silent: dict[Pair, frozenset[LinkId]] = {}
        """Lines of which the alarm lasts, by both ends in the order of the alphabet, and the links between the two."""
        self._awake_s = clock.monotonic_s()

    @property
    def links(self) -> frozenset[LinkId]:
        """The links whose ends did not reach each other at the last look."""
        return frozenset().union(*self._silent.values())

    def hear(self, sender: NodeId, word: Word) -> None:
        """A site has said something; a report says whom it cannot reach now."""
        now_s = self._now_s()
        if now_s - self._heard_s.get(sender, -math.inf) > PAUSE_S:
            self._begin_anew(sender)
        self._heard_s[sender] = now_s
        if not isinstance(word, Announce):
            return
        self._ended[sender] = word.certificate_ended
        missed = {(sender, peer) for peer in word.unreached if self._has_line(sender, peer)}
        self._told = {pair: told for pair, told in self._told.items() if pair[0] != sender or pair in missed}
        for pair in missed:
            self._told.setdefault(pair, _Told()).note(now_s)

    def look(self, silent: Iterable[NodeId]) -> None:
        """Tell which lines are silent now, and which are no longer. ``silent``: sites that do not answer the controller
        either, which says all."""
        now_s = self._now_s()
        out = {*silent, *(node for pair in self._told for node in pair if self._is_excused(node))}
        self._told = {pair: told for pair, told in self._told.items() if out.isdisjoint(pair)}
        missed = {_sorted(pair) for pair in self._told}
        for pair in [pair for pair in self._silent if pair not in missed]:
            del self._silent[pair]
            self._recorder.alarm_over("line-silent", _name(pair))
        for pair in sorted({_sorted(one) for one in self._told if self._is_proven(one, now_s)} - self._silent.keys()):
            self._tell(pair)

    def hand_over(self) -> None:
        """Another controller rules and tells what is out; this one tells all anew, should it rule again."""
        for pair in self._silent:
            self._recorder.alarm_over("line-silent", _name(pair))
        self._silent.clear()

    # --- inside ---

    def _has_line(self, one: NodeId, other: NodeId) -> bool:
        is_between_two = one != other and {one, other} <= self._nodes
        return is_between_two and (self._may_hang(one) or self._may_hang(other))

    def _is_excused(self, node: NodeId) -> bool:
        return not self._is_awake(node) or self._is_opening(node)

    def _now_s(self) -> float:
        """Return the time. Where that has stood still, what lies in the inbox was said nobody knows when."""
        now_s = self._clock.monotonic_s()
        if now_s - self._awake_s > STOOD_STILL_S:
            self._begin_anew(*self._nodes)
        self._awake_s = now_s
        return now_s

    def _begin_anew(self, *nodes: NodeId) -> None:
        """What was told by or of these sites so far proves nothing."""
        for pair, told in self._told.items():
            if pair[0] in nodes or pair[1] in nodes:
                told.begin_anew()

    def _is_proven(self, pair: Pair, now_s: float) -> bool:
        told, heard_s = self._told[pair], self._heard_s.get(pair[1], -math.inf)
        is_told_again = told.last_s - told.since_s >= CONFIRMED_S
        return is_told_again and heard_s - told.since_s >= HEARD_AFTER_S and now_s - heard_s <= PAUSE_S

    def _tell(self, pair: Pair) -> None:
        one, other = pair
        links = sorted(link.link_id for link in self._network.links_of(one) if link.peer_of(one) == other)
        self._silent[pair] = frozenset(links)
        if links:
            named = ", ".join(links)
            follows = f"So link {named} makes no key."
        else:
            follows = "No link joins them."
        ended = [end for end in pair if self._ended.get(end)]
        cause = f"{' and '.join(self._ended[end] for end in ended)}, so " if ended else ""
        remedy = f"look at the network between {one} and {other}: firewall, route, proxy; then at both certificates"
        self._recorder.alarm(
            "line-silent",
            f"{cause}no line stands between {one} and {other}, as {self._by_whom(pair)}; both answer the controller."
            f" {follows} Keys go over relays where a way stands, those of {one} and {other} with each other too",
            renewal(*ended) if ended else remedy,
            about=_name(pair),
            nodes=[one, other],
            links=links,
        )

    def _by_whom(self, pair: Pair) -> str:
        told_by = [one for one, other in (pair, pair[::-1]) if (one, other) in self._told]
        return "both say" if len(told_by) == 2 else f"{told_by[0]} says"


def _sorted(pair: Pair) -> Pair:
    one, other = sorted(pair)
    return one, other


def _name(pair: Pair) -> str:
    return f"{pair[0]} - {pair[1]}"

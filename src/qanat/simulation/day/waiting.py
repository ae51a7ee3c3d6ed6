"""Requests that wait for key, by the hops that they wait for: what of a network a decision must look at.

A decision is about what has crossed a threshold since the last one. A request that waits watches one hop that is short:
before key was made there nothing else can serve it, so only those that watch a hop of the block's link are looked at
when a block comes. A link can be ordered only where one of its hops has fallen short, or a request has come to wait
for it, or its order has ended, since the last decision; links through switches also where any of that holds of another
in their area. So the policy is shown these links and the requests that can be served; of those that cannot, how many go
over each of these links in each direction. It decides the same as if it saw all (tests/unit/test_day.py holds it to
that).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise

from qanat.control.graph import Route
from qanat.control.policy import DemandView
from qanat.ground.identifiers import LinkId, NodeId
from qanat.simulation.day.books import Books, Hop
from qanat.simulation.day.serving import Slot
from qanat.simulation.day.switching import PortsInUse

HopName = tuple[LinkId, NodeId]
"""A hop as the policy names it: the link and who sends."""
ELSEWHERE: HopName = (LinkId(""), NodeId(""))
"""A hop that is no link's, and always short."""


@dataclass(slots=True)
class Open:
    """A request that waits. ``watched``: a hop that is short; None while it is looked at whether one is."""

    slot: Slot
    asked_s: float
    hops: tuple[Hop, ...]
    view: DemandView
    watched: Hop | None = None
    route: Route = ()
    """From who asks to the other; told only where a pair may have several."""
    opened_s: float = 0.0
    """When its demand was opened: later than it was asked where its way has failed meanwhile."""

    @property
    def pair(self) -> int:
        """The number of the pair that asks."""
        return self.slot >> 1


@dataclass(frozen=True, slots=True)
class Concern:
    """What a decision must look at.

    links: those that may be ordered or are drawn upon, and those at work in the areas of switches that are looked at.
    demands: in the order in which they came. switched: all links of these areas.
    """

    links: Sequence[int]
    demands: Sequence[DemandView]
    switched: Set[int]


class Waiting:
    """All requests that wait, by number; a higher number came later."""

    def __init__(self, names: Sequence[HopName], books: Books, ports: PortsInUse, *, needed_bits: int) -> None:
        """``names``: of each hop. ``needed_bits``: what each request takes on each of its hops."""
        self._names, self._books, self._ports, self._needed_bits = names, books, ports, needed_bits
        self.open: dict[int, Open] = {}
        self._on_hop: list[dict[int, Open]] = [{} for _ in names]
        self._watching: list[dict[int, Open]] = [{} for _ in names]
        self._ready: dict[int, Open] = {}
        self._touched: set[int] = set()
        self._guaranteed: dict[int, Open] = {}
        self._ahead_bits: Mapping[int, int] = {}
        self._aside_bits = [0] * len(names)
        self._levels = self._levels_beyond = [needed_bits] * len(names)
        """What each hop must hold for a request that is not beyond its share, and for one that is."""
        self._area = [ports.area_of(hop >> 1) for hop in range(len(names))]
        self._used: dict[str, set[int]] = {area: set() for area in self._area if area is not None}
        """By area, which links through switches requests wait to go over."""

    def wait_for(self, link: int) -> bool:
        """Return whether a request's way goes over a link."""
        return bool(self._on_hop[2 * link] or self._on_hop[2 * link + 1])

    def touch(self, link: int) -> None:
        """The next decision must look at a link: its order has ended."""
        self._touched.add(link)

    def add(self, number: int, waiting: Open) -> None:
        """Take in a request that finds too little on some hop."""
        self.open[number] = waiting
        stock, levels = self._books.stock, self._levels_for(waiting)
        for hop in waiting.hops:
            self._on_hop[hop][number] = waiting
            if (area := self._area[hop]) is not None:
                self._used[area].add(hop >> 1)
            if stock[hop] < levels[hop]:
                self._touched.add(hop >> 1)
        self.look_at(number)

    def remove(self, number: int) -> Open | None:
        """Take out a request that is served, given up or given another route; None where it is not here any more."""
        if (waiting := self.open.pop(number, None)) is None:
            return None
        stock, levels = self._books.stock, self._levels_for(waiting)
        for hop in waiting.hops:
            del self._on_hop[hop][number]
            if (area := self._area[hop]) is not None and not self.wait_for(hop >> 1):
                self._used[area].discard(hop >> 1)
            if stock[hop] < levels[hop]:
                self._touched.add(hop >> 1)
        if waiting.watched is not None:
            del self._watching[waiting.watched][number]
        self._ready.pop(number, None)
        self._guaranteed.pop(number, None)
        return waiting

    def look_at(self, number: int) -> bool:
        """A request has come, or stands otherwise than before: return whether it can be served now."""
        waiting = self.open[number]
        if waiting.watched is not None:
            del self._watching[waiting.watched][number]
        self._guaranteed.pop(number, None)
        if waiting.view.standing == 0:
            self._guaranteed[number] = waiting
        if self._watch(number, waiting):
            self._ready.pop(number, None)
            return False
        self._ready[number] = waiting
        return True

    def share(self, *, ahead_bits: Mapping[int, int], aside_bits: Mapping[int, int]) -> None:
        """Take what each link that somebody has shares of is to hold ahead, and what of each end's stock is set aside
        for those within their shares, in place of all before."""
        self._ahead_bits = ahead_bits
        self._aside_bits = [aside_bits.get(hop >> 1, 0) for hop in range(len(self._names))]
        self._levels_beyond = [self._needed_bits + bits for bits in self._aside_bits]
        for number in self.open:
            self.look_at(number)

    def is_behind(self, link: int) -> bool:
        """Return whether a link holds less at an end than it is to hold ahead."""
        stock = self._books.stock
        return min(stock[2 * link], stock[2 * link + 1]) < self._ahead_bits.get(link, 0)

    def on_block(self, link: int) -> None:
        """Key was made on a link: see who may have enough now."""
        stock, needed_bits = self._books.stock, self._needed_bits  # who is beyond a share may want more to be there
        for hop in (2 * link, 2 * link + 1):
            if stock[hop] >= needed_bits and (watching := self._watching[hop]):
                self._watching[hop] = {}
                for number, waiting in watching.items():
                    if not self._watch(number, waiting):
                        self._ready[number] = waiting

    def settle(self) -> None:
        """A decision was made: those who could not be served, since others were before them, watch again."""
        ready, self._ready = self._ready, {}
        for number, waiting in ready.items():
            self._watch(number, waiting)

    def _watch(self, number: int, waiting: Open) -> bool:
        """Let a request watch a hop that is short; return whether there is one."""
        stock, levels = self._books.stock, self._levels_for(waiting)
        for hop in waiting.hops:
            if stock[hop] < levels[hop]:
                waiting.watched = hop
                self._watching[hop][number] = waiting
                return True
        waiting.watched = None
        return False

    def _levels_for(self, waiting: Open) -> Sequence[int]:
        """Return what each hop must hold that a request may be served."""
        return self._levels_beyond if waiting.view.is_beyond_share else self._levels

    # --- what a decision must look at ---

    def concern(self, has_order: Container[int]) -> Concern:
        """Return what has to be looked at since this was last asked. ``has_order``: links that are at work."""
        drawn = self._drawn()
        look = self._touched.union(hop >> 1 for hop in self._books.short)
        look.update(hop >> 1 for hop in drawn if self._may_fall_short(hop >> 1, drawn))
        look.update(link for link in self._ahead_bits if link not in has_order and self.is_behind(link))
        self._touched, self._books.short = set(), set()
        areas = self._ports.areas_with(look)
        for area in areas:
            look |= self._used[area]
        orderable = [link for link in look if link not in has_order and self._may_be_wanted(link, drawn)]
        links = {*orderable, *self._ports.running(areas), *(hop >> 1 for hop in drawn)}
        links.update(hop >> 1 for waiting in self._guaranteed.values() for hop in waiting.hops)
        return Concern(sorted(links), self._demands(orderable, drawn), self._ports.members(areas))

    def _drawn(self) -> dict[Hop, int]:
        """Return how many of the requests that can be served draw on each hop."""
        drawn: dict[Hop, int] = {}
        for waiting in self._ready.values():
            for hop in waiting.hops:
                drawn[hop] = drawn.get(hop, 0) + 1
        return drawn

    def _may_be_wanted(self, link: int, drawn: Mapping[Hop, int]) -> bool:
        """Return whether a link may be ordered, for those who wait or to hold key ahead of them."""
        return link in self._ahead_bits or self._may_fall_short(link, drawn)

    def _may_fall_short(self, link: int, drawn: Mapping[Hop, int]) -> bool:
        """Return whether somebody waits for a link, or will when all are served that can be."""
        first = 2 * link
        return self._falls_short(first, drawn.get(first, 0)) or self._falls_short(first + 1, drawn.get(first + 1, 0))

    def _falls_short(self, hop: Hop, times: int) -> bool:
        level_bits = self._aside_bits[hop] + self._needed_bits * (1 + times)
        return self._books.stock[hop] < level_bits and bool(self._on_hop[hop])

    def _demands(self, orderable: Iterable[int], drawn: Mapping[Hop, int]) -> list[DemandView]:
        """Return all requests that can be served or were guaranteed what they ask for, in the order in which they came,
        and what else goes over links that can be ordered: one demand for all alike."""
        shown = self._ready | self._guaranteed
        numbers = sorted(shown)
        views = [(number, self.open[number].view) for number in numbers]
        for link in orderable:
            for hop in (2 * link, 2 * link + 1):
                here = [number for number in numbers if number in self._on_hop[hop]]
                if drawn.get(hop, 0) and self._falls_short(hop, drawn[hop]):
                    views += self._between(hop, here)
                elif len(self._on_hop[hop]) > len(here):
                    views += self._alike(hop, -1, self._rest(hop, shown))
        return [view for _, view in sorted(views, key=_number)]

    def _between(self, hop: Hop, drawing: Sequence[int]) -> Iterator[tuple[int, DemandView]]:
        """Yield those over a hop that cannot be served, together where they come between the same two of those that
        draw on it: those after the one that takes the last of it wait for it, the others do not."""
        numbers = list(self._on_hop[hop])
        places = [-1, *(bisect_left(numbers, number) for number in drawing), len(numbers)]
        for before, (place, following) in zip((-1, *drawing), pairwise(places), strict=True):
            yield from self._alike(hop, before, numbers[place + 1 : following])

    def _rest(self, hop: Hop, shown: Mapping[int, Open]) -> list[int]:
        return [number for number in self._on_hop[hop] if number not in shown]

    def _alike(self, hop: Hop, before: int, numbers: Sequence[int]) -> Iterator[tuple[int, DemandView]]:
        """Yield what goes over a hop and cannot be served, since some hop or other is short; together those that stand
        alike to their shares and are of the same priority."""
        kinds = Counter((self.open[number].view.standing, self.open[number].view.priority) for number in numbers)
        for (standing, priority), times in kinds.items():
            name, hops = f"on {hop} after {before}: {standing}, {priority}", (self._names[hop], ELSEWHERE)
            yield (
                before,
                DemandView(name, hops, self._needed_bits, priority=priority, standing=standing, times=times),
            )


def _number(view: tuple[int, DemandView]) -> int:
    return view[0]

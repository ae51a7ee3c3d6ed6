"""What came of a day's requests, class by class, and over which routes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from qanat.control.graph import Route
from qanat.simulation.day.books import BooksDisagree, LinkDay
from qanat.simulation.day.passes import PassTally

ENOUGH = 0.98
"""Such a part of what a pair asked for is as good as all of it: a run ends while some wait."""


@dataclass(slots=True)
class ClassTally:
    """Requests of one class of pairs. ``cut_off``: no route at that time; ``late``: not met within the patience;
    ``waiting`` when the run ended."""

    asked: int = 0
    served: int = 0
    cut_off: int = 0
    late: int = 0
    waiting: int = 0
    waited: int = 0
    """Served after some wait."""
    wait_s: float = 0.0
    longest_wait_s: float = 0.0

    @property
    def ended(self) -> int:
        """Requests that came to an end: all but those that were waiting when the run ended."""
        return self.asked - self.waiting

    @property
    def success_rate(self) -> float:
        """Served of those that have come to an end; one where none has."""
        return self.served / self.ended if self.ended else 1.0

    def check(self) -> None:
        """Raise BooksDisagree unless each request has come to one end, or waits: a fault of this program otherwise."""
        if self.asked != self.served + self.cut_off + self.late + self.waiting:
            raise BooksDisagree(
                f"{self.asked} requests asked, {self.served} served, {self.cut_off} without a route, "
                f"{self.late} too late, {self.waiting} waiting"
            )

    @property
    def mean_wait_s(self) -> float:
        """Of those served."""
        return self.wait_s / self.served if self.served else 0.0

    def serve(self, wait_s: float) -> None:
        """Note a request that was served."""
        self.served += 1
        if wait_s > 0:
            self.waited += 1
            self.wait_s += wait_s
            self.longest_wait_s = max(self.longest_wait_s, wait_s)

    def joined(self, other: ClassTally) -> ClassTally:
        """Return both together."""
        return ClassTally(
            asked=self.asked + other.asked,
            served=self.served + other.served,
            cut_off=self.cut_off + other.cut_off,
            late=self.late + other.late,
            waiting=self.waiting + other.waiting,
            waited=self.waited + other.waited,
            wait_s=self.wait_s + other.wait_s,
            longest_wait_s=max(self.longest_wait_s, other.longest_wait_s),
        )


@dataclass(frozen=True, slots=True)
class Detour:
    """The pair whose route grew the most when something failed, in hops."""

    hops_more: int
    before: Route
    after: Route


@dataclass(frozen=True, slots=True)
class PairKey:
    """What a pair of one class asked for and got in a network that declares sharing, and what would be its share if all
    pairs of the run asked without end: link key in bit/s as each hop pays it, both directions together."""

    kind: str
    asked_bits_per_s: float
    got_bits_per_s: float
    share_bits_per_s: float

    @property
    def is_short_of_share(self) -> bool:
        """Whether it got notably less than what it asked for, and than its share."""
        return self.got_bits_per_s < ENOUGH * min(self.asked_bits_per_s, self.share_bits_per_s)


@dataclass(frozen=True, slots=True)
class DayResult:
    """A run.

    ``classes``: by class of pairs, "own" being those of which an end hangs on what was removed. ``pairs_cut_off``: how
    many, not counting own ones, were without a route at some time. ``routes``: requests served by route; both
    directions count as the one that the route was looked for in.
    """

    classes: Mapping[str, ClassTally]
    pairs: Mapping[str, int]
    pairs_cut_off: int
    longest_detour: Detour | None
    routes: Counter[Route] = field(repr=False)
    links: tuple[LinkDay, ...] = field(repr=False)
    decisions: int = 0
    passes: PassTally = field(default_factory=PassTally)
    pair_keys: tuple[PairKey, ...] = field(default=(), repr=False)
    """Of each pair, where the network declares sharing."""

    def together(self, *, with_own: bool) -> ClassTally:
        """Return all classes as one, with or without those who hang on what was removed."""
        total = ClassTally()
        for name, tally in self.classes.items():
            if with_own or name != "own":
                total = total.joined(tally)
        return total

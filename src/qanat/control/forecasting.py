"""What is foretold of links, and what the policy makes of it: how much must lie ready before a link gives less.

A forecast says how many bits a link will give over a span of time: none while it is maintained, less in rain, some in a
pass of a satellite. Outside of all spans it gives what it gives as things stand. What is spent meanwhile is taken to be
what was spent of late, a declared guess: a mean of each direction's rate, in which what is so long ago as
``Policy.demand_memory_s`` counts a third of what is now, times ``Policy.foresight_margin``.

A pool must hold, when the first span begins in which more is spent than given, as much as the worst sum of what is
spent and not given from there on (``gap_bits``); then it never runs dry. A half of what a link gives serves each
direction. Pure: the service and the simulated day use the same.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from qanat.control.views import LinkView, NetworkView, Policy
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.orders import LinkForecast

Hop = tuple[LinkId, NodeId]
YOUNG_SHARE = 0.1
"""A mean of less than this share of its memory is that of this share: one request is not yet a rate."""


class Forecasts:
    """What is foretold, by link. Raises ConfigurationError for spans that end before they begin, give less than
    nothing, or overlap on one link."""

    def __init__(self, forecasts: Iterable[LinkForecast] = ()) -> None:
        self._spans: dict[LinkId, list[LinkForecast]] = {}
        for one in sorted(forecasts, key=lambda one: one.from_utc_s):
            spans = self._spans.setdefault(one.link_id, [])
            if not (math.isfinite(one.from_utc_s) and one.from_utc_s < one.until_utc_s < math.inf):
                raise ConfigurationError(
                    f"a forecast of {one.link_id!r} ends before it begins", remedy="mend its times"
                )
            if one.expected_bits < 0:
                raise ConfigurationError(
                    f"a forecast of {one.link_id!r} expects {one.expected_bits} bits", remedy="give 0 bits or more"
                )
            if spans and one.from_utc_s < spans[-1].until_utc_s:
                raise ConfigurationError(
                    f"two forecasts of {one.link_id!r} overlap", remedy="let one end before the other begins"
                )
            spans.append(one)

    def __bool__(self) -> bool:
        return bool(self._spans)

    def __iter__(self) -> Iterator[LinkForecast]:
        return (span for spans in self._spans.values() for span in spans)

    @property
    def links(self) -> Collection[LinkId]:
        """The links of which anything is foretold."""
        return self._spans.keys()

    def of(self, link_id: LinkId) -> Sequence[LinkForecast]:
        """Return what is foretold of a link, in the order of time."""
        return tuple(self._spans.get(link_id, ()))

    def out_until_utc_s(self, link_id: LinkId, *, utc_s: float) -> float | None:
        """Return until when a link is out that is out now; None for one that is not."""
        until_s = None
        for span in self._spans.get(link_id, ()):
            if span.from_utc_s <= (until_s or utc_s) < span.until_utc_s and not span.expected_bits:
                until_s = span.until_utc_s
        return until_s

    def given_by_utc_s(self, link_id: LinkId, *, from_utc_s: float) -> float | None:
        """Return when the span ends that begins then and gives something; None where none does."""
        spans = self._spans.get(link_id, ())
        return next((one.until_utc_s for one in spans if one.from_utc_s == from_utc_s and one.expected_bits), None)

    def share_now(self, link_id: LinkId, *, utc_s: float, rate_bits_per_s: float) -> float:
        """Return which share of its rate a link is expected to give now: 0 where it is out, 1 where nothing is said."""
        for span in self._spans.get(link_id, ()):
            if span.from_utc_s <= utc_s < span.until_utc_s:
                usual_bits = rate_bits_per_s * (span.until_utc_s - span.from_utc_s)
                return min(1.0, span.expected_bits / usual_bits) if usual_bits > 0 else float(span.expected_bits > 0)
        return 1.0

    def ahead(self, link_id: LinkId, *, utc_s: float, rate_bits_per_s: float, until_utc_s: float) -> Iterator[Stretch]:
        """Yield how it goes on from now, until no more is foretold or ``until_utc_s``: spans, and what is between."""
        here_s = utc_s
        for span in self._spans.get(link_id, ()):
            if span.until_utc_s <= utc_s:
                continue
            if span.from_utc_s >= until_utc_s:
                return
            if span.from_utc_s > here_s:
                yield Stretch(here_s, span.from_utc_s, rate_bits_per_s)
            begin_s = max(here_s, span.from_utc_s)
            yield Stretch(begin_s, span.until_utc_s, span.expected_bits / (span.until_utc_s - span.from_utc_s))
            here_s = span.until_utc_s


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time over which a link gives so much, both directions together."""

    from_utc_s: float
    until_utc_s: float
    rate_bits_per_s: float


class DemandSeen:
    """At which rate each direction of links has been spent of late; see the module."""

    def __init__(self, *, memory_s: float, now_s: float) -> None:
        self._memory_s, self._began_s = memory_s, now_s
        self._rates: dict[Hop, tuple[float, float]] = {}  # of each direction: bits per second, as of when
        self._said: dict[Hop, int] = {}

    def note_spent(self, hop: Hop, num_bits: int, *, now_s: float) -> None:
        """So many bits were sent under."""
        self._rates[hop] = (self._faded(hop, now_s) + num_bits / self._memory_s, now_s)

    def note_stock(self, hop: Hop, available_bits: int, *, now_s: float) -> None:
        """An end says what it has: what that is less than what it said before was spent. What was spent in the very
        seconds in which a block came is not seen."""
        before = self._said.get(hop, available_bits)
        self._said[hop] = available_bits
        if available_bits < before:
            self.note_spent(hop, before - available_bits, now_s=now_s)

    def rate_bits_per_s(self, hop: Hop, *, now_s: float) -> float:
        """Return the mean, corrected for that nothing was seen before the beginning."""
        seen = max((now_s - self._began_s) / self._memory_s, YOUNG_SHARE)
        return self._faded(hop, now_s) / -math.expm1(-seen)

    def _faded(self, hop: Hop, now_s: float) -> float:
        rate_bits_per_s, then_s = self._rates.get(hop, (0.0, now_s))
        return rate_bits_per_s * math.exp((then_s - now_s) / self._memory_s)


class Foresight:
    """Forecasts and the demand seen, together what a view of the network lacks."""

    def __init__(self, policy: Policy, *, now_s: float, forecasts: Forecasts | None = None) -> None:
        self.forecasts = forecasts or Forecasts()
        self.demand = DemandSeen(memory_s=policy.demand_memory_s, now_s=now_s)
        self._own = self.forecasts
        self._told: dict[NodeId, Forecasts] = {}
        self._policy = policy

    def __bool__(self) -> bool:
        """Whether anything is foretold."""
        return bool(self.forecasts)

    def renew(self, forecasts: Forecasts) -> None:
        """From now on the operator foretells this, and nothing else."""
        self._own = forecasts
        self._join()

    def renew_from(self, node: NodeId, forecasts: Iterable[LinkForecast]) -> None:
        """From now on a node foretells this of its links, and nothing else; raises ConfigurationError."""
        if (told := Forecasts(forecasts)) or node in self._told:
            self._told[node] = told
            self._join()

    def _join(self) -> None:
        """Of a link that several foretell something of the operator's word counts, then that of the first node by its
        name."""
        taken: dict[LinkId, Iterable[LinkForecast]] = {}
        for source in (self._own, *(self._told[node] for node in sorted(self._told))):
            for link_id in source.links:
                taken.setdefault(link_id, source.of(link_id))
        self.forecasts = Forecasts(span for spans in taken.values() for span in spans)

    def applied(self, view: NetworkView, *, utc_s: float, now_s: float) -> NetworkView:
        """Return a view whose links say what is foretold of them."""
        links = {
            link_id: self._foreseen(link_id, view.links[link_id], utc_s=utc_s, now_s=now_s)
            for link_id in self.forecasts.links
            if link_id in view.links
        }
        return replace(view, links={**view.links, **links}) if links else view

    def _foreseen(self, link_id: LinkId, link: LinkView, *, utc_s: float, now_s: float) -> LinkView:
        rate_bits_per_s = link.rate_bits_per_s
        until_s = utc_s + self._policy.look_ahead_s
        stretches = tuple(
            self.forecasts.ahead(link_id, utc_s=utc_s, rate_bits_per_s=rate_bits_per_s, until_utc_s=until_s)
        )
        next_out = (one.from_utc_s for one in stretches if one.rate_bits_per_s <= 0)
        gaps = {node: self._gap((link_id, node), stretches, now_s=now_s) for node in link.available_bits}
        begins = [begins_utc_s for begins_utc_s, bits in gaps.values() if bits > 0]
        return replace(
            link,
            is_out=self.forecasts.share_now(link_id, utc_s=utc_s, rate_bits_per_s=rate_bits_per_s) <= 0,
            out_in_s=next(next_out, math.inf) - utc_s,
            gap_in_s=min(begins, default=math.inf) - utc_s,
            gap_bits={node: bits for node, (_, bits) in gaps.items()},
        )

    def _gap(self, hop: Hop, stretches: Sequence[Stretch], *, now_s: float) -> tuple[float, int]:
        """Return when more begins to be spent of a direction than is given, and what must lie ready by then."""
        spent = self.demand.rate_bits_per_s(hop, now_s=now_s) * self._policy.foresight_margin
        begins_utc_s, lack_bits, worst_bits = math.inf, 0.0, 0.0
        for one in stretches:
            if begins_utc_s == math.inf and spent <= one.rate_bits_per_s / 2:
                continue
            begins_utc_s = min(begins_utc_s, one.from_utc_s)
            lack_bits += (spent - one.rate_bits_per_s / 2) * (one.until_utc_s - one.from_utc_s)
            worst_bits = max(worst_bits, lack_bits)
        return begins_utc_s, min(math.ceil(worst_bits), self._policy.pool_cap_bits)


def is_short_for_gap(link: LinkView) -> bool:
    """Return whether an end has less than it will spend of what the link does not give in a time foretold."""
    return lack_for_gap_bits(link, link.available_bits) > 0


def lack_for_gap_bits(link: LinkView, available_bits: Mapping[NodeId, int]) -> int:
    """Return what the worse end lacks for a gap, of so much stock; negative for what is over."""
    return max((bits - available_bits.get(node, 0) for node, bits in link.gap_bits.items()), default=0)


def is_pressing(link: LinkView, policy: Policy) -> bool:
    """Return whether what lacks for a gap must be made now: half of the time to it is needed for that, or more.

    Before that it is made in idle time."""
    if not is_short_for_gap(link):
        return False
    turn_s = link.turn_s + policy.recalibration_s if link.kept and not link.is_set else 0.0
    if link.rate_bits_per_s <= 0:
        return True
    work_s = turn_s + 2 * lack_for_gap_bits(link, link.available_bits) / link.rate_bits_per_s
    return 2 * work_s >= link.gap_in_s


def blocks_before_out(link: LinkView, policy: Policy) -> int | None:
    """Return how many blocks a link can make before it is out, 0 while it is; None: as many as one likes, or nobody
    knows how long a block takes."""
    if link.is_out:
        return 0
    if link.out_in_s == math.inf or not link.block_bits or link.rate_bits_per_s <= 0:
        return None
    turn_s = link.turn_s + policy.recalibration_s if link.kept and not link.is_set else 0.0
    return max(0, math.floor((link.out_in_s - turn_s) * link.rate_bits_per_s / link.block_bits))

"""What a caller may ask of the keys themselves, and how a call is known again when it is repeated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from qanat.ground.identifiers import NodeId, SaeId
from qanat.ground.route_policy import ANY_ROUTE, Measure, RoutePolicy

N = TypeVar("N", int, float)
MAX_DISJOINT_ROUTES = 4
"""So many routes that share no relay are looked for between two nodes, and may be required."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What keys must fulfil; the default is met by every key.

    ``max_age_s``: at most so long ago the key was made. ``max_hops``: it passed at most so many links (among several
    slaves, to each). ``disjoint_routes``: it came in shares over so many routes that share no relay.
    ``far_side_ready``: every slave's site answers at this moment. ``policy``: which sites its way may pass.
    ``measure``: of the ways that may be gone, it went the best by this measure.
    """

    max_age_s: float | None = None
    max_hops: int | None = None
    disjoint_routes: int = 1
    far_side_ready: bool = False
    policy: RoutePolicy = ANY_ROUTE
    measure: Measure | None = None

    def __post_init__(self) -> None:
        if self.disjoint_routes < 1:
            raise ValueError(f"keys travel over one route or more, not {self.disjoint_routes}")

    def joined(self, other: Requirements) -> Requirements:
        """Return the requirements that are met when both are."""
        return Requirements(
            max_age_s=_least(self.max_age_s, other.max_age_s),
            max_hops=_least(self.max_hops, other.max_hops),
            disjoint_routes=max(self.disjoint_routes, other.disjoint_routes),
            far_side_ready=self.far_side_ready or other.far_side_ready,
            policy=self.policy.joined(other.policy),
            measure=self.measure or other.measure,
        )

    @property
    def asks_for_way(self) -> bool:
        """Whether it matters which sites a key has passed: then not every way will do, nor every key in stock."""
        return self.policy != ANY_ROUTE or self.measure is not None

    def spelled(self) -> str:
        """Return one spelling of these requirements, the same in every process."""
        amounts = (self.max_age_s, self.max_hops, self.disjoint_routes, self.far_side_ready)
        policy = self.policy
        return repr((amounts, sorted(policy.avoid), policy.domestic_only, policy.direct_only, self.measure))

    def with_preferences(self, prefer: Requirements) -> Iterator[Requirements]:
        """Yield what to require in turn: with all that is preferred, then without what may not be possible. What gives
        way first: shares over several routes, few hops, the best way, direct keys, the region, sites to avoid."""
        if prefer == NO_REQUIREMENTS:  # the rule
            yield self
            return
        wanted, policy = [prefer], prefer.policy
        wanted.append(replace(wanted[-1], disjoint_routes=1))
        wanted.append(replace(wanted[-1], max_hops=None))
        wanted.append(replace(wanted[-1], measure=None))
        wanted.append(replace(wanted[-1], policy=replace(policy, direct_only=False)))
        wanted.append(replace(wanted[-1], policy=RoutePolicy(avoid=policy.avoid)))
        wanted.append(replace(wanted[-1], policy=ANY_ROUTE))
        yield from dict.fromkeys(self.joined(one) for one in wanted)


NO_REQUIREMENTS = Requirements()


@dataclass(frozen=True, slots=True)
class KeyFit:
    """Which keys of a stock will do: made at ``made_from_utc_s`` or later, over ``max_hops`` links at most.

    Of every way that they are recorded to have gone: it passed none of the sites ``avoid``, only sites ``within``, no
    relay where ``is_direct``; and it was the one ``way`` where there is such.
    """

    made_from_utc_s: float | None = None
    max_hops: int | None = None
    avoid: frozenset[NodeId] = frozenset()
    within: frozenset[NodeId] | None = None
    is_direct: bool = False
    way: tuple[NodeId, ...] | None = None

    def takes(self, made_utc_s: float, *, routes: Sequence[tuple[NodeId, ...]]) -> bool:
        """Return whether a key that was made then, and came over these ways, will do."""
        if self.made_from_utc_s is not None and made_utc_s < self.made_from_utc_s:
            return False
        if self.max_hops is not None and len(routes[0]) - 1 > self.max_hops:
            return False
        return self.takes_ways(routes) and (self.way is None or [*routes] == [self.way])

    def takes_ways(self, routes: Sequence[tuple[NodeId, ...]]) -> bool:
        """Return whether a key that came over these ways passed none but such sites as it may."""
        return all(self._takes_way(route) for route in routes)

    def _takes_way(self, route: tuple[NodeId, ...]) -> bool:
        is_within = self.within is None or self.within.issuperset(route)
        return self.avoid.isdisjoint(route) and is_within and not (self.is_direct and len(route) > 2)


ANY_KEY = KeyFit()


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A call for keys that may come again: the same ``sae``, ``nonce`` and ``request`` get the same keys.

    ``request`` is one spelling of what is asked: the same nonce with another one is refused. The keys are kept for
    that purpose for ``window_s`` from ``now_monotonic_s``, the time of the call; a restart begins the window anew,
    since no clock that only grows outlives a process. The store forgets what it keeps for the same SAE's ``instead_of``
    when it keeps this answer.
    """

    sae: SaeId
    nonce: str
    request: str
    now_monotonic_s: float
    window_s: float
    instead_of: tuple[str, ...] = ()


def _least(one: N | None, other: N | None) -> N | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)

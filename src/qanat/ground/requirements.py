"""What a caller may ask of the keys themselves, and how a call is known again when it is repeated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from qanat.ground.identifiers import SaeId

N = TypeVar("N", int, float)
MAX_DISJOINT_ROUTES = 4
"""So many routes that share no relay are looked for between two nodes, and may be required."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What keys must fulfil; the default is met by every key.

    ``max_age_s``: at most so long ago the key was made. ``max_hops``: it passed at most so many links (among several
    slaves, to each). ``disjoint_routes``: it came in shares over so many routes that share no relay.
    ``far_side_ready``: every slave's site answers at this moment.
    """

    max_age_s: float | None = None
    max_hops: int | None = None
    disjoint_routes: int = 1
    far_side_ready: bool = False

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
        )

    def with_preferences(self, prefer: Requirements) -> Iterator[Requirements]:
        """Yield what to require in turn: with all that is preferred, then without what may not be possible (shares
        over several routes, few hops)."""
        if prefer == Requirements():  # the rule
            yield self
            return
        wanted = (prefer, replace(prefer, disjoint_routes=1), replace(prefer, disjoint_routes=1, max_hops=None))
        yield from dict.fromkeys(self.joined(one) for one in wanted)


@dataclass(frozen=True, slots=True)
class KeyFit:
    """Which keys of a stock will do: made at ``made_from_utc_s`` or later, over ``max_hops`` links at most."""

    made_from_utc_s: float | None = None
    max_hops: int | None = None

    def takes(self, made_utc_s: float, *, hops: int) -> bool:
        """Return whether a key that was made then, over so many links, will do."""
        is_young = self.made_from_utc_s is None or made_utc_s >= self.made_from_utc_s
        return is_young and (self.max_hops is None or hops <= self.max_hops)


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

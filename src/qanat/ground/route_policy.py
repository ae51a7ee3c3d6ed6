"""Which ways a key may go, as its caller wishes; the wish travels with the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from qanat.ground.identifiers import NodeId

Measure: TypeAlias = Literal["widest", "cheapest", "freshest"]
"""By what the best of several ways is found; docs/explanation/routing.md says what each compares."""
MEASURES: tuple[Measure, ...] = get_args(Measure)


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """What a route must fulfil; the default is met by every route of trusted relays.

    ``avoid``: it passes none of these sites. ``domestic_only``: every site on it, its ends included, is stated to be in
    one and the same region; a site of which no region is stated is in none. ``direct_only``: one QKD link joins the two
    (through optical switches at most), so that no relay knows the key.
    """

    avoid: frozenset[NodeId] = frozenset()
    domestic_only: bool = False
    direct_only: bool = False

    @classmethod
    def avoiding(cls, *sites: str) -> RoutePolicy:
        """Return the policy of whoever would have no key pass these sites, by their names in the network file."""
        return cls(avoid=frozenset(map(NodeId, sites)))

    def joined(self, other: RoutePolicy) -> RoutePolicy:
        """Return the policy that is met when both are."""
        return RoutePolicy(
            avoid=self.avoid | other.avoid,
            domestic_only=self.domestic_only or other.domestic_only,
            direct_only=self.direct_only or other.direct_only,
        )

    def allows(self, route: Sequence[NodeId], *, regions: Mapping[NodeId, str]) -> bool:
        """Return whether a key may go a way, or have gone it. regions: where sites are stated to be.

        A key that went nowhere that anybody knows of (an empty route) may have been anywhere.
        """
        if self == ANY_ROUTE:
            return True
        if not route or not self.avoid.isdisjoint(route) or (self.direct_only and len(route) > 2):
            return False
        homes = {regions.get(node, "") for node in route} if self.domestic_only else {"anywhere"}
        return len(homes) == 1 and "" not in homes


ANY_ROUTE = RoutePolicy()

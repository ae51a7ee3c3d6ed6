"""Which ways a key may go, as its caller wishes; the wish travels with the request."""

from __future__ import annotations

from dataclasses import dataclass

from qanat.ground.identifiers import NodeId


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

    def joined(self, other: RoutePolicy) -> RoutePolicy:
        """Return the policy that is met when both are."""
        return RoutePolicy(
            avoid=self.avoid | other.avoid,
            domestic_only=self.domestic_only or other.domestic_only,
            direct_only=self.direct_only or other.direct_only,
        )


ANY_ROUTE = RoutePolicy()

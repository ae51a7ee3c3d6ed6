"""What applications require of the way of their keys: which keys in stock went such a way, and which ways to go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qanat.ground.clock import Deadline
from qanat.ground.errors import RequirementUnmet
from qanat.ground.identifiers import NodeId, members_of
from qanat.ground.keys import SecretKey
from qanat.ground.network import Network
from qanat.ground.requirements import ANY_KEY, NO_REQUIREMENTS, KeyFit, Requirements
from qanat.ground.route_policy import RoutePolicy
from qanat.key_management.asking import RouteDesk, ToldWays, WaysUnknown
from qanat.key_management.context import Context
from qanat.key_management.obstacles import require_joined, require_way


@dataclass(frozen=True, slots=True)
class WishedWays:
    """The wishes of one node's applications."""

    context: Context
    desk: RouteDesk

    def refuse_impossible(self, nodes: Sequence[NodeId], require: Requirements) -> None:
        """Raise RequirementUnmet where no keys for applications at these nodes could be as they are required."""
        network, here = self.context.network, self.context.node
        for node in nodes:
            require_way(network, here, node, require.policy.joined(network.policy_between(here, node)))
        if require.measure is not None and len(nodes) > 1:
            raise RequirementUnmet(
                "of several ways at once none is the best", remedy="ask for each site's keys by itself"
            )
        if require.measure is not None and require.disjoint_routes > 1:
            raise RequirementUnmet(
                f"keys over {require.disjoint_routes} ways do not go the one that is the {require.measure}",
                remedy="ask for shares over several routes, or for the best route",
            )

    def refuse_unjoined(self, nodes: Sequence[NodeId], require: Requirements) -> None:
        """Raise RequirementUnmet where something is required of the way and the network has no way to a node at all:
        that will not pass by itself, as it may where the controller only knows of none now."""
        if require.asks_for_way or require.disjoint_routes > 1:
            self.refuse_impossible(nodes, require)
            for node in nodes:
                require_joined(self.context.network, self.context.node, node)

    async def ways(
        self, nodes: Sequence[NodeId], require: Requirements, deadline: Deadline, *, is_strict: bool
    ) -> Mapping[NodeId, ToldWays]:
        """Return the ways that keys may go to each node; ``is_strict``: of each only the best by the measure.

        Raises WaysUnknown, NoRoute.
        """
        told = {}
        for node in nodes:
            found = await self.desk.ask(node, require.policy, require.measure, deadline)
            if require.measure is not None and is_strict:
                found = self._best_of(found, require)
            told[node] = found
        return told

    def fit(self, require: Requirements, *, way: tuple[NodeId, ...] | None = None) -> KeyFit:
        """Return which keys in stock fulfil what is required of their age and way; ``way``: they went just this."""
        if way is None and require == NO_REQUIREMENTS:
            return ANY_KEY
        made_from_utc_s = None if require.max_age_s is None else self.context.clock.utc_s() - require.max_age_s
        policy, within = require.policy, None
        if policy.domestic_only:
            within = homeland(self.context.network, self.context.node)
        return KeyFit(made_from_utc_s, require.max_hops, policy.avoid, within, policy.direct_only, way)

    def unmet(
        self, keys: Sequence[SecretKey], target: NodeId, *, prefer: Requirements, kept: Requirements
    ) -> tuple[str, ...]:
        """Return by name what was preferred of the way and these keys do not fulfil. ``kept``: what they were taken or
        made under."""
        if prefer == NO_REQUIREMENTS:
            return ()
        wanted = prefer.policy
        parts = {
            "avoid": RoutePolicy(avoid=wanted.avoid),
            "domestic_only": RoutePolicy(domestic_only=wanted.domestic_only),
            "direct_only": RoutePolicy(direct_only=wanted.direct_only),
        }
        names = [name for name, part in parts.items() if not self._is_kept(keys, part, kept)]
        if prefer.measure is not None and not self._went_best(keys, target, replace(kept, measure=prefer.measure)):
            names.append("route")
        return tuple(names)

    def _is_kept(self, keys: Sequence[SecretKey], part: RoutePolicy, kept: Requirements) -> bool:
        if kept.policy.joined(part) == kept.policy:
            return True
        regions = self.context.network.regions
        # of keys for several slaves the way to one of them alone is recorded
        is_recorded = all(len(members_of(key.pair.slave)) == 1 for key in keys)
        return is_recorded and all(part.allows(way, regions=regions) for key in keys for way in key.routes)

    def _went_best(self, keys: Sequence[SecretKey], target: NodeId, require: Requirements) -> bool:
        if all(len(key.route) == 1 for key in keys):
            return True
        assert require.measure is not None
        best = self.desk.best(target, require.policy, require.measure)
        is_recorded = all(len(members_of(key.pair.slave)) == 1 for key in keys)
        return best is not None and is_recorded and all(key.routes == (best,) for key in keys)

    def _best_of(self, found: ToldWays, require: Requirements) -> ToldWays:
        if not found.is_best:
            raise WaysUnknown(
                f"which way is the {require.measure} is for the controller to say, and it does not answer",
                remedy="bring the controller up again, or ask for keys of any way; ask again in a moment",
                retry_after_s=self.context.settings.wait_s,
            )
        return ToldWays(found.ways[:1], found.disjoint, found.cut)


def homeland(network: Network, node: NodeId) -> frozenset[NodeId]:
    """Return the sites that are stated to be in a node's region."""
    home = network.regions.get(node, "")
    return frozenset(other for other, region in network.regions.items() if home and region == home)

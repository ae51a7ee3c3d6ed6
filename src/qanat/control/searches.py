"""The three searches that routes are made of, on numbers: the widest bottleneck, the fewest hops, the least cost.

Of the widest routes the one with the fewest hops is wanted. One search by both would miss it: the part of the best
route as far as some site is not always the best route to that site. So the width is found first, by Dijkstra's
algorithm in its widest-path form, and then the fewest hops among the links that are as wide, by breadth.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from qanat.control.graph import RouteGraph

NOWHERE = -1
Passes = bytes | bytearray


def bottlenecks(
    graph: RouteGraph, values: Sequence[float], source: int, *, passes: Passes, until: int = NOWHERE
) -> list[float]:
    """Return, by site, the greatest of the least values along any route from ``source``; minus infinity: no route.

    values: by link. With ``until`` only the value of that site is meant; the search ends there.
    """
    best = [float("-inf")] * len(graph.nodes)
    best[source] = float("inf")
    queue = [(-best[source], source)]
    hops, link_is_up, node_is_up = graph.hops, graph.link_is_up, graph.node_is_up
    while queue:
        narrowness, here = heapq.heappop(queue)
        if here == until:
            break
        reached = -narrowness
        if reached < best[here] or not (passes[here] or here == source):
            continue
        for there, link in hops[here]:
            value = values[link]
            if value > reached:
                value = reached
            if value > best[there] and link_is_up[link] and node_is_up[there]:
                best[there] = value
                if passes[there] or there == until:
                    heapq.heappush(queue, (-value, there))
    return best


def fewest_hops(
    graph: RouteGraph,
    source: int,
    *,
    passes: Passes,
    values: Sequence[float] | None = None,
    at_least: float = 0.0,
    until: int = NOWHERE,
) -> list[int]:
    """Return, by site, the site before it on the route of the fewest hops from ``source``, or NOWHERE.

    Only links whose value is ``at_least`` so high are used, where ``values`` are given. Of routes of as many hops the
    first by its sites' names is meant: sites are visited in that order (breadth first, neighbours by name).
    """
    before = [NOWHERE] * len(graph.nodes)
    before[source] = source
    level = [source]
    hops, link_is_up, node_is_up = graph.hops, graph.link_is_up, graph.node_is_up
    while level and (until == NOWHERE or before[until] == NOWHERE):
        following: list[int] = []
        for here in level:
            if not (passes[here] or here == source):
                continue
            for there, link in hops[here]:
                if before[there] != NOWHERE or not link_is_up[link] or not node_is_up[there]:
                    continue
                if values is None or values[link] >= at_least:
                    before[there] = here
                    following.append(there)
        level = following
    before[source] = NOWHERE
    return before


def least_cost(graph: RouteGraph, source: int, target: int, *, passes: Passes) -> list[int]:
    """Return the sites of the route of the least cost; of those, of the fewest hops; of those, the first by name.

    Costs are whole numbers, so sums of them are exact. The search begins at the target; the way back from the source
    then takes the first name at each fork. Empty when there is no route.
    """
    scale = len(graph.nodes)  # a route has fewer hops than there are sites: hops count below the last place of the cost
    unknown = -1
    costs = [unknown] * scale
    costs[target] = 0
    queue = [(0, target)]
    hops, link_is_up, node_is_up, cost = graph.hops, graph.link_is_up, graph.node_is_up, graph.cost
    while queue:
        so_far, here = heapq.heappop(queue)
        if here == source:
            break
        if so_far > costs[here]:
            continue
        for there, link in hops[here]:
            if not (passes[there] or there == source) or not link_is_up[link] or not node_is_up[there]:
                continue
            total = so_far + cost[link] * scale + 1
            if costs[there] == unknown or total < costs[there]:
                costs[there] = total
                heapq.heappush(queue, (total, there))
    return _way_down(graph, costs, source, target) if costs[source] != unknown else []


def _way_down(graph: RouteGraph, costs: Sequence[int], source: int, target: int) -> list[int]:
    """Walk from ``source`` to ``target`` along hops that lower the cost by exactly their own."""
    scale, way = len(graph.nodes), [source]
    while way[-1] != target:
        here = way[-1]
        way.append(
            next(
                there
                for there, link in graph.hops[here]
                if graph.link_is_up[link] and costs[there] == costs[here] - graph.cost[link] * scale - 1
            )
        )
    return way

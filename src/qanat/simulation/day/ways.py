"""Routes of pairs as the hops that keys of both directions go over."""

from __future__ import annotations

from dataclasses import dataclass

from qanat.control.graph import Route, RouteGraph
from qanat.simulation.day.books import Hop
from qanat.simulation.day.plan import DayPlan


@dataclass(frozen=True, slots=True)
class Way:
    """A pair's route now: the hops of a request of ``one`` and of ``other``."""

    route: Route
    hops: tuple[tuple[Hop, ...], tuple[Hop, ...]]


NO_WAY: tuple[tuple[Hop, ...], tuple[Hop, ...]] = ((), ())


def hops_along(route: Route, graph: RouteGraph, plan: DayPlan) -> tuple[Hop, ...]:
    """Return the hops of what goes along a route from its first site."""
    numbers = [plan.number[link_id] for link_id in graph.links_along(route)]
    return tuple(
        2 * number + (plan.links[number].ends[1] == sender) for number, sender in zip(numbers, route, strict=False)
    )


def way_along(route: Route | None, graph: RouteGraph, plan: DayPlan) -> Way | None:
    """Return a route as hops, for both directions; None for none."""
    if route is None:
        return None
    return Way(route, (hops_along(route, graph, plan), hops_along(route[::-1], graph, plan)))

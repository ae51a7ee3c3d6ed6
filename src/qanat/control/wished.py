"""Answers to key managers who ask for other ways than the table tells: that avoid sites, or are the best by a measure.

What the measures compare. *Widest*: the narrowest link's secret key rate. *Cheapest*: the QKD bits that a bit of key
costs, which is one on every link, so the fewest links. *Freshest*: the age of the link key that would be spent, by
what both ends of each link said last; a link without key has to make some, and is as fresh as can be. A link that
fails, or of a site that does not answer, is the last choice by each of them, as it is in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

from qanat.control.books import Books, LinkBook
from qanat.control.graph import Route, RouteGraph
from qanat.control.routing import cheapest, disjoint, freshest, policy_between, widest
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.route_policy import Measure, RoutePolicy
from qanat.key_management.wire import RouteAnswer, RouteQuestion

Best: TypeAlias = Callable[[RouteGraph, NodeId, NodeId, RoutePolicy], Route | None]
BEST: Mapping[Measure, Best] = {"widest": widest, "cheapest": cheapest, "freshest": freshest}
UNKNOWN_AGE_S = 1e9
"""Of key at links that have not said how old theirs is, and at links that fail."""
COST_OF_FAILING = 1_000_000
"""What a link that fails costs in place of one bit: any other way is cheaper."""


def answer(
    word: RouteQuestion,
    source: NodeId,
    *,
    graph: RouteGraph,
    policies: Mapping[NodeId, RoutePolicy],
    stamp: tuple[int, int],
) -> RouteAnswer:
    """Return the ways from ``source`` that a question allows, the best first; raises UnknownNode.

    ``policies``: what sites ask of every way that ends at them. ``stamp``: epoch and version of the table in force.
    The ways are the best, those that share no relay, and round each relay that is on all of these, where there is such.
    """
    policy = RoutePolicy(frozenset(word.avoid), word.domestic_only, word.direct_only)
    policy = policy.joined(policy_between(policies, source, word.target))
    find = BEST[word.measure]
    best = find(graph, source, word.target, policy)
    if best is None:
        return RouteAnswer(word, *stamp, (), (), ())
    found = disjoint(graph, source, word.target, policy)
    ways = dict.fromkeys((best, *found.routes))
    for relay in best[1:-1]:
        if all(relay in way for way in ways):
            detour = find(graph, source, word.target, policy.joined(RoutePolicy(frozenset({relay}))))
            ways |= dict.fromkeys([detour] if detour is not None else [])
    if (short := cheapest(graph, source, word.target, policy)) is not None:
        ways.setdefault(short)  # who requires few links finds it
    return RouteAnswer(word, *stamp, tuple(ways), found.routes, found.cut)


def note_ages_and_costs(graph: RouteGraph, books: Books, *, failing: Collection[LinkId]) -> None:
    """Note how old every link's key is, and what a bit over it costs."""
    for link in graph.links:
        fails = link.link_id in failing
        age_s = UNKNOWN_AGE_S if fails else _age_s(books.links[link.link_id])
        graph.set_link(link.link_id, age_s=age_s, cost=COST_OF_FAILING if fails else 1)


def _age_s(book: LinkBook) -> float:
    """Return the age of the older of the two ends' key."""
    ages_s = [book.ages_s.get(end, UNKNOWN_AGE_S) for end in book.ends]
    return max(0.0 if age_s is None else age_s for age_s in ages_s)

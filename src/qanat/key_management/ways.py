"""Which ways keys go from this node: of those that the controller has pushed, the ones that are open and can pay.

A way is closed for a while when a node of it did not answer; it cannot pay while a pool of it is known to be too small.
Both are learnt from relays that failed, at the cost of pads, and remembered so that the next one does not pay again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import TypeAlias, TypeVar

from qanat.ground.clock import Deadline
from qanat.ground.errors import KeyShortage, NodeSilent, NoRoute, RequirementUnmet
from qanat.ground.identifiers import LinkId, NodeId
from qanat.key_management.asking import RouteDesk, ToldWays
from qanat.key_management.context import Context, PoolShort
from qanat.key_management.direct_keys import as_ends_have_it, require_link
from qanat.key_management.multipath import those_apart
from qanat.key_management.pools import is_reached
from qanat.key_management.wire import PoolShortage, Routes

SLACK = 3
"""A verdict is awaited so many times as long as the last one took."""
NAMED_NODES = 3
"""So many nodes of a cut are named; a long line has many."""
Way: TypeAlias = tuple[NodeId, ...]
Silence: TypeAlias = tuple[NodeId, NodeId]
"""Who does not hear whom."""
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Wish:
    """``count`` ways without a common relay for a batch to ``target`` that takes ``needed_bits`` of each hop,
    each of at most ``max_hops``. ``told``: the ways to choose from, where not all that are known will do. ``silent``:
    who was found not to hear whom since the batch was first tried; it may take longer to find that of all ways than any
    is closed."""

    target: NodeId
    count: int
    needed_bits: int
    max_hops: int | None = None
    told: ToldWays | None = None
    silent: dict[Silence, None] = field(default_factory=dict, compare=False)


@dataclass(slots=True)
class Tried:
    """What the tries of one batch have met with so far. ``counted_bits``: what it counts against caps, per target."""

    failures: Counter[Way] = field(default_factory=Counter)
    short: dict[Way, tuple[PoolShortage, ...]] = field(default_factory=dict)
    counted_bits: int = 0


class Ways:
    """The ways that begin at this node."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._closed_until_s: dict[Silence, float] = {}
        self._shorts: dict[Way, tuple[PoolShortage, ...]] = {}
        self._told_short_until_s: dict[Way, float] = {}
        self._barren_until_s: dict[Way, float] = {}
        self._lost_until_s: dict[Way, float] = {}
        self._patience_s: dict[Way, float] = {}  # where it is more than the settings say
        self._patient_until_s: dict[Way, float] = {}
        self.desk = RouteDesk(context)

    def choose(self, wish: Wish, tried: Tried) -> Routes:
        """Return as many ways as are required, those first that have failed least.

        Raises NoRoute, RequirementUnmet; KeyShortage when a node on the way does not answer; PoolShort. To make key for
        a way is better than to try one again that has swallowed a batch.
        """
        open_ways = self._in_turn(wish)
        able = [way for way in open_ways if not self._short(way, wish, tried)]
        sound = [way for way in open_ways if not self._holds(self._lost_until_s, way)]
        best = sorted(able, key=lambda way: (way not in sound, tried.failures[way]))[: wish.count]
        promising = [way for way in sound if not self.is_barren(way)]
        if len(best) == wish.count and (set(best) <= set(sound) or len(promising) < wish.count):
            return tuple(best)
        rest = sorted(open_ways, key=self.is_barren)
        hopeful = (promising if len(promising) >= wish.count else rest)[: wish.count]
        raise PoolShort(tuple(pool for way in hopeful for pool in self._short(way, wish, tried)), routes=tuple(hopeful))

    def to_ask_for(self, wish: Wish, tried: Tried, ways: Routes) -> PoolShort:
        """Return for which ways a batch that may not go ``ways`` at once is to ask the controller: where these have
        carried their part of the shares, for the one that may carry more the soonest, though it be short now."""
        parts = self._context.routes.rations.parts
        if parts.are_left(ways):
            return PoolShort((), routes=ways)
        others = [way for way in self._in_turn(wish) if not self.is_barren(way)]
        soonest = min((*ways, *others), key=parts.wait_s)
        return PoolShort(() if (soonest,) == ways else self._short(soonest, wish, tried), routes=(soonest,))

    def say_short(self, wish: Wish, tried: Tried) -> None:
        """Raise PoolShort if tries have met with too little key, though there may be more ways than were tried: key is
        to be made for the first of those, not to be looked for on one way after the other."""
        if not (short := [way for way in self._open(wish) if way in tried.short]):
            return
        short.sort(key=self.is_barren)
        ways = tuple(dict.fromkeys((*short, *self._open(wish))))[: wish.count]
        raise PoolShort(tuple(pool for way in ways for pool in tried.short.get(way, ())), routes=ways)

    def has_others(self, wish: Wish) -> bool:
        """Return whether there are more open ways than one batch needs."""
        return len(self._open(wish)) > wish.count

    def close(self, wishes: Iterable[Wish], *, at: NodeId, silent: NodeId) -> None:
        """A node does not answer ``at``: no way goes through it, or from there to it, for a while, and none of those
        that these wishes choose."""
        for wish in wishes:
            wish.silent[at, silent] = None
        self._closed_until_s[at, silent] = self._later(self._context.settings.cut_route_pause_s)

    async def close_silent(self, ways: Routes) -> None:
        """Close those of these ways whose first node does not answer, and is not just coming up."""
        context = self._context
        for way in ways:
            deadline = Deadline.after(context.clock, context.settings.reach_patience_s)
            if self.are_closed((way,)) or await is_reached(context, way[1], deadline):
                continue
            if not context.courier.is_coming(way[1]):
                self.close((), at=context.node, silent=way[1])

    def are_closed(self, ways: Routes) -> bool:
        """Return whether a node on any of these ways did not answer a moment ago."""
        return any(self._silences_on(way, Wish(way[-1], 1, 0)) for way in ways)

    def patience_s(self, way: Way) -> float:
        """Return how long the verdict on a batch that goes this way is awaited."""
        is_kept = self._holds(self._patient_until_s, way)
        return max(self._least_patience_s(way), self._patience_s[way] if is_kept else 0.0)

    def note_heard(self, ways: Routes, *, after_s: float) -> None:
        """A batch has arrived that went these ways, and its verdict took so long."""
        for way in ways:
            self._be_patient(way, SLACK * after_s)

    def note_lost(self, ways: Routes) -> None:
        """A batch has gone these ways and was never heard of again, or not as it was sent: others are better for a
        while."""
        for way in ways:
            self._lost_until_s[way] = self._later(self._context.settings.cut_route_pause_s)

    def note_unheard(self, ways: Iterable[Way]) -> None:
        """Nobody has said in time what became of a batch that went these ways: the next one is awaited twice as long.

        It may be that all are slow, as on a machine or a line with too much to do, where batches that are given up and
        made again would only add to that.
        """
        for way in ways:
            self._be_patient(way, 2 * self.patience_s(way))

    def note_short(self, way: Way, short: tuple[PoolShortage, ...]) -> None:
        """A pool of this way holds too little, until it is said that key was made, or cannot be."""
        self._shorts[way] = short
        self._told_short_until_s[way] = self._later(self._context.settings.demand_patience_s)

    def on_key_made(self, ways: Routes) -> None:
        """Every hop of these ways holds what was asked for."""
        for way in ways:
            self._shorts.pop(way, None)
            self._barren_until_s.pop(way, None)

    def on_no_key_made(self, ways: Routes, *, by_link: bool, again_s: float | None = None) -> None:
        """Key for these ways cannot be made now: others are asked first, for a while, ``again_s`` at most.

        After that a way is tried, whatever was short on it, unless a link failed (``by_link``): a satellite brings key
        that nobody ordered, of which nobody would say ``on_key_made``.
        """
        for way in ways:
            if not by_link:
                self._shorts.pop(way, None)
            until_s = self._later(min(again_s or math.inf, self._context.settings.failed_retry_s))
            self._barren_until_s[way] = self._told_short_until_s[way] = until_s

    def on_links_back(self, links: frozenset[LinkId]) -> None:
        """The modules of these links answer again: ways over them are tried at once."""
        network = self._context.network
        for way in list(self._barren_until_s):
            if any(network.link_between(*hop).link_id in links for hop in pairwise(way)):
                self._shorts.pop(way, None)
                del self._barren_until_s[way]

    def is_short(self, way: Way) -> bool:
        """Return whether a hop of a way was short further on, and nobody has said since that it holds key."""
        return way in self._shorts

    def shorts_on(self, way: Way) -> tuple[PoolShortage, ...]:
        """Return the pools further on of which it was said as a batch failed, that they hold so little. Once nobody
        here waits for key of them any more, and a while after none could be made, that is no news: they may have been
        filled for others, and nobody would say so."""
        return self._shorts.get(way, ()) if self._holds(self._told_short_until_s, way) else ()

    def not_dead(self, target: NodeId) -> Routes:
        """Return the ways to ``target`` on which, as far as is known, every node answers those before it, and the
        controller; none where there is no way."""
        wish, lost = Wish(target, 1, 0), self._context.routes.lost_nodes
        try:
            known = self._known(wish)
        except (NoRoute, KeyShortage):
            return ()
        return tuple(way for way in known if not self._silences_on(way, wish) and lost.isdisjoint(way[1:]))

    def suspects(self, wish: Wish) -> tuple[str, ...]:
        """Return in words which nodes on the ways of a wish do not answer, as far as is known here, or the controller:
        what was tried and failed on all of them may be due to those."""
        known = self._known(wish)
        silences = dict.fromkeys(words for way in known for words in self._silences_on(way, wish))
        lost = self._context.routes.lost_nodes.intersection(node for way in known for node in way[1:])
        told = [f"{silent!r} does not answer {at!r}" for at, silent in silences]
        return (*told, *(f"{node!r} does not answer the controller" for node in sorted(lost)))

    def is_barren(self, way: Way) -> bool:
        """Return whether no key for a way could be made a while ago."""
        return self._holds(self._barren_until_s, way)

    # --- inside ---

    def _in_turn(self, wish: Wish) -> Routes:
        """Return the open ways, those first that have not carried their part of the shares, and whose turn it is."""
        routes = self._context.routes
        ways = routes.spreading.in_turn(wish.target, self._open(wish), num_bits=wish.needed_bits, count=wish.count)
        if wish.count > 1:
            return ways
        return tuple(sorted(ways, key=lambda way: not routes.rations.parts.are_left((way,))))

    def _open(self, wish: Wish) -> Routes:
        # looked up once: a silence may come to its end between two looks
        known = self._known(wish)
        silences = [self._silences_on(way, wish) for way in known]
        open_ways = tuple(way for way, words in zip(known, silences, strict=True) if not words)
        reached = tuple(way for way in open_ways if not self._context.courier.is_unreached(way[1]))
        if len(reached) >= wish.count:  # to wait for a neighbour that cannot be reached is for who has no other way
            return reached
        if len(open_ways) < wish.count:
            if not (closed := [words for words in silences if words]):
                raise _too_few(self._context.node, wish, known, ())
            raise self._silent(wish, closed, missing=min(wish.count - len(open_ways), len(closed)))
        return open_ways

    def _known(self, wish: Wish) -> Routes:
        network = self._context.network
        require_link(network, self._context.node, wish.target)
        ways = self._context.routes.ways(wish.target) if wish.told is None else wish.told.ways
        ways = as_ends_have_it(network, ways)
        if wish.count > 1:
            choices = self._context.routes.choices(wish.target) if wish.told is None else wish.told
            apart = those_apart(choices.disjoint, network.trusted_route)
            if len(apart) < wish.count:
                raise _too_few(self._context.node, wish, apart, choices.cut)
            ways = as_ends_have_it(network, apart)
        if not ways:  # whoever told them has another description of the network
            raise KeyShortage(
                f"the controller tells no way to {wish.target!r} that the sites at its ends would have their keys go",
                remedy="give all sites and the controller the same network file",
            )
        if wish.max_hops is None:
            return ways
        passed = {way: len(network.trusted_route(way)) - 1 for way in ways}  # two downlinks where a satellite joins
        near = tuple(way for way in ways if passed[way] <= wish.max_hops)
        if len(near) < wish.count:
            hops = sorted(passed.values())[wish.count - 1]
            raise RequirementUnmet(
                f"the way to {wish.target!r} has {hops} hops", remedy=f"allow {hops}, or another slave"
            )
        return near

    def _short(self, way: Way, wish: Wish, tried: Tried) -> tuple[PoolShortage, ...]:
        """Return the pools of a way that are known to hold too little."""
        if way in tried.short:
            return tried.short[way]
        return tuple(pool for pool in self._shorts.get(way, ()) if pool.available_bits < wish.needed_bits)

    def _silences_on(self, way: Way, wish: Wish) -> tuple[Silence, ...]:
        """Return who does not hear whom on a way; nobody where it is open."""
        hops, inner = list(pairwise(way)), way[1:-1]
        held = [words for words in list(self._closed_until_s) if self._holds(self._closed_until_s, words)]
        return tuple(words for words in dict.fromkeys((*wish.silent, *held)) if words in hops or words[1] in inner)

    def _silent(self, wish: Wish, closed: Sequence[tuple[Silence, ...]], *, missing: int) -> NodeSilent:
        """Return the refusal, which names every silence that closes a way, and the fewest nodes that would have to
        answer for as many ways as are missing: all sets of them that would do. ``closed``: of each way what closes
        it."""
        words = list(dict.fromkeys(word for silences in closed for word in silences))
        told = "; ".join(f"{silent!r}, a node on the way, does not answer {at!r}" for at, silent in words)
        fewest = _fewest([frozenset(silent for _, silent in silences) for silences in closed], missing)
        now_s = self._context.clock.monotonic_s()
        until_s = min(self._closed_until_s.get(word, now_s) for word in words)
        return NodeSilent(
            f"no key can be carried to {wish.target!r}: {told}",
            remedy=_remedy_for(fewest),
            retry_after_s=max(1.0, until_s - now_s),
        )

    def _least_patience_s(self, way: Way) -> float:
        return self._context.settings.relay_patience_s(len(way) - 1)

    def _be_patient(self, way: Way, seconds: float) -> None:
        settings, least_s = self._context.settings, self._least_patience_s(way)
        self._patience_s.pop(way, None)
        self._patient_until_s.pop(way, None)
        if seconds > least_s:
            self._patience_s[way] = max(least_s, min(seconds, settings.relay_timeout_most_s))
            self._patient_until_s[way] = self._later(settings.failed_retry_s)

    def _later(self, pause_s: float) -> float:
        return self._context.clock.monotonic_s() + pause_s

    def _holds(self, until_s: dict[K, float], key: K) -> bool:
        """Return whether what was noted of ``key`` is still in force; forget it when it is not."""
        if key not in until_s:
            return False
        if self._context.clock.monotonic_s() < until_s[key]:
            return True
        del until_s[key]
        return False


def _fewest(silent: Sequence[frozenset[NodeId]], count: int) -> list[frozenset[NodeId]]:
    """Return the smallest sets of nodes with which ``count`` ways are open, of which each waits for the nodes named."""
    sets = {frozenset[NodeId]().union(*some) for some in combinations(silent, count)}
    least = min(map(len, sets))
    return sorted((nodes for nodes in sets if len(nodes) == least), key=sorted)[:NAMED_NODES]


def _remedy_for(fewest: Sequence[frozenset[NodeId]]) -> str:
    """Return what helps where any of these sets of nodes would have to answer. Whether such a node is down, or healthy
    and behind a line that is cut, or refused for its certificate, cannot be known from here."""
    names = ", or ".join(" and ".join(map(repr, sorted(nodes))) for nodes in fewest)
    line, certificate = "the line to it", "its certificate where it was revoked or has ended"
    if any(len(nodes) > 1 for nodes in fewest):
        line, certificate = "the lines to them", "their certificates where they were revoked or have ended"
    return (
        f"bring the key manager of {names} up again, look at {line}, or renew {certificate};"
        " keys then go on by themselves"
    )


def _too_few(node: NodeId, wish: Wish, disjoint: Routes, cut: Iterable[NodeId]) -> RequirementUnmet:
    """Return the refusal, which names what stands in the way."""
    nodes = [repr(one) for one in cut]
    named = ", ".join(nodes[:NAMED_NODES]) + (f" and {len(nodes) - NAMED_NODES} more" if nodes[NAMED_NODES:] else "")
    reason = f"every other way passes {named}: " if nodes else ""  # a door of a standard passes on the remedy alone
    return RequirementUnmet(
        f"keys over {wish.count} routes without a common relay were asked; from {node!r} to {wish.target!r}"
        f" there {'is' if len(disjoint) == 1 else 'are'} {len(disjoint)}",
        remedy=f"{reason}ask for fewer routes and trust the relays on them, or join the two by links that go round",
    )

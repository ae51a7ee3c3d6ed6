"""Shares that steer: the controller has them solved when who wants key or what links give has changed, and tells each
key manager which part of its batches goes which way, and what its pairs may take without asking.

A problem is solved beside the controller's own work, one at a time and at each look (once a tick) at most; till the
answer comes the shares before it hold.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeAlias

from qanat.control.books import Books
from qanat.control.claims import DIRECTIONS, Claim, Claims, alpha_of
from qanat.control.graph import GraphLink, RouteGraph
from qanat.control.outages import Outages
from qanat.control.sharing import Promise, Settled, Share, SharingProblem
from qanat.control.solvers.by_name import settle
from qanat.control.turn_shares import kept_ports, turn_shares
from qanat.control.views import Policy
from qanat.ground.errors import QanatError
from qanat.ground.events import EventKind, Json
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.keys import block_shares
from qanat.ground.network import Network
from qanat.ground.ports import Clock, Tasks
from qanat.ground.tracing import EventRecorder
from qanat.ground.units import format_rate
from qanat.key_management.courier import Courier
from qanat.key_management.wire import GenerationRequest, Ration, Route, SharesPushed, WeightedWays

Solve: TypeAlias = Callable[[SharingProblem], Awaitable[Settled]]
"""Solves a problem somewhere else than in the caller's own time."""
USABLE = 0.95
"""Such a part of what links give, less what goes into their reserves, is shared: an order takes time to begin."""
NOTABLE = 0.02
"""A link's rate that has changed by a smaller part is the same to the shares."""
TRY_AGAIN_S = 15.0
"""A problem that could not be solved is tried again after such a time: a worker may have died, memory been short."""
MOST_TOLD = 50
"""So many pairs are in the event that tells of new shares."""


BREAKS = (QanatError, ArithmeticError, MemoryError, OSError, RuntimeError, ValueError)
"""What solving ends with where a worker dies or cannot start, memory is short, or a solver gives up. Each is told."""
SHARES = "shares"
"""What an alarm about failed work is about."""


async def solved_here(problem: SharingProblem) -> Settled:
    """Solve a problem in the caller's own time: for a virtual clock, and for networks of a few pairs."""
    return settle(problem)


class Steering:
    """The shares of one network as they are now. Does nothing where the network's file declares no sharing."""

    def __init__(
        self,
        network: Network,
        books: Books,
        outages: Outages,
        courier: Courier,
        recorder: EventRecorder,
        *,
        clock: Clock,
        tasks: Tasks,
        is_awake: Callable[[NodeId], bool],
        solve: Solve = solved_here,
        turning_share: float = Policy().turning_share,
    ) -> None:
        """``is_awake``: a site that sleeps is told its shares when it wakes and announces itself. ``turning_share``: as
        in ``Policy``."""
        self._network = network
        self._books = books
        self._outages = outages
        self._courier = courier
        self._recorder = recorder
        self._clock = clock
        self._tasks = tasks
        self._solve = solve
        self._is_awake = is_awake
        rules = network.sharing
        self._rules = rules
        self._claims = None if rules is None else Claims(network, rules)
        self._graph = RouteGraph.of_keys(network)
        self._relays = tuple(site.node for site in network.sites if site.kind == "relay")
        self._others = tuple(site.node for site in network.sites if site.kind != "relay")
        self._kept = kept_ports(network)
        self._turning_share = turning_share
        self._rates: dict[LinkId, float] = {}
        self._problem: SharingProblem | None = None
        self._unsolved: SharingProblem | None = None
        self._try_again_s = -math.inf
        self._is_solving = False
        self._version = 0
        self._told: dict[NodeId, SharesPushed] = {}
        self._unkept: set[str] = set()
        self._reign = 0

    def note(self, word: GenerationRequest) -> None:
        """Take down that a pair has too little key: it shares from now on."""
        if self._claims is not None and not word.is_idle:
            self._claims.note(word, now_s=self._clock.monotonic_s())

    def look(self) -> None:
        """Have the shares solved anew where something has changed that they follow from."""
        if self._claims is None or self._rules is None or self._is_solving:
            return
        self._note_rates()
        claims = self._claims.now(self._clock.monotonic_s())
        able = [link for link in self._graph.links if self._rates.get(link.link_id, 0.0) > 0]
        demands = tuple(claim.demand for claim in claims)
        turns = turn_shares(able, self._kept, demands, relays=self._relays, turning_share=self._turning_share)
        problem = SharingProblem(
            links=tuple(able),
            rates_bits_per_s=tuple(self._rates[link.link_id] * turns.get(link.link_id, 1.0) for link in able),
            relays=self._relays,
            others=self._others,
            demands=demands,
            alpha=alpha_of(self._rules),
            regions=tuple(self._network.regions.items()),
        )
        is_failing = problem == self._unsolved and self._clock.monotonic_s() < self._try_again_s
        if problem != self._problem and not is_failing:
            self._is_solving = True
            self._tasks.start(self._renew(problem, claims), name="controller: shares")

    async def tell(self, node: NodeId) -> None:
        """Tell a key manager its shares again, for words get lost."""
        if (word := self._told.get(node)) is not None:
            await self._courier.send(node, self._stamped(word))

    def forget(self) -> None:
        """Another controller rules: what this one has solved is of no account when it rules again, and then every key
        manager is told its shares, also that it has none, in place of those of whoever ruled."""
        self._reign += 1
        self._problem = self._unsolved = None
        self._told.clear()
        self._books.ahead = self._books.contended = frozenset()
        self._judge(())

    # --- inside ---

    def _note_rates(self) -> None:
        for link in self._graph.links:
            book = self._books.links[link.link_id]
            rate = 0.0 if self._is_out(link) else usable_rate(book.rate_bits_per_s, book.block_bits)
            before = self._rates.get(link.link_id, 0.0)
            if abs(rate - before) > NOTABLE * before:
                self._rates[link.link_id] = rate

    def _is_out(self, link: GraphLink) -> bool:
        return self._outages.has_out(link.link_id, link.ends)

    async def _renew(self, problem: SharingProblem, claims: Sequence[Claim]) -> None:
        reign = self._reign
        try:
            settled = await self._solve(problem)
        except BREAKS as fault:  # whatever has broken where it was solved: the shares before it hold on
            self._unsolved, self._try_again_s = problem, self._clock.monotonic_s() + TRY_AGAIN_S
            self._tell_failed(fault)
            return
        finally:
            self._is_solving = False
        if reign != self._reign:
            return
        self._problem, self._unsolved = problem, None
        self._recorder.alarm_over("work-failed", SHARES)
        self._record(settled)
        self._judge(settled.promises)
        sharers = Counter(self._carrying(settled, claims))
        self._books.ahead = frozenset(sharers)
        self._books.contended = frozenset(link_id for link_id, number in sharers.items() if number > 1)
        await self._push(settled, claims)

    def _tell_failed(self, fault: Exception) -> None:
        text, remedy = f"{type(fault).__name__}: {fault}", "see whether the machine is short of memory"
        if isinstance(fault, QanatError):
            text, remedy = fault.message, fault.remedy
        text = f"shares could not be found, and those before hold: {text}"
        self._recorder.alarm("work-failed", text, f"{remedy}; it is tried again by itself", about=SHARES)

    def _carrying(self, settled: Settled, claims: Sequence[Claim]) -> Iterator[LinkId]:
        """Yield the links on the ways of those that ask now, each once for every claim."""
        for claim, share in zip(claims, settled.sharing.shares, strict=True):
            routes = share.routes if claim.is_awake else ()
            yield from {link_id for route, _ in routes for link_id in self._graph.links_along(route)}

    async def _push(self, settled: Settled, claims: Sequence[Claim]) -> None:
        """Tell each key manager what has changed for it, also that it shares with nobody (any more)."""
        words = words_of(settled, claims)
        self._version += 1
        for node in self._network.nodes:
            word = words.get(node, SharesPushed(0, 0, (), ()))
            before = self._told.get(node)
            if before is not None and (before.spreads, before.rations) == (word.spreads, word.rations):
                continue
            self._told[node] = word
            if self._is_awake(node):
                await self._courier.send(node, self._stamped(word))

    def _stamped(self, word: SharesPushed) -> SharesPushed:
        return SharesPushed(self._courier.epoch, self._version, word.spreads, word.rations)

    def _judge(self, promises: Sequence[Promise]) -> None:
        """Raise an alarm for each guarantee that cannot be kept now, and end those of which that is over."""
        broken = {one.demand_id: one for one in promises if not one.admission.is_admitted}
        for demand_id, promise in broken.items():
            most = format_rate(promise.admission.possible_bits_per_s / DIRECTIONS)
            asked = format_rate(promise.asked_bits_per_s / DIRECTIONS)
            text = f"{demand_id}: {asked} are guaranteed and cannot be kept now; {most} could be"
            remedy = "mend what is out of order, or lower this guarantee or one before it in the network file"
            self._recorder.alarm("guarantee-not-kept", text, remedy, about=demand_id)
        for demand_id in self._unkept - broken.keys():
            self._recorder.alarm_over("guarantee-not-kept", demand_id)
        self._unkept = set(broken)

    def _record(self, settled: Settled) -> None:
        sharing = settled.sharing
        rows: list[Json] = [
            {
                "pair": share.demand_id,
                "bits_per_s": round(share.rate_bits_per_s / DIRECTIONS, 3),
                "ways": [[" - ".join(route), round(rate / DIRECTIONS, 3)] for route, rate in share.routes],
            }
            for share in sharing.shares[:MOST_TOLD]
        ]
        self._recorder.record(
            EventKind.KEY_SHARED,
            alpha="max-min" if sharing.alpha == float("inf") else sharing.alpha,
            num_pairs=len(sharing.shares),
            gap=round(sharing.gap, 6),
            jain_index=round(sharing.jain_index, 4),
            bits_per_s=round(sharing.total_bits_per_s / DIRECTIONS, 3),
            pairs=rows,
        )


def usable_rate(rate_bits_per_s: float, block_bits: int) -> float:
    """Return what is shared of a link that gives so much in blocks of ``block_bits`` (0: not known yet)."""
    reserve_bits = block_shares(block_bits)[0] if block_bits else 0
    return USABLE * rate_bits_per_s * (1 - reserve_bits / max(1, block_bits))


def words_of(settled: Settled, claims: Sequence[Claim]) -> dict[NodeId, SharesPushed]:
    """Return what each key manager is to hear, without epoch and version: both ends of a pair hear the same."""
    kept = {one.demand_id for one in settled.promises if one.admission.is_admitted}
    rations: dict[NodeId, list[Ration]] = {}
    ways: dict[tuple[NodeId, NodeId], dict[Route, float]] = {}
    for claim, share in zip(claims, settled.sharing.shares, strict=True):
        demand = claim.demand
        guaranteed = demand.guaranteed_bits_per_s if demand.demand_id in kept else 0.0
        for here, there in ((demand.source, demand.target), (demand.target, demand.source)):
            rate = share.rate_bits_per_s / DIRECTIONS
            rations.setdefault(here, []).append(Ration(claim.agreement, there, rate, guaranteed / DIRECTIONS))
            for route, part in _from(here, share):
                known = ways.setdefault((here, there), {})
                known[route] = known.get(route, 0.0) + part / DIRECTIONS
    spreads: dict[NodeId, list[WeightedWays]] = {}
    for (here, there), parts in ways.items():
        routes = sorted(parts, key=lambda route: (-parts[route], route))
        weights = tuple(parts[route] for route in routes)
        spreads.setdefault(here, []).append(WeightedWays(there, tuple(routes), weights))
    return {node: SharesPushed(0, 0, tuple(spreads.get(node, ())), tuple(rows)) for node, rows in rations.items()}


def _from(here: NodeId, share: Share) -> Iterator[tuple[Route, float]]:
    for route, rate in share.routes:
        yield (route if route[0] == here else route[::-1]), rate

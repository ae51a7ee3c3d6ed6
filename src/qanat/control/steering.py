"""Shares that steer: the controller has them solved when who wants key or what links give has changed, and tells each
key manager which part of its batches goes which way, and what its pairs may take without asking.

A problem is solved beside the controller's own work, one at a time and at each look (once a tick) at most; till the
answer comes the shares before it hold.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from qanat.control.books import Books
from qanat.control.claims import DIRECTIONS, Claim
from qanat.control.graph import GraphLink
from qanat.control.outages import Outages
from qanat.control.posing import Posing, told_routes, usable_rate, words_of
from qanat.control.sharing import Promise, Settled, SharingProblem
from qanat.control.solvers.by_name import settle
from qanat.control.views import Policy
from qanat.ground.errors import QanatError
from qanat.ground.events import EventKind, Json
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network
from qanat.ground.ports import Clock, Tasks
from qanat.ground.tracing import EventRecorder
from qanat.ground.units import format_rate
from qanat.key_management.courier import Courier
from qanat.key_management.wire import GenerationRequest, SharesPushed

Solve: TypeAlias = Callable[[SharingProblem], Awaitable[Settled]]
"""Solves a problem somewhere else than in the caller's own time."""
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
        self._posing = None if rules is None else Posing(network, rules, turning_share=turning_share)
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
        if self._posing is not None and not word.is_idle:
            self._posing.claims.note(word, now_s=self._clock.monotonic_s())

    def look(self) -> None:
        """Have the shares solved anew where something has changed that they follow from."""
        if self._posing is None or self._is_solving:
            return
        self._note_rates(self._posing)
        problem, claims = self._posing.now(self._clock.monotonic_s())
        is_failing = problem == self._unsolved and self._clock.monotonic_s() < self._try_again_s
        if problem != self._problem and not is_failing:
            self._is_solving = True
            self._tasks.start(self._renew(self._posing, problem, claims), name="controller: shares")

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

    def _note_rates(self, posing: Posing) -> None:
        for link in posing.graph.links:
            book = self._books.links[link.link_id]
            rate = 0.0 if self._is_out(link) else usable_rate(book.rate_bits_per_s, book.block_bits)
            posing.note_rate(link.link_id, rate)

    def _is_out(self, link: GraphLink) -> bool:
        return self._outages.has_out(link.link_id, link.ends)

    async def _renew(self, posing: Posing, problem: SharingProblem, claims: Sequence[Claim]) -> None:
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
        sharers = posing.sharers(settled, claims)
        self._books.ahead = frozenset(sharers)
        self._books.contended = frozenset(link_id for link_id, number in sharers.items() if number > 1)
        await self._push(settled, claims)

    def _tell_failed(self, fault: Exception) -> None:
        text, remedy = f"{type(fault).__name__}: {fault}", "see whether the machine is short of memory"
        if isinstance(fault, QanatError):
            text, remedy = fault.message, fault.remedy
        text = f"shares could not be found, and those before hold: {text}"
        self._recorder.alarm("work-failed", text, f"{remedy}; it is tried again by itself", about=SHARES)

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
                "ways": [[" - ".join(route), round(rate / DIRECTIONS, 3)] for route, rate in told_routes(share)],
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

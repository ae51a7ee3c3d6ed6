"""What an origin hears of its batches: the verdict of the last node, on the direct line from there or by the way back.

A verdict that comes by the way back was handed on by every relay of the way, and is one of the last node only as far as
these are trusted: the relays of a single way know its keys, so one that alters them could also say the right check of
what was sent; of several ways no single relay could. Therefore a direct verdict wins whenever it comes, also over keys
that were confirmed by one that had come round (decision 0017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qanat.ground.errors import StoreFailed
from qanat.ground.events import EventKind
from qanat.ground.identifiers import EventId, NodeId, Topic
from qanat.ground.keys import Selection
from qanat.key_management.batches import Batch
from qanat.key_management.context import Context
from qanat.key_management.doubts import Doubt, Doubts
from qanat.key_management.memory import forget_oldest
from qanat.key_management.wire import RelayDelivered, RelayFailed, Routes

CONFIRMED_KEPT_S = 60.0
"""So long a batch is remembered that was confirmed by a verdict which came round: as long as the last node remembers
what it has said of it."""


@dataclass(slots=True)
class Carried:
    """A batch on its way, whose verdict is awaited; ``topic`` wakes who waits for it. ``is_direct``: the verdict came
    from the last node itself."""

    batch: Batch
    topic: Topic
    verdict: RelayDelivered | RelayFailed | None = None
    is_direct: bool = False


@dataclass(frozen=True, slots=True)
class _Confirmed:
    """A batch that counts, though its last node has not said so itself; with all of the same keys."""

    batch: Batch
    batches: Sequence[Batch]
    cause: EventId | None
    since_s: float


class Verdicts:
    """The batches of one origin whose verdicts are awaited, or have come by the way back alone."""

    def __init__(self, context: Context, doubts: Doubts) -> None:
        self._context = context
        self._doubts = doubts
        self.carried: dict[str, Carried] = {}
        self._confirmed: dict[str, _Confirmed] = {}
        self._round: set[NodeId] = set()
        """Last nodes whose verdicts come by the way back alone, of which the log has heard."""
        self._heard_s: dict[NodeId, float] = {}
        """When the last direct verdict came from whom: what was confirmed before says nothing of the line since."""

    async def hear(self, sender: NodeId, verdict: RelayDelivered | RelayFailed) -> None:
        """Hear how a batch fared. A verdict that nobody waits for came too late, and that batch was destroyed, unless
        it was confirmed by one that came by the way back."""
        carried = self.carried.get(verdict.relay_id)
        if carried is None:
            await self._hear_late(sender, verdict)
            return
        batch, is_direct = carried.batch, sender == carried.batch.target
        if is_direct:
            self._note_direct(sender)
        is_news = carried.verdict is None or (is_direct and not carried.is_direct)
        if is_news and sender in _may_say(batch, verdict):
            carried.verdict, carried.is_direct = verdict, is_direct
            self._context.tasks.notify(carried.topic)

    def note_arrived(self, batches: Sequence[Batch], *, cause: EventId | None) -> None:
        """All batches of the same keys have arrived: remember those of which their last node has not said so itself."""
        now_s = self._context.clock.monotonic_s()
        for batch in batches:
            if not self.carried[batch.relay_id].is_direct:
                self._confirmed[batch.relay_id] = _Confirmed(batch, batches, cause, now_s)
        forget_oldest(self._confirmed)

    def tick(self) -> None:
        """Record, once for each stretch of time, whose verdicts come by the way back alone; forget what is old."""
        context, now_s = self._context, self._context.clock.monotonic_s()
        for relay_id, one in list(self._confirmed.items()):
            target = one.batch.target
            if now_s >= one.since_s + CONFIRMED_KEPT_S:
                del self._confirmed[relay_id]
            is_late = now_s >= one.since_s + context.settings.relay_timeout_s
            if is_late and target not in self._round and one.since_s > self._heard_s.get(target, -math.inf):
                self._round.add(target)
                context.recorder.record(
                    EventKind.VERDICTS_CAME_ROUND,
                    cause=one.cause,
                    relay_id=relay_id,
                    target=target,
                    route=list(one.batch.routes[0]),
                    why=f"the line from {target} to {context.node} is silent: verdicts come by the way back alone",
                )

    # --- inside ---

    def _note_direct(self, sender: NodeId) -> None:
        self._round.discard(sender)
        self._heard_s[sender] = self._context.clock.monotonic_s()

    async def _hear_late(self, sender: NodeId, verdict: RelayDelivered | RelayFailed) -> None:
        """Hear the last node itself on a batch that was confirmed by a verdict that came round."""
        confirmed = self._confirmed.get(verdict.relay_id)
        if confirmed is None or sender != confirmed.batch.target:
            return
        del self._confirmed[verdict.relay_id]
        self._note_direct(sender)
        if isinstance(verdict, RelayFailed):
            await self._withdraw_failed(confirmed, verdict)
        elif verdict.check != confirmed.batch.check:
            await self._withdraw_altered(confirmed)

    async def _withdraw_altered(self, confirmed: _Confirmed) -> None:
        """Destroy a batch that came otherwise than it was sent, though a relay had said that it came well."""
        batch, num_left = confirmed.batch, await self._void_here(confirmed.batch)
        num_keys = batch.ids.num_keys
        given = f"; {num_keys - num_left} of its {num_keys} keys were given before" if num_left is not None else ""
        more = f", though a relay had told that it came as it was sent{given}"
        alarm_altered(self._context, batch.target, batch.routes, cause=confirmed.cause, more=more)
        await self._destroy(confirmed, "it holds other keys than were sent", here=num_left is None)

    async def _withdraw_failed(self, confirmed: _Confirmed, verdict: RelayFailed) -> None:
        """Destroy a batch that its last node says it has not got, unless a key of it was given: a last node that was
        started anew since says so as well of one that it holds."""
        if await self._void_here(confirmed.batch) == confirmed.batch.ids.num_keys:
            await self._destroy(confirmed, verdict.why, here=False)

    async def _destroy(self, confirmed: _Confirmed, why: str, *, here: bool) -> None:
        """Have a batch destroyed at all of its last nodes, and ``here`` where that is yet to be done."""
        for batch in confirmed.batches:
            word = batch.words[0]
            self._context.recorder.record(
                EventKind.RELAY_FAILED,
                cause=confirmed.cause,
                request_id=word.request_id,
                relay_id=word.relay_id,
                route=list(batch.routes[0]),
                node_at_fault=confirmed.batch.target,
                why=f"{why}; its delivery had been told by the way back",
                burned_bits=batch.first_hop_bits,
            )
            here = here and batch is confirmed.batches[0]
            await self._doubts.enter(Doubt(word.relay_id, word.ids_from, word.num_keys, batch.target, here=here))

    async def _void_here(self, batch: Batch) -> int | None:
        """Return how many keys of a batch were left here, and are destroyed now; None when the store cannot write."""
        try:
            num_voided = await self._context.store.void(Selection(batches=frozenset({batch.ids})))
        except StoreFailed:
            return None
        why = f"{batch.target} contradicts what came by the way back"
        self._context.recorder.record(EventKind.KEYS_VOIDED, num_keys=num_voided, why=why)
        return num_voided


def alarm_altered(context: Context, target: NodeId, routes: Routes, *, cause: EventId | None, more: str = "") -> None:
    """Say whom to look at when two ends have found that they hold different keys."""
    ways = "; ".join(" - ".join(way) for way in routes)
    context.recorder.alarm(
        "relay-altered",
        f"a batch of keys came to {target} otherwise than it was sent, along {ways}{more}",
        "look at the software and the memory of the relays named; the batch was destroyed at both ends",
        about=ways,
        cause=cause,
        relays=sorted({node for way in routes for node in way[1:-1]}),
    )


def _may_say(batch: Batch, verdict: RelayDelivered | RelayFailed) -> set[NodeId]:
    """Return whose word counts: that a batch arrived says its last node, or the first of one of its ways, by which
    such a verdict comes back; that it failed, every node of the way that it failed on."""
    if isinstance(verdict, RelayDelivered):
        return {batch.target, *(way[1] for way in batch.routes)}
    return {node for way in batch.routes[verdict.share - 1 : verdict.share] for node in way[1:]}

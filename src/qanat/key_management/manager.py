"""The key manager of one node: blocks in, keys out, and the conversation with its peers and the controller.

It awaits ports only, so that the same coroutines run in service and on the simulated clock. Durable first, then
visible: no word leaves and no caller is answered before the store has committed what they rely on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from qanat.ground.clock import Deadline
from qanat.ground.errors import BadParameter, KeyShortage, NodeSilent, QanatError, StoreFailed
from qanat.ground.events import EventKind
from qanat.ground.identifiers import (
    CONTROLLER,
    Epoch,
    EventId,
    KeyID,
    NodeId,
    RequestId,
    SaeId,
    SaePair,
    Topic,
)
from qanat.ground.keys import KeyStatus, PoolId, SecretKey, Selection
from qanat.ground.network import Network
from qanat.ground.orders import LinkForecast
from qanat.ground.ports import Clock, Entropy, KeyStore, QKDModule, Tasks, Transport
from qanat.ground.requirements import Requirements
from qanat.ground.tracing import EventRecorder
from qanat.key_management.ageing import Ageing
from qanat.key_management.announcing import Announcements, Announcer
from qanat.key_management.contacts import InContactOnly
from qanat.key_management.context import Context
from qanat.key_management.conversation import Conversation
from qanat.key_management.courier import Courier
from qanat.key_management.demands import DemandDesk
from qanat.key_management.forbidden import void_forbidden
from qanat.key_management.hops import RelayHops
from qanat.key_management.intake import ANNOUNCED, Intake
from qanat.key_management.links import Links, RouteBook
from qanat.key_management.preparing import Preparing
from qanat.key_management.relay import RelayOrigin
from qanat.key_management.repeats import ANY, KeyWish
from qanat.key_management.sessions import Sessions
from qanat.key_management.settings import KeyManagerSettings
from qanat.key_management.supplying import GivenKeys, Supplying
from qanat.key_management.usage import Usage
from qanat.key_management.vouching import Vouching
from qanat.key_management.wire import Announce, ForecastsTold, LinkReport

__all__ = ["GivenKeys", "KeyManager"]

READY = Topic("ready")
LOOKS_OF_A_LINE = 2
"""A line to the controller counts once it was there at so many looks in a row, a tick apart: one that is refused by the
other end, for this node's certificate, is there for a moment at each try."""


class KeyManager:
    """One node's key manager. ``run`` it as a task; the other methods serve its applications' door."""

    def __init__(
        self,
        *,
        node: NodeId,
        network: Network,
        store: KeyStore,
        transport: Transport,
        clock: Clock,
        tasks: Tasks,
        entropy: Entropy,
        modules: Sequence[QKDModule],
        recorder: EventRecorder,
        settings: KeyManagerSettings | None = None,
        is_awake: Callable[[NodeId], bool] = lambda _: True,
        is_opening: Callable[[NodeId], bool] = lambda _: False,
        num_opened: Callable[[], int] = lambda: 0,
    ) -> None:
        """``is_awake``: sites that sleep are greeted only when something depends on them. ``is_opening``: sites that
        sleep or are being opened are given time before they count as silent, as long as ``num_opened`` grows."""
        self.node = node
        settings = settings or KeyManagerSettings()
        contacts = None
        if network.site(node).kind == "satellite":
            transport = contacts = InContactOnly(transport, clock=clock, tasks=tasks)
        self._transport = transport
        self._modules = tuple(modules)
        self._is_running = False
        self._foretold: ForecastsTold | None = None
        self.certificate_fault: Callable[[], QanatError | None] = lambda: None
        """Why this node's own certificate does not count any more, and what helps; None while it does."""
        context = self._context = Context(
            node=node,
            network=network,
            store=store,
            clock=clock,
            tasks=tasks,
            entropy=entropy,
            recorder=recorder,
            courier=Courier(
                transport=transport,
                entropy=entropy,
                epoch=Epoch(0),
                is_awake=is_awake,
                is_opening=is_opening,
                num_opened=num_opened,
                clock=clock,
                just_opened_s=settings.wake_patience_s + settings.tick_s,  # it is looked at once a tick
            ),
            links=Links(node=node, network=network, modules=modules),
            routes=RouteBook(node=node, network=network, tasks=tasks, clock=clock),
            settings=settings,
        )
        self._controller_heard_s = clock.monotonic_s() + context.settings.announce_s  # it may come up with this one
        self._num_controller_looks = 0
        self._usage = Usage(clock)
        self._vouching = Vouching(context)
        self._ageing = Ageing(context)
        self._sessions = Sessions(context, self._vouching)
        self._intake = Intake(context, self._sessions)
        self._announcer = Announcer(context)
        self._demands = DemandDesk(context)
        self._relay = RelayOrigin(context, self._vouching, self._demands)
        self._hops = RelayHops(context, self._vouching)
        self._supplying = Supplying(
            context, relay=self._relay, demands=self._demands, vouching=self._vouching, is_cut_off=self._is_cut_off
        )
        self._preparing = Preparing(context, supplying=self._supplying, relay=self._relay, demands=self._demands)
        self._conversation = self._new_conversation(contacts)

    async def begin(self) -> None:
        """Open an epoch and destroy what was in doubt: from then on applications are answered."""
        context = self._context
        await self._open_epoch()
        context.recorder.record(EventKind.NODE_STARTED, epoch=context.courier.epoch)
        self._is_running = True
        context.tasks.notify(READY)

    async def run(self) -> None:
        """Begin, unless that was done, then serve peers and controller until the transport closes."""
        context = self._context
        if not self._is_running:
            await self.begin()
        await self._conversation.aloud(self._vouching.tick, "greeting peers")
        for module in self._modules:
            context.tasks.start(self._conversation.follow(module), name=f"{self.node}: events of {module.module_id}")
        context.tasks.start(self._chores(), name=f"{self.node}: chores")
        for pool in self._preparing.pools:
            work = self._preparing.run(pool, self._conversation.aloud)
            context.tasks.start(work, name=f"{self.node}: prepares keys for {pool.target}")
        async for sender, message in self._transport.inbox():
            await self._conversation.hear(sender, message)
        self._is_running = False

    async def get_status(self, *, master: SaeId, slave: SaeId) -> KeyStatus:
        """Return what an application may know of its stock. Raises UnknownNode, NotEntitled, BadParameter; KeyShortage
        while the store is not open."""
        with self._usage.call():
            await self._wait_until_ready()
            return await self._supplying.get_status(SaePair(master, slave))

    async def get_keys(
        self,
        *,
        master: SaeId,
        slave: SaeId,
        count: int = 1,
        size_bits: int | None = None,
        request_id: RequestId | None = None,
        cause: EventId | None = None,
        patience_s: float | None = None,
        more_slaves: Sequence[SaeId] = (),
        require: Requirements = ANY,
        prefer: Requirements = ANY,
        nonce: str | None = None,
        priority: int | None = None,
    ) -> GivenKeys:
        """Give ``master`` fresh keys that ``slave``, and each of ``more_slaves``, can fetch by their ids.

        Waits ``patience_s`` (default: ``settings.wait_s``) for key to be made, and not at all where this node's own
        certificate has ended: then what lies ready is given. After a KeyShortage the making goes on,
        and the next call with the same wish and ``request_id``, or with none, continues the same chain of events.
        ``cause`` is the caller's last event (step 1). The keys fulfil what is
        ``require``d, and what is ``prefer``red where that can be; over several routes they are made for this call
        alone, since whatever lies ready went one way; what lies ready is given only where its record says that it went
        as ``policy`` and ``measure`` have it. The same call with the same ``nonce`` is given the same keys for
        ``settings.repeat_window_s``, over a restart too; it spends nothing. Where key is short the call has the
        master's priority, or ``priority`` where that is lower.

        Raises KeyShortage, StoreFailed (ask again); UnknownNode, NoRoute, NoDirectLink, NotEntitled, BadParameter,
        RequirementUnmet (the caller's).
        """
        settings = self._context.settings
        wish = KeyWish(
            master=master,
            slaves=(slave, *more_slaves),
            count=count,
            size_bits=settings.key_size_bits if size_bits is None else size_bits,
            request_id=request_id,
            cause=cause,
            require=require,
            prefer=prefer,
            nonce=nonce,
            priority=priority,
        )
        patience_s = settings.wait_s if patience_s is None else patience_s
        if self._is_cut_off():
            patience_s = 0.0  # no other site speaks with this one, so no waiting brings key
        with self._usage.call():
            await self._wait_until_ready()
            try:
                return await self._supplying.get_keys(wish, patience_s=patience_s)
            except KeyShortage as fault:
                if (why := self.certificate_fault()) is None:
                    raise
                raise NodeSilent(
                    f"{why.message}, so no other site speaks with this one: {fault.message}",
                    remedy=why.remedy,
                    retry_after_s=fault.retry_after_s,
                ) from None

    async def get_keys_by_id(
        self, *, caller: SaeId, master: SaeId, key_ids: Sequence[KeyID], nonce: str | None = None
    ) -> Sequence[SecretKey]:
        """Hand ``caller`` the keys that ``master`` was given under these ids: all or none, and once, or again to the
        same call with the same ``nonce``.

        Whether the caller may have them is decided by the key itself, not by the name of the master.
        Raises KeyNotFound, NotEntitled, UnknownNode, BadParameter; StoreFailed (ask again).
        """
        with self._usage.call():
            await self._wait_until_ready()
            return await self._supplying.get_keys_by_id(key_ids, caller=caller, master=master, nonce=nonce)

    def may_rest(self, *, unused_s: float) -> bool:
        """Return whether this key manager may be closed without anybody's noticing: it has been of no use for
        ``unused_s``, and nothing is under way that its end would break off."""
        parts = (self._sessions, self._intake, self._relay, self._hops, self._demands)
        is_quiet = all(part.may_rest for part in parts)
        return self._is_running and is_quiet and self._usage.has_ended_for(unused_s)

    def foretell(self, forecasts: Sequence[LinkForecast]) -> None:
        """Tell the controller, with the next report and each after it, what this node foretells of its links, in place
        of all that it foretold before. Raises BadParameter for a link that is not its own."""
        for one in forecasts:
            if not self._context.links.has(one.link_id):
                raise BadParameter(
                    f"{one.link_id!r} is no link of {self.node!r}", remedy="have one of its ends foretell"
                )
        self._foretold = ForecastsTold(tuple(forecasts))

    # --- inside ---

    def _is_cut_off(self) -> bool:
        """Return whether no other site speaks with this one, since its own certificate has ended."""
        return self.certificate_fault() is not None

    def _new_conversation(self, contacts: InContactOnly | None) -> Conversation:
        """Return who hands each word to the part of this key manager that it concerns."""
        return Conversation(
            self._context,
            sessions=self._sessions,
            intake=self._intake,
            relay=self._relay,
            hops=self._hops,
            demands=self._demands,
            vouching=self._vouching,
            announcer=self._announcer,
            announcements=Announcements(self._context, self._intake, self._vouching),
            contacts=contacts,
            announce=self._announce,
            on_use=self._usage.note,
        )

    async def _wait_until_ready(self) -> None:
        """Return once the store is open; raises KeyShortage when that takes longer than ``settings.wait_s``."""
        context = self._context
        deadline = Deadline.after(context.clock, context.settings.wait_s)
        while not self._is_running:
            if deadline.has_passed:
                raise KeyShortage(f"the key manager of {self.node!r} is not ready", remedy="ask again in a moment")
            await context.tasks.wait(READY, until_monotonic_s=deadline.monotonic_s)

    async def _open_epoch(self) -> None:
        """What was unconfirmed at the last end is in doubt and is destroyed, but for what a satellite has announced:
        the peer is asked for it again. Waits for a store that cannot write."""
        context = self._context
        while True:
            try:
                doubtful = Selection(unconfirmed=True, but_protocol=ANNOUNCED)
                held, (num_voided, terms, _) = await self._vouching.open_epoch(
                    context.store.void(doubtful), context.store.terms(), self._ageing.tick()
                )
                await self._intake.resume()
                await void_forbidden(context, held, former_terms=terms)
            except StoreFailed as fault:
                context.recorder.alarm("store-failed", fault.message, fault.remedy)
                pause_s = context.settings.store_retry_s
                await context.clock.sleep_until(context.clock.monotonic_s() + pause_s)
            else:
                break
        context.recorder.alarm_over("store-failed")
        if num_voided:
            context.recorder.record(EventKind.KEYS_VOIDED, num_items=num_voided, why="unconfirmed when the node ended")

    async def _chores(self) -> None:
        """Every tick: say again what was not answered. Every few ticks: report to the controller, watch reserves."""
        clock, settings = self._context.clock, self._context.settings
        announced_s = float("-inf")
        while True:
            works: list[Callable[[], Awaitable[None]]] = [
                self._sessions.tick,
                self._intake.tick,
                self._announcer.tick,
                self._relay.tick,
                self._hops.tick,
                self._demands.tick,
                self._vouching.tick,
                self._ageing.tick,
            ]
            self._context.courier.watch(self._vouching.acquainted, now_s=clock.monotonic_s())
            self._watch_controller()
            is_lost = self._context.routes.stamp == (0, 0)  # the controller may have come up after our last word
            if is_lost or clock.monotonic_s() - announced_s >= settings.announce_s:
                announced_s = clock.monotonic_s()
                works += [self._announce, self._intake.watch_reserves]
            works.append(self._supplying.forget_answers)
            for work in works:
                await self._conversation.aloud(work, "chore")
            self._supplying.forget_abandoned()
            self._context.recorder.settle_alarms()
            await clock.sleep_until(clock.monotonic_s() + settings.tick_s)

    def _watch_controller(self) -> None:
        """Raise the alarm of a controller to which there is no line for longer than a moment, or than a start takes.

        It ends when the line has stood for some looks, and not while this node's own certificate has ended."""
        context, now_s, why = self._context, self._context.clock.monotonic_s(), self.certificate_fault()
        is_there = context.courier.is_reachable(CONTROLLER)
        self._num_controller_looks = self._num_controller_looks + 1 if is_there else 0
        if is_there:
            if self._num_controller_looks >= LOOKS_OF_A_LINE and why is None:
                self._controller_heard_s = max(now_s, self._controller_heard_s)
                context.recorder.alarm_over("controller-silent")
        elif now_s - self._controller_heard_s >= context.settings.announce_s:
            text = "there is no line to the controller: no key is ordered"
            if why is None:
                context.recorder.alarm("controller-silent", text)
            else:
                context.recorder.alarm("controller-silent", f"{why.message}, so {text}", why.remedy)

    async def _announce(self) -> None:
        """Tell the controller what this node has and does."""
        context = self._context
        levels = await context.store.levels()
        reports = []
        for link_id in context.links.link_ids:
            level = levels.get(PoolId(link_id, self.node))
            capability = context.links.capability(link_id)
            reports.append(
                LinkReport(
                    link_id=link_id,
                    available_bits=level.available_bits if level is not None else 0,
                    expected_rate_bits_per_s=capability.expected_rate_bits_per_s if capability is not None else 0.0,
                    origin=context.links.origin(link_id),
                    running=self._sessions.running_on(link_id),
                    oldest_age_s=level.oldest_age_s if level is not None else None,
                    module_away=context.links.is_away(link_id),
                )
            )
        epoch, version = context.routes.stamp
        why = self.certificate_fault()
        ended = "" if why is None else why.message
        word = Announce(epoch, version, tuple(reports), context.courier.unreached, ended)
        await context.courier.send(CONTROLLER, word)
        if self._foretold is not None:
            await context.courier.send(CONTROLLER, self._foretold)

"""What a key manager hears, from peers, controller and modules, and which of its parts acts on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from qanat.ground.alarms import ALARMS
from qanat.ground.errors import QanatError, StaleEpoch
from qanat.ground.events import EventKind
from qanat.ground.identifiers import CONTROLLER, Epoch, NodeId, OrderId
from qanat.ground.messages import Message
from qanat.ground.orders import Alarm, Contact, KeyBlockReady, LinkQuality, ModuleEvent, OrderEnded
from qanat.ground.ports import QKDModule
from qanat.key_management.announcing import Announcements, Announcer
from qanat.key_management.codec import decode_word
from qanat.key_management.contacts import InContactOnly
from qanat.key_management.context import Context
from qanat.key_management.demands import DemandDesk
from qanat.key_management.hops import RelayHops
from qanat.key_management.intake import Intake
from qanat.key_management.relay import RelayOrigin
from qanat.key_management.sessions import Sessions
from qanat.key_management.vouching import Vouching
from qanat.key_management.wire import (
    AnnouncementHeard,
    BlocksMissing,
    BlockStored,
    EpochFollows,
    EpochKnown,
    EpochOpened,
    EpochRemembered,
    GenerationCommand,
    GenerationDone,
    GenerationFailed,
    Heard,
    KeyAnnounced,
    OrderCancel,
    OrderPoll,
    Relay,
    RelayDelivered,
    RelayFailed,
    RelayVoid,
    RelayVoided,
    RouteAnswer,
    RoutesPushed,
    SessionPads,
    SessionReady,
    SessionRefused,
    SharesPushed,
    Word,
)

MODULE_AWAY = "module-away"
LATE_WORDS_S = 30.0
"""Words of a peer's dead process arrive at most so long after the first word of its next one."""
LEARNS_WITHIN_S = 10.0
"""A peer with a store anew, in place of one that was zeroized or put back, counts from the beginning, and goes on above
what is remembered of it as soon as it hears of that: so long that may take."""


@dataclass(slots=True)
class _PeerEpoch:
    """The highest epoch heard of a peer."""

    epoch: Epoch
    first_heard_monotonic_s: float
    behind_since_s: float | None = None
    """When the peer first spoke in an older epoch, long after this one had begun."""
    went_back: bool = False


class Conversation:
    """Hands each word and each module event to the part that it concerns."""

    def __init__(
        self,
        context: Context,
        *,
        sessions: Sessions,
        intake: Intake,
        relay: RelayOrigin,
        hops: RelayHops,
        demands: DemandDesk,
        vouching: Vouching,
        announcer: Announcer,
        announcements: Announcements,
        contacts: InContactOnly | None,
        announce: Callable[[], Awaitable[None]],
        on_use: Callable[[], None],
    ) -> None:
        self._on_use = on_use
        self._context = context
        self._sessions = sessions
        self._intake = intake
        self._relay = relay
        self._hops = hops
        self._demands = demands
        self._vouching = vouching
        self._announcer = announcer
        self._announcements = announcements
        self._contacts = contacts
        self._announce = announce
        self._epochs: dict[NodeId, _PeerEpoch] = {}

    async def hear(self, sender: NodeId, message: Message) -> None:
        """Act on a message; whatever is wrong with it is recorded, and stops nothing."""
        await self.aloud(partial(self._act, sender, message), f"{message.kind} from {sender}")

    async def aloud(self, work: Callable[[], Awaitable[None]], what: str) -> None:
        """Do a piece of work whose failure must be heard, but must not end the node. A stale epoch must."""
        try:
            await work()
        except StaleEpoch:
            raise
        except QanatError as fault:
            self._alarm("work-failed", f"{what}: {fault.message}", fault.remedy, about=what)

    def _alarm(self, code: str, text: str, remedy: str, *, about: str) -> None:
        self._context.recorder.alarm(code, text, remedy, about=about)

    async def _act(self, sender: NodeId, message: Message) -> None:
        """Drop words of a peer's dead process, and act on the others."""
        heard = Heard(sender, decode_word(message), message.cause, message.body)
        if sender != CONTROLLER and self._is_of_the_past(sender, message.epoch) and not _is_greeting(heard.word):
            return
        if sender == CONTROLLER and message.epoch < self._context.routes.stamp[0]:
            return  # another controller rules since; this one will notice
        if not _is_routine(heard.word):
            self._on_use()
        if isinstance(heard.word, Relay):
            # relays only meet in the store, which keeps them apart; all else is done in the order of its arrival
            work = partial(self._hops.on_relay, heard, heard.word)
            name = f"{self._context.node}: relay {heard.word.relay_id}"
            self._context.tasks.start(self.aloud(work, message.kind), name=name)
        elif sender == CONTROLLER:
            await self._act_for_controller(heard, heard.word)
        else:
            await self._act_for_peer(heard, heard.word)

    def _is_of_the_past(self, sender: NodeId, epoch: Epoch) -> bool:
        """Take note of a peer's epoch; return whether an older process of it spoke.

        A peer that goes on speaking in an older epoch, though it was told of the newer one, has gone back to an older
        store, in which spent pads are unspent.
        """
        now_s = self._context.clock.monotonic_s()
        known = self._epochs.get(sender)
        if known is None or epoch > known.epoch:
            known = self._epochs[sender] = _PeerEpoch(epoch, now_s)
        if epoch == known.epoch:
            return False
        if now_s - known.first_heard_monotonic_s <= LATE_WORDS_S:
            return True
        if known.behind_since_s is None:
            known.behind_since_s = now_s
        if not known.went_back and now_s - known.behind_since_s > LEARNS_WITHIN_S:
            known.went_back = True
            self._alarm(
                "peer-epoch-went-back",
                f"{sender} speaks in epoch {epoch} after epoch {known.epoch}: an older copy of its key store is in use;"
                " nothing that it says is acted on",
                "a restored store must not be used; make new initial keys for the links",
                about=sender,
            )
        return True

    async def _act_for_controller(self, heard: Heard, word: Word) -> None:
        match word:
            case RoutesPushed():
                if back := self._context.routes.learn(word):
                    self._relay.ways.on_links_back(back)
                    self._demands.on_links_back()
                await self._announce()
            case RouteAnswer():
                self._relay.ways.desk.on_answer(word)
            case SharesPushed():
                self._context.routes.learn_shares(word)
            case GenerationCommand():
                await self._sessions.on_command(heard, word)
            case OrderPoll():
                await self._sessions.on_poll(word)
            case OrderCancel():
                await self._sessions.on_cancel(word)
            case GenerationDone():
                self._relay.ways.on_key_made(self._demands.on_done(word, heard.cause))
            case GenerationFailed():
                ways = self._demands.on_failed(word)
                self._relay.ways.on_no_key_made(ways, by_link=word.by_link, again_s=word.again_s)
            case _:
                self._alarm("odd-word", f"the controller said {type(word).__name__}", "", about=CONTROLLER)

    async def _act_for_peer(self, heard: Heard, word: Word) -> None:
        match word:
            case EpochOpened():
                self._announcer.on_opened(heard.sender)
                await self._vouching.on_opened(heard.sender, word)
            case EpochKnown():
                await self._vouching.on_known(heard.sender, word)
            case EpochFollows():
                await self._vouching.on_follows(heard.sender, word)
            case EpochRemembered():
                await self._vouching.on_remembered(heard.sender, word)
                await self._sessions.tick()  # orders may have waited for that
            case BlockStored():
                await self._intake.on_block_stored(heard, word)
            case BlocksMissing():
                await self._intake.on_blocks_missing(heard, word)
            case KeyAnnounced():
                await self._announcements.on_announced(heard, word)
            case AnnouncementHeard():
                await self._announcer.on_heard(heard.sender, word)
            case SessionPads():
                await self._sessions.on_pads(heard, word)
            case SessionReady():
                await self._sessions.on_ready(heard.sender, word)
            case SessionRefused():
                await self._sessions.on_refused(heard.sender, word)
            case RelayDelivered() | RelayFailed():
                await self._relay.on_verdict(heard.sender, word)
                await self._hops.on_verdict(heard, word)
            case RelayVoid():
                await self._hops.on_void(heard, word)
            case RelayVoided():
                self._relay.on_voided(heard.sender, word)
            case _:
                self._alarm("odd-word", f"{heard.sender!r} said {type(word).__name__}", "", about=heard.sender)

    async def follow(self, module: QKDModule) -> None:
        async for event in module.events():
            await self.aloud(partial(self._act_for_module, module, event), type(event).__name__)

    async def _act_for_module(self, module: QKDModule, event: ModuleEvent) -> None:
        recorder = self._context.recorder
        match event:
            case KeyBlockReady():
                await self._intake.on_block_ready(module, event)
            case OrderEnded():
                await self._sessions.on_module_ended(event)
            case Contact():
                await self._on_contact(event)
            case LinkQuality():
                recorder.record(
                    EventKind.LINK_QUALITY,
                    cause=self._sessions.cause_of(event.order_id),
                    order_id=event.order_id,
                    link_id=event.link_id,
                    progress=event.progress,
                    link_time_s=event.link_time_s,
                    qber=event.qber,
                    sifted_bits=event.sifted_bits,
                    sifted_rate_bits_per_s=event.sifted_rate_bits_per_s,
                    secret_rate_bits_per_s=event.secret_rate_bits_per_s,
                    f_ec=event.f_ec,
                    block_bits=event.block_bits,
                    details=dict(event.details),
                )
                if event.progress >= 1.0:
                    recorder.block_made(event.link_id)
            case Alarm():
                await self._on_alarm(module, event)

    async def _on_contact(self, event: Contact) -> None:
        """At a satellite: a station sees it from now on, or no longer. A station has nothing to do but to answer."""
        if self._contacts is None or not self._context.links.has(event.link_id):
            return
        await self._contacts.on_contact(event)
        if event.is_open:
            await self._sessions.begin_pass(OrderId(event.pass_id), event.link_id)

    async def _on_alarm(self, module: QKDModule, event: Alarm) -> None:
        """Tell a module's alarm, or note its end; a code that only the module knows comes under one of ours. The
        controller hears at once of a module that is away, or is back."""
        own = "module-alarm" if event.severity == "critical" else "module-warning"
        code = event.code if event.code in ALARMS else own
        about: str = event.link_id or module.module_id
        about += "" if code == event.code else f" {event.code}"
        if event.is_cleared:
            self._context.recorder.alarm_over(code, about)
        else:
            self._context.recorder.alarm(
                code, event.text, event.remedy, about=about, link_id=event.link_id, module_code=event.code
            )
        if event.code == MODULE_AWAY and event.link_id is not None:
            self._context.links.note_module(event.link_id, is_away=not event.is_cleared)
            await self._announce()


def _is_routine(word: Word) -> bool:
    """Return whether a word asks nothing of this node: it is said to whoever is awake."""
    return _is_greeting(word) or isinstance(word, RoutesPushed | SharesPushed)


def _is_greeting(word: Word) -> bool:
    """Return whether a word is to be heard whatever its epoch: an older copy of a store speaks in an older one."""
    return isinstance(word, EpochOpened | EpochKnown | EpochFollows | EpochRemembered)

"""The words that key managers and the controller say to each other.

Each word is a dataclass; its name in kebab-case is the message's kind (``OrderState`` travels as ``order-state``), its
fields are the message's fields (``codec``). All of it is public; what is secret travels as the body of ``Relay`` and
nowhere else, under a one-time pad.

No word needs to arrive, nor to arrive once, nor in order: each either answers another that is repeated until it is
answered, or only speeds up what a repeated word would bring about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from qanat.ground.identifiers import BlockId, EventId, LinkId, NodeId, OrderId, RequestId, SaeId
from qanat.ground.keys import BitRange, Origin
from qanat.ground.orders import LinkForecast
from qanat.ground.route_policy import Measure

Route: TypeAlias = tuple[NodeId, ...]
Routes: TypeAlias = tuple[Route, ...]


# --- controller to controller ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ControllerHere:
    """Said every second by one controller to the other: whether it rules, and in which epoch it does, or did."""

    epoch: int
    rules: bool


# --- key manager to controller -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Announce:
    """What a key manager has and does, said at start and every few seconds. ``unreached``: whom it does not reach;
    ``certificate_ended``: that its own certificate does not count any more; empty while it does."""

    table_epoch: int
    table_version: int
    links: tuple[LinkReport, ...]
    unreached: tuple[NodeId, ...] = ()
    certificate_ended: str = ""


@dataclass(frozen=True, slots=True)
class LinkReport:
    """A link seen from one end: the stock it may send under, what its module can do, which order runs."""

    link_id: LinkId
    available_bits: int
    expected_rate_bits_per_s: float
    origin: Origin
    running: OrderId | None
    oldest_age_s: float | None = None
    """How old the bits are that this end would send under next; None: it has none, or cannot tell."""
    module_away: bool | None = False
    """Whether the process with the module here does not answer; None: it is dialled, and that is not known yet."""


@dataclass(frozen=True, slots=True)
class ForecastsTold:
    """What a node foretells of its links, in place of all that it foretold before: maintenance, weather, passes. Said
    with each ``Announce`` since the first time."""

    forecasts: tuple[LinkForecast, ...]


@dataclass(frozen=True, slots=True)
class StockReport:
    """The stock that this node may send under on a link has changed; ``block_bits`` of the last block, 0 if unknown."""

    link_id: LinkId
    available_bits: int
    block_bits: int


@dataclass(frozen=True, slots=True)
class PoolShortage:
    """A pool that held less than was asked of it."""

    link_id: LinkId
    sender: NodeId
    available_bits: int


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """Too little key between two nodes: every hop of their routes must hold ``needed_bits``. Caused by step 5.

    ``is_idle``: for keys that nobody has asked for yet; all other demands go first, those of higher ``priority`` before
    others. ``routes``: the ways from source to target that the keys are to go; none: the one of the controller's table.
    ``standing``: of those that share by rates 0 asks for what was guaranteed to it and 2 for more than its share.
    ``agreement``: which declared pair of applications it is for; empty: any other.
    """

    demand_id: str
    source: NodeId
    target: NodeId
    needed_bits: int
    short: tuple[PoolShortage, ...]
    request_id: RequestId | None
    is_idle: bool = False
    routes: Routes = ()
    priority: int = 0
    standing: int = 1
    agreement: str = ""


@dataclass(frozen=True, slots=True)
class OrderState:
    """How an order stands at one end: ``running``, ``ended`` (with the fault and remedy, if any) or ``unknown``.
    ``by_module``: the fault is what the QKD module said."""

    order_id: OrderId
    link_id: LinkId
    state: str
    blocks_made: int
    fault: str | None
    remedy: str = ""
    by_module: bool = False


@dataclass(frozen=True, slots=True)
class RouteQuestion:
    """Which ways lead from the sender to ``target`` that pass none of ``avoid`` (sorted), stay in one region, or pass
    no relay, the best of them by ``measure`` first? Answered by what is known then, as often as it is asked."""

    target: NodeId
    avoid: tuple[NodeId, ...]
    domestic_only: bool
    direct_only: bool
    measure: Measure


# --- controller to key manager -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RouteChoices:
    """All ways that keys may go from the receiver to ``target``, besides the widest one.

    ``disjoint`` have no node in common but their ends, as many as there are (up to MAX_DISJOINT_ROUTES). ``cut``: the
    nodes because of which there are no more: of one route, each alone is on every other; of several, all together;
    empty where the limit or a missing link is the reason. ``detours`` go round a relay of the widest route.
    """

    target: NodeId
    disjoint: Routes
    detours: Routes
    cut: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class RoutesPushed:
    """The routes that begin at the receiver: the widest to every node, and to nodes with applications all others.
    ``twin_links`` have a twin at an end: their keys are labelled so. Of ``away_links`` a module does not answer;
    ``lost_nodes`` do not answer the controller."""

    table_epoch: int
    table_version: int
    key_routes: Routes
    classical_routes: Routes
    twin_links: tuple[LinkId, ...]
    choices: tuple[RouteChoices, ...] = ()
    away_links: tuple[LinkId, ...] = ()
    lost_nodes: tuple[NodeId, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteAnswer:
    """What the controller knows of the ways of a question, while it has this table of routes.

    ``ways``: all of them that it tells, the best first; none where there is none. ``disjoint``, ``cut``: as in
    ``RouteChoices``, of those that the question allows.
    """

    question: RouteQuestion
    table_epoch: int
    table_version: int
    ways: Routes
    disjoint: Routes
    cut: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class WeightedWays:
    """The ways to ``target`` that shares were found on, and what each carries in bit/s: so batches are spread."""

    target: NodeId
    ways: Routes
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Ration:
    """What the receiver may send to ``target`` without asking first, in bit/s of each hop; for which two applications
    (``agreement``), or empty for all of whom nothing is declared. ``guaranteed_bits_per_s`` of it was promised."""

    agreement: str
    target: NodeId
    bits_per_s: float
    guaranteed_bits_per_s: float


@dataclass(frozen=True, slots=True)
class SharesPushed:
    """The shares of all pairs that begin at the receiver, in place of those before; nothing of a target that is not
    named is shared. Said when they change, and in answer to every announcement."""

    table_epoch: int
    shares_version: int
    spreads: tuple[WeightedWays, ...]
    rations: tuple[Ration, ...]


@dataclass(frozen=True, slots=True)
class GenerationCommand:
    """Make ``num_blocks`` blocks on a link; said to both ends. Caused by step 7."""

    order_id: OrderId
    link_id: LinkId
    num_blocks: int


@dataclass(frozen=True, slots=True)
class OrderPoll:
    order_id: OrderId
    link_id: LinkId


@dataclass(frozen=True, slots=True)
class OrderCancel:
    order_id: OrderId
    link_id: LinkId
    why: str


@dataclass(frozen=True, slots=True)
class GenerationDone:
    """Every hop holds what a demand asked for. Caused by step 7."""

    demand_id: str


@dataclass(frozen=True, slots=True)
class GenerationFailed:
    """No key for a demand: a link makes none (``by_link``), a node is ``silent``; there may be some in ``again_s``."""

    demand_id: str
    why: str
    remedy: str = ""
    by_link: bool = False
    silent: NodeId | None = None
    again_s: float | None = None


# --- key manager to key manager: epochs of stores ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EpochOpened:
    """The sender's store lives in this epoch, under this random name: what does the receiver remember of it?"""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class EpochKnown:
    """The last epoch that the sender remembers of the receiver (zero and empty: none), asked for by the epoch ``of``
    this name."""

    number: int
    name: str
    of: str


@dataclass(frozen=True, slots=True)
class EpochFollows:
    """The sender's epoch follows the one that the receiver remembers. ``restored``: since then the sender's
    store was put back from an older copy, or zeroized, and all stock that the two share is void."""

    number: int
    name: str
    after_number: int
    after_name: str
    restored: bool


@dataclass(frozen=True, slots=True)
class EpochRemembered:
    """The sender remembers the receiver's epoch of this name durably."""

    name: str


# --- key manager to key manager: making key ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionPads:
    """The transmitter's end has spent this range of the reserve for an order; the receiver's end spends the same."""

    order_id: OrderId
    link_id: LinkId
    num_blocks: int
    pad_range: BitRange


@dataclass(frozen=True, slots=True)
class SessionReady:
    """The receiver's module runs with these pads; the transmitter's may begin with the same. The range is said again
    because a late word may answer an earlier life of the transmitter's end."""

    order_id: OrderId
    pad_range: BitRange


@dataclass(frozen=True, slots=True)
class SessionRefused:
    """The receiver's end cannot take part with these pads."""

    order_id: OrderId
    pad_range: BitRange
    why: str


@dataclass(frozen=True, slots=True)
class BlockStored:
    """The sender holds this block durably; ``confirmed`` when it knows the same of the receiver and needs no answer."""

    block_id: BlockId
    order_id: OrderId
    confirmed: bool


@dataclass(frozen=True, slots=True)
class BlocksMissing:
    """The sender does not hold these blocks and never will: void them."""

    block_ids: tuple[BlockId, ...]


# --- key manager to key manager: a satellite's announcements --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AnnouncedPart:
    """Which bits of one station's key are announced; ``tag``: in hexadecimal, over all else, under its first bits."""

    link_id: LinkId
    sender: NodeId
    bits: BitRange
    tag: str


@dataclass(frozen=True, slots=True)
class KeyAnnounced:
    """A satellite announces the sum, bit by bit, of as much key with one station as with another, until both know it.

    The body is the sum; the block ``block_id`` of ``link_id``, between the two, is the first part's key, which the
    second works out. It fails where any block fails that it was made of: its bounds are the sum of theirs.
    """

    block_id: BlockId
    link_id: LinkId
    num_bits: int
    origin: Origin
    announced_utc_s: float
    eps_sec: float
    eps_cor: float
    parts: tuple[AnnouncedPart, ...]


@dataclass(frozen=True, slots=True)
class AnnouncementHeard:
    """The sender has acted on an announcement, durably, and needs not hear it again."""

    block_id: BlockId


# --- key manager to key manager: relaying keys ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Relay:
    """A batch of keys on its way over the hop ``route[hop - 1]`` to ``route[hop]``. The body is secret xor pad, the
    secret being the keys and 32 bytes by which the ends compare them; ``tag`` authenticates every other field and the
    body. Both keys of the hop are the bits ``pad_range`` of the sender's pool on ``link_id``: first the message key,
    then the pad.

    ``ids_from`` is what the ids of its keys follow from (``key_ids``). With ``shares`` over 1, this is share number
    ``share`` (from 1) of the keys; a share has no other name than that and its relay's.
    """

    relay_id: str
    route: tuple[NodeId, ...]
    hop: int
    link_id: LinkId
    pad_range: BitRange
    master: SaeId
    slave: SaeId
    ids_from: str
    num_keys: int
    size_bits: int
    origin: Origin
    created_utc_s: float
    request_id: RequestId | None
    tag: str
    share: int = 1
    shares: int = 1


@dataclass(frozen=True, slots=True)
class RelayDelivered:
    """The last node holds the keys durably; ``check``: of what it holds (``end_check``), 32 hexadecimal digits."""

    relay_id: str
    check: str


@dataclass(frozen=True, slots=True)
class RelayFailed:
    """A node could not hand the batch on. ``short``: its pool, if that is why; ``silent``: the next node, if it is
    silent. ``share``: which share it was; 0 if nobody knows. ``is_full``: as many keys of the pair wait as may.
    ``is_coming``: the next node is just coming up, and may answer in a moment."""

    relay_id: str
    node: NodeId
    why: str
    short: tuple[PoolShortage, ...]
    silent: NodeId | None = None
    share: int = 1
    is_full: bool = False
    is_coming: bool = False


@dataclass(frozen=True, slots=True)
class RelayVoid:
    """The batch is in doubt at its origin: destroy these keys, and never take them in."""

    relay_id: str
    ids_from: str
    num_keys: int


@dataclass(frozen=True, slots=True)
class RelayVoided:
    relay_id: str


Word: TypeAlias = (
    ControllerHere
    | Announce
    | ForecastsTold
    | StockReport
    | GenerationRequest
    | OrderState
    | RouteQuestion
    | RoutesPushed
    | RouteAnswer
    | SharesPushed
    | GenerationCommand
    | OrderPoll
    | OrderCancel
    | GenerationDone
    | GenerationFailed
    | EpochOpened
    | EpochKnown
    | EpochFollows
    | EpochRemembered
    | SessionPads
    | SessionReady
    | SessionRefused
    | BlockStored
    | BlocksMissing
    | KeyAnnounced
    | AnnouncementHeard
    | Relay
    | RelayDelivered
    | RelayFailed
    | RelayVoid
    | RelayVoided
)


@dataclass(frozen=True, slots=True)
class Heard:
    """A word as it arrived: who said it (proven by the transport), what caused it, and its opaque body."""

    sender: NodeId
    word: Word
    cause: EventId | None
    body: bytes

"""The words that key managers and the controller say to each other.

Each word is a dataclass; its name in kebab-case is the message's kind (``OrderState`` travels as ``order-state``), its
fields are the message's fields. ``KINDS`` is the one table of them. All of it is public; what is secret travels as the
body of ``Relay`` and nowhere else, under a one-time pad.

No word needs to arrive, nor to arrive once, nor in order: each either answers another that is repeated until it is
answered, or only speeds up what a repeated word would bring about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from qanat.ground.errors import FrameError
from qanat.ground.events import Json
from qanat.ground.identifiers import BlockId, EventId, KeyID, LinkId, NodeId, OrderId, RequestId, SaeId
from qanat.ground.keys import BitRange, Origin
from qanat.ground.messages import Message

Routes: TypeAlias = tuple[tuple[NodeId, ...], ...]


# --- key manager to controller -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Announce:
    """What a key manager has and does, said at start and every few seconds. One row per link, see ``LinkReport``."""

    table_epoch: int
    table_version: int
    links: tuple[LinkReport, ...]


@dataclass(frozen=True, slots=True)
class LinkReport:
    """A link seen from one end: the stock it may send under, what its module can do, which order runs."""

    link_id: LinkId
    available_bits: int
    expected_rate_bits_per_s: float
    origin: Origin
    running: OrderId | None


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
    """Too little key between two nodes: every hop of their route must hold ``needed_bits``. Caused by step 5."""

    demand_id: str
    source: NodeId
    target: NodeId
    needed_bits: int
    short: tuple[PoolShortage, ...]
    request_id: RequestId | None


@dataclass(frozen=True, slots=True)
class OrderState:
    """How an order stands at one end: ``running``, ``ended`` (with the fault, if any) or ``unknown``."""

    order_id: OrderId
    link_id: LinkId
    state: str
    blocks_made: int
    fault: str | None


# --- controller to key manager -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RoutesPushed:
    """The routes that begin at the receiver. ``twin_links`` have a twin at an end: their keys are labelled so."""

    table_epoch: int
    table_version: int
    key_routes: Routes
    classical_routes: Routes
    twin_links: tuple[LinkId, ...]


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
    demand_id: str
    why: str


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
    """The receiver's module runs; the transmitter's may begin."""

    order_id: OrderId


@dataclass(frozen=True, slots=True)
class SessionRefused:
    order_id: OrderId
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


# --- key manager to key manager: relaying keys ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Relay:
    """A batch of keys on its way over the hop ``route[hop - 1]`` to ``route[hop]``.

    The body is keys xor pad; ``tag`` authenticates every other field and the body. Both keys of the hop are the bits
    ``pad_range`` of the sender's pool on ``link_id``: first the message key, then the pad.
    """

    relay_id: str
    route: tuple[NodeId, ...]
    hop: int
    link_id: LinkId
    pad_range: BitRange
    master: SaeId
    slave: SaeId
    key_ids: tuple[KeyID, ...]
    size_bits: int
    origin: Origin
    created_utc_s: float
    request_id: RequestId | None
    tag: str


@dataclass(frozen=True, slots=True)
class RelayDelivered:
    """The last node holds the keys durably."""

    relay_id: str


@dataclass(frozen=True, slots=True)
class RelayFailed:
    """A node could not hand the batch on; ``short`` names its pool when that was the reason."""

    relay_id: str
    node: NodeId
    why: str
    short: tuple[PoolShortage, ...]


@dataclass(frozen=True, slots=True)
class RelayVoid:
    """The batch is in doubt at its origin: destroy these keys, and never take them in."""

    relay_id: str
    key_ids: tuple[KeyID, ...]


@dataclass(frozen=True, slots=True)
class RelayVoided:
    relay_id: str


Word: TypeAlias = (
    Announce
    | StockReport
    | GenerationRequest
    | OrderState
    | RoutesPushed
    | GenerationCommand
    | OrderPoll
    | OrderCancel
    | GenerationDone
    | GenerationFailed
    | SessionPads
    | SessionReady
    | SessionRefused
    | BlockStored
    | BlocksMissing
    | Relay
    | RelayDelivered
    | RelayFailed
    | RelayVoid
    | RelayVoided
)


def kind_of(word_class: type) -> str:
    """Return the message kind of a word: its class name in kebab-case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", word_class.__name__).lower()


KINDS: Mapping[str, type[Word]] = {kind_of(word_class): word_class for word_class in Word.__args__}


def encode_word(word: Word) -> tuple[str, dict[str, Json]]:
    """Return the message kind and fields of ``word``."""
    return kind_of(type(word)), _to_row(word)


def decode_word(message: Message) -> Word:
    """Return the word in a message; raises FrameError when it is none, or a field is missing, wrong or unknown."""
    word_class = KINDS.get(message.kind)
    if word_class is None:
        raise FrameError(f"a message of the unknown kind {message.kind!r}", remedy="update the older of the two sides")
    try:
        word: Word = _from_row(word_class, message.fields)
    except (KeyError, TypeError, ValueError) as fault:
        raise FrameError(f"message {message.kind!r} is malformed: {fault}") from None
    return word


def _to_row(record: Any) -> dict[str, Json]:
    return {field.name: _to_json(getattr(record, field.name)) for field in fields(record)}


def _to_json(value: Any) -> Json:
    if isinstance(value, BitRange):
        return value.to_json()
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, LinkReport | PoolShortage):
        return _to_row(value)
    plain: Json = value
    return plain


def _from_row(record_class: type, row: object) -> Any:
    if not isinstance(row, Mapping):
        raise TypeError(f"{record_class.__name__} is no object")
    readers = _READERS[record_class]
    if row.keys() != readers.keys():
        raise ValueError(f"fields {sorted(row)} where {sorted(readers)} were expected")
    return record_class(**{name: readers[name](row[name]) for name in readers})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r} is no whole number of zero or more")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _origin(value: object) -> str:
    if value not in ("device", "twin"):
        raise ValueError(f"{value!r} is no origin of key")
    return _text(value)


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _tuple_of(read: Callable[[object], Any]) -> Callable[[object], tuple[Any, ...]]:
    def read_all(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{value!r} is no list")
        return tuple(read(item) for item in value)

    return read_all


def _row_of(record_class: type) -> Callable[[object], Any]:
    return lambda value: _from_row(record_class, value)


_TYPES: Mapping[str, Callable[[object], Any]] = {
    **dict.fromkeys(("str", "NodeId", "LinkId", "OrderId", "BlockId", "SaeId"), _text),
    **dict.fromkeys(("str | None", "OrderId | None", "RequestId | None"), _optional_text),
    **dict.fromkeys(("tuple[NodeId, ...]", "tuple[LinkId, ...]", "tuple[BlockId, ...]"), _tuple_of(_text)),
    "tuple[KeyID, ...]": _tuple_of(_text),
    "Routes": _tuple_of(_tuple_of(_text)),
    "tuple[LinkReport, ...]": _tuple_of(_row_of(LinkReport)),
    "tuple[PoolShortage, ...]": _tuple_of(_row_of(PoolShortage)),
    "BitRange": BitRange.from_json,
    "Origin": _origin,
    "int": _whole,
    "float": _number,
    "bool": _flag,
}
"""How a field is read, by the annotation it has above."""

_READERS: Mapping[type, Mapping[str, Callable[[object], Any]]] = {
    record_class: {field.name: _TYPES[str(field.type)] for field in fields(record_class)}
    for record_class in (*KINDS.values(), LinkReport, PoolShortage)
}


@dataclass(frozen=True, slots=True)
class Heard:
    """A word as it arrived: who said it (proven by the transport), what caused it, and its opaque body."""

    sender: NodeId
    word: Word
    cause: EventId | None
    body: bytes

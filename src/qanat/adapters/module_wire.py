"""What a site's process and the process with its QKD modules say to each other (docs/formats/module-wire.md).

One connection carries the port ``QKDModule`` of all modules of one site. The site calls; the other side answers each
call by its number, and tells events as they come. Key bytes are bodies of two kinds of frame: the pads of START, the
bits of BLOCK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from qanat.adapters.module_records import (
    Record,
    block_record,
    capability_record,
    event_record,
    fault_record,
    number,
    of_type,
    order_record,
    read_block,
    read_capability,
    read_event,
    read_fault,
    read_order,
    read_origin,
    text,
)
from qanat.ground.errors import FrameError, QanatError
from qanat.ground.events import Json
from qanat.ground.framing import decode_frame, encode_frame
from qanat.ground.identifiers import BlockId, ModuleId, NodeId, OrderId
from qanat.ground.keys import KeyBlock, Origin
from qanat.ground.orders import GenerationOrder, LinkCapability, ModuleEvent


@dataclass(frozen=True, slots=True)
class Hello:
    """The site's first word. ``life`` names its process: the next one has not heard what this one was told."""

    life: str


@dataclass(frozen=True, slots=True)
class ModuleCard:
    """A module as its site must know it, with its capability towards each neighbour that it reaches."""

    module_id: ModuleId
    origin: Origin
    capabilities: Mapping[NodeId, LinkCapability]


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to HELLO. ``instance`` names the process with the modules: the next one knows none of their orders.
    ``answers_ping``: whether it knows PING, which an older one does not."""

    instance: str
    modules: tuple[ModuleCard, ...]
    answers_ping: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """Call of ``start``. The order's pads stay the caller's; their bytes are the frame's body."""

    call: int
    module_id: ModuleId
    order: GenerationOrder


@dataclass(frozen=True, slots=True)
class Stop:
    """Call of ``stop``."""

    call: int
    module_id: ModuleId
    order_id: OrderId


@dataclass(frozen=True, slots=True)
class Fetch:
    """Call of ``fetch``, which HANDED answers."""

    call: int
    module_id: ModuleId
    block_id: BlockId


@dataclass(frozen=True, slots=True)
class Release:
    """Call of ``release``."""

    call: int
    module_id: ModuleId
    block_id: BlockId
    kept: bool


@dataclass(frozen=True, slots=True)
class Done:
    """The call returned, with nothing to return."""

    call: int


@dataclass(frozen=True, slots=True)
class Handed:
    """The block that was fetched; its bits are the frame's body."""

    call: int
    block: KeyBlock = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """The call raised."""

    call: int
    fault: QanatError


@dataclass(frozen=True, slots=True)
class Told:
    """An event of a module. The numbers of one module grow as long as the process with the modules lives."""

    module_id: ModuleId
    number: int
    event: ModuleEvent


@dataclass(frozen=True, slots=True)
class HeardOf:
    """The site has acted on a module's events up to this number: they need not be told again."""

    module_id: ModuleId
    number: int


@dataclass(frozen=True, slots=True)
class Ping:
    """The site asks whether the process with the modules lives. It is answered also while a call is at work."""

    number: int


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to the PING of this number."""

    number: int


Call: TypeAlias = Start | Stop | Fetch | Release
Answer: TypeAlias = Done | Handed | Failed
Word: TypeAlias = Hello | Welcome | Call | Answer | Told | HeardOf | Ping | Pong

KINDS: Final[Mapping[type[Word], int]] = {
    Hello: 0x60,
    Welcome: 0x61,
    Start: 0x62,
    Stop: 0x63,
    Fetch: 0x64,
    Release: 0x65,
    Done: 0x66,
    Handed: 0x67,
    Failed: 0x68,
    Told: 0x69,
    HeardOf: 0x6A,
    Ping: 0x6B,
    Pong: 0x6C,
}
"""Frame kind of each word."""


def encode_word(word: Word) -> bytes:
    """Return a word as one frame; raises ValueError when it is too long for one."""
    return encode_frame(KINDS[type(word)], _header(word), _body(word))


def decode_word(data: bytes) -> Word:
    """Return the word in a frame; raises FrameError on anything else."""
    frame = decode_frame(data)
    reader = _READERS.get(frame.kind)
    if reader is None:
        raise FrameError(f"frames of kind {frame.kind:#x} are not spoken with QKD modules")
    try:
        return reader(frame.header, frame.body)
    except (KeyError, TypeError, ValueError) as fault:
        raise FrameError(f"a word of kind {frame.kind:#x} does not hold: {fault}") from None


def _header(word: Word) -> dict[str, Json]:
    match word:
        case Hello():
            return {"life": word.life}
        case Welcome():
            cards: list[Json] = [_card_record(card) for card in word.modules]
            header: dict[str, Json] = {"instance": word.instance, "modules": cards}
            return {**header, "answers_ping": True} if word.answers_ping else header
        case Start():
            return {"call": word.call, "module": word.module_id, "order": order_record(word.order)}
        case Stop():
            return {"call": word.call, "module": word.module_id, "order_id": word.order_id}
        case Fetch():
            return {"call": word.call, "module": word.module_id, "block_id": word.block_id}
        case Release():
            return {"call": word.call, "module": word.module_id, "block_id": word.block_id, "kept": word.kept}
        case Done():
            return {"call": word.call}
        case Handed():
            return {"call": word.call, "block": block_record(word.block)}
        case Failed():
            return {"call": word.call, **fault_record(word.fault)}
        case Told():
            return {"module": word.module_id, "number": word.number, "event": event_record(word.event)}
        case HeardOf():
            return {"module": word.module_id, "number": word.number}
        case Ping() | Pong():
            return {"number": word.number}


def _body(word: Word) -> bytes:
    match word:
        case Start(order=GenerationOrder(pads=pads)) if pads is not None:
            return pads.secret.reveal()
        case Handed():
            return word.block.bits.reveal()
    return b""


def _card_record(card: ModuleCard) -> dict[str, Json]:
    capabilities: dict[str, Json] = {peer: capability_record(card.capabilities[peer]) for peer in card.capabilities}
    return {"module": card.module_id, "origin": card.origin, "capabilities": capabilities}


def _read_card(record: Record) -> ModuleCard:
    capabilities = of_type(record, "capabilities", dict)
    return ModuleCard(
        _module(record),
        read_origin(record),
        {NodeId(peer): read_capability(capability) for peer, capability in capabilities.items()},
    )


def _read_welcome(header: Record, _body: bytes) -> Welcome:
    cards = tuple(_read_card(record) for record in of_type(header, "modules", list))
    answers_ping = "answers_ping" in header and of_type(header, "answers_ping", bool)
    return Welcome(text(header, "instance"), cards, answers_ping)


def _read_release(header: Record, _body: bytes) -> Release:
    block_id, kept = BlockId(text(header, "block_id")), of_type(header, "kept", bool)
    return Release(_call(header), _module(header), block_id, kept)


def _call(header: Record) -> int:
    return number(header, "call")


def _module(header: Record) -> ModuleId:
    return ModuleId(text(header, "module"))


_READERS: Mapping[int, Callable[[Mapping[str, Any], bytes], Word]] = {
    KINDS[Hello]: lambda header, _: Hello(text(header, "life")),
    KINDS[Welcome]: _read_welcome,
    KINDS[Start]: lambda header, body: Start(_call(header), _module(header), read_order(header["order"], body)),
    KINDS[Stop]: lambda header, _: Stop(_call(header), _module(header), OrderId(text(header, "order_id"))),
    KINDS[Fetch]: lambda header, _: Fetch(_call(header), _module(header), BlockId(text(header, "block_id"))),
    KINDS[Release]: _read_release,
    KINDS[Done]: lambda header, _: Done(_call(header)),
    KINDS[Handed]: lambda header, body: Handed(_call(header), read_block(header["block"], body)),
    KINDS[Failed]: lambda header, _: Failed(_call(header), read_fault(header)),
    KINDS[Told]: lambda header, _: Told(_module(header), number(header, "number"), read_event(header["event"])),
    KINDS[HeardOf]: lambda header, _: HeardOf(_module(header), number(header, "number")),
    KINDS[Ping]: lambda header, _: Ping(number(header, "number")),
    KINDS[Pong]: lambda header, _: Pong(number(header, "number")),
}

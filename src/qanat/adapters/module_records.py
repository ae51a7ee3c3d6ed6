"""Orders, blocks, capabilities, events and errors as JSON records, as they stand in the frames to QKD modules.

Key bytes are in none of them: they travel as bodies, and are given and taken beside the record. Readers raise KeyError,
TypeError or ValueError for a record that does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from qanat.ground import errors
from qanat.ground.errors import QanatError, QuantumLayerError
from qanat.ground.events import Json
from qanat.ground.identifiers import BlockId, EventId, LinkId, NodeId, OrderId
from qanat.ground.keys import BitRange, KeyBlock, Origin, PoolId, SecretBytes, SpentBits
from qanat.ground.orders import (
    Alarm,
    Contact,
    GenerationOrder,
    KeyBlockReady,
    LinkCapability,
    LinkQuality,
    ModuleEvent,
    OrderEnded,
    Role,
    Severity,
)

T = TypeVar("T")
Record = Mapping[str, Any]

MAX_TEXT_CHARACTERS = 4000
"""Of the words of an error or an alarm; what is longer is cut, so that it fits a header."""

FAULTS: Mapping[str, type[QanatError]] = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, QanatError)
    # a line of a file is not known here, and a stale epoch is about the key manager's own store
    and kind not in (QanatError, errors.NetworkFileError, errors.StaleEpoch)
}
"""The errors that cross with their class; any other crosses as the nearest of its bases, or as QuantumLayerError."""


def of_type(record: Record, name: str, kind: type[T]) -> T:
    """Return a field that is of just this JSON type; raises KeyError, TypeError."""
    value = record[name]
    if type(value) is not kind:
        raise TypeError(f"{name!r} is no {kind.__name__}")
    return value


def text(record: Record, name: str) -> str:
    """Return a field that is a string."""
    return of_type(record, name, str)


def optional_text(record: Record, name: str) -> str | None:
    """Return a field that is a string or null."""
    return None if record[name] is None else text(record, name)


def number(record: Record, name: str) -> int:
    """Return a field that counts: an integer, not negative."""
    value = of_type(record, name, int)
    if value < 0:
        raise ValueError(f"{name!r} is negative")
    return value


def real(record: Record, name: str) -> float:
    """Return a field that is a number."""
    value = record[name]
    if type(value) not in (int, float):
        raise TypeError(f"{name!r} is no number")
    return float(value)


# --- capabilities ---


def capability_record(capability: LinkCapability) -> dict[str, Json]:
    return asdict(capability)


def read_capability(record: Record) -> LinkCapability:
    return LinkCapability(
        link_id=LinkId(text(record, "link_id")),
        expected_rate_bits_per_s=real(record, "expected_rate_bits_per_s"),
        block_time_s=real(record, "block_time_s"),
        switch_needed=of_type(record, "switch_needed", bool),
    )


def read_origin(record: Record) -> Origin:
    match record["origin"]:
        case "device":
            return "device"
        case "twin":
            return "twin"
    raise ValueError("'origin' is neither device nor twin")


# --- orders ---


def order_record(order: GenerationOrder) -> dict[str, Json]:
    """Return all of an order but the bits of its pads."""
    pads = order.pads
    return {
        "order_id": order.order_id,
        "link_id": order.link_id,
        "local": order.local,
        "peer": order.peer,
        "role": order.role,
        "num_blocks": order.num_blocks,
        "cause": order.cause,
        "pad_range": None if order.pad_range is None else order.pad_range.to_json(),
        "pads": None if pads is None else {"sender": pads.pool.sender, "range": pads.bits.to_json()},
    }


def read_order(record: Record, pad_bytes: bytes) -> GenerationOrder:
    """Return the order; its pads are ``pad_bytes``, which are empty for an order without."""
    link_id, cause, pad_range = LinkId(text(record, "link_id")), optional_text(record, "cause"), record["pad_range"]
    return GenerationOrder(
        order_id=OrderId(text(record, "order_id")),
        link_id=link_id,
        local=NodeId(text(record, "local")),
        peer=NodeId(text(record, "peer")),
        role=_role(record),
        num_blocks=number(record, "num_blocks"),
        cause=None if cause is None else EventId(cause),
        pad_range=None if pad_range is None else BitRange.from_json(pad_range),
        pads=_pads(link_id, record["pads"], pad_bytes),
    )


def _role(record: Record) -> Role:
    match record["role"]:
        case "transmitter":
            return "transmitter"
        case "receiver":
            return "receiver"
    raise ValueError("'role' is neither transmitter nor receiver")


def _pads(link_id: LinkId, record: Record | None, pad_bytes: bytes) -> SpentBits | None:
    if record is None:
        if pad_bytes:
            raise ValueError("an order without pads came with bytes")
        return None
    sender, bits = optional_text(record, "sender"), BitRange.from_json(record["range"])
    if bits.num_bits != 8 * len(pad_bytes):
        raise ValueError(f"pads of {bits.num_bits} bits came with {len(pad_bytes)} bytes")
    pool = PoolId(link_id, None if sender is None else NodeId(sender))
    return SpentBits(pool, bits, SecretBytes(pad_bytes))


# --- blocks ---


def block_record(block: KeyBlock) -> dict[str, Json]:
    """Return all of a block but its bits."""
    return {
        "block_id": block.block_id,
        "order_id": block.order_id,
        "link_id": block.link_id,
        "local": block.local,
        "peer": block.peer,
        "origin": block.origin,
        "protocol": block.protocol,
        "num_bits": block.num_bits,
        "eps_sec": block.eps_sec,
        "eps_cor": block.eps_cor,
        "finished_utc_s": block.finished_utc_s,
    }


def read_block(record: Record, bits: bytes) -> KeyBlock:
    """Return the block with its bits."""
    return KeyBlock(
        block_id=BlockId(text(record, "block_id")),
        order_id=OrderId(text(record, "order_id")),
        link_id=LinkId(text(record, "link_id")),
        local=NodeId(text(record, "local")),
        peer=NodeId(text(record, "peer")),
        origin=read_origin(record),
        protocol=text(record, "protocol"),
        num_bits=number(record, "num_bits"),
        bits=SecretBytes(bits),
        eps_sec=real(record, "eps_sec"),
        eps_cor=real(record, "eps_cor"),
        finished_utc_s=real(record, "finished_utc_s"),
    )


# --- events ---


def event_record(event: ModuleEvent) -> dict[str, Json]:
    """Return an event with its ``type``."""
    match event:
        case KeyBlockReady():
            return {"type": "block-ready", **asdict(event)}
        case LinkQuality():
            return {"type": "link-quality", **asdict(event), "details": dict(event.details)}
        case OrderEnded():
            return {
                "type": "order-ended",
                **asdict(event),
                "fault": _short(event.fault),
                "remedy": _short(event.remedy),
            }
        case Contact():
            return {"type": "contact", **asdict(event)}
        case Alarm():
            return {"type": "alarm", **asdict(event), "text": _short(event.text), "remedy": _short(event.remedy)}


def read_event(record: Record) -> ModuleEvent:
    """Return the event of this ``type``."""
    match record["type"]:
        case "block-ready":
            block_id, order_id = BlockId(text(record, "block_id")), OrderId(text(record, "order_id"))
            return KeyBlockReady(block_id, order_id, number(record, "num_bits"))
        case "link-quality":
            return _read_quality(record)
        case "order-ended":
            order_id, fault = OrderId(text(record, "order_id")), optional_text(record, "fault")
            return OrderEnded(order_id, number(record, "blocks_made"), fault, text(record, "remedy"))
        case "alarm":
            return _read_alarm(record)
        case "contact":
            return Contact(LinkId(text(record, "link_id")), text(record, "pass_id"), of_type(record, "is_open", bool))
    raise ValueError(f"no event of type {record['type']!r}")


def _read_quality(record: Record) -> LinkQuality:
    details = of_type(record, "details", dict)
    return LinkQuality(
        order_id=OrderId(text(record, "order_id")),
        link_id=LinkId(text(record, "link_id")),
        progress=real(record, "progress"),
        link_time_s=real(record, "link_time_s"),
        qber=None if record["qber"] is None else real(record, "qber"),
        sifted_bits=number(record, "sifted_bits"),
        sifted_rate_bits_per_s=real(record, "sifted_rate_bits_per_s"),
        secret_rate_bits_per_s=real(record, "secret_rate_bits_per_s"),
        f_ec=None if record["f_ec"] is None else real(record, "f_ec"),
        block_bits=number(record, "block_bits"),
        details={name: real(details, name) for name in details},
    )


def _read_alarm(record: Record) -> Alarm:
    link_id = optional_text(record, "link_id")
    return Alarm(
        code=text(record, "code"),
        severity=_severity(record),
        text=text(record, "text"),
        remedy=text(record, "remedy"),
        link_id=None if link_id is None else LinkId(link_id),
        is_cleared=of_type(record, "is_cleared", bool),
    )


def _severity(record: Record) -> Severity:
    match record["severity"]:
        case "warning":
            return "warning"
        case "critical":
            return "critical"
    raise ValueError("'severity' is neither warning nor critical")


# --- errors ---


def fault_record(fault: QanatError) -> dict[str, Json]:
    """Return an error of our tree: the name of its class, or of the nearest of its bases that cross; its words."""
    name = next((kind.__name__ for kind in type(fault).__mro__ if kind.__name__ in FAULTS), QuantumLayerError.__name__)
    return {"error": name, "message": _short(fault.message), "remedy": _short(fault.remedy)}


def read_fault(record: Record) -> QanatError:
    """Return the error, of its class."""
    return FAULTS[text(record, "error")](text(record, "message"), remedy=text(record, "remedy"))


def _short(words: T) -> T | str:
    return words[:MAX_TEXT_CHARACTERS] if isinstance(words, str) else words

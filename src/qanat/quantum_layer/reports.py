"""What a link's worker job tells its modules, as frames: progress and figures, finished blocks, faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from qanat.ground.errors import FrameError
from qanat.ground.framing import decode_frame, encode_frame
from qanat.ground.identifiers import BlockId, LinkId, NodeId, OrderId
from qanat.ground.keys import KeyBlock, SecretBytes
from qanat.ground.orders import LinkQuality

QUALITY: Final = 1
BLOCK: Final = 2
FAULT: Final = 3


@dataclass(frozen=True, slots=True)
class BlockReport:
    """A finished block, as the session at node ``at`` computed it."""

    at: NodeId
    block: KeyBlock = field(repr=False)


@dataclass(frozen=True, slots=True)
class FaultReport:
    """Why the session at node ``at`` made no key. ``is_root``: it failed by itself, the other one because of it."""

    at: NodeId
    code: str
    text: str
    remedy: str
    is_root: bool = False


Report = LinkQuality | BlockReport | FaultReport


def encode_report(report: Report) -> bytes:
    """Return the report as one frame; a block's key bytes are its body."""
    match report:
        case LinkQuality():
            return encode_frame(QUALITY, asdict(report))
        case FaultReport():
            return encode_frame(FAULT, asdict(report))
        case BlockReport(at=node, block=block):
            header: dict[str, Any] = {name: getattr(block, name) for name in BLOCK_FIELDS}
            return encode_frame(BLOCK, {"at": node, **header}, block.bits.reveal())


def decode_report(data: bytes) -> Report:
    """Return the report in a frame; raises FrameError."""
    frame = decode_frame(data)
    header: Mapping[str, Any] = frame.header
    try:
        match frame.kind:
            case 1:
                return LinkQuality(**{**header, "order_id": OrderId(header["order_id"])})
            case 2:
                return BlockReport(NodeId(header["at"]), _block(header, SecretBytes(frame.body)))
            case 3:
                return FaultReport(**{**header, "at": NodeId(header["at"])})
    except (KeyError, TypeError, ValueError) as fault:
        raise FrameError(f"report of kind {frame.kind} does not hold: {fault}") from None
    raise FrameError(f"no report of kind {frame.kind}")


BLOCK_FIELDS = (
    *("block_id", "order_id", "link_id", "local", "peer", "origin", "protocol", "num_bits"),
    *("eps_sec", "eps_cor", "finished_utc_s"),
)


def _block(header: Mapping[str, Any], bits: SecretBytes) -> KeyBlock:
    values = {name: header[name] for name in BLOCK_FIELDS}
    values |= {
        "block_id": BlockId(header["block_id"]),
        "order_id": OrderId(header["order_id"]),
        "link_id": LinkId(header["link_id"]),
    }
    return KeyBlock(**values, bits=bits)

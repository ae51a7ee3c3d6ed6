"""What both ends of a file transfer share: settings, progress, and how a transfer that fails is ended."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TypeAlias

from qanat.ground.errors import ChannelError, ConfigurationError, FrameError, PeerProtocolError, QanatError
from qanat.ground.ports import ClassicalChannel
from qanat.services.transfer_frames import (
    MAX_CHUNK_BYTES,
    MAX_KEYS_PER_FRAME,
    TransferKind,
    WireFrame,
    parse_frame,
    refusal_frame,
    refusal_reason,
)


@dataclass(frozen=True, slots=True)
class FileSettings:
    """How files are sent.

    ``chunk_bytes``: content under one key. ``keys_per_request``: at most so many keys are asked at once; the key
    manager's own limit counts too. ``patience_s``: how long a sender waits for keys, request by request.
    ``silence_s``: how long either end waits for the other's next frame; more than the sender's patience.
    """

    chunk_bytes: int = 64 * 1024
    keys_per_request: int = 128
    patience_s: float = 120.0
    silence_s: float = 180.0

    def __post_init__(self) -> None:
        if not 1 <= self.chunk_bytes <= MAX_CHUNK_BYTES:
            raise ValueError(f"chunk_bytes must be 1 to {MAX_CHUNK_BYTES}, got {self.chunk_bytes}")
        if not 1 <= self.keys_per_request <= MAX_KEYS_PER_FRAME:
            raise ValueError(f"keys_per_request must be 1 to {MAX_KEYS_PER_FRAME}, got {self.keys_per_request}")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is; ``total_bytes`` is None while nobody knows it."""

    done_bytes: int
    total_bytes: int | None
    num_chunks: int


ProgressCallback: TypeAlias = Callable[[Progress], None]


class RefusedByPeer(PeerProtocolError):
    """The other end ended the transfer and said why."""


async def next_frame(channel: ClassicalChannel, *, timeout_s: float, peer: str) -> WireFrame:
    """Return the next frame; raises RefusedByPeer when it is a refusal, FrameError when it is none of this protocol."""
    frame = parse_frame(await channel.receive(timeout_s=timeout_s))
    if frame.kind == TransferKind.REFUSAL:
        raise RefusedByPeer(
            f"{peer} ended the transfer: {refusal_reason(frame)}",
            remedy="do as it says, then send the file again; the keys of this transfer are used up",
        )
    return frame


def check_kind(frame: WireFrame, kind: TransferKind) -> None:
    """Raise FrameError unless the frame is of the kind that is due."""
    if frame.kind != kind:
        raise FrameError(
            f"a frame of kind {frame.kind} came where {kind.name.lower()} was due: frames were left out, repeated or "
            "put in on the way",
            remedy="look for who alters the classical line, then send the file again",
        )


@contextlib.asynccontextmanager
async def refusing(channel: ClassicalChannel, *, drain_s: float | None) -> AsyncIterator[None]:
    """Tell the peer when the work inside fails.

    With ``drain_s``, frames under way are read and dropped until the peer answers the refusal, so that one who is
    busy sending comes to read it.
    """
    try:
        yield
    except (OSError, ConfigurationError):
        # The fault's own text may name files of this machine.
        await _refuse(channel, "its machine could not read or keep the file", drain_s=drain_s)
        raise
    except QanatError as fault:
        await _refuse(
            channel, fault.message, drain_s=None if isinstance(fault, RefusedByPeer | ChannelError) else drain_s
        )
        raise


async def _refuse(channel: ClassicalChannel, reason: str, *, drain_s: float | None) -> None:
    with contextlib.suppress(ChannelError):
        await channel.send(refusal_frame(reason))
        if drain_s is None:
            return
        for _ in range(MAX_KEYS_PER_FRAME + 2):
            dropped = await channel.receive(timeout_s=drain_s)
            with contextlib.suppress(PeerProtocolError):
                if parse_frame(dropped).kind == TransferKind.REFUSAL:
                    return

"""Messages between key managers, and between them and the controller.

A message may be lost, repeated or late. It says who caused it and from which epoch of its sender's store it is, so that
a receiver can tell a late word of a dead process from a fresh one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from qanat.ground.errors import FrameError
from qanat.ground.events import Json
from qanat.ground.framing import decode_frame, encode_frame
from qanat.ground.identifiers import Epoch, EventId, MessageId

MESSAGE_FRAME = 0x40
"""Frame kind of a message."""

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Message:
    """``kind`` names the message, ``fields`` are public, ``body`` is opaque (a relay's ciphertext)."""

    id: MessageId
    kind: str
    epoch: Epoch
    cause: EventId | None = None
    fields: Mapping[str, Json] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    version: int = 1

    def read(self, name: str, convert: Callable[[Json], V]) -> V:
        """Return ``convert`` of a field; raises FrameError when it is missing or ``convert`` refuses it."""
        try:
            return convert(self.fields[name])
        except (KeyError, TypeError, ValueError) as fault:
            raise FrameError(f"message {self.kind!r}: field {name!r} is missing or wrong: {fault}") from None


def encode_message(message: Message) -> bytes:
    """Return the message as one frame."""
    header: dict[str, Json] = {
        "cause": message.cause,
        "epoch": message.epoch,
        "fields": message.fields,
        "id": message.id,
        "kind": message.kind,
        "version": message.version,
    }
    return encode_frame(MESSAGE_FRAME, header, message.body)


def decode_message(data: bytes) -> Message:
    """Return the message in a frame; raises FrameError on anything else."""
    frame = decode_frame(data)
    match dict(frame.header):
        case {
            "cause": str() | None as cause,
            "epoch": int(epoch),
            "fields": dict(fields),
            "id": str(message_id),
            "kind": str(kind),
            "version": 1,
        } if frame.kind == MESSAGE_FRAME:
            return Message(
                id=MessageId(message_id),
                kind=kind,
                epoch=Epoch(epoch),
                cause=None if cause is None else EventId(cause),
                fields=fields,
                body=frame.body,
            )
    raise FrameError("no message of this protocol")

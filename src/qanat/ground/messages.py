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
from qanat.ground.framing import MAX_HEADER_BYTES, canonical_json, decode_frame, encode_frame, read_canonical_json
from qanat.ground.identifiers import Epoch, EventId, MessageId

MESSAGE_FRAME = 0x40
"""Frame kind of a message."""
LONG_MESSAGE_FRAME = 0x41
"""Frame kind of a message without a body whose fields are too long for a header: they are the frame's body, in the
same spelling. The routes of a large network are such."""
PULSE_QUESTION_FRAME = 0x42
PULSE_ANSWER_FRAME = 0x43
"""Frame kinds of no message: whether the other end of a line hears, and that it does. They have neither header nor
body, and who reads a line answers them by himself."""
MANY_ROWS = 100
"""Fields with longer lists are likely too long for a header."""

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
    """Return the message as one frame; raises ValueError when it has a body, and fields too long beside it."""
    header: dict[str, Json] = {
        "cause": message.cause,
        "epoch": message.epoch,
        "fields": message.fields,
        "id": message.id,
        "kind": message.kind,
        "version": message.version,
    }
    lists = (value for value in message.fields.values() if isinstance(value, list))
    if not message.body and any(len(value) > MANY_ROWS for value in lists):
        said = canonical_json(message.fields)  # spelled once: a table of routes takes a millisecond
        if len(said) > MAX_HEADER_BYTES:
            return encode_frame(LONG_MESSAGE_FRAME, {**header, "fields": {}}, said)
    try:
        return encode_frame(MESSAGE_FRAME, header, message.body)
    except ValueError:
        if message.body:
            raise
        return encode_frame(LONG_MESSAGE_FRAME, {**header, "fields": {}}, canonical_json(message.fields))


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
        } if frame.kind == MESSAGE_FRAME or (frame.kind == LONG_MESSAGE_FRAME and not fields):
            is_long = frame.kind == LONG_MESSAGE_FRAME
            return Message(
                id=MessageId(message_id),
                kind=kind,
                epoch=Epoch(epoch),
                cause=None if cause is None else EventId(cause),
                fields=read_canonical_json(frame.body) if is_long else fields,
                body=b"" if is_long else frame.body,
            )
    raise FrameError("no message of this protocol")

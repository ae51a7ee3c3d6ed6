"""Messages between key managers: encoded, decoded, read field by field."""

from __future__ import annotations

import dataclasses

import pytest

from qanat.ground.errors import FrameError
from qanat.ground.framing import decode_frame, encode_frame
from qanat.ground.identifiers import Epoch, EventId, MessageId
from qanat.ground.keys import BitRange
from qanat.ground.messages import LONG_MESSAGE_FRAME, MESSAGE_FRAME, Message, decode_message, encode_message

MESSAGE = Message(
    id=MessageId("m-1"),
    kind="relay",
    epoch=Epoch(3),
    cause=EventId("e-1"),
    fields={"key_ids": ["a", "b"], "num_bits": 256, "pad": [["block", 0, 128]], "route": None},
    body=b"\x00ciphertext\xff",
)


@pytest.mark.parametrize("change", [{}, {"cause": None}, {"fields": {}}, {"body": b""}, {"epoch": Epoch(0)}])
def test_a_message_survives_the_wire(change: dict[str, object]) -> None:
    message = dataclasses.replace(MESSAGE, **change)
    assert decode_message(encode_message(message)) == message


LONG = dataclasses.replace(MESSAGE, fields={"routes": [["north", "east", "south"]] * 5_000}, body=b"")


def test_fields_too_long_for_a_header_travel_as_the_body() -> None:
    frame = decode_frame(encode_message(LONG))
    assert frame.kind == LONG_MESSAGE_FRAME
    assert decode_message(encode_message(LONG)) == LONG


def test_a_long_message_has_no_other_body_and_no_other_fields() -> None:
    with pytest.raises(ValueError, match="too long"):
        encode_message(dataclasses.replace(LONG, body=b"x"))
    frame = decode_frame(encode_message(LONG))
    for header, body in (({**frame.header, "fields": {"a": 1}}, frame.body), (frame.header, frame.body + b" ")):
        with pytest.raises(FrameError):
            decode_message(encode_frame(frame.kind, header, body))


def test_a_body_is_not_printed() -> None:
    assert "ciphertext" not in repr(MESSAGE)


@pytest.mark.parametrize(
    "change",
    [
        *({"id": 1}, {"id": None}, {"kind": 2}, {"epoch": "3"}, {"epoch": None}, {"cause": 5}, {"fields": []}),
        *({"fields": None}, {"version": 2}, {"version": "1"}),
    ],
)
def test_a_header_that_is_no_message_is_refused(change: dict[str, object]) -> None:
    frame = decode_frame(encode_message(MESSAGE))
    with pytest.raises(FrameError, match="no message"):
        decode_message(encode_frame(frame.kind, {**frame.header, **change}, frame.body))  # type: ignore[dict-item]


@pytest.mark.parametrize("missing", ["id", "kind", "epoch", "cause", "fields", "version"])
def test_a_header_that_lacks_a_field_is_refused(missing: str) -> None:
    frame = decode_frame(encode_message(MESSAGE))
    header = {name: value for name, value in frame.header.items() if name != missing}
    with pytest.raises(FrameError, match="no message"):
        decode_message(encode_frame(frame.kind, header, frame.body))


def test_another_kind_of_frame_is_no_message() -> None:
    frame = decode_frame(encode_message(MESSAGE))
    with pytest.raises(FrameError, match="no message"):
        decode_message(encode_frame(MESSAGE_FRAME + 2, frame.header, frame.body))
    with pytest.raises(FrameError):
        decode_message(b"")


def test_fields_are_read_by_type() -> None:
    assert MESSAGE.read("num_bits", int) == 256  # type: ignore[arg-type]
    assert MESSAGE.read("pad", BitRange.from_json).num_bits == 128


@pytest.mark.parametrize(("name", "convert"), [("nothing", str), ("route", int), ("key_ids", BitRange.from_json)])
def test_a_field_that_is_missing_or_wrong_is_the_senders_fault(name: str, convert: object) -> None:
    with pytest.raises(FrameError, match=f"message 'relay': field '{name}'"):
        MESSAGE.read(name, convert)  # type: ignore[arg-type]

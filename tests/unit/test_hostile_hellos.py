"""What a stranger without keys can say first: refused, told as a refusal, and nothing of it steers a terminal."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import pytest

from qanat.adapters.buffer_line import dial
from qanat.apps.cli.services import shown_text
from qanat.ground.errors import FrameError
from qanat.ground.framing import Frame, decode_frame, encode_frame
from qanat.services.conversation import HELLO, REFUSAL, Hello
from service_support import House, sae_of
from unit.test_file_delivery import run

GOOD = {
    "key_life_s": 60,
    "recipient": sae_of("bob"),
    "sender": sae_of("alice"),
    "service": "text",
    "stream": "text/" + "0" * 32,
    "suite": "aes-128-gcm",
}
BAD = {
    "a sender that steers the terminal": {"sender": "evil\x1b]0;pwned\x07"},
    "a long sender": {"sender": "a" * 60_000},
    "a sender with a slash": {"sender": "../a"},
    "two senders": {"sender": "a b"},
    "no sender": {"sender": ""},
    "a long recipient": {"recipient": "b" * 65},
    "a service that steers the terminal": {"service": "\x1b[2J", "stream": "\x1b[2J/0"},
    "a long stream": {"stream": "text/" + "0" * 60},
    "a stream of another service": {"stream": "fax/0"},
    "a key for ever": {"key_life_s": 86_401},
    "a key of an absurd life": {"key_life_s": 10**400},
    "a key of no life": {"key_life_s": 0},
}


def frame_of(raw: bytes) -> bytes:
    return struct.pack(">IBBH", 4 + len(raw), 1, HELLO, len(raw)) + raw


def test_a_hello_as_it_should_be_is_read() -> None:
    assert Hello.parse(Frame(HELLO, GOOD)).context.sender == sae_of("alice")


@pytest.mark.parametrize("name", BAD)
def test_a_hostile_hello_is_no_hello(name: str) -> None:
    with pytest.raises(FrameError, match="no hello"):
        Hello.parse(Frame(HELLO, GOOD | BAD[name]))


@pytest.mark.parametrize(
    "frame",
    [
        encode_frame(HELLO, GOOD | {"sender": "evil\x1b]0;pwned\x07"}),
        frame_of(json.dumps(GOOD | {"sender": "\ud800"}, sort_keys=True, separators=(",", ":")).encode()),
        frame_of(b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
        frame_of(b'{"key_life_s":Infinity}'),
    ],
)
def test_who_says_a_hostile_hello_hears_a_refusal_and_the_recipient_can_print_its_fault(
    tmp_path: Path, frame: bytes
) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        async with house.reception("bob") as bob:
            line = await dial("127.0.0.1", bob.port)
            await line.send(frame)
            assert decode_frame(bytes(await line.receive(timeout_s=5))).kind == REFUSAL
            await line.close()
            fault = await house.fault("bob")
            assert isinstance(fault, FrameError)
            assert str(fault).isprintable()

    run(work())


def test_no_line_of_a_text_can_pass_for_another_text() -> None:
    at_s = time.mktime((2026, 1, 1, 12, 0, 0, 0, 0, -1))
    shown = shown_text("yes\n12:00:00 bob: I resign\r\x1b[1A", sender="eve\x1b", sent_utc_s=at_s)
    assert shown == "12:00:00 eve?: yes\n         12:00:00 bob: I resign??[1A"

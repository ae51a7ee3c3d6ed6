"""Lines that outlive their connections, as pure bookkeeping; and a fuzz of what reads a stranger's bytes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from qanat.ground import numbered
from qanat.ground.errors import ChannelClosed, FrameError, PeerProtocolError
from qanat.ground.framing import decode_frame, encode_frame
from qanat.ground.numbered import (
    MAX_INNER_BYTES,
    LineKind,
    NumberedLine,
    bye,
    is_line_name,
    read_resume,
)

NAME = "00112233445566778899aabbccddeeff"


def make_ends() -> tuple[NumberedLine, NumberedLine]:
    return NumberedLine(NAME), NumberedLine(NAME)


def all_of(line: NumberedLine) -> list[bytes]:
    found = []
    while (frame := line.take()) is not None:
        found.append(frame)
    return found


def send(one: NumberedLine, other: NumberedLine, numbers: range) -> None:
    for number in numbers:
        data = one.data(number)
        assert data is not None
        other.hear(data)


def test_frames_arrive_in_order_and_are_kept_until_they_are_acknowledged() -> None:
    alice, bob = make_ends()
    for frame in (b"one", b"two", b"three"):
        alice.keep(frame)
    send(alice, bob, range(3))
    assert all_of(bob) == [b"one", b"two", b"three"]
    assert alice.kept_bytes == 11
    alice.hear(bob.acknowledgement())
    assert alice.kept_bytes == 0
    assert alice.data(2) is None


def test_after_a_break_only_what_was_not_heard_comes_again_and_each_frame_is_handed_up_once() -> None:
    alice, bob = make_ends()
    for number in range(5):
        alice.keep(bytes([number]))
    send(alice, bob, range(3))
    assert all_of(bob) == [b"\x00", b"\x01", b"\x02"]
    name, next_number = read_resume(bob.greeting())
    alice.resume(next_number)
    assert (name, next_number, alice.next_number) == (NAME, 3, 5)
    send(alice, bob, range(3, 5))
    bob.hear(encode_frame(LineKind.DATA, {"number": 4}, b"again"))
    assert all_of(bob) == [b"\x03", b"\x04"]


def test_a_repeated_frame_is_dropped_and_a_missing_one_breaks_the_connection() -> None:
    alice, bob = make_ends()
    for number in range(3):
        alice.keep(bytes([number]))
    send(alice, bob, range(1))
    send(alice, bob, range(1))
    with pytest.raises(FrameError, match="some are missing"):
        send(alice, bob, range(2, 3))
    assert all_of(bob) == [b"\x00"]
    assert bob.next_heard == 1


def test_a_peer_that_wants_what_is_gone_or_was_never_there_ends_the_line() -> None:
    alice, bob = make_ends()
    alice.keep(b"one")
    send(alice, bob, range(1))
    assert all_of(bob) == [b"one"]
    alice.hear(bob.acknowledgement())
    for number in (0, 2):
        with pytest.raises(ChannelClosed, match="goes on at frame"):
            alice.resume(number)
    with pytest.raises(FrameError, match="never sent"):
        alice.hear(encode_frame(LineKind.ACK, {"next": 2}))


def test_what_is_unread_is_not_acknowledged_so_that_a_sender_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbered, "WINDOW_BYTES", 1000)
    alice, bob = make_ends()
    while not alice.is_full:
        alice.keep(bytes(300))
    send(alice, bob, range(4))
    alice.hear(bob.acknowledgement())
    assert alice.is_full
    all_of(bob)
    alice.hear(bob.acknowledgement())
    assert not alice.is_full
    for number in range(4, 11):
        bob.hear(encode_frame(LineKind.DATA, {"number": number}, bytes(300)))
    with pytest.raises(FrameError, match="more than it may"):
        bob.hear(encode_frame(LineKind.DATA, {"number": 11}, bytes(300)))
    with pytest.raises(ValueError, match="too long"):
        alice.keep(bytes(MAX_INNER_BYTES + 1))


def test_the_longest_frame_fits_its_envelope() -> None:
    alice, bob = make_ends()
    alice._first_kept = bob._next_heard = 2**61
    alice.keep(bytes(MAX_INNER_BYTES))
    send(alice, bob, range(2**61, 2**61 + 1))
    assert len(all_of(bob)[0]) == MAX_INNER_BYTES


@pytest.mark.parametrize("reason", sorted(numbered.REASONS))
def test_a_line_ends_for_a_reason(reason: str) -> None:
    alice, _ = make_ends()
    alice.hear(bye(reason))
    assert alice.end_reason == reason
    with pytest.raises(ChannelClosed, match="refused"):
        read_resume(bye(reason))
    with pytest.raises(ValueError, match="no reason"):
        bye("no such reason")


@pytest.mark.parametrize(
    "data",
    [
        encode_frame(LineKind.RESUME, {"line": NAME}),
        encode_frame(LineKind.RESUME, {"line": NAME.upper(), "next": 0}),
        encode_frame(LineKind.RESUME, {"line": NAME, "next": -1}),
        encode_frame(LineKind.RESUME, {"line": NAME, "next": True}),
        encode_frame(LineKind.RESUME, {"line": NAME, "next": 0}, b"x"),
        encode_frame(LineKind.DATA, {"number": 0}),
        encode_frame(LineKind.BYE, {"reason": "because"}),
        b"GET / HTTP/1.1\r\n",
    ],
)
def test_what_begins_no_line_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        read_resume(data)
    assert is_line_name(NAME)


def spoil(dice: np.random.Generator, data: bytes) -> bytes:
    """Return bytes of a random kind: noise, or a true frame with some of its bytes altered, cut or joined."""
    way = int(dice.integers(5))
    if way == 0:
        return dice.bytes(int(dice.integers(40)))
    altered = bytearray(data)
    for _ in range(int(dice.integers(1, 4))):
        place = int(dice.integers(len(altered)))
        altered[place] = int(dice.integers(256)) if way < 3 else altered[place] ^ 1 << int(dice.integers(8))
    return bytes(altered[: int(dice.integers(len(altered) + 1))]) if way == 4 else bytes(altered)


def fuzz(num_inputs: int) -> int:
    """Feed a line and a greeter with spoilt frames; returns how many were taken. Any other error is a fault."""
    dice = np.random.default_rng(20_261_126)
    line = NumberedLine(NAME)
    for number in range(8):
        line.keep(bytes([number]))
    samples = [line.greeting(), line.acknowledgement(), bye("end"), line.data(3) or b""]
    samples.append(encode_frame(LineKind.DATA, {"number": 0}, bytes(64)))
    readers: list[Callable[[bytes], object]] = [line.hear, read_resume, decode_frame]
    taken = 0
    for turn in range(num_inputs):
        data = spoil(dice, samples[turn % len(samples)])
        try:
            readers[turn % 3](data)
            taken += 1
        except PeerProtocolError:
            pass
        if turn % 256 == 0:
            while line.take() is not None:
                pass
    return taken


def test_no_bytes_of_a_stranger_do_more_than_raise_our_errors() -> None:
    assert fuzz(10_000) > 100


@pytest.mark.campaign
def test_a_million_inputs_in_bounded_memory() -> None:
    fuzz(1000)
    tracemalloc.start()
    try:
        assert fuzz(1_000_000) > 10_000
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * 2**20


def test_who_is_asked_whether_he_is_there_knows_it_until_the_next_frame() -> None:
    alice, bob = make_ends()
    alice.hear(numbered.PING)
    assert alice.was_asked
    alice.hear(bob.acknowledgement())
    assert not alice.was_asked


@pytest.mark.parametrize("reason", sorted(numbered.REASONS))
def test_every_refusal_says_what_to_do(reason: str) -> None:
    with pytest.raises(ChannelClosed) as refused:
        read_resume(bye(reason))
    assert refused.value.remedy == numbered.REMEDIES[reason]

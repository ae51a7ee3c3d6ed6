"""Whoever holds the line of a file transfer can end it, and nothing else: seeded alterations of every frame kind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from qanat.ground.errors import PeerProtocolError, QanatError, RequestError
from qanat.ground.framing import decode_frame, encode_frame
from qanat.services.file import FileSettings, ReceivedFile, RefusedByPeer, SentFile
from qanat.services.transfer_frames import TransferKind, parse_frame, refusal_frame, refusal_reason
from unit.file_service_fakes import AT_A_STANDSTILL, Ends, Tamper, pieces_of

SETTINGS = FileSettings(chunk_bytes=1000, keys_per_request=4, silence_s=AT_A_STANDSTILL)
DATA = random.Random(1).randbytes(6500)


def frames_of_an_honest_transfer() -> tuple[list[bytes], list[bytes]]:
    ends = Ends(settings=SETTINGS, label="honest")
    ends.left.sent, ends.right.sent = [], []
    sent, _ = asyncio.run(ends.transfer(pieces_of(DATA), size_bytes=len(DATA)))
    assert isinstance(sent, SentFile)
    return ends.left.sent, ends.right.sent


FORWARD, BACK = frames_of_an_honest_transfer()


def flip_bit(frame: bytes, dice: random.Random) -> list[bytes]:
    altered = bytearray(frame)
    altered[dice.randrange(len(frame))] ^= 1 << dice.randrange(8)
    return [bytes(altered)]


def cut_off(frame: bytes, dice: random.Random) -> list[bytes]:
    return [frame[: dice.randrange(len(frame))]]


def lengthen(frame: bytes, dice: random.Random) -> list[bytes]:
    plain = decode_frame(frame)
    return [encode_frame(plain.kind, plain.header, plain.body + dice.randbytes(1 + dice.randrange(20)))]


def shorten(frame: bytes, dice: random.Random) -> list[bytes]:
    plain = decode_frame(frame)
    return [encode_frame(plain.kind, plain.header, plain.body[: dice.randrange(max(1, len(plain.body)))])]


def respell(frame: bytes, dice: random.Random) -> list[bytes]:
    """The same header in another spelling: blanks after the colon, lengths put right."""
    plain = decode_frame(frame)
    head_bytes = int.from_bytes(frame[6:8], "big")
    head = frame[8 : 8 + head_bytes].replace(b'":', b'": ', 1)
    length = 4 + len(head) + len(plain.body)
    return [length.to_bytes(4, "big") + frame[4:6] + len(head).to_bytes(2, "big") + head + plain.body]


def change_kind(frame: bytes, dice: random.Random) -> list[bytes]:
    plain = decode_frame(frame)
    kinds = [kind for kind in TransferKind if kind not in (plain.kind, TransferKind.REFUSAL)]
    return [encode_frame(dice.choice(kinds), plain.header, plain.body)]


def drop(frame: bytes, dice: random.Random) -> list[bytes]:
    return []


def repeat(frame: bytes, dice: random.Random) -> list[bytes]:
    return [frame, frame]


def take_from_elsewhere(frame: bytes, dice: random.Random) -> list[bytes]:
    """The frame of the same kind of another transfer (other keys, other opening)."""
    kind = decode_frame(frame).kind
    return [dice.choice([other for other in FORWARD + BACK if decode_frame(other).kind == kind])]


ALTERATIONS = [
    *(flip_bit, flip_bit, flip_bit, cut_off, lengthen, shorten, respell),
    *(change_kind, drop, repeat, take_from_elsewhere),
]


@pytest.mark.parametrize("part", range(10))
def test_altered_transfers_are_refused(part: int) -> None:
    """Every trial alters one frame in one way; 30 trials a part, all kinds and all ways among the 300.

    An altered receipt comes after the file is whole, so the receiver is content; the sender is not. A frame repeated
    at the very end meets nobody any more.
    """
    for seed in range(30 * part, 30 * part + 30):
        dice = random.Random(seed)
        alter = ALTERATIONS[seed % len(ALTERATIONS)]
        direction, frames = dice.choice([("forward", FORWARD), ("back", BACK)])
        target = dice.randrange(len(frames) - 1 if alter is repeat else len(frames))

        def tamper(number: int, frame: bytes) -> Sequence[bytes]:
            return alter(frame, dice) if number == target else [frame]  # noqa: B023 - used before the next turn

        assert_refused(Ends(settings=SETTINGS, **{direction: tamper}), seed)


def assert_refused(ends: Ends, seed: int) -> None:
    sent, received = asyncio.run(ends.transfer(pieces_of(DATA), size_bytes=len(DATA)))
    assert isinstance(sent, PeerProtocolError), f"seed {seed}: the sender believes that all is well"
    if isinstance(received, ReceivedFile):
        assert bytes(ends.received) == DATA, f"seed {seed}: another file was accepted"
    else:
        assert isinstance(received, PeerProtocolError | RequestError), f"seed {seed}: {received!r}"
        assert isinstance(received, QanatError)
        assert received.message
        assert DATA.startswith(ends.received), f"seed {seed}: what had arrived was altered"


@pytest.mark.parametrize("alter", ALTERATIONS)
@pytest.mark.parametrize("kind", [kind for kind in TransferKind if kind is not TransferKind.REFUSAL])
def test_every_alteration_of_every_kind_is_refused(kind: TransferKind, alter: object) -> None:
    if alter is repeat and kind is TransferKind.RECEIPT:
        return  # the sender has gone when the second receipt comes
    done = []

    def tamper(_: int, frame: bytes) -> Sequence[bytes]:
        if not done and decode_frame(frame).kind == kind:
            done.append(frame)
            return alter(frame, random.Random(kind))  # type: ignore[operator,no-any-return]
        return [frame]

    assert_refused(Ends(settings=SETTINGS, forward=tamper, back=tamper), kind)
    assert done, "no frame of this kind came by"


def swapped(first: int) -> Tamper:
    """Exchange two neighbouring frames."""
    held: list[bytes] = []

    def tamper(number: int, frame: bytes) -> Sequence[bytes]:
        if number == first:
            held.append(frame)
            return []
        return [frame, held.pop()] if number == first + 1 else [frame]

    return tamper


def test_reordered_chunks_are_refused() -> None:
    kinds = [decode_frame(frame).kind for frame in FORWARD]
    chunks = [n for n in range(len(kinds) - 1) if kinds[n] == kinds[n + 1] == TransferKind.CHUNK]
    assert chunks
    for first in chunks:
        assert_refused(Ends(settings=SETTINGS, forward=swapped(first)), first)


def test_a_file_cut_at_a_chunk_is_refused_at_both_ends() -> None:
    """The line closes after each frame in turn: no shorter file is taken for the whole."""
    for stop in range(1, len(FORWARD)):

        def tamper(number: int, frame: bytes) -> Sequence[bytes]:
            return [frame] if number < stop else []  # noqa: B023 - used before the next turn

        ends = Ends(settings=SETTINGS, forward=tamper)
        sent, received = asyncio.run(ends.transfer(pieces_of(DATA), size_bytes=len(DATA)))
        assert isinstance(sent, PeerProtocolError)
        assert isinstance(received, PeerProtocolError)


def test_a_whole_transfer_does_not_play_twice() -> None:
    ends = Ends(settings=SETTINGS)
    ends.left.sent = []
    sent, _ = asyncio.run(ends.transfer(pieces_of(DATA), size_bytes=len(DATA)))
    assert isinstance(sent, SentFile)
    recorded = ends.left.sent
    again = Ends(settings=SETTINGS, stock=ends.stock, label="again", forward=lambda n, _: recorded[n : n + 1])
    _, received = asyncio.run(again.transfer(pieces_of(DATA), size_bytes=len(DATA)))
    assert isinstance(received, RequestError), "the keys are gone"
    assert not again.received


def test_a_forged_refusal_ends_the_transfer_and_says_so() -> None:
    ends = Ends(settings=SETTINGS, back=lambda n, frame: [refusal_frame("go away\x1b[31m")])
    sent, received = asyncio.run(ends.transfer(pieces_of(DATA), size_bytes=len(DATA)))
    assert isinstance(sent, RefusedByPeer)
    assert "go away?[31m" in sent.message, "a stranger's text is printed without its control characters"
    assert isinstance(received, PeerProtocolError)


def test_a_refusal_is_short_whatever_it_says() -> None:
    frame = parse_frame(encode_frame(TransferKind.REFUSAL, {"reason": "x" * 60_000}))
    assert len(refusal_reason(frame)) == 400
    assert refusal_reason(parse_frame(encode_frame(TransferKind.REFUSAL, {}))) == "no reason given"

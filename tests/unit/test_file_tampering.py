"""Whoever holds the line of a file's transfer can end it, and nothing else: seeded alterations of every frame."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from collections.abc import Callable, Sequence

import pytest

from qanat.ground.errors import LinkFailed, QanatError
from qanat.ground.events import EventKind, chain
from qanat.ground.framing import decode_frame, encode_frame
from qanat.services.ciphers import KeyUnknown, NotForUs
from qanat.services.conversation import HELLO, RECORD, REFUSAL, RefusedByPeer, Terms
from qanat.services.file_delivery import ArrivedFile, SentWhole
from unit.service_fakes import EVE, Content, Ends, Kept, Tamper

DATA = random.Random(1).randbytes(6500)


def content() -> Content:
    return Content(DATA, record_bytes=1000)


def delivered(ends: Ends, what: Content) -> tuple[SentWhole, ArrivedFile]:
    sent, received = asyncio.run(ends.transfer(what))
    assert isinstance(sent, SentWhole), sent
    assert isinstance(received, ArrivedFile), received
    return sent, received


def frames_of_an_honest_transfer() -> tuple[list[bytes], list[bytes]]:
    ends = Ends(label="honest")
    ends.left.sent, ends.right.sent = [], []
    delivered(ends, content())
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
    return [encode_frame(RECORD if plain.kind == HELLO else HELLO, plain.header, plain.body)]


def drop(frame: bytes, dice: random.Random) -> list[bytes]:
    return []


def repeat(frame: bytes, dice: random.Random) -> list[bytes]:
    return [frame, frame]


def take_from_elsewhere(frame: bytes, dice: random.Random) -> list[bytes]:
    """The frame of the same kind of another transfer (another stream)."""
    kind = decode_frame(frame).kind
    return [dice.choice([other for other in FORWARD + BACK if decode_frame(other).kind == kind])]


ALTERATIONS = [
    *(flip_bit, flip_bit, flip_bit, cut_off, lengthen, shorten, respell),
    *(change_kind, drop, repeat, take_from_elsewhere),
]


def altered_somehow(alter: Callable[..., list[bytes]], frame: bytes, dice: random.Random) -> list[bytes]:
    """Alter a frame; where this way leaves it as it was (a record has no header to spell anew), flip a bit of it."""
    altered = alter(frame, dice)
    return flip_bit(frame, dice) if altered == [frame] else altered


@pytest.mark.parametrize("part", range(10))
def test_altered_transfers_are_refused(part: int) -> None:
    """Every trial alters one frame in one way; 30 trials a part, all ways among the 300.

    An altered receipt comes after the file is whole, so the recipient is content; the sender is not. A frame repeated
    at the very end meets nobody any more.
    """
    for seed in range(30 * part, 30 * part + 30):
        dice = random.Random(seed)
        alter = ALTERATIONS[seed % len(ALTERATIONS)]
        direction, frames = dice.choice([("forward", FORWARD), ("back", BACK)])
        target = dice.randrange(len(frames) - 1 if alter is repeat else len(frames))
        assert_altered_is_refused(alter, direction, target, seed)


@pytest.mark.parametrize("alter", ALTERATIONS)
@pytest.mark.parametrize("place", range(len(FORWARD)))
def test_every_alteration_of_every_frame_of_the_sender_is_refused(
    place: int, alter: Callable[..., list[bytes]]
) -> None:
    assert_altered_is_refused(drop if alter is repeat and place == len(FORWARD) - 1 else alter, "forward", place, place)


def assert_altered_is_refused(alter: Callable[..., list[bytes]], direction: str, target: int, seed: int) -> None:
    dice = random.Random(seed)

    def tamper(number: int, frame: bytes) -> Sequence[bytes]:
        return altered_somehow(alter, frame, dice) if number == target else [frame]

    assert_refused(Ends(forward=tamper) if direction == "forward" else Ends(back=tamper), seed)


def assert_refused(ends: Ends, seed: int) -> None:
    sent, received = asyncio.run(ends.transfer(content()))
    assert isinstance(sent, QanatError), f"seed {seed}: the sender believes that all is well"
    if isinstance(received, ArrivedFile):
        assert bytes(ends.kept.data) == DATA, f"seed {seed}: another file was accepted"
    else:
        assert isinstance(received, QanatError), f"seed {seed}: {received!r}"
        assert received.message
        assert ends.kept.name is None, f"seed {seed}: a file got its name that was not whole"
        assert DATA.startswith(ends.kept.data), f"seed {seed}: what had arrived was altered"


@pytest.mark.parametrize("renamed", [False, True])
def test_a_file_cannot_be_made_to_pass_for_a_fax(renamed: bool) -> None:
    """Both services say the same words; the hello is not sealed, but each record is, together with its service."""

    def tamper(number: int, frame: bytes) -> Sequence[bytes]:
        if number:
            return [frame]
        hello = decode_frame(frame)
        stream = str(hello.header["stream"])
        assert stream.startswith("file/")
        stream = stream.replace("file/", "fax/") if renamed else stream
        return [encode_frame(hello.kind, {**hello.header, "service": "fax", "stream": stream}, hello.body)]

    assert_refused(Ends(forward=tamper), 0)


def swapped(first: int) -> Tamper:
    """Exchange two neighbouring frames."""
    held: list[bytes] = []

    def tamper(number: int, frame: bytes) -> Sequence[bytes]:
        if number == first:
            held.append(frame)
            return []
        return [frame, held.pop()] if number == first + 1 else [frame]

    return tamper


@pytest.mark.parametrize("first", range(3, len(FORWARD) - 1))
def test_reordered_records_are_refused(first: int) -> None:
    assert decode_frame(FORWARD[first]).kind == decode_frame(FORWARD[first + 1]).kind == RECORD
    assert_refused(Ends(forward=swapped(first)), first)


@pytest.mark.parametrize("stop", range(1, len(FORWARD)))
def test_a_file_cut_at_a_record_is_refused_at_both_ends(stop: int) -> None:
    """Nothing comes after each frame in turn: no shorter file is taken for the whole."""
    ends = Ends(forward=lambda number, frame: [frame] if number < stop else [])
    sent, received = asyncio.run(ends.transfer(content()))
    assert isinstance(sent, QanatError)
    assert isinstance(received, QanatError)
    assert ends.kept.name is None


def test_a_whole_transfer_does_not_play_twice() -> None:
    ends = Ends()
    ends.left.sent = []
    delivered(ends, content())
    recorded = ends.left.sent
    again = Ends(stock=ends.stock, label="again", forward=lambda n, _: recorded[n : n + 1])
    _, received = asyncio.run(again.transfer(content()))
    assert isinstance(received, KeyUnknown), "the keys are gone"
    assert not again.kept.data


def test_a_forged_refusal_ends_the_transfer_and_says_so_in_print() -> None:
    forged = encode_frame(REFUSAL, {"reason": "go away\x1b[31m" + "x" * 60_000})
    sent, received = asyncio.run(Ends(back=lambda n, frame: [forged]).transfer(content()))
    assert isinstance(sent, RefusedByPeer)
    assert "go away?[31m" in sent.message, "a stranger's text is shown without its control characters"
    assert len(sent.message) < 600
    assert isinstance(received, QanatError)


def test_the_wrong_recipient_gets_nothing() -> None:
    ends = Ends(recipient=EVE)
    sent, received = asyncio.run(ends.transfer(content()))
    assert isinstance(received, NotForUs)
    assert isinstance(sent, RefusedByPeer)
    assert not ends.kept.data


def test_a_link_that_has_failed_ends_a_transfer_at_once_however_patient_the_sender() -> None:
    ends = Ends(terms=Terms(patience_s=600))
    ends.master.shortages = 1000
    ends.master.shortage = LinkFailed("too many errors", remedy="look at the light", retry_after_s=2.0)
    sent, received = asyncio.run(ends.transfer(content()))
    assert isinstance(sent, LinkFailed)
    assert (sent.message, sent.remedy) == ("too many errors", "look at the light")
    assert ends.clock.sleeps_s == []
    assert isinstance(received, RefusedByPeer)


def test_events_lead_from_the_delivery_back_to_the_request() -> None:
    ends = Ends()
    sent, _ = delivered(ends, content())
    assert sent.num_keys > 1
    last = ends.events[-1]
    assert (last.kind, last.node, last.id) == (EventKind.MESSAGE_DELIVERED, "b", ends.trace.last)
    steps = chain(ends.events, last.id)
    assert [event.step for event in steps] == [1, 2, 4, 9, 10], "later keys do not come between"
    assert {event.request_id for event in steps} == {ends.trace.request_id}
    assert not any(key.hex() in repr(ends.events) for key in ends.stock.given)


@pytest.mark.parametrize("odd", [7, "", "x" * 65, "a\nb", None])
def test_what_the_sender_calls_a_cause_stands_in_no_event_unless_it_can_be_an_id(odd: object) -> None:
    ends = Ends()
    ends.trace.request_id = odd  # type: ignore[assignment]
    delivered(ends, content())
    assert not [event for event in ends.events if event.kind is EventKind.MESSAGE_DELIVERED]


def test_progress_grows_to_the_whole() -> None:
    ends = Ends()
    delivered(ends, content())
    for progress in (ends.progress_sent, ends.progress_received):
        assert [step.done_bytes for step in progress] == [1000, 2000, 3000, 4000, 5000, 6000, 6500]
        assert {step.total_bytes for step in progress} == {6500}


def test_memory_does_not_grow_with_the_file() -> None:
    """128 MB pass through less than 32 MB: eight records on the line, and one in the making at each end."""

    class Zeros(Content):
        """A file that lies nowhere."""

        def __init__(self) -> None:
            super().__init__(b"")
            self.size_bytes = 128 * 2**20

        async def read_into(self, room: memoryview, /) -> int:
            num_bytes = min(len(room), self.size_bytes - self._at)
            self._at += num_bytes
            return num_bytes

        def sha256(self) -> str:
            return f"of {self._at} zeros"

    class Counted(Kept):
        """Keeps the length alone."""

        num_bytes = 0

        @property
        def have_bytes(self) -> int:
            return self.num_bytes

        async def sha256(self) -> str:
            return f"of {self.num_bytes} zeros"

        async def write(self, content: object, /) -> None:
            self.num_bytes += len(content)  # type: ignore[arg-type]

    ends = Ends(kept=Counted(), terms=Terms())
    tracemalloc.start()
    try:
        delivered(ends, Zeros())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert ends.kept.have_bytes == 128 * 2**20
    assert 2**20 < peak_bytes < 32_000_000

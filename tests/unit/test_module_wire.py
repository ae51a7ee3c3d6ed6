"""Words between a site and its QKD modules: what is sent is read, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qanat.adapters.module_records import MAX_TEXT_CHARACTERS
from qanat.adapters.module_wire import (
    KINDS,
    Done,
    Failed,
    Fetch,
    Handed,
    HeardOf,
    Hello,
    ModuleCard,
    Ping,
    Pong,
    Release,
    Start,
    Stop,
    Told,
    Welcome,
    Word,
    decode_word,
    encode_word,
)
from qanat.ground.errors import FrameError, KeyShortage, QberTooHigh
from qanat.ground.framing import decode_frame, encode_frame
from qanat.ground.identifiers import BlockId, ModuleId, NodeId, OrderId
from qanat.ground.orders import Alarm, Contact, KeyBlockReady, LinkQuality, ModuleEvent, OrderEnded
from unit.module_fakes import CAPABILITY, LINK, PEER, a_block, an_order

PAGE = (Path(__file__).parents[2] / "docs" / "formats" / "module-wire.md").read_text(encoding="utf-8")
MODULE = ModuleId("here-peer.here")
EVENTS: list[ModuleEvent] = [
    KeyBlockReady(BlockId("b"), OrderId("o"), 128),
    LinkQuality(OrderId("o"), LINK, 1.0, 3.25, 0.005, 7, 8.5, 9.5, 1.06, 2**22, {"mu": 0.5, "mu_sent": 1e9}),
    LinkQuality(OrderId("o"), LINK, 0.0, 0.0),
    Alarm("qber-high", "critical", "too many errors", "look", LINK),
    Alarm("hot", "warning", "warm", ""),
    OrderEnded(OrderId("o"), 3),
    Contact(LINK, "pass 7", is_open=True),
    OrderEnded(OrderId("o"), 0, "no light", "look at the laser"),
]
WORDS: list[Word] = [
    Hello("life"),
    Welcome("instance", ()),
    Welcome("instance", (ModuleCard(MODULE, "twin", {PEER: CAPABILITY, NodeId("x"): replace(CAPABILITY)}),)),
    Welcome("instance", (), answers_ping=True),
    Start(1, MODULE, an_order()),
    Start(2, MODULE, replace(an_order(), cause=None, pad_range=None, pads=None, role="receiver")),
    Stop(3, MODULE, OrderId("o")),
    Fetch(4, MODULE, BlockId("b")),
    Release(5, MODULE, BlockId("b"), True),
    Done(6),
    Handed(7, a_block("b")),
    *(Told(MODULE, number, event) for number, event in enumerate(EVENTS)),
    HeardOf(MODULE, 2**40),
    Ping(1),
    Pong(1),
]


@pytest.mark.parametrize("word", WORDS, ids=lambda word: type(word).__name__)
def test_a_word_is_read_as_it_was_sent(word: Word) -> None:
    read = decode_word(encode_word(word))
    assert read == word
    if isinstance(word, Start) and word.order.pads is not None:
        assert isinstance(read, Start)
        assert read.order.pads is not None
        assert read.order.pads.secret == word.order.pads.secret
    if isinstance(word, Handed):
        assert isinstance(read, Handed)
        assert read.block.bits == word.block.bits


@pytest.mark.parametrize("fault", [QberTooHigh("7 %", remedy="look"), KeyShortage("dry", retry_after_s=7)])
def test_an_error_is_read_with_class_and_words(fault: QberTooHigh | KeyShortage) -> None:
    read = decode_word(encode_word(Failed(1, fault)))
    assert isinstance(read, Failed)
    assert type(read.fault) is type(fault)
    assert str(read.fault) == str(fault)


def test_long_words_of_faults_and_alarms_are_cut_to_fit() -> None:
    text = "é" * 100_000
    for word in (
        Failed(1, QberTooHigh(text, remedy=text)),
        Told(MODULE, 1, Alarm("x", "warning", text, text)),
        Told(MODULE, 1, OrderEnded(OrderId("o"), 0, text, text)),
    ):
        assert text[:MAX_TEXT_CHARACTERS] in str(decode_frame(encode_word(word)).header)


def spoilt(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a record with each of its fields missing, or of another type; and so on inside it."""
    for name, value in record.items():
        yield {key: other for key, other in record.items() if key != name}
        for wrong in ([1], {"a": {}}, -1 if type(value) is int else "-", True if type(value) is not bool else 1):
            if name not in ("capabilities", "details") or wrong != {"a": {}}:
                yield {**record, name: wrong}
        if isinstance(value, dict):
            yield from ({**record, name: inner} for inner in spoilt(value))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from ({**record, name: [inner]} for inner in spoilt(value[0]))


@pytest.mark.parametrize("word", [*WORDS, Failed(1, QberTooHigh("7 %"))], ids=lambda word: type(word).__name__)
def test_what_does_not_hold_is_a_frame_error_and_nothing_else(word: Word) -> None:
    """Each change either is refused or gives another word of the same kind: never another exception."""
    frame = decode_frame(encode_word(word))
    refused = 0
    for header in spoilt(frame.header):
        try:
            read = decode_word(encode_frame(frame.kind, header, frame.body))
        except FrameError:
            refused += 1
        else:
            assert type(read) is type(word)
    assert refused >= 3


@pytest.mark.parametrize(
    ("kind", "body"),
    [(KINDS[Start], b"1234567"), (KINDS[Start], b""), (KINDS[Handed], b"x"), (KINDS[Handed], b"")],
)
def test_key_bytes_that_do_not_fit_their_record_are_refused(kind: int, body: bytes) -> None:
    word = Start(1, MODULE, an_order()) if kind == KINDS[Start] else Handed(7, a_block("b"))
    frame = decode_frame(encode_word(word))
    with pytest.raises(FrameError, match="does not hold"):
        decode_word(encode_frame(kind, frame.header, body))


def test_pads_do_not_come_with_an_order_that_has_none() -> None:
    frame = decode_frame(encode_word(Start(1, MODULE, replace(an_order(), pads=None))))
    with pytest.raises(FrameError, match="without pads"):
        decode_word(encode_frame(frame.kind, frame.header, b"12345678"))


@pytest.mark.parametrize(
    "data", [b"", bytes(8), encode_frame(0x5F), encode_frame(0x6D), encode_frame(0x40, {"id": "x"})]
)
def test_other_frames_are_no_words(data: bytes) -> None:
    with pytest.raises(FrameError):
        decode_word(data)


def test_a_welcome_that_knows_no_ping_is_as_it_was_before_there_was_one() -> None:
    header = decode_frame(encode_word(Welcome("instance", ()))).header
    assert set(header) == {"instance", "modules"}
    assert set(decode_frame(encode_word(Welcome("instance", (), answers_ping=True))).header) - set(header) == {
        "answers_ping"
    }


def test_no_word_shows_key_bytes() -> None:
    block = a_block("b", bits=b"SECRET-KEY-BITS!")
    assert "SECRET" not in repr(Handed(1, block))
    assert repr(bytes(range(33, 60)))[2:-1] not in repr(Start(1, MODULE, an_order()))


def test_the_page_names_every_kind_and_shows_a_true_example() -> None:
    rows = dict(re.findall(r"^\| (6[0-9a-f]) ([A-Z]+) \|", PAGE, flags=re.MULTILINE))
    names = {f"{kind:x}": word.__name__.upper() for word, kind in KINDS.items()}
    assert rows == names
    ((name, lines),) = re.findall(r"## An example: ([A-Z]+).*\n\n((?:    .*\n)+)", PAGE)
    word = decode_word(bytes.fromhex(lines))
    assert word == Fetch(1, ModuleId("a-b.a"), BlockId("b1"))
    assert type(word).__name__.upper() == name

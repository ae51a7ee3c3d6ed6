"""Spoilt bytes for everything that reads what a peer said: sessions, their bodies, the words of a run.

Each input is noise, or a true frame of a recorded conversation with bytes altered, cut or made anew under a true
header. Allowed are our errors and nothing else; what a declared size could make large is refused before it is made.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest

from distillation_support import ArrayLink, converse, make_parties, small_config
from qanat.apps.distil.terms import Word, said_ids, said_number, said_range, said_text
from qanat.ground.errors import PeerProtocolError, QanatError
from qanat.ground.framing import decode_frame, encode_frame
from qanat.postprocessing.reconciliation.cascade import Questions
from qanat.postprocessing.sifting import decode_slots
from qanat.postprocessing.wire import Kind, PlaneReader, read_int

CONFIG = small_config(frame_bits=2**9, block_bits=2**11, min_key_bits=2**11)
EVENTS = 3000
WORDS = [
    encode_frame(Word.TERMS, {"terms": {"block_bits": 2048}, "unsure": ["a" * 36], "settle": True}),
    encode_frame(Word.SETTLE, {"has": ["a" * 36]}, bytes(16)),
    encode_frame(Word.NEXT, {"first": 17}),
    encode_frame(Word.PADS, {"first": 17, "pads": [["block", 0, 1024]]}),
    encode_frame(Word.OUTCOME, {"block": "a" * 36, "fault": "no\nne"}, bytes(15)),
]


def recorded_talk() -> list[tuple[str, bytes]]:
    alice, bob = make_parties(CONFIG, ArrayLink(seed=3, qber=0.02, events=EVENTS), seed=3)
    talk = converse(alice, bob)
    assert talk.keys["alice"].secret == talk.keys["bob"].secret
    return talk.sent


def spoil(dice: np.random.Generator, data: bytes) -> bytes:
    """Return a frame with one thing wrong, or several."""
    way = int(dice.integers(6))
    if way == 0:
        return dice.bytes(int(dice.integers(64)))
    if way == 1:  # a true frame around another body
        frame = decode_frame(data)
        return encode_frame(frame.kind, frame.header, dice.bytes(int(dice.integers(2 * len(frame.body) + 9))))
    if way == 2:  # a true frame with numbers of another size
        frame = decode_frame(data)
        header = {name: _other(dice, value) for name, value in frame.header.items()}
        return encode_frame(frame.kind, header, frame.body)
    altered = bytearray(data)
    for _ in range(int(dice.integers(1, 4))):
        altered[int(dice.integers(len(altered)))] = int(dice.integers(256))
    return bytes(altered[: int(dice.integers(len(altered) + 1))]) if way == 3 else bytes(altered)


def _other(dice: np.random.Generator, value: object) -> object:
    values: Sequence[object] = (0, -1, 1, 2**22, 2**40, 2**63, "x", None, True, [], {}, value)
    return values[int(dice.integers(len(values)))]


def read_all(data: bytes) -> None:
    """Read a frame with every reader that its kind may meet."""
    frame = decode_frame(data)
    if frame.kind == Kind.SLOTS:
        first = read_int(frame, "first", low=0, high=2**62)
        slots = read_int(frame, "slots", low=1, high=2**40 - 1)
        events = read_int(frame, "events", low=0, high=2**23)
        width = read_int(frame, "width", low=1, high=5)
        decode_slots(frame.body, width=width, num_events=events, first_slot=first, num_slots=slots)
    elif frame.kind == Kind.QUESTIONS:
        half = read_int(frame, "half", low=-1, high=13)
        Questions.decode(frame.body, num_frames=CONFIG.num_frames, half=half)
    elif frame.kind in {Word.TERMS, Word.NEXT, Word.PADS, Word.OUTCOME}:
        assert len(said_text(frame, "fault")) <= 400
        for read in (lambda f: said_ids(f, "unsure"), lambda f: said_number(f, "first"), said_range):
            try:
                read(frame)
            except PeerProtocolError:
                continue
    else:
        reader = PlaneReader(frame.body)
        reader.plane(8 * max(0, len(frame.body) - 1))
        reader.end()


def fuzz_readers(num_inputs: int) -> int:
    dice = np.random.default_rng(8)
    samples = [data for _, data in recorded_talk()] + WORDS * 8
    taken = 0
    for turn in range(num_inputs):
        try:
            read_all(spoil(dice, samples[turn % len(samples)]))
            taken += 1
        except PeerProtocolError:
            continue
    return taken


def fuzz_sessions(num_inputs: int) -> int:
    """Feed living sessions, each at a place of its conversation, one spoilt frame; returns how many lived on."""
    dice = np.random.default_rng(9)
    sent = recorded_talk()
    lived = 0
    for turn in range(num_inputs):
        alice, bob = make_parties(CONFIG, ArrayLink(seed=3, qber=0.02, events=EVENTS), seed=3)
        parties = {"alice": alice, "bob": bob}
        for party in parties.values():
            party.start()
        place = turn % len(sent)
        for sender, data in sent[:place]:
            parties["bob" if sender == "alice" else "alice"].receive(data)
        sender, data = sent[place]
        victim = parties["bob" if sender == "alice" else "alice"]
        try:
            victim.receive(spoil(dice, data))
            lived += 1
        except QanatError:
            assert victim.result() is None
            assert len(victim.farewell()) == 1
    return lived


def test_no_spoilt_frame_makes_a_reader_do_more_than_refuse() -> None:
    assert fuzz_readers(10_000) > 100


@pytest.mark.slow
def test_no_spoilt_frame_makes_a_session_do_more_than_die() -> None:
    lived = fuzz_sessions(600)
    assert 0 < lived < 300  # some bytes may be altered and are found out at the phase's tag


@pytest.mark.campaign
def test_a_million_spoilt_frames_in_bounded_memory() -> None:
    fuzz_readers(1000)
    tracemalloc.start()
    try:
        assert fuzz_readers(1_000_000) > 10_000
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 64 * 2**20


@pytest.mark.campaign
def test_ten_thousand_spoilt_frames_at_every_place_of_a_session() -> None:
    assert fuzz_sessions(10_000) > 0

"""Key sift and basis sift: slots on the wire, what is disclosed, and counts that both parties agree on."""

from __future__ import annotations

import numpy as np
import pytest

from distillation_support import ArrayLink, SeededEntropy
from qanat.ground.errors import FrameError
from qanat.kernels.reference import sifting as plain
from qanat.postprocessing.records import Detections
from qanat.postprocessing.sifting import (
    SiftedKey,
    SiftedMessage,
    cut_detections,
    decode_slots,
    encode_slots,
)
from qanat.protocols.decoy import SIGNAL


def detections_at(first_slot: int, num_slots: int, slots: list[int]) -> Detections:
    zeros = np.zeros(len(slots), np.uint8)
    return Detections(first_slot, num_slots, np.array(slots, np.uint64), zeros, zeros)


@pytest.mark.parametrize(
    "slots",
    [[], [1000], [1000, 1001, 1255, 1256], [1000, 1256], [1001, 66_536 + 1001], [2**39, 2**39 + 1], [1000 + 2**40 - 2]],
)
def test_slots_survive_the_wire(slots: list[int]) -> None:
    chunk = detections_at(1000, 2**40 - 1, slots)
    width, body = encode_slots(chunk)
    assert len(body) == width * len(slots)
    decoded = decode_slots(body, width=width, num_events=len(slots), first_slot=1000, num_slots=2**40 - 1)
    assert decoded.dtype == np.uint64
    assert decoded.tolist() == slots


@pytest.mark.parametrize(
    ("body", "width", "num_events"),
    [
        (b"\1\2", 1, 3),
        (b"\1\0\2", 1, 3),
        (b"\1\2\x61", 1, 3),
        (b"\xff\xff\xff\xff\xff" * 2, 5, 2),
    ],
    ids=["cut short", "the same slot twice", "one slot beyond the chunk", "far beyond"],
)
def test_slots_that_cannot_be_are_refused(body: bytes, width: int, num_events: int) -> None:
    with pytest.raises(FrameError):
        decode_slots(body, width=width, num_events=num_events, first_slot=0, num_slots=100)


@pytest.mark.parametrize("max_events", [1, 2, 3, 5, 100])
def test_cut_detections_cover_the_same_slots(max_events: int) -> None:
    whole = detections_at(50, 1000, [51, 52, 600, 601, 1049])
    parts = list(cut_detections(whole, max_events=max_events))
    assert sum(part.num_slots for part in parts) == 1000
    assert np.concatenate([part.slots for part in parts]).tolist() == whole.slots.tolist()
    place = 50
    for part in parts:
        assert part.first_slot == place
        assert part.slots.size <= max_events
        place += part.num_slots
        assert all(part.first_slot <= slot < place for slot in part.slots.tolist())
    assert len(list(cut_detections(detections_at(0, 7, []), max_events=3))) == 1


def sift_chunk(
    link: ArrayLink, *, max_key_bits: int = 2**20, p_disclosed: float = 0.1
) -> tuple[Detections, SiftedKey, SiftedKey, SiftedMessage]:
    seen = link.next_chunk()
    prepared = link.reveal(seen.slots)
    alice, bob = SiftedKey(max_bits=max_key_bits), SiftedKey(max_bits=max_key_bits)
    bases = np.append(np.packbits(seen.bases, bitorder="little"), np.uint8(0))
    message, mine = alice.sift(prepared, bases, p_disclosed=p_disclosed, entropy=SeededEntropy(4))
    theirs, told = bob.read_sifted(message, seen)
    assert mine.cells.tolist() == theirs.cells.tolist()
    alice.compare(mine, np.frombuffer(bytearray(theirs.packed() + b"\0"), np.uint8))
    bob.compare(theirs, told)
    return seen, alice, bob, message


@pytest.mark.parametrize("max_key_bits", [2**20, 300])
def test_the_kernel_sorts_events_like_its_twin(max_key_bits: int) -> None:
    link = ArrayLink(seed=8, qber=0.05, events=2001)
    seen, alice, bob, message = sift_chunk(link, max_key_bits=max_key_bits)
    prepared = link.prepared[0]
    draws = np.frombuffer(SeededEntropy(4).public_bytes(2 * seen.slots.size), "<u2").tolist()
    columns = (prepared.bases, prepared.bits, prepared.intensities, seen.bases)
    planes = plain.sift_events(*(c.tolist() for c in columns), draws, round(0.1 * 2**16), key_room=max_key_bits)
    sections = (planes.matches, planes.signals, planes.decoys, planes.chosen, planes.told_bits)
    expected = b"".join(np.packbits(np.array(bits, np.uint8), bitorder="little").tobytes() for bits in sections)
    assert message.body == expected
    assert alice.clicks.ravel().tolist() == bob.clicks.ravel().tolist() == planes.clicks
    assert alice.told.ravel().tolist() == np.bincount(planes.told_cells, minlength=6).tolist()
    bits, bases = alice.packed()
    assert np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")[: alice.num_bits].tolist() == planes.key_bits
    assert (
        np.unpackbits(np.frombuffer(bases, np.uint8), bitorder="little")[: alice.num_bits].tolist() == planes.key_bases
    )
    assert bob.packed()[1] == bases


def test_both_parties_count_what_an_omniscient_counts() -> None:
    link = ArrayLink(seed=1, qber=0.03, events=5001)
    seen, alice, bob, _ = sift_chunk(link)
    prepared = link.prepared[0]
    matched = prepared.bases == seen.bases
    for basis in (0, 1):
        for intensity in (0, 1, 2):
            cell = matched & (seen.bases == basis) & (prepared.intensities == intensity)
            assert alice.clicks[basis, intensity] == bob.clicks[basis, intensity] == np.count_nonzero(cell)
            errors = np.count_nonzero(prepared.bits[cell] != seen.bits[cell])
            assert (alice.told_errors == bob.told_errors).all()
            if intensity != SIGNAL:
                assert alice.told_errors[basis, intensity] == errors
    assert (alice.told == bob.told).all()
    assert alice.num_bits == bob.num_bits == alice.clicks[:, SIGNAL].sum() - alice.told[:, SIGNAL].sum()


def test_the_key_is_the_undisclosed_signal_in_order_of_time() -> None:
    link = ArrayLink(seed=2, qber=0.0, events=4096)
    _, alice, bob, _ = sift_chunk(link)
    assert alice.packed() == bob.packed()
    assert 1400 < alice.num_bits < 2000


def test_a_tenth_of_the_signal_is_disclosed() -> None:
    """Binomial share at 5 sigma: one false alarm in 1.7 million."""
    _, alice, _, _ = sift_chunk(ArrayLink(seed=3, qber=0.01, events=60_000))
    signal, told = int(alice.clicks[:, SIGNAL].sum()), int(alice.told[:, SIGNAL].sum())
    assert abs(told - 0.1 * signal) < 5 * (signal * 0.1 * 0.9) ** 0.5
    assert (alice.told[:, 1:] == alice.clicks[:, 1:]).all()


@pytest.mark.parametrize("max_key_bits", [1, 7, 1000])
def test_sifting_stops_at_the_bit_that_fills_the_key(max_key_bits: int) -> None:
    link = ArrayLink(seed=4, qber=0.01)
    seen, alice, bob, message = sift_chunk(link, max_key_bits=max_key_bits)
    assert alice.num_bits == bob.num_bits == max_key_bits
    assert message.num_used < seen.slots.size
    prepared = link.prepared[0]
    last = message.num_used - 1
    assert prepared.bases[last] == seen.bases[last]
    assert prepared.intensities[last] == SIGNAL


@pytest.mark.parametrize(
    ("change", "by"),
    [("num_used", -200), ("num_used", 8)]
    + [(name, by) for name in ("num_matched", "num_signal", "num_told") for by in (-1, 1, 8)],
)
def test_messages_that_contradict_themselves_are_refused(change: str, by: int) -> None:
    seen, _, _, message = sift_chunk(ArrayLink(seed=5, qber=0.01))
    numbers = {
        name: getattr(message, name) + (by if name == change else 0)
        for name in ("num_used", "num_matched", "num_signal", "num_told")
    }
    for altered in (
        SiftedMessage(**numbers, body=message.body),
        SiftedMessage(**{**numbers, change: getattr(message, change)}, body=message.body + b"\0"),
    ):
        with pytest.raises(FrameError):
            SiftedKey(max_bits=2**20).read_sifted(altered, seen)


def test_more_key_than_wanted_is_refused() -> None:
    seen, alice, _, message = sift_chunk(ArrayLink(seed=5, qber=0.01))
    SiftedKey(max_bits=alice.num_bits).read_sifted(message, seen)
    with pytest.raises(FrameError, match="more key"):
        SiftedKey(max_bits=alice.num_bits - 1).read_sifted(message, seen)


def test_wiped_bits_are_gone() -> None:
    _, alice, _, _ = sift_chunk(ArrayLink(seed=6, qber=0.0))
    assert any(alice._bits)
    alice.wipe()
    assert not any(alice._bits)

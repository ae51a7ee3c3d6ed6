"""Key sift and basis sift: slots on the wire, what is disclosed, and counts that both parties agree on."""

from __future__ import annotations

from types import FunctionType

import numpy as np
import pytest
from numba import njit

from distillation_support import ArrayLink, SeededEntropy
from qanat.ground.errors import FrameError
from qanat.kernels import bit_selection
from qanat.kernels import sifting as kernel
from qanat.kernels.reference import sifting as plain
from qanat.postprocessing import disclosure
from qanat.postprocessing.disclosure import choose_signal
from qanat.postprocessing.planes import plane_of_column
from qanat.postprocessing.records import Detections, Preparations
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


@pytest.mark.parametrize("number", [np.uint8, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 16, 1001])
def test_gaps_and_slots_are_each_others_sums_and_differences(size: int, number: type[np.unsignedinteger]) -> None:
    gaps = np.random.default_rng(size).integers(1, 200, size).astype(number)
    expected = 2**40 + np.cumsum(gaps, dtype=np.uint64)
    slots, back = np.empty(size, np.uint64), np.empty(size, number)
    assert kernel.slots_of_numbers(gaps, 2**40, 200 * size + 1, slots)
    assert slots.tolist() == expected.tolist()
    combined = kernel.gaps_as_numbers(slots, 2**40, back)
    assert back.tolist() == gaps.tolist()
    assert combined == np.bitwise_or.reduce(gaps, initial=0)
    if size:
        end = int(slots[-1]) - 2**40
        assert kernel.slots_of_numbers(gaps, 2**40, end + 1, slots)
        assert not kernel.slots_of_numbers(gaps, 2**40, end, slots)
        gaps[size // 2] = 0
        assert kernel.slots_of_numbers(gaps, 2**40, end + 1, slots) == (size == 1)


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
    assert mine.num_events == theirs.num_events
    assert (mine.planes[1:, : theirs.planes.shape[1]] == theirs.planes[1:]).all()
    alice.compare(mine, np.frombuffer(bytearray(theirs.packed() + b"\0"), np.uint8))
    bob.compare(theirs, told)
    return seen, alice, bob, message


def bits_of(plane: np.ndarray) -> list[int]:
    bits: list[int] = np.unpackbits(plane.view(np.uint8), bitorder="little").tolist()
    return bits


@pytest.mark.parametrize("num_events", [0, 1, 63, 64, 65, 127, 128, 129, 1000])
@pytest.mark.parametrize("num_key_bits", [0, 1, 20, 2**20])
def test_the_kernels_of_both_parties_sort_any_number_of_events_like_the_twin(
    num_events: int, num_key_bits: int
) -> None:
    draw = np.random.default_rng(num_events)
    bases, bits, peer_bases = (draw.integers(0, 2, num_events, dtype=np.uint8) for _ in range(3))
    intensities = draw.choice(3, num_events, p=(0.6, 0.3, 0.1)).astype(np.uint8)
    alice, bob = SiftedKey(max_bits=num_key_bits), SiftedKey(max_bits=num_key_bits)
    peer_plane = np.append(np.packbits(peer_bases, bitorder="little"), np.uint8(0))
    message, mine = alice.sift(
        Preparations(bases, bits, intensities), peer_plane, p_disclosed=0.3, entropy=SeededEntropy(7)
    )
    num_signal = int(((bases == peer_bases) & (intensities == SIGNAL)).sum())
    chosen = bits_of(choose_signal(num_signal, p_disclosed=0.3, entropy=SeededEntropy(7)))
    columns = (bases.tolist(), bits.tolist(), intensities.tolist(), peer_bases.tolist())
    planes = plain.sift_events(*columns, chosen, key_room=num_key_bits)
    sections = (planes.matches, planes.signals, planes.decoys, planes.chosen, planes.told_bits)
    assert message.body == b"".join(
        np.packbits(np.array(section, np.uint8), bitorder="little").tobytes() for section in sections
    )
    slots = np.arange(num_events, dtype=np.uint64)
    told, theirs = bob.read_sifted(message, Detections(0, num_events + 1, slots, peer_bases, bits))
    bob.compare(told, theirs)
    assert told.packed() == mine.packed()
    assert not bob.told_errors.any()
    assert bob.told.ravel().tolist() == np.bincount(planes.told_cells, minlength=6).tolist()
    assert alice.clicks.ravel().tolist() == bob.clicks.ravel().tolist() == planes.clicks
    assert alice.num_bits == bob.num_bits == len(planes.key_bits)
    assert alice.packed() == bob.packed()


@pytest.mark.parametrize("p_disclosed", [0.0, 0.001, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("num_events", [0, 1, 64, 65, 3000])
def test_events_are_chosen_by_gaps_like_the_twins(p_disclosed: float, num_events: int) -> None:
    survival, guide = disclosure._gap_law(p_disclosed)
    draws = np.random.default_rng(1).integers(0, 256, num_events + 4, dtype=np.uint8)
    draws[:2] = 0, 255
    draws.flags.writeable = False
    chosen = np.zeros(num_events // 64 + 2, np.uint64)
    reached = kernel.choose(draws, survival, guide, 0, num_events, chosen)
    expected = plain.choose(draws.tolist(), survival.tolist(), num_events=num_events)
    assert reached == len(expected)
    assert bits_of(chosen)[: len(expected)] == expected
    assert not any(bits_of(chosen)[len(expected) :])


def test_every_event_is_chosen_with_the_same_odds_whatever_was_chosen_before() -> None:
    """Of 400,000 events at 0.1: the share, the share right after a chosen one, and after 30 that were not; 5 sigma."""
    size = 400_000
    chosen = np.array(bits_of(choose_signal(size, p_disclosed=0.1, entropy=SeededEntropy(9)))[:size])
    places = np.nonzero(chosen)[0]
    assert abs(places.size - 0.1 * size) < 5 * (size * 0.09) ** 0.5
    gaps = np.diff(places) - 1
    for least in (0, 5, 18, 19, 30):
        reached = int((gaps >= least).sum())
        assert abs(int((gaps == least).sum()) - 0.1 * reached) < 5 * (reached * 0.09) ** 0.5


@pytest.mark.parametrize(("p_disclosed", "share"), [(0.0, 0), (1.0, 1)])
def test_nothing_and_everything_may_be_disclosed(p_disclosed: float, share: int) -> None:
    chosen = bits_of(choose_signal(1000, p_disclosed=p_disclosed, entropy=SeededEntropy(1)))
    assert sum(chosen) == 1000 * share


@pytest.mark.slow
def test_the_loops_do_the_same_without_the_instructions() -> None:
    link = ArrayLink(seed=8, qber=0.05, events=2001)
    seen, prepared = link.next_chunk(), link.prepared[0]
    results = []
    for compress, expand in (
        (bit_selection.compress, bit_selection.expand),
        (bit_selection.compress_by_loop, bit_selection.expand_by_loop),
    ):
        scope = {**vars(kernel), "compress": compress, "expand": expand}
        for name in ("_sort", "sift_events"):
            scope[name] = njit(FunctionType(vars(kernel)[name].py_func.__code__, scope))
        planes, told, key = (np.zeros((rows, 40), np.uint64) for rows in (3, 4, 2))
        columns = (prepared.bases, prepared.bits, prepared.intensities == 0, prepared.intensities == 1, seen.bases)
        packed = [plane_of_column(column) for column in columns]
        chosen = choose_signal(2001, p_disclosed=0.1, entropy=SeededEntropy(1))
        ends = scope["sift_events"](seen.slots.size, *packed, chosen, *planes, told, key, 0, 700, np.zeros(6, np.int64))
        results.append((ends, planes.tobytes(), told.tobytes(), key.tobytes()))
    assert results[0] == results[1]
    assert results[0][0][-1] == 700


@pytest.mark.parametrize("max_key_bits", [2**20, 300])
def test_the_kernel_sorts_events_like_its_twin(max_key_bits: int) -> None:
    link = ArrayLink(seed=8, qber=0.05, events=2001)
    seen, alice, bob, message = sift_chunk(link, max_key_bits=max_key_bits)
    prepared = link.prepared[0]
    columns = (prepared.bases, prepared.bits, prepared.intensities, seen.bases)
    num_signal = int(((prepared.bases == seen.bases) & (prepared.intensities == SIGNAL)).sum())
    chosen = bits_of(choose_signal(num_signal, p_disclosed=0.1, entropy=SeededEntropy(4)))[:num_signal]
    planes = plain.sift_events(*(c.tolist() for c in columns), chosen, key_room=max_key_bits)
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
    assert alice._key[0].any()
    alice.wipe()
    assert not alice._key[0].any()

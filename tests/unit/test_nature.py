"""Nature: what Bob is handed, what Alice may look up, and that a seed never determines a key."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from qanat.ground.errors import QuantumLayerError
from qanat.ground.keys import SecretBytes
from qanat.ground.randomness import SeededChance
from qanat.physics.clicks import cell_odds
from qanat.physics.systems import BACKBONE_625
from qanat.postprocessing.records import SlotArray
from qanat.quantum_layer.nature import MAX_OPEN_CHUNKS, Nature, masked_records

SLOTS: Final = 200_000


class RepeatableEntropy:
    """Entropy for tests only: it has a seed, and one stream however it is cut."""

    def __init__(self, seed: int) -> None:
        self._stream = BytesIO(np.random.default_rng(seed).bytes(2**20))

    def secret_bytes(self, num_bytes: int, /) -> SecretBytes:
        return SecretBytes(self.public_bytes(num_bytes))

    def public_bytes(self, num_bytes: int, /) -> bytes:
        drawn = self._stream.read(num_bytes)
        assert len(drawn) == num_bytes, "the test draws more than was prepared"
        return drawn


def nature(*, chance: int = 1, entropy: int = 2, slots_per_chunk: int = SLOTS, loss_db: float = 0.0) -> Nature:
    return Nature(
        BACKBONE_625,
        loss_db=loss_db,
        chance=SeededChance(chance),
        entropy=RepeatableEntropy(entropy),
        slots_per_chunk=slots_per_chunk,
    )


def test_bob_gets_chunks_that_follow_each_other() -> None:
    light = nature()
    first, second = light.detections.next_chunk(), light.detections.next_chunk()
    assert (first.first_slot, second.first_slot, second.num_slots) == (0, SLOTS, SLOTS)
    assert first.slots.max() < SLOTS <= second.slots.min()
    assert {array.dtype for array in (first.bases, first.bits)} == {np.dtype(np.uint8)}
    assert first.slots.dtype == np.uint64
    assert light.elapsed_s == pytest.approx(2 * SLOTS / 625e6)
    assert light.num_pulses == 2 * SLOTS


def test_alice_sees_what_she_sent_across_chunks() -> None:
    whole = nature(slots_per_chunk=3 * SLOTS)
    expected_slots = whole.detections.next_chunk().slots
    expected = whole.preparations.reveal(expected_slots)
    light = nature()
    slots = np.concatenate([light.detections.next_chunk().slots for _ in range(3)])
    halves = [light.preparations.reveal(part) for part in (slots[::2], slots[1::2])]
    for k, half in enumerate(halves):
        assert np.array_equal(half.bases, expected.bases[k::2])
        assert np.array_equal(half.bits, expected.bits[k::2])
        assert np.array_equal(half.intensities, expected.intensities[k::2])


def test_where_bases_are_equal_few_bits_differ() -> None:
    light = nature()
    seen = light.detections.next_chunk()
    sent = light.preparations.reveal(seen.slots)
    matched = (sent.bases == seen.bases) & (sent.intensities == 0)
    assert 0 < (sent.bits != seen.bits)[matched].mean() < 0.05
    assert 0.4 < (sent.bits != seen.bits)[sent.bases != seen.bases].mean() < 0.6


def test_another_entropy_gives_other_bits_in_the_same_slots() -> None:
    """1,000 and more masked bits agree by chance with odds below 2^-1000."""
    one, other = nature(entropy=1), nature(entropy=2)
    seen, seen_too = one.detections.next_chunk(), other.detections.next_chunk()
    assert np.array_equal(seen.slots, seen_too.slots)
    sent, sent_too = one.preparations.reveal(seen.slots), other.preparations.reveal(seen.slots)
    assert np.array_equal(sent.bases, sent_too.bases)
    assert np.array_equal(sent.intensities, sent_too.intensities)
    assert seen.slots.size > 1000
    assert not np.array_equal(sent.bits, sent_too.bits)
    assert not np.array_equal(seen.bits, seen_too.bits)


def test_another_chance_gives_other_slots() -> None:
    assert not np.array_equal(
        nature(chance=1).detections.next_chunk().slots, nature(chance=2).detections.next_chunk().slots
    )


def test_light_whose_odds_change_is_asked_for_in_pieces_of_50_ms_at_most() -> None:
    """A chunk of 0.12 s: three pieces that add up; slots go on across them, and Alice finds each of them."""
    asked: list[float] = []

    def odds(duration_s: float) -> NDArray[np.float64] | None:
        asked.append(duration_s)
        return cell_odds(BACKBONE_625, loss_db=20.0 + len(asked)) if len(asked) != 3 else None

    light = Nature(
        BACKBONE_625,
        loss_db=0.0,
        chance=SeededChance(1),
        entropy=RepeatableEntropy(2),
        slots_per_chunk=75_000_000,
        odds=odds,
    )
    seen = light.detections.next_chunk()
    assert asked[0] == 0
    assert len(asked) == 4
    assert max(asked) <= 0.05
    assert sum(asked) == pytest.approx(0.12)
    assert (seen.slots[1:] > seen.slots[:-1]).all()
    assert seen.slots.max() < 75_000_000
    assert seen.num_slots == light.num_pulses == 75_000_000
    assert light.preparations.reveal(seen.slots).bits.size == seen.slots.size
    assert len({int(part) for part in seen.slots // np.uint64(25_000_000)}) == 3


def test_a_link_of_changing_odds_must_have_some_at_first() -> None:
    with pytest.raises(ValueError, match="first odds"):
        Nature(BACKBONE_625, loss_db=0.0, chance=SeededChance(1), entropy=RepeatableEntropy(2), odds=lambda _: None)


def silent_slot(slots: SlotArray) -> int:
    return int(np.setdiff1d(np.arange(SLOTS, dtype=np.uint64), slots)[0])


@pytest.mark.parametrize("place", ["before", "inside", "after", "between"])
def test_a_slot_without_detection_is_not_told(place: str) -> None:
    light = nature()
    first, second = light.detections.next_chunk(), light.detections.next_chunk()
    wrong = {
        "before": [0, *first.slots],
        "inside": sorted([silent_slot(first.slots), *first.slots]),
        "after": [*second.slots, 2 * SLOTS + 5],
        "between": [*first.slots, int(first.slots[-1]) + 1, *second.slots],
    }[place]
    assert 0 not in first.slots
    assert first.slots[-1] + np.uint64(1) not in (*first.slots, *second.slots)
    with pytest.raises(QuantumLayerError, match="no preparation can be told"):
        light.preparations.reveal(np.array(wrong, dtype=np.uint64))
    assert light.preparations.reveal(first.slots).bits.size == first.slots.size  # nothing was used up


def test_a_slot_is_told_once() -> None:
    light = nature()
    slots = light.detections.next_chunk().slots
    light.preparations.reveal(slots[:10])
    with pytest.raises(QuantumLayerError, match=f"slot {slots[9]}"):
        light.preparations.reveal(slots[9:])
    light.preparations.reveal(slots[10:])
    with pytest.raises(QuantumLayerError, match=f"slot {slots[0]}"):
        light.preparations.reveal(slots[:1])


def test_slots_out_of_order_are_refused() -> None:
    light = nature()
    slots = light.detections.next_chunk().slots
    for wrong in (slots[::-1], slots[[0, 0]]):
        with pytest.raises(QuantumLayerError, match="do not increase"):
            light.preparations.reveal(wrong)


def test_what_alice_never_asks_for_is_forgotten_in_the_end() -> None:
    light = nature(slots_per_chunk=2000)
    chunks = [light.detections.next_chunk() for _ in range(MAX_OPEN_CHUNKS + 1)]
    assert all(chunk.slots.size for chunk in chunks)
    with pytest.raises(QuantumLayerError, match="long past"):
        light.preparations.reveal(chunks[0].slots)
    light.preparations.reveal(chunks[1].slots)


def test_no_detection_no_preparation() -> None:
    light = nature(loss_db=120.0, slots_per_chunk=10)
    seen = light.detections.next_chunk()
    assert seen.slots.size == 0
    assert light.preparations.reveal(seen.slots).bits.size == 0


def test_masks_decide_bits_and_cells_decide_errors() -> None:
    """Every cell with every mask: the rule of the records, written out."""
    for cell in range(192):
        pattern, bit, basis = cell & 15, cell >> 4 & 1, cell >> 5 & 1
        for mask in range(8 if pattern else 0):
            records = masked_records(np.array([cell], np.uint8), np.array([mask], np.uint8))
            alice_bit, bob_basis, bob_bit = (int(record[0]) for record in records)
            assert alice_bit == mask & 1
            fired = {j for j in range(4) if pattern >> j & 1}
            if fired <= {0, 1} or fired <= {2, 3}:
                assert bob_basis == (0 if fired <= {0, 1} else 1)
            else:
                assert bob_basis == mask >> 2
            shown = {j - 2 * bob_basis for j in fired if j // 2 == bob_basis}
            if len(shown) == 1 and bob_basis == basis:
                assert (bob_bit != alice_bit) == (shown != {bit})
            else:
                assert bob_bit == mask >> 1 & 1

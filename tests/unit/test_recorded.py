"""Recorded light as sources: what they give out, that they never give it twice, and what is no record."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distillation_support import SeededEntropy, converse
from qanat.ground.errors import ConfigurationError, QuantumLayerError
from qanat.ground.identifiers import OrderId
from qanat.ground.keys import SecretBytes
from qanat.postprocessing.alice import AliceSession
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.config import SessionConfig
from qanat.protocols.decoy import BasisCounts, DecoyCounts, DecoyProtocol, SecurityParameters
from qanat.quantum_layer import recorded
from qanat.quantum_layer.recorded import (
    RawDetections,
    RawPreparations,
    RecordedDetections,
    RecordedPreparations,
    SiftedBits,
    StatedEntropy,
)


def column(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint8)


def slots_of(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


def detections(*slots: int, num_slots: int = 100) -> RawDetections:
    bits = np.arange(len(slots), dtype=np.uint8) % 2
    return RawDetections(slots_of(*slots), 1 - bits, bits, num_slots)


def test_detections_come_in_order_in_chunks_and_each_is_noted_before_it_is_given() -> None:
    taken: list[int] = []
    source = RecordedDetections(detections(3, 4, 9, 20, 99), chunk_events=lambda: 2, on_taken=taken.append)
    chunks = [source.next_chunk() for _ in range(3)]
    assert [list(chunk.slots) for chunk in chunks] == [[3, 4], [9, 20], [99]]
    assert [(chunk.first_slot, chunk.num_slots) for chunk in chunks] == [(0, 5), (5, 16), (21, 79)]
    assert [list(chunk.bits) for chunk in chunks] == [[0, 1], [0, 1], [0]]
    assert taken == [5, 21, 100]
    with pytest.raises(QuantumLayerError, match="over before the block"):
        source.next_chunk()
    assert source.num_given == 5


def test_a_second_start_goes_on_behind_what_was_given() -> None:
    source = RecordedDetections(detections(3, 4, 9, 20), first_slot=5)
    assert list(source.next_chunk().slots) == [9, 20]
    preparations = RawPreparations(column(0, 1), column(1, 1), column(0, 2), 2)
    with pytest.raises(QuantumLayerError, match="told already"):
        RecordedPreparations(preparations, first_slot=1).reveal(slots_of(0))


def test_a_gap_that_no_message_can_tell_is_passed_over() -> None:
    far = 2**45
    source = RecordedDetections(detections(1, far, far + 1, num_slots=2**46))
    one, two = source.next_chunk(), source.next_chunk()
    assert list(one.slots) == [1]
    assert list(two.slots) == [far, far + 1]
    assert max(one.num_slots, two.num_slots) <= recorded.MAX_SLOTS_OF_CHUNK


def test_the_slots_of_a_block_span_a_gap_that_was_passed_over() -> None:
    dice = np.random.default_rng(4)
    bits = dice.integers(0, 2, 12_000, dtype=np.uint8)
    slots = np.arange(bits.size, dtype=np.uint64)
    slots[6000:] += np.uint64(2**45)
    light = DecoyProtocol(p_intensities=(0.98, 0.01, 0.01))
    config = SessionConfig(OrderId("one"), protocol=light, frame_bits=2**11, block_bits=2**13, min_key_bits=2**13)
    sent = RawPreparations(np.zeros_like(bits), bits, np.zeros_like(bits), 2**46, slots)
    found = RawDetections(slots, np.zeros_like(bits), bits, 2**46)
    pads, proof = dice.bytes(config.pad_bits // 8), StatedEntropy(0.75)
    source = RecordedDetections(found, chunk_events=lambda: 1000)
    alice = AliceSession(config, RecordedPreparations(sent), SecretBytes(pads), SeededEntropy(1), proof=proof)
    keys = converse(alice, BobSession(config, source, SecretBytes(pads), SeededEntropy(2), proof=proof)).keys
    used = keys["bob"].link_slots
    assert keys["alice"].link_slots == used
    assert source.next_slot - 1000 < used <= source.next_slot, "up to the last event used, from slot 0"


def test_a_block_may_begin_behind_a_gap() -> None:
    assert recorded.start_near(detections(1, 2**45, num_slots=2**46), 2) == 2**45 - recorded.MAX_SLOTS_OF_CHUNK // 2
    assert recorded.start_near(detections(1, 50), 2) == 2
    assert recorded.start_near(detections(1, 50), 51) == 51
    assert recorded.start_near(SiftedBits(column(0, 1, 1)), 1) == 1


@pytest.mark.parametrize("slots", [None, slots_of(0, 1, 2, 7)])
def test_preparations_are_looked_up_by_slot_once_and_in_order(slots: Any) -> None:
    size = 8 if slots is None else 4
    bases, bits = np.arange(size, dtype=np.uint8) % 2, np.ones(size, dtype=np.uint8)
    taken: list[int] = []
    record = RawPreparations(bases, bits, np.zeros(size, dtype=np.uint8), 8, slots)
    source = RecordedPreparations(record, on_taken=taken.append)
    assert list(source.reveal(slots_of(0, 2)).bases) == [0, 0]
    assert list(source.reveal(slots_of(7)).bases) == [1]
    assert taken == [3, 8]
    for repeated in (slots_of(7), slots_of(2)):
        with pytest.raises(QuantumLayerError, match="told already"):
            source.reveal(repeated)


def test_a_slot_that_is_not_in_the_record_is_named() -> None:
    empty = column()
    for record in (
        RawPreparations(column(1), column(1), column(1), 9, slots_of(4)),
        RawPreparations(empty, empty, empty, 9, slots_of()),
    ):
        with pytest.raises(QuantumLayerError, match="names slot 5"):
            RecordedPreparations(record).reveal(slots_of(5))
    with pytest.raises(QuantumLayerError, match="more than the 2 bits"):
        RecordedPreparations(SiftedBits(column(0, 1))).reveal(slots_of(2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: RawDetections(slots_of(1, 1), column(0, 0), column(0, 0), 9),
        lambda: RawDetections(slots_of(1, 9), column(0, 0), column(0, 0), 9),
        lambda: RawDetections(slots_of(1), column(2), column(0), 9),
        lambda: RawDetections(slots_of(1), column(0), column(0, 1), 9),
        lambda: RawDetections(slots_of(1).astype(np.int64), column(0), column(0), 9),
        lambda: RawDetections(slots_of(), column(), column(), 0),
        lambda: RawPreparations(column(0), column(0), column(3), 1),
        lambda: RawPreparations(column(0), column(0), column(0), 2),
        lambda: SiftedBits(column(0, 2)),
        lambda: SiftedBits(column(0, 1), column(0)),
    ],
)
def test_what_is_no_record_is_refused(make: Any) -> None:
    with pytest.raises(ConfigurationError, match="no record"):
        make()


@pytest.mark.parametrize("with_bases", [True, False])
def test_sifted_bits_become_equal_keys_by_the_sessions_of_every_link(with_bases: bool) -> None:
    dice = np.random.default_rng(4)
    bits = dice.integers(0, 2, 12_000, dtype=np.uint8)
    wrong = bits ^ (dice.random(bits.size) < 0.02).astype(np.uint8)
    bases = dice.integers(0, 2, bits.size, dtype=np.uint8) if with_bases else None
    config = SessionConfig(OrderId("one"), frame_bits=2**11, block_bits=2**13, min_key_bits=2**13)
    pads, proof = dice.bytes(config.pad_bits // 8), StatedEntropy(0.75)
    alice = AliceSession(
        config, RecordedPreparations(SiftedBits(bits, bases)), SecretBytes(pads), SeededEntropy(1), proof=proof
    )
    bob = BobSession(
        config,
        RecordedDetections(SiftedBits(wrong, bases), chunk_events=lambda: 1000),
        SecretBytes(pads),
        SeededEntropy(2),
        proof=proof,
    )
    keys = converse(alice, bob).keys
    assert keys["alice"].secret == keys["bob"].secret
    key = keys["alice"]
    assert key.length.proof == "stated, not proven: 0.75 bits of min-entropy per sifted bit"
    diagonal = key.counts.diagonal.key_bits
    assert (diagonal > 0) == with_bases
    assert key.counts.rectilinear.key_bits + diagonal == 2**13
    # leftover hash lemma by hand: 0.75 n - leak - log2(2 / eps_cor) - 2 log2(1 / (2 eps_sec)), to whole 16 bits
    by_hand = 0.75 * 2**13 - key.leaked_bits - np.log2(2e15) - 2 * np.log2(1 / (2 * 0.999e-9))
    assert key.num_bits == int(by_hand) // 16 * 16


def test_a_stated_entropy_that_the_leak_exceeds_gives_nothing() -> None:
    basis = BasisCounts((100, 0, 0), (1, 0, 0), 100)
    none = BasisCounts((0, 0, 0), (0, 0, 0), 0)
    length = StatedEntropy(0.5)(DecoyCounts(basis, none), DecoyProtocol(), SecurityParameters(), leaked_bits=40)
    assert length.num_bits == 0
    assert length.terms["stated_entropy"] == 50

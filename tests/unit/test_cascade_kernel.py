"""The compiled loops of Cascade against their plain twin, question by question."""

from __future__ import annotations

import numpy as np
import pytest

from qanat.kernels import bitarrays, cascade
from qanat.kernels.reference import bitarrays as plain_bitarrays
from qanat.kernels.reference import cascade as plain


def words(number: int, num_bits: int) -> np.ndarray:
    return np.frombuffer(bytearray(number.to_bytes((num_bits + 63) // 64 * 8, "little")), dtype=np.uint64)


@pytest.mark.parametrize("num_frames", [1, 3, 63, 64, 65, 130])
def test_frames_side_by_side_are_those_of_the_twin(num_frames: int) -> None:
    generator = np.random.default_rng(num_frames)
    stream = int.from_bytes(generator.bytes(num_frames * 64 // 8), "little")
    frames = np.empty((-(-num_frames // 64), 64), dtype=np.uint64)
    bitarrays.spread_frames(words(stream, 64 * num_frames), num_frames, frames)
    bits = [[int(frames[f // 64, i]) >> f % 64 & 1 for i in range(64)] for f in range(num_frames)]
    assert bits == plain_bitarrays.spread_frames(stream, num_frames, 64)
    assert plain_bitarrays.join_frames(bits) == stream
    joined = np.zeros(num_frames, dtype=np.uint64)
    bitarrays.join_frames(frames, num_frames, joined)
    assert int.from_bytes(joined.tobytes(), "little") == stream


@pytest.mark.parametrize("size", [2, 256, 65536])
def test_shuffle_draws_the_twins_permutation(size: int) -> None:
    order, inverse = np.empty(size, np.uint16), np.empty(size, np.uint16)
    cascade.shuffle(np.uint64(2**64 - 3), order, inverse)
    assert order.tolist() == plain.shuffle(2**64 - 3, size)
    assert (order[inverse] == np.arange(size)).all()


class Bench:
    """A few small frames in the kernel's arrays and in the twin's lists, led through the same passes."""

    def __init__(self, *, num_frames: int, places: int, qber: float, seed: int) -> None:
        draw = np.random.default_rng(seed)
        self.num_frames, self.places, self.draw = num_frames, places, draw
        alice = draw.integers(0, 2, (num_frames, places))
        bob = alice ^ (draw.random((num_frames, places)) < qber)
        self.alice_bits = alice.tolist()
        self.twins = [plain.Frame(bits) for bits in bob.tolist()]
        self.alice, self.bob = (self._side_by_side(bits) for bits in (alice, bob))
        shape = (cascade.SLOTS, self.alice.shape[0], places + 1)
        self.alice_prefixes, self.bob_prefixes = np.zeros(shape, np.uint64), np.zeros(shape, np.uint64)
        self.orders = np.zeros((cascade.SLOTS, places), np.uint16)
        self.inverses = np.zeros((cascade.SLOTS, places), np.uint16)
        self.orders[cascade.HALVES] = self.inverses[cascade.HALVES] = np.arange(places)
        self.mask = draw.integers(0, 2**64, places // 64, dtype=np.uint64)
        self.num_blocks = np.zeros(cascade.SLOTS, np.int64)
        self.moved = np.zeros((num_frames, cascade.SLOTS, places // 64), np.uint64)
        self.nodes = np.zeros((num_frames, cascade.SLOTS, 2 * places), np.uint8)
        self.questions = np.empty(num_frames * places, np.uint32)
        self.counts = np.zeros(num_frames, np.uint32)

    def _side_by_side(self, bits: np.ndarray) -> np.ndarray:
        frames = np.zeros((-(-self.num_frames // 64), self.places), np.uint64)
        for f in range(self.num_frames):
            frames[f // 64] |= bits[f].astype(np.uint64) << np.uint64(f % 64)
        return frames

    def open(self, slot: int, block: int) -> None:
        pairs = ((self.alice, self.alice_prefixes), (self.bob, self.bob_prefixes))
        if slot == cascade.HALVES:
            for frames, prefixes in pairs:
                cascade.masked_prefix_parities(frames, self.mask, prefixes[slot])
            order = [i if int(self.mask[i // 64]) >> i % 64 & 1 else None for i in range(self.places)]
        else:
            seed = self.draw.integers(0, 2**64, dtype=np.uint64)
            cascade.shuffle(seed, self.orders[slot], self.inverses[slot])
            for frames, prefixes in pairs:
                cascade.prefix_parities(frames, self.orders[slot], prefixes[slot])
            order = plain.shuffle(int(seed), self.places)
        both = [prefixes[slot][:, block::block] ^ prefixes[slot][:, :-1:block] for _, prefixes in pairs]
        self.num_blocks[slot] = self.places // block
        odd = both[0] ^ both[1]
        assert cascade.open_pass(odd, slot, self.nodes, self.questions, self.counts) == cascade.DONE
        for f, twin in enumerate(self.twins):
            nodes = range(self.places // block, 2 * self.places // block)
            twin.orders[slot] = order
            differs = {n: plain.parity(self.alice_bits[f], twin.compared(slot, n)) for n in nodes}
            blocks = {n: bool(differs[n] ^ plain.parity(twin.bits, twin.compared(slot, n))) for n in nodes}
            twin.open_pass(slot, order, blocks)

    def asked(self) -> list[list[tuple[int, int]]]:
        ends = np.cumsum(self.counts)
        nodes = [(int(q) >> cascade.SLOT_SHIFT, int(q) & cascade.NODE_MASK) for q in self.questions[: ends[-1]]]
        return [nodes[end - count : end] for end, count in zip(ends.tolist(), self.counts.tolist(), strict=True)]

    def step(self) -> None:
        number = int(self.counts.sum())
        answers = np.zeros((number + 7) // 8, np.uint8)
        cascade.answer(self.alice_prefixes, self.questions[:number], self.counts, answers)
        told = iter(np.unpackbits(answers, count=number, bitorder="little").tolist())
        for f, twin in enumerate(self.twins):
            theirs = [plain.parity(self.alice_bits[f], twin.compared(slot, 2 * n)) for slot, n in twin.questions]
            assert [next(told) for _ in theirs] == theirs
            twin.absorb(theirs)
        next_questions, next_counts = np.empty_like(self.questions), np.empty_like(self.counts)
        queue = np.empty(cascade.SLOTS * self.places, np.uint32)
        outcome = cascade.absorb(
            *(self.bob, self.bob_prefixes, self.orders, self.inverses, self.num_blocks, self.mask, self.moved),
            *(self.nodes, self.questions[:number], self.counts, answers, queue, next_questions, next_counts),
        )
        assert outcome == cascade.DONE
        self.questions, self.counts = next_questions, next_counts


@pytest.mark.parametrize(("num_frames", "qber"), [(2, 0.05), (66, 0.02)])
def test_the_kernel_asks_and_corrects_like_its_twin(num_frames: int, qber: float) -> None:
    bench = Bench(num_frames=num_frames, places=256, qber=qber, seed=11)
    asked = 0
    for slot, block in ((0, 16), (1, 64), (2, 128), (cascade.HALVES, 256)):
        bench.open(slot, block)
        while True:
            assert bench.asked() == [twin.questions for twin in bench.twins]
            if not bench.counts.any():
                break
            asked += int(bench.counts.sum())
            bench.step()
        bits = np.array([twin.bits for twin in bench.twins])
        assert (bench._side_by_side(bits) == bench.bob).all()
    assert asked > 10 * num_frames
    assert (bench.alice == bench.bob).mean() > 0.9


def test_parities_that_no_frame_has_are_noticed() -> None:
    bench = Bench(num_frames=1, places=256, qber=0.1, seed=3)
    bench.open(0, 4)
    while bench.counts.any():
        bench.step()
    # All of pass 0 is known now; a lie in pass 1 leads to a place that pass 0 knows to be right.
    bench.open(1, 128)
    bench.nodes[0, 1, 2] ^= int(cascade.ODD)
    bench.questions[0], bench.counts[0] = 1 << cascade.SLOT_SHIFT | 2, 1
    outcome, rounds = cascade.DONE, 0
    queue = np.empty(cascade.SLOTS * bench.places, np.uint32)
    while outcome == cascade.DONE and bench.counts.any() and rounds < 1000:
        number = int(bench.counts.sum())
        answers = np.full((number + 7) // 8, 0x55, np.uint8)
        questions, counts = np.empty_like(bench.questions), np.empty_like(bench.counts)
        outcome = cascade.absorb(
            *(bench.bob, bench.bob_prefixes, bench.orders, bench.inverses, bench.num_blocks, bench.mask, bench.moved),
            *(bench.nodes, bench.questions[:number], bench.counts, answers, queue, questions, counts),
        )
        bench.questions, bench.counts = questions, counts
        rounds += 1
    assert outcome == cascade.CONTRADICTION


def test_more_questions_than_there_is_room_for_are_noticed() -> None:
    odd = np.full((1, 64), 2**64 - 1, np.uint64)
    nodes = np.zeros((2, cascade.SLOTS, 512), np.uint8)
    outcome = cascade.open_pass(odd, 0, nodes, np.empty(100, np.uint32), np.zeros(2, np.uint32))
    assert outcome == cascade.OVERFLOW

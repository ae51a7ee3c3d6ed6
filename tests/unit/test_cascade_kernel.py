"""The compiled loops of Cascade against their plain twin, question by question."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qanat.kernels import bitarrays, cascade, parity_trees
from qanat.kernels.reference import bitarrays as plain_bitarrays
from qanat.kernels.reference import cascade as plain


def words(number: int, num_bits: int) -> np.ndarray:
    num_bytes = (num_bits + 63) // 64 * 8 + 8
    return np.frombuffer(bytearray(number.to_bytes(num_bytes, "little")), dtype=np.uint64)


def packed(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits.astype(np.uint8), axis=-1, bitorder="little")


def bits_of(stream: np.ndarray) -> list[int]:
    bits: list[int] = np.unpackbits(stream.view(np.uint8), bitorder="little").tolist()
    return bits


@pytest.mark.parametrize("num_frames", [1, 3, 4, 7, 8, 9, 64, 65, 130])
def test_frames_side_by_side_are_those_of_the_twin(num_frames: int) -> None:
    generator = np.random.default_rng(num_frames)
    stream = int.from_bytes(generator.bytes(num_frames * 64 // 8), "little")
    lanes = np.empty((-(-num_frames // 8), 64), dtype=np.uint8)
    bitarrays.spread_frames(words(stream, 64 * num_frames), num_frames, lanes)
    bits = [[int(lanes[f // 8, i]) >> f % 8 & 1 for i in range(64)] for f in range(num_frames)]
    assert bits == plain_bitarrays.spread_frames(stream, num_frames, 64)
    assert plain_bitarrays.join_frames(bits) == stream
    joined = np.zeros(num_frames + 1, dtype=np.uint64)
    bitarrays.join_frames(lanes, num_frames, joined)
    assert int.from_bytes(joined.tobytes(), "little") == stream
    assert all(lanes[-1] >> (num_frames - 1) % 8 < 2)


@pytest.mark.parametrize("num_bits", [0, 1, 8, 63, 64, 65, 1000])
def test_ones_are_counted(num_bits: int) -> None:
    number = (1 << num_bits) - 1
    data = np.frombuffer(bytes([0x80]) + number.to_bytes((num_bits + 7) // 8, "little"), np.uint8)
    assert bitarrays.count_ones(data) == num_bits + 1


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 127, 128, 1000])
def test_columns_are_packed_like_numpys(size: int) -> None:
    column = np.random.default_rng(size).integers(0, 4, size, dtype=np.uint8)
    for pack, expected in (
        (lambda plane: bitarrays.pack_column(column, plane), column != 0),
        (lambda plane: bitarrays.pack_equal(column, 0, plane), column == 0),
        (lambda plane: bitarrays.pack_equal(column, 3, plane), column == 3),
    ):
        plane = np.zeros(size // 64 + 2, np.uint64)
        pack(plane)
        assert bits_of(plane) == expected.tolist() + [0] * (64 * plane.size - size)


@pytest.mark.parametrize("word", [0, 1, 2, 3, 2**63, 2**64 - 1, 0x0123456789ABCDEF])
def test_pairs_have_their_parities_on_any_processor(word: int) -> None:
    expected = sum((word >> 2 * i & 1 ^ word >> 2 * i + 1 & 1) << i for i in range(32))
    for pair_parities in (bitarrays.pair_parities, bitarrays.pair_parities_by_shifts):
        assert int(pair_parities(np.uint64(word))) == expected


@pytest.mark.parametrize("place", [0, 1, 63, 64, 65])
def test_bits_are_written_and_read_at_any_place(place: int) -> None:
    stream = np.zeros(4, np.uint64)
    bitarrays.append_bits(stream, place, np.uint64(0x8000_0000_0000_0001))
    assert int.from_bytes(stream.tobytes(), "little") == 0x8000_0000_0000_0001 << place
    assert int(bitarrays.bits_at(stream, place)) == 0x8000_0000_0000_0001


@pytest.mark.parametrize("size", [2, 4, 8, 256, 512, 2**15, 2**16])
def test_orders_are_permutations_and_those_of_the_twin(size: int) -> None:
    factors = np.array([word % size | 1 for word in plain.random_words(size, 3)], np.int64)
    inverses = np.array([pow(int(factor), -1, size) for factor in factors], np.int64)
    log_places = size.bit_length() - 1
    order = np.empty(size, np.uint16)
    parity_trees.draw_order(factors, log_places, 0, order[: size // 2])
    parity_trees.draw_order(factors, log_places, size // 2, order[size // 2 :])
    assert order.tolist() == plain.order(factors.tolist(), size)
    assert sorted(order.tolist()) == list(range(size))
    for place in {0, 1, size // 2, size - 1}:
        assert parity_trees.permuted(place, factors, log_places) == order[place]
        assert parity_trees.found(order[place], inverses, log_places) == place


def test_orders_part_neighbours_like_a_shuffle() -> None:
    """Pairs that share a block of 64 in one order and one of 256 in another: as many as chance has, within 6 %.

    Of 65,536 places in 1,024 blocks of 64, 2,064,384 pairs share a block; 255 / 65,535 of them share one of 256 too.
    The standard deviation of a shuffle is 1.1 %; 20 pairs of orders, so one false alarm in some million.
    """
    size = 2**16
    draw = np.random.default_rng(1)
    blocks = []
    for _ in range(21):
        factors = draw.integers(0, size // 2, 3) * 2 + 1
        order, block = np.empty(size, np.uint16), np.empty(size, np.int64)
        parity_trees.draw_order(factors, 16, 0, order)
        block[order] = np.arange(size)
        blocks.append((order, block // 256))
    for (order, _), (_, other) in itertools.pairwise(blocks):
        counts = np.sort(other[order.reshape(-1, 64)], axis=1)
        together = sum(int((counts[:, k:] == counts[:, :-k]).sum()) for k in range(1, 12))
        assert abs(together / (1024 * 64 * 63 / 2 * 255 / 65535) - 1) < 0.06


def test_random_words_are_the_twins() -> None:
    drawn = np.empty(20, np.uint64)
    parity_trees.random_words(np.uint64(2**64 - 3), drawn)
    assert drawn.tolist() == plain.random_words(2**64 - 3, 20)


@pytest.mark.parametrize("num_frames", [1, 4, 8, 9])
@pytest.mark.parametrize("size", [128, 256, 8192])
def test_trees_halves_and_blocks_have_the_twins_parities(num_frames: int, size: int) -> None:
    draw = np.random.default_rng(size + num_frames)
    bits = draw.integers(0, 2, (num_frames, size))
    lanes = np.zeros((-(-num_frames // 8), size), np.uint8)
    for f in range(num_frames):
        lanes[f // 8] |= (bits[f] << f % 8).astype(np.uint8)
    factors = draw.integers(0, size // 2, parity_trees.ROUNDS) * 2 + 1
    order = plain.order(factors.tolist(), size)
    leaves, own_order = (np.empty((num_frames, size // 8), np.uint8) for _ in range(2))
    parity_trees.gather(lanes, factors, leaves)
    parity_trees.set_apart(lanes, own_order)
    assert (own_order == packed(bits)).all()
    trees = np.zeros((num_frames, 2, size // 32), np.uint64)
    trees[:, 1, size // 64 :] = leaves.view(np.uint64)
    parity_trees.grow_all(trees, 1)
    expected = [plain.parity_tree(frame[order].tolist()) for frame in bits]
    assert [bits_of(tree)[1:] for tree in trees[:, 1]] == [tree[1:] for tree in expected]
    for num_blocks, count in ((1, 1), (2, 1), (32, 31), (64, 64)):
        told = np.zeros(num_frames * count // 64 + 2, np.uint64)
        parity_trees.block_parities(trees, 1, num_blocks, count, told)
        parities = [parity for tree in expected for parity in tree[num_blocks : num_blocks + count]]
        assert bits_of(told)[: len(parities)] == parities
    masks = draw.integers(0, 2**64, (3, size // 64), dtype=np.uint64)
    told = np.zeros(2, np.uint64)
    parity_trees.half_parities(own_order.view(np.uint64), masks, told)
    chosen = np.array([bits_of(mask) for mask in masks])
    assert bits_of(told)[: 3 * num_frames] == ((bits @ chosen.T) % 2).ravel().tolist()
    parity_trees.grow_half(own_order[0].view(np.uint64), masks[0], trees[0, 0])
    assert bits_of(trees[0, 0])[1:] == plain.parity_tree((bits[0] & chosen[0]).tolist())[1:]


class Bench:
    """A few small frames in the kernel's arrays and in the twin's lists, led through the same passes."""

    def __init__(self, *, num_frames: int, places: int, qber: float, seed: int) -> None:
        draw = np.random.default_rng(seed)
        self.num_frames, self.places, self.draw = num_frames, places, draw
        self.alice_bits = draw.integers(0, 2, (num_frames, places))
        bob = self.alice_bits ^ (draw.random((num_frames, places)) < qber)
        self.twins = [plain.Frame(bits) for bits in bob.tolist()]
        self.alice, self.bob = (self.side_by_side(bits) for bits in (self.alice_bits, bob))
        self.trees = np.zeros((num_frames, cascade.SLOTS, places // 32), np.uint64)
        self.own = np.zeros((num_frames, 1, places // 32), np.uint64)
        self.states = np.zeros((num_frames, cascade.SLOTS, places // 8), np.uint64)
        self.factors = np.ones((cascade.HALVES, parity_trees.ROUNDS), np.int64)
        self.inverses = np.ones_like(self.factors)
        self.mask = draw.integers(0, 2**64, places // 64, dtype=np.uint64)
        self.num_blocks = np.zeros(cascade.SLOTS, np.int64)
        self.questions = np.empty(num_frames * places, np.uint32)
        self.counts = np.zeros(num_frames, np.uint32)
        self.num_begun = 0

    def side_by_side(self, bits: np.ndarray) -> np.ndarray:
        lanes = np.zeros((-(-self.num_frames // 8), self.places), np.uint8)
        for f in range(self.num_frames):
            lanes[f // 8] |= (bits[f] << f % 8).astype(np.uint8)
        return lanes

    def grow(self, lanes: np.ndarray, slot: int, trees: np.ndarray, into: int) -> None:
        leaves = np.empty((self.num_frames, self.places // 8), np.uint8)
        if slot == cascade.HALVES:
            parity_trees.set_apart(lanes, leaves)
            for f in range(self.num_frames):
                parity_trees.grow_half(leaves[f].view(np.uint64), self.mask, trees[f, into])
            return
        parity_trees.gather(lanes, self.factors[slot], leaves)
        trees[:, into, self.places // 64 :] = leaves.view(np.uint64)
        parity_trees.grow_all(trees, into)

    def open(self, slot: int, block: int) -> None:
        if slot == cascade.HALVES:
            order = [i if int(self.mask[i // 64]) >> i % 64 & 1 else None for i in range(self.places)]
        else:
            self.factors[slot] = self.draw.integers(0, self.places // 2, parity_trees.ROUNDS) * 2 + 1
            self.inverses[slot] = [pow(int(factor), -1, self.places) for factor in self.factors[slot]]
            order = plain.order(self.factors[slot].tolist(), self.places)
        self.grow(self.alice, slot, self.trees, slot)
        self.grow(self.bob, slot, self.own, 0)
        cascade.note_all(self.own[:, 0], slot, self.states)
        self.num_begun = slot + 1
        num_blocks = self.places // block
        self.num_blocks[slot] = num_blocks
        if slot == cascade.HALVES:
            odd = np.nonzero((self.trees[:, slot, 0] ^ self.own[:, 0, 0]) >> np.uint64(1) & np.uint64(1))[0]
            asked = cascade.open_half(self.states, odd, self.questions, self.counts)
        else:
            count = num_blocks - (slot > 0)
            told = np.zeros(self.num_frames * count // 64 + 2, np.uint64)
            parity_trees.block_parities(self.trees, slot, num_blocks, count, told)
            asked = cascade.open_pass(told, count, slot, num_blocks, self.states, self.questions, self.counts)
        assert asked == self.counts.sum()
        for f, twin in enumerate(self.twins):
            nodes = range(num_blocks, 2 * num_blocks)
            twin.orders[slot] = order
            differs = {n: plain.parity(self.alice_bits[f], twin.compared(slot, n)) for n in nodes}
            blocks = {n: bool(differs[n] ^ plain.parity(twin.bits, twin.compared(slot, n))) for n in nodes}
            twin.open_pass(slot, order, blocks)

    def look_ahead(self, depth: int) -> None:
        more, counts = np.empty_like(self.questions), np.empty_like(self.counts)
        cascade.look_ahead(self.questions, self.counts, depth, self.places, more, counts)
        self.questions, self.counts = more, counts
        for twin in self.twins:
            twin.look_ahead(depth)

    def asked(self) -> list[list[tuple[int, int]]]:
        ends = np.cumsum(self.counts)
        nodes = [(int(q) >> cascade.SLOT_SHIFT, int(q) & cascade.NODE_MASK) for q in self.questions[: ends[-1]]]
        return [nodes[end - count : end] for end, count in zip(ends.tolist(), self.counts.tolist(), strict=True)]

    def step(self) -> None:
        number = int(self.counts.sum())
        answers = np.zeros((number + 7) // 8, np.uint8)
        arguments = (self.num_begun, True, self.questions[:number], self.counts, answers)
        assert cascade.answer(self.trees, *arguments)
        told = iter(np.unpackbits(answers, count=number, bitorder="little").tolist())
        for f, twin in enumerate(self.twins):
            theirs = [plain.parity(self.alice_bits[f], twin.compared(slot, 2 * n)) for slot, n in twin.questions]
            assert [next(told) for _ in theirs] == theirs
            twin.absorb(theirs)
        assert self.absorb(answers) >= 0

    def absorb(self, answers: np.ndarray) -> int:
        number = int(self.counts.sum())
        next_questions, next_counts = np.empty_like(self.questions), np.empty_like(self.counts)
        outcome: int = cascade.absorb(
            *(self.bob, self.factors, self.inverses, self.num_blocks, self.mask, self.states),
            *(self.questions[:number], self.counts, answers),
            *(np.empty(cascade.SLOTS * self.places, np.uint32), next_questions, next_counts),
        )
        self.questions, self.counts = next_questions, next_counts
        return outcome


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize(("num_frames", "qber"), [(2, 0.05), (9, 0.02)])
def test_the_kernel_asks_and_corrects_like_its_twin(num_frames: int, qber: float, depth: int) -> None:
    bench = Bench(num_frames=num_frames, places=256, qber=qber, seed=11)
    asked = 0
    for slot, block in ((0, 16), (1, 64), (2, 128), (cascade.HALVES, 256)):
        bench.open(slot, block)
        while True:
            bench.look_ahead(depth)
            assert bench.asked() == [twin.questions for twin in bench.twins]
            if not bench.counts.any():
                break
            asked += int(bench.counts.sum())
            bench.step()
        bits = np.array([twin.bits for twin in bench.twins])
        assert (bench.side_by_side(bits) == bench.bob).all()
    assert asked > 10 * num_frames
    assert (bench.alice == bench.bob).mean() > 0.9


def test_parities_that_no_frame_has_are_noticed() -> None:
    bench = Bench(num_frames=1, places=256, qber=0.1, seed=3)
    bench.open(0, 4)
    while bench.counts.any():
        bench.step()
    # All of pass 0 is known now; a lie in pass 1 leads to a place that pass 0 knows to be right.
    bench.open(1, 128)
    bench.states[0, 1, 0] ^= cascade.ODD << np.uint64(4 * 2)
    bench.questions[0], bench.counts[0] = 1 << cascade.SLOT_SHIFT | 2, 1
    outcome, rounds = 1, 0
    while outcome > 0 and rounds < 1000:
        number = int(bench.counts.sum())
        outcome = bench.absorb(np.full((number + 7) // 8, 0x55, np.uint8))
        rounds += 1
    assert outcome == cascade.CONTRADICTION


def test_more_questions_than_there_is_room_for_are_noticed() -> None:
    odd = np.full(4, 2**64 - 1, np.uint64)
    states = np.zeros((2, cascade.SLOTS, 32), np.uint64)
    for room, outcome in ((100, cascade.OVERFLOW), (127, cascade.OVERFLOW), (128, 128)):
        states[:] = 0
        questions, counts = np.empty(room, np.uint32), np.zeros(2, np.uint32)
        assert cascade.open_pass(odd, 64, 0, 64, states, questions, counts) == outcome
    more = np.empty(300, np.uint32)
    assert cascade.look_ahead(questions, counts, 2, 256, more, np.empty_like(counts)) == cascade.OVERFLOW
    assert cascade.open_half(states, np.arange(2), np.empty(1, np.uint32), counts) == cascade.OVERFLOW


def test_a_full_list_of_nodes_is_noticed() -> None:
    bench = Bench(num_frames=1, places=256, qber=0.1, seed=3)
    bench.open(0, 4)
    number = int(bench.counts.sum())
    outcome = cascade.absorb(
        *(bench.bob, bench.factors, bench.inverses, bench.num_blocks, bench.mask, bench.states),
        *(bench.questions[:number], bench.counts, np.zeros((number + 7) // 8, np.uint8)),
        *(np.empty(12, np.uint32), np.empty_like(bench.questions), np.empty_like(bench.counts)),
    )
    assert outcome == cascade.OVERFLOW


@pytest.mark.parametrize("count", [0, 2, 2**32 - 1])
def test_questions_that_are_not_as_many_as_announced_are_refused(count: int) -> None:
    trees = np.zeros((2, cascade.SLOTS, 8), np.uint64)
    questions, counts = np.array([1, 1], np.uint32), np.array([count, 1], np.uint32)
    assert not cascade.answer(trees, 4, True, questions, counts, np.zeros(1, np.uint8))
    assert cascade.answer(trees, 4, True, questions, np.array([1, 1], np.uint32), np.zeros(1, np.uint8))

"""Cascade on one frame with lists and dictionaries: what ``kernels.cascade`` computes for many frames at once."""

from __future__ import annotations

from collections.abc import Sequence

MASK_64 = 2**64 - 1


def random_words(seed: int, count: int) -> list[int]:
    """Return the words that ``kernels.parity_trees.random_words`` draws from ``seed``."""
    words, state = [], seed
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK_64
        word = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & MASK_64
        word = (word ^ word >> 27) * 0x94D049BB133111EB & MASK_64
        words.append(word ^ word >> 31)
    return words


def order(factors: Sequence[int], size: int) -> list[int]:
    """Return the permutation that ``kernels.parity_trees.draw_order`` makes of odd numbers; ``size`` a power of two."""
    half = (size.bit_length()) // 2
    places = []
    for place in range(size):
        for factor in factors:
            place = place * factor % size
            place ^= place >> half
        places.append(place)
    return places


def parity_tree(bits: Sequence[int]) -> list[int]:
    """Return the parities of a frame's nodes, from node 1 on; entry 0 is 0."""
    tree = [0] * len(bits) + list(bits)
    for node in range(len(bits) - 1, 0, -1):
        tree[node] = tree[2 * node] ^ tree[2 * node + 1]
    return tree


def places_of(node: int, order: Sequence[int]) -> Sequence[int]:
    """Return the places of a frame that a node of a pass's tree holds; node 1 is the whole frame."""
    level = node.bit_length() - 1
    size = len(order) >> level
    start = (node - (1 << level)) * size
    return order[start : start + size]


def parity(bits: Sequence[int], places: Sequence[int]) -> int:
    """Return the parity of some places of a frame."""
    return sum(bits[i] for i in places) % 2


class Frame:
    """One frame of Bob's: his bits, and per pass the intervals whose parity Alice has told.

    A pass is an order of places; places that are not compared are None. ``intervals[slot][node]`` says whether the
    parity differs.
    """

    def __init__(self, bits: list[int]) -> None:
        self.bits = bits
        self.orders: dict[int, list[int | None]] = {}
        self.intervals: dict[int, dict[int, bool]] = {}
        self.questions: list[tuple[int, int]] = []
        self._waiting: set[tuple[int, int]] = set()

    def open_pass(self, slot: int, order: list[int | None], blocks: dict[int, bool]) -> None:
        """Begin a pass with its blocks (nodes) and whether their parities differ."""
        self.orders[slot], self.intervals[slot] = order, blocks
        self.questions = [(slot, node) for node, odd in blocks.items() if odd]
        self._waiting = set(self.questions)

    def compared(self, slot: int, node: int) -> list[int]:
        """Return the places that a node compares."""
        return [place for place in places_of(node, self.orders[slot]) if place is not None]  # type: ignore[arg-type]

    def look_ahead(self, depth: int) -> None:
        """Ask about the next levels below each question's node too, a node before its halves."""
        self.questions = [
            (slot, (node << level) + number)
            for slot, node in self.questions
            for level in range(depth)
            for number in range(1 << level)
            if node << level < len(self.bits)
        ]

    def absorb(self, answers: Sequence[int]) -> None:
        """Take the parities of the left halves of ``questions``, correct, and set the next questions."""
        queue: list[tuple[int, int]] = []
        for (slot, node), theirs in zip(self.questions, answers, strict=True):
            left = bool(theirs ^ parity(self.bits, self.compared(slot, 2 * node)))
            right = left ^ self.intervals[slot].pop(node)
            self._waiting.discard((slot, node))
            children = {2 * node: left, 2 * node + 1: right}
            self.intervals[slot] |= children
            odd = [child for child, differs in children.items() if differs]
            if node < len(self.bits) // 2:
                queue += [(slot, child) for child in odd if (slot, child) not in self.questions]
                self._waiting |= {(slot, child) for child in odd}
            else:
                for child in odd:
                    self._correct(self.compared(slot, child)[0], queue)
        self.questions = [(slot, node) for slot, node in queue if self.intervals[slot].get(node)]
        self._waiting = set(self.questions)

    def _correct(self, place: int, queue: list[tuple[int, int]]) -> None:
        self.bits[place] ^= 1
        for slot in sorted(self.intervals):
            if place not in self.orders[slot]:
                continue
            node = len(self.bits) + self.orders[slot].index(place)
            while node not in self.intervals[slot]:
                node >>= 1
            self.intervals[slot][node] ^= True
            if self.intervals[slot][node] and (slot, node) not in self._waiting:
                self._waiting.add((slot, node))
                queue.append((slot, node))

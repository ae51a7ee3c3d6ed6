"""The books of a day: what each link has made and what was spent of it, in whole bits, and the proof that they agree.

Stock is entered twice, on two ways that share nothing: each pool is counted up and down as it happens, and each batch
that went over a route is written down by route. ``check`` works out the one from the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import KeyManagementError
from qanat.ground.keys import block_shares
from qanat.key_management.accounts import batch_costs_bits, relay_bits, session_bits
from qanat.simulation.day.plan import DayPlan, LinkPlan

Hop = int
"""Twice the number of a link, and one more where the second of its ends sends."""


class BooksDisagree(KeyManagementError):
    """What came in is not what went out and what is left, of bits or of requests: a fault of this program."""


@dataclass(frozen=True, slots=True)
class LinkDay:
    """One link's day, in bits. ``ready_bits``: of the blocks that lay ready, reserve shares included, as in
    ``made_bits``, those of the blocks made. ``burned_bits``: of batches that a later hop could not pay for.
    ``reserve_share_bits``: what went of all these blocks into the reserve, so that

        ready_bits + made_bits = spent_bits + burned_bits + left_bits + reserve_share_bits

    ``reserve_start_bits``: the initial key, and the shares of the blocks that lay ready. ``reserve_spent_bits``: on
    authenticating its sessions."""

    link_id: str
    ready_bits: int
    blocks: int
    made_bits: int
    spent_bits: int
    burned_bits: int
    left_bits: int
    reserve_share_bits: int
    reserve_start_bits: int
    reserve_spent_bits: int
    reserve_left_bits: int

    def __post_init__(self) -> None:
        """Raises BooksDisagree for a day whose bits do not add up."""
        came, went = self.ready_bits + self.made_bits, self.spent_bits + self.burned_bits + self.left_bits
        if came != went + self.reserve_share_bits:
            raise BooksDisagree(
                f"{self.link_id}: {came} bits ready and made, {went} spent, burned or left, "
                f"{self.reserve_share_bits} in the reserve"
            )


@dataclass(slots=True)
class _Brought:
    """What passes brought to a link, in bits; ``ready``: of that, what lay ready when the run began."""

    blocks: int = 0
    made_bits: int = 0
    ready_bits: int = 0
    reserve: int = 0
    ready_reserve: int = 0
    halves: list[int] = field(default_factory=lambda: [0, 0])


class Books:
    """Stock by hop, and what came in and went out. Blocks of a link are alike, but for those that passes brought."""

    def __init__(self, plan: DayPlan, *, ready_blocks: int = 0) -> None:
        """``ready_blocks``: so many lie ready on every link that makes any, from before the first day."""
        self._plan = plan
        self.array: NDArray[np.int64] = np.zeros(2 * len(plan.links), dtype=np.int64)
        self.stock = self.array.data
        """Bits that may be sent under, by hop: the same memory, for kernels and for single looks."""
        self.short: set[Hop] = set()
        """Hops that have fallen below what a batch takes, until somebody takes note of them."""
        self.blocks = [0] * len(plan.links)
        self.sessions = [0] * len(plan.links)
        self._reserve = [link.initial_reserve_bits for link in plan.links]
        self.batches: Counter[tuple[tuple[Hop, ...], int, int]] = Counter()
        """Batches that went over these hops, by number of keys and their size in bits."""
        self.burned: Counter[tuple[tuple[Hop, ...], int, int]] = Counter()
        """The same of batches that came as far as this and were given up, since the next hop had too little."""
        self._brought: dict[int, _Brought] = {}
        self._ready = [ready_blocks if link.block_bits else 0 for link in plan.links]
        for number, count in enumerate(self._ready):
            for _ in range(count):
                self._store_block(number)

    def begin_sessions(self, number: int, *, num_blocks: int) -> None:
        """Spend the pads of an order of so many blocks, all of them before the first begins."""
        self.sessions[number] += num_blocks
        self._reserve[number] -= session_bits(num_blocks=num_blocks)
        if self._reserve[number] < 0:
            raise BooksDisagree(f"the authentication reserve of {self._plan.links[number].link_id} is overdrawn")

    def add_block(self, number: int) -> None:
        """Store a block that was made: its share to the reserve, a half to each direction."""
        self.blocks[number] += 1
        self._store_block(number)

    def bring(self, number: int, num_bits: int, *, is_ready: bool) -> None:
        """Store a block of any number of bits, which a satellite has announced; ``is_ready``: before the run."""
        reserve, *halves = block_shares(num_bits)
        brought = self._brought.setdefault(number, _Brought())
        if is_ready:
            brought.ready_bits += num_bits
            brought.ready_reserve += reserve
        else:
            brought.blocks += 1
            brought.made_bits += num_bits
        brought.reserve += reserve
        self._reserve[number] += reserve
        for side, half_bits in enumerate(halves):
            brought.halves[side] += half_bits
            self.stock[2 * number + side] += half_bits

    def _store_block(self, number: int) -> None:
        link = self._plan.links[number]
        self._reserve[number] += link.reserve_share_bits
        self.stock[2 * number] += link.half_bits[0]
        self.stock[2 * number + 1] += link.half_bits[1]

    def holds(self, hops: tuple[Hop, ...], needed_bits: int) -> bool:
        """Return whether every hop can pay."""
        return min(map(self.stock.__getitem__, hops)) >= needed_bits

    def relay(self, hops: tuple[Hop, ...], *, count: int, size_bits: int, needed_bits: int) -> None:
        """Spend a batch's bits on each hop; ``needed_bits`` is ``relay_bits`` of it."""
        self._spend(hops, needed_bits)
        self.batches[hops, count, size_bits] += 1

    def note_relayed(self, hops: tuple[Hop, ...], *, times: int, count: int, size_bits: int) -> None:
        """Write down so many batches whose bits have been taken from ``array`` already."""
        self.batches[hops, count, size_bits] += times

    def burn(self, hops: tuple[Hop, ...], *, count: int, size_bits: int, needed_bits: int) -> tuple[Hop, ...]:
        """Spend a batch's bits on the hops before the first that holds too little, as a relay learns of it: the hop
        that is short says so when the batch has come to it. Return these; ``hops``: of the whole way."""
        paid = next(place for place, hop in enumerate(hops) if self.stock[hop] < needed_bits)
        self._spend(hops[:paid], needed_bits)
        if paid:
            self.burned[hops[:paid], count, size_bits] += 1
        return hops[:paid]

    def _spend(self, hops: tuple[Hop, ...], needed_bits: int) -> None:
        stock = self.stock
        for hop in hops:
            left = stock[hop] = stock[hop] - needed_bits
            if left < needed_bits:
                self.short.add(hop)

    def check(self) -> None:
        """Raise BooksDisagree unless all that was made was spent, or is left, and costs what the accounts say."""
        spent, burned = _paid_by_hop(self.batches), _paid_by_hop(self.burned)
        for paid, batches in ((spent, self.batches), (burned, self.burned)):
            cost = sum(
                times * batch_costs_bits(count=count, size_bits=size_bits, hops=len(hops))
                for (hops, count, size_bits), times in batches.items()
            )
            if sum(paid.values()) != cost:
                raise BooksDisagree(f"hops have paid {sum(paid.values())} bits for batches that cost {cost}")
        gone = spent + burned
        for number, link in enumerate(self._plan.links):
            self._check_link(number, link, gone)

    def _check_link(self, number: int, link: LinkPlan, paid: Mapping[Hop, int]) -> None:
        for side, half_bits in enumerate(link.half_bits):
            hop = 2 * number + side
            made = (self._ready[number] + self.blocks[number]) * half_bits + self._brought_to(number).halves[side]
            gone, left = paid.get(hop, 0), self.stock[hop]
            if left < 0 or made != gone + left:
                pool = f"pool of {link.ends[side]} on {link.link_id}"
                raise BooksDisagree(f"{pool}: {made} bits made, {gone} spent, {left} left")
        brought = self._brought_to(number)
        gained = self._reserve_start_bits(number) + self.blocks[number] * link.reserve_share_bits
        gained += brought.reserve - brought.ready_reserve
        used, left = session_bits(num_blocks=self.sessions[number]), self._reserve[number]
        if gained != used + left:
            raise BooksDisagree(f"reserve of {link.link_id}: {gained} bits gained, {used} used, {left} left")

    def _reserve_start_bits(self, number: int) -> int:
        link, brought = self._plan.links[number], self._brought_to(number)
        return link.initial_reserve_bits + self._ready[number] * link.reserve_share_bits + brought.ready_reserve

    def _brought_to(self, number: int) -> _Brought:
        return self._brought.get(number, _Brought())

    def of_links(self) -> Iterator[LinkDay]:
        """Yield the day of each link."""
        spent, burned = _paid_by_hop(self.batches), _paid_by_hop(self.burned)
        for number, link in enumerate(self._plan.links):
            brought = self._brought_to(number)
            yield LinkDay(
                link_id=link.link_id,
                ready_bits=self._ready[number] * link.block_bits + brought.ready_bits,
                blocks=self.blocks[number] + brought.blocks,
                made_bits=self.blocks[number] * link.block_bits + brought.made_bits,
                spent_bits=spent[2 * number] + spent[2 * number + 1],
                burned_bits=burned[2 * number] + burned[2 * number + 1],
                left_bits=self.stock[2 * number] + self.stock[2 * number + 1],
                reserve_share_bits=(self._ready[number] + self.blocks[number]) * link.reserve_share_bits
                + brought.reserve,
                reserve_start_bits=self._reserve_start_bits(number),
                reserve_spent_bits=session_bits(num_blocks=self.sessions[number]),
                reserve_left_bits=self._reserve[number],
            )


def _paid_by_hop(batches: Mapping[tuple[tuple[Hop, ...], int, int], int]) -> Counter[Hop]:
    """Return what these batches took from each hop, as the accounts say."""
    paid: Counter[Hop] = Counter()
    for (hops, count, size_bits), times in batches.items():
        bits = times * relay_bits(count=count, size_bits=size_bits)
        for hop in hops:
            paid[hop] += bits
    return paid

"""Batches spread over several ways in the proportion of their weights: smooth weighted round robin.

Each way has a time of its own, which goes on by what a batch takes, divided by the way's weight; the next batch goes
the way on which its middle would come the earliest (in words of apportionment: the divisors of Webster and
Sainte-Lague). So ways of weights 2 and 1 are taken as 1, 2, 1, 1, 2, 1, a way that is to have one batch in a hundred
has its first as the fiftieth, and large batches count as more than small ones. A way that is passed over, since it
cannot be taken now, stays the next in turn, and nothing more is made up for. Nothing is drawn by lot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from qanat.ground.identifiers import NodeId
from qanat.key_management.wire import Route, Routes, WeightedWays


@dataclass(slots=True)
class _Turns:
    """The ways to one target. ``times``: in bits by weight; ``planned_bits``: of batches that wait for key on a way,
    whose turns are counted already, by the demand that each waits for."""

    weights: dict[Route, float]
    times: dict[Route, float] = field(default_factory=dict)
    planned_bits: dict[Route, dict[str, int]] = field(default_factory=dict)

    def middle(self, way: Route, num_bits: int) -> float:
        """Return when a batch would be half-way on a way."""
        return self.times.get(way, 0.0) + num_bits / (2 * self.weights[way])

    def advance(self, way: Route, num_bits: int) -> None:
        """Count a turn of a way. Those whose turn it was before its own come next, but have lost what they missed."""
        if way not in self.weights:
            return
        middle = self.middle(way, num_bits)
        for other, weight in self.weights.items():
            self.times[other] = max(self.times.get(other, 0.0), middle - num_bits / (2 * weight))
        self.times[way] += num_bits / self.weights[way]


class Spreading:
    """The ways that shares were found on, by target. Where there are none, ways keep the order that they come in."""

    def __init__(self) -> None:
        self._turns: dict[NodeId, _Turns] = {}

    def learn(self, spreads: Sequence[WeightedWays]) -> None:
        """Take new weights in place of all before; ways that go on keep their turns."""
        before = self._turns
        self._turns = {}
        for row in spreads:
            weights = {way: weight for way, weight in zip(row.ways, row.weights, strict=False) if weight > 0}
            known = before.get(row.target)
            self._turns[row.target] = turns = _Turns(weights)
            if known is not None and known.weights == weights:
                turns.times, turns.planned_bits = known.times, known.planned_bits

    def ways(self, target: NodeId) -> Routes:
        """Return the ways with weights to a target."""
        turns = self._turns.get(target)
        return () if turns is None else tuple(turns.weights)

    def in_turn(self, target: NodeId, ways: Routes, *, num_bits: int, count: int = 1) -> Routes:
        """Return ways to a target with those first whose turn it is; ways without a weight come after these.

        ``num_bits``: what a batch takes of each hop. ``count``: so many ways one batch takes; more than one go as they
        come, since each of them is taken anyway.
        """
        turns = self._turns.get(target)
        if turns is None or count > 1:
            return ways
        return tuple(sorted(ways, key=lambda way: _rank(turns, way, num_bits)))

    def note_sent(self, way: Route, num_bits: int) -> None:
        """A batch takes so much of every hop of a way."""
        if (turns := self._turns.get(way[-1])) is None:
            return
        left_bits, planned = num_bits, turns.planned_bits.get(way, {})
        for demand_id in list(planned):  # the oldest first
            paid = min(left_bits, planned[demand_id])
            planned[demand_id] -= paid
            left_bits -= paid
            if not planned[demand_id]:
                del planned[demand_id]
        if left_bits:
            turns.advance(way, left_bits)

    def note_awaited(self, way: Route, num_bits: int, *, demand_id: str) -> None:
        """A batch waits for key on a way: the next one had better ask for another."""
        if (turns := self._turns.get(way[-1])) is not None:
            turns.planned_bits.setdefault(way, {})[demand_id] = num_bits
            turns.advance(way, num_bits)

    def note_given_up(self, way: Route, *, demand_id: str) -> None:
        """No batch that waited for this demand goes a way any more."""
        if (turns := self._turns.get(way[-1])) is not None:
            turns.planned_bits.get(way, {}).pop(demand_id, None)


def _rank(turns: _Turns, way: Route, num_bits: int) -> tuple[bool, float, float]:
    weight = turns.weights.get(way)
    return (True, 0.0, 0.0) if weight is None else (False, turns.middle(way, num_bits), -weight)

"""The terms of the worker's job behind a twin link."""

from __future__ import annotations

from dataclasses import dataclass, field

from qanat.ground.identifiers import LinkId, NodeId, OrderId
from qanat.ground.ports import Chance, Entropy
from qanat.quantum_layer.forecast import amplification_bits, link_forecast, short_block_bits
from qanat.quantum_layer.pass_plan import PassLight

MAX_LIGHT_S = 1800.0
"""A block that takes more link time than this, and twice what was expected, is given up: the link is too dark."""


@dataclass(frozen=True, slots=True)
class LinkRun:
    """One amplification block to make: the link, nature's dice, and each end's pads (transmitter, receiver).

    ``min_key_bits``: verified bits of the block; None leaves the choice to the proof (``forecast.amplification_bits``),
    or, where the block ``is_short``, to its least that is worth it (``forecast.short_block_bits``).
    ``light``: of a satellite's pass, whose loss changes all the time; then ``system`` and ``loss_db`` only name it.
    ``pairs``: of modules, equal ones, each on a wavelength of the one fibre. They share a block's slots evenly and work
    at the same time: photons are drawn as those of one pair, slot by slot, and the link's time is their number times
    shorter. To the proof the block is of one source and one receiver, which holds as far as the pairs are equal.
    """

    link_id: LinkId
    order_id: OrderId
    ends: tuple[NodeId, NodeId]
    system: str
    loss_db: float
    chance: Chance
    entropy: Entropy
    pads: tuple[bytes, bytes] = field(repr=False)
    disturbance: float = 0.0
    min_key_bits: int | None = None
    is_short: bool = False
    pairs: int = 1
    light: PassLight | None = None

    @property
    def key_bits(self) -> int:
        """Verified bits of the block, as asked for or as chosen."""
        choose = short_block_bits if self.is_short else amplification_bits
        return self.min_key_bits or choose(self.system, loss_db=self.loss_db)

    @property
    def max_light_s(self) -> float:
        """When to give up, in link time of one pair."""
        return max(MAX_LIGHT_S, 2 * link_forecast(self.system, loss_db=self.loss_db).block_time_s)

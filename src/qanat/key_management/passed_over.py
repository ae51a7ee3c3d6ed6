"""Ways that are passed over since a hop further on was short; of several that have shares, those with a part of them.

This node does not see what later hops hold. Where the other ways never run dry, nobody would ask for key on such a way
again, and its turn would never come. So the controller is asked in the background until it says that there is key: that
burns no pads, and nobody waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from qanat.ground.errors import KeyShortage
from qanat.ground.identifiers import SaePair
from qanat.key_management.context import Context
from qanat.key_management.demands import DemandDesk
from qanat.key_management.ways import Way, Ways


@dataclass(slots=True)
class PassedOver:
    """The ways of one node that were short further on, each with the pair that met with it and what it needed there."""

    _context: Context
    _demands: DemandDesk
    _ways: Ways
    _needs: dict[Way, tuple[SaePair, int]] = field(default_factory=dict)

    def note(self, way: Way, pair: SaePair, needed_bits: int) -> None:
        """A batch of a pair was lost on a way to a hop that held too little."""
        self._needs[way] = pair, needed_bits

    async def tick(self) -> None:
        """Ask for key on ways that may be of use and that are still taken to be short."""
        for way, (pair, needed_bits) in list(self._needs.items()):
            if not self._ways.is_short(way):
                del self._needs[way]
            elif self._is_to_ask(way):
                await self._ask(way, pair, needed_bits)

    def _is_to_ask(self, way: Way) -> bool:
        shared = self._context.routes.spreading.ways(way[-1])
        return (not shared or way in shared) and not self._ways.is_barren(way) and not self._demands.is_asking((way,))

    async def _ask(self, way: Way, pair: SaePair, needed_bits: int) -> None:
        trace = self._context.recorder.new_request()
        try:
            await self._demands.open(
                trace,
                pair=pair,
                target=way[-1],
                needed_bits=needed_bits,
                short=(),
                routes=(way,),
                is_idle=True,
                is_for_batch=False,
            )
        except KeyShortage:  # the pair has enough demands open, or this way has just failed: the next tick tries again
            return

"""A sky for World: satellites that stand over one station after the other, for seconds in place of minutes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from qanat.ground.identifiers import NodeId
from qanat.ground.network import Link, Network
from qanat.simulation.dice import Dice


@dataclass(frozen=True, slots=True)
class SkyTimes:
    """How long a satellite stands over a station, and how long over none after it."""

    contact_s: float = 4.0
    gap_s: float = 3.0


USUAL_SKY: Final = SkyTimes()


class SimulatedSky:
    """Which satellite has a contact with which station now; ``begin`` and ``end`` are called by the world's clock."""

    def __init__(self, network: Network, times: SkyTimes) -> None:
        self.times = times
        self.downlinks = tuple(link for link in network.links if link.kind == "downlink")
        self.num_passes = 0
        self.num_clouded = 0
        self._now: dict[NodeId, Link] = {}
        self._odds = {link: (*network.site(link.ends[1]).p_clear, 1.0)[0] for link in self.downlinks}

    def is_clear(self, link: Link, dice: Dice) -> bool:
        """Draw whether the sky is clear for a pass, by the odds of January; clear where the station declares none."""
        is_clear = self._odds[link] == 1.0 or dice.happens(self._odds[link])
        self.num_clouded += not is_clear
        return is_clear

    def is_lit(self, link: Link) -> Callable[[], bool]:
        """Return what tells whether a downlink's satellite stands over its station; other links are lit always."""
        if link.kind != "downlink":
            return lambda: True
        return lambda: self._now.get(link.ends[0]) == link

    def begin(self, link: Link) -> str:
        """A satellite rises over a station; return the name of the pass."""
        self._now[link.ends[0]] = link
        self.num_passes += 1
        return f"pass {self.num_passes} of {link.name}"

    def end(self, link: Link) -> None:
        """It sets."""
        self._now.pop(link.ends[0], None)

"""Satellites in a simulated day: what their passes give, and when two stations share it.

As in the running network (``key_management.announcing``): a satellite holds the key of each pass with its station; when
it has key with two stations, it spends as much of both, and from the end of that pass on the two share a block of so
many bits. Nothing comes of a pass while the satellite, the station or their downlink is out; what is held stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qanat.control.passes import SatelliteStore
from qanat.control.routing import LEAST_BITS_PER_S
from qanat.control.survival import Outage
from qanat.ground.identifiers import LinkId
from qanat.ground.network import Network
from qanat.ground.orders import PassForecast


@dataclass(slots=True)
class PassTally:
    """Passes of a run that gave key, the bits that satellites and stations made in them, and passes that were lost,
    since a satellite, a station or their downlink was out."""

    made: int = 0
    made_bits: int = 0
    lost: int = 0


class Announcements:
    """What satellites hold with stations and announce to them, pass after pass."""

    def __init__(self, network: Network, passes: Sequence[PassForecast]) -> None:
        """``passes``: with moments in seconds of the run; those that set before it begins have been already."""
        self.passes = sorted((one for one in passes if one.expected_bits > 0), key=lambda one: one.set_utc_s)
        self.tally = PassTally()
        """Of the run; those that set before it begins are not in it."""
        self._store = SatelliteStore(network)
        self._out: Counter[str] = Counter()
        self._downlinks = {link.ends: link for link in network.links if link.kind == "downlink"}

    def note(self, outage: Outage, *, is_over: bool) -> None:
        """A part fails, or is back."""
        name = outage.node if outage.node is not None else outage.link_id
        self._out[str(name)] += -1 if is_over else 1

    def after(self, one: PassForecast) -> Iterator[tuple[LinkId, int]]:
        """Yield, at the end of a pass, each link whose ends share a block then, and how many bits that has."""
        downlink = self._downlinks[one.satellite, one.station]
        is_of_run = one.set_utc_s > 0
        if any(self._out[name] > 0 for name in (one.satellite, one.station, downlink.name)):
            self.tally.lost += is_of_run
            return
        if is_of_run:
            self.tally.made += 1
            self.tally.made_bits += one.expected_bits
        yield from self._store.after(one)


def mean_rates(network: Network, passes: Sequence[PassForecast], *, until_s: float) -> dict[LinkId, float]:
    """Return what each link of a satellite between two stations gives on the whole (bit/s), till the run ends; of one
    that gives nothing LEAST_BITS_PER_S: it is there, and the last choice of routes."""
    announcements = Announcements(network, passes)
    total = Counter({link.link_id: 0 for link in network.relayed_links if link.kind == "announced"})
    due = [one for one in announcements.passes if one.set_utc_s <= until_s]
    for one in due:
        total.update(dict(announcements.after(one)))
    begin_s = min([0.0, *(one.rise_utc_s for one in due)])
    return {link_id: max(bits / (until_s - begin_s), LEAST_BITS_PER_S) for link_id, bits in total.items()}

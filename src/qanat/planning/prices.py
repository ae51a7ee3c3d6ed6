"""What a network is made of, and what that costs by a stated list of prices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from qanat.ground.errors import BadParameter
from qanat.ground.network import Network
from qanat.ground.network.names import nearest
from qanat.physics.systems import system_named


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in units of one transmitter. All are assumptions, to be replaced by an offer; the paper gives one relation
    only, that single-photon detectors are the most expensive part of a system (Nature 589, 214, 2021, main text).

    receiver_optics: a receiver but for its detectors; detector: each of its detectors; relay: a trusted site with its
    guard and key manager; switch: an all-pass switch of up to 16 ports; fibre_km: a kilometre, laid or leased.
    satellite, telescope: a satellite with its launch, a ground station's telescope with its receiver. Nothing is
    assumed of these two: at 0 they are not priced, and whoever prints a bill says so.
    """

    transmitter: float = 1.0
    receiver_optics: float = 1.0
    detector: float = 2.0
    relay: float = 10.0
    switch: float = 4.0
    fibre_km: float = 0.05
    satellite: float = 0.0
    telescope: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            price = getattr(self, field.name)
            if not (math.isfinite(price) and price >= 0):
                raise BadParameter(f"a price of {price:g} for {field.name}", remedy="give a number, zero or more")

    def pair(self, system: str) -> float:
        """Return the price of a pair of modules of a system; raises ConfigurationError for an unknown one."""
        return self.transmitter + self.receiver_optics + detectors_of(system) * self.detector


def detectors_of(system: str) -> int:
    """Return how many detectors a receiver of a system has; raises ConfigurationError for an unknown one."""
    return len(system_named(system).receiver.detectors)


def changed(prices: Prices, changes: Sequence[str]) -> Prices:
    """Return prices with ``NAME=NUMBER`` changed; raises BadParameter for what is no price."""
    known = [field.name for field in fields(prices)]
    for change in changes:
        name, _, number = change.partition("=")
        if name not in known:
            raise BadParameter(f"no price {name!r}", remedy=nearest(name, known))
        try:
            prices = replace(prices, **{name: float(number)})
        except ValueError:
            raise BadParameter(f"{change!r} gives no price", remedy="write NAME=NUMBER, such as detector=3") from None
    return prices


@dataclass(frozen=True, slots=True)
class Bill:
    """What a network is made of, and its price. telescopes: of ground stations. unpriced: what of it is there and costs
    nothing, for want of a price."""

    transmitters: int
    receivers: int
    detectors: int
    relays: int
    switches: int
    fibre_km: float
    cost: float
    satellites: int = 0
    telescopes: int = 0
    unpriced: tuple[str, ...] = ()


def bill(network: Network, prices: Prices) -> Bill:
    """Return what a network is made of. A fibre takes a transmitter and a receiver per pair; behind a switch each site
    has the modules of its equipment. Raises ConfigurationError for an unknown system."""
    equipment = {site.name: site.equipment for site in network.sites}
    ports = [(switch.system, equipment.get(port.site)) for switch in network.switches for port in switch.ports]
    sends = sum(link.pairs for link in network.described_links)
    sends += sum(kind in ("transmitter", "both") for _, kind in ports)
    receivers = [link.system for link in network.described_links for _ in range(link.pairs)]
    receivers += [system for system, kind in ports if kind in ("receiver", "both")]
    detectors = sum(detectors_of(system) for system in receivers)
    relays = sum(site.kind == "relay" for site in network.sites)
    fibre_km = math.fsum(
        [link.length_km for link in network.described_links]
        + [port.length_km for switch in network.switches for port in switch.ports]
        + [trunk.length_km for trunk in network.trunks]
    )
    satellites, telescopes = len(network.satellites), len({one.station for one in network.downlinks})
    cost = (
        sends * prices.transmitter
        + len(receivers) * prices.receiver_optics
        + detectors * prices.detector
        + relays * prices.relay
        + len(network.switches) * prices.switch
        + fibre_km * prices.fibre_km
        + satellites * prices.satellite
        + telescopes * prices.telescope
    )
    aloft = (("satellite", satellites, prices.satellite), ("telescope", telescopes, prices.telescope))
    return Bill(
        sends,
        len(receivers),
        detectors,
        relays,
        len(network.switches),
        fibre_km,
        cost,
        satellites,
        telescopes,
        tuple(name for name, number, price in aloft if number and not price),
    )

"""The rules by which the figures and places of packaged ``nature2021`` are made, where the paper prints none.

Nothing is drawn at random: the same rules give the same figures on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

KM_PER_DEG = 111.195
"""Of latitude, on a ball of 6371.0088 km."""
DETOUR = 1.3
"""Fibre over the straight way, wherever a place is made up: sites stand at length / DETOUR from what they hang on."""
PORT_SPREAD = 0.35
"""The fibres to the ports of a switch differ by so much from their mean, both ways, as a share of it."""
INSERTION_LOSS_DB = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Degrees north and east."""

    latitude_deg: float
    longitude_deg: float

    def at(self, bearing_deg: float, distance_km: float) -> Place:
        """Return the place ``distance_km`` away; bearings clockwise from the north."""
        north = distance_km * math.cos(math.radians(bearing_deg))
        east = distance_km * math.sin(math.radians(bearing_deg))
        across = KM_PER_DEG * math.cos(math.radians(self.latitude_deg))
        return Place(round(self.latitude_deg + north / KM_PER_DEG, 4), round(self.longitude_deg + east / across, 4))

    def fields(self) -> dict[str, float]:
        """Return the fields of a description."""
        return {"latitude_deg": self.latitude_deg, "longitude_deg": self.longitude_deg}


@dataclass(frozen=True, slots=True)
class Row:
    """What Table 1 prints of a network's links: loss in dB, mean length in km."""

    least_db: float
    mean_db: float
    greatest_db: float
    mean_km: float


def spread_losses(row: Row, num_links: int) -> list[float]:
    """Return losses that rise from the least to the greatest, with the row's mean: least + range x share ** power."""
    shares = [k / (num_links - 1) for k in range(num_links)]

    def losses(power: float) -> list[float]:
        return [row.least_db + (row.greatest_db - row.least_db) * share**power for share in shares]

    power = solve(lambda power: -sum(losses(power)) / num_links, -row.mean_db, low=0.05, high=20.0)
    return [round(loss_db, 2) for loss_db in losses(power)]


def length_of(row: Row, loss_db: float) -> float:
    """Return the length of a fibre: every direct link of a network has the network's mean loss per kilometre."""
    return round(loss_db * row.mean_km / row.mean_db, 2)


def dealt(num: int) -> list[int]:
    """Return 0 to num - 1 in the order in which great and small are dealt out evenly: steps of about 0.62 num."""
    step = next(step for step in range(max(1, round(0.618 * num)), 2 * num + 2) if math.gcd(step, num) == 1)
    return [k * step % num for k in range(num)]


def port_shares(num: int) -> list[float]:
    """Return the fibres to ``num`` ports of one switch, as shares of their mean: even steps, dealt out."""
    if num == 1:
        return [1.0]
    return [1 - PORT_SPREAD + 2 * PORT_SPREAD * k / (num - 1) for k in dealt(num)]


def solve(rising: Callable[[float], float], goal: float, *, low: float, high: float) -> float:
    """Return where a rising function has the value ``goal`` (bisection)."""
    assert rising(low) < goal < rising(high), "no such value between the ends"
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < goal else (low, middle)
    return (low + high) / 2


def ring_shares(num_all: int, num_ring: int) -> tuple[list[int], list[int]]:
    """Return which of ``num_all`` rising losses go to a ring (evenly among all), and which to the others."""
    ring = [math.floor((k + 0.5) * num_all / num_ring) for k in range(num_ring)]
    return ring, [k for k in range(num_all) if k not in ring]


def circle(start: Place, *, num: int, chord_km: float, bearing_deg: float) -> list[Place]:
    """Return ``num`` places on a circle with equal distances; ``bearing_deg``: from the first to the centre."""
    radius_km = chord_km / (2 * math.sin(math.pi / num))
    centre = start.at(bearing_deg, radius_km)
    others = [centre.at(bearing_deg + 180 + 360 * k / num, radius_km) for k in range(1, num)]
    return [start, *others]


def fan(num: int, *, towards_deg: float, width_deg: float) -> list[float]:
    """Return bearings spread evenly about one."""
    return [towards_deg + width_deg * ((k + 0.5) / num - 0.5) for k in range(num)]


def around(num: int, *, first_deg: float) -> list[float]:
    """Return bearings all round."""
    return [first_deg + 360 * k / num for k in range(num)]


def mean_port(pairs: Sequence[tuple[float, float]], *, fixed: Sequence[float], mean: float) -> float:
    """Return the mean of the fibres to ports (dB, or km) that gives links through switches a mean.

    pairs: both fibres' shares of each link; fixed: what switches and trunks add to it.
    """
    return (mean * len(pairs) - sum(fixed)) / sum(one + other for one, other in pairs)

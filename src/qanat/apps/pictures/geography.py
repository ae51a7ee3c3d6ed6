"""Degrees, kilometres and places on the sheet; lines cut to a box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from qanat.ground.network.description import EARTH_RADIUS_KM, Placed

KM_PER_DEG = math.radians(1) * EARTH_RADIUS_KM
Point: TypeAlias = tuple[float, float]
"""Longitude and latitude in degrees, or x and y on a sheet."""


class Box(NamedTuple):
    """An upright rectangle: of degrees (west, south, east, north) or of a sheet (left, top, right, bottom)."""

    low_x: float
    low_y: float
    high_x: float
    high_y: float

    def overlaps(self, other: Box) -> bool:
        """Whether the two share more than an edge."""
        return (
            self.low_x < other.high_x
            and other.low_x < self.high_x
            and self.low_y < other.high_y
            and other.low_y < self.high_y
        )

    def holds(self, other: Box) -> bool:
        return (
            self.low_x <= other.low_x
            and other.high_x <= self.high_x
            and self.low_y <= other.low_y
            and other.high_y <= self.high_y
        )

    def moved(self, across: float, along: float) -> Box:
        return Box(self.low_x + across, self.low_y + along, self.high_x + across, self.high_y + along)


@dataclass(frozen=True, slots=True)
class Frame:
    """The room for a map on a sheet, in its units: a width, a range of heights, margins that sites keep out of."""

    width: float = 980.0
    least_height: float = 330.0
    most_height: float = 620.0
    margin_x: float = 130.0
    margin_y: float = 95.0


@dataclass(frozen=True, slots=True)
class Projection:
    """Equirectangular about the middle latitude: straight north, one scale along it and across it.

    ``west_deg`` may lie in the far east: longitudes are counted on from there, so that a network on both sides of the
    180th meridian hangs together.
    """

    middle_latitude_deg: float
    west_deg: float
    east_deg: float
    north_deg: float
    units_per_km: float
    left: float
    top: float
    width: float
    height: float

    @classmethod
    def around(cls, sites: Sequence[Placed], frame: Frame | None = None) -> Projection:
        """Return the projection that fits all sites between the margins."""
        frame = frame or Frame()
        latitudes = [site.latitude_deg for site in sites]
        west, east = _narrowest_span([site.longitude_deg for site in sites])
        middle = (min(latitudes) + max(latitudes)) / 2
        across_km = (east - west) * math.cos(math.radians(middle)) * KM_PER_DEG
        along_km = (max(latitudes) - min(latitudes)) * KM_PER_DEG
        inner_width, inner_height = frame.width - 2 * frame.margin_x, frame.most_height - 2 * frame.margin_y
        units_per_km = min(inner_width / max(across_km, 1e-3), inner_height / max(along_km, 1e-3))
        height = max(frame.least_height, along_km * units_per_km + 2 * frame.margin_y)
        return cls(
            middle_latitude_deg=middle,
            west_deg=west,
            east_deg=east,
            north_deg=max(latitudes),
            units_per_km=units_per_km,
            left=(frame.width - across_km * units_per_km) / 2,
            top=(height - along_km * units_per_km) / 2,
            width=frame.width,
            height=height,
        )

    @property
    def _units_per_deg_across(self) -> float:
        return KM_PER_DEG * math.cos(math.radians(self.middle_latitude_deg)) * self.units_per_km

    def x(self, longitude_deg: float) -> float:
        """Return the place across the sheet of a longitude, taken on the side where the network is."""
        middle = (self.west_deg + self.east_deg) / 2
        near = middle + (longitude_deg - middle + 180) % 360 - 180
        return self.x_counted_on(near)

    def x_counted_on(self, longitude_deg: float) -> float:
        """Return the place across the sheet of a longitude that may be beyond 180 degrees."""
        return self.left + (longitude_deg - self.west_deg) * self._units_per_deg_across

    def y(self, latitude_deg: float) -> float:
        return self.top + (self.north_deg - latitude_deg) * KM_PER_DEG * self.units_per_km

    def longitude_deg(self, x: float) -> float:
        """Return a longitude, counted on beyond 180 degrees where the map crosses that meridian."""
        return self.west_deg + (x - self.left) / self._units_per_deg_across

    def latitude_deg(self, y: float) -> float:
        return self.north_deg - (y - self.top) / (KM_PER_DEG * self.units_per_km)

    def place(self, site: Placed) -> Point:
        return self.x(site.longitude_deg), self.y(site.latitude_deg)

    @property
    def window(self) -> Box:
        """What the map shows, in degrees."""
        return Box(
            self.longitude_deg(0), self.latitude_deg(self.height), self.longitude_deg(self.width), self.latitude_deg(0)
        )


def _narrowest_span(longitudes_deg: Sequence[float]) -> tuple[float, float]:
    """Return the west and east end of the narrowest stretch with all longitudes; the east may exceed 180."""
    around = sorted(longitudes_deg)
    gaps = [(other - one, other) for one, other in pairwise(around)]
    widest, after = max([*gaps, (around[0] + 360 - around[-1], around[0])])
    return (around[0], around[-1]) if after == around[0] else (after, after + 360 - widest)


def clipped(ring: Sequence[Point], box: Box) -> list[Point]:
    """Return a closed ring, cut to a box (Sutherland and Hodgman, 1974); empty where nothing of it lies inside."""
    points = list(ring)
    for axis, sign, limit in ((0, 1, box.low_x), (1, 1, box.low_y), (0, -1, box.high_x), (1, -1, box.high_y)):
        cut: list[Point] = []
        for one, other in zip([points[-1], *points[:-1]] if points else [], points, strict=True):
            inside = [sign * (point[axis] - limit) >= 0 for point in (one, other)]
            if inside[0] != inside[1]:
                share = (limit - one[axis]) / (other[axis] - one[axis])
                cut.append((one[0] + share * (other[0] - one[0]), one[1] + share * (other[1] - one[1])))
            if inside[1]:
                cut.append(other)
        points = cut
    return points

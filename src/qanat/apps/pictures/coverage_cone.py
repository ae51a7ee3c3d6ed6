"""The cone of a station's coverage from the side, to scale: the ground, the orbit, and the rays at some elevations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from qanat.apps.pictures.surface import Surface
from qanat.orbits.earth import MEAN_KM, coverage_angle_deg
from qanat.orbits.ground_track import Coverage

MIDDLE: Final = 380.0
REACH: Final = 350.0
"""Of the rays to either side, at most, in units of the sheet."""
TOP: Final = 44.0
MOST_HEIGHT: Final = 250.0
FOOT: Final = 30.0
LINE: Final = 15.0
NUM_POINTS: Final = 90


def draw_cone(surface: Surface, cones: Sequence[Coverage], *, satellite: str) -> None:
    """Draw cones of one station and one satellite's distance, from a strip's top left corner."""
    widest = _widest(cones)
    angle, units_per_km = _angle(widest), _units_per_km(widest)
    height_km = widest.radius_km - MEAN_KM
    level = TOP + height_km * units_per_km

    def at(radius_km: float, turned: float) -> tuple[float, float]:
        return (
            MIDDLE + radius_km * math.sin(turned) * units_per_km,
            level + (MEAN_KM - radius_km * math.cos(turned)) * units_per_km,
        )

    surface.text(14, 12, f"Cone of coverage: {satellite} over {widest.station}, to scale", "label strong")
    turns = [angle * (2 * place / NUM_POINTS - 1) for place in range(NUM_POINTS + 1)]
    surface.polyline([at(MEAN_KM, turn) for turn in turns], "curve-relay stroke thick")
    surface.polyline([at(widest.radius_km, turn) for turn in turns], "curve-light")
    station = at(MEAN_KM, 0.0)
    last_y = -math.inf
    for one in sorted(cones, key=lambda cone: -cone.elevation_deg):
        rims = [at(one.radius_km, sign * _angle(one)) for sign in (-1, 1)]
        words = "cover" if one is widest else "cover lower"
        for rim in rims:
            surface.polyline([station, rim], words)
        last_y = max(rims[1][1] - 4, last_y + LINE)
        surface.text(rims[1][0] + 8, last_y, _words(one), "tiny")
    surface.circle(*station, 4.5, "user outlined fine")
    surface.text(station[0], station[1] + 20, widest.station, "small strong", anchor="middle")
    surface.line(*station, MIDDLE, TOP, "stroke link apart ink")
    surface.text(MIDDLE + 6, TOP - 6, f"{height_km:,.0f} km", "tiny muted")


def cone_height(cones: Sequence[Coverage]) -> float:
    """Return the height of the strip that ``draw_cone`` needs."""
    widest = _widest(cones)
    return TOP + _depth_km(widest) * _units_per_km(widest) + FOOT


def _widest(cones: Sequence[Coverage]) -> Coverage:
    return min(cones, key=lambda one: one.elevation_deg)


def _depth_km(widest: Coverage) -> float:
    """Return how far the Earth's surface below the rim lies under the orbit's middle."""
    return widest.radius_km - MEAN_KM * math.cos(_angle(widest))


def _units_per_km(widest: Coverage) -> float:
    return min(REACH / (widest.radius_km * math.sin(_angle(widest))), MOST_HEIGHT / _depth_km(widest))


def _angle(cone: Coverage) -> float:
    """Return the angle at the middle of the Earth between the station and what is below the rim."""
    return cone.ground_km / MEAN_KM


def _words(cone: Coverage) -> str:
    return (
        f"{cone.elevation_deg:g}°: cone of {coverage_angle_deg(cone.elevation_deg):g}°, range {cone.range_km:,.0f} km"
    )

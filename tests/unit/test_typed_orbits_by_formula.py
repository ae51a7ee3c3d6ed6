"""Orbits typed at `qanat passes`: what is found, beside what a formula on paper says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanat.apps.cli.passes_search import PassesOptions, search
from qanat.orbits.described import Pass

MU, EQUATOR, J2, TURN = 398_600.4418, 6_378.137, 1.082_629_82e-3, 7.292_115_855e-5
DEG = math.pi / 180


def passes(*satellites: str, station: str = "0,0,0", days: float = 2.0, mask_deg: float = 10.0) -> list[Pass]:
    options = PassesOptions(satellites, (station,), "2020-01-01", days, mask_deg, 12.0)
    return list(search(options).passes)


def ring_rate(altitude_km: float) -> float:
    """Over the equator: mean motion, with the node and the argument by J2 (n + 3 p - p), less the Earth's turning."""
    radius = EQUATOR + altitude_km
    motion = math.sqrt(MU / radius**3)
    p = 1.5 * J2 * (EQUATOR / radius) ** 2 * motion
    return motion + 3 * p - p - TURN


def half_angle(altitude_km: float, elevation_deg: float) -> float:
    """At the middle of the Earth, from a station on the equator to below a satellite at an elevation."""
    elevation = elevation_deg * DEG
    return math.acos(EQUATOR * math.cos(elevation) / (EQUATOR + altitude_km)) - elevation


@pytest.mark.parametrize("altitude_km", [500.0, 8_062.0, 20_200.0])
def test_a_ring_over_the_equator_is_up_for_twice_the_half_angle_over_its_rate(altitude_km: float) -> None:
    found = [one for one in passes(f"circular:{altitude_km:g},0") if not (one.up_at_start or one.up_at_end)]
    assert found
    duration_s = 2 * half_angle(altitude_km, 10.0) / ring_rate(altitude_km)
    assert [one.duration_s for one in found] == pytest.approx([duration_s] * len(found), abs=0.05)
    assert [one.min_range_km for one in found] == pytest.approx([altitude_km] * len(found), abs=0.05)
    rises = np.diff([one.rise_utc_s for one in found])
    assert rises == pytest.approx(2 * math.pi / ring_rate(altitude_km), abs=0.05)


def test_a_walker_ring_of_eight_rises_every_eighth_of_a_turn() -> None:
    found = [one for one in passes("walker-delta:8062,0,8/1/0", days=1.0) if not one.up_at_start]
    rises = np.diff(sorted(one.rise_utc_s for one in found))
    assert rises == pytest.approx(2 * math.pi / 8 / ring_rate(8_062.0), abs=0.05)
    assert len({one.satellite for one in found}) == 8


def test_phasing_shifts_the_planes_of_a_walker_star_at_the_pole_where_all_meet() -> None:
    """Over the pole each satellite of a polar star passes once a revolution; f / t of one from plane to plane."""
    altitude_km = 780.0
    found = passes("walker-star:780,90,6/3/1", station="90,0,0", days=0.2)
    radius = EQUATOR + altitude_km
    motion = math.sqrt(MU / radius**3)
    period_s = 2 * math.pi / (motion - 1.5 * J2 * (EQUATOR / radius) ** 2 * motion)  # 4 cos^2 90 - 1 = -1
    tops = {name: [one.culmination_utc_s for one in found if one.satellite == name] for name in
            (f"walker-star-{plane}-1" for plane in (1, 2, 3))}  # fmt: skip
    assert np.diff(tops["walker-star-1-1"]) == pytest.approx(period_s, abs=0.1)
    for plane in (2, 3):
        early_s = (tops["walker-star-1-1"][0] - tops[f"walker-star-{plane}-1"][0]) % period_s
        assert early_s == pytest.approx((plane - 1) * period_s / 6, abs=1.0)


@pytest.mark.parametrize(("latitude_deg", "east_deg"), [(0.0, 0.0), (43.47546, -22.8), (-60.0, 40.0)])
def test_a_geostationary_satellite_stands_as_high_as_on_a_ball_of_the_same_size(
    latitude_deg: float, east_deg: float
) -> None:
    """tan e = (cos a - R / r) / sin a, a the angle at the middle of the Earth; the ellipsoid changes 0.2 degree."""
    (one,) = passes("geo:110", station=f"{latitude_deg},{110 + east_deg},0", days=1.0)
    cosine = math.cos(latitude_deg * DEG) * math.cos(east_deg * DEG)
    radius = 42_164.2
    expected_deg = math.degrees(math.atan2(cosine - 6_371 / radius, math.sqrt(1 - cosine**2)))
    assert one.max_elevation_deg == pytest.approx(expected_deg, abs=0.25)
    assert (one.up_at_start, one.up_at_end) == (True, True)
    if latitude_deg == east_deg == 0:
        assert one.min_range_km == pytest.approx(radius - EQUATOR, abs=3)


def test_the_sun_keeps_its_hour_over_a_sun_synchronous_orbit() -> None:
    """The node of 500 km and 97.40 degrees turns 0.9856 degree a day: the same local time a month later."""
    found = passes("circular:500,97.4015,100", station="0,20,0", days=60.0)
    down = [one for one in found if 90 < one.azimuths_deg[0] < 270]
    hours = np.array([(one.culmination_utc_s / 3600 + 20 / 15 + 12) % 24 - 12 for one in down])  # about midnight
    assert np.ptp(hours) < 2.0, "a station sees it from turns 1.6 h apart"
    early, late = hours[: len(hours) // 2], hours[len(hours) // 2 :]
    assert late.mean() - early.mean() == pytest.approx(0.0, abs=0.1), "an orbit that stands still would be 2 h off"

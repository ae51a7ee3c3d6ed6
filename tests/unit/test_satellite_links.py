"""Links of a plan with satellites: which telescope a station has, what a jitter costs, where the light goes."""

from __future__ import annotations

import pytest

from qanat.orbits.stations import Station, packaged_stations
from qanat.physics.telescope import NANSHAN, XINGLONG, SpaceTelescope
from qanat.planning.satellite_links import LinkOptions, has_telescope, losses_at, sender_of, station_link

OPTIONS = LinkOptions(telescope_m=0.7)


def diameter_of(station: Station) -> float:
    return station_link(station, OPTIONS).downlink.ground.diameter_m


def test_a_station_of_a_file_has_its_own_telescope_also_under_the_name_of_a_packaged_one() -> None:
    assert diameter_of(packaged_stations()["xinglong"]) == XINGLONG.diameter_m
    assert diameter_of(Station("xinglong", 40.0, 117.0)) == XINGLONG.diameter_m
    assert diameter_of(Station("xinglong", 40.0, 117.0, telescope_m=2.0)) == 2.0
    assert diameter_of(Station("xinglong", 40.0, 117.0, z_share=0.6)) == XINGLONG.diameter_m
    assert diameter_of(Station("roof", 40.0, 117.0)) == 0.7
    assert diameter_of(Station("roof", 40.0, 117.0, telescope_m=2.0)) == 2.0


def test_who_has_a_telescope() -> None:
    assert has_telescope(packaged_stations()["nanshan"])
    assert has_telescope(Station("roof", 40.0, 117.0, telescope_m=2.0))
    assert not has_telescope(Station("roof", 40.0, 117.0))


def test_a_narrower_beam_does_not_point_better() -> None:
    assert sender_of(divergence_urad=10.0, jitter_urad=None) == SpaceTelescope()
    assert sender_of(divergence_urad=10.0, jitter_urad=2.5).pointing_efficiency == pytest.approx(0.5)
    narrow = sender_of(divergence_urad=3.0, jitter_urad=None)
    assert narrow.pointing_efficiency == pytest.approx(1 / (1 + 4 * (2.5 / 1.5) ** 2))
    assert sender_of(divergence_urad=3.0, jitter_urad=0.0).pointing_efficiency == 1


def test_the_losses_of_a_link_are_told_the_greatest_first() -> None:
    link = station_link(packaged_stations()["nanshan"], LinkOptions())
    far = losses_at(link, range_km=20_000.0, elevation_deg=60.0)
    assert next(iter(far)) == "geometry"
    assert list(far.values()) == sorted(far.values(), reverse=True)
    spot_m = 20_000e3 * 10e-6
    assert 10 ** (-far["geometry"] / 10) == pytest.approx(2 * (NANSHAN.diameter_m / spot_m) ** 2, rel=1e-3)
    assert next(iter(losses_at(link, range_km=300.0, elevation_deg=4.0))) == "atmosphere"

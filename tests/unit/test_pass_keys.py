"""The key of many passes: as of each pass second by second, by night alone, and as forecasts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qanat.ground.errors import BadParameter
from qanat.ground.identifiers import NodeId
from qanat.orbits.analytic import geostationary
from qanat.orbits.downlink import link_budget
from qanat.orbits.earth import DAY_S, utc_s_of
from qanat.orbits.elements import packaged_elements
from qanat.orbits.nature2021 import downlink
from qanat.orbits.pass_light import block_counts, block_length, expected_light
from qanat.orbits.passes import Span
from qanat.orbits.propagation import Sgp4Orbit
from qanat.orbits.sun import sun_elevation_deg
from qanat.orbits.track import follow
from qanat.physics.analytic import link_model
from qanat.physics.telescope import NANSHAN, XINGLONG
from qanat.planning.pass_forecasts import pass_forecasts
from qanat.planning.pass_keys import LightCurve, PassKeys, link_losses_db, pass_keys
from unit.satellite_planning_support import LINKS, STATIONS, keys_of

MICIUS = Sgp4Orbit(packaged_elements("micius"))
START_UTC_S = utc_s_of("2016-12-19T00:00")
SPAN = Span(START_UTC_S, START_UTC_S + 7 * DAY_S)


@pytest.fixture(scope="module")
def week() -> PassKeys:
    return pass_keys([MICIUS], STATIONS, LINKS, SPAN, min_elevation_deg=5.0, depression_deg=12.0)


def test_counts_and_key_of_each_pass_are_those_of_qanat_pass_second_by_second(week: PassKeys) -> None:
    assert 10 < len(week) < 60
    for place in range(0, len(week), 4):
        number = int(week.station[place])
        duration_s = week.end_utc_s[place] - week.start_utc_s[place]
        step_s = duration_s / round(duration_s)
        track = follow(
            MICIUS,
            STATIONS[number],
            start_utc_s=week.start_utc_s[place] + step_s / 2,
            end_utc_s=week.end_utc_s[place] - step_s / 2 + 1e-6,
            step_s=step_s,
        )
        system = LINKS[number].system
        light = expected_light(system, link_budget(track, downlink((NANSHAN, XINGLONG)[number]), system))
        assert week.sifted_bits[place] == pytest.approx(light.sifted_bits, rel=1e-5)
        assert week.qber[place] == pytest.approx(light.qber, rel=1e-5)
        length = block_length(block_counts([light]), light.protocol, proof="hoeffding", f_ec=1.1)
        assert week.secret_bits[place] == pytest.approx(length.num_bits, rel=1e-4, abs=100)


def test_the_curve_between_its_losses_is_the_link_model_to_a_part_in_a_million() -> None:
    system = LINKS[0].system
    curve = LightCurve(system)
    for loss_db in (17.23, 24.75, 31.11, 44.4, 60.77):
        exact = link_model(system, loss_db=loss_db).sifted_per_pulse() * system.source.pulse_rate_hz
        assert curve.per_second(np.array([loss_db]))[0, 0] == pytest.approx(exact, rel=1e-6)


def test_all_parts_are_dark_and_without_the_sun_there_are_more(week: PassKeys) -> None:
    for number, station in enumerate(STATIONS):
        mine = week.station == number
        for moments in (week.start_utc_s[mine] + 0.01, week.middle_utc_s[mine], week.end_utc_s[mine] - 0.01):
            assert sun_elevation_deg(station, moments).max() < -12.0
    every = pass_keys([MICIUS], STATIONS, LINKS, SPAN, min_elevation_deg=5.0, depression_deg=None)
    assert len(every) > 1.5 * len(week)
    assert every.secret_bits.sum() > week.secret_bits.sum()


def test_a_geostationary_satellite_has_one_part_each_night() -> None:
    orbit = geostationary("geo", longitude_deg=100.0, start_utc_s=START_UTC_S)
    from_noon = Span(START_UTC_S + 6 * 3600, START_UTC_S + 6 * 3600 + 7 * DAY_S)
    asked = {"min_elevation_deg": 5.0, "depression_deg": 12.0}
    found = pass_keys([orbit], STATIONS[:1], LINKS[:1], from_noon, **asked, most_s=DAY_S)
    assert len(found) == 7
    lengths_h = (found.end_utc_s - found.start_utc_s) / 3600
    assert np.all((lengths_h > 10) & (lengths_h < 15))
    assert np.all(found.secret_bits == 0)  # the beam of a low satellite is no link from there
    pieces = pass_keys([orbit], STATIONS[:1], LINKS[:1], from_noon, **asked, slew_s=60.0)
    assert np.all(pieces.end_utc_s - pieces.start_utc_s <= 3600.0)
    within = np.diff(pieces.start_utc_s) < 4000
    assert (pieces.start_utc_s[1:] - pieces.end_utc_s[:-1])[within] == pytest.approx(60.0, abs=1e-3)
    lost_s = 60.0 * (len(pieces) - 7)
    assert (pieces.end_utc_s - pieces.start_utc_s).sum() == pytest.approx(3600 * lengths_h.sum() - lost_s)
    with pytest.raises(BadParameter, match="leave no light"):
        pass_keys([orbit], STATIONS[:1], LINKS[:1], from_noon, **asked, most_s=30.0, slew_s=60.0)


def test_more_air_or_a_wider_beam_is_more_loss_and_less_key() -> None:
    place = {"range_km": np.array([700.0]), "elevation_deg": np.array([40.0])}
    usual = link_losses_db(LINKS[0], **place)[0]
    wide = replace(LINKS[0].downlink, sender=replace(LINKS[0].downlink.sender, divergence_urad=14.0))
    assert link_losses_db(replace(LINKS[0], downlink=wide), **place)[0] == pytest.approx(usual + 2.9, abs=0.1)
    worse = [replace(link, downlink=replace(link.downlink, constant_db=3.0)) for link in LINKS]
    keys = [
        pass_keys([MICIUS], STATIONS, links, SPAN, min_elevation_deg=5.0, depression_deg=12.0).secret_bits.sum()
        for links in (LINKS, worse)
    ]
    assert keys[1] < 0.6 * keys[0]


def test_no_pass_gives_empty_columns() -> None:
    orbit = geostationary("geo", longitude_deg=-90.0, start_utc_s=START_UTC_S)
    found = pass_keys([orbit], STATIONS, LINKS, SPAN, min_elevation_deg=5.0, depression_deg=12.0)
    assert len(found) == 0
    assert found.secret_bits.shape == (0,)
    assert pass_forecasts(found) == ()


def test_a_mask_of_90_degrees_is_refused_with_its_remedy() -> None:
    with pytest.raises(BadParameter, match="no satellite stands above 90 degrees") as refusal:
        pass_keys([MICIUS], STATIONS, LINKS, SPAN, min_elevation_deg=90.0, depression_deg=12.0)
    assert "0 to below 90" in refusal.value.remedy
    with pytest.raises(BadParameter, match="1 links for 2 stations"):
        pass_keys([MICIUS], STATIONS, LINKS[:1], SPAN, min_elevation_deg=5.0, depression_deg=12.0)


def test_forecasts_are_the_means_over_the_weather_without_those_that_give_nothing() -> None:
    keys = keys_of([(0, 0, 0, 300, 1001), (0, 1, 400, 700, 0), (1, 1, 500, 900, 800)], num_satellites=2, num_stations=2)
    first, second = pass_forecasts(keys, p_clear=np.array([0.5, 0.9, 0.25]), station_nodes={"st-0": NodeId("beijing")})
    assert (first.station, first.satellite, first.rise_utc_s, first.set_utc_s) == ("beijing", "sat-0", 0.0, 300.0)
    assert (first.expected_bits, second.expected_bits) == (500, 200)
    assert (second.station, second.satellite) == ("st-1", "sat-1")
    assert [one.expected_bits for one in pass_forecasts(keys, chosen=[2])] == [800]
    with pytest.raises(BadParameter, match="odds of a clear sky"):
        pass_forecasts(keys, p_clear=50.0)

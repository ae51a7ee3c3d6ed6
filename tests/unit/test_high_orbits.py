"""Links of high orbits beside the paper's table and geometry, and the waits of constellations by hand."""

from __future__ import annotations

import math

import pytest

from qanat.ground.errors import BadParameter
from qanat.orbits.stations import Station
from qanat.planning.high_orbits import (
    DAY_TIMES,
    greatest_background,
    high_key,
    paper_links,
    station_link,
)
from qanat.planning.waits import between_announcements, between_passes, from_one_to_other
from unit.satellite_planning_support import STATIONS, keys_of

LINKS = {(link.name, link.shape): link for link in paper_links()}
NIGHT_S = 36_000.0


def test_each_row_gives_the_papers_total_with_the_beam_that_comes_first_and_3_db_off_with_the_other() -> None:
    low, high = LINKS["LEO, 2,000 km", "gaussian"], LINKS["GEO, 36,000 km", "top-hat"]
    assert low.total_db == pytest.approx(-37.0, abs=0.5)
    assert high.total_db == pytest.approx(-40.0, abs=0.5)
    assert LINKS["LEO, 2,000 km", "top-hat"].total_db == pytest.approx(low.total_db - 3.0, abs=0.05)
    assert LINKS["GEO, 36,000 km", "gaussian"].total_db == pytest.approx(high.total_db + 3.0, abs=0.05)
    by_hand = 10 * math.log10((2 / (36e6 * 3e-6)) ** 2 * 0.8 * 0.7 * 0.5)
    assert high.total_db == pytest.approx(by_hand, abs=1e-9)


def test_loss_and_receiver_together_are_the_total() -> None:
    for link in LINKS.values():
        receiving_db = -10 * math.log10(link.row.receiving)
        assert link.loss_db + receiving_db == pytest.approx(-link.total_db, abs=1e-9)
        assert link.system().receiver.loss_db == pytest.approx(receiving_db, abs=1e-9)


def test_a_nearer_orbit_gives_more_and_errors_grow_with_the_background() -> None:
    near, far = (
        high_key(LINKS[name, "gaussian"], background_times=1.0, block_s=NIGHT_S)
        for name in ("MEO, 20,200 km", "GEO, 36,000 km")
    )
    assert near.secret_bits_per_s > 0
    assert near.sifted_bits_per_s > 2 * far.sifted_bits_per_s
    assert near.qber < far.qber
    day = high_key(LINKS["MEO, 20,200 km", "gaussian"], background_times=DAY_TIMES, block_s=NIGHT_S)
    assert (day.secret_bits_per_s, day.qber) == (0.0, pytest.approx(0.5, abs=0.01))


def test_the_greatest_background_is_the_edge_between_key_and_none() -> None:
    link = LINKS["GEO, 36,000 km", "gaussian"]
    edge = greatest_background(link, block_s=NIGHT_S)
    assert 0.1 < edge < 1.0  # with the fitted night sky of Nanshan's receiver this link gives no key
    assert high_key(link, background_times=edge, block_s=NIGHT_S).secret_bits_per_s > 0
    assert high_key(link, background_times=1.01 * edge, block_s=NIGHT_S).secret_bits_per_s == 0
    assert greatest_background(link, block_s=1.0) == 0.0


def test_a_geostationary_satellite_stands_40_degrees_high_at_nanshan() -> None:
    """By hand: the angle at the Earth's middle is the latitude, on a round Earth of 6,371 km."""
    link = station_link(STATIONS[0])[0]
    latitude = math.radians(43.47546)
    out, across = 42_164 * math.cos(latitude) - 6371, 42_164 * math.sin(latitude)
    assert link.elevation_deg == pytest.approx(math.degrees(math.atan2(out, across)), abs=0.3)
    assert link.row.range_km == pytest.approx(math.hypot(out, across), rel=1e-3)


def test_a_station_at_the_pole_and_a_block_of_nothing_are_refused() -> None:
    with pytest.raises(BadParameter, match="sees no geostationary satellite") as refusal:
        station_link(Station("pole", 89.0, 0.0))
    assert "81 degrees" in refusal.value.remedy
    with pytest.raises(BadParameter, match="block of 0 s"):
        high_key(LINKS["MEO, 20,200 km", "gaussian"], background_times=1.0, block_s=0.0)


def test_waits_are_those_between_passes_that_give_key() -> None:
    hour = 3600.0
    rows = [
        (0, 0, 0.0, 100.0, 5.0),
        (1, 0, 50.0, 300.0, 5.0),  # overlaps the one before: no wait
        (0, 0, hour, hour + 60, 0.0),  # gives no key: nobody waits for it
        (0, 0, 300.0 + 2 * hour, 400.0 + 2 * hour, 5.0),
        (0, 0, 400.0 + 6 * hour, 500.0 + 6 * hour, 5.0),
        (0, 1, 500.0 + 9 * hour, 600.0 + 9 * hour, 5.0),
        (1, 1, 700.0 + 9 * hour, 300.0 + 10 * hour, 5.0),
    ]
    keys = keys_of(rows, num_satellites=2, num_stations=2)
    waits = between_passes(keys, 0)
    assert waits is not None
    assert (waits.median_h, waits.longest_h) == (3.0, 4.0)
    pair = from_one_to_other(keys, 0, 1)
    assert pair is not None
    assert pair.longest_h == pytest.approx(10.0)  # of satellite 1: 300 s to 10 h + 300 s
    assert between_passes(keys_of(rows[:1], num_satellites=1, num_stations=1), 0) is None
    assert from_one_to_other(keys_of(rows[:5], num_satellites=2, num_stations=2), 0, 1) is None


def test_a_pair_waits_for_whichever_satellite_brings_it_key() -> None:
    """Satellite 0 brings key at 2, 3 and 20 h (the one pass over station 1 is enough for two over the other), satellite
    1 at 10 h; what it has had of station 0 alone, or of a third station, brings nothing."""
    hour = 3600.0
    passes = [
        (0, 0, 1.0, 5.0),
        (0, 1, 2.0, 8.0),  # 5 shared, 3 are left
        (0, 0, 3.0, 2.0),  # 2 shared, 1 is left
        (1, 2, 4.0, 9.0),
        (1, 0, 6.0, 5.0),
        (1, 1, 10.0, 5.0),
        (0, 1, 12.0, 5.0),  # nothing of station 0 is aboard
        (1, 0, 14.0, 0.0),
        (0, 0, 20.0, 5.0),
    ]
    rows = [(satellite, station, end * hour - 60.0, end * hour, bits) for satellite, station, end, bits in passes]
    keys = keys_of(rows, num_satellites=2, num_stations=3)
    waits = between_announcements(keys, 0, 1)
    assert waits is not None
    assert (waits.median_h, waits.longest_h) == pytest.approx((7.0, 10.0))
    assert between_announcements(keys, 0, 2) is None, "satellite 1 has brought that pair key once"
    aboard = from_one_to_other(keys, 0, 1)
    assert aboard is not None
    assert aboard.longest_h == pytest.approx(9.0), "from 3 to 12 h"

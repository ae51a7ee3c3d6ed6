"""The calendar of nights: every pass once, the key of a night that of its passes, white and polar nights."""

from __future__ import annotations

import csv
import io
import re

import pytest

from qanat.apps.cli.pass_options import PassOptions, case_of
from qanat.apps.cli.pass_source import PassSource
from qanat.apps.cli.passes_calendar import calendar_csv, calendar_of, calendar_record, calendar_titles, link_at
from qanat.apps.cli.passes_search import Found, PassesOptions, search
from qanat.apps.pictures.night_calendar import draw_calendar
from qanat.ground.errors import BadParameter
from qanat.orbits.pass_light import block_counts, block_length
from qanat.orbits.stations import Station, packaged_stations
from qanat.planning.night_calendar import KINDS, night_calendar, night_number, noon_utc_s


def found(**changes: object) -> Found:
    options = {
        "satellites": ("micius",),
        "stations": ("nanshan", "xinglong"),
        "start": "2016-12-15T00:00",
        "days": 8.0,
        "min_elevation_deg": 10.0,
        "sun_below_deg": 12.0,
    }
    return search(PassesOptions(**{**options, **changes}))  # type: ignore[arg-type]


def test_every_pass_is_in_one_night_as_one_kind() -> None:
    whole, low = found(), found(min_elevation_deg=0.0)
    calendar = calendar_of(whole)
    counts = {kind: sum(night.num_passes[kind] for night in calendar.nights) for kind in KINDS}
    assert counts["usable"] + counts["sunlit"] == sum(bool(one.dark_parts) for one in whole.passes) > 10
    assert counts["light"] == sum(not one.dark_parts for one in whole.passes) > 10
    assert counts["low"] == sum(one.max_elevation_deg < 10 and one.sun_elevation_deg < -12 for one in low.passes)
    assert len(calendar.marks) == sum(counts.values())
    assert all(0 <= mark.hours <= 24 for mark in calendar.marks)
    usable = [mark for mark in calendar.marks if mark.kind == "usable"]
    assert all(abs(mark.hours - 12) < 3 for mark in usable), "Micius crosses the equator at midnight"


def test_a_night_has_the_bits_that_qanat_pass_gives_for_its_pass() -> None:
    (night,) = (one for one in calendar_of(found()).nights if (one.station, one.evening) == ("nanshan", "2016-12-19"))
    assert night.num_passes["usable"] == 1
    case = case_of(PassOptions(source=PassSource(date="2016-12-19T12:00", min_elevation_deg=10.0)))
    one_block = block_length(block_counts([case.light]), case.light.protocol, proof="hoeffding", f_ec=1.1).num_bits
    assert night.sifted_bits == pytest.approx(case.light.sifted_bits, rel=2e-3), "whole seconds there"
    assert night.secret_bits == pytest.approx(one_block, rel=3e-3)
    assert night.secret_bits_with_sunlit == night.secret_bits
    assert night.usable_s == pytest.approx(len(case.light.clicks), abs=1.1)
    assert night.highest_deg == pytest.approx(63.89, abs=0.01)


def test_two_passes_of_a_night_make_one_block() -> None:
    calendar = calendar_of(found())
    (night,) = (one for one in calendar.nights if (one.station, one.evening) == ("nanshan", "2016-12-20"))
    assert night.num_passes["usable"] == 2
    alone = 0
    for number in (1, 2):
        source = PassSource(date="2016-12-20T12:00", number=number, min_elevation_deg=10.0)
        light = case_of(PassOptions(source=source)).light
        alone += block_length(block_counts([light]), light.protocol, proof="hoeffding", f_ec=1.1).num_bits
    assert night.secret_bits is not None
    assert night.secret_bits > alone + 100_000, "chance costs one block less than two"


def test_a_night_goes_from_local_noon_to_noon_by_the_date_of_its_evening() -> None:
    station = Station("s", 0.0, 179.0)
    number = night_number(station, noon_utc_s(station, 17_000) + 1)
    assert number == 17_000
    assert night_number(station, noon_utc_s(station, 17_000) - 1) == 16_999
    assert noon_utc_s(station, 0) == pytest.approx(12 * 3_600 - 179 * 240)
    assert noon_utc_s(Station("w", 0.0, 359.0), 0) == pytest.approx(12 * 3_600 + 240), "counted on to the east"


def test_white_nights_have_no_darkness_and_polar_nights_have_little_else() -> None:
    orbit = {"satellites": ("circular:600,98",), "stations": ("69,20,0",), "days": 5.0}
    white, polar = (calendar_of(found(**orbit, start=start)) for start in ("2017-06-19T12:00", "2016-12-19T12:00"))
    assert all(night.dark_s == 0 and not night.num_passes["low"] for night in white.nights)
    assert all(night.num_passes["light"] > 3 for night in white.nights if not night.is_cut)
    assert all(night.dark_s > 15 * 3_600 for night in polar.nights if not night.is_cut)
    assert white.nights[0].secret_bits is None, "a typed station has no telescope"


def test_only_stations_with_optics_have_a_budget() -> None:
    assert all(link_at(station) is not None for station in packaged_stations().values())
    assert link_at(Station("nanshan", 1.0, 2.0)) is None, "the name alone is no telescope"
    own = link_at(Station("own", 1.0, 2.0, telescope_m=0.8, z_share=0.5))
    assert own is not None
    assert own.downlink.ground.diameter_m == 0.8


def test_csv_and_json_have_the_same_nights_and_sums() -> None:
    whole = found()
    calendar = calendar_of(whole)
    record = calendar_record(whole, calendar)
    rows = list(csv.DictReader(io.StringIO(calendar_csv(calendar))))
    assert [row["evening"] for row in rows] == [night["evening"] for night in record["nights"]]
    assert [int(row["secret_bits"]) for row in rows] == [night["secret_bits"] for night in record["nights"]]
    for station in record["stations"]:
        mine = [night for night in record["nights"] if night["station"] == station["name"]]
        assert station["usable"] == sum(night["usable"] for night in mine)
        assert station["secret_bits"] == pytest.approx(sum(night["secret_bits"] for night in mine))


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stations": ("69,20,0", "-89,0")},
        {"days": 0.2, "start": "2016-12-19T04:00"},
        {"satellites": ("geo:110",), "days": 100.0},
        {"satellites": ("geo:-80",)},
    ],
)
def test_calendars_of_all_kinds_are_drawn(changes: dict[str, object]) -> None:
    whole = found(**changes)
    title, subtitle = calendar_titles(whole)
    text = draw_calendar(calendar_of(whole), title=title, subtitle=subtitle, as_png=False).decode()
    assert "usable passes in" in text
    assert not re.search(r'"-?nan|[ ,]nan', text.replace("nanshan", ""))
    assert draw_calendar(calendar_of(whole), title=title, subtitle=subtitle, as_png=True)[:4] == b"\x89PNG"


def test_a_link_is_wanted_for_each_station() -> None:
    whole = found(days=1.0)
    with pytest.raises(BadParameter, match="1 links for 2 stations"):
        night_calendar(whole.orbits, whole.stations, [None], whole.span, min_elevation_deg=5.0, depression_deg=12.0)


def test_the_passes_of_two_satellites_in_a_night_are_two_blocks() -> None:
    """What different sources sent is not proven together: the bits of both are the sum of those of each."""
    names = ("circular:1200,53,120,20", "circular:1200,53,180,0")
    options = {"stations": ("nanshan",), "start": "2026-06-03T07:00", "days": 1.0}
    both = calendar_of(found(satellites=names, **options)).nights[0]
    each = [calendar_of(found(satellites=(name,), **options)).nights[0] for name in names]
    assert all(night.num_passes["sunlit"] > 1 and night.secret_bits_with_sunlit for night in each)
    for what in ("sifted_bits", "secret_bits", "secret_bits_with_sunlit"):
        assert getattr(both, what) == pytest.approx(sum(getattr(night, what) for night in each), rel=1e-12)

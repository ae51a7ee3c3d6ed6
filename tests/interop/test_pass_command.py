"""``qanat pass``: figures for machines, tables for people, files, and what is refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from qanat.apps.cli.main import app
from qanat.orbits.downlink import TERMS

SHORT = ("--min-elevation", "40", "--step-s", "4")


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["pass", *arguments])
    return result.exit_code, result.stdout, result.stderr


def record_of(*arguments: str) -> dict[str, Any]:
    status, out, _ = run(*SHORT, *arguments, "--json")
    assert status == 0
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_pass_is_told_second_by_second_with_sums_and_provenance() -> None:
    told = record_of()
    columns = told["columns"]
    assert told["secret_bits"] > 0
    assert told["why_no_key"] is None
    assert (told["f_ec"], told["signal_disclosed"], told["security"]["eps_cor"]) == (1.1, 0.1, 1e-15)
    assert told["sifted_bits"] == pytest.approx(4 * sum(columns["sifted_bits_per_s"]))
    assert told["secret_bits"] == pytest.approx(4 * sum(columns["secret_by_sifted_bits_per_s"]), abs=1)
    assert "in proportion to the sifted bits" in told["provenance"]["columns.secret_by_sifted_bits_per_s"]
    for place, total_db in enumerate(columns["total_db"]):
        assert sum(columns[f"{term}_db"][place] for term in TERMS) == pytest.approx(total_db, abs=1e-9)
    assert told["provenance"]["rules_the_air"] == "fitted"
    assert set(told["provenance"]["terms"]) == set(TERMS)


def test_perturbing_the_air_moves_the_rate_and_says_that_it_is_an_input() -> None:
    one, other = record_of(), record_of("--air-db", "0.9")
    assert other["secret_bits"] < 0.97 * one["secret_bits"]
    assert one["provenance"]["terms"]["atmosphere"].startswith("fitted: 0.683")
    assert other["provenance"]["terms"]["atmosphere"].startswith("input: 0.900")
    table = record_of("--air", "table")
    assert table["provenance"]["rules_the_air"] == "table"
    assert table["columns"]["air_fitted_db"] == one["columns"]["air_fitted_db"]
    assert table["sifted_bits"] != one["sifted_bits"]


def test_files_are_a_picture_and_the_data_behind_it_and_the_data_can_be_read_again(tmp_path: Path) -> None:
    told = record_of("--out", str(tmp_path / "pass"))
    folder = tmp_path / "pass"
    assert sorted(path.name for path in folder.iterdir()) == ["pass.csv", "pass.json", "pass.svg"]
    assert json.loads((folder / "pass.json").read_text(encoding="utf-8")) == told
    picture = (folder / "pass.svg").read_text(encoding="utf-8")
    for words in ("Elevation", "Range", "Loss", "Sifted rate", "Error rate"):
        assert words in picture
    status, out, _ = run("--track", str(folder / "pass.csv"), "--json")
    again = json.loads(out)
    assert status == 0
    assert again["sifted_bits"] == pytest.approx(told["sifted_bits"], rel=1e-12)
    assert again["provenance"]["terms"]["coupling"] == told["provenance"]["terms"]["coupling"]
    measured = tmp_path / "measured.csv"
    measured.write_text(
        (folder / "pass.csv").read_text(encoding="utf-8").replace("model_atmosphere_db", "atmosphere_db"),
        encoding="utf-8",
    )
    _, out, _ = run("--track", str(measured), "--json")
    assert json.loads(out)["provenance"]["terms"]["atmosphere"] == "input: a measured column"
    status, _, err = run("--track", str(measured), "--air-db", "0.9")
    assert status == 2
    assert "atmosphere_db" in err


def test_csv_goes_to_standard_output_with_a_line_per_moment() -> None:
    status, out, _ = run(*SHORT, "--csv")
    lines = out.splitlines()
    assert status == 0
    assert lines[0].startswith("pass_format,utc_s,range_km,elevation_deg,azimuth_deg,model_geometry_db")
    assert len({line.count(",") for line in lines}) == 1


def test_people_see_losses_sums_the_best_source_and_where_terms_come_from() -> None:
    status, out, _ = run(*SHORT, "--optimise", "--passes", "2")
    assert status == 0
    for words in ("losses in dB", "secret bits by hoeffding, 2 passes", "best source", "atmosphere (link)"):
        assert words in out


def test_a_pass_of_elements_on_a_date_is_the_one_that_is_known_and_is_dark() -> None:
    """Micius over Xinglong in the night of 2016-12-19 came as near as 645 km (Liao et al., Nature 549, 43, 2017)."""
    options = ("--date", "2016-12-19T10:00", "--min-elevation", "10", "--step-s", "4", "--json")
    status, out, _ = run("--station", "xinglong-2017", *options)
    told = json.loads(out)
    assert status == 0
    assert told["min_range_km"] == pytest.approx(645, abs=1)
    assert told["dark"] is True
    assert told["mode"] == "standard-2017"
    assert told["rise_utc"].startswith("2016-12-19T16:")


def test_a_pass_by_day_is_told_with_a_warning_and_the_numbers_of_a_day_are_listed() -> None:
    status, out, err = run("--date", "2016-12-19", "--number", "1", "--step-s", "10", "--json")
    assert status == 0
    assert json.loads(out)["dark"] is False
    assert "background of the day" in err
    _, out, _ = run("--date", "2016-12-19", "--number", "1", "--step-s", "10")
    assert "NO, the Sun at" in out
    assert "background of the day" in out
    status, _, err = run("--date", "2016-12-19", "--number", "99")
    assert status == 2
    assert "1: 2016-12-19T" in err


def test_without_a_number_the_highest_pass_by_night_is_taken_and_the_others_are_named() -> None:
    """The first of that night is 9.5 degrees high and gives no key."""
    common = ("--station", "xinglong", "--date", "2016-12-19T10:00", "--step-s", "4")
    status, out, err = run(*common, "--json")
    told = json.loads(out)
    assert (status, err, told["dark"]) == (0, "", True)
    assert told["secret_bits"] > 0
    passes = told["passes_of_the_day"]
    (taken,) = (one for one in passes if one["taken"])
    assert taken["max_elevation_deg"] == max(one["max_elevation_deg"] for one in passes if one["dark"])
    assert max(one["max_elevation_deg"] for one in passes) > taken["max_elevation_deg"], "a higher one by day"
    _, out, _ = run(*common)
    for one in passes:
        assert f"{one['number']}: {one['rise_utc'][:16]}" in out
    status, out, _ = run(*common, "--number", "1", "--json")
    assert status == 1
    assert json.loads(out)["rise_utc"] == passes[0]["rise_utc"]


def test_a_satellite_in_sunlight_is_warned_of() -> None:
    common = ("--satellite", "circular:8000,53", "--date", "2026-01-01T08:00", "--min-elevation", "20")
    _, out, _ = run(*common, "--step-s", "100", "--json")
    told = json.loads(out)
    assert told["dark"] is True
    assert told["satellite_light"][1] == "sunlit"
    assert "not in the Earth's umbra" in told["warnings"][0]


def test_an_orbit_that_is_named_is_used_and_a_circle_is_called_one() -> None:
    status, out, _ = run("--satellite", "circular:1200,53", "--date", "2026-01-01", "--step-s", "10", "--json")
    told = json.loads(out)
    assert status == 0
    assert told["satellite"] == "circular:1200,53"
    assert told["min_range_km"] > 1190
    circle = record_of("--altitude-km", "700")
    assert circle["satellite"] == "a circle 700 km high"


def test_the_name_of_a_track_is_a_name_alone(tmp_path: Path) -> None:
    run(*SHORT, "--out", str(tmp_path))
    track = ("--track", str(tmp_path / "pass.csv"), "--json")
    assert json.loads(run(*track)[1])["satellite"] == "pass.csv"
    assert json.loads(run(*track, "--satellite", "my-bird")[1])["satellite"] == "my-bird"
    for orbit in ("geo:110", str(tmp_path / "pass.json")):
        status, out, err = run(*track, "--satellite", orbit)
        assert (status, out) == (2, "")
        assert "the satellite is where pass.csv says" in err


@pytest.mark.parametrize("name", ["micius", "circular:1200,53", "geo:110"])
def test_a_satellite_without_a_date_is_refused_since_it_would_not_be_used(name: str) -> None:
    status, out, err = run("--satellite", name)
    assert (status, out) == (2, "")
    assert f"--satellite {name} counts for nothing without a date" in err
    assert "--date" in err


def test_a_station_of_a_file_has_its_own_aperture_and_splitter(tmp_path: Path) -> None:
    record = {"name": "delingha", "latitude_deg": 37.4, "longitude_deg": 97.7, "altitude_m": 3150}
    (tmp_path / "bare.json").write_text(json.dumps([record]), encoding="utf-8")
    optics = {"telescope_m": 0.6, "z_share": 0.5}
    (tmp_path / "station.json").write_text(json.dumps([{**record, **optics}]), encoding="utf-8")
    common = ("--date", "2016-12-19T12:00", "--step-s", "4", "--mode", "this-work", "--json")
    _, out, _ = run("--station", str(tmp_path / "station.json"), *common)
    told = json.loads(out)
    assert told["station"] == "delingha"
    assert "0.6 m" in told["provenance"]["terms"]["geometry"]
    status, _, err = run("--station", str(tmp_path / "bare.json"), *common)
    assert status == 2
    assert "telescope_m and z_share" in err


def test_a_fixed_exposure_loses_the_link_near_the_horizon() -> None:
    status, out, _ = run("--fixed-exposure", "--step-s", "10")
    assert status == 0
    assert "not tracked" in out


def test_a_pass_without_key_ends_with_status_1() -> None:
    status, out, _ = run("--max-elevation", "7", "--step-s", "10")
    assert status == 1
    assert "secret bits" in out
    assert "no key: the bound on" in out
    assert "--passes" in out


@pytest.mark.slow
def test_a_live_pass_is_drawn_and_distilled_at_both_ends(tmp_path: Path) -> None:
    status, out, _ = run("--min-elevation", "60", "--live", "--seed", "3", "--json", "--out", str(tmp_path))
    told = json.loads(out)
    assert status == 0
    assert told["live"]["keys_identical"] is True
    assert told["live"]["sifted_bits"] == pytest.approx(told["sifted_bits"], rel=5e-3)
    assert 0.9 * told["secret_bits"] < told["live"]["secret_bits"] < 1.1 * told["secret_bits"]


@pytest.mark.slow
def test_the_papers_passes_are_told_by_kind_with_their_ratios_and_drawn(tmp_path: Path) -> None:
    status, out, _ = run("--paper", "--json", "--out", str(tmp_path))
    told = json.loads(out)
    assert status == 0
    kinds = [row["kind"].split(":")[0] for row in told["rows"]]
    assert kinds.count("Fitted") == 4
    assert set(told["fitted"]) == {"air_db", "constant_db", "optical_error", "background_hz"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("figure-3.svg", "figure-3a.csv", "figure-3c.csv", "paper.json")
    ]
    status, out, _ = run("--paper")
    assert "greatest sifted rate, Extended Data Table 2" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--station", "mars"), "there are nanshan, xinglong, xinglong-2017"),
        (("--station", "xinlong"), "did you mean xinglong"),
        (("--satellite", "micuis"), "did you mean micius?"),
        (("--satellite", ""), "an empty name"),
        (("--satellite", "", "--date", "2016-12-19"), "an empty name"),
        (("--satellite", "foo"), "there is no satellite 'foo'"),
        (("--satellite", "foo", "--date", "2016-12-19"), "there is no satellite 'foo'"),
        (("--mode", "x"), "known modes: this-work"),
        (("--max-elevation", "95"), "up to 90"),
        (("--min-elevation", "90"), "from 0 to below 90"),
        (("--altitude-km", "10"), "150 to 100000 km"),
        (("--track", "nowhere.csv"), "cannot read nowhere.csv"),
        (("--air", "fog"), "known: table, fitted"),
        (("--air-db", "-1"), "0 dB or more"),
        (("--jitter-urad", "-1"), "0 urad or more"),
        (("--fried-cm", "0"), "positive length"),
        (("--proof", "x"), "known proofs"),
        (("--f-ec", "0.5"), "from 1 to 10"),
        (("--air", "table", "--air-db", "1"), "leave one of them out"),
        (("--number", "2"), "leave --number out"),
        (("--date", "2016-12-19", "--max-elevation", "70"), "leave --max-elevation out"),
        (("--track", "x.csv", "--step-s", "2"), "leave --step-s out"),
        (("--track", "x.csv", "--altitude-km", "600"), "leave --altitude-km out"),
        (("--optimise", "--proof", "chernoff"), "leave --proof or --optimise out"),
        (("--live", "--passes", "2"), "leave --live or --passes out"),
        (("--json", "--csv"), "leave one of them out"),
        (("--paper", "--air-db", "1"), "with it alone"),
        (("--paper", "--csv"), "with it alone"),
        (("--step-s", "0"), "seconds above 0"),
        (("--step-s", "0.001"), "0.1 s or more"),
        (("--date", "yesterday"), "2016-12-19T16:00:00Z"),
        (("--date", "2020-12-19"), "--accept-stale"),
        (("--date", "2016-12-19", "--track", "x.csv"), "leave one of them out"),
        (("--date", "2016-12-19", "--min-elevation", "89.9"), "qanat passes"),
        (("--date", "2016-12-19", "--satellite", "nowhere.tle"), "cannot read nowhere.tle"),
    ],
)
def test_bad_input_ends_with_status_2_and_the_remedy(arguments: tuple[str, ...], words: str) -> None:
    status, out, err = run(*arguments)
    assert status == 2
    assert out == ""
    assert words in err


def test_the_source_shows_its_lasers_modes_and_the_table_of_random_numbers() -> None:
    status, out, _ = run("--source-modes")
    assert status == 0
    assert "signals in H, pulse by pulse: LD1, LD2, LD1, LD2" in out, "200 MHz: the two of a pair take turns"
    assert "signals in H, pulse by pulse: LD1, LD1, LD1, LD1" in out
    told = json.loads(run("--source-modes", "--json")[1])
    this_work = next(mode for mode in told["modes"] if mode["name"] == "this-work")
    ranges = this_work["map"]["ranges"]
    assert (ranges[0]["from"], ranges[-1]["to"]) == (0, 2**16 - 1)
    assert all(one["to"] + 1 == other["from"] for one, other in itertools.pairwise(ranges))
    share = (
        sum(one["to"] - one["from"] + 1 for one in ranges if one["sends"] == "signal" and one["state"] in "HV") / 2**16
    )
    assert share == pytest.approx(0.72 * 0.889, abs=2 * 2**-16), "the paper's odds"
    assert this_work["map"]["greatest_error_of_odds"] < 2**-16


@pytest.mark.parametrize("other", [("--paper",), ("--csv",), ("--passes", "2")])
def test_the_source_is_shown_alone(other: tuple[str, ...]) -> None:
    status, _, err = run("--source-modes", *other)
    assert status != 0
    assert "leave" in err


def test_a_pass_on_which_nothing_is_tracked_is_not_told_to_come_ten_thousand_times() -> None:
    arguments = ("--altitude-km", "35786", "--max-elevation", "80", "--min-elevation", "70", "--step-s", "600")
    status, out, _ = run(*arguments)
    assert status == 1
    assert "no key: not a click came: the cameras" in out
    assert "such passes" not in out


def test_a_file_of_a_pass_keeps_its_station_and_no_other_is_taken_for_it(tmp_path: Path) -> None:
    told = record_of("--station", "xinglong-2017", "--out", str(tmp_path))
    path = str(tmp_path / "pass.csv")
    status, out, _ = run("--track", path, "--json")
    again = json.loads(out)
    assert status == 0
    assert (again["station"], again["mode"]) == (told["station"], told["mode"]) == ("xinglong-2017", "standard-2017")
    assert again["secret_bits"] == pytest.approx(told["secret_bits"], abs=1)
    assert run("--track", path, "--station", "xinglong-2017", "--json")[1] == out
    for other in ("nanshan", "xinglong"):
        status, _, err = run("--track", path, "--station", other)
        assert status == 2
        assert f"is of a pass over 'xinglong-2017', and --station says '{other}'" in err
    rows = [line.rsplit(",", 1)[0] for line in Path(path).read_text(encoding="utf-8").splitlines()]
    (tmp_path / "old.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    status, out, _ = run("--track", str(tmp_path / "old.csv"), "--station", "xinglong", "--json")
    assert (status, json.loads(out)["station"]) == (0, "xinglong"), "older files name no station: it is the one given"


def test_a_pass_over_a_station_of_ones_own_is_read_with_that_stations_file(tmp_path: Path) -> None:
    mine = tmp_path / "roof.yaml"
    place = "{name: roof, latitude_deg: 48.2, longitude_deg: 16.4, telescope_m: 0.8, z_share: 0.5}"
    mine.write_text(f"stations:\n  - {place}\n", encoding="utf-8")
    told = record_of("--station", str(mine), "--out", str(tmp_path / "pass"))
    path = str(tmp_path / "pass" / "pass.csv")
    status, _, err = run("--track", path)
    assert status == 2
    assert "a pass over 'roof', whose telescope is not known here" in err
    assert "--station" in err
    status, out, _ = run("--track", path, "--station", str(mine), "--json")
    assert status == 0
    assert json.loads(out)["sifted_bits"] == pytest.approx(told["sifted_bits"], rel=1e-12)

"""``qanat passes``: its JSON, CSV and table, and what it says where there is nothing to show."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from qanat.apps.cli import passes_search
from qanat.apps.cli.main import app
from qanat.ground.data import read_text

BASE = ("--satellite", "micius", "--station", "nanshan", "--station", "xinglong")
NIGHT = ("--start", "2016-12-19T12:00", "--days", "0.5", "--min-elevation", "5")
CONTRACT = {"rise_utc", "culmination_utc", "set_utc", "max_elevation_deg", "min_range_km", "dark"}


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["passes", *arguments])
    return result.exit_code, result.stdout, result.stderr


def record(*arguments: str) -> Any:
    status, out, err = run(*arguments, "--json")
    assert status == 0, err
    return json.loads(out)


def test_the_night_of_the_published_pass() -> None:
    found = record(*BASE, *NIGHT)
    assert found["coverage_angle_deg"] == 170
    assert found["satellites"] == [{"name": "MICIUS", "epoch_utc": "2016-12-19T13:39:33.153Z"}]
    assert [one["station"] for one in found["passes"]] == ["xinglong", "xinglong", "nanshan", "nanshan"]
    assert all(set(one) >= CONTRACT for one in found["passes"])
    best = found["passes"][1]
    assert best["min_range_km"] == pytest.approx(645.0, abs=0.5)
    assert best["rise_utc"].startswith("2016-12-19T16:47:47.9")
    assert best["dark"] is True
    assert best["dark_parts_utc"] == [[best["rise_utc"], best["set_utc"]]]
    assert best["satellite_light"] == ["umbra"] * 3


def test_csv_has_the_same_passes() -> None:
    status, out, _ = run(*BASE, *NIGHT, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    expected = record(*BASE, *NIGHT)["passes"]
    assert status == 0
    assert [row["rise_utc"] for row in rows] == [one["rise_utc"] for one in expected]
    assert [float(row["azimuths_deg_set"]) for row in rows] == [one["azimuths_deg"][2] for one in expected]


def test_people_get_a_table_and_what_is_left_out() -> None:
    status, out, _ = run(*BASE, *NIGHT)
    assert status == 0
    assert "4 passes" in out
    assert "MICIUS, xinglong" in out
    assert "645.3" in out
    assert "coverage angle 170" in out
    assert "refraction" in out
    assert (
        "1 pass: 1 satellite, 1 station, " in run("--satellite", "micius", "--station", "nanshan", *NIGHT[:-1], "20")[1]
    )


def test_only_dark_leaves_out_the_day() -> None:
    day = ("--start", "2016-12-19T12:00", "--days", "1")
    whole, dark = record(*BASE, *day)["passes"], record(*BASE, *day, "--only-dark")["passes"]
    assert dark == [one for one in whole if one["dark"]]
    assert 0 < len(dark) < len(whole)


def test_files_of_elements_and_stations_are_read(tmp_path: Path) -> None:
    elements, stations = tmp_path / "elements.txt", tmp_path / "stations.yaml"
    elements.write_text(read_text("orbits", "micius.tle"))
    stations.write_text(
        "stations:\n  - {name: delingha, latitude_deg: 37.38, longitude_deg: 97.73, altitude_m: 3150}\n"
    )
    found = record("--satellite", str(elements), "--station", str(stations), *NIGHT)
    typed = record("--satellite", "micius", "--station", "37.38,97.73,3150", *NIGHT)
    assert [one["rise_utc"] for one in found["passes"]] == [one["rise_utc"] for one in typed["passes"]] != []
    assert found["stations"][0]["name"] == "delingha"


def test_a_file_of_stations_that_is_no_yaml_is_refused_in_one_line(tmp_path: Path) -> None:
    stations = tmp_path / "stations.yaml"
    stations.write_text("stations: {a: 1\n")
    status, _, err = run("--satellite", "micius", "--station", str(stations), *NIGHT)
    assert status != 0
    assert "stations.yaml, line 2: no YAML: " in err
    assert len(err.splitlines()) == 2


def test_a_folder_gets_both_pictures_with_the_data_behind_them(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "folder"
    status, out, err = run(*BASE, *NIGHT, "--out", str(folder), "--coverage", "45")
    assert status == 0
    assert "4 passes" in out
    names = [f"{one}.{end}" for one in ("calendar", "ground-track", "passes") for end in ("csv", "json", "svg")]
    names.remove("passes.svg")
    assert sorted(path.name for path in folder.iterdir()) == names
    assert all(f"{name}: " in err for name in names)
    assert json.loads((folder / "passes.json").read_text()) == record(*BASE, *NIGHT)
    track = json.loads((folder / "ground-track.json").read_text())
    assert {one["elevation_deg"] for one in track["coverage"]} == {5.0, 45.0}
    rows = list(csv.DictReader(io.StringIO((folder / "ground-track.csv").read_text())))
    assert [row["utc"] for row in rows] == track["tracks"][0]["utc"]
    assert len(list(csv.DictReader(io.StringIO((folder / "calendar.csv").read_text())))) == len(
        json.loads((folder / "calendar.json").read_text())["nights"]
    )


def test_the_first_search_says_that_it_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    short = ("--satellite", "micius", "--station", "nanshan", "--start", "2016-12-19", "--days", "0.01")
    for is_compiled in (False, True):
        monkeypatch.setattr(passes_search, "is_search_compiled", lambda is_compiled=is_compiled: is_compiled)
        _, _, err = run(*short, "--json")
        assert ("preparing (once): compiling" in err) == (not is_compiled)


def test_constellations_are_typed() -> None:
    found = record("--satellite", "walker-star:780,86.4,66/6/2", "--station", "nanshan", *NIGHT)
    assert len(found["satellites"]) == 66
    assert found["satellites"][0] == {"name": "walker-star-1-1", "epoch_utc": None}
    assert len(found["passes"]) > 66


def test_where_there_is_no_pass_the_nearest_to_one_is_told() -> None:
    found = record("--satellite", "micius", "--station", "nanshan", *NIGHT[:-1], "80")
    assert found["passes"] == []
    assert found["why_none"].startswith(
        "none comes above 80 degrees: the highest is MICIUS over nanshan with 63.89 degrees"
    )
    _, out, _ = run("--satellite", "geo:-90", "--station", "nanshan", *NIGHT)
    assert "no satellite rises above the horizon of any station in this span" in out
    noon = ("--start", "2016-12-19T04:00", "--days", "0.2")
    assert record(*BASE, *noon, "--only-dark")["why_none"].startswith("of 1 passes none is dark")


def test_old_elements_are_warned_of_on_standard_error() -> None:
    late = ("--satellite", "micius", "--station", "nanshan", "--start", "2017-01-05")
    status, out, err = run(*late, "--json")
    assert status == 0
    assert "stale elements" in err
    assert json.loads(out)["warnings"][0].startswith("MICIUS: stale elements: the span reaches 17.4 days")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--satellite", "micius", "--station", "nanshan", "--start", "2018-01-01"), "stale elements"),
        (("--satellite", "micius", "--station", "93,0,0", *NIGHT), "is not on the globe"),
        (("--satellite", "micius", "--station", "nanshan", *NIGHT[:-1], "91"), "no satellite stands above 91"),
        (("--satellite", "micius", "--station", "nanshan", *NIGHT, "--sun-below", "100"), "100 degrees below"),
        (("--satellite", "micius", "--station", "nanshan", *NIGHT, "--ut1-utc", "2"), "UT1 - UTC"),
        (("--satellite", "micius", "--station", "nanshan"), "no --start"),
        (("--satellite", "micius", "--station", "nanshan", "--start", "soon"), "is no moment of time"),
        (("--satellite", "micius", "--station", "nanshan", *NIGHT[:2], "--days", "0"), "a span of 0 days"),
        (("--satellite", "nowhere.tle", "--station", "nanshan", *NIGHT), "cannot read nowhere.tle"),
        (("--satellite", "micius", "--station", "nowhere", *NIGHT), "there are nanshan, xinglong"),
        (("--satellite", "micius", "--station", "xinlong", *NIGHT), "did you mean xinglong?"),
        (("--satellite", "micuis", "--station", "nanshan", *NIGHT), "did you mean micius?"),
        (("--satellite", "geo:1,2", "--station", "nanshan", *NIGHT), "is no orbit"),
        (("--satellite", "micius", "--station", "nanshan", "--start", "9999-12-31", "--accept-stale"), "1958 and 2200"),
        (
            ("--satellite", "micius", "--station", "nanshan", "--start", "2116-12-19", "--accept-stale"),
            "more than 1,500 days are refused in any case",
        ),
        (("--satellite", "micius", "--station", "nanshan", *NIGHT, "--ut1-utc", "nan"), "UT1 - UTC"),
        (("--satellite", "", "--station", "nanshan", *NIGHT), "an empty name"),
        (("--satellite", ".", "--station", "nanshan", *NIGHT), "cannot read .: Is a directory"),
        (("--satellite", "walker-delta:500,97,99999/1/0", "--station", "nanshan", *NIGHT), "are too many"),
        ((*BASE, *NIGHT, "--coverage", "5"), "there is no --out"),
        ((*BASE, *NIGHT, "--coverage", "90", "--out", "folder"), "no cone of coverage begins at 90"),
        ((*BASE, *NIGHT, "--out", __file__), "is no folder"),
        (("--satellite", "micius", "--satellite", "MICIUS", "--station", "nanshan", *NIGHT), "is there twice"),
        (("--satellite", "micius", "--station", "nanshan", *NIGHT, "--json", "--csv"), "leave one of them out"),
    ],
)
def test_what_cannot_be_asked_is_told_with_a_remedy(arguments: tuple[str, ...], words: str) -> None:
    status, out, err = run(*arguments)
    assert status != 0
    assert out == ""
    assert words in err
    assert "what to do:" in err

"""``qanat plan satellites``, ``constellations`` and ``high-orbits``: figures for machines, and what is refused."""

from __future__ import annotations

import csv
import io
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from qanat.apps.cli.main import app
from qanat.orbits.earth import utc_s_of, utc_text, utc_texts
from qanat.planning.pass_keys import PassKeys

MICIUS = ("--satellite", "micius", "--start", "2016-12-19", "--days", "14")
BOTH = ("--station", "nanshan", "--station", "xinglong")


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["plan", *arguments])
    return result.exit_code, result.stdout, result.stderr


def record_of(*arguments: str) -> dict[str, Any]:
    status, out, errors = run(*arguments, "--json")
    assert status == 0, errors
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.fixture(scope="module")
def plan() -> dict[str, Any]:
    return record_of("satellites", *MICIUS, *BOTH)


def test_a_station_has_its_exact_mean_beside_draws_and_a_pair_the_lesser(plan: dict[str, Any]) -> None:
    for station in plan["stations"]:
        week, span = station["key"]["week"], station["key"]["span"]
        assert span["exact_mean_bits"] == pytest.approx(0.5 * station["clear_sky_bits"])
        assert abs(week["mean_of_draws_bits"] - week["exact_mean_bits"]) < 5 * week["standard_error_bits"]
        assert week["p10_bits"] <= week["p50_bits"] <= week["p90_bits"]
    (pair,) = plan["demands"]
    assert pair["stations"] == ["nanshan", "xinglong"]
    means = [one["key"]["span"]["exact_mean_bits"] for one in plan["stations"]]
    assert pair["key"]["span"]["mean_of_draws_bits"] < min(means)
    assert plan["schedule"]["gap"] == pytest.approx(0.0, abs=1e-6)


def test_the_schedule_keeps_one_partner_at_a_time_and_its_forecasts_are_its_passes(plan: dict[str, Any]) -> None:
    taken = [row for row in plan["passes"] if row["taken"]]
    assert len(taken) == plan["passes_taken"] == len(plan["forecasts"])
    times = [(utc_s_of(row["start_utc"]), utc_s_of(row["end_utc"])) for row in taken]
    assert all(later[0] >= earlier[1] + 59.9 for earlier, later in combinations(times, 2))
    for row, forecast in zip(taken, plan["forecasts"], strict=True):
        assert (forecast["station"], forecast["rise_utc"]) == (row["station"], row["start_utc"])
        assert forecast["expected_bits"] == pytest.approx(0.5 * row["secret_bits"], abs=1)


def test_users_follow_from_the_papers_week_as_an_input_and_another_input_gives_another_answer(
    plan: dict[str, Any],
) -> None:
    paper, ours, _ = plan["users"]
    assert (paper["users"], paper["provenance"], paper["paper"]) == (6_277, "input", 6_000)
    assert ours["provenance"] == "predicted"
    assert ours["users"] == int(ours["week_bits"] * 10 / 7 / 8192)
    other = record_of("satellites", *MICIUS, *BOTH, "--user-bits", "16384", "--user-days", "5")
    assert other["users"][0]["users"] == 1_569


def test_more_clear_sky_gives_more_in_proportion_and_a_file_rules_by_station(
    plan: dict[str, Any], tmp_path: Path
) -> None:
    clear = record_of("satellites", *MICIUS, *BOTH, "--clear", "1")
    assert clear["all_stations"]["span"]["exact_mean_bits"] == pytest.approx(
        2 * plan["all_stations"]["span"]["exact_mean_bits"]
    )
    sky = tmp_path / "weather.yaml"
    sky.write_text("stations:\n  - {station: nanshan, p_clear: 0.25, mean_clear_h: 12, source: a log of nights}\n")
    ruled = record_of("satellites", *MICIUS, *BOTH, "--weather", str(sky))
    nanshan, xinglong = (
        (now["key"]["span"]["exact_mean_bits"] / then["key"]["span"]["exact_mean_bits"])
        for now, then in zip(ruled["stations"], plan["stations"], strict=True)
    )
    assert (nanshan, xinglong) == (pytest.approx(0.5), pytest.approx(1.0))
    assert ruled["weather"]["stations"]["nanshan"]["origin"] == "a log of nights"
    assert ruled["weather"]["stations"]["xinglong"]["origin"] == "assumption"


def test_named_demands_are_told_by_what_they_asked() -> None:
    found = record_of(
        *("satellites", "--satellite", "walker-delta:1200,53,6/3/1", "--start", "2026-01-01", "--days", "7"),
        *(*BOTH, "--station", "40,-4", "--demand", "nanshan,xinglong,2", "--demand", "40,-4,nanshan,8"),
    )
    first, second = found["demands"]
    assert (first["asked_bits_per_week"], second["asked_bits_per_week"]) == (pytest.approx(2e6), pytest.approx(8e6))
    least = min(first["planned_share"], second["planned_share"])
    assert least == pytest.approx(found["schedule"]["value"], rel=1e-6)
    assert found["schedule"]["value"] <= found["schedule"]["bound"]
    assert found["schedule"]["values"].keys() == {"greedy", "guided", "turns"}


def test_a_demand_is_met_by_what_both_ends_have_and_statement_and_table_agree() -> None:
    """By the means of each end alone a demand between the two would be met; the pair does not get it."""
    pair = ("satellites", *MICIUS, *BOTH, "--demand")
    found = record_of(*pair, "nanshan,xinglong,1")
    (row,) = found["demands"]
    weeks = found["options"]["days"] / 7
    assert row["mean_bits_per_week"] == row["key"]["week"]["mean_of_draws_bits"] < row["planned_bits"] / weeks
    asked = (row["mean_bits_per_week"] + row["planned_bits"] / weeks) / 2e6
    between = record_of(*pair, f"nanshan,xinglong,{asked}")
    (row,), plan = between["demands"], between["schedule"]
    assert row["planned_share"] > 1 > row["mean_share"]
    assert plan["value"] > 1 > plan["value_in_the_mean"] == row["mean_share"]
    assert row["is_met_in_the_mean"] is False
    status, out, _ = run(*pair, f"nanshan,xinglong,{asked}")
    assert status == 0
    assert "in the mean 1 of 1 not met" in out
    for table in ("Key in a week", "Demands:"):
        line = next(one for one in out.split(table)[1].splitlines() if "nanshan - xinglong" in one)
        assert f"{row['mean_bits_per_week'] / 1e6:.2f}" in line
    status, out, _ = run(*pair, "nanshan,xinglong,1")
    assert "in the mean all are met" in out


def test_one_station_gets_its_exact_mean_where_the_schedule_and_the_table_say_it() -> None:
    found = record_of("satellites", *MICIUS, "--station", "nanshan")
    mean = found["stations"][0]["key"]["week"]["exact_mean_bits"]
    assert found["demands"][0]["mean_bits_per_week"] == pytest.approx(mean)
    assert (
        found["schedule"]["value_in_the_mean"] == pytest.approx(found["schedule"]["value"]) == pytest.approx(mean / 1e6)
    )


def test_demands_without_a_number_ask_alike(plan: dict[str, Any]) -> None:
    found = record_of("satellites", *MICIUS, *BOTH, "--demand", "nanshan,xinglong")
    (row,) = found["demands"]
    assert (row["asked_bits_per_week"], row["is_met_in_the_mean"]) == (None, None)
    assert found["schedule"] == plan["schedule"]


def test_passes_with_the_satellite_in_sunlight_count_unless_they_are_left_out() -> None:
    september = ("satellites", "--satellite", "circular:600,53", "--start", "2026-09-01", "--days", "14", *BOTH)
    whole, dark = record_of(*september), record_of(*september, "--umbra-only")
    kept = [row for row in whole["passes"] if not row["satellite_sunlit"]]
    assert 0 < len(kept) == len(dark["passes"]) < len(whole["passes"])
    assert not any(row["satellite_sunlit"] for row in dark["passes"])
    assert whole["passes_taken_sunlit"] > 0 == dark["passes_taken_sunlit"]
    assert dark["all_stations"]["span"]["exact_mean_bits"] < whole["all_stations"]["span"]["exact_mean_bits"]
    assert f"in {whole['passes_taken_sunlit']} the satellite is sunlit" in run(*september)[1]
    assert "are left out (--umbra-only)" in run(*september, "--umbra-only")[1]


def test_less_jitter_gives_a_high_orbit_key_and_a_telescope_is_of_stations_without_one() -> None:
    place = ("--station", "43.47546,87.17669,2080", "--start", "2026-01-01", "--days", "2")
    high = ("satellites", "--satellite", "circular:20200,55", *place, "--divergence-urad", "2")
    status, _, errors = run(*high)
    assert status != 0
    assert "in dB: geometry" in errors
    assert "geometry: a narrower beam (--divergence-urad)" in errors
    assert "; pointing: less jitter (--jitter-urad)" in errors
    assert record_of(*high, "--jitter-urad", "0.25")["passes_with_key"] > 0
    low = ("satellites", "--satellite", "micius", *place, "--start", "2016-12-19")
    usual, as_said, wide = (record_of(*low, *more) for more in ((), ("--telescope-m", "1.2"), ("--telescope-m", "2")))
    assert usual["all_stations"] == as_said["all_stations"]
    assert wide["all_stations"]["span"]["exact_mean_bits"] > 2 * usual["all_stations"]["span"]["exact_mean_bits"]
    assert record_of(*low, "--jitter-urad", "2.5")["all_stations"] == usual["all_stations"]


def test_tables_and_csv_show_the_same_passes(plan: dict[str, Any]) -> None:
    status, out, _ = run("satellites", *MICIUS, *BOTH)
    assert status == 0
    assert f"{plan['passes_taken']:,} taken" in out
    for word in ("10 %", "no schedule exceeds", "6,277 (the paper: about 6,000)", "assumption"):
        assert word in out
    status, text, _ = run("satellites", *MICIUS, *BOTH, "--csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["start_utc"] for row in rows] == [row["start_utc"] for row in plan["passes"]]


@pytest.mark.parametrize(
    ("arguments", "fault", "remedy"),
    [
        (("--min-elevation", "95"), "no satellite stands above 95 degrees", "0 to below 90"),
        (("--min-elevation", "89.9"), "no pass comes above 89.9 degrees: the highest has", "lower --min-elevation"),
        (("--station", "95,10"), "not on the globe", "latitude -90 to 90"),
        (("--start", "2017-02-19"), "stale elements", "--accept-stale"),
        (("--satellite", "geo:-90", "--satellite", "geo:-100"), None, None),
        (("--demand", "a,b"), "'a,b' is no demand", "A,B,MBIT_PER_WEEK"),
        (("--demand", "nanshan,xinglong,0"), "a demand of 0 bits", "above zero"),
        (("--slew-s", "-1"), "does not turn in -1 s", "0 or more"),
        (("--clear", "50"), "no odds of a clear sky", "from 0 to 1"),
        (("--clear", "0"), "never clear", "--clear above 0"),
        (("--objective", "most"), "no objective 'most'", "level, total"),
        (("--draws", "0"), "0 draws", "1 to 100,000"),
        (("--air-db", "30"), "none gives key", "comes first. atmosphere: a higher --min-elevation"),
        (("--telescope-m", "0"), "a telescope of 0 m sees nothing", "above 0"),
        (("--telescope-m", "2"), "nanshan, xinglong have a telescope", "--station 43.47546,87.17669,2080"),
        (("--exact-s", "-1"), "-1 s of branch and bound", "0 for none"),
        (("--jitter-urad", "-1"), "a jitter of -1 urad is none", "0 urad or more"),
        (("--divergence-urad", "0"), "does not spread", "positive divergence"),
        (("--demand", "nanshan", "--demand", "xinglong,5"), "nanshan does not say how much", "nanshan,MBIT_PER_WEEK"),
        (("--demand", "nanshan,xinglong,"), "is no demand", "A,B,MBIT_PER_WEEK"),
        (("--station", "xinlong"), "there is no station 'xinlong'", "did you mean xinglong?"),
        (("--satellite", "micuis"), "there is no satellite 'micuis'", "did you mean micius?"),
        (("--start", "2016-12-19T04:00", "--days", "0.1", "--min-elevation", "0"), "no pass", ""),
        (("--user-bits", "0"), "0 bits every 10 days", "one bit or more"),
        (("--proof", "x"), "no proof 'x'", "hoeffding"),
        (("--weather", "/nowhere/sky.yaml"), "cannot read", "file of weather"),
        (("--json", "--csv"), "both print", "leave one"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_its_remedy(
    arguments: tuple[str, ...], fault: str | None, remedy: str | None
) -> None:
    status, out, errors = run("satellites", *MICIUS, *BOTH, *arguments)
    if fault is None:  # satellites that no station sees, beside one that they do
        assert status == 0
        return
    assert status != 0
    assert fault in errors
    assert (remedy or "") in errors
    assert out == ""


def test_where_no_satellite_rises_it_is_said() -> None:
    status, _, errors = run("satellites", "--satellite", "geo:-90", *BOTH, "--start", "2026-01-01", "--days", "2")
    assert status != 0
    assert "none comes above the horizon" in errors


def test_where_every_pass_is_sunlit_nothing_is_left_of_the_umbra() -> None:
    high = ("--satellite", "circular:20200,55", "--start", "2026-01-01", "--days", "1")
    status, _, errors = run("satellites", *high, *BOTH, "--umbra-only")
    assert status != 0
    assert "by night the satellite is sunlit" in errors
    assert "leave --umbra-only out" in errors


def test_constellations_stand_side_by_side_and_one_without_key_is_an_answer() -> None:
    found = record_of(
        *("constellations", "--satellite", "walker-delta:600,50,12/3/1", "--satellite", "walker-delta:600,50,24/6/1"),
        *("--satellite", "geo:100", *BOTH, "--start", "2026-01-01", "--days", "7"),
    )
    rows = {(row["constellation"], row["who"]): row for row in found["rows"]}
    few, many = (rows[f"walker-delta:600,50,{form}", "nanshan - xinglong"] for form in ("12/3/1", "24/6/1"))
    assert (few["satellites"], many["satellites"]) == (12, 24)
    ends = [rows["walker-delta:600,50,24/6/1", name]["bits_per_day"] for name in ("nanshan", "xinglong")]
    assert many["bits_per_day"] < 0.95 * min(ends), "clear over one while it is cloudy over the other"
    assert many["bits_per_day"] > 1.3 * few["bits_per_day"] > 0
    of_stations = [row for row in found["rows"] if row["who"] in ("nanshan", "xinglong") and row["satellites"] == 12]
    assert few["waits"]["median_h"] < 2 * max(row["waits"]["median_h"] for row in of_stations)
    assert few["aboard"]["longest_h"] > few["waits"]["longest_h"] > 0, "other satellites bring key meanwhile"
    assert all(row["aboard"] is None for row in of_stations)
    assert "none gives key" in rows["geo:100", "-"]["why_none"]


def test_high_orbits_name_the_formula_of_each_row_and_stand_beside_the_paper() -> None:
    found = record_of("high-orbits", "--station", "nanshan")
    rows = {(row["name"], row["beam"]): row for row in found["rows"]}
    assert rows["LEO, 2,000 km", "gaussian"]["paper_db"] == -37.0
    assert rows["GEO, 36,000 km", "top-hat"]["paper_db"] == -40.0
    assert "range x divergence" in rows["GEO, 36,000 km", "top-hat"]["formula"]
    assert rows["GEO over nanshan", "gaussian"]["elevation_deg"] == pytest.approx(40.0, abs=0.5)
    assert all(row["day"]["secret_bits_per_s"] == 0 for row in found["rows"])
    status, out, _ = run("high-orbits")
    assert status == 0
    assert "top-hat: (D / (range x divergence))^2" in out
    status, _, errors = run("high-orbits", "--day-times", "0")
    assert status != 0
    assert "--day-times of 1 or more" in errors


def test_rows_are_written_without_summing_over_all_passes_for_each(
    monkeypatch: pytest.MonkeyPatch, plan: dict[str, Any]
) -> None:
    """Of a fleet's quarter of a million passes each such sum takes milliseconds."""
    sums: list[str] = []
    for name in ("sifted_bits", "qber"):
        whole = getattr(PassKeys, name).fget
        monkeypatch.setattr(PassKeys, name, property(lambda keys, n=name, f=whole: sums.append(n) or f(keys)))
    status, out, _ = run("satellites", *MICIUS, *BOTH, "--csv")
    assert status == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == len(plan["passes"]) > 10
    assert len(sums) <= 4
    for row, told in zip(rows, plan["passes"], strict=True):
        assert {name: str(value) for name, value in told.items()} == row


def test_moments_of_many_passes_are_spelled_as_those_of_one() -> None:
    moments = np.concatenate([np.random.default_rng(5).uniform(0, 4e9, 500), [0.0005, 0.9996, 1482192000.0]])
    for digits in (0, 3, 6):
        assert utc_texts(moments, digits=digits) == [utc_text(float(one), digits=digits) for one in moments]

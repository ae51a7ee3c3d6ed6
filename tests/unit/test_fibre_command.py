"""``qanat fibre``: figures against the model, tables for people, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from qanat.apps.cli.main import app
from qanat.physics.systems import BACKBONE_625
from qanat.quantum_layer.shared_fibre import BLOCK_BITS, pair_rate

BASE = ["fibre", "--system", "backbone-625", "--loss-db", "16"]


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*BASE, *arguments])
    return result.exit_code, result.stdout, result.stderr


def record_of(*arguments: str) -> dict[str, Any]:
    status, out, _ = run(*arguments, "--json")
    assert status == 0
    found: dict[str, Any] = json.loads(out)
    return found


def test_five_times_the_rate_at_16_db_takes_seven_pairs_and_the_multiplexers_cost_19_per_cent() -> None:
    found = record_of("--times", "5")
    assert found["pairs_needed"] == 7
    assert found["block_bits"] == BLOCK_BITS
    assert found["multiplexer"]["cost_of_one_pair"] == pytest.approx(0.190, abs=0.001)
    assert [row["num_pairs"] for row in found["rows"]] == list(range(1, 8))
    assert found["rows"][-1]["gain"] >= 5 > found["rows"][-2]["gain"]
    for row in found["rows"]:
        assert row["total_rate_bits_per_s"] == pytest.approx(row["num_pairs"] * row["pair_rate_bits_per_s"])
    qbers = [row["qber"] for row in found["rows"]]
    assert qbers == sorted(qbers)
    assert found["single_rate_bits_per_s"] == pair_rate(BACKBONE_625, loss_db=16.0).secret_rate_bits_per_s
    assert found["classical"] is found["switch"] is None


def test_a_fitted_parameter_of_the_record_is_named() -> None:
    told = {
        name: json.loads(run("--system", name, "--json")[1])["provenance"] for name in ("backbone-625", "metro-40-i")
    }
    assert told["backbone-625"]["rates, qber"].endswith("fitted in the record: nothing")
    assert told["metro-40-i"]["rates, qber"].endswith("receiver.optics[what typical parts do not account for]")


def test_ideal_multiplexers_would_cost_nothing() -> None:
    found = record_of("--insertion-db", "0", "--pairs", "2")
    assert found["multiplexer"]["cost_of_one_pair"] == 0
    assert found["rows"][0]["gain"] == 1


def test_classical_light_takes_more_pairs_and_its_cost_grows_with_its_power() -> None:
    costs, pairs = [], []
    for dbm in ("-40", "-30", "-20"):
        found = record_of("--classical-dbm", dbm, "--classical-channels", "2", "--length-km", "63.8")
        costs.append(found["classical"]["cost_of_one_pair"])
        pairs.append(found["pairs_needed"])
        assert found["classical"]["leaked_per_s"] < found["classical"]["forward_per_s"] / 1000
        assert found["rows"][0]["gain"] < 1 - found["multiplexer"]["cost_of_one_pair"]
    assert costs == sorted(costs)
    assert pairs == sorted(pairs)
    assert pairs[-1] > 7


def test_light_against_the_quantum_light_is_worse_than_light_with_it() -> None:
    found = {
        way: record_of("--classical-dbm", "-30", "--direction", way)["classical"] for way in ("co", "counter", "both")
    }
    assert found["co"]["cost_of_one_pair"] < found["counter"]["cost_of_one_pair"] < found["both"]["cost_of_one_pair"]
    most = {way: {one["leaves_more_than"]: one["launch_dbm"] for one in found[way]["most_launch_dbm"]} for way in found}
    assert most["co"][0.5] > most["counter"][0.5] > most["both"][0.5]
    assert most["co"][0.9] < most["co"][0.5] < most["co"][0.0]


def test_half_the_filter_takes_half_of_the_light_whatever_its_unit() -> None:
    base = ["--classical-dbm", "-30", "--isolation-db", "300"]
    own = record_of(*base)
    half = record_of(*base, "--filter-ghz", "50")
    same = record_of(*base, "--filter-nm", str(own["filter_nm"]))
    assert own["filter_nm"] == pytest.approx(0.801, abs=0.001)  # 100 GHz, its narrowest component
    assert half["classical"]["forward_per_s"] == pytest.approx(own["classical"]["forward_per_s"] / 2)
    assert same["classical"] == own["classical"]


def test_a_switch_costs_rate_and_never_extends_reach() -> None:
    switch = record_of("--switch", "--dwell-s", "2")["switch"]
    assert (switch["num_ports"], switch["links_at_once"], switch["duty"]) == (16, 8, 0.99)
    assert switch["through_bits_per_s"] < switch["spliced_bits_per_s"]
    assert switch["cost_of_one_pair"] == pytest.approx(0.200, abs=0.001)
    assert switch["reach_spliced_db"] - switch["reach_through_db"] == pytest.approx(1.0, abs=0.011)
    assert pair_rate(BACKBONE_625, loss_db=switch["reach_spliced_db"]).secret_rate_bits_per_s > 0
    assert pair_rate(BACKBONE_625, loss_db=switch["reach_spliced_db"] + 0.01).secret_rate_bits_per_s == 0


def test_people_see_pairs_classical_light_clock_and_switch() -> None:
    status, out, _ = run("--switch", "--classical-dbm", "-20", "--direction", "both")
    assert status == 0
    for text in ("five times", "12 pairs", "cost it 19.0 %", "cross-talk", "1,490 nm", "Raman", "half up to", "34.76"):
        assert text in out
    assert "never extends reach" in out


def test_what_all_channels_do_not_reach_is_said_and_ends_with_one() -> None:
    status, out, _ = run("--times", "20")
    assert status == 1
    assert "16 channels do not give 20 times" in out
    status, out, _ = run("--loss-db", "50")
    assert status == 1
    assert "gives no key here" in out
    status, out, _ = run("--loss-db", "100", "--json")
    assert (status, json.loads(out)["pairs_needed"]) == (1, None)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["--loss-db", "-1"], "--loss-db above 0"),
        (["--loss-db", "nan"], "--loss-db above 0"),
        (["--loss-db", "101"], "at most 100 dB"),
        (["--times", "0"], "--times above 0"),
        (["--times", "nan"], "--times above 0"),
        (["--pairs", "17"], "--pairs from 1 to 16"),
        (["--pairs", "0"], "--pairs from 1 to 16"),
        (["--insertion-db", "1"], "less than 1 dB"),
        (["--insertion-db", "nan"], "less than 1 dB"),
        (["--switch", "--switch-db", "-1"], "zero or more"),
        (["--switch", "--dwell-s", "0"], "more than zero"),
        (["--dwell-s", "2"], "give --switch too"),
        (["--switch-db", "2"], "give --switch too"),
        (["--classical-dbm", "nan"], "launch power per channel"),
        (["--classical-dbm", "40"], "at most 0.5 W"),
        (["--classical-dbm", "0", "--classical-channels", "-1"], "one or more"),
        (["--classical-dbm", "0", "--direction", "up"], "co, counter, both"),
        (["--classical-dbm", "0", "--length-km", "500"], "at most 123.1 km"),
        (["--classical-dbm", "0", "--raman-per-nm-km", "nan"], "such as 3e-09"),
        (["--classical-dbm", "0", "--isolation-db", "nan"], "from 0 to 300"),
        (["--classical-channels", "4", "--direction", "both"], "--classical-dbm"),
        (["--length-km", "-5"], "--length-km above zero"),
        (["--length-km", "0"], "--length-km above zero"),
        (["--filter-nm", "inf"], "--filter-nm above zero"),
        (["--filter-nm", "200"], "at most 100 nm"),
        (["--filter-nm", "1", "--filter-ghz", "100"], "not both"),
        (["--system", "laser-pointer"], "known systems"),
    ],
)
def test_bad_values_are_refused_with_the_remedy(arguments: list[str], remedy: str) -> None:
    status, out, err = run(*arguments)
    assert status == 2
    assert out == ""
    assert remedy in err

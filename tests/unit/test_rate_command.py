"""``qanat rate``: its rows, its tables for people, and what it refuses."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from qanat.apps.cli.main import app
from qanat.apps.cli.rate import read_losses
from qanat.benchmarks import registry
from qanat.ground.errors import RequestError
from qanat.physics.systems import BACKBONE_625
from qanat.postprocessing.reconciliation.efficiency import expected_f_ec
from qanat.protocols.prediction import expected_rate
from qanat.protocols.proofs import PROOFS
from qanat.quantum_layer.forecast import amplification_bits

BASE = ["rate", "--system", "backbone-625"]


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*BASE, *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_a_row_per_loss_with_every_proof_and_the_papers_rate() -> None:
    status, out, _ = run("--loss-db", "10.3,16.0,20.5", "--json")
    record = json.loads(out)
    assert status == 0
    assert [row["loss_db"] for row in record["rows"]] == [10.3, 16.0, 20.5]
    assert [row["paper"][0]["secret_rate_bits_per_s"] for row in record["rows"]] == [235_400, 79_300, 28_100]
    for row in record["rows"]:
        expected = expected_rate(BACKBONE_625, loss_db=row["loss_db"], block_bits=100_000_000)
        assert row["sifted_rate_bits_per_s"] == expected.sifted_rate_bits_per_s
        assert row["qber"] == expected.qber
        assert row["secret_rate_bits_per_s"] == expected.secret_rate_bits_per_s
        assert row["secret_rate_asymptotic_bits_per_s"] == expected.secret_rate_asymptotic_bits_per_s
        assert list(row["secret_rates_bits_per_s"]) == list(PROOFS)
        assert row["twin_block"]["block_bits"] == amplification_bits("backbone-625", loss_db=row["loss_db"])
    assert record["provenance"]["parameters"] == dict(BACKBONE_625.origins)
    assert record["provenance"]["fitted"] == []
    assert record["proofs"]["gaussian"]["composable"] is False


def test_the_papers_three_rates_of_the_backbone_are_within_10_per_cent() -> None:
    """One parameter set, none of it fitted."""
    _, out, _ = run("--loss-db", "10.3,16.0,20.5", "--json")
    ratios = [r["secret_rate_bits_per_s"] / r["paper"][0]["secret_rate_bits_per_s"] for r in json.loads(out)["rows"]]
    assert len(ratios) == 3
    assert all(0.9 < ratio < 1.1 for ratio in ratios)


@pytest.mark.parametrize("name", ["metro-40-i", "metro-40-ii"])
def test_three_of_four_cities_are_within_15_per_cent_with_one_fitted_loss(name: str) -> None:
    """Jinan is a prediction; Hefei, with the same mean loss, has a quarter less in the paper itself."""
    result = CliRunner().invoke(app, ["rate", "--system", name, "--loss-db", "5.8,9.3,9.8", "--json"])
    record = json.loads(result.stdout)
    rows = {row["loss_db"]: row for row in record["rows"]}
    for loss_db, kbit_per_s in ((5.8, 26.3), (9.3, 12.9), (9.8, 11.2)):
        assert rows[loss_db]["secret_rate_bits_per_s"] == pytest.approx(1e3 * kbit_per_s, rel=0.11)
    assert rows[5.8]["secret_rate_bits_per_s"] > 1.25 * 19_700
    assert record["provenance"]["fitted"] == ["receiver.optics[what typical parts do not account for]"]


def test_the_first_proof_named_gives_the_secret_rate() -> None:
    _, out, _ = run(
        "--loss-db", "16", "--json", "--proof", "chernoff", "--proof", "hoeffding", "--block-bits", "4194304"
    )
    (row,) = json.loads(out)["rows"]
    assert row["proof"] == "chernoff"
    assert row["block_bits"] == 4_194_304
    assert row["secret_rate_bits_per_s"] == row["secret_rates_bits_per_s"]["chernoff"]
    assert row["secret_rates_bits_per_s"]["hoeffding"] < row["secret_rates_bits_per_s"]["chernoff"]


def test_people_see_the_papers_rates_the_proofs_and_where_parameters_come_from() -> None:
    status, out, _ = run("--loss-db", "10.3,16.0,20.5")
    assert status == 0
    for text in ("235.4", "79.3", "28.1", *PROOFS, "s of light", "stated parameter", "fitted: none"):
        assert text in out


def test_more_key_than_endless_keys_is_explained_where_it_is_shown() -> None:
    _, dark, _ = run("--loss-db", "36")
    _, near, _ = run("--loss-db", "16")
    assert "more than endless keys" in dark
    assert "more than endless keys" not in near


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["--loss-db", "-1"], "from 0 to 100 dB"),
        (["--loss-db", "nan"], "from 0 to 100 dB"),
        (["--loss-db", "inf"], "from 0 to 100 dB"),
        (["--loss-db", "10,,16"], "from 0 to 100 dB"),
        (["--loss-db", "far"], "from 0 to 100 dB"),
        (["--loss-db", "10", "--block-bits", "0"], "--block-bits from 1"),
        (["--loss-db", "10", "--block-bits", "-5"], "--block-bits from 1"),
        (["--loss-db", "10", "--f-ec", "nan"], "--f-ec from 1"),
        (["--loss-db", "10", "--f-ec", "0.9"], "--f-ec from 1"),
        (["--loss-db", "10", "--proof", "wishful"], "known proofs: hoeffding"),
        (["--system", "laser-pointer", "--loss-db", "10"], "known systems"),
    ],
)
def test_bad_values_are_refused_with_the_remedy(arguments: list[str], remedy: str) -> None:
    status, out, err = run(*arguments)
    assert status == 2
    assert out == ""
    assert remedy in err


def test_losses_are_read_with_blanks_around_them() -> None:
    assert read_losses("0, 10.3 ,100") == [0.0, 10.3, 100.0]
    with pytest.raises(RequestError, match="no loss"):
        read_losses("")


@pytest.mark.slow
def test_the_benchmark_of_analytic_rates_gives_a_row_with_its_reference() -> None:
    (row,) = registry.run(["analytic-rates"])
    assert (row.name, row.goal, row.unit) == ("analytic-rates", 1e5, "links/s")
    assert row.rate > row.reference_rate > 0


def test_a_method_of_error_correction_brings_its_own_f_at_each_error_rate() -> None:
    rows = {}
    for method in ("cascade", "winnow", "ldpc"):
        status, out, _ = run("--loss-db", "10.3,30", "--reconciliation", method, "--json")
        record = json.loads(out)
        assert (status, record["reconciliation"], record["f_ec"]) == (0, method, None)
        rows[method] = record["rows"]
        for row in record["rows"]:
            assert row["f_ec"] == expected_f_ec(method, row["qber"])
    assert rows["winnow"][0]["secret_rate_bits_per_s"] < rows["ldpc"][0]["secret_rate_bits_per_s"]
    for arguments, fault in (
        (("--reconciliation", "crc"), "no method of error correction"),
        (("--reconciliation", "ldpc", "--f-ec", "1.2"), "a method has its own f"),
    ):
        status, _, err = run("--loss-db", "10.3", *arguments)
        assert status == 2
        assert fault in err

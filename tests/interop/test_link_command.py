"""``qanat link``, from outside: JSON alone on standard output, the same for the same seed, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

QANAT = (sys.executable, "-m", "qanat.apps.cli.main", "link")
pytestmark = pytest.mark.slow


def link(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*QANAT, *arguments], capture_output=True, text=True, timeout=120, check=False)


def figures(*arguments: str) -> dict[str, Any]:
    done = link(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told.pop("pulses_per_s") > 0
    return told


@pytest.mark.campaign
def test_the_same_seed_gives_the_same_result_in_another_process() -> None:
    options = ("--system", "metro-40-ii", "--loss-db", "5.8", "--seconds", "8", "--no-calibration")
    one, same, other = (figures(*options, "--seed", seed) for seed in ("7", "7", "8"))
    assert one == same
    assert one["detections"] != other["detections"]
    assert one["keys_identical"] is True
    assert one["secret_bits"] > 40_000
    assert one["optics"] is None


def test_a_drifting_link_is_calibrated_aligned_again_and_drawn(tmp_path: Path) -> None:
    options = ("--system", "backbone-625", "--loss-db", "16", "--seconds", "24", "--drift", "0.05")
    told = figures(*options, "--out", str(tmp_path / "link.svg"))
    assert told["calibrate"] is True
    assert told["keys_identical"] is True
    assert len(told["optics"]["stops"]) >= 1
    assert 0.4 < told["optics"]["duty"] < 24 / (24 + told["optics"]["calibration_s"])
    assert "polarization feedback" in (tmp_path / "link.svg").read_text(encoding="utf-8")


@pytest.mark.campaign
def test_without_feedback_a_drifting_link_ends_in_an_abort() -> None:
    options = ("--system", "backbone-625", "--loss-db", "16", "--seconds", "24", "--drift", "0.15", "--no-feedback")
    done = link(*options)
    assert done.returncode == 1
    assert "alarm QberTooHigh" in done.stdout
    assert "what to do" in done.stdout


@pytest.mark.campaign
def test_every_method_of_error_correction_gives_key_and_tells_more_or_less() -> None:
    options = ("--system", "metro-40-ii", "--loss-db", "5.8", "--seconds", "8", "--no-calibration")
    made = {method: figures(*options, "--reconciliation", method) for method in ("cascade", "ldpc", "winnow")}
    assert all(told["keys_identical"] is True for told in made.values())
    assert made["cascade"]["f_ec"] < made["ldpc"]["f_ec"] < made["winnow"]["f_ec"]
    assert made["cascade"]["secret_bits"] > made["ldpc"]["secret_bits"] > made["winnow"]["secret_bits"]


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (("--system", "backbone", "--loss-db", "5", "--seconds", "1"), "known systems: backbone-625"),
        (("--system", "metro-40-i", "--loss-db", "-5", "--seconds", "1"), "0 to 100 dB"),
        (("--system", "metro-40-i", "--loss-db", "5", "--seconds", "0"), "from one pulse"),
        (
            ("--system", "metro-40-i", "--loss-db", "5", "--seconds", "1", "--drift", "0.1", "--no-calibration"),
            "let the link be calibrated",
        ),
        (("--system", "metro-40-i", "--loss-db", "5", "--seconds", "9", "--reconciliation", "crc"), "winnow, ldpc"),
        (("--system", "metro-40-i", "--loss-db", "5", "--seconds", "9", "--amplification", "md5"), "modified-toeplitz"),
    ],
)
def test_bad_parameters_end_with_status_2_and_the_remedy(options: tuple[str, ...], remedy: str) -> None:
    done = link(*options)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "error (configuration)" in done.stderr
    assert remedy in done.stderr

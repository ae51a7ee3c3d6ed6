"""``qanat link``, from outside: JSON alone on standard output, the same for the same seed, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
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


def test_the_same_seed_gives_the_same_result_in_another_process() -> None:
    options = ("--system", "metro-40-ii", "--loss-db", "5.8", "--seconds", "8")
    one, same, other = (figures(*options, "--seed", seed) for seed in ("7", "7", "8"))
    assert one == same
    assert one["detections"] != other["detections"]
    assert one["keys_identical"] is True
    assert one["secret_bits"] > 40_000


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (("--system", "backbone", "--loss-db", "5", "--seconds", "1"), "known systems: backbone-625"),
        (("--system", "metro-40-i", "--loss-db", "-5", "--seconds", "1"), "0 to 100 dB"),
        (("--system", "metro-40-i", "--loss-db", "5", "--seconds", "0"), "from one pulse"),
    ],
)
def test_bad_parameters_end_with_status_2_and_the_remedy(options: tuple[str, ...], remedy: str) -> None:
    done = link(*options)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "error (configuration)" in done.stderr
    assert remedy in done.stderr

"""``qanat calibrate`` and ``qanat detector``, from outside: what they print, what they draw, and how they end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

QANAT = (sys.executable, "-m", "qanat.apps.cli.main")
pytestmark = pytest.mark.slow


def qanat(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*QANAT, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_a_calibration_is_told_and_drawn(tmp_path: Path) -> None:
    done = qanat("calibrate", "--loss-db", "16", "--seed", "1", "--out", str(tmp_path / "c.svg"))
    assert done.returncode == 0, done.stderr
    for words in ("gate delay, ps", "optical error: rectilinear 0.3", "link time lost: 9.", ":1"):
        assert words in done.stdout
    root = ET.fromstring((tmp_path / "c.svg").read_text(encoding="utf-8"))
    texts = " ".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text"))
    for words in ("Delay scan", "Polarization feedback", "Synchronization", "100:1"):
        assert words in texts


@pytest.mark.parametrize(
    ("system", "loss_db", "told", "drawn"),
    [
        (
            "metro-40-i",
            "9.3",
            ("fitted middle, ps", "clicks within 400 ps", "28.0 + "),
            "small: scan of 25 ns by 800 ps",
        ),
        (
            "metro-40-ii",
            "5.8",
            ("fitted middle, ps", "clicks within 400 ps", "28.0 + "),
            "small: scan of 25 ns by 800 ps",
        ),
        ("backbone-625-upconversion", "27", ("no gate", "clicks within 400 ps", "0.2 + "), "the detectors run freely"),
    ],
)
def test_systems_without_a_crest_are_calibrated_too(
    tmp_path: Path, system: str, loss_db: str, told: tuple[str, ...], drawn: str
) -> None:
    done = qanat("calibrate", "--system", system, "--loss-db", loss_db, "--out", str(tmp_path / "c.svg"))
    assert done.returncode == 0, done.stderr
    for words in told:
        assert words in done.stdout
    assert drawn in (tmp_path / "c.svg").read_text(encoding="utf-8")


def test_without_feedback_a_drifting_link_ends_in_an_abort(tmp_path: Path) -> None:
    common = ("--seed", "3", "--drift", "0.03", "--json")
    lost = qanat("calibrate", *common, "--no-feedback", "--out", str(tmp_path / "c.png"))
    held = qanat("calibrate", *common)
    assert (lost.returncode, held.returncode) == (2, 0), lost.stderr + held.stderr
    assert "the error rate passed 5%" in lost.stderr
    assert json.loads(lost.stdout)["watch"]["qber_last"] > 0.05
    watched = json.loads(held.stdout)["watch"]
    assert watched["aborted_at_s"] is None
    assert watched["feedbacks_s"]
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--system", "abacus"), "backbone-625"),
        (("--loss-db", "-3"), "0 to 100 dB"),
        (("--drift", "7"), "from 0 (none) to 1"),
        (("--fault", "tired"), "known faults"),
        (("--fault", "controller-stuck"), "changes nothing"),
        (("--fault", "delay-stuck", "--system", "backbone-625-upconversion"), "no delay line"),
        (("--out", "c.gif"), ".svg or .png"),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(arguments: tuple[str, ...], words: str) -> None:
    done = qanat("calibrate", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "what to do:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_detector_is_characterized() -> None:
    done = qanat("detector", "characterize", "--detector", "up-conversion", "--seed", "1", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [row["name"] for row in rows] == ["efficiency, %", "dark counts, 1/s", "dead time, ns", "after-pulses, %"]
    assert all(row["low"] <= row["record"] <= row["high"] for row in rows)

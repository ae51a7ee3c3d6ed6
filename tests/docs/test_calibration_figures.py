"""What docs/calibration.md says of its own pictures is what the commands beside them give today."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qanat.apps.cli.main import app

PAGE = (Path(__file__).parents[2] / "docs" / "calibration.md").read_text(encoding="utf-8")
FLAT = " ".join(PAGE.split())


def command_with(words: str) -> list[str]:
    """Return the arguments of the one command line of the page with these words, without its picture."""
    (line,) = (line for line in PAGE.splitlines() if line.startswith(f"    qanat {words}"))
    arguments = line.split()[1:]
    place = arguments.index("--out")
    return arguments[:place] + arguments[place + 2 :]


@pytest.mark.slow
def test_without_feedback_the_calibrated_link_ends_when_the_page_says() -> None:
    done = CliRunner().invoke(app, [*command_with("calibrate"), "--no-feedback", "--json"])
    aborted_s = json.loads(done.stdout)["watch"]["aborted_at_s"]
    assert done.exit_code == 2
    assert f"the run above ends after {aborted_s:.0f} s, exit status 2" in FLAT


@pytest.mark.campaign
def test_without_feedback_the_run_of_light_aborts_when_the_page_says() -> None:
    done = CliRunner().invoke(app, [*command_with("link"), "--no-feedback", "--json"])
    (alarm,) = json.loads(done.stdout)["alarms"]
    assert (done.exit_code, alarm["code"]) == (1, "QberTooHigh")
    assert f"the session aborts after {alarm['light_s']:.0f} s" in FLAT

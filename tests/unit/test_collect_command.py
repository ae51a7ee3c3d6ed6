"""What `qanat collect` does with a sensor's command that fails: it says so, and goes on where it can."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from qanat.adapters.readings import Readings
from qanat.apps.cli import collect
from qanat.apps.cli.collect import Plan, run_collect
from qanat.apps.cli.service_options import CIPHERS, Sealing, Who
from qanat.ground.errors import BadParameter
from qanat.services.collect import MAX_VALUE_BYTES
from qanat.services.conversation import Terms
from qanat.users.people import People
from qanat.users.services import UserServices
from service_support import House, sae_of

SAYS_THEN_SAYS_TOO_MUCH = f"""
import pathlib
seen = pathlib.Path("seen")
print("7" * ({MAX_VALUE_BYTES + 1} if seen.exists() else 2))
seen.touch()
"""


def status_of(
    monkeypatch: pytest.MonkeyPatch, folder: Path, command: str, *, every_s: float = 30.0, count: int = 1
) -> tuple[int, list[str]]:
    """Run the command of alice's for an absent bob; returns its status and what waits for him."""
    house = House(folder / "data")

    def user(people: People, *, terms: Terms) -> UserServices:
        return house.user(people.me.name, terms=terms)

    monkeypatch.setattr(collect, "people_of", lambda _: house.user("alice").people)
    monkeypatch.setattr(collect, "UserServices", user)
    monkeypatch.chdir(folder)
    plan = Plan("meter", command, every_s, count)
    status = run_collect("bob", plan, who=Who(None, None, None), sealing=Sealing(CIPHERS[0], 60.0, 0.0), as_json=False)
    waiting = Readings(folder / "data" / "users" / "alice").waiting(sae_of("bob"), most=10)
    return status, [one.value for one in waiting]


def test_a_reading_that_is_too_long_is_lost_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sensor.py").write_text(SAYS_THEN_SAYS_TOO_MUCH, encoding="utf-8")
    command = f"{sys.executable} sensor.py"
    assert status_of(monkeypatch, tmp_path, command) == (1, ["77"]), "it waits"
    assert status_of(monkeypatch, tmp_path, command) == (1, ["77"])
    assert "no reading: a reading of 1,001 bytes; at most 1,000 go" in capsys.readouterr().err


def test_a_command_that_fails_is_a_failure_where_one_reading_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(monkeypatch, tmp_path, "false") == (1, [])
    assert "no reading: false ended with status 1" in capsys.readouterr().err


def test_a_program_that_is_not_there_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadParameter, match="'no-such-sensor' cannot be started: No such file") as refusal:
        status_of(monkeypatch, tmp_path, "no-such-sensor")
    assert "PATH" in refusal.value.remedy


def test_a_program_that_cannot_be_started_later_costs_its_reading_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As while a newer one takes its place."""
    program = tmp_path / "read-boiler"
    program.write_text('#!/bin/sh\nrm "$0"\necho 71\n', encoding="utf-8")
    program.chmod(0o700)
    assert status_of(monkeypatch, tmp_path, str(program), every_s=2.0, count=2) == (1, ["71"])
    assert f"no reading: '{program}' cannot be started: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sensor", "command", "said"),
    [
        ("meter", 'printf a,b"c', "No closing quotation"),
        ("meter", "", "an empty command"),
        ("meter", None, "no command says"),
        ("My Meter", "true", "is no name of a sensor"),
    ],
)
def test_a_slip_is_told_before_anything_is_measured(sensor: str, command: str | None, said: str) -> None:
    with pytest.raises(BadParameter, match=said) as refusal:
        Plan(sensor, command, 60.0, 1)
    assert refusal.value.remedy

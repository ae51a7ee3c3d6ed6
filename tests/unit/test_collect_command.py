"""What `qanat collect` does with a sensor's command that fails: it says so, and goes on where it can."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from qanat.adapters import readings
from qanat.adapters.readings import Readings, StoredReading
from qanat.apps.cli import collect
from qanat.apps.cli.collect import Plan, run_collect, run_list
from qanat.apps.cli.service_options import CIPHERS, Sealing, Who
from qanat.ground.errors import BadParameter, ConfigurationError
from qanat.ground.identifiers import SaeId
from qanat.ground.keys import SecretKey
from qanat.ground.ports import KeySupply
from qanat.services.collect import MAX_VALUE_BYTES
from qanat.services.conversation import Terms
from qanat.users import collecting
from qanat.users.collecting import Centre
from qanat.users.people import People
from qanat.users.reception import Reception
from qanat.users.services import UserServices
from service_support import House, sae_of
from unit.service_fakes import FakeSupply, KeyStock

SAYS_THEN_SAYS_TOO_MUCH = f"""
import pathlib
seen = pathlib.Path("seen")
print("7" * ({MAX_VALUE_BYTES + 1} if seen.exists() else 2))
seen.touch()
"""


def status_of(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    command: str,
    *,
    every_s: float = 30.0,
    count: int = 1,
    as_json: bool = False,
    is_there: bool = False,
    keys: Callable[[KeyStock], KeySupply] | None = None,
) -> tuple[int, list[str]]:
    """Run the command of alice's for bob, who is away or ``is_there``; returns its status and what waits for him.
    ``keys``: her key manager."""
    house = House(folder / "data")
    if keys is not None:
        house.supplies["alice"] = keys(house.stock)

    @contextlib.asynccontextmanager
    async def user(people: People, *, terms: Terms) -> AsyncIterator[UserServices]:
        async with contextlib.AsyncExitStack() as stack:
            if is_there:
                bob = await stack.enter_async_context(house.user("bob"))
                more = {"collect": Centre(bob).serve}
                await stack.enter_async_context(Reception(bob, house.folder("bob"), more=more))
            yield await stack.enter_async_context(house.user(people.me.name, terms=terms))

    monkeypatch.setattr(collect, "people_of", lambda _: house.user("alice").people)
    monkeypatch.setattr(collect, "UserServices", user)
    monkeypatch.chdir(folder)
    plan = Plan("meter", command, every_s, count)
    sealing = Sealing(CIPHERS[0], 60.0, 0.0)
    status = run_collect("bob", plan, who=Who(None, None, None), sealing=sealing, as_json=as_json)
    waiting = Readings(folder / "data" / "users" / "alice").waiting(sae_of("bob"), most=10)
    return status, [one.value for one in waiting]


def numbers(**told: int) -> dict[str, int]:
    """Return a line of ``--json``: all are 0 but for ``told``."""
    return dict.fromkeys(("delivered", "waiting", "dropped", "held", "lost", "renumbered"), 0) | told


def is_gone(pid: int) -> bool:
    """Return whether a process ends; one that nobody has asked for its status has too. One that was killed may still
    wait for its turn to die."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def test_a_reading_that_is_too_long_is_lost_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sensor.py").write_text(SAYS_THEN_SAYS_TOO_MUCH, encoding="utf-8")
    command = f"{sys.executable} sensor.py"
    assert status_of(monkeypatch, tmp_path, command) == (1, ["77"]), "it waits"
    assert status_of(monkeypatch, tmp_path, command) == (1, ["77"])
    assert "no reading: a reading of 1,001 bytes; at most 1,000 go" in capsys.readouterr().err


def test_readings_that_wait_are_told_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(monkeypatch, tmp_path, "echo 71", as_json=True) == (1, ["71"])
    out, err = capsys.readouterr()
    outbox = tmp_path / "data" / "users" / "alice" / "readings.sqlite"
    assert outbox.exists()
    told = f"0 readings delivered to bob, 1 reading waits in {outbox}; the next `qanat collect bob` delivers it"
    assert err.splitlines()[-1] == told
    assert [json.loads(line) for line in out.splitlines()] == 2 * [numbers(waiting=1)]


def test_readings_that_were_delivered_are_told_at_the_end_those_of_before_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(monkeypatch, tmp_path, "echo 70") == (1, ["70"])
    assert status_of(monkeypatch, tmp_path, "echo 71", as_json=True, is_there=True) == (0, [])
    out, err = capsys.readouterr()
    assert err.splitlines()[-1] == "2 readings delivered to bob, none waits"
    assert [json.loads(line) for line in out.splitlines()] == 2 * [numbers(delivered=2)]


class HangingSupply(FakeSupply):
    """A key manager that answers no call before ``until_s`` (monotonic), as one that is stopped."""

    until_s = math.inf

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        while time.monotonic() < self.until_s:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.02)
        return await super().get_keys(peer, count=count, size_bits=size_bits)


COUNTS = """
import os, pathlib, signal, time
seen = pathlib.Path("seen")
seen.open("a").write("x")
print(seen.stat().st_size)
if seen.stat().st_size == {last}:
    os.kill({pid}, signal.SIGINT)
    time.sleep(30)
"""


def counting(folder: Path, *, last: int = 0) -> str:
    """Return a command that prints how often it was run, and stops who runs it at the ``last`` time."""
    (folder / "sensor.py").write_text(COUNTS.format(last=last, pid=os.getpid()), encoding="utf-8")
    return f"{sys.executable} -S sensor.py"


def test_measuring_goes_on_while_a_delivery_hangs_and_who_stops_it_is_told_what_is_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(collect, "LAST_TRY_S", 0.3)
    began_s = time.monotonic()
    status, waiting = status_of(
        monkeypatch,
        tmp_path,
        counting(tmp_path, last=4),
        every_s=0.6,
        count=100,
        as_json=True,
        is_there=True,
        keys=lambda stock: HangingSupply(stock, sae_of("alice")),
    )
    assert time.monotonic() - began_s < 5
    assert (status, waiting) == (1, ["1", "2", "3"])
    out, err = capsys.readouterr()
    outbox = tmp_path / "data" / "users" / "alice" / "readings.sqlite"
    assert f"3 readings wait in {outbox}; " in err.splitlines()[-1]
    assert err.count("a delivery has been under way for") == 1
    assert [json.loads(line)["waiting"] for line in out.splitlines()][:3] == [1, 2, 3], "a line after each period"


def test_what_was_measured_while_the_delivery_hung_comes_in_order_once_and_with_its_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys(stock: KeyStock) -> KeySupply:
        supply = HangingSupply(stock, sae_of("alice"))
        supply.until_s = time.monotonic() + 1.5
        return supply

    command = counting(tmp_path)
    assert status_of(monkeypatch, tmp_path, command, every_s=0.5, count=5, is_there=True, keys=keys) == (0, [])
    came = [one for _, one in Readings(tmp_path / "data" / "users" / "bob").collected()]
    assert [one.value for one in came] == ["1", "2", "3", "4", "5"]
    assert all(0.2 < after.utc_s - before.utc_s < 0.9 for before, after in pairwise(came)), "as they were measured"


def test_a_full_outbox_drops_the_oldest_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(readings, "MOST_WAITING", 3)
    assert status_of(monkeypatch, tmp_path, counting(tmp_path), every_s=0.3, count=5) == (1, ["3", "4", "5"])
    err = capsys.readouterr().err
    assert err.count(" readings): 1 reading dropped, the oldest") == 2
    assert "0 readings delivered to bob, 2 readings dropped from a full outbox, 3 readings wait in " in err


def full_disk(monkeypatch: pytest.MonkeyPatch, *, calls: int) -> None:
    """Let the outbox be such that the first calls cannot write it."""
    post, left = Readings.post, [None] * calls

    def full_at_first(self: Readings, *told: Any) -> int:
        if left:
            left.pop()
            raise ConfigurationError("database or disk is full", remedy="make room on its disk")
        return post(self, *told)

    monkeypatch.setattr(Readings, "post", full_at_first)


def test_what_an_outbox_that_cannot_be_written_does_not_take_is_kept_in_memory_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full_disk(monkeypatch, calls=2)
    command = counting(tmp_path)
    assert status_of(monkeypatch, tmp_path, command, every_s=0.3, count=3, as_json=True) == (1, ["1", "2", "3"])
    out, err = capsys.readouterr()
    kept = "readings are kept in memory, 10,000 at most, until the outbox can be written: database or disk is full"
    assert err.count(kept) == 1
    assert "the outbox can be written again: 2 readings that the memory kept went into it" in err
    assert [json.loads(line)["held"] for line in out.splitlines()] == [1, 2, 0, 0]


def test_what_the_memory_keeps_at_the_end_is_written_where_it_can_be_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(monkeypatch, calls=2)
    assert status_of(monkeypatch, tmp_path, counting(tmp_path), every_s=0.3, count=2, is_there=True) == (0, [])
    came = [one.value for _, one in Readings(tmp_path / "data" / "users" / "bob").collected()]
    assert came == ["1", "2"]


def test_readings_that_no_disk_took_are_counted_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full_disk(monkeypatch, calls=99)
    monkeypatch.setattr(collecting, "MOST_HELD", 2)
    command = counting(tmp_path)
    status = status_of(monkeypatch, tmp_path, command, every_s=0.3, count=3, is_there=True, as_json=True)
    assert status == (1, [])
    out, err = capsys.readouterr()
    assert "the memory is full: 1 reading lost, the oldest" in err
    last = "0 readings delivered to bob, 3 readings lost as the outbox could not be written, none waits"
    assert err.splitlines()[-1] == last
    assert json.loads(out.splitlines()[-1]) == numbers(lost=3)


def test_an_outbox_that_cannot_be_read_ends_nothing_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any, **__: Any) -> int:
        raise ConfigurationError("database or disk is full", remedy="make room on its disk")

    count, calls = Readings.num_waiting, list[int]()

    def full_at_first(self: Readings, centre: SaeId) -> int:
        calls.append(1)
        return full() if len(calls) < 3 else count(self, centre)

    monkeypatch.setattr(Readings, "num_waiting", full_at_first)
    status, _ = status_of(monkeypatch, tmp_path, counting(tmp_path), every_s=0.3, count=3)
    assert status == 1
    said = capsys.readouterr().err
    assert said.count("readings wait: database or disk is full (make room on its disk)") == 1
    assert "3 readings wait" in said


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


def test_a_command_that_prints_nothing_gives_no_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(monkeypatch, tmp_path, "true") == (1, [])
    assert status_of(monkeypatch, tmp_path, "echo ' '") == (1, [])
    assert capsys.readouterr().err.count("no reading: the sensor said nothing") == 2


def test_a_reading_does_not_wait_for_what_its_command_leaves_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "sh -c '(sleep 3; touch late) & echo 71'"
    assert status_of(monkeypatch, tmp_path, command) == (1, ["71"])
    assert not (tmp_path / "late").exists()


def test_a_command_that_takes_too_long_is_killed_with_what_it_started_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "sh -c '(sleep 3; touch late) & echo $! > started; wait'"
    assert status_of(monkeypatch, tmp_path, command, every_s=0.5) == (1, [])
    assert not (tmp_path / "late").exists()
    assert "no reading: sh took longer than the period of 0.5 s" in capsys.readouterr().err
    assert is_gone(int((tmp_path / "started").read_text()))


def test_a_command_that_prints_without_end_is_killed_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "sh -c 'sleep 60 & echo $! > started; yes'"
    assert status_of(monkeypatch, tmp_path, command) == (1, [])
    said = capsys.readouterr().err
    assert "no reading: sh printed more than 65,536 bytes" in said
    assert "let it print the reading alone" in said
    assert is_gone(int((tmp_path / "started").read_text()))


def test_who_stops_it_does_not_wait_for_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f"sh -c 'kill -INT {os.getpid()}; sleep 3; touch late'"
    assert status_of(monkeypatch, tmp_path, command) == (1, [])
    assert not (tmp_path / "late").exists()
    assert "no reading: sh was stopped" in capsys.readouterr().err


@pytest.mark.parametrize(("is_terminal", "shown"), [(True, "7?[31m1"), (False, "7\x1b[31m1")])
def test_readings_steer_no_terminal_and_go_into_a_file_as_they_came(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_terminal: bool,
    shown: str,
) -> None:
    people = House(tmp_path / "data").user("bob").people
    one = StoredReading("meter", "ab" * 16, 1, 5.0, "7\x1b[31m1")
    assert asyncio.run(Readings(people.me.home).keep(sae_of("alice"), [one])) == ([one], [])
    monkeypatch.setattr(collect, "people_of", lambda _: people)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    assert run_list(Who(None, None, None), as_json=False) == 0
    assert capsys.readouterr().out.splitlines()[1] == f"1970-01-01T00:00:05Z,alice,meter,{shown}"


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

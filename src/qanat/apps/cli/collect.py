"""What ``qanat collect`` does: run a sensor's command periodically, send what it says, print what came to a centre."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import os
import shlex
import signal
import sys
import tempfile
import time
from dataclasses import dataclass

from qanat.adapters.readings import Readings
from qanat.apps.cli.service_options import Sealing, Who
from qanat.apps.cli.service_place import people_of, print_json, stopped_by_signals, tell, terms_of
from qanat.ground.errors import BadParameter, QanatError
from qanat.services.collect import Reading
from qanat.services.conversation import printable
from qanat.users.collecting import Sensor
from qanat.users.services import UserServices


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, how often; ``count`` None: until stopped."""

    sensor: str
    command: str | None
    every_s: float
    count: int | None

    def __post_init__(self) -> None:
        Reading(self.sensor, "", 0, 0.0, "").check()
        if self.count != 0 and not self.words():
            fault = "no command says what the sensor reads" if self.command is None else "an empty command"
            raise BadParameter(fault, remedy="--run COMMAND, or --count 0")

    def words(self) -> list[str]:
        """Return the command's words; raises BadParameter."""
        try:
            return shlex.split(self.command or "")
        except ValueError as fault:
            raise BadParameter(
                f"--run {self.command}: {fault}", remedy="close each quote, or put a backslash before one that is meant"
            ) from None


def run_collect(centre: str, plan: Plan, *, who: Who, sealing: Sealing, as_json: bool) -> int:
    """Measure and send until stopped or done; 0 when nothing waits any more, 1 otherwise, and where ``count`` readings
    were asked for and one of them could not be had."""
    people = people_of(who)

    async def work() -> int:
        stop = stopped_by_signals()
        async with UserServices(people, terms=terms_of(sealing)) as user:
            sensor = Sensor(user, centre, name=plan.sensor)
            begin_s, done, missed = time.monotonic(), 0, 0
            while not stop.is_set() and (plan.count is None or done < plan.count):
                missed += not await _measure(sensor, plan, stop, is_first=not done)
                done += 1
                _show(await _deliver(sensor), as_json)
                if done != plan.count:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), max(0.0, begin_s + done * plan.every_s - time.monotonic()))
            left = await sensor.deliver()
        _show(left, as_json)
        return 1 if left or (plan.count is not None and missed) else 0

    return asyncio.run(work())


def run_list(who: Who, *, as_json: bool) -> int:
    """Print all readings that came here, as CSV or as lines of JSON; 0. A terminal is steered by none of them."""
    people = people_of(who)
    name = people.directory.name_of
    shown = printable if sys.stdout.isatty() else str
    rows = csv.writer(sys.stdout)
    if not as_json:
        rows.writerow(["utc", "sender", "sensor", "value"])
    for sender, one in Readings(people.me.home).collected():
        if as_json:
            print_json({"reading": one._asdict() | {"sender": name(sender)}})
        else:
            utc = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(one.utc_s))
            rows.writerow([utc, name(sender), one.sensor, shown(one.value)])
    return 0


async def _measure(sensor: Sensor, plan: Plan, stop: asyncio.Event, *, is_first: bool) -> bool:
    """Put what the command prints into the outbox; returns whether there is a reading, and tells why there is none.

    Raises BadParameter where the command cannot be started the first time: later it is one that could be, of a machine
    that has no process left just now or whose program is being replaced.
    """
    words = plan.words()
    with contextlib.ExitStack() as stack:
        try:
            output = stack.enter_context(tempfile.TemporaryFile())  # a pipe would end with what it leaves running
            process = await asyncio.create_subprocess_exec(*words, stdout=output, start_new_session=True)
        except OSError as fault:
            why = f"{words[0]!r} cannot be started: {fault.strerror}"
            if is_first:
                raise BadParameter(
                    f"--run: {why}",
                    remedy="name a program that this user may run, by its path where it is not on PATH",
                ) from None
            tell(f"no reading: {why}")
            return False
        if (fate := await _fault_of(process, plan.every_s, stop)) is not None:
            tell(f"no reading: {words[0]} {fate}")
            return False
        said = os.pread(output.fileno(), os.fstat(output.fileno()).st_size, 0)
    try:
        await sensor.put(said.decode("utf-8", "replace").strip())
    except BadParameter as fault:
        tell(f"no reading: {fault}")
        return False
    return True


async def _fault_of(process: asyncio.subprocess.Process, within_s: float, stop: asyncio.Event) -> str | None:
    """Return why a command gives no reading, once it has ended; None where it may."""
    if not await _has_ended(process, within_s, stop):
        return "was stopped" if stop.is_set() else f"took longer than the period of {within_s:g} s"
    return f"ended with status {process.returncode}" if process.returncode else None


async def _has_ended(process: asyncio.subprocess.Process, within_s: float, stop: asyncio.Event) -> bool:
    """Return whether a command ends in time and before ``stop``; if not, it is killed with all that it started."""
    waits = [asyncio.create_task(process.wait()), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        return process.returncode is not None
    finally:
        for one in waits:
            one.cancel()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _deliver(sensor: Sensor) -> int | None:
    """Return how many readings wait; None when a fault that is told keeps them."""
    try:
        return await sensor.deliver()
    except QanatError as fault:
        tell(f"readings wait: {fault}")
        return None


def _show(left: int | None, as_json: bool) -> None:
    if left:
        tell(f"{left} readings wait until the centre receives")
    if as_json and left is not None:
        print_json({"waiting": left})

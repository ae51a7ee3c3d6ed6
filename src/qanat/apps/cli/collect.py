"""What ``qanat collect`` does: run a sensor's command periodically, send what it says, print what came to a centre."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import shlex
import sys
import time
from dataclasses import dataclass

from qanat.adapters.commands import Fate, Outcome, run_command
from qanat.adapters.readings import Readings
from qanat.apps.cli.outputs import ClosedOutput
from qanat.apps.cli.presentation import counted
from qanat.apps.cli.service_options import Sealing, Who
from qanat.apps.cli.service_place import people_of, print_json, stopped_by_signals, tell, terms_of
from qanat.ground.errors import BadParameter, QanatError
from qanat.services.collect import MAX_VALUE_BYTES, Reading
from qanat.services.conversation import printable
from qanat.users.collecting import Sensor
from qanat.users.services import UserServices

MOST_PRINTED_BYTES = 2**16
"""By a sensor's command: a reading is far shorter, and what goes on printing would fill the memory."""


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
    were asked for and one of them could not be had. Where nobody reads its output any more it ends with 0."""
    people = people_of(who)

    async def work() -> int:
        stop = stopped_by_signals()
        closed = ClosedOutput(stop)
        show = closed.watched(_show if as_json else lambda *_: None)
        async with UserServices(people, terms=terms_of(sealing)) as user:
            sensor = Sensor(user, centre, name=plan.sensor)
            begin_s, done, missed = time.monotonic(), 0, 0
            while not stop.is_set() and (plan.count is None or done < plan.count):
                missed += not await _measure(sensor, plan, stop, is_first=not done)
                done += 1
                show(sensor, await _deliver(sensor))
                if done != plan.count:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), max(0.0, begin_s + done * plan.every_s - time.monotonic()))
            try:
                left = await sensor.deliver()
            finally:
                tell(await _outcome(sensor, centre))
        show(sensor, left)
        if closed.is_closed:
            return 0
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
    try:
        end = await run_command(words, within_s=plan.every_s, most_bytes=MOST_PRINTED_BYTES, stop=stop)
    except OSError as fault:
        why = f"{words[0]!r} cannot be started: {fault.strerror}"
        if is_first:
            raise BadParameter(
                f"--run: {why}",
                remedy="name a program that this user may run, by its path where it is not on PATH",
            ) from None
        tell(f"no reading: {why}")
        return False
    if (why_none := _fault_of(end, plan.every_s)) is not None:
        tell(f"no reading: {words[0]} {why_none}")
        return False
    try:
        await sensor.put(end.output.decode("utf-8", "replace").strip())
    except BadParameter as fault:
        tell(f"no reading: {fault}")
        return False
    return True


def _fault_of(end: Outcome, within_s: float) -> str | None:
    """Return why a command gives no reading; None where it may."""
    match end.fate:
        case Fate.STOPPED:
            return "was stopped"
        case Fate.TOO_LONG:
            return f"took longer than the period of {within_s:g} s"
        case Fate.TOO_MUCH:
            return (
                f"printed more than {MOST_PRINTED_BYTES:,} bytes and was ended: let it print the reading alone, "
                f"at most {MAX_VALUE_BYTES:,} bytes"
            )
        case Fate.ENDED:
            return f"ended with status {end.status}" if end.status else None


async def _deliver(sensor: Sensor) -> int | None:
    """Return how many readings wait; None when a fault that is told keeps them."""
    try:
        left = await sensor.deliver()
    except QanatError as fault:
        tell(f"readings wait: {fault}")
        return None
    if left:
        tell(_waiting(left))
    return left


async def _outcome(sensor: Sensor, centre: str) -> str:
    """Return what became of all readings, at the end."""
    waiting = await sensor.num_waiting()
    delivered = f"{counted(sensor.num_delivered, 'reading')} delivered to {centre}"
    return f"{delivered}, {_waiting(waiting) if waiting else 'none waits'}"


def _waiting(num_readings: int) -> str:
    return f"{counted(num_readings, 'reading')} {'waits' if num_readings == 1 else 'wait'} until the centre receives"


def _show(sensor: Sensor, left: int | None) -> None:
    if left is not None:
        print_json({"delivered": sensor.num_delivered, "waiting": left})

"""What ``qanat collect`` does: run a sensor's command periodically, send what it says, print what came to a centre.

Measuring waits for no delivery: each reading goes into the outbox, which is emptied beside that.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from qanat.adapters.commands import Fate, Outcome, run_command
from qanat.adapters.readings import MOST_WAITING, collected_in
from qanat.apps.cli.outputs import ClosedOutput
from qanat.apps.cli.presentation import counted
from qanat.apps.cli.service_options import Sealing, Who
from qanat.apps.cli.service_place import people_of, print_json, stopped_by_signals, tell, terms_of
from qanat.ground.errors import BadParameter, ConfigurationError, QanatError
from qanat.services.collect import MAX_VALUE_BYTES, Reading
from qanat.services.conversation import printable
from qanat.users.collecting import MOST_HELD, Sensor
from qanat.users.services import UserServices

MOST_PRINTED_BYTES = 2**16
"""By a sensor's command: a reading is far shorter, and what goes on printing would fill the memory."""
LAST_TRY_S = 5.0
"""So long a delivery may go on once the command has been asked to stop."""
LONG_DELIVERY_S = 1.0
"""One that takes longer, and keeps readings waiting at the end of a period, is told of; again after twice as long."""


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
    """Measure and send until stopped or done; 0 when nothing waits any more, 1 otherwise, and where a reading was lost,
    or ``count`` were asked for and one of them could not be had. Where nobody reads its output any more it ends with 0,
    unless one was lost."""
    people = people_of(who)

    async def work() -> int:
        stop = stopped_by_signals()
        closed = ClosedOutput(stop)
        show = closed.watched(_show if as_json else _show_nothing)
        async with UserServices(people, terms=terms_of(sealing)) as user:
            sensor = Sensor(user, centre, name=plan.sensor, say=tell)
            async with _Deliveries(sensor, stop) as deliveries:
                missed = await _measure_all(sensor, plan, stop, deliveries, show)
                left: int | None = None
                try:
                    left = await deliveries.last()
                finally:
                    sensor.give_up_held()
                    tell(await _outcome(sensor, centre))
                    show(sensor, await deliveries.num_waiting() if left is None else left)
        if sensor.num_lost or sensor.num_dropped:
            return 1
        if closed.is_closed:
            return 0
        return 1 if left or (plan.count is not None and missed) else 0

    return asyncio.run(work())


def run_list(who: Who, *, as_json: bool) -> int:
    """Print all readings that came here, as CSV or as lines of JSON; 0. A terminal is steered by none of them. Raises
    ConfigurationError where the file is no collection; where there is none that is told."""
    people = people_of(who)
    came = collected_in(people.me.home)
    if came is None:
        tell(f"no reading has come here: there is no readings.sqlite in {people.me.home.resolve()}")
    name = people.directory.name_of
    shown = printable if sys.stdout.isatty() else str
    rows = csv.writer(sys.stdout)
    if not as_json:
        rows.writerow(["utc", "sender", "sensor", "value"])
    for sender, one in came or ():
        if as_json:
            print_json({"reading": one._asdict() | {"sender": name(sender)}})
        else:
            utc = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(one.utc_s))
            rows.writerow([utc, name(sender), one.sensor, shown(one.value)])
    return 0


class _Deliveries:
    """The deliveries of a sensor's readings, one at a time, beside what is measured; an async context manager, at whose
    end none is under way any more."""

    def __init__(self, sensor: Sensor, stop: asyncio.Event) -> None:
        self._sensor = sensor
        self._stop = stop
        self._task: asyncio.Task[None] | None = None
        self._began_s = 0.0
        self._told_after_s = LONG_DELIVERY_S
        """When it is told of the delivery under way that it takes long."""
        self._fault = ""
        """Why it cannot be counted what waits, as it was told last."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            await _ended(self._task)

    async def until(self, due_s: float) -> int | None:
        """Deliver what waits, by a delivery that begins now or when the one under way is over, until ``due_s`` at most
        or this is stopped; returns how many readings wait then, as ``num_waiting`` does. What keeps them is told."""
        is_fresh = False
        while not is_fresh:
            if self._task is None:
                self._task, self._began_s = asyncio.create_task(self._try()), time.monotonic()
                self._told_after_s = LONG_DELIVERY_S
                is_fresh = True
            await _first_of(self._task, self._stop, within_s=due_s - time.monotonic())
            if not self._task.done():
                break
            task, self._task = self._task, None
            await task
        waiting = await self.num_waiting()
        took_s = time.monotonic() - self._began_s
        if waiting and self._task is not None and took_s > self._told_after_s:
            self._told_after_s = 2 * took_s
            tell(f"{_waiting(waiting)}: a delivery has been under way for {took_s:.0f} s")
        return waiting

    async def last(self) -> int:
        """Deliver what waits, as long as that takes and, once this is stopped, for LAST_TRY_S at most; returns how many
        readings wait still. Before and after it, what is held in memory goes into the outbox where that can be written.
        Raises what ``Sensor.deliver`` raises."""
        finishing = asyncio.create_task(self._finish())
        try:
            await _first_of(finishing, self._stop)
            await asyncio.wait([finishing], timeout=LAST_TRY_S)
            if finishing.done():
                await finishing
        finally:
            await _ended(finishing)
            await write_held(self._sensor)
        return await self._sensor.num_waiting()

    async def num_waiting(self) -> int | None:
        """Return how many readings wait; None where the outbox cannot be read, which is told: what is measured next may
        find it there again."""
        try:
            waiting = await self._sensor.num_waiting()
        except ConfigurationError as fault:
            self._tell_once(fault)
            return None
        self._fault = ""
        return waiting

    async def _finish(self) -> int:
        if self._task is not None:
            await self._task
        await write_held(self._sensor)
        return await self._sensor.deliver()

    async def _try(self) -> None:
        try:
            if left := await self._sensor.deliver():
                tell(f"{_waiting(left)} until the centre receives")
        except ConfigurationError as fault:
            self._tell_once(fault)
        except QanatError as fault:
            tell(f"readings wait: {fault}")

    def _tell_once(self, fault: ConfigurationError) -> None:
        if str(fault) != self._fault:
            tell(f"readings wait: {fault}")
        self._fault = str(fault)


async def _first_of(task: asyncio.Task[Any], stop: asyncio.Event, *, within_s: float | None = None) -> None:
    """Return when a task is over, ``stop`` is set, or the time is."""
    stopped = asyncio.create_task(stop.wait())
    limit_s = None if within_s is None else max(0.0, within_s)
    try:
        await asyncio.wait([task, stopped], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()


async def _ended(task: asyncio.Task[Any]) -> None:
    """End a task, and return when it is over; what it raises is raised elsewhere."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _measure_all(
    sensor: Sensor, plan: Plan, stop: asyncio.Event, deliveries: _Deliveries, show: Callable[[Sensor, int | None], None]
) -> int:
    """Measure once in each period until stopped or done; returns how many readings could not be had."""
    begin_s, done, missed = time.monotonic(), 0, 0
    while not stop.is_set() and (plan.count is None or done < plan.count):
        missed += not await _measure(sensor, plan, stop, is_first=not done)
        done += 1
        due_s = begin_s + done * plan.every_s
        show(sensor, await deliveries.until(due_s))
        if done != plan.count:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, due_s - time.monotonic()))
    return missed


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
    dropped, lost, held = sensor.num_dropped, sensor.num_lost, sensor.num_held
    try:
        await sensor.put(end.output.decode("utf-8", "replace").strip())
    except BadParameter as fault:
        tell(f"no reading: {fault}")
        return False
    except ConfigurationError as fault:
        if not held:
            tell(f"readings are kept in memory, {MOST_HELD:,} at most, until the outbox can be written: {fault}")
        if lost := sensor.num_lost - lost:
            tell(f"the outbox cannot be written, and the memory is full: {counted(lost, 'reading')} lost, the oldest")
    else:
        if held:
            tell(f"the outbox can be written again: {counted(held, 'reading')} that the memory kept went into it")
    if dropped := sensor.num_dropped - dropped:
        tell(f"the outbox is full ({MOST_WAITING:,} readings): {counted(dropped, 'reading')} dropped, the oldest")
    return True


async def write_held(sensor: Sensor) -> None:
    """Put what is held in memory into the outbox, where that can be written."""
    with contextlib.suppress(ConfigurationError):
        await sensor.write_held()


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


async def _outcome(sensor: Sensor, centre: str) -> str:
    """Return what became of all readings, at the end."""
    told = f"{counted(sensor.num_delivered, 'reading')} delivered to {centre}"
    if sensor.num_dropped:
        told += f", {counted(sensor.num_dropped, 'reading')} dropped from a full outbox"
    if sensor.num_lost:
        told += f", {counted(sensor.num_lost, 'reading')} lost as the outbox could not be written"
    try:
        waiting = await sensor.num_waiting()
    except ConfigurationError as fault:
        return f"{told}; how many wait is not known: {fault}"
    if not waiting:
        return f"{told}, none waits"
    again = f"the next `qanat collect {centre}` delivers {'it' if waiting == 1 else 'them'}"
    return f"{told}, {_waiting(waiting)} in {sensor.outbox.resolve()}; {again}"


def _waiting(num_readings: int) -> str:
    return f"{counted(num_readings, 'reading')} {'waits' if num_readings == 1 else 'wait'}"


def _show_nothing(_sensor: Sensor, _waiting: int | None) -> None:
    """Tell programs nothing: there is none."""


def _show(sensor: Sensor, waiting: int | None) -> None:
    """Tell programs the numbers; ``waiting`` None: not known."""
    print_json(
        {
            "delivered": sensor.num_delivered,
            "waiting": waiting,
            "dropped": sensor.num_dropped,
            "held": sensor.num_held,
            "lost": sensor.num_lost,
            "renumbered": sensor.num_renumbered,
        }
    )

"""Listeners that fail: what comes is kept and confirmed all the same, and what nobody was told of is told of later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from qanat.users.collecting import Centre, Sensor
from qanat.users.reception import Listeners, Reception
from service_support import House, until
from unit.test_file_delivery import made_file, run


@dataclass
class Failing:
    """A listener that raises; ``raised``: how often, ``handled``: what came to the loop's handler."""

    fault: Exception
    raised: int = 0
    handled: list[object] = field(default_factory=list)

    def __call__(self, *_: object) -> None:
        self.raised += 1
        raise self.fault

    def watch(self) -> None:
        asyncio.get_running_loop().set_exception_handler(self._handle)

    def _handle(self, _: object, context: dict[str, Any]) -> None:
        self.handled.append(context.get("exception"))


FAULTS = [BrokenPipeError(32, "Broken pipe"), ValueError("a slip of the listener's")]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_text_of_which_nobody_could_be_told_is_confirmed_once_and_told_of_later(
    tmp_path: Path, fault: Exception
) -> None:
    async def work() -> None:
        house, failing = House(tmp_path / "data"), Failing(fault)
        failing.watch()
        async with house.user("bob") as bob, house.user("alice") as alice:
            async with Reception(bob, house.folder("bob"), listeners=Listeners(on_text=failing)):
                report = await alice.text("bob", "hello")
            assert list(report.delivered) == ["bob"]
            assert await alice.deliver_waiting() == 0
            assert (failing.raised, failing.handled) == (1, [fault])
        async with house.reception("bob") as reception:
            reception.show_fresh()
        assert [text.body for text in house.texts["bob"]] == ["hello"]

    run(work())


def test_who_says_so_is_told_that_the_output_is_closed(tmp_path: Path) -> None:
    async def work() -> None:
        house, failing, told = House(tmp_path / "data"), Failing(FAULTS[0]), list[OSError]()
        failing.watch()
        listeners = Listeners(on_text=failing, on_file=failing, on_progress=failing, on_broken=told.append)
        reception = Reception(house.user("bob"), house.folder("bob"), listeners=listeners)
        async with reception, house.user("alice") as alice:
            (sent,) = await alice.send(made_file(tmp_path), "bob")
            assert list((await alice.text("bob", "hello")).delivered) == ["bob"]
            await reception.end_deliveries()
        assert len(told) == failing.raised >= 3
        assert failing.handled == []
        assert house.came("bob") == [sent.name]

    run(work())


def test_readings_are_confirmed_whoever_cannot_be_told(tmp_path: Path) -> None:
    async def work() -> None:
        house, failing = House(tmp_path / "data"), Failing(FAULTS[1])
        failing.watch()
        async with house.user("bob") as bob, house.user("alice") as alice:
            sensor = Sensor(alice, "bob", name="meter")
            await sensor.put("21.5")
            serve = Centre(bob, on_fresh=failing).serve
            async with Reception(bob, house.folder("bob"), more={"collect": serve}):
                assert await sensor.deliver() == 0
            assert failing.handled == [FAULTS[1]]

    run(work())


@pytest.mark.parametrize("is_told_first", [True, False])
def test_a_delivery_in_hand_is_confirmed_before_its_end_is_waited_for(tmp_path: Path, is_told_first: bool) -> None:
    """Who ends after the first thing that came stops listening only when its sender has heard that it came."""

    async def work() -> None:
        house, came = House(tmp_path / "data"), asyncio.Event()
        say: Callable[[object], None] = lambda _: came.set()  # noqa: E731
        listeners = Listeners(on_text=say) if is_told_first else Listeners(on_file=say)
        async with house.user("bob") as bob, house.user("alice") as alice:
            async with Reception(bob, house.folder("bob"), listeners=listeners) as reception:
                path = made_file(tmp_path, num_bytes=100)
                sending = asyncio.create_task(alice.text("bob", "hello") if is_told_first else alice.send(path, "bob"))
                await came.wait()
                await reception.end_deliveries()
            await until(sending.done)
            assert alice.mailbox.waiting() == []

    run(work())

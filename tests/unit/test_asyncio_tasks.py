"""Tasks on asyncio: no lost wake-up, no fault unheard, nothing left running."""

from __future__ import annotations

import asyncio
import time

import pytest

from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.ground.errors import StoreFailed
from qanat.ground.identifiers import Topic
from qanat.ground.ports import Tasks

KEYS = Topic("keys")
FOREVER_S = 60.0


def soon(seconds: float) -> float:
    return time.monotonic() + seconds


async def fail(fault: BaseException) -> None:
    await asyncio.sleep(0)
    raise fault


def test_works_done_together_begin_in_order_and_all_end_before_the_first_fault_is_raised() -> None:
    async def scene() -> None:
        begun: list[int] = []
        ended: list[int] = []

        async def work(number: int, *, turns: int, fault: BaseException | None = None) -> int:
            begun.append(number)
            for _ in range(turns):
                await asyncio.sleep(0)
            if fault is not None:
                raise fault
            ended.append(number)
            return number

        async with AsyncioTasks() as tasks:
            assert await tasks.together(work(1, turns=3), work(2, turns=1)) == [1, 2]
            assert (begun, ended) == ([1, 2], [2, 1])
            late, soon = StoreFailed("late", remedy=""), StoreFailed("soon", remedy="")
            with pytest.raises(StoreFailed, match="late"):
                await tasks.together(work(3, turns=5, fault=late), work(4, turns=1, fault=soon), work(5, turns=9))
            assert ended == [2, 1, 5]
            assert await tasks.together() == []

    asyncio.run(scene())


def test_notify_wakes_all_who_wait_and_only_them() -> None:
    async def scene() -> None:
        woken: list[str] = []

        async def wait_for(topic: str, name: str) -> None:
            if await tasks.wait(Topic(topic), until_monotonic_s=soon(FOREVER_S)):
                woken.append(name)

        async with AsyncioTasks() as tasks:
            port: Tasks = tasks
            for name in ("one", "two"):
                port.start(wait_for("keys", name), name=name)
            port.start(wait_for("links", "three"), name="three")
            await asyncio.sleep(0)
            port.notify(KEYS)
            await asyncio.sleep(0.01)
            assert sorted(woken) == ["one", "two"]

    asyncio.run(scene())


def test_a_notice_before_the_wait_does_not_count() -> None:
    async def scene() -> None:
        async with AsyncioTasks() as tasks:
            tasks.notify(KEYS)
            assert not await tasks.wait(KEYS, until_monotonic_s=soon(0.005))

    asyncio.run(scene())


def test_a_wait_whose_time_has_passed_returns_false_and_leaves_no_trace() -> None:
    async def scene() -> None:
        async with AsyncioTasks() as tasks:
            assert not await tasks.wait(KEYS, until_monotonic_s=soon(-1.0))
            assert tasks._waiters == {}

    asyncio.run(scene())


def test_no_wake_up_is_lost_in_a_relay_of_waiters() -> None:
    """Each turn a waiter begins its wait in the very step that its predecessor's notice ends."""

    async def scene() -> None:
        turns = 0

        async def player(me: str, other: str) -> None:
            nonlocal turns
            while turns < 1000:
                assert await tasks.wait(Topic(me), until_monotonic_s=soon(FOREVER_S))
                turns += 1
                tasks.notify(Topic(other))
            tasks.notify(Topic("end"))

        async with AsyncioTasks() as tasks:
            tasks.start(player("left", "right"), name="left")
            tasks.start(player("right", "left"), name="right")
            await asyncio.sleep(0)
            tasks.notify(Topic("left"))
            assert await tasks.wait(Topic("end"), until_monotonic_s=soon(FOREVER_S))
        assert turns >= 1000

    asyncio.run(scene())


def test_a_task_that_raises_brings_the_node_down() -> None:
    ended: list[str] = []

    async def stay() -> None:
        try:
            await asyncio.sleep(FOREVER_S)
        finally:
            ended.append("other task")

    async def scene() -> None:
        try:
            async with AsyncioTasks() as tasks:
                tasks.start(stay(), name="stay")
                tasks.start(fail(StoreFailed("the disk is full")), name="store")
                await asyncio.sleep(FOREVER_S)
        finally:
            ended.append("body")

    with pytest.raises(StoreFailed, match="disk is full") as caught:
        asyncio.run(scene())
    assert ended == ["other task", "body"]
    assert any("'store'" in note for note in caught.value.__notes__)


def test_a_fault_while_the_body_ends_is_heard_too() -> None:
    async def clean_up_badly() -> None:
        try:
            await asyncio.sleep(FOREVER_S)
        finally:
            raise StoreFailed("could not close")

    async def scene() -> None:
        async with AsyncioTasks() as tasks:
            tasks.start(clean_up_badly(), name="store")
            await asyncio.sleep(0)

    with pytest.raises(StoreFailed, match="could not close"):
        asyncio.run(scene())


def test_the_body_can_go_on_after_a_failed_node() -> None:
    """The cancellation that brought one node down is used up: the same task may start the next one."""

    async def node() -> None:
        async with AsyncioTasks() as tasks:
            tasks.start(fail(StoreFailed("once")), name="store")
            await asyncio.sleep(FOREVER_S)

    async def scene() -> str:
        with pytest.raises(StoreFailed):
            await node()
        await asyncio.sleep(0.001)
        current = asyncio.current_task()
        assert current is not None
        assert current.cancelling() == 0
        return "went on"

    assert asyncio.run(scene()) == "went on"


def test_a_cancellation_from_outside_stays_one() -> None:
    async def node() -> None:
        async with AsyncioTasks() as tasks:
            tasks.start(asyncio.sleep(FOREVER_S), name="sleeper")
            await asyncio.sleep(FOREVER_S)

    async def scene() -> None:
        task = asyncio.create_task(node())
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scene())


def test_tasks_that_are_a_part_of_others_may_end_earlier() -> None:
    async def scene() -> None:
        ended: list[str] = []

        async def wait(name: str) -> None:
            try:
                await tasks.wait(KEYS, until_monotonic_s=soon(FOREVER_S))
            finally:
                ended.append(name)

        async with AsyncioTasks() as tasks:
            tasks.start(wait("whole"), name="whole")
            async with AsyncioTasks(part_of=tasks) as part:
                part.start(wait("part"), name="part")
                await asyncio.sleep(0)
            assert ended == ["part"]
        assert ended == ["part", "whole"]

    asyncio.run(scene())


def test_a_fault_in_a_part_brings_the_whole_node_down() -> None:
    async def scene() -> None:
        async with AsyncioTasks() as tasks, AsyncioTasks(part_of=tasks) as part:
            part.start(fail(StoreFailed("no room")), name="writer")
            await asyncio.sleep(FOREVER_S)

    with pytest.raises(StoreFailed, match="no room"):
        asyncio.run(scene())

"""What somebody waits for goes first, wherever it leads, and what goes on beside it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.awaited import AWAITED, AwaitedFirstLoop, awaited_context, task_beside


def run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=AwaitedFirstLoop) as runner:
        runner.run(work)


def test_what_is_awaited_overtakes_what_was_ready_before_it_and_keeps_its_own_order() -> None:
    done: list[str] = []

    async def work(name: str) -> None:
        for turn in range(2):
            done.append(f"{name}{turn}")
            await asyncio.sleep(0)

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(work("a")), loop.create_task(work("b"))]
        tasks += [loop.create_task(work(name), context=awaited_context()) for name in ("x", "y")]
        await asyncio.gather(*tasks)

    run(scene())
    assert done == ["x0", "y0", "x1", "y1", "a0", "b0", "a1", "b1"]


def test_others_go_on_however_much_is_awaited() -> None:
    turns_of_others, is_over = 0, False

    async def endless() -> None:
        while not is_over:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def other() -> None:
        nonlocal turns_of_others, is_over
        for _ in range(10):
            turns_of_others += 1
            await asyncio.sleep(0)
        is_over = True

    async def scene() -> None:
        asking = [asyncio.get_running_loop().create_task(endless(), context=awaited_context()) for _ in range(3)]
        await asyncio.gather(other(), *asking)

    run(asyncio.wait_for(scene(), 60))
    assert turns_of_others == 10


def test_the_mark_goes_with_a_call_and_with_its_parts_and_not_with_what_is_begun_beside_it() -> None:
    marks: dict[str, bool] = {}

    async def note(name: str) -> None:
        marks[name] = AWAITED.get()

    async def call(tasks: AsyncioTasks) -> None:
        await note("itself")
        await tasks.together(note("a part"), note("another"))
        tasks.start(note("background"), name="background")
        tasks.start(note("a part by itself"), name="a part", is_part=True)
        await task_beside(note("beside"), name="beside")
        await note("itself, later")

    async def scene() -> None:
        async with AsyncioTasks() as tasks:
            await asyncio.get_running_loop().create_task(call(tasks), context=awaited_context())
            await note("who has asked")
            await asyncio.sleep(0)

    run(scene())
    awaited = {name for name, mark in marks.items() if mark}
    assert awaited == {"itself", "a part", "another", "a part by itself", "itself, later"}
    assert len(marks) == 8

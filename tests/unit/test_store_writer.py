"""Whose turn it is at the one thread that writes all stores."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from qanat.adapters.awaited import AwaitedFirstLoop, awaited_context
from qanat.adapters.sqlite import StoreWriter
from qanat.adapters.sqlite import writer as module

Asked: TypeAlias = Callable[[Path], Coroutine[Any, Any, None]]
A, B, C = Path("a"), Path("b"), Path("c")


def order_of(
    ask: Callable[[Callable[[Path], Coroutine[Any, Any, None]], StoreWriter], list[Awaitable[None]]],
) -> list[Path]:
    """Return in which order the thread does what is asked of stores while it is busy with something else."""
    done: list[Path] = []

    async def scene() -> None:
        writer, may_go_on, is_busy = StoreWriter(), threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def keep_busy() -> None:
            loop.call_soon_threadsafe(is_busy.set)
            may_go_on.wait(60)

        async def asked(path: Path) -> None:
            await writer._submit(path, None, lambda: done.append(path), in_commit=False)

        busy = asyncio.ensure_future(writer._submit(Path("busy"), None, keep_busy, in_commit=False))
        await is_busy.wait()
        calls = [asyncio.ensure_future(call) for call in ask(asked, writer)]
        for _ in range(3):  # all have been handed over
            await asyncio.sleep(0)
        may_go_on.set()
        await asyncio.gather(busy, *calls)
        await writer.close()

    asyncio.run(scene())
    return done


def test_stores_have_their_turns_in_the_order_in_which_they_were_asked_and_all_that_waits_for_one_is_done_at_once() -> (
    None
):
    assert order_of(lambda asked, _: [asked(path) for path in (B, A, B, C, A)]) == [B, B, A, A, C]


def test_a_long_queue_of_one_store_lets_the_others_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GROUP", 3)
    assert order_of(lambda asked, _: [asked(path) for path in [A] * 7 + [B, C]]) == [A, A, A, B, C, A, A, A, A]


def test_a_store_that_somebody_waits_for_goes_first_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    def hurried(asked: Asked, writer: StoreWriter) -> list[Awaitable[None]]:
        writer.let_go_first(C)
        return [asked(path) for path in (A, B, C, A, C)]

    assert order_of(hurried) == [C, C, A, A, B]
    monkeypatch.setattr(module, "HASTE_S", -1.0)  # it is over
    assert order_of(hurried) == [A, A, B, C, C]


def awaited(call: Coroutine[Any, Any, None]) -> Awaitable[None]:
    return asyncio.get_running_loop().create_task(call, context=awaited_context())


def ordinary(call: Coroutine[Any, Any, None]) -> Awaitable[None]:
    return asyncio.get_running_loop().create_task(call)


def test_a_store_goes_first_with_what_somebody_outside_waits_for() -> None:
    assert order_of(lambda asked, _: [*map(ordinary, (asked(A), asked(B))), awaited(asked(C)), asked(C)]) == [
        C,
        C,
        A,
        B,
    ]


def test_others_have_their_turns_however_much_somebody_outside_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_IN_A_ROW", 2)
    many = [Path(f"c{number}") for number in range(5)]
    done = order_of(lambda asked, _: [*map(ordinary, (asked(A), asked(B))), *(awaited(asked(one)) for one in many)])
    assert done == [*many[:2], A, *many[2:4], B, many[4]]


def test_the_answer_to_what_somebody_outside_waits_for_goes_first_in_the_loop_too() -> None:
    done: list[str] = []

    async def asked(writer: StoreWriter, name: str) -> None:
        await writer._submit(A, None, lambda: None, in_commit=False)
        done.append(name)

    async def scene() -> None:
        writer, loop = StoreWriter(), asyncio.get_running_loop()
        calls = [loop.create_task(asked(writer, "ordinary")) for _ in range(3)]
        calls.append(loop.create_task(asked(writer, "awaited"), context=awaited_context()))
        await asyncio.gather(*calls)
        await writer.close()

    with asyncio.Runner(loop_factory=AwaitedFirstLoop) as runner:
        runner.run(scene())
    assert done[0] == "awaited"

"""The Tasks port on asyncio: tasks that cannot fail unheard, and topics to wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from qanat.adapters.awaited import task_beside
from qanat.ground.identifiers import Topic


class AsyncioTasks:
    """The background tasks of one node, as a context: leaving it cancels all that still run.

    A task that raises brings the node down: the body of the ``async with`` and all other tasks are cancelled, and what
    the task raised comes out of the ``async with``. Use it from one event loop only.
    """

    def __init__(self, *, part_of: AsyncioTasks | None = None) -> None:
        """``part_of``: the tasks that these belong to, which hear what one of these raises; these may end earlier."""
        self._whole = part_of
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiters: dict[Topic, set[asyncio.Future[None]]] = {}
        self._body: asyncio.Task[Any] | None = None
        self._body_cancelled = False
        self._fault: BaseException | None = None

    async def __aenter__(self) -> Self:
        self._body = asyncio.current_task() if self._whole is None else None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        body, self._body = self._body, None
        await self._cancel_all()
        if self._fault is None:
            return
        if self._body_cancelled and body is not None and body.uncancel() > 0:
            return  # somebody else cancelled the body too: that cancellation goes on
        raise self._fault

    def start(self, work: Coroutine[Any, Any, None], /, *, name: str, is_part: bool = False) -> None:
        """Run a coroutine beside the caller. One that raises brings the node down. ``is_part``: whoever waits for the
        caller waits for it too."""
        task = asyncio.get_running_loop().create_task(work, name=name) if is_part else task_beside(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    async def together(self, *works: Coroutine[Any, Any, Any]) -> list[Any]:
        """Run all of these side by side; return their results. Raises, when all have ended, what the first raised."""
        results = await asyncio.gather(*works, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    async def wait(self, topic: Topic, /, *, until_monotonic_s: float) -> bool:
        """Wait for the next ``notify(topic)``; return False when the time came first."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(topic, set())
        waiters.add(woken)
        try:
            await asyncio.wait([woken], timeout=max(0.0, until_monotonic_s - time.monotonic()))
            return woken.done()
        finally:
            waiters.discard(woken)
            if not waiters and self._waiters.get(topic) is waiters:
                del self._waiters[topic]

    def notify(self, topic: Topic, /) -> None:
        """Wake all who wait for the topic at this moment; later ones wait for the next."""
        for woken in self._waiters.pop(topic, ()):
            if not woken.done():
                woken.set_result(None)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (fault := task.exception()) is None:
            return
        fault.add_note(f"raised by the task {task.get_name()!r}")
        (self._whole or self)._fail(fault)

    def _fail(self, fault: BaseException) -> None:
        if self._fault is not None:
            return  # the first fault brought the node down; those that follow from it add nothing
        self._fault = fault
        for other in self._tasks:
            other.cancel()
        if self._body is not None:
            self._body_cancelled = self._body.cancel()

    async def _cancel_all(self) -> None:
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
            await asyncio.sleep(0)  # lets the tasks' callbacks take them off the list

"""Doors in an event loop of their own: one thread for all doors of a process of many sites.

Whoever calls a door needs a dozen turns of its loop until he has his answer, most of them for the handshake. In the
loop in which a hundred sites speak to each other, each of these turns waits for whatever these have to do. So
connections, TLS and HTTP have a loop beside it, and each request takes one turn of the sites' loop, in which alone it
is answered: what answers need not know of threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from qanat.adapters.awaited import AWAITED, awaited_context
from qanat.adapters.http_server import AsgiApp, HttpDoor, IsToStop

T = TypeVar("T")


class DoorThread:
    """A thread with a loop: ``async with DoorThread() as doors``. The loop that enters it answers what doors ask."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        """The doors'. Other threads use its ``call_soon_threadsafe`` alone."""
        self._answering: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self.loop.run_forever, name="doors", daemon=True)

    async def __aenter__(self) -> Self:
        self._answering = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        await self._answering.run_in_executor(None, self._thread.join)
        self.loop.close()

    def tell(self, act: Callable[..., object], *arguments: object, is_awaited: bool = False) -> None:
        """In the doors' loop: have something done in the loop that answers, soon; at once where somebody outside waits
        for it."""
        context = awaited_context() if is_awaited else None
        self._answering.call_soon_threadsafe(partial(act, *arguments), context=context)

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """In the loop that answers: have something done in the doors' loop, and wait for it; raises what it raises."""
        return await _across(work, here=self._answering, there=self.loop)

    async def answer(self, work: Coroutine[Any, Any, T]) -> T:
        """In the doors' loop: have something done in the loop that answers, first of all, and wait for it; raises what
        it raises."""
        return await _across(work, here=self.loop, there=self._answering, is_awaited=True)


async def _across(
    work: Coroutine[Any, Any, T],
    *,
    here: asyncio.AbstractEventLoop,
    there: asyncio.AbstractEventLoop,
    is_awaited: bool = False,
) -> T:
    """Have something done in another loop, and wait for it here.

    Where the wait is cut short, the work is too, unless it was done by then: no answer is lost that was made.
    """
    outcome: asyncio.Future[T] = here.create_future()
    begun: list[asyncio.Task[T]] = []
    is_awaited_here = AWAITED.get()

    def there_soon(act: Callable[[], None]) -> None:
        context = awaited_context() if is_awaited or is_awaited_here else None  # one for all: they keep their order
        there.call_soon_threadsafe(act, context=context)

    def begin() -> None:
        task = there.create_task(work)
        begun.append(task)
        task.add_done_callback(end)

    def cut_short() -> None:
        begun[0].cancel()

    def end(task: asyncio.Task[T]) -> None:
        context = awaited_context() if is_awaited_here else None
        here.call_soon_threadsafe(_hand_over, task, outcome, context=context)

    there_soon(begin)
    try:
        await asyncio.shield(outcome)
    except asyncio.CancelledError:
        there_soon(cut_short)
    return await outcome


class DoorInThread:
    """An ``HttpDoor`` in the loop of a ``DoorThread``; all methods are for the loop that answers."""

    def __init__(
        self,
        thread: DoorThread,
        app: AsgiApp,
        *,
        before_writing: Callable[[], None],
        each_second: Callable[[], None],
        **rest: Any,
    ) -> None:
        """As ``HttpDoor``'s; ``app``, ``before_writing`` and ``each_second`` are called in the loop that answers, what
        else is called is called in the doors'."""
        self._thread = thread
        self._app = app
        self._before_writing = before_writing
        self._door = HttpDoor(self._pass_on, each_second=partial(thread.tell, each_second), **rest)

    @property
    def port(self) -> int:
        """The port it listens on; raises ValueError before ``start``."""
        return self._door.port

    async def start(self) -> None:
        """Begin to listen; raises ConfigurationError when the port cannot be had."""
        await self._thread.do(self._door.start())

    async def stop(self) -> None:
        """As ``HttpDoor.stop``."""
        await self._thread.do(self._door.stop())

    async def stop_if_unused(self, is_to_stop: IsToStop) -> bool:
        """As ``HttpDoor.stop_if_unused``; ``is_to_stop`` is asked in the loop that answers."""
        return await self._thread.do(self._door.stop_if_unused(lambda: self._thread.answer(is_to_stop())))

    async def _pass_on(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request of the doors' loop in the other, whole, then send the answer."""

        async def received() -> Any:
            return await self._thread.do(receive())

        messages: list[Any] = []
        try:
            await self._thread.answer(self._answer(scope, received, messages.append))
        finally:
            for message in messages:
                await send(message)

    async def _answer(self, scope: Any, receive: Any, keep: Callable[[Any], None]) -> None:
        async def kept(message: Any) -> None:
            keep(message)

        try:
            await self._app(scope, receive, kept)
        finally:
            self._before_writing()


def _hand_over(done: asyncio.Task[T], outcome: asyncio.Future[T]) -> None:
    """Give one loop what was done in the other."""
    if outcome.cancelled():
        return
    if done.cancelled():
        outcome.cancel()
    elif (fault := done.exception()) is not None:
        outcome.set_exception(fault)
    else:
        outcome.set_result(done.result())

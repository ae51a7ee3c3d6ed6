"""An event loop in a thread of its own, for callers that block: any number of threads, and other loops' too."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from qanat.ground.errors import ChannelClosed

R = TypeVar("R")


class LoopThread:
    """The thread starts with the first call and ends with ``close``; it keeps no program from ending."""

    def __init__(self, *, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Return what ``work`` returns, or raise what it raises. Raises ChannelClosed after ``close``, and when that
        comes meanwhile. Whoever is interrupted while waiting has the work cancelled."""
        with self._lock:
            if self._closed:
                work.close()
                raise _closed()
            future = asyncio.run_coroutine_threadsafe(work, self._started())
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise _closed() from None
        except BaseException:
            future.cancel()  # of no effect on work that has ended by itself
            raise

    def close(self, farewell: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel what runs, do ``farewell`` in the loop if it ever ran, and end the thread. Idempotent."""
        with self._lock:
            was_closed, self._closed = self._closed, True
            loop, thread = self._loop, self._thread
        if was_closed or loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_end(farewell), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name=self._name, daemon=True)
            self._thread.start()
        return self._loop


async def _end(farewell: Callable[[], Coroutine[Any, Any, None]]) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await farewell()
    await asyncio.get_running_loop().shutdown_asyncgens()


def _closed() -> ChannelClosed:
    return ChannelClosed("this client was closed", remedy="make a new one, or close it later")

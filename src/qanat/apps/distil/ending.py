"""The user's wish to end a run: the first begins no further block, and those in flight come to their end; the next one
ends at once. Where no block is in flight, the first does.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

from qanat.ground.lanes import Lanes

BY_USER: Final = "its user ends it"
MOST_WISHES: Final = 2
"""One more, and the process ends where it stands: it may be deep in the work on a large block."""


@dataclass(slots=True)
class Ending:
    """Whether the user wishes the run to end; ``lanes``: the blocks of the line that is open, if any."""

    is_asked: bool = False
    lanes: Lanes | None = None

    @property
    def num_in_flight(self) -> int:
        return 0 if self.lanes is None else len(self.lanes)


@contextmanager
def asked_by_signals(ending: Ending, *, tell: Callable[[str], None]) -> Iterator[None]:
    """Take SIGINT and SIGTERM for the user's wish, while the present task runs; at the second it is cancelled.

    Of a thread that gets no signals nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, task, wishes = asyncio.get_running_loop(), asyncio.current_task(), 0
    assert task is not None

    def react() -> None:
        if ending.is_asked or not ending.num_in_flight:
            task.cancel()
            return
        ending.is_asked = True
        count = ending.num_in_flight
        tell(f"ending after {count} block{'s' * (count != 1)} in flight; again: at once")

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal wishes
        wishes += 1
        if wishes > MOST_WISHES:
            raise KeyboardInterrupt
        loop.call_soon_threadsafe(react)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""What somebody outside waits for goes first, in an event loop in which there is always something to do.

Whoever is answered at a door takes several turns of the loop: without this, each of them waits for whatever a hundred
sites have to do in between. The mark is a context variable, so it goes with a call wherever that leads, to the thread
that writes stores and back; what is begun beside a call, and goes on when it has ended, does not have it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")

AWAITED: ContextVar[bool] = ContextVar("AWAITED", default=False)
"""Whether what runs now is part of an answer that somebody waits for."""
MOST_IN_A_ROW = 32
"""After so much that goes first comes something else, where there is something: sites go on, however many ask."""


def awaited_context() -> Context:
    """Return a context of something that somebody waits for."""
    context = Context()
    context.run(AWAITED.set, True)
    return context


def task_beside(work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Begin something in the running loop that nobody waits for, whoever has begun it."""
    context = copy_context()
    context.run(AWAITED.set, False)
    return asyncio.get_running_loop().create_task(work, name=name, context=context)


class AwaitedFirstLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, in which what is ``AWAITED`` goes before what else is ready."""

    def __init__(self) -> None:
        super().__init__()
        self._ready = _TwoQueues()


class _TwoQueues:
    """What a loop uses of its queue of handles that are ready."""

    def __init__(self) -> None:
        self._first: deque[asyncio.Handle] = deque()
        self._rest: deque[asyncio.Handle] = deque()
        self._num_in_a_row = 0

    def __len__(self) -> int:
        return len(self._first) + len(self._rest)

    def append(self, handle: asyncio.Handle) -> None:
        is_awaited = handle._context.get(AWAITED, False)  # type: ignore[attr-defined]
        (self._first if is_awaited else self._rest).append(handle)

    def popleft(self) -> asyncio.Handle:
        if self._first and (self._num_in_a_row < MOST_IN_A_ROW or not self._rest):
            self._num_in_a_row += 1
            return self._first.popleft()
        self._num_in_a_row = 0
        return self._rest.popleft()

    def clear(self) -> None:
        self._first.clear()
        self._rest.clear()

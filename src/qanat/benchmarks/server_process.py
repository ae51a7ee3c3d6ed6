"""What a benchmark asks, in a process of its own, so that asking and answering do not share a core's time."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from collections.abc import Callable, Coroutine, Iterator
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

START_TIMEOUT_S = 120.0
END_TIMEOUT_S = 10.0

Serving: TypeAlias = Callable[..., Coroutine[Any, Any, None]]
"""Serves till its last argument, a line to who asks, ends; its first word says that it is ready."""


@contextlib.contextmanager
def served_elsewhere(serving: Serving, *terms: object) -> Iterator[Connection]:
    """Let another process serve while the block runs; yields the line to it, with its first word unread.

    ``serving``: importable, called with ``terms``, which can be pickled, and the line. Raises TimeoutError where
    nothing comes.
    """
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=_run, args=(serving, terms, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(START_TIMEOUT_S):
            raise TimeoutError(f"the serving process was not ready within {START_TIMEOUT_S:.0f} s")
        yield ours
    finally:
        ours.close()
        process.join(END_TIMEOUT_S)
        process.kill()
        process.join()
        process.close()


def _run(serving: Serving, terms: tuple[object, ...], line: Connection) -> None:
    asyncio.run(serving(*terms, line))

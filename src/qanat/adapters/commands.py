"""Commands of others that run for a moment: they are told something, say something, and end.

What such a command leaves running holds its output open, and is not waited for: what it says later, nobody reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

ONCE_BYTES = 2**16
"""As much as a pipe of Linux holds: so much is read at once, and may be told."""
KILLED_S = 2.0
"""A process that was killed is gone at once, unless the kernel holds it in a call: it is not waited for longer."""


class Fate(enum.Enum):
    """How a command came to its end; but for the first it was killed, if it still ran, with all it had started."""

    ENDED = "ended"
    TOO_LONG = "too long"
    TOO_MUCH = "too much"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command: its status (of one that a signal ended: less than 0), and what it said until then."""

    fate: Fate
    status: int
    output: bytes
    errors: bytes = b""


async def run_command(
    words: Sequence[str],
    *,
    within_s: float,
    most_bytes: int,
    told: bytes | None = None,
    hear_errors: bool = False,
    stop: asyncio.Event | None = None,
) -> Outcome:
    """Run a command in a session of its own until it ends, ``within_s`` is over, it has said more than ``most_bytes``
    (no more are held here), or ``stop`` is set.

    ``told``: what it reads from its standard input, at most ONCE_BYTES; None: ours. ``hear_errors``: its standard error
    is heard too, where it is ours otherwise. Raises OSError when it cannot be started.
    """
    too_much = asyncio.Event()
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(_Heard(most_bytes, too_much))
        errors = stack.enter_context(_Heard(most_bytes, too_much)) if hear_errors else None
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=None if told is None else stack.enter_context(_told(told)),
            stdout=output.writing,
            stderr=None if errors is None else errors.writing,
            start_new_session=True,
        )
        fate = await _end_of(process, within_s, too_much, stop)
        said = [one.all() for one in (output, errors) if one is not None]
        if any(len(one) > most_bytes for one in said):
            fate = Fate.TOO_MUCH
        status = -signal.SIGKILL if process.returncode is None else process.returncode
        return Outcome(fate, status, *said)


async def _end_of(
    process: asyncio.subprocess.Process, within_s: float, too_much: asyncio.Event, stop: asyncio.Event | None
) -> Fate:
    """Return how a command ends; if not by itself, it is killed with all that it started, also on a cancellation."""
    waits = {Fate.ENDED: process.wait(), Fate.TOO_MUCH: too_much.wait()}
    if stop is not None:
        waits[Fate.STOPPED] = stop.wait()
    tasks = {fate: asyncio.create_task(wait) for fate, wait in waits.items()}
    try:
        await asyncio.wait(tasks.values(), timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        return next((fate for fate, task in tasks.items() if task.done()), Fate.TOO_LONG)
    finally:
        for task in tasks.values():
            task.cancel()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), KILLED_S)


class _Heard:
    """A pipe that a command writes to; we hold no more of it than one byte beyond ``most_bytes``."""

    def __init__(self, most_bytes: int, too_much: asyncio.Event) -> None:
        self._most_bytes = most_bytes
        self._too_much = too_much
        self._heard = bytearray()
        self._reading, self.writing = os.pipe()

    def __enter__(self) -> Self:
        os.set_blocking(self._reading, False)
        asyncio.get_running_loop().add_reader(self._reading, self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._reading)
        os.close(self._reading)
        os.close(self.writing)

    def all(self) -> bytes:
        """Return what has been said by now, whether or not somebody could still say more."""
        while self._read():
            pass
        return bytes(self._heard)

    def _read(self) -> bool:
        """Take what is there; return whether more may be."""
        room = self._most_bytes + 1 - len(self._heard)
        try:
            got = os.read(self._reading, min(room, ONCE_BYTES))
        except BlockingIOError:
            return False
        self._heard += got
        if len(self._heard) > self._most_bytes:
            self._too_much.set()
            asyncio.get_running_loop().remove_reader(self._reading)
        return bool(got)


@contextlib.contextmanager
def _told(words: bytes) -> Iterator[int]:
    """Give a pipe to read from that holds these words; that nobody reads them is no fault of ours."""
    reading, writing = os.pipe()
    try:
        try:
            os.write(writing, words)
        finally:
            os.close(writing)
        yield reading
    finally:
        os.close(reading)

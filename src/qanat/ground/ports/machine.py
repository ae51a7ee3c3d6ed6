"""Ports of the machine: time, tasks, entropy, chance, worker processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from qanat.ground.identifiers import Topic
from qanat.ground.keys import SecretBytes

R = TypeVar("R")


class Stopwatch(Protocol):
    """A time that only grows, for what merely looks at it."""

    def monotonic_s(self) -> float:
        """Return seconds from any origin, never less than before: for ages, deadlines, timers."""
        ...


class Clock(Stopwatch, Protocol):
    """Two times: one that people read, one that only grows."""

    def utc_s(self) -> float:
        """Return Unix time: for stamps and certificates; it may jump."""
        ...

    async def sleep_until(self, monotonic_s: float, /) -> None:
        """Return at that moment or soon after; at once when it has passed."""


class Tasks(Protocol):
    """In place of create_task, Event and Condition, so that a virtual clock can run the same code."""

    def start(self, work: Coroutine[Any, Any, None], /, *, name: str) -> None:
        """Run a coroutine beside the caller. One that raises brings its node down, loudly."""

    async def together(self, *works: Coroutine[Any, Any, Any]) -> list[Any]:
        """Do all of these, begun in this order, side by side where that can be: calls of a store then share a commit.
        Return their results; raises, when all have ended, what the first in the order has raised."""
        ...

    async def wait(self, topic: Topic, /, *, until_monotonic_s: float) -> bool:
        """Wait for the next ``notify(topic)``; return False when the time came first."""
        ...

    def notify(self, topic: Topic, /) -> None:
        """Wake all who wait for the topic at this moment; later ones wait for the next."""


class Entropy(Protocol):
    """Where keys, bases, Toeplitz seeds and ids come from. It has no seed."""

    def secret_bytes(self, num_bytes: int, /) -> SecretBytes:
        """Return uniform bytes that nobody else knows."""
        ...

    def public_bytes(self, num_bytes: int, /) -> bytes:
        """Return uniform bytes that may be told once they have been used."""
        ...


class Chance(Protocol):
    """Nature's dice and the faults'. Another type than Entropy, so that a seed can never make a real key."""

    def child(self, *path: str | int) -> Chance:
        """Return an independent chance for a part, by name."""
        ...

    def seed_words(self) -> tuple[int, ...]:
        """Return 32-bit words that seed a generator."""
        ...


@dataclass(frozen=True, slots=True)
class Job(Generic[R]):
    """A call that travels to another process: an importable function and picklable arguments."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)


class KernelPool(Protocol):
    """Worker processes for compiled loops. No process that serves a door runs kernels itself."""

    num_workers: int

    async def run(self, job: Job[R], /, *, priority: int = 0) -> R:
        """Run the job in a worker and return its result, or raise what it raised."""
        ...

    def stream(self, job: Job[R], /, *, priority: int = 0) -> AsyncIterator[R]:
        """Run a generator function in one worker and yield what it yields; closing the iterator stops it."""
        ...

    async def close(self, *, grace_s: float) -> None:
        """End all workers; those that still run after ``grace_s`` are killed."""

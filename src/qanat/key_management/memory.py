"""Memory that does not grow for ever."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

MAX_REMEMBERED = 4096
"""Of relays and blocks that are settled, so many are remembered; what is older has long been decided everywhere."""


def forget_oldest(memory: dict[K, V], *, keep: int = MAX_REMEMBERED) -> None:
    """Drop the entries that came first until ``keep`` are left."""
    while len(memory) > keep:
        del memory[next(iter(memory))]

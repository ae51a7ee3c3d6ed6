"""When a node was last of use to anybody: what lets a site go back to sleep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qanat.ground.ports import Clock


class Usage:
    """Calls of applications, and words of peers and controller that ask something of this node."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._num_calls = 0
        self._last_s = clock.monotonic_s()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count a call as in work until the context is left."""
        self._num_calls += 1
        try:
            yield
        finally:
            self._num_calls -= 1
            self.note()

    def note(self) -> None:
        """Take note that it is of use now."""
        self._last_s = self._clock.monotonic_s()

    def has_ended_for(self, unused_s: float) -> bool:
        """Return whether no call is in work, and nothing was noted for ``unused_s``."""
        return not self._num_calls and self._clock.monotonic_s() - self._last_s >= unused_s

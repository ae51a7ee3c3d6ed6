"""What is said about time: deadlines on the Clock port, and stamps as people read them."""

from __future__ import annotations

import datetime
import functools
from dataclasses import dataclass

from qanat.ground.ports import Clock


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on a clock's monotonic scale."""

    clock: Clock
    monotonic_s: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Deadline:
        return cls(clock, clock.monotonic_s() + seconds)

    @property
    def left_s(self) -> float:
        """Seconds to go, zero when it has passed."""
        return max(0.0, self.monotonic_s - self.clock.monotonic_s())

    @property
    def has_passed(self) -> bool:
        return self.clock.monotonic_s() >= self.monotonic_s


def format_utc(utc_s: float) -> str:
    """Return a Unix time as ISO 8601 in UTC with milliseconds: ``2017-12-01T00:00:00.000Z``."""
    microseconds = round(utc_s * 1e6)
    return f"{_second(microseconds // 1_000_000)}.{microseconds // 1000 % 1000:03d}Z"


@functools.lru_cache(maxsize=8)
def _second(utc_s: int) -> str:
    """Return a whole second; a busy door stamps thousands of events in each."""
    return datetime.datetime.fromtimestamp(utc_s, tz=datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")

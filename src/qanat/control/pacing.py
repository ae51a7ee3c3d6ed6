"""An action that follows each of many causes soon, and of many at once together: at most once in a while.

A decision on all that is known takes as long as there are demands. Made anew for each word, a thousand words that come
at once would take a thousand times as long as the one decision that they need.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from qanat.ground.ports import Clock, Tasks

PAUSE_S = 0.01
"""So long after an action has ended the next one may begin."""
ACTING_SHARE = 0.2
"""Or so long after it that actions take no more than this share of the time, for others have work to do, too;"""
MOST_PAUSE_S = 0.25
"""but no longer than this."""


class Pace:
    """When to act: at once after a cause that comes alone; a little later, once for all, after those that do not."""

    def __init__(self, act: Callable[[], Awaitable[None]], *, clock: Clock, tasks: Tasks, name: str) -> None:
        self._act = act
        self._clock = clock
        self._tasks = tasks
        self._name = name
        self._next_s = float("-inf")
        self._is_due = False
        self._is_acting = False

    async def soon(self) -> None:
        """There is a cause to act. Returns after the action where it is taken at once."""
        if self._is_due:
            return
        if not self._is_acting and self._clock.monotonic_s() >= self._next_s:
            await self._now()
            return
        self._is_due = True
        if not self._is_acting:
            self._tasks.start(self._later(), name=self._name)

    async def _later(self) -> None:
        await self._clock.sleep_until(self._next_s)
        self._is_due = False
        await self._now()

    async def _now(self) -> None:
        self._is_acting = True
        begun_s = self._clock.monotonic_s()
        try:
            await self._act()
        finally:
            self._is_acting = False
            ended_s = self._clock.monotonic_s()
            fair_pause_s = (ended_s - begun_s) * (1 / ACTING_SHARE - 1)
            self._next_s = ended_s + min(max(PAUSE_S, fair_pause_s), MOST_PAUSE_S)
            if self._is_due:  # since a cause came meanwhile, which an action that failed has not met either
                self._tasks.start(self._later(), name=self._name)

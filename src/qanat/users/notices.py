"""What people are told live of a call or a conference: each outage once, its end, and the next one anew."""

from __future__ import annotations

from collections.abc import Callable

from qanat.ground.ports import Clock

Say = Callable[[str], None]

STOOD_STILL_S = 2.0
"""An end that has not looked for so long stood still itself: what it did not hear meanwhile tells nothing of others."""
LONGEST_PAUSE_S = 1.5
"""Who has nothing else to send says every second that it is there: a longer pause is none between two datagrams."""
STEADY_S = 2.0
"""A single datagram ends no outage; after so long without a long pause they come again."""


class Notices:
    """Says what happens once for each topic, until it is over. A topic names one way, or one member."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._told: set[str] = set()
        self._is_closed = False

    def close(self) -> None:
        """Say nothing more: what is told is of something that goes on, and it is over."""
        self._is_closed = True

    def has_told(self, topic: str) -> bool:
        """Return whether something of this topic was said, and is not over."""
        return topic in self._told

    def tell(self, topic: str, words: str) -> None:
        """Say ``words``, unless something of this topic was said already and is not over."""
        if topic not in self._told:
            self._told.add(topic)
            self._speak(words)

    def over(self, topic: str, words: str = "") -> None:
        """Say that it is over, if it was told; without ``words`` it is only forgotten."""
        if topic in self._told:
            self._told.discard(topic)
            self._speak(words)

    def _speak(self, words: str) -> None:
        if words and not self._is_closed:
            self._say(words)


class Flow:
    """Whether datagrams of one other end come steadily, as far as ``look`` is called several times a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s: float | None = None

    def look(self, silent_s: float, *, longest_s: float | None = None) -> bool:
        """Return whether they do; ``silent_s``: how long none has come. ``longest_s``: a longer pause is an outage;
        None: ``LONGEST_PAUSE_S``."""
        now_s = self._clock.monotonic_s()
        if silent_s > (LONGEST_PAUSE_S if longest_s is None else longest_s):
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        return self._since_s is not None and now_s >= self._since_s + STEADY_S


class Pulse:
    """Whether this program stood still itself, as one that was stopped does: it looks here several times a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked_s = self.since_s = clock.monotonic_s()
        self.longest_s = 0.0
        """For so long it stood still at most; less than ``STOOD_STILL_S`` is no standstill."""

    def beat(self) -> float:
        """Note that it runs; returns since when it has not stood still (monotonic, s)."""
        now_s = self._clock.monotonic_s()
        if (gap_s := now_s - self._looked_s) > STOOD_STILL_S:
            self.since_s, self.longest_s = now_s, max(self.longest_s, gap_s)
        self._looked_s = now_s
        return self.since_s

"""How long a sender waits for a recipient: as long as it may, anew each time that the recipient has got further."""

from __future__ import annotations

from collections.abc import Callable

from qanat.ground.errors import PeerProtocolError
from qanat.ground.ports import Stopwatch


class Patience:
    """Of one transfer, over all of its tries.

    What was handed to a line counts for nothing, as the line may have lost it. So a try in which the recipient answered
    is judged by the next one, in which it says how much it has; one in which it did not, by how long ago the first of
    those was that went unanswered since its last answer. A line may have carried much since the recipient last said
    what it has: that it is silent now is no sign that it got no further.
    """

    def __init__(self, clock: Stopwatch, patience_s: float, *, tell: Callable[[str], None]) -> None:
        """``tell`` is told why, the first time that it waits."""
        self._clock = clock
        self._patience_s = patience_s
        self._tell = tell
        self._had_bytes = -1
        self._stuck_since_s: float | None = None
        """When the line broke first since the recipient got further."""
        self._silent_since_s: float | None = None
        """When the line broke first since the recipient answered."""
        self._fault: PeerProtocolError | None = None
        self._has_answered = False
        self._is_over = False

    def had(self, num_bytes: int) -> None:
        """The recipient says that it has so much; raises the last fault where that is no more than before, and too long
        ago."""
        self._has_answered, self._silent_since_s = True, None
        if num_bytes > self._had_bytes:
            self._had_bytes, self._stuck_since_s = num_bytes, None
        elif self._fault is not None and self._is_too_long(self._stuck_since_s):
            self._is_over = True
            raise self._fault

    def broke(self, fault: PeerProtocolError) -> None:
        """A try came to nothing; raises ``fault`` where no other is made."""
        now_s = self._clock.monotonic_s()
        if self._stuck_since_s is None:
            self._stuck_since_s = now_s
        if self._silent_since_s is None:
            self._silent_since_s = now_s
        is_judged = not self._has_answered or self._patience_s <= 0
        if self._is_over or (is_judged and self._is_too_long(self._silent_since_s)):
            raise fault
        if self._fault is None:
            self._tell(fault.message)
        self._fault, self._has_answered = fault, False

    def _is_too_long(self, since_s: float | None) -> bool:
        return since_s is not None and self._clock.monotonic_s() - since_s >= self._patience_s

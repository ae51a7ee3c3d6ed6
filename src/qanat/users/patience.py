"""How long a sender waits for a recipient: as long as it may, anew each time that the recipient has got further."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from qanat.ground.errors import ChannelTimeout, PeerProtocolError
from qanat.ground.ports import Stopwatch
from qanat.services.conversation import Terms
from qanat.users.supply import KeyManagerLost, TellingSupply

GRACE_S = 1.0
"""So much longer a try goes on than its waits are long, so that the wait that ended says what was waited for."""
NO_FURTHER = (
    "send it again: it goes on where it stopped; a line has to carry 70 kB, by one-time pad 35 kB, to bring it on"
)
"""What can be done about a line that breaks each time, where the fault itself knows nothing."""


def longest_s(patience_s: float, terms: Terms) -> float:
    """Return how long all waits together may take before a transfer has begun: as long as the longest of them, and
    what the network is given to make a one-time pad."""
    return max(patience_s, terms.patience_s, terms.silence_s) + terms.pad_wait_s


class Limit(NamedTuple):
    """What is ``left_s`` of the time that the tries of a transfer have together until it has begun."""

    left_s: float
    whole_s: float

    @classmethod
    def of(cls, patience_s: float, terms: Terms, *, spent_s: float) -> Limit:
        """Return the limit of a transfer whose first try began so long ago."""
        whole_s = longest_s(patience_s, terms)
        return cls(max(0.0, whole_s - spent_s), whole_s)


@contextlib.asynccontextmanager
async def begun_in(limit: Limit, supply: TellingSupply, *, whom: str) -> AsyncIterator[Callable[[], None]]:
    """Bound what is done inside until the function that is given is called, when the transfer has begun. ``supply``:
    what it has its keys from.

    Raises ChannelTimeout where it does not begin within the limit and GRACE_S more; KeyShortage where it had no key,
    and KeyManagerLost where the key manager has not said so.
    """
    bound = asyncio.timeout(limit.left_s + GRACE_S)
    try:
        async with bound:
            yield lambda: bound.reschedule(None)
    except TimeoutError:
        if not bound.expired():
            raise
        if supply.shortage is not None:
            raise supply.shortage from None
        if supply.is_unanswered:
            raise KeyManagerLost(
                f"our key manager has not answered a call for keys, and {limit.whole_s:.3g} s are over",
                remedy="see whether it runs, or hangs",
            ) from None
        raise ChannelTimeout(
            f"neither a word of {whom} nor a key for it has come in {limit.whole_s:.3g} s",
            remedy="try again, or wait longer",
        ) from None


class Patience:
    """Of one transfer, over all of its tries.

    What was handed to a line counts for nothing, as the line may have lost it. So a try in which the recipient answered
    is judged by the next one, in which it says how much it has; one in which it did not, by how long ago the first of
    those was that went unanswered since its last answer; before its first answer, by how long ago all began. A line may
    have carried much since the recipient last said what it has: that it is silent now is no sign that it got no
    further.
    """

    def __init__(self, clock: Stopwatch, patience_s: float, *, tell: Callable[[str], None]) -> None:
        """``tell`` is told why, the first time that it waits."""
        self._clock = clock
        self._patience_s = patience_s
        self._tell = tell
        self._had_bytes = -1
        self._stuck_since_s: float | None = None
        """When the line broke first since the recipient got further."""
        self._silent_since_s: float | None = clock.monotonic_s()
        """When the line broke first since the recipient answered; before its first answer, when this began."""
        self._fault: PeerProtocolError | None = None
        self._has_answered = False
        self._is_over = False

    @contextlib.asynccontextmanager
    async def trying(self, terms: Terms, supply: TellingSupply, *, whom: str) -> AsyncIterator[Callable[[int], None]]:
        """Bound a try by what is left until the recipient must have answered; gives what is told how much it has.
        Raises what ``begun_in`` raises."""
        now_s = self._clock.monotonic_s()
        spent_s = 0.0 if self._silent_since_s is None else now_s - self._silent_since_s
        async with begun_in(Limit.of(self._patience_s, terms, spent_s=spent_s), supply, whom=whom) as begun:

            def had(num_bytes: int) -> None:
                begun()
                self.had(num_bytes)

            yield had

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

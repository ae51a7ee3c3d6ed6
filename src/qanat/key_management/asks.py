"""Requests for keys under way. Those that ended in a shortage are gone on with by the next call of the same wish."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qanat.ground.clock import Deadline
from qanat.ground.identifiers import NodeId, SaePair
from qanat.ground.requirements import Requirements
from qanat.ground.tracing import Trace
from qanat.key_management.demands import Demand
from qanat.key_management.repeats import ANY, KeyWish

MAX_PARKED_PER_PAIR = 64
"""So many requests of one pair that ended in a shortage are remembered, to be gone on with."""


@dataclass(slots=True)
class Ask:
    """A request for keys under way, with the thread of its events. Survives calls that end in a shortage."""

    pair: SaePair
    target: NodeId
    """Where the slave is: with several slaves, the one that was named first."""
    far: tuple[NodeId, ...]
    """The other nodes that the keys must get to."""
    trace: Trace
    begun_monotonic_s: float
    priority: int
    deadline: Deadline
    """Until when its caller waits."""
    classical_route: tuple[NodeId, ...] = ()
    demand: Demand | None = None
    kept: Requirements = ANY
    """What the keys were taken or made under."""


class Parked:
    """Requests that ended in a shortage, each under its wish: a call that wishes for more or fewer keys, or for other
    ones, must not wait for what this one has asked for. Of equal ones each is gone on with by one call."""

    def __init__(self) -> None:
        self._asks: list[tuple[KeyWish, Ask]] = []

    def take(self, wish: KeyWish) -> Ask | None:
        """Return the request that a call goes on with, of equal ones the oldest, if there is any."""
        sought = _whatever_call(wish)
        for place, (kept, ask) in enumerate(self._asks):
            if kept == sought:
                del self._asks[place]
                return ask
        return None

    def keep(self, wish: KeyWish, ask: Ask) -> None:
        """Keep a request for the next call; of one pair's requests the oldest make room for new ones."""
        self._asks.append((_whatever_call(wish), ask))
        of_pair = [place for place, (_, one) in enumerate(self._asks) if one.pair == ask.pair]
        for place in reversed(of_pair[: max(0, len(of_pair) - MAX_PARKED_PER_PAIR)]):
            del self._asks[place]

    def forget(self, *, begun_before_s: float) -> None:
        """Forget requests that began before a moment."""
        self._asks = [(wish, ask) for wish, ask in self._asks if ask.begun_monotonic_s >= begun_before_s]

    def of(self, pair: SaePair) -> tuple[Ask, ...]:
        """Return the requests of a pair that are kept."""
        return tuple(ask for _, ask in self._asks if ask.pair == pair)


class Looks:
    """When a call that waits for key on some way looks whether it can be served on another: soon, then after twice as
    long each time, and when its time is up."""

    def __init__(self, deadline: Deadline, *, most_s: float, at_once: bool) -> None:
        """``most_s``: the first look comes after half of that at the latest, and else when half of the time is up.
        ``at_once``: before any wait, since the call goes on with an earlier one."""
        self._deadline = deadline
        self._pause_s = min(most_s, deadline.left_s) / 2
        self.are_over = not at_once and deadline.has_passed
        self.next = deadline
        if not self.are_over:
            self._plan(0.0 if at_once else self._pause_s)

    def note_look(self) -> None:
        """It is looked now: plan the next look."""
        self.are_over = self._deadline.has_passed
        self._plan(self._pause_s)
        self._pause_s *= 2

    def _plan(self, pause_s: float) -> None:
        self.next = Deadline.after(self._deadline.clock, min(pause_s, self._deadline.left_s))


def _whatever_call(wish: KeyWish) -> KeyWish:
    """Return a wish without what only tells one call from another."""
    return replace(wish, cause=None, nonce=None)

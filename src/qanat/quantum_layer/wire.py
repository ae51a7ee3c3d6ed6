"""Two parties in one worker: a classical channel without sockets, and the loop that lets both sides talk.

The parties are coroutines that see nothing but their end of the channel, so that the same code runs over a socket
between two hosts.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from qanat.ground.errors import ChannelClosed, ChannelTimeout, QanatError
from qanat.ground.framing import MAX_FRAME_BYTES
from qanat.ground.ports import ClassicalChannel, Session

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[R]):
    """How a party ended: with a result, or with the fault it saw. ``was_first``: the other one ended after it."""

    result: R | None
    fault: QanatError | None
    was_first: bool = False


@types.coroutine
def _give_way() -> Generator[None, None, None]:
    yield


class WireEnd:
    """One end of a wire: a ClassicalChannel."""

    max_frame_bytes = MAX_FRAME_BYTES

    def __init__(self, inbox: deque[bytes], outbox: deque[bytes]) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self.is_closed = False
        self.peer_is_gone = False

    async def send(self, frame: bytes, /) -> None:
        if self.is_closed:
            raise ChannelClosed("this end of the channel is closed")
        self._outbox.append(frame)

    async def receive(self, *, timeout_s: float) -> bytes:  # noqa: ARG002 - the loop below sees that nobody can speak
        while not self._inbox:
            if self.is_closed or self.peer_is_gone:
                raise ChannelClosed("the other party left", remedy="look at its log for the reason")
            await _give_way()
        return self._inbox.popleft()

    async def close(self) -> None:
        self.is_closed = True

    @property
    def can_go_on(self) -> bool:
        return bool(self._inbox) or self.is_closed or self.peer_is_gone


def make_wire() -> tuple[WireEnd, WireEnd]:
    """Return the two ends of a wire."""
    there: deque[bytes] = deque()
    back: deque[bytes] = deque()
    return WireEnd(back, there), WireEnd(there, back)


async def converse(session: Session[R], channel: ClassicalChannel, *, timeout_s: float) -> R:
    """Run one party to its result over a channel; raises what the session or the channel raises.

    A fault of the session, at its start too, is told to the peer before it is raised.
    """
    outgoing = await _told(session, channel, session.start)
    while True:
        for word in outgoing:
            await channel.send(word)
        result = session.result()
        if result is not None:
            return result
        frame = await channel.receive(timeout_s=timeout_s)
        outgoing = await _told(session, channel, partial(session.receive, frame))


async def _told(session: Session[R], channel: ClassicalChannel, step: Callable[[], Sequence[bytes]]) -> Sequence[bytes]:
    """Let a session go on one step; a fault is told to the peer, and raised."""
    try:
        return step()
    except QanatError:
        for word in session.farewell():
            await channel.send(word)
        raise


def run_parties(
    parties: Sequence[Coroutine[None, None, R]], ends: Sequence[WireEnd]
) -> Generator[None, None, list[Outcome[R]]]:
    """Let the parties speak in turn until all have ended; yields between turns, so that a caller can watch.

    ``ends[i]`` is the wire of ``parties[i]``. Parties that all wait for a word that nobody can send raise
    ChannelTimeout at once: on a wire without delay there is nothing to wait for.
    """
    outcomes: dict[int, Outcome[R]] = {}
    while len(outcomes) < len(parties):
        stuck = True
        for place, party in enumerate(parties):
            if place in outcomes:
                continue
            try:
                party.send(None)
            except StopIteration as end:
                outcomes[place] = Outcome(end.value, None, was_first=not outcomes)
            except QanatError as fault:
                outcomes[place] = Outcome(None, fault, was_first=not outcomes)
            if place in outcomes:
                for other, end_of_wire in enumerate(ends):
                    end_of_wire.peer_is_gone |= other != place
            stuck = stuck and place not in outcomes
            yield
        if stuck and not any(end.can_go_on for place, end in enumerate(ends) if place not in outcomes):
            for place, party in enumerate(parties):
                if place not in outcomes:
                    party.close()
                    silence = ChannelTimeout("both parties wait for each other")
                    outcomes[place] = Outcome(None, silence, was_first=not outcomes)
    return [outcomes[place] for place in range(len(parties))]

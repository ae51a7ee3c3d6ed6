"""Sites that sleep: their ports listen, and each is opened when somebody first speaks to it.

Opened is one site at a time, since each takes the process some milliseconds, in which its other doors wait: first those
at whose door an application calls, then those that other sites call, each in the order of the calls. One that an
application calls does not wait for the end of another's opening that no application calls, which lets it go first from
its next step on. A site that cannot be opened refuses those who called, and is tried again at a later call.

One that was put back to sleep leaves its sockets to the bells again: who calls while it is being closed waits, as
before the first opening.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

from qanat.adapters.awaited import awaited_context
from qanat.adapters.door_thread import DoorThread
from qanat.adapters.doorbell import Doorbell
from qanat.ground.identifiers import NodeId

QUIET_S = 0.5
"""What can wait for a site is done when none has been opened for so long."""
ANSWER_S = 0.05
"""So long, about, whoever has called a site waits on, once it is open, for its first answer."""
GIVE_WAY_S, LOOK_AGAIN_S = 0.1, 0.005
"""So long a site that no application calls lets others go first, at most, and so often it looks whether they have."""
TRY_AGAIN_S = 1.0
"""A site that could not be opened rests so long."""

DOOR = "doors"
"""The socket that applications call."""

Bells = Mapping[str, Doorbell]
OpenSite = Callable[[NodeId, Bells], Awaitable[None]]
CloseSite = Callable[[NodeId], Awaitable[bool]]
"""Closes a site, whole or not at all; returns whether it has."""


class Sleepers:
    """The sites of one process, asleep at first. ``close`` it before what it has opened.

    open_site: opens a site behind its bells, whole or not at all. on_failed: hears why one could not be.
    """

    def __init__(self, open_site: OpenSite, *, on_failed: Callable[[NodeId, BaseException], None]) -> None:
        self._open_site = open_site
        self._on_failed = on_failed
        self._bells: dict[NodeId, dict[str, Doorbell]] = {}
        self._openings: dict[NodeId, asyncio.Task[None]] = {}
        self._opened: set[NodeId] = set()
        self._num_opened = 0
        self._last_opened_s = self._last_awaited_s = -math.inf
        self._failed: set[NodeId] = set()
        self._resting: dict[NodeId, asyncio.TimerHandle] = {}
        self._queue: list[NodeId] = []
        self._called_by_applications: set[NodeId] = set()
        self._at_work: set[NodeId] = set()
        self._turn = asyncio.Condition()
        self._telling: set[asyncio.Task[None]] = set()
        self._closed = False

    def lay_down(self, node: NodeId, ports: Mapping[str, tuple[str, int]], *, doors: DoorThread | None = None) -> Bells:
        """Bind the sockets of a site, by name; it sleeps from now on. Raises ConfigurationError.

        Sites that are called at their ``DOOR`` are opened before the others; ``doors`` hears those calls.
        """
        bells = self._bells[node] = {}
        for name, (host, port) in ports.items():
            ring = partial(self._on_ring, node, name)
            bells[name] = Doorbell(host, port, on_ring=ring, doors=doors if name == DOOR else None)
        return bells

    def is_awake(self, node: NodeId) -> bool:
        """Return whether a site is open, or being opened; True for one that is not of these."""
        return not self.is_asleep(node)

    def is_asleep(self, node: NodeId) -> bool:
        """Return whether a call would wake a site; False for one that is not of these."""
        return node in self._bells and node not in self._openings

    def is_opening(self, node: NodeId) -> bool:
        """Return whether a site sleeps or is being opened, so that it takes some time to answer; False for one whose
        last opening failed, and one that is not of these."""
        return node in self._bells and node not in self._opened and node not in self._failed

    def is_called_by_application(self, node: NodeId) -> bool:
        """Return whether an application has called a site since it fell asleep."""
        return node in self._called_by_applications

    def is_awaited(self) -> bool:
        """Return whether an application waits for the opening of a site, or for its first answer after that."""
        is_answering = asyncio.get_running_loop().time() - self._last_awaited_s < ANSWER_S
        return is_answering or not self._called_by_applications.isdisjoint(self._queue)

    async def let_go_first(self, node: NodeId) -> None:
        """Between two steps of opening a site: wait while an application waits for another one, GIVE_WAY_S at most."""
        clock = asyncio.get_running_loop().time
        until_s, called = clock() + GIVE_WAY_S, self._called_by_applications
        while node not in called and self.is_awaited() and clock() < until_s:  # noqa: ASYNC110  (of time, too)
            await asyncio.sleep(LOOK_AGAIN_S)

    def num_opened(self) -> int:
        """Return how often a site has been opened so far."""
        return self._num_opened

    @property
    def opened(self) -> list[NodeId]:
        """The sites that are open now, in the order in which they were laid down."""
        return [node for node in self._bells if node in self._opened]

    async def wake(self, nodes: Sequence[NodeId]) -> None:
        """Open sites, in this order; raises what the opening of one raises."""
        for node in nodes:
            await asyncio.shield(self._opening(node))

    def is_quiet(self) -> bool:
        """Return whether no site is being opened, or was just now."""
        is_long_ago = asyncio.get_running_loop().time() - self._last_opened_s >= QUIET_S
        return is_long_ago and not self._at_work and not self._queue

    async def while_asleep(self, node: NodeId, act: Callable[[NodeId], Awaitable[None]]) -> bool:
        """Do something to a site that sleeps, unless sites are being opened or somebody waits for one: they go first. A
        call that comes meanwhile waits for it. Return whether it was done; raises what it raises."""
        if self._closed or self._at_work or self._queue or self.is_awaited() or not self.is_asleep(node):
            return False
        async with self._in_turn(node):
            if is_asleep := self.is_asleep(node):  # its own caller may have gone first
                await act(node)
        return is_asleep

    def watch(self) -> None:
        """From now on whoever calls a site that sleeps wakes it."""
        for node in self._bells:
            if node not in self._openings:
                self._watch(node)

    async def put_to_sleep(self, node: NodeId, close_site: CloseSite) -> bool:
        """Close an open site, and have its next caller wake it; return whether it sleeps now.

        Not while other sites wait for being opened: they go first, and this one has time.
        """
        if self._closed or node not in self._opened or self._at_work or self._queue:
            return False
        async with self._in_turn(node):
            opening = self._openings.pop(node)  # from now on nobody speaks to it who need not
            self._opened.discard(node)
            if is_closed := await close_site(node):
                self._called_by_applications.discard(node)
            else:
                self._opened.add(node)
                self._openings.setdefault(node, opening)
        if is_closed and not self._closed and node not in self._openings:
            self._watch(node)
        return is_closed

    async def close(self) -> None:
        """Open no more sites, and let none go to sleep; one that is being closed is waited for. Idempotent."""
        self._closed = True
        for timer in self._resting.values():
            timer.cancel()
        openings = list(self._openings.values())
        for opening in openings:
            opening.cancel()
        await asyncio.gather(*openings, *self._telling, return_exceptions=True)
        async with self._turn:
            await self._turn.wait_for(lambda: not self._at_work)
        for bells in self._bells.values():
            for bell in bells.values():
                bell.close()

    def _on_ring(self, node: NodeId, name: str) -> None:
        if name == DOOR:
            self._called_by_applications.add(node)
            if node in self._queue:  # as one that others called, till now
                telling = asyncio.create_task(self._tell_queue(), name=f"{node} goes first")
                self._telling.add(telling)
                telling.add_done_callback(self._telling.discard)
        if not self._closed:
            self._opening(node).add_done_callback(partial(self._note_failure, node))

    def _opening(self, node: NodeId) -> asyncio.Task[None]:
        if node not in self._openings:
            context = awaited_context() if self.is_called_by_application(node) else None
            opening = asyncio.create_task(self._open(node), name=f"opens site {node}", context=context)
            self._openings[node] = opening
        return self._openings[node]

    async def _open(self, node: NodeId) -> None:
        async with self._in_turn(node):
            if node in self._opened:  # it was to go to sleep, and did not
                return
            await self._open_site(node, self._bells[node])
            self._opened.add(node)
            self._num_opened += 1
            self._last_opened_s = asyncio.get_running_loop().time()
            if self.is_called_by_application(node):
                self._last_awaited_s = self._last_opened_s
            self._failed.discard(node)
            for bell in self._bells[node].values():
                bell.rest()  # the servers have handles of their own
            await asyncio.sleep(0)  # the other doors have their turn before the next site

    @asynccontextmanager
    async def _in_turn(self, node: NodeId) -> AsyncIterator[None]:
        """Wait until no other site is being opened, but one that gives way, and none goes first."""
        self._queue.append(node)
        is_its_turn = False
        try:
            async with self._turn:
                await self._turn.wait_for(lambda: self._may_begin(node))
                self._at_work.add(node)
                is_its_turn = True
            yield
        finally:
            self._queue.remove(node)
            if is_its_turn:
                self._at_work.discard(node)
            await self._tell_queue()

    async def _tell_queue(self) -> None:
        async with self._turn:
            self._turn.notify_all()

    def _may_begin(self, node: NodeId) -> bool:
        called = self._called_by_applications
        waiting = [one for one in self._queue if one not in self._at_work]
        if node not in waiting or node != next((one for one in waiting if one in called), waiting[0]):
            return False
        return not self._at_work or (node in called and called.isdisjoint(self._at_work))

    def _note_failure(self, node: NodeId, opening: asyncio.Task[None]) -> None:
        """Let a site that could not be opened sleep on, whatever the fault: the others go on."""
        if self._closed or self._openings.get(node) is not opening or (fault := opening.exception()) is None:
            return
        del self._openings[node]
        self._failed.add(node)
        self._on_failed(node, fault)
        for bell in self._bells[node].values():
            bell.refuse_callers()
        loop = asyncio.get_running_loop()
        self._resting[node] = loop.call_later(TRY_AGAIN_S, self._watch, node)

    def _watch(self, node: NodeId) -> None:
        for bell in self._bells[node].values():
            bell.watch()

"""Both ends of data collection on this machine: a sensor's outbox, emptied when the centre is there, and the centre."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path

from qanat.adapters.readings import Readings, StoredReading
from qanat.ground.errors import BadParameter, ChannelError, ConfigurationError, PeerProtocolError
from qanat.ground.identifiers import SaeId
from qanat.services import collect
from qanat.services.collect import Reading, deliver_readings, take_readings
from qanat.services.conversation import Conversation, calling
from qanat.users.services import UserServices
from qanat.users.supply import KeyManagerLost

MOST_AT_ONCE = 1000
"""Readings that one conversation carries."""
MOST_HELD = 10_000
"""Readings in memory while the outbox cannot be written: a week of one a minute, and at most some 10 MB."""
MOST_SERIES = 10
"""An outbox that was put back from a copy so often is brought on by one delivery; the next one goes on from there."""


Told = Callable[[SaeId, Sequence[Reading]], None]
"""Is told of readings of a sender."""


class Sensor:
    """Sends what a sensor says to a centre, now or when it is there. ``put`` waits for no delivery.

    ``say``: told, in words for people, that the outbox was put back from a copy and goes on under new numbers. Raises
    UnknownNode.
    """

    def __init__(
        self, user: UserServices, centre: str, *, name: str, say: Callable[[str], None] = lambda _: None
    ) -> None:
        contact = user.people.single(centre, what="a collection")
        self._user = user
        self._centre = contact.sae
        self.num_delivered = 0
        """Readings that the centre has confirmed since this began, those of earlier runs that waited too."""
        self.num_dropped = 0
        """Readings that made room for newer ones in a full outbox since this began."""
        self.num_lost = 0
        """Readings that no outbox took since this began: while it could not be written there were too many for the
        memory, or this was given up."""
        self.num_renumbered = 0
        """Readings that went on under a new series since this began, as the centre had others under their numbers."""
        self._held: list[tuple[float, str]] = []
        self._writing = asyncio.Lock()
        self._say = say
        self._name = name
        self._readings = Readings(user.people.me.home)
        self._delivering = asyncio.Lock()

    @property
    def outbox(self) -> Path:
        """The file in which readings wait."""
        return self._readings.path

    async def put(self, *values: str) -> None:
        """Put values of this moment into the outbox; durable on return. Of more than it holds the oldest are dropped.

        Raises BadParameter, also for an empty one, and ConfigurationError where the outbox cannot be written: they are
        held in memory then, MOST_HELD at most, and go into it by the next call of this or of ``write_held``.
        """
        now_s = self._user.clock.utc_s()
        for value in values:
            if not value:
                raise BadParameter("the sensor said nothing", remedy="let it print what it reads on standard output")
            Reading(self._name, "", 0, now_s, value).check()
        self._held += [(now_s, value) for value in values]
        await self.write_held()

    @property
    def num_held(self) -> int:
        """How many readings are in memory, since the outbox could not be written."""
        return len(self._held)

    async def write_held(self) -> None:
        """Put what is held in memory into the outbox; raises ConfigurationError where it cannot be written still."""
        async with self._writing:
            rows, self._held = self._held, []  # who is cancelled has them written all the same
            if not rows:
                return
            try:
                self.num_dropped += await asyncio.to_thread(self._readings.post, self._centre, self._name, rows)
            except ConfigurationError:
                self._held = rows + self._held
                self._lose(len(self._held) - MOST_HELD)
                raise

    def give_up_held(self) -> None:
        """Count what is held in memory as lost: this ends, and no outbox took it."""
        self._lose(len(self._held))

    def _lose(self, num_readings: int) -> None:
        """Let go of the oldest that are held."""
        if num_readings > 0:
            del self._held[:num_readings]
            self.num_lost += num_readings

    async def deliver(self) -> int:
        """Deliver what waits if the centre can be reached; returns how many readings wait still.

        Where the centre has other readings under their numbers, as after the outbox was put back from a copy, they go
        under a new series; nothing is delivered twice. Raises PadShortage, KeyShortage, KeyManagerLost, RefusedByPeer,
        PeerProtocolError where the centre takes no series, and what ``Conversation.hear`` raises but ChannelError.
        """
        async with self._delivering:
            num_series = 0
            try:
                while waiting := await asyncio.to_thread(self._readings.waiting, self._centre, most=MOST_AT_ONCE):
                    if others := await self._deliver([Reading(*one) for one in waiting]):
                        num_series += 1
                        await self._renumber(others, num_series)
            except KeyManagerLost:
                raise
            except ChannelError:
                return await self.num_waiting()
            return 0

    async def num_waiting(self) -> int:
        """Return how many readings are in the outbox for the centre, of all sensors here."""
        return await asyncio.to_thread(self._readings.num_waiting, self._centre)

    async def _renumber(self, others: Sequence[Reading], num_series: int) -> None:
        """Go on under the next series with readings that the centre has not kept."""
        told = [StoredReading(*astuple(one)) for one in others]
        name = self._user.people.directory.name_of(self._centre)
        if num_series > MOST_SERIES:
            raise PeerProtocolError(
                f"{name} has other readings under all numbers that this outbox gave its own",
                remedy="if it stays so, let the centre be updated; the readings wait",
            )
        num_readings = await asyncio.to_thread(self._readings.renumber, self._centre, told)
        self.num_renumbered += num_readings
        if num_readings:
            readings = "1 reading that waits goes" if num_readings == 1 else f"{num_readings:,} readings that wait go"
            self._say(
                f"{name} has other readings under the numbers of {self.outbox}, which was put back from an older copy, "
                f"or of which a second copy is in use: {readings} under a new series, none is lost; let no "
                "second sensor use a copy of it"
            )

    async def _deliver(self, waiting: Sequence[Reading]) -> Sequence[Reading]:
        async def delivered(readings: Sequence[Reading]) -> None:
            stored = [StoredReading(*astuple(one)) for one in readings]
            self.num_delivered += await asyncio.to_thread(self._readings.confirmed, stored)

        user = self._user
        async with user.line_to(user.people.contact_of(self._centre), user.terms) as line:
            conversation = calling(user.party, line, self._centre, service=collect.SERVICE, terms=user.terms)
            return await deliver_readings(conversation, waiting, delivered=delivered)


class _Collection:
    """The services' port ``Collection`` on the machine's file."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    async def keep(self, sender: SaeId, readings: Sequence[Reading], /) -> tuple[Sequence[Reading], Sequence[Reading]]:
        kept = await self._readings.keep(sender, [StoredReading(*astuple(one)) for one in readings])
        return [Reading(*one) for one in kept.fresh], [Reading(*one) for one in kept.others]


class Centre:
    """Keeps what sensors send; ``serve`` is for ``Reception``'s ``more``. ``on_fresh``: told of what is new;
    ``on_others``: of what was not kept, as the sender has to give it other numbers."""

    def __init__(
        self,
        user: UserServices,
        *,
        on_fresh: Told = lambda *_: None,
        on_others: Told = lambda *_: None,
    ) -> None:
        self._readings = Readings(user.people.me.home)
        self._on_fresh = on_fresh
        self._on_others = on_others

    async def serve(self, conversation: Conversation) -> None:
        """Take one sensor's readings; raises what ``take_readings`` raises. What a listener raises goes to the loop's
        handler: it keeps no reading from being confirmed."""
        loop = asyncio.get_running_loop()

        def told(listener: Told) -> Told:
            def tell(sender: SaeId, readings: Sequence[Reading]) -> None:
                loop.call_soon(functools.partial(listener, sender, readings))

            return tell

        told_of = {"on_fresh": told(self._on_fresh), "on_others": told(self._on_others)}
        await take_readings(conversation, _Collection(self._readings), **told_of)

"""Both ends of data collection on this machine: a sensor's outbox, emptied when the centre is there, and the centre."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path

from qanat.adapters.readings import Readings, StoredReading
from qanat.ground.errors import BadParameter, ChannelError
from qanat.ground.identifiers import SaeId
from qanat.services import collect
from qanat.services.collect import Reading, deliver_readings, take_readings
from qanat.services.conversation import Conversation, calling
from qanat.users.services import UserServices
from qanat.users.supply import KeyManagerLost

MOST_AT_ONCE = 1000
"""Readings that one conversation carries."""


class Sensor:
    """Sends what a sensor says to a centre, now or when it is there. ``put`` waits for no delivery. Raises
    UnknownNode."""

    def __init__(self, user: UserServices, centre: str, *, name: str) -> None:
        contact = user.people.single(centre, what="a collection")
        self._user = user
        self._centre = contact.sae
        self.num_delivered = 0
        """Readings that the centre has confirmed since this began, those of earlier runs that waited too."""
        self.num_dropped = 0
        """Readings that made room for newer ones in a full outbox since this began."""
        self._name = name
        self._readings = Readings(user.people.me.home)
        self._delivering = asyncio.Lock()

    @property
    def outbox(self) -> Path:
        """The file in which readings wait."""
        return self._readings.path

    async def put(self, *values: str) -> None:
        """Put values of this moment into the outbox; durable on return. Of more than it holds the oldest are dropped.

        Raises BadParameter, also for an empty one, and ConfigurationError where the outbox cannot be written.
        """
        now_s = self._user.clock.utc_s()
        for value in values:
            if not value:
                raise BadParameter("the sensor said nothing", remedy="let it print what it reads on standard output")
            Reading(self._name, "", 0, now_s, value).check()
        rows = [(now_s, value) for value in values]
        self.num_dropped += await asyncio.to_thread(self._readings.post, self._centre, self._name, rows)

    async def deliver(self) -> int:
        """Deliver what waits if the centre can be reached; returns how many readings wait still.

        Raises PadShortage, KeyShortage, KeyManagerLost, RefusedByPeer, and what ``Conversation.hear`` raises but
        ChannelError.
        """
        async with self._delivering:
            try:
                while waiting := await asyncio.to_thread(self._readings.waiting, self._centre, most=MOST_AT_ONCE):
                    await self._deliver([Reading(*one) for one in waiting])
            except KeyManagerLost:
                raise
            except ChannelError:
                return await self.num_waiting()
            return 0

    async def num_waiting(self) -> int:
        """Return how many readings are in the outbox for the centre, of all sensors here."""
        return await asyncio.to_thread(self._readings.num_waiting, self._centre)

    async def _deliver(self, waiting: Sequence[Reading]) -> None:
        async def delivered(readings: Sequence[Reading]) -> None:
            await asyncio.to_thread(self._readings.confirmed, [StoredReading(*astuple(one)) for one in readings])
            self.num_delivered += len(readings)

        user = self._user
        async with user.line_to(user.people.contact_of(self._centre), user.terms) as line:
            conversation = calling(user.party, line, self._centre, service=collect.SERVICE, terms=user.terms)
            await deliver_readings(conversation, waiting, delivered=delivered)


class _Collection:
    """The services' port ``Collection`` on the machine's file."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    async def keep(self, sender: SaeId, readings: Sequence[Reading], /) -> list[Reading]:
        fresh = await self._readings.keep(sender, [StoredReading(*astuple(one)) for one in readings])
        return [Reading(*one) for one in fresh]


class Centre:
    """Keeps what sensors send; ``serve`` is for ``Reception``'s ``more``. ``on_fresh``: told of what is new."""

    def __init__(
        self, user: UserServices, *, on_fresh: Callable[[SaeId, Sequence[Reading]], None] = lambda *_: None
    ) -> None:
        self._readings = Readings(user.people.me.home)
        self._on_fresh = on_fresh

    async def serve(self, conversation: Conversation) -> None:
        """Take one sensor's readings; raises what ``take_readings`` raises. What ``on_fresh`` raises goes to the loop's
        handler: it keeps no reading from being confirmed."""
        loop = asyncio.get_running_loop()

        def tell(sender: SaeId, readings: Sequence[Reading]) -> None:
            loop.call_soon(functools.partial(self._on_fresh, sender, readings))

        await take_readings(conversation, _Collection(self._readings), on_fresh=tell)

"""Readings of many sensors to one centre, each kept once.

    sensor                                            centre
    {readings: [[sensor, series, number, utc_s, value], ...]}  ->
                                                      <-  {received: how many}     they are kept, durably
    ... and so on                                     ->
    {bye}                                             ->

A reading is in the sensor's outbox until the centre has confirmed it. ``series`` is random, of one outbox, and
``number`` counts in it: a centre that has this one of this sender confirms again and keeps nothing twice. Where it has
another one under the number, or none but a later one of the series, the outbox is a copy of another time or place. The
centre then says {others: [places], received: how many}: which of the word, by their places in it from 0, it has not
kept. The sensor sends these, and all after them, under a new series, in another conversation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Protocol

from qanat.ground.errors import BadParameter, FrameError
from qanat.ground.events import Json
from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import SaeId, is_name
from qanat.services.ciphers import PadSealer
from qanat.services.conversation import MOST_WHOLE_NUMBER, Conversation, refusing
from qanat.services.file_delivery import is_offer

SERVICE = "collect"
MOST_TOGETHER = 25
"""Readings in one word: of the longest values as many as a record by one-time pad holds."""
MAX_VALUE_BYTES = 1000


@dataclass(frozen=True, slots=True)
class Reading:
    """What a sensor said, and when (UTC)."""

    sensor: str
    series: str
    number: int
    utc_s: float
    value: str

    def check(self) -> None:
        """Raise BadParameter when it cannot be sent."""
        if not is_name(self.sensor):
            raise BadParameter(
                f"{self.sensor!r} is no name of a sensor", remedy="lower-case letters, digits, '.', '_', '-'"
            )
        if len(self.value.encode()) > MAX_VALUE_BYTES:
            raise BadParameter(
                f"a reading of {len(self.value.encode()):,} bytes; at most {MAX_VALUE_BYTES:,} go",
                remedy="let the sensor say less, or send it as a file",
            )


class Collection(Protocol):
    """Where a centre keeps what comes."""

    async def keep(self, sender: SaeId, readings: Sequence[Reading], /) -> tuple[Sequence[Reading], Sequence[Reading]]:
        """Keep those that are not here yet, durable on return; returns them, and those that are not kept since their
        numbers are of other readings."""
        ...


async def deliver_readings(
    conversation: Conversation,
    readings: Sequence[Reading],
    *,
    delivered: Callable[[Sequence[Reading]], Awaitable[None]],
) -> Sequence[Reading]:
    """Say readings to the centre; ``delivered`` strikes those off that it has confirmed, durably.

    Returns those of the last word that the centre has not kept, since their numbers are of other readings there; what
    comes after them was not said then. Raises PadShortage and KeyShortage, RefusedByPeer, and what
    ``Conversation.hear`` raises.
    """
    others: Sequence[Reading] = ()
    words = [_word(readings[start : start + MOST_TOGETHER]) for start in range(0, len(readings), MOST_TOGETHER)]
    async with refusing(conversation):
        if isinstance(conversation.sealer, PadSealer):
            content_bytes = sum(len(canonical_json(word)) for word in words) + len(canonical_json({"bye": True}))
            wait_s = conversation.terms.pad_wait_s
            await conversation.sealer.gather(content_bytes=content_bytes, num_records=len(words) + 1, wait_s=wait_s)
        await conversation.greet()
        for place, word in enumerate(words):
            told = readings[place * MOST_TOGETHER : (place + 1) * MOST_TOGETHER]
            await conversation.say(word)
            others = _others_in(await conversation.hear(), told)
            await delivered([one for one in told if one not in others])
            if others:
                break
        await conversation.say({"bye": True}, is_last=True)
    return others


async def take_readings(
    conversation: Conversation,
    collection: Collection,
    *,
    on_fresh: Callable[[SaeId, Sequence[Reading]], None],
    on_others: Callable[[SaeId, Sequence[Reading]], None] = lambda *_: None,
) -> None:
    """Receive readings until the sensor says bye; ``on_fresh`` is told of the new ones before the sensor is, and
    ``on_others`` of those that were not kept since their numbers are of other readings."""
    async with refusing(conversation):
        while True:
            match await conversation.hear():
                case {"readings": list(told)} if 0 < len(told) <= MOST_TOGETHER:
                    readings = [_reading(one) for one in told]
                    fresh, others = await collection.keep(conversation.peer, readings)
                    if fresh:
                        on_fresh(conversation.peer, fresh)
                    if others:
                        on_others(conversation.peer, others)
                    await conversation.say(_answer(readings, others))
                case {"bye": True}:
                    conversation.finish()
                    return
                case _:
                    raise FrameError("these are no readings", remedy="update the older side")


def _word(readings: Sequence[Reading]) -> dict[str, Json]:
    return {"readings": [list(astuple(reading)) for reading in readings]}


def _answer(readings: Sequence[Reading], others: Sequence[Reading]) -> dict[str, Json]:
    places: list[Json] = [place for place, one in enumerate(readings) if one in others]
    told: dict[str, Json] = {"received": len(readings) - len(places)}
    return told | {"others": places} if places else told


def _others_in(answer: Mapping[str, Json], told: Sequence[Reading]) -> list[Reading]:
    """Return which of the readings that were told the centre has not kept; raises FrameError."""
    match answer:
        case {"received": int(received), **rest} if not rest and received == len(told):
            return []
        case {"received": int(received), "others": [*places], **rest} if not rest:
            named = [one for place, one in enumerate(told) if place in places]
            if named and len(named) == len(places) == len(told) - received:
                return named
    raise FrameError("the centre confirmed other readings than it was told", remedy="update the older side")


def _reading(told: Json) -> Reading:
    match told:
        case [str(sensor), str(series), int(number), float() | int() as utc_s, str(value)] if (
            is_offer(series) and 0 <= number < MOST_WHOLE_NUMBER
        ):
            reading = Reading(sensor, series, number, float(utc_s), value)
            try:
                reading.check()
            except BadParameter as fault:
                raise FrameError(fault.message, remedy=fault.remedy) from None
            return reading
    raise FrameError("this is no reading", remedy="update the older side")

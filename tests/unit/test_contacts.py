"""A satellite's transport: what is said outside of contacts waits for the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.system import SystemClock
from qanat.ground.identifiers import Epoch, LinkId, MessageId, NodeId
from qanat.ground.messages import Message
from qanat.ground.orders import Contact
from qanat.key_management.contacts import MOST_WAITING, InContactOnly

STATION = NodeId("station")
LINK = LinkId("bird-station")
RISE, SET = (Contact(LINK, "pass 1", is_open=is_open) for is_open in (True, False))


class Line:
    """A transport that keeps what it is handed, and hands on what it is given."""

    local = NodeId("bird")

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.given: asyncio.Queue[Message] = asyncio.Queue()

    async def send(self, peer: NodeId, message: Message, /) -> None:
        assert peer == STATION
        self.sent.append(message.kind)

    async def inbox(self) -> AsyncIterator[tuple[NodeId, Message]]:
        while True:
            yield STATION, await self.given.get()

    def is_reachable(self, peer: NodeId, /) -> bool:
        return peer != STATION

    def is_coming(self, peer: NodeId, /) -> bool:
        return False


def message(kind: str) -> Message:
    return Message(MessageId("m"), kind, Epoch(1))


async def scene() -> None:
    line = Line()
    async with AsyncioTasks() as tasks:
        bird = InContactOnly(line, clock=SystemClock(), tasks=tasks)
        heard: list[str] = []

        async def listen() -> None:
            async for _, said in bird.inbox():
                heard.append(said.kind)

        tasks.start(listen(), name="listen")
        for kind in ("first", "second", "first"):
            await bird.send(STATION, message(kind))
        for kind in ("to you", "to you too"):
            line.given.put_nowait(message(kind))
        await asyncio.sleep(0.05)
        assert (line.sent, heard, bird.num_waiting) == ([], [], 4)
        assert bird.is_reachable(STATION), "who is below the horizon is not silent"
        await bird.on_contact(RISE)
        await asyncio.sleep(0.05)
        assert line.sent == ["second", "first"], "the same is said once, as the last"
        assert heard == ["to you", "to you too"]
        assert not bird.is_reachable(STATION)
        await bird.send(STATION, message("now"))
        assert line.sent[-1] == "now"
        await bird.on_contact(SET)
        for number in range(MOST_WAITING + 10):
            await bird.send(STATION, message(f"{number}"))
        assert bird.num_waiting == MOST_WAITING
        await bird.on_contact(RISE)
        assert line.sent[-1] == f"{MOST_WAITING + 9}"


def test_what_is_said_and_heard_outside_of_contacts_waits_for_one() -> None:
    asyncio.run(scene())

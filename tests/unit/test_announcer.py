"""A satellite's memory of who has heard its announcements, with a store that is a dictionary."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from qanat.ground.errors import StoreFailed
from qanat.ground.identifiers import BlockId, Epoch, LinkId, MessageId, NodeId
from qanat.ground.messages import Message, encode_message
from qanat.ground.network import Downlink, Network, Site
from qanat.key_management.announcing import Announcer
from qanat.key_management.codec import encode_word
from qanat.key_management.wire import AnnouncementHeard, KeyAnnounced
from simulation.satellite_network import satellite_network

BIRD, WEST, EAST, NORTH = map(NodeId, ("bird", "west-station", "east-station", "north-station"))
BLOCK = BlockId("12345678-1234-4234-8234-123456789abc")


def three_stations() -> Network:
    """The same satellite over one station more."""
    network = satellite_network()
    north = Site(name=NORTH, kind="relay", latitude_deg=50.0, longitude_deg=10.0)
    return Network.model_validate(
        network.model_dump(exclude_defaults=True)
        | {
            "sites": [*network.sites, north],
            "links": [*network.described_links],
            "downlinks": [*network.downlinks, Downlink(satellite=BIRD, station=NORTH)],
        }
    )


@dataclass
class Sky:
    """What is around an announcer: a store that holds one announcement for two of three stations, and a courier."""

    network: Network = field(default_factory=three_stations)
    texts: dict[str, bytes] = field(default_factory=dict)
    sent: list[NodeId] = field(default_factory=list)
    fails: bool = False

    def __post_init__(self) -> None:
        (link,) = (one for one in self.network.links if one.kind == "announced" and set(one.ends) == {WEST, EAST})
        kind, fields = encode_word(KeyAnnounced(BLOCK, LinkId(link.link_id), 1024, "twin", 0.0, 0.0, 0.0, parts=()))
        self.texts[BLOCK] = encode_message(Message(MessageId(BLOCK), kind, Epoch(0), fields=fields, body=b""))

    async def notices(self) -> Mapping[str, bytes]:
        return dict(self.texts)

    async def levels(self) -> Mapping[Any, Any]:
        return {}

    async def drop_notice(self, notice_id: str, /) -> None:
        if self.fails:
            raise StoreFailed("the disk is full", remedy="make room")
        self.texts.pop(notice_id, None)

    async def send(self, station: NodeId, word: object, *, body: bytes) -> None:
        self.sent.append(station)

    def announcer(self) -> Announcer:
        now_s = iter(range(0, 1000, 10))
        clock = SimpleNamespace(monotonic_s=lambda: float(next(now_s)))
        context = SimpleNamespace(network=self.network, node=BIRD, store=self, courier=self, clock=clock)
        return Announcer(cast(Any, context))


def test_an_announcement_is_forgotten_when_its_own_two_stations_have_heard_it() -> None:
    sky = Sky()

    async def scene() -> None:
        announcer = sky.announcer()
        await announcer.tick()
        assert sorted(sky.sent) == [EAST, WEST]
        for station in (WEST, NORTH, WEST):  # north shares key with west too, but not this
            await announcer.on_heard(station, AnnouncementHeard(BLOCK))
        assert BLOCK in sky.texts
        sky.sent.clear()
        await announcer.tick()
        assert sky.sent == [EAST]
        await announcer.on_heard(EAST, AnnouncementHeard(BLOCK))
        assert not sky.texts

    asyncio.run(scene())


def test_what_a_store_failed_to_forget_is_forgotten_later_and_not_said_again() -> None:
    sky = Sky(fails=True)

    async def scene() -> None:
        announcer = sky.announcer()
        await announcer.tick()
        await announcer.on_heard(WEST, AnnouncementHeard(BLOCK))
        try:
            await announcer.on_heard(EAST, AnnouncementHeard(BLOCK))
        except StoreFailed:
            sky.fails = False
        sky.sent.clear()
        await announcer.tick()
        assert not sky.texts
        assert not sky.sent

    asyncio.run(scene())

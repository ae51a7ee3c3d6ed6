"""A satellite's memory of who has heard its announcements, with a store that is a dictionary."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
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
    """What is around an announcer: a store that holds announcements for two of three stations, and a courier."""

    network: Network = field(default_factory=three_stations)
    texts: dict[str, bytes] = field(default_factory=dict)
    sent: list[NodeId] = field(default_factory=list)
    said: list[tuple[float, NodeId, BlockId]] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    fails: bool = False
    blocks: tuple[BlockId, ...] = (BLOCK,)
    now_s: float | None = None

    def __post_init__(self) -> None:
        (link,) = (one for one in self.network.links if one.kind == "announced" and set(one.ends) == {WEST, EAST})
        for block in self.blocks:
            self.keep(block, link.link_id)

    def keep(self, block: BlockId, link: LinkId) -> None:
        kind, fields = encode_word(KeyAnnounced(block, link, 1024, "twin", 0.0, 0.0, 0.0, parts=()))
        self.texts[block] = encode_message(Message(MessageId(block), kind, Epoch(0), fields=fields, body=b""))

    async def notice_ids(self) -> Sequence[str]:
        return list(self.texts)

    async def notice(self, notice_id: str, /) -> bytes | None:
        self.loaded.append(notice_id)
        return self.texts.get(notice_id)

    async def levels(self) -> Mapping[Any, Any]:
        return {}

    async def drop_notice(self, notice_id: str, /) -> None:
        if self.fails:
            raise StoreFailed("the disk is full", remedy="make room")
        self.texts.pop(notice_id, None)

    async def send(self, station: NodeId, word: KeyAnnounced, *, body: bytes) -> None:
        self.sent.append(station)
        self.said.append((self.now_s or 0.0, station, word.block_id))

    def announcer(self) -> Announcer:
        """By a clock that goes on by 10 s whenever it is looked at, unless ``now_s`` is set."""
        steps = iter(range(0, 1000, 10))
        clock = SimpleNamespace(monotonic_s=lambda: float(next(steps)) if self.now_s is None else self.now_s)
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


MANY = tuple(BlockId(f"12345678-1234-4234-8234-{number:012x}") for number in range(5))


async def play(sky: Sky, announcer: Announcer, *, seconds: int) -> None:
    """Tick once a second."""
    assert sky.now_s is not None
    for _ in range(seconds):
        await announcer.tick()
        sky.now_s += 1.0


def test_a_station_that_is_away_is_told_one_at_a_time_and_more_and_more_seldom() -> None:
    sky = Sky(blocks=MANY, now_s=0.0)

    async def scene() -> None:
        announcer = sky.announcer()
        await play(sky, announcer, seconds=240)
        for station in (WEST, EAST):
            told = [(at_s, block) for at_s, listener, block in sky.said if listener == station]
            assert [at_s for at_s, _ in told] == [0, 5, 15, 35, 75, 115, 155, 195, 235]
            assert [block for _, block in told[:6]] == [*MANY, MANY[0]], "one that is not taken holds up no other"
        assert len(sky.loaded) == len(MANY) + len(sky.said), "no text but to find whose it is, and to say it"

    asyncio.run(scene())


def test_a_station_that_hears_is_told_the_next_at_once_and_one_that_came_up_soon() -> None:
    sky = Sky(blocks=MANY, now_s=0.0)

    async def scene() -> None:
        announcer = sky.announcer()
        await play(sky, announcer, seconds=100)
        sky.said.clear()
        for _ in range(3):  # it says so again and again till it is known
            announcer.on_opened(WEST)
            await play(sky, announcer, seconds=2)
        assert [(at_s, station) for at_s, station, _ in sky.said] == [(105, WEST)]
        for _ in range(4):
            await announcer.on_heard(WEST, AnnouncementHeard(sky.said[-1][2]))
        assert [at_s for at_s, _, _ in sky.said] == [105, 106, 106, 106, 106]
        await announcer.on_heard(WEST, AnnouncementHeard(sky.said[0][2]))  # heard twice: no reason to say more
        assert {block for _, _, block in sky.said} == set(MANY)
        assert len(sky.said) == len(MANY)
        assert set(sky.texts) == set(MANY), "the other one has heard none"

    asyncio.run(scene())


def test_what_is_of_a_link_that_the_network_has_no_longer_is_kept_and_holds_up_nothing() -> None:
    odd = BlockId("12345678-1234-4234-8234-0123456789ab")
    sky = Sky(now_s=0.0, blocks=())
    sky.keep(odd, LinkId("no-such-link"))

    async def scene() -> None:
        sky.keep(BLOCK, next(one.link_id for one in sky.network.links if set(one.ends) == {WEST, EAST}))
        await play(sky, sky.announcer(), seconds=20)
        assert {block for _, _, block in sky.said} == {BLOCK}
        assert odd in sky.texts
        assert sky.loaded.count(odd) == 1

    asyncio.run(scene())

"""Sites of a service that sleep until somebody speaks to them: who wakes whom, and what a restart finds."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from qanat.adapters.initial_keys import initial_key_path
from qanat.apps.bootstrap import Service
from qanat.apps.event_log import EventLog
from qanat.apps.networks import load_network
from qanat.apps.sleepers import Bells
from qanat.client import Client
from qanat.ground.errors import KeyNotFound, KeyShortage, NoRoute, QanatError
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network, parse_network

pytestmark = pytest.mark.slow

NETWORK = load_network("three-nodes")
ALICE, BOB = NETWORK.sae("alice"), NETWORK.sae("bob")
ALICES, RELAY, BOBS = NETWORK.nodes


def service(folder: Path, log: EventLog) -> Service:
    return Service(NETWORK, folder, log=log, on_demand=True)


def client(service: Service, name: str) -> Client:
    sae = NETWORK.sae(name)
    url = service.door_url(NETWORK.site_of(sae).node)
    return Client(url, tls=service.place.sae_files(name), sae=sae, patience_s=60.0, retry_for_s=10.0)


async def until(condition: Callable[[], bool], *, within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  (a state of the service, which has no event for it)
            await asyncio.sleep(0.05)


def open_sites(service: Service) -> list[NodeId]:
    return [node for node in NETWORK.nodes if node in service.doors]


async def two_lives(folder: Path) -> None:
    """A status opens its own site, a key all on its way; after a restart a key's slave wakes the master alone."""
    with EventLog(keep=True) as log:
        async with service(folder, log) as first:
            assert open_sites(first) == []
            with client(first, "alice") as alice, client(first, "bob") as bob:
                assert (await asyncio.to_thread(alice.get_status, BOB)).stored_key_count == 0
                await asyncio.sleep(1.5)  # more than a tick of its chores, in which it greets who is awake
                assert open_sites(first) == [ALICES]
                keys = await asyncio.to_thread(lambda: alice.get_keys(BOB, count=3, size_bits=256))
                assert open_sites(first) == [ALICES, RELAY, BOBS]
                (same,) = await asyncio.to_thread(bob.get_keys_by_id, ALICE, [keys[0].key_id])
                assert same.take() == keys[0].take()
        async with service(folder, log) as second:
            assert open_sites(second) == []
            with client(second, "bob") as bob:
                rest = await asyncio.to_thread(bob.get_keys_by_id, ALICE, [key.key_id for key in keys[1:]])
            assert [key.take() for key in rest] == [key.take() for key in keys[1:]]
            assert open_sites(second) == [ALICES, BOBS], "keys of an earlier life wait for the word of both their ends"
    assert not [event for event in log.events if event.kind is EventKind.ALARM]


def test_who_wakes_whom(tmp_path: Path) -> None:
    asyncio.run(two_lives(tmp_path / "data"))


def test_a_site_whose_store_is_broken_says_so_and_the_others_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        data = tmp_path / "data"
        with EventLog(keep=True) as log:
            (data / ALICES).mkdir(parents=True)
            (data / ALICES / "keys.sqlite").write_bytes(b"this is no key store, whatever its name says" * 200)
            async with service(data, log) as up:
                with client(up, "alice") as alice, pytest.raises(QanatError):
                    await asyncio.to_thread(alice.get_status, BOB)
                with client(up, "bob") as bob:
                    await asyncio.to_thread(bob.get_status, ALICE)
                assert open_sites(up) == [BOBS]
        alarms = [event for event in log.events if event.kind is EventKind.ALARM]
        assert {(event.node, event.data["code"]) for event in alarms} == {(ALICES, "site-not-opened")}
        assert str(alarms[0].data["text"]).endswith("is no key store"), "and the remedy is said once, below"
        assert "choose another data folder" in str(alarms[0].data["remedy"])

    asyncio.run(scenario())


def test_initial_keys_are_taken_in_though_nobody_calls_and_one_that_is_none_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        data = tmp_path / "data"
        with EventLog(keep=True) as log:
            async with service(data, log) as up:
                left = [initial_key_path(up.place.pki, link.link_id) for link in NETWORK.links]
                await until(lambda: not any(path.exists() for path in left))
                assert open_sites(up) == []
                with client(up, "alice") as alice:
                    assert await asyncio.to_thread(lambda: alice.get_keys(BOB, count=1, size_bits=256))
        assert not [event for event in log.events if event.kind is EventKind.ALARM]
        (broken,) = {initial_key_path(data / "pki", link.link_id) for link in NETWORK.links if BOBS in link.ends}
        broken.write_bytes(b"no key")
        broken.chmod(0o600)
        with EventLog(keep=True) as log:
            async with service(data, log) as up:
                await until(lambda: len([event for event in log.events if event.kind is EventKind.ALARM]) == 2)
                assert open_sites(up) == []
        alarms = {(event.node, event.data["code"]) for event in log.events if event.kind is EventKind.ALARM}
        assert alarms == {(RELAY, "site-not-opened"), (BOBS, "site-not-opened")}

    asyncio.run(scenario())


def with_an_island() -> Network:
    """Three nodes, and a ground station with a user that only a satellite could join to them."""
    parts = NETWORK.model_dump(mode="json", exclude_defaults=True) | {"format": NETWORK.format}
    place = {"kind": "user", "latitude_deg": 40.4, "longitude_deg": 117.6}
    dish = {**place, "name": "dish", "kind": "relay", "ground_station": True}
    link = {"name": "dish-hut", "transmitter": "dish", "receiver": "hut", "length_km": 5}
    parts["sites"][0]["ground_station"] = True
    parts["sites"] += [dish, {**place, "name": "hut"}]
    parts["links"].append({**link, "system": "backbone-625", "loss_db": 5})
    parts["applications"].append({"name": "carol", "site": "hut"})
    return parse_network(json.dumps(parts), source="with an island")


def test_an_island_around_a_ground_station_is_up_and_says_that_no_route_leads_off_it(tmp_path: Path) -> None:
    network = with_an_island()

    async def scenario() -> None:
        with EventLog(keep=True) as log:
            async with Service(network, tmp_path / "data", log=log, on_demand=True) as up:
                files, url = up.place.sae_files("carol"), up.door_url(NodeId("hut"))
                with (
                    Client(url, tls=files, sae=network.sae("carol"), patience_s=1.0) as carol,
                    pytest.raises(NoRoute, match="no route"),
                ):
                    await asyncio.to_thread(lambda: carol.get_keys(ALICE, count=1, size_bits=256))
        assert not [event for event in log.events if event.kind is EventKind.ALARM]

    asyncio.run(scenario())


def test_links_that_idle_time_is_to_fill_are_filled_though_nobody_calls(tmp_path: Path) -> None:
    """A site that slept would have no key on the day when the other way is lost."""
    network = NETWORK.model_copy(update={"stock": NETWORK.stock.model_copy(update={"link_key_idle_bits": 100_000})})

    async def scenario() -> None:
        with EventLog(keep=True) as log:
            async with Service(network, tmp_path / "data", log=log, on_demand=True) as up:
                assert open_sites(up) == list(NETWORK.nodes)
                links = {link.link_id for link in network.links}
                await until(
                    lambda: {e.data["link_id"] for e in log.events if e.kind is EventKind.BLOCK_STORED} == links
                )
                assert not [event for event in log.events if event.kind is EventKind.KEY_ASKED]

    asyncio.run(scenario())


def with_a_way_round() -> Network:
    """Three nodes, and a second relay on a longer way."""
    parts = NETWORK.model_dump(mode="json", exclude_defaults=True) | {"format": NETWORK.format}
    parts["sites"].append({"kind": "relay", "latitude_deg": 31.6, "longitude_deg": 121.0, "name": "taicang"})
    for one, other in (("suzhou", "taicang"), ("taicang", "shanghai")):
        link = {"name": f"{one}-{other}", "transmitter": one, "receiver": other, "length_km": 80}
        parts["links"].append({**link, "system": "backbone-625", "loss_db": 20})
    return parse_network(json.dumps(parts), source="with a way round")


class SlowlyOpened(Service):
    """A service on a machine with so much to do that a site is opened in seconds, not in a fraction of one."""

    opening_s = 0.0

    async def _open_site(self, node: NodeId, bells: Bells) -> None:
        await asyncio.sleep(self.opening_s)
        await super()._open_site(node, bells)


@pytest.mark.campaign
def test_sites_of_a_way_that_open_slowly_cost_no_error_no_detour_and_no_key(tmp_path: Path) -> None:
    """Keys lie ready on all links since an earlier start, and one call finds relay and far end asleep."""
    network, data = with_a_way_round(), tmp_path / "data"

    async def ask(up: Service) -> list[str]:
        with client(up, "alice") as alice:
            await asyncio.to_thread(alice.get_status, BOB)  # opens the master's site
        given = await up.managers[ALICES].get_keys(master=ALICE, slave=BOB, count=1, patience_s=30.0)
        return list(given.keys[0].route)

    async def scenario() -> None:
        with EventLog(keep=True) as log:
            async with SlowlyOpened(network, data, log=log, on_demand=True) as up:
                usual = await ask(up)
            async with SlowlyOpened(network, data, log=log, on_demand=True) as up:
                up.opening_s = 2.0
                assert await ask(up) == usual
                assert NodeId("taicang") not in up.doors, "the other way was not tried"
        assert not [event for event in log.events if event.kind in (EventKind.ALARM, EventKind.RELAY_FAILED)]

    asyncio.run(scenario())


def test_sites_that_nobody_uses_sleep_again_and_lose_nothing(tmp_path: Path) -> None:
    """Keys that were not fetched before all slept are fetched after it; new ones are made; none is given twice."""

    async def scenario() -> None:
        with EventLog(keep=True) as log:
            async with Service(NETWORK, tmp_path / "data", log=log, on_demand=True, sleep_after_s=1.0) as up:
                with client(up, "alice") as alice:
                    first = await asyncio.to_thread(lambda: alice.get_keys(BOB, count=3, size_bits=256))
                    assert open_sites(up) == [ALICES, RELAY, BOBS]
                    await until(lambda: open_sites(up) == [ALICES])
                    await asyncio.sleep(2.0)
                    assert open_sites(up) == [ALICES], "a connection stands at its door"
                former = weakref.ref(up.managers[ALICES])
                await until(lambda: not open_sites(up))
                await until(lambda: gc.collect() >= 0 and former() is None)  # nothing of a site that sleeps is kept
                await asyncio.sleep(3.0)  # chores, announcements and lines that broke wake nobody
                assert not open_sites(up)
                with client(up, "bob") as bob, client(up, "alice") as alice:
                    fetched = await asyncio.to_thread(bob.get_keys_by_id, ALICE, [key.key_id for key in first])
                    assert [key.take() for key in fetched] == [key.take() for key in first]
                    with pytest.raises(KeyNotFound):
                        await asyncio.to_thread(bob.get_keys_by_id, ALICE, [first[0].key_id])
                    more = await asyncio.to_thread(lambda: alice.get_keys(BOB, count=2, size_bits=256))
                    assert not {key.key_id for key in more} & {key.key_id for key in first}
                    same = await asyncio.to_thread(bob.get_keys_by_id, ALICE, [key.key_id for key in more])
                    assert [key.take() for key in same] == [key.take() for key in more]
                await until(lambda: not open_sites(up))
        assert not [event for event in log.events if event.kind is EventKind.ALARM]
        assert not [event for event in log.events if event.kind is EventKind.RELAY_FAILED]

    asyncio.run(scenario())


@pytest.mark.campaign
def test_a_site_stays_open_while_key_that_was_asked_for_is_being_made(tmp_path: Path) -> None:
    """The caller has gone after its 503; what it began goes on to its end, and only then do its sites sleep."""

    async def scenario() -> None:
        with EventLog(keep=True) as log:
            async with Service(NETWORK, tmp_path / "data", log=log, on_demand=True, sleep_after_s=0.2) as up:
                await up._sites.wake([ALICES])
                with pytest.raises(KeyShortage):
                    await up.managers[ALICES].get_keys(master=ALICE, slave=BOB, patience_s=0.0)
                await until(lambda: not open_sites(up), within_s=120.0)
        stored = [event for event in log.events if event.kind is EventKind.BLOCK_STORED]
        assert {event.node for event in stored} == set(NETWORK.nodes), "both links' blocks are confirmed at all ends"
        assert not [event for event in log.events if event.kind is EventKind.BLOCK_DROPPED]

    asyncio.run(scenario())

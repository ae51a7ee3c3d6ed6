"""Urumqi to Beijing in three steps: key by satellite, relay to both data centres, a tunnel that banks pay over.

The example runs as it stands, beside a network that runs; a relay of Beijing's ring is killed under it, and in a
smaller network the satellite's key runs dry.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import subprocess
import sys
import threading
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from interop.live import LiveNetwork, running_network, running_site
from interop.satellite_house import network_file
from interop.test_node_command import until
from interop.test_services import command, receiving
from qanat.client import Client
from qanat.ground.errors import KeyShortage
from qanat.ground.identifiers import SaeId

pytestmark = pytest.mark.campaign

EXAMPLE = Path(__file__).parents[2] / "examples" / "pay_over_a_tunnel.py"
PASSES = ("--passes-every-s", "8", "--pass-light", "0.3")
NETWORK, RELAY = "urumqi-beijing", "beijing-relay-02"
HERE, THERE = "urumqi-router", "beijing-router"
WAY = (
    "urumqi-user-01",
    "urumqi-relay",
    "nanshan",
    "micius",
    "xinglong",
    *(f"xinglong-relay-{n}" for n in (4, 3, 2, 1)),
)
BY_SATELLITE = "nanshan-xinglong-by-micius"
LIMIT_S = 500


class Paying:
    """The example as a process; ``on_key`` hears of each key of the tunnel while it runs."""

    def __init__(self, data: Path, *options: str, on_key: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        words = [sys.executable, str(EXAMPLE), str(data), *options, "--json"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self._limit = threading.Timer(LIMIT_S, self.process.kill)
        self._limit.start()
        self._on_key = on_key
        self.keys: list[dict[str, Any]] = []
        self.lines: list[dict[str, Any]] = []

    def report(self) -> dict[str, Any]:
        """Return what it says at its end."""
        assert self.process.stdout is not None
        with self.process.stdout:
            for text in self.process.stdout:
                self.lines.append(line := json.loads(text))
                if "key" in line:
                    self.keys.append(line["key"])
                    self._on_key(line["key"])
        self._limit.cancel()
        assert self.process.wait() == 0
        return dict(self.lines[-1]["report"])


def check_nothing_was_lost(report: dict[str, Any]) -> None:
    assert report["broken_off"] == []
    for bank in report["payments"].values():
        assert bank["asked"] == bank["answered"] == bank["booked_there"] > 100
        assert bank["asked_again"] == 0


def told(data: Path, kind: str) -> list[dict[str, Any]]:
    lines = (data / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event["data"] for event in map(json.loads, lines) if event["kind"] == kind]


def first_key(live: LiveNetwork, one: str, other: str) -> None:
    """Return when the satellite has brought key, and the fibres have made theirs."""
    with live.client(one) as client:
        while True:
            try:
                client.get_keys(live.sae(other), count=1, size_bits=128)
            except KeyShortage as short:
                time.sleep(min(short.retry_after_s, 5.0))
            else:
                return


def test_banks_pay_under_ten_keys_a_minute_while_a_relay_of_the_ring_is_killed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with (
        running_network(data, NETWORK, apart=[RELAY], more=PASSES) as live,
        running_site(data, RELAY, NETWORK) as relay,
    ):
        for one, other in ((HERE, THERE), (THERE, HERE)):
            first_key(live, one, other)

        def kill_after_a_minute(_: dict[str, Any]) -> None:
            if len(paying.keys) == 10:
                relay.kill()

        paying = Paying(data, "--seconds", "90", "--key-wait", "240", on_key=kill_after_a_minute)
        report = paying.report()
        passes = told(data, "satellite-set")
        announced = told(data, "key-announced")
        relayed = told(data, "keys-relayed")
    check_nothing_was_lost(report)
    # step 1: key with each station in a pass of its own, and their sum announced afterwards
    assert {one["link_id"] for one in passes[:2]} == {"micius-xinglong", "micius-nanshan"}
    assert all(one["route"] == ["nanshan", "micius", "xinglong"] for one in announced)
    assert all(one["qkd_bits"] == 2 * one["num_bits"] + one["authentication_bits"] for one in announced)
    # step 2: relayed to both data centres, over the other half of the ring once the relay is dead
    ways = [tuple(key["routes"][0]) for key in paying.keys]
    assert all(way[: len(WAY)] == WAY and way[-1] == "beijing-user-05" for way in ways)
    assert all(RELAY in way for way in ways[:10])
    assert RELAY not in ways[-1]
    assert all(key["hops"] == len(way) - 1 for key, way in zip(paying.keys, ways, strict=True))
    assert all(key["qkd_bits"] > key["hops"] * 128 for key in paying.keys)
    ids = [key["key_id"] for key in paying.keys]
    assert len(set(ids)) == len(ids)
    assert {(one["num_keys"], one["key_bits"]) for one in relayed} == {(1, 128)}
    # step 3: a fresh key every six seconds each way, but for the wait for the other way
    assert report["keys"][HERE] > 10
    assert all(10 <= num_keys <= 10 * report["minutes"] + 2 for num_keys in report["keys"].values())
    print(json.dumps(report))
    space = report["satellite"]
    assert 0 < space["left_bits"] < space["announced_bits"]
    assert space["bits_per_minute"] > 0


def drain(client: Client, peer: SaeId) -> None:
    """Take keys, ever smaller ones, until the satellite's key does not pay for the smallest any more."""
    for count, size_bits in ((8, 65_536), (1, 65_536), (1, 8_192), (1, 1_024), (1, 128)):
        while not _is_dry(client, peer, count=count, size_bits=size_bits):
            pass


def _is_dry(client: Client, peer: SaeId, *, count: int, size_bits: int) -> bool:
    """Take keys, and return whether the satellite's key is what they failed for."""
    try:
        client.get_keys(peer, count=count, size_bits=size_bits)
    except KeyShortage as short:
        if BY_SATELLITE in short.message:
            return True
        time.sleep(min(short.retry_after_s, 5.0))  # a fibre's key is made meanwhile
    return False


async def ask_until_it_breaks(port: int) -> None:
    """Ask the echo behind a tunnel a number at a time; raises OSError when the connection breaks, else goes on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for number in itertools.count():
            writer.write(b"%d\n" % number)
            assert await reader.readline() == b"%d\n" % number, "an end that nobody meant"
            await asyncio.sleep(0.05)
    finally:
        writer.close()


async def broken_off(said: asyncio.StreamReader, heard: list[bytes]) -> tuple[dict[str, Any], list[int]]:
    """Return the tunnel's word that it broke a connection off, and how much the program behind it had heard at each
    word since the last key: that it waits, and that the wait is over."""
    heard_at = list[int]()
    async for text in said:
        line = json.loads(text)
        heard_at = [] if "key" in line else [*heard_at, len(heard)]
        if "fault" in line:
            return line, heard_at
    raise AssertionError("the tunnel ended before it broke anything off")


@contextlib.asynccontextmanager
async def tunnel_of_ulan(data: Path, port_behind: int, inbox: Path) -> AsyncIterator[tuple[Process, int]]:
    """Give a tunnel's process, whose keys last a second, and the port that leads to bob's program."""
    words = ("tunnel", "--as", "ulan", "--to", "bob", "--data", data, "--refresh", "1", "--key-wait", "30", "--json")
    async with receiving(data, inbox, options=("--tunnel", f"127.0.0.1:{port_behind}")):
        entrance = await command(*words)
        try:
            assert entrance.stdout is not None
            yield entrance, json.loads(await entrance.stdout.readline())["listening"]
        finally:
            with contextlib.suppress(ProcessLookupError):
                entrance.kill()
            await entrance.wait()


def test_a_tunnel_whose_satellite_key_is_used_up_stands_still_says_so_and_ends_by_its_rule(tmp_path: Path) -> None:
    """Nothing goes under the old key: what is said meanwhile arrives never, and the program sees no false end."""
    network, data, satellite = str(network_file(tmp_path)), tmp_path / "data", "micius"
    heard: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                heard.append(line)
                writer.write(line)
        writer.close()

    async def heard_more(asking: asyncio.Task[None]) -> bool:
        """Return whether the program heard some more, before the connection was broken off."""
        before = len(heard)
        while len(heard) < before + 5 and not asking.done():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.1)
        return len(heard) >= before + 5

    async def use_up(live: LiveNetwork, entrance: Process, port: int) -> None:
        asking = asyncio.create_task(ask_until_it_breaks(port))
        assert await heard_more(asking)
        assert entrance.stdout is not None
        with live.client("ulan", patience_s=20) as ulan:
            draining = asyncio.create_task(asyncio.to_thread(drain, ulan, live.sae("bob")))
            fault, heard_at = await broken_off(entrance.stdout, heard)
            await draining
        assert (fault["fault"], BY_SATELLITE in fault["message"]) == ("KeyShortage", True), fault
        assert len(heard_at) > 1, "it said that it waits"
        assert len(set(heard_at)) == 1, "and while it waited nothing came"
        with pytest.raises(ConnectionResetError):
            await asking

    async def come_back(port: int) -> None:
        while True:
            asking = asyncio.create_task(ask_until_it_breaks(port))
            if await heard_more(asking):
                break
            with pytest.raises(ConnectionResetError):
                await asking
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    async def run(live: LiveNetwork) -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        place = server.sockets[0].getsockname()[1]
        async with server, tunnel_of_ulan(data, place, tmp_path / "in") as (entrance, port):
            await use_up(live, entrance, port)
            with running_site(data, satellite, network):
                await come_back(port)
            entrance.terminate()
            _, told_people = await entrance.communicate()
        assert b"nothing goes under an older one" in told_people

    with running_network(data, network, apart=[satellite], more=PASSES) as live:
        with running_site(data, satellite, network) as bird:
            until(lambda: len(told(data, "announcement-opened")) >= 4, "both stations have opened both announcements")
            bird.kill()
        asyncio.run(asyncio.wait_for(run(live), LIMIT_S))

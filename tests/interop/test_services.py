"""The services on a running network: real keys from real doors, commands as processes, a spy on the line, kills."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from interop.gathering import PEOPLE, Gathering
from interop.live import LiveNetwork, running_network, running_site
from qanat.adapters.addresses import AddressBook
from qanat.adapters.buffer_line import dial
from qanat.adapters.mailbox import Mailbox
from qanat.ground.data import read_text
from qanat.ground.errors import BadParameter, QanatError
from qanat.ground.identifiers import KeyID, NodeId, SaeId, slaves_together
from qanat.ground.keys import KeyStatus, SecretKey
from qanat.ground.ports import KeySupply
from qanat.services.call import LOST_S
from qanat.services.ciphers import Refresh
from qanat.services.conversation import Terms, calling
from qanat.services.texts import Text, deliver_texts
from qanat.users.people import find_people
from qanat.users.reception import Listeners, Reception
from qanat.users.services import UserServices
from service_support import Spy
from unit.test_calls import Accepted

pytestmark = pytest.mark.slow

CANARY = b"the canary sings in plain letters"
LIMIT_S = 100
QANAT = (sys.executable, "-m", "qanat.apps.cli.main")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three nodes with nine users: carol, beside bob, and six more."""
    place = tmp_path_factory.mktemp("services")
    described = read_text("networks", "three-nodes.yaml")
    for number, name in enumerate(PEOPLE[2:]):
        described += f"\n  - name: {name}\n    site: {('shanghai', 'suzhou')[number % 2]}"
    (place / "three.yaml").write_text(f"{described}\n", encoding="utf-8")
    with running_network(place / "data", str(place / "three.yaml")):
        yield place / "data"


def made_file(path: Path, *, num_bytes: int) -> Path:
    piece = CANARY + hashlib.shake_128(b"film").digest(2**20 - len(CANARY))
    with path.open("wb") as file:
        for start in range(0, num_bytes, len(piece)):
            file.write(piece[: num_bytes - start])
    return path


def same(one: Path, other: Path) -> bool:
    return hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest()


async def command(*words: str | Path) -> Process:
    return await asyncio.create_subprocess_exec(*QANAT, *map(str, words), stdout=PIPE, stderr=PIPE)


async def answer(*words: str | Path) -> tuple[int | None, dict[str, Any], str]:
    """Return a command's status, its JSON, and what it told people."""
    process = await command(*words, "--json")
    out, told = await process.communicate()
    return process.returncode, json.loads(out or b"{}"), told.decode()


def killed(process: Process) -> None:
    """Kill it, also where it was killed before: ``Process.kill`` would then take its status away from who waits."""
    if process.returncode is None:
        os.kill(process.pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def receiving(
    data: Path, folder: Path, name: str = "bob", *, options: Sequence[str] = ()
) -> AsyncIterator[Process]:
    """Run ``qanat receive`` until it is ready, and end it at the end, if it still runs."""
    process = await command("receive", "--as", name, "--data", data, "--out", folder, "--json", *options)
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
        assert line, (await process.communicate())[1]
        yield process
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@contextlib.asynccontextmanager
async def spied(data: Path, name: str = "bob") -> AsyncIterator[Spy]:
    book = AddressBook(data / "addresses")
    address = book.find("services", name)
    assert address is not None
    spy = Spy(address[1])
    async with spy.listening() as port:
        book.publish("services", name, ("127.0.0.1", port))
        yield spy


def test_a_receiver_whose_output_nobody_reads_any_more_confirms_what_comes_and_ends(data: Path, tmp_path: Path) -> None:
    """As after ``| head -1``: the text that could not be printed lies in the inbox, for the next receiver to show."""

    async def run() -> None:
        reading, writing = os.pipe()
        words = ("receive", "--as", "bob", "--data", str(data), "--out", str(tmp_path), "--json")
        bob = await asyncio.create_subprocess_exec(*QANAT, *words, stdout=writing, stderr=PIPE)
        os.close(writing)
        listening = await asyncio.to_thread(os.read, reading, 4096)
        assert json.loads(listening)["name"] == "bob"
        os.close(reading)
        status, report, _ = await answer("text", "bob", "is somebody there?", "--as", "alice", "--data", data)
        assert (status, list(report["delivered"])) == (0, ["bob"])
        told = (await bob.communicate())[1].decode()
        assert (bob.returncode, told.splitlines()[1:]) == (0, ["nobody reads standard output any more: ended"])
        mailbox = Mailbox(data / "users" / "bob")
        (text,) = mailbox.fresh()
        assert text.body == "is somebody there?"
        mailbox.shown(text)

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_a_receiver_of_which_people_read_no_more_tells_programs_what_comes_and_ends(data: Path, tmp_path: Path) -> None:
    async def run() -> None:
        reading, writing = os.pipe()
        words = ("receive", "--as", "bob", "--data", str(data), "--out", str(tmp_path / "in"), "--json")
        bob = await asyncio.create_subprocess_exec(*QANAT, *words, stdout=PIPE, stderr=writing)
        os.close(writing)
        assert bob.stdout is not None
        assert json.loads(await bob.stdout.readline())["name"] == "bob"
        os.close(reading)
        film = made_file(tmp_path / "film.bin", num_bytes=1000)
        status, sent, told = await answer("send", film, "bob", "--as", "alice", "--data", data)
        assert (status, sent["sent"][0]["name"]) == (0, "film.bin"), told
        lines = [json.loads(line) for line in (await bob.communicate())[0].splitlines()]
        assert (bob.returncode, [line["file"]["name"] for line in lines]) == (0, ["film.bin"])

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_a_file_and_a_text_are_delivered_and_reported_to_programs_where_people_read_nothing(
    data: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        film = made_file(tmp_path / "film.bin", num_bytes=1000)
        async with receiving(data, tmp_path / "in"):
            for told in (unread_pipe(), None):
                for words in (("send", film, "bob"), ("text", "bob", "-5 degrees")):
                    line = shlex.join(map(str, (*QANAT, *words, "--as", "alice", "--data", data, "--json")))
                    closed = " 2>&-" if told is None else ""
                    process = await asyncio.create_subprocess_shell(f"exec {line}{closed}", stdout=PIPE, stderr=told)
                    out, _ = await process.communicate()
                    assert process.returncode == 0
                    report = json.loads(out)
                    assert [*(one["recipient"] for one in report.get("sent", ())), *report.get("delivered", ())] == [
                        "bob"
                    ]
                if told is not None:
                    os.close(told)
        assert len(list((tmp_path / "in").glob("film*"))) == 2

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def unread_pipe() -> int:
    """Return the writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def test_a_rotation_ends_quietly_where_nobody_reads_what_it_prints(data: Path) -> None:
    async def run() -> None:
        rotation = ("hook", "command", "--run", "true", "--data", str(data), "--json")
        follower = await command(*rotation, "--with", "alice", "--as", "carol", "--follow")
        leader: Process | None = None
        try:
            assert follower.stderr is not None
            await follower.stderr.readline()
            leader = await unread(*rotation, "--with", "carol", "--as", "alice")
            assert await ended(leader) == (0, "")
        finally:
            for one in filter(None, (follower, leader)):
                killed(one)
                await one.communicate()

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_a_tunnel_ends_quietly_where_nobody_reads_what_it_prints(data: Path, tmp_path: Path) -> None:
    async def run() -> None:
        async with receiving(data, tmp_path / "in", options=("--tunnel", "127.0.0.1:9")):
            entrance = await unread(
                "tunnel", "--to", "bob", "--as", "alice", "--data", str(data), "--json", until_line=True
            )
            try:
                assert entrance.stderr is not None
                (port,) = re.findall(rb"port (\d+) of", await entrance.stderr.readline())
                _, writer = await asyncio.open_connection("127.0.0.1", int(port))
                assert await ended(entrance) == (0, "")
                writer.close()
            finally:
                killed(entrance)
                await entrance.communicate()

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


async def unread(*words: str, until_line: bool = False) -> Process:
    """Run a command whose standard output nobody reads, or nobody after its first line."""
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(*QANAT, *words, stdout=writing, stderr=PIPE)
    os.close(writing)
    if until_line:
        await asyncio.to_thread(os.read, reading, 4096)
    os.close(reading)
    return process


async def ended(process: Process) -> tuple[int | None, str]:
    """Return a command's status, and what it told people beside what it always tells."""
    told = (await process.communicate())[1].decode()
    return process.returncode, "".join(line for line in told.splitlines(True) if "Traceback" in line or "rror" in line)


def test_commands_carry_a_file_and_a_text_and_a_spy_finds_no_letter_of_them(data: Path, tmp_path: Path) -> None:
    async def run() -> None:
        film = made_file(tmp_path / "film.bin", num_bytes=5 * 2**20)
        async with receiving(data, tmp_path / "in") as bob, spied(data) as spy:
            sender = ("--as", "alice", "--data", data)
            status, sent, told = await answer("send", film, "bob", *sender, "--cipher", "aes-256-gcm")
            assert status == 0, told
            assert sent["sent"][0]["sha256"] == hashlib.sha256(film.read_bytes()).hexdigest()
            status, report, _ = await answer("text", "bob", CANARY.decode(), *sender)
            assert (status, list(report["delivered"]), report["waiting"]) == (0, ["bob"], [])
            assert bob.stdout is not None
            file, text = [json.loads(await bob.stdout.readline()) for _ in range(2)]
        assert (file["file"]["name"], file["file"]["sender"]) == ("film.bin", "alice")
        assert (text["text"]["body"], text["text"]["sender"]) == (CANARY.decode(), "alice")
        assert same(film, tmp_path / "in" / "film.bin")
        assert len(spy.seen) > film.stat().st_size
        assert CANARY not in spy.seen
        assert b"film.bin" not in spy.seen

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_a_browser_reads_a_web_page_through_the_tunnel_and_a_spy_finds_no_letter_of_it(
    data: Path, tmp_path: Path
) -> None:
    """The page is bob's, served by Python's own web server and read by its own client; both are none the wiser."""

    async def run(web_port: int) -> None:
        async with receiving(data, tmp_path / "in", options=("--tunnel", f"127.0.0.1:{web_port}")), spied(data) as spy:
            entrance = await command("tunnel", "--to", "bob", "--as", "alice", "--data", data, "--json")
            assert entrance.stdout is not None
            port = json.loads(await entrance.stdout.readline())["listening"]
            urls = [f"http://127.0.0.1:{port}/{name}" for name in ("page.html", "film.bin")]
            page, film = await asyncio.gather(*(asyncio.to_thread(read_url, url) for url in urls))
            assert (page, film) == ((tmp_path / "page.html").read_bytes(), (tmp_path / "film.bin").read_bytes())
            carried, keys = list[dict[str, Any]](), list[dict[str, Any]]()
            while len(carried) < len(urls):
                line = json.loads(await entrance.stdout.readline())
                carried += [line["carried"]] if "carried" in line else []
                keys += [line["key"]] if "key" in line else []
            entrance.send_signal(signal.SIGTERM)
            await entrance.communicate()
            assert len(film) < max(one["received_bytes"] for one in carried) < len(film) + 1000
            assert 2 * len(carried) == len({key["key_id"] for key in keys}) == 4, (
                "each connection has two keys of its own: for TLS and for its records"
            )
            for key in keys:
                assert (key["size_bits"], key["hops"]) == (128, 2)
                assert key["qkd_bits"] > 2 * 128, "a pad on each hop, and tags"
            assert entrance.returncode == 0
        assert len(spy.seen) > len(film)
        assert CANARY not in spy.seen
        assert b"GET /" not in spy.seen

    (tmp_path / "page.html").write_bytes(b"<p>" + CANARY)
    made_file(tmp_path / "film.bin", num_bytes=3 * 2**20)
    handler = functools.partial(SilentHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, ThreadPoolExecutor(1) as pool:
        serving = pool.submit(server.serve_forever, 0.05)
        try:
            asyncio.run(asyncio.wait_for(run(server.server_address[1]), LIMIT_S))
        finally:
            server.shutdown()
        serving.result()


@pytest.mark.campaign
def test_readings_of_a_sensor_wait_for_the_centre_and_are_listed_there_once(data: Path, tmp_path: Path) -> None:
    async def run() -> None:
        sensor = ("collect", "carol", "--as", "alice", "--data", data, "--sensor", "boiler")
        print_value = f"{sys.executable} -c 'print(21.5)'"
        measuring = await command(*sensor, "--run", print_value, "--count", "2", "--every", "0.5")
        _, told = await measuring.communicate()
        assert (measuring.returncode, "2 readings wait" in told.decode()) == (1, True), told
        async with receiving(data, tmp_path / "in", "carol") as carol:
            delivering = await command(*sensor, "--count", "0")
            _, told = await delivering.communicate()
            assert delivering.returncode == 0, told
            assert told.endswith(b"2 readings delivered to carol, none waits\n"), told
            assert carol.stdout is not None
            came = [json.loads(await carol.stdout.readline())["reading"] for _ in range(2)]
        assert [(one["sender"], one["sensor"], one["value"]) for one in came] == [("alice", "boiler", "21.5")] * 2
        listing = await command("collect", "--as", "carol", "--data", data)
        out, _ = await listing.communicate()
        assert [line.split(",")[1:] for line in out.decode().splitlines()] == [
            ["sender", "sensor", "value"],
            *[["alice", "boiler", "21.5"]] * 2,
        ]

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_two_hooks_put_the_same_keys_of_the_network_into_two_programs(data: Path, tmp_path: Path) -> None:
    """In place of ``wg`` stands a script of ours; WireGuard itself: ``test_wireguard``."""

    async def run() -> None:
        programs = [tmp_path / "wg-alice", tmp_path / "wg-carol"]
        for path in programs:
            show = "[ $1 = show ] && echo PUBLIC && exit"
            path.write_text(f'#!/bin/sh\n{show}\ncat >> "$0.log"\n', encoding="utf-8")
            path.chmod(0o700)
        shared = ("--peer", "PUBLIC", "--every", "1", "--count", "2", "--data", data)
        ends = [
            await command(
                "hook", "wireguard", "--with", other, "--as", me, "--interface", "wg0", "--program", path, *more
            )
            for me, other, path, more in (
                ("carol", "alice", programs[1], (*shared, "--follow")),
                ("alice", "carol", programs[0], shared),
            )
        ]
        try:
            told = [(await end.communicate())[1].decode() for end in ends]
        finally:
            for end in ends:
                if end.returncode is None:
                    end.kill()
        assert [end.returncode for end in ends] == [0, 0], told

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))
    keys = [Path(f"{tmp_path}/wg-{name}.log").read_text(encoding="utf-8").split() for name in ("alice", "carol")]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 2


class SilentHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


def read_url(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
        return bytes(answer.read())


def test_kill_9_of_either_side_costs_only_the_time(data: Path, tmp_path: Path) -> None:
    """The recipient is killed at a third of the file, the sender at two thirds; each is started again."""

    async def run() -> None:
        film, came = made_file(tmp_path / "film.bin", num_bytes=24 * 2**20), tmp_path / "in"
        size, sender = film.stat().st_size, ("send", film, "bob", "--as", "alice", "--data", data, "--json")
        async with receiving(data, came) as bob, spied(data) as spy:
            spy.on_bytes = lambda passed: killed(bob) if passed > size // 3 else None
            sending = await command(*sender)
            await bob.wait()
            assert not (came / "film.bin").exists()
        async with receiving(data, came), spied(data) as spy:
            spy.on_bytes = lambda passed: killed(sending) if passed > size // 3 else None
            await sending.communicate()
            assert sending.returncode == -signal.SIGKILL
            assert not (came / "film.bin").exists()
            status, sent, told = await answer(*sender[:-1])
            assert status == 0, told
        assert 0 < sent["sent"][0]["sent_bytes"] < size * 0.75
        assert same(film, came / "film.bin")
        assert [path.name for path in came.iterdir() if path.name[0] != "."] == ["film.bin"]

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_a_pad_is_refused_with_the_figure_and_accepted_when_the_network_has_made_it(data: Path, tmp_path: Path) -> None:
    async def run() -> None:
        sender = ("--as", "alice", "--data", data, "--cipher", "one-time-pad")
        async with receiving(data, tmp_path / "in"), UserServices(find_people(data=data, name="alice")) as alice:
            stocked = (await alice.quote_pad("bob", content_bytes=0)).stocked_bits
            letter = made_file(tmp_path / "letter.bin", num_bytes=stocked // 8 + 10_000)
            status, _, told = await answer("send", letter, "bob", *sender)
            assert status == 2
            figures = re.search(r"a one-time pad of ([\d,]+) bits is needed, and ([\d,]+) bits are in stock", told)
            assert figures is not None, told
            needed, there = (int(figure.replace(",", "")) for figure in figures.groups())
            assert there == stocked, "what the quote said"
            assert 80_000 < needed - stocked < 100_000, "the letter, its tags and words"
            status, sent, told = await answer("send", letter, "bob", *sender, "--pad-wait", "60")
            assert status == 0, told
            assert sent["cipher"] == "one-time-pad"
        assert same(letter, tmp_path / "in" / "letter.bin")

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_a_group_of_the_directory_hears_a_text_sealed_once_under_a_key_of_all(data: Path, tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "directory.toml"
        path.touch()
        who = ("--as", "alice", "--data", data, "--directory", path)
        status, told, _ = await answer("group", "board", "bob", "carol", *who)
        assert (status, told) == (0, {"groups": {"board": ["bob", "carol"]}})
        status, told, _ = await answer("contacts", *who)
        assert (status, told["me"], told["groups"]) == (0, "alice", {"board": ["bob", "carol"]})
        assert sorted(told["contacts"]) == sorted(PEOPLE)
        heard: list[str] = []
        people = [find_people(data=data, name=name, directory=path) for name in ("alice", "bob", "carol")]
        async with contextlib.AsyncExitStack() as stack:
            alice, *others = [await stack.enter_async_context(UserServices(one)) for one in people]
            for other in others:
                listeners = Listeners(on_text=lambda text: heard.append(text.body))
                reception = Reception(other, tmp_path / other.people.me.name, listeners=listeners)
                await stack.enter_async_context(reception)
            supply = Counting(alice.party.supply)
            alice.party = replace(alice.party, supply=supply)
            report = await alice.text("board", "to all of you")
        assert sorted(report.delivered) == ["bob", "carol"]
        assert heard == ["to all of you"] * 2
        saes = [one.me.sae for one in people[1:]]
        assert supply.asked == [slaves_together(saes), *saes], "one key of all, and one for the conversation with each"

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


class Counting:
    """A supply that notes for whom keys were asked."""

    def __init__(self, supply: KeySupply) -> None:
        self._supply = supply
        self.asked: list[str] = []

    async def get_status(self, peer: SaeId, /) -> KeyStatus:
        return await self._supply.get_status(peer)

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        self.asked.append(peer)
        return await self._supply.get_keys(peer, count=count, size_bits=size_bits)

    async def get_keys_by_id(self, peer: SaeId, key_ids: Sequence[KeyID], /) -> Sequence[SecretKey]:
        return await self._supply.get_keys_by_id(peer, key_ids)


@pytest.mark.campaign
def test_a_thousand_text_sessions_are_open_at_once_under_keys_of_the_network(data: Path, tmp_path: Path) -> None:
    async def run(sessions: int) -> None:
        heard: list[str] = []
        said: list[int] = []
        faults: list[QanatError] = []
        all_open = asyncio.Event()
        listeners = Listeners(on_text=lambda text: heard.append(text.body), on_fault=faults.append)
        async with (
            UserServices(find_people(data=data, name="bob")) as bob,
            Reception(bob, tmp_path, listeners=listeners) as reception,
            UserServices(find_people(data=data, name="alice")) as alice,
        ):

            async def session(number: int) -> None:
                line = await dial("127.0.0.1", reception.port, timeout_s=60)
                conversation = calling(alice.party, line, bob.party.sae, service="text", terms=alice.terms)

                async def delivered(*_: object) -> None:
                    said.append(number)
                    if len(said) == sessions:
                        all_open.set()
                    await all_open.wait()

                told = [Text(f"{number:032x}", f"text {number}", 1.0)]
                failed = await deliver_texts([conversation], told, delivered=delivered)
                await line.close()
                assert (failed, faults) == ({}, [])

            await asyncio.gather(*map(session, range(sessions)))
        assert sorted(heard) == sorted(f"text {number}" for number in range(sessions))

    asyncio.run(asyncio.wait_for(run(1000), LIMIT_S))


def test_the_example_of_the_page_runs_as_it_stands(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to-use-services.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "how-to-use-services.md", "exec"), {"data": str(data)})
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("sae:alice did it come?")
    assert said[1:] == ["8 ['bob']", "8256"]
    assert (tmp_path / "inbox" / "letter.txt").read_text(encoding="utf-8") == "Dear Bob"


@pytest.mark.campaign
def test_commands_carry_a_fax_and_a_call(data: Path, tmp_path: Path) -> None:
    async def run() -> None:
        pages = [Image.new("L", (595, 842), 255) for _ in range(2)]
        pages[0].save(tmp_path / "letter.pdf", save_all=True, append_images=pages[1:])
        async with receiving(data, tmp_path / "in") as bob:
            sender = ("--as", "alice", "--data", data)
            status, sent, told = await answer("fax", tmp_path / "letter.pdf", "bob", *sender)
            assert status == 0, told
            assert [(one["name"], one["num_pages"]) for one in sent["fax"]] == [("letter.tiff", 2)]
            status, said, told = await answer("call", "bob", *sender, "--seconds", "2", "--refresh", "0.5")
            assert status == 0, told
            assert bob.stdout is not None
            fax, call = [json.loads(await bob.stdout.readline()) for _ in range(2)]
        assert (fax["fax"]["num_pages"], fax["fax"]["sender"]) == (2, "alice")
        assert call["call"]["peer"] == "alice"
        for report in (said["call"], call["call"]):
            assert report["keys_received"] >= 2
            assert report["audio"]["decoded"] > 5
            assert report["video"]["decoded"] > 0

    asyncio.run(run())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_receiver_that_is_ended_hangs_up_and_tells_of_its_call(
    data: Path, tmp_path: Path, number: signal.Signals
) -> None:
    async def run() -> None:
        async with receiving(data, tmp_path / "in", options=("--record-calls",)) as bob:
            calling = asyncio.create_task(answer("call", "bob", "--as", "alice", "--data", data, "--video", "none"))
            while not any((tmp_path / "in").glob("call-*")):  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.05)
            await asyncio.sleep(1.0)
            bob.send_signal(number)
            out, told = await asyncio.wait_for(bob.communicate(), 5.0)
            assert bob.returncode == 0
            status, said, _ = await asyncio.wait_for(calling, 5.0)
        report = json.loads(out)["call"]
        assert (status, said["call"]["ended"], report["ended"]) == (0, "there", "here")
        assert report["losses_known"]
        assert f"recorded in {report['recording']}" in told.decode()
        assert report["datagrams_opened"] + report["datagrams_missing"] == said["call"]["datagrams_sent"]
        recordings.append(Path(report["recording"]))

    recordings = list[Path]()
    asyncio.run(run())
    assert recordings[0].stat().st_size > 0


def test_a_caller_that_is_stopped_for_long_is_taken_for_gone_and_hears_so(data: Path, tmp_path: Path) -> None:
    async def run() -> None:
        async with receiving(data, tmp_path / "in") as bob:
            alice = await command("call", "bob", "--as", "alice", "--data", data, "--video", "none", "--record", film)
            while not film.exists():  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.05)
            await asyncio.sleep(1.0)
            alice.send_signal(signal.SIGSTOP)
            try:
                assert bob.stdout is not None
                report = json.loads(await asyncio.wait_for(bob.stdout.readline(), LOST_S + 8.0))["call"]
            finally:
                alice.send_signal(signal.SIGCONT)
            _, told = await asyncio.wait_for(alice.communicate(), 8.0)
        assert report["ended"] == "silent"
        assert LOST_S <= report["silent_s"] < LOST_S + 5.0
        assert alice.returncode == 2
        assert "ended by bob, which had no sign of life from here for 10 s" in told.decode()

    film = tmp_path / "film.webm"
    asyncio.run(run())


@pytest.mark.campaign
def test_commands_hold_a_conference_with_a_group(data: Path, tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "directory.toml"
        path.write_text('[groups]\nboard = ["bob", "carol"]\n', encoding="utf-8")
        sender = ("--as", "alice", "--data", data, "--directory", path)
        async with (
            receiving(data, tmp_path / "bob", "bob", options=("--record-calls",)) as bob,
            receiving(data, tmp_path / "carol", "carol") as carol,
        ):
            more = ("--seconds", "6", "--refresh", "1.5", "--record", tmp_path / "meeting")
            status, said, told = await answer("call", "board", *sender, *more)
            assert status == 0, told
            reports = [said["conference"]]
            for member in (bob, carol):
                assert member.stdout is not None
                reports.append(json.loads(await member.stdout.readline())["conference"])
        assert len({report["conference"] for report in reports}) == 1
        assert [sorted(one["peer"] for one in report["members"]) for report in reports] == [
            ["bob", "carol"],
            ["alice", "carol"],
            ["alice", "bob"],
        ]
        for report in reports:
            assert report["keys_sent"] >= 2
            assert all(one["audio"]["decoded"] > 5 and one["video"]["decoded"] > 0 for one in report["members"])
        assert sorted(path.name for path in (tmp_path / "meeting").iterdir()) == ["bob.webm", "carol.webm", "mix.webm"]
        (kept,) = (tmp_path / "bob").glob("conference-*")
        assert sorted(path.name for path in kept.iterdir()) == ["alice.webm", "carol.webm", "mix.webm"]

    asyncio.run(run())


def test_four_hear_each_other_through_changes_of_key_and_each_frame_is_sealed_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = Accepted()
    accepted.spy(monkeypatch)
    gathering = Gathering(data, tmp_path, PEOPLE[:4], refresh_s=1.5)
    asyncio.run(gathering.hold(seconds_s=0.0, num_keys=2))
    gathering.check(accepted, num_keys=2)
    num_sent = sum(one.datagrams_sent for report in gathering.reports.values() for one in report.members)
    assert gathering.num_seals() < num_sent / 2.5, "three get the same record"


@pytest.mark.campaign
def test_a_conference_of_eight_with_5_percent_loss_and_changes_of_key(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = Accepted()
    accepted.spy(monkeypatch)
    gathering = Gathering(data, tmp_path, PEOPLE[:8], refresh_s=5.0)
    asyncio.run(gathering.hold(seconds_s=20.0, num_keys=4))
    gathering.check(accepted, num_keys=4)


def test_a_ninth_is_refused_with_the_remedy(data: Path) -> None:
    async def scene() -> None:
        async with UserServices(find_people(data=data, name="alice")) as alice:
            with pytest.raises(BadParameter, match="a conference of 9: at most 8 people") as caught:
                await alice.confer(PEOPLE[1:])
            assert caught.value.remedy == "call at most 7 others"

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("send_a_file", r"bob has letter.txt: 58000 bytes under 1 key, SHA-256 [0-9a-f]{64}"),
        ("send_a_text", r"waits for bob\n.*alice says: Call me when you are back.\n(.*\n)?delivered to bob at .* UTC"),
        (
            "one_time_pad",
            r"[\d,]+ bits of pad are needed, [\d,]+ are in stock\n"
            r"bob has secret.txt, under (1 key|\d+ keys, together) as long as itself",
        ),
        (
            "call_somebody",
            r"bob has read 1 page: letter.tiff\n\d+ pictures and \d\d+ pieces of sound came from bob\nkeys: [2-4] to",
        ),
        ("seal_frames", r"100 frames were sealed under (?:[3-9]|\d\d) keys"),
        (
            "pay_over_a_tunnel --as alice --to bob --seconds 2 --refresh 0.5",
            r"alice: (\d+) of \1 payments have a receipt, \1 are booked; .*\n  sealed under [2-9] keys in 0.\d min.*\n"
            r"bob: (\d+) of \2 payments .*\n.*\nthe last key: 2 hops, 1,280 bits of link key, over suzhou - kunshan",
        ),
    ],
    ids=["file", "text", "pad", "call", "frames", "payments"],
)
def test_an_example_runs_as_it_stands(data: Path, program: str, said: str) -> None:
    name, *options = program.split()
    path = Path(__file__).parents[2] / "examples" / f"{name}.py"
    done = subprocess.run(
        [sys.executable, str(path), str(data), *options], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(said, done.stdout), done.stdout


def test_the_example_of_payments_ends_with_a_line_where_nobody_reads_it_or_nothing_runs(
    data: Path, tmp_path: Path
) -> None:
    path = Path(__file__).parents[2] / "examples" / "pay_over_a_tunnel.py"
    words = [
        sys.executable,
        str(path),
        str(data),
        *["--as", "alice", "--to", "bob", "--seconds", "60", "--refresh", "0.5", "--json"],
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as paying:
        assert paying.stdout is not None
        paying.stdout.readline()
        paying.stdout.close()
        assert paying.stderr is not None
        told = paying.stderr.read()
    assert paying.returncode == 1
    assert told.splitlines()[-1] == "nobody reads what this program tells any more: it has ended"
    assert "Traceback" not in told
    words[2] = str(tmp_path / "nothing")
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "`qanat receive` ended with status 2: what it said stands above"
    assert "Traceback" not in done.stderr


class Watched:
    """A supply of keys that remembers their routes, in the order they came."""

    def __init__(self, supply: KeySupply) -> None:
        self._supply = supply
        self.routes: list[tuple[NodeId, ...] | None] = []

    async def get_status(self, peer: SaeId, /) -> KeyStatus:
        return await self._supply.get_status(peer)

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        keys = await self._supply.get_keys(peer, count=count, size_bits=size_bits)
        self.routes += [key.route for key in keys]
        return keys

    async def get_keys_by_id(self, peer: SaeId, key_ids: Sequence[KeyID], /) -> Sequence[SecretKey]:
        return await self._supply.get_keys_by_id(peer, key_ids)


@pytest.mark.parametrize("megabytes", [100, pytest.param(1000, marks=pytest.mark.campaign)])
def test_a_file_survives_the_kill_of_a_relay_on_a_ring(tmp_path: Path, megabytes: int) -> None:
    """Fresh keys every 2 %: before the kill they come over the relay, afterwards the other way round the ring."""

    async def run(network: LiveNetwork, data: Path, kill: Any) -> None:
        assert network.process.poll() is None
        film = made_file(tmp_path / "film.bin", num_bytes=megabytes * 10**6)
        size = film.stat().st_size
        terms = Terms(refresh=Refresh(every_bytes=size // 50))
        killed_after = 0
        async with (
            UserServices(find_people(data=data, name="bob")) as bob,
            Reception(bob, tmp_path / "in"),
            UserServices(find_people(data=data, name="alice"), terms=terms) as alice,
        ):

            def kill_midway(step: Any) -> None:
                nonlocal killed_after
                if not killed_after and step.done_bytes > size * 0.4:
                    kill()
                    killed_after = len(supply.routes)

            to, is_over_relay = alice.people.members("bob")[0].sae, False
            while not is_over_relay:  # it has just come up, and the other way has key already
                (key,) = await alice.party.supply.get_keys(to, count=1, size_bits=128)
                is_over_relay = relay in key.route
            supply = Watched(alice.party.supply)
            alice.party = replace(alice.party, supply=supply)
            (sent,) = await alice.send(film, "bob", on_progress=kill_midway)
        assert sent.num_keys == len(supply.routes) >= 45
        assert set(supply.routes[:killed_after]) == {("north", "east", "south")}, "over the relay while it lived"
        assert set(supply.routes[killed_after:]) == {("north", "northwest", "southwest", "south")}
        assert same(film, tmp_path / "in" / "film.bin")

    data = tmp_path / "data"
    ring, relay = "five-site-ring", "east"
    with running_network(data, ring, apart=[relay]) as network, running_site(data, relay, ring) as site:
        asyncio.run(asyncio.wait_for(run(network, data, site.kill), LIMIT_S))
        assert site.process.poll() is not None, "killed, with SIGKILL"

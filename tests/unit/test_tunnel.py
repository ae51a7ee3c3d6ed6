"""A tunnel for any program: both directions at once, half-close, many connections, slow readers, honest ends."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from qanat.apps.cli.hook import command_slot
from qanat.ground.errors import (
    BadParameter,
    ChannelClosed,
    FrameError,
    KeyShortage,
    NotEntitled,
    PeerProtocolError,
    QanatError,
)
from qanat.ground.identifiers import SaeId
from qanat.ground.keys import SecretKey
from qanat.ground.ports import KeySupply
from qanat.services.ciphers import Altered, Refresh, Suite
from qanat.services.conversation import RefusedByPeer, Terms
from qanat.services.directory import Directory
from qanat.services.tunnel import WINDOW_BYTES, Window
from qanat.users.collecting import Sensor
from qanat.users.hook import Hook
from qanat.users.pump import Carried
from qanat.users.reception import Listeners, Reception
from qanat.users.supply import TakenKey
from qanat.users.tunnel import Tunnel, TunnelEnd
from service_support import House, Spy, sae_of, until
from unit.service_fakes import FakeSupply, KeyStock
from unit.test_file_delivery import run

CANARY = b"the canary sings in plain letters"
Program = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def noise(num_bytes: int) -> bytes:
    return hashlib.shake_128(b"noise").digest(num_bytes)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say back what comes, and end when the other ends."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    writer.close()


@dataclass
class Way:
    """A tunnel of alice's to a program of bob's, through a spy."""

    port: int
    spy: Spy
    ended: list[Carried] = field(default_factory=list)
    faults: list[QanatError] = field(default_factory=list)
    bobs_faults: list[QanatError] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)
    """What had passed the spy when a connection began to stand still."""
    keys: list[TakenKey] = field(default_factory=list)
    suites: list[str] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def asked(self, data: bytes) -> bytes:
        """Say everything, end, and return the whole answer."""
        reader, writer = await self.connect()

        async def say() -> None:
            writer.write(data)
            await writer.drain()
            writer.write_eof()

        _, answer = await asyncio.gather(say(), reader.read(-1))
        writer.close()
        return answer


@contextlib.asynccontextmanager
async def tunnel(
    place: Path,
    program: Program | None = echo,
    *,
    refresh: Refresh | None = None,
    bob_knows: bool = True,
    stock: KeyStock | None = None,
    supply: KeySupply | None = None,
    with_tls: bool = True,
) -> AsyncIterator[Way]:
    """``stock``, and ``supply``: all keys, and alice's, where a test has them run short."""
    house = House(place / "data", stock or KeyStock(), supplies={} if supply is None else {"alice": supply})
    terms = replace(house.terms, refresh=refresh or Refresh())
    async with contextlib.AsyncExitStack() as stack:
        server = await asyncio.start_server(program or echo, "127.0.0.1", 0)
        stack.callback(server.close)
        port = server.sockets[0].getsockname()[1]
        if program is None:
            server.close()
        bob = await stack.enter_async_context(house.user("bob", terms=terms))
        if not bob_knows:
            bob.people = replace(bob.people, directory=Directory())
        bobs_faults: list[QanatError] = []
        more = {"tunnel": TunnelEnd(bob, ("127.0.0.1", port)).serve}
        listeners = Listeners(on_fault=bobs_faults.append)
        await stack.enter_async_context(Reception(bob, place / "in", listeners=listeners, more=more))
        spy = await stack.enter_async_context(house.spied("bob"))
        alice = await stack.enter_async_context(house.user("alice", terms=terms))
        way = Way(0, spy, bobs_faults=bobs_faults)
        entrance = Tunnel(
            alice,
            "bob",
            with_tls=with_tls,
            on_fault=way.faults.append,
            on_end=way.ended.append,
            on_wait=lambda: way.waits.append(len(spy.seen)),
            on_key=way.keys.append,
            on_tls=way.suites.append,
        )
        await stack.enter_async_context(entrance)
        way.port = entrance.port
        yield way


def test_a_program_speaks_through_it_both_ways_at_once_and_a_spy_finds_no_letter(tmp_path: Path) -> None:
    async def work() -> None:
        data = CANARY + noise(3 * WINDOW_BYTES)
        async with tunnel(tmp_path) as way:
            assert await way.asked(data) == data
            await until(lambda: bool(way.ended))
        assert (way.faults, way.bobs_faults) == ([], [])
        (carried,) = way.ended
        assert (carried.sent_bytes, carried.received_bytes, carried.was_reset) == (len(data), len(data), False)
        assert len(way.spy.seen) > 2 * len(data)
        assert CANARY not in way.spy.seen

    run(work())


def test_who_has_said_everything_still_hears(tmp_path: Path) -> None:
    """The answer begins only after the question's end: a half-close that became a close would lose it."""

    async def sum_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(hashlib.sha256(await reader.read(-1)).digest())
        writer.close()

    async def work() -> None:
        async with tunnel(tmp_path, sum_of) as way:
            assert await way.asked(noise(300_000)) == hashlib.sha256(noise(300_000)).digest()

    run(work())


def test_a_program_that_speaks_first_and_ends_first_is_heard(tmp_path: Path) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        writer.write_eof()
        heard.append(await reader.read(-1))
        writer.close()

    async def work() -> None:
        async with tunnel(tmp_path, greet) as way:
            reader, writer = await way.connect()
            assert await reader.read(-1) == b"220 ready\r\n"
            writer.write(b"quit")
            writer.close()
            await until(lambda: heard == [b"quit"])

    heard: list[bytes] = []
    run(work())


def test_many_connections_at_once_keep_apart(tmp_path: Path) -> None:
    async def work() -> None:
        said = [f"connection {number} ".encode() * 2000 for number in range(60)]
        async with tunnel(tmp_path) as way:
            assert await asyncio.gather(*map(way.asked, said)) == said
        assert way.faults == []

    run(work())


def test_a_program_that_does_not_read_holds_the_other_back(tmp_path: Path) -> None:
    async def stubborn(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await goes_on.wait()
        got.append(len(await reader.read(-1)))
        writer.close()

    async def work() -> None:
        size = 40 * WINDOW_BYTES  # more than all the kernels' buffers on the way
        async with tunnel(tmp_path, stubborn) as way:
            reader, writer = await way.connect()
            writer.write(bytes(size))
            before = -1
            while len(way.spy.seen) != before:  # until nothing moves
                before = len(way.spy.seen)
                await asyncio.sleep(0.3)
            assert WINDOW_BYTES < before < 20 * WINDOW_BYTES
            goes_on.set()
            writer.write_eof()
            assert await reader.read(-1) == b""
            writer.close()
        assert got == [size]

    got: list[int] = []
    goes_on = asyncio.Event()
    run(work())


@pytest.mark.parametrize(
    ("refresh", "fewest"), [(Refresh(every_bytes=100_000), 10), (Refresh(every_s=0.1), 3)], ids=["bytes", "time"]
)
def test_keys_change_while_it_is_open(tmp_path: Path, refresh: Refresh, fewest: int) -> None:
    async def work() -> None:
        async with tunnel(tmp_path, refresh=refresh) as way:
            reader, writer = await way.connect()
            for _ in range(4):
                writer.write(noise(400_000))
                assert await reader.readexactly(400_000) == noise(400_000)
                await asyncio.sleep(0.11)
            writer.close()
            await until(lambda: bool(way.ended))
        assert way.ended[0].num_keys >= fewest

    run(work())


@pytest.mark.parametrize("shortages", [5, 10**6], ids=["a while", "for good"])
def test_a_connection_stands_still_where_a_fresh_key_is_due_and_none_comes(tmp_path: Path, shortages: int) -> None:
    """It says so once, nothing passes meanwhile, and then it goes on under a fresh key, or is broken off as agreed."""

    async def work() -> None:
        async with tunnel(tmp_path, refresh=Refresh(every_s=0.2), stock=stock, supply=supply) as way:
            reader, writer = await way.connect()
            writer.write(b"first")
            assert await reader.readexactly(5) == b"first"
            supply.shortages, num_keys = shortages, len(way.keys)
            await asyncio.sleep(0.25)
            assert way.waits == [], "who says nothing needs no key"
            writer.write(CANARY)
            await until(lambda: bool(way.waits))
            if shortages == 5:
                assert await reader.readexactly(len(CANARY)) == CANARY
                assert len(way.keys) == num_keys + 1
                assert way.faults == []
            else:
                with pytest.raises(ConnectionResetError):
                    await reader.read(-1)
                await until(lambda: bool(way.faults))
                assert isinstance(way.faults[0], KeyShortage)
                assert way.bobs_faults[0].message.endswith("the pool is empty")
                assert len(way.keys) == num_keys
            writer.close()
        assert len(way.waits) == 1
        own = [key for key in supply.handed_out if key.pair.master == supply.sae]
        for taken, key in zip(way.keys, own, strict=True):
            assert (taken.key_id, taken.peer, taken.size_bits) == (key.key_id, sae_of("bob"), 128)
            assert (taken.routes, taken.hops, taken.qkd_bits) == ((key.route,), 1, 128)

    stock = KeyStock()
    supply = FakeSupply(stock, sae_of("alice"))
    supply.shortage = KeyShortage("the pool is empty", retry_after_s=0.1)
    run(work())


def test_nobody_is_kept_waiting_on_a_line_by_a_tunnel_that_waits_for_its_first_key(tmp_path: Path) -> None:
    async def work() -> None:
        async with tunnel(tmp_path, stock=stock, supply=supply) as way:
            asking = asyncio.create_task(way.asked(b"hello"))
            await until(lambda: bool(way.waits))
            assert way.waits == [0], "it was tried whether bob answers, and nothing was said"
            assert await asking == b"hello"
            assert way.bobs_faults == []

    stock = KeyStock()
    supply = FakeSupply(stock, sae_of("alice"), shortages=3)
    supply.shortage = KeyShortage("the pool is empty", retry_after_s=0.1)
    run(work())


def test_who_gets_no_first_key_is_told_and_the_other_end_hears_nothing_of_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with tunnel(tmp_path, stock=stock, supply=supply) as way:
            with pytest.raises(ConnectionError):
                await way.asked(b"hello")
            await until(lambda: bool(way.faults))
            assert isinstance(way.faults[0], KeyShortage)
            assert (way.bobs_faults, way.spy.seen) == ([], b"")

    stock = KeyStock()
    supply = FakeSupply(stock, sae_of("alice"), shortages=10**6)
    run(work())


def test_a_key_manager_that_hangs_is_waited_for_no_longer_than_one_that_has_no_key(tmp_path: Path) -> None:
    class Hanging(FakeSupply):
        async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
            await asyncio.Event().wait()
            raise AssertionError("nothing ends that")

    async def work() -> None:
        async with tunnel(tmp_path, stock=stock, supply=Hanging(stock, sae_of("alice"))) as way:
            with pytest.raises(ConnectionError):
                await way.asked(b"hello")
            await until(lambda: bool(way.faults))
            assert "the key manager has not answered for 3 s" in way.faults[0].message

    stock = KeyStock()
    run(work())


@pytest.mark.parametrize(
    ("with_tls", "flip_at"),
    [(True, 400), (True, 5000), (False, 5000)],
    ids=["tls, in the handshake", "tls", "records alone"],
)
def test_a_bit_that_was_flipped_is_told_at_both_ends_and_breaks_the_connection_off(
    tmp_path: Path, with_tls: bool, flip_at: int
) -> None:
    async def work() -> None:
        async with tunnel(tmp_path, with_tls=with_tls) as way:
            way.spy.flip_at = flip_at
            with pytest.raises(ConnectionError):
                await way.asked(noise(20_000))
            await until(lambda: bool(way.faults and way.bobs_faults))
            assert way.spy.num_lines == 2, "one to see whether anybody answers, and no third to say what went wrong"
        assert len(way.bobs_faults) == len(way.faults) == 1
        assert isinstance(way.bobs_faults[0], Altered)
        assert isinstance(way.faults[0], Altered if with_tls else RefusedByPeer)
        assert "altered on the way" in way.faults[0].message
        whose = "a call of alice from 127.0.0.1: " if flip_at > 400 else "which says it is alice's: "
        assert whose in way.bobs_faults[0].message

    run(work())


@pytest.mark.parametrize("flip_at", [0, 1, 4, 5, 8])
def test_a_bit_that_was_flipped_in_what_tls_says_in_plain_is_not_blamed_on_the_caller_alone(
    tmp_path: Path, flip_at: int
) -> None:
    async def work() -> None:
        async with tunnel(tmp_path) as way:
            way.spy.flip_at = flip_at
            with pytest.raises(ConnectionError):
                await way.asked(b"hello")
            await until(lambda: bool(way.faults and way.bobs_faults))
        for fault in (way.faults[0], way.bobs_faults[0]):
            assert "altered on the way" in str(fault)
            assert "look for who changes bytes on the line" in fault.remedy
        assert way.bobs_faults[0].message.startswith("a call from 127.0.0.1")

    run(work())


@pytest.mark.parametrize("where", ["in the first flight", "after it", "before a byte"])
def test_a_line_that_breaks_before_there_is_tls_is_told_at_both_ends(tmp_path: Path, where: str) -> None:
    """Who only looks whether somebody answers has said nothing, and is not told of."""

    async def work() -> None:
        async with tunnel(tmp_path) as way:
            way.spy.cut_each_at = 100 if where == "in the first flight" else None
            way.spy.cut_at = 1 if where == "after it" else None
            if where == "before a byte":
                _, writer = await asyncio.open_connection("127.0.0.1", way.spy.target_port)
                writer.close()
                await writer.wait_closed()
                assert await way.asked(b"hello") == b"hello"
                assert way.bobs_faults == []
                return
            with pytest.raises(ConnectionError):
                await way.asked(b"hello")
            await until(lambda: bool(way.faults and way.bobs_faults))
        assert isinstance(way.faults[0], PeerProtocolError)
        assert isinstance(way.bobs_faults[0], ChannelClosed)
        assert "before TLS was agreed" in way.bobs_faults[0].message
        assert way.bobs_faults[0].message.startswith("a call from 127.0.0.1")

    run(work())


def test_a_cut_line_is_never_told_as_an_end(tmp_path: Path) -> None:
    """The program must see an error: a clean end would let it take half of an answer for the whole."""

    async def dictate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(noise(10_000))
                await writer.drain()
                await asyncio.sleep(0.001)

    async def work() -> None:
        async with tunnel(tmp_path, dictate) as way:
            reader, writer = await way.connect()
            await reader.readexactly(50_000)
            way.spy.cut_at = 0
            writer.write(b"the spy cuts when this passes")
            with pytest.raises(ConnectionError):
                await reader.read(-1)
            writer.close()
            await until(lambda: bool(way.faults))

    run(work())


def test_a_program_that_breaks_off_is_told_as_such_to_the_other(tmp_path: Path) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        writer.get_extra_info("socket").setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER, no time
        writer.transport.abort()

    async def work() -> None:
        async with tunnel(tmp_path, break_off) as way:
            reader, writer = await way.connect()
            writer.write(b"work")
            with pytest.raises(ConnectionResetError):
                await reader.read(-1)
            writer.close()
            await until(lambda: bool(way.ended))
        assert way.ended[0].was_reset
        assert way.faults == []

    run(work())


def test_strangers_and_absent_programs_are_told(tmp_path: Path) -> None:
    async def work() -> None:
        async with tunnel(tmp_path / "stranger", bob_knows=False) as way:
            with pytest.raises(ConnectionError):
                await way.asked(b"let me in")
            await until(lambda: bool(way.faults))
            assert isinstance(way.bobs_faults[0], NotEntitled)
            assert "no contact" in way.faults[0].message
            assert way.bobs_faults[0].message.startswith("a call from 127.0.0.1")
            assert f"which says it is {sae_of('alice')}'s: " in way.bobs_faults[0].message, "no name for it here"
        async with tunnel(tmp_path / "absent", None) as way:
            with pytest.raises(ConnectionError):
                await way.asked(b"hello?")
            await until(lambda: bool(way.faults))
            assert "does not answer" in way.faults[0].message
            await until(lambda: bool(way.bobs_faults))
            assert way.bobs_faults[0].message.startswith("a call of alice from 127.0.0.1: ")

    for name in ("stranger", "absent"):
        (tmp_path / name).mkdir()
    run(work())


def test_a_tunnel_by_one_time_pad_is_refused_before_it_listens(tmp_path: Path) -> None:
    async def work() -> None:
        async with House(tmp_path / "data").user("alice", terms=Terms(suite=Suite.ONE_TIME_PAD)) as alice:
            with pytest.raises(BadParameter, match="nobody knows before"):
                Tunnel(alice, "bob")

    run(work())


def test_a_window_lets_no_more_come_than_was_taken() -> None:
    window = Window()
    window.came(WINDOW_BYTES)
    with pytest.raises(FrameError, match="more than it may"):
        window.came(1)
    with pytest.raises(FrameError, match="took more"):
        window.may_send(1)
    window.spend(10)
    window.may_send(10)
    assert window.left_bytes == WINDOW_BYTES


def test_what_has_one_other_end_refuses_a_group(tmp_path: Path) -> None:
    house = House(tmp_path / "data", groups={"office": ("bob", "carol")})

    async def work() -> None:
        async with house.user("alice") as alice:
            slot = command_slot("true", "hex")
            for made in (
                lambda: Tunnel(alice, "office"),
                lambda: Sensor(alice, "office", name="door"),
                lambda: Hook(alice, "office", slot, name="office"),
            ):
                with pytest.raises(BadParameter, match=r"'office' is a group, and a [a-z]+ has one other end") as fault:
                    made()
                assert "bob, carol" in fault.value.remedy

    run(work())

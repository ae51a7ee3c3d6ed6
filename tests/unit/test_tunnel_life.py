"""Tunnels whose line goes dead without a word: both ends tell so, and nobody takes who waits for who is gone."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from qanat.adapters import buffer_line, programs
from qanat.adapters.programs import ProgramLine, connect_program
from qanat.ground.errors import ChannelClosed, KeyShortage
from qanat.ground.identifiers import SaeId
from qanat.ground.keys import SecretKey
from qanat.services import tunnel as service
from qanat.services.ciphers import Refresh
from qanat.services.conversation import Conversation
from qanat.users import pump
from service_support import sae_of, until
from unit.service_fakes import FakeSupply, KeyStock
from unit.test_file_delivery import run
from unit.test_tunnel import tunnel

EVERY_S = 0.1


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "ALIVE_EVERY_S", EVERY_S)


@pytest.mark.parametrize("with_tls", [True, False])
@pytest.mark.parametrize("words", [b"", b"more"])
def test_a_line_that_goes_dead_without_a_word_is_told_at_both_ends_and_resets_the_program(
    tmp_path: Path, with_tls: bool, words: bytes
) -> None:
    """Nothing passes any more, and what stands between the two keeps its connections open: the kernel sees nothing."""

    async def work() -> None:
        async with tunnel(tmp_path, with_tls=with_tls) as way:
            reader, writer = await way.connect()
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            way.spy.is_held = True
            writer.write(words)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            await until(lambda: bool(way.faults) and bool(way.bobs_faults))
            writer.close()
            way.spy.is_held = False
        for fault in (*way.faults, *way.bobs_faults):
            assert isinstance(fault, ChannelClosed)
            assert "nothing has passed on the line to the other end for " in fault.message
            assert "not even a sign of life" in fault.message
            assert fault.remedy

    run(work())


def test_a_line_that_goes_dead_with_much_on_the_way_is_given_as_long_and_told_in_the_same_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What other lines are given, to take what they are sent and to go on within a frame, is less than a tunnel's."""

    async def work() -> None:
        async with tunnel(tmp_path) as way:
            reader, writer = await way.connect()
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            for limit in ("SEND_TIMEOUT_S", "STALL_TIMEOUT_S"):
                monkeypatch.setattr(buffer_line, limit, EVERY_S / 2)
            way.spy.is_held, began_s = True, time.monotonic()
            writer.write(bytes(2**21))
            await until(lambda: bool(way.faults))
            assert time.monotonic() - began_s > (pump.NUM_SILENT - 1) * EVERY_S
            await until(lambda: bool(way.bobs_faults))
            writer.close()
            way.spy.is_held = False
        assert {type(fault) for fault in (*way.faults, *way.bobs_faults)} == {ChannelClosed}
        ((mine,), (bobs,)) = way.faults, way.bobs_faults
        assert bobs.message.endswith(f": {mine.message}")
        assert bobs.remedy == mine.remedy != ""

    run(work())


def test_a_connection_that_is_silent_lives_on_and_takes_no_key(tmp_path: Path) -> None:
    async def work() -> None:
        async with tunnel(tmp_path, refresh=Refresh(every_s=0.2)) as way:
            reader, writer = await way.connect()
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            num_keys, begun = len(way.keys), len(way.spy.seen)
            await asyncio.sleep(3 * pump.NUM_SILENT * EVERY_S)
            assert (len(way.keys), way.faults, way.bobs_faults) == (num_keys, [], [])
            assert len(way.spy.seen) > begun
            writer.write(b"again")
            assert await reader.readexactly(5) == b"again"
            writer.close()
            await until(lambda: bool(way.ended))

    run(work())


class HeldSupply(FakeSupply):
    """Has no key from its third on until ``late_s`` (monotonic)."""

    late_s = 0.0

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        if len(self.requests) == 2 and time.monotonic() < self.late_s:
            raise KeyShortage("the pool is empty", retry_after_s=0.1)
        return await super().get_keys(peer, count=count, size_bits=size_bits)


def test_who_waits_for_a_key_lives(tmp_path: Path) -> None:
    async def work() -> None:
        stock = KeyStock()
        supply = HeldSupply(stock, sae_of("alice"))
        supply.late_s = math.inf
        async with tunnel(tmp_path, refresh=Refresh(every_records=2), stock=stock, supply=supply) as way:
            reader, writer = await way.connect()
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            supply.late_s = time.monotonic() + 3 * pump.NUM_SILENT * EVERY_S
            writer.write(b"again")
            assert await reader.readexactly(5) == b"again"
            assert time.monotonic() > supply.late_s, "it stood still"
            assert (way.faults, way.bobs_faults) == ([], [])
            writer.close()
            await until(lambda: bool(way.ended))

    run(work())


def test_a_caller_that_knows_no_signs_of_life_is_given_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask_as_before(conversation: Conversation) -> None:
        await conversation.greet()
        await conversation.say({"open": True})
        assert await conversation.hear() == {"opened": True}

    monkeypatch.setattr(service, "ask_to_open", ask_as_before)

    async def work() -> None:
        async with tunnel(tmp_path) as way:
            reader, writer = await way.connect()
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            await asyncio.sleep(2 * pump.NUM_SILENT * EVERY_S)
            assert (way.faults, way.bobs_faults) == ([], [])
            writer.close()
            await until(lambda: bool(way.ended))

    run(work())


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no such limits")
def test_a_program_is_probed_and_one_that_takes_nothing_is_not_given_up() -> None:
    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            program = await connect_program(*server.getsockname())
            connection = program._writer.get_extra_info("socket")
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            kernel = {
                name: connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            }
            probes_s = kernel["TCP_KEEPINTVL"] * kernel["TCP_KEEPCNT"]
            assert (kernel["TCP_KEEPIDLE"] + probes_s, kernel["TCP_USER_TIMEOUT"]) == (programs.LOST_S, 0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await program.write(bytes(2**24))  # the server takes none of it
            assert not program.is_unanswered()
            program.reset()
            assert not program.is_unanswered()

    run(work())


@pytest.mark.parametrize(
    ("info", "is_lost"),
    [((0, 0, 41_000), False), ((1, 0, 39_000), False), ((1, 0, 41_000), True), ((0, 1, 41_000), True)],
)
def test_who_was_asked_and_has_answered_nothing_for_long_is_lost(
    monkeypatch: pytest.MonkeyPatch, info: tuple[int, int, int], is_lost: bool
) -> None:
    """``info``: as the kernel tells it; how often bytes went out again, probes, time of the last acknowledgement."""

    class Told:
        def get_extra_info(self, _: str) -> Told:
            return self

        def setsockopt(self, *_: int) -> None:
            pass

        def getsockopt(self, *_: int) -> bytes:
            return programs._INFO.pack(*info)

    monkeypatch.setattr(programs.sys, "platform", "linux")
    told: Any = Told()
    assert ProgramLine(told, told).is_unanswered() == is_lost


def test_a_program_whose_machine_is_gone_is_told_at_both_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with tunnel(tmp_path) as way:
            reader, writer = await way.connect()
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            monkeypatch.setattr(ProgramLine, "is_unanswered", lambda _: True)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            await until(lambda: bool(way.faults) and bool(way.bobs_faults))
            writer.close()
        said = [str(fault) for fault in (*way.faults, *way.bobs_faults)]
        assert all("the program's machine at this end has not answered for 40 s" in words for words in said)

    run(work())


@pytest.mark.parametrize(("number", "is_told"), [(errno.ETIMEDOUT, True), (errno.ECONNRESET, False)])
def test_a_program_that_the_kernel_gave_up_is_not_told_as_one_that_broke_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_told: bool
) -> None:
    async def work() -> None:
        async with tunnel(tmp_path) as way:
            reader, writer = await way.connect()
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"

            async def gone(*_: object) -> bytes:
                raise OSError(number, os.strerror(number))

            monkeypatch.setattr(ProgramLine, "read", gone)
            writer.write(b"more")
            with pytest.raises(ConnectionResetError):
                await reader.read()
            await until(lambda: bool(way.ended) and bool(way.faults) == is_told)
            writer.close()
        assert (bool(way.faults), [one.was_reset for one in way.ended]) == (is_told, [True])

    run(work())

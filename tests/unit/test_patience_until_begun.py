"""All waits before a transfer begins are bounded together: for key, for a line, for the recipient's first word."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from qanat.adapters.addresses import AddressBook
from qanat.ground.errors import ChannelTimeout, KeyShortage
from qanat.ground.identifiers import SaeId
from qanat.ground.keys import SecretKey
from qanat.services.conversation import Terms
from qanat.users import patience
from qanat.users.collecting import Sensor
from qanat.users.patience import Limit, begun_in, longest_s
from qanat.users.supply import KeyManagerLost, TellingSupply
from service_support import House, sae_of
from unit.service_fakes import FakeSupply, KeyStock
from unit.test_file_delivery import made_file, run

BRIEF = Terms(patience_s=1.0, silence_s=1.0)


class SlowSupply(FakeSupply):
    """Gives each key after 0.8 s."""

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        await asyncio.sleep(0.8)
        return await super().get_keys(peer, count=count, size_bits=size_bits)


class LostSupply(FakeSupply):
    """A key manager that does not run for some calls, or hangs for ever."""

    hangs = False
    num_lost = 1_000_000

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        if self.hangs:
            await asyncio.sleep(1000.0)
        if self.num_lost:
            self.num_lost -= 1
            raise KeyManagerLost("no connection to the key manager", remedy="look whether it runs")
        return await super().get_keys(peer, count=count, size_bits=size_bits)


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "GRACE_S", 0.1)


@contextlib.asynccontextmanager
async def silent_bob(house: House) -> AsyncIterator[None]:
    """Somebody who listens where bob should, takes what comes, and says nothing."""

    lines: list[asyncio.StreamWriter] = []

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(writer)

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        AddressBook(house.data / "addresses").publish("services", "bob", server.sockets[0].getsockname())
        yield
        for line in lines:
            line.close()
            with contextlib.suppress(OSError):
                await line.wait_closed()


@pytest.mark.parametrize("what", ["text", "file"])
def test_a_wait_for_key_and_one_for_a_word_take_no_longer_together_than_one(tmp_path: Path, what: str) -> None:
    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path, num_bytes=1000)
        house.data.mkdir(exist_ok=True)
        house.supplies["alice"] = SlowSupply(house.stock, sae_of("alice"))
        async with silent_bob(house), house.user("alice", terms=BRIEF) as alice:
            began_s = time.monotonic()
            if what == "text":
                report = await alice.text("bob", "hello", patience_s=1.0)
                assert report.waiting == ("bob",)
            else:
                with pytest.raises(ChannelTimeout, match="neither a word of bob nor a key"):
                    await alice.send(path, "bob", patience_s=1.0)
            assert 0.8 < time.monotonic() - began_s < 1.6

    run(work())


@pytest.mark.parametrize(
    ("what", "hangs"), [("text", False), ("text", True), ("file", False), ("file", True), ("reading", False)]
)
def test_a_key_manager_of_one_s_own_that_is_away_or_hangs_is_not_taken_for_the_recipient_s_silence(
    tmp_path: Path, what: str, hangs: bool
) -> None:
    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path, num_bytes=1000)
        supply = house.supplies["alice"] = LostSupply(house.stock, sae_of("alice"))
        supply.hangs = hangs
        async with house.reception("bob"), house.user("alice", terms=BRIEF) as alice:
            if what == "text":
                report = await alice.text("bob", "hello", patience_s=1.0)
                assert isinstance(report.fault, KeyManagerLost)
                assert report.waiting == ("bob",)
                return
            if what == "file":
                with pytest.raises(KeyManagerLost, match="key manager"):
                    await alice.send(path, "bob", patience_s=1.0)
                return
            sensor = Sensor(alice, "bob", name="thermometer")
            await sensor.put("21.5")
            with pytest.raises(KeyManagerLost, match="key manager"):
                await sensor.deliver()
            assert await sensor.num_waiting() == 1

    run(work())


def test_a_text_goes_once_a_key_manager_is_up_again_in_time(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        supply = house.supplies["alice"] = LostSupply(house.stock, sae_of("alice"))
        supply.num_lost = 1
        async with house.reception("bob"), house.user("alice", terms=BRIEF) as alice:
            report = await alice.text("bob", "hello", patience_s=5.0)
            assert (report.fault, list(report.delivered)) == (None, ["bob"])

    run(work())


def test_what_has_begun_takes_as_long_as_it_takes(tmp_path: Path) -> None:
    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path, num_bytes=1000)
        house.supplies["bob"] = SlowSupply(house.stock, sae_of("bob"))
        house.supplies["alice"] = SlowSupply(house.stock, sae_of("alice"))
        terms = Terms(patience_s=2.0, silence_s=2.0)
        async with house.reception("bob"), house.user("alice", terms=terms) as alice:
            (sent,) = await alice.send(path, "bob", patience_s=2.0)
        assert sent.size_bytes == 1000

    run(work())


def test_a_try_that_has_begun_is_not_ended_and_one_without_key_says_so() -> None:
    async def work() -> None:
        supply = TellingSupply(FakeSupply(KeyStock(), sae_of("alice"), shortages=1), say=lambda _: None)
        async with begun_in(Limit(0.05, 0.05), supply, whom="bob") as begun:
            begun()
            await asyncio.sleep(0.3)
        with pytest.raises(ChannelTimeout, match="a word of bob"):
            async with begun_in(Limit(0.05, 0.05), supply, whom="bob"):
                await asyncio.sleep(5)
        with pytest.raises(KeyShortage):
            await supply.get_keys(sae_of("bob"), count=1, size_bits=256)
        with pytest.raises(KeyShortage, match="the pool is empty"):
            async with begun_in(Limit(0.05, 0.05), supply, whom="bob"):
                await asyncio.sleep(5)
        with pytest.raises(TimeoutError, match="of the work itself"):
            async with begun_in(Limit(5.0, 5.0), supply, whom="bob"):
                raise TimeoutError("of the work itself")

    run(work())


def test_the_longest_wait_bounds_all_and_a_pad_has_its_own() -> None:
    assert longest_s(4.0, Terms(patience_s=4.0, silence_s=4.0)) == 4.0
    assert longest_s(5.0, Terms()) == Terms().silence_s
    assert longest_s(600.0, Terms()) == 600.0
    assert longest_s(4.0, Terms(patience_s=4.0, silence_s=4.0, pad_wait_s=40.0)) == 44.0

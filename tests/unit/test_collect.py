"""Data collection over real sockets: a hundred sensors, each value once, whatever breaks."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from qanat.adapters.readings import Readings, StoredReading
from qanat.ground.errors import BadParameter
from qanat.services.ciphers import Suite
from qanat.services.collect import MAX_VALUE_BYTES
from qanat.users.collecting import Centre, Sensor
from qanat.users.reception import Reception
from service_support import House, sae_of
from unit.test_file_delivery import run
from unit.test_service_ciphers import StockedSupply

CANARY = "the canary sings in plain letters"


@contextlib.asynccontextmanager
async def centre(house: House) -> AsyncIterator[list[str]]:
    """Let bob collect; gives the values that he was told of as new."""
    fresh: list[str] = []
    async with house.user("bob") as bob:
        keeper = Centre(bob, on_fresh=lambda _, readings: fresh.extend(one.value for one in readings))
        async with Reception(bob, house.folder("bob"), more={"collect": keeper.serve}):
            yield fresh


def values(house: House) -> list[str]:
    return [one.value for _, one in Readings(house.data / "users" / "bob").collected()]


@pytest.mark.slow
def test_a_hundred_sensors_reach_a_centre_that_was_away_and_is_cut_off_each_value_once(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        names = [f"sensor-{number:03}" for number in range(100)]
        async with contextlib.AsyncExitStack() as stack:
            users = [await stack.enter_async_context(house.user(name)) for name in names]
            sensors = [Sensor(user, "bob", name="thermometer") for user in users]
            await asyncio.gather(*(one.put(f"{name} 1", f"{name} 2") for one, name in zip(sensors, names, strict=True)))
            assert await asyncio.gather(*(one.deliver() for one in sensors)) == [2] * 100, "nobody is there"
            async with centre(house) as first, house.spied("bob") as spy:
                spy.cut_at = 15_000
                left = await asyncio.gather(*(one.deliver() for one in sensors))
                assert 0 < sum(left) < 200, "the line of one was cut"
            await asyncio.gather(*(one.put(f"{name} 3") for one, name in zip(sensors, names, strict=True)))
            async with centre(house) as second:
                assert await asyncio.gather(*(one.deliver() for one in sensors)) == [0] * 100
        due = sorted(f"{name} {number}" for name in names for number in (1, 2, 3))
        assert sorted(values(house)) == due
        assert sorted(first + second) == due, "each was told of once"

    run(work())


def test_a_confirmation_that_was_lost_makes_no_second_reading_and_a_restart_loses_none(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        async with house.user("alice") as alice:
            await Sensor(alice, "bob", name="meter").put("21.5", CANARY, "21.5")
        outbox = tmp_path / "data" / "users" / "alice" / "readings.sqlite"
        before = outbox.read_bytes()
        async with centre(house) as fresh, house.spied("bob") as spy:
            for _ in range(2):
                outbox.write_bytes(before)  # as it was before the confirmation came
                async with house.user("alice") as alice:
                    assert await Sensor(alice, "bob", name="meter").deliver() == 0
        assert fresh == values(house) == ["21.5", CANARY, "21.5"]
        assert CANARY.encode() not in spy.seen
        assert outbox.stat().st_mode & 0o077 == 0

    run(work())


def test_what_two_senders_number_alike_is_kept_apart(tmp_path: Path) -> None:
    async def work() -> None:
        kept = Readings(tmp_path)
        one = StoredReading("meter", "ab" * 16, 1, 5.0, "7")
        assert await kept.keep(sae_of("alice"), [one]) == ([one], [])
        assert await kept.keep(sae_of("alice"), [one]) == ([], [])
        assert await kept.keep(sae_of("eve"), [one, one._replace(number=2)]) == ([one, one._replace(number=2)], [])
        assert Counter(sender for sender, _ in kept.collected()) == {sae_of("alice"): 1, sae_of("eve"): 2}

    run(work())


def test_readings_go_by_one_time_pad_too(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        house.supplies = {
            name: StockedSupply(house.stock, sae_of(name), stocked_bits=10**6) for name in ("alice", "bob")
        }
        pad = replace(house.terms, suite=Suite.ONE_TIME_PAD)
        async with centre(house) as fresh, house.user("alice", terms=pad) as alice:
            sensor = Sensor(alice, "bob", name="meter")
            await sensor.put(*(f"{number}" for number in range(30)))
            assert (await sensor.deliver(), sensor.num_delivered) == (0, 30)
        assert fresh == [f"{number}" for number in range(30)]

    run(work())


def test_a_reading_that_cannot_be_sent_is_refused_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with House(tmp_path / "data").user("alice") as alice:
            with pytest.raises(BadParameter, match="at most 1,000 go"):
                await Sensor(alice, "bob", name="meter").put("x" * (MAX_VALUE_BYTES + 1))
            with pytest.raises(BadParameter, match="no name of a sensor"):
                await Sensor(alice, "bob", name="My Meter").put("1")

    run(work())

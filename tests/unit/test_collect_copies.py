"""Outboxes of sensors that were put back from a copy, or are used twice: nothing is lost, and nothing comes twice."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from qanat.adapters.readings import Readings, StoredReading
from qanat.ground.errors import FrameError, PeerProtocolError
from qanat.services.collect import Reading, _others_in, _reading
from qanat.users.collecting import MOST_SERIES, Sensor
from service_support import House, sae_of
from unit.test_collect import centre, values
from unit.test_file_delivery import run

SERIES = "ab" * 16


def outbox_of(house: House) -> Path:
    return house.data / "users" / "alice" / "readings.sqlite"


async def measured(house: House, *told: str, said: list[str] | None = None) -> Sensor:
    """Let alice's sensor say something and deliver it; returns it."""
    async with house.user("alice") as alice:
        sensor = Sensor(alice, "bob", name="meter", say=lambda words: None if said is None else said.append(words))
        await sensor.put(*told)
        assert await sensor.deliver() == 0
        return sensor


def test_an_outbox_that_was_put_back_loses_nothing_and_delivers_nothing_twice(tmp_path: Path) -> None:
    async def work() -> None:
        house, said = House(tmp_path / "data"), list[str]()
        async with house.user("alice") as alice:
            await Sensor(alice, "bob", name="meter").put("1", "2", "3")
        old = outbox_of(house).read_bytes()
        async with centre(house) as fresh:
            await measured(house, "4", "5")
            outbox_of(house).write_bytes(old)  # 1 to 3 wait again, and the next has the number of 4
            sensor = await measured(house, "6", "7", "8", said=said)
            assert (sensor.num_renumbered, sensor.num_delivered) == (3, 6), "1 to 3 are known"
            outbox_of(house).write_bytes(old)
            sensor = await measured(house, "9", said=said)
            assert sensor.num_renumbered == 2, "once in the first series, once in the second"
            await measured(house, "10", said=said)
        assert sorted(values(house), key=int) == sorted(fresh, key=int) == [str(number) for number in range(1, 11)]
        assert len(said) == 3
        assert "bob has other readings under the numbers of" in said[0]
        assert "3 readings that wait go under a new series, none is lost" in said[0]

    run(work())


def test_what_waited_under_a_new_series_when_an_older_copy_was_put_back_comes_once(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        async with centre(house):
            await measured(house, "1")
            first = outbox_of(house).read_bytes()
            await measured(house, "2")
            outbox_of(house).write_bytes(first)
            async with house.user("alice") as alice:
                await Sensor(alice, "bob", name="meter").put("3")
            second = outbox_of(house).read_bytes()
            await measured(house, "4")
            outbox_of(house).write_bytes(second)  # 3 waits again, under the number of 2, and is there
            await measured(house, "5")
        assert values(house) == ["1", "2", "3", "4", "5"]

    run(work())


def test_two_sensors_with_copies_of_one_outbox_never_mix_in_one_series(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        copies = dict.fromkeys(("one", "two"), b"")
        async with centre(house):
            await measured(house, "0")
            copies = dict.fromkeys(copies, outbox_of(house).read_bytes())
            for place in range(6):
                which = list(copies)[place % 2]
                outbox_of(house).write_bytes(copies[which])
                await measured(house, f"{which} {place}a", f"{which} {place}b")
                copies[which] = outbox_of(house).read_bytes()
        came = [one for _, one in Readings(house.data / "users" / "bob").collected()]
        due = [f"{list(copies)[place % 2]} {place}{letter}" for place in range(6) for letter in "ab"]
        assert sorted(one.value for one in came) == sorted(["0", *due])
        series = {one.value.split()[0]: set[str]() for one in came}
        for one in came:
            series[one.value.split()[0]].add(one.series)
        assert not series["one"] & series["two"]

    run(work())


def test_a_number_before_the_last_of_its_series_is_of_a_copy_and_so_is_what_follows_it(tmp_path: Path) -> None:
    """As of an outbox for two centres: this one has never seen the numbers of the other's."""

    async def work() -> None:
        kept, alice = Readings(tmp_path), sae_of("alice")
        told = [StoredReading("meter", SERIES, number, 5.0, str(number)) for number in (1, 3, 2, 4)]
        assert await kept.keep(alice, told[:2]) == (told[:2], [])
        assert await kept.keep(alice, [*told[:2], *told[2:]]) == ([], told[2:])
        other = told[3]._replace(series="cd" * 16)
        assert await kept.keep(alice, [told[2], other]) == ([other], [told[2]]), "another series is not in doubt"
        assert [one.number for _, one in kept.collected()] == [1, 3, 4]

    run(work())


def test_a_centre_that_takes_no_series_is_told_and_the_readings_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(_: Readings, __: object, readings: list[StoredReading]) -> tuple[list[StoredReading], object]:
        return [], readings

    monkeypatch.setattr(Readings, "keep", refused)

    async def work() -> None:
        house = House(tmp_path / "data")
        async with centre(house), house.user("alice") as alice:
            sensor = Sensor(alice, "bob", name="meter")
            await sensor.put("1")
            with pytest.raises(PeerProtocolError, match="other readings under all numbers"):
                await sensor.deliver()
            assert (await sensor.num_waiting(), sensor.num_renumbered) == (1, MOST_SERIES)

    monkeypatch.setattr("qanat.users.collecting._Collection.keep", refused)
    run(work())


def test_an_outbox_of_before_keeps_its_series_and_its_readings(tmp_path: Path) -> None:
    Readings(tmp_path)
    with sqlite3.connect(tmp_path / "readings.sqlite") as database:
        database.execute("UPDATE series SET name = ?", (SERIES,))
        database.execute("ALTER TABLE waiting DROP COLUMN series")
        database.execute(
            "INSERT INTO waiting (centre, sensor, utc_s, value) VALUES (?, 'meter', 5.0, '7')", (sae_of("bob"),)
        )
    database.close()
    readings = Readings(tmp_path)
    readings.post(sae_of("bob"), "meter", [(6.0, "8")])
    assert readings.waiting(sae_of("bob"), most=9) == [
        StoredReading("meter", SERIES, 1, 5.0, "7"),
        StoredReading("meter", SERIES, 2, 6.0, "8"),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        {"received": 1},
        {"received": 2, "others": [0]},
        {"received": 2, "others": []},
        {"received": 1, "others": [2]},
        {"received": 0, "others": [0, 0]},
        {"received": 1, "others": [0], "more": 1},
    ],
)
def test_an_answer_that_does_not_say_what_became_of_each_is_refused(answer: dict[str, object]) -> None:
    told = [Reading("meter", SERIES, number, 5.0, "7") for number in (1, 2)]
    assert _others_in({"received": 1, "others": [1]}, told) == told[1:]
    with pytest.raises(FrameError):
        _others_in(answer, told)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [-1, 2**63])
def test_a_number_that_no_outbox_gives_is_refused(number: int) -> None:
    with pytest.raises(FrameError, match="this is no reading"):
        _reading(["meter", SERIES, number, 5.0, "7"])


def test_a_reading_that_two_have_sent_counts_for_who_struck_it_off(tmp_path: Path) -> None:
    readings = Readings(tmp_path)
    readings.post(sae_of("bob"), "meter", [(1.0, "1"), (2.0, "2")])
    waiting = readings.waiting(sae_of("bob"), most=10)
    assert readings.confirmed(waiting[:1]) == 1
    assert readings.confirmed(waiting) == 1
    assert readings.confirmed(waiting) == 0

"""Files of readings that are moved away, removed or spoilt while they are in use: a new one is begun, none is lost."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qanat.adapters.readings import Readings, StoredReading, collected_in
from qanat.apps.cli import collect
from qanat.apps.cli.collect import run_list
from qanat.apps.cli.service_options import Who
from qanat.ground.errors import ConfigurationError
from qanat.users.collecting import Sensor
from service_support import House, sae_of
from unit.test_collect import centre, values
from unit.test_collect_command import status_of
from unit.test_file_delivery import run

BOB = sae_of("bob")


def moved(path: Path, name: str = "moved") -> Path:
    return path.rename(path.with_name(name))


def waiting(readings: Readings) -> list[str]:
    return [one.value for one in readings.waiting(BOB, most=99)]


def test_an_outbox_that_is_moved_away_begins_anew_and_delivers_both_when_it_is_back(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        async with house.user("alice") as alice:
            sensor = Sensor(alice, "bob", name="meter")
            path = sensor.outbox
            await sensor.put("1", "2")
            old = moved(path)
            await sensor.put("3")
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            async with centre(house):
                assert await sensor.deliver() == 0
                assert values(house) == ["3"]
                old.replace(path)
                await sensor.put("4")
                assert await sensor.deliver() == 0
            assert (sensor.num_renumbered, sensor.num_delivered) == (0, 4), "no number was given twice"
            assert sorted(values(house)) == ["1", "2", "3", "4"]

    run(work())


def test_an_outbox_that_is_removed_gives_its_numbers_in_a_new_series(tmp_path: Path) -> None:
    readings = Readings(tmp_path)
    readings.post(BOB, "meter", [(5.0, "1")])
    (first,) = readings.waiting(BOB, most=9)
    readings.path.unlink()
    assert readings.num_waiting(BOB) == 0
    readings.post(BOB, "meter", [(6.0, "2")])
    (second,) = readings.waiting(BOB, most=9)
    assert (first.number, second.number) == (1, 1)
    assert first.series != second.series
    readings.confirmed([first])
    assert waiting(readings) == ["2"], "what the moved file held is not struck off here"


def test_what_is_moved_in_the_midst_of_a_transaction_has_that_one(tmp_path: Path) -> None:
    """SQLite itself leaves what was committed beside the old name, where the next file does away with it."""
    readings = Readings(tmp_path)
    with readings._open() as database:
        row = (BOB, "meter", 5.0, "1", "ab" * 16)
        database.execute("INSERT INTO waiting (centre, sensor, utc_s, value, series) VALUES (?, ?, ?, ?, ?)", row)
        old = moved(readings.path)
    readings.post(BOB, "meter", [(6.0, "2")])
    assert waiting(readings) == ["2"]
    old.replace(readings.path)
    assert waiting(readings) == ["1"]


POSTS = """
import sys
from pathlib import Path
from qanat.adapters.readings import Readings
from qanat.ground.errors import ConfigurationError
number = 0
while number < 150:
    try:
        Readings(Path(sys.argv[1])).post("centre", sys.argv[2], [(float(number), f"{sys.argv[2]} {number}")])
    except ConfigurationError as fault:  # as a sensor does, which keeps it until the next time
        print(fault)
    else:
        number += 1
"""
"""Puts numbers into the outbox, each until that has taken it."""
TABLES_BYTES = 28_672


def test_several_processes_lose_nothing_while_their_file_is_moved_away(tmp_path: Path) -> None:
    def posting(name: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", POSTS, str(tmp_path), name], stdout=subprocess.PIPE, text=True)

    with posting("a") as one, posting("b") as two:
        path, old = tmp_path / "readings.sqlite", list[Path]()
        while one.poll() is None or two.poll() is None:
            if len(old) < 20 and path.exists() and path.stat().st_size >= TABLES_BYTES:
                old.append(moved(path, f"moved {len(old)}"))
            time.sleep(0.02)
        num_refused = sum(each.communicate()[0].count("readings.sqlite: ") for each in (one, two))
        assert (one.returncode, two.returncode) == (0, 0)
    assert num_refused <= len(old), "one at most for each that was moved"
    came = list[str]()
    for each_file in [*old, path] if path.exists() else old:
        with sqlite3.connect(each_file) as database:
            came += [value for (value,) in database.execute("SELECT value FROM waiting")]
        database.close()
    assert sorted(came) == sorted(f"{name} {number}" for name in "ab" for number in range(150))


def test_a_centre_whose_file_is_moved_away_takes_what_comes_into_a_new_one(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        async with centre(house) as fresh, house.user("alice") as alice:
            path = house.data / "users" / "bob" / "readings.sqlite"
            sensor = Sensor(alice, "bob", name="meter")
            await sensor.put("1", "2")
            assert await sensor.deliver() == 0
            old = moved(path)
            await sensor.put("3")
            assert await sensor.deliver() == 0
            assert (values(house), stat.S_IMODE(path.stat().st_mode)) == (["3"], 0o600)
            moved(path, "between")
            old.replace(path)
            await sensor.put("4")
            assert await sensor.deliver() == 0
            assert values(house) == ["1", "2", "4"]
            assert (fresh, sensor.num_renumbered) == (["1", "2", "3", "4"], 0)

    run(work())


def test_a_centre_with_a_new_file_takes_an_outbox_that_was_put_back_too(tmp_path: Path) -> None:
    """It knows no numbers of before; with its old file back, it has others under them, and the outbox goes on."""

    async def work() -> None:
        house = House(tmp_path / "data")
        path = house.data / "users" / "bob" / "readings.sqlite"
        async with centre(house) as fresh, house.user("alice") as alice:
            sensor = Sensor(alice, "bob", name="meter")
            await sensor.put("1")
            copy = sensor.outbox.read_bytes()
            await sensor.put("2")
            assert await sensor.deliver() == 0
            old = moved(path)
            sensor.outbox.write_bytes(copy)
            await sensor.put("3")  # the number of 2
            assert await sensor.deliver() == 0
            assert values(house) == ["1", "3"], "what waits in a copy comes again where the centre has not its file"
            old.replace(path)
            sensor.outbox.write_bytes(copy)
            await sensor.put("4")
            assert await sensor.deliver() == 0
            assert (values(house), fresh) == (["1", "2", "4"], ["1", "2", "1", "3", "4"])

    run(work())


@pytest.mark.parametrize("spoilt", [b"no database at all" * 500, b""])
def test_a_spoilt_file_is_told_with_a_remedy_that_holds(tmp_path: Path, spoilt: bytes) -> None:
    readings = Readings(tmp_path)
    readings.post(BOB, "meter", [(5.0, "1")])
    readings.path.write_bytes(spoilt)
    if spoilt:
        for use in (lambda: readings.num_waiting(BOB), lambda: Readings(tmp_path), lambda: collected_in(tmp_path)):
            with pytest.raises(ConfigurationError, match="file is not a database") as told:
                use()
            assert told.value.remedy == "move the file away to begin anew"
        moved(readings.path)
    readings.post(BOB, "meter", [(6.0, "2")])
    assert waiting(readings) == ["2"]


def test_what_waits_in_memory_for_a_spoilt_outbox_goes_into_the_one_that_is_begun_anew(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        async with house.user("alice") as alice:
            sensor = Sensor(alice, "bob", name="meter")
            sensor.outbox.write_bytes(b"no database at all" * 500)
            for value in ("1", "2"):
                with pytest.raises(ConfigurationError, match="file is not a database"):
                    await sensor.put(value)
            moved(sensor.outbox)
            await sensor.put("3")
            assert (sensor.num_held, sensor.num_lost, await sensor.num_waiting()) == (0, 0, 3)

    run(work())


def test_a_command_whose_outbox_is_moved_away_and_removed_loses_no_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sensor's own command does it: the first time it moves the file, later it spoils it, then removes it."""
    file = tmp_path / "data" / "users" / "alice" / "readings.sqlite"
    script = tmp_path / "sensor.py"
    script.write_text(
        "import pathlib\n"
        f"file, seen = pathlib.Path({str(file)!r}), pathlib.Path('seen')\n"
        "n = int(seen.read_text()) + 1 if seen.exists() else 1\n"
        "seen.write_text(str(n))\n"
        "if n == 2: file.rename(file.with_name('moved'))\n"
        "if n == 3: file.write_bytes(b'no database at all' * 500)\n"
        "if n == 5: file.unlink()\n"
        "print(n)\n"
    )
    status, left = status_of(monkeypatch, tmp_path, f"{sys.executable} {script}", every_s=0.5, count=5, as_json=True)
    out, err = capsys.readouterr()
    assert (status, left) == (1, ["3", "4", "5"])
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["waiting"], line["held"]) for line in lines] == [(1, 0), (1, 0), (None, 1), (None, 2), (3, 0), (3, 0)]
    assert "until the outbox can be written: " in err
    assert "2 readings that the memory kept went into it" in err


def listed(monkeypatch: pytest.MonkeyPatch, house: House) -> int:
    monkeypatch.setattr(collect, "people_of", lambda _: house.user("bob").people)
    return run_list(Who(None, None, None), as_json=False)


def test_a_list_of_a_file_without_tables_says_so_and_one_of_none_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    house = House(tmp_path / "data")
    path = house.user("bob").people.me.home / "readings.sqlite"
    assert listed(monkeypatch, house) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == ["utc,sender,sensor,value"]
    assert "no reading has come here: there is no readings.sqlite in " in told.err
    assert not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with pytest.raises(ConfigurationError, match="is no collection of readings: it has no table of them"):
        listed(monkeypatch, house)
    one = StoredReading("meter", "ab" * 16, 1, 5.0, "7")
    assert asyncio.run(Readings(path.parent).keep(sae_of("alice"), [one])) == ([one], [])
    assert listed(monkeypatch, house) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("alice,meter,7")

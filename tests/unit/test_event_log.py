"""The event log of a process: a sink that never raises."""

from __future__ import annotations

import asyncio
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from qanat.adapters.folder_lock import held
from qanat.apps import event_log
from qanat.apps.event_log import FILES_KEPT, WRITE_AFTER_S, EventLog
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import EventId, NodeId


def an_event(number: int) -> Event:
    return Event(EventId(f"e{number}"), None, None, NodeId("a"), float(number), 0.0, EventKind.ALARM, {"n": number})


def test_events_are_kept_written_and_told(tmp_path: Path) -> None:
    told: list[Event] = []
    with EventLog(path=tmp_path / "new" / "events.jsonl", keep=True) as log:
        log.listen(told.append)
        log(an_event(1))
        log(an_event(2))
    rows = [json.loads(line) for line in (tmp_path / "new" / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == ["e1", "e2"]
    assert rows[0]["utc"] == "1970-01-01T00:00:00.000Z"
    assert log.events == told == [an_event(1), an_event(2)]


@pytest.mark.parametrize("path", ["data/twins/a-b/events.jsonl", "data/twins/a-b/lock"])
def test_every_folder_that_a_process_makes_for_itself_is_its_owners_alone(tmp_path: Path, path: str) -> None:
    file = tmp_path / path
    with EventLog(path=file) if file.suffix else held(file.parent):
        made = [folder for folder in file.parents if folder.is_relative_to(tmp_path / "data")]
    assert len(made) == 3
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in made} == {0o700}


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    told: list[Event] = []
    with EventLog(path=Path("/dev/full")) as log:
        log.listen(told.append)
        log(an_event(1))
        log(an_event(2))
        assert log.num_lost == 2
    assert told == [an_event(1), an_event(2)]
    with EventLog(path=tmp_path / "events.jsonl") as log:
        log.num_lost = 2
        log(an_event(3))
        assert log.num_lost == 0
    first, second = map(json.loads, (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines())
    assert first == {"kind": "events-lost", "number": 2}
    assert second["id"] == "e3"


def test_in_an_event_loop_the_lines_of_one_turn_are_written_together_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    def rows() -> list[str]:
        return [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]

    async def two_turns() -> None:
        with EventLog(path=path) as log:
            log(an_event(1))
            log(an_event(2))
            assert rows() == []
            await asyncio.sleep(0)
            assert rows() == ["e1", "e2"]
            log(an_event(3))
        assert rows() == ["e1", "e2", "e3"]

    asyncio.run(two_turns())


def test_what_is_said_of_each_call_waits_a_little_and_goes_with_what_does_not_wait(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    def num_rows() -> int:
        return len(path.read_text(encoding="utf-8").splitlines())

    async def calls() -> None:
        with EventLog(path=path) as log:
            log(replace(an_event(1), kind=EventKind.KEY_ASKED))
            await asyncio.sleep(0)
            assert num_rows() == 0
            log(an_event(2))
            await asyncio.sleep(0)
            assert num_rows() == 2
            log(replace(an_event(3), kind=EventKind.KEY_GIVEN))
            await asyncio.sleep(WRITE_AFTER_S)  # its timer was set later
            assert num_rows() == 3
            log(replace(an_event(4), kind=EventKind.KEY_GIVEN))
        assert num_rows() == 4

    asyncio.run(calls())


def test_a_full_disk_in_an_event_loop_costs_lines_that_are_counted() -> None:
    async def two_turns() -> None:
        with EventLog(path=Path("/dev/full")) as log:
            log(an_event(1))
            log(an_event(2))
            await asyncio.sleep(0)
            assert log.num_lost == 2

    asyncio.run(two_turns())


def test_a_file_that_has_grown_is_put_aside_and_so_many_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "MAX_FILE_BYTES", 1)
    path, count = tmp_path / "events.jsonl", FILES_KEPT + 3
    with EventLog(path=path) as log:
        for number in range(count):
            log(an_event(number))
    kept = {old.name: json.loads(old.read_text(encoding="utf-8"))["id"] for old in tmp_path.glob("events.jsonl.*")}
    assert kept == {f"events.jsonl.{age}": f"e{count - age}" for age in range(1, FILES_KEPT)}
    assert path.read_text(encoding="utf-8") == ""


def test_where_a_file_cannot_be_put_aside_it_grows_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "MAX_FILE_BYTES", 1)
    path = tmp_path / "events.jsonl"
    (tmp_path / f"events.jsonl.{FILES_KEPT - 2}").touch()
    (tmp_path / f"events.jsonl.{FILES_KEPT - 1}" / "no file").mkdir(parents=True)
    with EventLog(path=path) as log:
        log(an_event(1))
        log(an_event(2))
        assert log.num_lost == 0
    assert [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()] == ["e1", "e2"]

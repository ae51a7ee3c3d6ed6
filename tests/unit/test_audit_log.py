"""The audit log: what it writes, what a crash leaves, and what its checker finds."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qanat.adapters.audit_chain import Head, audit_files, opened_line, read_head, records, sealed_line, verify
from qanat.adapters.audit_log import WRITE_AFTER_S, AuditLog
from qanat.adapters.json_lines import fields_of
from qanat.apps.cli.audit import LineFilter, logs_in, run_notifications, run_show, run_verify
from qanat.apps.networks import load_network
from qanat.doors.etsi015.names import app_id, qkdn_id
from qanat.doors.etsi015.notifications import notification_of
from qanat.ground.errors import ConfigurationError
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import EventId, NodeId, SaePair

SITE = NodeId("a")


def an_event(number: int, kind: EventKind = EventKind.KEYS_DELIVERED) -> Event:
    return Event(
        EventId(f"e{number}"), None, None, SITE, float(number), float(number), kind, {"key_ids": [f"k{number}"]}
    )


def write(folder: Path, *numbers: int, **options: int) -> None:
    with AuditLog(folder, node=SITE, **options) as log:
        for number in numbers:
            log(an_event(number))


def only_file(folder: Path) -> Path:
    (path,) = audit_files(folder)
    return path


def test_a_log_that_was_only_appended_to_holds_over_several_starts(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    write(tmp_path, 3)
    finding = verify(tmp_path)
    assert finding.bad is None
    assert (finding.first, finding.head.count, finding.num_torn, finding.num_lost) == (1, 3, 0, 0)
    assert finding.head == read_head(tmp_path)
    assert [row["event"] for row in records(tmp_path)] == ["e1", "e2", "e3"]


def test_events_of_other_nodes_and_mere_progress_are_left_out(tmp_path: Path) -> None:
    with AuditLog(tmp_path, node=SITE) as log:
        log(replace(an_event(1), node=NodeId("b")))
        log(an_event(2, EventKind.LINK_QUALITY))
        log(an_event(3, EventKind.KEYS_REFUSED))
    assert [row["kind"] for row in records(tmp_path)] == ["keys-refused"]


def test_a_line_is_in_the_file_before_the_sink_returns(tmp_path: Path) -> None:
    with AuditLog(tmp_path, node=SITE) as log:
        log(an_event(1))
        assert [row["event"] for row in records(tmp_path)] == ["e1"]


def test_in_an_event_loop_a_delivery_takes_the_lines_before_it_into_the_file_at_once(tmp_path: Path) -> None:
    def events() -> list[object]:
        return [row["event"] for row in records(tmp_path)]

    async def two_turns() -> None:
        with AuditLog(tmp_path, node=SITE) as log:
            log(an_event(1, EventKind.KEY_ASKED))
            assert events() == []
            log(an_event(2, EventKind.KEYS_DELIVERED))
            assert events() == ["e1", "e2"]
            log(an_event(3, EventKind.KEY_ASKED))
            await asyncio.sleep(WRITE_AFTER_S)  # its timer was set later
            assert events() == ["e1", "e2", "e3"]
            log(an_event(4, EventKind.KEY_ASKED))
        assert events() == ["e1", "e2", "e3", "e4"]

    asyncio.run(two_turns())
    assert verify(tmp_path).bad is None


def test_where_lines_are_written_out_before_keys_leave_those_of_a_turn_go_in_one_call(tmp_path: Path) -> None:
    def events() -> list[object]:
        return [row["event"] for row in records(tmp_path)]

    async def one_turn() -> None:
        with AuditLog(tmp_path, node=SITE, written_out_first=True) as log:
            for number in (1, 2, 3):
                log(an_event(number, EventKind.KEYS_DELIVERED))
            assert events() == []
            log.write_out()
            assert events() == ["e1", "e2", "e3"]
            log.write_out()
            log(an_event(4, EventKind.KEYS_DELIVERED))
            await asyncio.sleep(2 * WRITE_AFTER_S)
            assert events()[3:] == ["e4"], "nobody may wait for a door that sends nothing"

    asyncio.run(one_turn())
    with AuditLog(tmp_path, node=SITE, written_out_first=True) as log:
        log(an_event(5))
        assert events()[4:] == ["e5"], "where there is no loop there are no turns"
    assert verify(tmp_path).bad is None


@pytest.mark.parametrize("num_ids", [0, 1, 50, 51, 52, 128, 1000])
def test_lines_of_any_length_hold(tmp_path: Path, num_ids: int) -> None:
    with AuditLog(tmp_path, node=SITE) as log:
        log(replace(an_event(1), data={"key_ids": [f"{number:036d}" for number in range(num_ids)]}))
        log(an_event(2))
    assert verify(tmp_path).bad is None


def altered(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1].replace(b'"k2"', b'"kX"'), *lines[2:]]


def resealed(lines: list[bytes]) -> list[bytes]:
    fields, _ = opened_line(lines[1].rstrip())
    fields.update(data={"key_ids": ["kX"]})
    number, prev = fields.pop("n"), fields.pop("prev")
    del fields["sha256"]
    assert isinstance(number, int)
    assert isinstance(prev, str)
    return [lines[0], sealed_line(fields_of(fields), Head(number - 1, prev))[0], *lines[2:]]


TAMPERINGS: dict[str, tuple[Callable[[list[bytes]], list[bytes]], int]] = {
    "altered": (altered, 2),
    "altered with its hash": (resealed, 3),
    "removed": (lambda lines: [lines[0], *lines[2:]], 2),
    "first removed": (lambda lines: lines[1:], 1),
    "swapped": (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2),
    "put in twice": (lambda lines: [lines[0], lines[0], *lines[1:]], 2),
    "broken in the middle": (lambda lines: [lines[0], lines[1][:20] + b"\n", *lines[2:]], 3),
}


@pytest.mark.parametrize("how", TAMPERINGS)
def test_the_first_bad_line_is_named(tmp_path: Path, how: str) -> None:
    tamper, bad_line = TAMPERINGS[how]
    write(tmp_path, 1, 2, 3, 4)
    path = only_file(tmp_path)
    path.write_bytes(b"".join(tamper(path.read_bytes().splitlines(keepends=True))))
    bad = verify(tmp_path).bad
    assert bad is not None
    assert (bad.file, bad.line) == (path.name, bad_line)


def test_every_altered_byte_is_found(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    path = only_file(tmp_path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert verify(tmp_path).bad is not None, f"byte {place}"


def test_a_tail_that_was_cut_off_is_found_and_stays_found_after_the_next_start(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3)
    path = only_file(tmp_path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    bad = verify(tmp_path).bad
    assert bad is not None
    assert "tail" in bad.why
    write(tmp_path, 4)
    bad = verify(tmp_path).bad
    assert bad is not None
    assert bad.line == 3
    assert "1 lines were missing" in bad.why


def test_a_log_written_anew_passes_unless_a_head_was_noted_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "old", 1, 2, 3)
    noted = verify(tmp_path / "old").head
    write(tmp_path / "new", 1, 2, 9, 4)
    assert verify(tmp_path / "new").bad is None
    bad = verify(tmp_path / "new", expected=noted).bad
    assert bad is not None
    assert bad.line == 3
    assert "written anew" in bad.why
    write(tmp_path / "old", 5)
    assert verify(tmp_path / "old", expected=noted).bad is None


def test_a_head_that_is_gone_or_no_head_is_found(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (tmp_path / "head.json").write_text("{}", encoding="utf-8")
    assert (bad := verify(tmp_path).bad) is not None
    assert bad.file == "head.json"
    (tmp_path / "head.json").unlink()
    assert (bad := verify(tmp_path).bad) is not None
    assert bad.file == "head.json"


@pytest.mark.parametrize("num_bytes_left", [1, 30, -2, -1])
def test_a_half_written_last_line_is_recorded_by_the_next_start(tmp_path: Path, num_bytes_left: int) -> None:
    write(tmp_path, 1)
    path = only_file(tmp_path)
    line, _ = sealed_line(fields_of({"kind": "x"}), verify(tmp_path).head)
    with path.open("ab") as file:
        file.write(line[:num_bytes_left])
    assert verify(tmp_path).bad is None
    write(tmp_path, 2)
    finding = verify(tmp_path)
    assert finding.bad is None
    is_torn = num_bytes_left != -1  # the line's end alone was missing, so the line itself is whole
    assert finding.num_torn == int(is_torn)
    kinds = [row["kind"] for row in records(tmp_path)]
    assert kinds == ["keys-delivered", "torn-line" if is_torn else "x", "keys-delivered"]


def test_two_crashes_in_a_row_leave_one_record(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with only_file(tmp_path).open("ab") as file:
        file.write(b'{"n":2,"pr\n{"n":2,"prev')
    write(tmp_path, 2)
    finding = verify(tmp_path)
    assert finding.bad is None
    assert finding.num_torn == 1


def test_the_chain_goes_over_files_and_a_missing_file_is_found(tmp_path: Path) -> None:
    write(tmp_path, *range(20), max_file_bytes=900)
    files = audit_files(tmp_path)
    finding = verify(tmp_path)
    assert len(files) > 3
    assert finding.bad is None
    assert finding.num_files == len(files)
    files[1].unlink()
    assert (bad := verify(tmp_path).bad) is not None
    assert bad.file == files[2].name
    files[0].unlink()
    assert (bad := verify(tmp_path).bad) is not None
    assert "older ones" in bad.why
    assert verify(tmp_path, is_part=True).bad is None
    files[-1].unlink()
    assert (bad := verify(tmp_path, is_part=True).bad) is not None
    assert "tail" in bad.why


def test_a_full_disk_costs_lines_and_the_first_that_fits_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    told: list[str] = []
    with AuditLog(tmp_path, node=SITE, on_lost=told.append) as log:
        log(an_event(1))
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            log(an_event(2))
            log(an_event(3))
        assert told == ["[Errno 28] No space left on device"]
        assert log.num_lost == 2
        log(an_event(4))
    finding = verify(tmp_path)
    assert finding.bad is None
    assert finding.num_lost == 2
    assert [row.get("event") for row in records(tmp_path)] == ["e1", None, "e4"]


def test_a_disk_that_takes_half_a_line_keeps_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    with AuditLog(tmp_path, node=SITE) as log:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:40]))
            log(an_event(1))
        log(an_event(2))
    assert verify(tmp_path).bad is None
    assert [row.get("event") for row in records(tmp_path)] == [None, "e2"]


def test_who_opens_a_log_waits_for_no_disk_and_finds_a_head_and_the_thread_brings_all_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site that is woken is spoken to while its log is opened: a slow disk would let the caller wait."""
    synced: list[str] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        synced.append(threading.current_thread().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    with AuditLog(tmp_path, node=SITE) as log:
        assert (head := read_head(tmp_path)) is not None
        assert head.count == 0
        assert threading.current_thread().name not in synced
        log(an_event(1))
        until_s = time.monotonic() + 20
        while (head := read_head(tmp_path)) is None or head.count == 0:
            assert time.monotonic() < until_s
            time.sleep(0.01)
    assert len([name for name in synced if name == "audit of a"]) >= 3, "the file, its folder and its head"
    assert verify(tmp_path).bad is None


KILLED = """
import sys
from pathlib import Path
from unit.test_audit_log import SITE, an_event
from qanat.adapters.audit_log import WRITE_AFTER_S, AuditLog
from qanat.adapters.json_lines import fields_of
with AuditLog(Path(sys.argv[1]), node=SITE) as log:
    for number in range(10**9):
        log(an_event(number))
        print(number, flush=True)
"""


@pytest.mark.slow
def test_a_killed_process_loses_no_line_that_it_went_on_from(tmp_path: Path) -> None:
    for _ in range(3):
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        command = [sys.executable, "-c", KILLED, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            for _ in range(50):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            last_told = [int(line) for line in process.stdout.read().split("\n")[:-1]][-1:]
        written = [str(row["event"]) for row in records(tmp_path)]
        told = last_told[0] if last_told else 49
        assert f"e{told}" in written[-2:]
        assert verify(tmp_path).bad is None


def test_the_command_ends_with_1_and_names_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for site in ("a", "b"):
        write(tmp_path / site / "audit", 1, 2)
    assert run_verify(tmp_path, head=None, is_part=False, as_json=True) == 0
    path = only_file(tmp_path / "b" / "audit")
    path.write_bytes(path.read_bytes().replace(b"k1", b"k7"))
    capsys.readouterr()
    assert run_verify(tmp_path, head=None, is_part=False, as_json=True) == 1
    record = json.loads(capsys.readouterr().out)
    assert [log["holds"] for log in record["logs"]] == [True, False]
    assert record["logs"][1]["bad"]["line"] == 1
    assert run_verify(tmp_path / "b", head=None, is_part=False, as_json=False) == 1
    assert "audit-000001.jsonl, line 1 was altered" in capsys.readouterr().out


def test_a_noted_head_is_checked_by_the_command(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    head = verify(tmp_path).head
    assert run_verify(tmp_path, head=head.text, is_part=False, as_json=False) == 0
    assert run_verify(tmp_path, head=f"2:{'0' * 64}", is_part=False, as_json=False) == 1
    with pytest.raises(ConfigurationError, match="no head"):
        run_verify(tmp_path, head="2", is_part=False, as_json=False)


def test_show_filters_by_kind_word_time_and_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with AuditLog(tmp_path, node=SITE) as log:
        for number in range(1, 6):
            log(an_event(number, EventKind.KEYS_REFUSED if number == 3 else EventKind.KEYS_DELIVERED))

    def shown(**filters: object) -> list[str]:
        assert run_show(tmp_path, LineFilter(**filters), as_json=True) == 0  # type: ignore[arg-type]
        return [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]

    assert shown(kinds=["keys-refused"]) == ["e3"]
    assert shown(words=["k4"]) == ["e4"]
    assert shown(since="1970-01-01T00:00:04") == ["e4", "e5"]
    assert shown(since="1970-01-01T02:00:04+02:00") == ["e4", "e5"]
    assert shown(since="1970-01-02") == []
    with pytest.raises(ConfigurationError, match="'yesterday' is no time"):
        shown(since="yesterday")
    assert shown(last=1) == ["e5"]
    assert shown(last=0) == []


def test_lines_are_shown_as_notifications_of_the_standard_with_its_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = load_network("three-nodes")
    link = network.links[0]
    node, (one, other) = link.ends[0], network.saes[:2]
    asked = {"master": one, "slave": other}
    with AuditLog(tmp_path, node=node) as log:
        log(replace(an_event(1, EventKind.NODE_STARTED), node=node))
        log(replace(an_event(2, EventKind.KEYS_DELIVERED), node=node))  # the standard has nothing for it
        log(replace(an_event(3, EventKind.KEY_ASKED), node=node, data=asked))
    assert run_notifications(tmp_path, LineFilter(), network_name="three-nodes") == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told, "of the start of the node at least"
    assert told[0]["etsi-qkd-sdn-node:event"]["qkdn_id"] == qkdn_id(network, node)
    found = notification_of(network, replace(an_event(3, EventKind.KEY_ASKED), node=node, data=asked))
    assert found is not None
    assert (found[0], found[1]["app_id"]) == ("sdqkdn_application_new", app_id(network, SaePair(one, other)))


def test_a_folder_without_a_log_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no audit log"):
        logs_in(tmp_path)
